"""Cases from the field about streams, by their names (S1 S4 S5 S6 S7), in every dialect and on the routes that they name."""
from harness import *

HI = [{"role": "user", "content": "hi"}]
# Settings and fakes of the dialects, and a model whose name leads to a case of the fake.
DIALECTS = {
    "openai": ("openai", lambda u: {"OPENAI_BASE_URL": u + "/v1", "OPENAI_API_KEY": "k"}),
    "anthropic": ("anthropic", lambda u: {"ANTHROPIC_BASE_URL": u, "ANTHROPIC_API_KEY": "k"}),
    "google": ("google", lambda u: {"GOOGLE_GEMINI_BASE_URL": u, "GOOGLE_API_KEY": "k"}),
    "minimax": ("minimax", lambda u: {"MINIMAX_API_URL": u + "/v1/text/chatcompletion_v2", "MINIMAX_API_KEY": "k"}),
    "hf_api": ("huggingface", lambda u: {"HF_INFERENCE_URL": u + "/v1", "HF_API_TOKEN": "k"}),
}


def over(dialect, f, **more):
    """A server whose own model only fails, so that what a named model does is seen."""
    return Server(script=[{"when": "*", "pieces": [{"error": "server"}]}], PROVIDER_RETRIES="0", PROVIDER_BREAKER_FAILURES="0",
                  **DIALECTS[dialect][1](f.url), **more)


def completions(s, model, **more):
    return s.post("/v1/chat/completions", {"model": model, "messages": HI, **more}, timeout=30)


def messages(s, model, **more):
    return s.post("/v1/messages", {"model": model, "max_tokens": 100, "messages": HI, **more}, timeout=30)


def responses(s, model, **more):
    return s.post("/v1/responses", {"model": model, "input": "hi", **more}, timeout=30)


def datas(r):
    return [json.loads(line[6:]) for line in r.text.splitlines() if line.startswith("data: {")]


def chat_text(r):
    return "".join(x["delta"].get("content") or "" for c in datas(r) for x in c.get("choices", []))


def finishes(r):
    return [x["finish_reason"] for c in datas(r) for x in c.get("choices", []) if x.get("finish_reason")]


def message_text(r):
    return "".join(e["delta"].get("text", "") for e in datas(r) if e["type"] == "content_block_delta")


@case("S1: every kind of line end, data over several lines, a mark in front, byte for byte")
def s1(t):
    for dialect, (fake, _) in DIALECTS.items():
        with Fake(fake) as f, over(dialect, f) as s:
            for model in ("crlf", "cr", "bom"):
                want = "hé € 😀" if dialect == "anthropic" else "hé"
                r = completions(s, f"{dialect}/{model}", stream=True)
                t.equal((dialect, model, chat_text(r), finishes(r), r.text.count("[DONE]")), (dialect, model, want, ["stop"], 1))
                r = messages(s, f"{dialect}/{model}", stream=True)
                t.equal((dialect, model, message_text(r), r.text.count("event: message_stop")), (dialect, model, want, 1))


def looks_cut(t, what, s, model):
    """Streamed: an error, and nothing that looks like an end.  Whole: 502."""
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
    r = completions(s, model, stream=True, tools=tools)
    t.equal((what, [c for c in datas(r) if "error" in c][0]["error"]["code"], finishes(r)), (what, "upstream_error", []))
    t.lacks(r.text, "[DONE]")
    r = messages(s, model, stream=True)
    t.has(r.text, "event: error")
    t.lacks(r.text, "message_stop")
    r = responses(s, model, stream=True)
    t.has(r.text, "response.failed")
    t.lacks(r.text, "response.completed")
    t.equal([(what, completions(s, model).status), (what, messages(s, model).status), (what, responses(s, model).status)],
            [(what, 502)] * 3)


