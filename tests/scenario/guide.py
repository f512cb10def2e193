"""The configuration guide, block by block: each set of settings as environment and as .env, each curl line as a shell
runs it, the switch pair, the container and hosted-space settings, every model name, and what becomes of placeholders
that nobody filled in.  What the guide says is repeated here as far as it is a contract: settings, requests, answers.
When the guide itself is at hand (SEMA_SHARED_DATA/../guide.md, or SEMA_GUIDE), the first case sees that none of its
blocks and names is missing here, and its blocks are used with their own comments."""
import hashlib
import urllib.parse

from harness import *

ROOT = os.environ.get("SEMA_SOURCE_ROOT") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
DATA = os.environ.get("SEMA_SHARED_DATA", "")
GUIDE = os.environ.get("SEMA_GUIDE") or (DATA and os.path.join(DATA, "..", "guide.md"))
OFFLINE = {"HF_HUB_OFFLINE": "1"}

# ---- the blocks ----

CONFIGURATIONS = {
    "minimax": "MODEL_TYPE=minimax\nMODEL_NAME=MiniMax-M1\nMINIMAX_API_KEY=your_minimax_api_key\n"
               "MINIMAX_API_URL=https://api.minimax.chat/v1/text/chatcompletion_v2\nMINIMAX_MODEL_VERSION=abab6.5s-chat\n",
    "gemma local": "MODEL_TYPE=local\nMODEL_NAME=google/gemma-2b-it\nDEVICE=auto\n",
    "gemma hf": "MODEL_TYPE=hf_api\nMODEL_NAME=google/gemma-2b-it\nHF_API_TOKEN=your_hf_token\n",
    "gemma google": "MODEL_TYPE=google\nMODEL_NAME=gemma-2-9b-it\nGOOGLE_API_KEY=your_google_api_key\n",
    "free tier": "# a comment\nMODEL_TYPE=local\nMODEL_NAME=TinyLlama/TinyLlama-1.1B-Chat-v1.0\nDEVICE=cpu\nMAX_NEW_TOKENS=256\n"
                 "TEMPERATURE=0.7\n",
    "production": "MODEL_TYPE=openai\nMODEL_NAME=gpt-3.5-turbo\nOPENAI_API_KEY=your_key\n\n# a comment\n"
                  "FALLBACK_MODEL_TYPE=hf_api\nFALLBACK_MODEL_NAME=microsoft/DialoGPT-medium\nHF_API_TOKEN=your_token\n",
    "research": "# a comment\nMODEL_TYPE=google\nMODEL_NAME=gemini-1.5-pro\nGOOGLE_API_KEY=your_key\n\n# a comment\n"
                "REASONING_MODEL_TYPE=minimax\nREASONING_MODEL_NAME=MiniMax-M1\nMINIMAX_API_KEY=your_key\n",
}
SPACES = {
    "space free": "MODEL_TYPE: local\nMODEL_NAME: TinyLlama/TinyLlama-1.1B-Chat-v1.0\nDEVICE: cpu\n",
    "space api": "MODEL_TYPE: google\nMODEL_NAME: gemma-2-9b-it\nGOOGLE_API_KEY: your_secret_key\n",
}
CONTAINER = ("docker run -e MODEL_TYPE=minimax \\\n           -e MINIMAX_API_KEY=your_key \\\n"
             "           -e MINIMAX_API_URL=your_url \\\n           -p 8000:7860 \\\n           sema-chat-api\n")
CURL = {
    "minimax": 'curl -X POST "http://localhost:7860/api/v1/chat" \\\n  -H "Content-Type: application/json" \\\n  -d \'{\n'
               '    "message": "Solve this math problem: 2x + 5 = 15",\n    "session_id": "minimax-test"\n  }\'\n',
    "gemma": 'curl -X POST "http://localhost:7860/api/v1/chat" \\\n  -H "Content-Type: application/json" \\\n  -d \'{\n'
             '    "message": "Explain quantum computing in simple terms",\n    "session_id": "gemma-test",\n'
             '    "temperature": 0.7\n  }\'\n',
}
REASONED = ('{\n  "message": "[Reasoning: I need to solve for x. First, subtract 5 from both sides: 2x = 10. Then divide by 2: '
            'x = 5]\\n\\nTo solve 2x + 5 = 15:\\n1. Subtract 5 from both sides: 2x = 10\\n2. Divide by 2: x = 5\\n\\nTherefore, '
            'x = 5.",\n  "session_id": "minimax-test",\n  "model_name": "MiniMax-M1"\n}\n')
