"""What goes wrong, as the guide tells it: each message in a block `text message NAME` and each row of the tables of
codes is provoked, and the program's words are compared with the page's."""
import contextlib
import resource
import struct as packing

import pages
from harness import *
from hub import Hub

PROVOKED = {}  # name -> a function that gives the program's words


def says(name):
    def add(f):
        PROVOKED[name] = f
        return f
    return add


def words(text, folder=None):
    """What a person sees, without the folders of a test."""
    if folder:
        text = text.replace(folder, "~")
    return text.strip()


def config(env_file=None, **env):
    """Mistakes and warnings of `sema config`."""
    with tempfile.TemporaryDirectory(prefix="sema-test-") as folder:
        if env_file is not None:
            with open(os.path.join(folder, ".env"), "w", encoding="utf-8") as f:
                f.write(env_file)
            os.chmod(f.name, 0o644)
        return words(run_sema("config", env={"HOST": "127.0.0.1", **env}, folder=folder)[2], folder)


def start(*args, folder=None, lines=1, **env):
    """The last words of a start that fails."""
    with contextlib.ExitStack() as stack:
        folder = folder or stack.enter_context(tempfile.TemporaryDirectory(prefix="sema-test-"))
        env = {"HOST": "127.0.0.1", "PORT": "0", "SESSION_STORE": "memory:", "HF_HUB_OFFLINE": "1", **env}
        status, _, err = run_sema("serve", *args, env=env, folder=folder)
        if status not in (1, 3):
            raise Failed(f"status {status}: {err}")
        return words("\n".join(err.strip().splitlines()[-lines:]), folder)


# ---- settings ----

@says("config-values")
def _():
    return config(PORT="abc", DEBUG="maybe", TEMPERATURE="7", TOP_P="0", MODEL_TYPE="nonsense", LOG_LEVEL="loud", API_KEY="short",
                  JWT_SECRET="short", OPENAI_BASE_URL="localhost:8000/v1", METRICS_PATH="metrics", CORS_ORIGINS="[1",
                  MODEL_ALIASES="gpt-4", DEVICE="gpu", FALLBACK_MODELS="claude-haiku-4-5")


@says("config-blank")
def _():
    return "\n".join(config(MODEL_TYPE=kind, MODEL_NAME=name, MINIMAX_API_KEY="x", ANTHROPIC_API_KEY="x")
                     for kind, name in (("minimax", "MiniMax M1"), ("anthropic", "Claude-3 Opus")))


@says("config-together")
def _():
    a = config(MODEL_TYPE="google", MAX_NEW_TOKENS="2048", FALLBACK_MODEL_TYPE="local", METRICS_PATH="/health")
    return a + "\n" + config(MAX_NEW_TOKENS="2048")


@says("config-not-there")
def _():
    return config(HTTPS_PROXY="socks5://localhost:1080", SESSION_STORE="mongo://localhost") + "\n" + config(REDIS_URL="redis://localhost:6379")


@says("config-paths")
def _():
    return config(LOG_FILE="/no/such/folder/sema.log", SEMA_ENV_FILE="/no/such/.env")


@says("config-flags")
def _():
    out = [start("--modle-name", "x"), start("--port"), start("--openai-api-key", "sk-x")]
    return "\n".join([*out, words(run_sema("frobnicate")[2]), words(run_sema("serve", "now")[2])])


@says("config-env")
def _():
    return config('MODEL_TYP=google\nA B=c\nLOG_LEVEL="info\nDEVICE: cpu\n')


@says("config-quotes")
def _():
    return config(OPENAI_API_KEY='"sk-x"')


@says("config-open")
def _():
    return config(HOST="0.0.0.0", ENVIRONMENT="production")


@says("local-cuda")
def _():
    return config(DEVICE="cuda")


@says("fallback-half")
def _():
    return config(FALLBACK_MODEL_TYPE="local")


@says("fallback-same")
def _():
    return config(MODEL_NAME="a/b", FALLBACK_MODEL_TYPE="local", FALLBACK_MODEL_NAME="a/b")


@says("fallback-both")
def _():
    return config(FALLBACK_MODELS="local/a/b", FALLBACK_MODEL_TYPE="local", FALLBACK_MODEL_NAME="c/d")


