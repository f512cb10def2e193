#!/usr/bin/env python3
"""Walks over the API as a client of the earlier service would: answers, streams, sessions, the model's page, health.
`sema check` is the same walk for every day; this one looks at each field.

    MODEL_TYPE=local MODEL_NAME=google/gemma-2b-it python tests/test_api.py
    MODEL_TYPE=google MODEL_NAME=gemma-2-9b-it GOOGLE_API_KEY=your_key python tests/test_api.py
    python tests/test_api.py --url http://localhost:7860

Without --url it starts `sema serve` on a free port with the settings of its environment (and .env), keeps the
conversations of the walk in memory, and ends it again.  A server with API_KEY gets the key of the environment.  The
exit status is 0 when every check held.  Needs nothing but Python's own library."""
import argparse
import http.client
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
ANSWER_SECONDS = 180
ANSWER_TOKENS = 256  # for an answer: models that think first spend some of them unseen


class Wrong(Exception):
    """A check that did not hold."""


def expect(condition, what):
    if not condition:
        raise Wrong(what)


def equal(got, want, what):
    expect(got == want, f"{what}: got {got!r}, want {want!r}")


# ---- a client ----

class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            raise Wrong(f"an answer of status {self.status} that is no JSON: {self.body[:200]!r}") from None


class Api:
    def __init__(self, url, key):
        self.parts = urllib.parse.urlsplit(url.rstrip("/"))
        if self.parts.scheme not in ("http", "https") or not self.parts.hostname:
            sys.exit(f"test_api.py: not the address of a server: {url!r}")
        self.key = key

    def send(self, method, path, body=None, headers=None):
        kind = http.client.HTTPSConnection if self.parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(self.parts.hostname, self.parts.port, timeout=ANSWER_SECONDS)
        fields = dict(headers or {})
        if self.key:
            fields["Authorization"] = "Bearer " + self.key
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            fields.setdefault("Content-Type", "application/json")
        connection.request(method, self.parts.path + path, body, fields)
        return connection, connection.getresponse()

    def ask(self, method, path, body=None, headers=None):
        connection, r = self.send(method, path, body, headers)
        try:
            return Answer(r.status, r.headers, r.read().decode("utf-8"))
        finally:
            connection.close()

    def get(self, path):
        return self.ask("GET", path)

    def chat(self, message, session, **more):
        return self.ask("POST", "/api/v1/chat", {"message": message, "session_id": session, **more})

    def stream(self, query):
        """The events of a stream, as (name, data) pairs, and its head."""
        connection, r = self.send("GET", "/api/v1/chat/stream?" + urllib.parse.urlencode(query))
        events, name = [], None
        try:
            if r.status != 200:
                return r, [("status", r.read().decode("utf-8"))]
            for line in r:
                line = line.decode("utf-8").rstrip("\r\n")
                if line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("data: "):
                    events.append((name, line[6:]))
        finally:
            connection.close()
        return r, events


# ---- the checks ----

