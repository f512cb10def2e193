#!/usr/bin/env python3
"""A strict fake of MiniMax: chatcompletion_v2, and the forms of OpenAI's chat completions and Anthropic's messages.

    python3 tests/fakes/minimax.py --port 9000 [--log requests.jsonl] [--key test-key]
    MODEL_TYPE=minimax MINIMAX_API_KEY=test-key MINIMAX_API_URL=http://127.0.0.1:9000/v1/text/chatcompletion_v2 ...

The model's name chooses what happens: the functions named case_* below and the streams of openai.py, "_" written as "-".
MiniMax-M1 and abab6.5s-chat solve the guide's equation and think aloud; any other model echoes the newest user message.
Errors of chatcompletion_v2 come with status 200.  The first line on standard output is "listening on 127.0.0.1:PORT"."""
import json
import re

import fake
import openai
import responses
from fake import ARGS

SHARED_FIELDS = {"model", "messages", "temperature", "top_p", "stream", "stream_options", "tools", "tool_choice",
                 "response_format", "max_completion_tokens", "max_tokens"}
FIELDS = {"native": SHARED_FIELDS | {"mask_sensitive_info"}, "openai": SHARED_FIELDS | {"reasoning_split", "thinking"}}
STATUS = {1004: ("401", "authorized_error"), 1008: ("402", "insufficient_balance_error"), 1002: ("429", "rate_limit_error"),
          1000: ("500", "server_error"), 2013: ("400", "bad_request_error"), 1026: ("422", "bad_request_error")}
OLD = r"(abab|MiniMax-(M1|Text-01|VL-01))"


class Refusal(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def form(p):
    path = p.path.split("?")[0]
    return {"/v1/text/chatcompletion_v2": "native", "/v1/chat/completions": "openai",
            "/anthropic/v1/messages": "anthropic", "/v1/responses": "responses"}.get(path)


class Peer(openai.Peer):
    id_field = "trace-id"

    def begin(self, *how):
        self.said = {"content": "", "reasoning_content": ""}
        super().begin(*how)

    def frame(self, delta=None, finish=None, usage=None, **more):
        choice = {"index": 0, "delta": delta or {}}
        if finish is not None:
            choice["finish_reason"] = finish
        for channel in self.said:
            self.said[channel] += (delta or {}).get(channel) or ""
        return {"id": "0123", "object": "chat.completion.chunk", "created": 1, "model": self.json.get("model"),
                "choices": [choice], "usage": usage, "input_sensitive": False, "output_sensitive": False,
                "input_sensitive_type": 0, "output_sensitive_type": 0, **more}

    def closing(self, reason="stop", usage=None, message=None, **more):
        """The event that repeats the whole answer."""
        if usage is None:
            usage = {"total_tokens": 11, "prompt_tokens": 9, "completion_tokens": 2}
        return {"id": "0123", "object": "chat.completion", "created": 1, "model": self.json.get("model"),
                "choices": [{"index": 0, "finish_reason": reason, "message": message or {
                    "role": "assistant", "name": "MiniMax AI", "audio_content": "", **self.said}}],
                "usage": usage, "input_sensitive": False, "output_sensitive": False,
                "base_resp": {"status_code": 0, "status_msg": ""}, **more}

    def role(self):
        self.delta(role="assistant", content="")

    def finish(self, reason="stop", usage=True, done=True):
        if form(self) == "openai":
            return super().finish(reason, usage, done)
        self.delta(finish=reason)
        if done:
            self.event(self.closing(reason, usage if isinstance(usage, dict) else None if usage else {}))
            self.end()


def refuse(p, code, message):
    if form(p) == "openai":
        status, kind = STATUS.get(code, ("400", "bad_request_error"))
        return p.answer(int(status), {"type": "error", "request_id": "0123", "error": {
            "type": kind, "message": f"{message} ({code})", "http_code": status}})
    p.answer(200, {"base_resp": {"status_code": code, "status_msg": message}})


# ---- the rules -----------------------------------------------------------------------------------------------------

def invalid(what):
    raise Refusal(2013, "invalid params, " + what)


def check_messages(model, messages):
    if not messages:
        invalid("messages is empty")
    try:
        openai.check_messages(messages)
    except openai.Refusal as r:
        invalid(str(r))
    for m in messages:
        if set(m) - {"role", "content", "name", "tool_calls", "tool_call_id", "reasoning_details", "reasoning_content"}:
            invalid("unknown field of a message")
        if m["role"] == "developer" or (m["role"] != "assistant" and not m["content"]):
            invalid("chat content is empty")
        if isinstance(m["content"], list) and any(x["type"] == "image_url" for x in m["content"]) and \
                re.match(r"(abab|MiniMax-M[12])", model):
            invalid("the model takes no images")


def check(p):
    q, kind = p.json, form(p)
    if p.headers.get("content-type") != "application/json" or p.headers.get("accept-encoding") != "identity":
        invalid("header fields")
    if ARGS.key and p.headers.get("authorization") != "Bearer " + ARGS.key:
        raise Refusal(1004, "login fail: Please carry the API secret key in the 'Authorization' field")
    unknown = set(q) - FIELDS[kind]
    if unknown:
        invalid(f"unknown field {sorted(unknown)[0]}")
    model = q["model"]
    if ("max_completion_tokens" if re.match(OLD, model) else "max_tokens") in q:
        invalid("the other name of max_tokens")
    for field in ("temperature", "top_p"):
        if field in q and not 0 < q[field] <= 1:
            invalid(f"{field} must be in (0,1]")
    if "stream_options" in q and not q.get("stream"):
        invalid("stream_options")
    if "tools" in q and not q["tools"] or ("tool_choice" in q and "tools" not in q):
        invalid("tools")
    if q.get("tool_choice", "auto") not in ("auto", "none"):
        invalid("tool_choice")
    for tool in q.get("tools", []):
        f = tool["function"]
        if tool["type"] != "function" or not f["name"] or not f["description"] or f["parameters"]["type"] != "object":
            invalid("function description and parameters are required")
    if "response_format" in q and not (model.startswith("MiniMax-Text-01") and q["response_format"]["type"] == "json_schema"):
        invalid("response_format")
    check_messages(model, q["messages"])


# ---- what the models do --------------------------------------------------------------------------------------------

THOUGHTS = "I need to solve for x. First, subtract 5 from both sides: 2x = 10. Then divide by 2: x = 5"
ANSWER = "To solve 2x + 5 = 15:\n1. Subtract 5 from both sides: 2x = 10\n2. Divide by 2: x = 5\n\nTherefore, x = 5."


def whole(p, message, finish="stop", **more):
    p.answer(200, {"id": "0123", "object": "chat.completion", "created": 1, "model": p.json["model"],
                   "choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", **message}}],
                   "usage": {"total_tokens": 11}, "base_resp": {"status_code": 0, "status_msg": ""}, **more})