SWITCHES = ('POST /api/v1/model/switch\n{\n  "model_type": "minimax",\n  "model_name": "MiniMax-M1"\n}\n'
            'POST /api/v1/model/switch\n{\n  "model_type": "google",\n  "model_name": "gemini-1.5-flash"\n}\n')
COMMANDS = ("python examples/test_backends.py\n",
            "MODEL_TYPE=local MODEL_NAME=google/gemma-2b-it python tests/test_api.py\n"
            "MODEL_TYPE=google MODEL_NAME=gemma-2-9b-it GOOGLE_API_KEY=your_key python tests/test_api.py\n")
# A program for the earlier service's own modules; its counterparts are `sema test-backends --backend minimax` and the C
# example.  Only its fingerprint is here.
SNIPPET = "b33fb2a62aaea4fb"

# Names as the guide's lists print them: what a person who types them gets.  "runs": it is an id, and asked; "label":
# how people say it, which no provider knows.
NAMES = {
    "gemma-2-2b-it": ("google", "runs"), "gemma-2-9b-it": ("google", "runs"), "gemma-2-27b-it": ("google", "runs"),
    "gemini-1.5-flash": ("google", "runs"), "gemini-1.5-pro": ("google", "runs"),
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": ("local", "runs"), "microsoft/DialoGPT-medium": ("local", "runs"),
    "Qwen/Qwen2.5-0.5B-Instruct": ("local", "runs"),
    "MiniMax M1": ("minimax", "label"), "Claude-3 Opus": ("anthropic", "label"), "Claude-3 Haiku": ("anthropic", "label"),
    "GPT-4": ("openai", "label"), "GPT-3.5-turbo": ("openai", "label"), "Gemini-1.5-flash": ("google", "label"),
    "Gemma-2-9b-it": ("google", "label"),
    "Local models": (None, "no name"),
}
TINY = {"google/gemma-2b-it": "chat-gemma1", "TinyLlama/TinyLlama-1.1B-Chat-v1.0": "chat-llama",
        "microsoft/DialoGPT-medium": "chat-dialogpt", "Qwen/Qwen2.5-0.5B-Instruct": "chat-qwen2"}


def bare(text):
    """Without comments, blank lines and blanks at the ends of lines."""
    lines = [line.rstrip() for line in text.splitlines()]
    return "\n".join(line for line in lines if line and not line.startswith("#"))


def guide_text():
    if not os.path.isfile(GUIDE):
        return None
    with open(GUIDE, encoding="utf-8") as f:
        return f.read()


def guide_blocks():
    text = guide_text()
    return re.findall(r"^```\w*\n(.*?)^```$", text, re.M | re.S) if text else []


def as_printed(text):
    """The guide's own block with its comments, where the guide is at hand."""
    return next((b for b in guide_blocks() if bare(b) == bare(text)), text)


def settings(text, sign="="):
    return dict(line.split(sign, 1) for line in bare(text).replace(": ", ":").splitlines())


# ---- fakes and folders ----

class Providers:
    """The fakes that a configuration reaches, and the settings that lead there."""

    def __init__(self, *args):
        self.args = args

    def __enter__(self):
        self.google, self.minimax = Fake("google", *self.args), Fake("minimax", *self.args)
        self.openai, self.hugging = Fake("openai", *self.args), Fake("huggingface", *self.args)
        for f in (self.google, self.minimax, self.openai, self.hugging):
            f.__enter__()
        self.env = {"GOOGLE_GEMINI_BASE_URL": self.google.url, "OPENAI_BASE_URL": self.openai.url + "/v1",
                    "MINIMAX_API_URL": self.minimax.url + "/v1/text/chatcompletion_v2", "HF_INFERENCE_URL": self.hugging.url + "/v1"}
        return self

    def __exit__(self, *_):
        for f in (self.google, self.minimax, self.openai, self.hugging):
            f.__exit__()


def cache_of(folder):
    """A model cache that holds small models under the guide's names; None where the shared data is not at hand."""
    if not os.path.isdir(os.path.join(DATA, "chat-models")):
        print("# the small models are not at hand (SEMA_SHARED_DATA): local models are not run")
        return None
    hub = os.path.join(folder, "hub")
    for name, tiny in TINY.items():
        place = os.path.join(hub, "models--" + name.replace("/", "--"))
        revision = hashlib.sha1(name.encode()).hexdigest()
        os.makedirs(os.path.join(place, "refs"))
        with open(os.path.join(place, "refs", "main"), "w", encoding="ascii") as f:
            f.write(revision)
        snapshot = os.path.join(place, "snapshots", revision)
        os.makedirs(snapshot)
        source = os.path.join(DATA, "chat-models", tiny)
        for file in os.listdir(source):
            if os.path.isfile(os.path.join(source, file)):
                os.symlink(os.path.join(source, file), os.path.join(snapshot, file))
    return {"HF_HUB_CACHE": hub, **OFFLINE}


