"""Ollama's API, served: lines of JSON, streamed unless asked otherwise (openai-compat.md 10)."""
from harness import *

SCRIPT = [
    {"when": "hello", "pieces": ["Hel", "lo ", "you"], "usage": {"prompt": 9, "completion": 3}},
    {"when": "think", "pieces": [{"reasoning": "Let me see."}, "42"]},
    {"when": "tool", "finish": "tool_calls", "pieces": [
        {"tool": {"id": "call_a", "name": "f", "args": ["{\"a\":", "1}"]}}, {"tool": {"id": "call_b", "name": "g", "args": []}}]},
    {"when": "cut", "pieces": ["word", {"error": "server", "status": 500}]},
    {"when": "busy", "pieces": [{"error": "rate_limit", "retry_after_ms": 2000, "status": 429}]},
    {"when": "long", "finish": "length", "pieces": ["half"]},
    {"when": "lines", "pieces": ["a\u2028b\u0085c"]},
    {"when": "silent", "pieces": [{"hang": True}]},
]
ENDS = ["done", "done_reason", "total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration"]


def ask(text, **fields):
    return {"model": "sema", "messages": [{"role": "user", "content": text}], **fields}


def lines(t, r):
    t.equal((r.status, r.header("Content-Type")), (200, "application/x-ndjson"), repr(r))
    t.true(r.text.endswith("\n"))
    return [json.loads(line) for line in r.text.splitlines()]


def error(t, r, status):
    t.equal((r.status, r.header("Content-Type")), (status, "application/json"), repr(r))
    t.keys(r.json(), "error")
    t.true(r.json()["error"])
    return r.json()["error"]


