#!/usr/bin/env python3
"""A strict fake of Google AI Studio: generateContent of Gemini and Gemma.

    python3 tests/fakes/google.py --port 9001 [--log requests.jsonl] [--key test-key] [--retired]

The model's name chooses what happens: the functions named case_* below, "_" written as "-" ("rate-limit-then-ok").
Any other model echoes the newest user text.  A request that breaks a rule gets Google's own error; the rules of a
family go by the model's name (gemma-3*, gemini-2.5*, gemini-3* and all others).  The first line on standard output is
"listening on 127.0.0.1:PORT"; each request is one JSON line of the log.  GET /fake/calls?model=M tells how often M was
asked, GET /fake/gone how many clients left early."""
import base64
import binascii
import json
import re
import urllib.parse

import fake
from fake import ARGS

FIELDS = {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings", "cachedContent"}
CONFIG = {"temperature", "topP", "topK", "maxOutputTokens", "stopSequences", "seed", "presencePenalty", "frequencyPenalty",
          "candidateCount", "responseMimeType", "responseJsonSchema", "responseSchema", "thinkingConfig"}
PARTS = {"text", "inlineData", "fileData", "functionCall", "functionResponse"}
GIVEN = set()  # signatures
RETIRED = r"gemini-1|gemma-[12]-"
PLACEHOLDER = "skip_thought_signature_validator"
NAMES = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
         429: "RESOURCE_EXHAUSTED", 499: "CANCELLED", 500: "INTERNAL", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}


def error(status, message, details=None, name=None):
    e = {"code": status, "message": message, "status": name or NAMES.get(status, "UNKNOWN")}
    if details:
        e["details"] = details
    return {"error": e}


class Refusal(fake.Refusal):
    def __init__(self, message, status=400, details=None):
        super().__init__(status, message, error(status, message, details))


# ---- the pieces of a stream ----------------------------------------------------------------------------------------

def joined(frames):
    """The one object that a stream's frames are the pieces of."""
    whole, texts = {}, None
    for frame in frames:
        for candidate in frame.get("candidates", []):
            mine = whole.setdefault("candidates", [{"content": {"parts": [], "role": "model"}, "index": 0}])[0]
            for part in candidate.get("content", {}).get("parts", []):
                if texts is not None and set(part) == {"text"}:
                    texts["text"] += part["text"]
                    continue
                mine["content"]["parts"].append(dict(part))
                texts = mine["content"]["parts"][-1] if set(part) == {"text"} else None
            mine.update({k: v for k, v in candidate.items() if k != "content"})
        whole.update({k: v for k, v in frame.items() if k != "candidates"})
    return whole


class Peer(fake.Peer):
    model = ""
    broken_json = error(400, "Invalid JSON payload received.")
    frames = None  # of an answer that is given whole; None: a stream

    def begin(self, kind="text/event-stream"):
        if self.frames is None:
            super().begin(kind)

    def chunk(self, data):
        if self.frames is not None:  # a case of odd bytes: a stream, whatever was asked
            frames, self.frames = self.frames, None
            self.begin()
            for frame in frames:
                self.event(frame)
        super().chunk(data)

    def end(self):
        if self.frames is None:
            return super().end()
        broken = next((f for f in self.frames if "error" in f), None)
        self.answer(broken["error"]["code"] if broken else 200, broken or joined(self.frames))

    def event(self, value):
        if self.frames is not None:
            self.frames.append(json.loads(value) if isinstance(value, str) else value)
            return
        self.chunk("data: " + (value if isinstance(value, str) else json.dumps(value)) + "\r\n\r\n")

    def frame(self, *parts, finish=None, usage=None, **more):
        c = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
        if finish:
            c["finishReason"] = finish
        return {"candidates": [{**c, **more}], "usageMetadata": usage or
                {"promptTokenCount": 9, "candidatesTokenCount": 2, "totalTokenCount": 11},
                "modelVersion": self.model, "responseId": "r1"}

    def parts(self, *parts, **how):
        self.event(self.frame(*parts, **how))

    def text(self, *pieces):
        for piece in pieces:
            self.parts({"text": piece})

    def finish(self, reason="STOP", **how):
        self.parts({"text": ""}, finish=reason, **how)
        self.end()

    def say(self, *pieces, **how):
        self.begin()
        self.text(*pieces)
        self.finish(**how)


