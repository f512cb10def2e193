"""GET /api/v1/models (http-api.md 9.5): the models of the settings, those of the cache, and what each provider offers."""
from harness import *

SCRIPT = [{"when": "*", "pieces": ["scripted"]}]


def models(s):
    r = s.get("/api/v1/models")
    if r.status != 200:
        raise Failed(str(r))
    return r.json()


def ids(body):
    return [m["id"] for m in body["models"]]


def lists(f, path):
    return len([r for r in f.requests(path) if r["method"] == "GET"])


@case("what each backend with a credential offers, asked for once in five minutes")
def offered(t):
    with Fake("openai", "--key", "k") as a, Fake("google", "--key", "g") as b, Server(
            script=SCRIPT, OPENAI_BASE_URL=a.url + "/v1", OPENAI_API_KEY="k", GOOGLE_GEMINI_BASE_URL=b.url, GOOGLE_API_KEY="g",
            CLIENT_MODELS="any") as s:
        body = models(s)
        t.keys(body, "models")
        by_id = {m["id"]: m for m in body["models"]}
        t.equal(len(by_id), len(body["models"]), "each once")
        t.equal(body["models"][0]["type"], "scripted")
        t.equal(by_id["openai/gpt-4o"], {"id": "openai/gpt-4o", "type": "openai", "name": "gpt-4o", "context_length": None, "ready": True})
        t.equal(by_id["openai/with-context"]["context_length"], 4096)
        t.equal(by_id["google/gemini-2.5-flash"]["context_length"], 1048576)
        t.true("openai/gpt-3.5-turbo" not in by_id, "not one that is shut down")
        t.true("google/text-embedding-9" not in by_id, "not one that does not chat")
        for _ in range(5):
            t.equal(ids(models(s)), ids(body))
        t.equal((lists(a, "/v1/models"), lists(b, "/v1beta/models")), (1, 1))
        t.lacks(s.log_text() + s.errors(), "Bearer")


@case("a configured model stands there once, with its context")
def configured(t):
    with Fake("google", "--key", "g") as b, Server(MODEL_TYPE="google", MODEL_NAME="gemini-2.5-pro", GOOGLE_API_KEY="g",
                                                   GOOGLE_GEMINI_BASE_URL=b.url, CLIENT_MODELS="any") as s:
        body = models(s)
        t.equal(body["models"][0], {"id": "google/gemini-2.5-pro", "type": "google", "name": "gemini-2.5-pro",
                                    "context_length": 1048576, "ready": True})
        t.equal(ids(body).count("google/gemini-2.5-pro"), 1)


@case("the local models of the cache, not those that Sema cannot run")
def local(t):
    with tempfile.TemporaryDirectory(prefix="sema-test-") as cache:
        for name, files in (("models--a--b", ("config.json", "model.safetensors", "tokenizer.json")), ("models--c--d", ("README.md",)),
                            ("datasets--e--f", ("config.json", "model.safetensors", "tokenizer.json"))):
            folder = os.path.join(cache, name, "snapshots", "0" * 40)
            os.makedirs(folder)
            os.makedirs(os.path.join(cache, name, "refs"))
            with open(os.path.join(cache, name, "refs", "main"), "w", encoding="utf-8") as f:
                f.write("0" * 40)
            for file in files:
                with open(os.path.join(folder, file), "w", encoding="utf-8") as f:
                    f.write("{}")
        with Server(script=SCRIPT, HF_HUB_CACHE=cache, CLIENT_MODELS="any") as s:
            body = models(s)
            t.equal(ids(body)[1:], ["local/sema-guide", "local/a/b"])
            t.equal(body["models"][2], {"id": "local/a/b", "type": "local", "name": "a/b", "context_length": None, "ready": False})
        with Server(script=SCRIPT, HF_HUB_CACHE=cache, CLIENT_MODELS="configured") as s:
            t.equal(len(models(s)["models"]), 1)


@case("a provider that fails or is silent is named, and nobody waits longer than two seconds")
def missing(t):
    with Fake("anthropic", "--key", "another") as a, Upstream(lambda r: [30]) as silent, Fake("google", "--key", "g") as b, Server(
            script=SCRIPT, ANTHROPIC_BASE_URL=a.url, ANTHROPIC_API_KEY="k", OPENAI_BASE_URL=silent.url, OPENAI_API_KEY="k",
            GOOGLE_GEMINI_BASE_URL=b.url, GOOGLE_API_KEY="g", CLIENT_MODELS="any") as s:
        began = time.monotonic()
        gone = s.connect()
        gone.send_request("GET", "/api/v1/models")
        time.sleep(0.3)
        gone.reset()  # the others are answered all the same
        body = models(s)
        t.took(began, 1, 3.5)
        t.has(ids(body), "google/gemini-2.5-flash")
        t.equal(sorted((m["type"], m["code"]) for m in body["unavailable"]),
                [("anthropic", "provider_auth"), ("openai", "provider_timeout")])
        began = time.monotonic()
        models(s)
        t.took(began, 0, 1)
        t.equal(s.get("/health").status, 200)


@case("a stop while somebody waits for a list")
def stop(t):
    with Upstream(lambda r: [30]) as silent, Server(script=SCRIPT, OPENAI_BASE_URL=silent.url, OPENAI_API_KEY="k",
                                                    CLIENT_MODELS="any") as s:
        c = s.connect()
        c.send_request("GET", "/api/v1/models")
        wait_until(lambda: silent.requests, 5, "the call")
        t.equal(s.stop(), 0)


main()