@case("S4: a cut after some text is an error with no finish, streamed and whole; after a role alone the fallback answers")
def s4(t):
    cuts = {"openai": ("reset-between", "eof", "tool-cut"), "anthropic": ("reset-between", "eof", "tool-cut"),
            "google": ("reset-between", "eof"), "minimax": ("reset-between", "eof", "tool-cut"), "hf_api": ("reset-between", "eof", "tool-cut")}
    for dialect, (fake, _) in DIALECTS.items():
        with Fake(fake) as f, over(dialect, f, STREAM_RESCUE="off") as s:
            for model in cuts[dialect]:
                looks_cut(t, (dialect, model), s, f"{dialect}/{model}")
            s.post("/api/v1/model/switch", {"model_type": dialect, "model_name": "reset-between"})
            events = s.sse("q", "cut").events()
            t.equal((events[-1].type, events[-1].json()["code"]), ("error", "provider_network"))
            stored = s.get("/api/v1/sessions/cut").json()["messages"][1]
            t.equal((dialect, stored["content"], stored["metadata"]["finish_reason"]), (dialect, "abc", "error"))
    role_only = {"openai": "reset-after-role", "anthropic": "reset-after-start", "minimax": "reset-after-role", "hf_api": "reset-after-role"}
    for dialect, model in role_only.items():
        first, second = ([{"when": "*", "pieces": [text]}] for text in ("the settings' own", "from the chain"))
        with Fake(DIALECTS[dialect][0]) as f, Chain(first, second, PROVIDER_RETRIES="0", **DIALECTS[dialect][1](f.url)) as s:
            r = completions(s, f"{dialect}/{model}", stream=True)
            t.equal((dialect, chat_text(r), finishes(r)), (dialect, "from the chain", ["stop"]))


@case("S5: comments, empty events and ids reach no client, and are no broken JSON")
def s5(t):
    for dialect in ("openai", "anthropic", "minimax", "hf_api"):
        with Fake(DIALECTS[dialect][0]) as f, over(dialect, f) as s:
            for r in (completions(s, f"{dialect}/pings", stream=True), responses(s, f"{dialect}/pings", stream=True)):
                t.equal(r.status, 200)
                for line in r.text.splitlines():
                    t.true(not line or line.startswith(("event: ", ": ping")) or line == "data: [DONE]" or json.loads(line[6:]), line)
                t.lacks(r.text, "PROCESSING")
                t.has(r.text, '"ok"')


# ---- S6: silence before the first token ----

S6_ROUTES = {
    "/v1/chat/completions": ("POST", {"model": "sema", "stream": True, "messages": HI}),
    "/v1/completions": ("POST", {"model": "sema", "stream": True, "prompt": "hi"}),
    "/v1/responses": ("POST", {"model": "sema", "stream": True, "input": "hi"}),
    "/v1/messages": ("POST", {"model": "sema", "stream": True, "max_tokens": 9, "messages": HI}),
    "/v1beta/models/sema:streamGenerateContent?alt=sse": ("POST", {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}),
    "/api/chat": ("POST", {"model": "sema", "messages": HI}),
    "/api/generate": ("POST", {"model": "sema", "prompt": "hi"}),
    "/api/v1/chat/stream?message=hi&session_id=s6": ("GET", None),
    "/api/v1/chat": ("POST", {"message": "hi", "session_id": "s6-post", "stream": True}),
}
S6_ENDS = {"/v1/messages": "message_stop", "/v1/responses": "response.completed", "/api/chat": '"done":true', "/api/generate": '"done":true',
           "/v1beta": "STOP", "/api/v1": '"is_final":true'}
RELAY_CUTS_S = 60