# ---- the rules -----------------------------------------------------------------------------------------------------

def unknown(given, allowed, where=""):
    for name in given:
        if name not in allowed:
            raise Refusal(f'Invalid JSON payload received. Unknown name "{name}"{where}: Cannot find field.')


def check_part(part, role):
    unknown(part, PARTS | {"thought", "thoughtSignature"}, ' at "contents.parts"')
    data = [k for k in part if k in PARTS]
    if len(data) != 1:
        raise Refusal("contents.parts must have one initialized field: oneof field 'data'.")
    if data == ["text"] and not part["text"] and "thoughtSignature" not in part:
        raise Refusal("Unable to submit request because it must have a text parameter.")
    if "inlineData" in part:
        unknown(part["inlineData"], {"mimeType", "data"})
        try:
            base64.b64decode(part["inlineData"]["data"], validate=True)
        except binascii.Error as e:
            raise Refusal("Base64 decoding failed.") from e
        if not part["inlineData"]["data"] or "/" not in part["inlineData"]["mimeType"]:
            raise Refusal("Unable to process input image.")
    if "functionCall" in part:
        unknown(part["functionCall"], {"name", "args", "id"})
        if role != "model" or not part["functionCall"]["name"] or not isinstance(part["functionCall"].get("args", {}), dict):
            raise Refusal("Please ensure that function call turn comes from the model.")
    if "functionResponse" in part:
        unknown(part["functionResponse"], {"name", "id", "response"})
        if role != "user" or not part["functionResponse"]["name"] or not isinstance(part["functionResponse"]["response"], dict):
            raise Refusal("Invalid function response.")
    signature = part.get("thoughtSignature")
    if signature is not None and signature != PLACEHOLDER and signature not in GIVEN:
        raise Refusal("Corrupted thought signature.")


def check_contents(contents, signs, gemma):
    if not contents:
        raise Refusal("* GenerateContentRequest.contents: contents is not specified")
    before, last = [], None
    for i, c in enumerate(contents):
        unknown(c, {"role", "parts"})
        if c.get("role") not in ("user", "model"):
            raise Refusal("Please use a valid role: user, model.")
        if not c.get("parts"):
            raise Refusal("* GenerateContentRequest.contents[%d].parts: contents.parts must not be empty." % i)
        if c["role"] == last and gemma:
            raise Refusal("Please ensure that multiturn requests alternate between user and model.")
        for part in c["parts"]:
            check_part(part, c["role"])
        calls = [p["functionCall"]["name"] for p in c["parts"] if "functionCall" in p]
        results = [p["functionResponse"]["name"] for p in c["parts"] if "functionResponse" in p]
        if calls and last != "user":
            raise Refusal("Please ensure that function call turn comes immediately after a user turn or after a function "
                          "response turn.")
        if results != before:
            raise Refusal("Please ensure that the number of function response parts is equal to the number of function "
                          "call parts of the function call turn.")
        if results and any("functionResponse" not in p for p in c["parts"][:len(results)]):
            raise Refusal("Please ensure that function responses come first.")
        first = next((p for p in c["parts"] if "functionCall" in p), None)
        if first and signs and "thoughtSignature" not in first:
            raise Refusal("Function call is missing a thought_signature in functionCall parts. This is required for tools to "
                          "work correctly.")
        before, last = calls, c["role"]
    if before or last != "user" or contents[0]["role"] != "user":
        raise Refusal("Please ensure that multiturn requests begin and end with a user role.")