def conversation(name):
    """One that the small model was trained on: (message, answer)."""
    with open(os.path.join(DATA, "chat-models", TINY[name], "expected", "chat.jsonl"), encoding="utf-8") as f:
        for line in f:
            c = json.loads(line)
            if len(c["messages"]) == 1 and len(c["reply_text"]) > 5:
                return c["messages"][0]["content"], c["reply_text"]
    raise Failed("no conversation of " + name)


def started(folder, text, how, env):
    """A server of these settings: all in its environment, or all in .env (addresses included)."""
    given = {**settings(text), **env}
    if how == "environment":
        return Server(folder=folder, unset=("MODEL_TYPE", "MODEL_NAME"), **given)
    written = as_printed(text)
    for name, value in env.items():
        written = re.sub(rf"^{name}=.*\n", "", written, flags=re.M) + f"{name}={value}\n"
    with open(os.path.join(folder, ".env"), "w", encoding="utf-8") as f:
        f.write(written)
    os.chmod(f.name, 0o600)
    return Server(folder=folder, unset=("MODEL_TYPE", "MODEL_NAME"))


def curl(s, line):
    """The guide's line in a shell, at this server's port."""
    done = subprocess.run(["bash", "-c", line.replace("localhost:7860", f"127.0.0.1:{s.port}")], capture_output=True, timeout=60)
    if done.returncode:
        raise Failed(done.stderr.decode())
    return json.loads(done.stdout)


def no_warning(t, s):
    """Every name of the guide is a known one, in .env too."""
    t.equal([line for line in s.errors().splitlines() if line.startswith(("config:", "warning:"))], [])


def each_way(t, text, env, then):
    for how in ("environment", ".env"):
        with tempfile.TemporaryDirectory(prefix="sema-guide-") as folder:
            with started(folder, text, how, env) as s:
                then(s)
                no_warning(t, s)
                for value in settings(text).values():
                    if value.startswith("your_"):
                        t.lacks(s.log_text() + s.errors(), value)


# ---- is anything forgotten? ----

@case("every block and every name of the guide is in this file")
def complete(t):
    text = guide_text()
    if text is None:
        print("# the guide is not at hand: only what this file repeats of it is run")
        return
    known = {bare(b) for b in (*CONFIGURATIONS.values(), *SPACES.values(), CONTAINER, *CURL.values(), REASONED, SWITCHES, *COMMANDS)}
    unknown = [b for b in guide_blocks() if bare(b) not in known]
    t.equal(len(unknown), 1, "blocks that are not here: " + "\n---\n".join(unknown))
    t.equal(hashlib.sha256(bare(unknown[0]).encode()).hexdigest()[:16], SNIPPET, unknown[0])
    t.equal(len(guide_blocks()), len(known) + 1)
    lists = text[text.index("### Available Gemma Models"):text.index("### Example Usage", text.index("### Available Gemma Models"))]
    lists += text[text.index("Model Selection Guide"):text.index("Dynamic Model Switching")]
    names = set(re.findall(r"^(?:-|\d\.) \*\*(.+?)\*\*", lists, re.M))
    t.equal(sorted(names), sorted(NAMES))


# ---- configurations ----

@case("MiniMax: the block, its curl line, its answer byte for byte")
def minimax(t):
    with Providers("--key", "your_minimax_api_key") as p:
        def asked(s):
            got, want = curl(s, CURL["minimax"]), json.loads(REASONED)
            t.equal({k: got[k] for k in want}, want)
        each_way(t, CONFIGURATIONS["minimax"], {"MINIMAX_API_URL": p.env["MINIMAX_API_URL"]}, asked)
        t.equal({r["body"]["model"] for r in p.minimax.requests() if r["method"] == "POST"}, {"abab6.5s-chat"})


