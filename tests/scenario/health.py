"""Health, status and the model's own page (http-api.md sections 9.1 and 10)."""
from harness import *

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"


@case("the four routes, key by key")
def shapes(t):
    with Server(APP_VERSION="2.5", ENVIRONMENT="staging", script=[{"when": "*", "pieces": ["x"]}]) as s:
        h = s.get("/health").json()
        t.keys(h, "status", "service", "version", "uptime_seconds", "model_type", "model_name")
        t.equal((h["status"], h["service"], h["version"], h["model_type"]), ("healthy", "sema-chat-api", "2.5", "scripted"))
        t.equal(s.get("/status").text, '{"status":"ok","service":"sema-chat-api","version":"2.5","environment":"staging"}')
        v = s.get("/api/v1/status").json()
        t.keys(v, "status", "service", "version", "timestamp")
        t.match(v["timestamp"], STAMP)
        s.chat("m", "a"), s.chat("m", "b")
        a = s.get("/api/v1/health").json()
        t.keys(a, "status", "version", "model_type", "model_name", "model_loaded", "uptime", "active_sessions", "timestamp")
        t.equal((a["status"], a["model_loaded"], a["active_sessions"]), ("healthy", True, 2))
        t.inside(a["uptime"], 0, 60, "uptime")
        t.true(isinstance(a["uptime"], float), "a float")
        time.sleep(0.2)
        t.true(s.get("/api/v1/health").json()["uptime"] >= a["uptime"] + 0.19, "uptime grows")


@case("no model: unhealthy, but 200; and the page says not loaded")
def not_ready(t):
    with Server(script=[{"prepare": {"error": "overloaded", "times": 1000}}], wait_ready=False) as s:
        r = s.get("/api/v1/health")
        t.equal((r.status, r.json()["status"], r.json()["model_loaded"]), (200, "unhealthy", False))
        t.equal(s.get("/health").json()["status"], "healthy")
        r = s.get("/api/v1/model/info")
        t.equal((r.status, r.json()["loaded"]), (200, False))


@case("health asks nobody, and answers under load")
def free(t):
    script = [{"when": "*", "pieces": [{"text": "x" * 100, "repeat": 20000}]}]
    with Server(script=script, MAX_CONCURRENT_STREAMS=0) as s:
        streams = [s.sse("m", f"s{n}") for n in range(10)]
        with s.connect() as c:
            worst = 0
            for _ in range(50):
                began = time.monotonic()
                c.send_request("GET", "/api/v1/health")
                t.equal(c.response().status, 200)
                worst = max(worst, time.monotonic() - began)
        t.inside(worst, 0, 0.5, "the slowest answer")
        for e in streams:
            e.close()


@case("probe=true: with credentials, counted, shared for 30 s")
def probe(t):
    with Server(API_KEY="key-12345678", RATE_LIMIT=2, script=[{"when": "*", "pieces": ["x"]}]) as s:
        key = {"X-API-Key": "key-12345678"}
        t.equal(s.get("/api/v1/health?probe=true").status, 401)
        t.equal(s.get("/api/v1/health?probe=false").status, 200)
        t.equal(s.get("/api/v1/health?probe=maybe").status, 422)
        for _ in range(2):
            r = s.get("/api/v1/health?probe=true", key)
            t.equal((r.status, r.json()["status"], r.json()["model_loaded"]), (200, "healthy", True))
        t.equal(s.get("/api/v1/health?probe=true", key).status, 429)
        text = s.get("/metrics", key).text
        t.equal(re.findall(r"^sema_generations_total.* [1-9]\d*$", text, re.M), [])


@case("several probes at once share one")
def probes(t):
    with Server(script=[{"prepare": {"wait_ms": 200}}, {"when": "*", "pieces": ["x"]}], WORKERS=2) as s:
        results = []
        threads = [threading.Thread(target=lambda: results.append(s.get("/api/v1/health?probe=1").json()["status"]))
                   for _ in range(8)]
        began = time.monotonic()
        for th in threads:
            th.start()
        for th in threads:
            th.join()
        t.equal(results, ["healthy"] * 8)
        t.took(began, 0, 1.5, "the time")


@case("model info: what is configured")
def info(t):
    with Server(TEMPERATURE="0.3", TOP_P="0.8", MAX_NEW_TOKENS=99) as s:
        m = s.get("/api/v1/model/info").json()
        t.keys(m, "name", "type", "loaded", "parameters", "capabilities")
        t.equal((m["type"], m["loaded"]), ("scripted", True))
        t.equal(m["parameters"], {"temperature": 0.3, "max_tokens": 99, "top_p": 0.8})
        t.equal(m["capabilities"], ["chat", "streaming"])


main()
