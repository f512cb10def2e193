"""POST /api/v1/chat: the answer's shape, what is asked of the model, and failures (http-api.md section 5)."""
from harness import *

ECHO = [{"when": "*", "pieces": [{"echo": "request"}]}]


def asked(s, **fields):
    """The request as the backend got it."""
    return json.loads(s.chat("hello", **fields).json()["message"])


@case("the answer, key by key")
def shape(t):
    script = [{"when": "hello", "pieces": [" Hello", " wörld \U0001F600\n"], "usage": {"prompt": 5, "completion": 3}}]
    with Server(script=script) as s:
        r = s.chat("hello", "minimax-test")
        t.equal(r.status, 200)
        t.equal(r.header("Content-Type"), "application/json")
        t.keys(r.json(), "message", "session_id", "message_id", "model_name", "timestamp", "generation_time", "token_count",
               "finish_reason")
        a = r.json()
        t.equal(a["message"], "Hello wörld \U0001F600")
        t.has(r.text, "wörld \U0001F600")  # raw UTF-8
        t.lacks(r.text, '": ')
        t.lacks(r.text, ', "')
        t.equal(a["session_id"], "minimax-test")
        t.match(a["message_id"], r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
        t.match(a["timestamp"], r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
        t.true(isinstance(a["generation_time"], float), "generation_time")
        t.equal((a["token_count"], a["finish_reason"]), (3, "stop"))
        t.true(a["model_name"].endswith("script.jsonl"), "the model's name")


@case("reasoning: in front of the answer, and alone")
def reasoning(t):
    script = [{"when": "both", "pieces": [{"reasoning": " Let me "}, {"reasoning": "see. "}, "42"]},
              {"when": "only", "pieces": [{"reasoning": "hm"}]}]
    with Server(script=script) as s:
        a = s.chat("both").json()
        t.equal((a["message"], a["reasoning"]), ("[Reasoning: Let me see.]\n\n42", "Let me see."))
        t.equal(list(a)[-1], "reasoning")
        t.equal(s.chat("only").json()["message"], "[Reasoning: hm]")
    with Server(script=script, SHOW_REASONING="false") as s:
        a = s.chat("both").json()
        t.equal((a["message"], a["reasoning"]), ("42", "Let me see."))


@case("what the client asks for reaches the model; zero is zero")
def parameters(t):
    with Server(script=ECHO, TEMPERATURE="0.6", MAX_NEW_TOKENS="77", SYSTEM_PROMPT="be brief",
                SYSTEM_PROMPT_CODE="write code") as s:
        q = asked(s)
        t.equal((q["temperature"], q["max_tokens"]), (0.6, 77))
        t.equal(q["messages"][0], {"role": "system", "text": "be brief"})
        q = asked(s, temperature=0, max_tokens=5)
        t.equal((q["temperature"], q["max_tokens"]), (0, 5))
        t.equal(asked(s, temperature="0.25")["temperature"], 0.25)
        t.equal(asked(s, system_prompt="mine", prompt_type="code")["messages"][0]["text"], "mine")
        t.equal(asked(s, system_prompt="", prompt_type="code")["messages"][0]["text"], "write code")
        t.equal(asked(s, prompt_type="creative")["messages"][0]["text"], "be brief")
        t.equal(asked(s, temperature=None, max_tokens=None, stream=None, images=None, reasoning=None)["max_tokens"], 77)


@case("finish_reason and token_count are what the provider says, or null")
def finish(t):
    script = [{"when": "long", "pieces": ["x"], "finish": "length", "usage": {"completion": 9}},
              {"when": "cut", "pieces": ["x"], "finish": "content_filter", "usage": {"completion": 1}},
              {"when": "*", "pieces": ["some words"]}]
    with Server(script=script) as s:
        t.equal(s.chat("long").json()["finish_reason"], "length")
        t.equal(s.chat("cut").json()["finish_reason"], "content_filter")
        t.equal(s.chat("unknown").json()["token_count"], None)


@case("failures: status, words, code, and nothing of the provider's own")
def failures(t):
    wanted = {
        "rate_limit": (503, "Model not available", "provider_rate_limit", True),
        "overloaded": (503, "Model not available", "provider_overloaded", True),
        "quota": (503, "Model not available", "provider_quota", True),
        "server": (502, "Failed to generate response", "provider_server", False),
        "auth": (502, "Failed to generate response", "provider_auth", False),
        "network": (502, "Failed to generate response", "provider_network", False),
        "model_not_found": (502, "Failed to generate response", "provider_model_not_found", False),
        "timeout": (504, "Failed to generate response", "provider_timeout", False),
        "local_failed": (503, "Failed to generate response", "local_generation_failed", True),
    }
    script = [{"when": f"[{kind}]", "pieces": [{"error": kind, "status": 500}]} for kind in wanted]
    for kind, (status, detail, code, retry) in wanted.items():  # some mark the model down: a server for each
        with Server(script=script, PROVIDER_RETRIES=0, PROVIDER_BREAKER_FAILURES=0) as s:
            r = s.chat(f"[{kind}]", kind)
            t.equal((kind, r.status, r.detail, r.code), (kind, status, detail, code))
            t.equal((kind, r.header("Retry-After") is not None), (kind, retry))
            t.equal(list(r.json()), ["detail", "code", "request_id"])
            t.equal(s.get(f"/api/v1/sessions/{kind}").status, 404, "a failed first turn leaves nothing")
            t.equal(s.get("/api/v1/sessions").json(), [])


@case("what the provider rejects is a 422 with the class named, and none of its words")
def rejected(t):
    script = [{"when": f"[{k}]", "pieces": [{"error": k, "status": 400}]}
              for k in ("bad_request", "context_length", "content_filter")]
    with Server(script=script) as s:
        for kind in ("bad_request", "context_length", "content_filter"):
            r = s.chat(f"[{kind}]", "s" * 250)
            t.equal((r.status, r.code), (422, "provider_" + kind))
            entry = r.json()["detail"][0]
            t.equal((entry["type"], entry["loc"]), ("value_error", ["body"]))
            t.has(entry["msg"], kind)
            t.equal(entry["input"]["session_id"], "s" * 200)


@case("stream: true streams only with the Accept that says so")
def stream_flag(t):
    with Server(script=[{"when": "*", "pieces": ["a", "b"]}]) as s:
        body = json.dumps({"message": "m", "session_id": "s", "stream": True})
        for accept in (None, "*/*", "application/json", "text/event-streams"):
            r = s.post("/api/v1/chat", body, {"Accept": accept})
            t.equal((r.status, r.json()["message"]), (200, "ab"))
        for accept in ("text/event-stream", "application/json, Text/Event-Stream;q=0.9"):
            e = Sse(s, "/api/v1/chat", {"Accept": accept, "Content-Type": "application/json"}, method="POST", body=body)
            t.equal(e.answer.header("Content-Type"), "text/event-stream; charset=utf-8")
            t.equal(e.content(), "ab")
        off = json.dumps({"message": "m", "session_id": "s", "stream": "off"})
        t.equal(s.post("/api/v1/chat", off, {"Accept": "text/event-stream"}).json()["message"], "ab")
    with Server(script=[{"when": "*", "pieces": ["a", "b"]}], ENABLE_STREAMING="false") as s:
        t.equal(s.post("/api/v1/chat", body, {"Accept": "text/event-stream"}).json()["message"], "ab")


@case("the newest message that is the same twice, and thirty at once")
def many(t):
    with Server(script=[{"when": "*", "pieces": [{"text": "x", "wait_ms": 30}]}], MAX_CONCURRENT_STREAMS=1) as s:
        results = []
        threads = [threading.Thread(target=lambda i=i: results.append(s.chat("hello", f"s{i}").status)) for i in range(30)]
        for th in threads:
            th.start()
        for th in threads:
            th.join()
        t.equal(results, [200] * 30)


@case("the log: one line for the answer, one for the request, no text and no query in either")
def log(t):
    with Server(script=[{"when": "*", "pieces": ["the-answer"]}]) as s:
        s.chat("the-question", "log-session")
        s.sse("the-question", "log-session").content()
        done = wait_until(lambda: len(s.events("chat_request_completed")) == 2 and s.events("chat_request_completed"))
        t.equal(list(done[0])[:4], ["session_id", "message_length", "response_length", "total_time"])
        t.equal((done[0]["message_length"], done[0]["response_length"]), (12, 10))
        access = [e for e in s.events("http_request") if e["path"].startswith("/api/v1/chat")]
        t.equal([e["path"] for e in access], ["/api/v1/chat", "/api/v1/chat/stream"])
        t.keys(access[0], "method", "path", "status", "duration", "request_id", "event", "logger", "level", "timestamp")
        t.lacks(s.log_text(), "the-question")
        t.lacks(s.log_text(), "the-answer")


main()
