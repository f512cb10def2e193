"""The anthropic backend in the whole program, over a strict fake: every way of /api/v1 to ask, reasoning, faults, keys."""
from harness import *

KEY = "sk-ant-of-the-server-1234"


def settings(f, model="claude-opus-5-5", **more):
    return {"MODEL_TYPE": "anthropic", "MODEL_NAME": model, "ANTHROPIC_BASE_URL": f.url, "ANTHROPIC_API_KEY": KEY, **more}


def no_key(t, s, f):
    for text in (s.log_text(), s.errors()):
        t.true(KEY not in text, "the key stays out of the log")


@case("a POST, a stream and a WebSocket give the same answer")
def three_ways(t):
    with Fake("anthropic", "--key", KEY) as f, Server(**settings(f)) as s:
        a = s.chat("How are you?", "p")
        t.equal((a.status, a.json()["message"]), (200, "How are you?"))
        t.equal(s.sse("How are you?", "q").content(), "How are you?")
        with s.websocket() as w:
            w.ask("How are you?", "r")
            t.equal(w.content(), "How are you?")
        sent = f.requests("/v1/messages")
        t.equal(len(sent), 3)
        for r in sent:
            t.equal((r["headers"]["x-api-key"], r["headers"]["anthropic-version"]), (KEY, "2023-06-01"))
            t.true("temperature" not in r["body"] and "top_k" not in r["body"], "a model that takes no sampling gets none")
        no_key(t, s, f)


@case("the conversation goes up, the system prompt beside it")
def conversation(t):
    with Fake("anthropic") as f, Server(**settings(f, "claude-sonnet-4-5", SYSTEM_PROMPT="Be kind.")) as s:
        s.chat("One", "s")
        s.chat("Two", "s")
        body = f.requests("/v1/messages")[-1]["body"]
        t.has(body["system"], "Be kind.")
        t.equal([(m["role"], m["content"]) for m in body["messages"]], [("user", "One"), ("assistant", "One"), ("user", "Two")])
        t.equal(body["temperature"], 0.7)
        t.true("top_k" not in body, "TOP_K is no setting of this backend")


@case("reasoning is shown in brackets, and never goes up again")
def reasoning(t):
    with Fake("anthropic") as f, Server(**settings(f, "claude-haiku-4-5")) as s:
        a = s.chat("Why?", "s", reasoning=True)
        t.equal(a.json()["message"], "[Reasoning: Hmm.]\n\nWhy?")
        t.equal(s.sse("Why?", "q", reasoning="true").content(), "[Reasoning: Hmm.]\n\nWhy?")
        s.chat("And?", "s")
        body = f.requests("/v1/messages")[-1]["body"]
        t.true("Hmm." not in json.dumps(body), "no reasoning in history")
        first = f.requests("/v1/messages")[0]["body"]
        t.equal(first["thinking"], {"type": "enabled", "budget_tokens": 8192})


@case("faults become the client's codes, and show no key")
def faults(t):
    rows = [("status-401", 502, "provider_auth"), ("status-400", 422, "provider_bad_request"),
            ("context", 422, "provider_context_length"), ("balance", 503, "provider_quota"),
            ("html-200", 502, "provider_server"), ("error-first", 503, "provider_overloaded"),
            ("reset-between", 502, "provider_network")]
    with Fake("anthropic") as f:
        for model, status, code in rows:
            with Server(**settings(f, model, PROVIDER_RETRIES="0")) as s:
                a = s.chat("hi")
                t.equal((model, a.status, a.code), (model, status, code))
                t.true("sk-ant" not in a.text, "no key in an answer")
                t.true("sk-ant" not in s.log_text(), "no key in the log")


@case("a wrong key is found at the start, by its name; a token goes as bearer")
def keys(t):
    with Fake("anthropic", "--key", "another") as f:
        env = {"HOST": "127.0.0.1", "PORT": "0", "SESSION_STORE": "memory:", **settings(f)}
        status, out, err = run_sema("serve", env=env)
        t.equal((status, err.splitlines()[-1]),
                (3, "startup: MODEL_TYPE=anthropic: the provider rejected ANTHROPIC_API_KEY (401)"))
        t.true(KEY not in out + err, "the key stays out of the log")
    with Fake("anthropic", "--key", "token-5678") as f:
        with Server(**{**settings(f), "ANTHROPIC_API_KEY": None, "ANTHROPIC_AUTH_TOKEN": "token-5678"}) as s:
            t.equal(s.chat("hi").status, 200)
            sent = f.requests("/v1/messages")[0]["headers"]
            t.equal((sent.get("authorization"), sent.get("x-api-key")), ("Bearer token-5678", None))


@case("an image goes up as base64")
def images(t):
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    with Fake("anthropic") as f, Server(**settings(f)) as s:
        a = s.post("/api/v1/chat", {"message": "What?", "session_id": "s", "images": ["data:image/png;base64," + pixel]})
        t.equal(a.status, 200, a.text)
        blocks = f.requests("/v1/messages")[0]["body"]["messages"][0]["content"]
        t.has(json.dumps(blocks), '"media_type": "image/png"')


main()