def solve(p):
    if not p.json.get("stream"):
        return whole(p, {"content": ANSWER, "reasoning_content": THOUGHTS})
    p.begin()
    p.event({"id": "0123", "object": "chat.completion.chunk", "input_sensitive": False})
    for i in range(0, len(THOUGHTS), 7):
        p.delta(role="assistant", reasoning_content=THOUGHTS[i:i + 7])
    for i in range(0, len(ANSWER), 7):
        p.delta(role="assistant", content=ANSWER[i:i + 7])
    p.finish()


def default(p):
    text = openai.newest(p.json)
    if "2x + 5" in text and re.match(r"(abab|MiniMax-M)", p.json["model"]):
        return solve(p)
    if not p.json.get("stream"):
        return whole(p, {"content": text})
    p.say(*(text[i:i + 3] for i in range(0, len(text), 3)))


def case_whole_only(p): whole(p, {"content": "one piece", "reasoning_content": "hm"})
def case_total_tokens(p): p.say("a", usage={"total_tokens": 40})
def case_base_resp(p): p.answer(200, {"base_resp": {"status_code": 1000, "status_msg": "x"}, "choices": None})
def case_output_sensitive(p): whole(p, {"content": "half"}, output_sensitive=True)
def case_input_sensitive(p): whole(p, {"content": ""}, input_sensitive=True)


def case_closing_only(p):  # no delta at all: now its text counts
    p.begin()
    p.event(p.closing(message={"role": "assistant", "content": "all of it", "reasoning_content": "hm"}))
    p.end()


def case_finish_with_text(p):
    p.begin()
    p.text("a")
    p.delta(finish="stop", content="b")
    p.event(p.closing())
    p.end()


def case_closing_without_finish(p):  # nor a finish in any delta
    p.begin()
    p.text("a")
    p.event(p.closing(reason=None))
    p.end()


def case_closing_tool(p):
    p.begin()
    openai.tool_delta(p, 0, "call_a", "f", '{"a":1}')
    p.event(p.closing("tool_calls", message={"role": "assistant", "content": "", "tool_calls": [
        {"id": "call_a", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}]}))
    p.end()


def case_flags_first(p):
    p.begin()
    p.event({"input_sensitive": False, "choices": None, "usage": None})
    p.event({"choices": [], "usage": None})
    p.text("a")
    p.finish()


