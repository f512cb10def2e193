"""RATE_LIMIT: one bucket a client over all routes that generate (http-api.md section 13)."""
from harness import *

SCRIPT = [{"when": "*", "pieces": ["x"]}]
SECRET = "a-secret-of-thirty-two-bytes-or-more"


@case("beyond the burst: 429 with the words and fields that say when")
def words(t):
    with Server(RATE_LIMIT=3, script=SCRIPT) as s:
        t.equal([s.chat("m").status for _ in range(3)], [200] * 3)
        r = s.chat("m")
        t.equal((r.status, r.json()["error"], r.code), (429, "Rate limit exceeded: 3 per 1 minute", "rate_limited"))
        t.true("detail" not in r.json(), "no detail")
        t.inside(int(r.header("Retry-After")), 1, 20, "Retry-After")
        t.equal((r.header("X-RateLimit-Limit"), r.header("X-RateLimit-Remaining")), ("3", "0"))
        t.inside(int(r.header("X-RateLimit-Reset")), 55, 60, "X-RateLimit-Reset")
        t.equal(s.get("/api/v1/sessions").status, 200, "other routes are not limited")
        t.equal(s.metrics()["sema_rate_limited_total"], 1)


@case("one bucket over all routes")
def one_bucket(t):
    with Server(RATE_LIMIT=3, script=SCRIPT) as s:
        t.equal(s.chat("m").status, 200)
        t.equal(s.sse("m").content(), "x")
        w = s.websocket()
        w.ask("m")
        t.equal(w.content(), "x")
        t.equal(s.sse("m").status, 429)
        t.equal(s.chat("m").status, 429)
        w.ask("m")
        t.equal(w.hear(), {"type": "error", "error": "Rate limit exceeded: 3 per 1 minute"})
        t.equal(s.post("/api/v1/chat", {"message": "m", "session_id": "s", "stream": True},
                       {"Accept": "text/event-stream"}).status, 429)


@case("what fails validation or credentials does not count")
def not_counted(t):
    with Server(RATE_LIMIT=1, API_KEY="key-12345678", script=SCRIPT) as s:
        key = {"X-API-Key": "key-12345678"}
        for _ in range(5):
            t.equal(s.post("/api/v1/chat", {}, key).status, 422)
            t.equal(s.chat("m").status, 401)
            t.equal(s.sse(session=None, headers=key).status, 422)
        w = s.websocket(headers=key)
        w.say("{}")
        w.hear()
        t.equal(s.chat("m", headers=key).status, 200)
        t.equal(s.chat("m", headers=key).status, 429)


@case("it refills evenly")
def refill(t):
    with Server(RATE_LIMIT=60, script=SCRIPT) as s:
        first = [s.chat("m").status for _ in range(60)]
        t.equal(first, [200] * 60)
        t.true(429 in [s.chat("m").status for _ in range(3)], "refused at the end")
        time.sleep(1.1)
        t.equal(s.chat("m").status, 200)


@case("users apart by name, holders of the key by address, others by address")
def clients(t):
    def via(address, **more):
        return {"X-Forwarded-For": address, **more}
    with Server(RATE_LIMIT=1, script=SCRIPT, API_KEY="key-12345678", JWT_SECRET=SECRET) as s:
        for name in ("amina", "zawadi"):
            who = {"Authorization": "Bearer " + jwt(SECRET, sub=name)}
            t.equal([s.chat("m", headers={**who, **via(a)}).status for a in ("192.0.2.1", "192.0.2.2")], [200, 429])
        key = {"X-API-Key": "key-12345678"}
        t.equal([s.chat("m", headers={**key, **via(a)}).status for a in ("192.0.2.1", "192.0.2.2", "192.0.2.1")], [200, 200, 429])
    with Server(RATE_LIMIT=1, script=SCRIPT) as s:  # 127.0.0.1 is trusted
        got = [s.chat("m", headers=via(a)).status
               for a in ("192.0.2.1", "6.6.6.6, 192.0.2.1", "2001:db8::1", "2001:DB8:0::1", "192.0.2.2")]
        t.equal(got, [200, 429, 200, 429, 200])
    with Server(RATE_LIMIT=1, script=SCRIPT, FORWARDED_ALLOW_IPS="192.0.2.9") as s:  # it is not
        t.equal([s.chat("m", headers=via(a)).status for a in ("192.0.2.1", "192.0.2.2")], [200, 429])


@case("0 is no limit")
def off(t):
    with Server(RATE_LIMIT=0, script=SCRIPT) as s, s.connect() as c:
        for _ in range(200):
            c.send_request("POST", "/api/v1/chat", {"Content-Type": "application/json"}, '{"message":"m","session_id":"s"}')
            t.equal(c.response().status, 200)


main()
