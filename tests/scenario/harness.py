"""The real program under test, and clients for it in plain Python.

A scenario file is a list of cases and a last line:

    from harness import *

    @case("a session's turns come in order")
    def turns(t):
        with Server(RATE_LIMIT=0) as s:
            t.equal(s.post("/api/v1/chat", {...}).status, 200)

    main()

Each case is one TAP line; a failed check shows what it got, what it wanted and the server's last words.
Servers listen on 127.0.0.1 at a port the kernel picks, store in a folder of their own, and answer from a
script (docs/how-it-works/scripted.md): `script=[{"when": ..., "pieces": [...]}]`.
"""
import base64
import hashlib
import hmac
import json
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.parse
import urllib.request

__all__ = [
    "Server", "Upstream", "Fake", "Response", "Raw", "Sse", "WebSocket", "Closed", "Failed", "Skipped", "case", "main", "jwt", "quote",
    "Chain", "wait_until", "json", "os", "re", "signal", "socket", "struct", "subprocess", "sys", "tempfile", "threading", "time",
    "BINARY", "run_sema", "sanitized",
]

BUILD = os.environ.get("SEMA_BUILD_ROOT") or os.path.join(os.path.dirname(__file__), "..", "..", "build")
BINARY = os.path.abspath(os.environ.get("SEMA_BINARY") or next(
    (p for p in (os.path.join(BUILD, "src", "sema"), os.path.join(BUILD, "sema")) if os.path.isfile(p)),
    os.path.join(BUILD, "src", "sema")))


def sanitized():
    with open(BINARY, "rb") as f:
        data = f.read()
    return any(name in data for name in (b"libasan.so", b"libtsan.so", b"__asan_init", b"__tsan_init"))


# Sanitizers and busy machines are slow: every wait of a test is stretched by this.
SLOW = float(os.environ.get("SEMA_TEST_SLOW", "1"))


class Failed(Exception):
    pass


class Skipped(Exception):
    """A case that this machine cannot run; its text says what is missing."""


class Closed(Exception):
    """The other side ended the connection."""


def quote(text):
    return urllib.parse.quote(text, safe="")


def wait_until(condition, seconds=5, what="the condition"):
    end = time.monotonic() + seconds * SLOW
    while time.monotonic() < end:
        got = condition()
        if got:
            return got
        time.sleep(0.01)
    raise Failed(f"{what} did not come true within {seconds} s")


def jwt(secret, head=None, **claims):
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")
    signed = part(json.dumps(head or {"alg": "HS256", "typ": "JWT"}).encode()) + b"." + part(json.dumps(claims).encode())
    return (signed + b"." + part(hmac.new(secret.encode(), signed, hashlib.sha256).digest())).decode()


# ---- the program ----

def clean_env(folder, env):
    """What a bare machine would have: nothing of the tester's own."""
    base = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": folder, "LANG": "C.UTF-8"}
    for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS", "LD_LIBRARY_PATH", "LLVM_PROFILE_FILE"):
        if name in os.environ:
            base[name] = os.environ[name]
    base.update({k: str(v) for k, v in env.items() if v is not None})
    return base


def run_sema(*args, env=None, folder=None, timeout=20, stdin=None):
    """Runs a command to its end: (status, stdout, stderr)."""
    with tempfile.TemporaryDirectory(prefix="sema-test-") as own:
        done = subprocess.run([BINARY, *args], cwd=folder or own, env=clean_env(folder or own, env or {}), timeout=timeout * SLOW,
                              capture_output=True, input=stdin)
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


