"""Who answers when a model fails: the chain, the rescue of a stream, breakers (http-api.md 9.3, providers.md 10)."""
from harness import *


def answers(*pieces):
    return [{"when": "*", "pieces": list(pieces)}]


@case("a fault before the first word is invisible, of whatever kind")
def before_text(t):
    for error in ("network", "timeout", "auth", "quota", "rate_limit", "overloaded", "server", "model_not_found"):
        with Chain(answers({"error": error}), answers("second")) as s:
            r = s.chat("q", "s")
            t.equal((error, r.status, r.json()["message"], r.json()["model_name"]), (error, 200, "second", s.second))
            t.equal(s.sse("q", "s").content(), "second")
            t.equal(s.metrics()["sema_fallbacks_total"] >= 1, True)


@case("a model that a client names is followed by the fallbacks, and by nobody where there are none")
def named(t):
    broken = Upstream(lambda r: [Upstream.json(500, {"error": {"message": "broken"}})])
    with broken as u:
        more = {"OPENAI_BASE_URL": u.url, "OPENAI_API_KEY": "k", "PROVIDER_RETRIES": "0"}
        q = {"model": "openai/m", "messages": [{"role": "user", "content": "q"}]}
        with Chain(answers("first"), answers("second"), **more) as s:
            r = s.post("/v1/chat/completions", q)
            t.equal((r.status, r.json()["choices"][0]["message"]["content"]), (200, "second"), r.text)
        with Server(answers("first"), **more) as s:
            r = s.post("/v1/chat/completions", q)
            t.equal((r.status, r.json()["error"]["code"]), (502, "upstream_error"), r.text)


@case("what the provider rejects as invalid nobody takes over")
def rejected(t):
    for error in ("bad_request", "context_length", "content_filter"):
        with Chain(answers({"error": error}), answers("second")) as s:
            r = s.chat("q", "s")
            t.equal((error, r.status, r.code), (error, 422, "provider_" + error))
            t.equal(s.get("/api/v1/sessions/s").status, 404)


@case("a POST that broke off half-way is answered whole by the next")
def half_post(t):
    with Chain(answers("half an", {"error": "network"}), answers("whole")) as s:
        t.equal(s.chat("q", "s").json()["message"], "whole")


@case("a stream that breaks is gone on with, no character twice and none missing")
def rescue(t):
    with Chain(answers("The capital is", {"error": "network"}), answers("The capital is Paris.")) as s:
        t.equal(s.sse("q", "s").content(), "The capital is Paris.")
        meta = s.get("/api/v1/sessions/s").json()["messages"][1]
        t.equal(meta["content"], "The capital is Paris.")
        t.equal((meta["metadata"]["model_name"], meta["metadata"]["rescued_by"], meta["metadata"]["rescued_at"]),
                (s.first, s.second, 14))
        t.equal(list(meta["metadata"])[-2:], ["rescued_by", "rescued_at"])


@case("STREAM_RESCUE=off, or nobody who can: one error event, the part is kept")
def not_rescued(t):
    for env, second in (({"STREAM_RESCUE": "off"}, answers("x")), ({}, answers({"error": "server"}))):
        with Chain(answers("part", {"error": "network"}), second, **env) as s:
            events = s.sse("q", "s").events()
            t.equal([e.type for e in events], ["chunk", "error"])
            t.equal(events[1].json()["code"], "provider_network")
            meta = s.get("/api/v1/sessions/s").json()["messages"][1]
            t.equal((meta["content"], meta["metadata"]["finish_reason"]), ("part", "error"))


@case("a service that failed too often is not called for a while")
def breaker(t):
    with Server(script=answers({"error": "network"}), PROVIDER_BREAKER_FAILURES=3) as s:
        for _ in range(3):
            t.equal((s.chat("q").status, s.chat("q").status)[0] in (502, 503), True)
        r = s.chat("q")
        t.equal((r.status, r.code, r.detail), (503, "model_not_ready", "Model not available"))
        t.equal(1 <= int(r.header("Retry-After")) <= 15, True)
        t.equal(s.get("/api/v1/health").json()["status"], "unhealthy")


