"""Google's API, served: generateContent whole, as events and as an array in pieces (openai-compat.md 11)."""
import base64
import urllib.request

from harness import *

SCRIPT = [
    {"when": "hello", "pieces": ["Hel", "lo ", "you"], "usage": {"prompt": 9, "completion": 3}},
    {"when": "think", "pieces": [{"reasoning": "Let me "}, {"reasoning": "see."}, "42"],
     "usage": {"prompt": 9, "completion": 7, "reasoning": 5}},
    {"when": "two tools", "finish": "tool_calls", "pieces": [
        {"tool": {"id": "call_a", "name": "f", "args": ["{\"a\":", "1}"]}}, {"tool": {"id": "call_b", "name": "g", "args": []}}]},
    {"when": "cut", "pieces": ["word", {"error": "server", "status": 500}]},
    {"when": "busy", "pieces": [{"error": "rate_limit", "retry_after_ms": 2000, "status": 429}]},
    {"when": "long", "finish": "length", "pieces": ["half"]},
    {"when": "filtered", "finish": "content_filter", "pieces": ["no"]},
    {"when": "lines", "pieces": ["a\u2028b\u0085c"]},
    {"when": "silent", "pieces": [{"hang": True}]},
    {"when": "nothing", "pieces": []},
    {"when": "forever", "pieces": [{"text": "on ", "repeat": 100000, "every_ms": 2}]},
    {"when": "flood", "pieces": [{"text": "x" * 4096, "repeat": 4096}]},
    {"when": "number", "pieces": [{"echo": "last"}, {"text": ".", "repeat": 10, "every_ms": 5}]},
]
KEY = "key-of-google-clients"
PATH = "/v1beta/models/sema:generateContent"
STREAM = "/v1beta/models/sema:streamGenerateContent"
TOOLS = [{"functionDeclarations": [{"name": "f", "description": "d"}, {"name": "g"}]}, {"googleSearch": {}}]


def google(f, model="hello", **more):
    return {"MODEL_TYPE": "google", "MODEL_NAME": model, "GOOGLE_GEMINI_BASE_URL": f.url, "GOOGLE_API_KEY": "k", "PROVIDER_RETRIES": "0", **more}


def ask(text, **fields):
    return {"contents": [{"role": "user", "parts": [{"text": text}]}], **fields}


def answer(t, r, status=200):
    t.equal((r.status, r.header("Content-Type")), (status, "application/json"), repr(r))
    return r.json()


def parts(value):
    return value["candidates"][0]["content"]["parts"]


def text_of(*values):
    return "".join(p.get("text", "") for v in values for p in parts(v) if not p.get("thought"))


def error(t, r, status, word):
    e = answer(t, r, status)
    t.keys(e, "error")
    t.equal((e["error"]["code"], e["error"]["status"]), (status, word), repr(r))
    t.true(isinstance(e["error"]["message"], str) and e["error"]["message"])
    return e["error"]


def events(t, r):
    t.equal((r.status, r.header("Content-Type")), (200, "text/event-stream; charset=utf-8"), repr(r))
    out = []
    for block in r.text.split("\n\n")[:-1]:
        t.true(block.startswith("data: ") and "\n" not in block, block)
        out.append(json.loads(block[6:]))
    return out


def array(t, r):
    t.equal((r.status, r.header("Content-Type")), (200, "application/json"), repr(r))
    return r.json()


def both(t, s, body):
    """The two forms of a stream, which hold the same."""
    one, two = events(t, s.post(STREAM + "?alt=sse", body)), array(t, s.post(STREAM, body))
    for o in one + two:
        o.pop("responseId", None)
        for p in parts(o) if "candidates" in o else []:
            p.pop("thoughtSignature", None)
    t.equal(one, two)
    return one


