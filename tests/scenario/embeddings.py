"""Embeddings: OpenAI's /v1/embeddings and Ollama's two routes over OpenAI, compatible servers, Google and Hugging Face
(openai-compat.md sections 6 and 10)."""
import base64
import struct

from harness import *

PATH = "/v1/embeddings"
SCRIPT = [{"when": "*", "pieces": ["scripted"]}]


def openai(f, **env):
    return Server(SCRIPT, OPENAI_BASE_URL=f.url + "/v1", OPENAI_API_KEY="k", CLIENT_MODELS="any", **env)


def ask(s, model, given, **more):
    return s.post(PATH, {"model": model, "input": given, **more}, timeout=30)


def vectors(t, r, packed=False):
    t.equal(r.status, 200, r.text)
    t.equal(r.header("Content-Type"), "application/json")
    a = r.json()
    t.keys(a, "object", "data", "model", "usage")
    t.keys(a["usage"], "prompt_tokens", "total_tokens")
    t.equal(a["object"], "list")
    t.equal([d["index"] for d in a["data"]], list(range(len(a["data"]))))
    t.true(all(set(d) == {"object", "index", "embedding"} and d["object"] == "embedding" for d in a["data"]))
    out = [d["embedding"] for d in a["data"]]
    if packed:
        t.true(all(isinstance(v, str) for v in out), "base64")
        out = [list(struct.unpack(f"<{len(base64.b64decode(v)) // 4}f", base64.b64decode(v))) for v in out]
    return out


def error(t, r, status, code=None, param=None):
    t.equal(r.status, status, repr(r))
    e = r.json()["error"]
    t.keys(e, "message", "type", "param", "code")
    t.equal((e["code"], e["param"]), (code, param), e["message"])
    return e["message"]


def near(t, got, want):
    t.equal(len(got), len(want))
    for a, b in zip(got, want):
        t.equal(len(a), len(b))
        t.true(all(abs(x - y) < 1e-6 for x, y in zip(a, b)), f"{a} {b}")


@case("a text, several, lists of token ids; as numbers or packed")
def forms(t):
    with Fake("openai", "--key", "k") as f, openai(f) as s:
        r = ask(s, "openai/embed-x", "hello")
        near(t, vectors(t, r), [[5, 0, 0.1]])
        t.has(r.text, "[5,0,0.1]")  # numbers as the provider wrote them
        t.equal((r.json()["model"], r.json()["usage"]), ("embed-x", {"prompt_tokens": 5, "total_tokens": 5}))
        near(t, vectors(t, ask(s, "openai/embed-x", "hello", encoding_format="float")), [[5, 0, 0.1]])
        near(t, vectors(t, ask(s, "openai/embed-x", "hello", encoding_format="base64"), True), [[5, 0, 0.1]])
        near(t, vectors(t, ask(s, "openai/embed-x", ["a", "bcd"], encoding_format="base64"), True), [[1, 0, 0.1], [3, 1, 0.1]])
        near(t, vectors(t, ask(s, "openai/embed-x", [1, 2, 3])), [[6, 0, 0.1]])
        near(t, vectors(t, ask(s, "openai/embed-x", [[1, 2], [3]])), [[3, 0, 0.1], [3, 1, 0.1]])
        near(t, vectors(t, ask(s, "openai/embed-x", "hello", dimensions=2, user="u")), [[5, 0]])
        near(t, vectors(t, ask(s, "openai/embed-x", "hello", dimensions=2.0, encoding_format=None)), [[5, 0]])
        t.equal(len(vectors(t, ask(s, "openai/embed-x", ["x"] * 2048))), 2048)
        near(t, vectors(t, ask(s, "openai/embed-mixed", ["a", "bcd"])), [[1, 0, 0.1], [3, 1, 0.1]])
        ask(s, "openai/embed-x", "hello", input_type="query")
        t.equal(f.requests(PATH)[-1]["body"].get("input_type"), "query", "a compatible server gets what Sema does not know")
        text = s.get("/metrics").text
        t.true(re.search(r'sema_[a-z_]*tokens[a-z_]*\{[^}]*model="other"[^}]*\} [1-9]', text), "tokens in /metrics")


@case("what a server cannot pack, Sema packs; one that refuses encoding_format is asked without")
def packing(t):
    with Fake("openai", "--key", "k") as f, openai(f) as s:
        for model in ("openai/embed-floats", "openai/embed-old"):
            near(t, vectors(t, ask(s, model, ["hello", "you"], encoding_format="base64"), True), [[5, 0, 0.1], [3, 1, 0.1]])
            near(t, vectors(t, ask(s, model, ["hello"])), [[5, 0, 0.1]])
    packed = base64.b64encode(struct.pack("<4f", 1.5, -0.1, 3e-7, 16777216)).decode()
    body = json.dumps({"data": [{"embedding": packed, "index": 0}], "usage": {"prompt_tokens": 2}})
    with Upstream(lambda r: [f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()]) as u:
        with Server(SCRIPT, OPENAI_BASE_URL=u.url, OPENAI_API_KEY="k", CLIENT_MODELS="any") as s:
            near(t, vectors(t, ask(s, "openai/x", "hello")), [[1.5, -0.1, 3e-7, 16777216]])


