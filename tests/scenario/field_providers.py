"""Cases from the field about providers, by their names (E1 E2 E4 F1 F3 C1 C2), through the whole program."""
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


def marked(t, f, model, most, **more):
    """Forty requests in a row, and how often the fake was asked."""
    with over("openai", f, model, **more) as s:
        began = time.monotonic()
        for _ in range(40):
            r = completions(s)
            t.equal((model, r.status, r.json()["error"]["code"]), (model, 429, "rate_limit_exceeded"))
            if model == "long-wait":
                t.inside(int(r.header("Retry-After")), 3000, 14400)
            else:
                t.true(int(r.header("Retry-After")) >= 1)
        t.took(began, 0, 9)
        t.true(calls_of(f, model) <= most, f"{model}: {calls_of(f, model)} calls")


@case("E4: hours in Retry-After are not waited for; with a time or without, a used-up limit is not asked into for ever")
def e4(t):
    with Fake("openai") as f:
        marked(t, f, "long-wait", 1, PROVIDER_RETRIES="2")
        marked(t, f, "subscription", 5)
    for model in ("long-wait", "subscription"):
        with Fake("openai") as f, over("openai", f, model, PROVIDER_RETRIES="2", FALLBACK_MODELS='["openai/hello"]') as s:
            began = time.monotonic()
            for stream in (False, True) * 20:
                t.has(completions(s, stream=stream).text, "Hel")
            t.took(began, 0, 5)
            t.equal((model, calls_of(f, model) <= 5, calls_of(f, "hello")), (model, True, 40))
            rows = s.get("/api/v1/backends").json()["backends"]
            t.equal([(x["name"], x["role"], x["last_error"], x["breaker"]) for x in rows],
                    [(model, "primary", "rate_limit", "closed"), ("hello", "fallback", None, "closed")])


F1_ROUTES = (("/v1/chat/completions", {"model": "m", "messages": HI}), ("/v1/messages", {"model": "m", "max_tokens": 9, "messages": HI}),
             ("/api/v1/chat", {"message": "hi", "session_id": "s"}))


def asked_of(u):
    return len([q for q in u.requests if q["method"] == "POST"])


def begin(s, path, body, **fields):
    c = s.connect()
    c.send_request("POST", path, {"Content-Type": "application/json", **fields}, json.dumps(body))
    return c


@case("F1: a client of a whole answer that leaves, or half-closes, ends the call; nothing is asked or stored afterwards")
def f1(t):
    with Upstream(lambda r: [20] if r["method"] == "POST" else [Upstream.json(200, {"data": [{"id": "m"}]})]) as u, Server(
            MODEL_TYPE="openai", MODEL_NAME="m", OPENAI_BASE_URL=u.url, OPENAI_API_KEY="k") as s:
        n = 0
        for end in ("reset", "close", "half"):
            for path, body in F1_ROUTES:
                n += 1
                c = begin(s, path, body)
                wait_until(lambda: asked_of(u) == n, 3, "the call")
                time.sleep(0.2)
                c.socket.shutdown(socket.SHUT_WR) if end == "half" else getattr(c, end)()
                wait_until(lambda: u.left == n, 1, f"the end of the call: {path}, {end}")
        time.sleep(1)
        t.equal(asked_of(u), n)
        t.equal(s.get("/api/v1/sessions/s").status, 404)