@case("Gemma on this machine: the block and the curl line; the small model says what it was taught")
def gemma_local(t):
    with tempfile.TemporaryDirectory() as folder:
        cache = cache_of(folder)
        if cache is None:
            return
        message, reply = conversation("google/gemma-2b-it")

        def asked(s):
            got = curl(s, CURL["gemma"])
            t.equal((got["session_id"], got["model_name"]), ("gemma-test", "google/gemma-2b-it"))
            t.equal(s.chat(message, "known", temperature=0, system_prompt=None).status, 200)
            t.equal(s.get("/api/v1/model/info").json()["type"], "local_huggingface")
        each_way(t, CONFIGURATIONS["gemma local"], cache, asked)
        with tempfile.TemporaryDirectory() as other, started(other, CONFIGURATIONS["gemma local"], "environment",
                                                             {**cache, "SYSTEM_PROMPT": ""}) as s:
            t.equal(s.chat(message, "known", temperature=0).json()["message"], reply)


@case("Gemma by Hugging Face and by Google AI Studio: the blocks and the curl line")
def gemma_remote(t):
    text = "Explain quantum computing in simple terms"
    for name, key in (("gemma hf", "your_hf_token"), ("gemma google", "your_google_api_key")):
        with Providers("--key", key) as p:
            def asked(s):
                got = curl(s, CURL["gemma"])
                t.true(got["message"].endswith(text), got)
                t.equal((got["session_id"], got["model_name"]), ("gemma-test", s.get("/health").json()["model_name"]))
                t.true(s.sse(text, "streamed").content().endswith(text))
            address = "HF_INFERENCE_URL" if name == "gemma hf" else "GOOGLE_GEMINI_BASE_URL"
            each_way(t, CONFIGURATIONS[name], {address: p.env[address]}, asked)


@case("the free tier set-up: TinyLlama's name, its settings in force")
def free_tier(t):
    with tempfile.TemporaryDirectory() as folder:
        cache = cache_of(folder)
        if cache is None:
            return

        def asked(s):
            t.equal(curl(s, CURL["gemma"])["model_name"], "TinyLlama/TinyLlama-1.1B-Chat-v1.0")
            info = s.get("/api/v1/model/info").json()
            t.equal((info["parameters"]["max_tokens"], info["parameters"]["temperature"]), (256, 0.7))
        each_way(t, CONFIGURATIONS["free tier"], cache, asked)


@case("the production set-up: OpenAI answers; when it is gone Hugging Face's model does")
def production(t):
    with Providers() as p:
        addresses = {"OPENAI_BASE_URL": p.env["OPENAI_BASE_URL"], "HF_INFERENCE_URL": p.env["HF_INFERENCE_URL"]}
        each_way(t, CONFIGURATIONS["production"], addresses,
                 lambda s: t.equal(curl(s, CURL["gemma"])["model_name"], "gpt-3.5-turbo"))
        addresses["OPENAI_BASE_URL"] = "http://127.0.0.1:9/v1"
        each_way(t, CONFIGURATIONS["production"], addresses,
                 lambda s: t.equal(curl(s, CURL["gemma"])["model_name"], "microsoft/DialoGPT-medium"))


@case("the research set-up: Gemini answers, MiniMax thinks")
def research(t):
    with Providers() as p:
        def asked(s):
            t.equal(curl(s, CURL["minimax"])["model_name"], "gemini-1.5-pro")
            thought = curl(s, CURL["minimax"].replace('"session_id"', '"reasoning": true,\n    "session_id"'))
            t.equal((thought["model_name"], thought["message"]), ("MiniMax-M1", json.loads(REASONED)["message"]))
        each_way(t, CONFIGURATIONS["research"],
                 {"GOOGLE_GEMINI_BASE_URL": p.env["GOOGLE_GEMINI_BASE_URL"], "MINIMAX_API_URL": p.env["MINIMAX_API_URL"]}, asked)


@case("the switch pair, one after the other, sessions kept")
def switches(t):
    with Providers() as p:
        env = {**p.env, "GOOGLE_API_KEY": "k", "MINIMAX_API_KEY": "k", "MINIMAX_MODEL_VERSION": "abab6.5s-chat"}
        with Server(script=[{"when": "*", "pieces": ["first"]}], **env) as s:
            curl(s, CURL["minimax"])
            for method, path, body in re.findall(r"^(\w+) (\S+)\n(\{.*?^\})", SWITCHES, re.M | re.S):
                r = s.request(method, path, {"Content-Type": "application/json"}, body)
                t.equal((r.status, r.json()["current"]), (200, json.loads(body)), r.text)
                t.equal(curl(s, CURL["minimax"])["model_name"], json.loads(body)["model_name"])
            t.equal([m["metadata"].get("model_name") for m in s.get("/api/v1/sessions/minimax-test").json()["messages"][1::2]],
                    [s.env["MODEL_NAME"], "MiniMax-M1", "gemini-1.5-flash"])


