"""POST /api/v1/model/switch: the exchange, its refusals, and requests that run across it; what there is and how it fares."""
from harness import *

TYPES = "'local', 'hf_api', 'openai', 'anthropic', 'minimax' or 'google'"
SLOW = [{"when": "slow", "pieces": ["one ", {"text": "two ", "wait_ms": 700}, "three"]}, {"when": "*", "pieces": ["scripted"]}]


def switch(s, **body):
    return s.post("/api/v1/model/switch", body)


def ask(s, message="What can you do?", session="a"):
    return s.post("/api/v1/chat", {"message": message, "session_id": session, "temperature": 0}).json()


@case("the exchange: both models named, sessions go on with the new one, again is free")
def exchange(t):
    with Server(script=SLOW) as s:
        t.equal(ask(s)["message"], "scripted")
        got = switch(s, model_type="LOCAL", model_name="sema-guide")
        body = got.json()
        t.equal((got.status, list(body)), (200, ["success", "message", "previous", "current", "switch_time", "timestamp"]), body)
        t.equal(body["current"], {"model_type": "local", "model_name": "sema-guide"})
        t.equal(body["previous"]["model_type"], "scripted")
        t.equal(ask(s)["model_name"], "sema-guide")
        t.equal(s.get("/api/v1/sessions/a").json()["message_count"], 4)
        t.equal([(e["model_type"], e["model_name"]) for e in s.events("model_switched")], [("local", "sema-guide")])
        again = switch(s, model_name="sema-guide").json()
        t.equal((again["success"], again["switch_time"]), (True, 0))
        for route in ("/health", "/api/v1/health"):
            t.equal(s.get(route).json()["model_name"], "sema-guide")
        t.equal(s.get("/api/v1/model/info").json()["type"], "local_huggingface")


@case("a stream that runs finishes on its model")
def running(t):
    with Server(script=SLOW) as s:
        stream, text, switched = s.sse("slow", "b"), "", False
        for block in stream:
            if block.type != "chunk":
                continue
            text += block.json()["content"]
            if not switched:
                switched = True
                t.equal(switch(s, model_type="local", model_name="sema-guide").status, 200)
        t.equal(text, "one two three")
        t.equal(ask(s, session="c")["model_name"], "sema-guide")


@case("switches there and back under 200 streams: none is lost, none is mixed")
def under_load(t):
    pieces = 6

    def say(r):
        if r["method"] == "GET":
            yield Upstream.json(200, {"object": "list", "data": [{"id": "one"}, {"id": "two"}]})
            return
        mark = r["body"]["model"] + ":" + r["body"]["messages"][-1]["content"] + ";"
        yield Upstream.STREAM
        for _ in range(pieces):
            yield Upstream.event(json.dumps({"choices": [{"index": 0, "delta": {"content": mark}}]}))
            yield 0.2
        yield Upstream.event('{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}') + Upstream.event("[DONE]")

    with Upstream(say) as u, Server(MODEL_TYPE="openai", MODEL_NAME="one", OPENAI_BASE_URL=u.url, OPENAI_API_KEY="k",
                                    SYSTEM_PROMPT="", MAX_CONCURRENT_STREAMS="300") as s:
        texts, models = [None] * 200, [None] * 200

        def stream(i):
            time.sleep(i * 0.01)
            texts[i] = s.sse(f"question {i}", f"load-{i}", timeout=60).content()
            models[i] = s.get(f"/api/v1/sessions/load-{i}", timeout=60).json()["messages"][1]["metadata"]["model_name"]

        threads = [threading.Thread(target=stream, args=(i,)) for i in range(200)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(u.requests) > 40, 20, "the first streams")
        switches = 0
        while any(x.is_alive() for x in threads):
            name = ("two", "one")[switches % 2]
            got = switch(s, model_name=name)
            t.equal((got.status, got.json()["current"]["model_name"]), (200, name))
            switches += 1
            time.sleep(0.25)
        for thread in threads:
            thread.join()
        t.true(switches >= 4, f"{switches} switches")
        for i in range(200):
            t.equal(texts[i], f"{models[i]}:question {i};" * pieces)
        t.equal({"one", "two"}, set(models))
        t.equal([x["model_name"] for x in [s.get("/health").json()]], [name])


