"""Coming back for the rest of an answer (http-api.md section 6.2, resume)."""
import random

from harness import *

SLOW = {"when": "slow", "pieces": [{"text": "w{} ", "repeat": 40, "every_ms": 25}]}
NUMBERS = {"when": "count", "pieces": [p for n in range(40) for p in ({"text": f"{n} ", "wait_ms": 25},)]}
WHOLE = "".join(f"{n} " for n in range(40))


def asked(s):
    """How many answers were begun, by any way."""
    return sum(v for k, v in s.metrics().items() if k.startswith("sema_generations_total"))


def split(events):
    return "".join(x.json()["content"] for x in events if x.type == "chunk")


@case("a dropped client gets the rest: what it missed, then what comes")
def rest(t):
    for workers in (1, 3):  # on other loops as well
        with Server(script=[NUMBERS], RESUME_WINDOW=10, WORKERS=workers) as s:
            e = s.sse("count", "s")
            got = [e.event() for _ in range(5)]
            last = got[-1].id
            e.close()
            time.sleep(0.2)
            for _ in range(2 if workers == 1 else 6):
                e = s.sse(None, "s", headers={"Last-Event-ID": last})
                t.equal(e.status, 200)
                more = [e.event() for _ in range(3)]
                last = more[-1].id
                got += more
                e.reset()
            e = s.sse(None, "s", headers={"Last-Event-ID": last})
            events = e.events()
            t.equal(events[-1].type, "done")
            t.equal(split(got + events), WHOLE)
            t.equal([x.json()["chunk_id"] for x in got + events[:-1]], list(range(41)))
            t.equal(s.get("/api/v1/sessions/s").json()["messages"][1]["content"], WHOLE)
            wait_until(lambda: asked(s) == 1, 2, "one generation")


@case("by query as well; the header is newer")
def by_query(t):
    with Server(script=[NUMBERS], RESUME_WINDOW=10) as s:
        e = s.sse("count", "s")
        got = [e.event() for _ in range(4)]
        e.close()
        e = s.sse("another question", "s", last_event_id=got[1].id)
        t.equal(e.event().json()["chunk_id"], 2)
        e.close()
        e = s.sse("another question", "s", headers={"Last-Event-ID": got[3].id}, last_event_id=got[1].id)
        t.equal(e.event().json()["chunk_id"], 4)


@case("before the first chunk: everything")
def from_start(t):
    with Server(script=[NUMBERS], RESUME_WINDOW=10) as s:
        e = s.sse("count", "s")
        first = e.block().id
        t.true(first.endswith(":-1"), first)
        e.close()
        t.equal(s.sse(None, "s", headers={"Last-Event-ID": first}).content(), WHOLE)


@case("a finished answer is kept as long")
def finished(t):
    with Server(script=[{"when": "*", "pieces": ["a", "b"]}], RESUME_WINDOW=1) as s:
        events = s.sse("x", "s").events()
        e = s.sse(None, "s", headers={"Last-Event-ID": events[0].id})
        t.equal(e.content(), "b")
        t.equal(s.sse(None, "s", headers={"Last-Event-ID": events[-2].id}).status, 204)  # delivered to its end
        time.sleep(1.3)
        t.equal(s.sse(None, "s", headers={"Last-Event-ID": events[0].id}).status, 204)


@case("unknown, another's, failed: 204, and nothing is generated")
def unknown(t):
    secret = "a-secret-of-thirty-two-bytes-or-more"
    script = [{"when": "fail", "pieces": ["a", {"error": "server"}]}, {"when": "*", "pieces": ["a", "b"]}]
    with Server(script=script, RESUME_WINDOW=10, JWT_SECRET=secret, PROVIDER_RETRIES=0) as s:
        amina, zawadi = ({"Authorization": "Bearer " + jwt(secret, sub=n)} for n in ("amina", "zawadi"))
        last = s.sse("x", "s", headers=amina).events()[0].id
        for headers, session, given in ((zawadi, "s", last), (amina, "t", last), (amina, "s", last[:36]),
                                        (amina, "s", last[:36] + ":7"), (amina, "s", "nonsense"), (amina, "s", last[:36] + ":-2"),
                                        (amina, "s", last[:36] + ":99999999999999999999"),
                                        (amina, "s", "00000000-0000-4000-8000-000000000000:0")):
            r = s.sse(None, session, headers={**headers, "Last-Event-ID": given})
            t.equal((given, r.status), (given, 204))
            t.equal(r.answer.header("Content-Length"), None)
        failed = s.sse("fail", "s", headers=amina).events()
        t.equal(failed[-1].type, "error")
        for event in failed:
            t.equal(s.sse(None, "s", headers={**amina, "Last-Event-ID": event.id}).status, 204)
        t.equal(s.sse(None, "s", headers={**amina, "Last-Event-ID": last}).status, 200)
        t.equal(s.sse(None, None, headers={**amina, "Last-Event-ID": last}).status, 422)  # session_id is needed


@case("window 0: the generation ends within a second, what came is kept in the session")
def no_window(t):
    with Server(script=[NUMBERS]) as s:
        e = s.sse("count", "s")
        got = [e.event() for _ in range(3)]
        e.close()
        wait_until(lambda: s.metrics().get("sema_generations_total{backend=\"scripted\",model=\"%s\",outcome=\"cancelled\"}"
                                           % s.env["MODEL_NAME"]) == 1, 1, "the cancel")
        t.equal(s.sse(None, "s", headers={"Last-Event-ID": got[-1].id}).status, 204)
        wait_until(lambda: s.get("/api/v1/sessions/s").json().get("message_count") == 2, 2)
        stored = s.get("/api/v1/sessions/s").json()["messages"]
        t.true(stored[1]["content"].startswith("0 1 2"), stored[1]["content"])
        t.equal(stored[1]["metadata"]["finish_reason"], "cancelled")