@case("whole: parts, finish, disjoint usage, nothing else")
def whole(t):
    with Server(SCRIPT) as s:
        a = answer(t, s.post(PATH, ask("hello")))
        t.keys(a, "candidates", "usageMetadata", "modelVersion", "responseId")
        t.equal(a["candidates"], [{"content": {"parts": [{"text": "Hello you"}], "role": "model"}, "finishReason": "STOP", "index": 0}])
        t.equal(a["usageMetadata"], {"promptTokenCount": 9, "candidatesTokenCount": 3, "totalTokenCount": 12})
        t.equal(answer(t, s.post(PATH, ask("long")))["candidates"][0]["finishReason"], "MAX_TOKENS")
        t.equal(answer(t, s.post(PATH, ask("filtered")))["candidates"][0]["finishReason"], "SAFETY")
        t.equal(parts(answer(t, s.post(PATH, ask("nothing")))), [{"text": ""}])


@case("both forms of a stream: the same objects, one finish, usage with it")
def streams(t):
    with Server(SCRIPT) as s:
        out = both(t, s, ask("hello"))
        t.equal(text_of(*out), "Hello you")
        t.equal([o["candidates"][0].get("finishReason") for o in out], [None, None, None, "STOP"])
        t.equal([("usageMetadata" in o) for o in out], [False, False, False, True])
        t.equal(text_of(*both(t, s, ask("lines"))), "a\u2028b\u0085c")
        t.true("\u2028" not in s.post(STREAM, ask("lines")).text)
        t.equal(parts(both(t, s, ask("nothing"))[-1]), [{"text": ""}])
        raw = events(t, s.post(STREAM + "?alt=sse&key=x", ask("hello")))
        t.equal(len({o["responseId"] for o in raw}), 1)


@case("thoughts: only when they are asked for, apart from the text, counted apart")
def thoughts(t):
    with Server(SCRIPT) as s:
        want = {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}
        a = answer(t, s.post(PATH, ask("think", **want)))
        t.equal(parts(a), [{"text": "Let me see.", "thought": True}, {"text": "42"}])
        t.equal(a["usageMetadata"], {"promptTokenCount": 9, "candidatesTokenCount": 2, "totalTokenCount": 16, "thoughtsTokenCount": 5})
        out = both(t, s, ask("think", generation_config={"thinking_config": {"include_thoughts": True}}))
        t.equal("".join(p["text"] for o in out for p in parts(o) if p.get("thought")), "Let me see.")
        t.equal(text_of(*out), "42")
        t.equal(parts(answer(t, s.post(PATH, ask("think")))), [{"text": "42"}])


@case("tools: calls come whole and at once, with ids and one signature")
def tools(t):
    with Server(SCRIPT) as s:
        a = parts(answer(t, s.post(PATH, ask("two tools", tools=TOOLS))))
        t.equal([p["functionCall"] for p in a], [{"id": "call_a", "name": "f", "args": {"a": 1}}, {"id": "call_b", "name": "g", "args": {}}])
        t.equal(["thoughtSignature" in p for p in a], [True, False])
        t.true(base64.b64decode(a[0]["thoughtSignature"], validate=True))
        out = both(t, s, ask("two tools", tools=TOOLS))
        t.equal([p["functionCall"]["name"] for o in out for p in parts(o) if "functionCall" in p], ["f", "g"])
        t.equal(out[-1]["candidates"][0]["finishReason"], "STOP")


