"""sema check: a walk over a running server, and the health check of a container."""
import ssl

from harness import *

STEPS = ["health", "status", "model", "chat", "stream", "websocket", "sessions", "switch", "metrics", "v1 models", "v1 chat"]
TALK = [{"when": "*", "pieces": ["Good ", "day", "!"], "usage": {"prompt": 3, "completion": 3}}]


def check(s, *args, env=None, timeout=30):
    """The rows of a walk by their names, and the exit status."""
    status, out, err = run_sema("check", f"http://127.0.0.1:{s.port}", "--json", *args, env=env, timeout=timeout)
    if err:
        raise Failed(err)
    return status, {r["check"]: r for r in json.loads(out)}


@case("a healthy server passes each step, and keeps nothing of it")
def healthy(t):
    with Server(script=TALK) as s:
        status, rows = check(s)
        t.equal((status, list(rows), [r["text"] for r in rows.values() if not r["ok"]]), (0, STEPS, []))
        t.equal(rows["chat"]["text"], "3 tokens")
        t.match(rows["stream"]["text"], r"3 chunks, the first after \d+ ms")
        t.match(rows["websocket"]["text"], r"3 chunks, the first after \d+ ms")
        t.equal(rows["sessions"]["text"], "6 messages read, then cleared")
        t.equal(s.get("/api/v1/sessions").json(), [])
        t.equal(s.events("model_switched"), [])
        status, out, err = run_sema("check", env={"PORT": s.port})
        t.equal((status, err, out.splitlines()[0], out.splitlines()[-1]),
                (0, "", f"http://127.0.0.1:{s.port}", "11 ok, 0 skipped, 0 failed"))
        t.equal([line.split("  ")[0] for line in out.splitlines()[1:-1]], STEPS)


@case("what the server has switched off is skipped, by the setting's name")
def switched_off(t):
    with Server(script=TALK, ENABLE_STREAMING="false", ENABLE_MODEL_SWITCH="false", ENABLE_METRICS="false") as s:
        status, rows = check(s)
        t.equal((status, [n for n, r in rows.items() if r["skipped"]]), (0, ["stream", "websocket", "switch", "metrics"]))
        t.has(rows["stream"]["text"], "ENABLE_STREAMING")
        t.has(rows["switch"]["text"], "ENABLE_MODEL_SWITCH")
        t.has(rows["metrics"]["text"], "ENABLE_METRICS")
        t.equal(rows["sessions"]["text"], "2 messages read, then cleared")


@case("a key comes from API_KEY, .env or a file, and shows nowhere")
def keys(t):
    key = "key-never-shown-1"
    with Server(script=TALK, API_KEY=key) as s, tempfile.TemporaryDirectory() as folder:
        status, rows = check(s)
        t.equal((status, rows["health"]["ok"], rows["chat"]["code"]), (9, True, "unauthorized"))
        t.has(rows["chat"]["advice"], "--key-file")
        t.equal(check(s, env={"API_KEY": key})[0], 0)
        path = os.path.join(folder, "key")
        with open(path, "w", encoding="utf-8") as f:
            f.write(key + "\n")
        t.equal(check(s, "--key-file", path)[0], 0)
        os.rename(path, os.path.join(folder, ".env"))
        with open(os.path.join(folder, ".env"), "w", encoding="utf-8") as f:
            f.write(f"API_KEY={key}\nPORT={s.port}\n")
        os.chmod(f.name, 0o600)
        status, out, err = run_sema("check", folder=folder)
        t.equal((status, err), (0, ""))
        t.lacks(out, key)
        for args, said in ((("--api-key", key), "not a flag"), (("--key-file", folder + "/none"), "cannot read"),
                           (("--key-file", "/dev/null"), "is empty")):
            status, out, err = run_sema("check", *args, env={"PORT": s.port})
            t.equal((status, out), (1, ""))
            t.has(err, said)
            t.lacks(err, key)


@case("a JWT in the file is as good")
def token(t):
    secret = "s" * 32
    with Server(script=TALK, JWT_SECRET=secret) as s, tempfile.NamedTemporaryFile("w") as f:
        f.write(jwt(secret, sub="ann", exp=int(time.time()) + 60))
        f.flush()
        t.equal(check(s, "--key-file", f.name)[0], 0)


