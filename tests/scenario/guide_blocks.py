"""The guide's configuration blocks and curl lines for Google AI Studio, and those that mix backends, against the fakes."""
from harness import *

GOOGLE, MINIMAX = "your_google_api_key", "your_minimax_api_key"


def google(f, model="gemma-2-9b-it", **more):
    return {"MODEL_TYPE": "google", "MODEL_NAME": model, "GOOGLE_API_KEY": GOOGLE, "GOOGLE_GEMINI_BASE_URL": f.url, **more}


def asked(f):
    return [r for r in f.requests() if r["method"] == "POST"]


def quiet(t, *servers):
    """No key in a log or on the terminal."""
    for s in servers:
        for key in (GOOGLE, MINIMAX):
            t.lacks(s.log_text() + s.errors(), key)


@case("Gemma via Google AI Studio: the curl line as a POST, a stream and on a WebSocket")
def gemma(t):
    text = "Explain quantum computing in simple terms"
    with Fake("google", "--key", GOOGLE) as f, Server(**google(f, SYSTEM_PROMPT="Be kind.")) as s:
        r = s.chat(text, "gemma-test", temperature=0.7)
        t.equal(r.status, 200, r.text)
        t.equal((r.json()["message"], r.json()["model_name"]), ("Be kind.\n\n" + text, "gemma-2-9b-it"))
        t.equal(s.sse(text, "g2", temperature=0.7).content(), "Be kind.\n\n" + text)
        with s.websocket() as w:
            w.ask(text, "g3")
            t.equal(w.content(), "Be kind.\n\n" + text)
        for q in asked(f):
            t.equal(q["path"], "/v1beta/models/gemma-2-9b-it:streamGenerateContent?alt=sse")
            t.equal(q["headers"]["x-goog-api-key"], GOOGLE)
            t.equal(q["body"]["generationConfig"]["temperature"], 0.7)
            t.true("systemInstruction" not in q["body"], "a Gemma has none")
        quiet(t, s)


@case("the models that the guide lists, from a .env file, with the address in each of its forms")
def listed(t):
    for model in ("gemma-2-2b-it", "gemma-2-27b-it", "gemini-1.5-flash", "gemini-1.5-pro"):
        with Fake("google", "--key", GOOGLE) as f, tempfile.TemporaryDirectory(prefix="sema-test-") as folder:
            end = {"gemma-2-27b-it": "/", "gemini-1.5-flash": "/v1beta", "gemini-1.5-pro": "/v1/"}.get(model, "")
            with open(os.path.join(folder, ".env"), "w", encoding="utf-8") as env:
                env.write(f"MODEL_TYPE=google\nMODEL_NAME={model}\nGOOGLE_API_KEY={GOOGLE}\nGOOGLE_GEMINI_BASE_URL={f.url}{end}\n")
            with Server(folder=folder, unset=("MODEL_TYPE", "MODEL_NAME"), SYSTEM_PROMPT="") as s:
                t.equal(s.chat("How are you?").json()["message"], "How are you?", model)
                quiet(t, s)


@case("a model that is gone: the start goes on, the first request says it")
def retired(t):
    with Fake("google", "--retired") as f, Server(**google(f, "gemini-1.5-pro")) as s:
        t.has(s.log_text(), "gemini-2.5-pro")  # the warning names those that are there
        r = s.chat("hello")
        t.equal((r.status, r.code), (502, "provider_model_not_found"))
        t.equal(len(asked(f)), 1)
        t.true(s.alive())


@case("a key that Google refuses ends the start, by the setting's name")
def wrong_key(t):
    with Fake("google", "--key", "another") as f:
        env = {"HOST": "127.0.0.1", "PORT": "0", "SESSION_STORE": "memory:", **google(f, "gemini-2.5-flash")}
        status, out, err = run_sema("serve", env=env)
        t.equal(status, 3, err)
        t.has(err, "GOOGLE_API_KEY")
        t.lacks(out + err, GOOGLE)


@case("the research setup: Gemini first, MiniMax for reasoning; and the switch there and back")
def research(t):
    question = "Solve this math problem: 2x + 5 = 15"
    with Fake("google") as g, Fake("minimax") as m, Server(
            **google(g, "gemini-1.5-pro", SYSTEM_PROMPT=""), REASONING_MODEL_TYPE="minimax", REASONING_MODEL_NAME="MiniMax-M1",
            MINIMAX_API_KEY=MINIMAX, MINIMAX_API_URL=m.url + "/v1/text/chatcompletion_v2",
            MINIMAX_MODEL_VERSION="abab6.5s-chat") as s:
        t.equal(s.chat(question).json()["model_name"], "gemini-1.5-pro")
        a = s.chat(question, "r", reasoning=True).json()
        t.equal(a["model_name"], "MiniMax-M1")
        t.true(a["message"].startswith("[Reasoning: I need to solve for x."), a["message"])
        for kind, name in (("minimax", "MiniMax-M1"), ("google", "gemini-1.5-flash")):
            r = s.post("/api/v1/model/switch", {"model_type": kind, "model_name": name})
            t.equal(r.status, 200, r.text)
            t.equal(s.chat(question, kind).json()["model_name"], name)
        quiet(t, s)


