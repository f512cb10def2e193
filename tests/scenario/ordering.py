"""One session, one order: turns over every route run one after the other (http-api.md section 8)."""
from harness import *

SCRIPT = [{"when": "hang", "pieces": ["a", {"hang": True}]},
          {"when": "*", "pieces": [{"text": "re: ", "wait_ms": 20}, {"echo": "last"}]}]


def pairs(s, session):
    messages = s.get("/api/v1/sessions/" + session).json()["messages"]
    return [(m["role"], m["content"]) for m in messages]


@case("thirteen at once on one session, by three routes: whole pairs")
def mixed(t):
    for workers in (1, 3):
        with Server(script=SCRIPT, WORKERS=workers, MAX_CONCURRENT_STREAMS=0) as s:
            def by_post(n):
                return s.chat(f"m{n}", "s")

            def by_sse(n):
                return s.sse(f"m{n}", "s", timeout=30).content()

            def by_socket(n):
                w = s.websocket(timeout=30)
                w.ask(f"m{n}", "s")
                return w.content()
            threads = [threading.Thread(target=(by_post, by_sse, by_socket)[n % 3], args=(n,)) for n in range(13)]
            for th in threads:
                th.start()
            for th in threads:
                th.join()
            got = pairs(s, "s")
            t.equal(len(got), 26)
            for user, assistant in zip(got[::2], got[1::2]):
                t.equal((user[0], assistant), ("user", ("assistant", "re: " + user[1])))
            t.equal(sorted(c for r, c in got if r == "user"), sorted(f"m{n}" for n in range(13)))


@case("in order of arrival")
def arrival(t):
    with Server(script=[{"when": "slow", "pieces": [{"text": "w", "repeat": 15, "every_ms": 30}]}, *SCRIPT],
                MAX_CONCURRENT_STREAMS=0) as s:
        streams = [s.sse("slow", "s")]
        streams[0].event()
        for n in range(8):
            streams.append(s.sse(f"m{n}", "s"))
        for e in streams:
            e.events()
        t.equal([c for r, c in pairs(s, "s") if r == "user"], ["slow"] + [f"m{n}" for n in range(8)])


@case("sixteen wait; the next is told at once, on each route in its way")
def busy(t):
    with Server(script=SCRIPT, MAX_CONCURRENT_STREAMS=0) as s:
        first = s.sse("hang", "s")
        first.event()
        waiting = [s.sse("m", "s") for _ in range(16)]
        began = time.monotonic()
        r = s.chat("m", "s")
        t.equal((r.status, r.detail, r.code), (503, "Model not available", "session_busy"))
        t.true(int(r.header("Retry-After")) >= 1, "Retry-After")
        e = s.sse("m", "s")
        t.equal((e.status, e.answer.json()["code"]), (503, "session_busy"))
        t.true(e.answer.header("Retry-After"), "Retry-After")
        w = s.websocket()
        w.ask("m", "s")
        t.equal(w.hear(), {"type": "error", "error": "Model not available", "code": "session_busy"})
        t.took(began, 0, 2, "the time of the refusals")
        t.equal(s.chat("m", "another").status, 200)
        first.close()
        for e in waiting:
            t.equal(e.content(), "re: m")
        t.equal(len(pairs(s, "s")), 34)


@case("a client that leaves while it waits leaves no trace")
def leaves(t):
    with Server(script=SCRIPT) as s:
        first = s.sse("hang", "s")
        first.event()
        second = s.sse("never", "s")
        second.close()
        c = s.connect()
        c.send_request("POST", "/api/v1/chat", {"Content-Type": "application/json"}, '{"message":"nor this","session_id":"s"}')
        time.sleep(0.2)
        c.reset()
        time.sleep(0.2)
        first.close()
        t.equal(s.chat("last", "s").status, 200)
        t.equal([c for r, c in pairs(s, "s")], ["hang", "a", "last", "re: last"])


@case("different sessions run side by side")
def parallel(t):
    with Server(script=[{"when": "*", "pieces": [{"text": "x", "wait_ms": 300}]}], MAX_CONCURRENT_STREAMS=0) as s:
        began = time.monotonic()
        streams = [s.sse("m", f"s{n}") for n in range(20)]
        for e in streams:
            t.equal(e.content(), "x")
        t.took(began, 0.3, 2.5, "the time of twenty")


main()