@case("failures are counted, each with its reason and what to do; the session is cleared all the same")
def failures(t):
    with Server(script=TALK, RATE_LIMIT=3) as s:
        status, rows = check(s)
        t.equal((rows["v1 chat"]["ok"], rows["v1 chat"]["code"]), (False, "rate_limit_exceeded"), rows["v1 chat"])
        t.equal(status, sum(not r["ok"] for r in rows.values()))
        t.equal(s.get("/api/v1/sessions").json(), [])
    with Server(script=[{"when": "*", "pieces": [{"error": "auth", "status": 401}]}]) as s:
        status, rows = check(s)
        t.equal([n for n, r in rows.items() if not r["ok"]], ["chat", "stream", "websocket", "v1 chat"])
        t.equal((status, rows["chat"]["code"], rows["stream"]["code"], rows["websocket"]["code"]), (4, *["provider_auth"] * 3))
        t.has(rows["chat"]["advice"], "test-backends")
        t.equal(rows["sessions"]["skipped"], True)
    with Server(script=[{"prepare": {"error": "overloaded", "times": 1000}}], wait_ready=False) as s:
        status, rows = check(s)
        t.equal((rows["health"]["ok"], rows["status"]["ok"], rows["model"]["ok"], rows["chat"]["code"]),
                (True, False, False, "model_not_ready"))
        t.has(rows["chat"]["advice"], "/api/v1/backends")


@case("a refused name says which setting; a server that is not there ends the walk")
def nobody(t):
    with Server(script=TALK, ALLOWED_HOSTS="sema.example,[::1]", wait_ready=False) as s:
        model = {"Host": "sema.example"}
        wait_until(lambda: s.get("/api/v1/health", model).json()["model_loaded"], 5, "a model")
        status, rows = check(s)
        t.equal((status, rows["health"]["code"]), (len(STEPS), "host_not_allowed"))
        t.has(rows["health"]["advice"], "ALLOWED_HOSTS")
        for names in ("sema.example", "[::1],sema.example", "::1"):
            t.equal(run_sema("check", env={"PORT": s.port, "ALLOWED_HOSTS": names})[0], 0)
        port = s.port
    status, out, err = run_sema("check", env={"PORT": port})
    t.equal((status, err, len(out.splitlines())), (1, "", 3))
    t.has(out, "connection refused; is the server running (sema serve)?")
    t.has(out, "0 ok, 0 skipped, 1 failed")


@case("--health: silent and 0, or one line and 1; by HOST, PORT and ALLOWED_HOSTS alone")
def health(t):
    with Server(script=TALK, HOST="0.0.0.0", ALLOWED_HOSTS="chat.example, sema.example", API_KEY="key-12345678", wait_ready=False) as s:
        env = {"PORT": s.port, "ALLOWED_HOSTS": "chat.example, sema.example", "MODEL_TYPE": "nonsense", "TOP_P": "wrong",
               "HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
        t.equal(run_sema("check", "--health", env=env), (0, "", ""))
        t.equal(run_sema("check", "--health", env={**env, "HOST": "0.0.0.0"}), (0, "", ""))
        seen = [e for e in s.events("http_request") if e["path"] == "/health"]
        t.equal([e["status"] for e in seen], [200, 200])
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, ".env"), "w", encoding="utf-8") as f:
                f.write(f'PORT={s.port}\nALLOWED_HOSTS=["chat.example"]\nUNKNOWN=1\nA B=c\n')
            t.equal(run_sema("check", "--health", folder=folder), (0, "", ""))
        status, out, err = run_sema("check", "--health", env={"PORT": s.port, "ALLOWED_HOSTS": "other.example"})
        t.equal((status, out, err.count("\n")), (1, "", 1))
        t.has(err, "answered 421 Host not allowed")
        port = s.port
    status, out, err = run_sema("check", "--health", env={"PORT": port})
    t.equal((status, out), (1, ""))
    t.has(err, "connection refused")
    status, out, err = run_sema("check", "--health", env={"PORT": "abc"})
    t.equal((status, out), (1, ""))
    t.has(err, "PORT")
    t.has(run_sema("check", "--health", env={"PORT": 0})[2], "PORT is 0")


