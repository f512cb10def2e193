"""POST /v1/completions over a provider that has it: the text goes up as it is, and comes back as it came; who has it not is asked
in chat completions (openai-compat.md sections 6 and 8, providers.md 8.2 and 9)."""
from harness import *

PATH, UP, CHAT = "/v1/completions", "/v1/completions", "/v1/chat/completions"
FIM = "Write only what belongs between these two parts of a text.\n\nBefore:\n{}\n\nAfter:\n{}"


def over(f, model="some-model", **env):
    """A server whose model is asked at the fake."""
    return Server(MODEL_TYPE="openai", MODEL_NAME=model, OPENAI_BASE_URL=f.url + "/v1", OPENAI_API_KEY="sk-x", PROVIDER_RETRIES="0",
                  PROVIDER_BREAKER_FAILURES="0", **env)


def asked(f):
    """What the fake was asked: where, and with what."""
    return [(r["path"], r["body"]) for r in f.requests() if r["method"] == "POST"]


def chunks(t, r):
    t.equal((r.status, r.header("Content-Type")), (200, "text/event-stream; charset=utf-8"), repr(r))
    data = [block[6:] for block in r.text.split("\n\n")[:-1] if block != ": ping"]
    t.equal(data.pop(), "[DONE]")
    return [json.loads(d) for d in data]


def text_of(out):
    return "".join(c["choices"][0]["text"] for c in out if c["choices"])


def says(request, text, finish="stop"):
    """Whole or streamed, as asked; of both calls."""
    if request["method"] == "GET":
        return [Upstream.json(200, {"object": "list", "data": []})]
    raw = request["path"].endswith("/completions") and "/chat/" not in request["path"]
    key, value = ("text", text) if raw else ("message", {"role": "assistant", "content": text})
    if not request["body"].get("stream"):
        return [Upstream.json(200, {"choices": [{"index": 0, key: value, "finish_reason": finish}], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})]
    frames = [{"choices": [{"index": 0, "text": text[i:i + 2], "finish_reason": None}]} for i in range(0, len(text), 2)]
    frames += [{"choices": [{"index": 0, "text": "", "finish_reason": finish}]}, {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}]
    return [Upstream.STREAM, *(Upstream.event(json.dumps(x)) for x in frames), Upstream.event("[DONE]")]


@case("the text, what comes after it and all fields go to /completions; text, finish and usage come back")
def native(t):
    fields = {"prompt": "def add(a, b):\n    ", "suffix": "\n\nprint(add(1, 2))", "max_tokens": 40, "temperature": 0.01, "top_p": 0.5, "top_k": 4,
              "stop": ["a", "b", "c", "d", "e", "f"], "seed": 7, "presence_penalty": 0.5, "user": "u", "x_own": {"k": 1.50}}
    with Fake("openai") as f, over(f) as s:
        r = s.post(PATH, {"model": "sema", "stop": "x", **fields})
        a = r.json()
        t.equal(a["choices"], [{"text": fields["prompt"], "index": 0, "logprobs": None, "finish_reason": "stop"}])
        t.equal((a["usage"]["prompt_tokens"], a["usage"]["completion_tokens"], a["model"]), (9, 2, "some-model"))
        t.equal(asked(f)[-1], (UP, {"model": "some-model", **fields}))
        out = chunks(t, s.post(PATH, {"model": "sema", **fields, "stream": True, "stream_options": {"include_usage": True}}))
        t.equal((text_of(out), out[-2]["choices"][0]["finish_reason"], out[-1]["usage"]["total_tokens"]), (fields["prompt"], "stop", 11))
        t.equal(asked(f)[-1], (UP, {"model": "some-model", **fields, "stream": True, "stream_options": {"include_usage": True}}))
        out = chunks(t, s.post(PATH, {"model": "openai/length", "prompt": "", "stream": True}))
        t.equal((text_of(out), out[-1]["choices"][0]["finish_reason"]), ("a", "length"))
        t.equal(asked(f)[-1][1], {"model": "length", "prompt": "", "stream": True, "stream_options": {"include_usage": True}})
        t.equal({path for path, _ in asked(f)}, {UP})


@case("the client's bytes go up: order, white space, numbers; what the answer has no place for does not")
def bytes_kept(t):
    body = ('{ "prompt" : "a\\u0062c", "model":"sema","temperature":0.70 ,"logprobs":3,"best_of":1,"x_own":[ 1.0,2],"max_tokens":5.0,\n'
            '"suffix":null}')
    with Upstream(lambda r: says(r, "ok")) as up, Server(**up.env()) as s:
        t.equal(s.post(PATH, body.encode(), {"Content-Type": "application/json"}).json()["choices"][0]["text"], "ok")
        t.equal(up.requests[-1]["raw"], '{"prompt":"a\\u0062c","model":"test-model","temperature":0.70,"best_of":1,"x_own":[ 1.0,2],"max_tokens":5.0}')
        t.equal((up.requests[-1]["path"], up.requests[-1]["headers"]["accept"]), (UP, "application/json"))