def check_config(g, model, old_gemma):
    unknown(g, CONFIG, ' at "generation_config"')
    for field, low, high in (("temperature", 0, 2), ("topP", 0, 1), ("presencePenalty", -2, 2), ("frequencyPenalty", -2, 2),
                             ("topK", 1, 1000), ("maxOutputTokens", 1, 65536), ("seed", -2 ** 31, 2 ** 31 - 1)):
        if field in g and not low <= g[field] <= high:
            raise Refusal(f"* GenerateContentRequest.generation_config.{field}: out of range")
    if len(g.get("stopSequences", [])) > 5:
        raise Refusal("The number of stop_sequences must be at most 5.")
    if "responseJsonSchema" in g:
        if g.get("responseMimeType") != "application/json":
            raise Refusal("Response schema needs the response mime type application/json.")
        if re.search(r'"const": [^{]', json.dumps(g["responseJsonSchema"])):  # as a keyword, not as a name
            raise Refusal("Unknown name \"const\" at 'generation_config.response_schema'")
    if old_gemma and "responseMimeType" in g:
        raise Refusal(f"JSON mode is not enabled for models/{model}")
    t = g.get("thinkingConfig")
    if t is None:
        return
    unknown(t, {"includeThoughts", "thinkingBudget", "thinkingLevel"})
    if old_gemma or re.match(r"gemini-(1|2\.0)", model):
        raise Refusal("Thinking is not enabled for this model.")
    if "thinkingBudget" in t and "thinkingLevel" in t:
        raise Refusal("You can only set only one of thinking budget and thinking level.")
    if model.startswith("gemini-2.5"):
        if "thinkingLevel" in t:
            raise Refusal("Thinking level is not supported for this model.")
        low, high = {"p": (128, 32768), "f": (0, 24576)}[model[11]]
        if not low <= t.get("thinkingBudget", low) <= high:
            raise Refusal(f"The thinking budget {t['thinkingBudget']} is invalid. Please choose a value between {low} and {high}.")
    else:
        if t.get("thinkingLevel", "LOW") not in ("MINIMAL", "LOW", "MEDIUM", "HIGH"):
            raise Refusal("Invalid value at 'generation_config.thinking_config.thinking_level'")
        if t.get("thinkingLevel") == "MINIMAL" and not re.match(r"gemini-3(\.[1-6])?-flash", model):
            raise Refusal("Thinking level MINIMAL is not supported for this model.")


def check(p):
    q, h, model = p.json, p.headers, p.model
    if h.get("content-type") != "application/json":
        raise Refusal("Invalid content type")
    if h.get("accept-encoding") != "identity" or not h.get("user-agent", "").startswith("sema/"):
        raise Refusal("odd fields")
    check_key(p)
    unknown(q, FIELDS)
    old_gemma, gemma = bool(re.match(r"gemma-([123]|7b)", model)), model.startswith("gemma-")
    signs = not gemma and not re.match(r"gemini-[12]", model)
    if "systemInstruction" in q:
        if old_gemma:
            raise Refusal(f"Developer instruction is not enabled for models/{model}")
        unknown(q["systemInstruction"], {"parts", "role"})
        for part in q["systemInstruction"]["parts"]:
            check_part(part, "user")
    check_contents(q.get("contents"), signs, gemma)
    if "tools" in q:
        if old_gemma:
            raise Refusal("Function calling is not enabled for models/" + model)
        for tool in q["tools"]:
            unknown(tool, {"functionDeclarations"})
            for f in tool["functionDeclarations"]:
                unknown(f, {"name", "description", "parametersJsonSchema", "parameters"})
                if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}", f["name"]) or f["parametersJsonSchema"]["type"] != "object":
                    raise Refusal("Invalid function declaration.")
    if "toolConfig" in q:
        choice = q["toolConfig"]["functionCallingConfig"]
        unknown(choice, {"mode", "allowedFunctionNames"})
        if "tools" not in q or choice["mode"] not in ("AUTO", "ANY", "NONE"):
            raise Refusal("Function calling config is set without function_declarations.")
    check_config(q.get("generationConfig", {}), model, old_gemma)


def check_key(p):
    if "key=" in p.path or "authorization" in p.headers:
        raise Refusal("a key at the wrong place")
    if "x-goog-api-key" not in p.headers:
        raise Refusal("Method doesn't allow unregistered callers", 403)
    if ARGS.key and p.headers["x-goog-api-key"] != ARGS.key:
        raise Refusal("API key not valid. Please pass a valid API key.", 400,
                      [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}])


# ---- what the models do --------------------------------------------------------------------------------------------

def newest(q):
    for c in reversed(q["contents"]):
        texts = [x["text"] for x in c["parts"] if "text" in x]
        if c["role"] == "user" and texts:
            return " ".join(texts)
    return ""


def default(p):
    text = newest(p.json)
    p.say(*(text[i:i + 3] for i in range(0, len(text), 3)))