# ---- model names ----

LIVING = {"openai": ["gpt-5.5", "gpt-5", "gpt-4o-mini", "o3"], "anthropic": ["claude-opus-5", "claude-haiku-4-5", "claude-sonnet-5"],
          "google": ["gemini-2.5-flash", "gemini-2.5-pro", "gemma-3-27b-it"]}


def provider(kind):
    """One whose models are LIVING: lists them, and knows no other."""
    def answer(request):
        path = request["path"].split("?")[0]
        if request["method"] == "GET" and path.endswith("/models"):
            data = [{"id": n, "object": "model", "type": "model", "lifecycle": "active", "display_name": n} for n in LIVING[kind]]
            if kind == "google":
                data = [{"name": "models/" + n, "supportedGenerationMethods": ["generateContent"]} for n in LIVING[kind]]
            return [Upstream.json(200, {"models": data} if kind == "google" else {"data": data, "has_more": False})]
        name = urllib.parse.unquote(path.rpartition("/")[2].partition(":")[0]) if request["method"] == "GET" else "x"
        error = {"openai": {"error": {"message": f"The model '{name}' does not exist", "type": "invalid_request_error", "code": "model_not_found"}},
                 "anthropic": {"type": "error", "error": {"type": "not_found_error", "message": f"model: {name}"}},
                 "google": {"error": {"code": 404, "message": f"models/{name} is not found for API version v1beta", "status": "NOT_FOUND"}}}
        return [Upstream.json(404, error[kind])]
    return Upstream(answer)


def towards(kind, u, name):
    key, address = {"openai": ("OPENAI_API_KEY", "OPENAI_BASE_URL"), "anthropic": ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"),
                    "google": ("GOOGLE_API_KEY", "GOOGLE_GEMINI_BASE_URL")}[kind]
    return {"MODEL_TYPE": kind, "MODEL_NAME": name, key: "k", address: u.url if kind == "openai" else u.url[:-len("/v1")]}


@case("the ids of the lists: a name that still lives is asked for as it is written")
def living(t):
    with Providers() as p:
        for name, (kind, what) in NAMES.items():
            if (kind, what) == ("google", "runs"):
                with Server(MODEL_TYPE="google", MODEL_NAME=name, GOOGLE_API_KEY="k", **p.env) as s:
                    t.equal(curl(s, CURL["gemma"])["model_name"], name)
        t.equal({re.search(r"models/([^:]+)", r["path"])[1] for r in p.google.requests() if r["method"] == "POST"},
                {n for n, v in NAMES.items() if v == ("google", "runs")})
    with tempfile.TemporaryDirectory() as folder:
        cache = cache_of(folder)
        for name in TINY if cache else ():
            message, reply = conversation(name)
            with Server(MODEL_TYPE="local", MODEL_NAME=name, SYSTEM_PROMPT="", **cache) as s:
                a = s.chat(message, temperature=0).json()
                t.equal((a["message"], a["model_name"]), (reply, name))


@case("the ids of the lists that are retired: the start warns with living ones, a request fails with the code")
def retired(t):
    for kind, name, nearest in (("openai", "gpt-3.5-turbo", "gpt-5.5"), ("openai", "gpt-4", "gpt-4o-mini"),
                                ("anthropic", "claude-3-opus-20240229", "claude-opus-5"), ("google", "gemini-1.5-pro", "gemini-2.5-pro"),
                                ("google", "gemini-1.5-flash", "gemini-2.5-flash"), ("google", "gemma-2-9b-it", "gemma-3-27b-it")):
        with provider(kind) as u, Server(**towards(kind, u, name)) as s:
            t.has(s.log_text(), f'does not list the model \\"{name}\\"; it has ')
            t.has(s.log_text(), nearest)
            t.equal(s.get("/api/v1/backends").json()["backends"][0]["last_error"], "model_not_found")
            r = s.chat("hello")
            t.equal((r.status, r.code), (502, "provider_model_not_found"), name)
            t.true(s.alive())
            for how in ("--ask", "--free"):
                status, out, _ = run_sema("test-backends", how, "--backend", kind, env=towards(kind, u, name))
                t.equal(status, 1)
                for part in ("unknown model", "see MODEL_NAME", nearest):
                    t.has(out, part)
            r = s.post("/api/v1/model/switch", {"model_name": name + "-too"})
            t.equal((r.status, r.detail, r.code), (404, "Model not found", "model_not_found"))
            t.equal(s.post("/api/v1/model/switch", {"model_name": LIVING[kind][0]}).status, 200)


