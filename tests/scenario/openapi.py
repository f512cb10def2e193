"""/openapi.json and the page over it (http-api.md section 12)."""
import base64
import hashlib

from harness import *


@case("openapi: version, title, routes, schemas")
def openapi(t):
    with Server(APP_NAME='My "API"', APP_VERSION="3.2") as s:
        r = s.get("/openapi.json")
        t.equal((r.status, r.header("Content-Type")), (200, "application/json"))
        d = r.json()
        t.equal((d["openapi"], d["info"]), ("3.1.0", {"title": 'My "API"', "version": "3.2"}))
        t.equal({(p, m) for p, methods in d["paths"].items() for m in methods},
                {("/health", "get"), ("/status", "get"), ("/api/v1/chat", "post"), ("/api/v1/chat/stream", "get"),
                 ("/api/v1/sessions", "get"), ("/api/v1/sessions/{session_id}", "get"),
                 ("/api/v1/sessions/{session_id}", "delete"), ("/api/v1/model/info", "get"), ("/api/v1/health", "get"),
                 ("/api/v1/status", "get"), ("/api/v1/metrics", "get"), ("/api/v1/model/switch", "post"),
                 ("/api/v1/models", "get"), ("/api/v1/backends", "get")})
        t.equal({tag for methods in d["paths"].values() for o in methods.values() for tag in o["tags"]},
                {"Chat API v1", "Health"})
        schemas = d["components"]["schemas"]
        t.equal(set(schemas), {"ChatRequest", "ChatResponse", "ChatMessage", "ConversationHistory", "HealthResponse", "ModelInfo",
                               "ModelList", "BackendList",
                               "HTTPValidationError", "ValidationError"})
        t.equal(schemas["ChatRequest"]["required"], ["message", "session_id"])
        t.equal(schemas["ChatRequest"]["properties"]["message"], {"type": "string", "minLength": 1, "maxLength": 4000})
        t.equal(list(schemas["ChatRequest"]["properties"]),
                ["message", "session_id", "system_prompt", "temperature", "max_tokens", "stream", "prompt_type", "reasoning",
                 "images"])
        names = [p["name"] for p in d["paths"]["/api/v1/chat/stream"]["get"]["parameters"]]
        t.equal(names[:5], ["message", "session_id", "system_prompt", "temperature", "max_tokens"])
        refs = re.findall(r'"\$ref":"#/components/schemas/(\w+)"', r.text)
        t.true(refs and set(refs) <= set(schemas), "every reference leads somewhere")
        ids = [o["operationId"] for methods in d["paths"].values() for o in methods.values()]
        t.equal(len(ids), len(set(ids)))
        t.true("securitySchemes" not in d["components"], "open")
    with Server(API_KEY="key-12345678") as s:
        d = s.get("/openapi.json").json()
        t.equal(d["paths"]["/api/v1/chat"]["post"]["security"], [{"bearer": []}])
        t.true("security" not in d["paths"]["/health"]["get"], "health is open")


@case("what is described is there")
def described(t):
    with Server() as s:
        for path, methods in s.get("/openapi.json").json()["paths"].items():
            for method in methods:
                r = s.request(method.upper(), path.replace("{session_id}", "x"))
                t.true(r.status in (200, 404, 422), f"{method} {path} gives {r.status}")
                t.true(r.status != 404 or r.code == "session_not_found", path)


@case("the page needs nothing from elsewhere and lets nothing else in")
def page(t):
    with Server() as s:
        for path in ("/docs", "/redoc"):
            r = s.get(path)
            t.equal((r.status, r.header("Content-Type")), (200, "text/html; charset=utf-8"))
            t.equal(re.findall(r"(?:src|href)=\"(?!/openapi\.json)[^\"]*\"", r.text), [])
            t.lacks(r.text, "http://")
            t.lacks(r.text, "https://")
            policy = r.header("Content-Security-Policy")
            t.has(policy, "default-src 'none'")
            t.lacks(policy, "unsafe")
            for tag in ("script", "style"):
                inner = re.search(f"<{tag}>(.*?)</{tag}>", r.text, re.S)[1]
                digest = base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()
                t.has(policy, f"{tag}-src 'sha256-{digest}'")
            t.equal(re.findall(r" on\w+=| style=", r.text), [])


@case("the root: the page, or the way to it")
def root(t):
    with Server(DEBUG="true") as s:
        r = s.get("/")
        t.equal((r.status, r.header("Location"), r.body), (307, "/docs", b""))
        t.equal(s.request("HEAD", "/").status, 200)
    with Server(DEBUG="false") as s:
        t.equal((s.get("/").status, s.get("/").header("Content-Type")), (200, "text/html; charset=utf-8"))
        t.equal((s.get("/docs").status, s.get("/redoc").status, s.get("/openapi.json").status), (200, 200, 200))


main()
