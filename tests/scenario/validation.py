"""Bad input on the wire: the words are tested in tests/unit/api, here that they arrive (http-api.md section 4)."""
from harness import *

GOOD = {"message": "m", "session_id": "s"}


@case("POST: the list of what is wrong, in the order of the fields")
def post(t):
    with Server() as s:
        r = s.post("/api/v1/chat", {"temperature": 2, "session_id": "", "max_tokens": 100.5})
        t.equal(r.status, 422)
        t.keys(r.json(), "detail", "code", "request_id")
        t.equal(r.code, "validation_error")
        t.equal([(e["type"], e["loc"]) for e in r.detail],
                [("missing", ["body", "message"]), ("string_too_short", ["body", "session_id"]),
                 ("less_than_equal", ["body", "temperature"]), ("int_from_float", ["body", "max_tokens"])])
        t.keys(r.detail[0], "type", "loc", "msg", "input")
        t.keys(r.detail[1], "type", "loc", "msg", "input", "ctx")


@case("POST: bodies that are no object")
def bodies(t):
    with Server() as s:
        for body, kind in ((b"", "missing"), (b"null", "missing"), (b"[]", "model_attributes_type"), (b"{", "json_invalid"),
                           (b'{"a":NaN}', "json_invalid")):
            r = s.post("/api/v1/chat", body)
            t.equal((body, r.status, r.detail[0]["type"]), (body, 422, kind))
        r = s.post("/api/v1/chat", json.dumps(GOOD), {"Content-Type": "text/plain"})
        t.equal((r.status, r.detail[0]["type"], r.detail[0]["input"]), (422, "model_attributes_type", json.dumps(GOOD)))
        r = s.request("POST", "/api/v1/chat", {}, json.dumps(GOOD))  # no type at all
        t.equal(r.status, 200)
        for body in (b'{"message":"\xff","session_id":"s"}', b"[" * 65, b"\x80"):
            r = s.post("/api/v1/chat", body)
            t.equal((r.status, r.detail, r.code), (400, "There was an error parsing the body", "malformed_body"))
        r = s.post("/api/v1/chat", b"\xef\xbb\xbf" + json.dumps(GOOD).encode())
        t.equal(r.status, 200)
        r = s.post("/api/v1/chat", b'{"message":"\\ud800x","session_id":"\\udc00"}')
        t.equal((r.status, r.json()["session_id"]), (200, "\ufffd"))


@case("POST: what is echoed is cut, whatever was sent")
def echo(t):
    with Server() as s:
        r = s.post("/api/v1/chat", {"session_id": "s", "message": "x" * 1000000})
        t.equal(r.detail[0]["input"], "x" * 200)
        r = s.post("/api/v1/chat", {"session_id": "s", "deep": {"a": ["y" * 100000]}, "many": list(range(200000))})
        t.true(len(r.body) < 40000, "the answer's size")
        r = s.post("/api/v1/chat", "x" * 1000000, {"Content-Type": "text/plain"})
        t.equal(len(r.detail[0]["input"]), 200)


@case("GET of the stream: the same words under query")
def stream(t):
    with Server() as s:
        e = s.sse(session=None)
        t.equal(e.status, 422)
        t.equal([(d["type"], d["loc"], d["input"]) for d in e.answer.json()["detail"]],
                [("missing", ["query", "message"], None), ("missing", ["query", "session_id"], None)])
        for query, kind, field in (({"message": "", "session_id": "s"}, "string_too_short", "message"),
                                   ({"message": "x" * 4001, "session_id": "s"}, "string_too_long", "message"),
                                   ({"message": "m", "session_id": "s" * 257}, "string_too_long", "session_id"),
                                   ({"message": "m", "session_id": "s", "system_prompt": "x" * 1001}, "string_too_long",
                                    "system_prompt"),
                                   ({"message": "m", "session_id": "s", "temperature": ""}, "float_parsing", "temperature"),
                                   ({"message": "m", "session_id": "s", "prompt_type": "poet"}, "literal_error", "prompt_type"),
                                   ({"message": "m", "session_id": "s", "resume_window": "-1"}, "greater_than_equal",
                                    "resume_window")):
            e = s.sse(session=None, **query)
            d = e.answer.json()["detail"]
            t.equal((e.status, d[0]["type"], d[0]["loc"]), (422, kind, ["query", field]))


@case("lists: limit, before and cursor")
def lists(t):
    with Server() as s:
        for path, field in (("/api/v1/sessions?limit=0", "limit"), ("/api/v1/sessions?limit=1001", "limit"),
                            ("/api/v1/sessions?cursor=x", "cursor"), ("/api/v1/sessions/s?before=0", "before"),
                            ("/api/v1/sessions/s?limit=", "limit")):
            r = s.get(path)
            t.equal((path, r.status, r.detail[0]["loc"]), (path, 422, ["query", field]))


@case("WebSocket: an error frame, and the conversation goes on")
def websocket(t):
    with Server(script=[{"when": "*", "pieces": ["fine"]}]) as s, s.websocket() as w:
        for frame in ('{"session_id":"s"}', '{"message":"m"}', '{"message":null,"session_id":"s"}',
                      '{"message":"","session_id":"s"}', '{"message":"m","session_id":""}', "{}"):
            w.say(frame)
            t.equal((frame, w.hear()), (frame, {"type": "error", "error": "Message and session_id are required"}))
        for frame, kind, loc in (("{", "json_invalid", ["body", 1]), ("", "json_invalid", ["body", 0]),
                                 ("[]", "model_attributes_type", ["body"]), ("null", "missing", ["body"]),
                                 ('{"message":5,"session_id":"s"}', "string_type", ["body", "message"]),
                                 ('{"message":"m","session_id":"s","temperature":2}', "less_than_equal", ["body", "temperature"]),
                                 ('{"message":"m","session_id":"s","images":[]}', "value_error", ["body", "images"])):
            w.say(frame)
            got = w.hear()
            t.equal((frame, list(got), got["error"]), (frame, ["type", "error", "detail"], "Invalid request"))
            t.equal((got["detail"][0]["type"], got["detail"][0]["loc"]), (kind, loc))
        w.say(b'{"message":"\xff","session_id":"s"}', binary=True)
        t.equal(w.hear()["error"], "Invalid request")
        w.ask("still there?")
        t.equal(w.content(), "fine")


@case("no text of any kind is answered with a 500")
def anything(t):
    with Server() as s:
        for body in (b"\x00", b"{}" * 100, b'{"message":{}}', b'{"\\u0000":1}', b'{"message":"m","session_id":"\\u0000"}', b"-", b"1e999",
                     b'{"max_tokens":1e999,"message":"m","session_id":"s"}', b'{"images":[{}],"message":"m","session_id":"s"}',
                     b'"' + b"\\ud800" * 1000 + b'"', b'{"temperature":"' + b"9" * 5000 + b'","message":"m","session_id":"s"}'):
            r = s.post("/api/v1/chat", body)
            t.true(r.status in (200, 400, 422), f"{body[:40]!r} gives {r.status}")
        t.true(s.alive(), "the server")


main()
