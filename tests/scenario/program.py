"""Running the program as a person does: its output, its exit status, its signals.  A test file is a list of
functions whose names begin with `test_`; main() runs them and reports by TAP."""
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

SEMA = os.path.abspath(os.environ.get("SEMA") or sys.argv[1])
LIMIT = 20  # seconds for anything that should take milliseconds


class Folder:
    """A home of its own, so that nobody's .env, cache or sessions take part."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="sema-test-")
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)

    def file(self, name, text="", mode=0o600):
        path = os.path.join(self.path, name)
        with open(path, "w", encoding="utf-8", newline="") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def env(self, settings):
        env = {"PATH": os.environ["PATH"], "HOME": self.path, "HF_HUB_OFFLINE": "1"}
        for name in os.environ:  # sanitizers
            if name.endswith("SAN_OPTIONS"):
                env[name] = os.environ[name]
        env.update({k: str(v) for k, v in settings.items()})
        return {k: v for k, v in env.items() if v != "None"}

    def run(self, *args, stdin="", **settings):
        """A command that ends by itself."""
        return subprocess.run([SEMA, *args], input=stdin, capture_output=True, text=True, encoding="utf-8",
                              timeout=LIMIT, cwd=self.path, env=self.env(settings))

    def serve(self, *args, **settings):
        return Server(self, args, settings)


class Server:
    def __init__(self, folder, args, settings):
        self.folder = folder
        defaults = {"HOST": "127.0.0.1", "PORT": "0", "SESSION_STORE": "sqlite:" + folder.path + "/sema.db"}
        self.out = open(os.path.join(folder.path, "stdout"), "w+", encoding="utf-8")
        self.err = open(os.path.join(folder.path, "stderr"), "w+", encoding="utf-8")
        self.process = subprocess.Popen([SEMA, "serve", *args], stdin=subprocess.DEVNULL, stdout=self.out,
                                        stderr=self.err, cwd=folder.path, env=folder.env({**defaults, **settings}))
        self.port = self.wait_for(r"on http://\S+:(\d+)$")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.out.close()
        self.err.close()

    def stderr(self):
        with open(self.err.name, encoding="utf-8") as f:
            return f.read()

    def log(self):
        with open(self.out.name, encoding="utf-8") as f:
            return [json.loads(line) for line in f.read().splitlines()]

    def events(self):
        return [line["event"] for line in self.log()]

    def wait_for(self, pattern):
        """The number of the start line; None when the program ended before."""
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            found = re.search(pattern, self.stderr(), re.M)
            if found:
                return int(found[1])
            if self.process.poll() is not None:
                return None
            time.sleep(0.005)
        raise AssertionError("no start line: " + self.stderr())

    def until(self, what, limit=LIMIT):
        end = time.monotonic() + limit
        while time.monotonic() < end:
            if what():
                return
            time.sleep(0.005)
        raise AssertionError("did not come about; stderr: " + self.stderr())

    def request(self, method, path, body=None, headers=None):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        if body is not None:
            body = json.dumps(body)
            headers = {"Content-Type": "application/json", **(headers or {})}
        c.request(method, path, body, headers or {})
        r = c.getresponse()
        data = r.read()
        c.close()
        try:
            return r.status, json.loads(data)
        except ValueError:
            return r.status, data.decode("utf-8", "replace")

    def ready(self):
        self.until(lambda: self.request("GET", "/api/v1/health")[1]["model_loaded"])
        return self

    def chat(self, message, session="s"):
        return self.request("POST", "/api/v1/chat", {"message": message, "session_id": session})

    def resident(self):
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, limit=LIMIT):
        return self.process.wait(limit)

    def stop(self):
        self.signal(signal.SIGTERM)
        return self.wait()


def equal(got, want):
    assert got == want, f"got {got!r}, want {want!r}"


def contains(text, *parts):
    for part in parts:
        assert part in text, f"{part!r} is not in {text!r}"


def main(tests):
    names = [n for n in tests if n.startswith("test_")]
    failed = 0
    print(f"1..{len(names)}")
    for number, name in enumerate(names, 1):
        try:
            tests[name]()
            print(f"ok {number} - {name[5:].replace('_', ' ')}", flush=True)
        except Exception:
            failed = 1
            print(f"not ok {number} - {name[5:].replace('_', ' ')}")
            print("# " + traceback.format_exc().strip().replace("\n", "\n# "), flush=True)
    sys.exit(failed)