@case("errors have their family's form and words: before anything is asked, by the model, and within a stream")
def errors(t):
    with Server(SCRIPT, API_KEY=KEY, ALLOWED_HOSTS="127.0.0.1,example.org") as s:
        key = {"x-goog-api-key": KEY}
        for path in (PATH, STREAM, STREAM + "?alt=sse"):
            r = s.post(path, ask("busy"), key)
            t.true(error(t, r, 429, "RESOURCE_EXHAUSTED"))
            t.equal(r.header("Retry-After"), "2")
            e = error(t, s.post(path.replace("sema", "nobody"), ask("hello"), key), 404, "NOT_FOUND")
            t.true(e["message"])
            error(t, s.post(path, "{", key), 400, "INVALID_ARGUMENT")
            error(t, s.post(path, ask("hello")), 401, "UNAUTHENTICATED")
        error(t, s.post(PATH, ask("cut"), key), 502, "INTERNAL")
        error(t, s.post(PATH, ask("hello"), {**key, "X-Session-ID": "x" * 257}), 400, "INVALID_ARGUMENT")
        error(t, s.get("/v1beta/nothing", key), 404, "NOT_FOUND")
        error(t, s.get("/v1beta/models", {**key, "Host": "evil.example"}), 421, "INVALID_ARGUMENT")
        error(t, s.post(PATH, b"", {**key, "Content-Length": str((64 << 20) + 1)}), 413, "INVALID_ARGUMENT")
        out = events(t, s.post(STREAM + "?alt=sse", ask("cut"), key))
        t.equal((text_of(*out[:-1]), list(out[-1])), ("word", ["error"]))
        t.equal((out[-1]["error"]["code"], out[-1]["error"]["status"]), (502, "INTERNAL"))
        t.true(not any("finishReason" in o["candidates"][0] for o in out[:-1]))
        out = array(t, s.post(STREAM, ask("cut"), key))
        t.equal((text_of(*out[:-1]), out[-1]["error"]["status"]), ("word", "INTERNAL"))


@case("routes: names with slashes, colons and at signs, unknown verbs, wrong methods")
def routes(t):
    with Fake("google", "--key", "k") as f, Server(**google(f), MODEL_ALIASES="a/b:c@d=google/hello,sema:8b=google/hello") as s:
        for name in ("sema", "default", "models%2Fsema", "hello", "google/hello", "google%2Fhello", "a/b:c@d", "a%2Fb%3Ac%40d",
                     "a%2fb:c@d", "sema:8b", "sema%3A8b"):
            a = answer(t, s.post(f"/v1beta/models/{name}:generateContent", ask("hello")))
            t.equal((text_of(a), a["modelVersion"]), ("Hello!", "hello"), name)
            t.equal(text_of(*array(t, s.post(f"/v1beta/models/{name}:streamGenerateContent", ask("hello")))), "Hello!", name)
        for name in ("a/b", "none:1", "none"):
            r = s.post(f"/v1beta/models/{name}:generateContent", ask("hello"))
            t.true("Not Found" != error(t, r, 404, "NOT_FOUND")["message"], name)
        error(t, s.post("/v1beta/models/sema:doSomething", ask("hello")), 404, "NOT_FOUND")
        error(t, s.post("/v1beta/models/a:8b:doSomething", ask("hello")), 404, "NOT_FOUND")
        for method, path, allow in (("GET", PATH, "POST"), ("PUT", STREAM, "POST"), ("DELETE", "/v1beta/models", "GET"),
                                    ("POST", "/v1beta/models/sema", "GET"), ("PATCH", "/v1beta/models/a:8b", "GET"),
                                    ("GET", "/v1beta/models/sema:countTokens", "POST")):
            r = s.request(method, path)
            error(t, r, 405, "INVALID_ARGUMENT")
            t.equal(r.header("Allow"), allow, method + path)
        error(t, s.post("/v1beta/models/:generateContent", ask("hello")), 404, "NOT_FOUND")


@case("models: one page of what is there; one of them by its name")
def models(t):
    with Server(SCRIPT, MODEL_ALIASES="mine=scripted/x") as s:
        out = answer(t, s.get("/v1beta/models?pageSize=1&pageToken=x"))
        t.true("nextPageToken" not in out)
        for m in out["models"]:
            t.keys(m, "name", "baseModelId", "version", "displayName", "description", "inputTokenLimit", "outputTokenLimit",
                   "supportedGenerationMethods")
            t.true(m["name"].startswith("models/") and isinstance(m["inputTokenLimit"], int))
            t.equal(answer(t, s.get("/v1beta/" + m["name"])), m)
        t.true("models/mine" in [m["name"] for m in out["models"]])
        t.equal(answer(t, s.get("/v1beta/models/" + quote(out["models"][0]["name"][7:]))), out["models"][0])
        error(t, s.get("/v1beta/models/none:8b"), 404, "NOT_FOUND")


