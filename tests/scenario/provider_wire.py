"""The faults of providers.md 12 that are of the wire, not of a dialect: each is played in every dialect by one upstream,
whose models are their names; one server asks them all by name.  (What the dialects say differently is in
provider_faults.py.)"""
import gzip
import itertools

from harness import *

TEXT = "hé € 😀"
WAITS = {"PROVIDER_BREAKER_FAILURES": "0", "PROVIDER_IDLE_TIMEOUT": "20", "STREAM_RESCUE": "off", "SESSION_STORE": "memory:"}
DIALECTS = ("openai", "anthropic", "google", "minimax", "hf_api")
HEAD = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


# ---- a stream of each dialect ----

def events_of(dialect, pieces):
    """(what comes first, an event for each piece, those of the finish, the terminator)"""
    def data(value, end="\n\n"):
        return f"data: {json.dumps(value)}{end}".encode()

    def named(kind, **more):
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()

    if dialect == "anthropic":
        return ([named("message_start", message={"id": "m", "type": "message", "role": "assistant", "content": [],
                                                 "usage": {"input_tokens": 9, "output_tokens": 1}}),
                 named("content_block_start", index=0, content_block={"type": "text", "text": ""})],
                [named("content_block_delta", index=0, delta={"type": "text_delta", "text": x}) for x in pieces],
                [named("content_block_stop", index=0),
                 named("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2})],
                named("message_stop"))
    if dialect == "google":
        def part(text, **more):
            return data({"candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": text}]}, **more}]}, "\r\n\r\n")
        return ([], [part(x) for x in pieces[:-1]], [], part(pieces[-1], finishReason="STOP"))
    deltas = [data({"choices": [{"index": 0, "delta": {"content": x}, "finish_reason": None}]}) for x in pieces]
    if dialect == "minimax":
        return ([], deltas, [], data({"object": "chat.completion", "base_resp": {"status_code": 0}, "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "".join(pieces)}}]}))
    return ([], deltas, [data({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})], b"data: [DONE]\n\n")


def finish_of(dialect):
    """An event that is a finish alone."""
    _, _, finish, last = events_of(dialect, ["", ""])
    return finish[-1] if finish else last


def whole(dialect, text=TEXT):
    first, texts, finish, last = events_of(dialect, list(text))
    return b"".join([*first, *texts, *finish, last])


def begun(dialect, text):
    """Some text, and no finish."""
    first, texts, _, _ = events_of(dialect, [*text, ""])
    return b"".join([*first, *texts[:len(text)]])


def busy(dialect, *headers):
    body = {"anthropic": {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}},
            "google": {"error": {"code": 503, "status": "UNAVAILABLE", "message": "busy"}}}
    return Upstream.json(503, body.get(dialect, {"error": {"message": "busy", "type": "server_error"}}), *headers)


# ---- what the models do; each gives the pieces of an answer ----

def ok(r): yield HEAD.encode() + b"Connection: close\r\n\r\n" + whole(r["dialect"])
def echo(r): yield HEAD.encode() + b"Connection: close\r\n\r\n" + whole(r["dialect"], r["said"])
def http10(r): yield b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + whole(r["dialect"])


def odd_chunks(r):
    data = whole(r["dialect"])
    yield b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD.replace("text/event-stream", "Text/Event-Stream; charset=utf-8").encode()
    yield b"TRANSFER-ENCODING: Chunked\r\n\r\n"
    yield b"%X;ext=\"a\";b\r\n%s\r\n%x\r\n%s\r\n0;last\r\nX-Trailer: t\r\nX-More: u\r\n\r\n" % (40, data[:40], len(data) - 40, data[40:])


def in_bytes(n):
    def model(r):
        data = whole(r["dialect"])
        yield HEAD.encode() + b"Connection: close\r\n\r\n"
        for i in range(0, len(data), n):
            yield data[i:i + n]
    return model


def lines(end, mark=b""):
    def model(r):
        yield HEAD.encode() + b"Connection: close\r\n\r\n"
        yield mark + whole(r["dialect"]).replace(b"\r\n", b"\n").replace(b"\n", end)
    return model


def no_space(r): yield HEAD.encode() + b"Connection: close\r\n\r\n" + whole(r["dialect"]).replace(b"data: ", b"data:")


def many_lines(r):  # data over several lines, cut at the commas between members
    yield HEAD.encode() + b"Connection: close\r\n\r\n" + whole(r["dialect"]).replace(b', "', b',\ndata: "')


def odd_blocks(r):  # before the first token, and between
    noise = b": PROCESSING\n\ndata:\n\ndata: \n\nevent: keepalive\n\nid: 7\nretry: 1000\n\nwhat: ever\n\n"
    first, texts, finish, last = events_of(r["dialect"], list(TEXT))
    yield HEAD.encode() + b"Connection: close\r\n\r\n" + noise
    yield noise.join([*first, *texts, *finish, last])


def two_finishes(r):
    data = whole(r["dialect"])
    extra = finish_of(r["dialect"])
    at = data.rindex(b"event: message_stop") if r["dialect"] == "anthropic" else \
        data.index(b"data: [DONE]") if b"[DONE]" in data else len(data)
    yield HEAD.encode() + b"Connection: close\r\n\r\n" + data[:at] + extra + data[at:]


def late(r):
    yield 0.4
    yield from ok(r)


def large(r):
    first, texts, finish, last = events_of(r["dialect"], ["y" * 65536] * 64)
    yield HEAD.encode() + b"Connection: close\r\n\r\n"
    yield from [*first, *texts, *finish, last]


def no_newline(r): yield HEAD.encode() + b"Connection: close\r\n\r\n" + whole(r["dialect"]).rstrip(b"\r\n")


def reset_after_finish(r):
    yield HEAD.encode() + b"Connection: close\r\n\r\n" + whole(r["dialect"])
    Upstream.reset(r)


def gzipped(r):
    body = gzip.compress(whole(r["dialect"]))
    yield HEAD.encode() + b"Content-Encoding: gzip\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body


def endless(r):
    first, texts, _, _ = events_of(r["dialect"], ["x" * 262144, ""])
    yield HEAD.encode() + b"Connection: close\r\n\r\n" + b"".join(first)
    while True:
        yield texts[0]


def twice_busy(r): yield from ok(r) if r["nth"] > 2 else [busy(r["dialect"], "retry-after-ms: 20")]
def always_busy(r): yield busy(r["dialect"], "retry-after-ms: 10")
def back_off(r): yield busy(r["dialect"], "retry-after-ms: 8000")


def cut_after_text(r):
    yield HEAD.encode() + b"Connection: close\r\n\r\n" + begun(r["dialect"], "some")
    Upstream.reset(r)


# The moments at which a client may leave.

def never(r): yield 30
def headed(r): yield from [HEAD.encode() + b"Connection: close\r\n\r\n", 30]
def texted(r): yield from [HEAD.encode() + b"Connection: close\r\n\r\n" + begun(r["dialect"], "ab"), 30]
def inside_event(r): yield from [HEAD.encode() + b"Connection: close\r\n\r\n" + begun(r["dialect"], "ab") + b'data: {"ch', 30]


MODELS = {
    "ok": ok, "echo": echo, "http10": http10, "odd-chunks": odd_chunks, "bytes-1": in_bytes(1), "bytes-2": in_bytes(2),
    "bytes-3": in_bytes(3), "crlf": lines(b"\r\n"), "cr": lines(b"\r"), "lf": lines(b"\n"),
    "bom": lines(b"\n", b"\xef\xbb\xbf"), "no-space": no_space, "many-lines": many_lines, "odd-blocks": odd_blocks,
    "late": late, "large": large, "two-finishes": two_finishes, "no-newline": no_newline, "reset-after-finish": reset_after_finish, "gzipped": gzipped,
    "endless": endless, "twice-busy": twice_busy, "always-busy": always_busy, "back-off": back_off,
    "cut-after-text": cut_after_text, "never": never, "headed": headed, "texted": texted, "inside-event": inside_event,
}
HARMLESS = ["ok", "http10", "odd-chunks", "bytes-1", "bytes-2", "bytes-3", "crlf", "cr", "lf", "bom", "no-space", "many-lines",
            "odd-blocks", "late", "two-finishes", "no-newline", "reset-after-finish"]


class Wire(Upstream):
    """All dialects at one address."""

    def __init__(self):
        super().__init__(self.play)
        self.root = self.url[:-3]
        self.counts = {}

    def env(self, **more):
        return {"OPENAI_BASE_URL": self.root + "/v1", "OPENAI_API_KEY": "k", "ANTHROPIC_BASE_URL": self.root, "ANTHROPIC_API_KEY": "k",
                "GOOGLE_GEMINI_BASE_URL": self.root, "GOOGLE_API_KEY": "k", "MINIMAX_API_KEY": "k", "HF_API_TOKEN": "k",
                "MINIMAX_API_URL": self.root + "/v1/text/chatcompletion_v2", "HF_INFERENCE_URL": self.root + "/hf/v1", **WAITS, **more}

    def play(self, r):
        if r["method"] == "GET":
            return [self.json(200, {"object": "list", "data": [], "models": []})]
        path, body = r["path"].split("?")[0], r["body"]
        found = re.fullmatch(r"/v1beta/models/(.*):streamGenerateContent", path)
        r["dialect"] = {"/v1/chat/completions": "openai", "/v1/messages": "anthropic", "/hf/v1/chat/completions": "hf_api",
                        "/v1/text/chatcompletion_v2": "minimax"}.get(path, "google")
        r["model"] = found[1] if found else body["model"]
        said = body["contents"][-1]["parts"][-1]["text"] if found else body["messages"][-1]["content"]
        r["said"] = said if isinstance(said, str) else said[-1]["text"]
        key = (r["dialect"], r["model"])
        r["nth"] = self.counts[key] = self.counts.get(key, 0) + 1
        return MODELS[r["model"]](r)

    def calls(self, dialect, model):
        return self.counts.get((dialect, model), 0)


SAYS_FIRST = {"when": "*", "pieces": ["the settings' own model"]}
SAYS_CHAIN = {"when": "*", "pieces": ["from the chain"]}


def chain(answer, **more):
    """The settings' own model: it fails, or says `answer`."""
    return {"script": [{"when": "*", "pieces": [answer or {"error": "server"}]}], "PROVIDER_RETRIES": "0", **more}


def ask(s, dialect, model, text="q", timeout=30, **more):
    return s.post("/v1/chat/completions", {"model": f"{dialect}/{model}", "messages": [{"role": "user", "content": text}], **more},
                  timeout=timeout)


def text_of(r):
    return "".join(choice["delta"].get("content") or "" for line in r.text.splitlines() if line.startswith("data: {")
                   for choice in json.loads(line[6:]).get("choices", []))


def error_of(r):
    found = [json.loads(line[6:]) for line in r.text.splitlines() if line.startswith('data: {"error"')]
    return found[0]["error"] if found else None


for _dialect in DIALECTS:
    @case(f"{_dialect}: odd bytes and endings are whole answers, streamed and not")
    def harmless(t, dialect=_dialect):
        with Wire() as u, Server(**chain(None), **u.env()) as s:
            for model in HARMLESS:
                r = ask(s, dialect, model)
                t.equal((model, r.status, r.status == 200 and r.json()["choices"][0]["message"]["content"]), (model, 200, TEXT), r.text)
                r = ask(s, dialect, model, stream=True)
                t.equal((model, text_of(r), error_of(r)), (model, TEXT, None))
                t.equal((model, r.text.count('"finish_reason":"stop"'), r.text.count("[DONE]")), (model, 1, 1))
            for stream in (False, True):
                r = ask(s, dialect, "large", stream=stream)
                said = text_of(r) if stream else r.json()["choices"][0]["message"]["content"]
                t.true(said == "y" * (4 << 20), f"4 MiB: {len(said)}")

    @case(f"{_dialect}: an encoded body is refused, an answer over its bound is ended")
    def bounded(t, dialect=_dialect):
        with Wire() as u, Server(**chain(None), **u.env()) as s:
            for stream in (False, True):
                r = ask(s, dialect, "gzipped", stream=stream)
                t.equal((r.status, r.json()["error"]["code"]), (502, "upstream_error"), r.text)
            before = s.memory_kb()
            r = ask(s, dialect, "endless", timeout=60)
            t.equal((r.status, r.json()["error"]["code"]), (502, "upstream_error"), r.text[:300])
            wait_until(lambda: u.left >= 1, 2, "the end of the call")
            t.grew(s.memory_kb() - before, 300_000)

    @case(f"{_dialect}: busy twice is retried, busy for good is the fallback's, text that went out is nobody's")
    def retried(t, dialect=_dialect):
        with Wire() as u, Chain([SAYS_FIRST], [SAYS_CHAIN], PROVIDER_RETRIES="2", **u.env()) as s:
            for stream in (False, True):
                u.counts.clear()
                r = ask(s, dialect, "twice-busy", stream=stream)
                t.equal((r.status, text_of(r) if stream else r.json()["choices"][0]["message"]["content"]), (200, TEXT))
                t.equal(u.calls(dialect, "twice-busy"), 3)
                r = ask(s, dialect, "always-busy", stream=stream)
                t.equal((r.status, text_of(r) if stream else r.json()["choices"][0]["message"]["content"]), (200, "from the chain"))
                t.equal(u.calls(dialect, "always-busy"), 3)
            u.counts.clear()
            r = ask(s, dialect, "cut-after-text", stream=True)
            t.equal((text_of(r), error_of(r)["code"], r.text.count("[DONE]")), ("some", "upstream_error", 0), r.text)
            t.equal(u.calls(dialect, "cut-after-text"), 1)
            r = ask(s, dialect, "cut-after-text")  # nothing went out: the next may answer
            t.equal((r.json()["choices"][0]["message"]["content"], u.calls(dialect, "cut-after-text")), ("from the chain", 1 + 3))

    @case(f"{_dialect}: a client that leaves closes the upstream within a second, at every moment")
    def leaves(t, dialect=_dialect):
        routes = (("/v1/chat/completions", {"messages": [{"role": "user", "content": "q"}]}),
                  ("/v1/messages", {"max_tokens": 9, "messages": [{"role": "user", "content": "q"}]}))
        with Wire() as u, Server(**chain(None, PROVIDER_RETRIES="2"), **u.env()) as s:
            gone = 0
            for (path, body), stream, model in itertools.product(routes, (False, True), ("never", "headed", "texted", "inside-event",
                                                                                      "back-off")):
                before = u.calls(dialect, model)
                c = s.connect()
                c.send_request("POST", path, {"Content-Type": "application/json"},
                               json.dumps({"model": f"{dialect}/{model}", "stream": stream, **body}))
                wait_until(lambda: u.calls(dialect, model) == before + 1, 3, "the call: " + model)
                time.sleep(0.08)
                c.close() if stream else c.reset()
                if model == "back-off":
                    continue
                gone += 1
                wait_until(lambda: u.left == gone, 1, f"the end of the call: {path}, {model}, {stream}")
            calls = len(u.requests)
            wait_until(lambda: s.metrics()["sema_active_streams"] == 0, 2, "the streams' ends")
            time.sleep(0.3)
            t.equal(len(u.requests), calls)
            cancelled = sum(v for k, v in s.metrics().items() if k.startswith("sema_generations_total") and 'outcome="cancelled"' in k)
            t.equal(cancelled, 20)


@case("fifty at once in all dialects: each gets its own answer")
def many(t):
    with Wire() as u, Server(**chain(None), **u.env()) as s:
        got = {}

        def one(i, dialect):
            r = ask(s, dialect, "echo", f"number {i} of fifty ü", stream=i % 2 == 0)
            got[i] = text_of(r) if i % 2 == 0 else r.json()["choices"][0]["message"]["content"]
        threads = [threading.Thread(target=one, args=(i, DIALECTS[i % 5])) for i in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        t.equal(got, {i: f"number {i} of fifty ü" for i in range(50)})


main()