def call(name, args, signature=None, **more):
    part = {"functionCall": {"name": name, "args": args, **more}}
    if signature:
        GIVEN.add(signature)
        part["thoughtSignature"] = signature
    return part


def case_hello(p): p.say("Hel", "lo", "!")
def case_request(p): p.say(json.dumps(p.json, sort_keys=True, ensure_ascii=False))
def case_path(p): p.say(p.path)
def case_headers(p): p.say(json.dumps({k: p.headers.get(k) for k in ("authorization", "accept", "cookie")}))
def case_length(p): p.say("a", reason="MAX_TOKENS")
def case_continuation(p): p.say("a", reason="CONTINUATION")
def case_safety(p): p.say("a", reason="SAFETY")
def case_image_safety(p): p.say("a", reason="IMAGE_SAFETY")
def case_other(p): p.say("a", reason="OTHER")
def case_other_silent(p): p.say(reason="OTHER")
def case_malformed_call(p): p.say(reason="MALFORMED_FUNCTION_CALL")
def case_empty_text(p): p.say()


def case_malformed_once(p):
    p.say(*(["again"] if p.nth > 1 else []), reason="STOP" if p.nth > 1 else "MALFORMED_FUNCTION_CALL")


def case_finish_with_text(p):
    p.begin()
    p.parts({"text": "all"}, finish="STOP")
    p.end()


def case_finish_without_parts(p):
    p.begin()
    p.text("a")
    p.event({"candidates": [{"content": {"role": "model"}, "finishReason": "STOP"}]})
    p.end()


def case_blocked(p):
    p.begin()
    p.event({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 4}})
    p.end()


def case_json_blocked(p): p.answer(200, {"promptFeedback": {"blockReason": "SAFETY"}})
def case_json_answer(p): p.answer(200, p.frame({"text": "one piece"}, finish="STOP"))
def case_json_array(p): p.answer(200, [p.frame({"text": "two "}), p.frame({"text": "pieces"}, finish="STOP")])
def case_json_nothing(p): p.answer(200, {"usageMetadata": {}})
def case_json_error_array(p): p.answer(503, [error(503, "The model is overloaded.")])


def case_no_usage(p):
    p.begin()
    p.event({"candidates": [{"content": {"parts": [{"text": "four"}]}, "finishReason": "STOP"}]})
    p.end()


def case_usage_details(p):
    p.begin()
    p.parts({"text": "a"}, usage={"promptTokenCount": 100})
    p.finish(usage={"promptTokenCount": 100, "toolUsePromptTokenCount": 7, "candidatesTokenCount": 20, "thoughtsTokenCount": 15,
                    "cachedContentTokenCount": 60, "totalTokenCount": 142})


