"""The command line: help, mistakes, settings, stored conversations, a conversation in the terminal."""
from harness import *


def sema(*args, folder=None, stdin="", **env):
    """A command of a bare machine, to its end: status, output, errors."""
    return run_sema(*args, env={"HF_HUB_OFFLINE": "1", **env}, folder=folder, stdin=stdin.encode())


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8", newline="") as f:
        f.write(text)
    os.chmod(path, 0o600)
    return path


def contains(t, text, *parts):
    for part in parts:
        t.true(part in text, f"{part!r} in {text[:2000]!r}")


@case("without a command it tells what there is")
def alone(t):
    for args in ([], ["--help"], ["-h"], ["help"]):
        status, out, err = sema(*args)
        t.equal((status, err), (0, ""))
        contains(t, out, "usage: sema COMMAND", "serve", "chat", "sessions", "config")


@case("every command has help and version")
def help_everywhere(t):
    commands = re.findall(r"^  ([a-z-]+)", sema("help")[1], re.M)
    t.true(len(commands) >= 10, commands)
    for name in commands:
        status, out, err = sema(name, "--help")
        t.equal((status, err), (0, ""))
        contains(t, out, "usage: sema " + name)
        status, out, _ = sema(name, "--version")
        t.equal((status, out.split()[0]), (0, "sema"))


@case("serve --help lists every setting but the secrets")
def serve_help(t):
    text = sema("serve", "--help")[1]
    contains(t, text, "--model-type", "--max-new-tokens", "--env-file", "1..2048", "OPENAI_API_KEY")
    t.true("--openai-api-key" not in text and "scripted" not in text)


@case("a wrong word is one line")
def wrong_words(t):
    for args, said in ((["servr"], 'unknown command "servr"'), (["--port", "1"], "flags come after the command"),
                       (["chat", "hello"], "unexpected argument"), (["version", "--nope"], "unknown flag --nope"),
                       (["sessions", "lst"], "none of list, show, export, delete"),
                       (["config", "--document", "x"], "one of env, markdown, man")):
        status, out, err = sema(*args)
        t.equal((status, out, err.count("\n")), (1, "", 1))
        contains(t, err, said)


@case("all mistakes of the settings are named at once")
def mistakes(t):
    with tempfile.TemporaryDirectory() as folder:
        write(folder, ".env", "MODEL_TYPE=google\nMODEL_NAME=x\nTOP_P=7\n")
        for command in ("config", "serve"):
            status, _, err = sema(command, "--prt", "1", folder=folder, PORT="abc", API_KEY="kurz")
            t.equal(status, 1)
            t.equal(err.splitlines(), ["config: --prt: unknown flag; did you mean --port?",
                                       'config: PORT: expected an integer, got "abc"',
                                       "config: TOP_P: must be between 0 and 1, got 7",
                                       "config: API_KEY: at least 8 characters",
                                       "config: GOOGLE_API_KEY: required for MODEL_TYPE=google"])


@case("config shows value and origin, and no secret")
def config(t):
    with tempfile.TemporaryDirectory() as folder:
        write(folder, ".env", "RATE_LIMIT=7\nJWT_SECRET=" + "s" * 40 + "\n")
        status, out, err = sema("config", "--top-k", "3", "--host=::1", folder=folder, OPENAI_API_KEY='"sk-geheim"')
        t.equal(status, 0)
        contains(t, out, "TOP_K = 3  (flag)", "RATE_LIMIT = 7  (.env line 1)", "JWT_SECRET = ***  (.env line 2)",
                 "OPENAI_API_KEY = ***  (environment)", "MODEL_NAME = sema-guide  (default)")
        contains(t, err, "OPENAI_API_KEY: took off the quotes")
        t.true("geheim" not in out + err and "sss" not in out + err)
        settings = json.loads(sema("config", "--json", folder=folder)[1])
        t.equal(settings["RATE_LIMIT"], {"value": 7, "source": "env_file", "file": ".env", "line": 1})


@case("a secret on the command line is refused and not repeated")
def secret_flag(t):
    status, out, err = sema("config", "--api-key", "geheim-geheim")
    t.equal(status, 1)
    contains(t, err, "config: API_KEY: not a flag")
    t.true("geheim" not in out + err)


@case("a session's id cannot fake a row of the list")
def faked_row(t):
    with Server() as s:
        store = {"SESSION_STORE": s.env["SESSION_STORE"]}
        s.post("/api/v1/chat", {"message": "x", "session_id": "one\ntwo\x1b[2J"})
        status, out, _ = run_sema("sessions", "list", env=store)
        t.equal(status, 0)
        t.true("one?two?[2J" in out and not any(line.startswith("two") for line in out.splitlines()), out)