def black_hole():
    """A port that takes no connection: its queue is full, so that a connect is never answered."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    filling = []
    for _ in range(3):
        c = socket.socket()
        c.setblocking(False)
        c.connect_ex(listener.getsockname())
        filling.append(c)
    time.sleep(0.1)
    return listener, filling


@case("a dead primary costs at most one connect timeout while another model is ready, and nothing while its breaker is open")
def dead_primary(t):
    held = black_hole()
    nobody = socket.create_server(("127.0.0.1", 0))
    refused = "http://127.0.0.1:%d/v1" % nobody.getsockname()[1]
    nobody.close()
    address = "http://127.0.0.1:%d/v1" % held[0].getsockname()[1]

    def ask(s, stream):
        began = time.monotonic()
        r = s.post("/v1/chat/completions", {"model": "openai/m", "stream": stream, "messages": [{"role": "user", "content": "q"}]})
        t.equal(r.status, 200)
        t.has(r.text, "second")
        return time.monotonic() - began
    # Named by the client, for a primary that never was ready is not asked at all.
    more = {"OPENAI_API_KEY": "k", "PROVIDER_BREAKER_FAILURES": "3", "SESSION_STORE": "memory:"}
    with Chain(answers("first"), answers("second"), OPENAI_BASE_URL=address, PROVIDER_CONNECT_TIMEOUT="0.6", **more) as s:
        for n in range(3):
            t.inside(ask(s, n % 2 == 0), 0.5, 1.1 * 1.5, "the time of an answer")
        for n in range(5):
            t.inside(ask(s, n % 2 == 0), 0, 0.3, "the time of an answer while the breaker is open")
    with Chain(answers("first"), answers("second"), OPENAI_BASE_URL=refused, **more) as s:
        for n in range(6):
            t.inside(ask(s, n % 2 == 0), 0, 0.3, "the time of an answer where the primary refuses")
    for c in (held[0], *held[1]):
        c.close()


@case("one deadline over all hops, retries and waits")
def one_deadline(t):
    def silent(r):
        return [30] if r["method"] == "POST" else [Upstream.json(200, {"object": "list", "data": []})]
    with Upstream(silent) as up, Server(MODEL_TYPE="openai", MODEL_NAME="a", OPENAI_BASE_URL=up.url, OPENAI_API_KEY="k",
                                        FALLBACK_MODELS='["openai/b","openai/c"]', PROVIDER_TOTAL_TIMEOUT="3") as s:
        wait_until(lambda: all(x["state"] == "ready" for x in s.get("/api/v1/backends").json()["backends"]), 5, "the chain")
        began = time.monotonic()
        r = s.chat("q")
        t.equal((r.status, r.code), (504, "provider_timeout"))
        t.took(began, 2.0, 3.6)
        t.equal({q["body"]["model"] for q in up.requests if q["method"] == "POST"}, {"a", "b", "c"})
        began = time.monotonic()
        events = s.sse("q").events()  # a stream has twice the time
        t.equal(events[-1].json()["code"], "provider_timeout")
        t.took(began, 4.0, 6.8)
        wait_until(lambda: up.left == len([q for q in up.requests if q["method"] == "POST"]), 1, "the ends of the calls")


@case("forty requests that meet a dead backend make at most three times as many calls")
def dead_backend(t):
    def busy(r):
        return [Upstream.json(503, {"error": {"message": "no"}}, "retry-after-ms: 1")] if r["method"] == "POST" else \
            [Upstream.json(200, {"object": "list", "data": []})]
    with Upstream(busy) as up, Server(MODEL_TYPE="openai", MODEL_NAME="a", OPENAI_BASE_URL=up.url, OPENAI_API_KEY="k",
                                      PROVIDER_BREAKER_FAILURES="0") as s:
        for n in range(40):
            t.equal(s.chat("q", f"s{n}").status, 503)
        t.equal(len([q for q in up.requests if q["method"] == "POST"]), 120)
    with Upstream(busy) as up, Server(MODEL_TYPE="openai", MODEL_NAME="a", OPENAI_BASE_URL=up.url, OPENAI_API_KEY="k") as s:
        for n in range(40):
            t.equal(s.chat("q", f"s{n}").status, 503)
        t.equal(len([q for q in up.requests if q["method"] == "POST"]), 15)  # five failures open the breaker


@case("a refused key keeps the whole backend from being asked, a refused model only that one; what clients name has breakers of its own")
def marks(t):
    def named(s, model):
        return s.post("/v1/chat/completions", {"model": "openai/" + model, "messages": [{"role": "user", "content": "q"}]})

    def calls(f, model):
        return len([r for r in f.requests() if r["method"] == "POST" and r["body"]["model"] == model])
    env = {"script": answers({"error": "server"}), "OPENAI_API_KEY": "k", "PROVIDER_RETRIES": "0", "PROVIDER_BREAKER_FAILURES": "3"}
    for bad, kind, others in (("status-401", "auth", False), ("quota", "quota", False), ("status-403", "auth", True), ("long-wait", "rate_limit", True)):
        with Fake("openai") as f, Server(OPENAI_BASE_URL=f.url + "/v1", **env) as s:
            for _ in range(3):
                t.true(named(s, bad).status in (429, 502, 503), bad)
            t.equal((bad, calls(f, bad)), (bad, 1))
            t.equal((bad, named(s, "hello").status == 200, calls(f, "hello")), (bad, others, int(others)))
            row = next(x for x in s.get("/api/v1/backends").json()["backends"] if x["name"] == bad)
            t.equal((row["type"], row["role"], row["last_error"], row["breaker"], row["requests"]), ("openai", "other", kind, "closed", 1))
    with Fake("openai") as f, Server(OPENAI_BASE_URL=f.url + "/v1", **env) as s:
        for _ in range(6):
            named(s, "status-500")
            t.equal(named(s, "hello").status, 200)
        rows = {x["name"]: (x["role"], x["breaker"], x["requests"]) for x in s.get("/api/v1/backends").json()["backends"]}
        t.equal((rows["status-500"], rows["hello"], calls(f, "status-500")), (("other", "open", 3), ("other", "closed", 6), 3))


@case("a model that only a client named and its provider does not know is the client's mistake")
def unknown(t):
    with Fake("openai") as f, Server(script=answers("from the chain"), OPENAI_BASE_URL=f.url + "/v1", OPENAI_API_KEY="k") as s:
        for stream in (False, True):
            r = s.post("/v1/chat/completions", {"model": "openai/status-404", "stream": stream, "messages": [{"role": "user", "content": "q"}]})
            t.equal((r.status, r.json()["error"]["code"], r.json()["error"]["param"]), (404, "model_not_found", "model"))
            r = s.post("/v1/messages", {"model": "openai/status-404", "stream": stream, "max_tokens": 5, "messages": [{"role": "user", "content": "q"}]})
            t.equal((r.status, r.json()["error"]["type"]), (404, "not_found_error"))
    with Fake("openai") as f, Server(MODEL_TYPE="openai", MODEL_NAME="status-404", OPENAI_BASE_URL=f.url + "/v1", OPENAI_API_KEY="k") as s:
        r = s.post("/v1/chat/completions", {"model": "sema", "messages": [{"role": "user", "content": "q"}]})
        t.equal(r.status, 502)


@case("a long Retry-After is passed on, and the provider is not asked again meanwhile")
def retry_after(t):
    with Upstream(lambda r: [Upstream.json(429, {"error": {"message": "later", "code": "rate_limit_exceeded"}},
                                           "Retry-After: 14400")] if r["method"] == "POST" else
                  [Upstream.json(200, {"object": "list", "data": [{"id": "m", "object": "model"}]})]) as up:
        with Server(MODEL_TYPE="openai", MODEL_NAME="m", OPENAI_BASE_URL=up.url) as s:
            for _ in range(5):
                r = s.chat("q")
                t.equal((r.status, r.code), (503, "provider_rate_limit"))
                t.equal(3000 < int(r.header("Retry-After")) <= 14400, True)
            t.equal(len([r for r in up.requests if r["method"] == "POST"]), 1)


main()
