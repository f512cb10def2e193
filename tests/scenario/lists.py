"""The lists of models in every family's words: /v1/models, Ollama's tags, ps and show (openai-compat.md sections 6, 7, 10)."""
import shutil

from harness import *

SCRIPT = [{"when": "*", "pieces": ["scripted"]}]
ANTHROPIC = {"anthropic-version": "2023-06-01"}
WORDS = {"id", "object", "created", "owned_by", "context_length", "max_output_tokens"}


def listed(t, s, headers=None):
    r = s.get("/v1/models", headers or {})
    t.equal(r.status, 200, r.text)
    return r.json()["data"]


def by_id(t, s):
    out = {m["id"]: m for m in listed(t, s)}
    t.true(all(set(m) <= WORDS and set(m) >= {"id", "object", "created", "owned_by"} for m in out.values()))
    return out


def lists(f, path):
    return len([r for r in f.requests(path) if r["method"] == "GET"])


@case("aliases, configured names, type/name for all others; lengths where they are known; asked for once")
def openai(t):
    with Fake("openai", "--key", "k") as a, Fake("google", "--key", "g") as b, Server(
            MODEL_TYPE="openai", MODEL_NAME="gpt-4o", OPENAI_BASE_URL=a.url + "/v1", OPENAI_API_KEY="k", GOOGLE_GEMINI_BASE_URL=b.url,
            GOOGLE_API_KEY="g", FALLBACK_MODELS="google/gemini-2.5-pro", MODEL_ALIASES="fast=google/gemini-2.5-flash,mine=openai/with-context",
            CLIENT_MODELS="any") as s:
        models = by_id(t, s)
        t.equal(list(models)[:4], ["fast", "mine", "gpt-4o", "gemini-2.5-pro"])
        t.equal((models["gpt-4o"]["owned_by"], models["gemini-2.5-pro"]["owned_by"], models["fast"]["owned_by"]), ("openai", "google", "google"))
        for name in ("openai/gpt-4o-mini", "openai/with-context", "google/gemini-2.5-flash"):
            t.has(models, name)
        for name in ("openai/gpt-4o", "google/gemini-2.5-pro", "openai/gpt-3.5-turbo", "google/text-embedding-9"):
            t.true(name not in models, name)
        t.equal((models["google/gemini-2.5-flash"]["context_length"], models["google/gemini-2.5-flash"]["max_output_tokens"]), (1048576, 65536))
        t.equal((models["fast"]["context_length"], models["mine"]["context_length"]), (1048576, 4096))
        t.equal((models["gemini-2.5-pro"]["context_length"], models["gemini-2.5-pro"]["max_output_tokens"]), (1048576, 65536))
        before = lists(a, "/v1/models")
        for path in ("/v1/models", "/api/tags", "/api/v1/models", "/api/ps"):
            t.equal(s.get(path).status, 200)
        t.equal(s.get("/v1/models", ANTHROPIC).status, 200)
        t.equal(lists(a, "/v1/models"), before, "kept for five minutes")
        for path, name in (("gpt-4o", "gpt-4o"), ("openai%2Fgpt-4o-mini", "openai/gpt-4o-mini"), ("openai/gpt-4o-mini", "openai/gpt-4o-mini"),
                           ("gpt-4o-mini", "openai/gpt-4o-mini"), ("openai/gpt-4o", "gpt-4o"), ("fast", "fast")):
            r = s.get("/v1/models/" + path)
            t.equal((r.status, r.json().get("id")), (200, name), path)
        r = s.get("/v1/models/nothing-of-it")
        t.equal((r.status, r.json()["error"]["code"]), (404, "model_not_found"))


@case("a name that two share is told with its type; an alias hides a name")
def shared(t):
    with Fake("openai") as a, Fake("google") as b, Server(
            MODEL_TYPE="openai", MODEL_NAME="same", OPENAI_BASE_URL=a.url + "/v1", OPENAI_API_KEY="k", GOOGLE_GEMINI_BASE_URL=b.url,
            GOOGLE_API_KEY="g", FALLBACK_MODELS="google/same,openai/other", MODEL_ALIASES="other=google/same", CLIENT_MODELS="configured") as s:
        t.equal([m["id"] for m in listed(t, s)], ["other", "openai/same", "google/same", "openai/other"])


@case("CLIENT_MODELS=configured: aliases and configured models, and no provider is asked for its list")
def configured(t):
    with Fake("openai", "--key", "k") as f, Server(SCRIPT, OPENAI_BASE_URL=f.url + "/v1", OPENAI_API_KEY="k", CLIENT_MODELS="configured",
                                                   MODEL_ALIASES="mine=openai/gpt-4o", API_KEY="key-of-this-test") as s:
        key = {"Authorization": "Bearer key-of-this-test"}
        t.equal(len(listed(t, s, key)), 2)
        t.equal(len(s.get("/api/tags", key).json()["models"]), 2)
        t.equal(s.post("/api/show", {"model": "mine"}, key).status, 200)
        t.equal(s.post("/api/show", {"model": "openai/gpt-5"}, key).status, 404)
        t.equal(s.get("/v1/models").status, 401)
        t.equal(f.requests(), [])