@says("fallback-no-key")
def _():
    return config(FALLBACK_MODEL_TYPE="hf_api", FALLBACK_MODEL_NAME="a/b")


@says("openai-address")
def _():
    return config(MODEL_TYPE="openai", MODEL_NAME="m", OPENAI_API_KEY="sk-x", OPENAI_BASE_URL="localhost:8000/v1")


def no_key(kind):
    return lambda: config(MODEL_TYPE=kind, MODEL_NAME="m")


for _kind in ("openai", "anthropic", "google", "minimax"):
    says(_kind + "-no-key")(no_key(_kind))


@says("store-unknown")
def _():
    return config(SESSION_STORE="mongo://localhost")


# ---- the start ----

@says("port-taken")
def _():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        return start(PORT=port).replace(port, "7860")


@says("host-not-ours")
def _():
    return start(HOST="192.0.2.1", PORT="7860")


@says("host-unknown")
def _():
    return start(HOST="no-such-host.invalid", PORT="7860")


@says("store-not-a-database")
def _():
    with tempfile.TemporaryDirectory(prefix="sema-test-") as folder:
        with open(os.path.join(folder, "notes.txt"), "w", encoding="utf-8") as f:
            f.write("not a database, but mine " * 100)
        return start(folder=folder, SESSION_STORE="notes.txt")


@says("store-disk-full")
def _():
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        raise Skipped("no mounts of its own here")
    with tempfile.TemporaryDirectory(prefix="sema-test-") as folder:
        disk = os.path.join(folder, "disk")
        os.mkdir(disk)
        done = subprocess.run(["unshare", "-rm", "sh", "-c", f"mount -t tmpfs -o size=16k none {disk} && exec '{BINARY}' serve"],
                              env={"PATH": os.environ["PATH"], "HOME": folder, "HOST": "127.0.0.1", "PORT": "0", "HF_HUB_OFFLINE": "1",
                                   "SESSION_STORE": os.path.join(disk, "sema.db")}, capture_output=True, text=True, timeout=30)
        return words(done.stderr, folder)


@says("store-a-folder")
def _():
    with tempfile.TemporaryDirectory(prefix="sema-test-") as folder:
        os.mkdir(os.path.join(folder, "sessions"))
        return start(folder=folder, SESSION_STORE=os.path.join(folder, "sessions"))


@says("store-no-place")
def _():
    with tempfile.TemporaryDirectory(prefix="sema-test-") as folder:
        done = subprocess.run([BINARY, "serve"], cwd=folder, env={"HOST": "127.0.0.1", "PORT": "0"}, capture_output=True, text=True,
                              timeout=20)
        return words(done.stderr)


# ---- local models ----

def weights(folder, name, config_json, size=64, head=b"x"):
    """A model of two files: the settings, and `size` bytes of weights of which only the head is on the disk."""
    where = os.path.join(folder, name)
    os.makedirs(where)
    with open(os.path.join(where, "config.json"), "w", encoding="utf-8") as f:
        json.dump(config_json, f)
    with open(os.path.join(where, "model.safetensors"), "wb") as f:
        f.write(head)
        f.truncate(size)
    return where


def built_in(folder, name, **config_json):
    """The built-in model's files in a folder, some of its settings changed."""
    where = os.path.join(folder, name)
    os.makedirs(where)
    for file, data in pages.hub_files().items():
        if file == "config.json":
            data = json.dumps({**json.loads(data), **config_json}).encode()
        with open(os.path.join(where, file), "wb") as f:
            f.write(data)
    return where


def huge(folder, name="big/model"):
    """The built-in model with a tensor more, of nine terabytes that are not on the disk."""
    where = built_in(folder, name)
    path = os.path.join(where, "model.safetensors")
    with open(path, "rb") as f:
        size = packing.unpack("<Q", f.read(8))[0]
        head = json.loads(f.read(size))
        data = f.read()
    values = 9 * 10**12 // 2
    head["more"] = {"dtype": "BF16", "shape": [values], "data_offsets": [len(data), len(data) + 2 * values]}
    text = json.dumps(head).encode()
    with open(path, "wb") as f:
        f.write(packing.pack("<Q", len(text)) + text + data)
        f.truncate(8 + len(text) + len(data) + 2 * values)
    return where


