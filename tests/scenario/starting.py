"""Start and end of the server: the start line, what ends a start, signals, and where secrets are not.  How a
stop drains is in drain.py."""
from harness import *

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
        if not any(name.endswith("SAN_OPTIONS") for name in os.environ):  # sanitizers keep what is freed
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
