"""POST /v1/messages and what belongs to it, for Anthropic's clients, over fakes of Anthropic and of OpenAI
(openai-compat.md section 7)."""
from harness import *

KEY = "sk-ant-of-the-server-1234"
VERSION = {"anthropic-version": "2023-06-01"}


def over_anthropic(f, model="claude-opus-5-5", **more):
    return Server(MODEL_TYPE="anthropic", MODEL_NAME=model, ANTHROPIC_BASE_URL=f.url, ANTHROPIC_API_KEY=KEY,
                  PROVIDER_RETRIES="0", **more)


def over_openai(f, model="hello", **more):
    return Server(MODEL_TYPE="openai", MODEL_NAME=model, OPENAI_BASE_URL=f.url + "/v1", OPENAI_API_KEY=KEY,
                  PROVIDER_RETRIES="0", **more)


def ask(s, headers=None, **fields):
    body = {"model": "sema", "max_tokens": 100, "messages": [{"role": "user", "content": "How are you?"}], **fields}
    return s.post("/v1/messages?beta=true", body, {**VERSION, **(headers or {})})


def events(t, answer):
    """The stream's events; each is named as its data says."""
    t.equal(answer.status, 200, answer.text)
    t.equal(answer.header("Content-Type"), "text/event-stream; charset=utf-8")
    out = []
    for block in answer.text.split("\n\n"):
        if block:
            name, data = re.fullmatch(r"event: ([a-z_]+)\ndata: (.*)", block).groups()
            out.append(json.loads(data))
            t.equal(out[-1]["type"], name)
    return out


def blocks(t, got):
    """The blocks of a stream put together; they never mix, their numbers have no gap."""
    t.equal((got[0]["type"], [e["type"] for e in got[-2:]]), ("message_start", ["message_delta", "message_stop"]))
    out, is_open = [], False
    for e in got[1:-2]:
        if e["type"] == "ping":
            continue
        t.equal(e["index"], len(out) - is_open)
        if e["type"] == "content_block_start":
            t.true(not is_open, "one block at a time")
            is_open = True
            out.append({**e["content_block"], "json": ""})
        elif e["type"] == "content_block_delta":
            d = {k: v for k, v in e["delta"].items() if k != "type"}
            t.true(is_open and len(d) == 1, "a delta of an open block")
            (key, value), = d.items()
            key = "json" if key == "partial_json" else key
            out[-1][key] += value
        else:
            t.equal(e["type"], "content_block_stop")
            is_open = False
    t.true(not is_open, "the last block is closed")
    return out


@case("text, whole and streamed")
def text(t):
    with Fake("openai") as f, over_openai(f) as s:
        a = ask(s)
        m = a.json()
        t.keys(m, "id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage")
        t.match(m["id"], "msg_[A-Za-z0-9]{24}")
        t.equal((m["type"], m["role"], m["content"]), ("message", "assistant", [{"type": "text", "text": "Hello!"}]))
        t.equal((m["stop_reason"], m["stop_sequence"]), ("end_turn", None))
        t.equal(m["usage"], {"input_tokens": 9, "output_tokens": 2, "cache_creation_input_tokens": 0,
                             "cache_read_input_tokens": 0})
        t.true(a.header("request-id"), "request-id")
        got = events(t, ask(s, stream=True))
        t.equal([e["type"] for e in got], ["message_start", "content_block_start", *["content_block_delta"] * 3,
                                           "content_block_stop", "message_delta", "message_stop"])
        start = got[0]["message"]
        t.equal((start["content"], start["stop_reason"], start["role"]), ([], None, "assistant"))
        t.equal(got[1]["content_block"], {"type": "text", "text": ""})
        t.equal(blocks(t, got)[0]["text"], "Hello!")
        t.equal(got[-2]["delta"], {"stop_reason": "end_turn", "stop_sequence": None})


@case("stop reasons, and an answer of nothing")
def stops(t):
    with Fake("openai") as f:
        for model, reason in (("length", "max_tokens"), ("filter", "refusal"), ("empty-text", "end_turn")):
            with over_openai(f, model) as s:
                t.equal(ask(s).json()["stop_reason"], reason)
                t.equal(events(t, ask(s, stream=True))[-2]["delta"]["stop_reason"], reason)
        with over_openai(f, "empty-text") as s:
            t.equal(ask(s).json()["content"], [])


