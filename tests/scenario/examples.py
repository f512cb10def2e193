"""The small clients of examples/ and tests/test_api.py: each runs as its first lines say."""
from harness import *

ROOT = os.environ.get("SEMA_SOURCE_ROOT") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
BUILT = os.path.join(os.environ.get("SEMA_BUILD_ROOT") or os.path.join(ROOT, "build"), "examples")
TALK = [{"when": "Hello again", "pieces": ["Once ", "more, ", "\"é\""]},
        {"when": "Hello", "pieces": ["Good ", "day"], "usage": {"prompt": 3, "completion": 2}},
        {"when": "And again", "pieces": [{"text": "x" * 50, "repeat": 5}, " end"]}]
CLIENTS = {
    "shell": ["bash", os.path.join(ROOT, "examples", "curl.sh")],
    "python": [sys.executable, os.path.join(ROOT, "examples", "chat.py")],
    "javascript": ["node", os.path.join(ROOT, "examples", "chat.mjs")],
    "c": [os.path.join(BUILT, "chat")],
}
OFFLINE = {"HF_HUB_OFFLINE": "1"}


def there(name):
    """Whether this machine can run it; curl and node are not part of every one."""
    needs = {"shell": ("bash", "curl"), "javascript": ("node",)}.get(name, ())
    missing = [n for n in needs if subprocess.run(["which", n], capture_output=True).returncode]
    if name == "javascript" and not missing:
        version = int(subprocess.run(["node", "--version"], capture_output=True, text=True).stdout[1:].split(".")[0])
        missing = ["node 20 or newer"] if version < 20 else []
    for n in missing:
        print(f"# {name} is not run: no {n} here")
    return not missing


def run(command, *args, env=None, folder=None, timeout=60):
    done = subprocess.run([*command, *args], capture_output=True, timeout=timeout, cwd=folder,
                          env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8", "SEMA_BINARY": BINARY, **(env or {})})
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def each(t):
    return [(n, c) for n, c in CLIENTS.items() if there(n)]


@case("the four clients: chat, stream, WebSocket, sessions, switch, the same words from each")
def clients(t):
    for name, command in each(t):
        with Server(script=TALK) as s:
            want = ("chat: Good day\nstream: Once more, \"é\"\nwebsocket: " + "x" * 250 + " end\nsession: 6 messages, 1 sessions\n"
                    f"switch: {s.env['MODEL_NAME']}\n")
            t.equal(run(command, f"http://127.0.0.1:{s.port}"), (0, want, ""), name)
            t.equal(s.get("/api/v1/sessions").json(), [], name)


@case("the four clients: the key of the environment, another model")
def key_and_model(t):
    for name, command in each(t):
        with Server(script=TALK, API_KEY="key-12345678", **OFFLINE) as s:
            status, out, err = run(command, f"http://127.0.0.1:{s.port}/", "local", "sema-guide", env={"API_KEY": "key-12345678"})
            t.equal((status, err, out.splitlines()[-1]), (0, "", "switch: sema-guide"), name)
            t.equal(s.get("/health").json()["model_name"], "sema-guide")
            status, out, err = run(command, f"http://127.0.0.1:{s.port}", "local", "sema-guide")
            t.true(status != 0 and ("401" in err or "credentials" in err), (name, status, err))


@case("the four clients: a server that is not there, a model that fails in the middle")
def bad_days(t):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    script = [{**TALK[1], "times": 1}, {"when": "*", "pieces": ["half ", {"error": "server"}]}]
    for name, command in each(t):
        status, out, err = run(command, f"http://127.0.0.1:{port}")
        t.true(status != 0 and err and "Traceback" not in err and "    at " not in err, (name, status, err))
        with Server(script=script) as s:
            status, out, err = run(command, f"http://127.0.0.1:{s.port}")
            t.true(status != 0, (name, status))
            t.true("stream" in out + err and "Failed to generate response" in err, (name, out, err))


@case("the C example asks one backend through the headers")
def one_backend(t):
    command = [os.path.join(BUILT, "one_backend")]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "answers.jsonl")
        with open(path, "w", encoding="utf-8") as f:
            f.write(json.dumps({"when": "Hello", "pieces": ["Good ", "day"], "usage": {"prompt": 3, "completion": 2}}) + "\n")
        t.equal(run(command, "scripted", path, "Hello"), (0, "Good day\n(2 tokens)\n", ""))
    for kind, model, key, address in (
            ("openai", "m", "OPENAI_API_KEY", "/v1"), ("anthropic", "claude-haiku-4-5", "ANTHROPIC_API_KEY", ""),
            ("google", "gemini-2.5-flash", "GOOGLE_API_KEY", ""), ("hf_api", "google/gemma-2b-it", "HF_API_TOKEN", "/v1"),
            ("minimax", "echo", "MINIMAX_API_KEY", "/v1/text/chatcompletion_v2")):
        with Fake({"hf_api": "huggingface"}.get(kind, kind), "--key", "your_key") as f:
            began = time.monotonic()
            status, out, err = run(command, kind, model, "Hello", f.url + address, env={key: "your_key"})
            t.equal((status, out.split("\n")[0], err), (0, "Hello", ""), kind)
            t.took(began, 0, 5, kind)
            status, out, err = run(command, kind, model, "Hello", f.url + address, env={key: "wrong_key"})
            t.equal(status, 1, kind)
            t.lacks(err, "wrong_key")
        status, _, err = run(command, kind, model, "Hello", "http://127.0.0.1:9" + address, env={key: "k"})
        t.equal(status, 1)
        t.has(err, "127.0.0.1:9")
        t.equal(run(command, kind, model, "Hello", "your_url", env={key: "k"})[0], 1)
    t.equal(run(command, "nonsense", "m", "x")[0], 2)