@case("a token count, of contents alone and of a whole request inside")
def count(t):
    with Server(SCRIPT) as s:
        path = "/v1beta/models/sema:countTokens"
        one = answer(t, s.post(path, ask("hello")))
        t.keys(one, "totalTokens")
        t.true(one["totalTokens"] > 0)
        more = answer(t, s.post(path, {"generateContentRequest": {"model": "models/sema", **ask("hello " * 100)}}))
        t.true(more["totalTokens"] > one["totalTokens"] + 50)
        e = error(t, s.post(path, {"generate_content_request": {"contents": []}}), 400, "INVALID_ARGUMENT")
        t.true(e["message"].startswith("generateContentRequest.contents: "))
        error(t, s.post(path, "[]"), 400, "INVALID_ARGUMENT")
        error(t, s.post(path, {}), 400, "INVALID_ARGUMENT")


@case("credentials: each of its places, both kinds, none of them in the log")
def credentials(t):
    secret = "secret-of-the-tokens-of-this-test"
    token = jwt(secret, sub="ann", exp=time.time() + 60)
    with Server(SCRIPT, API_KEY=KEY, JWT_SECRET=secret) as s:
        rows = [("", {"x-goog-api-key": KEY}), ("?key=" + KEY, {}), ("", {"Authorization": "bearer " + KEY}), ("", {"X-API-Key": KEY}),
                ("", {"x-goog-api-key": token}), ("?key=" + token, {}), ("", {"Authorization": "Bearer " + token})]
        for query, fields in rows:
            for path in (PATH, STREAM):
                t.equal(s.post(path + query, ask("hello"), fields).status, 200, repr((query, fields)))
            t.equal(s.get("/v1beta/models" + query, fields).status, 200)
        for query, fields in [("", {}), ("?key=wrong", {}), ("", {"x-goog-api-key": "wrong"}), ("?api_key=" + KEY, {}), ("?token=" + token, {})]:
            r = s.post(PATH + query, ask("hello"), fields)
            error(t, r, 401, "UNAUTHENTICATED")
            t.equal(r.header("WWW-Authenticate"), "Bearer")
        t.equal(s.get(f"/v1/models?key={KEY}").status, 401)
        t.equal(s.get("/v1/models", {"x-goog-api-key": KEY}).status, 401)
        log = s.log_text() + s.errors()
        t.true(KEY not in log and token not in log and "key=" not in log)
        t.true(any(e["path"] == PATH for e in s.events("http_request")))


@case("browsers: preflights, and the fields of an answer")
def browsers(t):
    with Server(SCRIPT, CORS_ORIGINS="https://app.example") as s:
        ask_for = "content-type,x-goog-api-client,x-goog-api-key"
        r = s.request("OPTIONS", STREAM, {"Origin": "https://app.example", "Access-Control-Request-Method": "POST",
                                          "Access-Control-Request-Headers": ask_for})
        t.equal((r.status, r.header("Access-Control-Allow-Headers")), (200, ask_for))
        r = s.post(STREAM + "?alt=sse", ask("hello"), {"Origin": "https://app.example"})
        t.equal((r.status, r.header("Access-Control-Allow-Origin")), (200, "https://app.example"))
        r = s.post(PATH, ask("hello"), {"Origin": "https://evil.example"})
        error(t, r, 403, "PERMISSION_DENIED")
        error(t, s.request("OPTIONS", PATH), 405, "INVALID_ARGUMENT")


@case("X-Session-ID keeps the turn; without it nothing is kept; metrics and the limit count it")
def kept(t):
    with Server(SCRIPT, RATE_LIMIT="4") as s:
        s.post(PATH, ask("hello"))
        for path in (PATH, STREAM, STREAM + "?alt=sse"):
            t.equal(s.post(path, ask("hello"), {"X-Session-ID": "g"}).status, 200)
        turns = s.get("/api/v1/sessions/g").json()["messages"]
        t.equal([(m["role"], m["content"]) for m in turns], [("user", "hello"), ("assistant", "Hello you")] * 3)
        t.equal(len(s.get("/api/v1/sessions").json()), 1)
        r = s.post(PATH, ask("hello"))
        error(t, r, 429, "RESOURCE_EXHAUSTED")
        t.true(int(r.header("Retry-After")) > 0)
        lines = [name for name in s.metrics() if "v1beta" in name]
        t.true(any("generateContent" in name for name in lines) and not any("sema:" in name for name in lines), repr(lines))


