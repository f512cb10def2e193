"""The hosted space: what deploy/space/make puts together, where its files go, and that it listens long before its model is
there."""
import sys as _sys
import os as _os
_sys.path.insert(0, _os.path.join(_os.path.dirname(_os.path.abspath(__file__)), "..", "fakes"))
import importlib.machinery
import importlib.util
import shutil

from harness import *
from hub import Hub

ROOT = os.path.abspath(os.environ.get("SEMA_SOURCE_ROOT") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
LOADER = importlib.machinery.SourceFileLoader("container_tool", os.path.join(ROOT, "tools", "dev", "container"))
tool = importlib.util.module_from_spec(importlib.util.spec_from_loader("container_tool", LOADER))
LOADER.exec_module(tool)
TINY = "TinyLlama/TinyLlama-1.1B-Chat-v1.0"
# What the host's documentation allows: https://huggingface.co/docs/hub/spaces-config-reference, read 2026-11.
COLORS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
PRIVATE = "10.1.2.3"


class Space:
    """A made space, and its start on this machine: /data and /tmp are folders of its own."""

    def __init__(self):
        self.place = tempfile.mkdtemp(prefix="sema-space-")
        self.folder = os.path.join(self.place, "space")
        self.made = self.make()
        self.stage = tool.parse(os.path.join(self.folder, "Dockerfile"))[-1]
        self.bin = os.path.join(self.place, "bin")
        os.mkdir(self.bin)
        os.symlink(BINARY, os.path.join(self.bin, "sema"))

    def make(self, *args):
        return subprocess.run([os.path.join(ROOT, "deploy", "space", "make"), *(args or [self.folder])], capture_output=True, text=True,
                              timeout=60)

    def read(self, *path):
        with open(os.path.join(self.folder, *path), encoding="utf-8") as f:
            return f.read()

    def start(self, data, tmp):
        """The command of the entry point, with these folders for /data and /tmp."""
        path = os.path.join(self.place, "start-here")
        with open(path, "w", encoding="utf-8") as f:
            f.write(self.read("space-start").replace("in /data /tmp/sema;", f"in {data} {tmp}/sema;").replace("/tmp/sema}", tmp + "/sema}"))
        return [*self.stage.entry[:-1], path, *self.stage.command]

    def env(self, **more):
        return {**self.stage.env, "PATH": self.bin + ":" + os.environ["PATH"], "PORT": "0", **more}


SPACE = Space()


def front_matter():
    text = SPACE.read("README.md")
    if not text.startswith("---\n"):
        raise Failed("no front matter")
    return dict(line.split(": ", 1) for line in text[4:text.index("\n---\n", 4)].splitlines())


@case("the front matter is what such spaces need")
def front(t):
    said = front_matter()
    t.equal((said["sdk"], said["app_port"]), ("docker", SPACE.stage.values("EXPOSE")[0]))
    t.true({said["colorFrom"], said["colorTo"]} <= COLORS, "colours")
    t.true(len(said["short_description"]) <= 60, "short_description")
    t.true(said["base_path"].startswith("/"), "base_path")


@case("the folder holds all that its Dockerfile copies, and no more of anybody's")
def whole(t):
    t.equal(SPACE.made.returncode, 0, SPACE.made.stderr)
    files = tool.context(SPACE.folder)
    for stage in tool.parse(os.path.join(SPACE.folder, "Dockerfile")):
        for rest in stage.values("COPY"):
            flags, sources, _ = tool.sources(rest)
            for source in sources:
                t.true("from" in flags or tool.copied(files, source), f"COPY {source}")
    there = {os.path.relpath(os.path.join(at, n), SPACE.folder) for at, _, names in os.walk(SPACE.folder) for n in names}
    t.equal(sorted(there - set(files)), [".dockerignore", ".gitattributes", "Dockerfile"])
    t.has(SPACE.read(".gitattributes"), "*.safetensors filter=lfs")
    big = [n for n in there if os.path.getsize(os.path.join(SPACE.folder, n)) > 1 << 20 and not n.endswith(".safetensors")]
    t.equal(big, [], "large files that are not in large-file storage")


@case("user, entry point and settings are right for a public page")
def settings(t):
    t.equal((SPACE.stage.user, SPACE.stage.entry), ("1000:1000", ["/bin/sh", "/usr/share/sema/space-start"]))
    known = re.findall(r"^([A-Z_]+) = ", run_sema("config")[1], re.M)
    for name in set(SPACE.stage.env) - {"STATE_DIRECTORY"}:
        t.true(name in known, name)
    status, out, err = run_sema("config", "--json", env={k: v for k, v in SPACE.stage.env.items() if k not in ("STATE_DIRECTORY", "HF_HOME")})
    t.equal(status, 0, err)
    values = json.loads(out)
    t.true(0 < values["SESSION_TIMEOUT"]["value"] <= 240, "SESSION_TIMEOUT")
    t.equal(values["ENABLE_MODEL_SWITCH"]["value"], False)
    t.equal(values["CLIENT_MODELS"]["value"], "configured")


@case("made again it takes its own files for new ones and leaves .git, and never somebody else's folder")
def again(t):
    os.makedirs(os.path.join(SPACE.folder, ".git"))
    for name in ("old.c", ".git/config"):
        open(os.path.join(SPACE.folder, name), "w").close()
    t.equal(SPACE.make().returncode, 0)
    t.equal([os.path.exists(os.path.join(SPACE.folder, n)) for n in ("old.c", ".git/config")], [False, True])
    shutil.rmtree(os.path.join(SPACE.folder, ".git"))
    other = os.path.join(SPACE.place, "other")
    os.mkdir(other)
    open(os.path.join(other, "mine"), "w").close()
    done = SPACE.make(other)
    t.equal((done.returncode, os.listdir(other)), (1, ["mine"]))
    t.has(done.stderr, "holds something else")


def ready(s):
    wait_until(lambda: s.get("/api/v1/health").json()["model_loaded"], 60, "the model")


@case("conversations and models go to /data when it can be written, else to /tmp")
def folders(t):
    for kind in ("writable", "missing", "a file", "no database"):
        with tempfile.TemporaryDirectory() as folder:
            data, tmp = os.path.join(folder, "data"), os.path.join(folder, "tmp")
            os.mkdir(tmp)
            if kind in ("writable", "no database"):
                os.mkdir(data)
                if kind == "no database":
                    os.mkdir(os.path.join(data, ".try.db"))
            elif kind == "a file":  # root can write everything: a folder that cannot be made stands for one that is closed
                open(data, "w").close()
            else:
                data = "/proc/nowhere"
            with Server(command=SPACE.start(data, tmp), folder=folder, unset=["HOST", "MODEL_TYPE", "MODEL_NAME", "SESSION_STORE"],
                        **SPACE.env(HF_HUB_OFFLINE="1")) as s:
                t.equal(s.chat("How do I set the port?").status, 200)
                t.equal("space: no database can be kept" in s.errors(), kind == "no database")
                t.equal(s.get("/").status, 200)
            home = data if kind == "writable" else os.path.join(tmp, "sema")
            t.equal([n for n in os.listdir(home) if n.startswith(".")], [], "nothing of the try is left")
            t.true(os.path.exists(os.path.join(home, "sema.db")), kind)


@case("visitors behind the space's proxies have limits of their own")
def visitors(t):
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(folder + "/data")
        with Server(command=SPACE.start(folder + "/data", folder), folder=folder, unset=["HOST", "SESSION_STORE", "RATE_LIMIT"],
                    script=[{"when": "*", "pieces": ["fine"]}], **SPACE.env()) as s:
            def ask(*hops):
                return s.chat("hello", headers={"X-Forwarded-For": ", ".join(hops)}).status
            limit = int(SPACE.stage.env["RATE_LIMIT"])
            t.equal({ask("203.0.113.7", PRIVATE) for _ in range(limit)}, {200})
            t.equal(ask("203.0.113.7", PRIVATE), 429)
            t.equal(ask("203.0.113.8", PRIVATE), 200)
            t.equal(ask("203.0.113.9", "203.0.113.7", PRIVATE), 429, "what a visitor claims about itself counts for nothing")


@case("it listens at once while its model is downloaded, says so on every route, and answers when it is there")
def slow_download(t):
    guide = os.path.join(ROOT, "model", "sema-guide")
    files = {name: open(os.path.join(guide, name), "rb").read() for name in sorted(os.listdir(guide))}
    rate = len(files["model.safetensors"]) // 13  # lines about a download come every ten seconds
    with tempfile.TemporaryDirectory() as folder, Hub({TINY: files}) as hub:
        os.mkdir(folder + "/data")
        hub.slow = rate
        began = time.monotonic()
        with Server(command=SPACE.start(folder + "/data", folder), folder=folder, wait_ready=False,
                    unset=["HOST", "MODEL_TYPE", "MODEL_NAME", "SESSION_STORE", "RATE_LIMIT"],
                    **SPACE.env(MODEL_TYPE="local", MODEL_NAME=TINY, DEVICE="cpu", MAX_NEW_TOKENS="256", TEMPERATURE="0.7",
                                HF_ENDPOINT=hub.url)) as s:
            t.took(began, 0, 2, "the time to listen")
            r = s.get("/health")
            t.equal((r.status, r.json()["model_name"]), (200, TINY))
            t.equal(s.get("/api/v1/health").json()["status"], "unhealthy")
            r = s.chat("Hello")
            t.equal((r.status, r.code), (503, "model_not_ready"))
            t.true(int(r.header("Retry-After")) >= 1, "Retry-After")
            events = s.sse("Hello").events()
            t.equal([e.json().get("code") for e in events], ["model_not_ready"])
            w = s.websocket()
            w.ask("Hello", "s")
            t.equal(w.hear()["code"], "model_not_ready")
            w.close()
            r = s.post("/v1/chat/completions", {"model": TINY, "messages": [{"role": "user", "content": "Hello"}]})
            t.equal(r.status, 503, r.text)
            t.true(r.header("Retry-After"), "Retry-After of /v1")
            told = wait_until(lambda: s.events("model_download"), 20, "a line about the download")[0]
            t.inside(told["bytes_per_second"], rate // 3, rate * 2, "the rate")
            t.true(0 < told["bytes_done"] < told["bytes"], told)
            t.inside(told["seconds_left"], 0, 60, "the time left")
            hub.slow = 0
            ready(s)
            t.equal(s.chat("How do I set the port?").status, 200)
            t.true(os.path.isdir(os.path.join(folder, "data", "huggingface", "hub", "models--" + TINY.replace("/", "--"))))


@case("a stop during the download is at once")
def stop_during_download(t):
    guide = os.path.join(ROOT, "model", "sema-guide")
    files = {name: open(os.path.join(guide, name), "rb").read() for name in sorted(os.listdir(guide))}
    with tempfile.TemporaryDirectory() as folder, Hub({TINY: files}) as hub:
        hub.slow = 200_000
        with Server(command=SPACE.start(folder, folder), folder=folder, wait_ready=False,
                    unset=["HOST", "MODEL_TYPE", "MODEL_NAME", "SESSION_STORE"],
                    **SPACE.env(MODEL_TYPE="local", MODEL_NAME=TINY, HF_ENDPOINT=hub.url)) as s:
            wait_until(lambda: any("safetensors" in p for p in hub.get_paths()), 10, "the download")
            began = time.monotonic()
            t.equal(s.stop(), 0)
            t.took(began, 0, 3, "the stop")


try:
    main()
finally:
    shutil.rmtree(SPACE.place, ignore_errors=True)
