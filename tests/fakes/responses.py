"""OpenAI's Responses API, the part of tests/fakes/openai.py that answers POST /v1/responses.

As there, the model's name chooses what happens (case_* below), any other model echoes the newest user message, and a
request that breaks a rule gets the provider's own error.  Reasoning is issued encrypted and is taken back only as it
was given."""
import json
import re
import secrets
import threading

import fake
from fake import ARGS

FIELDS = {"model", "input", "instructions", "stream", "max_output_tokens", "temperature", "top_p", "tools", "tool_choice",
          "parallel_tool_calls", "text", "reasoning", "store", "include"}
FURTHER = {"metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier", "user", "truncation",
           "max_tool_calls", "stream_options"}
ISSUED, ISSUED_LOCK = {}, threading.Lock()  # encrypted content -> the item that it came in


class Refusal(fake.Refusal):
    def __init__(self, message, code=None, param=None, status=400):
        super().__init__(status, message, {"error": {"message": message, "type": "invalid_request_error", "param": param,
                                                     "code": code}})


def need(condition, message, param=None, code="invalid_value"):
    if not condition:
        raise Refusal(message, code, param)


# ---- the rules -----------------------------------------------------------------------------------------------------

def keys(value, at, required, optional=()):
    need(isinstance(value, dict), f"Invalid type for '{at}': expected an object", at, "invalid_type")
    for k in required:
        need(k in value, f"Missing required parameter: '{at}.{k}'.", f"{at}.{k}", "missing_required_parameter")
    for k in value:
        need(k in required or k in optional, f"Unknown parameter: '{at}.{k}'.", f"{at}.{k}", "unknown_parameter")


def check_parts(parts, at, kinds):
    if isinstance(parts, str):
        return
    need(isinstance(parts, list) and parts, f"Invalid type for '{at}'", at, "invalid_type")
    for n, part in enumerate(parts):
        here = f"{at}[{n}]"
        need(part.get("type") in kinds, f"Invalid value: '{part.get('type')}'. Supported values are: {kinds}", here)
        if part["type"] == "input_image":
            keys(part, here, ("type", "image_url"), ("detail",))
            need(part["image_url"].startswith(("data:image/", "https://", "http://")), "Invalid 'image_url'", here)
        else:
            keys(part, here, ("type", "text"), ("annotations", "logprobs"))
            need(isinstance(part["text"], str), "Invalid 'text'", here, "invalid_type")


def check_reasoning(item, at, model):
    keys(item, at, ("type", "summary", "encrypted_content"), ("id",))
    with ISSUED_LOCK:
        issued = ISSUED.get(item["encrypted_content"])
    need(issued, "The encrypted content for item could not be verified. Reason: Encrypted content could not be "
         "decrypted or parsed.", None, "invalid_encrypted_content")
    need(issued == item, f"The item at '{at}' was changed: {issued} {item}", at)


