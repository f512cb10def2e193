"""Credentials: what they open, who they are, and whose the sessions are (http-api.md section 14)."""
from harness import *

KEY = "key-12345678"
SECRET = "a-secret-of-thirty-two-bytes-or-more"
OPEN = ["/", "/docs", "/redoc", "/openapi.json", "/health", "/status", "/api/v1/health", "/api/v1/status"]
CLOSED = [("POST", "/api/v1/chat"), ("GET", "/api/v1/chat/stream"), ("GET", "/api/v1/sessions"), ("GET", "/api/v1/sessions/x"),
          ("DELETE", "/api/v1/sessions/x"), ("GET", "/api/v1/model/info"), ("GET", "/api/v1/metrics"), ("GET", "/metrics")]


def bearer(token):
    return {"Authorization": "Bearer " + token}


@case("what is open and what is not")
def protected(t):
    with Server(API_KEY=KEY) as s:
        for path in OPEN:
            t.true(s.get(path).status in (200, 307), path)
        for method, path in CLOSED:
            r = s.request(method, path)
            t.equal((path, r.status, r.detail, r.code), (path, 401, "Invalid or missing credentials", "unauthorized"))
            t.equal(r.header("WWW-Authenticate"), "Bearer")
            t.true(s.request(method, path, {"X-API-Key": KEY}).status != 401, path)
        t.equal(s.get("/api/v1/nope").status, 404)
        t.equal(s.get("/api/v1/chat").status, 405)
        w = s.websocket()
        t.equal((w.status, w.answer.json()["detail"]), (401, "Invalid or missing credentials"))


@case("the ways to say a key")
def ways(t):
    with Server(API_KEY=KEY, script=[{"when": "*", "pieces": ["x"]}]) as s:
        for headers in (bearer(KEY), {"Authorization": "bearer " + KEY}, {"X-API-Key": KEY}):
            t.equal(s.get("/api/v1/sessions", headers).status, 200)
        for headers in ({"Authorization": KEY}, {"Authorization": "Basic " + KEY}, bearer(KEY + "x"), bearer(KEY[:-1]), bearer(""),
                        {"X-API-Key": ""}):
            t.equal((headers, s.get("/api/v1/sessions", headers).status), (headers, 401))
        # In the query for streams alone, where browsers can set no header.
        t.equal(s.sse("m", api_key=KEY).status, 200)
        t.equal(s.sse("m", api_key="wrong-key").status, 401)
        t.equal(s.websocket("?api_key=" + KEY).status, 101)
        t.equal(s.get("/api/v1/sessions?api_key=" + KEY).status, 401)
        t.equal(s.post("/api/v1/chat?api_key=" + KEY, {"message": "m", "session_id": "s"}).status, 401)


