"""Metrics: names, labels from our own tables only, and where they are (http-api.md section 11)."""
from harness import *


@case("the format, the process figures, and what was counted")
def counted(t):
    script = [{"when": "fail", "pieces": [{"error": "server"}]}, {"when": "*", "pieces": ["x"], "usage": {"prompt": 7, "completion": 3}}]
    with Server(script=script, PROVIDER_RETRIES=0, PROVIDER_BREAKER_FAILURES=0) as s:
        s.chat("m", "session-one"), s.chat("fail", "session-two"), s.sse("m", "session-one").content()
        s.get("/nope"), s.get("/api/v1/sessions/session-one"), s.request("BREW", "/health")
        r = s.get("/api/v1/metrics")
        t.equal((r.status, r.header("Content-Type")), (200, "text/plain; version=0.0.4; charset=utf-8"))
        m = s.metrics()
        for name in ("process_resident_memory_bytes", "process_virtual_memory_bytes", "process_start_time_seconds",
                     "process_cpu_seconds_total", "process_open_fds", "process_max_fds"):
            t.true(m[name] > 0, name)
        t.inside(m["process_start_time_seconds"], time.time() - 120, time.time() + 2, "the start")
        model = f'backend="scripted",model="{s.env["MODEL_NAME"]}"'
        t.equal(m[f'sema_generations_total{{{model},outcome="ok"}}'], 2)
        t.equal(m[f'sema_generations_total{{{model},outcome="failed"}}'], 1)
        s.chat("m", "session-one")
        after = s.metrics()
        for kind, count in (("prompt", 7), ("completion", 3)):
            name = f'sema_tokens_total{{{model},kind="{kind}"}}'
            t.equal((kind, after[name] - m[name]), (kind, count))
        t.true(m['sema_generation_seconds_count{backend="scripted"}'] >= 2, "generation_seconds")
        t.true(m['sema_time_to_first_token_seconds_count{backend="scripted"}'] >= 2, "first token")
        t.equal(m['sema_http_requests_total{method="POST",route="/api/v1/chat",status="200"}'], 1)
        t.equal(m['sema_http_requests_total{method="POST",route="/api/v1/chat",status="502"}'], 1)
        t.equal(m['sema_http_requests_total{method="GET",route="other",status="404"}'], 1)
        t.equal(m['sema_http_requests_total{method="GET",route="/api/v1/sessions/{session_id}",status="200"}'], 1)
        t.equal(m['sema_http_request_duration_seconds_count{route="/api/v1/chat"}'], 2)
        t.equal((m["sema_active_streams"], m["sema_active_sessions"], m["sema_websocket_connections"]), (0, 1, 0))
        t.equal((m["sema_rate_limited_total"], m["sema_fallbacks_total"]), (0, 0))


@case("every sample has a type, buckets add up, nothing of a client is a label")
def wellformed(t):
    with Server(script=[{"when": "*", "pieces": ["x"]}]) as s:
        s.chat("m", "secret-session", {"X-Request-ID": "secret-request"})
        s.get("/secret-path"), s.request("SECRET", "/health"), s.get("/health", {"X-Forwarded-For": "198.51.100.77"})
        text = s.get("/metrics").text
        types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
        for line in text.splitlines():
            if line.startswith("#"):
                continue
            name = re.match(r"[a-z_]+", line)[0]
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            t.true(name in types or types.get(base) == "histogram", name)
            t.match(line, r'[a-z_]+(\{[a-z_]+="(?:[^"\\]|\\.)*"(,[a-z_]+="(?:[^"\\]|\\.)*")*\})? [0-9.e+-]+')
        buckets = re.findall(r'^sema_http_request_duration_seconds_bucket\{route="/api/v1/chat",le="([^"]+)"\} (\d+)$', text, re.M)
        t.equal([int(v) for _, v in buckets], sorted(int(v) for _, v in buckets))
        t.equal(buckets[-1], ("+Inf", "1"))
        for word in ("secret", "SECRET", "198.51"):
            t.lacks(text, word)


@case("switches by their outcome; what only clients name is counted as other, what was switched to by its name")
def named(t):
    with Fake("openai") as f, Server(MODEL_TYPE="openai", MODEL_NAME="hello", OPENAI_BASE_URL=f.url + "/v1", OPENAI_API_KEY="k") as s:
        t.equal(s.metrics()['sema_model_switches_total{outcome="ok"}'], 0)
        t.equal(s.post("/api/v1/model/switch", {"model_name": "echo-model"}).status, 200)
        t.equal(s.post("/api/v1/model/switch", {"model_name": "x", "model_type": "google"}).status, 400)
        t.equal(s.chat("hi").json()["message"], "hi")
        body = {"model": "openai/words-of-a-client", "messages": [{"role": "user", "content": "hi"}]}
        t.equal(s.post("/v1/chat/completions", body).status, 200)
        m, text = s.metrics(), s.get("/metrics").text
        t.equal((m['sema_model_switches_total{outcome="ok"}'], m['sema_model_switches_total{outcome="failed"}']), (1, 1))
        t.equal(m['sema_generations_total{backend="openai",model="echo-model",outcome="ok"}'], 1)
        t.equal(m['sema_generations_total{backend="openai",model="other",outcome="ok"}'], 1)
        t.equal(m['sema_tokens_total{backend="openai",model="other",kind="prompt"}'], 9)
        t.lacks(text, "words-of-a-client")


@case("where they are, and where not")
def where(t):
    with Server(METRICS_PATH="/numbers") as s:
        t.equal((s.get("/numbers").status, s.get("/metrics").status, s.get("/api/v1/metrics").status), (200, 404, 200))
        t.equal(s.get("/numbers/").status, 307)
        t.equal(s.get("/api/v1/metrics").text.count('route="/numbers"') > 0, True)
    with Server(ENABLE_METRICS="false") as s:
        r = s.get("/api/v1/metrics")
        t.equal((r.status, r.detail, r.code), (404, "Metrics not enabled", "metrics_disabled"))
        r = s.get("/metrics")
        t.equal((r.status, r.detail), (404, "Not Found"))


@case("METRICS_PATH cannot be another route")
def collides(t):
    for path in ("/health", "/api/v1/chat"):
        with tempfile.TemporaryDirectory() as folder:
            status, _, err = run_sema("serve", env={"METRICS_PATH": path, "PORT": 0, "HOST": "127.0.0.1",
                                                    "SESSION_STORE": "memory:", "MODEL_TYPE": "scripted",
                                                    "MODEL_NAME": "/dev/null"}, folder=folder)
            t.equal(status, 1)
            t.has(err, "METRICS_PATH")


main()
