"""Cases from the field about browsers and slow clients, by their names (W1 W2)."""
from harness import *

APP = "https://app.example"


@case("W1: a preflight needs no key, and a page can read every refusal")
def w1(t):
    script = [{"when": "fail", "pieces": [{"error": "server"}]}, {"when": "*", "pieces": ["x"]}]
    asked = "authorization,content-type,x-stainless-os"
    chat = {"model": "sema", "messages": [{"role": "user", "content": "m"}]}
    bodies = {"/v1/chat/completions": chat, "/v1/messages": {**chat, "max_tokens": 5}, "/v1/responses": {"model": "sema", "input": "m"},
              "/v1beta/models/sema:generateContent": {"contents": [{"role": "user", "parts": [{"text": "m"}]}]},
              "/api/chat": chat, "/api/v1/chat": {"message": "m", "session_id": "s"}}
    with Server(script=script, API_KEY="right-key", CORS_ORIGINS=f'["{APP}"]', RATE_LIMIT="8", PROVIDER_RETRIES="0",
                PROVIDER_BREAKER_FAILURES="0", MAX_BODY_SIZE="100000") as s:
        for path in bodies:
            r = s.request("OPTIONS", path, {"Origin": APP, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": asked})
            t.equal((path, r.status, r.header("Access-Control-Allow-Origin")), (path, 200, APP))
            allowed = [x.strip().lower() for x in r.header("Access-Control-Allow-Headers").split(",")]
            t.true("*" in allowed or set(asked.split(",")) <= set(allowed), allowed)
            t.has(r.header("Access-Control-Allow-Methods"), "POST")

        def refused(path, status, key="right-key", body=None, **fields):
            r = s.post(path, body or bodies[path], {"Origin": APP, "Authorization": "Bearer " + key, **fields})
            t.equal((path, r.status, r.header("Access-Control-Allow-Origin")), (path, status, APP), r.text[:200])
            exposed = r.header("Access-Control-Expose-Headers").lower().split(", ")
            t.true({"x-request-id", "retry-after"} <= set(exposed), exposed)
            t.equal("request-id" in exposed, not path.startswith("/api/v1"), path)
        for path in bodies:
            refused(path, 401, "wrong")
        refused("/api/v1/chat", 413, body=json.dumps({"message": "x" * 200000, "session_id": "s"}))
        for path in bodies:
            fails = json.loads(json.dumps(bodies[path]).replace('"m"', '"fail"'))
            refused(path, 502, body=fails)
        for _ in range(2):
            s.post("/api/v1/chat", bodies["/api/v1/chat"], {"Authorization": "Bearer right-key"})
        for path in bodies:
            refused(path, 429)


@case("W2: a WebSocket client that reads 4 kB/s, asks on meanwhile and answers pings late keeps its connection")
def w2(t):
    size = 120_000
    script = [{"when": "long", "pieces": [{"text": "0123456789" * 100, "repeat": size // 1000}]}, {"when": "*", "pieces": ["short"]}]
    with Server(script=script) as s:
        w = s.websocket(timeout=90)
        w.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        began, stop = time.monotonic(), []

        def load():  # others keep the server busy
            while not stop:
                s.chat("x", "busy")
        threads = [threading.Thread(target=load) for _ in range(2)]
        for thread in threads:
            thread.start()
        more = w.more

        def slowly():
            time.sleep(0.25)
            data = w.socket.recv(1024)
            if not data:
                raise Closed("the server closed the connection")
            w.buffer += data
        try:
            w.ask("long", "slow")
            w.more = slowly
            text, asked = "", 0
            while True:
                frame = w.hear()
                t.true(frame is not None, f"closed after {time.monotonic() - began:.0f} s: {w.closed}")
                t.true(frame["type"] != "error", frame)
                text += frame["content"]
                if frame["is_final"]:
                    break
                if time.monotonic() - began > 5 * (asked + 1) and asked < 3:
                    asked += 1
                    w.ask("more", "slow")
            t.equal((len(text), text == "0123456789" * (size // 10)), (size, True))
            t.true(time.monotonic() - began > 25, "it took long enough to be taken for dead")
            w.more = more
            t.equal([w.content() for _ in range(asked)], ["short"] * asked)
        finally:
            stop.append(True)
            for thread in threads:
                thread.join()


main()