@case("--health answers while the model is being made ready, and on IPv6")
def early(t):
    with Server(script=[{"prepare": {"error": "overloaded", "times": 1000}}], wait_ready=False) as s:
        t.equal(run_sema("check", "--health", env={"PORT": s.port}), (0, "", ""))
    if not socket.has_ipv6 or not os.path.exists("/proc/net/if_inet6") or "lo" not in open("/proc/net/if_inet6").read():
        return
    with Server(script=TALK, HOST="::") as s:
        t.equal(run_sema("check", "--health", env={"HOST": "::", "PORT": s.port}), (0, "", ""))
        t.equal(run_sema("check", f"http://[::1]:{s.port}/", "--json")[0], 0)


class Silent:
    """A listener that says `text` to every request, or nothing at all."""

    def __init__(self, text=b""):
        self.text = text

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()

    def run(self):
        kept = []
        while True:
            try:
                c, _ = self.listener.accept()
            except OSError:
                return
            if self.text:
                c.recv(65536)
                c.sendall(self.text)
                c.close()
            kept.append(c)


@case("a server that says nothing, or not HTTP, or is another one: within the deadline, and by name")
def strangers(t):
    began = time.monotonic()
    with Silent() as s:
        status, _, err = run_sema("check", "--health", env={"PORT": s.port})
        t.equal(status, 1)
        t.has(err, "took too long")
        t.took(began, 2, 4)
    for text, said in ((b"SSH-2.0-x\r\n", "malformed"), (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", "no JSON"),
                       (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "is this a Sema server?"),
                       (b"HTTP/1.1 301 Moved\r\nLocation: https://x.example/health\r\nContent-Length: 0\r\n\r\n",
                        "answered 301: use https://x.example/health"),
                       (b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", "unasked")):
        with Silent(text) as s:
            status, out, err = run_sema("check", env={"PORT": s.port})
            t.true(status >= 1, status)
            t.has(out, said)
    for url in ("localhost:7860", "ftp://x", "http://user:pass@x", "http://x/?a=b", "http://"):
        status, out, err = run_sema("check", url)
        t.equal((status, out, err.count("\n")), (1, "", 1), url)
        t.lacks(err, "pass")


@case("an interrupt ends the walk and clears its session")
def interrupt(t):
    script = [{"when": "*", "times": 1, "pieces": ["one"]}, {"when": "*", "pieces": ["two ", {"hang": True}]}]
    with Server(script=script) as s:
        walk = subprocess.Popen([BINARY, "check", f"http://127.0.0.1:{s.port}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, env={"HOME": s.folder, "PATH": os.environ["PATH"]}, cwd=s.folder)
        wait_until(lambda: s.metrics()["sema_active_streams"] == 1, 5, "a stream")
        t.equal(len(s.get("/api/v1/sessions").json()), 1)
        walk.send_signal(signal.SIGINT)
        out, err = walk.communicate(timeout=10)
        t.equal((walk.returncode, err), (130, ""))
        t.has(out, "chat       ok")
        wait_until(lambda: s.get("/api/v1/sessions").json() == [], 5, "the cleared session")


@case("over https, certificates checked; the WebSocket too")
def https(t):
    with tempfile.TemporaryDirectory() as folder:
        pem = os.path.join(folder, "pem")
        done = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                               "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout",
                               pem + ".key", "-out", pem], capture_output=True)
        if done.returncode:
            print("# no openssl command here: the case is not run")
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem, pem + ".key")
        with Server(script=TALK) as s:
            listener = socket.create_server(("127.0.0.1", 0))

            def pump(a, b):
                try:
                    while (data := a.recv(65536)):
                        b.sendall(data)
                except OSError:
                    pass
                for c in (a, b):
                    try:
                        c.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass

            def accept():
                while True:
                    try:
                        c, _ = listener.accept()
                        c = context.wrap_socket(c, server_side=True)
                        up = socket.create_connection(("127.0.0.1", s.port))
                    except ssl.SSLError:
                        continue
                    except OSError:
                        return
                    threading.Thread(target=pump, args=(c, up), daemon=True).start()
                    threading.Thread(target=pump, args=(up, c), daemon=True).start()
            threading.Thread(target=accept, daemon=True).start()
            url = f"https://localhost:{listener.getsockname()[1]}"
            status, out, err = run_sema("check", url, env={"SSL_CERT_FILE": pem})
            t.equal((status, err, out.splitlines()[-1]), (0, "", "11 ok, 0 skipped, 0 failed"))
            status, out, err = run_sema("check", url)
            t.equal((status, len(out.splitlines())), (1, 3))
            t.has(out, "TLS")
            listener.close()


main()