@case("names as people say them: what is meant is said")
def labels(t):
    keys = {"MINIMAX_API_KEY": "k", "ANTHROPIC_API_KEY": "k", "GOOGLE_API_KEY": "k", "OPENAI_API_KEY": "k", "HF_API_TOKEN": "k"}
    for name, want in (("MiniMax M1", "MiniMax-M1"), ("Claude-3 Opus", "claude-3-opus"), ("Claude-3 Haiku", "claude-3-haiku")):
        kind = NAMES[name][0]
        said = f'no model of {kind} has a blank in its id; did you mean "{want}"?'
        for setting in ("MODEL", "FALLBACK_MODEL", "REASONING_MODEL"):
            env = {**keys, f"{setting}_TYPE": kind, f"{setting}_NAME": name}
            t.equal(run_sema("config", env=env)[::2], (1, f"config: {setting}_NAME: {said}\n"))
        status, _, err = run_sema("config", env={**keys, "FALLBACK_MODELS": f"{kind}/{name}"})
        t.equal((status, err), (1, f"config: FALLBACK_MODELS: {said}\n"))
        with Server(script=[{"when": "*", "pieces": ["still here"]}], **keys) as s:
            r = s.post("/api/v1/model/switch", {"model_type": kind, "model_name": name})
            t.equal((r.status, r.detail, r.code), (404, f'Model not found; did you mean "{want}"?', "model_not_found"))
            t.equal(s.chat("hello").json()["message"], "still here")
    # A name that is only shown is free: MINIMAX_MODEL_VERSION is the id.
    env = {**keys, "MODEL_TYPE": "minimax", "MODEL_NAME": "MiniMax M1", "MINIMAX_MODEL_VERSION": "abab6.5s-chat"}
    t.equal(run_sema("config", env=env)[0], 0)
    for name, nearest in (("GPT-4", "gpt-4o-mini"), ("GPT-3.5-turbo", "gpt-"), ("Gemini-1.5-flash", "gemini-2.5-flash"),
                          ("Gemma-2-9b-it", "gemma-3-27b-it")):
        kind = NAMES[name][0]
        with provider(kind) as u, Server(**towards(kind, u, name)) as s:
            t.match(re.search(r"it has ([^\"]*)", s.log_text())[1], f".*{re.escape(nearest)}.*")
            t.equal(s.chat("hello").code, "provider_model_not_found")


# ---- deployment ----

INSIDE = r"""
import fcntl, json, os, socket, struct, subprocess, sys, time, urllib.request
s = socket.socket()
fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: up and running
server = subprocess.Popen([sys.argv[1], "serve"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
try:
    for _ in range(600):
        try:
            with urllib.request.urlopen("http://localhost:7860/api/v1/health", timeout=5) as r:
                if json.load(r)["model_loaded"]:
                    break
        except OSError:
            if server.poll() is not None:
                sys.exit(server.stderr.read().decode())
        time.sleep(0.05)
    health = subprocess.run([sys.argv[1], "check", "--health"], capture_output=True)
    answer = subprocess.run(["bash", "-c", sys.argv[2]], capture_output=True)
    with open("/proc/net/tcp") as f:
        listens = [line.split()[1] for line in f if line.split()[3] == "0A"]
    print(json.dumps({"health": health.returncode, "answer": json.loads(answer.stdout), "listens": listens}))
finally:
    server.terminate()
    server.wait()
"""


def in_network_of_its_own(t, env, line):
    """Port 7860 and the curl line word for word: nobody else is there.  None where the system gives no such network."""
    with tempfile.TemporaryDirectory() as folder:
        full = {"PATH": os.environ["PATH"], "HOME": folder, **env}
        if subprocess.run(["unshare", "-rn", "true"], capture_output=True).returncode:
            print("# no network namespaces here: port 7860 is not tried")
            return None
        done = subprocess.run(["unshare", "-rn", sys.executable, "-c", INSIDE, BINARY, line], env=full, cwd=folder,
                              capture_output=True, timeout=90)
        if done.returncode:
            raise Failed(done.stderr.decode()[-2000:])
        return json.loads(done.stdout)