@contextlib.contextmanager
def models():
    with tempfile.TemporaryDirectory(prefix="sema-test-") as folder:
        yield folder


@says("local-missing")
def _():
    return start(MODEL_NAME="x/y")


@says("local-no-owner")
def _():
    return start(MODEL_NAME="gpt-4o-mini", OPENAI_API_KEY="your_openai_api_key")


@says("local-unknown")
def _():
    with Hub({}) as hub:
        return start(MODEL_NAME="TinyLama/TinyLama-1.1B", HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0")


@says("local-gated")
def _():
    with Hub({}) as hub:
        hub.gated = True
        return start(MODEL_NAME="google/gemma-2b-it", HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0")


@says("local-memory")
def _():
    with models() as folder:
        huge(folder)
        return start(MODEL_NAME="big/model", MODEL_PATH=folder)


class Large(Hub):
    """A hub whose weights are larger than any disk."""

    def listing(self, repo):
        list_ = super().listing(repo)
        for row in list_["siblings"]:
            if row["rfilename"] == "model.safetensors":
                row["size"] = 9 * 10**12
                row["lfs"] = {"sha256": "0" * 64, "size": 9 * 10**12}
        return list_


@says("local-disk")
def _():
    with Large({"big/model": pages.hub_files()}) as hub, models() as folder:
        return start(MODEL_NAME="big/model", HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0", folder=folder)


@says("model-unusable")
def _():
    with models() as folder:
        weights(folder, "broken", {"model_type": "llama", "architectures": ["LlamaForCausalLM"]})
        return start(MODEL_NAME="broken", MODEL_PATH=folder, folder=folder)


@says("local-unsupported")
def _():
    with models() as folder:
        built_in(folder, "odd", architectures=["MambaForCausalLM"], model_type="mamba")
        return start(MODEL_NAME="odd", MODEL_PATH=folder, folder=folder)


@says("local-damaged")
def _():
    with models() as folder:
        where = built_in(folder, "cut")
        os.truncate(os.path.join(where, "model.safetensors"), 1000000)
        return start(MODEL_NAME="cut", MODEL_PATH=folder, folder=folder)


# ---- providers ----

def refused(fake, **env):
    with Fake(fake, "--key", "the-right-one") as f:
        return start(**{k: v.replace("URL", f.url) for k, v in env.items()})


@says("openai-key")
def _():
    return refused("openai", MODEL_TYPE="openai", MODEL_NAME="gpt-4o-mini", OPENAI_API_KEY="sk-wrong", OPENAI_BASE_URL="URL/v1")


@says("anthropic-key")
def _():
    return refused("anthropic", MODEL_TYPE="anthropic", MODEL_NAME="claude-haiku-4-5", ANTHROPIC_API_KEY="wrong", ANTHROPIC_BASE_URL="URL")


@says("google-key")
def _():
    return refused("google", MODEL_TYPE="google", MODEL_NAME="gemini-2.5-flash", GOOGLE_API_KEY="wrong", GOOGLE_GEMINI_BASE_URL="URL")


def first_answer(fake, *args, **env):
    """The first request to a backend that is wrong in a way that no free call shows."""
    with Fake(fake, *args) as f, Server(**{k: v.replace("URL", f.url) for k, v in env.items()}) as s:
        r = s.chat("hello")
        body = {k: v for k, v in r.json().items() if k != "request_id"}
        return f"{r.status} {json.dumps(body, separators=(',', ':'))}"


@says("minimax-key")
def _():
    return first_answer("minimax", "--key", "another", MODEL_TYPE="minimax", MODEL_NAME="MiniMax-M3", MINIMAX_API_KEY="wrong",
                        MINIMAX_API_URL="URL/v1/text/chatcompletion_v2")


@says("minimax-key-log")
def _():
    with Fake("minimax", "--key", "another") as f, Server(MODEL_TYPE="minimax", MODEL_NAME="MiniMax-M3", MINIMAX_API_KEY="wrong",
                                                          MINIMAX_API_URL=f.url + "/v1/text/chatcompletion_v2") as s:
        s.chat("hello")
        said = wait_until(lambda: s.events("generation_error"), 5, "the line of the log")[0]["error"]
        return said.replace(f.url[7:], "api.minimax.io:443")


@says("hf-token")
def _():
    return first_answer("huggingface", "--key", "another", MODEL_TYPE="hf_api", MODEL_NAME="a/b", HF_API_TOKEN="wrong",
                        HF_INFERENCE_URL="URL/v1")


@says("hf-retired")
def _():
    return first_answer("huggingface", MODEL_TYPE="hf_api", MODEL_NAME="status-404", HF_API_TOKEN="hf_x", HF_INFERENCE_URL="URL/v1")


def logged(event, field, wait_ready=False, **env):
    """What the log says."""
    with Server(wait_ready=wait_ready, **env) as s:
        return wait_until(lambda: s.events(event), 10, event)[0][field]


def lists(body):
    """A provider that has these models."""
    return Upstream(lambda request: iter([Upstream.json(200, body)]))


@says("openai-retired")
def _():
    names = ("gpt-4o", "gpt-4o-mini", "gpt-6-luna", "gpt-6-sol", "gpt-6.1-sol", "o3")
    with lists({"object": "list", "data": [{"id": n, "object": "model"} for n in names]}) as up:
        return logged("model_warning", "warning", True, MODEL_TYPE="openai", MODEL_NAME="gpt-3.5-turbo", OPENAI_API_KEY="sk-x",
                      OPENAI_BASE_URL=up.url)


@says("google-retired")
def _():
    names = ("gemini-2.5-flash", "gemini-2.5-pro", "gemini-3.8-flash", "gemini-4-argon", "gemma-4-31b-it")
    rows = [{"name": "models/" + n, "supportedGenerationMethods": ["generateContent"]} for n in names]
    with lists({"models": rows}) as up:
        return logged("model_warning", "warning", True, MODEL_TYPE="google", MODEL_NAME="gemini-1.5-pro", GOOGLE_API_KEY="x",
                      GOOGLE_GEMINI_BASE_URL=up.url)


def unreachable(base):
    return lambda: logged("model_not_ready", "error", MODEL_TYPE="openai", MODEL_NAME="m", OPENAI_BASE_URL=base)


says("openai-unreachable")(unreachable("http://127.0.0.1:9/v1"))
says("log-not-ready")(unreachable("http://127.0.0.1:9/v1"))
says("openai-no-host")(unreachable("http://no-such-host.invalid/v1"))


@says("openai-no-route")
def _():
    with Upstream(lambda r: [Upstream.json(404, {"detail": "Not Found"})]) as u:
        return words(run_sema("test-backends", "--backend", "openai",
                              env={"MODEL_TYPE": "openai", "MODEL_NAME": "Qwen/Qwen3-8B", "OPENAI_BASE_URL": u.url[:-len("/v1")]})[1])


# ---- the pages ----

def shown():
    """Every message of the pages, by name."""
    for name in pages.page_names():
        for block in pages.Page(name).blocks:
            if block.role == "message":
                yield block


def check_message(name):
    def run(t):
        blocks = [b for b in shown() if b.words[1] == name]
        t.true(blocks, f"a page with the message {name}")
        real = pages.normal(PROVOKED[name]())
        for b in blocks:
            t.equal(pages.normal(b.text), real, f"{b}, what the program says")
    return run


for _name in PROVOKED:
    case(f"the message {_name}")(check_message(_name))


@case("every message of the pages is provoked")
def all_provoked(t):
    t.equal(sorted({b.words[1] for b in shown()} - set(PROVOKED)), [])
    t.true(len(PROVOKED) > 40, f"{len(PROVOKED)} messages")


# ---- the table of codes ----

CODES = {}  # code -> a function that gives (status, detail)


def code(*names):
    def add(f):
        for name in names:
            CODES[name] = f
        return f
    return add


def of(r):
    """Status and words of an answer."""
    body = r.json()
    return r.status, body.get("code"), body.get("detail") or body.get("error")


def server(t, ask, **env):
    with Server(**env) as s:
        return ask(s)


def plain(name, ask, **env):
    CODES[name] = lambda: server(None, lambda s: of(ask(s)), **env)


HANG = [{"when": "hang", "pieces": ["one ", {"hang": True}]}, {"when": "*", "pieces": ["fine"]}]

plain("validation_error", lambda s: s.chat(""))
plain("malformed_body", lambda s: s.post("/api/v1/chat", b'{"message":"\xff"}'))
plain("not_found", lambda s: s.get("/nowhere"))
plain("method_not_allowed", lambda s: s.get("/api/v1/chat"))
plain("payload_too_large", lambda s: s.chat("x" * 2000), MAX_BODY_SIZE="1024")
plain("session_not_found", lambda s: s.get("/api/v1/sessions/nobody"))
plain("unauthorized", lambda s: s.get("/api/v1/sessions"), API_KEY="a-long-key")
plain("host_not_allowed", lambda s: s.get("/api/v1/status", {"Host": "elsewhere.example"}), ALLOWED_HOSTS="sema.example,localhost,127.0.0.1")
plain("origin_not_allowed", lambda s: s.get("/api/v1/status", {"Origin": "https://elsewhere.example"}))
plain("rate_limited", lambda s: [s.chat("a"), s.chat("b")][1], RATE_LIMIT="1")
plain("streaming_disabled", lambda s: s.get("/api/v1/chat/stream?message=a&session_id=b"), ENABLE_STREAMING="false")
plain("metrics_disabled", lambda s: s.get("/api/v1/metrics"), ENABLE_METRICS="false")
plain("switch_disabled", lambda s: s.post("/api/v1/model/switch", {"model_name": "x"}), ENABLE_MODEL_SWITCH="false")


def switch(kind, name):
    return lambda s: s.post("/api/v1/model/switch", {"model_type": kind, "model_name": name})


plain("credential_missing", switch("google", "gemini-2.5-flash"))
plain("model_not_found", switch("local", "x/y"))
plain("switch_failed", switch("openai", "m"), OPENAI_BASE_URL="http://127.0.0.1:9/v1")


@code("request_timeout")
def _():
    def ask(s):
        with s.connect(30) as c:
            c.send("GET /health HTTP/1.1\r\nHost: localhost\r\n")  # and no more
            status, name, text = of(c.response())
            return status, name or "request_timeout", text  # nothing was read yet, so it is short
    return server(None, ask)


@code("stream_limit")
def _():
    def ask(s):
        with s.sse("hang", "a") as first:
            first.event()
            with s.sse("hello", "b") as second:
                e = second.event().json()
                return second.status, e["code"], e["error"]
    return server(None, ask, script=HANG, MAX_CONCURRENT_STREAMS="1")


@code("session_limit")
def _():
    secret = "0123456789abcdef0123456789abcdef"
    user = {"Authorization": "Bearer " + jwt(secret, sub="anna")}
    return server(None, lambda s: [of(s.chat("a", "one", user)), of(s.chat("a", "two", user))][1], JWT_SECRET=secret,
                  MAX_SESSIONS_PER_USER="1")


@code("session_busy")
def _():
    def ask(s):
        with contextlib.ExitStack() as stack:
            stack.enter_context(s.sse("hang", "a")).event()
            for _ in range(16):
                c = stack.enter_context(s.connect())
                c.send_request("POST", "/api/v1/chat", {"Content-Type": "application/json"}, '{"message":"x","session_id":"a"}')
            return wait_until(lambda: (r := s.sse("x", "a")).status == 503 and of(r.answer), 10, "a busy session")
    return server(None, ask, script=HANG)


@code("shutting_down")
def _():
    def ask(s):
        with s.connect() as c:
            c.send_request("POST", "/api/v1/chat", {"Content-Type": "application/json"}, '{"message":"hang","session_id":"a"}')
            wait_until(lambda: s.get("/api/v1/backends").json()["backends"][0]["requests"] == 1, 5, "the request")
            s.process.send_signal(signal.SIGTERM)
            return of(c.response())
    return server(None, ask, script=HANG, SHUTDOWN_TIMEOUT="0.3")


@code("model_not_ready")
def _():
    return server(None, lambda s: of(s.chat("hello")), script=[{"prepare": {"wait_ms": 5000}}], wait_ready=False)


@code("model_unusable")
def _():
    with models() as folder:
        weights(folder, "broken", {"model_type": "llama", "architectures": ["LlamaForCausalLM"]})
        status, name, text = server(None, lambda s: of(switch("local", "broken")(s)), MODEL_PATH=folder)
        return status, name, re.sub(r"^(Model cannot be loaded: ).*", r"\1...", text)


@code("model_too_large")
def _():
    with models() as folder:
        huge(folder)
        return server(None, lambda s: of(switch("local", "big/model")(s)), MODEL_PATH=folder)


@code("switch_in_progress")
def _():
    def answer(request):
        yield 2.0
        yield Upstream.json(200, {"data": [{"id": "m"}]})
    with Upstream(answer) as up:
        def ask(s):
            with s.connect() as c:
                c.send_request("POST", "/api/v1/model/switch", {"Content-Type": "application/json"},
                               '{"model_type":"openai","model_name":"m"}')
                wait_until(lambda: up.requests, 5, "the first switch")
                return of(switch("openai", "other")(s))
        return server(None, ask, OPENAI_BASE_URL=up.url)


@code("store_unavailable")
def _():
    def ask(s):
        size = max(os.path.getsize(os.path.join(s.folder, n)) for n in os.listdir(s.folder) if n.startswith("sema.db"))
        hard = resource.prlimit(s.process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(s.process.pid, resource.RLIMIT_FSIZE, (size + 4096, hard))
        for n in range(200):
            r = s.chat("x" * 4000, f"s{n}")
            if r.status != 200:
                return of(r)
        raise Failed("the disk is never full")
    return server(None, ask, script=[{"when": "*", "pieces": ["fine"]}], LOG_LEVEL="INFO")


def scripted(kind):
    """A fault in a provider's place: the script names the kind."""
    return lambda: server(None, lambda s: of(s.chat("hello")), script=[{"when": "*", "pieces": [{"error": kind}]}],
                          PROVIDER_RETRIES="0")


for _kind in ("local_queue_full", "local_generation_failed", "overloaded", "provider_auth", "provider_model_not_found", "provider_quota",
              "provider_rate_limit", "provider_overloaded", "provider_server", "provider_timeout", "provider_network",
              "provider_bad_request", "provider_context_length", "provider_content_filter"):
    CODES[_kind] = scripted({"local_queue_full": "queue_full", "local_generation_failed": "local_failed", "overloaded": "memory"}.get(
        _kind, _kind.removeprefix("provider_")))

NOT_PROVOKED = {"internal_error"}  # a mistake of ours, which nobody knows how to provoke


def table():
    """Rows of the tables of codes: code -> (status, detail)."""
    with open(os.path.join(pages.GUIDE, "troubleshooting.md"), encoding="utf-8") as f:
        rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (.*?) \|", f.read(), re.M)
    return {name: (int(status), detail) for name, status, detail in rows}


def check_code(name):
    def run(t):
        status, detail = table()[name]
        got = CODES[name]()
        t.equal(got[:2], (status, name))
        words_ = "a list, a row for each field" if isinstance(got[2], list) else f"`{got[2]}`"
        t.true(detail.startswith(words_), f"{detail} for {words_}")
    return run


for _name in CODES:
    case(f"the code {_name}")(check_code(_name))


@case("each code of the source is in the table, and each of the table is provoked")
def codes(t):
    found = set()
    for folder, _, names in os.walk(os.path.join(pages.ROOT, "src", "api")):
        if os.path.basename(folder) == "served":  # they have codes of their own APIs
            continue
        for n in names:
            if n.endswith(".c"):
                with open(os.path.join(folder, n), encoding="utf-8") as f:
                    found |= set(re.findall(r'call_fail\w*\([^;]*?\b[1-5]\d\d,\s*"(\w+)"', f.read()))
    with open(os.path.join(pages.ROOT, "src", "base", "err.h"), encoding="utf-8") as f:
        found |= set(re.findall(r'^    X\(\w+, "[^"]*", "(\w+)"', f.read(), re.M)) - {"cancelled"}
    t.true(len(found) > 35, f"{len(found)} codes")
    t.equal(found - set(table()), set())
    t.equal(set(table()) - set(CODES), NOT_PROVOKED)


if __name__ == "__main__":
    main()
