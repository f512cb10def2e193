"""Names that are answered: a web page's rebound name reaches no private server (reliability.md section 6)."""
from harness import *


@case("a loopback server answers loopback names only")
def loopback(t):
    with Server() as s:
        for host in ("localhost", "LOCALHOST:1", f"127.0.0.1:{s.port}", "[::1]", "[::1]:7860"):
            t.equal((host, s.get("/health", {"Host": host}).status), (host, 200))
        for host in ("evil.example", "localhost.evil.example", "127.0.0.2", "10.0.0.1:7860", "[::2]"):
            r = s.get("/health", {"Host": host})
            t.equal((host, r.status, r.detail, r.code), (host, 421, "Host not allowed", "host_not_allowed"))
        r = s.request("GET", "/health", {"Host": None}, version="HTTP/1.0")
        t.equal(r.status, 421)
        t.equal(s.websocket(headers={"Host": "evil.example"}).status, 421)
        r = s.request("OPTIONS", "/api/v1/chat", {"Host": "evil.example", "Origin": "http://evil.example",
                                                  "Access-Control-Request-Method": "POST"})
        t.equal(r.status, 421)


@case("a public server answers any name")
def public(t):
    with Server(HOST="0.0.0.0") as s:
        for host in ("evil.example", "localhost", "10.0.0.1"):
            t.equal(s.get("/health", {"Host": host}).status, 200)
        t.equal(s.request("GET", "/health", {"Host": None}, version="HTTP/1.0").status, 200)


@case("ALLOWED_HOSTS names all that is answered, loopback included")
def listed(t):
    with Server(HOST="0.0.0.0", ALLOWED_HOSTS="sema.example,127.0.0.1") as s:
        for host, status in (("sema.example", 200), ("SEMA.example:443", 200), ("127.0.0.1", 200), ("localhost", 421),
                             ("x.sema.example", 421), ("[::1]", 421)):
            t.equal((host, s.get("/health", {"Host": host}).status), (host, status))
        t.equal(s.request("GET", "/health", {"Host": None}, version="HTTP/1.0").status, 421)
    with Server(ALLOWED_HOSTS="*") as s:
        t.equal(s.get("/health", {"Host": "evil.example"}).status, 200)


main()