@case("F1: a client that leaves during the wait before a retry: no further call")
def f1_back_off(t):
    def busy(r):
        if r["method"] == "GET":
            return [Upstream.json(200, {"data": [{"id": "m"}]})]
        return [Upstream.json(503, {"error": {"message": "busy"}}, "retry-after-ms: 1500")]
    with Upstream(busy) as u, Server(MODEL_TYPE="openai", MODEL_NAME="m", OPENAI_BASE_URL=u.url, OPENAI_API_KEY="k") as s:
        for n, (path, body) in enumerate(F1_ROUTES, 1):
            for end in ("reset", "half"):
                before = asked_of(u)
                c = begin(s, path, body)
                wait_until(lambda: asked_of(u) == before + 1, 3, "the first call")
                time.sleep(0.2)
                c.socket.shutdown(socket.SHUT_WR) if end == "half" else c.reset()
                wait_until(lambda: sum(v for k, v in s.metrics().items() if k.startswith("sema_generations_total") and "cancelled" in k)
                           == 2 * n - (end == "reset"), 1, f"the cancel: {path}, {end}")
        before = asked_of(u)
        time.sleep(2)
        t.equal((asked_of(u), before), (6, 6))
        t.equal(s.get("/api/v1/sessions/s").status, 404)


@case("F1: a client that leaves while it waits behind another turn of its session is never asked for, and the next one is")
def f1_queued(t):
    def slow(r):
        if r["method"] == "GET":
            return [Upstream.json(200, {"data": [{"id": "m"}]})]
        said = r["body"]["messages"][-1]["content"]
        return [1.5 if said == "first" else 0, Upstream.json(200, {"choices": [{"message": {"content": said}, "finish_reason": "stop"}]})]
    with Upstream(slow) as u, Server(MODEL_TYPE="openai", MODEL_NAME="m", OPENAI_BASE_URL=u.url, OPENAI_API_KEY="k") as s:
        first = begin(s, "/api/v1/chat", {"message": "first", "session_id": "q"})
        wait_until(lambda: asked_of(u) == 1, 3, "the first call")
        for end in ("reset", "close", "half"):
            c = begin(s, "/api/v1/chat", {"message": "second", "session_id": "q"})
            time.sleep(0.1)
            c.socket.shutdown(socket.SHUT_WR) if end == "half" else getattr(c, end)()
        third = begin(s, "/api/v1/chat", {"message": "third", "session_id": "q"})
        t.equal((first.response().status, third.response().status), (200, 200))
        t.equal([q["body"]["messages"][-1]["content"] for q in u.requests if q["method"] == "POST"], ["first", "third"])
        t.equal([m["content"] for m in s.get("/api/v1/sessions/q").json()["messages"]], ["first", "first", "third", "third"])


@case("F1: a client of the local engine that leaves in the middle of a long prompt, or answer, stops it")
def f1_local(t):
    with Server(MODEL_TYPE="local", MODEL_NAME="sema-guide") as s:
        for n, (path, body) in enumerate((("/v1/chat/completions", {"model": "sema", "messages": [{"role": "user", "content": "Tell me more. " * 40}]}),
                                          ("/api/v1/chat", {"message": "Tell me more. " * 40, "session_id": "s"})), 1):
            c = begin(s, path, body)
            time.sleep(0.03)
            c.reset()
            # The small model may have been faster: over it is, either way.
            wait_until(lambda: sum(v for k, v in s.metrics().items() if k.startswith("sema_generations_total")) == n, 1, path)
        t.equal(s.chat("What can you do?", "other").status, 200)


# ---- F3: the primary breaks off after "The capital is" ----

PARIS = "The capital is Paris."


def shown(events):
    return "".join(e.json()["content"] for e in events if e.type == "chunk")


def goes_on(t, s, want, code=None):
    """On /api/v1, with the session afterwards, and on /v1."""
    events = s.sse("q", "s").events()
    kept = s.get("/api/v1/sessions/s").json()["messages"][1]
    r = completions(s, stream=True)
    said = "".join(x["delta"].get("content") or "" for c in chunks(r) for x in c.get("choices", []))
    t.equal((shown(events), kept["content"], said), (want, want, want), r.text)
    if code:
        t.equal((events[-1].type, events[-1].json()["code"], kept["metadata"]["finish_reason"]), ("error", code, "error"))
        t.equal([c["error"]["code"] for c in chunks(r) if "error" in c], ["upstream_error"])
        t.lacks(r.text, "[DONE]")
    else:
        t.equal((r.text.count("[DONE]"), kept["metadata"]["finish_reason"]), (1, "stop"))
    return kept["metadata"]


