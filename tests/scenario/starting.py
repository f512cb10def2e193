"""Start and stop: the start line, what ends a start, signals, and where secrets are not."""
import os
import signal
import socket
import threading
import time

from program import LIMIT, Folder, contains, equal, main

HANGS = '{"when":"hang","pieces":["one ",{"hang":true}]}\n{"when":"slow","pieces":[{"wait_ms":600,"text":"late"}]}\n'


def scripted(f, text='{"when":"*","pieces":["fine"]}\n'):
    return {"MODEL_TYPE": "scripted", "MODEL_NAME": f.file("script.jsonl", text)}


def test_one_line_says_model_address_and_how_to_get_a_larger_one():
    with Folder() as f, f.serve() as s:
        lines = s.stderr().splitlines()
        equal(len(lines), 1)
        contains(lines[0], "sema-guide", f"http://127.0.0.1:{s.port}", "MODEL_NAME")
        s.ready()
        equal(s.stop(), 0)
        contains(" ".join(s.events()), "application_startup", "chat_services_initialized", "application_shutdown")
        start = s.log()[0]
        equal((start["event"], start["model_type"], start["model_name"]), ("application_startup", "local", "sema-guide"))


def test_an_open_server_warns():
    with Folder() as f, f.serve(HOST="0.0.0.0") as s:
        contains(s.stderr(), "warning: HOST: 0.0.0.0 is open to other machines")
        equal(s.stop(), 0)
        contains(s.events(), "configuration_warning")


def test_a_taken_port_is_one_line_and_status_3():
    with Folder() as f, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        r = f.run("serve", HOST="127.0.0.1", PORT=port, SESSION_STORE="memory:")
        equal((r.returncode, r.stderr), (3, f"startup: cannot listen on 127.0.0.1:{port}: Address already in use\n"))


def test_a_file_that_is_no_database_is_left_alone():
    with Folder() as f:
        path = f.file("notes.txt", "not a database, but mine" * 100)
        r = f.run("serve", HOST="127.0.0.1", PORT="0", SESSION_STORE=path)
        equal((r.returncode, r.stderr),
              (3, f"startup: cannot open the session store {path}: file is not a database\n"))
        with open(path, encoding="utf-8") as text:
            equal(text.read(), "not a database, but mine" * 100)


def test_no_place_for_sessions_names_the_setting():
    with Folder() as f:
        r = f.run("serve", HOME=None, HOST="127.0.0.1", PORT="0")
        equal(r.returncode, 3)
        contains(r.stderr, "startup: ", "SESSION_STORE")


def test_missing_model_files_end_the_start():
    with Folder() as f:
        r = f.run("serve", HOST="127.0.0.1", PORT="0", SESSION_STORE="memory:", MODEL_NAME="x/y")
        equal(r.returncode, 3)
        contains(r.stderr, 'startup: model "x/y": no such files in ', "sema pull x/y")


def test_a_model_directory_that_is_broken_ends_the_start_with_the_reason():
    with Folder() as f:
        os.makedirs(f.path + "/models/broken")
        f.file("models/broken/config.json", "{")
        f.file("models/broken/model.safetensors", "x" * 64)
        r = f.run("serve", HOST="127.0.0.1", PORT="0", SESSION_STORE="memory:", MODEL_NAME="broken",
                  MODEL_PATH=f.path + "/models")
        equal(r.returncode, 3)
        last = r.stderr.splitlines()[-1]
        contains(last, 'startup: model "broken"')


def test_it_answers_503_while_the_model_is_made_ready():
    with Folder() as f:
        with f.serve(**scripted(f, '{"prepare":{"wait_ms":700}}\n{"when":"*","pieces":["fine"]}\n')) as s:
            status, body = s.chat("hello")
            equal((status, body["code"]), (503, "model_not_ready"))
            s.ready()
            equal(s.chat("hello")[1]["message"], "fine")
            equal(s.stop(), 0)


def answer_of(s, message, into):
    into.append(s.chat(message, message))


