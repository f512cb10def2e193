"""OpenAI's Responses API, served: the stateless subset and its stream (openai-compat.md 6)."""
from harness import *

SCRIPT = [
    {"when": "hello", "pieces": ["Hel", "lo ", "you"], "usage": {"prompt": 9, "completion": 3, "cached": 4}},
    {"when": "think", "pieces": [{"reasoning": "Let me "}, {"reasoning": "see."}, "42"], "usage": {"prompt": 9, "completion": 4, "reasoning": 3}},
    {"when": "tool", "finish": "tool_calls", "pieces": ["I look.",
        {"tool": {"id": "call_a", "name": "f", "args": ["{\"a\":", "1}"]}}, {"tool": {"id": "call_b", "name": "g", "args": []}}]},
    {"when": "patch", "finish": "tool_calls", "pieces": [{"tool": {"id": "call_p", "name": "patch", "args": ["{\"input\":", "\"a\\nb\"}"]}}]},
    {"when": "cut", "pieces": ["word", {"error": "server", "status": 500}]},
    {"when": "busy", "pieces": [{"error": "rate_limit", "retry_after_ms": 2000, "status": 429}]},
    {"when": "long", "finish": "length", "pieces": ["half"]},
    {"when": "nothing", "pieces": []},
    {"when": "what", "pieces": [{"echo": "conversation"}]},
]
KEYS = ["id", "object", "created_at", "status", "error", "incomplete_details", "model", "output", "instructions", "max_output_tokens",
        "parallel_tool_calls", "previous_response_id", "reasoning", "store", "temperature", "text", "tool_choice", "tools", "top_p",
        "truncation", "metadata", "usage"]
PATH = "/v1/responses"
TOOLS = [{"type": "function", "name": "f", "parameters": {"type": "object"}}, {"type": "function", "name": "g"}]


def ask(text, **fields):
    return {"model": "sema", "input": text, **fields}


def events(t, r):
    """A stream's events: named as their type, numbered without gaps, indices and ids fitting together."""
    t.equal((r.status, r.header("Content-Type")), (200, "text/event-stream; charset=utf-8"), repr(r))
    out = []
    for block in r.text.split("\n\n")[:-1]:
        name, data = block.split("\n")
        e = json.loads(data.removeprefix("data: "))
        t.equal(name, "event: " + e["type"])
        out.append(e)
    t.equal([e["sequence_number"] for e in out], list(range(len(out))))
    t.equal([e["type"] for e in out[:2]], ["response.created", "response.in_progress"])
    items = {}
    for e in out:
        if e["type"] == "response.output_item.added":
            t.equal(e["output_index"], len(items))
            items[e["output_index"]] = e["item"]["id"]
        elif "item_id" in e:
            t.equal(items[e["output_index"]], e["item_id"])
    return out


