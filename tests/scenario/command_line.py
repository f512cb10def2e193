"""The command line: help, mistakes, settings, stored conversations, a conversation in the terminal."""
import json
import signal
import subprocess

from program import LIMIT, SEMA, Folder, contains, equal, main


def test_without_a_command_it_tells_what_there_is():
    with Folder() as f:
        for args in ([], ["--help"], ["-h"], ["help"]):
            r = f.run(*args)
            equal((r.returncode, r.stderr), (0, ""))
            contains(r.stdout, "usage: sema COMMAND", "serve", "chat", "sessions", "config")


def test_every_command_has_help_and_version():
    with Folder() as f:
        commands = [line.split()[0] for line in f.run("help").stdout.splitlines()
                    if line.startswith("  ") and line.strip()]
        assert len(commands) >= 6, commands
        for name in commands:
            r = f.run(name, "--help")
            equal((r.returncode, r.stderr), (0, ""))
            contains(r.stdout, "usage: sema " + name)
            r = f.run(name, "--version")
            equal((r.returncode, r.stdout.split()[0]), (0, "sema"))


def test_serve_help_lists_every_setting_but_the_secrets():
    with Folder() as f:
        text = f.run("serve", "--help").stdout
        contains(text, "--model-type", "--max-new-tokens", "--env-file", "1..2048", "OPENAI_API_KEY")
        assert "--openai-api-key" not in text and "scripted" not in text


def test_a_wrong_word_is_one_line():
    with Folder() as f:
        for args, said in ((["servr"], "unknown command \"servr\""), (["--port", "1"], "flags come after the command"),
                           (["chat", "hello"], "unexpected argument"), (["version", "--nope"], "unknown flag --nope"),
                           (["sessions", "lst"], "none of list, show, export, delete"),
                           (["config", "--document", "x"], "one of env, markdown, man")):
            r = f.run(*args)
            equal((r.returncode, r.stdout, r.stderr.count("\n")), (1, "", 1))
            contains(r.stderr, said)


def test_all_mistakes_of_the_settings_are_named_at_once():
    with Folder() as f:
        f.file(".env", "MODEL_TYPE=google\nMODEL_NAME=x\nTOP_P=7\n")
        for command in ("config", "serve"):
            r = f.run(command, "--prt", "1", PORT="abc", API_KEY="kurz")
            equal(r.returncode, 1)
            equal(r.stderr.splitlines(),
                  ["config: --prt: unknown flag; did you mean --port?",
                   'config: PORT: expected an integer, got "abc"',
                   "config: TOP_P: must be between 0 and 1, got 7",
                   "config: API_KEY: at least 8 characters",
                   "config: GOOGLE_API_KEY: required for MODEL_TYPE=google"])


def test_config_shows_value_and_origin_and_no_secret():
    with Folder() as f:
        f.file(".env", "RATE_LIMIT=7\nJWT_SECRET=" + "s" * 40 + "\n")
        r = f.run("config", "--top-k", "3", "--host=::1", OPENAI_API_KEY='"sk-geheim"')
        equal(r.returncode, 0)
        contains(r.stdout, "TOP_K = 3  (flag)", "RATE_LIMIT = 7  (.env line 1)", "JWT_SECRET = ***  (.env line 2)",
                 "OPENAI_API_KEY = ***  (environment)", "MODEL_NAME = sema-guide  (default)")
        contains(r.stderr, "OPENAI_API_KEY: took off the quotes")
        assert "geheim" not in r.stdout + r.stderr and "sss" not in r.stdout + r.stderr
        settings = json.loads(f.run("config", "--json").stdout)
        equal(settings["RATE_LIMIT"], {"value": 7, "source": "env_file", "file": ".env", "line": 1})


def test_a_secret_on_the_command_line_is_refused_and_not_repeated():
    with Folder() as f:
        r = f.run("config", "--api-key", "geheim-geheim")
        equal(r.returncode, 1)
        contains(r.stderr, "config: API_KEY: not a flag")
        assert "geheim" not in r.stdout + r.stderr


