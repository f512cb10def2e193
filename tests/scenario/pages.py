"""The pages of the guide, read and run: what guide_pages.py checks and tools/docs-answers writes.

Every fenced block of a page says its role in the words after its language, which no reader of the page sees:

    ```bash                       run; it must succeed
    ```bash fails                 run; it must not
    ```bash serve                 a server is started by it, and answers the commands below it
    ```bash not-run: why          not run; guide_pages.py counts these
    ```ini serve                  a .env: the server starts with it and answers a question
    ```ini settings               a .env that `sema config` must take without a word
    ```json answer                what the block above printed; ids, times and durations may differ
    ```text answer                the same; a line that is only "..." stands for any lines
    ```json send                  frames for the WebSocket, a line each; an answer follows
    ```text message NAME          what the program says; guide_messages.py provokes it by that name
    ```text picture               a drawing

A comment `<!-- checked with: openai google hub -->` names the fakes (tests/fakes) that stand in for the providers.
Ports: a page writes 7860, and each server gets a free one."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fakes"))
from harness import *
from harness import clean_env
from hub import Hub
import shutil

ROOT = os.path.abspath(os.environ.get("SEMA_SOURCE_ROOT") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
GUIDE = os.path.join(ROOT, "docs", "guide")
PORT = "7860"
ROLES = {"bash": ("", "fails", "serve", "not-run:"), "ini": ("serve", "settings", "not-run:"), "json": ("answer", "send", "not-run:"),
         "text": ("answer", "message", "picture", "not-run:"), "yaml": ("not-run:",), "toml": ("not-run:",), "js": ("not-run:",)}
# What the hub has: the built-in model's files, under the names that the pages use.
HUB_MODELS = ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "Qwen/Qwen2.5-0.5B-Instruct", "microsoft/DialoGPT-medium", "google/gemma-2b-it",
              "google/gemma-3-1b-it", "HuggingFaceTB/SmolLM2-360M-Instruct")


class Block:
    def __init__(self, page, line, info):
        self.page, self.line = page, line
        words = info.split()
        self.language = words[0] if words else ""
        self.words = words[1:]
        self.role = self.words[0] if self.words else ""
        self.text = ""

    def __repr__(self):
        return f"{self.page}:{self.line}"


class Page:
    """A page as lines; blocks point into them."""

    def __init__(self, name):
        self.name = name
        self.path = os.path.join(ROOT, name)
        with open(self.path, encoding="utf-8") as f:
            self.lines = f.read().split("\n")
        self.blocks, block = [], None
        for n, line in enumerate(self.lines, 1):
            if line.startswith("```"):
                if block is None:
                    block = Block(name, n, line[3:])
                else:
                    self.blocks.append(block)
                    block = None
            elif block is not None:
                block.text += line + "\n"
        found = re.search(r"<!-- checked with: (.*?) -->", "\n".join(self.lines))
        self.fakes = found[1].split() if found else []

    def write(self, block, text):
        """Puts `text` into a block."""
        end = self.lines.index("```", block.line)
        new = text.rstrip("\n").split("\n")
        self.lines[block.line:end] = new
        for other in self.blocks:
            if other.line > block.line:
                other.line += len(new) - (end - block.line)
        block.text = text

    def save(self):
        with open(self.path, "w", encoding="utf-8") as f:
            f.write("\n".join(self.lines))


def page_names():
    return ["README.md"] + ["docs/guide/" + n for n in sorted(os.listdir(GUIDE)) if n.endswith(".md")]


# ---- what may differ from run to run ----

VOLATILE = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<id>"),
    (r"\b(chatcmpl-|cmpl-|msg_|resp_|rs_|fc_|req_|req-|call_)[A-Za-z0-9_-]{8,}", r"\1<id>"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?", "<time>"),
    (r'"(uptime|uptime_seconds|generation_time|switch_time|created|first_token_ms|\w+_duration|created_at)": ?[\d.e-]+', r'"\1":0'),
    (r"(?i)(x-process-time|x-request-id|date): .*", r"\1: <some>"),
    (r'"(request_id|responseId)": ?"[^"]*"', r'"\1":"<id>"'),
    (r"\d+(\.\d+)? (ms|GB|MB)\b", r"<n> \2"),
    (r" +(?=<n>)", " "),
    (r"\b\d+ (chunks|series|tokens)\b|up for \d+ s\b", r"<n> \1"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:<port>"),
)


def normal(text):
    for pattern, by in VOLATILE:
        text = re.sub(pattern, by, text)
    return text.rstrip()


SAID = {"content", "text", "response", "delta", "partial_json"}


def silent(value, said):
    """A piece of a stream without its text, which goes to `said`: how a text is cut is no promise."""
    if isinstance(value, list):
        return [silent(v, said) for v in value]
    if not isinstance(value, dict):
        return value
    out = {}
    for k, v in value.items():
        if k in SAID and isinstance(v, str):
            said.append(v)
            v = ""
        elif k in ("chunk_id", "sequence_number"):
            v = 0
        out[k] = silent(v, said)
    return out


def stream_form(text):
    """A stream as the list of its kinds of events, and all of its text."""
    said, blocks, one = [], [], []
    for line in text.replace("\r", "").split("\n"):
        data = re.match(r"(data: )?(\{.*\})$", line)
        if line.startswith("id: "):
            continue
        if data:
            line = (data[1] or "") + json.dumps(silent(json.loads(data[2]), said))
        if line:
            one.append(line)
        if (not line or not (data and data[1]) and data) and one:
            if not blocks or blocks[-1] != one:
                blocks.append(one)
            one = []
    return blocks + [one], "".join(said)


def is_stream(text):
    if "\ndata: " in "\n" + text:
        return True
    values, said = [as_json(x) for x in text.split("\n") if x.strip()], []
    silent(values, said)  # lines of JSON that say nothing are answers to several commands
    return len(values) > 1 and all(isinstance(v, dict) for v in values) and bool(said)


def as_json(text):
    try:
        return json.loads(text)
    except ValueError:
        return None


def pretty(value, indent="", width=110):
    """JSON in few lines: what fits stands on one."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(flat) <= width or not isinstance(value, (dict, list)) or not value:
        return flat
    deeper = indent + " "
    if isinstance(value, dict):
        rows = [json.dumps(k, ensure_ascii=False) + ": " + pretty(v, deeper, width - len(k) - 4) for k, v in value.items()]
        return "{" + (",\n" + deeper).join(rows) + "}"
    return "[" + (",\n" + deeper).join(pretty(v, deeper, width) for v in value) + "]"