@case("tools: one, two at once, none of the arguments")
def tools(t):
    tool = [{"name": "f", "description": "d", "input_schema": {"type": "object"}}, {"type": "web_search_20250305", "name": "w"}]
    rows = [("tool", [("get_weather", {"city": "Oslo", "id": 12345678901234567890})]),
            ("two-tools", [("f", {"a": 1}), ("g", {"b": 2})]),
            ("tool-empty-args", [("f", {})]), ("tool-null-args", [("f", {})])]  # T3
    with Fake("openai") as f:
        for model, want in rows:
            with over_openai(f, model) as s:
                m = ask(s, tools=tool).json()
                calls = [b for b in m["content"] if b["type"] == "tool_use"]
                t.equal([(c["name"], c["input"]) for c in calls], want, model)
                t.equal(m["stop_reason"], "tool_use")
                got = events(t, ask(s, tools=tool, stream=True))
                calls = [b for b in blocks(t, got) if b["type"] == "tool_use"]
                t.equal([(c["name"], json.loads(c["json"] or "{}")) for c in calls], want, model)
                t.true(all(c["input"] == {} and c["id"] for c in calls), "input begins empty")
                t.equal(got[-2]["delta"]["stop_reason"], "tool_use")


@case("results come before the text beside them")  # T5
def results_first(t):
    talk = [{"role": "user", "content": "Paris?"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}},
                                              {"type": "tool_use", "id": "t2", "name": "f", "input": {"n": 1}}]},
            {"role": "user", "content": [{"type": "text", "text": "and Oslo?"},
                                         {"type": "tool_result", "tool_use_id": "t1", "content": "one"},
                                         {"type": "text", "text": "now"},
                                         {"type": "tool_result", "tool_use_id": "t2", "is_error": True,
                                          "content": [{"type": "text", "text": "two"}]}]}]
    tool = [{"name": "f", "input_schema": {"type": "object"}}]
    with Fake("anthropic") as f, over_anthropic(f) as s:
        t.equal(ask(s, messages=talk, tools=tool).status, 200)
        t.equal(f.requests("/v1/messages")[-1]["body"]["messages"][-1]["content"],
                [{"type": "tool_result", "tool_use_id": "t1", "content": "one"},
                 {"type": "tool_result", "tool_use_id": "t2", "content": "two", "is_error": True},
                 {"type": "text", "text": "and Oslo?"}, {"type": "text", "text": "now"}])
    with Fake("openai") as f, over_openai(f) as s:
        t.equal(ask(s, messages=talk, tools=tool).status, 200)
        sent = f.requests("/v1/chat/completions")[-1]["body"]["messages"][2:]
        t.equal([m["role"] for m in sent], ["tool", "tool", "user"])
        t.true("and Oslo?" in json.dumps(sent[2]) and "now" in json.dumps(sent[2]), "both texts")