@case("sessions are listed, shown, exported and deleted beside a running server")
def sessions(t):
    with Server(script=[{"when": "*", "pieces": ["fine"]}]) as s:
        t.equal(s.chat("hello", "first").status, 200)
        t.equal(s.chat("hello", "second/\u00e9").status, 200)
        # Settings of the server that are wrong here do not matter to this command.
        store = {"SESSION_STORE": s.env["SESSION_STORE"], "MODEL_TYPE": "nonsense"}
        rows = [json.loads(line) for line in sema("sessions", "list", "--json", **store)[1].splitlines()]
        t.equal([(r["session_id"], r["message_count"]) for r in rows], [("first", 2), ("second/\u00e9", 2)])
        contains(t, sema("sessions", **store)[1], "first", "second/\u00e9")
        contains(t, sema("sessions", "show", "first", **store)[1], "user\nhello\n", "assistant\nfine\n")
        exported = [json.loads(line) for line in sema("sessions", "export", **store)[1].splitlines()]
        t.equal([[m["content"] for m in e["messages"]] for e in exported], [["hello", "fine"]] * 2)
        t.equal(sema("sessions", "delete", "first", **store)[0], 0)
        t.equal(s.get("/api/v1/sessions/first").status, 404)
        t.equal(s.get("/api/v1/sessions/second%2F%C3%A9").status, 200)
        status, _, err = sema("sessions", "show", "first", **store)
        t.equal((status, err), (1, 'sema sessions: no session "first"; sema sessions list shows them\n'))


@case("sessions of several owners are told apart")
def owners(t):
    secret = "s" * 32
    with Server(script=[{"when": "*", "pieces": ["fine"]}], JWT_SECRET=secret) as s:
        for user in ("ann", "bob"):
            token = jwt(secret, sub=user, exp=int(time.time()) + 60)
            t.equal(s.chat("from " + user, "same", {"Authorization": "Bearer " + token}).status, 200)
        store = {"SESSION_STORE": s.env["SESSION_STORE"]}
        rows = [json.loads(line) for line in sema("sessions", "--json", **store)[1].splitlines()]
        t.equal(len({r["owner"] for r in rows}), 2)
        status, _, err = sema("sessions", "show", "same", **store)
        t.equal(status, 1)
        contains(t, err, '2 owners have a session "same"; name one with --owner')
        texts = [sema("sessions", "show", "same", "--owner", r["owner"], **store)[1] for r in rows]
        t.true("from ann" in texts[0] and "from bob" in texts[1], texts)


@case("sessions without a store make none")
def no_store(t):
    with tempfile.TemporaryDirectory() as folder:
        status, _, err = sema("sessions", SESSION_STORE=folder + "/none.db")
        t.equal(status, 1)
        contains(t, err, "there is no session store at")
        t.equal(os.listdir(folder), [])
    t.equal(sema("sessions", SESSION_STORE="memory:")[0], 1)


@case("chat answers each line of a pipe")
def pipe(t):
    status, out, err = sema("chat", stdin="hello\n\n/new\nHow do I use OpenAI?\n/quit\nnever asked\n")
    t.equal((status, err), (0, ""))
    contains(t, out, "(a new conversation)", "MODEL_TYPE=openai")
    t.equal(len(out.splitlines()), 3)


@case("chat talks with a server")
def with_server(t):
    with Server(script=[{"when": "*", "pieces": ["over ", "there"]}], API_KEY="geheim-geheim") as s:
        url = f"http://127.0.0.1:{s.port}"
        t.equal(sema("chat", "--url", url + "/", stdin="hello", API_KEY="geheim-geheim"), (0, "over there\n", ""))
        status, _, err = sema("chat", "--url", url, stdin="hello\n")
        t.equal(status, 1)
        contains(t, err, "401", "API_KEY")
        t.equal(s.stop(), 0)
        status, _, err = sema("chat", "--url", url, stdin="hello\n")
        t.equal((status, err.count("\n")), (1, 1))
        contains(t, err, str(s.port))


@case("an interrupt stops the answer and not the conversation")
def interrupt(t):
    with tempfile.TemporaryDirectory() as folder:
        path = write(folder, "script.jsonl", '{"when":"hang","pieces":["one ",{"hang":true}]}\n'
                                             '{"when":"*","pieces":["two"]}\n')
        chat = subprocess.Popen([BINARY, "chat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder,
                                env={**os.environ, "HOME": folder, "MODEL_TYPE": "scripted", "MODEL_NAME": path})
        chat.stdin.write("hang\n")
        chat.stdin.flush()
        t.equal(chat.stdout.read(4), "one ")
        chat.send_signal(signal.SIGINT)
        t.equal(chat.communicate("again\n", timeout=20)[0], "\n(stopped)\ntwo\n")
        t.equal(chat.returncode, 0)


@case("chat with a model that is not there is one line and status 3")
def missing(t):
    status, out, err = sema("chat", stdin="hello\n", MODEL_NAME="a/b")
    t.equal((status, out, err.count("\n")), (3, "", 1))
    contains(t, err, 'startup: model "a/b": no such files in ')


main()