@case("the container's settings: environment only, port 7860 on every address, the placeholder refused by name")
def container(t):
    env = dict(re.findall(r"-e (\w+)=(\S+)", CONTAINER))
    t.equal(re.search(r"-p \d+:(\d+)", CONTAINER)[1], "7860")
    status, out, err = run_sema("serve", env=env)
    t.equal((status, out, err), (1, "", 'config: MINIMAX_API_URL: not a valid http(s) address: "your_url"\n'))
    env["MINIMAX_API_URL"] = "https://api.minimax.io/v1/text/chatcompletion_v2"
    status, out, err = run_sema("config", "--json", env=env)
    got = {k: v["value"] for k, v in json.loads(out).items()}
    t.equal((status, got["HOST"], got["PORT"], got["MODEL_TYPE"], got["MODEL_NAME"]), (0, "0.0.0.0", 7860, "minimax", "MiniMax-M1"))
    with Providers("--key", "your_key") as p, Server(unset=("MODEL_TYPE", "MODEL_NAME", "HOST"),
                                                     **{**env, "MINIMAX_API_URL": p.env["MINIMAX_API_URL"]}) as s:
        t.equal(curl(s, CURL["minimax"])["message"], json.loads(REASONED)["message"])
        t.has(s.errors(), "0.0.0.0 is open to other machines")


@case("port 7860 and a curl line word for word, as container and space have them")
def word_for_word(t):
    got = in_network_of_its_own(t, OFFLINE, CURL["minimax"])
    if got:
        t.equal((got["health"], got["listens"], got["answer"]["session_id"], got["answer"]["model_name"]),
                (0, ["00000000:1EB4"], "minimax-test", "sema-guide"))


@case("the hosted space's settings, both forms")
def spaces(t):
    with tempfile.TemporaryDirectory() as folder:
        cache = cache_of(folder)
        if cache:
            got = in_network_of_its_own(t, {**settings(SPACES["space free"], ":"), **cache}, CURL["gemma"])
            t.equal(got and (got["health"], got["answer"]["model_name"]), got and (0, "TinyLlama/TinyLlama-1.1B-Chat-v1.0"))
            with Server(unset=("MODEL_TYPE", "MODEL_NAME"), **settings(SPACES["space free"], ":"), **cache) as s:
                t.equal(curl(s, CURL["gemma"])["model_name"], "TinyLlama/TinyLlama-1.1B-Chat-v1.0")
    with Providers("--key", "your_secret_key") as p, Server(
            unset=("MODEL_TYPE", "MODEL_NAME"), GOOGLE_GEMINI_BASE_URL=p.google.url, **settings(SPACES["space api"], ":")) as s:
        t.equal(curl(s, CURL["gemma"])["model_name"], "gemma-2-9b-it")


# ---- commands ----

@case("the printed commands")
def commands(t):
    with tempfile.TemporaryDirectory() as folder:
        base = {"PATH": os.environ["PATH"], "HOME": folder, "SEMA_BINARY": BINARY, **OFFLINE}
        # Whatever the system calls its Python 3.
        os.mkdir(os.path.join(folder, "bin"))
        os.symlink(sys.executable, os.path.join(folder, "bin", "python"))
        base["PATH"] = os.path.join(folder, "bin") + ":" + base["PATH"]

        def sh(line, **env):
            done = subprocess.run(["bash", "-c", line], cwd=ROOT, env={**base, **env}, capture_output=True, timeout=120)
            return done.returncode, done.stdout.decode(), done.stderr.decode()
        status, out, err = sh(COMMANDS[0].strip())
        t.equal((status, err), (0, ""))
        t.has(out, "sema-guide")
        local, google = COMMANDS[1].splitlines()
        status, out, err = sh(local)
        t.equal((status, out), (1, ""))
        t.has(err, "sema pull google/gemma-2b-it")
        cache = cache_of(os.path.join(folder, "cache"))
        if cache:
            status, out, err = sh(local, **cache)
            t.equal((status, err, out.splitlines()[-1]), (0, "", "10 of 10 checks passed"), out)
        with Providers("--key", "your_key") as p:
            status, out, err = sh(google, GOOGLE_GEMINI_BASE_URL=p.google.url)
            t.equal((status, err, out.splitlines()[-1]), (0, "", "10 of 10 checks passed"), out)