@case("a client that leaves ends its call, in both forms of a stream and while nothing has come yet")
def gone(t):
    with Fake("google", "--key", "k") as f, Server(**google(f, "slow"), MODEL_ALIASES="never=google/never") as s:
        rows = ((STREAM, "slow"), (STREAM + "?alt=sse", "slow"), (PATH, "slow"), (PATH, "never"), (STREAM, "never"))
        for n, (path, name) in enumerate(rows, 1):
            with s.connect() as c:
                c.send_request("POST", path.replace("sema", name), {"Content-Type": "application/json"}, json.dumps(ask("hi")))
                wait_until(lambda: len([r for r in f.requests() if r["method"] == "POST"]) == n, 5, "the call")
                if name == "slow" and path != PATH:
                    c.head()
            wait_until(lambda: json.load(urllib.request.urlopen(f.url + "/fake/gone"))["gone"] == n, 1, "the end of the call")


@case("however the provider's bytes are cut, and whatever they are, both forms say the same whole characters")
def cuts(t):
    with Fake("google", "--key", "k") as g, Fake("openai") as o, Server(
            **google(g), OPENAI_API_KEY="k", OPENAI_BASE_URL=o.url + "/v1") as s:
        for name, want in (("google/crlf", "h\u00e9"), ("google/cr", "h\u00e9"), ("google/halves", "ok \U0001F600!"), ("google/megabyte", "x" * (1 << 20)),
                           ("openai/bytes-one-by-one", None), ("openai/bytes-by-three", None), ("openai/halves", None), ("openai/many-deltas", "z" * 5000),
                           ("openai/four-megabytes", "y" * (4 << 20))):
            out = text_of(answer(t, s.post(f"/v1beta/models/{name}:generateContent", ask("hi"))))
            t.true(want in (None, out) and out, name)
            t.equal(text_of(*events(t, s.post(f"/v1beta/models/{name}:streamGenerateContent?alt=sse", ask("hi")))), out)
            t.equal(text_of(*array(t, s.post(f"/v1beta/models/{name}:streamGenerateContent", ask("hi")))), out)


@case("a slow reader holds its own call back and no other; 50 at once do not mix")
def many(t):
    with Server(SCRIPT) as s:
        with s.connect(30) as slow:
            slow.send_request("POST", STREAM, {"Content-Type": "application/json"}, json.dumps(ask("flood")))
            slow.head()
            got = {}

            def one(n):
                got[n] = text_of(*events(t, s.post(STREAM + "?alt=sse", ask(f"number {n}"))))
            threads = [threading.Thread(target=one, args=(n,)) for n in range(50)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(20)
            t.equal(got, {n: f"number {n}.........." for n in range(50)})
            t.true(s.memory_kb() < 200 * 1024)
            data = []
            while (piece := slow.chunk()):
                data.append(piece)
            t.equal(len(text_of(*json.loads(b"".join(data)))), 4096 * 4096)


@case("silence is filled: an event with one empty text, in both forms, also before the first")
def silence(t):
    with Server(SCRIPT) as s:
        with s.connect(30) as sse, s.connect(30) as pieces:
            for c, query in ((sse, "?alt=sse"), (pieces, "")):
                c.send_request("POST", STREAM + query, {"Content-Type": "application/json"}, json.dumps(ask("silent")))
            t.equal(sse.head().status, 200)
            t.equal(parts(json.loads(sse.chunk().decode()[6:])), [{"text": ""}])
            t.equal(pieces.head().status, 200)
            t.equal(parts(json.loads(pieces.chunk().decode() + "]")[0]), [{"text": ""}])


main()
