"""Browsers: who may read, preflights, and that a page can read every error (http-api.md section 2)."""
from harness import *

APP = "https://app.example"
EXPOSED = ("X-Request-ID, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-Next-Cursor")


def cors(r):
    return (r.header("Access-Control-Allow-Origin"), r.header("Access-Control-Allow-Credentials"), r.header("Vary"))


@case("any origin: a star without cookies, the origin itself with them")
def any_origin(t):
    with Server(CORS_ORIGINS='["*"]') as s:
        r = s.get("/health", {"Origin": APP})
        t.equal(cors(r), ("*", "true", None))
        t.equal(r.header("Access-Control-Expose-Headers"), EXPOSED)
        t.equal(cors(s.get("/health", {"Origin": APP, "Cookie": "a=b"})), (APP, "true", "Origin"))
        t.equal(cors(s.get("/health", {"Origin": "null"})), ("*", "true", None))
        r = s.get("/health")
        t.equal(cors(r), (None, None, None))
        t.equal(r.header("Access-Control-Expose-Headers"), None)


@case("a list: in it the origin is echoed, outside nothing is done")
def listed(t):
    with Server(CORS_ORIGINS=f'["{APP}"]', script=[{"when": "*", "pieces": ["x"]}]) as s:
        t.equal(cors(s.get("/health", {"Origin": APP})), (APP, "true", "Origin"))
        r = s.post("/api/v1/chat", {"message": "m", "session_id": "s"}, {"Origin": "https://evil.example"})
        t.equal((r.status, r.detail, r.code), (403, "Origin not allowed", "origin_not_allowed"))
        t.equal(r.header("Access-Control-Allow-Origin"), None)
        t.equal(s.get("/api/v1/sessions").json(), [])
        for path in ("/health", "/nope", "/docs"):
            t.equal(s.get(path, {"Origin": "https://evil.example"}).status, 403)
        own = f"http://{s.host}:{s.port}"
        t.equal(cors(s.get("/health", {"Origin": own})), (own, "true", "Origin"))
        w = s.websocket(headers={"Origin": "https://evil.example"})
        t.equal(w.status, 403)
        t.equal(s.websocket(headers={"Origin": APP}).status, 101)


@case("a private server answers pages of the same machine only")
def private(t):
    for settings in ({}, {"HOST": "0.0.0.0"}):
        with Server(**settings) as s:
            t.equal(cors(s.get("/health", {"Origin": "http://localhost:3000"})), ("http://localhost:3000", "true", "Origin"))
            t.equal(cors(s.get("/health", {"Origin": "http://[::1]:1"}))[0], "http://[::1]:1")
            t.equal(s.get("/health", {"Origin": APP}).status, 403)
            t.equal(s.get("/health", {"Origin": "null"}).status, 403)
            t.equal(s.websocket(headers={"Origin": APP}).status, 403)
    with Server(HOST="0.0.0.0") as s:  # by its public name it is open
        t.equal(cors(s.get("/health", {"Origin": APP, "Host": "sema.example"})), ("*", "true", None))


@case("preflight: what was asked for, without credentials")
def preflight(t):
    with Server(CORS_ORIGINS=f'["{APP}"]', API_KEY="key-12345678") as s:
        r = s.request("OPTIONS", "/api/v1/chat", {"Origin": APP, "Access-Control-Request-Method": "POST",
                                                  "Access-Control-Request-Headers": "authorization,content-type,x-stainless-os"})
        t.equal((r.status, r.body, r.header("Content-Type")), (200, b"OK", "text/plain; charset=utf-8"))
        t.equal(cors(r), (APP, "true", "Origin"))
        t.equal(r.header("Access-Control-Allow-Headers"), "authorization,content-type,x-stainless-os")
        t.equal(r.header("Access-Control-Allow-Methods"), "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT")
        t.equal(r.header("Access-Control-Max-Age"), "600")
        r = s.request("OPTIONS", "/api/v1/chat", {"Origin": APP, "Access-Control-Request-Method": "POST"})
        t.equal((r.status, r.header("Access-Control-Allow-Headers")), (200, None))
        r = s.request("OPTIONS", "/nope", {"Origin": APP, "Access-Control-Request-Method": "DELETE"})
        t.equal(r.status, 200)
        r = s.request("OPTIONS", "/api/v1/chat", {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"})
        t.equal((r.status, r.text, r.header("Access-Control-Allow-Origin")), (400, "Disallowed CORS origin", None))
        r = s.request("OPTIONS", "/api/v1/chat", {"Origin": APP, "Access-Control-Request-Method": "TRACE"})
        t.equal((r.status, r.text), (400, "Disallowed CORS method"))
        t.equal(s.request("OPTIONS", "/api/v1/chat").status, 405)
        r = s.request("OPTIONS", "/api/v1/chat", {"Origin": APP})  # no preflight: a plain request
        t.equal((r.status, cors(r)[0]), (405, APP))
    with Server(CORS_ORIGINS="*") as s:
        r = s.request("OPTIONS", "/api/v1/chat", {"Origin": APP, "Access-Control-Request-Method": "POST"})
        t.equal(cors(r), (APP, "true", "Origin"))


@case("a page can read every error, those on the way included")
def errors(t):
    script = [{"when": "bad", "pieces": [{"error": "server"}]}, {"when": "*", "pieces": ["x"]}]
    with Server(CORS_ORIGINS=f'["{APP}"]', API_KEY="key-12345678", RATE_LIMIT=2, MAX_BODY_SIZE=2048, PROVIDER_RETRIES=0,
                script=script) as s:
        key = {"Origin": APP, "Authorization": "Bearer key-12345678"}
        seen = [s.post("/api/v1/chat", {}, {"Origin": APP, "Authorization": "Bearer wrong-key"})]
        seen.append(s.post("/api/v1/chat", "x" * 3000, key))
        seen.append(s.get("/nope", key))
        seen.append(s.post("/api/v1/chat", {}, key))
        seen.append(s.get("/api/v1/chat", key))
        seen.append(s.chat("bad", headers=key))
        s.chat("good", headers=key)
        seen.append(s.chat("good", headers=key))
        t.equal([r.status for r in seen], [401, 413, 404, 422, 405, 502, 429])
        t.equal([cors(r) for r in seen], [(APP, "true", "Origin")] * 7)
        t.equal(seen[0].header("WWW-Authenticate"), "Bearer")


@case("an image tag from elsewhere cannot spend or delete")
def cross_site(t):
    site = {"Sec-Fetch-Site": "cross-site"}
    with Server(script=[{"when": "*", "pieces": ["x"]}]) as s:
        t.equal(s.chat("mine", "s").status, 200)
        r = s.get("/api/v1/chat/stream?message=m&session_id=s", site)
        t.equal((r.status, r.code), (403, "origin_not_allowed"))
        t.equal(s.post("/api/v1/chat", {"message": "m", "session_id": "s"}, site).status, 403)
        t.equal(s.delete("/api/v1/sessions/s", site).status, 403)
        t.equal(s.get("/health", site).status, 200)
        t.equal(s.get("/api/v1/sessions/s", site).json()["message_count"], 2)
        t.equal(s.chat("mine", "s", {"Sec-Fetch-Site": "same-origin"}).status, 200)
    with Server(script=[{"when": "*", "pieces": ["x"]}], CORS_ORIGINS="*") as s:
        t.equal(s.post("/api/v1/chat", {"message": "m", "session_id": "s"}, site).status, 200)


main()
