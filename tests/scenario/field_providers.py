"""Cases from the field about providers, by their names, through the whole program: streams, tools, errors, cancelling,
settings."""
from harness import *

HI = [{"role": "user", "content": "hi"}]


def over(name, f, model, **more):
    own = {"openai": {"OPENAI_BASE_URL": f.url + "/v1", "OPENAI_API_KEY": "k"},
           "anthropic": {"ANTHROPIC_BASE_URL": f.url, "ANTHROPIC_API_KEY": "k"}}[name]
    return Server(**{"MODEL_TYPE": name, "MODEL_NAME": model, "PROVIDER_RETRIES": "0", **own, **more})


def completions(s, model="sema", **more):
    return s.post("/v1/chat/completions", {"model": model, "messages": HI, **more}, timeout=30)


def messages(s, **more):
    return s.post("/v1/messages", {"model": "sema", "max_tokens": 100, "messages": HI, **more}, {"anthropic-version": "2023-06-01"})


def chunks(r):
    return [json.loads(line[6:]) for line in r.text.splitlines() if line.startswith("data: {")]


def calls_of(f, model):
    return len([r for r in f.requests() if r["method"] == "POST" and r["body"]["model"] == model])


@case("S4: a cut after some text is an error, with no finish and no [DONE]")
def s4(t):
    with Fake("openai") as f:
        for model in ("reset-between", "eof", "tool-cut"):
            with over("openai", f, model) as s:
                r = completions(s, stream=True)
                t.lacks(r.text, "[DONE]")
                t.true(any("error" in c for c in chunks(r)), model)
                t.true(not any(x.get("finish_reason") for c in chunks(r) for x in c.get("choices", [])), model)
                t.equal((model, completions(s).status), (model, 502))
                r = messages(s, stream=True)
                t.has(r.text, "event: error")
                t.lacks(r.text, "message_stop")


@case("S5: comments, empty events and ids reach no client")
def s5(t):
    with Fake("openai") as f, over("openai", f, "pings") as s:
        r = completions(s, stream=True)
        for line in r.text.splitlines():
            t.true(not line or line.startswith(":") or line == "data: [DONE]" or json.loads(line[6:]), line)
        t.lacks(r.text, "PROCESSING")


@case("T3: a call without arguments has {} for them")
def t3(t):
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
    with Fake("openai") as f:
        for model in ("tool-empty-args", "tool-null-args"):
            with over("openai", f, model) as s:
                r = completions(s, tools=tools)
                t.equal(r.json()["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"], "{}")
                text = "".join(c["function"].get("arguments") or "" for x in chunks(completions(s, tools=tools, stream=True))
                               for choice in x["choices"] for c in choice["delta"].get("tool_calls", []))
                t.equal((model, text), (model, "{}"))


@case("R4: the same reasoning in two fields is said once")
def r4(t):
    with Fake("openai") as f:
        for model in ("reasoning-twice", "reasoning-details", "json-both-reasonings"):
            with over("openai", f, model) as s:
                said = s.chat("q").json()["reasoning"]
                t.equal(said, {"reasoning-twice": "The", "reasoning-details": "A", "json-both-reasonings": "A"}[model])


@case("E1: an overflow of the context in words that the client can act on")
def e1(t):
    for name, models in (("openai", ("vllm-context", "context", "llama-context")), ("anthropic", ("context-sum",))):
        with Fake(name) as f:
            for model in models:
                with over(name, f, model) as s:
                    for stream in (False, True):
                        r = messages(s, stream=stream)
                        t.equal((model, r.status, r.json()["error"]["type"]), (model, 400, "invalid_request_error"))
                        t.has(r.json()["error"]["message"], "prompt is too long")
                    r = completions(s)
                    t.equal((model, r.status, r.json()["error"]["code"]), (model, 400, "context_length_exceeded"))


