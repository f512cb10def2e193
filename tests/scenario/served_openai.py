"""OpenAI's API, served: chat completions, completions and models as clients of it read them (openai-compat.md 1 to 6)."""
from harness import *

CHAT = "/v1/chat/completions"
SCRIPT = [
    {"when": "hello", "pieces": ["Hel", "lo ", "you"], "usage": {"prompt": 9, "completion": 3, "cached": 4}},
    {"when": "think", "pieces": [{"reasoning": "Let me "}, {"reasoning": "see."}, "42"], "usage": {"prompt": 9, "completion": 4, "reasoning": 3}},
    {"when": "tool", "finish": "tool_calls", "pieces": [
        {"tool": {"id": "call_a", "name": "f", "args": ["{\"a\":", "1}"]}}, {"tool": {"id": "call_b", "name": "g", "args": []}}]},
    {"when": "cut", "pieces": ["word", {"error": "server", "status": 500}]},
    {"when": "busy", "pieces": [{"error": "rate_limit", "retry_after_ms": 2000, "status": 429}]},
    {"when": "denied", "pieces": [{"error": "auth", "status": 401}]},
    {"when": "long", "finish": "length", "pieces": ["half an ans"]},
    {"when": "filtered", "finish": "content_filter", "pieces": ["so"]},
    {"when": "nothing", "pieces": []},
    {"when": "lines", "pieces": ["a\u2028b\u0085c\U0001f600"]},
    {"when": "forever", "pieces": [{"text": "on ", "repeat": 100000, "every_ms": 10}]},
    {"when": "silent", "pieces": [{"hang": True}]},
    {"when": "echo", "pieces": [{"echo": "request"}]},
    {"when": "many", "pieces": [{"text": "word ", "repeat": 5000}]},
    {"when": "big", "pieces": [{"text": "x" * (1 << 20)}]},
]


def ask(text, **fields):
    return {"model": "sema", "messages": [{"role": "user", "content": text}], **fields}


def frames(raw):
    """The data of each event; any other line is a fault."""
    out = []
    for block in raw.split("\n\n")[:-1]:
        if block == ": ping":
            continue
        if not block.startswith("data: ") or "\n" in block or "\r" in block:
            raise Failed(f"not an event: {block!r}")
        out.append(block[6:])
    if not raw.endswith("\n\n"):
        raise Failed(f"cut off: {raw[-80:]!r}")
    return out


def chunks(t, r):
    """A good stream: its chunks, with what holds for each of them."""
    t.equal(r.status, 200, repr(r))
    t.equal(r.header("Content-Type"), "text/event-stream; charset=utf-8")
    t.equal(r.header("Cache-Control"), "no-cache, no-transform")
    t.equal(r.header("X-Accel-Buffering"), "no")
    t.equal(r.header("Content-Length"), None)
    data = frames(r.text)
    t.equal(data.pop(), "[DONE]")
    out = [json.loads(d) for d in data]
    t.equal(len({(c["id"], c["created"], c["model"], c["object"]) for c in out}), 1, "constant in every chunk")
    t.true(all(isinstance(c["choices"], list) for c in out))
    return out


def deltas(out):
    return [c["choices"][0]["delta"] for c in out if c["choices"]]


def error(t, r, status, kind, code, param=None):
    t.equal(r.status, status, repr(r))
    t.equal(r.header("Content-Type"), "application/json")
    t.true(r.header("x-request-id"), "x-request-id")
    e = r.json()["error"]
    t.keys(e, "message", "type", "param", "code")
    t.equal((e["type"], e["param"], e["code"]), (kind, param, code), e["message"])
    t.true(e["message"])
    return e["message"]


def bad(t, r, param, code="invalid_value"):
    return error(t, r, 400, "invalid_request_error", code, param)


