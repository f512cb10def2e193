"""Google's API, served: generateContent whole, as events and as an array in pieces (openai-compat.md 11)."""
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
    {"when": "echo", "pieces": [{"echo": "messages"}]},
    {"when": "fields", "pieces": [{"echo": "fields"}]},
]
KEY = "key-of-google-clients"
PATH = "/v1beta/models/sema:generateContent"
STREAM = "/v1beta/models/sema:streamGenerateContent"
TOOLS = [{"functionDeclarations": [{"name": "f", "description": "d", "parameters": {"type": "OBJECT", "properties": {
    "a": {"type": "INTEGER", "nullable": True}, "b": {"type": "ARRAY", "items": {"type": "STRING"}, "minItems": "1"}},
    "required": ["a"], "propertyOrdering": ["a", "b"]}}, {"name": "g"}]}, {"googleSearch": {}}]


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


@case("tools: calls come whole, at once, with ids and one signature; their results go back by id, name or order")
def tools(t):
    with Server(SCRIPT) as s:
        a = parts(answer(t, s.post(PATH, ask("two tools", tools=TOOLS))))
        t.equal([p["functionCall"] for p in a], [{"id": "call_a", "name": "f", "args": {"a": 1}}, {"id": "call_b", "name": "g", "args": {}}])
        t.equal(["thoughtSignature" in p for p in a], [True, False])
        out = both(t, s, ask("two tools", tools=TOOLS))
        t.equal([p["functionCall"]["name"] for o in out for p in parts(o) if "functionCall" in p], ["f", "g"])
        t.equal(out[-1]["candidates"][0]["finishReason"], "STOP")


main()
