"""Every fault of a provider (providers.md 12) through the whole program, for each dialect whose fake plays it: the status
and code of a POST, the last event of a stream, and what of it is kept.  One server a dialect; the model is switched, and
its name tells the fake what to do."""
from harness import *

KEY = "sk-of-the-server-0123456789"
WAITS = {"PROVIDER_RETRIES": "0", "PROVIDER_BREAKER_FAILURES": "0", "PROVIDER_IDLE_TIMEOUT": "0.7",
         "PROVIDER_CONNECT_TIMEOUT": "1", "PROVIDER_TOTAL_TIMEOUT": "10"}
DIALECTS = {
    "openai": lambda url: {"OPENAI_BASE_URL": url + "/v1", "OPENAI_API_KEY": KEY},
    "anthropic": lambda url: {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": KEY},
    "minimax": lambda url: {"MINIMAX_API_URL": url + "/v1/text/chatcompletion_v2", "MINIMAX_API_KEY": KEY},
    "hf_api": lambda url: {"HF_INFERENCE_URL": url + "/v1", "HF_API_TOKEN": KEY},
    "google": lambda url: {"GOOGLE_GEMINI_BASE_URL": url, "GOOGLE_API_KEY": KEY},
}
FAKES = {"hf_api": "huggingface"}

# What the client of /api/v1 gets for each class (http-api.md 13).
STATUS = {"bad_request": 422, "context_length": 422, "content_filter": 422, "rate_limit": 503, "overloaded": 503,
          "quota": 503, "timeout": 504}

EVERYWHERE = {
    "status-400": "bad_request", "status-404": "model_not_found", "status-408": "timeout", "status-413": "bad_request",
    "status-422": "bad_request", "status-429": "rate_limit", "status-500": "server", "status-503": "overloaded",
    "status-504": "server", "status-529": "overloaded", "status-403": "auth",
    "html-502": "server", "html-200": "server", "redirect": "server", "gzip": "server", "context": "context_length",
    "empty-stream": "server", "never": "timeout", "reset-first": "network",
}
BEFORE_TEXT = {
    "openai": {"status-409": "server", "text-500": "server", "redirect-host": "server", "error-first": "rate_limit",
               "error-json-200": "server", "error-text-200": "server", "flat-error-200": "bad_request", "base-resp": "server",
               "json-no-choices": "server", "json-null-choices": "server", "only-done": "server", "error-line": "server",
               "silence-first": "timeout", "policy": "content_filter",
               "vllm-context": "context_length", "llama-context": "context_length", "llama-loading": "overloaded",
               "tgi-error": "context_length", "subscription": "rate_limit", "long-wait": "rate_limit",
               "broken-event-no-finish": "server"},
    "anthropic": {"status-409": "server", "text-500": "server", "redirect-host": "server", "error-first": "overloaded",
                  "error-rate-first": "rate_limit", "error-json-200": "server", "json-no-content": "server",
                  "only-stop": "server", "silence-first": "timeout", "context-sum": "context_length",
                  "long-wait": "rate_limit", "broken-event-no-finish": "server"},
    "google": {"error-first": "rate_limit", "error-json-200": "overloaded", "json-nothing": "server",
               "json-error-array": "overloaded", "blocked": "content_filter", "json-blocked": "content_filter",
               "per-minute": "rate_limit"},
    "minimax": {"base-resp": "server", "code-1000": "server", "code-1001": "timeout", "code-1002": "rate_limit",
                "code-1026": "content_filter", "code-1039": "rate_limit",
                "code-1041": "rate_limit", "code-2013": "bad_request", "code-2045": "rate_limit",
                "context-window": "context_length", "new-529": "overloaded", "new-context": "context_length",
                "only-done": "server", "silence-first": "timeout"},
    "hf_api": {"error-message": "rate_limit", "error-detail": "bad_request", "error-plain": "bad_request", "gated": "auth",
               "not-supported": "model_not_found", "tgi-error": "context_length", "error-first": "rate_limit",
               "error-json-200": "server", "only-done": "server", "silence-first": "timeout", "json-no-choices": "server"},
}
# After some text: the class, and the text that came before.
AFTER_TEXT = {
    "openai": {"error-mid-stream": ("server", "some"), "silence": ("timeout", "some"), "reset-between": ("network", None),
               "reset-inside": ("network", None), "eof": ("server", None), "eof-hard": ("network", None)},
    "anthropic": {"error-mid-stream": ("overloaded", None), "silence": ("timeout", None), "reset-between": ("network", None),
                  "reset-inside": ("network", None), "eof": ("server", None), "eof-hard": ("network", None)},
    "google": {"error-mid-stream": ("overloaded", "some"), "error-bare": ("overloaded", "some"), "silence": ("timeout", "some"),
               "reset-between": ("network", "abc"), "reset-inside": ("network", "a"), "eof": ("server", "abc")},
    "minimax": {"error-mid-stream": ("server", "some"), "mid-1000": ("server", "some"), "silence": ("timeout", "some"),
                "reset-between": ("network", None), "reset-inside": ("network", None), "eof": ("server", None)},
    "hf_api": {"error-mid-stream": ("server", "some"), "silence": ("timeout", "some"), "reset-between": ("network", None),
               "reset-inside": ("network", None), "eof": ("server", None)},
}
# Odd, but whole answers.
HARMLESS = {
    "openai": {"bytes-one-by-one": None, "bytes-by-three": None, "crlf": None, "cr": None, "bom": None, "halves": None,
               "megabyte": "x" * (1 << 20), "many-deltas": "z" * 5000, "http10": None, "odd-chunks": None, "pings": None,
               "no-terminator": None, "reset-after-finish": None, "done-without-newline": None, "two-finishes": None,
               "unknown": None, "broken-event": None, "stream-as-json": None, "json-as-stream": None},
    "anthropic": {"bytes-one-by-one": None, "bytes-by-three": None, "crlf": None, "cr": None, "bom": None, "halves": None,
                  "megabyte": "x" * (1 << 20), "many-deltas": "z" * 5000, "http10": None, "odd-chunks": None, "pings": None,
                  "no-terminator": None, "reset-after-finish": None, "stop-without-newline": None, "two-finishes": None,
                  "unknown": None, "broken-event": None, "stream-as-json": None, "json-as-stream": None},
    "google": {"lf": None, "crlf": None, "cr": None, "bom": None, "halves": None, "megabyte": "x" * (1 << 20),
               "many-deltas": "z" * 5000, "reset-after-finish": "a", "silence-after-finish": "a", "text-after-finish": "ab",
               "no-blank-line": "ab", "unknown": None, "broken-event": None},
    "minimax": {"bytes-one-by-one": None, "crlf": None, "cr": None, "bom": None, "halves": None, "megabyte": "x" * (1 << 20),
                "many-deltas": "z" * 5000, "http10": None, "odd-chunks": None, "pings": None, "no-terminator": None,
                "reset-after-finish": None, "unknown": None, "broken-event": None, "closing-only": None, "growing": None},
    "hf_api": {"bytes-one-by-one": None, "crlf": None, "cr": None, "bom": None, "halves": None, "megabyte": "x" * (1 << 20),
               "many-deltas": "z" * 5000, "http10": None, "odd-chunks": None, "pings": None, "no-terminator": None,
               "reset-after-finish": None, "unknown": None, "broken-event": None, "no-space": None},
}


class Switched(Server):
    def __init__(self, dialect, f, **more):
        super().__init__(MODEL_TYPE=dialect, MODEL_NAME="hello", **{**WAITS, **DIALECTS[dialect](f.url), **more})
        self.dialect = dialect

    def to(self, model):
        for _ in range(3):
            began = time.monotonic()
            got = self.post("/api/v1/model/switch", {"model_name": model})
            if got.status == 200:
                return
            if time.monotonic() - began < float(WAITS["PROVIDER_IDLE_TIMEOUT"]):
                break  # else the fake was held up by a busy machine, longer than these settings wait
        raise Failed(f"{self.dialect}: no switch to {model}: {got}")


def refused(t, s, model, kind, text=""):
    """One POST and one stream fail with this class; what was said before is in the stream, and nowhere else."""
    s.to(model)
    what, code = f"{s.dialect}/{model}", "provider_" + kind
    a = s.chat("q", "post-" + model)
    t.equal((what, a.status, a.code), (what, STATUS.get(kind, 502), code))
    t.equal((what, s.get("/api/v1/sessions/post-" + model).status), (what, 404))
    if a.status == 503:
        t.true(int(a.header("Retry-After", "0")) >= 1, what + " says when to come again")
    events = s.sse("q", "sse-" + model).events()
    t.equal((what, [e.type for e in events if e.type != "chunk"], events[-1].json().get("code")), (what, ["error"], code))
    said = "".join(e.json()["content"] for e in events if e.type == "chunk")
    if text is None:
        t.true(said, what + " had said something")
    else:
        t.equal((what, said), (what, text))
    t.lacks(a.text + str(events), KEY)


def each(dialect, what, run, **more):
    @case(f"{dialect}: {what}")
    def one(t):
        with Fake(FAKES.get(dialect, dialect)) as f, Switched(dialect, f, **more) as s:
            run(t, s, f)
            t.lacks(s.log_text() + s.errors(), KEY)


def before_text(t, s, f):
    for model, kind in {**EVERYWHERE, **BEFORE_TEXT[s.dialect]}.items():
        refused(t, s, model, kind)


def after_text(t, s, f):
    for model, (kind, text) in AFTER_TEXT[s.dialect].items():
        refused(t, s, model, kind, text)


def harmless(t, s, f):
    for model, text in HARMLESS[s.dialect].items():
        s.to(model)
        what = f"{s.dialect}/{model}"
        a = s.chat("q", "post-" + model)
        t.equal((what, a.status), (what, 200), a.text[:300])
        said = s.sse("q", "sse-" + model).content()
        t.equal((what, said[:100], len(said)), (what, a.json()["message"][:100], len(a.json()["message"])))
        t.true(said, what + " says something")
        t.lacks(said, "\ufffd")
        if text is not None:
            t.true(said == text, what + " says what was sent")
        kept = s.get("/api/v1/sessions/sse-" + model).json()["messages"][1]["content"]
        t.true(kept == said, what + " keeps what was sent")


def redirect(t, s, f):
    """The key stays with the host that it was configured for."""
    with Upstream(lambda r: [Upstream.json(200, {})]) as other:
        def away(r):
            yield (b"HTTP/1.1 307 Temporary Redirect\r\nLocation: " + other.url.encode() +
                   b"/elsewhere\r\nContent-Length: 0\r\n\r\n")
        with Upstream(away) as first, Server(MODEL_TYPE=s.dialect, MODEL_NAME="m", wait_ready=False,
                                             **{**WAITS, **DIALECTS[s.dialect](first.url)}) as from_there:
            wait_until(lambda: first.requests, 5, "the check at the start")
            from_there.chat("q")
            t.equal(other.requests, [])


def wrong_length(t, s, f):
    """A body that is shorter than it says; a port that nobody listens on."""
    def short(r):
        if r["method"] == "GET":
            yield Upstream.json(200, {"data": [], "models": []})
        else:
            yield b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"a":'
    with Upstream(short) as up, Server(MODEL_TYPE=s.dialect, MODEL_NAME="m", **{**WAITS, **DIALECTS[s.dialect](up.url)}) as there:
        a = there.chat("q")
        t.equal((s.dialect, a.status, a.code), (s.dialect, 502, "provider_network"))
        up.__exit__()
        a = there.chat("q")
        t.equal((s.dialect, a.status, a.code), (s.dialect, 502, "provider_network"))


def endless(t, s, f):
    """A stream that never stops ends at the request's time, and holds no more than its bounds."""
    text = {"openai": {"choices": [{"index": 0, "delta": {"content": "x" * 1000}}]},
            "anthropic": {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x" * 1000}},
            "google": {"candidates": [{"content": {"role": "model", "parts": [{"text": "x" * 1000}]}}]}}
    text = text.get(s.dialect, text["openai"])

    def on(r):
        if r["method"] == "GET":
            yield Upstream.json(200, {"data": [], "models": []})
            return
        yield Upstream.STREAM
        if s.dialect == "anthropic":
            for head in ({"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant", "content": []}},
                         {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}):
                yield Upstream.event(json.dumps(head))
        event = Upstream.event(json.dumps(text))
        while True:
            yield event * 20
    with Upstream(on) as up, Server(MODEL_TYPE=s.dialect, MODEL_NAME="m", **{
            **WAITS, **DIALECTS[s.dialect](up.url), "PROVIDER_TOTAL_TIMEOUT": "2"}) as there:
        before, began = there.memory_kb(), time.monotonic()
        a = there.chat("q")
        t.true(a.status in (502, 504), a.text[:200])
        t.took(began, 0, 6)
        t.grew(there.memory_kb() - before, 80_000)
        wait_until(lambda: up.left == 1, 2, "the end of the call")
        t.equal(there.get("/health").status, 200)


def marks(t, s, f):
    """A wrong key and a used-up quota: the next request asks nobody."""
    models = {"openai": ("quota", "status-401"), "anthropic": ("balance", "status-401"), "google": ("per-day", "bad-key"),
              "minimax": ("code-1008", "code-1004"), "hf_api": ("credits", "error-text")}
    for model, kind in zip(models[s.dialect], ("quota", "auth")):
        with Switched(s.dialect, f) as one:
            one.to(model)
            for _ in range(3):
                a = one.chat("q")
                t.equal((model, a.status, a.code), (model, STATUS.get(kind, 502), "provider_" + kind))
            asked = [r for r in f.requests() if r["method"] == "POST" and model in json.dumps([r["path"], r["body"]])]
            t.equal((model, len(asked)), (model, 1))
            t.lacks(one.log_text() + one.errors(), KEY)


def many(t, s, f):
    """Fifty at once: each gets its own answer."""
    import concurrent.futures
    s.to("echo-model")
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        got = list(pool.map(lambda i: s.post("/api/v1/chat", {"message": f"number {i} of fifty", "session_id": f"many-{i}"},
                                            timeout=30), range(50)))
    t.equal([a.json().get("message") for a in got], [f"number {i} of fifty" for i in range(50)])


for name in DIALECTS:
    each(name, "faults before the first text, by status and code", before_text)
    each(name, "faults after some text end the stream with their code", after_text)
    each(name, "odd but whole answers are answers", harmless)
    each(name, "a redirect is not followed, the key stays", redirect)
    each(name, "a body shorter than it says; nobody listens", wrong_length)
    each(name, "a stream without end is ended", endless)
    each(name, "a wrong key and a used-up quota are not tried again", marks)
    each(name, "fifty at once do not mix", many)

main()