def case_closing_cut(p):  # cut inside the closing event, after a finish
    p.begin()
    p.text("a")
    p.delta(finish="stop")
    p.chunk('data: {"object":"chat.completion","choices":[{"mess')
    p.reset()


def inside(code, message="no", mid=False):
    def case(p):
        if not mid:
            return p.answer(200, {"base_resp": {"status_code": code, "status_msg": message}, "choices": None})
        p.begin()
        p.text("some")
        p.event({"choices": [], "base_resp": {"status_code": code, "status_msg": message}})
        p.end()
    return case


for _code in (1000, 1001, 1002, 1004, 1008, 1013, 1024, 1026, 1027, 1033, 1039, 1041, 1042, 2013, 2045, 2049, 2056):
    globals()[f"case_code_{_code}"] = inside(_code)
case_context_window = inside(2013, "invalid params, context window exceeds limit")
case_mid_1000 = inside(1000, mid=True)
case_mid_1027 = inside(1027, mid=True)


def outside(status, kind, code, message="no"):
    def case(p):
        p.answer(status, {"type": "error", "request_id": "0123", "error": {
            "type": kind, "message": f"{message} ({code})", "http_code": str(status)}})
    return case


case_new_1004 = outside(401, "authorized_error", 1004, "login fail")
case_new_1008 = outside(402, "insufficient_balance_error", 1008)
case_new_2056 = outside(429, "rate_limit_error", 2056, "usage limit exceeded")
case_new_529 = outside(529, "overloaded_error", 2064)
case_new_context = outside(400, "bad_request_error", 2013, "invalid params, context window exceeds limit")


def case_no_top_p(p):
    if "top_p" in p.json:
        return p.answer(200, {"base_resp": {"status_code": 2013, "status_msg": "invalid params, top_p is not supported"}})
    p.say(json.dumps(sorted(p.json)))


def case_growing(p):  # fragments that hold all of the text so far
    p.begin()
    p.delta(reasoning_details=[{"type": "reasoning.text", "text": "I begin with this thought"}])
    p.delta(reasoning_details=[{"type": "reasoning.text", "text": "I begin with this thought and go on"}])
    for text in ("one", "one two", "one two three"):
        p.delta(content=text)
    p.finish()


def case_mirrored(p):  # the same reasoning three times
    p.begin()
    p.delta(reasoning_content="hm", reasoning_details=[{"type": "reasoning.text", "text": "hm"}])
    p.text("<think>\nhm", "\n</think>\n\n", "yes")
    p.finish()


CASES = {**fake.cases(vars(openai)), **fake.cases(globals())}


# ---- the server ----------------------------------------------------------------------------------------------------

def messages(p):
    """The form of Anthropic's messages, as far as a plain question goes."""
    h, q = p.headers, p.json
    if ARGS.key and h.get("authorization") != "Bearer " + ARGS.key:
        return p.answer(401, {"type": "error", "error": {"type": "authorized_error", "message": "login fail (1004)",
                                                         "http_code": "401"}})
    if h.get("anthropic-version") != "2023-06-01" or "x-api-key" in h or not q.get("max_tokens"):
        return p.answer(400, {"type": "error", "error": {"type": "bad_request_error", "message": "invalid params (2013)",
                                                         "http_code": "400"}})

    def event(kind, **more):
        p.chunk(f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n")
    fake.Peer.begin(p)
    event("message_start", message={"id": "m", "role": "assistant", "model": q["model"], "content": [],
                                    "usage": {"input_tokens": 9, "output_tokens": 1}})
    event("content_block_start", index=0, content_block={"type": "thinking", "thinking": "", "signature": ""})
    event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "hm"})
    event("content_block_stop", index=0)
    event("content_block_start", index=1, content_block={"type": "text", "text": ""})
    event("content_block_delta", index=1, delta={"type": "text_delta", "text": "yes, " + q["model"]})
    event("content_block_stop", index=1)
    event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2})
    event("message_stop")
    p.end()


def chat(p):
    model = p.json.get("model", "")
    fake.count(p, model)
    try:
        check(p)
    except Refusal as r:
        return refuse(p, r.code, str(r))
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        return refuse(p, 2013, f"invalid params, {e!r}")
    CASES.get(model, default)(p)


def route(p):
    kind = form(p)
    if p.method == "POST" and kind == "anthropic":
        return messages(p)
    if p.method == "POST" and kind == "responses":
        return responses.respond(p)
    if p.method == "POST" and kind:
        return chat(p)
    p.answer(405 if kind else 404, "404 page not found", "text/plain")


if __name__ == "__main__":
    fake.run(__doc__, Peer, route)
