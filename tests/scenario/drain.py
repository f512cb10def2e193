"""A stop is a drain: what runs is finished, what is left at SHUTDOWN_TIMEOUT is told (reliability.md promise 7)."""
from harness import *

SCRIPT = [{"when": "slow", "pieces": [{"text": "w", "repeat": 20, "every_ms": 50}]}, {"when": "hang", "pieces": ["a", {"hang": True}]},
          {"when": "*", "pieces": ["ok"]}]


def refused(s):
    try:
        s.connect(1).close()
        return False
    except OSError:
        return True


@case("running answers are finished and stored, new connections refused, exit status 0")
def finishes(t):
    for number in (signal.SIGTERM, signal.SIGINT):
        with tempfile.TemporaryDirectory() as folder:
            with Server(folder=folder, script=SCRIPT) as s:
                e = s.sse("slow", "a")
                w = s.websocket()
                w.ask("slow", "b")
                c = s.connect()
                c.send_request("POST", "/api/v1/chat", {"Content-Type": "application/json"}, '{"message":"slow","session_id":"c"}')
                idle, idle_socket = s.connect(), s.websocket()
                e.event(), w.hear()
                s.process.send_signal(number)
                wait_until(lambda: refused(s), 2, "no new connection")
                t.true(idle.at_end(), "an idle connection is closed")
                t.equal(idle_socket.hear(), None)
                t.equal(idle_socket.closed[0], 1001)
                t.equal(e.events()[-1].type, "done")
                t.equal(w.content(), "w" * 19)
                t.equal(w.hear(), None)
                t.equal(w.closed[0], 1001)
                r = c.response()
                t.equal((r.status, r.json()["message"]), (200, "w" * 20))
                t.equal(s.process.wait(5), 0)
            with Server(folder=folder) as s:
                t.equal(sorted(x["session_id"] for x in s.get("/api/v1/sessions").json()), ["a", "b", "c"])


@case("what is left at SHUTDOWN_TIMEOUT gets its error, on each route in its way")
def timeout(t):
    with tempfile.TemporaryDirectory() as folder:
        with Server(folder=folder, script=SCRIPT, SHUTDOWN_TIMEOUT="0.5") as s:
            e = s.sse("hang", "a")
            w = s.websocket()
            w.ask("hang", "b")
            c = s.connect()
            c.send_request("POST", "/api/v1/chat", {"Content-Type": "application/json"}, '{"message":"hang","session_id":"c"}')
            e.event(), w.hear()
            time.sleep(0.1)
            began = time.monotonic()
            s.process.send_signal(signal.SIGTERM)
            events = e.events()
            t.equal([x.json() for x in events], [{"error": "Server is shutting down", "code": "shutting_down"}])
            t.match(events[0].id, r"[0-9a-f-]{36}:1")
            t.equal(w.hear(), {"type": "error", "error": "Server is shutting down", "code": "shutting_down"})
            t.equal(w.hear(), None)
            t.equal(w.closed[0], 1001)
            r = c.response()
            t.equal((r.status, r.detail, r.code), (503, "Model not available", "shutting_down"))
            t.true(r.header("Retry-After"), "Retry-After")
            t.equal(s.process.wait(5), 0)
            t.took(began, 0.4, 3, "the time of the stop")
        with Server(folder=folder) as s:  # what was said is kept
            stored = s.get("/api/v1/sessions/a").json()["messages"]
            t.equal((stored[1]["content"], stored[1]["metadata"]["finish_reason"]), ("a", "cancelled"))
            t.equal(s.get("/api/v1/sessions/c").status, 404)


@case("a second signal ends at once")
def twice(t):
    with Server(script=SCRIPT) as s:
        e = s.sse("hang", "a")
        e.event()
        s.process.send_signal(signal.SIGTERM)
        wait_until(lambda: refused(s), 2)
        began = time.monotonic()
        t.true(s.stop(signal.SIGTERM, 3) is not None, "an end")
        t.took(began, 0, 1, "the time")


@case("idle it ends at once, with many idle clients too")
def idle(t):
    with Server(script=SCRIPT, WORKERS=3) as s:
        clients = [s.connect() for _ in range(50)] + [s.websocket() for _ in range(20)]
        s.sse("x", "s").content()
        began = time.monotonic()
        t.equal(s.stop(), 0)
        t.took(began, 0, 4, "the time")  # WebSockets that do not answer the close are waited for
        for c in clients:
            c.close()


@case("kept answers and resumed ones do not hold it up")
def kept(t):
    with Server(script=SCRIPT, RESUME_WINDOW=600) as s:
        s.sse("x", "s").content()
        began = time.monotonic()
        t.equal(s.stop(), 0)
        t.took(began, 0, 2, "the time")
    with Server(script=SCRIPT, RESUME_WINDOW=600, SHUTDOWN_TIMEOUT="0.5") as s:
        e = s.sse("hang", "s")
        first = e.event()
        e.close()
        f = s.sse(None, "s", headers={"Last-Event-ID": first.id})
        began = time.monotonic()
        s.process.send_signal(signal.SIGTERM)
        t.equal([x.json()["error"] for x in f.events()], ["Server is shutting down"])
        t.equal(s.process.wait(5), 0)
        t.took(began, 0.3, 3, "the time")


main()