@case("a refusal comes before the body is read")
def before_body(t):
    with Server(API_KEY=KEY) as s, s.connect() as c:
        c.send("POST /api/v1/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
        t.equal(c.response().status, 401)


@case("tokens: who signs, until when, for whom")
def tokens(t):
    now = int(time.time())
    with Server(JWT_SECRET=SECRET, script=[{"when": "*", "pieces": ["x"]}]) as s:
        good = [jwt(SECRET, sub="amina"), jwt(SECRET, sub="amina", exp=now + 60, nbf=now - 5)]
        bad = [jwt(SECRET), jwt(SECRET, sub=""), jwt(SECRET, sub=7), jwt(SECRET, sub="amina", exp=now - 1),
               jwt(SECRET, sub="amina", nbf=now + 60), jwt("another-secret-of-thirty-two-bytes-x", sub="amina"),
               jwt(SECRET, {"alg": "none"}, sub="amina"), jwt(SECRET, {"alg": "HS384"}, sub="amina"), "a.b.c", KEY]
        for token in good:
            t.equal(s.get("/api/v1/sessions", bearer(token)).status, 200)
            t.equal(s.sse("m", token=token).status, 200)
            t.equal(s.websocket("?token=" + token).status, 101)
        for token in bad:
            t.equal((token, s.get("/api/v1/sessions", bearer(token)).status), (token, 401))
            t.equal(s.sse("m", token=token).status, 401)
        t.equal(s.get("/api/v1/sessions?token=" + good[0]).status, 401)


@case("the same id under two owners is two sessions, and nobody sees another's")
def owners(t):
    script = [{"when": "*", "pieces": [{"echo": "conversation"}]}]
    with Server(JWT_SECRET=SECRET, API_KEY=KEY, script=script) as s:
        amina, zawadi, key = bearer(jwt(SECRET, sub="amina")), bearer(jwt(SECRET, sub="zawadi")), bearer(KEY)
        s.chat("the first of amina", "s", amina)
        t.lacks(s.chat("zawadi's", "s", zawadi).json()["message"], "amina")
        t.has(s.chat("again", "s", amina).json()["message"], "the first of amina")
        t.equal(s.get("/api/v1/sessions/s", key).status, 404)
        t.equal(s.get("/api/v1/sessions/s", zawadi).json()["message_count"], 2)
        t.equal([x["message_count"] for x in s.get("/api/v1/sessions", amina).json()], [4])
        t.equal(s.delete("/api/v1/sessions/s", zawadi).status, 200)
        t.equal(s.get("/api/v1/sessions/s", amina).json()["message_count"], 4)
        t.equal(s.get("/api/v1/sessions", key).json(), [])


@case("sessions made while everything was open belong to the holder of the key")
def open_before(t):
    with tempfile.TemporaryDirectory() as folder:
        with Server(folder=folder, script=[{"when": "*", "pieces": ["x"]}]) as s:
            s.chat("m", "old")
        with Server(folder=folder, API_KEY=KEY, JWT_SECRET=SECRET) as s:
            t.equal(s.get("/api/v1/sessions/old", bearer(KEY)).status, 200)
            t.equal(s.get("/api/v1/sessions/old", bearer(jwt(SECRET, sub="amina"))).status, 404)


@case("MAX_SESSIONS_PER_USER counts where a user is known")
def per_user(t):
    with Server(JWT_SECRET=SECRET, MAX_SESSIONS_PER_USER=2, script=[{"when": "*", "pieces": ["x"]}]) as s:
        amina = bearer(jwt(SECRET, sub="amina"))
        t.equal([s.chat("m", name, amina).status for name in "abab"], [200] * 4)
        r = s.chat("m", "c", amina)
        t.equal((r.status, r.detail, r.code), (429, "Maximum sessions per user (2) exceeded", "session_limit"))
        t.equal(s.chat("m", "c", bearer(jwt(SECRET, sub="zawadi"))).status, 200)
        e = s.sse("m", "c", amina).events()
        t.equal(e[-1].json()["error"], "Maximum sessions per user (2) exceeded")
        s.delete("/api/v1/sessions/a", amina)
        t.equal(s.chat("m", "c", amina).status, 200)


@case("a token that runs out closes its WebSocket at the next message")
def runs_out(t):
    with Server(JWT_SECRET=SECRET, script=[{"when": "*", "pieces": ["x"]}]) as s:
        w = s.websocket("?token=" + jwt(SECRET, sub="amina", exp=int(time.time()) + 2))
        w.ask("m")
        t.equal(w.content(), "x")
        time.sleep(2.1)
        w.ask("m")
        t.equal(w.hear(), None)
        t.equal(w.closed[0], 1008)


@case("no key is ever in the log or in an error")
def secrets(t):
    with Server(API_KEY=KEY, JWT_SECRET=SECRET, LOG_LEVEL="debug") as s:
        token = jwt(SECRET, sub="amina")
        for r in (s.get("/api/v1/sessions", bearer(KEY)), s.get("/api/v1/sessions", bearer("wrong-" + KEY)),
                  s.get("/api/v1/chat/stream?api_key=" + KEY), s.get("/api/v1/chat/stream?token=" + token)):
            t.lacks(r.text, KEY)
        log = s.log_text() + s.errors()
        for secret in (KEY, SECRET, token):
            t.lacks(log, secret)


main()
