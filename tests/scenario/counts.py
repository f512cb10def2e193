"""Counting tokens before asking (openai-compat.md section 7): exact by the model's own tokenizer or the provider's free call,
an estimate where neither is."""
from harness import *

COUNT = "/v1/messages/count_tokens"
VERSION = {"anthropic-version": "2023-06-01"}
SCRIPT = [{"when": "*", "pieces": ["scripted"]}]
SAY = [{"role": "user", "content": "What is Sema, and what does it cost?"}]
TOOL = {"name": "f", "description": "looks", "input_schema": {"type": "object", "properties": {"a": {"type": "string"}}}}


def count(s, model, **more):
    return s.post(COUNT, {"model": model, "messages": SAY, **more}, VERSION, timeout=60)


def number(t, r):
    t.equal(r.status, 200, r.text)
    t.keys(r.json(), "input_tokens")
    return r.json()["input_tokens"]


def error(t, r, status, kind):
    t.equal((r.status, r.json()["type"], r.json()["error"]["type"]), (status, "error", kind), r.text)
    return r.json()["error"]["message"]


def local(**env):
    return Server(unset=("MODEL_TYPE", "MODEL_NAME"), HF_HUB_OFFLINE="1", **env)


@case("a local model counts what it will read: the same number as the answer's usage")
def exact(t):
    with local() as s:
        for more in ({}, {"system": "You are brief."}, {"messages": SAY + [{"role": "assistant", "content": "Nothing."}] + SAY},
                     {"messages": [{"role": "user", "content": "\u4f60\u597d \U0001f600 <|im_start|>"}]}):
            asked = {"model": "sema", "messages": SAY, **more}
            used = s.post("/v1/messages", {**asked, "max_tokens": 1}, VERSION, timeout=60).json()["usage"]
            t.equal(number(t, count(s, "sema", **more)), used["input_tokens"] + used["cache_read_input_tokens"], str(more))
        plain = number(t, count(s, "sema"))
        t.true(number(t, count(s, "sema", tools=[TOOL])) > plain, "tools count")
        t.equal(s.get("/api/v1/backends").json()["backends"][0]["requests"], 4, "a count is no request")


@case("more than the context holds is still counted")
def too_long(t):
    with local() as s:
        n = number(t, count(s, "sema", messages=[{"role": "user", "content": "word and word " * 20000}]))
        t.true(n > 20000, str(n))


@case("a megabyte without a blank is counted beside others, who do not wait for it (G5)")
def megabyte(t):
    with local() as s:
        results = []
        threads = [threading.Thread(target=lambda: results.append(count(s, "sema", messages=[{"role": "user", "content": "x" * (1 << 20)}])))
                   for _ in range(3)]
        for x in threads:
            x.start()
        for _ in range(10):
            began = time.monotonic()
            t.equal(s.get("/health").status, 200)
            number(t, count(s, "sema"))
            t.took(began, 0, 1)
        for x in threads:
            x.join()
        t.equal([r.status for r in results], [200] * 3)
        t.equal(len({number(t, r) for r in results}), 1)


@case("a client that leaves ends its count")
def gone(t):
    with local() as s:
        body = json.dumps({"model": "sema", "messages": [{"role": "user", "content": "x" * (8 << 20)}]})
        for _ in range(4):
            c = s.connect()
            c.send_request("POST", COUNT, {"Content-Type": "application/json", **VERSION}, body)
            time.sleep(0.05)
            c.reset()
        number(t, count(s, "sema"))
        began = time.monotonic()
        t.equal(s.stop(), 0)
        t.took(began, 0, 3)