@case("text is text: white space in front, a tag at its start, nothing at all")
def text_as_it_is(t):
    for text in ("\n    return a", "<think>x</think>y", "  ", "", "}\u2028\U0001f600"):
        with Upstream(lambda r, text=text: says(r, text)) as up, Server(**up.env(MODEL_NAME="deepseek-r1")) as s:
            a = s.post(PATH, {"model": "sema", "prompt": "x"}).json()
            t.equal((a["choices"][0]["text"], a["choices"][0]["finish_reason"]), (text, "stop"))
            t.equal(text_of(chunks(t, s.post(PATH, {"model": "sema", "prompt": "x", "stream": True}))), text)


@case("several prompts are asked one by one")
def several(t):
    with Fake("openai") as f, over(f) as s:
        a = s.post(PATH, {"model": "sema", "prompt": ["one", "two", "one"], "max_tokens": 3}).json()
        t.equal([(c["index"], c["text"]) for c in a["choices"]], [(0, "one"), (1, "two"), (2, "one")])
        t.equal(asked(f), [(UP, {"model": "some-model", "prompt": p, "max_tokens": 3}) for p in ("one", "two", "one")])
        t.equal(a["usage"]["total_tokens"], 33)


@case("a model or a server without it is asked in chat completions, and that is kept")
def without(t):
    cases = [(m, ()) for m in ("chat-only", "chat-only-400", "chat-only-405", "chat-only-501")] + [("some-model", ("--no-completions",))]
    for model, args in cases:
        with Fake("openai", *args) as f, over(f, model) as s:
            for stream in (False, True):
                r = s.post(PATH, {"model": "sema", "prompt": "hello", "suffix": "x", "stream": stream, "max_tokens": 9})
                t.equal(r.status, 200, (model, repr(r)))
                t.equal(text_of(chunks(t, r)) if stream else r.json()["choices"][0]["text"], FIM.format("hello", "x"))
            t.equal((model, [path for path, _ in asked(f)]), (model, [UP, CHAT, CHAT]))
            t.equal(s.events("address_not_found"), [])
            t.equal(asked(f)[1][1]["messages"], [{"role": "user", "content": FIM.format("hello", "x")}])
            t.equal(asked(f)[1][1]["max_tokens"], 9)


