"""A client that leaves: its answer ends within a second, on every route and in every phase (reliability.md 1 and 3)."""
from harness import *

SCRIPT = [{"when": "silent", "pieces": [{"hang": True}]}, {"when": "text", "pieces": ["a", {"hang": True}]},
          {"when": "*", "pieces": ["ok"]}]


def cancelled(s):
    return sum(v for k, v in s.metrics().items() if k.startswith("sema_generations_total") and 'outcome="cancelled"' in k)


def begin(s, how, message):
    body = json.dumps({"message": message, "session_id": message})
    if how == "post":
        c = s.connect()
        c.send_request("POST", "/api/v1/chat", {"Content-Type": "application/json"}, body)
    elif how == "post-stream":
        c = Sse(s, "/api/v1/chat", {"Content-Type": "application/json", "Accept": "text/event-stream"}, method="POST",
                body=json.dumps({"message": message, "session_id": message, "stream": True}))
    elif how == "sse":
        c = s.sse(message, message)
    else:
        c = s.websocket()
        c.say(body)
    time.sleep(0.15)
    return c


@case("closed, reset or half-closed, before the first word and after it, on each route")
def leaves(t):
    with Server(script=SCRIPT) as s:
        count = 0
        for how in ("post", "post-stream", "sse", "websocket"):
            for message in ("silent", "text"):
                for end in ("close", "reset", "half"):
                    c = begin(s, how, message)
                    if end == "half":
                        c.socket.shutdown(socket.SHUT_WR)
                    else:
                        getattr(c, end)()
                    count += 1
                    wait_until(lambda: cancelled(s) == count, 1, f"the cancel: {how}, {message}, {end}")
        wait_until(lambda: s.metrics()["sema_active_streams"] == 0, 1, "no stream")
        t.equal(s.chat("x", "other").status, 200)


@case("a POST that was left stores nothing; a stream what it had said")
def kept(t):
    with Server(script=SCRIPT) as s:
        begin(s, "post", "text").close()
        wait_until(lambda: cancelled(s) == 1, 1)
        t.equal(s.get("/api/v1/sessions/text").status, 404)
        begin(s, "sse", "text").close()
        wait_until(lambda: s.get("/api/v1/sessions/text").json().get("message_count") == 2, 2)
        stored = s.get("/api/v1/sessions/text").json()["messages"]
        t.equal((stored[1]["content"], stored[1]["metadata"]["finish_reason"]), ("a", "cancelled"))
        begin(s, "sse", "silent").close()
        wait_until(lambda: cancelled(s) == 3, 1)
        t.equal(s.get("/api/v1/sessions/silent").status, 404)


@case("two hundred that leave at once: descriptors and memory come back")
def many(t):
    with Server(script=SCRIPT, MAX_CONCURRENT_STREAMS=0) as s:
        for _ in range(2):
            clients = [s.sse("text", f"s{n}") for n in range(200)]
            time.sleep(0.3)
            for c in clients:
                c.reset()
            wait_until(lambda: s.metrics()["sema_active_streams"] == 0, 5, "no stream")
        files, memory = s.files(), s.memory_kb()
        clients = [s.sse("text", f"s{n}") for n in range(200)]
        for c in clients:
            c.reset()
        wait_until(lambda: s.metrics()["sema_active_streams"] == 0, 5, "no stream")
        wait_until(lambda: s.files() <= files, 5, "the descriptors")
        t.grew(s.memory_kb() - memory, 4096)


@case("a client that stays is not taken for one that left")
def stays(t):
    with Server(script=[{"when": "*", "pieces": [{"text": "late", "wait_ms": 1500}]}]) as s:
        t.equal(s.chat("x").json()["message"], "late")
        with s.connect() as c:  # it has more to ask, and says so already
            c.send_request("POST", "/api/v1/chat", {"Content-Type": "application/json"}, '{"message":"m","session_id":"p"}')
            c.send_request("GET", "/health")
            t.equal(c.response().json()["message"], "late")
            t.equal(c.response().status, 200)


main()