@case("E2: an error inside status 200 is one: the fallback answers, else its own status")
def e2(t):
    with Fake("openai") as f:
        for model, status in (("error-first", 429), ("error-json-200", 502), ("empty-stream", 502)):
            for stream in (False, True):
                with over("openai", f, model) as s:
                    t.equal((model, stream, completions(s, stream=stream).status), (model, stream, status))
                with over("openai", f, model, FALLBACK_MODELS='["openai/hello"]') as s:
                    r = completions(s, stream=stream)
                    t.equal((model, r.status), (model, 200), r.text)
                    text = ("".join(x["delta"].get("content") or "" for c in chunks(r) for x in c["choices"]) if stream else
                            r.json()["choices"][0]["message"]["content"])
                    t.equal(text, "Hello!")


@case("E4: hours in Retry-After are not waited for, and not asked into")
def e4(t):
    with Fake("openai") as f:
        with over("openai", f, "long-wait", PROVIDER_RETRIES="2") as s:
            began = time.monotonic()
            for _ in range(40):
                r = completions(s)
                t.equal(r.status, 429)
                t.inside(int(r.header("Retry-After")), 3000, 14400)
            t.took(began, 0, 5)
            t.equal(calls_of(f, "long-wait"), 1)
        with over("openai", f, "long-wait", FALLBACK_MODELS='["openai/hello"]') as s:
            t.equal(completions(s).json()["choices"][0]["message"]["content"], "Hello!")


@case("F1: a client of a whole answer that leaves ends the call, and nothing is asked afterwards")
def f1(t):
    with Upstream(lambda r: [20] if r["method"] == "POST" else [Upstream.json(200, {"data": [{"id": "m"}]})]) as u, Server(
            MODEL_TYPE="openai", MODEL_NAME="m", OPENAI_BASE_URL=u.url, OPENAI_API_KEY="k") as s:
        for n, (path, body) in enumerate((("/v1/chat/completions", {"model": "m", "messages": HI}),
                                          ("/v1/messages", {"model": "m", "max_tokens": 9, "messages": HI}),
                                          ("/api/v1/chat", {"message": "hi", "session_id": "s"})), 1):
            c = s.connect()
            c.send_request("POST", path, {"Content-Type": "application/json"}, json.dumps(body))
            wait_until(lambda: len([q for q in u.requests if q["method"] == "POST"]) == n, 3, "the call")
            c.reset()
            wait_until(lambda: u.left == n, 1, "the end of the call: " + path)
        time.sleep(1)
        t.equal(len([q for q in u.requests if q["method"] == "POST"]), 3)
        t.equal(s.get("/api/v1/sessions/s").status, 404)


@case("F3: a fallback after text goes on, or the error names the first failure")
def f3(t):
    first = [{"when": "*", "pieces": ["The capital is", {"error": "network"}]}]
    # A script leaves out the first bytes of its text, as many as the prefill has.
    for second, want in ((["The capital is", " Paris."], "The capital is Paris."),
                         (["The capital is", "The capital is Paris."], "The capital is Paris."),
                         ([{"error": "bad_request"}], "The capital is")):
        with tempfile.TemporaryDirectory(prefix="sema-test-") as folder:
            path = os.path.join(folder, "second.jsonl")
            with open(path, "w", encoding="utf-8") as f:
                f.write(json.dumps({"when": "*", "pieces": second}) + "\n")
            with Server(script=first, FALLBACK_MODELS=json.dumps(["scripted/" + path])) as s:
                events = s.sse("q", "s").events()
                said = "".join(e.json()["content"] for e in events if e.type == "chunk")
                kept = s.get("/api/v1/sessions/s").json()["messages"][1]["content"]
                t.equal(kept, said)
                t.equal(said, want)
                if want == "The capital is":
                    t.equal(events[-1].json()["code"], "provider_network")


@case("C2: quotes that a container's runtime keeps are taken off with a warning, and no key is told")
def c2(t):
    with Fake("openai", "--key", "sk-in-quotes") as f, over("openai", f, '"hello"', MODEL_TYPE='"openai"',
                                                            OPENAI_API_KEY='"sk-in-quotes"') as s:
        t.equal(s.chat("q").json()["message"], "Hello!")
        t.has(s.errors() + s.log_text(), "OPENAI_API_KEY")
        t.lacks(s.errors() + s.log_text(), "sk-in-quotes")


main()
