"""After a load memory goes back to what it was (reliability.md section 7)."""
from harness import *


def anonymous_kb(s):
    """What the process itself holds: pages of the program and its model come and go as the kernel likes."""
    with open(f"/proc/{s.process.pid}/status", encoding="ascii") as f:
        return int(re.search(r"RssAnon:\s+(\d+)", f.read())[1])


@case("a local model gives the memory of finished conversations back when there is nothing to do")
def conversations(t):
    with Server(MODEL_TYPE="local", MODEL_NAME="sema-guide", MAX_CONCURRENT_STREAMS=0) as s:
        t.equal(s.chat("port " * 100, "first", max_tokens=4).status, 200)
        before = anonymous_kb(s)
        # Long prompts in sessions of their own: what was read for them would be of use to the next turn.
        clients = [threading.Thread(target=lambda i=i: s.chat("port " * 100 + str(i), f"s{i}", max_tokens=4)) for i in range(40)]
        for c in clients:
            c.start()
        for c in clients:
            c.join()
        if not sanitized():
            t.true(anonymous_kb(s) > before + 4096, "that much is kept at first")
            wait_until(lambda: anonymous_kb(s) < before + 2048, 15, "the memory's return")
        t.equal(s.chat("and then?", "s0", max_tokens=4).status, 200)


@case("turns, their histories and their streams leave nothing behind")
def turns(t):
    with Server(script=[{"when": "*", "pieces": [{"text": "x" * 1000, "repeat": 40}]}], MAX_CONCURRENT_STREAMS=0) as s:
        t.equal(s.chat("a", "first").status, 200)
        before = anonymous_kb(s)

        def client(i):
            for _ in range(4):
                s.chat("q" * 3000, f"s{i}")
                s.sse("more", f"s{i}").events()
        clients = [threading.Thread(target=client, args=(i,)) for i in range(30)]
        for c in clients:
            c.start()
        for c in clients:
            c.join()
        if not sanitized():
            wait_until(lambda: anonymous_kb(s) < before + 2048, 15, "the memory's return")


main()