@case("a provider that is silent or fails is left out, within two seconds, and the rest is there")
def missing(t):
    with Upstream(lambda r: [30]) as silent, Fake("google", "--key", "another") as b, Fake("anthropic", "--key", "a") as c, Server(
            SCRIPT, OPENAI_BASE_URL=silent.url, OPENAI_API_KEY="k", GOOGLE_GEMINI_BASE_URL=b.url, GOOGLE_API_KEY="g",
            ANTHROPIC_BASE_URL=c.url, ANTHROPIC_API_KEY="a", CLIENT_MODELS="any") as s:
        for path in ("/v1/models", "/api/tags"):
            began = time.monotonic()
            r = s.get(path)
            t.equal(r.status, 200)
            t.took(began, 0, 3)
            t.has(r.text, "anthropic/claude-sonnet-5")
            t.has(r.text, "local/sema-guide")
            t.lacks(r.text, "google/")
            t.lacks(r.text, "openai/")


@case("lists in pages are read to their end, a few pages at most")
def pages(t):
    with Fake("anthropic", "--key", "a", "--page", "3") as a, Fake("google", "--key", "g", "--page", "7") as g, Server(
            SCRIPT, ANTHROPIC_BASE_URL=a.url, ANTHROPIC_API_KEY="a", GOOGLE_GEMINI_BASE_URL=g.url, GOOGLE_API_KEY="g", CLIENT_MODELS="any") as s:
        names = [m["id"] for m in listed(t, s)]
        t.equal([n for n in names if n.startswith("anthropic/")], [f"anthropic/paged-{i}" for i in range(15)])
        t.inside(lists(g, "/v1beta/models"), 2, 8)
        t.equal(len(names), len(set(names)))
        calls = [r["path"] for r in a.requests("/v1/models")]
        t.equal(len(calls), 5)
        t.has(calls[1], "after_id=paged-2")


@case("a bare name in a provider's list means that model, also when nobody asked for the list before")
def bare(t):
    with Fake("openai", "--key", "k") as f, Server(SCRIPT, OPENAI_BASE_URL=f.url + "/v1", OPENAI_API_KEY="k", CLIENT_MODELS="any") as s:
        body = {"model": "with-context", "messages": [{"role": "user", "content": "hello"}]}
        r = s.post("/v1/chat/completions", body)
        t.equal((r.status, r.json().get("model")), (200, "with-context"), r.text)
        r = s.post("/v1/chat/completions", {**body, "model": "no-such", "stream": True})
        t.equal((r.status, r.json()["error"]["code"]), (404, "model_not_found"), r.text)
        t.has(r.json()["error"]["message"], "openai/")
        t.equal(s.post("/v1/messages/count_tokens", {**body, "model": "no-such"}).status, 404)
        t.equal(lists(f, "/v1/models"), 1)
    with Upstream(lambda r: [30]) as silent, Server(SCRIPT, OPENAI_BASE_URL=silent.url, OPENAI_API_KEY="k", CLIENT_MODELS="any") as s:
        began = time.monotonic()
        r = s.post("/v1/chat/completions", {**body, "model": "no-such"})
        t.equal((r.status, r.json()["error"]["code"], r.json()["error"]["param"]), (404, "model_not_found", "model"), r.text)
        t.took(began, 1, 4)
    with Upstream(lambda r: [30]) as silent, Server(SCRIPT, OPENAI_BASE_URL=silent.url, OPENAI_API_KEY="k", CLIENT_MODELS="any") as s:
        for path in ("/v1/chat/completions", "/v1/embeddings", "/v1/messages/count_tokens"):
            c = s.connect()
            c.send_request("POST", path, {"Content-Type": "application/json"}, json.dumps({**body, "model": "no-such", "input": "x"}))
            wait_until(lambda: silent.requests, 5, "the list to be asked for")
            c.reset()
        t.equal(s.post("/v1/chat/completions", {**body, "model": "sema"}).status, 200)
        c = s.connect()
        c.send_request("POST", "/v1/chat/completions", {"Content-Type": "application/json"}, json.dumps({**body, "model": "no-such"}))
        began = time.monotonic()
        t.equal(s.stop(), 0)
        t.took(began, 0, 4)