def same(page, real):
    """Whether what a page shows is what was printed."""
    shown, got = normal(page), normal(real)
    if shown == got:
        return True
    if is_stream(got):
        return stream_form(shown) == stream_form(got)
    if as_json(got) is not None:
        return json.dumps(as_json(shown)) == json.dumps(as_json(got))
    if "\n...\n" in "\n" + shown + "\n":
        parts = ("\n" + shown + "\n").split("\n...\n")
        pattern = r"\n(?:.*\n)*?".join(re.escape(p) for p in parts)
        return re.fullmatch(pattern, "\n" + got + "\n") is not None
    return False


# ---- running a page ----

class Run:
    """Runs the blocks of a page from top to bottom, in a folder of their own."""

    def __init__(self, page):
        self.page = page
        self.folder = tempfile.mkdtemp(prefix="sema-test-")
        self.fakes, self.hub = {}, None
        self.server, self.port = None, None
        self.starts = 0
        os.makedirs(os.path.join(self.folder, "bin"))
        os.makedirs(os.path.join(self.folder, "build"))
        for place in ("bin/sema", "build/sema"):
            os.symlink(BINARY, os.path.join(self.folder, place))
        if os.path.isdir(os.path.join(ROOT, "examples")):
            os.symlink(os.path.join(ROOT, "examples"), os.path.join(self.folder, "examples"))

    def __enter__(self):
        more = {"HOST": "127.0.0.1", "PORT": "0", "LOG_LEVEL": "warning", "HF_HUB_OFFLINE": "1", "SHUTDOWN_TIMEOUT": "2",
                "SESSION_SYNC": "normal"}
        where = {"openai": ("OPENAI_BASE_URL", "/v1"), "anthropic": ("ANTHROPIC_BASE_URL", ""),
                 "google": ("GOOGLE_GEMINI_BASE_URL", ""), "minimax": ("MINIMAX_API_URL", "/v1/text/chatcompletion_v2"),
                 "huggingface": ("HF_INFERENCE_URL", "/v1")}
        for name in self.page.fakes:
            if name == "hub":
                self.hub = Hub({m: hub_files() for m in HUB_MODELS}, large=1 << 30)
                more.update(HF_ENDPOINT=self.hub.url, HF_HUB_OFFLINE="0")
                continue
            fake = Fake(name)
            fake.__enter__()
            self.fakes[name] = fake
            more[where[name][0]] = fake.url + where[name][1]
        with open(os.path.join(self.folder, ".curlrc"), "w", encoding="utf-8") as f:
            f.write("silent\n")
        self.env = clean_env(self.folder, more)
        self.env["PATH"] = os.path.join(self.folder, "bin") + ":" + self.env["PATH"]
        return self

    def __exit__(self, *_):
        self.stop()
        for fake in self.fakes.values():
            fake.__exit__()
        if self.hub:
            self.hub.__exit__()
        shutil.rmtree(self.folder, ignore_errors=True)

    def stop(self):
        if self.server is None:
            return
        if self.server.poll() is None:
            self.server.terminate()
        try:
            self.server.wait(15)
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.server.wait()
        self.server, self.port = None, None

    def here(self, text):
        """A page's command, for this machine."""
        if self.port:
            text = re.sub(rf":{PORT}\b", f":{self.port}", text)
        return text

    def there(self, text):
        """What was printed, as a page shows it."""
        if self.port:
            text = re.sub(rf":{self.port}\b", f":{PORT}", text)
        for fake in [*self.fakes.values(), *([self.hub] if self.hub else [])]:
            text = text.replace(fake.url, "https://the.provider").replace(fake.url[7:], "the.provider")
        return text.replace(self.folder, "~").replace("\r", "").replace(ROOT, "~/sema")

    def shell(self, text, timeout=60):
        done = subprocess.run(["bash", "-c", self.here(text)], cwd=self.folder, env=self.env, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=timeout)
        return done.returncode, self.there(done.stdout.decode("utf-8", "replace"))

    def serve(self, block, command):
        """Starts the server that the blocks below talk to."""
        self.stop()
        self.starts += 1
        err = os.path.join(self.folder, f"err-{self.starts}")
        with open(err, "wb") as e, open(err + ".log", "wb") as out:
            self.server = subprocess.Popen(["bash", "-c", "exec " * (not re.match(r"[A-Z_]+=", command)) + command], cwd=self.folder,
                                           env=self.env, stdout=out, stderr=e, stdin=subprocess.DEVNULL)

        def said():
            with open(err, encoding="utf-8", errors="replace") as f:
                return f.read()

        def started():
            if self.server.poll() is not None:
                raise Failed(f"{block}: the server ended with status {self.server.returncode}: {said()}")
            found = re.search(r" on http://\S*:(\d+)$", said(), re.M)
            return found and int(found[1])
        self.port = wait_until(started, 15, f"{block}: the start")
        wait_until(lambda: (self.server.poll() is None or not started()) and self.get("/api/v1/health").json()["model_loaded"], 20,
                   f"{block}: a model")
        return self.there(said())

    host = "127.0.0.1"

    def get(self, path):
        return Server.request(self, "GET", path)

    def connect(self, timeout=10):
        return Raw(self, timeout)

    def env_file(self, text):
        path = os.path.join(self.folder, ".env")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, 0o600)

    def no_env_file(self):
        path = os.path.join(self.folder, ".env")
        if os.path.exists(path):
            os.remove(path)

    def ini(self, block):
        """A .env: taken without a word, and served with."""
        self.env_file(block.text)
        free = {k: v for k, v in self.env.items() if not k.startswith(("HF_HUB", "HOST"))}
        done = subprocess.run([BINARY, "config"], cwd=self.folder, env={**free, "HOST": "127.0.0.1"}, capture_output=True, text=True,
                              timeout=20)
        if done.returncode or done.stderr:
            raise Failed(f"{block}: sema config: {done.stderr}")
        if block.role == "settings":
            self.no_env_file()
            return ""
        said = self.serve(block, "sema serve")
        key = re.search(r"^API_KEY=(\S+)", block.text, re.M)
        r = Server.request(self, "POST", "/api/v1/chat", {"Content-Type": "application/json", **({"X-API-Key": key[1]} if key else {})},
                           json.dumps({"message": "hello", "session_id": "a-first-try"}), timeout=30)
        if r.status != 200:
            raise Failed(f"{block}: hello: {r}")
        name = re.search(r"^MODEL_NAME=(\S+)", block.text, re.M)
        if name and r.json()["model_name"] != name[1]:
            raise Failed(f"{block}: {r.json()['model_name']} answers")
        Server.request(self, "DELETE", "/api/v1/sessions/a-first-try", {"X-API-Key": key[1]} if key else {})
        self.no_env_file()
        return said

    def frames(self, block):
        """Frames to the WebSocket and those that come back."""
        out = []
        with WebSocket(self, "/api/v1/chat/ws") as w:
            for line in block.text.splitlines():
                w.say(line)
                out += w.answer_frames()
        return "\n".join(json.dumps(f, ensure_ascii=False, separators=(",", ":")) for f in out) + "\n"

    def run(self, answered):
        """Each block in turn; `answered(block, real)` sees what a page shows and what was printed."""
        printed = None
        for block in self.page.blocks:
            if block.role == "not-run:" or block.role in ("message", "picture"):
                printed = None
            elif block.role == "answer":
                if printed is None:
                    raise Failed(f"{block}: an answer to nothing")
                answered(block, printed)
            elif block.role == "send":
                printed = self.frames(block)
            elif block.language == "ini":
                printed = self.ini(block)
            elif block.role == "serve":
                printed = self.serve(block, block.text)
            else:
                status, printed = self.shell(block.text)
                if (status != 0) != (block.role == "fails"):
                    raise Failed(f"{block}: exit status {status}: {printed}")