def test_sigterm_lets_a_running_answer_finish():
    with Folder() as f, f.serve(**scripted(f, HANGS)) as s:
        s.ready()
        got = []
        asking = threading.Thread(target=answer_of, args=(s, "slow", got))
        asking.start()
        time.sleep(0.2)
        s.signal(signal.SIGTERM)
        time.sleep(0.1)
        try:
            socket.create_connection(("127.0.0.1", s.port), timeout=1).close()
            raise AssertionError("it still accepts")
        except ConnectionRefusedError:
            pass
        asking.join()
        equal((got[0][0], got[0][1]["message"]), (200, "late"))
        equal(s.wait(), 0)


def test_shutdown_timeout_ends_what_is_left():
    with Folder() as f, f.serve(SHUTDOWN_TIMEOUT="0.3", **scripted(f, HANGS)) as s:
        s.ready()
        got = []
        asking = threading.Thread(target=answer_of, args=(s, "hang", got))
        asking.start()
        time.sleep(0.2)
        began = time.monotonic()
        equal(s.stop(), 0)
        took = time.monotonic() - began
        asking.join()
        equal((got[0][0], got[0][1]["code"]), (503, "shutting_down"))
        assert 0.2 < took < 3, took


def test_a_second_signal_ends_at_once():
    with Folder() as f, f.serve(**scripted(f, HANGS)) as s:
        s.ready()
        with socket.create_connection(("127.0.0.1", s.port), timeout=LIMIT) as c:
            c.sendall(b"GET /api/v1/chat/stream?message=hang&session_id=a HTTP/1.1\r\nHost: localhost\r\n\r\n")
            c.recv(100)
            s.signal(signal.SIGINT)
            time.sleep(0.2)
            assert s.process.poll() is None
            s.signal(signal.SIGINT)
            equal(s.wait(2), 0)


def test_sighup_opens_the_log_anew():
    with Folder() as f:
        path = f.path + "/sema.log"
        with f.serve(LOG_FILE=path, **scripted(f)) as s:
            s.ready()
            os.rename(path, path + ".1")
            s.signal(signal.SIGHUP)
            s.until(lambda: os.path.exists(path))
            s.request("GET", "/health")
            s.until(lambda: "/health" in open(path, encoding="utf-8").read())
            equal(s.stop(), 0)


def test_several_loops_serve_and_stop():
    with Folder() as f, f.serve(WORKERS="4", **scripted(f)) as s:
        s.ready()
        for i in range(40):
            equal(s.chat("hello", f"s{i}")[0], 200)
        equal(s.request("GET", "/api/v1/health")[1]["active_sessions"], 40)
        equal(s.stop(), 0)


def test_memory_of_a_rush_goes_back():
    with Folder() as f, f.serve(MAX_CONCURRENT_STREAMS="0", RATE_LIMIT="0", **scripted(f, HANGS)) as s:
        s.ready()
        before = s.resident()
        rush = []
        for i in range(400):
            c = socket.create_connection(("127.0.0.1", s.port), timeout=LIMIT)
            c.sendall(b"GET /api/v1/chat/stream?message=hang&session_id=%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % i)
            rush.append(c)
        for c in rush:
            c.recv(1)
        during = s.resident()
        for c in rush:
            c.close()
        if "SAN_OPTIONS" not in " ".join(os.environ):  # sanitizers keep what is freed
            s.until(lambda: s.resident() < before + (2 << 20))
        assert during > before
        equal(s.stop(), 0)


def test_secrets_are_in_no_list_of_processes_and_no_core():
    with Folder() as f, f.serve(API_KEY="geheim-geheim", openai_api_key="sk-geheim", **scripted(f)) as s:
        s.ready()
        for name in ("environ", "cmdline"):
            with open(f"/proc/{s.process.pid}/{name}", "rb") as text:
                assert b"geheim" not in text.read(), name
        with open(f"/proc/{s.process.pid}/limits", encoding="utf-8") as text:
            core = next(line for line in text if line.startswith("Max core file size"))
        equal(core.split()[4:6], ["0", "0"])
        equal(s.request("GET", "/api/v1/sessions", headers={"X-API-Key": "geheim-geheim"})[0], 200)
        equal(s.stop(), 0)
        assert "geheim" not in s.stderr() and "geheim" not in str(s.log())


main(globals())
