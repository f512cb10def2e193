#!/usr/bin/env python3
"""A strict fake of OpenAI's chat completions and completions, of its Responses API (responses.py), and of servers that are compatible.

    python3 tests/fakes/openai.py --port 9000 [--log requests.jsonl] [--key sk-test] [--official]

The model's name chooses what happens: the functions named case_* below, "_" written as "-" ("rate-limit-then-ok").
Any other model echoes the newest user message.  A request that breaks a rule of the provider gets the provider's own
error.  --official knows which fields OpenAI's model families refuse; without it the rules are those of a compatible
server.  The first line on standard output is "listening on 127.0.0.1:PORT"; each request is one JSON line of the log.
GET /fake/calls?model=M tells how often M was asked, GET /fake/gone how many clients left early."""
import base64
import json
import re
import struct

import fake
import responses
from fake import ARGS

SHARED_FIELDS = {"model", "messages", "max_tokens", "temperature", "top_p", "stop", "seed", "stream", "stream_options",
                 "tools", "tool_choice", "parallel_tool_calls", "response_format", "presence_penalty",
                 "frequency_penalty", "logit_bias", "user", "reasoning_effort"}
OFFICIAL_FIELDS = SHARED_FIELDS | {"max_completion_tokens"}
COMPATIBLE_FIELDS = SHARED_FIELDS | {"top_k", "min_p", "repetition_penalty", "max_completion_tokens"}
COMPLETION_FIELDS = {"model", "prompt", "suffix", "max_tokens", "temperature", "top_p", "n", "best_of", "stream", "stream_options",
                     "stop", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "echo", "seed", "user"}
VLLM_FIELDS = COMPATIBLE_FIELDS | {"continue_final_message", "add_generation_prompt"}


class Refusal(fake.Refusal):
    def __init__(self, status, message, code=None, param=None, kind="invalid_request_error"):
        super().__init__(status, message, {"error": {"message": message, "type": kind, "param": param, "code": code}})


# ---- the pieces of a stream ----------------------------------------------------------------------------------------

class Peer(fake.Peer):
    completes = False  # the request is one of POST /completions

    def event(self, value):
        self.chunk("data: " + (value if isinstance(value, str) else json.dumps(value)) + "\n\n")

    def frame(self, delta=None, finish=None, usage=None, **more):
        f = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": self.json.get("model"),
             "choices": [{"index": 0, "delta": delta or {}, "logprobs": None, "finish_reason": finish}],
             "usage": usage, "obfuscation": "r4N", **more}
        if self.completes:
            f["id"], f["object"] = "cmpl-1", "text_completion"
            f["choices"] = [{"index": 0, "text": (delta or {}).get("content") or "", "logprobs": None, "finish_reason": finish}]
        return f

    def delta(self, finish=None, **delta):
        self.event(self.frame(delta, finish))

    def text(self, *pieces):
        for piece in pieces:
            self.delta(content=piece)

    def role(self):
        self.delta(role="assistant", content="", refusal=None)

    def finish(self, reason="stop", usage=True, done=True):
        self.delta(finish=reason)
        if usage:
            self.event({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [],
                        "usage": usage if isinstance(usage, dict) else
                        {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}})
        if done:
            self.event("[DONE]")
            self.end()

    def say(self, *pieces, **how):
        self.begin()
        self.role()
        self.text(*pieces)
        self.finish(**how)


# ---- the rules -----------------------------------------------------------------------------------------------------

def family(model):
    if model.endswith("-chat-latest") or re.match(r"gpt-(3\.5|4)", model):
        return "classic"
    return "reasoning" if re.match(r"(o[134]|gpt-[5-9])", model) else ""


ONLY_RESPONSES = "This model is only supported in v1/responses and not in v1/chat/completions."