def hub_files():
    folder = os.path.join(ROOT, "model", "sema-guide")
    files = {}
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), "rb") as f:
            files[name] = f.read()
    return files


def pieces(text):
    """The blocks of a stream, each a list of lines."""
    if "\ndata: " in "\n" + text:
        return [b.split("\n") for b in text.rstrip("\n").split("\n\n")], "\n\n"
    return [[line] for line in text.rstrip("\n").split("\n")], "\n"


def payload(block):
    """The JSON of a block and what stands in front of it."""
    data = re.match(r"(data: )?(\{.*\})$", block[-1])
    return (data[1] or "", json.loads(data[2])) if data else (None, None)


def add_text(to, more):
    """Appends the texts of one piece to those of another of the same form."""
    for k, v in more.items() if isinstance(more, dict) else enumerate(more):
        if k in SAID and isinstance(v, str):
            to[k] += v
        elif isinstance(v, (dict, list)):
            add_text(to[k], v)


def fewer(text):
    """A stream with less pieces: all but the first of a kind in one.  The server does the same when a client is slow."""
    blocks, between = pieces(text)
    out, number = [], -1
    for block in blocks:
        front, value = payload(block)
        form = None if value is None else normal(json.dumps(silent(value, [])))
        if out and form and len(out) > 1 and out[-1][2] == form == out[-2][2]:
            add_text(out[-1][3], value)
        else:
            out.append([block, front, form, value])
    lines = []
    for block, front, _, value in out:
        if value is not None and "chunk_id" in value:
            value["chunk_id"] = number = number + 1
            block = [re.sub(r"^(id: .*:)\d+$", rf"\g<1>{number}", line) for line in block]
        if value is not None:
            block = block[:-1] + [front + json.dumps(value, ensure_ascii=False, separators=(",", ":"))]
        lines.append("\n".join(block))
    return between.join(lines)


def laid_out(block, real):
    """What goes into a page for what was printed."""
    value = as_json(real)
    if block.language == "json" and value is not None:
        return pretty(value)
    return fewer(real) if is_stream(real) else real.rstrip("\n")
