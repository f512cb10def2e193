"""What was acknowledged is kept: kill -9, a full disk, a damaged file, a second server on the same file, a deleted
text (reliability.md sections 1 and 4)."""
import resource

from harness import *

SCRIPT = [{"when": "slow", "pieces": [{"text": "w ", "repeat": 40, "every_ms": 10}]}, {"when": "*", "pieces": [{"echo": "message"}, "!"]}]


def turns_of(s, session):
    """The questions of a session; fails when anything in it is not whole and in order."""
    r = s.get("/api/v1/sessions/" + session)
    if r.status == 404:
        return []
    questions = []
    messages = r.json()["messages"]
    for i, m in enumerate(messages):
        if m["role"] != ("user", "assistant")[i % 2]:
            raise Failed(f"{session}: message {i} is the {m['role']}'s")
        if i % 2 == 0:
            questions.append(m["content"])
        elif not m["content"].startswith(questions[-1]):
            raise Failed(f"{session}: answer {m['content']!r} to {questions[-1]!r}")
    if len(messages) % 2:
        raise Failed(f"{session}: half a turn at the end")
    return questions


@case("kill -9 under load: no acknowledged turn is lost or doubled, none is half there")
def killed(t):
    with tempfile.TemporaryDirectory(prefix="sema-test-") as folder:
        acked = {f"s{i}": [] for i in range(4)}
        asked = 0
        for round in range(5):
            with Server(script=SCRIPT, folder=folder) as s:
                for session, told in acked.items():
                    kept = turns_of(s, session)
                    # Those told, in order; one more may have been stored before it could be told.
                    t.equal(kept[:len(told)], told)
                    t.equal(len(kept) - len(told) in (0, 1), True)
                    acked[session] = kept

                def client(session):
                    n = 0
                    while True:
                        question = f"{session} {round} {n}"
                        try:
                            if n % 2:
                                with s.sse(question, session, timeout=5) as stream:
                                    done = any(e.type == "done" for e in stream.events())
                            else:
                                done = s.chat(question, session).status == 200
                        except Exception:  # the kill
                            return
                        if not done:
                            return
                        acked[session].append(question)
                        n += 1
                clients = [threading.Thread(target=client, args=(x,)) for x in acked]
                for c in clients:
                    c.start()
                time.sleep(0.2 + 0.13 * round)
                s.kill()
                for c in clients:
                    c.join()
                asked = sum(len(x) for x in acked.values())
        t.equal(asked > 40, True)


@case("a full disk: 503 store_unavailable, nothing half stored, reading goes on, heals by itself")
def full(t):
    with Server(script=SCRIPT) as s:
        t.equal(s.chat("before", "s").status, 200)
        pid = s.process.pid
        size = max(os.path.getsize(os.path.join(s.folder, n)) for n in os.listdir(s.folder) if n.startswith("sema.db"))
        was = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size + 4096, was[1]))  # also what is left for its log
        refused = None
        for n in range(60):
            r = s.chat("x" * 4000, "big")
            if r.status != 200:
                refused = r
                break
        t.equal((refused.status, refused.code, refused.detail), (503, "store_unavailable", "Session store not available"))
        t.equal(int(refused.header("Retry-After")) >= 1, True)
        events = s.sse("x" * 4000, "big2").events()
        t.equal([e.type for e in events][-1], "error")
        t.equal(json.loads(events[-1].data)["code"], "store_unavailable")
        t.equal(s.get("/api/v1/sessions/big2").status, 404)
        t.equal(len(turns_of(s, "big")), n)
        t.equal(turns_of(s, "s"), ["before"])
        while os.path.getsize(s.log_path) < size + 4096:  # the log's disk is full as well
            t.equal(s.get("/status").status, 200)
        t.equal([s.get("/status").status for _ in range(3)], [200, 200, 200])
        resource.prlimit(pid, resource.RLIMIT_FSIZE, was)
        t.equal(s.chat("after", "s").status, 200)
        t.equal(turns_of(s, "s"), ["before", "after"])


@case("a file that is no store, or damaged, or newer: one line, exit status 3, untouched")
def refused(t):
    with tempfile.TemporaryDirectory(prefix="sema-test-") as folder:
        path = os.path.join(folder, "sema.db")
        with Server(script=SCRIPT, folder=folder) as s:
            for n in range(20):
                s.chat("x" * 3000, f"s{n % 3}")
        with open(path, "rb") as f:
            good = f.read()
        newer = bytearray(good)
        newer[63] = 99
        broken = bytearray(good)
        broken[2 * 4096:3 * 4096] = b"\xff" * 4096
        cases = {"text": b"hello, I am not a database\n" * 20, "cut": good[:len(good) // 2], "newer": bytes(newer),
                 "broken": bytes(broken), "short": b"x"}
        for name, data in cases.items():
            with open(path, "wb") as f:
                f.write(data)
            status, out, err = run_sema("serve", folder=folder, env={
                "HOST": "127.0.0.1", "PORT": "0", "MODEL_TYPE": "scripted", "MODEL_NAME": os.path.join(folder, "script.jsonl"),
                "SESSION_STORE": "sqlite:" + path})
            line = [x for x in err.splitlines() if x.startswith("startup: ")]
            t.equal((name, status, len(line)), (name, 3, 1))
            t.equal(line[0].startswith(f"startup: cannot open the session store {path}: "), True)
            with open(path, "rb") as f:
                t.equal((name, f.read() == data), (name, True))


@case("two servers on one file: one conversation, whole and in one order")
def two(t):
    with tempfile.TemporaryDirectory(prefix="sema-test-") as folder:
        with Server(script=SCRIPT, folder=folder) as a, Server(script=SCRIPT, folder=folder) as b:
            def client(s, name):
                for n in range(15):
                    r = s.chat(f"{name} {n}", "shared")
                    if r.status != 200:
                        raise Failed(f"{name} {n}: {r.status} {r.text}")
            clients = [threading.Thread(target=client, args=x) for x in ((a, "a"), (b, "b"))]
            for c in clients:
                c.start()
            for c in clients:
                c.join()
            questions = turns_of(a, "shared")
            t.equal(questions, turns_of(b, "shared"))
            t.equal([q for q in questions if q[0] == "a"], [f"a {n}" for n in range(15)])
            t.equal([q for q in questions if q[0] == "b"], [f"b {n}" for n in range(15)])


@case("a deleted text is out of file and log within a minute, on an idle server")
def erased(t):
    with Server(script=SCRIPT) as s:
        def found(text):
            return any(text in open(os.path.join(s.folder, n), "rb").read() for n in os.listdir(s.folder) if n.startswith("sema.db"))
        for n in range(30):
            s.chat(f"KEEP{n:03} " + "k" * (n * 37), f"keep{n % 7}")
            s.chat(f"ERASE{n:03} " + "e" * (n * 53), "erase")
        t.equal((found(b"KEEP001"), found(b"ERASE001")), (True, True))
        t.equal(s.delete("/api/v1/sessions/erase").status, 200)
        wait_until(lambda: not found(b"ERASE"), 60, "the text's end")
        t.equal(found(b"KEEP001"), True)


main()