def check_official(q):
    model, kind = q["model"], family(q["model"])
    if re.search(r"-codex|^codex-|^(gpt-5|gpt-5\.\d|o1|o3)-pro", model):
        raise Refusal(404, ONLY_RESPONSES, None, "model")
    if kind == "classic" and "reasoning_effort" in q:
        raise Refusal(400, "Unrecognized request argument supplied: reasoning_effort", None, None)
    if kind != "reasoning":
        return
    if "max_tokens" in q:
        raise Refusal(400, "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                      "'max_completion_tokens' instead.", "unsupported_parameter", "max_tokens")
    none_allowed = re.match(r"gpt-5\.[1-6]|gpt-6-(sol|luna)|gpt-6\.1-terra", model)
    sampling = none_allowed and q.get("reasoning_effort") == "none"
    for field in ("temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias"):
        if field in q and not sampling and not (field == "temperature" and q[field] == 1):
            raise Refusal(400, f"Unsupported value: '{field}' does not support {q[field]} with this model.",
                          "unsupported_value", field)
    if "stop" in q and not model.startswith("o1"):
        raise Refusal(400, "Unsupported parameter: 'stop' is not supported with this model.",
                      "unsupported_parameter", "stop")
    if "tools" in q and re.match(r"gpt-5\.6|gpt-6", model) and (q.get("reasoning_effort") != "none" or
                                                               model.startswith("gpt-6.1-sol")):
        raise Refusal(400, f"Function tools with reasoning_effort are not supported for {model} in "
                      "/v1/chat/completions. To use function tools, use /v1/responses or set reasoning_effort to "
                      "'none'.", None, "reasoning_effort")
    if "tools" in q and re.match(r"gpt-5\.4", model) and "reasoning_effort" in q:
        raise Refusal(400, "Function tools with reasoning_effort are not supported.", None, "reasoning_effort")
    efforts = {"minimal", "low", "medium", "high"} if re.match(r"gpt-5(-|$)", model) else \
        {"none", "low", "medium", "high", "xhigh"} if none_allowed else \
        {"low", "medium", "high", "xhigh"} if model.startswith("gpt-6") else {"low", "medium", "high"}
    if q.get("reasoning_effort", "low") not in efforts:
        raise Refusal(400, "Unsupported value: 'reasoning_effort'", "unsupported_value", "reasoning_effort")


def check_messages(messages):
    if not isinstance(messages, list) or not messages:
        raise Refusal(400, "[] is too short - 'messages'", None, "messages")
    open_calls = []
    for i, m in enumerate(messages):
        role = m.get("role")
        if role not in ("system", "developer", "user", "assistant", "tool"):
            raise Refusal(400, f"Invalid value: '{role}'.", "invalid_value", f"messages[{i}].role")
        if open_calls and role != "tool":
            raise Refusal(400, "An assistant message with 'tool_calls' must be followed by tool messages responding to "
                          "each 'tool_call_id'.", None, f"messages[{i}].role")
        if role == "tool":
            if m.get("tool_call_id") not in open_calls:
                raise Refusal(400, "messages with role 'tool' must be a response to a preceding message with "
                              "'tool_calls'.", None, f"messages[{i}].role")
            open_calls.remove(m["tool_call_id"])
        content, calls = m.get("content"), m.get("tool_calls")
        if role == "assistant" and content is None and not calls:
            raise Refusal(400, "Invalid value for 'content': expected a string, got null.", None, f"messages[{i}]")
        if role != "assistant" and content is None:
            raise Refusal(400, "Invalid value for 'content': expected a string, got null.", None, f"messages[{i}]")
        if isinstance(content, list):
            for part in content:
                if part.get("type") == "text":
                    if not isinstance(part.get("text"), str):
                        raise Refusal(400, "Invalid part", None, f"messages[{i}]")
                elif part.get("type") == "image_url":
                    url = part["image_url"]["url"]
                    if not url.startswith(("data:image/", "https://", "http://")):
                        raise Refusal(400, "Invalid image URL", "invalid_image_url", f"messages[{i}]")
                else:
                    raise Refusal(400, f"Invalid part {part.get('type')}", None, f"messages[{i}]")
        if calls is not None:
            if not calls:
                raise Refusal(400, "[] is too short - 'tool_calls'", None, f"messages[{i}]")
            for call in calls:
                if call.get("type") != "function" or not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", call.get("id", "")):
                    raise Refusal(400, "Invalid tool call", None, f"messages[{i}].tool_calls")
                json.loads(call["function"]["arguments"])
            open_calls = [call["id"] for call in calls]
            if len(set(open_calls)) != len(open_calls):
                raise Refusal(400, "Duplicate tool call ids", None, f"messages[{i}].tool_calls")
    if open_calls:
        raise Refusal(400, "An assistant message with 'tool_calls' must be followed by tool messages", None, "messages")


def server(p):
    """Which compatible server the path makes it: "/vllm/v1", "/llamacpp/v1", "/llama-field/v1" (which says so in a field
    only); else none that is known."""
    word = p.path.split("/")[1]
    return word if word in ("vllm", "llamacpp", "llama-field") else ""


def check_going_on(p):
    q, last = p.json, p.json["messages"][-1]
    goes_on = q.get("continue_final_message", False)
    if goes_on and (last["role"] != "assistant" or q.get("add_generation_prompt", True)):
        raise Refusal(400, "continue_final_message: the last message must be the assistant's, and add_generation_prompt off")
    if last["role"] == "assistant" and server(p) == "llamacpp" and q["messages"][-2]["role"] == "assistant":
        raise Refusal(400, "Cannot have 2 or more assistant messages at the end of the list.")
    p.begun = last["content"] if goes_on or (last["role"] == "assistant" and server(p).startswith("llama")) else ""


def check_head(p):
    h = p.headers
    if h.get("content-type") != "application/json":
        raise Refusal(415, "Content-Type must be application/json")
    if h.get("accept-encoding") != "identity" or not h.get("user-agent", "").startswith("sema/"):
        raise Refusal(400, "odd fields")
    if ARGS.key and h.get("authorization") != "Bearer " + ARGS.key:
        raise Refusal(401, f"Incorrect API key provided: {h.get('authorization', '')[7:]}. You can find your API key "
                      "at https://platform.openai.com/account/api-keys.", "invalid_api_key")


def check(p):
    q = p.json
    check_head(p)
    unknown = set(q) - (OFFICIAL_FIELDS if ARGS.official else VLLM_FIELDS if server(p) == "vllm" else COMPATIBLE_FIELDS)
    if unknown:
        raise Refusal(400, f"Unrecognized request argument supplied: {sorted(unknown)[0]}")
    if "stream_options" in q and not q.get("stream"):
        raise Refusal(400, "The 'stream_options' parameter is only allowed when 'stream' is enabled.", None,
                      "stream_options")
    if "tools" in q and not q["tools"]:
        raise Refusal(400, "[] is too short - 'tools'", None, "tools")
    if "tools" not in q and ("tool_choice" in q or "parallel_tool_calls" in q):
        raise Refusal(400, "'tool_choice' is only allowed when 'tools' are specified.", None, "tool_choice")
    for tool in q.get("tools", []):
        f = tool["function"]
        if tool["type"] != "function" or not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", f["name"]) or \
                f["parameters"].get("type") != "object" or set(f) - {"name", "description", "parameters", "strict"}:
            raise Refusal(400, "Invalid tool", None, "tools")
    for field, low, high in (("temperature", 0, 2), ("top_p", 0, 1), ("presence_penalty", -2, 2),
                             ("frequency_penalty", -2, 2)):
        if field in q and not low <= q[field] <= high:
            raise Refusal(400, f"Invalid '{field}'", "invalid_value", field)
    if ARGS.official and len(q.get("stop", [])) > 4:
        raise Refusal(400, "Invalid 'stop'", "invalid_value", "stop")
    check_messages(q.get("messages"))
    check_going_on(p)
    form = q.get("response_format", {"type": "text"})
    if form["type"] == "json_object" and "json" not in json.dumps(q["messages"]).lower():
        raise Refusal(400, "'messages' must contain the word 'json' in some form, to use 'response_format' of type "
                      "'json_object'.", None, "messages")
    if form["type"] == "json_schema" and not (form["json_schema"]["name"] and form["json_schema"]["schema"]):
        raise Refusal(400, "Invalid schema", None, "response_format")
    if ARGS.official:
        check_official(q)


# ---- what the models do --------------------------------------------------------------------------------------------

def newest(q):
    if "prompt" in q:
        return q["prompt"]
    for m in reversed(q["messages"]):
        if m["role"] == "user":
            c = m["content"]
            return c if isinstance(c, str) else " ".join(x.get("text", "[image]") for x in c)
    return ""


def tool_delta(p, index, id=None, name=None, arguments=None, **more):
    f = {}
    if name is not None:
        f["name"] = name
    if arguments is not None:
        f["arguments"] = arguments
    call = {"function": f, **more}
    if index is not None:
        call["index"] = index
    if id is not None:
        call["id"], call["type"] = id, "function"
    p.delta(tool_calls=[call])


def whole(p, message, finish="stop", **more):
    if p.completes:
        return p.answer(200, {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": p.json["model"],
                              "choices": [{"text": message["content"], "index": 0, "logprobs": None, "finish_reason": finish}],
                              "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}, **more})
    p.answer(200, {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": p.json["model"],
                   "choices": [{"index": 0, "message": {"role": "assistant", **message}, "logprobs": None,
                                "finish_reason": finish}],
                   "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}, **more})


def default(p):
    text = newest(p.json)
    if not p.json.get("stream"):
        return whole(p, {"content": text})
    p.say(*(text[i:i + 3] for i in range(0, len(text), 3)))


def case_hello(p): p.say("Hel", "lo", "!")
def case_request(p): p.say(json.dumps(p.json, sort_keys=True, ensure_ascii=False))
def case_path(p): p.say(p.path)
def case_headers(p): p.say(json.dumps({k: p.headers.get(k) for k in ("authorization", "openai-organization",
                                                                   "openai-project", "accept", "cookie")}))
def case_length(p): p.say("a", reason="length")
def case_filter(p): p.say("a", reason="content_filter")
def case_empty_text(p): p.say()
def case_no_usage(p): p.say("four", usage=False)


def case_usage_details(p):
    p.say("a", usage={"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120,
                      "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
                      "completion_tokens_details": {"reasoning_tokens": 15}})


def case_usage_write(p):  # U1
    p.say("a", usage={"prompt_tokens": 1000, "completion_tokens": 5, "total_tokens": 1005,
                      "prompt_tokens_details": {"cached_tokens": 600, "cache_write_tokens": 300}})


def case_usage_last(p):  # U3
    p.say("a", usage={"prompt_tokens": 25, "completion_tokens": 4, "total_tokens": 29,
                      "prompt_tokens_details": {"cached_tokens": 20}})


def case_usage_odd(p):  # cached outside of prompt, numbers as strings
    p.say("a", usage={"prompt_tokens": "10", "completion_tokens": 2, "total_tokens": 102,
                      "prompt_tokens_details": {"cached_tokens": 90}})


def case_usage_in_every_chunk(p):
    p.begin()
    for i, piece in enumerate(("a", "b")):
        p.event(p.frame({"content": piece}, None, {"prompt_tokens": 9, "completion_tokens": i + 1, "total_tokens": 10 + i}))
    p.event(p.frame({}, "stop", {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}))
    p.event("[DONE]")
    p.end()


def case_refusal(p):
    p.begin()
    p.delta(role="assistant", content=None, refusal="I can")
    p.delta(refusal="not.")
    p.finish()


def case_json_answer(p): whole(p, {"content": "one piece"})
def case_json_tools(p): whole(p, {"content": None, "tool_calls": [
    {"id": "call_a", "type": "function", "function": {"name": "f", "arguments": ""}}]}, "stop")
def case_json_both_reasonings(p): whole(p, {"content": "x", "reasoning": "A", "reasoning_content": "A"})
def case_json_no_choices(p): p.answer(200, {"object": "chat.completion", "choices": []})
def case_json_null_choices(p): p.answer(200, {"object": "chat.completion", "choices": None})
def case_json_as_stream(p): p.answer(200, json.dumps({"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}]},
                                                     indent=1), "text/event-stream")


def case_stream_as_json(p):
    p.begin("application/json")
    p.text("ok")
    p.finish()


def case_stream_untyped(p):
    p.raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    p.chunk(": hi\n\n")
    p.text("ok")
    p.finish()


# tools

def case_tool(p):
    p.begin()
    p.role()
    tool_delta(p, 0, "call_a", "get_weather", "")
    for piece in ('{"ci', 'ty":"Os', 'lo","id":12345678901234567890}'):
        tool_delta(p, 0, arguments=piece)
    p.finish("tool_calls")


def case_round_trip(p):  # calls, then tells what it was given
    if p.json["messages"][-1]["role"] == "tool":
        return p.say("f said ", p.json["messages"][-1]["content"])
    p.begin()
    p.role()
    tool_delta(p, 0, "call_rt", "f", '{"a":')
    tool_delta(p, 0, arguments="1}")
    p.finish("tool_calls")


def case_json(p): p.say('{"ok":', "true}")


def case_two_tools(p):
    p.begin()
    p.text("Let me see.")
    tool_delta(p, 0, "call_a", "f", '{"a":')
    tool_delta(p, 1, "call_b", "g", '{"b":')
    tool_delta(p, 0, arguments="1}")
    tool_delta(p, 1, arguments="2}")
    p.finish("tool_calls")


def case_tool_empty_args(p):
    p.begin()
    tool_delta(p, 0, "call_a", "f", "")
    p.finish("tool_calls")


def case_tool_null_args(p):
    p.begin()
    p.delta(tool_calls=[{"index": 0, "id": "call_a", "function": {"name": "f", "arguments": None}}])
    p.finish("stop")


def case_tool_object_args(p):
    p.begin()
    p.event('{"choices":[{"index":0,"delta":{"tool_calls":[{"id":"call_a","function":{"name":"f","arguments":'
            '{"n":1.10,"id":12345678901234567890}}}]}}]}')
    p.finish("tool_calls")


def case_tool_no_index(p):
    p.begin()
    tool_delta(p, None, "call_a", "f", "{}")
    tool_delta(p, None, "call_b", "f", '{"x"')
    tool_delta(p, None, arguments=":1}")
    p.finish("tool_calls")


def case_tool_id_in_each(p):
    p.begin()
    for piece in ("{", "}"):
        tool_delta(p, 0, "call_a", "f", piece)
    p.finish("tool_calls")


def case_tool_index_always_0(p):
    p.begin()
    for id in "abc":
        tool_delta(p, 0, "call_" + id, "f", '{"%s":1}' % id)
    p.finish("tool_calls")


def case_tool_no_id(p):
    p.begin()
    tool_delta(p, 0, None, "f", "{}")
    p.finish("tool_calls")


def case_tool_escapes(p):  # S7: escapes inside arguments are text
    p.begin()
    tool_delta(p, 0, "call_a", "f", '{"t":"\\ud83d')
    tool_delta(p, 0, arguments='\\ude00"}')
    p.finish("tool_calls")


def case_tool_cut(p):
    p.begin()
    tool_delta(p, 0, "call_a", "f", '{"a":')
    p.reset()


# reasoning

def case_reasoning(p):
    p.begin()
    p.delta(reasoning_content="Th")
    p.delta(reasoning_content="ink")
    p.text("42")
    p.finish()


def case_reasoning_twice(p):  # R4
    p.begin()
    p.event(p.frame({"reasoning": "The", "reasoning_content": "The"}))
    p.text("x")
    p.finish()


def case_reasoning_details(p):  # R4
    p.begin()
    p.delta(reasoning="A")
    p.delta(reasoning_details=[{"type": "reasoning.text", "text": "A"}])
    p.text("x")
    p.finish()


def case_think(p): p.say("\n", "<th", "ink>hm", "m</", "think", ">", "\n\n", "yes <think>", " </think>")
def case_deepseek_r1(p): p.say("hm", "m</think>\nyes")
def case_qwq_silent(p): p.say("only thoughts")


# errors by status

def fail(status, headers="", **error):
    def case(p):
        body = {"error": {"message": "no", "type": "t", "param": None, "code": None, **error}}
        p.answer(status, body, headers=headers)
    return case


case_status_400 = fail(400, type="invalid_request_error")
case_status_401 = fail(401, code="invalid_api_key", message="Incorrect API key provided: sk-abcdefgh12345678.")
case_status_402 = fail(402)
case_status_403 = fail(403)
case_status_404 = fail(404, code="model_not_found")
case_status_408 = fail(408)
case_status_409 = fail(409)
case_status_413 = fail(413)
case_status_422 = fail(422)
case_status_429 = fail(429, code="rate_limit_exceeded")
case_status_500 = fail(500, type="server_error")
case_status_503 = fail(503)
case_status_504 = fail(504)
case_status_529 = fail(529)
case_quota = fail(429, code="insufficient_quota", type="insufficient_quota")
case_long_wait = fail(429, "Retry-After: 14400\r\n", code="rate_limit_exceeded")
case_wait_date = fail(503, "Retry-After: Thu, 01 Jan 1970 00:00:10 GMT\r\n")
case_no_retry = fail(500, "x-should-retry: false\r\n")
case_context = fail(400, code="context_length_exceeded")
case_policy = fail(400, code="content_policy_violation")
def case_subscription(p): p.answer(429, {"detail": "rate limit of your subscription"})
def case_vllm_context(p): p.answer(400, {"object": "error", "message": "This model's maximum context length is 262144 "
                                         "tokens. However, you requested 32000 for the completion",
                                         "type": "BadRequestError", "code": 400})
def case_llama_context(p): p.answer(400, {"error": {"code": 400, "type": "exceed_context_size_error", "message": "x",
                                                    "n_prompt_tokens": 9, "n_ctx": 8}})
def case_llama_loading(p): p.answer(503, {"error": {"code": 503, "message": "Loading model",
                                                    "type": "unavailable_error"}})
def case_html_502(p): p.answer(502, "<html>Bad gateway</html>", "text/html")
def case_html_200(p): p.answer(200, "<html>Welcome</html>", "text/html")
def case_text_500(p): p.answer(500, "Internal Server Error", "text/plain")
def case_redirect(p): p.answer(307, "", headers="Location: http://127.0.0.1:1/elsewhere\r\n")
def case_redirect_host(p): p.answer(301, "", headers="Location: https://evil.example/v1\r\n")
def case_gzip(p): p.answer(200, b"\x1f\x8b", headers="Content-Encoding: gzip\r\n")
def case_tgi_error(p): p.answer(422, {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096",
                                      "error_type": "validation"})


# errors inside 200 (E2)

def case_error_first(p):
    p.begin()
    p.chunk(": wait\n\n")
    p.event({"error": {"message": "limit", "code": 429}})
    p.end()


def case_error_json_200(p): p.answer(200, {"error": {"message": "worker limit", "code": 502}})
def case_error_text_200(p): p.answer(200, {"error": "overloaded, come back"})
def case_flat_error_200(p): p.answer(200, {"object": "error", "message": "x", "type": "BadRequestError", "code": 400})
def case_base_resp(p): p.answer(200, {"base_resp": {"status_code": 1000, "status_msg": "x"}, "choices": None})


def case_empty_stream(p):
    p.begin()
    p.end()


def case_only_done(p):
    p.begin()
    p.event("[DONE]")
    p.end()


def case_error_mid_stream(p):
    p.begin()
    p.text("some")
    p.event({"error": {"message": "oops", "type": "server_error", "param": None, "code": None}})
    p.event("[DONE]")
    p.end()


def case_error_after_role(p):
    if p.nth > 1:
        return p.say("again")
    p.begin()
    p.role()
    p.event({"error": {"message": "oops", "type": "server_error", "param": None, "code": None}})
    p.event("[DONE]")
    p.end()


def case_error_line(p):
    p.begin()
    p.chunk('error: {"code":500,"message":"oops","type":"server_error"}\n\n')
    p.end()


# time

def case_late_first_byte(p):
    p.pause(0.3)
    p.say("late")


def case_never(p):
    p.pause(30)


def case_silence(p):
    p.begin()
    p.text("some")
    p.pause(30)


def case_silence_first(p):
    p.begin()
    p.role()
    p.pause(30)


def case_pings(p):
    p.begin()
    for _ in range(8):
        p.chunk(": ping\n\n")
        p.pause(0.05)
    p.chunk("data:\n\ndata: \n\nevent: keepalive\n\nid: 7\nretry: 1000\n\n")  # S5
    p.text("ok")
    p.finish()


def case_slow(p):
    p.begin()
    for _ in range(200):
        p.text("x")
        p.pause(0.02)
    p.finish()


# cuts

def case_reset_first(p):
    p.reset()


def case_reset_first_then_ok(p):
    if p.nth == 1:
        return p.reset()
    p.say("second")


def case_reset_between(p):  # S4
    p.begin()
    p.text("a", "b", "c")
    p.reset()


def case_reset_after_role(p):  # S4
    if p.nth > 1:
        return p.say("again")
    p.begin()
    p.role()
    p.reset()


def case_reset_inside(p):
    p.begin()
    p.text("a")
    p.chunk('data: {"choices":[{"delta":{"con')
    p.reset()


def case_eof(p):  # S4
    p.begin()
    p.text("a", "b", "c")
    p.end()


def case_eof_hard(p):
    p.begin()
    p.text("a")
    p.close = True


def case_no_terminator(p):
    p.begin()
    p.text("a")
    p.finish(done=False)
    p.end()


def case_reset_after_finish(p):
    p.begin()
    p.text("a")
    p.finish(done=False)
    p.reset()


def case_silence_after_finish(p):
    p.begin()
    p.text("a")
    p.finish(done=False)
    p.pause(30)


def case_done_without_newline(p):
    p.begin()
    p.text("a")
    p.finish(usage=False, done=False)
    p.chunk("data: [DONE]")
    p.end()


def case_done_without_finish(p):
    p.begin()
    p.text("a")
    p.event("[DONE]")
    p.end()


def case_two_finishes(p):
    p.begin()
    p.text("a")
    p.delta(finish="stop")
    p.finish("length")


def case_text_after_finish(p):
    p.begin()
    p.event(p.frame({"content": "a"}, "stop"))
    p.text("b")
    p.event("[DONE]")
    p.end()


def case_empty_finish(p):
    p.begin()
    p.event(p.frame({"content": "a"}, ""))
    p.finish("eos")


# bytes

def stream_bytes(text, finish="stop"):
    return (f'data: {{"choices":[{{"index":0,"delta":{{"content":{text}}},"finish_reason":null}}]}}\n\n'
            f'data: {{"choices":[{{"index":0,"delta":{{}},"finish_reason":"{finish}"}}]}}\n\ndata: [DONE]\n\n').encode()


def case_bytes_one_by_one(p):
    p.begin()
    data = stream_bytes('"hé € 😀"')
    for i in range(len(data)):
        p.chunk(data[i:i + 1])
    p.end()


def case_bytes_by_three(p):
    p.raw("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
    data = stream_bytes('"hé € 😀"')
    for i in range(0, len(data), 3):
        p.raw(data[i:i + 3])
    p.close = True


def odd_lines(nl, mark=b""):
    def case(p):  # S1
        data = mark + ('data:{"choices":[{"index":0,\ndata:"delta":{"content":"hé"},"finish_reason":null}]}\n\n'
                       'data:{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata:[DONE]\n\n'
                       ).encode().replace(b"\n", nl)
        p.begin()
        for i in range(len(data)):
            p.chunk(data[i:i + 1])
        p.end()
    return case


case_crlf = odd_lines(b"\r\n")
case_cr = odd_lines(b"\r")
case_bom = odd_lines(b"\n", b"\xef\xbb\xbf")


def case_halves(p):  # S7
    p.begin()
    p.event(r'{"choices":[{"index":0,"delta":{"content":"ok \ud83d"}}]}')
    p.event(r'{"choices":[{"index":0,"delta":{"content":"\ude00!"}}]}')
    p.finish()


def case_half_alone(p):
    p.begin()
    p.event(r'{"choices":[{"index":0,"delta":{"reasoning_content":"r\ud83d"}}]}')
    p.event(r'{"choices":[{"index":0,"delta":{"content":"a\ud83d"}}]}')
    p.finish()


def case_half_then_text(p):
    p.begin()
    p.event(r'{"choices":[{"index":0,"delta":{"content":"\ude00a\ud83d"}}]}')
    p.event(r'{"choices":[{"index":0,"delta":{"content":"b"}}]}')
    p.finish()


def case_megabyte(p): p.say("x" * (1 << 20))
def case_four_megabytes(p): p.say(*["y" * 65536] * 64)
def case_many_deltas(p): p.say(*["z"] * 5000)


def case_huge_event(p):
    p.begin()
    p.text("w" * (17 << 20))
    p.finish()


def case_broken_event(p):
    p.begin()
    p.text("a")
    p.event('{"choices":[{')
    p.text("b")
    p.finish()


def case_broken_event_no_finish(p):
    p.begin()
    p.event('{"choices":[{')
    p.event("[DONE]")
    p.end()


def case_unknown(p):
    p.begin()
    p.chunk('event: weather\ndata: {"object":"weather","sun":true}\n\n')
    p.event({"choices": None})
    p.event({"choices": [], "usage": None, "extra": {"deep": [1, 2]}})
    p.event({"choices": [{"index": 0, "delta": None, "finish_reason": None}]})
    p.event({"choices": [{"index": 1, "delta": {"content": "other choice"}}]})
    p.text("a")
    p.finish()


def case_http10(p):
    p.raw(b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + stream_bytes('"ten"'))
    p.close = True


def case_odd_chunks(p):
    data = stream_bytes('"odd"')
    p.raw("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\n"
          "TRANSFER-ENCODING: Chunked\r\n\r\n")
    p.raw(b"%X;ext=\"a\";b\r\n%s\r\n0\r\nX-Trailer: t\r\n\r\n" % (len(data), data))


# retries

def case_503_twice(p):
    if p.nth <= 2:
        return p.answer(503, {"error": {"message": "busy"}}, headers="retry-after-ms: 20\r\n")
    p.say("third")


case_503_always = fail(503, "retry-after-ms: 10\r\n")
case_429_soon = fail(429, "retry-after-ms: 10\r\n", code="rate_limit_exceeded")


def case_400_retry(p):
    if p.nth == 1:
        return p.answer(400, {"error": {"message": "flaky"}}, headers="x-should-retry: true\r\nretry-after-ms: 10\r\n")
    p.say("second")


# parameters that are refused once and for all

def refuse(field, **error):
    def case(p):
        if field in p.json:
            p.answer(400, {"error": {"message": f"Unsupported parameter: '{field}' is not supported with this model.",
                                     "type": "invalid_request_error", "param": field,
                                     "code": "unsupported_parameter", **error}})
        else:
            p.say(json.dumps(sorted(set(p.json) - {"model", "messages", "stream"})))
    return case


case_no_temperature = refuse("temperature")


def case_no_stop(p):
    if "stop" in p.json:
        return refuse("stop")(p)
    default(p)


case_no_max_tokens = refuse("max_tokens")
case_no_stream_options = refuse("stream_options", param=None, code=None, message="extra fields not permitted: "
                                "stream_options")


def case_never_happy(p):
    p.answer(400, {"error": {"message": "Unsupported parameter: 'temperature'", "param": "temperature",
                             "code": "unsupported_parameter"}})


def case_no_late_system(p):  # G2
    if any(m["role"] == "system" for m in p.json["messages"][1:]):
        return p.answer(400, {"error": {"message": "System message must be at the beginning. roles must alternate"}})
    p.say(json.dumps([[m["role"], m["content"]] for m in p.json["messages"]]))


def case_no_system(p):
    if any(m["role"] == "system" for m in p.json["messages"]):
        return p.answer(500, {"error": {"message": "Jinja Exception: System role not supported"}})
    p.say(json.dumps([[m["role"], m["content"]] for m in p.json["messages"]]))


# going on from an answer's beginning

def case_no_prefill(p):
    if p.json["messages"][-1]["role"] == "assistant":
        return p.answer(400, {"error": {"message": "This model does not support assistant message prefill.",
                                        "type": "invalid_request_error", "param": None, "code": None}})
    p.say("asked anew")


def case_paris(p):  # F3: says it whole, or what is left of it
    text = "The capital is Paris."
    p.say(*(text[len(p.begun):] if text.startswith(p.begun) else text).partition(" "))


def case_starts_over(p): p.say("The cap", "ital is", " Paris.")  # F3: whatever it was given
def case_other_words(p): p.say("The ca", "thedral of Paris.")


def case_capital_reset(p):  # F3
    p.begin()
    p.text("The capital", " is")
    p.reset()


def case_blank_reset(p):
    p.begin()
    p.text("The capital is \n")
    p.reset()


def case_thought_reset(p):
    p.begin()
    p.delta(reasoning_content="Hm, ")
    p.delta(reasoning_content="France.")
    p.reset()


CASES = fake.cases(globals())


# ---- the server ----------------------------------------------------------------------------------------------------

def chat(p):
    model = p.json.get("model", "")
    p.completes = False
    fake.count(p, model)
    try:
        check(p)
        if ARGS.only_responses:
            raise Refusal(404, ONLY_RESPONSES, None, "model")
    except Refusal as r:
        return p.answer(r.status, r.body)
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        return p.answer(400, {"error": {"message": f"malformed request: {e!r}", "type": "invalid_request_error",
                                        "param": None, "code": None}})
    CASES.get(model, default)(p)


NO_COMPLETION = {  # how servers say that a model has no completions
    "chat-only": (404, "This is a chat model and not supported in the v1/completions endpoint. Did you mean to use v1/chat/completions?"),
    "chat-only-400": (400, "The model only supports chat completions"),
    "chat-only-405": (405, "Method Not Allowed"),
    "chat-only-501": (501, "not implemented"),
    "not-there": (404, "The model `not-there` does not exist."),
}


def check_completion(p):
    q = p.json
    check_head(p)
    for field in q:
        if field not in (COMPLETION_FIELDS if ARGS.official else COMPLETION_FIELDS | {"top_k", "min_p", "repetition_penalty", "x_own"}):
            raise Refusal(400, f"Unrecognized request argument supplied: {field}")
    if not isinstance(q["prompt"], str):
        raise Refusal(400, "'$.prompt' is invalid.", None, "prompt")
    if "stream_options" in q and not q.get("stream"):
        raise Refusal(400, "The 'stream_options' parameter is only allowed when 'stream' is enabled.", None, "stream_options")
    for field, kind in (("suffix", str), ("max_tokens", int), ("temperature", (int, float)), ("stream", bool)):
        if field in q and not isinstance(q[field], kind):
            raise Refusal(400, f"Invalid type for '{field}'", "invalid_type", field)
    if ARGS.official and len(q.get("stop", [])) > 4:
        raise Refusal(400, "Invalid 'stop'", "invalid_value", "stop")
    if ARGS.official and not re.search("^(ft:)?(davinci|babbage)|-instruct$", q["model"]):
        raise Refusal(404, NO_COMPLETION["chat-only"][1], None, "model")
    if q["model"] in NO_COMPLETION:
        raise Refusal(*NO_COMPLETION[q["model"]])
    if q["model"] == "no-suffix" and "suffix" in q:
        raise Refusal(400, "suffix is not currently supported")


def completions(p):
    """The cases of chat completions, said as text; a model of NO_COMPLETION has chat completions only."""
    model = p.json.get("model", "")
    p.completes = True
    fake.count(p, model)
    try:
        check_completion(p)
    except Refusal as r:
        return p.answer(r.status, r.body)
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        return p.answer(400, {"error": {"message": f"malformed request: {e!r}", "type": "invalid_request_error",
                                        "param": None, "code": None}})
    CASES.get(model, default)(p)


def embedding_input(q):
    """How many vectors, and of what: the lengths of texts, the sums of token ids."""
    given = q["input"]
    if isinstance(given, str):
        return [len(given)]
    if not isinstance(given, list) or not 1 <= len(given) <= 2048:
        raise Refusal(400, "'$.input' is invalid.", None, "input")
    if isinstance(given[0], int):
        return [sum(given)]
    return [sum(x) if isinstance(x, list) else len(x) for x in given]


def embeddings(p):
    """A vector is [length, its place, 0.1]; told in base64 when that is asked for.  The models embed-STATUS refuse (the first
    time only with "-once"), embed-old knows no encoding_format, embed-floats ignores it, embed-silent says nothing,
    embed-mixed gives them in another order, embed-html is no API."""
    q, model = p.json, p.json.get("model", "")
    fake.count(p, model)
    if ARGS.key and p.headers.get("authorization") != "Bearer " + ARGS.key:
        return p.answer(401, {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}})
    try:
        for field in q:
            if field not in ("model", "input", "encoding_format", "dimensions", "user", *([] if ARGS.official else ["input_type"])):
                raise Refusal(400, f"Unrecognized request argument supplied: {field}")
        lengths = embedding_input(q)
        if q.get("dimensions", 1) < 1 or q.get("encoding_format", "float") not in ("float", "base64"):
            raise Refusal(400, "'$.dimensions' is invalid.", None, "dimensions")
        if model == "embed-old" and "encoding_format" in q:
            raise Refusal(400, "encoding_format is not supported", None, "encoding_format")
    except Refusal as r:
        return p.answer(r.status, r.body)
    refused = re.fullmatch(r"embed-(\d+)(-once)?", model)
    if refused and not (refused[2] and p.nth > 1):
        return p.answer(int(refused[1]), {"error": {"message": "not now", "type": "server_error", "param": None, "code": None}})
    if model == "embed-silent":
        p.pause(60)
    if model == "embed-html":
        return p.answer(200, "<html>hello</html>", "text/html")
    packed = q.get("encoding_format") == "base64" and model not in ("embed-floats", "embed-old")
    data = []
    for i, n in enumerate(lengths):
        vector = [n, i, 0.1][:q.get("dimensions", 3)]
        value = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() if packed else vector
        data.append({"object": "embedding", "index": i, "embedding": value})
    if model == "embed-mixed":
        data.reverse()
    p.answer(200, {"object": "list", "data": data, "model": model,
                   "usage": {"prompt_tokens": sum(lengths), "total_tokens": sum(lengths)}})


def count_tokens(p):
    """As llama-server counts, in Anthropic's shape; a fake of OpenAI itself has no such call."""
    if ARGS.official or ARGS.no_count:
        return p.answer(404, {"error": {"message": f"Invalid URL ({p.method} {p.path})", "type": "invalid_request_error"}})
    p.answer(200, {"input_tokens": 100 * len(p.json["messages"])})


def models(p):
    if ARGS.key and p.headers.get("authorization") != "Bearer " + ARGS.key:
        return p.answer(401, {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}})
    if ARGS.models_status != 200:
        return p.answer(ARGS.models_status, {"error": {"message": "no list here"}})
    ids = [*CASES, "gpt-4o", "gpt-4o-mini", "gpt-5", "o3"]
    owner = server(p) if server(p) in ("vllm", "llamacpp") else "fake"
    data = [{"id": i, "object": "model", "created": 1, "owned_by": owner, "shutdown_date": None} for i in ids]
    data.append({"id": "gpt-3.5-turbo", "object": "model", "created": 1, "shutdown_date": "2020-01-01"})
    data.append({"id": "with-context", "object": "model", "created": 1, "max_model_len": 4096})
    p.answer(200, {"object": "list", "data": data}, headers="Server: llama.cpp\r\n" if server(p) == "llama-field" else "")


def route(p):
    path = p.path.split("?")[0]
    if p.method == "POST" and path.endswith("/chat/completions"):
        return chat(p)
    if p.method == "POST" and path.endswith("/completions") and not ARGS.no_completions:
        return completions(p)
    if p.method == "POST" and path.endswith("/embeddings"):
        return embeddings(p)
    if p.method == "POST" and path.endswith("/messages/count_tokens"):
        return count_tokens(p)
    if p.method == "POST" and path.endswith("/responses") and not ARGS.no_responses:
        return responses.respond(p)
    if p.method == "GET" and path.endswith("/models"):
        return models(p)
    p.answer(404, {"error": {"message": f"Invalid URL ({p.method} {p.path})", "type": "invalid_request_error",
                             "param": None, "code": None}})


def options(parser):
    parser.add_argument("--official", action="store_true", help="OpenAI's own rules")
    parser.add_argument("--no-count", action="store_true", help="no call that counts tokens")
    parser.add_argument("--no-responses", action="store_true", help="chat completions only")
    parser.add_argument("--no-completions", action="store_true", help="no POST /completions")
    parser.add_argument("--only-responses", action="store_true", help="no chat completions")


if __name__ == "__main__":
    fake.run(__doc__, Peer, route, options)