def test_sessions_are_listed_shown_exported_and_deleted_beside_a_running_server():
    with Folder() as f, f.serve() as s:
        s.ready()
        equal(s.chat("hello", "first")[0], 200)
        equal(s.chat("hello", "second/\u00e9")[0], 200)
        store = {"SESSION_STORE": "sqlite:" + f.path + "/sema.db", "MODEL_TYPE": "nonsense"}
        rows = [json.loads(line) for line in f.run("sessions", "list", "--json", **store).stdout.splitlines()]
        equal([(r["session_id"], r["message_count"], r["model_name"]) for r in rows],
              [("first", 2, "sema-guide"), ("second/\u00e9", 2, "sema-guide")])
        contains(f.run("sessions", **store).stdout, "first", "second/\u00e9")
        contains(f.run("sessions", "show", "first", **store).stdout, "user\nhello\n", "assistant\n")
        out = f.run("sessions", "export", **store).stdout
        exported = [json.loads(line) for line in out.splitlines()]
        equal([m["role"] for m in exported[1]["messages"]], ["user", "assistant"])
        equal(f.run("sessions", "delete", "first", **store).returncode, 0)
        equal(s.request("GET", "/api/v1/sessions/first")[0], 404)
        equal(s.request("GET", "/api/v1/sessions/second%2F%C3%A9")[0], 200)
        r = f.run("sessions", "show", "first", **store)
        equal((r.returncode, r.stderr), (1, 'sema sessions: no session "first"; sema sessions list shows them\n'))


def test_sessions_without_a_store_make_none():
    with Folder() as f:
        r = f.run("sessions", SESSION_STORE=f.path + "/none.db")
        equal(r.returncode, 1)
        contains(r.stderr, "there is no session store at")
        r = f.run("sessions", SESSION_STORE="memory:")
        equal(r.returncode, 1)


def test_chat_answers_each_line_of_a_pipe():
    with Folder() as f:
        r = f.run("chat", stdin="hello\n\n/new\nHow do I use OpenAI?\n/quit\nnever asked\n")
        equal((r.returncode, r.stderr), (0, ""))
        contains(r.stdout, "(a new conversation)", "MODEL_TYPE=openai")
        equal(len(r.stdout.splitlines()), 3)


def test_chat_talks_with_a_server():
    with Folder() as f, f.serve(API_KEY="geheim-geheim") as s:
        s.ready()
        url = f"http://127.0.0.1:{s.port}"
        r = f.run("chat", "--url", url + "/", stdin="How do I use OpenAI?", API_KEY="geheim-geheim")
        equal((r.returncode, r.stderr), (0, ""))
        contains(r.stdout, "MODEL_TYPE=openai")
        r = f.run("chat", "--url", url, stdin="hello\n")
        equal(r.returncode, 1)
        contains(r.stderr, "401", "API_KEY")
        equal(s.stop(), 0)
        r = f.run("chat", "--url", url, stdin="hello\n")
        equal(r.returncode, 1)
        equal(r.stderr.count("\n"), 1)


def test_an_interrupt_stops_the_answer_and_not_the_conversation():
    with Folder() as f:
        path = f.file("script.jsonl", '{"when":"hang","pieces":["one ",{"hang":true}]}\n{"when":"*","pieces":["two"]}\n')
        chat = subprocess.Popen([SEMA, "chat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=f.path,
                                env=f.env({"MODEL_TYPE": "scripted", "MODEL_NAME": path}))
        chat.stdin.write("hang\n")
        chat.stdin.flush()
        equal(chat.stdout.read(4), "one ")
        chat.send_signal(signal.SIGINT)
        equal(chat.communicate("again\n", timeout=LIMIT)[0], "\n(stopped)\ntwo\n")
        equal(chat.returncode, 0)


def test_chat_with_a_model_that_is_not_there():
    with Folder() as f:
        r = f.run("chat", stdin="hello\n", MODEL_NAME="a/b")
        equal(r.returncode, 3)
        equal(r.stderr.splitlines()[0][:33], 'startup: model "a/b": no such fil')


main(globals())