@case("thinking with its signature, there and back; another's is left out")
def thinking(t):
    tool = [{"name": "f", "input_schema": {"type": "object"}}]
    wish = {"tools": tool, "thinking": {"type": "enabled", "budget_tokens": 2000}, "max_tokens": 4000}
    for model in ("claude-opus-5-5", "claude-haiku-4-5"):
        with Fake("anthropic") as f, over_anthropic(f) as s:
            name = f"anthropic/{model}+tool-loop"
            m = ask(s, model=name, **wish).json()
            t.equal([b["type"] for b in m["content"]], ["thinking", "tool_use"])
            t.equal(m["content"][0]["thinking"], "I should look.")
            t.match(m["content"][0]["signature"], "sig_[0-9]+")
            streamed = blocks(t, events(t, ask(s, model=name, stream=True, **wish)))
            t.equal((streamed[0]["type"], streamed[0]["thinking"]), ("thinking", "I should look."))
            t.match(streamed[0]["signature"], "sig_[0-9]+")

            talk = [{"role": "user", "content": "Go"}, {"role": "assistant", "content": m["content"]},
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": m["content"][1]["id"], "content": "1"}]}]
            t.equal(ask(s, model=name, messages=talk, **wish).status, 200)
            back = f.requests("/v1/messages")[-1]["body"]["messages"][1]["content"]
            t.equal(back[0], m["content"][0])

            for signature in ("", "m1-of-somebody"):  # R2
                talk[1]["content"][0]["signature"] = signature
                t.equal(ask(s, model=name, messages=talk, **wish).status, 200)
                back = f.requests("/v1/messages")[-1]["body"]["messages"][1]["content"]
                t.equal([b["type"] for b in back], ["tool_use"])


@case("reasoning of others is thinking with a token of ours, only where it is asked for")
def foreign_thinking(t):
    with Fake("openai") as f, over_openai(f, "reasoning") as s:
        m = ask(s, thinking={"type": "adaptive"}).json()
        t.equal([(b["type"], b.get("thinking", b.get("text"))) for b in m["content"]], [("thinking", "Think"), ("text", "42")])
        t.true(m["content"][0]["signature"], "a signature")
        got = blocks(t, events(t, ask(s, thinking={"type": "adaptive"}, stream=True)))
        t.equal([b["type"] for b in got], ["thinking", "text"])
        t.true(got[0]["signature"], "a signature")
        t.equal([b["type"] for b in ask(s).json()["content"]], ["text"])
        with Fake("anthropic") as other:  # our own token never goes up
            with over_anthropic(other) as a:
                talk = [{"role": "user", "content": "Go"}, {"role": "assistant", "content": m["content"]},
                        {"role": "user", "content": "On"}]
                t.equal(ask(a, messages=talk).status, 200)
                t.true("sema-" not in json.dumps(other.requests("/v1/messages")[-1]["body"]), "our token")


@case("what the client wants cached is said to Anthropic, and to nobody else")
def caching(t):
    keep = {"cache_control": {"type": "ephemeral"}}
    fields = {"system": [{"type": "text", "text": "A"}, {"type": "text", "text": "B", **keep}],
              "tools": [{"name": "f", "input_schema": {"type": "object"}}, {"name": "g", "input_schema": {"type": "object"}, **keep}],
              "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "text", "text": "y", **keep}]}]}
    with Fake("anthropic") as f, over_anthropic(f) as s:
        t.equal(ask(s, **fields).status, 200)
        sent = f.requests("/v1/messages")[-1]["body"]
        t.equal(sent["system"], fields["system"])
        t.equal([x.get("cache_control") for x in sent["tools"]], [None, keep["cache_control"]])
        t.equal(sent["messages"][0]["content"], fields["messages"][0]["content"])
    with Fake("openai") as f, over_openai(f) as s:
        t.equal(ask(s, **fields).status, 200)
        t.true("cache" not in json.dumps(f.requests("/v1/chat/completions")[-1]["body"]), "none to others")


@case("the three input counts are disjoint")  # U1, U3
def usage(t):
    want = {"input_tokens": 10, "output_tokens": 20, "cache_creation_input_tokens": 30, "cache_read_input_tokens": 60}
    with Fake("openai") as f, over_openai(f, "usage-details") as s:
        t.equal(ask(s).json()["usage"], want)
        t.equal(events(t, ask(s, stream=True))[-2]["usage"], want)
    with Fake("anthropic") as f, over_anthropic(f, "usage-late") as s:
        want = {"input_tokens": 5, "output_tokens": 4, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 20}
        t.equal(events(t, ask(s, stream=True))[-2]["usage"], want)


@case("errors in shape, before the stream and inside it")
def errors(t):
    rows = [("context", 400, "invalid_request_error"), ("status-401", 502, "api_error"), ("status-429", 429, "rate_limit_error"),
            ("status-500", 502, "api_error"), ("status-529", 529, "overloaded_error"), ("quota", 503, "overloaded_error"),
            ("status-400", 400, "invalid_request_error")]
    with Fake("openai") as f:
        for model, status, kind in rows:
            with over_openai(f, model, PROVIDER_BREAKER_FAILURES="0") as s:
                for stream in (False, True):
                    a = ask(s, stream=stream)
                    e = a.json()
                    t.equal((model, a.status, e["type"], e["error"]["type"]), (model, status, "error", kind))
                    t.true(e["request_id"] and a.header("request-id"), "a request id")
                    t.true(KEY not in a.text, "no key")
                    if status in (429, 503):
                        t.true(a.header("retry-after"), "retry-after")
                    if model == "context":
                        t.true(e["error"]["message"].startswith("prompt is too long: "), e["error"]["message"])
        for model in ("error-mid-stream", "reset-between", "eof"):  # S4
            with over_openai(f, model) as s:
                got = events(t, ask(s, stream=True))
                t.equal(got[-1]["type"], "error")
                t.true(all(e["type"] not in ("message_delta", "message_stop") for e in got), "no end that looks good")
                t.equal(ask(s).status, 502)


@case("what is missing or wrong is said")
def wrong(t):
    with Fake("openai") as f, over_openai(f) as s:
        a = s.post("/v1/messages", {"model": "sema", "messages": [{"role": "user", "content": "x"}]})
        t.equal((a.status, a.json()["error"]), (400, {"type": "invalid_request_error", "message": "max_tokens: Field required"}))
        for fields in ({"messages": []}, {"messages": "x"}, {"messages": [{"role": "robot", "content": "x"}]}, {"max_tokens": 0},
                       {"messages": [{"role": "user", "content": [{"type": "audio"}]}]}, {"temperature": "warm"}):
            a = ask(s, **fields)
            t.equal((fields, a.status, a.json()["error"]["type"]), (fields, 400, "invalid_request_error"))
        a = ask(s, model="no-such-model-anywhere")
        t.equal((a.status, a.json()["error"]["type"]), (404, "not_found_error"))
        a = s.get("/v1/messages")
        t.equal((a.status, a.json()["type"], a.header("Allow")), (405, "error", "POST"))
        a = ask(s, context_management={}, mcp_servers=[], container=None, betas=["x"], speed="fast", metadata={"user_id": "u"},
                system=[{"type": "text", "text": "S", "cache_control": {"type": "ephemeral"}}])
        t.equal(a.status, 200, a.text)


@case("both ways to show a key")
def both_keys(t):
    with Fake("openai") as f, over_openai(f, API_KEY="mine-5678") as s:
        t.equal(ask(s, {"x-api-key": "mine-5678"}).status, 200)
        t.equal(ask(s, {"Authorization": "Bearer mine-5678"}).status, 200)
        for wrong_key in ({}, {"x-api-key": "other"}, {"Authorization": "Bearer other"}):
            a = ask(s, wrong_key)
            t.equal((a.status, a.json()["type"], a.json()["error"]["type"]), (401, "error", "authentication_error"))


@case("counting tokens, and the models in Anthropic's shape")
def count_and_models(t):
    with Fake("openai", "--no-count") as f, over_openai(f) as s:
        body = {"model": "sema", "messages": [{"role": "user", "content": "x" * 400}]}
        a = s.post("/v1/messages/count_tokens", body, VERSION)
        t.equal(a.status, 200, a.text)
        t.keys(a.json(), "input_tokens")
        small = a.json()["input_tokens"]
        t.true(100 <= small <= 110, small)
        body["tools"] = [{"name": "f", "description": "y" * 400, "input_schema": {"type": "object"}}]
        t.true(s.post("/v1/messages/count_tokens", body, VERSION).json()["input_tokens"] >= small + 100, "tools count")
        a = s.post("/v1/messages/count_tokens", "{", VERSION)
        t.equal((a.status, a.json()["type"]), (400, "error"))
        m = s.get("/v1/models?limit=5", VERSION).json()
        t.keys(m, "data", "has_more", "first_id", "last_id")
        t.equal((m["first_id"], m["last_id"], m["has_more"]), ("hello", m["data"][-1]["id"], False))
        t.keys(m["data"][0], "type", "id", "display_name", "created_at")
        t.match(m["data"][0]["created_at"], r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
        t.equal(s.get("/v1/models/hello", VERSION).json()["type"], "model")
        a = s.get("/v1/models/other", VERSION)
        t.equal((a.status, a.json()["error"]["type"]), (404, "not_found_error"))
        t.equal(s.get("/v1/models").json()["object"], "list")


@case("a ping while nothing comes")
def ping(t):
    with Fake("openai") as f, over_openai(f, "never") as s:
        with Sse(s, "/v1/messages", {"Content-Type": "application/json"}, timeout=20, method="POST",
                 body=json.dumps({"model": "sema", "max_tokens": 9, "stream": True,
                                  "messages": [{"role": "user", "content": "x"}]})) as e:
            t.equal(e.status, 200)
            t.equal(e.chunk(), b'event: ping\ndata: {"type":"ping"}\n\n')


@case("a stop string ends the answer before it, and is named: by the model here, by a provider, by none")
def stops(t):
    def told(s, **fields):
        some = ["you", "\n\n", "1", "2", "3"]
        whole = ask(s, stop_sequences=some, **fields).json()
        got = events(t, ask(s, stream=True, stop_sequences=some, **fields))
        text = "".join(b["text"] for b in blocks(t, got) if b["type"] == "text")
        t.equal((text, got[-2]["delta"]),
                (whole["content"][0]["text"], {k: whole[k] for k in ("stop_reason", "stop_sequence")}))
        return text, whole["stop_reason"], whole["stop_sequence"]
    with Fake("openai") as f, over_openai(f, "no-stop") as s:  # says once that it takes none
        for _ in range(2):
            t.equal(told(s), ("How are ", "stop_sequence", "you"))
        t.equal(len(f.requests("/v1/chat/completions")), 5)
    with Fake("anthropic") as f, over_anthropic(f, "stop-sequence") as s:
        t.equal(told(s), ("a", "stop_sequence", "you"))
    with Server(MODEL_TYPE="local", MODEL_NAME="sema-guide") as s:
        text = ask(s, max_tokens=30, temperature=0).json()["content"][0]["text"]
        word = text.split()[1]
        whole = ask(s, max_tokens=30, temperature=0, stop_sequences=["~~", word]).json()
        t.equal((whole["content"][0]["text"], whole["stop_reason"], whole["stop_sequence"]),
                (text[:text.index(word)], "stop_sequence", word))


main()