@case("more vectors than texts, or fewer, are no answer")
def another_number(t):
    body = json.dumps({"data": [{"embedding": [n], "index": n} for n in range(2)]})
    with Upstream(lambda r: [f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()]) as u:
        with Server(SCRIPT, OPENAI_BASE_URL=u.url, OPENAI_API_KEY="k", CLIENT_MODELS="any", PROVIDER_RETRIES="0") as s:
            near(t, vectors(t, ask(s, "openai/x", ["a", "b"])), [[0], [1]])
            for texts in ("a", ["a"], ["a", "b", "c"]):
                error(t, ask(s, "openai/x", texts), 502, "upstream_error")


@case("mistakes of the client, each with its field")
def mistakes(t):
    with Fake("openai", "--key", "k") as f, openai(f) as s:
        bad = [({"input": "x"}, "model"), ({"model": "", "input": "x"}, "model"), ({"model": "openai/m"}, "input"),
               ({"model": "openai/m", "input": []}, "input"), ({"model": "openai/m", "input": None}, "input"),
               ({"model": "openai/m", "input": {"a": 1}}, "input"), ({"model": "openai/m", "input": ["a", 1]}, "input"),
               ({"model": "openai/m", "input": [[1], "a"]}, "input"), ({"model": "openai/m", "input": [[]]}, "input"),
               ({"model": "openai/m", "input": ["x"] * 2049}, "input"), ({"model": "openai/m", "input": [[1]] * 2049}, "input"),
               ({"model": "openai/m", "input": "x", "encoding_format": "hex"}, "encoding_format"),
               ({"model": "openai/m", "input": "x", "dimensions": 0}, "dimensions"),
               ({"model": "openai/m", "input": "x", "dimensions": "many"}, "dimensions")]
        for body, field in bad:
            error(t, s.post(PATH, body), 400, "invalid_value", field)
        for body in ("", "{", "[]", b"\xff"):
            t.equal(s.post(PATH, body).status, 400)
        error(t, ask(s, "nobody-knows", "x"), 404, "model_not_found", "model")
        t.has(error(t, ask(s, "sema", "x"), 404, "model_not_found", "model"), "openai")
        t.has(error(t, ask(s, "local/sema-guide", "x"), 404, "model_not_found", "model"), "offers no embeddings")
        t.equal(f.requests(PATH), [])
        t.equal(s.get(PATH).status, 405)


@case("faults upstream: retried, told in this API's shape, never shown as a key problem of the client")
def faults(t):
    with Fake("openai", "--key", "k") as f, openai(f, PROVIDER_RETRIES="1", PROVIDER_TOTAL_TIMEOUT="2") as s:
        near(t, vectors(t, ask(s, "openai/embed-503-once", "hello")), [[5, 0, 0.1]])
        error(t, ask(s, "openai/embed-500", "x"), 502, "upstream_error")
        t.equal(error(t, ask(s, "openai/embed-400", "x"), 400, "invalid_value") != "", True)
        error(t, ask(s, "openai/embed-html", "x"), 502, "upstream_error")
        r = ask(s, "openai/embed-429", "x")
        error(t, r, 429, "rate_limit_exceeded")
        t.true(r.header("Retry-After"))
        began = time.monotonic()
        error(t, ask(s, "openai/embed-silent", "x"), 504, "upstream_timeout")
        t.took(began, 1.5, 4)
        before = f.gone()
        c = s.connect()
        c.send_request("POST", PATH, {"Content-Type": "application/json"}, json.dumps({"model": "openai/embed-silent", "input": "x"}))
        time.sleep(0.3)
        c.reset()
        wait_until(lambda: f.gone() > before, 2, "the upstream call to end")
        c = s.connect()
        c.send_request("POST", PATH, {"Content-Type": "application/json"}, json.dumps({"model": "openai/embed-silent", "input": "x"}))
        time.sleep(0.3)
        began = time.monotonic()
        t.equal(s.stop(), 0)
        t.took(began, 0, 4)
    with Fake("openai", "--key", "other") as f, openai(f) as s:
        t.lacks(error(t, ask(s, "openai/embed-x", "x"), 502, "upstream_error"), "Bearer")