@case("python examples/test_backends.py, from the repository's root as printed")
def test_backends(t):
    with tempfile.TemporaryDirectory() as folder:
        status, out, err = run([sys.executable], "examples/test_backends.py", env={"HOME": folder, **OFFLINE}, folder=ROOT)
        t.equal((status, err), (0, ""))
        t.has(out, "sema-guide")
        status, out, err = run([sys.executable], "examples/test_backends.py", "--json", "--backend", "openai",
                               env={"HOME": folder, "OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}, folder=ROOT)
        t.equal((status, [r["code"] for r in json.loads(out)]), (1, ["provider_network"]))


@case("python tests/test_api.py: its own server, every check, more than zero chunks")
def test_api(t):
    with tempfile.TemporaryDirectory() as folder:
        status, out, err = run([sys.executable], "tests/test_api.py", env={"HOME": folder, **OFFLINE}, folder=ROOT)
        t.equal((status, err), (0, ""), out)
        t.true(int(re.search(r"a stream  (\d+) chunks", out)[1]) > 0, out)
        t.equal(out.splitlines()[-1], "10 of 10 checks passed")
        t.equal(os.listdir(folder), [])
    with Fake("google", "--key", "your_key") as f:
        env = {"MODEL_TYPE": "google", "MODEL_NAME": "gemma-2-9b-it", "GOOGLE_API_KEY": "your_key", "GOOGLE_GEMINI_BASE_URL": f.url}
        status, out, err = run([sys.executable], "tests/test_api.py", env=env, folder=ROOT)
        t.equal((status, err, out.splitlines()[-1]), (0, "", "10 of 10 checks passed"), out)
        t.has(out, "google gemma-2-9b-it")


@case("python tests/test_api.py: what is missing is said, and what is wrong counts")
def test_api_bad(t):
    with tempfile.TemporaryDirectory() as folder:
        env = {"HOME": folder, "MODEL_TYPE": "local", "MODEL_NAME": "google/gemma-2b-it", **OFFLINE}
        status, out, err = run([sys.executable], "tests/test_api.py", env=env, folder=ROOT)
        t.equal((status, out), (1, ""))
        t.has(err, "get them with: sema pull google/gemma-2b-it")
        status, out, err = run([sys.executable], "tests/test_api.py", env={"HOME": folder, "MODEL_TYPE": "google",
                                                                         "MODEL_NAME": "gemma-2-9b-it"}, folder=ROOT)
        t.equal((status, out), (1, ""))
        t.has(err, "config: GOOGLE_API_KEY: required for MODEL_TYPE=google")
    with Fake("google", "--key", "another") as f:
        env = {"MODEL_TYPE": "google", "MODEL_NAME": "gemma-2-9b-it", "GOOGLE_API_KEY": "your_key", "GOOGLE_GEMINI_BASE_URL": f.url}
        status, _, err = run([sys.executable], "tests/test_api.py", env=env, folder=ROOT)
        t.equal(status, 1)
        t.has(err, "GOOGLE_API_KEY")
        t.lacks(err, "your_key")
    with Server(script=[{"when": "*", "pieces": [{"error": "server"}]}]) as s:
        status, out, err = run([sys.executable], "tests/test_api.py", "--url", f"http://127.0.0.1:{s.port}", folder=ROOT)
        t.equal((status, err), (1, ""))
        t.equal(out.count("FAILED"), 4, out)
    status, out, err = run([sys.executable], "tests/test_api.py", "--url", "http://127.0.0.1:9", folder=ROOT)
    t.equal((status, out.count("FAILED"), out.splitlines()[-1]), (1, 1, "0 of 10 checks passed"))
    t.equal(err, "nobody answers there; is the server running (sema serve)?\n")


@case("python tests/test_api.py --url: with the key, everything switched off, and on the built-in model")
def test_api_url(t):
    for env in ({"API_KEY": "key-12345678"}, {"ENABLE_METRICS": "false", "ENABLE_MODEL_SWITCH": "false"}):
        with Server(script=[{"when": "*", "pieces": ["Good ", "day"]}], **env) as s:
            status, out, err = run([sys.executable], "tests/test_api.py", "--url", f"http://127.0.0.1:{s.port}/", env=env, folder=ROOT)
            t.equal((status, err, out.splitlines()[-1]), (0, "", "10 of 10 checks passed"), out)


main()