@case("a whole answer has every key, and no other")
def whole(t):
    with Server(SCRIPT) as s:
        r = s.post(CHAT, ask("hello"))
        t.equal(r.status, 200)
        a = r.json()
        t.keys(a, "id", "object", "created", "model", "choices", "usage")
        t.match(a["id"], "chatcmpl-[A-Za-z0-9]{24,}")
        t.equal(a["object"], "chat.completion")
        t.inside(a["created"], time.time() - 60, time.time() + 1)
        t.equal(a["choices"], [{"index": 0, "message": {"role": "assistant", "content": "Hello you", "refusal": None}, "logprobs": None,
                                "finish_reason": "stop"}])
        t.equal(a["usage"], {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12, "prompt_tokens_details": {"cached_tokens": 4},
                             "completion_tokens_details": {"reasoning_tokens": 0}})
        t.true(r.header("x-request-id"))
        t.true(s.post(CHAT, ask("hello")).json()["id"] != a["id"])
        r = s.post(CHAT, ask("think")).json()["choices"][0]["message"]
        t.equal((r["content"], r["reasoning_content"]), ("42", "Let me see."))
        t.equal(s.post(CHAT, ask("nothing")).json()["choices"][0]["message"]["content"], "")
        for text, finish in (("long", "length"), ("filtered", "content_filter")):
            t.equal(s.post(CHAT, ask(text)).json()["choices"][0]["finish_reason"], finish)


@case("a stream: the role first, text and reasoning apart, one finish, a constant id, usage only on request")
def stream(t):
    with Server(SCRIPT) as s:
        out = chunks(t, s.post(CHAT, ask("hello", stream=True)))
        d = deltas(out)
        t.equal(d[0], {"role": "assistant", "content": ""})
        t.equal([x["content"] for x in d[1:-1]], ["Hel", "lo ", "you"])
        t.equal(d[-1], {})
        t.equal([c["choices"][0]["finish_reason"] for c in out], [None] * 4 + ["stop"])
        t.true(all("usage" not in c for c in out))
        out = chunks(t, s.post(CHAT, ask("hello", stream=True, stream_options={"include_usage": True})))
        t.equal((out[-1]["choices"], out[-1]["usage"]["total_tokens"]), ([], 12))
        t.true(all(c.get("usage") is None for c in out[:-1]))
        d = deltas(chunks(t, s.post(CHAT, ask("think", stream=True))))
        t.equal(d[1:], [{"reasoning_content": "Let me "}, {"reasoning_content": "see."}, {"content": "42"}, {}])
        out = chunks(t, s.post(CHAT, ask("long", stream=True)))
        t.equal(out[-1]["choices"][0]["finish_reason"], "length")
        d = deltas(chunks(t, s.post(CHAT, ask("nothing", stream=True))))
        t.equal(d, [{"role": "assistant", "content": ""}, {}])
        r = s.post(CHAT, ask("lines", stream=True))
        t.true(not re.search("[\u2028\u2029\u0085]", r.text))
        t.equal("".join(x.get("content", "") for x in deltas(chunks(t, r))), "a\u2028b\u0085c\U0001f600")


@case("usage that nobody told is estimated from the whole answer, streamed or not")
def estimated(t):
    with Server([{"when": "*", "pieces": [{"text": "word ", "repeat": 100}]}]) as s:
        one = s.post(CHAT, ask("x")).json()["usage"]
        two = chunks(t, s.post(CHAT, ask("x", stream=True, stream_options={"include_usage": True})))[-1]["usage"]
        t.inside(one["completion_tokens"], 50, 200)
        t.equal(two["completion_tokens"], one["completion_tokens"])