@case("chat streams by default: lines, then one that is done, with empty content and whole numbers")
def chat(t):
    with Server(SCRIPT) as s:
        out = lines(t, s.post("/api/chat", ask("hello")))
        for line in out[:-1]:
            t.keys(line, "model", "created_at", "message", "done")
            t.equal((line["message"]["role"], line["done"]), ("assistant", False))
        t.equal("".join(line["message"]["content"] for line in out), "Hello you")
        t.keys(out[-1], "model", "created_at", "message", *ENDS)
        t.equal((out[-1]["message"], out[-1]["done"], out[-1]["done_reason"]), ({"role": "assistant", "content": ""}, True, "stop"))
        t.equal((out[-1]["prompt_eval_count"], out[-1]["eval_count"]), (9, 3))
        t.true(all(isinstance(out[-1][k], int) for k in ENDS[2:]))
        t.match(out[0]["created_at"], r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d.*")
        one = s.post("/api/chat", ask("hello", stream=False))
        t.equal((one.header("Content-Type"), one.json()["message"]), ("application/json", {"role": "assistant", "content": "Hello you"}))
        t.keys(one.json(), "model", "created_at", "message", *ENDS)
        t.equal(s.post("/api/chat", ask("long", stream=False)).json()["done_reason"], "length")
        t.equal(lines(t, s.post("/api/chat", ask("lines")))[0]["message"]["content"], "a\u2028b\u0085c")


@case("thinking apart, and not at all when it is not wanted")
def think(t):
    with Server(SCRIPT) as s:
        m = s.post("/api/chat", ask("think", stream=False, think=True)).json()["message"]
        t.equal((m["content"], m["thinking"]), ("42", "Let me see."))
        t.equal("".join(x["message"].get("thinking", "") for x in lines(t, s.post("/api/chat", ask("think", think="high")))), "Let me see.")
        t.true("thinking" not in s.post("/api/chat", ask("think", stream=False, think=False)).json()["message"])


@case("tool calls hold objects, once each; history with them is taken back")
def tools(t):
    tool = [{"type": "function", "function": {"name": n, "parameters": {"type": "object"}}} for n in "fg"]
    calls = [{"function": {"name": "f", "arguments": {"a": 1}}}, {"function": {"name": "g", "arguments": {}}}]
    with Server(SCRIPT) as s:
        t.equal(s.post("/api/chat", ask("tool", tools=tool, stream=False)).json()["message"]["tool_calls"], calls)
        out = lines(t, s.post("/api/chat", ask("tool", tools=tool)))
        t.equal([x["message"]["tool_calls"] for x in out if "tool_calls" in x["message"]], [calls])
        history = [{"role": "user", "content": "go"}, {"role": "assistant", "content": "", "thinking": "x", "tool_calls": calls},
                   {"role": "tool", "tool_name": "f", "content": "1"}, {"role": "tool", "tool_name": "g", "content": "2"},
                   {"role": "user", "content": "hello"}]
        t.equal(s.post("/api/chat", {"model": "sema:latest", "messages": history, "stream": False}).status, 200)


@case("a result finds the call of its own round, by id or by name, and thousands of rounds take no time")
def rounds(t):
    def call(name, **more):
        return {"function": {"name": name, "arguments": {}}, **more}

    def said(*calls):
        return {"role": "assistant", "content": "", "tool_calls": list(calls)}
    with Fake("openai") as f, Server(MODEL_TYPE="openai", MODEL_NAME="m", OPENAI_BASE_URL=f.url + "/v1", OPENAI_API_KEY="k") as s:
        history = [{"role": "user", "content": "go"}, said(call("f")), {"role": "user", "content": "never mind"},
                   said(call("f"), call("g", id="own")), {"role": "tool", "tool_call_id": "own", "content": "G"},
                   {"role": "tool", "tool_name": "f", "content": "F"}, {"role": "user", "content": "hello"}]
        t.equal(s.post("/api/chat", {"model": "sema", "messages": history, "stream": False}).status, 200)
        sent = f.requests("/v1/chat/completions")[-1]["body"]["messages"]
        t.equal([m["content"] for m in sent if m["role"] == "tool"], ["(no result)", "F", "G"])
        long = [said(call("f")), {"role": "tool", "tool_name": "f", "content": "x"}] * 10000 + [{"role": "user", "content": "hello"}]
        start = time.monotonic()
        t.equal(s.post("/api/chat", {"model": "sema", "messages": long, "stream": False}, timeout=30).status, 200)
        t.true(time.monotonic() - start < 10)
        many = [said(*[call("f")] * 257), {"role": "user", "content": "hello"}]
        t.has(error(t, s.post("/api/chat", {"model": "sema", "messages": many}), 400), "tool_calls: too many")


@case("generate: a prompt is answered, none only loads")
def generate(t):
    with Server(SCRIPT) as s:
        out = lines(t, s.post("/api/generate", {"model": "sema", "prompt": "hello"}))
        t.equal("".join(x["response"] for x in out), "Hello you")
        t.keys(out[-1], "model", "created_at", "response", *ENDS)
        t.equal(s.post("/api/generate", {"model": "sema", "prompt": "hello", "system": "s", "stream": False}).json()["response"], "Hello you")
        r = s.post("/api/generate", {"model": "sema"}).json()
        t.equal((r["done"], r["done_reason"]), (True, "load"))


@case("options are taken with or without meaning; a wrong one is named")
def options(t):
    with Server(SCRIPT) as s:
        for given in ({"num_predict": -1}, {"num_predict": -2}, {"num_ctx": 4096, "mirostat": 1, "stop": ["a"], "seed": 1, "temperature": 1.5}):
            t.equal(s.post("/api/chat", ask("hello", options=given, keep_alive="5m", stream=False, more=1)).status, 200, str(given))
        t.has(error(t, s.post("/api/chat", ask("hello", options={"top_p": 7})), 400), "top_p")
        for body in ("{", "[]", "", b"\xff"):
            error(t, s.post("/api/chat", body), 400)
            error(t, s.post("/api/show", body), 400)
        error(t, s.post("/api/chat", {"messages": []}), 400)
        for field, wrong in (("content", [{"type": "text", "text": "x"}]), ("images", "aaaa"), ("images", [7])):
            message = {"role": "user", "content": "hello", field: wrong}
            t.has(error(t, s.post("/api/chat", ask("hello", messages=[message])), 400), field)
        t.has(error(t, s.post("/api/chat", ask("hello", tools={})), 400), "tools")


@case("errors: their status before the start, a last line after it")
def errors(t):
    with Server(SCRIPT, PROVIDER_RETRIES="0", STREAM_RESCUE="off") as s:
        error(t, s.post("/api/chat", ask("busy")), 429)
        out = lines(t, s.post("/api/chat", ask("cut")))
        t.keys(out[-1], "error")
        t.true(not any(x.get("done") for x in out))
        error(t, s.post("/api/chat", ask("hello", model="no-such")), 404)
        for path in ("/api/pull", "/api/create", "/api/copy", "/api/push"):
            t.has(error(t, s.post(path, {"model": "x"}), 501), "sema")
        t.has(error(t, s.request("DELETE", "/api/delete", {}, "{}"), 501), "sema")


@case("keys as on /v1")
def keys(t):
    with Server(SCRIPT, API_KEY="key-of-this-test") as s:
        error(t, s.get("/api/tags"), 401)
        t.equal(s.get("/api/tags", {"Authorization": "Bearer key-of-this-test"}).status, 200)
        error(t, s.post("/api/chat", ask("hello")), 401)


@case("tags, ps, show, version")
def about(t):
    with Server(SCRIPT, MODEL_ALIASES="fast=scripted/x") as s:
        for path in ("/api/tags", "/api/ps"):
            models = s.get(path).json()["models"]
            t.true(models)
            for m in models:
                t.equal(set(m) >= {"name", "model", "modified_at", "size", "digest", "details"}, True)
                t.equal(set(m["details"]), {"format", "family", "families", "parameter_size", "quantization_level"})
        for name in ("fast", "fast:latest"):
            r = s.post("/api/show", {"model": name}).json()
            t.equal(set(r), {"details", "model_info", "capabilities", "template", "parameters"})
            t.has(r["capabilities"], "completion")
        t.equal(s.post("/api/show", {"name": "fast"}).status, 200)
        t.has(error(t, s.post("/api/show", {"model": "nope"}), 404), "model 'nope' not found")
        t.match(s.get("/api/version").json()["version"], r"\d+\.\d+\.\d+")


@case("a client that leaves frees what answered it")
def gone(t):
    with Server(SCRIPT) as s:
        with s.connect() as c:
            c.send_request("POST", "/api/chat", {"Content-Type": "application/json"}, json.dumps(ask("silent")))
            time.sleep(0.2)
            c.reset()
        began = time.monotonic()
        t.equal(s.stop(), 0)
        t.took(began, 0, 1.5)


@case("the model that is built in: text, a limit, a schema")
def local(t):
    with Server(unset=("MODEL_TYPE", "MODEL_NAME"), HF_HUB_OFFLINE="1") as s:
        r = s.post("/api/chat", ask("What is Sema?", stream=False, options={"num_predict": 5, "temperature": 0}), timeout=60).json()
        t.equal((r["done_reason"], r["eval_count"]), ("length", 5))
        schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"], "additionalProperties": False}
        r = s.post("/api/chat", ask("Is it so?", stream=False, format=schema), timeout=60).json()
        t.true(isinstance(json.loads(r["message"]["content"])["ok"], bool))


main()