@case("reasoning of a Gemini, shown and streamed")
def reasoning(t):
    with Fake("google") as f, Server(**google(f, "reasoning")) as s:
        t.equal(s.chat("x", reasoning=True).json()["message"], "[Reasoning: Think]\n\n42")
        t.equal(s.sse("x", "q").content(), "[Reasoning: Think]\n\n42")
        t.equal(asked(f)[0]["body"]["generationConfig"]["thinkingConfig"], {"includeThoughts": True, "thinkingLevel": "MEDIUM"})
        s.chat("again", "q")
        t.lacks(json.dumps(asked(f)[-1]["body"]), "Think")


@case("images go up as data; an address is refused")
def images(t):
    with Fake("google") as f, Server(**google(f, "gemini-2.5-flash")) as s:
        r = s.chat("What is this?", images=["data:image/png;base64,iVBORw0KGgo="])
        t.equal(r.status, 200, r.text)
        t.equal(asked(f)[0]["body"]["contents"][-1]["parts"][-1],
                {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}})
        r = s.post("/v1/chat/completions", {"model": "sema", "messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "https://img.example/cat.png"}}]}]})
        t.equal(r.status, 400, r.text)
        t.equal(len(asked(f)), 1)


@case("three calls in three chunks: three indices, three ids, and their results in order")
def parallel_calls(t):
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}]
    talk = [{"role": "user", "content": "The weather of Oslo, Rome and Lima?"}]
    with Fake("google") as f, Server(**google(f, "three-chunks")) as s:
        r = s.post("/v1/chat/completions", {"model": "three-chunks", "messages": talk, "tools": tools, "stream": True})
        t.equal(r.status, 200, r.text)
        chunks = [json.loads(line[6:]) for line in r.text.splitlines() if line.startswith("data: {")]
        calls = {}
        for c in (call for x in chunks for choice in x["choices"] for call in choice["delta"].get("tool_calls", [])):
            at = calls.setdefault(c["index"], {"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
            at["id"] += c.get("id") or ""
            at["function"]["name"] += c["function"].get("name") or ""
            at["function"]["arguments"] += c["function"].get("arguments") or ""
        t.equal(sorted(calls), [0, 1, 2])
        t.equal([json.loads(calls[i]["function"]["arguments"])["city"] for i in range(3)], ["Oslo", "Rome", "Lima"])
        t.equal(len({c["id"] for c in calls.values()}), 3)
        t.equal([x["choices"][0]["finish_reason"] for x in chunks if x["choices"] and x["choices"][0]["finish_reason"]], ["tool_calls"])
        talk.append({"role": "assistant", "content": None, "tool_calls": [calls[i] for i in range(3)]})
        talk += [{"role": "tool", "tool_call_id": calls[i]["id"], "content": f"of {i}"} for i in (2, 0, 1)]
        r = s.post("/v1/chat/completions", {"model": "three-chunks", "messages": talk, "tools": tools})
        t.equal(r.status, 200, r.text)
        t.equal(r.json()["choices"][0]["message"]["content"], '[["of 0", "of 1", "of 2"]]')
        model = asked(f)[-1]["body"]["contents"][1]
        t.equal([p.get("thoughtSignature") for p in model["parts"]], ["sig-T2", None, None])


@case("faults: blocked input, a filter, a limit with its wait, none of it in Google's words")
def faults(t):
    for model, status, code in (("blocked", 422, "provider_content_filter"), ("per-day", 503, "provider_quota"),
                                ("per-minute", 503, "provider_rate_limit"), ("status-403", 502, "provider_auth"),
                                ("eof", 502, "provider_server"), ("error-json-200", 503, "provider_overloaded")):
        with Fake("google") as f, Server(**google(f, model, PROVIDER_RETRIES=0)) as s:
            r = s.chat("hello")
            t.equal((r.status, r.code), (status, code), model)
            if model == "per-minute":
                t.equal(r.header("Retry-After"), "37")
            t.lacks(r.text, "You exceeded")
            quiet(t, s)
    with Fake("google") as f, Server(**google(f, "safety")) as s:
        a = s.chat("hello").json()
        t.equal((a["message"], a["finish_reason"]), ("a", "content_filter"))


main()