@case("Anthropic's own count is asked for, with what counts and nothing else")
def anthropic(t):
    with Fake("anthropic", "--key", "k") as f, Server(SCRIPT, ANTHROPIC_BASE_URL=f.url, ANTHROPIC_API_KEY="k", CLIENT_MODELS="any") as s:
        t.equal(number(t, count(s, "claude-sonnet-5")), 100)
        t.equal(number(t, count(s, "anthropic/claude-sonnet-5", system="Be brief.", tools=[TOOL], temperature=0.5, stop_sequences=["x"],
                                metadata={"user_id": "u"}, thinking={"type": "adaptive"})), 111)
        t.equal(number(t, s.post(COUNT + "?beta=true", {"model": "claude-sonnet-5", "max_tokens": 5, "messages": SAY}, VERSION)), 100)
        for r in f.requests(COUNT):
            t.lacks(" ".join(r["body"]), "max_tokens")
            t.lacks(" ".join(r["body"]), "stream")
            t.equal(r["headers"]["x-api-key"], "k")


@case("a count that fails upstream is an error of this family, and a passing fault is retried")
def failing(t):
    with Fake("anthropic", "--key", "k") as f, Server(SCRIPT, ANTHROPIC_BASE_URL=f.url, ANTHROPIC_API_KEY="k", CLIENT_MODELS="any",
                                                      PROVIDER_RETRIES="1", PROVIDER_TOTAL_TIMEOUT="2") as s:
        t.equal(number(t, count(s, "anthropic/count-529-once")), 100)
        error(t, count(s, "anthropic/count-500"), 502, "api_error")
        began = time.monotonic()
        error(t, count(s, "anthropic/count-silent"), 504, "api_error")
        t.took(began, 1.5, 4)
        error(t, count(s, "anthropic/claude-sonnet-5", messages=[]), 400, "invalid_request_error")
        error(t, count(s, "no-such-model"), 404, "not_found_error")
        # a server that only speaks the API and has no such call: estimated
        t.inside(number(t, count(s, "anthropic/count-404")), 5, 40)
        gone_before = f.gone()
        c = s.connect()
        c.send_request("POST", COUNT, {"Content-Type": "application/json", **VERSION},
                       json.dumps({"model": "anthropic/count-silent", "messages": SAY}))
        time.sleep(0.3)
        c.reset()
        wait_until(lambda: f.gone() > gone_before, 2, "the upstream call to end")


@case("Google's countTokens, a compatible server's count, and an estimate for OpenAI")
def others(t):
    with Fake("google", "--key", "g") as g, Fake("openai") as o, Server(
            SCRIPT, GOOGLE_GEMINI_BASE_URL=g.url, GOOGLE_API_KEY="g", OPENAI_BASE_URL=o.url + "/v1", OPENAI_API_KEY="k",
            CLIENT_MODELS="any") as s:
        t.equal(number(t, count(s, "gemini-2.5-flash", system="Be brief.", tools=[TOOL])), 111)
        t.equal(number(t, count(s, "gemma-3-27b-it", system="Be brief.")), 100)
        # More stop strings than Google takes: what is kept of them goes with the count.
        r = s.post("/v1beta/models/gemini-2.5-flash:countTokens", {"generateContentRequest": {
            "model": "models/gemini-2.5-flash", "contents": [{"role": "user", "parts": [{"text": "Say nothing."}]}],
            "generationConfig": {"stopSequences": [str(n) for n in range(8)]}}})
        t.equal(r.status, 200, r.text)
        t.equal(number(t, count(s, "openai/some-model", messages=SAY + [{"role": "assistant", "content": "Nothing."}] + SAY)), 300)
        t.inside(number(t, count(s, "sema")), 5, 40, "an estimate")
    with Fake("openai", "--no-count") as o, Server(SCRIPT, OPENAI_BASE_URL=o.url + "/v1", OPENAI_API_KEY="k", CLIENT_MODELS="any") as s:
        t.inside(number(t, count(s, "openai/some-model")), 5, 40, "an estimate")


@case("a server that answers unknown paths with something else has no count: an estimate")
def something_else(t):
    page = b"<html>hello</html>"
    for answer in (Upstream.json(200, {"error": "Unexpected endpoint or method. (POST /v1/messages/count_tokens)"}), Upstream.json(200, {"ok": 1}),
                   b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(page) + page):
        with Upstream(lambda r, answer=answer: [answer]) as u, Server(**u.env()) as s:
            t.inside(number(t, count(s, "test-model")), 5, 40, str(answer))


main()
