"""The container image, as far as it goes without an engine: what the Dockerfile names exists, its commands are commands, and
its settings make a server that the guide's `docker run` line can reach.  `./dev test container` runs the steps themselves."""
import importlib.machinery
import importlib.util

from harness import *

ROOT = os.path.abspath(os.environ.get("SEMA_SOURCE_ROOT") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
LOADER = importlib.machinery.SourceFileLoader("container_tool", os.path.join(ROOT, "tools", "dev", "container"))
tool = importlib.util.module_from_spec(importlib.util.spec_from_loader("container_tool", LOADER))
LOADER.exec_module(tool)

# Of Debian 13: the package that has a library which the program names.  A new library is a new row, and a new package
# in the Dockerfile.
PACKAGE_OF = {
    "libuv.so.1": "libuv1t64", "libyyjson.so.0": "libyyjson0", "libwslay.so.1": "libwslay1", "libssl.so.3": "libssl3t64",
    "libcrypto.so.3": "libssl3t64", "libpcre2-8.so.0": "libpcre2-8-0", "libutf8proc.so.2": "libutf8proc3",
    "libutf8proc.so.3": "libutf8proc3", "libsqlite3.so.0": "libsqlite3-0",
}
OF_THE_BASE = re.compile(r"libc\.so|libm\.so|ld-linux|libgcc_s|libpthread|libdl|libasan|libubsan|libtsan|libatomic")
BY_DLOPEN = ["libcurl4t64", "ca-certificates"]
# Of packages.sh's list for building, what serves ./dev itself or testing.
NOT_TO_BUILD = {"curl", "ca-certificates"}


def stages():
    return tool.parse(os.path.join(ROOT, "Dockerfile"))


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as f:
        return f.read()


@case("every path that is copied exists and gets past .dockerignore")
def paths(t):
    files = tool.context(ROOT)
    made = {s.name: " ".join(s.values("RUN")) for s in stages()}
    for stage in stages():
        for rest in stage.values("COPY"):
            flags, sources, _ = tool.sources(rest)
            for source in sources:
                if "from" in flags:
                    t.true("/image" in made[flags["from"]] and source.startswith("/image/"), source)
                else:
                    t.true(tool.copied(files, source), f"COPY {source}")


@case("and those are all that the build reads")
def all_paths(t):
    files = tool.context(ROOT)
    seen = {f for stage in stages() for rest in stage.values("COPY") if "from" not in tool.sources(rest)[0]
            for source in tool.sources(rest)[1] for f, _ in tool.copied(files, source)}
    for folder in re.findall(r"^subdir\('(\w+)'\)", read("meson.build"), re.M):
        t.true(f"{folder}/meson.build" in seen, folder)
    for name in re.findall(r"'\.\./([^']+)'", read("deploy", "meson.build")):
        t.true(name in seen or name == "docs/guide", name)


@case("nothing else enters it: no keys, no history, nothing built")
def kept_out(t):
    patterns = [line for line in read(".dockerignore").splitlines() if line and not line.startswith("#")]
    for name in (".env", ".git/config", "build/sema", "deploy/container/compose.yaml", "docs/guide/README.md",
                 "sema.db", "tests/scenario/harness.py", "src/__pycache__", "tests/clients/node_modules/x/y.js"):
        t.true(tool.ignored(patterns, name), name)
    for name in ("src/main.c", "src/api/served/run.c", "model/sema-guide/config.json", "meson.build", ".env.example"):
        t.true(not tool.ignored(patterns, name), name)
    text = read("Dockerfile")
    t.true(not re.search(r"(_KEY|_TOKEN|_SECRET|PASSWORD)\s*=", text), "a secret's name in the Dockerfile")


@case("the program's libraries are installed in it, and what builds it in the first stage")
def libraries(t):
    build, final = stages()
    installed = tool.packages(final)
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", subprocess.check_output(["readelf", "-d", BINARY], text=True))
    t.true(len(needed) > 5, needed)
    for name in needed:
        if not OF_THE_BASE.match(name):
            t.true(name in PACKAGE_OF, f"the package of {name} in PACKAGE_OF")
            t.true(PACKAGE_OF[name] in installed, f"{PACKAGE_OF[name]} for {name}")
    wanted = {PACKAGE_OF[n] for n in needed if not OF_THE_BASE.match(n)} | set(BY_DLOPEN)
    t.equal(sorted(set(installed) - wanted), [], "packages that nothing needs")
    of_dev = re.search(r"\n        build\)\n(.*?);;", read("tools", "dev", "packages.sh"), re.S)[1]
    names = set(re.sub(r"echo|\\", " ", of_dev).split()) - NOT_TO_BUILD
    t.equal(sorted(names - set(tool.packages(build))), [], "packages that ./dev builds with and the Dockerfile does not")
    t.true({"libyyjson-dev", "libllhttp-dev"} <= set(tool.packages(build)), "what Debian 13 has and Debian 12 has not")


@case("Debian 13 has these packages")
def packages(t):
    with open("/etc/os-release", encoding="utf-8") as f:
        if "VERSION_CODENAME=trixie" not in f.read():
            raise Skipped("not Debian 13; ./dev test container asks its archive")
    if not subprocess.run(["apt-cache", "show", "gcc"], capture_output=True, check=False).stdout:
        raise Skipped("no package lists here")
    for stage in stages():
        for name in tool.packages(stage):
            t.equal(subprocess.run(["apt-cache", "show", name], capture_output=True, check=False).returncode, 0, name)


@case("its commands are commands of the program")
def commands(t):
    final = stages()[-1]
    t.equal((final.entry, final.command), (["sema"], ["serve"]))
    for command in (final.entry + final.command, final.health):
        t.equal(command[0], "sema")
        status, out, err = run_sema(command[1], "--help")
        t.equal((status, err), (0, ""), command[1])
        for flag in command[2:]:
            t.has(out, f"\n  {flag} ")


@case("user, port, signal and settings are those of the program")
def settings(t):
    final = stages()[-1]
    t.equal(final.user, "1000:1000")
    t.equal(final.values("STOPSIGNAL"), ["SIGTERM"])
    t.equal(final.values("VOLUME"), [final.env["STATE_DIRECTORY"]])
    t.true(final.env["HF_HOME"].startswith(final.env["STATE_DIRECTORY"] + "/"), "models are in the volume")
    known = dict(re.findall(r"^([A-Z_]+) = (.*?)  \(", run_sema("config")[1], re.M))
    t.equal(final.values("EXPOSE"), [known["PORT"]])
    for name in set(final.env) - {"STATE_DIRECTORY"}:
        t.true(name in known, name)
    t.true(float(final.env["SHUTDOWN_TIMEOUT"]) < 10 - 1, "within the time that docker stop gives")


@case("compose gives a stop its time and nothing more than it needs")
def compose(t):
    text = read("deploy", "container", "compose.yaml")
    for line in ("image: sema-chat-api", "read_only: true", "- ALL", "- no-new-privileges:true", "- data:/data", "build: ../..",
                 "required: false", '- "127.0.0.1:7860:7860"'):
        t.has(text, line)
    timeout = float(re.search(r'SHUTDOWN_TIMEOUT: "(\d+)"', text)[1])
    t.true(float(re.search(r"stop_grace_period: (\d+)s", text)[1]) >= timeout + 10, "stop_grace_period")


@case("the guide's run line: settings by environment alone, on all addresses")
def run_line(t):
    env = stages()[-1].env
    with tempfile.TemporaryDirectory() as data, Fake("minimax", "--key", "your_key") as fake:
        here = {name: value.replace("/data", data) for name, value in env.items()}
        url = fake.url + "/v1/text/chatcompletion_v2"
        with Server(folder=data, unset=["HOST", "MODEL_NAME", "SESSION_STORE"],
                    **{**here, "PORT": "0", "MODEL_TYPE": "minimax", "MINIMAX_API_KEY": "your_key", "MINIMAX_API_URL": url,
                       "OPENAI_API_KEY": "sk-of-the-owner"}) as s:
            r = s.chat("Solve this math problem: 2x + 5 = 15", "minimax-test")
            t.equal((r.status, r.json()["model_name"]), (200, "MiniMax-M1"))
            t.true(os.path.exists(os.path.join(data, "sema.db")))
            # It is open to everyone here: nobody may spend the owner's other keys.
            named = s.post("/v1/chat/completions", {"model": "openai/gpt-4o", "messages": [{"role": "user", "content": "x"}]})
            t.equal(named.status, 404, named.text)
            health = stages()[-1].health[1:]
            for host in ({}, {"ALLOWED_HOSTS": "chat.example.org"}):
                status, out, err = run_sema(*health, env={**here, "PORT": str(s.port), **host})
                t.equal((status, out, err), (0, "", ""))
            port = s.port
            t.equal(s.stop(), 0)
        t.equal(run_sema(*health, env={**here, "PORT": str(port)})[0], 1)


@case("a Dockerfile that this tool does not understand is refused, not half read")
def strict(t):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "Dockerfile")
        for text in ("FROM a\nADD x y\n", "FROM a\nENTRYPOINT sema serve\n", "FROM a\nHEALTHCHECK NONE\n"):
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
            try:
                tool.parse(path)
                raise Failed(f"read {text!r}")
            except tool.Wrong:
                pass


main()