@case("a window asked for is cut to RESUME_WINDOW_MAX, and runs out")
def asked_window(t):
    with Server(script=[{"when": "hang", "pieces": ["a", {"hang": True}]}], RESUME_WINDOW_MAX=1) as s:
        e = s.sse("hang", "s", resume_window=600)
        got = e.event()
        e.close()
        time.sleep(0.4)
        e = s.sse(None, "s", headers={"Last-Event-ID": got.id})
        t.equal(e.status, 200)
        e.close()
        time.sleep(0.4)
        t.equal(s.metrics()["sema_active_streams"], 0, "no slot is held for a client that is gone")
        wait_until(lambda: s.get("/api/v1/sessions/s").json().get("message_count") == 2, 3, "the end of the window")
        t.equal(s.sse(None, "s", headers={"Last-Event-ID": got.id}).status, 204)
    with Server(script=[NUMBERS], RESUME_WINDOW=10) as s:  # one may also ask for none
        e = s.sse("count", "s", resume_window=0)
        got = e.event()
        e.close()
        time.sleep(0.3)
        t.equal(s.sse(None, "s", headers={"Last-Event-ID": got.id}).status, 204)


@case("resuming takes no slot and counts for no rate")
def free(t):
    with Server(script=[NUMBERS], RESUME_WINDOW=10, RATE_LIMIT=1, MAX_CONCURRENT_STREAMS=1) as s:
        e = s.sse("count", "s")
        first = e.event()
        for _ in range(3):
            f = s.sse(None, "s", headers={"Last-Event-ID": first.id})
            t.equal(f.event().json()["chunk_id"], 1)
        t.equal(s.metrics()["sema_active_streams"], 1)
        t.equal(f.content()[:2], "2 ")
        t.equal(split([first] + e.events()[:-1]), WHOLE)


@case("POST is no resume")
def post(t):
    with Server(script=[{"when": "*", "pieces": ["a", "b"]}], RESUME_WINDOW=10) as s:
        last = s.sse("x", "s").events()[0].id
        r = s.chat("x", "s", {"Last-Event-ID": last})
        t.equal((r.status, r.json()["message"]), (200, "ab"))


@case("beyond a megabyte the beginning is out of reach, the rest is not")
def beyond(t):
    script = [{"when": "*", "pieces": [{"text": "x" * 1000, "repeat": 3000}]}]
    with Server(script=script, RESUME_WINDOW=10) as s:
        events = [x for x in s.sse("x", "s", timeout=30).events() if x.type == "chunk"]
        t.equal(s.sse(None, "s", headers={"Last-Event-ID": events[0].id}).status, 204)
        n = len(events)
        e = s.sse(None, "s", headers={"Last-Event-ID": events[n - 300].id})
        t.equal(len([x for x in e.events() if x.type == "chunk"]), 299)


@case("clients that drop at any place and come back on any loop: every chunk once and in order")
def storm(t):
    script = [{"when": "big", "pieces": [{"text": "x" * 1000, "repeat": 900}]},
              {"when": "slow", "pieces": [{"text": "word ", "repeat": 60, "every_ms": 5}]}]
    with Server(script=script, RESUME_WINDOW=2, WORKERS=3, MAX_CONCURRENT_STREAMS=0) as s:
        wrong = []

        def client(k):
            r = random.Random(k)
            for n in range(8):
                try:
                    one(r, f"{k}-{n}")
                except Exception as error:
                    wrong.append(repr(error))

        def one(r, session):
            e = s.sse(r.choice(["big", "slow"]), session, timeout=30)
            seen, last, over = -1, None, False
            while not over:
                for _ in range(r.randrange(1, 200)):
                    block = e.block()
                    over = block is None or block.type == "done"
                    if over:
                        break
                    if block.type == "chunk":
                        if block.json()["chunk_id"] != seen + 1:
                            wrong.append((session, seen, block.id))
                        seen, last = block.json()["chunk_id"], block.id
                e.reset() if r.random() < 0.5 else e.close()
                if last is None:
                    return
                if not over:
                    e = s.sse(None, session, headers={"Last-Event-ID": last}, timeout=30)
                    over = e.status == 204  # the final chunk was the last that was read
        threads = [threading.Thread(target=client, args=(k,)) for k in range(12)]
        for th in threads:
            th.start()
        for th in threads:
            th.join()
        t.equal(wrong, [])
        wait_until(lambda: s.metrics()["sema_active_streams"] == 0, 5, "no stream")
        t.equal(asked(s), 96)


@case("kept answers give their memory back")
def memory(t):
    script = [{"when": "*", "pieces": [{"text": "x" * 1000, "repeat": 900}]}]
    with Server(script=script, RESUME_WINDOW=3) as s:
        s.sse("x", "warm").content()
        time.sleep(0.1)
        before = s.memory_kb()
        for n in range(80):  # more than 64 MiB of kept answers
            s.sse("x", f"s{n}").content()
        t.grew(s.memory_kb() - before, 100000)
        time.sleep(3.5)
        t.grew(s.memory_kb() - before, 25000)


main()
