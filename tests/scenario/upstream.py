"""From a client to a provider and back: what goes up, what comes down, and what never does."""
from harness import *

MODELS = {"object": "list", "data": [{"id": "test-model", "object": "model"}]}


def provider(chat):
    """`chat(request)`: the pieces of an answer to a chat call; anything else finds the model there."""
    def answer(request):
        if request["path"].endswith("/chat/completions"):
            yield from chat(request)
        else:
            yield Upstream.json(200, MODELS)
    return Upstream(answer)


def delta(content, finish="null"):
    return Upstream.event('{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":%s},"finish_reason":%s}]}'
                          % (content, finish))


def whole(text):
    return Upstream.json(200, {"id": "c", "object": "chat.completion", "model": "test-model", "usage": {
        "prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]})


def either(text):
    """A whole answer or a stream, as asked for."""
    def chat(request):
        if request["body"].get("stream"):
            yield Upstream.STREAM + delta(json.dumps(text)) + delta('""', '"stop"') + Upstream.event(
                '{"id":"c","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}'
            ) + Upstream.event("[DONE]")
        else:
            yield whole(text)
    return chat


@case("what goes up: the server's key and the conversation, nothing else of the client's")
def up(t):
    with provider(either("fine")) as u, Server(API_KEY="key-of-the-client", **u.env()) as s:
        r = s.chat("hello", "s", {"Authorization": "Bearer key-of-the-client", "Cookie": "a=secret-cookie",
                                  "X-Forwarded-For": "198.51.100.9", "X-Api-Key": "key-of-the-client"})
        t.equal((r.status, r.json()["message"], r.json()["model_name"]), (200, "fine", "test-model"))
        t.equal((r.json()["token_count"], r.json()["finish_reason"]), (2, "stop"))
        up = [q for q in u.requests if q["path"].endswith("/chat/completions")]
        t.equal(len(up), 1)
        t.equal(up[0]["headers"]["authorization"], "Bearer sk-of-the-server")
        text = json.dumps([{k: q[k] for k in ("method", "path", "headers", "body")} for q in up])
        for word in ("key-of-the-client", "secret-cookie", "198.51.100.9"):
            t.lacks(text, word)
        t.equal([(m["role"], m["content"]) for m in up[0]["body"]["messages"]][-1], ("user", "hello"))
        s.chat("again", "s", {"X-Api-Key": "key-of-the-client"})
        up = [q for q in u.requests if q["path"].endswith("/chat/completions")]
        t.equal([m["role"] for m in up[1]["body"]["messages"]], ["system", "user", "assistant", "user"])
        t.lacks(s.log_text() + s.errors(), "sk-of-the-server")


@case("a provider's words and addresses reach no client, on any route")
def words(t):
    secret = "quota of org-SECRET at https://internal.example exceeded for sk-of-the-server"

    def chat(request):
        if "inside" in json.dumps(request["body"]["messages"][-1]):
            error = json.dumps({"error": {"message": secret, "type": "invalid_request_error", "code": None}})
            yield Upstream.STREAM + (delta('"some"') if "late" in json.dumps(request["body"]) else b"") + Upstream.event(error)
        else:
            status = int(re.search(r"status (\d+)", request["body"]["messages"][-1]["content"])[1])
            yield Upstream.json(status, {"error": {"message": secret, "type": "x", "code": "y"}})
    with provider(chat) as u, Server(**u.env()) as s:
        for status in (400, 401, 403, 404, 422, 429, 500, 503):
            r = s.chat(f"status {status}", f"p{status}")
            t.true(r.status in (422, 502, 503), f"{status} gives {r.status}")
            t.lacks(r.text + str(r.headers), "SECRET")
            e = s.sse(f"status {status}", f"s{status}").events()
            t.lacks(str(e), "SECRET")
        for text in ("inside", "inside, late"):
            t.lacks(str(s.sse(text, "i").events()), "SECRET")
            r = s.chat(text, "j")
            t.true(r.status >= 400, r)
            t.lacks(r.text, "SECRET")
            with s.websocket() as w:
                w.ask(text, "k")
                t.lacks(str(w.answer_frames()), "SECRET")
        t.equal(s.get("/api/v1/model/info").status, 200)


@case("halves of a character in two pieces are one character, a lone one is U+FFFD")
def halves(t):
    def chat(request):
        if "alone" in json.dumps(request["body"]["messages"][-1]):
            yield Upstream.STREAM + delta('"end \\ud83d"') + delta('""', '"stop"') + Upstream.event("[DONE]")
        else:
            yield Upstream.STREAM + delta('"ok \\ud83d"') + delta('"\\ude00!"') + delta('""', '"stop"') + Upstream.event("[DONE]")
    with provider(chat) as u, Server(**u.env()) as s:
        t.equal(s.sse("both", "s").content(), "ok \U0001F600!")
        t.equal(s.get("/api/v1/sessions/s").json()["messages"][1]["content"], "ok \U0001F600!")
        t.equal(s.sse("alone", "a").content(), "end \ufffd")
        t.equal(s.get("/api/v1/sessions/a").json()["messages"][1]["content"], "end \ufffd")


@case("a client that leaves ends the provider's call within a second")
def leaves(t):
    def chat(request):
        if "text" in json.dumps(request["body"]["messages"][-1]):
            yield Upstream.STREAM + delta('"a"')
        yield 20
    with provider(chat) as u, Server(**u.env()) as s:
        for n, (how, message) in enumerate([(h, m) for h in ("post", "sse", "websocket") for m in ("silent", "text")], 1):
            body = json.dumps({"message": message, "session_id": f"{how}{message}"})
            if how == "post":
                c = s.connect()
                c.send_request("POST", "/api/v1/chat", {"Content-Type": "application/json"}, body)
            elif how == "sse":
                c = s.sse(message, f"{how}{message}")
            else:
                c = s.websocket()
                c.say(body)
            wait_until(lambda: len([q for q in u.requests if "chat" in q["path"]]) == n, 2, "the call")
            time.sleep(0.1)
            c.reset()
            wait_until(lambda: u.left == n, 1, f"the end of the call: {how}, {message}")


@case("a provider that dies in the middle is an error, never a silent end")
def dies(t):
    def chat(request):
        yield Upstream.STREAM + delta('"some "') + delta('"text"')
    with provider(chat) as u, Server(**u.env()) as s:
        events = s.sse("x", "s").events()
        t.equal([x.type for x in events], ["chunk", "chunk", "error"])
        t.equal(events[-1].json()["error"], "Failed to generate response")
        r = s.chat("x", "p")
        t.equal((r.status, r.detail), (502, "Failed to generate response"))


@case("a whole answer whose provider dies in the middle is asked for anew; a stream that was seen is not")
def again(t):
    def chat(request):
        first = len([q for q in u.requests if "chat" in q["path"]]) % 2
        yield Upstream.STREAM + delta('"some "') + delta('"text"')
        if not first:
            yield delta('""', '"stop"') + Upstream.event("[DONE]")
    with provider(chat) as u, Server(**u.env(PROVIDER_RETRIES="2")) as s:
        calls = lambda: len([q for q in u.requests if "chat" in q["path"]])
        r = s.chat("x", "p")
        t.equal((r.status, r.json()["message"], calls()), (200, "some text", 2))
        body = {"model": "sema", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
        r = s.post("/v1/chat/completions", body)
        t.equal((r.status, r.json()["choices"][0]["message"]["content"], calls()), (200, "some text", 4))
        r = s.post("/v1/messages", body)
        t.equal((r.status, [b["text"] for b in r.json()["content"]], calls()), (200, ["some text"], 6))
        events = s.sse("x", "s").events()
        t.equal(([x.type for x in events], calls()), (["chunk", "chunk", "error"], 7))


@case("a request that is too large for the provider is a 413 for who speaks a provider's language")
def too_large(t):
    def chat(request):
        yield Upstream.json(413, {"error": {"message": "too large", "type": "invalid_request_error", "param": None, "code": None}})
    with provider(chat) as u, Server(**u.env()) as s:
        body = {"model": "sema", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}], "input": "x"}
        for stream in (False, True):
            for path in ("/v1/chat/completions", "/v1/responses"):
                r = s.post(path, {**body, "stream": stream})
                t.equal((path, r.status, r.json()["error"]["type"]), (path, 413, "invalid_request_error"))
            r = s.post("/v1/messages", {**body, "stream": stream})
            t.equal((r.status, r.json()["error"]["type"]), (413, "request_too_large"))
        r = s.chat("x", "p")
        t.equal((r.status, r.code), (422, "provider_bad_request"))


@case("MiniMax's form takes a schema of one model only; any other format is asked for in words")
def minimax_format(t):
    formats = ({"type": "json_object"}, {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}})
    with Upstream(lambda r: [whole("{}")]) as u, \
         Server(MODEL_TYPE="minimax", MODEL_NAME="MiniMax-Text-01", MINIMAX_API_KEY="k", MINIMAX_API_URL=u.url + "/text/chatcompletion_v2") as s:
        for wanted, sent in zip(formats, (None, "json_schema")):
            r = s.post("/v1/chat/completions", {"model": "sema", "messages": [{"role": "user", "content": "x"}], "response_format": wanted})
            up = u.requests[-1]["body"]
            t.equal((r.status, up.get("response_format", {}).get("type")), (200, sent))
            t.equal("JSON" in json.dumps(up["messages"]), sent is None)


@case("an answer's tokens that the provider counted are told, also where it did not count the question's")
def answer_counted(t):
    token = lambda i, text, more: b"data:" + json.dumps({"index": i, "token": {"id": i, "text": text, "special": False}, **more}).encode() + b"\n\n"
    def generate(request):
        yield Upstream.STREAM + token(1, "Hel", {}) + token(2, "lo", {
            "generated_text": "Hello", "details": {"finish_reason": "eos_token", "generated_tokens": 7}})
    with Upstream(generate) as u, Server(MODEL_TYPE="hf_api", MODEL_NAME="o/m", HF_API_TOKEN="k", HF_INFERENCE_URL=u.url + "/generate") as s:
        r = s.chat("x", "p")
        t.equal((r.status, r.json()["message"], r.json()["token_count"]), (200, "Hello", 7))


@case("probe=true asks the provider once, by a call that is free")
def probe(t):
    with provider(either("x")) as u, Server(**u.env()) as s:
        before = len(u.requests)
        for _ in range(5):
            t.equal(s.get("/api/v1/health").json()["status"], "healthy")
        t.equal(len(u.requests), before)
        for _ in range(3):
            t.equal(s.get("/api/v1/health?probe=true").json()["status"], "healthy")
        t.equal([q["method"] for q in u.requests[before:]], ["GET"])


main()
