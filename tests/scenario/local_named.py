"""Local models that clients name: loaded when they are asked for, beside what runs, and given up again (openai-compat.md 1.1)."""
import hashlib
import shutil
from concurrent.futures import ThreadPoolExecutor

from harness import *

DATA = os.path.join(os.environ.get("SEMA_SHARED_DATA", ""), "chat-models")
CHAT = "/v1/chat/completions"


class Cache:
    """A folder as all tools of Hugging Face share it; large files are links to blobs named by their SHA-256."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="sema-test-")
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)

    def put(self, name, source):
        repo = os.path.join(self.path, "models--" + name.replace("/", "--"))
        folder = os.path.join(repo, "snapshots", "0" * 40)
        os.makedirs(os.path.join(repo, "refs"))
        os.makedirs(os.path.join(repo, "blobs"))
        shutil.copytree(os.path.join(DATA, source), folder)
        weights = os.path.join(folder, "model.safetensors")
        with open(weights, "rb") as f:
            digest = hashlib.sha256(f.read()).hexdigest()
        os.rename(weights, os.path.join(repo, "blobs", digest))
        os.symlink(f"../../blobs/{digest}", weights)
        with open(os.path.join(repo, "refs", "main"), "w", encoding="utf-8") as f:
            f.write("0" * 40)
        return digest

    def server(self, **more):
        return Server(unset=("MODEL_TYPE", "MODEL_NAME"), HF_HUB_CACHE=self.path, HF_HUB_OFFLINE="1", CLIENT_MODELS="any", **more)


def ask(s, model, **more):
    return s.post(CHAT, {"model": model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4, "temperature": 0, **more},
                  timeout=60)


def answered(t, r, name):
    t.equal((r.status, r.json().get("model")), (200, name), r.text)
    return r.json()["choices"][0]["message"]["content"]


def running(s):
    return sorted(m["name"] for m in s.get("/api/ps").json()["models"])


@case("a model of the cache is loaded when it is named, by any of its names, beside the current one")
def named(t):
    with Cache() as c:
        digest = c.put("me/llama", "chat-llama")
        c.put("me/qwen", "chat-qwen2")
        with c.server(MODEL_ALIASES="fast=local/me/qwen") as s:
            t.equal(running(s), ["sema-guide"])
            text = answered(t, ask(s, "me/llama"), "me/llama")
            t.equal(answered(t, ask(s, "local/me/llama"), "me/llama"), text)
            t.equal(running(s), ["local/me/llama", "sema-guide"])
            answered(t, ask(s, "fast"), "me/qwen")
            answered(t, ask(s, "sema"), "sema-guide")
            t.equal(running(s), ["local/me/llama", "local/me/qwen", "sema-guide"])
            tags = {m["name"]: m for m in s.get("/api/tags").json()["models"]}
            t.equal(tags["local/me/llama"]["digest"], digest, "the blob's own")
            r = s.post("/v1/messages", {"model": "me/qwen", "max_tokens": 3, "messages": [{"role": "user", "content": "hi"}]}, timeout=60)
            t.equal((r.status, r.json()["model"]), (200, "me/qwen"), r.text)


@case("many ask for two models that are not loaded, at once: each is loaded once and all are answered")
def at_once(t):
    with Cache() as c:
        c.put("me/llama", "chat-llama")
        c.put("me/qwen", "chat-qwen2")
        with c.server() as s, ThreadPoolExecutor(24) as pool:
            names = ["me/llama", "me/qwen", "sema-guide"] * 8
            for name, r in zip(names, pool.map(lambda n: ask(s, n), names)):
                answered(t, r, name)
            t.equal(s.log_text().count('"event":"model_ready"'), 3)


@case("what is not there: 404 with what is; what is damaged says so, and nobody else answers for it")
def absent(t):
    with Cache() as c:
        c.put("me/llama", "chat-llama")
        c.put("me/broken", "chat-qwen2")
        with open(os.path.join(c.path, "models--me--broken", "snapshots", "0" * 40, "config.json"), "w", encoding="utf-8") as f:
            f.write("{}")
        with c.server() as s:
            s.get("/v1/models")
            r = ask(s, "local/me/none")
            t.equal((r.status, r.json()["error"]["code"], r.json()["error"]["param"]), (404, "model_not_found", "model"))
            t.has(r.json()["error"]["message"], "local/sema-guide")
            t.has(r.json()["error"]["message"], "local/me/llama")
            t.equal(ask(s, "no-such-model").status, 404)
            r = ask(s, "me/broken")
            t.inside(r.status, 400, 503)
            t.true("choices" not in r.json(), r.text)
            t.equal(ask(s, "me/broken", stream=True).status, r.status)
            t.equal(s.post("/api/chat", {"model": "me/none", "messages": [{"role": "user", "content": "x"}]}).status, 404)
            answered(t, ask(s, "me/llama"), "me/llama")
        with c.server() as s:
            t.equal(s.get("/health").status, 200)
        with Server(unset=("MODEL_TYPE", "MODEL_NAME"), HF_HUB_CACHE=c.path, HF_HUB_OFFLINE="1", CLIENT_MODELS="configured") as s:
            t.equal(ask(s, "me/llama").status, 404)
            answered(t, ask(s, "default"), "sema-guide")


@case("Ollama's clients load and unload: keep_alive 0 gives a model up, nobody is disturbed")
def keep_alive(t):
    with Cache() as c:
        c.put("me/llama", "chat-llama")
        with c.server() as s:
            r = s.post("/api/generate", {"model": "me/llama"}, timeout=60).json()
            t.equal((r["done"], r["done_reason"], r["response"]), (True, "load", ""))
            t.true(r["load_duration"] > 0)
            t.equal(running(s), ["local/me/llama", "sema-guide"])
            r = s.post("/api/generate", {"model": "me/llama:latest", "keep_alive": 0}, timeout=60).json()
            t.equal(r["done_reason"], "unload")
            t.equal(running(s), ["sema-guide"])
            r = s.post("/api/chat", {"model": "me/llama", "messages": [], "keep_alive": "5m"}, timeout=60).json()
            t.equal((r["message"], r["done_reason"]), ({"role": "assistant", "content": ""}, "load"))
            t.equal(running(s), ["local/me/llama", "sema-guide"])
            for stream in (True, False):
                r = s.post("/api/chat", {"model": "me/llama", "messages": [{"role": "user", "content": "hello"}], "stream": stream,
                                         "keep_alive": "0s", "options": {"num_predict": 3}}, timeout=60)
                t.equal(r.status, 200, r.text)
                t.equal(running(s), ["sema-guide"])
            s.post("/api/generate", {"model": "sema", "keep_alive": 0})
            t.equal(running(s), ["sema-guide"], "one of the settings stays")
            for body, status in (({"model": "me/none"}, 404), ({"model": "nope", "keep_alive": 0}, 404), ({"prompt": ""}, 400)):
                r = s.post("/api/generate", body)
                t.equal(r.status, status, r.text)
                t.keys(r.json(), "error")


@case("a count loads it too; durations are those of this answer")
def measured(t):
    with Cache() as c:
        c.put("me/llama", "chat-llama")
        with c.server() as s:
            r = s.post("/v1/messages/count_tokens", {"model": "me/llama", "messages": [{"role": "user", "content": "hello"}]}, timeout=60)
            t.equal(r.status, 200, r.text)
            t.true(r.json()["input_tokens"] > 2)
            began = time.monotonic()
            r = s.post("/api/generate", {"model": "me/llama", "prompt": "hello", "stream": False, "options": {"num_predict": 20}}, timeout=60).json()
            took = (time.monotonic() - began) * 1e9
            parts = [r[k] for k in ("load_duration", "prompt_eval_duration", "eval_duration")]
            t.true(all(isinstance(n, int) and n >= 0 for n in parts) and r["prompt_eval_duration"] > 0 and r["eval_duration"] > 0, str(r))
            t.true(sum(parts) <= r["total_duration"] + 2e6 and r["total_duration"] <= took, f"{parts} {r['total_duration']} {took}")


@case("clients that leave while it is loaded, and a stop then")
def leaving(t):
    with Cache() as c:
        c.put("me/llama", "chat-llama")
        c.put("me/qwen", "chat-qwen2")
        with c.server() as s:
            for name in ("me/llama", "me/qwen") * 4:
                with s.connect() as client:
                    client.send_request("POST", CHAT, {"Content-Type": "application/json"},
                                        json.dumps({"model": name, "messages": [{"role": "user", "content": "x"}]}))
                    client.reset()
            answered(t, ask(s, "me/llama"), "me/llama")
            s.connect().send_request("POST", "/api/generate", {"Content-Type": "application/json"}, '{"model":"me/qwen"}')
            began = time.monotonic()
            t.equal(s.stop(), 0)
            t.took(began, 0, 4)


if os.path.isdir(DATA):
    main()
else:
    print("1..1\nok 1 - reference data # SKIP not here")
