#!/usr/bin/env python3
"""A strict fake of Anthropic's Messages API.

    python3 tests/fakes/anthropic.py --port 9000 [--log requests.jsonl] [--key sk-ant-test]

The model's name chooses what happens: the functions named case_* below, "_" written as "-" ("reset-between").  Any other
model echoes the newest text of the user, after some thinking where that is on.  "claude-opus-4-5+tool" plays the case by
the rules of that family; a name without "claude" takes every field.  A request that breaks a rule gets Anthropic's own
error; a thinking block is taken only with a signature that this process gave.  The first line on standard output is
"listening on 127.0.0.1:PORT"; each request is one JSON line of the log.  GET /fake/calls?model=M tells how often M was
asked, GET /fake/gone how many clients left early."""
import json
import re
import threading

import fake
from fake import ARGS

FIELDS = {"model", "max_tokens", "messages", "system", "temperature", "top_p", "top_k", "stop_sequences", "stream", "tools",
          "tool_choice", "thinking", "output_config", "metadata", "service_tier"}
ISSUED = set()
ISSUED_LOCK = threading.Lock()


def error(kind, message, **more):
    return {"type": "error", "error": {"type": kind, "message": message, **more}, "request_id": "req_fake"}


class Refusal(fake.Refusal):
    def __init__(self, message, status=400, kind="invalid_request_error"):
        super().__init__(status, message, error(kind, message))


# ---- the pieces of a stream ----------------------------------------------------------------------------------------