class Walk:
    def __init__(self, api):
        self.api = api
        self.session = f"test-api-{uuid.uuid4()}"
        self.chunks = 0
        self.thinks = False
        self.turns = 0

    def health(self):
        """health and status"""
        h = self.api.get("/health").json()
        equal((h["status"], h["service"]), ("healthy", "sema-chat-api"), "/health")
        equal(self.api.get("/status").json()["status"], "ok", "/status")
        equal(self.api.get("/api/v1/status").json()["status"], "ok", "/api/v1/status")
        a = self.api.get("/api/v1/health").json()
        expect(a["model_loaded"] is True, "/api/v1/health: no model is loaded")
        expect(0 <= a["uptime"] < 1e9, f"uptime is {a['uptime']}")
        return f"{h['model_type']} {h['model_name']}"

    def model_info(self):
        """the model's page"""
        m = self.api.get("/api/v1/model/info").json()
        for key in ("name", "type", "loaded", "parameters", "capabilities"):
            expect(key in m, f"{key} is missing")
        expect("chat" in m["capabilities"] and "streaming" in m["capabilities"], m["capabilities"])
        return f"{m['name']} ({m['type']})"

    def chat(self):
        """an answer"""
        r = self.api.chat("Hello, how are you?", self.session, temperature=0.7, max_tokens=ANSWER_TOKENS)
        equal(r.status, 200, r.body)
        a = r.json()
        equal(list(a)[:8], ["message", "session_id", "message_id", "model_name", "timestamp", "generation_time", "token_count",
                            "finish_reason"], "keys")
        equal(a["session_id"], self.session, "session_id")
        expect(a["message"].strip() == a["message"], f"message is {a['message']!r}")
        self.thinks = a["message"] == "" and a["finish_reason"] == "length"  # all of it went into thinking
        expect(a["message"] or self.thinks, "an empty answer")
        expect(re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", a["message_id"]), "message_id")
        expect(re.fullmatch(STAMP, a["timestamp"]), f"timestamp is {a['timestamp']!r}")
        expect(isinstance(a["generation_time"], float) and a["generation_time"] >= 0, "generation_time")
        expect(a["finish_reason"] in ("stop", "length", "content_filter"), f"finish_reason is {a['finish_reason']!r}")
        expect(float(r.headers["X-Process-Time"]) >= 0 and r.headers["X-Request-ID"], "the headers of every answer")
        self.turns += 1
        return a["message"][:60].replace("\n", " ")

    def memory(self):
        """a second turn, with a system prompt and temperature 0"""
        r = self.api.chat("What did I just say?", self.session, system_prompt="Answer briefly.", temperature=0,
                          max_tokens=ANSWER_TOKENS)
        equal(r.status, 200, r.body)
        self.turns += 1

    def streaming(self):
        """a stream"""
        head, events = self.api.stream({"message": "Tell me a short story", "session_id": self.session, "max_tokens": ANSWER_TOKENS})
        equal(head.status, 200, events)
        expect(head.headers["Content-Type"].startswith("text/event-stream"), head.headers["Content-Type"])
        names = [name for name, _ in events]
        expect("error" not in names, events[-1])
        equal(names[-1], "done", "the last event")
        chunks = [json.loads(data) for name, data in events if name == "chunk"]
        equal([c["chunk_id"] for c in chunks], list(range(len(chunks))), "chunk_id")
        equal([c["is_final"] for c in chunks], [False] * (len(chunks) - 1) + [True], "is_final")
        equal({(c["session_id"], c["message_id"]) for c in chunks}, {(self.session, chunks[0]["message_id"])}, "ids")
        self.chunks = sum(1 for c in chunks if c["content"])
        expect(self.chunks > 0 or self.thinks, "no chunk has text")
        self.turns += 1
        self.streamed = "".join(c["content"] for c in chunks)
        return f"{self.chunks} chunks"

    def history(self):
        """the session"""
        s = self.api.get("/api/v1/sessions/" + self.session).json()
        equal(s["message_count"], 2 * self.turns, "message_count")
        equal([m["role"] for m in s["messages"]], ["user", "assistant"] * self.turns, "roles")
        expect(all(re.fullmatch(STAMP, m["timestamp"]) for m in s["messages"]), "timestamps")
        if self.chunks:
            equal(s["messages"][-1]["content"].strip(), self.streamed.strip(), "the streamed answer as stored")
        rows = [x for x in self.api.get("/api/v1/sessions").json() if x["session_id"] == self.session]
        equal([(x["message_count"], x["is_active"]) for x in rows], [(2 * self.turns, True)], "the list of sessions")
        return f"{s['message_count']} messages"

    def cleared(self):
        """the session, cleared"""
        r = self.api.ask("DELETE", "/api/v1/sessions/" + self.session)
        equal((r.status, r.json()["message"]), (200, "Session cleared successfully"), "DELETE")
        r = self.api.get("/api/v1/sessions/" + self.session)
        equal((r.status, r.json()["detail"]), (404, "Session not found"), "after it")

    def refusals(self):
        """what is refused, and how"""
        for body, kind, where in (
                ({"session_id": "x"}, "missing", ["body", "message"]), ({"message": "x"}, "missing", ["body", "session_id"]),
                ({"message": "", "session_id": "x"}, "string_too_short", ["body", "message"]),
                ({"message": "x" * 4001, "session_id": "x"}, "string_too_long", ["body", "message"]),
                ({"message": "x", "session_id": "x", "temperature": 1.5}, "less_than_equal", ["body", "temperature"]),
                ({"message": "x", "session_id": "x", "max_tokens": 0}, "greater_than_equal", ["body", "max_tokens"])):
            r = self.api.ask("POST", "/api/v1/chat", body)
            equal((r.status, [(e["type"], e["loc"]) for e in r.json()["detail"]]), (422, [(kind, where)]), body)
        equal(self.api.ask("POST", "/api/v1/chat", "{", {"Content-Type": "application/json"}).json()["detail"][0]["type"],
              "json_invalid", "half a body")
        head, events = self.api.stream({"session_id": "x"})
        equal((head.status, json.loads(events[0][1])["detail"][0]["loc"]), (422, ["query", "message"]), "a stream of nothing")
        equal(self.api.get("/nothing").json()["detail"], "Not Found", "an unknown path")
        equal(self.api.get("/api/v1/chat").status, 405, "another method")

    def switch(self):
        """the switch, to the model that is there"""
        m = self.api.get("/api/v1/model/info").json()
        r = self.api.ask("POST", "/api/v1/model/switch", {"model_name": m["name"]})
        if r.status == 403:
            return "switched off (ENABLE_MODEL_SWITCH)"
        equal(r.status, 200, r.body)
        a = r.json()
        equal((a["success"], a["current"]["model_name"]), (True, m["name"]), "the answer")
        return a["current"]["model_name"]

    def metrics(self):
        """metrics"""
        r = self.api.get("/api/v1/metrics")
        if r.status == 404:
            return "switched off (ENABLE_METRICS)"
        equal(r.status, 200, r.body[:200])
        expect("sema_http_requests_total" in r.body, "sema_http_requests_total is missing")

    STEPS = (health, model_info, chat, memory, streaming, history, cleared, refusals, switch, metrics)

    def run(self):
        """How many checks failed."""
        failed = 0
        for step in self.STEPS:
            began = time.monotonic()
            try:
                said, word = step(self) or "", "ok"
            except (Wrong, OSError, http.client.HTTPException, KeyError, TypeError, ValueError) as error:
                text = str(error) if isinstance(error, Wrong) else f"{type(error).__name__}: {error}"
                said, word, failed = text, "FAILED", failed + 1
            print(f"{word:6} {step.__doc__}  {said}  [{time.monotonic() - began:.2f} s]".rstrip(), flush=True)
            if said.startswith("ConnectionRefusedError"):
                print("nobody answers there; is the server running (sema serve)?", file=sys.stderr)
                return len(self.STEPS) - self.STEPS.index(step) - 1 + failed
        return failed


# ---- a server of our own ----

def find_sema():
    for path in (os.environ.get("SEMA_BINARY"), os.path.join(ROOT, "build", "sema"), os.path.join(ROOT, "build", "src", "sema")):
        if path and os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    return shutil.which("sema") or sys.exit("test_api.py: no sema here; build it with: ./dev build")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


class Own:
    """`sema serve` with the settings of this environment, on 127.0.0.1."""

    def __init__(self, wait_seconds):
        self.wait_seconds = wait_seconds

    def __enter__(self):
        port = free_port()
        self.key = os.environ.get("API_KEY") or secrets.token_hex(16)
        self.url = f"http://127.0.0.1:{port}"
        env = {**os.environ, "HOST": "127.0.0.1", "PORT": str(port), "API_KEY": self.key, "ALLOWED_HOSTS": "127.0.0.1",
               "SESSION_STORE": "memory:", "RATE_LIMIT": "0", "ENABLE_STREAMING": "true", "LOG_LEVEL": "WARNING"}
        env.pop("LOG_FILE", None)
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen([find_sema(), "serve"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=self.errors)
        try:
            self.wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def wait(self):
        """Until a model is ready; says from time to time what it waits for."""
        began, told = time.monotonic(), time.monotonic()
        api = Api(self.url, self.key)
        while time.monotonic() < began + self.wait_seconds:
            if self.process.poll() is not None:
                self.errors.seek(0)
                sys.stderr.write(self.errors.read().decode("utf-8", "replace"))
                sys.exit(f"test_api.py: sema serve ended with status {self.process.returncode}")
            try:
                if api.get("/api/v1/health").json()["model_loaded"]:
                    return
            except OSError:
                pass
            if time.monotonic() > told + 10:
                told = time.monotonic()
                print(f"waiting for the model ({told - began:.0f} s): {self.waits_for(api)}", flush=True)
            time.sleep(0.05)
        sys.exit(f"test_api.py: no model was ready within {self.wait_seconds} s")

    @staticmethod
    def waits_for(api):
        try:
            return ", ".join(f"{b['type']} {b['name']} is {b['state']}" + (f" ({b['last_error']})" if b["last_error"] else "")
                             for b in api.get("/api/v1/backends").json()["backends"])
        except (OSError, Wrong, KeyError):
            return "..."

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.errors.close()


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--url", help="of a server that runs, instead of one of its own")
    arguments.add_argument("--wait", type=float, default=600, help="seconds for the model to become ready (600)")
    given = arguments.parse_args()
    if given.url:
        failed = Walk(Api(given.url, os.environ.get("API_KEY"))).run()
    else:
        with Own(given.wait) as own:
            failed = Walk(Api(own.url, own.key)).run()
    print(f"{len(Walk.STEPS) - failed} of {len(Walk.STEPS)} checks passed")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # whoever read the lines has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
