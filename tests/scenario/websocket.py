"""/api/v1/chat/ws: frames, order, limits, closing (http-api.md section 7)."""
from harness import *

FAST = {"when": "*", "pieces": ["Hello", " wörld\u2028"]}
SLOW = {"when": "slow", "pieces": [{"text": "w ", "repeat": 30, "every_ms": 20}]}
HANG = {"when": "hang", "pieces": ["a", {"hang": True}]}


@case("frames of an answer, key by key")
def frames(t):
    with Server(script=[FAST]) as s, s.websocket() as w:
        t.equal((w.status, w.answer.header("Sec-WebSocket-Protocol")), (101, None))
        t.true(w.answer.header("X-Request-ID"), "the common fields")
        w.ask("hi", "s1")
        got = w.answer_frames()
        for n, frame in enumerate(got):
            t.keys(frame, "type", "content", "session_id", "message_id", "chunk_id", "is_final", "timestamp")
            t.equal((frame["type"], frame["session_id"], frame["chunk_id"]), ("chunk", "s1", n))
        t.equal([f["content"] for f in got], ["Hello", " wörld\u2028", ""])
        t.equal([f["is_final"] for f in got], [False, False, True])
        t.equal(len({f["message_id"] for f in got}), 1)
        t.equal(s.get("/api/v1/sessions/s1").json()["messages"][1]["content"], "Hello wörld\u2028")
        t.equal(s.metrics()["sema_websocket_connections"], 1)
        w.say(json.dumps({"message": "binary", "session_id": "s1"}), binary=True)
        t.equal(w.content(), "Hello wörld\u2028")
        t.equal(w.bye(), (1000, ""))
        wait_until(lambda: s.metrics()["sema_websocket_connections"] == 0)
        t.equal(wait_until(lambda: s.events("websocket_disconnected"))[0]["session_id"], "s1")


@case("messages wait and are answered in order, wrong ones in their place")
def order(t):
    with Server(script=[SLOW, {"when": "*", "pieces": [{"echo": "last"}]}]) as s, s.websocket() as w:
        w.ask("slow", "a")
        w.hear()
        for n in range(5):
            w.ask(f"question {n}", f"s{n}")
        w.say("{}")
        w.ask("the last", "z")
        t.equal(len(w.content()), 58)
        for n in range(5):
            t.equal(w.content(), f"question {n}")
        t.equal(w.hear()["error"], "Message and session_id are required")
        t.equal(w.content(), "the last")


@case("sixteen wait, the seventeenth closes")
def overflow(t):
    with Server(script=[HANG]) as s, s.websocket() as w:
        w.ask("hang", "a")
        w.hear()
        for n in range(16):
            w.ask("x", f"s{n}")
        time.sleep(0.2)
        t.equal(s.metrics()["sema_active_streams"], 1)
        w.ask("x", "one more")
        t.equal(w.hear(), None)
        t.equal(w.closed[0], 1008)
        wait_until(lambda: s.metrics()["sema_active_streams"] == 0)


@case("failures are error frames, and the connection goes on")
def failures(t):
    script = [{"when": "early", "pieces": [{"error": "server"}]}, {"when": "late", "pieces": ["a", {"error": "timeout"}]}, FAST]
    with Server(script=script, PROVIDER_RETRIES=0, PROVIDER_BREAKER_FAILURES=0) as s, s.websocket() as w:
        w.ask("early")
        t.equal(w.answer_frames(), [{"type": "error", "error": "Failed to generate response", "code": "provider_server"}])
        w.ask("late", "l")
        got = w.answer_frames()
        t.equal([f["type"] for f in got], ["chunk", "error"])
        t.equal(got[1]["code"], "provider_timeout")
        t.equal(s.get("/api/v1/sessions/l").json()["messages"][1]["metadata"]["finish_reason"], "error")
        w.ask("x")
        t.equal(len(w.answer_frames()), 3)
        t.equal(len(s.events("websocket_generation_error")), 2)


@case("the handshake's refusals")
def refusals(t):
    with Server(script=[FAST]) as s:
        r = s.websocket(headers={"Sec-WebSocket-Version": "8"})
        t.equal((r.status, r.answer.header("Sec-WebSocket-Version")), (426, "13"))
        t.equal(s.websocket(headers={"Sec-WebSocket-Key": "short"}).status, 400)
        t.equal(s.get("/api/v1/chat/ws").status, 404)
        t.equal(s.request("POST", "/api/v1/chat/ws", {"Upgrade": "websocket", "Connection": "Upgrade"}).status, 404)
        t.equal(s.get("/health", {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
                                  "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}).status, 200)


@case("closes: bad frames, bad text, too large")
def closes(t):
    with Server(script=[FAST]) as s:
        for code, act in ((1007, lambda w: w.frame(1, b"\xff\xfe")), (1009, lambda w: w.frame(1, b"x" * (1024 * 1024 + 1))),
                          (1002, lambda w: w.frame(1, b"x", mask=False)), (1002, lambda w: w.frame(1, b"x", rsv=4))):
            w = s.websocket()
            try:
                act(w)
            except OSError:
                pass
            t.equal(w.hear(), None)
            t.equal(w.closed and w.closed[0], code)
        t.true(s.alive(), "the server")


@case("a message of a megabyte, in fragments")
def fragments(t):
    with Server(script=[FAST]) as s, s.websocket() as w:
        text = json.dumps({"message": "hi", "session_id": "s", "pad": "y" * 900000}).encode()
        w.frame(1, text[:1000], fin=False)
        w.frame(9, b"are you there")
        w.frame(0, text[1000:500000], fin=False)
        w.frame(0, text[500000:])
        t.equal(w.read_frame(), (10, True, b"are you there"))
        t.equal(w.content(), "Hello wörld\u2028")


@case("a client that leaves during an answer ends it")
def leaves(t):
    with Server(script=[HANG, FAST]) as s:
        for end in ("close", "reset", "bye"):
            w = s.websocket()
            w.ask("hang", end)
            w.hear()
            t.equal(s.metrics()["sema_active_streams"], 1)
            getattr(w, end)()
            wait_until(lambda: s.metrics()["sema_active_streams"] == 0, 1, "the end of the answer after " + end)
            wait_until(lambda: s.get("/api/v1/sessions/" + end).json().get("message_count") == 2, 2)
            stored = s.get("/api/v1/sessions/" + end).json()["messages"]
            t.equal((stored[1]["content"], stored[1]["metadata"]["finish_reason"]), ("a", "cancelled"))


@case("a slow reader gets everything")
def slow_reader(t):
    script = [{"when": "*", "pieces": [{"text": "x" * 1000, "repeat": 3000}]}]
    with Server(script=script) as s:
        before = s.memory_kb()
        w = s.websocket(timeout=60)
        w.ask("x")
        time.sleep(0.7)
        t.grew(s.memory_kb() - before, 12000)
        t.equal(len(w.content()), 3000000)


@case("several conversations over one connection keep apart")
def apart(t):
    with Server(script=[{"when": "*", "pieces": [{"echo": "conversation"}]}]) as s, s.websocket() as w:
        for session in ("a", "b", "a"):
            w.ask("said-in-" + session, session)
        answers = [w.content() for _ in range(3)]
        t.lacks(answers[1], "said-in-a")
        t.has(answers[2], "said-in-a")
        t.lacks(answers[2], "said-in-b")


main()
