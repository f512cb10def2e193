"""The systemd unit: systemd's own judgement of it, the program inside its sandbox, and what a manager is told."""
import sys as _sys
import os as _os
_sys.path.insert(0, _os.path.join(_os.path.dirname(_os.path.abspath(__file__)), "..", "fakes"))
import platform
import shutil

from harness import *
from harness import sanitized
from hub import Hub

ROOT = os.environ.get("SEMA_SOURCE_ROOT") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
UNIT = os.path.join(ROOT, "deploy", "systemd", "sema.service")
SANDBOX = os.path.join(ROOT, "tests", "scenario", "sandbox.py")
EXPOSURE_MAX = 2.0  # of 10; `systemd-analyze security` calls this "OK"


def analyze(*args):
    if shutil.which("systemd-analyze") is None:
        raise Skipped("no systemd-analyze here")
    done = subprocess.run(["systemd-analyze", *args], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def unit_text():
    with open(UNIT, encoding="utf-8") as f:
        return f.read()


@case("systemd finds nothing wrong with it")
def verified(t):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "sema.service")
        with open(path, "w", encoding="utf-8") as f:
            f.write(unit_text().replace("/usr/local/bin/sema", BINARY))
        status, said = analyze("verify", "--man=no", path)
        # What it says about other units of this machine is not ours.
        t.equal([line for line in said.splitlines() if "sema" in line], [])
        t.equal(status, 0, said)


@case("its sandbox leaves little open")
def exposure(t):
    status, said = analyze("security", "--offline=yes", f"--threshold={int(EXPOSURE_MAX * 10)}", UNIT)
    t.equal(status, 0, said[-300:])


@case("the time to stop is longer than SHUTDOWN_TIMEOUT's default")
def stop_time(t):
    default = float(re.search(r"^SHUTDOWN_TIMEOUT = (\S+)", run_sema("config")[1], re.M)[1])
    t.true(float(re.search(r"^TimeoutStopSec=(\d+)$", unit_text(), re.M)[1]) > default + 6, "TimeoutStopSec")


def in_sandbox(folder):
    """The server's command, and the folders that it may write."""
    if os.geteuid() != 0 or platform.machine() != "x86_64" or sanitized():
        raise Skipped("needs root, x86-64 and a program without sanitizers")
    if shutil.which("systemd-analyze") is None or not os.path.exists("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"):
        raise Skipped("needs systemd-analyze and the kernel's headers")
    if subprocess.run(["unshare", "--mount", "true"], stderr=subprocess.DEVNULL, check=False).returncode:
        raise Skipped("no namespaces here")
    os.chmod(folder, 0o755)
    folders = [os.path.join(folder, name) for name in ("state", "cache")]
    for path in folders:
        os.makedirs(path, exist_ok=True)
    program = os.path.join(folder, "sema")  # the build's own folder may be closed to others
    shutil.copy(BINARY, program)
    command = ["unshare", "--mount", _sys.executable, SANDBOX, UNIT, *folders, "--", program, "serve"]
    env = {name: value.replace("%C/sema", folders[1]) for name, value in
           (word.split("=", 1) for word in re.search(r"^Environment=(.*)$", unit_text(), re.M)[1].split())}
    env["STATE_DIRECTORY"] = folders[0]
    return command, env, folders


@case("inside the sandbox it downloads a model, answers, stores, reloads and stops")
def works_inside(t):
    guide = os.path.join(ROOT, "model", "sema-guide")
    files = {name: open(os.path.join(guide, name), "rb").read() for name in sorted(os.listdir(guide))}
    with tempfile.TemporaryDirectory() as folder, Hub({"o/m": files}) as hub:
        command, env, (state, cache) = in_sandbox(folder)
        with Server(command=command, folder=folder, unset=["MODEL_TYPE", "MODEL_NAME", "SESSION_STORE"], **env,
                    MODEL_NAME="o/m", HF_ENDPOINT=hub.url) as s:
            t.equal(s.chat("How do I set the port?", "kept").status, 200)
            t.true(s.sse("And the host?", "kept").content())
            s.process.send_signal(signal.SIGHUP)
            t.equal(s.get("/status").json()["environment"], "production")
            with open(f"/proc/{s.process.pid}/status", encoding="ascii") as f:
                held = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
            t.equal((held["Uid"].split()[0], held["CapBnd"], held["NoNewPrivs"], held["Seccomp"]), ("61184", "0" * 16, "1", "2"))
            with open(f"/proc/{s.process.pid}/limits", encoding="ascii") as f:
                t.match(next(line for line in f if line.startswith("Max core")), r"Max core file size +0 +0 .*\s*")
            t.equal(s.stop(), 0)
            t.equal(s.events("model_warning"), [])
        t.true(os.path.exists(os.path.join(state, "sema.db")))
        t.true(os.path.isdir(os.path.join(cache, "huggingface", "hub", "models--o--m")))


@case("the sandbox is one: a call that the unit forbids ends the process")
def it_holds(t):
    with tempfile.TemporaryDirectory() as folder:
        command, _, (state, _) = in_sandbox(folder)
        python = "/usr/bin/python3"  # the tester's own may be closed to others
        if not os.path.exists(python):
            raise Skipped("no " + python)
        at = command.index("--") + 1
        for script, want in (("import os; os.chroot('/')", -signal.SIGSYS), ("import socket; socket.socket(17, 3)", -signal.SIGSYS),
                             ("import mmap; mmap.mmap(-1, 4096, prot=7)", 1), ("open('/usr/x', 'w')", 1), ("open('/tmp/x', 'w')", 1),
                             (f"open('{state}/x', 'w')", 0)):
            done = subprocess.run([*command[:at], python, "-c", script], capture_output=True, text=True, timeout=60)
            t.equal(done.returncode, want, script + done.stderr)


class Manager:
    """Where a service manager listens."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(10)

    def hear(self):
        return self.socket.recv(4096).decode().split("\n")


@case("a manager is told when connections are accepted, when it stops and how long that may take")
def told(t):
    with tempfile.TemporaryDirectory() as folder:
        for address, name in ((folder + "/notify", folder + "/notify"), (f"\0sema-test-{os.getpid()}", f"@sema-test-{os.getpid()}")):
            manager = Manager(address)
            with Server(script=[{"prepare": {"wait_ms": 60000}}], wait_ready=False, NOTIFY_SOCKET=name, SHUTDOWN_TIMEOUT="100") as s:
                t.equal(manager.hear(), ["READY=1"])
                t.equal(s.get("/health").status, 200)
                s.process.send_signal(signal.SIGTERM)
                first, second = manager.hear()
                t.equal(first, "STOPPING=1")
                t.true(int(second.removeprefix("EXTEND_TIMEOUT_USEC=")) >= 105_000_000, second)
                t.equal(s.process.wait(10), 0)
            manager.socket.close()


@case("a start that fails tells nothing, and a manager that is gone changes nothing")
def not_told(t):
    with tempfile.TemporaryDirectory() as folder:
        manager = Manager(folder + "/notify")
        status = run_sema("serve", env={"NOTIFY_SOCKET": folder + "/notify", "HOST": "127.0.0.1", "PORT": "0", "SESSION_STORE": folder})[0]
        t.equal(status, 3)
        manager.socket.setblocking(False)
        try:
            raise Failed(f"told {manager.hear()}")
        except BlockingIOError:
            pass
    for name in (folder + "/notify", "@nobody", "", "relative", "/" + "x" * 200):
        with Server(NOTIFY_SOCKET=name) as s:
            t.equal(s.stop(), 0)


main()
