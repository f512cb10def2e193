"""What the Python wire tests share: the echo server, raw sockets, and TAP."""
import json
import os
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
import traceback

ECHO = os.environ.get("SEMA_HTTP_ECHO") or sys.argv[1]
tests = []

# The tests hold many sockets themselves.
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096) if hard != resource.RLIM_INFINITY else 4096, hard))


def test(fn):
    """Registers a case; its docstring is its name."""
    tests.append(fn)
    return fn


def run():
    """All cases, or those whose function name holds the second argument."""
    if len(sys.argv) > 2:
        tests[:] = [fn for fn in tests if sys.argv[2] in fn.__name__]
    print(f"1..{len(tests)}", flush=True)
    failed = 0
    for number, fn in enumerate(tests, 1):
        name = (fn.__doc__ or fn.__name__).strip().replace("\n", " ").replace("#", "")
        try:
            fn()
            print(f"ok {number} - {name}", flush=True)
        except Exception:
            failed += 1
            print(f"not ok {number} - {name}", flush=True)
            for line in traceback.format_exc().splitlines():
                print(f"# {line}", flush=True)
    sys.exit(1 if failed else 0)


class Server:
    """The echo server of echo.c; options are its arguments.  Leaving the block drains it and checks its end."""

    def __init__(self, *options, fds=None):
        limit = None
        if fds:
            limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (fds, fds))
        self.process = subprocess.Popen([ECHO, *options], stdout=subprocess.PIPE, text=True, preexec_fn=limit)
        line = self.process.stdout.readline()
        assert line.startswith("port "), line
        self.port = int(line.split()[1])

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.term()
        try:
            self.last, _ = self.process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        if kind is None:
            assert self.process.returncode == 0, f"exit status {self.process.returncode}"
            counts = json.loads(self.last)
            assert counts["conns"] == 0 and counts["ws_open"] == 0, counts
            assert counts["asked"] == counts["ended"], counts

    def term(self):
        self.process.send_signal(signal.SIGTERM)

    def connect(self, receive_bytes=None):
        s = socket.socket()
        if receive_bytes:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        s.settimeout(10)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.connect(("127.0.0.1", self.port))
        return Client(s)

    def stats(self):
        return json.loads(self.ask("GET", "/stats").body)

    def ask(self, method, path, body=None, **fields):
        with self.connect() as c:
            return c.ask(method, path, body, **fields)

    def wait_for(self, name, value, seconds=5):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.stats()[name] == value:
                return
            time.sleep(0.02)
        raise AssertionError(f"{name} is {self.stats()[name]}, not {value}")

    def cpu_s(self):
        with open(f"/proc/{self.process.pid}/stat") as f:
            words = f.read().rsplit(")", 1)[1].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def resident_kb(self, which="VmRSS"):
        with open(f"/proc/{self.process.pid}/status") as f:
            return int(re.search(which + r":\s+(\d+)", f.read()).group(1))

    def grew_less(self, before_kb, limit_kb):
        """The peak of resident memory.  A sanitizer's shadow is not what is measured: there only a flood shows."""
        limit_kb *= 8 if os.environ.get("SEMA_SANITIZER", "none") != "none" else 1
        grew = self.resident_kb("VmHWM") - before_kb
        assert grew < limit_kb, f"grew by {grew} KiB, {limit_kb} are the limit"


class Answer:
    def __init__(self, status, fields, body):
        self.status, self.fields, self.body = status, fields, body


class Client:
    def __init__(self, s):
        self.s = s
        self.held = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.s.close()

    def send(self, data, cut=None):
        """In one write, or in two with a pause between, or byte by byte (cut=1...)."""
        if isinstance(data, str):
            data = data.encode("latin-1")
        if cut is None:
            self.s.sendall(data)
        else:
            for part in (data[:cut], data[cut:]):
                if part:
                    self.s.sendall(part)
                    time.sleep(0.002)

    def more(self):
        part = self.s.recv(65536)
        self.held += part
        return part

    def until(self, mark):
        while mark not in self.held:
            if not self.more():
                raise EOFError(f"closed, held {self.held!r}")
        at = self.held.index(mark) + len(mark)
        part, self.held = self.held[:at], self.held[at:]
        return part

    def exactly(self, n):
        while len(self.held) < n:
            if not self.more():
                raise EOFError(f"closed, held {self.held!r}")
        part, self.held = self.held[:n], self.held[n:]
        return part

    def head(self):
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        assert re.fullmatch(r"HTTP/1\.1 \d\d\d [A-Za-z -]+", lines[0]), lines[0]
        fields = {}
        for line in lines[1:-2]:
            name, value = line.split(": ", 1)
            assert name.lower() not in fields, f"twice: {line}"
            fields[name.lower()] = value
        return int(lines[0].split()[1]), fields

    def answer(self, head_only=False):
        status, fields = self.head()
        body = b""
        if head_only or status in (100, 101, 204, 304):
            pass
        elif fields.get("transfer-encoding") == "chunked":
            body = self.chunks()
        elif "content-length" in fields:
            body = self.exactly(int(fields["content-length"]))
        else:
            body = self.rest()
        return Answer(status, fields, body)

    def chunks(self):
        body = b""
        while True:
            size = int(self.until(b"\r\n"), 16)
            body += self.exactly(size)
            assert self.exactly(2) == b"\r\n"
            if size == 0:
                return body

    def rest(self):
        while self.more():
            pass
        part, self.held = self.held, b""
        return part

    def closed(self, seconds=3):
        """Nothing more comes, and the end does."""
        self.s.settimeout(seconds)
        got = self.rest()
        assert got == b"", got

    def silent(self, seconds):
        """Neither bytes nor the end come."""
        self.s.settimeout(seconds)
        try:
            got = self.s.recv(1)
        except socket.timeout:
            return
        raise AssertionError(f"came: {got!r}")

    def ask(self, method, path, body=None, **fields):
        lines = [f"{method} {path} HTTP/1.1", "Host: a"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines) + "\r\n\r\n")
        if body:
            self.send(body)
        return self.answer(head_only=method == "HEAD")

    def reset(self):
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.s.close()