class Relay:
    """A load balancer: passes bytes on, and cuts what sends none for 60 s."""

    def __init__(self, server):
        self.host, self.to = "127.0.0.1", (server.host, server.port)
        self.listener = socket.create_server((self.host, 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                c, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.pass_on, args=(c,), daemon=True).start()

    def pass_on(self, c):
        with c, socket.create_connection(self.to) as up:
            up.settimeout(RELAY_CUTS_S)
            threading.Thread(target=lambda: [up.sendall(x) for x in iter(lambda: c.recv(65536), b"")], daemon=True).start()
            try:
                while (data := up.recv(65536)):
                    c.sendall(data)
            except OSError:
                pass


def listen(relay, path, out):
    """The status, the bytes as text, and the seconds at which some came."""
    method, body = S6_ROUTES[path]
    with Raw(relay, timeout=100) as c:
        c.send_request(method, path, {"Content-Type": "application/json", "Accept": "text/event-stream"} if body else {},
                       json.dumps(body) if body else None)
        began, times, data = time.monotonic(), [], b""
        while not data.endswith(b"0\r\n\r\n"):
            try:
                c.more()
            except (Closed, OSError):
                break
            times.append(time.monotonic() - began)
            data, c.buffer = data + c.buffer, b""
    out[path] = (int(data.split(b" ", 2)[1]) if data else 0, data.decode("utf-8", "replace"), times)


def all_at_once(relay):
    out = {}
    threads = [threading.Thread(target=listen, args=(relay, path, out)) for path in S6_ROUTES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return out


def end_of(path):
    return next((S6_ENDS[p] for p in S6_ENDS if path.startswith(p)), "[DONE]")


@case("S6: 75 s of silence before the first token, on every streamed route, through a relay that cuts after 60 s")
def s6(t):
    def late(r):
        if r["method"] == "GET":
            return [Upstream.json(200, {"object": "list", "data": []})]
        return [75, Upstream.STREAM, Upstream.event(json.dumps({"choices": [{"index": 0, "delta": {"content": "at last"}}]})),
                Upstream.event('{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'), Upstream.event("[DONE]")]

    def refused(r):
        if r["method"] == "GET":
            return [Upstream.json(200, {"object": "list", "data": []})]
        return [12, Upstream.json(429, {"error": {"message": "limit", "code": "rate_limit_exceeded"}}, "Retry-After: 60")]

    def slow(got):
        with Upstream(late) as u, Server(**u.env(SESSION_STORE="memory:")) as s:
            got["late"] = all_at_once(Relay(s))

    def limited(got):
        with Upstream(refused) as u, Server(**u.env(SESSION_STORE="memory:")) as s:
            got["limited"] = all_at_once(Relay(s))

    def rerouted(got):
        with tempfile.TemporaryDirectory(prefix="sema-test-") as folder:
            path = os.path.join(folder, "second.jsonl")
            with open(path, "w", encoding="utf-8") as f:
                f.write(json.dumps({"when": "*", "pieces": ["at last"]}) + "\n")
            with Upstream(refused) as u, Server(**u.env(SESSION_STORE="memory:", FALLBACK_MODELS=json.dumps(["scripted/" + path]))) as s:
                got["rerouted"] = all_at_once(Relay(s))

    got, threads = {}, []
    for run in (slow, limited, rerouted):
        threads.append(threading.Thread(target=run, args=(got,)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    t.equal(set(got), {"late", "limited", "rerouted"})
    for path in S6_ROUTES:
        status, text, times = got["late"][path]
        t.equal((path, status), (path, 200), text[:300])
        t.has(text, "at last")
        t.has(text, end_of(path))
        t.true(times[0] < 16, f"{path}: the first byte after {times[0]:.1f} s")
        gaps = [b - a for a, b in zip(times, times[1:])]
        t.true(max(gaps) < 18, f"{path}: nothing for {max(gaps):.1f} s")
        t.true(times[-1] > 70, f"{path}: over after {times[-1]:.1f} s")
        if path == "/v1/messages":
            t.true(text.count("event: ping") >= 4, path)
        status, text, times = got["limited"][path]
        t.equal((path, status), (path, 200), text[:300])
        t.has(text, "error")
        t.lacks(text, end_of(path))
        t.true(11 < times[-1] < 25, f"{path}: the error after {times[-1]:.1f} s")
        status, text, times = got["rerouted"][path]
        t.equal((path, status), (path, 200), text[:300])
        t.has(text, "at last")
        t.has(text, end_of(path))


@case("S7: surrogate halves in two deltas are joined, one alone is one U+FFFD; arguments are not rewritten")
def s7(t):
    for dialect, (fake, _) in DIALECTS.items():
        with Fake(fake) as f, over(dialect, f) as s:
            t.equal((dialect, chat_text(completions(s, f"{dialect}/halves", stream=True))), (dialect, "ok \U0001f600!"))
            t.equal((dialect, message_text(messages(s, f"{dialect}/halves", stream=True))), (dialect, "ok \U0001f600!"))
            s.post("/api/v1/model/switch", {"model_type": dialect, "model_name": "halves"})
            t.equal((dialect, s.sse("q", "halves").content()), (dialect, "ok \U0001f600!"))
            t.equal(s.get("/api/v1/sessions/halves").json()["messages"][1]["content"], "ok \U0001f600!")
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
    for dialect in ("openai", "anthropic"):
        with Fake(dialect) as f, over(dialect, f) as s:
            r = completions(s, f"{dialect}/tool-escapes", stream=True, tools=tools)
            args = "".join(call["function"].get("arguments") or "" for c in datas(r) for x in c.get("choices", [])
                           for call in x["delta"].get("tool_calls", []))
            t.equal((dialect, args), (dialect, '{"t":"\\ud83d\\ude00"}'))
    with Fake("openai") as f, over("openai", f) as s:
        r = completions(s, "openai/half-alone", stream=True)
        thought = "".join(x["delta"].get("reasoning_content") or "" for c in datas(r) for x in c.get("choices", []))
        t.equal((thought, chat_text(r)), ("r\ufffd", "a\ufffd"))
        s.post("/api/v1/model/switch", {"model_type": "openai", "model_name": "half-alone"})
        t.equal(s.sse("q", "alone").content(), "[Reasoning: r\ufffd]\n\na\ufffd")
        t.equal(s.get("/api/v1/sessions/alone").status, 200)


main()