def case_usage_zero(p):  # no text, no counter
    p.begin()
    p.event({"candidates": [{"finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 5, "totalTokenCount": 5}})
    p.end()


def case_reasoning(p):
    p.begin()
    p.parts({"text": "Th", "thought": True})
    p.parts({"text": "ink", "thought": True}, {"text": "42", "thoughtSignature": "t1"})
    p.finish()


def case_literal_tags(p): p.say("<think>no</think>")


# tools

def case_tool(p):
    p.begin()
    p.event('{"candidates":[{"content":{"parts":[{"functionCall":{"id":"fc_1","name":"get_weather","args":'
            '{"city":"Oslo","id":12345678901234567890,"n":1.10}}}]},"finishReason":"STOP"}]}')
    p.end()


def case_tool_no_args(p):
    p.begin()
    p.parts({"functionCall": {"name": "f", "id": "fc_1"}}, finish="STOP")
    p.end()


def case_round_trip(p):  # calls, then tells what it was given
    last = p.json["contents"][-1]["parts"][0]
    if "functionResponse" in last:
        response = last["functionResponse"]["response"]
        return p.say("f said ", response.get("output") or json.dumps(response))
    p.begin()
    p.parts(call("f", {"a": 1}, "sig-RT"), finish="STOP")
    p.end()


def case_json(p): p.say('{"ok":', "true}")


def case_three_chunks(p):  # T2
    if any("functionResponse" in x for c in p.json["contents"] for x in c["parts"]):
        return p.say(json.dumps([[x["functionResponse"]["response"]["output"] for x in c["parts"]]
                                 for c in p.json["contents"] if "functionResponse" in c["parts"][0]]))
    p.begin()
    for city in ("Oslo", "Rome", "Lima"):
        p.parts(call("get_weather", {"city": city}, "sig-T2" if city == "Oslo" else None),
                finish="STOP" if city == "Lima" else None)
    p.end()


def case_signed(p):  # R3
    contents = p.json["contents"]
    if len(contents) > 1:
        return p.say(json.dumps([x.get("thoughtSignature") for c in contents for x in c["parts"] if "functionCall" in x]))
    p.begin()
    p.parts(call("f", {"a": 1}, "sig-R3", id="call_r3f"), call("g", {"b": 2}, id="call_r3g"), finish="STOP")
    p.end()


# errors by status

def fail(status, message="no", details=None, headers="", name=None):
    def case(p):
        p.answer(status, error(status, message, details, name), headers=headers)
    return case


RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37s"}
RETRY_SOON = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.01s"}


def quota(id):
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": id, "quotaValue": "50"}]}


case_status_400 = fail(400)
case_status_401 = fail(401)
case_status_402 = fail(402)
case_status_403 = fail(403)
case_status_404 = fail(404, "models/status-404 is not found for API version v1beta")
case_status_408 = fail(408)
case_status_413 = fail(413)
case_status_422 = fail(422)
case_status_429 = fail(429)
case_status_499 = fail(499)
case_status_500 = fail(500)
case_status_503 = fail(503, "The model is overloaded. Please try again later.")
case_status_504 = fail(504)
case_status_529 = fail(529)
case_bad_key = fail(400, "API key not valid. Please pass a valid API key.", [{"reason": "API_KEY_INVALID"}])
case_location = fail(400, "User location is not supported for the API use.", name="FAILED_PRECONDITION")
case_billing = fail(400, "Please enable billing on your project.", name="FAILED_PRECONDITION")
case_context = fail(400, "The input token count (2000000) exceeds the maximum number of tokens allowed (1048576).")
case_per_minute = fail(429, "You exceeded your current quota", [quota("GenerateRequestsPerMinutePerProject"), RETRY_INFO])
case_per_day = fail(429, "You exceeded your current quota", [quota("GenerateRequestsPerDayPerProject-FreeTier"), RETRY_INFO])
case_soon_always = fail(429, "quota", [RETRY_SOON])
def case_html_502(p): p.answer(502, "<html>Bad gateway</html>", "text/html")
def case_html_200(p): p.answer(200, "<html>Welcome</html>", "text/html")
def case_redirect(p): p.answer(307, "", headers="Location: http://127.0.0.1:1/elsewhere\r\n")
def case_gzip(p): p.answer(200, b"\x1f\x8b", headers="Content-Encoding: gzip\r\n")


def case_503_twice(p):
    if p.nth <= 2:
        return p.answer(503, error(503, "overloaded", [RETRY_SOON]))
    p.say("third")


def case_error_first(p):  # E2
    p.begin()
    p.chunk(": wait\n\n")
    p.event(error(429, "limit", [quota("GenerateRequestsPerMinute")]))
    p.end()


def case_error_json_200(p): p.answer(200, error(503, "overloaded"))


def case_empty_stream(p):
    p.begin()
    p.end()


def case_error_mid_stream(p):
    p.begin()
    p.text("some")
    p.event(error(503, "The model is overloaded."))
    p.end()


def case_error_bare(p):
    p.begin()
    p.text("some")
    p.chunk(json.dumps(error(503, "The model is overloaded."), indent=1))
    p.end()


def case_error_bare_first(p):
    p.begin()
    p.chunk(": wait\r\n\r\n")
    for line in json.dumps(error(429, "limit", [quota("GenerateRequestsPerMinute")]), indent=1).splitlines():
        p.chunk(line + "\r\n")
    p.end()


def case_error_bare_at_once(p):  # in the same write as the event before it
    p.begin()
    p.chunk("data: " + json.dumps(p.frame({"text": "some"})) + "\r\n\r\n" + json.dumps(error(503, "overloaded")))
    p.end()


# time and cuts

def case_never(p): p.pause(30)


def case_silence(p):
    p.begin()
    p.text("some")
    p.pause(30)


def case_slow(p):
    p.begin()
    for _ in range(200):
        p.text("x")
        p.pause(0.02)
    p.finish()


def case_reset_between(p):  # S4
    p.begin()
    p.text("a", "b", "c")
    p.reset()


def case_reset_first(p): p.reset()


def case_reset_inside(p):
    p.begin()
    p.text("a")
    p.chunk('data: {"candidates":[{"con')
    p.reset()


def case_eof(p):  # S4
    p.begin()
    p.text("a", "b", "c")
    p.end()


def case_reset_after_finish(p):
    p.begin()
    p.parts({"text": "a"}, finish="STOP")
    p.reset()


def case_silence_after_finish(p):
    p.begin()
    p.parts({"text": "a"}, finish="STOP")
    p.pause(30)


def case_text_after_finish(p):
    p.begin()
    p.parts({"text": "a"}, finish="STOP")
    p.parts({"text": "b"})
    p.end()


def case_no_blank_line(p):
    p.begin()
    p.text("a")
    p.chunk("data: " + json.dumps(p.frame({"text": "b"}, finish="STOP")))
    p.end()


# bytes

def odd_lines(nl, mark=b""):
    def case(p):  # S1
        data = mark + ('data:{"candidates":[{"index":0,\ndata:"content":{"parts":[{"text":"hé"}]},"finishReason":"STOP"}]}\n\n'
                       ).encode().replace(b"\n", nl)
        p.begin()
        for i in range(len(data)):
            p.chunk(data[i:i + 1])
        p.end()
    return case


case_lf = odd_lines(b"\n")
case_crlf = odd_lines(b"\r\n")
case_cr = odd_lines(b"\r")
case_bom = odd_lines(b"\n", b"\xef\xbb\xbf")


def case_halves(p):  # S7
    p.begin()
    p.event(r'{"candidates":[{"content":{"parts":[{"text":"ok \ud83d"}]}}]}')
    p.event(r'{"candidates":[{"content":{"parts":[{"text":"\ude00!"}]},"finishReason":"STOP"}]}')
    p.end()


def case_megabyte(p): p.say("x" * (1 << 20))
def case_many_deltas(p): p.say(*["z"] * 5000)


def case_broken_event(p):
    p.begin()
    p.text("a")
    p.event('{"candidates":[{')
    p.text("b")
    p.finish()


def case_unknown(p):
    p.begin()
    p.event({"candidates": None})
    p.event({"weather": 1})
    p.event({"candidates": [{"index": 1, "content": {"parts": [{"text": "other"}]}}]})
    p.parts({"executableCode": {"code": "1"}}, {"inlineData": {"mimeType": "image/png", "data": "AA=="}}, {"text": "a"})
    p.finish()


# what is refused once and for all

def refuse(config_field, message):
    def case(p):
        if config_field in p.json["generationConfig"]:
            return p.answer(400, error(400, message))
        p.say(json.dumps(sorted(p.json["generationConfig"])))
    return case


case_no_penalty = refuse("presencePenalty", "Penalty is not enabled for models/no-penalty")
case_no_thinking = refuse("thinkingConfig", "Thinking is not supported by this model.")


def case_no_system(p):
    if "systemInstruction" in p.json:
        return p.answer(400, error(400, "Developer instruction is not enabled for models/no-system"))
    p.say(json.dumps(p.json["contents"]))


CASES = fake.cases(globals())


# ---- the server ----------------------------------------------------------------------------------------------------

def generate(p, stream):
    fake.count(p, p.model)
    try:
        if p.headers.get("accept") != ("text/event-stream" if stream else "application/json"):
            raise Refusal("another answer is accepted than was asked for")
        check(p)
        if ARGS.retired and re.match(RETIRED, p.model):
            raise Refusal(f"models/{p.model} is not found for API version v1beta, or is not supported for generateContent. "
                          "Call ListModels to see the list of available models and their supported methods.", 404)
    except Refusal as r:
        return p.answer(r.status, r.body)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as e:
        return p.answer(400, error(400, f"malformed request: {e!r}"))
    p.frames = None if stream else []
    CASES.get(p.model, default)(p)


def count_tokens(p):
    """As many as there are contents, times a hundred."""
    q = p.json.get("generateContentRequest", {})
    try:
        unknown(p.json, {"generateContentRequest"})
        if q.pop("model", "") != "models/" + p.model:
            raise Refusal("the model must be the one of the path")
        p.json = q
        check(p)
    except Refusal as r:
        return p.answer(r.status, r.body)
    p.answer(200, {"totalTokens": 100 * len(q["contents"]) + 10 * len(q.get("tools", [])) + ("systemInstruction" in q)})


def embed(p):
    """A vector of a text: its length, and the number of vectors asked for."""
    try:
        check_key(p)
        unknown(p.json, {"requests"})
        if not 1 <= len(p.json["requests"]) <= 100:
            raise Refusal("* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch")
        for r in p.json["requests"]:
            unknown(r, {"model", "content", "outputDimensionality", "taskType"})
            unknown(r["content"], {"parts"})
            if r["model"] != "models/" + p.model:
                raise Refusal("the model must be the one of the path")
    except Refusal as r:
        return p.answer(r.status, r.body)
    n = len(p.json["requests"])
    p.answer(200, {"embeddings": [{"values": [len(r["content"]["parts"][0]["text"]), n, r.get("outputDimensionality", 0)]}
                                  for r in p.json["requests"]]})


def models(p):
    try:
        check_key(p)
    except Refusal as r:
        return p.answer(r.status, r.body)
    if ARGS.models_status != 200:
        return p.answer(ARGS.models_status, error(ARGS.models_status, "no list here"))
    data = [{"name": "models/" + i, "displayName": i, "inputTokenLimit": 1048576, "outputTokenLimit": 65536,
             "supportedGenerationMethods": ["generateContent", "countTokens"]}
            for i in [*CASES, *([] if ARGS.retired else ["gemini-1.5-pro", "gemini-1.5-flash", "gemma-2-9b-it"]), "gemini-2.5-flash", "gemini-2.5-pro", "gemini-4-argon", "gemma-3-27b-it"]]
    data.append({"name": "models/text-embedding-9", "supportedGenerationMethods": ["embedContent"]})
    if ARGS.page:
        token = urllib.parse.parse_qs(p.path.partition("?")[2]).get("pageToken", ["p/=0"])[0]
        first = int(token.partition("=")[2])
        data = data[first:first + ARGS.page]
        return p.answer(200, {"models": data, **({"nextPageToken": f"p/={first + ARGS.page}"} if len(data) == ARGS.page else {})})
    p.answer(200, {"models": data})


def model(p, name):
    """The call for one model: it knows those that are listed nowhere, too."""
    try:
        check_key(p)
    except Refusal as r:
        return p.answer(r.status, r.body)
    if ARGS.retired and re.match(RETIRED, name):
        return p.answer(404, error(404, f"models/{name} is not found for API version v1beta, or is not supported for generateContent."))
    p.answer(200, {"name": "models/" + name, "supportedGenerationMethods": ["generateContent"]})


def route(p):
    path, _, query = p.path.partition("?")
    method = re.fullmatch(r"/v1beta/models/([^/:]+):(generateContent|streamGenerateContent)", path)
    if p.method == "POST" and method and query == ("alt=sse" if method[2].startswith("stream") else ""):
        p.model = urllib.parse.unquote(method[1])
        return generate(p, method[2].startswith("stream"))
    other = re.fullmatch(r"/v1beta/models/([^/:]+):(countTokens|batchEmbedContents)", path)
    if p.method == "POST" and other:
        p.model = urllib.parse.unquote(other[1])
        return count_tokens(p) if other[2] == "countTokens" else embed(p)
    if p.method == "GET" and path == "/v1beta/models":
        return models(p)
    if p.method == "GET" and path.startswith("/v1beta/models/"):
        return model(p, urllib.parse.unquote(path[len("/v1beta/models/"):]))
    p.answer(404, "<html>404 (Not Found)</html>", "text/html")


def options(parser):
    parser.add_argument("--page", type=int, default=0, help="the list of models in pages of so many")
    parser.add_argument("--retired", action="store_true", help="the models that Google has shut down are gone")


if __name__ == "__main__":
    fake.run(__doc__, Peer, route, options)