@case("a whole response has every key, its output and usage with both details")
def whole(t):
    with Server(SCRIPT) as s:
        a = s.post(PATH, ask("hello", instructions="Be brief", metadata={"k": "v"}, max_output_tokens=50, store=True)).json()
        t.keys(a, *KEYS)
        t.match(a["id"], "resp_[A-Za-z0-9]{24}")
        t.equal((a["object"], a["status"], a["error"], a["instructions"], a["metadata"], a["store"], a["max_output_tokens"]),
                ("response", "completed", None, "Be brief", {"k": "v"}, False, 50))
        m = a["output"][0]
        t.equal((len(a["output"]), m["type"], m["role"], m["status"], m["content"]),
                (1, "message", "assistant", "completed", [{"type": "output_text", "text": "Hello you", "annotations": [], "logprobs": []}]))
        t.equal(a["usage"], {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 3,
                             "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 12})
        out = s.post(PATH, ask("think")).json()["output"]
        t.equal([(i["type"], i["id"][:3]) for i in out], [("reasoning", "rs_"), ("message", "msg")])
        t.equal(out[0]["summary"], [{"type": "summary_text", "text": "Let me see."}])
        a = s.post(PATH, ask("long")).json()
        t.equal((a["status"], a["incomplete_details"]), ("incomplete", {"reason": "max_output_tokens"}))


@case("a stream of text: begun, filled, ended in order, the last event holds all of it")
def stream(t):
    with Server(SCRIPT) as s:
        out = events(t, s.post(PATH, ask("hello", stream=True)))
        t.equal([e["type"].removeprefix("response.") for e in out[2:]],
                ["output_item.added", "content_part.added", *["output_text.delta"] * 3, "output_text.done", "content_part.done",
                 "output_item.done", "completed"])
        t.equal("".join(e["delta"] for e in out if e["type"].endswith("delta")), "Hello you")
        last = out[-1]["response"]
        t.keys(last, *KEYS)
        t.equal((last["id"], last["output"][0]), (out[0]["response"]["id"], out[-2]["item"]))
        t.equal((last["usage"]["total_tokens"], out[0]["response"]["status"], out[0]["response"]["output"]), (12, "in_progress", []))
        out = events(t, s.post(PATH, ask("think", stream=True)))
        t.equal([e["type"].removeprefix("response.") for e in out[2:9]],
                ["output_item.added", "reasoning_summary_part.added", *["reasoning_summary_text.delta"] * 2, "reasoning_summary_text.done",
                 "reasoning_summary_part.done", "output_item.done"])
        t.equal([i["type"] for i in out[-1]["response"]["output"]], ["reasoning", "message"])
        t.equal(events(t, s.post(PATH, ask("long", stream=True)))[-1]["type"], "response.incomplete")
        t.equal(events(t, s.post(PATH, ask("nothing", stream=True)))[-1]["response"]["output"][0]["content"][0]["text"], "")


@case("tools: calls in order, whole and streamed; a custom tool's call is one text; history is taken back")
def tools(t):
    tool = [{"type": "function", "name": n, "parameters": {"type": "object"}, "strict": False} for n in "fg"]
    tool += [{"type": "custom", "name": "patch", "format": {"type": "grammar"}}, {"type": "web_search"}]
    with Server(SCRIPT) as s:
        want = [("message", None, None), ("function_call", "call_a", "{\"a\":1}"), ("function_call", "call_b", "{}")]

        def told(output):
            return [(i["type"], i.get("call_id"), i.get("arguments")) for i in output]
        t.equal(told(s.post(PATH, ask("tool", tools=tool)).json()["output"]), want)
        out = events(t, s.post(PATH, ask("tool", tools=tool, stream=True)))
        t.equal(told(out[-1]["response"]["output"]), want)
        t.equal([(e["name"], e["arguments"]) for e in out if e["type"].endswith("arguments.done")], [("f", "{\"a\":1}"), ("g", "{}")])
        t.equal([told([e["item"]])[0] for e in out if e["type"].endswith("output_item.done")], want)
        for body in (s.post(PATH, ask("patch", tools=tool)).json(), events(t, s.post(PATH, ask("patch", tools=tool, stream=True)))[-1]["response"]):
            i = body["output"][0]
            t.equal((i["type"], i["call_id"], i["name"], i["input"]), ("custom_tool_call", "call_p", "patch", "a\nb"))
        history = [
            {"role": "developer", "content": "rules"}, {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "go"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "x"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ok", "annotations": []}]},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": "a\nb"},
            {"type": "function_call_output", "call_id": "c1", "output": "one"},
            {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "two"}]},
            {"type": "web_search_call", "id": "w"}, {"role": "user", "content": "what now"}]
        r = s.post(PATH, ask(history, tools=tool, instructions="top"))
        t.equal(r.status, 200, repr(r))
        text = r.json()["output"][0]["content"][0]["text"]
        for part in ("top", "rules", "go", "ok", "one", "two", "what now"):
            t.has(text, part)
        t.equal(text.count("assistant:"), 1, "the items of one answer are one message")


@case("what is refused, and errors before and after the start")
def refused(t):
    with Server(SCRIPT, PROVIDER_RETRIES="0", STREAM_RESCUE="off") as s:
        for fields, param in (({"previous_response_id": "resp_1"}, "previous_response_id"), ({"background": True}, "background"),
                              ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"), ({"input": None}, "input"), ({"input": []}, "input"),
                              ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role"), ({"input": [{"role": "user"}]}, "input[0].content"),
                              ({"tools": TOOLS, "tool_choice": "sometimes"}, "tool_choice"),
                              ({"tools": TOOLS, "tool_choice": {"type": "function", "name": "h"}}, "tool_choice"),
                              ({"tools": TOOLS, "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}}, "tool_choice"),
                              ({"max_output_tokens": 0}, "max_output_tokens"),
                              ({"text": {"format": {"type": "json_schema"}}}, "text.format"), ({"tools": {}}, "tools"), ({"model": None}, "model")):
            r = s.post(PATH, ask("hello") | fields)
            t.equal((r.status, r.json()["error"]["param"]), (400, param), repr(r))
        for choice in ("auto", {"type": "function", "name": "f"}, {"type": "web_search"},
                       {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]}):
            t.equal(s.post(PATH, ask("hello", tools=TOOLS, tool_choice=choice)).status, 200, str(choice))
        t.equal(s.post(PATH, ask("hello", previous_response_id=None, background=False, include=["x"], prompt_cache_key="k")).status, 200)
        for more in ({}, {"stream": True}):
            r = s.post(PATH, ask("busy", **more))
            t.equal((r.status, r.json()["error"]["type"]), (429, "rate_limit_error"))
        out = events(t, s.post(PATH, ask("cut", stream=True)))
        t.equal((out[-1]["type"], out[-1]["response"]["status"], out[-1]["response"]["error"]["code"]), ("response.failed", "failed", "upstream_error"))
        t.true(out[-1]["response"]["error"]["message"])


@case("the model that is built in answers by a schema")
def local(t):
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"], "additionalProperties": False}
    form = {"format": {"type": "json_schema", "name": "n", "schema": schema, "strict": True}}
    with Server(unset=("MODEL_TYPE", "MODEL_NAME"), HF_HUB_OFFLINE="1") as s:
        a = s.post(PATH, {**ask("Is it so?"), "text": form}, timeout=60).json()
        t.true(isinstance(json.loads(a["output"][0]["content"][0]["text"])["ok"], bool))
        t.equal(a["text"], form)


main()
