"""`./dev install` and `./dev uninstall`: what goes where, that it runs from there, and that nothing else is touched."""
import shutil

from harness import *

ROOT = os.environ.get("SEMA_SOURCE_ROOT") or os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
SCRIPT = [{"when": "*", "pieces": ["fine"]}]
ALWAYS = [
    "bin/sema", "lib/sema/installed", "lib/systemd/system/sema.service", "share/bash-completion/completions/sema",
    "share/doc/sema/.env.example", "share/doc/sema/CHANGELOG.md", "share/doc/sema/LICENSE", "share/doc/sema/README.md",
    "share/doc/sema/guide/settings.md", "share/fish/vendor_completions.d/sema.fish", "share/man/man1/sema.1",
    "share/man/man5/sema.env.5", "share/zsh/site-functions/_sema",
]


def dev(*args, **env):
    done = subprocess.run([os.path.join(ROOT, "dev"), *args], env={**os.environ, **env}, capture_output=True, text=True, timeout=850)
    return done.returncode, done.stdout, done.stderr


def tree(folder):
    return sorted(os.path.relpath(os.path.join(at, name), folder) for at, _, names in os.walk(folder) for name in names)


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as f:
        return f.read()


class Place:
    """An installation in a folder of its own, made once for all cases."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="sema-install-")
        os.chmod(self.folder, 0o755)
        self.prefix = os.path.join(self.folder, "opt", "sema")
        self.words = ["PREFIX=/opt/sema", "DESTDIR=" + self.folder]
        # What others have there already.
        os.makedirs(os.path.join(self.prefix, "share", "man", "man1"))
        with open(os.path.join(self.prefix, "share", "man", "man1", "other.1"), "w", encoding="utf-8") as f:
            f.write("mine\n")
        self.result = dev("install", *self.words)


PLACE = Place()


@case("program, manual pages, completions, unit and documents, and nothing besides")
def what_is_there(t):
    status, _, err = PLACE.result
    t.equal(status, 0, err)
    there = tree(PLACE.prefix)
    for name in ALWAYS:
        t.true(name in there, name)
    others = [n for n in there if n not in ALWAYS and not n.startswith("share/doc/sema/guide/")]
    t.equal([n for n in others if not n.startswith("lib/sema/lib")], ["share/man/man1/other.1"])
    t.equal(tree(PLACE.folder), ["opt/sema/" + n for n in there], "all below the prefix")
    for name in there:
        mode = os.stat(os.path.join(PLACE.prefix, name)).st_mode & 0o777
        t.equal(oct(mode), oct(0o755 if name == "bin/sema" else 0o644), name)
    t.equal(read(PLACE.prefix, "lib/systemd/system/sema.service").count("ExecStart=/opt/sema/bin/sema serve\n"), 1)
    for shell, path in (("bash", "share/bash-completion/completions/sema"), ("zsh", "share/zsh/site-functions/_sema"),
                        ("fish", "share/fish/vendor_completions.d/sema.fish")):
        t.true(read(PLACE.prefix, path) == run_sema("help", "--completion", shell)[1], shell)


@case("it runs from there, with its own libraries")
def runs(t):
    program = os.path.join(PLACE.prefix, "bin", "sema")
    done = subprocess.run([program, "version"], env={}, capture_output=True, text=True, timeout=20)
    t.equal((done.returncode, done.stdout), (0, run_sema("version")[1]), done.stderr)
    with Server(command=[program, "serve"], unset=["MODEL_TYPE", "MODEL_NAME"], HF_HUB_OFFLINE="1") as s:
        r = s.chat("How do I set the port?")
        t.equal(r.status, 200)
        with open(f"/proc/{s.process.pid}/maps", encoding="utf-8") as f:
            from_build = [line for line in f if "/deps/" in line]
        t.equal(from_build, [])
        t.equal(s.stop(), 0)


@case("the manual pages are well-formed")
def manuals(t):
    for page in ("share/man/man1/sema.1", "share/man/man5/sema.env.5"):
        path = os.path.join(PLACE.prefix, page)
        ran = False
        for command in (["mandoc", "-T", "lint", "-W", "warning", path], ["man", "--warnings", "-l", path]):
            if shutil.which(command[0]) is None:
                continue
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
                                  env={**os.environ, "MANPAGER": "cat", "MANWIDTH": "80", "LC_ALL": "C.UTF-8"})
            t.equal((done.returncode, done.stderr), (0, ""), " ".join(command) + done.stdout[-2000:])
            ran = True
        if not ran:
            raise Skipped("neither mandoc nor man here")


@case("a second time renews it and takes away what an older version had")
def again(t):
    old = os.path.join(PLACE.prefix, "share", "doc", "sema", "old.md")
    with open(old, "w", encoding="utf-8") as f:
        f.write("old\n")
    with open(os.path.join(PLACE.prefix, "lib", "sema", "installed"), "a", encoding="utf-8") as f:
        f.write("f share/doc/sema/old.md\nf ../../outside\n")
    outside = os.path.join(PLACE.folder, "outside")
    open(outside, "w").close()
    before = [n for n in tree(PLACE.prefix) if not n.endswith("/old.md")]
    with Server(command=[os.path.join(PLACE.prefix, "bin", "sema"), "serve"], script=SCRIPT) as s:  # while it runs
        status, _, err = dev("install", *PLACE.words)
        t.equal(status, 0, err)
        t.equal(s.chat("hello").json()["message"], "fine")
    t.equal(tree(PLACE.prefix), before)
    t.true(os.path.exists(outside), "nothing outside the prefix is touched")


@case("who may not write is told, and nothing happens")
def not_allowed(t):
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        raise Skipped("needs root and setpriv, to be somebody else")
    other = ["setpriv", "--reuid", "65534", "--clear-groups"]
    if subprocess.run([*other, "test", "-r", os.path.join(ROOT, "dev")], check=False).returncode:
        raise Skipped("others cannot read this tree")
    before = tree(PLACE.prefix)
    done = subprocess.run([*other, os.path.join(ROOT, "dev"), "uninstall", *PLACE.words], capture_output=True, text=True, timeout=60)
    t.equal(done.returncode, 1)
    t.has(done.stderr, "cannot write to")
    t.equal(tree(PLACE.prefix), before)


@case("uninstall takes away exactly that")
def uninstall(t):
    status, _, err = dev("uninstall", **dict(w.split("=", 1) for w in PLACE.words))
    t.equal(status, 0, err)
    t.equal(tree(PLACE.prefix), ["share/man/man1/other.1"])
    t.equal(sorted(os.path.relpath(d, PLACE.prefix) for d, _, _ in os.walk(PLACE.prefix)), [".", "share", "share/man", "share/man/man1"])
    status, _, err = dev("uninstall", *PLACE.words)
    t.equal(status, 1)
    t.has(err, "nothing of Sema's is in")


@case("wrong words are named before anything is built")
def wrong_words(t):
    for words, said in ((["PREFIX=here"], "must be an absolute folder"), (["somewhere"], "unknown word 'somewhere'")):
        status, _, err = dev("install", *words)
        t.equal(status, 1)
        t.has(err, said)


try:
    main()
finally:
    shutil.rmtree(PLACE.folder, ignore_errors=True)