@case("tool calls: whole, in fragments, arguments always JSON, history with them taken back")
def tools(t):
    tool = [{"type": "function", "function": {"name": n, "parameters": {"type": "object"}}} for n in ("f", "g")] + [{"type": "web_search"}]
    calls = [{"id": "call_a", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}},
             {"id": "call_b", "type": "function", "function": {"name": "g", "arguments": "{}"}}]
    with Server(SCRIPT) as s:
        m = s.post(CHAT, ask("tool", tools=tool)).json()["choices"][0]
        t.equal((m["message"]["content"], m["message"]["tool_calls"], m["finish_reason"]), (None, calls, "tool_calls"))
        out = chunks(t, s.post(CHAT, ask("tool", tools=tool, stream=True)))
        got = [x["tool_calls"] for x in deltas(out) if "tool_calls" in x]
        t.true(all(len(g) == 1 for g in got))
        first = [g[0] for g in got if "id" in g[0]]
        t.equal(first, [{"index": i, "id": c["id"], "type": "function", "function": {"name": c["function"]["name"], "arguments": ""}}
                        for i, c in enumerate(calls)])
        t.equal([g[0]["index"] for g in got], sorted(g[0]["index"] for g in got), "contiguous")
        for i, c in enumerate(calls):
            t.equal("".join(g[0]["function"]["arguments"] for g in got if g[0]["index"] == i), c["function"]["arguments"])
        t.equal(out[-1]["choices"][0]["finish_reason"], "tool_calls")
        history = [{"role": "user", "content": "go"}, {"role": "assistant", "content": None, "tool_calls": calls, "audio": None, "annotations": []},
                   {"role": "tool", "tool_call_id": "call_a", "content": "1"}, {"role": "tool", "tool_call_id": "call_b", "content": "2"},
                   {"role": "user", "content": "hello"}]
        t.equal(s.post(CHAT, {"model": "sema", "messages": history, "tools": tool, "tool_choice": "auto"}).status, 200)
        t.equal(s.post(CHAT, ask("hello", tools=[], tool_choice="auto")).status, 200)