def check_input(items, model):
    if isinstance(items, str):
        return
    need(isinstance(items, list) and items, "One of \"input\" or \"previous_response_id\" or 'prompt' or "
         "'conversation_id' must be provided.", "input")
    calls, pending = set(), None
    for n, item in enumerate(items):
        at = f"input[{n}]"
        kind = item.get("type", "message")
        if pending:
            need(kind in ("function_call", "custom_tool_call", "message", "reasoning") and item.get("role", "assistant") == "assistant",
                 f"Item '{pending}' of type 'reasoning' was provided without its required following item.", "input")
        if kind != "reasoning":
            pending = None
        prefix = {"message": "msg", "reasoning": "rs", "function_call": "fc", "custom_tool_call": "ctc"}.get(kind, "")
        need("id" not in item or item["id"].startswith(prefix), f"Invalid '{at}.id': '{item.get('id')}'. Expected an ID that begins "
             f"with '{prefix}'.", at + ".id")
        if kind == "message":
            keys(item, at, ("role", "content"), ("type", "id", "status", "phase"))
            role = item["role"]
            need(role in ("user", "system", "developer", "assistant"), f"Invalid value: '{role}'.", at + ".role")
            check_parts(item["content"], at + ".content",
                        ("output_text",) if role == "assistant" else ("input_text", "input_image"))
        elif kind in ("function_call", "custom_tool_call"):
            what = "input" if kind.startswith("custom") else "arguments"
            keys(item, at, ("type", "call_id", "name", what), ("id", "status"))
            need(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", item["call_id"]) and item["call_id"] not in calls, "Invalid call_id", at)
            if what == "arguments":
                json.loads(item["arguments"])
            calls.add(item["call_id"])
        elif kind in ("function_call_output", "custom_tool_call_output"):
            keys(item, at, ("type", "call_id", "output"), ("id", "status"))
            need(item["call_id"] in calls, f"No tool call found for function call output with call_id {item['call_id']}.", "input",
                 None)
            calls.discard(item["call_id"])
            check_parts(item["output"], at + ".output", ("input_text", "input_image"))
        elif kind == "reasoning":
            check_reasoning(item, at, model)
            pending = item.get("id", "rs_?")
        else:
            raise Refusal(f"Invalid value: '{kind}'.", "invalid_value", at + ".type")
    need(not pending, f"Item '{pending}' of type 'reasoning' was provided without its required following item.", "input")
    need(not calls, f"No tool output found for function call {sorted(calls)[:1]}.", "input", None)


def thinks(model):
    return not (re.match(r"gpt-(3\.5|4)", model) or model.endswith("-chat-latest"))


def check_family(q):
    model, reasoning = q["model"], q.get("reasoning", {})
    if not thinks(model):
        need("reasoning" not in q, "Unsupported parameter: 'reasoning.effort' is not supported with this model.",
             "reasoning.effort", "unsupported_parameter")
        need(not q.get("include"), "Encrypted content is not supported with this model.", "include", None)
        return
    at_none = re.match(r"gpt-5\.[1-6](?!.*(codex|pro))|gpt-6-(sol|luna)|gpt-6\.1-terra", model)
    efforts = {"high"} if model.startswith("gpt-5-pro") else {"low", "medium", "high"}
    if re.match(r"gpt-5(-(mini|nano))?$", model):
        efforts |= {"minimal"}
    if at_none:
        efforts |= {"none", "xhigh"}
    if re.match(r"gpt-6", model):
        efforts |= {"max", "xhigh"}
    if re.match(r"gpt-5\.2-pro|.*-codex-max", model):
        efforts |= {"xhigh"}
    need(reasoning.get("effort", "high") in efforts, f"Unsupported value: '{reasoning.get('effort')}' is not supported with "
         f"the '{model}' model.", "reasoning.effort", "unsupported_value")
    for field in ("temperature", "top_p"):
        need(field not in q or (at_none and reasoning.get("effort") == "none"),
             f"Unsupported parameter: '{field}' is not supported with this model.", field, "unsupported_parameter")


def check(p):
    h, q = p.headers, p.json
    need(h.get("content-type") == "application/json", "Content-Type must be application/json")
    need(h.get("accept-encoding") == "identity" and h.get("user-agent", "").startswith("sema/"), "odd fields")
    if ARGS.key and h.get("authorization") != "Bearer " + ARGS.key:
        raise Refusal("Incorrect API key provided", "invalid_api_key", None, 401)
    need(h.get("accept") == ("text/event-stream" if q.get("stream") else "application/json"), "another answer is accepted than asked for")
    need("stream_options" not in q or q.get("stream"), "'stream_options' needs 'stream'", "stream_options")
    for field in q:
        need(field in FIELDS | FURTHER or (field == "house_field" and q["model"] == "request"), f"Unknown parameter: '{field}'.", field, "unknown_parameter")
    need("instructions" not in q or isinstance(q["instructions"], str), "Invalid 'instructions'", "instructions", "invalid_type")
    need(q.get("store") is False, "the fake stores nothing", "store")
    need(set(q.get("include", [])) <= {"reasoning.encrypted_content"}, "Invalid 'include'", "include")
    need(q.get("max_output_tokens", 16) >= 16, "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16",
         "max_output_tokens", "integer_below_min_value")
    need(0 <= q.get("temperature", 1) <= 2 and 0 <= q.get("top_p", 1) <= 1, "Invalid number", "temperature")
    check_input(q.get("input"), q["model"])
    need("tools" not in q or q["tools"], "Invalid 'tools': empty array", "tools")
    need("tools" in q or not {"tool_choice", "parallel_tool_calls"} & set(q), "'tool_choice' needs 'tools'", "tool_choice")
    for n, tool in enumerate(q.get("tools", [])):
        if tool["type"] == "custom":
            need(q["model"] != "gpt-6-no-custom", "Invalid value: 'custom'. Supported values are: 'function'.", f"tools[{n}].type")
            keys(tool, f"tools[{n}]", ("type", "name"), ("description", "format"))
            continue
        keys(tool, f"tools[{n}]", ("type", "name", "parameters"), ("description", "strict"))
        need(tool["type"] == "function" and re.fullmatch(r"[A-Za-z0-9_-]{1,64}", tool["name"]), "Invalid tool", f"tools[{n}]")
        need(tool["parameters"].get("type") == "object", "Invalid schema for function", f"tools[{n}].parameters")
    choice = q.get("tool_choice", "auto")
    if not isinstance(choice, str):
        keys(choice, "tool_choice", ("type", "name"))
        need(choice["name"] in [t["name"] for t in q["tools"]], "Tool choice not found in 'tools'", "tool_choice")
    else:
        need(choice in ("none", "auto", "required"), "Invalid 'tool_choice'", "tool_choice")
    keys(q.get("text", {}), "text", (), ("format", "verbosity"))
    form = q.get("text", {}).get("format", {"type": "text"})
    if form["type"] == "json_schema":
        keys(form, "text.format", ("type", "name", "schema"), ("strict", "description"))
    need(form["type"] != "json_object" or "json" in json.dumps(q["input"]).lower(), "Response input messages must contain the "
         "word 'json' in some form to use 'text.format' of type 'json_object'.", "input")
    keys(q.get("reasoning", {}), "reasoning", (), ("effort", "summary"))
    if getattr(ARGS, "official", False):
        check_family(q)


# ---- the pieces of a stream ----------------------------------------------------------------------------------------

class Whole:
    """Stands in for a peer that is asked for a whole answer: the last event of the stream that a case writes holds it.  A
    case of odd bytes or of a stream that does not come to its end is a stream all the same."""

    def __init__(self, p):
        self.p, self.data = p, None

    def __getattr__(self, name):
        return getattr(self.p, name)

    def begin(self, *_):
        self.data = b""

    def chunk(self, data):
        self.data += data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")

    def end(self):
        try:
            events = [json.loads(line[6:]) for line in self.data.decode().split("\n") if line.startswith("data: ")]
        except ValueError:
            events = []
        last = events[-1] if events else {}
        if last.get("type") == "error":
            return self.p.answer(429 if "limit" in last["code"] else 500, {"error": {**last, "type": "server_error"}})
        if last.get("type") == "response.failed" or last.get("response", {}).get("output"):
            return self.p.answer(200, last["response"])
        self.p.begin()
        self.p.chunk(self.data)
        self.p.end()


class Stream:
    """One response: items are begun, filled and ended; finish() repeats all of them."""

    def __init__(self, p, begin=True, named=True):
        self.p, self.seq, self.output, self.named = p, 0, [], named
        if begin:
            p.begin()
            self.event("response.created", response=self.response("in_progress"))
            self.event("response.in_progress", response=self.response("in_progress"))

    def response(self, status, **more):
        return {"id": "resp_1", "object": "response", "created_at": 1, "status": status, "error": None,
                "incomplete_details": None, "model": self.p.json.get("model"), "output": [], "usage": None, **more}

    def event(self, kind, **fields):
        data = json.dumps({"type": kind, "sequence_number": self.seq, **fields}, ensure_ascii=False)
        self.p.chunk((f"event: {kind}\n" if self.named else "") + f"data: {data}\n\n")
        self.seq += 1

    def add(self, kind, **fields):
        """Begins an item and gives its output_index."""
        prefix = {"message": "msg", "reasoning": "rs", "function_call": "fc", "custom_tool_call": "ctc"}.get(kind, "x")
        n = len(self.output)
        item = {"id": f"{prefix}_{secrets.token_hex(8)}", "type": kind, **fields}
        self.output.append(item)
        self.event("response.output_item.added", output_index=n, item=dict(item))
        return n

    def delta(self, kind, n, text, **more):
        self.event(f"response.{kind}.delta", item_id=self.output[n]["id"], output_index=n, delta=text, obfuscation="r4N", **more)

    def done(self, n):
        self.event("response.output_item.done", output_index=n, item=self.output[n])

    def message(self, *pieces, kind="output_text", done=True):
        n = self.add("message", role="assistant", status="in_progress", content=[])
        field = "refusal" if kind == "refusal" else "text"
        self.event("response.content_part.added", item_id=self.output[n]["id"], output_index=n, content_index=0,
                   part={"type": kind, field: ""})
        for piece in pieces:
            self.delta(kind, n, piece, content_index=0)
        text = "".join(pieces)
        self.output[n].update(status="completed", content=[{"type": kind, field: text, "annotations": []}])
        if done:
            self.event(f"response.{kind}.done", item_id=self.output[n]["id"], output_index=n, content_index=0, **{field: text})
            self.event("response.content_part.done", item_id=self.output[n]["id"], output_index=n, content_index=0,
                       part=self.output[n]["content"][0])
            self.done(n)
        return n

    def think(self, *parts):
        """Summary parts, each in two deltas; the encrypted content comes with the item's end where it was asked for."""
        n = self.add("reasoning", summary=[])
        id = self.output[n]["id"]
        for i, part in enumerate(parts):
            self.event("response.reasoning_summary_part.added", item_id=id, output_index=n, summary_index=i,
                       part={"type": "summary_text", "text": ""})
            for piece in (part[:2], part[2:]):
                self.delta("reasoning_summary_text", n, piece, summary_index=i)
            self.event("response.reasoning_summary_text.done", item_id=id, output_index=n, summary_index=i, text=part)
            self.event("response.reasoning_summary_part.done", item_id=id, output_index=n, summary_index=i,
                       part={"type": "summary_text", "text": part})
        self.output[n].update(issue(self.p, self.output[n], parts))
        self.done(n)

    def call(self, call_id, name, *pieces, done=True):
        n = self.add("function_call", call_id=call_id, name=name, arguments="", status="in_progress")
        for piece in pieces:
            self.delta("function_call_arguments", n, piece)
        self.end_call(n, "".join(pieces), done)
        return n

    def end_call(self, n, arguments, done=True):
        self.output[n].update(arguments=arguments, status="completed")
        if done:
            self.event("response.function_call_arguments.done", item_id=self.output[n]["id"], output_index=n, arguments=arguments)
            self.done(n)

    def finish(self, status="completed", reason=None, output=True, usage=True, end=True):
        details = {"reason": reason} if reason else None
        given = usage if isinstance(usage, dict) else USAGE if usage else None
        self.event("response." + status, response=self.response(status, incomplete_details=details, usage=given,
                                                                 output=self.output if output else []))
        if end:
            self.p.end()


USAGE = {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 5,
         "output_tokens_details": {"reasoning_tokens": 3}, "total_tokens": 14}


def issue(p, item, parts):
    """What a reasoning item has at its end; it is taken back later exactly so."""
    whole = {"type": "reasoning", "id": item["id"], "summary": [{"type": "summary_text", "text": t} for t in parts]}
    if "reasoning.encrypted_content" in p.json.get("include", []):
        token = "gAAAA" + secrets.token_hex(24)
        # Clients join a summary's parts: one text comes back.
        back = {**whole, "encrypted_content": token,
                "summary": [{"type": "summary_text", "text": "\n\n".join(parts)}] if parts else []}
        with ISSUED_LOCK:
            ISSUED[token] = back
        whole["encrypted_content"] = token
    return whole


def say(p, *pieces, **how):
    s = Stream(p)
    if pieces:
        s.message(*pieces)
    s.finish(**how)


def newest(q):
    if isinstance(q["input"], str):
        return q["input"]
    for item in reversed(q["input"]):
        if item.get("role") == "user":
            c = item["content"]
            return c if isinstance(c, str) else " ".join(x.get("text", "[image]") for x in c)
    return ""


def default(p):
    text = newest(p.json)
    say(p, *(text[i:i + 3] for i in range(0, len(text), 3)))


# ---- what the models do --------------------------------------------------------------------------------------------

def case_hello(p): say(p, "Hel", "lo", "!")
def case_request(p): say(p, json.dumps(p.json, sort_keys=True, ensure_ascii=False))
def case_path(p): say(p, p.path)
def case_headers(p): say(p, json.dumps({k: p.headers.get(k) for k in ("authorization", "openai-organization", "openai-project",
                                                                     "accept", "cookie")}))
def case_length(p): say(p, "a", status="incomplete", reason="max_output_tokens")
def case_filter(p): say(p, "a", status="incomplete", reason="content_filter")
def case_empty_text(p): say(p)
def case_no_usage(p): say(p, "four", usage=False)
def case_empty_output(p): say(p, "seen before", output=False)
def case_megabyte(p): say(p, "x" * (1 << 20))
def case_many_deltas(p): say(p, *["z"] * 5000)


def case_refusal(p):
    s = Stream(p)
    s.message("I can", "not.", kind="refusal")
    s.finish()


def case_unnamed(p):  # no event: lines, gaps in the numbers, and the end that others write
    s = Stream(p, named=False)
    s.seq += 10
    s.message("o", "k")
    s.seq = 3
    s.finish(end=False)
    p.chunk("data: [DONE]\n\n")
    p.end()


def case_unknown(p):
    s = Stream(p)
    s.event("response.weather.delta", output_index=7, delta="sun")
    s.event("keepalive")
    s.event("response.queued", response=None)
    n = s.add("web_search_call", status="completed")
    s.event("response.web_search_call.completed", output_index=n, item_id=s.output[n]["id"])
    s.done(n)
    s.message("a")
    s.event("response.output_text.annotation.added", output_index=n, annotation={})
    s.event("rate_limits.updated", delta="text")
    s.finish()


def case_done_only(p):  # items without deltas: they count from their end
    s = Stream(p)
    for kind, fields in (("reasoning", {"summary": [{"type": "summary_text", "text": "Hm"}]}),
                         ("message", {"role": "assistant", "content": [{"type": "output_text", "text": "all"}]}),
                         ("function_call", {"call_id": "call_a", "name": "f", "arguments": "{\"a\":1}"})):
        n = s.add(kind, **({**fields, "arguments": ""} if kind == "function_call" else {}))
        s.output[n].update(fields)
        s.done(n)
    s.finish(output=False)


def case_parts_done(p):  # each part tells at its end what it was; the item's end and the last event say nothing
    s = Stream(p)
    n = s.add("reasoning", summary=[])
    for i, text in enumerate(("Hm", "so")):
        s.event("response.reasoning_summary_text.done", item_id=s.output[n]["id"], output_index=n, summary_index=i, text=text)
    s.done(n)
    n = s.add("message", role="assistant", content=[])
    s.delta("output_text", n, "a", content_index=0)
    for i, text in enumerate(("a", "b")):
        s.event("response.output_text.done", item_id=s.output[n]["id"], output_index=n, content_index=i, text=text)
    s.done(n)
    s.finish(output=False)


def case_last_only(p):  # nothing but the last event
    s = Stream(p)
    s.output = [{"id": "m", "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "all"}]},
                {"id": "f", "type": "function_call", "call_id": "call_a", "name": "f", "arguments": ""}]
    s.finish()


def case_whole(p):
    p.answer(200, Stream(p, begin=False).response("completed", usage=USAGE, output=[
        {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}, {"type": "summary_text", "text": "so"}]},
        {"id": "m", "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "one piece", "annotations": []}]}]))


def case_whole_tools(p):
    p.answer(200, Stream(p, begin=False).response("completed", usage=USAGE, output=[
        {"id": "f", "type": "function_call", "call_id": "call_a", "name": "f", "arguments": "{\"n\":1.10,\"id\":12345678901234567890}"}]))


def case_whole_failed(p):
    p.answer(200, Stream(p, begin=False).response("failed", error={"code": "server_error", "message": "oops"}))


def case_whole_queued(p): p.answer(200, Stream(p, begin=False).response("queued"))
def case_whole_nothing(p): p.answer(200, {"id": "resp_1", "object": "response", "status": "completed"})


# tools and thoughts

def case_tool(p):
    s = Stream(p)
    s.call("call_a", "get_weather", '{"ci', 'ty":"Os', 'lo","id":12345678901234567890}')
    s.finish()


def case_tool_no_args(p):
    s = Stream(p)
    s.call("call_a", "f")
    s.finish()


def custom(p, how):
    """A call of a tool whose input is one text, in the ways in which that text may be told."""
    s = Stream(p)
    n = s.add("custom_tool_call", call_id="call_c", name="c", input="", status="in_progress")
    for piece in ("a\"\n", "\U0001F600 {b}") if how != "item" else ():
        s.delta("custom_tool_call_input", n, piece)
    s.output[n].update(input="a\"\n\U0001F600 {b}", status="completed")
    if how == "all":
        s.event("response.custom_tool_call_input.done", item_id=s.output[n]["id"], output_index=n, input=s.output[n]["input"])
    if how != "deltas":
        s.done(n)
    s.call("call_f", "f", "{}")
    s.finish(output=how == "all")


def case_custom(p): custom(p, "all")
def case_custom_by_item(p): custom(p, "item")
def case_custom_by_deltas(p): custom(p, "deltas")


def case_custom_halves(p):
    s = Stream(p)
    n = s.add("custom_tool_call", call_id="call_c", name="c", input="")
    for half in (r"ok \ud83d", r"\ude00!"):
        p.chunk('data: {"type":"response.custom_tool_call_input.delta","output_index":%d,"delta":"%s"}\n\n' % (n, half))
    s.finish(output=False)


def case_gpt_6_custom(p):
    """Calls, then tells what kinds of items and tools it was given."""
    s = Stream(p)
    if any(i.get("type") == "custom_tool_call_output" for i in p.json["input"]):
        s.message(" ".join(i.get("type", i.get("role")) for i in [*p.json["input"], *p.json["tools"]]))
    else:
        s.think("I patch.")
        n = s.add("custom_tool_call", call_id="call_c", name="c", input="")
        s.output[n].update(input="*** p")
        s.done(n)
    s.finish()


case_gpt_6_no_custom = case_tool


def case_round_trip(p):  # thinks and calls, then tells what it was given
    last = p.json["input"][-1]
    s = Stream(p)
    if last.get("type") == "function_call_output":
        s.message("f said ", last["output"])
    else:
        s.think("I ask f.")
        s.call("call_rt", "f", '{"a":', "1}")
    s.finish()


def case_json(p): say(p, '{"ok":', "true}")


def case_text_and_tools(p):
    s = Stream(p)
    s.message("I look.")
    s.call("call_a", "f", "{}")
    s.call("call_b", "g", '{"b":', "2}")
    s.finish()


def interleave(p, by):
    """T6: two calls are open, their fragments alternate, told apart by `by` alone."""
    s = Stream(p)
    s.message("Both.")
    first = s.add("function_call", call_id="call_a", name="f", arguments="", status="in_progress")
    second = s.add("function_call", call_id="call_b", name="g", arguments="", status="in_progress")
    for n, piece in ((first, '{"a"'), (second, '{"b"'), (first, ":1"), (second, ":2"), (first, "}"), (second, "}")):
        at = {"item_id": s.output[n]["id"]} if by == "item_id" else {"output_index": n}
        s.event("response.function_call_arguments.delta", delta=piece, **at)
    s.end_call(first, '{"a":1}')
    s.end_call(second, '{"b":2}')
    s.finish()


def case_interleaved(p): interleave(p, "item_id")
def case_interleaved_by_index(p): interleave(p, "output_index")


def case_interleaved_same_index(p):  # ids tell them apart where every output_index is 0
    s = Stream(p)
    for n, (id, name) in enumerate((("call_a", "f"), ("call_b", "g"))):
        item = {"id": f"fc_{n}", "type": "function_call", "call_id": id, "name": name, "arguments": ""}
        s.event("response.output_item.added", output_index=0, item=item)
    for n, piece in ((0, '{"a"'), (1, '{"b"'), (0, ":1}"), (1, ":2}")):
        s.event("response.function_call_arguments.delta", output_index=0, item_id=f"fc_{n}", delta=piece)
    s.finish()


def case_other_ids(p):  # another id in each event: the place tells
    s = Stream(p)
    n = s.add("function_call", call_id="call_a", name="f", arguments="")
    for piece in ('{"a"', ":1}"):
        s.event("response.function_call_arguments.delta", item_id=secrets.token_hex(4), output_index=n, delta=piece)
    s.output[n].update(id="another", arguments='{"a":1}')
    s.done(n)
    s.finish()


def case_no_added(p):  # deltas of an item that was never begun
    s = Stream(p)
    s.event("response.function_call_arguments.delta", item_id="fc_1", output_index=0, delta='{"a":1}')
    s.event("response.output_item.done", output_index=0, item={
        "id": "fc_1", "type": "function_call", "call_id": "call_a", "name": "f", "arguments": '{"a":1}'})
    s.event("response.output_text.delta", item_id="m", output_index=1, content_index=0, delta="ok")
    s.finish()


def case_reasoning(p):
    s = Stream(p)
    s.think("Think", "more")
    s.message("42")
    s.finish()


def case_hidden_reasoning(p):
    s = Stream(p)
    s.think()
    s.message("42")
    s.finish()


def case_reasoning_text(p):  # open models
    s = Stream(p)
    n = s.add("reasoning", summary=[], content=[])
    for piece in ("Th", "ink"):
        s.delta("reasoning_text", n, piece, content_index=0)
    s.output[n]["content"] = [{"type": "reasoning_text", "text": "Think"}]
    s.output[n]["summary"] = [{"type": "summary_text", "text": "Think"}]
    s.done(n)
    s.message("42")
    s.finish()


def case_loop(p):
    """Thinks and calls; once the results are there it thinks again and tells what came back: the reasoning items of the
    request, and the results."""
    q = p.json
    results = [i["output"] for i in q["input"] if i.get("type") == "function_call_output"]
    s = Stream(p)
    if len(results) < 2:
        s.think(f"Step {len(results) + 1}")
        s.call(f"call_{len(results) + 1}", q["tools"][0]["name"], '{"n":', f"{len(results) + 1}}}")
    else:
        s.think("Done")
        s.message(json.dumps([[i.get("type", i.get("role")), i.get("encrypted_content", "")[:5]] for i in q["input"]]))
    s.finish()


case_gpt_6_sol_loop = case_loop  # a name that brings the family's rules


def case_roundtrip(p):
    """Refuses what is not a conversation with reasoning in it."""
    kinds = [i.get("type", i.get("role")) for i in p.json["input"]]
    say(p, " ".join(kinds))


# errors

def fail(status, headers="", **error):
    def case(p):
        p.answer(status, {"error": {"message": "no", "type": "t", "param": None, "code": None, **error}}, headers=headers)
    return case


case_status_400 = fail(400, type="invalid_request_error")
case_status_401 = fail(401, code="invalid_api_key", message="Incorrect API key provided: sk-abcdefgh12345678.")
case_status_403 = fail(403)
case_status_404 = fail(404, code="model_not_found")
case_status_429 = fail(429, code="rate_limit_exceeded")
case_status_500 = fail(500, type="server_error")
case_status_503 = fail(503)
case_quota = fail(429, code="insufficient_quota", type="insufficient_quota")
case_context = fail(400, code="context_length_exceeded")
case_policy = fail(400, code="invalid_prompt", message="Invalid prompt: your prompt was flagged as potentially violating our "
                   "usage policy.")
def case_html_502(p): p.answer(502, "<html>Bad gateway</html>", "text/html")
def case_html_200(p): p.answer(200, "<html>Welcome</html>", "text/html")


def failed(code, message="oops", after=""):
    def case(p):
        s = Stream(p)
        if after:
            s.message(after, done=False)
        s.event("response.failed", response=s.response("failed", error={"code": code, "message": message}))
        p.end()
    return case


case_failed = failed("server_error")
case_failed_after_text = failed("server_error", after="some")
case_failed_limit = failed("rate_limit_exceeded", "Rate limit reached for gpt-6 in organization org-1")
case_failed_prompt = failed("invalid_prompt", "Invalid prompt: your prompt was flagged as violating our usage policy")
case_failed_image = failed("invalid_image_format", "The image data you provided does not represent a valid image")
case_failed_context = failed("context_length_exceeded", "Your input exceeds the context window of this model.")


def case_failed_then_ok(p):
    failed("server_error")(p) if p.nth == 1 else say(p, "again")


def case_error_event(p):
    s = Stream(p)
    s.message("some", done=False)
    s.event("error", code="server_error", message="The server had an error", param=None)
    p.end()


case_error_mid_stream = case_error_event


def case_error_first(p):
    s = Stream(p)
    s.event("error", code="rate_limit_exceeded", message="slow down", param=None)
    p.end()


# time and cuts

def case_never(p): p.pause(30)


def case_silence(p):
    s = Stream(p)
    s.message("some", done=False)
    p.pause(30)


def case_silence_first(p):
    Stream(p)
    p.pause(30)


def case_pings(p):
    s = Stream(p)
    for _ in range(8):
        p.chunk(": ping\n\n")
        p.pause(0.05)
    s.message("ok")
    s.finish()


def case_slow(p):
    s = Stream(p)
    n = s.add("message", role="assistant", content=[])
    for _ in range(200):
        s.delta("output_text", n, "x", content_index=0)
        p.pause(0.02)
    s.finish()


def case_reset_first(p): p.reset()


def case_reset_between(p):
    s = Stream(p)
    s.message("a", "b", "c", done=False)
    p.reset()


def case_reset_inside(p):
    s = Stream(p)
    s.message("a", done=False)
    p.chunk('event: response.output_text.delta\ndata: {"type":"resp')
    p.reset()


def case_eof(p):  # everything but the last event
    s = Stream(p)
    s.message("a", "b", "c")
    p.end()


def case_done_without_end(p):
    s = Stream(p)
    s.message("abc")
    p.chunk("data: [DONE]\n\n")
    p.end()


def case_eof_in_call(p):
    s = Stream(p)
    s.call("call_a", "f", '{"a":', done=False)
    p.end()


def case_reset_after_end(p):
    s = Stream(p)
    s.message("a")
    s.finish(end=False)
    p.reset()


def case_empty_stream(p):
    p.begin()
    p.end()


def case_broken_event(p):
    s = Stream(p)
    s.message("a")
    p.chunk("data: {\"type\":\"resp\n\n")
    s.message("b")
    s.finish()


def case_503_twice(p):
    if p.nth <= 2:
        return p.answer(503, {"error": {"message": "busy"}}, headers="retry-after-ms: 20\r\n")
    say(p, "third")


# bytes

class Recorder:
    """Stands in for a peer: keeps what is written."""

    def __init__(self, p):
        self.json, self.data = p.json, b""

    def begin(self): pass
    def end(self): pass
    def chunk(self, data): self.data += data if isinstance(data, bytes) else data.encode()


def recorded(p):
    r = Recorder(p)
    s = Stream(r)
    s.think("é!")
    s.message("hé ", "€ 😀")
    s.call("call_a", "f", "{}")
    s.finish()
    return r.data


def bytewise(change=lambda data: data):
    def case(p):
        p.begin()
        data = change(recorded(p))
        for i in range(len(data)):
            p.chunk(data[i:i + 1])
        p.end()
    return case


case_bytes_one_by_one = bytewise()
case_crlf = bytewise(lambda data: data.replace(b"\n", b"\r\n"))
case_cr = bytewise(lambda data: data.replace(b"\n", b"\r"))
case_bom = bytewise(lambda data: b"\xef\xbb\xbf" + data.replace(b"data: ", b"data:"))


def case_halves(p):
    s = Stream(p)
    n = s.add("message", role="assistant", content=[])
    for half in (r"ok \ud83d", r"\ude00!"):
        p.chunk('data: {"type":"response.output_text.delta","output_index":%d,"delta":"%s"}\n\n' % (n, half))
    s.finish(output=False)


# what a model refuses once and for all

def refuse(field, **error):
    def case(p):
        within = p.json
        for name in field.split(".")[:-1]:
            within = within.get(name, {})
        if field.split(".")[-1] in within:
            return p.answer(400, {"error": {"message": f"Unsupported parameter: '{field}' is not supported with this model.",
                                            "type": "invalid_request_error", "param": field, "code": "unsupported_parameter",
                                            **error}})
        say(p, json.dumps(sorted(set(p.json) - {"model", "input", "stream"})))
    return case


case_no_temperature = refuse("temperature")
case_no_summary = refuse("reasoning.summary", code="unsupported_value", message="Your organization must be verified to generate "
                         "reasoning summaries.")
case_no_include = refuse("include", code=None, message="Encrypted content is not supported with this model.")
case_no_store = refuse("store", param=None, code=None, message="store: Extra inputs are not permitted")

CASES = fake.cases(globals())


# ---- the door ------------------------------------------------------------------------------------------------------

def respond(p):
    model = p.json.get("model", "")
    fake.count(p, model)
    try:
        if not model.startswith("no-store") or "store" in p.json:
            check(p)
    except Refusal as r:
        return p.answer(r.status, r.body)
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        return p.answer(400, {"error": {"message": f"malformed request: {e!r}", "type": "invalid_request_error",
                                        "param": None, "code": None}})
    CASES.get(model, default)(p if p.json.get("stream") else Whole(p))