class Server:
    """`with Server(NAME=value, ...) as s`: a running `sema serve`.  `script`: lines of a scripted backend; `folder`: kept
    between servers (a restart); `unset`: names of the defaults below to leave out; `command`: in place of `sema serve`."""

    def __init__(self, script=None, folder=None, args=(), unset=(), wait_ready=True, command=None, **env):
        self.own_folder = folder is None
        self.folder = folder or tempfile.mkdtemp(prefix="sema-test-")
        self.log_path = os.path.join(self.folder, f"out-{time.monotonic_ns()}")
        self.err_path = self.log_path + ".err"
        script_path = os.path.join(self.folder, "script.jsonl")
        if script is not None or not os.path.exists(script_path):
            with open(script_path, "w", encoding="utf-8") as f:
                for line in script or []:
                    f.write(json.dumps(line) + "\n")
        defaults = {
            "HOST": "127.0.0.1", "PORT": "0", "MODEL_TYPE": "scripted", "MODEL_NAME": script_path,
            "SESSION_STORE": "sqlite:" + os.path.join(self.folder, "sema.db"), "LOG_LEVEL": "DEBUG", "RATE_LIMIT": "0",
            "SHUTDOWN_TIMEOUT": "2",  # clients of a case may still be open at its end
        }
        for name in unset:
            defaults.pop(name)
        defaults.update(env)
        self.env = clean_env(self.folder, defaults)
        self.args = [*(command or [BINARY, "serve"]), *args]
        self.host = "127.0.0.1"
        self.port = None
        self.process = None
        self.wait_ready = wait_ready

    def __enter__(self):
        self.start()
        return self

    def start(self):
        out, err = open(self.log_path, "wb"), open(self.err_path, "wb")
        self.process = subprocess.Popen(self.args, cwd=self.folder, env=self.env, stdout=out, stderr=err,
                                        stdin=subprocess.DEVNULL)
        out.close()
        err.close()

        def started():
            if self.process.poll() is not None:
                raise Failed(f"the server ended with status {self.process.returncode}: {self.errors()}")
            for event in self.events("application_startup"):
                self.port = event["port"]
            return self.port
        wait_until(started, 15, "the start")
        if self.wait_ready:
            wait_until(lambda: self.get("/api/v1/health").json()["model_loaded"], 15, "a model")

    def __exit__(self, kind, value, trace):
        ended = self.process.poll() if self.process else None
        status = self.stop() if self.process else None
        if kind is not None:
            if ended is not None:
                print(f"# the server had ended with status {ended}")
            self.last_words()
        errors = self.errors()
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)
        if kind is None and ("Sanitizer" in errors or "runtime error:" in errors):
            raise Failed("a sanitizer speaks: " + errors[:4000])
        if kind is None and status is not None and status < 0 and not self.killed:
            raise Failed(f"the server died of signal {-status}: {errors[:2000]}")

    killed = False

    def stop(self, number=signal.SIGTERM, seconds=15):
        """Ends it and gives its exit status; kills what does not end."""
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(seconds * SLOW)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise Failed(f"the server did not end within {seconds} s of signal {int(number)}")
        return self.process.returncode

    def kill(self):
        self.killed = True
        self.process.kill()
        self.process.wait()

    def alive(self):
        return self.process.poll() is None

    def last_words(self):
        for name in (self.log_path, self.err_path):
            with open(name, "rb") as f:
                text = f.read()[-3000:].decode("utf-8", "replace")
            for line in text.splitlines():
                print("# | " + line)

    def log_text(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def errors(self):
        with open(self.err_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def events(self, name=None):
        """The lines of the log as objects, or those of one event."""
        out = []
        for line in self.log_text().splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if name is None or event.get("event") == name:
                out.append(event)
        return out

    def memory_kb(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])

    def files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    # -- clients --

    def connect(self, timeout=10):
        return Raw(self, timeout)

    def request(self, method, path, headers=None, body=None, timeout=10, version="HTTP/1.1"):
        """One request on a connection of its own."""
        with self.connect(timeout) as c:
            c.send_request(method, path, headers, body, version)
            return c.response(method)

    def get(self, path, headers=None, **more):
        return self.request("GET", path, headers, **more)

    def post(self, path, body, headers=None, **more):
        """A dict is sent as JSON; text and bytes as they are."""
        given = {"Content-Type": "application/json", **(headers or {})}
        if not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        return self.request("POST", path, given, body, **more)

    def delete(self, path, headers=None):
        return self.request("DELETE", path, headers)

    def chat(self, message, session="s", headers=None, **fields):
        return self.post("/api/v1/chat", {"message": message, "session_id": session, **fields}, headers)

    def sse(self, message=None, session="s", headers=None, timeout=10, path="/api/v1/chat/stream", **query):
        """The stream of one message."""
        if message is not None:
            query["message"] = message
        if session is not None:
            query["session_id"] = session
        return Sse(self, path + "?" + urllib.parse.urlencode(query), headers, timeout)

    def websocket(self, query="", headers=None, timeout=10):
        return WebSocket(self, "/api/v1/chat/ws" + query, headers, timeout)

    def metrics(self):
        """Samples by their whole name: metrics()['sema_active_streams']."""
        out = {}
        for line in self.get("/metrics").text.splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                out[name] = float(value)
        return out


# ---- a provider ----

class Chain(Server):
    """A primary and a fallback, each with a script of its own."""

    def __init__(self, primary, fallback, **env):
        folder = tempfile.mkdtemp(prefix="sema-test-")
        path = os.path.join(folder, "second.jsonl")
        with open(path, "w", encoding="utf-8") as f:
            for line in fallback:
                f.write(json.dumps(line) + "\n")
        super().__init__(script=primary, folder=folder, FALLBACK_MODELS=json.dumps(["scripted/" + path]), **env)
        self.own_folder = True
        self.first, self.second = os.path.join(folder, "script.jsonl"), path


class Request(dict):
    """What came, and beside it the connection that it came by."""


class Upstream:
    """A provider on a port of its own.  `answer(request)` gives what is sent back, in pieces: bytes, or seconds to wait;
    request has method, path, headers (lower case), body and its text as "raw".  Connections are for one request each."""

    def __init__(self, answer):
        self.answer = answer
        self.requests = []
        self.left = 0  # connections that the other side ended while an answer was being given
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/v1"

    def __enter__(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()

    def accept(self):
        while True:
            try:
                c, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        with c, c.makefile("rb") as f:
            line = f.readline().decode().split()
            if not line:
                return
            request = Request(method=line[0], path=line[1], headers={})
            request.socket = c
            while (field := f.readline().decode().rstrip("\r\n")):
                name, _, value = field.partition(":")
                request["headers"][name.lower()] = value.strip()
            body = f.read(int(request["headers"].get("content-length", 0)))
            request["raw"], request["body"] = body.decode(), json.loads(body) if body else None
            self.requests.append(request)
            try:
                for piece in self.answer(request):
                    if isinstance(piece, bytes):
                        c.sendall(piece)
                    elif select.select([c], [], [], piece)[0] and not c.recv(1):
                        self.left += 1
                        return
            except OSError:
                self.left += 1

    @staticmethod
    def reset(request):
        """The connection ends with RST when the answer is over."""
        time.sleep(0.03)  # what was written is on its way before the reset overtakes it
        request.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    @staticmethod
    def json(status, value, *headers):
        body = json.dumps(value).encode()
        head = [f"HTTP/1.1 {status} X", "Content-Type: application/json", f"Content-Length: {len(body)}", "Connection: close", *headers]
        return "\r\n".join(head).encode() + b"\r\n\r\n" + body

    STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"

    @staticmethod
    def event(text):
        """An event of a stream: `text` is JSON as it stands."""
        return b"data: " + text.encode() + b"\n\n"

    def env(self, **more):
        """Settings that make it the model."""
        return {"MODEL_TYPE": "openai", "MODEL_NAME": "test-model", "OPENAI_BASE_URL": self.url, "OPENAI_API_KEY": "sk-of-the-server",
                "PROVIDER_RETRIES": "0", "PROVIDER_BREAKER_FAILURES": "0", **more}


class Fake:
    """`with Fake("anthropic", "--key", "k") as f`: a strict fake of tests/fakes; f.requests() are those that it got."""

    def __init__(self, name, *args):
        self.name, self.args = name, args

    def __enter__(self):
        root = os.environ.get("SEMA_SOURCE_ROOT") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
        self.folder = tempfile.mkdtemp(prefix="sema-fake-")
        self.log = os.path.join(self.folder, "requests.jsonl")
        self.process = subprocess.Popen(
            [sys.executable, os.path.join(root, "tests", "fakes", self.name + ".py"), "--log", self.log, "--with-parent", *self.args],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.url = "http://" + self.process.stdout.readline().decode().split()[-1]
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def gone(self):
        """How many clients left early."""
        with urllib.request.urlopen(self.url + "/fake/gone") as r:
            return json.load(r)["gone"]

    def requests(self, path=None):
        if not os.path.exists(self.log):
            return []
        with open(self.log, encoding="utf-8") as f:
            found = [json.loads(line) for line in f]
        return [r for r in found if path is None or r["path"].split("?")[0] == path]


# ---- HTTP ----

class Response:
    def __init__(self, status, reason, headers, body):
        self.status, self.reason, self.headers, self.body = status, reason, headers, body

    def header(self, name, default=None):
        found = [v for k, v in self.headers if k.lower() == name.lower()]
        return ", ".join(found) if found else default

    def count(self, name):
        return sum(k.lower() == name.lower() for k, _ in self.headers)

    @property
    def text(self):
        return self.body.decode("utf-8")

    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json().get("code")

    @property
    def detail(self):
        return self.json().get("detail")

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:300]!r}>"


class Raw:
    """A connection on which anything can be said."""

    def __init__(self, server, timeout=10):
        self.server = server
        self.timeout = timeout * SLOW
        self.socket = socket.create_connection((server.host, server.port), self.timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Ends it with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data.encode() if isinstance(data, str) else data)

    def send_request(self, method, path, headers=None, body=None, version="HTTP/1.1"):
        fields = {"Host": f"{self.server.host}:{self.server.port}"}
        if body is not None:
            body = body.encode() if isinstance(body, str) else body
            fields["Content-Length"] = str(len(body))
        for name, value in (headers or {}).items():
            fields.pop(next((k for k in fields if k.lower() == name.lower()), None), None)
            if value is not None:
                fields[name] = value
        head = f"{method} {path} {version}\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields.items()) + "\r\n"
        self.send(head.encode() + (body or b""))

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise Closed("the server closed the connection")
        self.buffer += data

    def take(self, n):
        while len(self.buffer) < n:
            self.more()
        out, self.buffer = self.buffer[:n], self.buffer[n:]
        return out

    def take_until(self, mark):
        while mark not in self.buffer:
            self.more()
        out, _, self.buffer = self.buffer.partition(mark)
        return out

    def head(self):
        lines = self.take_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, status, reason = (lines[0].split(" ", 2) + [""])[:3]
        if not version.startswith("HTTP/1."):
            raise Failed(f"not a status line: {lines[0]!r}")
        headers = [tuple(line.split(": ", 1)) for line in lines[1:]]
        return Response(int(status), reason, headers, b"")

    def chunk(self):
        size = int(self.take_until(b"\r\n"), 16)
        data = self.take(size)
        if self.take(2) != b"\r\n":
            raise Failed("a chunk without its end")
        return data

    def response(self, method="GET"):
        r = self.head()
        if method == "HEAD" or r.status in (101, 204, 304):
            return r
        if r.header("Transfer-Encoding") == "chunked":
            while True:
                data = self.chunk()
                if not data:
                    return r
                r.body += data
        length = r.header("Content-Length")
        if length is not None:
            r.body = self.take(int(length))
        else:
            try:
                while True:
                    self.more()
            except Closed:
                r.body, self.buffer = self.buffer, b""
        return r

    def at_end(self, seconds=5):
        """Whether the server closes (or has closed) the connection."""
        self.socket.settimeout(seconds * SLOW)
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True
        except (TimeoutError, socket.timeout):
            return False
        finally:
            self.socket.settimeout(self.timeout)

    def silent(self, seconds):
        """Whether nothing at all comes for a while."""
        return not self.buffer and not select.select([self.socket], [], [], seconds)[0]


# ---- server-sent events ----

class Event:
    def __init__(self, raw):
        self.raw = raw
        self.id = self.type = self.data = None
        self.fields = []
        self.comment = None
        for line in raw.split("\r\n"):
            if line.startswith(":"):
                self.comment = line
                continue
            name, _, value = line.partition(": ")
            self.fields.append(name)
            if name == "id":
                self.id = value
            elif name == "event":
                self.type = value
            elif name == "data":
                self.data = value
            else:
                raise Failed(f"an unknown field in {raw!r}")

    def json(self):
        return json.loads(self.data)

    def __repr__(self):
        return f"<{self.raw!r}>"


class Sse(Raw):
    """A stream; iterating gives its blocks (comments and the id alone included) until its end."""

    def __init__(self, server, path, headers=None, timeout=10, method="GET", body=None):
        super().__init__(server, timeout)
        self.send_request(method, path, headers, body)
        self.answer = self.head()
        self.status = self.answer.status
        self.text = b""
        self.chunked = self.answer.header("Transfer-Encoding") == "chunked"
        self.over = False
        if self.status != 200:
            length = int(self.answer.header("Content-Length") or 0)
            self.answer.body = self.take(length)
            self.over = True

    def block(self):
        """The next block, None at the end."""
        while b"\r\n\r\n" not in self.text:
            if self.over:
                if self.text:
                    raise Failed(f"a cut-off block: {self.text!r}")
                return None
            data = self.chunk() if self.chunked else self.plain()
            if not data:
                self.over = True
            self.text += data
        raw, _, self.text = self.text.partition(b"\r\n\r\n")
        return Event(raw.decode("utf-8"))

    def plain(self):
        try:
            if not self.buffer:
                self.more()
        except Closed:
            return b""
        out, self.buffer = self.buffer, b""
        return out

    def __iter__(self):
        while (block := self.block()) is not None:
            yield block

    def event(self):
        """The next block that is an event."""
        while (block := self.block()) is not None:
            if block.type:
                return block
        return None

    def events(self):
        return [b for b in self if b.type]

    def content(self):
        """All text up to the end, which must be a good one."""
        out = ""
        for e in self.events():
            if e.type == "error":
                raise Failed(f"an error event: {e.data}")
            if e.type == "chunk":
                out += e.json()["content"]
        return out


# ---- WebSocket ----

class WebSocket(Raw):
    """RFC 6455, the client's side."""

    def __init__(self, server, path, headers=None, timeout=10):
        super().__init__(server, timeout)
        key = base64.b64encode(os.urandom(16)).decode()
        self.send_request("GET", path, {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
                                        "Sec-WebSocket-Key": key, **(headers or {})})
        self.answer = self.head()
        self.status = self.answer.status
        self.closed = None  # (code, reason) once the server has closed
        if self.status != 101:
            self.answer.body = self.take(int(self.answer.header("Content-Length") or 0))
        else:
            want = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
            if self.answer.header("Sec-WebSocket-Accept") != want:
                raise Failed("the accept key is wrong")

    def frame(self, opcode, data, fin=True, mask=True, rsv=0):
        head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
        n = len(data)
        bit = 0x80 if mask else 0
        if n < 126:
            head += bytes([bit | n])
        elif n < 65536:
            head += bytes([bit | 126]) + struct.pack(">H", n)
        else:
            head += bytes([bit | 127]) + struct.pack(">Q", n)
        if mask:
            key = os.urandom(4)
            head += key
            data = bytes(b ^ key[i % 4] for i, b in enumerate(data)) if n < 4096 else self.mask_fast(key, data)
        self.send(head + data)

    @staticmethod
    def mask_fast(key, data):
        n = len(data)
        pad = (key * (n // 4 + 1))[:n]
        return (int.from_bytes(data, "big") ^ int.from_bytes(pad, "big")).to_bytes(n, "big")

    def say(self, message, binary=False):
        if not isinstance(message, (str, bytes)):
            message = json.dumps(message, ensure_ascii=False)
        if isinstance(message, str):
            message = message.encode()
        self.frame(2 if binary else 1, message)

    def ask(self, text, session="s", **fields):
        self.say({"message": text, "session_id": session, **fields})

    def read_frame(self):
        first, second = self.take(2)
        n = second & 0x7F
        if second & 0x80:
            raise Failed("a masked frame from the server")
        if n == 126:
            n = struct.unpack(">H", self.take(2))[0]
        elif n == 127:
            n = struct.unpack(">Q", self.take(8))[0]
        return first & 0x0F, bool(first & 0x80), self.take(n)

    def hear(self):
        """The next message as JSON; pings are answered; None once the server has closed."""
        while True:
            try:
                opcode, fin, data = self.read_frame()
            except (Closed, ConnectionError):
                return None
            if opcode == 9:
                self.frame(10, data)
            elif opcode == 8:
                self.closed = (struct.unpack(">H", data[:2])[0] if len(data) >= 2 else 1005, data[2:].decode())
                try:
                    self.frame(8, data[:2])
                except OSError:
                    pass
                return None
            elif opcode == 1:
                if not fin:
                    raise Failed("a fragmented message")
                return json.loads(data.decode("utf-8"))

    def answer_frames(self):
        """The frames of one answer, up to the final chunk or an error."""
        out = []
        while (frame := self.hear()) is not None:
            out.append(frame)
            if frame["type"] == "error" or frame["is_final"]:
                return out
        return out

    def content(self):
        return "".join(f["content"] for f in self.answer_frames())

    def bye(self):
        self.frame(8, struct.pack(">H", 1000))
        while self.hear() is not None:
            pass
        return self.closed


# ---- cases ----

CASES = []


def case(name):
    def add(function):
        CASES.append((name, function))
        return function
    return add


class Checks:
    """What a case says; each raises with both sides when it does not hold."""

    def true(self, value, what="it"):
        if not value:
            raise Failed(f"{what} is not true: {value!r}")

    def equal(self, got, want, what=""):
        if got != want:
            raise Failed(f"{what + ': ' if what else ''}\n  got  {got!r}\n  want {want!r}")

    def inside(self, got, low, high, what="it"):
        if not low <= got <= high:
            raise Failed(f"{what} is {got!r}, not within {low!r}..{high!r}")

    def took(self, began, low, high, what="the time"):
        """Seconds since `began`; the upper bound is stretched on slow machines."""
        self.inside(time.monotonic() - began, low, high * SLOW, what)

    def grew(self, kb, most_kb, what="memory"):
        """Resident memory; what a sanitizer holds says nothing."""
        if kb > most_kb and not sanitized():
            raise Failed(f"{what} grew by {kb} kB, more than {most_kb}")

    def has(self, text, part):
        if part not in text:
            raise Failed(f"{part!r} is not in {text!r}")

    def lacks(self, text, part):
        if part in text:
            raise Failed(f"{part!r} is in {text!r}")

    def keys(self, value, *names):
        """An object with exactly these keys, in this order."""
        self.equal(list(value), list(names), "keys")

    def match(self, text, pattern):
        if not re.fullmatch(pattern, text):
            raise Failed(f"{text!r} does not match {pattern!r}")


def main():
    only = sys.argv[1:]
    chosen = [c for c in CASES if not only or any(word in c[0] for word in only)]
    print(f"1..{len(chosen)}", flush=True)
    bad = 0
    for number, (name, function) in enumerate(chosen, 1):
        began = time.monotonic()
        try:
            function(Checks())
            print(f"ok {number} - {name}", flush=True)
        except Skipped as reason:
            print(f"ok {number} - {name} # SKIP {reason}", flush=True)
        except Exception as error:  # a case may fail in any way; the others still run
            bad += 1
            where = traceback.extract_tb(error.__traceback__)
            line = next((f for f in reversed(where) if f.filename == sys.argv[0] or f.filename.endswith(sys.argv[0])), where[-1])
            text = f"{type(error).__name__}: {error}" if not isinstance(error, Failed) else str(error)
            for part in f"line {line.lineno}: {text}".splitlines():
                print("# " + part)
            print(f"not ok {number} - {name}", flush=True)
        if time.monotonic() - began > 10:
            print(f"# {name}: {time.monotonic() - began:.1f} s")
    sys.exit(1 if bad else 0)