@case("calls that a provider mixes, or gives nothing, come one after the other")
def mixed(t):
    def piece(index, args, name=None):
        head = {"id": f"c{index}", "type": "function"} if name else {}
        f = {"name": name, "arguments": args} if name else {"arguments": args}
        return Upstream.event(json.dumps({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": index, **head, "function": f}]}}]}))
    pieces = [Upstream.STREAM, piece(0, "", "f"), piece(1, "", "g"), piece(2, "", "h"), piece(0, '{"a'), piece(1, '{"b'), piece(0, '":1}'), piece(1, '":2}'),
              Upstream.event('{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}'), Upstream.event("[DONE]")]
    with Upstream(lambda r: pieces if (r["body"] or {}).get("stream") else [Upstream.json(200, {"data": []})]) as u, Server(**u.env()) as s:
        out = chunks(t, s.post(CHAT, ask("x", model="test-model", stream=True)))
        calls = [c["choices"][0]["delta"]["tool_calls"][0] for c in out if c["choices"][0]["delta"].get("tool_calls")]
        t.equal([c["index"] for c in calls], sorted(c["index"] for c in calls))
        t.equal([(c["id"], c["function"]["name"]) for c in calls if "id" in c], [("c0", "f"), ("c1", "g"), ("c2", "h")])
        t.equal(["".join(c["function"]["arguments"] for c in calls if c["index"] == i) for i in range(3)], ['{"a":1}', '{"b":2}', "{}"])


@case("forced tools and names with slashes reach the provider as they are meant")
def forced(t):
    tool = [{"type": "function", "function": {"name": "g", "parameters": {"type": "object"}}}]
    named = {"type": "function", "function": {"name": "g"}}
    answer = {"id": "x", "object": "chat.completion", "created": 1, "model": "own/deep:1", "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}]}
    with Upstream(lambda r: [Upstream.json(200, answer)] if not (r["body"] or {}).get("stream") else [
            Upstream.STREAM, Upstream.event('{"choices":[{"index":0,"delta":{"content":"yes"}}]}'),
            Upstream.event('{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'), Upstream.event("[DONE]")]) as u:
        with Server(**u.env(MODEL_NAME="own/deep:1@x+y.z")) as s:
            for choice in ("required", "none", named):
                r = s.post(CHAT, ask("x", model="own/deep:1@x+y.z", tools=tool, tool_choice=choice))
                t.equal((r.status, r.json()["choices"][0]["message"]["content"]), (200, "yes"))
                t.equal((u.requests[-1]["body"]["model"], u.requests[-1]["body"]["tool_choice"]), ("own/deep:1@x+y.z", choice))
                t.true("temperature" not in u.requests[-1]["body"], "what a client leaves out is not sent")
            r = s.post(CHAT, ask("x", model="own/deep:1@x+y.z", tools=[{"type": "function", "function": {"name": "f"}}, *tool], seed=2**63 - 1,
                                 tool_choice={"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": tool}}))
            sent = u.requests[-1]["body"]
            t.equal((r.status, sent["tools"], sent["tool_choice"], sent["seed"]), (200, tool, "required", 2**63 - 1), r.text)
            for path in ("own/deep:1@x+y.z", "own%2Fdeep%3A1%40x%2By.z", "own//deep:1@x+y.z/"):
                t.equal(s.get("/v1/models/" + path).json().get("id"), "own/deep:1@x+y.z", path)


@case("what is accepted: roles, parts, nulls, floats for integers, unknown fields, a name given twice")
def accepted(t):
    with Server(SCRIPT) as s:
        messages = [{"role": "system", "content": "s"}, {"role": "developer", "content": "d"},
                    {"role": "assistant", "content": "", "reasoning_content": "r", "refusal": None, "parsed": None},
                    {"role": "user", "content": [{"type": "text", "text": "say "}, {"type": "text", "text": "hello"}], "name": "n"}]
        nulls = dict.fromkeys(("max_tokens", "temperature", "top_p", "stop", "tools", "tool_choice", "response_format", "n", "seed", "stream",
                               "stream_options", "logit_bias", "user", "functions", "parallel_tool_calls", "reasoning_effort", "metadata"))
        t.equal(s.post(CHAT, {"model": "sema", "messages": messages, **nulls}).status, 200)
        more = {"max_tokens": 100.0, "n": 1.0, "seed": 7, "stop": ["a", "b", "c", "d", "e", "f"], "logprobs": True, "top_logprobs": 2,
                "service_tier": "auto", "store": False, "modalities": ["text"], "prediction": {}, "no_such_field": {"x": [1]},
                "stream_options": {"include_usage": True}, "presence_penalty": 0, "frequency_penalty": 0}
        t.equal(s.post(CHAT, ask("hello", **more)).status, 200)
        t.equal(s.post(CHAT, '{"model":"no-such","model":"sema","messages":[{"role":"user","content":"hello"}]}').status, 200)
        t.equal(s.post(CHAT + "?x=1", ask("hello"), {"Content-Type": "application/json; charset=utf-8", "x-stainless-lang": "js"}).status, 200)
        t.equal(json.loads(s.post(CHAT, ask("echo", max_tokens=5, max_completion_tokens=6)).json()["choices"][0]["message"]["content"])
                ["max_tokens"], 6)


@case("what is refused is named, before anything is asked")
def refused(t):
    with Server(SCRIPT) as s:
        for fields, param in ((dict(temperature=3), "temperature"), (dict(top_p=-1), "top_p"), (dict(n=2), "n"), (dict(max_tokens=0), "max_tokens"),
                              (dict(presence_penalty=3), "presence_penalty"), (dict(stream="yes"), "stream"), (dict(stop=7), "stop"),
                              (dict(messages=[]), "messages"), (dict(messages="x"), "messages"),
                              (dict(messages=[{"role": "robot", "content": "x"}]), "messages[0].role"),
                              (dict(messages=[{"role": "user"}]), "messages[0].content"),
                              (dict(messages=[{"role": "system", "content": None}]), "messages[0].content"), (dict(seed=2**63), "seed"),
                              (dict(messages=[{"role": "user", "content": [{"type": "input_audio"}]}]), "messages[0].content"),
                              (dict(modalities=["text", "audio"]), "modalities"), (dict(response_format={"type": "xml"}), "response_format"),
                              (dict(tools=[{"type": "function", "function": {"name": "n" * 65}}]), "tools")):
            bad(t, s.post(CHAT, ask("hello", **fields)), param)
        t.has(bad(t, s.post(CHAT, ask("hello", n=2)), "n"), "only 1 is taken")
        t.has(bad(t, s.post(CHAT, {"messages": []}), "model"), "you must provide a model parameter")
        for body in ("{", "", "[1]", "nul", b'{"model":"\xff"}', '{"a":' + "[" * 600 + "]" * 600 + "}"):
            bad(t, s.post(CHAT, body), None)
        m = error(t, s.post(CHAT, ask("hello", model="no-such-model")), 404, "invalid_request_error", "model_not_found", "model")
        t.has(m, "there are")


@case("paths: doubled and trailing slashes, unknown addresses, wrong methods, all in the family's words")
def paths(t):
    with Server(SCRIPT, API_KEY="key-of-this-test") as s:
        key = {"Authorization": "bEaReR key-of-this-test"}
        for path in ("//v1//chat/completions", "/v1/chat//completions/", CHAT + "/"):
            t.equal(s.post(path, ask("hello"), key).status, 200, path)
        t.equal(s.post(CHAT, ask("hello"), {"x-api-key": "key-of-this-test"}).status, 200)
        for path in ("/v1/nothing", "/v1", "/v1/chat", "/v1/audio/speech"):
            error(t, s.post(path, {}, key), 404, "invalid_request_error", "unknown_url")
        r = s.get(CHAT, key)
        error(t, r, 405, "invalid_request_error", None)
        t.equal(r.header("Allow"), "POST")
        for headers in ({}, {"Authorization": "Bearer nope"}, {"x-api-key": "nope"}):
            t.lacks(error(t, s.post(CHAT, ask("hello"), headers), 401, "authentication_error", "invalid_api_key"), "nope")
        error(t, s.post("/v1/embeddings", {"input": "x", "model": "m"}, key), 404, "invalid_request_error", "model_not_found", "model")
        with s.connect() as c:
            c.send_request("POST", CHAT, {**key, "Content-Length": str(65 << 20)})
            error(t, c.response(), 413, "invalid_request_error", None)


@case("upstream errors before the start are real statuses, streamed or not")
def early(t):
    for more in ({}, {"stream": True}):
        with Server(SCRIPT, PROVIDER_RETRIES="0") as s:  # each its own: a refused credential marks the model as down
            r = s.post(CHAT, ask("busy", **more))
            error(t, r, 429, "rate_limit_error", "rate_limit_exceeded")
            t.equal(r.header("Retry-After"), "2")
            error(t, s.post(CHAT, ask("denied", **more)), 502, "server_error", "upstream_error")


@case("an error after the start ends the stream with neither finish nor [DONE]")
def late(t):
    with Server(SCRIPT, PROVIDER_RETRIES="0", STREAM_RESCUE="off") as s:
        r = s.post(CHAT, ask("cut", stream=True))
        t.equal(r.status, 200)
        data = [json.loads(d) for d in frames(r.text)]
        t.keys(data[-1], "error")
        t.keys(data[-1]["error"], "message", "type", "param", "code")
        t.equal(data[-1]["error"]["type"], "server_error")
        t.true(all(c["choices"][0]["finish_reason"] is None for c in data[:-1]))
        error(t, s.post(CHAT, ask("cut")), 502, "server_error", "upstream_error")


@case("details of the server's own only under one key, only on request")
def details(t):
    with Server(SCRIPT) as s:
        t.equal(s.post(CHAT, ask("hello"), {"X-Sema-Details": "1"}).json()["sema"]["backend"], "scripted")
        t.true("sema" not in s.post(CHAT, ask("hello")).json())
        t.true(all("sema" not in c for c in chunks(t, s.post(CHAT, ask("hello", stream=True), {"X-Sema-Details": "1"}))))


@case("a client that leaves, in mid-stream or while it waits, frees what answered it")
def gone(t):
    with Server(SCRIPT) as s:
        for text, more in (("forever", {"stream": True}), ("silent", {"stream": True}), ("silent", {})):
            with s.connect() as c:
                c.send_request("POST", CHAT, {"Content-Type": "application/json"}, json.dumps(ask(text, **more)))
                if text == "forever":
                    c.take_until(b'"content":"on "')
                else:
                    time.sleep(0.2)
                c.reset()
        began = time.monotonic()
        t.equal(s.stop(), 0)
        t.took(began, 0, 1.5, "a stop that waits for nobody")


@case("10 s of waiting: the head and a comment, and a later failure is an event")
def ping(t):
    script = [{"when": "*", "pieces": [{"text": "late", "wait_ms": 11000}]}]
    with Server(script) as s, s.connect(20) as c:
        c.send_request("POST", CHAT, {"Content-Type": "application/json"}, json.dumps(ask("x", stream=True)))
        t.true(c.silent(9))
        r = c.response()
        t.has(r.text, ": ping\n\ndata: ")
        t.equal("".join(d.get("content", "") for d in deltas(chunks(t, r))), "late")


@case("5000 deltas, and one of 1 MiB, come whole")
def large(t):
    with Server(SCRIPT) as s:
        for text, want in (("many", "word " * 5000), ("big", "x" * (1 << 20))):
            got = "".join(d.get("content", "") for d in deltas(chunks(t, s.post(CHAT, ask(text, stream=True), timeout=30))))
            t.true(got == want, f"{text}: {len(got)} of {len(want)}")
            t.true(s.post(CHAT, ask(text)).json()["choices"][0]["message"]["content"] == want)


@case("50 streams at once are not mixed")
def parallel(t):
    with Server([{"when": "*", "pieces": [{"echo": "last"}, {"text": ".", "repeat": 20, "every_ms": 5}]}]) as s:
        got = {}

        def one(n):
            got[n] = "".join(d.get("content", "") for d in deltas(chunks(t, s.post(CHAT, ask(f"number {n}", stream=True), timeout=30))))
        threads = [threading.Thread(target=one, args=(n,)) for n in range(50)]
        for th in threads:
            th.start()
        for th in threads:
            th.join()
        t.equal(got, {n: f"number {n}" + "." * 20 for n in range(50)})


@case("completions of several prompts: a choice each, in their order, usage of all")
def completions_many(t):
    with Server(SCRIPT, STREAM_RESCUE="off", PROVIDER_RETRIES="0") as s:
        path, prompts = "/v1/completions", ["hello", "long", "hello"]
        a = s.post(path, {"model": "sema", "prompt": prompts}).json()
        t.equal([(c["index"], c["text"], c["finish_reason"]) for c in a["choices"]],
                [(0, "Hello you", "stop"), (1, "half an ans", "length"), (2, "Hello you", "stop")])
        t.true(a["usage"]["completion_tokens"] > 6 and a["usage"]["total_tokens"] == a["usage"]["prompt_tokens"] + a["usage"]["completion_tokens"])
        out = chunks(t, s.post(path, {"model": "sema", "prompt": prompts, "stream": True, "stream_options": {"include_usage": True}}))
        t.true(out[-1]["choices"] == [] and out[-1]["usage"]["total_tokens"] > 12)
        choices = [c["choices"][0] for c in out if c["choices"]]
        t.equal(["".join(c["text"] for c in choices if c["index"] == i) for i in range(3)], ["Hello you", "half an ans", "Hello you"])
        t.equal([c["index"] for c in choices], sorted(c["index"] for c in choices))
        t.equal([(c["index"], c["finish_reason"]) for c in choices if c["finish_reason"]], [(0, "stop"), (1, "length"), (2, "stop")])
        error(t, s.post(path, {"model": "sema", "prompt": ["hello", "busy"]}), 429, "rate_limit_error", "rate_limit_exceeded")
        data = frames(s.post(path, {"model": "sema", "prompt": ["hello", "cut", "hello"], "stream": True}).text)
        t.keys(json.loads(data[-1]), "error")
        with s.connect() as c:
            c.send_request("POST", path, {"Content-Type": "application/json"}, json.dumps({"model": "sema", "prompt": ["hello", "silent"], "stream": True}))
            time.sleep(0.3)
            c.reset()
        began = time.monotonic()
        t.equal(s.stop(), 0)
        t.took(began, 0, 1.5)


@case("completions: a text that goes on, whole and streamed")
def completions(t):
    with Server(SCRIPT) as s:
        a = s.post("/v1/completions", {"model": "sema", "prompt": "hello"}).json()
        t.keys(a, "id", "object", "created", "model", "choices", "usage")
        t.match(a["id"], "cmpl-[A-Za-z0-9]{24,}")
        t.equal((a["object"], a["choices"]), ("text_completion", [{"text": "Hello you", "index": 0, "logprobs": None, "finish_reason": "stop"}]))
        t.equal(s.post("/v1/completions", {"model": "sema", "prompt": ["hello"], "suffix": "x", "echo": False}).status, 200)
        out = chunks(t, s.post("/v1/completions", {"model": "sema", "prompt": "hello", "stream": True}))
        t.equal("".join(c["choices"][0]["text"] for c in out), "Hello you")
        t.equal([c["choices"][0]["finish_reason"] for c in out][-2:], [None, "stop"])
        for fields, param in (({"prompt": [1, 2]}, "prompt"), ({}, "prompt"), ({"prompt": "x", "echo": True}, "echo"), ({"prompt": []}, "prompt"),
                              ({"prompt": ["a", 1]}, "prompt"), ({"prompt": [[1]]}, "prompt"), ({"prompt": ["x"] * 129}, "prompt")):
            bad(t, s.post("/v1/completions", {"model": "sema", **fields}), param)


@case("models: a list, and each by its name, with slashes raw or escaped")
def models(t):
    with Server(SCRIPT, MODEL_ALIASES="fast=scripted/own/deep/name:1@x+y.z") as s:
        r = s.get("/v1/models")
        t.equal((r.status, r.json()["object"]), (200, "list"))
        ids = [m["id"] for m in r.json()["data"]]
        t.has(ids, "fast")
        for m in r.json()["data"]:
            t.true({"id", "object", "created", "owned_by"} <= set(m) <= {"id", "object", "created", "owned_by", "context_length", "max_output_tokens"})
            t.equal((m["object"], type(m["created"])), ("model", int))
            for path in (m["id"].lstrip("/") if m["id"] == "fast" else quote(m["id"]), quote(m["id"])):
                t.equal(s.get("/v1/models/" + path).json(), m, path)
        t.equal(s.get("/v1/models/").json()["object"], "list")
        error(t, s.get("/v1/models/no%2Fsuch"), 404, "invalid_request_error", "model_not_found", "model")


@case("X-Session-ID: the last question and the answer become a turn of that session, in order, of its owner")
def session(t):
    with Server(SCRIPT) as s:
        t.equal(s.chat("hello", session="a/é").status, 200)
        body = ask("x")
        body["messages"] = [{"role": "system", "content": "no"}, {"role": "user", "content": "old"}, {"role": "assistant", "content": "older"},
                            {"role": "user", "content": [{"type": "text", "text": "think "}, {"type": "text", "text": "now"}]}]
        with s.connect() as c:
            raw = json.dumps(body).encode()
            c.send(f"POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Session-ID: a/é\r\nContent-Length: {len(raw)}\r\n\r\n".encode() + raw)
            t.equal(c.response().status, 200)
        got = [(m["role"], m["content"]) for m in s.get("/api/v1/sessions/" + quote("a/é")).json()["messages"]]
        t.equal(got[2:], [("user", "think now"), ("assistant", "42")])
        chunks(t, s.post(CHAT, ask("hello", stream=True), {"X-Session-ID": "new"}))
        got = s.get("/api/v1/sessions/new").json()["messages"]
        t.equal([(m["role"], m["content"]) for m in got], [("user", "hello"), ("assistant", "Hello you")])
        t.equal(s.post("/api/chat", ask("hello", stream=False), {"X-Session-ID": "new"}).status, 200)
        t.equal(len(s.get("/api/v1/sessions/new").json()["messages"]), 4)
        for wrong in ("", "x" * 257):
            bad(t, s.post(CHAT, ask("hello"), {"X-Session-ID": wrong}), "X-Session-ID")
        t.equal(s.post(CHAT, ask("hello"), {"X-Session-ID": "x" * 256}).status, 200)
        t.equal(s.post(CHAT, ask("hello")).status, 200)
    with Server(SCRIPT, STREAM_RESCUE="off") as s:
        s.post(CHAT, ask("cut", stream=True), {"X-Session-ID": "f"})
        t.equal(s.get("/api/v1/sessions/f").status, 404, "a failed answer is no turn")


@case("an answer that ends faster than its client reads: while its turn is stored, and between two prompts")
def slow_reader(t):
    big = "x" * (4 << 20)
    events = [{"choices": [{"index": 0, "delta": {"content": big}, "finish_reason": None}]},
              {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}]
    body = "".join(f"data: {json.dumps(e)}\n\n" for e in events) + "data: [DONE]\n\n"
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {len(body)}\r\n\r\n"
    with Upstream(lambda r: [(head + body).encode()]) as u:
        with Server(MODEL_TYPE="openai", MODEL_NAME="m", OPENAI_BASE_URL=u.url, OPENAI_API_KEY="k") as s:
            for n in range(3):
                out = chunks(t, s.post(CHAT, ask("hello", stream=True), {"X-Session-ID": f"s{n}"}, timeout=60))
                t.equal(sum(len(d.get("content", "")) for d in deltas(out)), len(big))
            t.equal(len(s.get("/api/v1/sessions/s2").json()["messages"][1]["content"]), len(big))
            r = s.post("/v1/completions", {"model": "sema", "prompt": ["a", "b"], "stream": True}, timeout=60)
            t.equal(r.text.count("x" * 1000), 2 * len(big) // 1000)
            t.has(r.text, "data: [DONE]")
            t.equal(s.get("/health").status, 200)


@case("the model that is built in: text, stop, length, a schema, a forced tool, streamed as well")
def local(t):
    with Server(unset=("MODEL_TYPE", "MODEL_NAME"), HF_HUB_OFFLINE="1") as s:
        a = s.post(CHAT, ask("What is Sema?", max_tokens=8, temperature=0), timeout=60).json()
        t.equal((a["choices"][0]["finish_reason"], a["usage"]["completion_tokens"]), ("length", 8))
        text = a["choices"][0]["message"]["content"]
        t.true(text)
        out = chunks(t, s.post(CHAT, ask("What is Sema?", max_tokens=8, temperature=0, stream=True), timeout=60))
        t.equal("".join(d.get("content", "") for d in deltas(out)), text)
        word = text.split()[1]
        a = s.post(CHAT, ask("What is Sema?", max_tokens=8, temperature=0, stop=[word]), timeout=60).json()["choices"][0]
        t.equal((a["finish_reason"], a["message"]["content"]), ("stop", text[:text.index(word)]))
        schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"], "additionalProperties": False}
        form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}}
        for more in ({}, {"stream": True}):
            r = s.post(CHAT, ask("Is it so?", response_format=form, **more), timeout=60)
            got = "".join(d.get("content", "") for d in deltas(chunks(t, r))) if more else r.json()["choices"][0]["message"]["content"]
            t.true(isinstance(json.loads(got)["ok"], bool), got)
        tool = [{"type": "function", "function": {"name": "look", "parameters": schema}}]
        m = s.post(CHAT, ask("Look", tools=tool, tool_choice={"type": "function", "function": {"name": "look"}}), timeout=60).json()["choices"][0]
        t.equal((m["finish_reason"], m["message"]["tool_calls"][0]["function"]["name"]), ("tool_calls", "look"))
        t.true(isinstance(json.loads(m["message"]["tool_calls"][0]["function"]["arguments"])["ok"], bool))


main()