@case("Anthropic's shape, and its pages")
def anthropic(t):
    with Fake("openai", "--key", "k") as f, Server(SCRIPT, OPENAI_BASE_URL=f.url + "/v1", OPENAI_API_KEY="k", CLIENT_MODELS="any",
                                                   MODEL_ALIASES="mine=openai/gpt-4o") as s:
        whole = s.get("/v1/models", ANTHROPIC).json()
        t.keys(whole, "data", "has_more", "first_id", "last_id")
        t.equal((whole["has_more"], whole["first_id"]), (False, "mine"))
        for m in whole["data"]:
            t.keys(m, "type", "id", "display_name", "created_at")
        t.equal(s.get("/v1/models?limit=1&beta=true", ANTHROPIC).json(), whole, "one page")
        rest = s.get("/v1/models?limit=100&after_id=" + whole["data"][1]["id"].replace("/", "%2F"), ANTHROPIC).json()
        t.equal(rest["data"], whole["data"][2:])
        rest = s.get("/v1/models?after_id=" + whole["last_id"].replace("/", "%2F"), ANTHROPIC).json()
        t.equal((rest["data"], rest["has_more"], rest["first_id"], rest["last_id"]), ([], False, None, None))
        t.equal(s.get("/v1/models/mine", ANTHROPIC).json()["id"], "mine")
        r = s.get("/v1/models/nothing-of-it", ANTHROPIC)
        t.equal((r.status, r.json()["type"], r.json()["error"]["type"]), (404, "error", "not_found_error"))


@case("Ollama's tags and show: what the files say; capabilities of the model")
def ollama(t):
    with Fake("openai", "--key", "k") as f, Server(unset=("MODEL_TYPE", "MODEL_NAME"), HF_HUB_OFFLINE="1", OPENAI_BASE_URL=f.url + "/v1",
                                                   OPENAI_API_KEY="k", CLIENT_MODELS="any", MODEL_ALIASES="eyes=openai/gpt-4o") as s:
        tags = {m["name"]: m for m in s.get("/api/tags").json()["models"]}
        m = tags["sema-guide"]
        t.equal((m["model"], m["details"]["format"], m["details"]["family"], m["details"]["families"]),
                ("sema-guide", "safetensors", "llama", ["llama"]))
        t.true(m["size"] > 1000000)
        t.match(m["details"]["parameter_size"], r"\d+\.\d+[MB]")
        t.equal(m["details"]["quantization_level"], "BF16")
        t.true(all(re.fullmatch("[0-9a-f]{64}", x["digest"]) for x in tags.values()), "digests")
        t.equal(len({x["digest"] for n, x in tags.items() if n != "eyes"}), len(tags) - 1)
        again = {x["name"]: x["digest"] for x in s.get("/api/tags").json()["models"]}
        t.equal(again, {n: x["digest"] for n, x in tags.items()}, "the same each time")
        running = s.get("/api/ps").json()["models"]
        t.equal([x["name"] for x in running], ["sema-guide"])
        t.true(running[0]["expires_at"] and running[0]["size_vram"] == 0)
        for name in ("sema-guide", "sema", "default", "local/sema-guide", "sema-guide:latest"):
            r = s.post("/api/show", {"model": name}).json()
            t.equal(r["details"]["family"], "llama", name)
            t.has(r["template"], "message")
            t.has(r["capabilities"], "completion")
            t.true(r["model_info"]["llama.context_length"] > 100 and r["model_info"]["general.parameter_count"] > 1000000)
        r = s.post("/api/show", {"name": "eyes", "verbose": True}).json()
        t.equal(r["capabilities"], ["completion", "tools", "vision", "thinking"])
        t.equal(s.post("/api/show", {"model": "gpt-5"}).status, 200)
        r = s.post("/api/show", {"model": "no-such"})
        t.equal((r.status, r.json()), (404, {"error": "model 'no-such' not found"}))


@case("files in MODEL_PATH, GGUF files among them")
def model_path(t):
    data = os.environ.get("SEMA_SHARED_DATA", "")
    if not os.path.isdir(os.path.join(data, "gguf")):
        return  # without the shared data there is nothing to list
    with tempfile.TemporaryDirectory(prefix="sema-test-") as folder:
        shutil.copy(os.path.join(data, "gguf", "chat-qwen2-q8_0.gguf"), os.path.join(folder, "small.gguf"))
        shutil.copytree(os.path.join(data, "chat-models", "chat-llama"), os.path.join(folder, "me", "llama"))
        with Server(SCRIPT, MODEL_PATH=folder, CLIENT_MODELS="any", MAX_LENGTH="128") as s:
            models = by_id(t, s)
            t.has(models, "local/me/llama")
            t.equal(models["local/small"]["context_length"], 128, "no more than MAX_LENGTH")
            tags = {m["name"]: m for m in s.get("/api/tags").json()["models"]}
            d = tags["local/small"]["details"]
            t.equal((d["format"], d["family"], d["quantization_level"]), ("gguf", "qwen2", "Q8_0"))
            t.equal(tags["local/small"]["size"], os.path.getsize(os.path.join(folder, "small.gguf")))
            r = s.post("/v1/chat/completions", {"model": "small", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}, timeout=60)
            t.equal((r.status, r.json().get("model")), (200, "small"), r.text)


main()