@case("keys, limits and CLIENT_MODELS as on the other routes")
def rules(t):
    with Fake("openai", "--key", "k") as f, Server(SCRIPT, OPENAI_BASE_URL=f.url + "/v1", OPENAI_API_KEY="k", CLIENT_MODELS="configured",
                                                   MODEL_ALIASES="vec=openai/embed-x", API_KEY="key-of-this-test", RATE_LIMIT="2") as s:
        key = {"Authorization": "Bearer key-of-this-test"}
        error(t, ask(s, "vec", "x"), 401, "invalid_api_key")
        t.equal(s.post(PATH, {"model": "openai/embed-other", "input": "x"}, key).status, 404)
        t.equal(s.post(PATH, {"model": "vec", "input": "hello"}, key).json()["model"], "embed-x")
        t.equal(s.post(PATH, {"model": "vec", "input": "x"}, key).status, 429)
        t.true(all(r["headers"]["authorization"] == "Bearer k" for r in f.requests(PATH)))


@case("Google: batches of a hundred, dimensions")
def google(t):
    with Fake("google", "--key", "g") as f, Server(SCRIPT, GOOGLE_GEMINI_BASE_URL=f.url, GOOGLE_API_KEY="g", CLIENT_MODELS="any") as s:
        near(t, vectors(t, ask(s, "google/gemini-embedding-001", "hello")), [[5, 1, 0]])
        near(t, vectors(t, ask(s, "gemini-embedding-001", ["a", "bc"], dimensions=768, encoding_format="base64"), True),
             [[1, 2, 768], [2, 2, 768]])
        many = vectors(t, ask(s, "google/gemini-embedding-001", ["x" * i for i in range(1, 251)]))
        t.equal([int(v[0]) for v in many], list(range(1, 251)))
        t.equal([int(v[1]) for v in many], [100] * 200 + [50] * 50)
        error(t, ask(s, "google/gemini-embedding-001", [1, 2]), 400, "unsupported_value")
        t.true(ask(s, "google/gemini-embedding-001", "hello there").json()["usage"]["total_tokens"] > 0)


@case("Hugging Face: a dedicated endpoint in OpenAI's shape, elsewhere a model's own address")
def huggingface(t):
    with Fake("huggingface", "--key", "h") as f:
        with Server(SCRIPT, HF_INFERENCE_URL=f.url + "/endpoint/v1", HF_API_TOKEN="h", CLIENT_MODELS="any") as s:
            near(t, vectors(t, ask(s, "hf_api/BAAI/bge-small", "hello")), [[5, 0, 0.1]])
        with Server(SCRIPT, HF_INFERENCE_URL=f.url + "/hf-inference/models", HF_API_TOKEN="h", CLIENT_MODELS="any") as s:
            near(t, vectors(t, ask(s, "BAAI/bge-small", ["hello", "a"], encoding_format="base64"), True), [[5, 0.5], [1, 0.5]])
            error(t, ask(s, "hf_api/BAAI/tokens-each", "hello"), 400, "unsupported_value")
            error(t, ask(s, "hf_api/BAAI/../../x", "hello"), 400, "invalid_value")


@case("Ollama's two routes")
def ollama(t):
    with Fake("openai", "--key", "k") as f, openai(f, MODEL_ALIASES="vec=openai/embed-x") as s:
        r = s.post("/api/embed", {"model": "vec:latest", "input": ["a", "bcd"], "truncate": True, "keep_alive": "5m"}).json()
        t.keys(r, "model", "embeddings", "total_duration", "load_duration", "prompt_eval_count")
        t.equal((r["model"], r["embeddings"], r["prompt_eval_count"]), ("vec", [[1, 0, 0.1], [3, 1, 0.1]], 4))
        t.true(r["total_duration"] > 0)
        t.equal(s.post("/api/embed", {"model": "vec", "input": "a", "dimensions": 2}).json()["embeddings"], [[1, 0]])
        t.equal(s.post("/api/embed", {"model": "vec", "input": ""}).json()["embeddings"], [])
        t.equal(s.post("/api/embeddings", {"model": "vec", "prompt": "hello"}).json(), {"embedding": [5, 0, 0.1]})
        t.equal(s.post("/api/embeddings", {"model": "vec", "prompt": ""}).json(), {"embedding": []})
        for path, body, status in (("/api/embed", {"input": "x"}, 400), ("/api/embed", {"model": "vec", "input": 5}, 400),
                                   ("/api/embed", {"model": "nope", "input": "x"}, 404), ("/api/embed", {"model": "sema", "input": "x"}, 400),
                                   ("/api/embeddings", {"model": "sema", "prompt": "x"}, 400), ("/api/embed", "{", 400)):
            r = s.post(path, body)
            t.equal(r.status, status, f"{path} {body} {r.text}")
            t.keys(r.json(), "error")


main()