@case("a server that answers in the form of chat, or asks for messages, is understood")
def of_chat(t):
    def careless(request):
        if request["method"] == "GET":
            return says(request, "")
        if not request["body"].get("stream"):
            return [Upstream.json(200, {"choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}]})]
        return [Upstream.STREAM, *(Upstream.event(json.dumps({"choices": [{"index": 0, "delta": d, "finish_reason": e}]}))
                                   for d, e in (({"content": "o"}, None), ({"content": "k"}, None), ({}, "stop"))), Upstream.event("[DONE]")]

    def strict(status, error):
        return lambda r: careless(r) if r["method"] == "GET" or "messages" in r["body"] else [Upstream.json(status, error)]

    for answer in (careless, strict(400, {"error": {"message": "'messages' is a required property"}}),
                   strict(422, {"detail": [{"loc": ["body", "messages"], "msg": "Field required", "type": "missing"}]}),
                   strict(404, {"detail": "Not Found"}), strict(404, {"error": {"message": "Unknown request URL: POST /v1/completions", "code": "unknown_url"}})):
        with Upstream(answer) as up, Server(**up.env()) as s:
            for stream in (True, False):
                r = s.post(PATH, {"model": "sema", "prompt": "x", "stream": stream})
                t.equal(text_of(chunks(t, r)) if stream else r.json()["choices"][0]["text"], "ok")


@case("a suffix that is refused goes by chat; texts without one still go as they are")
def no_suffix(t):
    with Fake("openai") as f, over(f, "no-suffix") as s:
        for suffix in ("b", "b", None):
            t.equal(s.post(PATH, {"model": "sema", "prompt": "a", "suffix": suffix}).status, 200)
        t.equal([path for path, _ in asked(f)], [UP, CHAT, CHAT, UP])


@case("a field that is refused is left out on the repeat")
def refused_field(t):
    with Fake("openai") as f, over(f, "no-temperature") as s:
        for _ in range(2):
            t.equal(s.post(PATH, {"model": "sema", "prompt": "a", "temperature": 0.5, "stream": True}).status, 200)
        t.equal([(path, "temperature" in q) for path, q in asked(f)], [(UP, True), (UP, False), (UP, False)])
        t.equal(s.post(PATH, {"model": "sema", "prompt": "a", "x_strange": 1}).status, 200)
        t.equal([(path, "x_strange" in q) for path, q in asked(f)[-2:]], [(UP, True), (UP, False)])


@case("OpenAI's own ids go by chat, but for those that only complete")
def own_ids(t):
    with Fake("openai", "--no-responses") as f, over(f) as s:
        for model, path in (("gpt-4o", CHAT), ("gpt-5.4", CHAT), ("ft:gpt-4o:x", CHAT), ("gpt-3.5-turbo-instruct", UP), ("davinci-002", UP),
                            ("babbage-002", UP), ("ft:davinci-002:x", UP), ("qwen2.5-coder:7b", UP)):
            t.equal(s.post(PATH, {"model": "openai/" + model, "prompt": "a"}).status, 200)
            t.equal((model, asked(f)[-1][0]), (model, path))
        stops = [f"end{n}" for n in range(6)]
        t.equal(s.post(PATH, {"model": "openai/davinci-002", "prompt": "so end5 not", "stop": stops}).json()["choices"][0]["text"], "so ")
        t.equal(asked(f)[-1][1]["stop"], stops[:4])


@case("errors are those of the provider, in OpenAI's form, at every moment")
def errors(t):
    for model, status in (("not-there", 502), ("status-400", 400), ("status-401", 502), ("status-429", 429), ("status-503", 503), ("text-500", 502)):
        with Fake("openai") as f, over(f, model) as s:
            for stream in (False, True):
                r = s.post(PATH, {"model": "sema", "prompt": "a", "stream": stream})
                t.equal((model, r.status), (model, status), repr(r))
                t.true(isinstance(r.json()["error"]["message"], str))
            t.equal({path for path, _ in asked(f)}, {UP})
    with Fake("openai") as f, over(f, STREAM_RESCUE="off") as s:
        for model in ("eof", "error-mid-stream", "reset-between", "silence-after-finish"):
            r = s.post(PATH, {"model": "openai/" + model, "prompt": "a", "stream": True})
            last = r.text.split("\n\n")[-2][6:]
            t.equal((model, last == "[DONE]"), (model, model == "silence-after-finish"))
            t.true(last == "[DONE]" or "error" in json.loads(last), last)


@case("a client that leaves ends the call, after milliseconds as well")
def gone(t):
    with Fake("openai") as f, over(f) as s:
        for model, wait in (("silence", 0.3), ("never", 0.3), ("never", 0.02), ("slow", 0.3)):
            calls, before = len(asked(f)), f.gone()
            with s.connect() as c:
                c.send_request("POST", PATH, {"Content-Type": "application/json"},
                               json.dumps({"model": "openai/" + model, "prompt": "a", "suffix": "b", "stream": model != "never"}))
                time.sleep(wait)
                c.reset()
            time.sleep(0.1)
            if len(asked(f)) > calls:  # else it left before anybody was asked
                wait_until(lambda: f.gone() > before, 3, f"the call for {model} to end")
        t.equal(s.post(PATH, {"model": "sema", "prompt": "still here"}).json()["choices"][0]["text"], "still here")


@case("another model of the chain: by its own call, or as a message where it has none")
def chain(t):
    def broken(request):
        return [Upstream.json(503, {"error": {"message": "down"}})] if request["method"] == "POST" else says(request, "")

    with Upstream(broken) as up, Fake("anthropic") as f, Server(
            **up.env(FALLBACK_MODELS='["anthropic/claude-x"]', ANTHROPIC_BASE_URL=f.url, ANTHROPIC_API_KEY="k")) as s:
        r = s.post(PATH, {"model": "sema", "prompt": "hello there"})
        t.equal((r.status, r.json()["choices"][0]["text"]), (200, "hello there"))
        t.equal([m["role"] for m in f.requests("/v1/messages")[-1]["body"]["messages"]], ["user"])


@case("a stream that broke off goes on from prompt and text, at a server that is known to go on")
def rescue(t):
    with Fake("openai") as f, Server(MODEL_TYPE="openai", MODEL_NAME="capital-reset", OPENAI_BASE_URL=f.url + "/vllm/v1", OPENAI_API_KEY="k",
                                     PROVIDER_RETRIES="0", FALLBACK_MODELS='["openai/paris"]') as s:
        out = chunks(t, s.post(PATH, {"model": "sema", "prompt": "Where? ", "stream": True}))
        t.equal((text_of(out), out[-1]["choices"][0]["finish_reason"]), ("The capital is Paris.", "stop"))
        t.equal(asked(f)[-1][0], "/vllm/v1/completions")
        t.equal(asked(f)[-1][1]["prompt"], "Where? The capital is")


@case("Ollama's raw prompts and suffixes go the same way; a template's prompt, a system text and a form do not")
def ollama(t):
    with Fake("openai") as f, over(f) as s:
        for fields, path in (({"raw": True}, UP), ({"suffix": "b"}, UP), ({"raw": True, "system": "s", "suffix": "b"}, UP), ({}, CHAT),
                             ({"suffix": "b", "system": "s"}, CHAT), ({"raw": True, "format": "json"}, CHAT)):
            for stream in (False, True):
                r = s.post("/api/generate", {"model": "sema", "prompt": " say json", "stream": stream, **fields})
                lines = [json.loads(line) for line in r.text.splitlines()]
                t.equal((fields, asked(f)[-1][0], lines[-1]["done_reason"]), (fields, path, "stop"))
                if path == UP:
                    t.equal("".join(x["response"] for x in lines), " say json")
                    t.equal((asked(f)[-1][1]["prompt"], asked(f)[-1][1].get("suffix", "")), (" say json", fields.get("suffix", "")))


main()
