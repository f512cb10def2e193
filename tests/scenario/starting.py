"""Start and end of the server: the start line, what ends a start, signals, and where secrets are not.  How a
stop drains is in drain.py."""
import http.server

from harness import *
from harness import sanitized

HANG = [{"when": "hang", "pieces": ["one ", {"hang": True}]}, {"when": "*", "pieces": ["fine"]}]


def serve(*args, unset=(), folder=None, **env):
    """A start that ends by itself: status and errors."""
    env = {"HOST": "127.0.0.1", "PORT": "0", "SESSION_STORE": "memory:", "HF_HUB_OFFLINE": "1", **env}
    status, _, err = run_sema("serve", *args, env={k: v for k, v in env.items() if k not in unset}, folder=folder)
    return status, err


@case("one line says model, address and how to get a larger one")
def start_line(t):
    with Server(unset=["MODEL_TYPE", "MODEL_NAME"], HF_HUB_OFFLINE="1") as s:
        lines = s.errors().splitlines()
        t.equal(len(lines), 1)
        for part in ("sema-guide", f"http://127.0.0.1:{s.port}", "MODEL_NAME"):
            t.true(part in lines[0], lines[0])
        t.equal(s.get("/health").json()["model_name"], "sema-guide")
        t.equal(s.stop(), 0)
        first = s.events()[0]
        t.equal((first["event"], first["model_type"], first["model_name"]), ("application_startup", "local", "sema-guide"))
        t.equal((len(s.events("chat_services_initialized")), len(s.events("application_shutdown"))), (1, 1))


@case("an open server warns on the terminal and in the log")
def open_server(t):
    with Server(HOST="0.0.0.0") as s:
        t.true("warning: HOST: 0.0.0.0 is open to other machines" in s.errors(), s.errors())
        t.equal(len(s.events("configuration_warning")), 1)


@case("a taken port is one line and status 3")
def taken_port(t):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        t.equal(serve(PORT=port), (3, f"startup: cannot listen on 127.0.0.1:{port}: Address already in use\n"))


@case("a file that is no database ends the start and is left alone")
def no_database(t):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "notes.txt")
        text = "not a database, but mine " * 100
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        t.equal(serve(SESSION_STORE=path), (3, f"startup: cannot open the session store {path}: file is not a database\n"))
        with open(path, encoding="utf-8") as f:
            t.equal(f.read(), text)


@case("no place for sessions names the setting")
def no_place(t):
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([BINARY, "serve"], cwd=folder, env={"HOST": "127.0.0.1", "PORT": "0"}, capture_output=True,
                              text=True, timeout=20)
        t.equal(done.returncode, 3)
        t.true(done.stderr.startswith("startup: ") and "SESSION_STORE" in done.stderr, done.stderr)


@case("missing model files end the start")
def missing_model(t):
    status, err = serve(MODEL_NAME="x/y")
    t.equal(status, 3)
    t.match(err.splitlines()[-1], r'startup: model "x/y": no such files in .*; get them with: sema pull x/y')


@case("a broken model directory ends the start with the reason")
def broken_model(t):
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(folder + "/broken")
        for name, text in (("config.json", "{"), ("model.safetensors", "x" * 64)):
            with open(os.path.join(folder, "broken", name), "w", encoding="utf-8") as f:
                f.write(text)
        status, err = serve(MODEL_NAME="broken", MODEL_PATH=folder)
        t.equal(status, 3)
        t.match(err.splitlines()[-1], r'startup: model "broken": .*safetensors.*')


@case("a script that cannot be read ends the start")
def broken_script(t):
    status, err = serve(MODEL_TYPE="scripted", MODEL_NAME="/x/y.jsonl")
    t.equal(status, 3)
    t.match(err.splitlines()[-1], r"startup: .*/x/y\.jsonl.*")


@case("it answers 503 while the model is made ready")
def not_ready(t):
    script = [{"prepare": {"wait_ms": 700}}, {"when": "*", "pieces": ["fine"]}]
    with Server(script=script, wait_ready=False) as s:
        r = s.chat("hello")
        t.equal((r.status, r.code), (503, "model_not_ready"))
        t.true(r.header("Retry-After") is not None)
        wait_until(lambda: s.get("/api/v1/health").json()["model_loaded"])
        t.equal(s.chat("hello").json()["message"], "fine")


@case("what may pass is tried again, with the server up")
def may_pass(t):
    script = [{"prepare": {"error": "network", "times": 1}}, {"when": "*", "pieces": ["fine"]}]
    with Server(script=script) as s:
        t.equal(s.chat("hello").json()["message"], "fine")


