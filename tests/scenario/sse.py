"""GET /api/v1/chat/stream: framing, events, limits (http-api.md section 6)."""
from harness import *

SLOW = {"when": "slow", "pieces": [{"text": "word ", "repeat": 200, "every_ms": 20}]}
HANG = {"when": "hang", "pieces": [{"hang": True}]}
FAST = {"when": "*", "pieces": ["Hello", " wörld", "\u2028\u2029\x85 \"q\"\n"]}


@case("head, first block, chunks, final chunk, done; byte by byte")
def framing(t):
    with Server(script=[FAST]) as s:
        e = s.sse("hi", "s1")
        a = e.answer
        t.equal((a.status, a.header("Content-Type")), (200, "text/event-stream; charset=utf-8"))
        t.equal((a.header("Cache-Control"), a.header("X-Accel-Buffering")), ("no-store", "no"))
        t.equal((a.header("Connection"), a.header("Transfer-Encoding")), ("keep-alive", "chunked"))
        t.true(a.header("X-Process-Time") and a.header("X-Request-ID"), "the common fields")
        blocks = list(e)
        first = blocks[0]
        t.match(first.raw, r"id: [0-9a-f-]{36}:-1")
        message_id = first.id[:36]
        texts = ["Hello", " wörld", "\u2028\u2029\x85 \"q\"\n"]
        for n, block in enumerate(blocks[1:4]):
            t.equal(block.fields, ["id", "event", "data"])
            t.equal((block.id, block.type), (f"{message_id}:{n}", "chunk"))
            c = block.json()
            t.keys(c, "content", "session_id", "message_id", "chunk_id", "is_final", "timestamp")
            t.equal((c["content"], c["session_id"], c["message_id"], c["chunk_id"], c["is_final"]),
                    (texts[n], "s1", message_id, n, False))
            t.match(c["timestamp"], r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
        t.has(blocks[2].data, "wörld")
        t.has(blocks[3].data, "\\u2028\\u2029\\u0085 \\\"q\\\"\\n")
        t.has(blocks[3].data, '"is_final":false,')
        final = blocks[4]
        t.equal((final.id, final.type), (f"{message_id}:3", "chunk"))
        t.equal((final.json()["content"], final.json()["is_final"], final.json()["chunk_id"]), ("", True, 3))
        t.equal(blocks[5].raw, 'event: done\r\ndata: {"message":"Stream completed"}')
        t.equal(len(blocks), 6)
        # The connection is as good as before.
        e.send_request("GET", "/health")
        t.equal(e.response().status, 200)
        stored = s.get("/api/v1/sessions/s1").json()["messages"][1]
        t.equal((stored["content"], stored["metadata"]["message_id"]), ("".join(texts), message_id))


@case("reasoning while streaming adds up to the answer of a POST")
def reasoning(t):
    script = [{"when": "both", "pieces": [{"reasoning": "Let me "}, {"reasoning": "see."}, "4", "2"]},
              {"when": "only", "pieces": [{"reasoning": "hm"}]}]
    with Server(script=script) as s:
        t.equal(s.sse("both").content(), "[Reasoning: Let me see.]\n\n42")
        t.equal(s.sse("only").content(), "[Reasoning: hm]")
    with Server(script=script, SHOW_REASONING="false") as s:
        t.equal(s.sse("both").content(), "42")


@case("the head comes at once, pings while nothing is said")
def head_first(t):
    with Server(script=[HANG], SSE_PING_INTERVAL=1) as s:
        began = time.monotonic()
        e = s.sse("hang")
        t.took(began, 0, 1, "time to the head")
        t.match(e.block().raw, r"id: [0-9a-f-]{36}:-1")
        for _ in range(2):
            t.match(e.block().raw, r": ping - \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00:00")
        t.took(began, 1.8, 4, "time of two pings")


@case("HTTP/1.0: not chunked, and the end is the end of the connection")
def http10(t):
    with Server(script=[FAST]) as s, s.connect() as c:
        c.send_request("GET", "/api/v1/chat/stream?message=m&session_id=s", version="HTTP/1.0")
        r = c.response()
        t.equal((r.status, r.header("Transfer-Encoding"), r.header("Connection")), (200, None, "close"))
        t.true(r.body.endswith(b'event: done\r\ndata: {"message":"Stream completed"}\r\n\r\n'), "the last event")


@case("HEAD is no stream")
def head_method(t):
    with Server(script=[FAST]) as s:
        t.equal(s.request("HEAD", "/api/v1/chat/stream?message=m&session_id=s").status, 405)
        t.equal(s.get("/api/v1/sessions").json(), [])


@case("MAX_CONCURRENT_STREAMS: 200 and one error event; a slot is free again at once")
def limit(t):
    with Server(script=[SLOW, FAST], MAX_CONCURRENT_STREAMS=2) as s:
        a, b = s.sse("slow", "a"), s.sse("slow", "b")
        t.true(a.event() and b.event(), "both stream")
        t.equal(s.metrics()["sema_active_streams"], 2)
        e = s.sse("x", "c")
        t.equal(e.status, 200)
        events = e.events()
        t.equal([(x.type, x.json()) for x in events],
                [("error", {"error": "Maximum concurrent streams (2) exceeded", "code": "stream_limit"})])
        t.match(events[0].id, r"[0-9a-f-]{36}:0")
        w = s.websocket()
        w.ask("x", "c")
        t.equal(w.hear(), {"type": "error", "error": "Maximum concurrent streams (2) exceeded", "code": "stream_limit"})
        t.equal(s.chat("x", "c").status, 200)  # no stream
        a.close()
        wait_until(lambda: s.metrics()["sema_active_streams"] == 1, 2, "a free slot")
        t.equal(s.sse("x", "c").content(), "".join(FAST["pieces"]))
        b.close()
    with Server(script=[FAST], MAX_CONCURRENT_STREAMS=0) as s:
        t.equal(s.sse("x").content(), "".join(FAST["pieces"]))


@case("a stream that waits for its session's turn takes its slot when it is its turn")
def slot_later(t):
    quick = {"when": "quick", "pieces": [{"text": "a", "repeat": 5, "every_ms": 40}]}
    with Server(script=[quick], MAX_CONCURRENT_STREAMS=1) as s:
        a = s.sse("quick 1", "same")
        a.event()
        b = s.sse("quick 2", "same")
        t.equal(a.content()[-4:], "aaaa")
        t.equal(b.content(), "aaaaa")
        t.equal(s.metrics()["sema_active_streams"], 0)


@case("failures are error events: before any text, and after some")
def failures(t):
    script = [{"when": "first", "pieces": [{"error": "overloaded"}]},
              {"when": "later", "pieces": ["some ", "text", {"error": "server", "status": 500}]},
              {"when": "rejected", "pieces": [{"error": "content_filter", "status": 400}]}]
    with Server(script=script, PROVIDER_RETRIES=0, PROVIDER_BREAKER_FAILURES=0) as s:
        events = s.sse("first", "f").events()
        t.equal([x.json() for x in events], [{"error": "Model not available", "code": "provider_overloaded"}])
        t.equal(s.get("/api/v1/sessions/f").status, 404)
        events = s.sse("later", "l").events()
        t.equal([x.type for x in events], ["chunk", "chunk", "error"])
        t.equal(events[2].json(), {"error": "Failed to generate response", "code": "provider_server"})
        t.equal(events[2].id, events[0].id[:37] + "2")
        stored = s.get("/api/v1/sessions/l").json()["messages"]
        t.equal((stored[1]["content"], stored[1]["metadata"]["finish_reason"]), ("some text", "error"))
        t.equal(s.sse("rejected").events()[0].json(), {"error": "Failed to generate response", "code": "provider_content_filter"})
        t.equal(len(s.events("streaming_error")), 3)


@case("no model: the error comes as an event")
def no_model(t):
    script = [{"prepare": {"error": "overloaded", "times": 1000}}]
    with Server(script=script, wait_ready=False) as s:
        e = s.sse("x")
        t.equal(e.status, 200)
        t.equal(e.events()[0].json(), {"error": "Model not available", "code": "model_not_ready"})
        r = s.chat("x")
        t.equal((r.status, r.detail, r.code), (503, "Model not available", "model_not_ready"))
        t.true(r.header("Retry-After"), "Retry-After")


@case("ENABLE_STREAMING=false: not there, after credentials")
def disabled(t):
    with Server(ENABLE_STREAMING="false", API_KEY="key-12345678") as s:
        t.equal(s.sse("m").status, 401)
        e = s.sse("m", headers={"X-API-Key": "key-12345678"})
        t.equal((e.status, e.answer.json()["detail"], e.answer.json()["code"]),
                (404, "Streaming not enabled", "streaming_disabled"))
        t.equal(s.websocket().status, 401)
        w = s.websocket(headers={"X-API-Key": "key-12345678"})
        t.equal((w.status, w.answer.json()["detail"]), (404, "Streaming not enabled"))


@case("STREAM_DELAY is a pause after each chunk")
def delay(t):
    with Server(script=[{"when": "*", "pieces": ["a", "b", "c", "d"]}], STREAM_DELAY="0.1") as s:
        e = s.sse("x")
        times = []
        for block in e:
            if block.type == "chunk":
                times.append(time.monotonic())
        t.equal(len(times), 5)
        for before, after in zip(times, times[1:]):
            t.inside(after - before, 0.07, 0.6, "a pause")
        w = s.websocket()
        w.ask("x")
        began = time.monotonic()
        t.equal(w.content(), "abcd")
        t.took(began, 0.35, 2, "the WebSocket's answer")


@case("a client that does not read: the source pauses, memory stays bounded, and nothing is lost")
def slow_reader(t):
    piece = "x" * 1000
    script = [{"when": "much", "pieces": [{"text": piece, "repeat": 6000}]}, FAST]
    with Server(script=script) as s:
        before = s.memory_kb()
        e = s.sse("much", timeout=60)
        time.sleep(1)
        t.grew(s.memory_kb() - before, 12000)
        t.equal(s.sse("other", "o").content(), "".join(FAST["pieces"]))
        t.equal(len(e.content()), 6000 * 1000)


@case("the source of a stream that nobody reads stands still")
def paused(t):
    script = [{"when": "endless", "pieces": [{"text": "x" * 1000, "repeat": 60000}]}]
    with Server(script=script) as s:
        before = s.memory_kb()
        e = s.sse("endless", "a")
        w = s.websocket()
        w.ask("endless", "b")
        time.sleep(1.5)
        t.grew(s.memory_kb() - before, 12000)
        e.reset(), w.reset()


@case("many pieces arrive whole and in order")
def order(t):
    pieces = [f"{n} " for n in range(3000)]
    with Server(script=[{"when": "*", "pieces": pieces}]) as s:
        events = [x for x in s.sse("x").events() if x.type == "chunk"]
        t.equal([x.json()["chunk_id"] for x in events], list(range(len(events))))
        t.equal("".join(x.json()["content"] for x in events), "".join(pieces))


main()