@case("refusals, each with its status, words and code; nothing changes")
def refusals(t):
    with Server(script=SLOW) as s:
        rows = [
            (dict(model_type="anthropic", model_name="x"), 400, "ANTHROPIC_API_KEY is not set", "credential_missing"),
            (dict(model_type="openai", model_name="x"), 400, "OPENAI_API_KEY is not set", "credential_missing"),
            (dict(model_type="local", model_name="a/b"), 404, "Model not found; get it with: sema pull a/b", "model_not_found"),
        ]
        for body, status, detail, code in rows:
            got = switch(s, **body)
            t.equal((got.status, got.json()["detail"], got.json()["code"]), (status, detail, code))
        got = switch(s, model_type="nonsense", model_name="x")
        t.equal((got.status, got.json()["detail"][0]["msg"]), (422, "Input should be " + TYPES))
        got = switch(s, model_type="local", model_name="sema-guide", device="cuda")
        t.equal((got.status, got.json()["detail"][0]["loc"]), (422, ["body", "device"]))
        t.equal(switch(s).json()["detail"][0]["type"], "missing")
        t.equal(ask(s)["message"], "scripted")


@case("a broken model directory is 422 with file and reason, and the old model serves on")
def broken(t):
    with tempfile.TemporaryDirectory() as folder:
        os.makedirs(os.path.join(folder, "bad"))
        for name, text in (("config.json", '{"model_type":"llama"}'), ("model.safetensors", "short"), ("tokenizer.json", "{}")):
            with open(os.path.join(folder, "bad", name), "w", encoding="utf-8") as f:
                f.write(text)
        with Server(script=SLOW, MODEL_PATH=folder) as s:
            got = switch(s, model_type="local", model_name="bad")
            t.equal((got.status, got.json()["code"]), (422, "model_unusable"), got.body)
            t.true(got.json()["detail"].startswith("Model cannot be loaded"), got.body)
            t.equal(ask(s)["message"], "scripted")


@case("a file that cannot be read is the model's fault")
def unreadable(t):
    with tempfile.TemporaryDirectory() as folder:
        os.makedirs(os.path.join(folder, "pipe"))
        whole = os.path.join(os.environ["SEMA_SOURCE_ROOT"], "model", "sema-guide")
        for name in os.listdir(whole):
            os.symlink(os.path.join(whole, name), os.path.join(folder, "pipe", name))
        os.remove(os.path.join(folder, "pipe", "tokenizer.json"))
        os.mkfifo(os.path.join(folder, "pipe", "tokenizer.json"))
        with Server(script=SLOW, MODEL_PATH=folder) as s:
            got = switch(s, model_type="local", model_name="pipe")
            t.equal((got.status, got.json()["code"]), (422, "model_unusable"), got.body)
            t.has(got.json()["detail"], "not a regular file")


@case("ENABLE_MODEL_SWITCH=false: 403")
def disabled(t):
    with Server(script=SLOW, ENABLE_MODEL_SWITCH="false") as s:
        got = switch(s, model_type="local", model_name="sema-guide")
        t.equal((got.status, got.json()["detail"], got.json()["code"]), (403, "Model switching is disabled", "switch_disabled"))


@case("a bucket of its own: ten a minute")
def limited(t):
    with Server(script=SLOW, RATE_LIMIT="1000") as s:
        states = [switch(s, model_type="local", model_name="a/b").status for _ in range(11)]
        t.equal(states, [404] * 10 + [429])
        t.equal(ask(s)["message"], "scripted")


@case("backends tell state, breaker and counts; models tell what may be named")
def listed(t):
    with Server(script=SLOW) as s:
        ask(s)
        row = s.get("/api/v1/backends").json()["backends"][0]
        t.equal(list(row), ["type", "name", "role", "state", "breaker", "last_error", "requests", "failures", "first_token_ms",
                            "last_used"])
        t.equal((row["type"], row["role"], row["state"], row["breaker"], row["last_error"], row["requests"], row["failures"]),
                ("scripted", "primary", "ready", "closed", None, 1, 0))
        model = s.get("/api/v1/models").json()["models"][0]
        t.equal((list(model), model["type"], model["ready"]), (["id", "type", "name", "context_length", "ready"], "scripted", True))


@case("credentials are needed when they are configured")
def protected(t):
    with Server(script=SLOW, API_KEY="secret-key-1") as s:
        t.equal(switch(s, model_name="x").status, 401)
        t.equal(s.get("/api/v1/backends").status, 401)


main()