class Provider(http.server.ThreadingHTTPServer):
    """Answers its free call, the list of models, with one status."""

    def __init__(self, status):
        self.status = status
        self.asked = []
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.base = f"http://127.0.0.1:{self.server_port}/v1"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Authorization")))
        body = json.dumps({"data": [{"id": "m"}]} if self.server.status == 200 else {"error": {"message": "no"}}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@case("a provider that refuses the key ends the start")
def refused_key(t):
    provider = Provider(401)
    status, err = serve(MODEL_TYPE="openai", MODEL_NAME="m", OPENAI_BASE_URL=provider.base, OPENAI_API_KEY="sk-geheim")
    t.equal((status, err.splitlines()[-1]), (3, "startup: MODEL_TYPE=openai: the provider rejected OPENAI_API_KEY (401)"))
    t.equal(provider.asked, [("/v1/models", "Bearer sk-geheim")])
    t.lacks(err, "geheim")


@case("a provider that accepts it, or another model of the chain, and it serves")
def accepted_key(t):
    provider, refusing = Provider(200), Provider(401)
    with Server(MODEL_TYPE="openai", MODEL_NAME="m", OPENAI_BASE_URL=provider.base, OPENAI_API_KEY='"sk-x"') as s:
        t.equal(provider.asked, [("/v1/models", "Bearer sk-x")])
        t.true(s.memory_kb() < 10 * 1024 or sanitized(), f"{s.memory_kb()} kB")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "s.jsonl")
        with open(path, "w", encoding="utf-8") as f:
            f.write('{"when":"*","pieces":["second"]}\n')
        with Server(MODEL_TYPE="openai", MODEL_NAME="m", OPENAI_BASE_URL=refusing.base, OPENAI_API_KEY="sk-x",
                    FALLBACK_MODELS="scripted/" + path) as s:
            t.equal(s.chat("hello").json()["message"], "second")


@case("a provider that is not there is tried again, with the server up")
def unreachable(t):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{nobody.getsockname()[1]}/v1"
        with Server(MODEL_TYPE="openai", MODEL_NAME="m", OPENAI_BASE_URL=base, wait_ready=False) as s:
            time.sleep(0.3)
            r = s.chat("hello")
            t.equal((r.status, r.code), (503, "model_not_ready"))
            t.true(s.alive())
            t.equal(s.stop(), 0)


@case("SIGHUP opens the log anew")
def reopened_log(t):
    with tempfile.TemporaryDirectory() as folder:
        path = folder + "/sema.log"
        with Server(LOG_FILE=path) as s:
            os.rename(path, path + ".1")
            s.process.send_signal(signal.SIGHUP)
            wait_until(lambda: os.path.exists(path))
            s.get("/status")
            with open(path, encoding="utf-8") as f:
                wait_until(lambda: "/status" in f.read())


@case("several loops serve and stop")
def several_loops(t):
    with Server(WORKERS="4") as s:
        for i in range(40):
            t.equal(s.chat("hello", f"s{i}").status, 200)
        t.equal(s.get("/api/v1/health").json()["active_sessions"], 40)
        t.equal(s.stop(), 0)


@case("memory of a rush goes back")
def memory(t):
    with Server(script=HANG, MAX_CONCURRENT_STREAMS="0") as s:
        s.sse("hang", "first").event()
        before = s.memory_kb()
        rush = [s.sse("hang", f"s{i}") for i in range(300)]
        for e in rush:
            e.event()
        t.true(s.memory_kb() > before)
        for e in rush:
            e.close()
        if not sanitized():  # they keep what is freed
            wait_until(lambda: s.memory_kb() < before + 2048, 10)


@case("secrets are in no list of processes, no core, no log")
def secrets(t):
    with Server(API_KEY="geheim-geheim", openai_api_key="sk-geheim", unset=[]) as s:
        for name in ("environ", "cmdline"):
            with open(f"/proc/{s.process.pid}/{name}", "rb") as f:
                t.true(b"geheim" not in f.read(), name)
        with open(f"/proc/{s.process.pid}/limits", encoding="utf-8") as f:
            core = next(line for line in f if line.startswith("Max core file size"))
        t.equal(core.split()[4:6], ["0", "0"])
        t.equal(s.get("/api/v1/sessions", {"X-API-Key": "geheim-geheim"}).status, 200)
        t.equal(s.stop(), 0)
        t.true("geheim" not in s.errors() + s.log_text())


main()
