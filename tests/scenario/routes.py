"""What is answered where: paths, methods, slashes, and the fields that every answer has (http-api.md 1 to 3)."""
from harness import *


@case("unknown paths, and paths that do not match exactly")
def unknown(t):
    with Server() as s:
        for path in ("/nope", "/API/v1/health", "//health", "/health/../health", "/api/v1", "/api/v1/sessions/a/b", "/chat",
                     "/api/v1/chat/ws", "/health%2F", "/Health"):
            r = s.get(path)
            t.equal((path, r.status, r.detail), (path, 404, "Not Found"))
            t.equal(r.code, "not_found")
            t.equal(r.header("Content-Type"), "application/json")
            t.equal(r.json()["request_id"], r.header("X-Request-ID"))


@case("a known path with another method names the right one")
def methods(t):
    with Server() as s:
        for method, path, allow in (("GET", "/api/v1/chat", "POST"), ("PUT", "/api/v1/chat", "POST"),
                                    ("POST", "/api/v1/sessions", "GET"), ("PATCH", "/api/v1/sessions/x", "GET, DELETE"),
                                    ("POST", "/api/v1/chat/stream", "GET"), ("DELETE", "/health", "GET"),
                                    ("POST", "/docs", "GET, HEAD"), ("OPTIONS", "/api/v1/chat", "POST")):
            r = s.request(method, path)
            t.equal((method, path, r.status, r.detail), (method, path, 405, "Method Not Allowed"))
            t.equal(r.header("Allow"), allow)
            t.equal(r.code, "method_not_allowed")


@case("HEAD: on the pages and the plain health routes, not on the JSON routes")
def head(t):
    with Server() as s:
        for path in ("/", "/health", "/status", "/docs", "/redoc", "/openapi.json"):
            r = s.request("HEAD", path)
            t.equal((path, r.status, r.body), (path, 200, b""))
            t.true(int(r.header("Content-Length")) > 0, "a length")
        for path in ("/api/v1/health", "/api/v1/status", "/api/v1/sessions", "/api/v1/model/info", "/api/v1/chat"):
            t.equal((path, s.request("HEAD", path).status), (path, 405))


@case("one slash too many is a redirect that keeps method and query")
def slash(t):
    with Server() as s:
        where = f"http://{s.host}:{s.port}"
        for method, path, to in (("GET", "/health/", "/health"), ("POST", "/api/v1/chat/", "/api/v1/chat"),
                                 ("GET", "/api/v1/sessions/?limit=1", "/api/v1/sessions?limit=1"),
                                 ("GET", "/api/v1/sessions/a%2Fb/", "/api/v1/sessions/a%2Fb"),
                                 ("DELETE", "/docs/", "/docs")):
            r = s.request(method, path)
            t.equal((r.status, r.body, r.header("Location")), (307, b"", where + to))
        t.equal(s.get("/health//").status, 404)
        t.equal(s.get("/nope/").status, 404)


@case("every answer has an id, the time it took, a date, a name, and no sniffing")
def fields(t):
    with Server(script=[{"when": "*", "pieces": ["hi"]}]) as s:
        seen = set()
        for r in (s.get("/health"), s.get("/nope"), s.chat("x"), s.post("/api/v1/chat", "{"), s.get("/docs"),
                  s.sse("x").answer, s.request("OPTIONS", "/health")):
            t.match(r.header("X-Process-Time"), r"\d+\.\d{6}")
            t.equal(r.header("Server"), "sema")
            t.match(r.header("Date"), r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")
            t.equal(r.header("X-Content-Type-Options"), "nosniff")
            for name in ("X-Request-ID", "X-Process-Time", "Date", "Content-Type"):
                t.equal((name, r.count(name)), (name, 1))
            seen.add(r.header("X-Request-ID"))
        t.equal(len(seen), 7, "ids are unique")


@case("a client's own request id is echoed when it is well-formed")
def own_id(t):
    with Server() as s:
        for own in ("abc", "A-b_c.9", "x" * 128):
            t.equal(s.get("/health", {"X-Request-ID": own}).header("X-Request-ID"), own)
        for bad in ("", "x" * 129, "a b", "a/b", "ü"):
            t.true(s.get("/health", {"X-Request-ID": bad}).header("X-Request-ID") != bad, bad)
        r = s.get("/nope", {"X-Request-ID": "mine"})
        t.equal(r.json(), {"detail": "Not Found", "code": "not_found", "request_id": "mine"})
        t.equal(list(r.json()), ["detail", "code", "request_id"])


@case("conversations are in no cache")
def cache(t):
    with Server(script=[{"when": "*", "pieces": ["hi"]}]) as s:
        for r in (s.chat("x"), s.get("/api/v1/sessions"), s.get("/api/v1/sessions/s"), s.post("/api/v1/chat", {}),
                  s.sse("x").answer):
            t.equal(r.header("Cache-Control"), "no-store")


@case("a keep-alive connection serves one request after the other, refused ones between")
def keep_alive(t):
    with Server() as s, s.connect() as c:
        for path, status in (("/health", 200), ("/nope", 404), ("/status", 200), ("/api/v1/sessions/x", 404), ("/health", 200)):
            c.send_request("GET", path)
            t.equal(c.response().status, status)
        c.send_request("POST", "/api/v1/chat", {"Content-Type": "application/json"}, "{}")
        t.equal(c.response().status, 422)
        c.send_request("GET", "/health")
        t.equal(c.response().status, 200)


@case("a body on a GET is read and ignored")
def get_body(t):
    with Server() as s, s.connect() as c:
        c.send_request("GET", "/health", {}, "hello")
        t.equal(c.response().status, 200)
        c.send_request("GET", "/status")
        t.equal(c.response().status, 200)


@case("too large a body: 413 before it is read, and the connection ends")
def large(t):
    with Server(MAX_BODY_SIZE=2048) as s:
        with s.connect() as c:
            c.send("POST /api/v1/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2049\r\n\r\n")
            r = c.response()
            t.equal((r.status, r.detail, r.code), (413, "Request body too large", "payload_too_large"))
            t.true(c.at_end(), "the connection is closed")
        with s.connect() as c:  # chunked: by what came
            c.send("POST /api/v1/chat HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            c.send("400\r\n" + "x" * 1024 + "\r\n" + "800\r\n" + "x" * 2048 + "\r\n")
            t.equal(c.response().status, 413)
        with s.connect() as c:  # no invitation to send it
            c.send("POST /api/v1/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\nExpect: 100-continue\r\n\r\n")
            t.equal(c.response().status, 413)
        body = json.dumps({"message": "m", "session_id": "s", "pad": ""})
        body = body.replace('"pad": ""', '"pad": "' + "x" * (2048 - len(body)) + '"')
        t.equal(len(body), 2048)
        t.equal(s.post("/api/v1/chat", body).status, 200)


@case("a message of 4000 characters fits into an address")
def long_address(t):
    with Server(script=[{"when": "*", "pieces": ["ok"]}]) as s:
        t.equal(s.sse("\U0001F600" * 4000).content(), "ok")


main()
