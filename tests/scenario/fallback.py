"""Who answers when a model fails: the chain, the rescue of a stream, breakers (http-api.md 9.3, providers.md 10)."""
from harness import *


class Chain(Server):
    """A primary and a fallback, each with a script of its own."""

    def __init__(self, primary, fallback, **env):
        folder = tempfile.mkdtemp(prefix="sema-test-")
        path = os.path.join(folder, "second.jsonl")
        with open(path, "w", encoding="utf-8") as f:
            for line in fallback:
                f.write(json.dumps(line) + "\n")
        super().__init__(script=primary, folder=folder, FALLBACK_MODELS=json.dumps(["scripted/" + path]), **env)
        self.own_folder = True
        self.first, self.second = os.path.join(folder, "script.jsonl"), path


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