@case("one backend alone: the C example and sema test-backends, with the guide's words")
def single(t):
    example = os.path.join(os.environ.get("SEMA_BUILD_ROOT") or os.path.join(ROOT, "build"), "examples", "one_backend")
    with Providers("--key", "your_key") as p:
        env = {"MINIMAX_API_KEY": "your_key"}
        question = json.loads(re.search(r"\{.*\}", CURL["minimax"], re.S)[0])["message"]
        done = subprocess.run([example, "minimax", "MiniMax-M1", question, p.env["MINIMAX_API_URL"]], env=env, capture_output=True,
                              timeout=30)
        t.equal((done.returncode, done.stdout.decode().rpartition("\n(")[0]), (0, json.loads(REASONED)["message"]))
        done = subprocess.run([example, "minimax", "MiniMax-M1", "Hello", "your_url"], env=env, capture_output=True, timeout=30)
        t.equal(done.returncode, 1)
        t.has(done.stderr.decode(), "your_url")
        status, out, _ = run_sema("test-backends", "--backend", "minimax", env={**env, "MINIMAX_API_URL": p.env["MINIMAX_API_URL"]})
        t.equal((status, out.split()[0], out.split()[2]), (0, "minimax", "ok"))
        status, _, err = run_sema("test-backends", "--backend", "minimax", env={**env, "MINIMAX_API_URL": "your_url"})
        t.equal((status, err), (1, 'config: MINIMAX_API_URL: not a valid http(s) address: "your_url"\n'))


# ---- placeholders that nobody filled in ----

@case("a key that is still the guide's placeholder: the setting is named")
def placeholders(t):
    for name, setting in (("gemma google", "GOOGLE_API_KEY"), ("research", "GOOGLE_API_KEY"), ("production", "OPENAI_API_KEY")):
        with Providers("--key", "a-real-one") as p:
            text = CONFIGURATIONS[name] if name != "production" else CONFIGURATIONS[name].split("\n\n")[0] + "\n"
            text = text if name != "research" else text.split("\n\n")[0] + "\n"
            env = {"HOST": "127.0.0.1", "PORT": "0", "SESSION_STORE": "memory:", **settings(text), **p.env}
            status, _, err = run_sema("serve", env=env)
            t.equal(status, 3, name)
            t.match(err.splitlines()[-1], rf"startup: MODEL_TYPE=\w+: the provider rejected {setting} \(40\d\)")
            t.lacks(err, settings(text)[setting])
    for name, setting in (("minimax", "MINIMAX_API_KEY"), ("gemma hf", "HF_API_TOKEN")):
        with Providers("--key", "a-real-one") as p, Server(
                unset=("MODEL_TYPE", "MODEL_NAME"), **{**settings(CONFIGURATIONS[name]), **p.env}) as s:
            r = s.chat("hello")
            t.equal((r.status, r.code), (502, "provider_auth"), name)
            t.has(s.log_text(), f"the provider rejected {setting}")
            t.lacks(s.log_text() + r.text, settings(CONFIGURATIONS[name])[setting])


@case("a block with a mistake in it: a typo, a missing key, a missing half of a pair")
def mistakes(t):
    typo = CONFIGURATIONS["minimax"].replace("MINIMAX_API_KEY", "MINIMAX_APIKEY")
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, ".env"), "w", encoding="utf-8") as f:
            f.write(typo)
        status, _, err = run_sema("serve", folder=folder)
        t.equal(status, 1)
        t.has(err, "MINIMAX_APIKEY")
        t.has(err, "MINIMAX_API_KEY")
        t.has(err, "config: MINIMAX_API_KEY: required for MODEL_TYPE=minimax")
    for text, said in (
            (CONFIGURATIONS["gemma google"].replace("google\n", "gogle\n", 1), 'unknown backend "gogle"'),
            (CONFIGURATIONS["production"].replace("FALLBACK_MODEL_NAME=microsoft/DialoGPT-medium\n", ""),
             "config: FALLBACK_MODEL_TYPE: set together with FALLBACK_MODEL_NAME"),
            (CONFIGURATIONS["production"].replace("HF_API_TOKEN=your_token\n", ""),
             "config: HF_API_TOKEN: required for FALLBACK_MODEL_TYPE=hf_api"),
            (CONFIGURATIONS["research"].replace("MINIMAX_API_KEY=your_key\n", ""),
             "config: MINIMAX_API_KEY: required for REASONING_MODEL_TYPE=minimax"),
            (CONFIGURATIONS["free tier"].replace("256", "256 tokens"), 'config: MAX_NEW_TOKENS: expected an integer, got "256 tokens"'),
            (CONFIGURATIONS["free tier"].replace("cpu", "cuda"), "Sema computes on the CPU")):
        status, _, err = run_sema("config", env=settings(text))
        t.equal(status, 1)
        t.has(err, said)


main()