class Peer(fake.Peer):
    id_field = "request-id"
    broken_json = error("invalid_request_error", "The request body is not valid JSON")
    index = -1

    def event(self, kind, **fields):
        self.chunk(f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n")

    def start(self, usage=None, **how):
        self.begin(**how)
        self.index = -1
        self.event("message_start", message={
            "id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": self.json.get("model"),
            "stop_reason": None, "stop_sequence": None,
            "usage": usage if usage is not None else {"input_tokens": 9, "output_tokens": 1}})

    def open(self, kind, **fields):
        self.index += 1
        self.event("content_block_start", index=self.index, content_block={"type": kind, **fields})

    def delta(self, kind, index=None, **fields):
        self.event("content_block_delta", index=self.index if index is None else index, delta={"type": kind, **fields})

    def shut(self):
        self.event("content_block_stop", index=self.index)

    def text(self, *pieces):
        self.open("text", text="")
        for piece in pieces:
            self.delta("text_delta", text=piece)
        self.shut()

    def thinking(self, *pieces, signature=None):
        self.open("thinking", thinking="", signature="")
        for piece in pieces:
            self.delta("thinking_delta", thinking=piece)
        self.delta("signature_delta", signature=signature or issue())
        self.shut()

    def tool(self, id, name, *pieces):
        self.open("tool_use", id=id, name=name, input={})
        for piece in pieces:
            self.delta("input_json_delta", partial_json=piece)
        self.shut()

    def finish(self, reason="end_turn", usage=None, stop=True, at=None):
        self.event("message_delta", delta={"stop_reason": reason, "stop_sequence": at},
                   usage=usage if usage is not None else {"output_tokens": 2})
        if stop:
            self.event("message_stop")
            self.end()

    def say(self, *pieces, **how):
        self.start()
        if pieces:
            self.text(*pieces)
        self.finish(**how)


def issue():
    with ISSUED_LOCK:
        ISSUED.add(f"sig_{len(ISSUED) + 1}")
        return f"sig_{len(ISSUED)}"


# ---- the rules -----------------------------------------------------------------------------------------------------

LOW_TO_MAX = {"low", "medium", "high", "xhigh", "max"}
# part of the id: most output, sampling, thinking types, efforts, forced tool, prefill, schema
FAMILIES = [
    (r"claude-(sonnet|opus)-5-5|claude-fable-5-[12]", 128000, False, {"adaptive"}, LOW_TO_MAX, False, False, True),
    (r"claude-haiku-5-5|claude-opus-5|claude-opus-4-[78]|claude-sonnet-5", 128000, False, {"adaptive", "disabled"}, LOW_TO_MAX,
     True, False, True),
    (r"claude-fable-5|mythos", 128000, False, {"adaptive"}, LOW_TO_MAX, True, False, True),
    (r"claude-opus-4-6", 128000, True, {"adaptive", "enabled", "disabled"}, LOW_TO_MAX - {"xhigh"}, True, False, True),
    (r"claude-sonnet-4-6", 64000, True, {"adaptive", "enabled", "disabled"}, LOW_TO_MAX - {"xhigh"}, True, False, True),
    (r"claude-opus-4-5", 64000, True, {"enabled", "disabled"}, {"low", "medium", "high"}, True, True, True),
    (r"claude-.*-4-5", 64000, True, {"enabled", "disabled"}, set(), True, True, True),
    (r"claude-opus-4", 32000, True, {"enabled", "disabled"}, set(), True, True, False),
    (r"claude-sonnet-4", 64000, True, {"enabled", "disabled"}, set(), True, True, False),
    (r"claude-3-[57]", 8192, True, set(), set(), True, True, False),
    (r"claude-3", 4096, True, set(), set(), True, True, False),
    (r"claude", 128000, False, {"adaptive"}, LOW_TO_MAX, True, False, True),
    (r"", 10 ** 9, True, {"adaptive", "enabled", "disabled"}, LOW_TO_MAX, True, True, True),
]


def need(condition, message):
    if not condition:
        raise Refusal(message)


def check_family(q):
    model = q["model"]
    _, most, sampling, thinking, efforts, forced, prefill, schema = next(f for f in FAMILIES if re.search(f[0], model))
    kind = q.get("thinking", {}).get("type")
    config = q.get("output_config", {})
    need(q["max_tokens"] <= most, f"max_tokens: {q['max_tokens']} > {most}, which is the maximum allowed number of output "
         f"tokens for {model}")
    for field in ("temperature", "top_p", "top_k"):
        need(sampling or field not in q, f"`{field}` is deprecated for this model.")
    if "claude" in model:
        need(not ("temperature" in q and "top_p" in q),
             "`temperature` and `top_p` cannot both be specified for this model. Please use only one.")
    need(kind is None or kind in thinking, f"thinking.type.{kind} is not supported for this model.")
    on = kind in ("adaptive", "enabled")
    need(not (on and q.get("temperature", 1) != 1), "`temperature` may only be set to 1 when thinking is enabled.")
    need(not (on and "top_k" in q), "`top_k` must be unset when thinking is enabled.")
    choice = q.get("tool_choice", {}).get("type")
    if choice in ("any", "tool"):
        need(forced, "tool_choice: forcing a tool is not supported for this model.")
        need(kind != "enabled", "Thinking may not be enabled when tool_choice forces tool use.")
    if "effort" in config:
        need(config["effort"] in efforts, "This model does not support the effort parameter." if not efforts else
             f"output_config.effort: '{config['effort']}' is not supported for this model.")
    need(schema or "format" not in config, "output_config.format: structured outputs are not supported for this model.")
    if q["messages"][-1]["role"] == "assistant":
        need(prefill, "This model does not support assistant message prefill. The conversation must end with a user message.")
        need(not on, "A prefill is not possible while thinking is enabled.")
    if kind == "enabled":
        loop = [m for m in q["messages"] if m["role"] == "assistant"][-1:]
        results = isinstance(q["messages"][-1]["content"], list) and \
            any(b["type"] == "tool_result" for b in q["messages"][-1]["content"])
        if loop and results:
            need(loop[0]["content"][0]["type"] in ("thinking", "redacted_thinking"),
                 "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`. When "
                 "`thinking` is enabled, a final `assistant` message must start with a thinking block")


def check_keys(what, given, allowed):
    for key in given:
        need(key in allowed, f"{what}.{key}: Extra inputs are not permitted")


def check_image(where, block):
    source = block["source"]
    if source["type"] == "base64":
        need(source["media_type"] in ("image/jpeg", "image/png", "image/gif", "image/webp"),
             f"{where}.image.source.base64.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'")
        need(not source["data"].startswith("data:"), f"{where}.image.source.base64.data: invalid base64")
        check_keys(where, source, {"type", "media_type", "data"})
    else:
        need(source["type"] == "url" and source["url"].startswith("https://"), f"{where}.image.source: invalid")


def check_block(where, role, block):
    kind = block.get("type")
    allowed = {"text": {"type", "text", "cache_control"}, "image": {"type", "source", "cache_control"},
               "tool_use": {"type", "id", "name", "input", "cache_control"},
               "tool_result": {"type", "tool_use_id", "content", "is_error", "cache_control"},
               "thinking": {"type", "thinking", "signature"}, "redacted_thinking": {"type", "data"}}
    need(kind in allowed, f"{where}: Input tag '{kind}' found using 'type' does not match any of the expected tags")
    check_keys(where, block, allowed[kind])
    if kind == "text":
        need(block["text"], f"{where}.text: text content blocks must be non-empty")
        need(block["text"].strip(), f"{where}.text: text content blocks must contain non-whitespace text")
    elif kind == "image":
        check_image(where, block)
    elif kind == "tool_use":
        need(role == "assistant", f"{where}: `tool_use` blocks can only be in `assistant` messages")
        need(re.fullmatch(r"[A-Za-z0-9_-]+", block["id"]), f"{where}.tool_use.id: String should match pattern")
        need(isinstance(block["input"], dict), f"{where}.tool_use.input: Input should be a valid dictionary")
    elif kind == "tool_result":
        need(role == "user", f"{where}: `tool_result` blocks can only be in `user` messages")
        if isinstance(block.get("content"), list):
            for i, part in enumerate(block["content"]):
                check_block(f"{where}.content.{i}", "user", part)
    elif kind == "thinking":
        need(role == "assistant" and block.get("signature"), f"{where}.thinking.signature: Field required")
        need(block["signature"] in ISSUED, f"{where}: Invalid `signature` in `thinking` block")
    elif kind == "redacted_thinking":
        need(block["data"] in ISSUED, f"{where}: Invalid `data` in `redacted_thinking` block")


def check_messages(messages):
    need(isinstance(messages, list) and messages, "messages: at least one message is required")
    need(messages[0]["role"] == "user", "messages: first message must use the \"user\" role")
    open_calls, last = [], None
    for i, m in enumerate(messages):
        role, content = m["role"], m["content"]
        check_keys(f"messages.{i}", m, {"role", "content"})
        need(role in ("user", "assistant"), f"messages.{i}.role: Input should be 'user' or 'assistant'")
        need(role != last, f"messages.{i}: roles must alternate (this fake wants them merged)")
        last = role
        need(content and (not isinstance(content, str) or content.strip()),
             f"messages.{i}: {role} messages must have non-empty content")
        blocks = content if isinstance(content, list) else []
        for k, block in enumerate(blocks):
            check_block(f"messages.{i}.content.{k}", role, block)
        results = [b["tool_use_id"] for b in blocks if b["type"] == "tool_result"]
        kinds = [b["type"] for b in blocks]
        if results:
            need(kinds[:len(results)] == ["tool_result"] * len(results),
                 f"messages.{i}: `tool_result` blocks must come first in the message")
        missing = [id for id in open_calls if id not in results]
        need(not missing, f"messages.{i}: `tool_use` ids were found without `tool_result` blocks immediately after: "
             f"{', '.join(missing)}")
        strange = [id for id in results if id not in open_calls]
        need(not strange, f"messages.{i}: unexpected `tool_use_id` found in `tool_result` blocks: {', '.join(strange)}")
        open_calls = [b["id"] for b in blocks if b["type"] == "tool_use"]
        need(len(set(open_calls)) == len(open_calls), f"messages.{i}: `tool_use` ids must be unique")
    need(not open_calls, "messages: `tool_use` ids were found without `tool_result` blocks immediately after")
    if last == "assistant":
        tail = messages[-1]["content"]
        tail = tail if isinstance(tail, str) else tail[-1].get("text", "")
        need(tail == tail.rstrip(), "messages: final assistant content cannot end with trailing whitespace")


def check_tools(q):
    if "tools" not in q:
        need("tool_choice" not in q, "tool_choice: tool_choice may only be specified while providing tools.")
        return
    names = set()
    for i, tool in enumerate(q["tools"]):
        check_keys(f"tools.{i}", tool, {"name", "description", "input_schema", "cache_control"})
        need(re.fullmatch(r"[A-Za-z0-9_-]{1,128}", tool["name"]), f"tools.{i}.name: String should match pattern")
        need(tool["name"] not in names, "tools: Tool names must be unique.")
        names.add(tool["name"])
        need(tool["input_schema"].get("type") == "object", f"tools.{i}.input_schema.type: Input should be 'object'")
    choice = q.get("tool_choice")
    if choice:
        need(choice["type"] in ("auto", "any", "tool", "none"), "tool_choice.type: invalid")
        check_keys("tool_choice", choice, {"type", "name", "disable_parallel_tool_use"})
        need((choice["type"] == "tool") == ("name" in choice), "tool_choice.name: invalid")
        need("name" not in choice or choice["name"] in names, f"tool_choice: Tool '{choice.get('name')}' not found")
        need(choice["type"] != "none" or "disable_parallel_tool_use" not in choice,
             "tool_choice.none.disable_parallel_tool_use: Extra inputs are not permitted")


def check_numbers(q):
    need(isinstance(q.get("max_tokens"), int), "max_tokens: Field required")
    need(q["max_tokens"] >= 1, "max_tokens: Input should be greater than or equal to 1")
    for field, high in (("temperature", 1), ("top_p", 1)):
        need(0 <= q.get(field, 0) <= high, f"{field}: Input should be less than or equal to {high}")
    need(q.get("top_k", 1) >= 1, "top_k: Input should be greater than or equal to 1")
    if ARGS.version >= "2026-10-21":
        for field in ("temperature", "top_p", "top_k"):
            need(field not in q, f"{field}: Extra inputs are not permitted")
    for s in q.get("stop_sequences", ["x"]):
        need(s.strip(), "stop_sequences: each stop sequence must contain non-whitespace")
    thinking = q.get("thinking", {})
    if thinking.get("type") == "enabled":
        check_keys("thinking", thinking, {"type", "budget_tokens", "display"})
        need(thinking["budget_tokens"] >= 1024, "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        need(thinking["budget_tokens"] < q["max_tokens"], "`max_tokens` must be greater than `thinking.budget_tokens`.")
    elif thinking:
        check_keys("thinking", thinking, {"type", "display"} if thinking["type"] == "adaptive" else {"type"})
    config = q.get("output_config", {"effort": "low"})
    need(config, "output_config: empty")
    check_keys("output_config", config, {"effort", "format"})
    if "format" in config:
        need(config["format"]["type"] == "json_schema" and isinstance(config["format"]["schema"], dict),
             "output_config.format: invalid")
    check_keys("metadata", q.get("metadata", {}), {"user_id"})


def authorize(p):
    given = p.headers.get("x-api-key")
    if given is None and p.headers.get("authorization", "").startswith("Bearer "):
        given = p.headers["authorization"][7:]
    if ARGS.key and given != ARGS.key:
        raise Refusal("invalid x-api-key", 401, "authentication_error")
    need(p.headers.get("anthropic-version"), "anthropic-version: header is required")
    need(p.headers["anthropic-version"] == ARGS.version, "anthropic-version: not what this fake was started with")


def check(p):
    q = p.json
    need(p.headers.get("content-type") == "application/json", "content-type must be application/json")
    need(p.headers.get("accept-encoding") == "identity" and p.headers.get("user-agent", "").startswith("sema/"), "odd fields")
    authorize(p)
    for field in q:
        need(field in FIELDS, f"{field}: Extra inputs are not permitted")
    check_numbers(q)
    system = q.get("system", "x")
    need(system, "system: text content blocks must be non-empty")
    check_messages(q.get("messages"))
    check_tools(q)
    check_family(q)


# ---- what the models do --------------------------------------------------------------------------------------------

def newest(q):
    for m in reversed(q["messages"]):
        if m["role"] == "user":
            c = m["content"]
            return c if isinstance(c, str) else " ".join(b.get("text", f"[{b['type']}]") for b in c)
    return ""


def is_thinking(q):
    return q.get("thinking", {}).get("type") in ("adaptive", "enabled")


def whole(p, *content, reason="end_turn", **more):
    p.answer(200, {"id": "msg_1", "type": "message", "role": "assistant", "model": p.json["model"], "content": list(content),
                   "stop_reason": reason, "stop_sequence": None, "usage": {"input_tokens": 9, "output_tokens": 2}, **more})


def text_block(text):
    return {"type": "text", "text": text}


def default(p):
    text = newest(p.json)
    if not p.json.get("stream"):
        thought = [{"type": "thinking", "thinking": "Hmm.", "signature": issue()}] if is_thinking(p.json) else []
        return whole(p, *thought, text_block(text))
    p.start()
    if is_thinking(p.json):
        p.thinking("Hm", "m.")
    p.text(*(text[i:i + 3] for i in range(0, len(text), 3)))
    p.finish()


def case_hello(p): p.say("Hel", "lo", "!")
def case_request(p): p.say(json.dumps(p.json, sort_keys=True, ensure_ascii=False))
def case_path(p): p.say(p.path)
def case_headers(p): p.say(json.dumps({k: p.headers.get(k) for k in ("x-api-key", "authorization", "anthropic-version",
                                                                     "accept", "cookie")}))
def case_length(p): p.say("a", reason="max_tokens")
def case_window(p): p.say("a", reason="model_context_window_exceeded")
def case_stop_sequence(p): p.say("a", reason="stop_sequence", at=p.json.get("stop_sequences", ["?"])[0])
def case_pause_turn(p): p.say("a", reason="pause_turn")
def case_filter(p): p.say("a", reason="refusal")
def case_refusal_empty(p): p.say(reason="refusal")
def case_empty_text(p): p.say()


# usage

def case_no_usage(p):
    p.start(usage={})
    p.text("four")
    p.finish(usage={})


def case_usage_details(p):  # U1, the other way round
    p.start(usage={"input_tokens": 100, "cache_creation_input_tokens": 300, "cache_read_input_tokens": 600,
                   "output_tokens": 1})
    p.text("a")
    p.finish(usage={"output_tokens": 20, "cache_read_input_tokens": None, "output_tokens_details": {"thinking_tokens": 15}})


def case_usage_late(p):  # U3
    p.start(usage={"input_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0})
    p.text("a")
    p.finish(usage={"input_tokens": 5, "cache_read_input_tokens": 20, "output_tokens": 4})


def case_usage_twice(p):
    p.start()
    p.text("a")
    p.event("message_delta", delta={"stop_reason": None}, usage={"output_tokens": 3})
    p.finish(usage={"output_tokens": 7})


# whole answers

def case_json_answer(p): whole(p, text_block("one"), text_block(" piece"))
def case_json_thinking(p): whole(p, {"type": "thinking", "thinking": "Hm", "signature": issue()},
                                 {"type": "redacted_thinking", "data": issue()}, text_block("x"))
def case_json_tools(p): whole(p, {"type": "tool_use", "id": "toolu_a", "name": "f", "input": {}}, {
    "type": "tool_use", "id": "toolu_b", "name": "g", "input": {"n": 1}}, reason="tool_use")
def case_json_no_content(p): p.answer(200, {"type": "message", "content": None})
def case_json_as_stream(p): p.answer(200, json.dumps({"type": "message", "content": [text_block("ok")]}, indent=1),
                                     "text/event-stream")


def case_stream_as_json(p):
    p.start(kind="application/json")
    p.text("ok")
    p.finish()


# tools

def case_tool(p):
    p.start()
    p.tool("toolu_a", "get_weather", "", '{"ci', 'ty":"Os', 'lo","id":12345678901234567890}')
    p.finish("tool_use")


def case_round_trip(p):  # calls, then tells what it was given
    last = p.json["messages"][-1]["content"]
    results = [b for b in last if b["type"] == "tool_result"] if isinstance(last, list) else []
    if results:
        given = results[0]["content"]
        return p.say("f said ", given if isinstance(given, str) else given[0]["text"])
    p.start()
    p.tool("toolu_rt", "f", '{"a":', "1}")
    p.finish("tool_use")


def case_json(p): p.say('{"ok":', "true}")


def case_two_tools(p):
    p.start()
    p.text("Let me see.")
    p.tool("call_a", "f", '{"a":', "1}")
    p.tool("call_b", "g", '{"b":', "2}")
    p.finish("tool_use")


def case_tool_no_args(p):  # T3
    p.start()
    p.tool("toolu_a", "f")
    p.finish("tool_use")


def case_tool_whole_input(p):
    p.start()
    p.chunk('event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"tool_use",'
            '"id":"toolu_a","name":"f","input":{"n":1.10,"id":12345678901234567890}}}\n\n')
    p.finish("tool_use")


def case_tool_escapes(p):  # S7: escapes inside arguments are text
    p.start()
    p.tool("toolu_a", "f", '{"t":"\\ud83d', '\\ude00"}')
    p.finish("tool_use")


def case_tool_cut(p):
    p.start()
    p.open("tool_use", id="toolu_a", name="f", input={})
    p.delta("input_json_delta", partial_json='{"a":')
    p.reset()


def case_tool_loop(p):
    """Thinks, calls; then wants its thinking back with the result, and answers."""
    blocks = [b for m in p.json["messages"] if isinstance(m["content"], list) for b in m["content"]]
    if any(b["type"] == "tool_result" for b in blocks):
        return p.say(" ".join(b["type"] for b in blocks))
    p.start()
    if is_thinking(p.json):
        p.thinking("I should ", "look.")
    p.tool("toolu_a", "f", '{"a":1}')
    p.finish("tool_use")


def case_json_tool(p):
    """A forced tool is called with what the user said."""
    tool = next((t["name"] for t in p.json.get("tools", [])), "none")
    p.start()
    p.tool("toolu_a", tool, '{"say":', json.dumps(newest(p.json)), "}")
    p.finish("tool_use")


# reasoning

def case_reasoning(p):
    p.start()
    p.thinking("Th", "ink")
    p.text("42")
    p.finish()


def case_signature_in_pieces(p):
    signature = issue()
    p.start()
    p.open("thinking", thinking="Th", signature="")
    p.delta("thinking_delta", thinking="ink")
    p.delta("signature_delta", signature=signature[:2])
    p.delta("signature_delta", signature=signature[2:])
    p.shut()
    p.text("42")
    p.finish()


def case_thinking_omitted(p):
    p.start()
    p.thinking()
    p.text("42")
    p.finish()


def case_redacted(p):
    p.start()
    p.open("redacted_thinking", data=issue())
    p.shut()
    p.text("42")
    p.finish()


def case_interleaved(p):
    p.start()
    p.thinking("A")
    p.text("b")
    p.thinking("C")
    p.text("d")
    p.finish()


# errors by status

def fail(status, kind, message="no", headers="", **more):
    return lambda p: p.answer(status, error(kind, message, **more), headers=headers)


case_status_400 = fail(400, "invalid_request_error")
case_status_401 = fail(401, "authentication_error", "invalid x-api-key sk-ant-REDACTED")
case_status_402 = fail(402, "billing_error")
case_status_403 = fail(403, "permission_error")
case_status_404 = fail(404, "not_found_error", "model: status-404")
case_status_408 = fail(408, "timeout_error")
case_status_409 = fail(409, "invalid_request_error")
case_status_413 = fail(413, "request_too_large")
case_status_422 = fail(422, "invalid_request_error")
case_status_429 = fail(429, "rate_limit_error")
case_status_500 = fail(500, "api_error")
case_status_503 = fail(503, "api_error")
case_status_504 = fail(504, "timeout_error")
case_status_529 = fail(529, "overloaded_error", "Overloaded")
case_balance = fail(400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API.")
case_spend = fail(429, "rate_limit_error", details={"error_code": "enforced_spend_limit_reached"})
case_long_wait = fail(429, "rate_limit_error", headers="Retry-After: 14400\r\n")
case_no_retry = fail(500, "api_error", headers="x-should-retry: false\r\n")
case_context = fail(400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum")
case_context_sum = fail(400, "invalid_request_error",
                        "input length and `max_tokens` exceed context limit: 199000 + 20000 > 200000")
def case_html_502(p): p.answer(502, "<html>Bad gateway</html>", "text/html")
def case_html_200(p): p.answer(200, "<html>Welcome</html>", "text/html")
def case_text_500(p): p.answer(500, "Internal Server Error", "text/plain")
def case_redirect(p): p.answer(307, "", headers="Location: http://127.0.0.1:1/elsewhere\r\n")
def case_redirect_host(p): p.answer(301, "", headers="Location: https://evil.example/v1\r\n")
def case_gzip(p): p.answer(200, b"\x1f\x8b", headers="Content-Encoding: gzip\r\n")


# errors inside 200

def error_event(p, kind, message="oops"):
    p.chunk(f"event: error\ndata: {json.dumps(error(kind, message))}\n\n")


def case_error_first(p):
    p.begin()
    error_event(p, "overloaded_error", "Overloaded")
    p.end()


def case_error_rate_first(p):
    p.begin()
    error_event(p, "rate_limit_error")
    p.end()


def case_error_json_200(p): p.answer(200, error("api_error", "worker limit"))


def case_error_after_start(p):
    if p.nth > 1:
        return p.say("again")
    p.start()
    error_event(p, "overloaded_error", "Overloaded")
    p.end()


def case_error_mid_stream(p):
    p.start()
    p.open("text", text="")
    p.delta("text_delta", text="some")
    error_event(p, "overloaded_error", "Overloaded")
    p.end()


def case_empty_stream(p):
    p.begin()
    p.end()


def case_only_stop(p):
    p.start()
    p.event("message_stop")
    p.end()


# time

def case_late_first_byte(p):
    p.pause(0.3)
    p.say("late")


def case_never(p):
    p.pause(30)


def case_silence(p):
    p.start()
    p.open("text", text="")
    p.delta("text_delta", text="some")
    p.pause(30)


def case_silence_first(p):
    p.start()
    p.pause(30)


def case_pings(p):
    p.start()
    for _ in range(8):
        p.event("ping")
        p.pause(0.05)
    p.chunk(": wait\n\ndata:\n\nid: 7\nretry: 1000\n\n")
    p.text("ok")
    p.finish()


def case_slow(p):
    p.start()
    p.open("text", text="")
    for _ in range(200):
        p.delta("text_delta", text="x")
        p.pause(0.02)
    p.shut()
    p.finish()


# cuts

def begun(p, *pieces):
    p.start()
    p.open("text", text="")
    for piece in pieces:
        p.delta("text_delta", text=piece)


def case_reset_first(p):
    p.reset()


def case_reset_between(p):  # S4
    begun(p, "a", "b", "c")
    p.reset()


def case_reset_after_start(p):  # S4
    if p.nth > 1:
        return p.say("again")
    p.start()
    p.reset()


def case_reset_inside(p):
    begun(p, "a")
    p.chunk('event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_')
    p.reset()


def case_eof(p):  # S4
    begun(p, "a", "b", "c")
    p.end()


def case_eof_hard(p):
    begun(p, "a")
    p.close = True


def case_no_terminator(p):
    begun(p, "a")
    p.shut()
    p.finish(stop=False)
    p.end()


def case_reset_after_finish(p):
    begun(p, "a")
    p.shut()
    p.finish(stop=False)
    p.reset()


def case_silence_after_finish(p):
    begun(p, "a")
    p.finish(stop=False)
    p.pause(30)


def case_stop_without_newline(p):
    begun(p, "a")
    p.finish(stop=False)
    p.chunk('event: message_stop\ndata: {"type":"message_stop"}')
    p.end()


def case_two_finishes(p):
    begun(p, "a")
    p.finish("end_turn", stop=False)
    p.finish("max_tokens")


# bytes

def stream_bytes(text):
    def event(kind, rest):
        return f'event: {kind}\ndata: {{"type":"{kind}"{rest}}}\n\n'
    return "".join([
        event("message_start", ',"message":{"usage":{"input_tokens":9,"output_tokens":1}}'),
        event("content_block_start", ',"index":0,"content_block":{"type":"text","text":""}'),
        event("content_block_delta", f',"index":0,"delta":{{"type":"text_delta","text":{text}}}'),
        event("content_block_stop", ',"index":0'),
        event("message_delta", ',"delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}'),
        event("message_stop", "")]).encode()


def in_pieces(data, size):
    def case(p):
        p.begin()
        for i in range(0, len(data), size):
            p.chunk(data[i:i + size])
        p.end()
    return case


ODD = stream_bytes('"hé € 😀"')
case_bytes_one_by_one = in_pieces(ODD, 1)
case_bytes_by_three = in_pieces(ODD, 3)
case_crlf = in_pieces(ODD.replace(b"\n", b"\r\n"), 1)
case_cr = in_pieces(ODD.replace(b"\n", b"\r"), 1)
case_bom = in_pieces(b"\xef\xbb\xbf" + ODD.replace(b"data: ", b"data:"), 2)
case_several_lines = in_pieces(ODD.replace(b',"index"', b',\ndata: "index"'), 5)


def case_halves(p):  # S7
    p.start()
    p.open("text", text="")
    for piece in (r"ok \ud83d", r"\ude00!"):
        p.chunk('event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
                f'"text":"{piece}"}}}}\n\n')
    p.finish()


def case_megabyte(p): p.say("x" * (1 << 20))
def case_four_megabytes(p): p.say(*["y" * 65536] * 64)
def case_many_deltas(p): p.say(*["z"] * 5000)


def case_broken_event(p):
    begun(p, "a")
    p.chunk('event: content_block_delta\ndata: {"type":\n\n')
    p.delta("text_delta", text="b")
    p.finish()


def case_broken_event_no_finish(p):
    p.begin()
    p.chunk('data: {"type":\n\n')
    p.end()


def case_unknown(p):
    p.start()
    p.event("weather", sun=True)
    p.open("server_tool_use", id="srvtoolu_1", name="web_search", input={})
    p.delta("input_json_delta", partial_json='{"query":"x"}')
    p.shut()
    p.open("web_search_tool_result", tool_use_id="srvtoolu_1", content=[{"type": "web_search_result", "title": "t"}])
    p.shut()
    p.open("text", text="a")
    p.delta("citations_delta", citation={"type": "page_location"})
    p.delta("weather_delta", text="never")
    p.shut()
    p.finish(usage={"output_tokens": 2, "iterations": [{"output_tokens": 9}]})


def case_unnamed_events(p):
    p.begin()
    p.chunk(re.sub(rb"event: [a-z_]*\n", b"", stream_bytes('"ok"')))
    p.end()


def case_http10(p):
    p.raw(b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + stream_bytes('"ten"'))
    p.close = True


def case_odd_chunks(p):
    data = stream_bytes('"odd"')
    p.raw("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\n"
          "TRANSFER-ENCODING: Chunked\r\n\r\n")
    p.raw(b"%X;ext=\"a\";b\r\n%s\r\n0\r\nX-Trailer: t\r\n\r\n" % (len(data), data))


# retries

def case_529_twice(p):
    if p.nth <= 2:
        return p.answer(529, error("overloaded_error", "Overloaded"), headers="retry-after-ms: 20\r\n")
    p.say("third")


case_529_always = fail(529, "overloaded_error", headers="retry-after-ms: 10\r\n")
case_429_soon = fail(429, "rate_limit_error", headers="retry-after-ms: 10\r\n")


# what is refused once and for all

def refuse(message, is_there):
    def case(p):
        if is_there(p.json):
            return p.answer(400, error("invalid_request_error", message))
        return p.say(json.dumps({k: p.json[k] for k in p.json if k not in ("model", "messages", "stream")},
                                sort_keys=True))
    return case


case_no_temperature = refuse("`temperature` is deprecated for this model.", lambda q: "temperature" in q)
case_no_top_k = refuse("top_k: Extra inputs are not permitted", lambda q: "top_k" in q)
case_no_user = refuse("metadata.user_id: String should have at most 256 characters", lambda q: "metadata" in q)
case_small_limit = refuse("max_tokens: 32000 > 5000, which is the maximum allowed number of output tokens for small-limit",
                          lambda q: q["max_tokens"] > 5000)
case_no_budget = refuse("\"thinking.type.enabled\" is not supported for this model. Use \"thinking.type.adaptive\" and "
                        "\"output_config.effort\" to control thinking behavior.",
                        lambda q: q.get("thinking", {}).get("type") == "enabled")
case_no_thinking = refuse("thinking: Extra inputs are not permitted", lambda q: "thinking" in q)
case_no_prefill = refuse("This model does not support assistant message prefill. The conversation must end with a user "
                         "message.", lambda q: q["messages"][-1]["role"] == "assistant")

# going on from an answer's beginning (F3)

def begun_with(q):
    last = q["messages"][-1]
    text = last["content"] if isinstance(last["content"], str) else last["content"][-1].get("text", "")
    return text if last["role"] == "assistant" else ""


def case_paris(p):
    text, begin = "The capital is Paris.", begun_with(p.json)
    p.say(*(text[len(begin):] if text.startswith(begin) else text).partition(" "))


def case_starts_over(p): p.say("The cap", "ital is", " Paris.")
def case_other_words(p): p.say("The ca", "thedral of Paris.")


case_never_happy = fail(400, "invalid_request_error", "`temperature` is deprecated for this model.")
CASES = fake.cases(globals())


# ---- the server ----------------------------------------------------------------------------------------------------

def refusing(p, serve):
    try:
        serve(p)
    except fake.Refusal as r:
        p.answer(r.status, r.body)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as e:
        p.answer(400, error("invalid_request_error", f"malformed request: {e!r}"))


def messages(p):
    model = p.json.get("model", "")
    fake.count(p, model.replace("+", "%2B"))
    check(p)
    CASES.get(model.rpartition("+")[2], default)(p)


def models(p):
    authorize(p)
    if ARGS.models_status != 200:
        return p.answer(ARGS.models_status, error("api_error", "no list here"))
    ids = [*CASES, "claude-opus-5-5", "claude-sonnet-5", "claude-haiku-4-5"]
    data = [{"type": "model", "id": i, "display_name": i, "created_at": "2026-01-01T00:00:00Z", "max_input_tokens": 200000,
             "max_tokens": 64000, "lifecycle": "active", "capabilities": None} for i in ids]
    data.append({"type": "model", "id": "claude-3-opus-20240229", "lifecycle": "retired"})
    if ARGS.page:
        data = [{**data[0], "id": f"paged-{i}"} for i in range(5 * ARGS.page)]
        after = re.search(r"after_id=([^&]*)", p.path)
        first = 1 + [m["id"] for m in data].index(after[1]) if after else 0
        page = data[first:first + ARGS.page]
        return p.answer(200, {"data": page, "has_more": first + ARGS.page < len(data), "first_id": page[0]["id"], "last_id": page[-1]["id"]})
    return p.answer(200, {"data": data, "has_more": False, "first_id": ids[0], "last_id": "claude-3-opus-20240229"})


COUNTED = {"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config"}


def count_tokens(p):
    """A hundred for each message, ten for each tool, one for the system prompt.  The models count-STATUS refuse with that
    status, the first time only where "-once" follows; count-silent says nothing."""
    model = p.json.get("model", "")
    fake.count(p, model)
    for field in p.json:
        need(field in COUNTED, f"{field}: Extra inputs are not permitted")
    q = p.json
    p.json = {**q, "max_tokens": 32000}
    check(p)
    if model == "count-silent":
        p.pause(60)
    refused = re.fullmatch(r"count-(\d+)(-once)?", model)
    if refused and not (refused[2] and p.nth > 1):
        return p.answer(int(refused[1]), error("api_error", "not now"))
    p.answer(200, {"input_tokens": 100 * len(q["messages"]) + 10 * len(q.get("tools", [])) + ("system" in q)})


def route(p):
    path = p.path.split("?")[0]
    if p.method == "POST" and path.endswith("/v1/messages"):
        return refusing(p, messages)
    if p.method == "POST" and path.endswith("/v1/messages/count_tokens"):
        return refusing(p, count_tokens)
    if p.method == "GET" and path.endswith("/v1/models"):
        return refusing(p, models)
    return p.answer(404, error("not_found_error", "Not found"))


def options(parser):
    parser.add_argument("--page", type=int, default=0, help="a list of models in five pages of so many")
    parser.add_argument("--version", default="2023-06-01", help="the anthropic-version that is taken")


if __name__ == "__main__":
    fake.run(__doc__, Peer, route, options)