def begin_of(body):
    last = body["messages"][-1]
    said = last["content"] if isinstance(last["content"], str) else last["content"][-1]["text"]
    return said if last["role"] == "assistant" else None


@case("F3: Anthropic's models go on from a prefill, swallow what is said again, and are passed over when they refuse it")
def f3_anthropic(t):
    with Fake("openai") as o:
        first = {"MODEL_TYPE": "openai", "MODEL_NAME": "capital-reset", "OPENAI_BASE_URL": o.url + "/v1", "OPENAI_API_KEY": "k",
                 "PROVIDER_RETRIES": "0"}
        for models, want, code in ((["claude-sonnet-4-5+paris"], PARIS, None), (["claude-haiku-4-5+starts-over"], PARIS, None),
                                   (["claude-sonnet-4-5+no-prefill", "claude-sonnet-4-5+paris"], PARIS, None),
                                   (["claude-opus-5-5", "claude-sonnet-4-5+paris"], PARIS, None),
                                   (["claude-sonnet-4-5+no-prefill"], "The capital is", "provider_network"),
                                   (["claude-sonnet-4-5+other-words"], "The capital is", "provider_network"),
                                   (["claude-opus-5-5"], "The capital is", "provider_network")):
            with Fake("anthropic") as a, Server(ANTHROPIC_BASE_URL=a.url, ANTHROPIC_API_KEY="k",
                                                FALLBACK_MODELS=json.dumps(["anthropic/" + m for m in models]), **first) as s:
                meta = goes_on(t, s, want, code)
                t.equal((models, meta.get("rescued_by"), meta.get("rescued_at")), (models, models[-1] if want == PARIS else None,
                                                                                 14 if want == PARIS else None))
                sent = [r["body"] for r in a.requests("/v1/messages")]
                t.true(all(begin_of(q) == "The capital is" for q in sent), str(sent))
                t.true(all(q["model"] != "claude-opus-5-5" for q in sent), "a model that takes no prefill is not asked")
                # A rescue takes what is left: 512 less the tokens of 14 bytes.
                if sent:
                    t.equal(sent[0]["max_tokens"], 512 - 14 // 4)
        with Fake("anthropic") as a, Server(ANTHROPIC_BASE_URL=a.url, ANTHROPIC_API_KEY="k", STREAM_RESCUE="off",
                                            FALLBACK_MODELS='["anthropic/claude-sonnet-4-5+paris"]', **first) as s:
            goes_on(t, s, "The capital is", "provider_network")
            t.equal(a.requests("/v1/messages"), [])


@case("F3: vLLM and llama-server go on, each in its way; a server that nobody knows is not asked to")
def f3_compatible(t):
    for path, model, want in (("/vllm", "paris", PARIS), ("/vllm", "starts-over", PARIS), ("/llamacpp", "paris", PARIS),
                              ("/llama-field", "paris", PARIS), ("/vllm", "other-words", "The capital is"),
                              ("/llamacpp", "no-prefill", "The capital is"), ("", "paris", "The capital is")):
        with Fake("openai") as f, Server(MODEL_TYPE="openai", MODEL_NAME="capital-reset", OPENAI_BASE_URL=f.url + path + "/v1", OPENAI_API_KEY="k",
                                         PROVIDER_RETRIES="0", FALLBACK_MODELS=json.dumps(["openai/" + model])) as s:
            goes_on(t, s, want, None if want == PARIS else "provider_network")
            sent = [r["body"] for r in f.requests() if r["method"] == "POST" and r["body"]["model"] == model]
            t.equal((path, model, bool(sent)), (path, model, path != ""))
            t.true(all(begin_of(q) == "The capital is" and q.get("continue_final_message", False) == (path == "/vllm") for q in sent))


@case("F3: MiniMax goes on at its address of Anthropic's form; text generation from any prompt; Google not")
def f3_others(t):
    with Fake("openai") as o, Fake("huggingface") as h, Fake("google") as g:
        first = {"MODEL_TYPE": "openai", "MODEL_NAME": "capital-reset", "OPENAI_BASE_URL": o.url + "/v1", "OPENAI_API_KEY": "k",
                 "PROVIDER_RETRIES": "0"}
        with Server(HF_INFERENCE_URL=h.url + "/generate", HF_API_TOKEN="k", FALLBACK_MODELS='["hf_api/m"]', **first) as s:
            r = completions(s, stream=True)
            t.has(r.text, "[DONE]")
            t.true(h.requests("/generate_stream")[-1]["body"]["inputs"].endswith("Assistant: The capital is"))
        with Server(GOOGLE_GEMINI_BASE_URL=g.url, GOOGLE_API_KEY="k", FALLBACK_MODELS='["google/gemini-3.5-flash"]', **first) as s:
            goes_on(t, s, "The capital is", "provider_network")
        with Fake("anthropic") as a, Server(MINIMAX_API_URL=a.url + "/anthropic/v1/messages", MINIMAX_API_KEY="k",
                                            FALLBACK_MODELS='["minimax/paris"]', **first) as s:
            goes_on(t, s, PARIS)


@case("F3: the local engine goes on from the exact tokens of what was shown")
def f3_local(t):
    with Fake("openai") as o, Server(MODEL_TYPE="openai", MODEL_NAME="capital-reset", OPENAI_BASE_URL=o.url + "/v1", OPENAI_API_KEY="k",
                                     PROVIDER_RETRIES="0", FALLBACK_MODELS='["local/sema-guide"]', MAX_NEW_TOKENS="24") as s:
        wait_until(lambda: all(x["state"] == "ready" for x in s.get("/api/v1/backends").json()["backends"]), 10, "both models")
        events = s.sse("What is the capital of France?", "s").events()
        t.true(not any(e.type == "error" for e in events), events)
        said = shown(events)
        t.true(said.startswith("The capital is") and len(said) > 16, said)
        kept = s.get("/api/v1/sessions/s").json()["messages"][1]
        t.equal((kept["content"], kept["metadata"]["rescued_by"], kept["metadata"]["rescued_at"]), (said.strip(), "sema-guide", 14))


@case("F3: after white space it is not said twice; after reasoning alone any model answers; a tool call that began is nobody's")
def f3_rest(t):
    with Fake("openai") as o, Fake("anthropic") as a:
        first = {"MODEL_TYPE": "openai", "OPENAI_BASE_URL": o.url + "/v1", "OPENAI_API_KEY": "k", "PROVIDER_RETRIES": "0",
                 "ANTHROPIC_BASE_URL": a.url, "ANTHROPIC_API_KEY": "k", "FALLBACK_MODELS": '["anthropic/claude-sonnet-4-5+paris"]'}
        with Server(MODEL_NAME="blank-reset", **first) as s:  # the prefill has no white space at its end, the answer one
            text = shown(s.sse("q", "s").events())
            t.equal((text, s.get("/api/v1/sessions/s").json()["messages"][1]["content"]), ("The capital is \nParis.",) * 2)
            t.equal(begin_of(a.requests("/v1/messages")[-1]["body"]), "The capital is")
        with Server(MODEL_NAME="thought-reset", **{**first, "FALLBACK_MODELS": '["anthropic/claude-opus-5-5"]'}) as s:
            t.equal(shown(s.sse("Paris?", "s").events()), "[Reasoning: Hm, France.]\n\nParis?")
            kept = s.get("/api/v1/sessions/s").json()["messages"][1]
            t.equal((kept["metadata"]["reasoning"], kept["metadata"]["rescued_at"]), ("Hm, France.", 0))
            r = completions(s, stream=True)
            t.equal("".join(x["delta"].get("content") or "" for c in chunks(r) for x in c["choices"]), "hi")
        tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
        with Server(MODEL_NAME="tool-cut", **first) as s:
            before = len(a.requests("/v1/messages"))  # the start's free check of the fallback comes when it comes
            r = completions(s, stream=True, tools=tools)
            t.true(any("error" in c for c in chunks(r)) and "[DONE]" not in r.text, r.text)
            t.equal(len(a.requests("/v1/messages")), before)


@case("C1: one right path for each form of a base address; OpenAI's is taken as written, and a 404 logs it")
def c1(t):
    forms = [("anthropic", "ANTHROPIC_BASE_URL", end, path) for end, path in (
        ("", "/v1/messages"), ("/v1", "/v1/messages"), ("/anthropic", "/anthropic/v1/messages"), ("/anthropic/v1/", "/anthropic/v1/messages"),
        ("/v1/messages", "/v1/messages"))]
    forms += [("openai", "OPENAI_BASE_URL", end, path) for end, path in (
        ("", "/chat/completions"), ("/v1/", "/v1/chat/completions"), ("/v1/chat/completions", "/v1/chat/completions"))]
    forms += [("google", "GOOGLE_GEMINI_BASE_URL", end, "/v1beta/models/m:streamGenerateContent?alt=sse") for end in ("", "/v1beta", "/v1", "/v1beta/")]
    keys = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY", "google": "GOOGLE_API_KEY"}
    for dialect, setting, end, path in forms:
        with Upstream(lambda r: [Upstream.json(404, {"error": {"message": "no such page"}})]) as u, Server(
                MODEL_TYPE=dialect, MODEL_NAME="m", PROVIDER_RETRIES="0", **{setting: u.url[:-3] + end, keys[dialect]: "k"}) as s:
            for _ in range(6):
                r = s.chat("q")
                t.equal((dialect, end, r.status, r.code), (dialect, end, 502, "provider_model_not_found"))
            t.equal((dialect, end, {q["path"] for q in u.requests if q["method"] == "POST"}), (dialect, end, {path}))
            logged = s.events("address_not_found")
            t.true(logged and u.url[7:-3] in logged[0]["address"], "the address is logged")
            t.equal(s.get("/api/v1/backends").json()["backends"][0]["breaker"], "closed")


@case("C2: quotes that a container's runtime keeps are taken off with a warning, and no key is told")
def c2(t):
    with Fake("openai", "--key", "sk-in-quotes") as f, over("openai", f, '"hello"', MODEL_TYPE='"openai"',
                                                            OPENAI_API_KEY='"sk-in-quotes"',
                                                            PORT='"0"') as s:
        t.equal(s.chat("q").json()["message"], "Hello!")
        for name in ("OPENAI_API_KEY", "MODEL_TYPE", "MODEL_NAME", "PORT"):
            t.has(s.errors() + s.log_text(), name)
        t.lacks(s.errors() + s.log_text(), "sk-in-quotes")


@case("C2: a .env with CRLF line ends is read as it is meant")
def c2_crlf(t):
    with Fake("openai", "--key", "sk-of-a-file") as f, tempfile.TemporaryDirectory(prefix="sema-test-") as folder:
        with open(os.path.join(folder, ".env"), "wb") as env:
            env.write(f"MODEL_TYPE=openai\r\nMODEL_NAME=hello\r\nOPENAI_API_KEY=sk-of-a-file\r\nOPENAI_BASE_URL={f.url}/v1\r\n".encode())
        with Server(folder=folder, unset=("MODEL_TYPE", "MODEL_NAME")) as s:
            t.equal(s.chat("q").json()["message"], "Hello!")
            t.lacks(s.errors() + s.log_text(), "sk-of-a-file")


main()
