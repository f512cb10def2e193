"""Sessions: what is shown, what is forgotten, and whose id is whose (http-api.md section 8)."""
from harness import *

SCRIPT = [{"when": "hang", "pieces": ["part", {"hang": True}]}, {"when": "slow", "pieces": [{"text": "w ", "repeat": 25, "every_ms": 20}]},
          {"when": "think", "pieces": [{"reasoning": "hm"}, "yes"]}, {"when": "*", "pieces": ["answer"]}]
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"


@case("a session, key by key")
def shape(t):
    with Server(script=SCRIPT) as s:
        a = s.chat("think", "s1").json()
        r = s.get("/api/v1/sessions/s1")
        t.equal(r.status, 200)
        t.keys(r.json(), "session_id", "messages", "created_at", "updated_at", "message_count")
        t.equal((r.json()["session_id"], r.json()["message_count"]), ("s1", 2))
        t.match(r.json()["created_at"], STAMP)
        t.match(r.json()["updated_at"], STAMP)
        user, assistant = r.json()["messages"]
        t.keys(user, "role", "content", "timestamp", "metadata")
        t.equal((user["role"], user["content"], user["metadata"]), ("user", "think", {"session_id": "s1"}))
        t.equal((assistant["role"], assistant["content"]), ("assistant", "[Reasoning: hm]\n\nyes"))
        t.keys(assistant["metadata"], "session_id", "message_id", "model_name", "finish_reason", "reasoning")
        t.equal(assistant["metadata"]["message_id"], a["message_id"])
        t.equal(assistant["metadata"]["reasoning"], "hm")
        t.match(user["timestamp"], STAMP)


@case("unknown: 404; DELETE: always fine, and gone")
def delete(t):
    with Server(script=SCRIPT) as s:
        r = s.get("/api/v1/sessions/nope")
        t.equal((r.status, r.detail, r.code), (404, "Session not found", "session_not_found"))
        for _ in range(2):
            s.chat("m", "s")
            r = s.delete("/api/v1/sessions/s")
            t.equal((r.status, r.json()), (200, {"message": "Session cleared successfully"}))
            t.equal(s.get("/api/v1/sessions/s").status, 404)
        t.equal(s.delete("/api/v1/sessions/s").json(), {"message": "Session cleared successfully"})
        t.equal(s.get("/api/v1/sessions").json(), [])


@case("any id: slashes, blanks, dots, emoji, U+0000, percent signs")
def ids(t):
    with Server(script=SCRIPT) as s:
        names = ["a/b", "a b", "..", ".", "\U0001F600", "\0", "a\0b", "100%", "%2F", "a+b", "a?b#c", "é", "x" * 256, "\n"]
        for name in names:
            t.equal((name, s.chat("m", name).status), (name, 200))
            r = s.get("/api/v1/sessions/" + quote(name))
            t.equal((r.status, r.json().get("session_id")), (200, name))
        t.equal([x["session_id"] for x in s.get("/api/v1/sessions").json()], names)
        for name in names:
            t.equal(s.delete("/api/v1/sessions/" + quote(name)).status, 200)
        t.equal(s.get("/api/v1/sessions").json(), [])


@case("the list: in the order of creation, key by key, in pages")
def listing(t):
    with Server(script=SCRIPT) as s:
        names = [f"s{n}" for n in range(7)]
        for name in names:
            s.chat("m", name)
        s.chat("m", "s0")
        r = s.get("/api/v1/sessions")
        t.equal([x["session_id"] for x in r.json()], names)
        t.keys(r.json()[0], "session_id", "created_at", "updated_at", "message_count", "model_name", "is_active")
        t.equal([x["message_count"] for x in r.json()], [4] + [2] * 6)
        t.equal((r.json()[0]["is_active"], r.header("X-Next-Cursor")), (True, None))
        t.true(r.json()[0]["model_name"].endswith("script.jsonl"), "the model of the last answer")
        seen, cursor = [], None
        for _ in range(10):
            r = s.get("/api/v1/sessions?limit=3" + (f"&cursor={cursor}" if cursor else ""))
            t.true(len(r.json()) <= 3, "a page")
            seen += [x["session_id"] for x in r.json()]
            cursor = r.header("X-Next-Cursor")
            if not cursor:
                break
        t.equal(seen, names)


@case("pages of messages: limit and before")
def pages(t):
    with Server(script=[{"when": "*", "pieces": [{"echo": "last"}]}]) as s:
        for n in range(5):
            s.chat(f"m{n}", "s")
        whole = s.get("/api/v1/sessions/s").json()["messages"]
        t.equal([m["content"] for m in whole], [f"m{n // 2}" for n in range(10)])
        r = s.get("/api/v1/sessions/s?limit=3").json()
        t.equal((r["messages"], r["message_count"]), (whole[-3:], 10))
        t.equal(s.get("/api/v1/sessions/s?limit=2&before=5").json()["messages"], whole[2:4])
        t.equal(s.get("/api/v1/sessions/s?before=2").json()["messages"], whole[:1])
        t.equal(s.get("/api/v1/sessions/s?before=1").json()["messages"], [])
        t.equal(s.get("/api/v1/sessions/s?limit=1000&before=100000").json()["messages"], whole)


@case("the message of a running turn is shown, its answer is not")
def running(t):
    with Server(script=SCRIPT) as s:
        e = s.sse("hang", "s")
        e.event()
        r = wait_until(lambda: s.get("/api/v1/sessions/s"))
        t.equal(r.status, 200)
        t.equal([(m["role"], m["content"]) for m in r.json()["messages"]], [("user", "hang")])
        e.close()
        wait_until(lambda: s.get("/api/v1/sessions/s").json()["message_count"] == 2)


@case("deleted during its turn: delivered, not stored")
def delete_running(t):
    with Server(script=SCRIPT) as s:
        s.chat("before", "s")
        e = s.sse("slow", "s")
        e.event()
        t.equal(s.delete("/api/v1/sessions/s").status, 200)
        t.equal(s.get("/api/v1/sessions/s").status, 404)
        t.equal(e.events()[-1].type, "done")
        t.equal(s.get("/api/v1/sessions/s").status, 404)
        s.chat("anew", "s")
        t.equal(s.get("/api/v1/sessions/s").json()["message_count"], 2)


@case("everything is there after a restart")
def restart(t):
    with tempfile.TemporaryDirectory() as folder:
        with Server(folder=folder, script=SCRIPT) as s:
            s.chat("think", "s")
            before = s.get("/api/v1/sessions/s").json()
            s.sse("m", "s").content()
            s.kill()
        with Server(folder=folder) as s:
            after = s.get("/api/v1/sessions/s").json()
            t.equal(after["messages"][:2], before["messages"])
            t.equal(after["message_count"], 4)


@case("memory: keeps them until the end")
def in_memory(t):
    with Server(script=SCRIPT, SESSION_STORE="memory:") as s:
        s.chat("m", "s")
        t.equal(s.get("/api/v1/sessions/s").json()["message_count"], 2)


main()
