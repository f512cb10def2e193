"""sema pull, models and rm, and a start that pulls what is missing, against a hub on loopback."""
import sys as _sys
import os as _os
_sys.path.insert(0, _os.path.join(_os.path.dirname(_os.path.abspath(__file__)), "..", "fakes"))
from harness import *
from hub import COMMIT, Hub
import hashlib
import shutil

ROOT = os.environ["SEMA_SOURCE_ROOT"]


def guide():
    """The built-in model's files, as a repository."""
    folder = os.path.join(ROOT, "model", "sema-guide")
    files = {name: open(os.path.join(folder, name), "rb").read() for name in sorted(os.listdir(folder))}
    files["README.md"] = b"not needed"
    files["pytorch_model.bin"] = b"never fetched beside safetensors"
    return files


class Cache:
    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="sema-hub-")
        return self

    def __exit__(self, *what):
        shutil.rmtree(self.path, ignore_errors=True)

    def env(self, hub, **more):
        return {"HF_ENDPOINT": hub.url, "HF_HUB_CACHE": self.path, **more}

    def repo(self, name="o/m"):
        return os.path.join(self.path, "models--" + name.replace("/", "--"))

    def snapshot(self, name="o/m"):
        return os.path.join(self.repo(name), "snapshots", COMMIT)

    def leftovers(self, name="o/m"):
        blobs = os.path.join(self.repo(name), "blobs")
        return [f for f in os.listdir(blobs) if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", f)]


def pull(cache, hub, *args, **env):
    return run_sema("pull", *args, env=cache.env(hub, **env), timeout=60)


@case("a pull lays the cache out as all tools have it, and fetches nothing twice")
def layout(t):
    with Hub({"o/m": guide()}) as hub, Cache() as cache:
        status, out, err = pull(cache, hub, "o/m")
        t.equal((status, out), (0, cache.snapshot() + "\n"), err)
        names = sorted(os.listdir(cache.snapshot()))
        t.equal(names, ["config.json", "generation_config.json", "model.safetensors", "special_tokens_map.json",
                        "tokenizer.json", "tokenizer_config.json"])
        for name in names:
            link = os.readlink(os.path.join(cache.snapshot(), name))
            t.true(link.startswith("../../blobs/"), link)
            with open(os.path.join(cache.snapshot(), name), "rb") as f:
                t.true(f.read() == hub.repos["o/m"][name], name)
        weights = hashlib.sha256(hub.repos["o/m"]["model.safetensors"]).hexdigest()
        t.true(os.path.exists(os.path.join(cache.repo(), "blobs", weights)))
        with open(os.path.join(cache.repo(), "refs", "main")) as f:
            t.equal(f.read(), COMMIT)
        t.equal(cache.leftovers(), [])
        before = len(hub.get_paths())
        t.equal(pull(cache, hub, "o/m")[0], 0)
        t.equal(len(hub.get_paths()), before + 1, "only the list is asked for")


@case("the token goes to the endpoint and not across a redirect")
def token(t):
    with Hub({"o/m": guide()}, token="hf_secret_token") as hub, Cache() as cache:
        status, _, err = pull(cache, hub, "o/m", HF_TOKEN="hf_secret_token")
        t.equal(status, 0, err)
        stored = [headers for store, _, _, headers in hub.requests if store]
        t.true(stored and all("Authorization" not in h for h in stored))
        status, _, err = pull(cache, hub, "o/x")
        t.equal(status, 1)
        t.true("is gated: accept its licence" in err and "HF_TOKEN" in err, err)


@case("a cut connection is resumed where it ended")
def resume(t):
    with Hub({"o/m": guide()}) as hub, Cache() as cache:
        hub.cut = [100000, 100000]
        status, _, err = pull(cache, hub, "o/m")
        t.equal(status, 0, err)
        ranges = [h.get("Range") for _, method, path, h in hub.requests if method == "GET" and "safetensors" in path]
        t.true(any(r and r != "bytes=0-" for r in ranges), ranges)
        with open(os.path.join(cache.snapshot(), "model.safetensors"), "rb") as f:
            t.true(f.read() == hub.repos["o/m"]["model.safetensors"])
        t.equal(cache.leftovers(), [])


def plant_partial(cache, hub, data):
    weights = hashlib.sha256(hub.repos["o/m"]["model.safetensors"]).hexdigest()
    os.makedirs(os.path.join(cache.repo(), "blobs"))
    path = os.path.join(cache.repo(), "blobs", weights + ".incomplete")
    with open(path, "wb") as f:
        f.write(data)
    return path


@case("partial files of others: too long, of other bytes, exactly complete, a good start")
def partials(t):
    good = guide()["model.safetensors"]
    for name, data in [("too long", good + b"x" * 100), ("equally long, other bytes", bytes(len(good))),
                       ("complete", good), ("a good start", good[:300000]), ("a wrong start", b"\1" * 300000)]:
        with Hub({"o/m": guide()}) as hub, Cache() as cache:
            plant_partial(cache, hub, data)
            status, _, err = pull(cache, hub, "o/m")
            t.equal(status, 0, name + ": " + err)
            with open(os.path.join(cache.snapshot(), "model.safetensors"), "rb") as f:
                t.true(f.read() == good, name)
            t.equal(cache.leftovers(), [], name)
            asked = [h.get("Range") for _, method, path, h in hub.requests if method == "GET" and "safetensors" in path]
            if name == "a good start":
                t.true("bytes=300000-" in asked, asked)
            if name == "complete":
                t.equal(asked, [], name)


@case("a writer that still appends to its partial file changes nothing of ours")
def slow_writer(t):
    with Hub({"o/m": guide()}) as hub, Cache() as cache:
        path = plant_partial(cache, hub, hub.repos["o/m"]["model.safetensors"][:100000])
        with open(path, "ab") as writer:
            t.equal(pull(cache, hub, "o/m")[0], 0)
            writer.write(b"late" * 1000)
        with open(os.path.join(cache.snapshot(), "model.safetensors"), "rb") as f:
            t.true(f.read() == hub.repos["o/m"]["model.safetensors"])


@case("416 for a resumed part begins anew")
def range_refused(t):
    with Hub({"o/m": guide()}) as hub, Cache() as cache:
        plant_partial(cache, hub, hub.repos["o/m"]["model.safetensors"][:100000])
        hub.stale_416 = True
        t.equal(pull(cache, hub, "o/m")[0], 0)
        t.equal(cache.leftovers(), [])


@case("wrong bytes are fetched once more, and never linked")
def wrong_sum(t):
    with Hub({"o/m": guide()}) as hub, Cache() as cache:
        hub.corrupt = {"model.safetensors": 1}
        t.equal(pull(cache, hub, "o/m")[0], 0)
    with Hub({"o/m": guide()}) as hub, Cache() as cache:
        hub.corrupt = {"model.safetensors": 9, }
        status, _, err = pull(cache, hub, "o/m")
        t.equal(status, 1)
        t.true("hash" in err, err)
        t.true(not os.path.exists(os.path.join(cache.snapshot(), "model.safetensors")))


@case("429 and 5xx are tried again")
def busy(t):
    with Hub({"o/m": guide()}) as hub, Cache() as cache:
        hub.fail = [503, 429]
        t.equal(pull(cache, hub, "o/m")[0], 0)


@case("a list without sizes and hashes: each file is asked for them")
def no_blobs(t):
    with Hub({"o/m": guide()}) as hub, Cache() as cache:
        hub.no_blobs = True
        status, _, err = pull(cache, hub, "o/m")
        t.equal(status, 0, err)
        t.true(any(method == "HEAD" for _, method, _, _ in hub.requests))


@case("an unknown name, a bad name, no owner, and offline are one line and status 1")
def refused(t):
    with Hub({"o/m": guide()}) as hub, Cache() as cache:
        for name, words in [("o/none", "no model o/none"), ("../etc/x", "not a model name"), ("justname", "no owner"),
                            ("o/..", "not a model name")]:
            status, out, err = pull(cache, hub, name)
            t.equal((status, out, err.count("\n")), (1, "", 1), err)
            t.true(words in err, err)
        status, _, err = pull(cache, hub, "o/m", HF_HUB_OFFLINE="1")
        t.equal(status, 1)
        t.true("HF_HUB_OFFLINE" in err, err)
        t.equal(os.listdir(cache.path), [])


@case("shards: those that the index names; a missing one is named")
def shards(t):
    files = {"config.json": b"{}", "tokenizer.json": b"{}",
             "model.safetensors.index.json": json.dumps({"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}}).encode(),
             "m-1.safetensors": b"1" * 2000, "m-2.safetensors": b"2" * 2000, "m-3.safetensors": b"3" * 2000}
    with Hub({"o/m": files}) as hub, Cache() as cache:
        t.equal(pull(cache, hub, "o/m")[0], 0)
        t.equal(sorted(os.listdir(cache.snapshot())),
                ["config.json", "m-1.safetensors", "m-2.safetensors", "model.safetensors.index.json", "tokenizer.json"])
        # An interrupted download of another tool: a pull completes it.
        os.unlink(os.path.join(cache.snapshot(), "m-2.safetensors"))
        t.equal(pull(cache, hub, "o/m")[0], 0)
        t.true(os.path.exists(os.path.join(cache.snapshot(), "m-2.safetensors")))
    del files["m-2.safetensors"]
    with Hub({"o/m": files}) as hub, Cache() as cache:
        status, _, err = pull(cache, hub, "o/m")
        t.equal(status, 1)
        t.true("m-2.safetensors" in err, err)


@case("GGUF repositories: the type behind a colon, a default, all parts of a split file")
def gguf(t):
    files = {"m-Q4_K_M.gguf": b"k" * 10, "m-Q8_0.gguf": b"8" * 10, "m-f16-00001-of-00002.gguf": b"a", "README.md": b"",
             "m-f16-00002-of-00002.gguf": b"b"}
    for name, want in [("o/m", ["m-Q4_K_M.gguf"]), ("o/m:q8_0", ["m-Q8_0.gguf"]), ("o/m:m-Q8_0.gguf", ["m-Q8_0.gguf"]),
                       ("o/m:F16", ["m-f16-00001-of-00002.gguf", "m-f16-00002-of-00002.gguf"]),
                       ("o/m:m-f16-00002-of-00002.gguf", ["m-f16-00001-of-00002.gguf", "m-f16-00002-of-00002.gguf"])]:
        with Hub({"o/m": files}) as hub, Cache() as cache:
            status, out, err = pull(cache, hub, name)
            t.equal(sorted(os.listdir(cache.snapshot())), want, err)
            t.equal((status, os.path.basename(out.strip())), (0, want[0]), name + err)
    with Hub({"o/m": files}) as hub, Cache() as cache:
        status, _, err = pull(cache, hub, "o/m:Q2_K")
        t.equal(status, 1)
        t.true("m-Q8_0.gguf" in err, err)


@case("two pulls at once both end with whole files")
def two(t):
    with Hub({"o/m": guide()}) as hub, Cache() as cache:
        ends = []
        threads = [threading.Thread(target=lambda: ends.append(pull(cache, hub, "o/m")[0])) for _ in range(3)]
        for th in threads:
            th.start()
        for th in threads:
            th.join()
        t.equal(ends, [0, 0, 0])
        with open(os.path.join(cache.snapshot(), "model.safetensors"), "rb") as f:
            t.true(f.read() == hub.repos["o/m"]["model.safetensors"])
        t.equal(cache.leftovers(), [])


@case("no room on the disk is told before anything is fetched")
def no_room(t):
    files = dict(guide())
    with Hub({"o/m": files}) as hub, Cache() as cache:
        listing = hub.listing

        def huge(repo):
            rows = listing(repo)
            for row in rows["siblings"]:
                if row["rfilename"] == "model.safetensors":
                    row["size"] = 1 << 55
            return rows
        hub.listing = huge
        status, _, err = pull(cache, hub, "o/m")
        t.equal(status, 1)
        t.true("are free" in err, err)
        t.equal(len(hub.get_paths()), 1)


@case("models lists name, size and family; rm removes")
def models(t):
    with Hub({"o/m": guide()}) as hub, Cache() as cache:
        t.equal(pull(cache, hub, "o/m")[0], 0)
        os.makedirs(os.path.join(cache.path, "models--x--broken", "snapshots", "c"))
        status, out, _ = run_sema("models", "--json", env=cache.env(hub))
        rows = {r["name"]: r for r in json.loads(out)}
        t.equal((status, rows["o/m"]["family"], rows["x/broken"]["family"]), (0, "llama", None))
        t.true(rows["o/m"]["bytes"] > 6000000)
        t.equal(run_sema("rm", "o/m", env=cache.env(hub))[0], 0)
        t.true(not os.path.exists(cache.repo()))
        status, _, err = run_sema("rm", "o/m", env=cache.env(hub))
        t.equal(status, 1)
        t.true('"o/m" is not in' in err, err)


@case("a server whose model is not there pulls it, and answers 503 meanwhile")
def serve_pulls(t):
    with Hub({"o/m": guide()}) as hub, Cache() as cache:
        with Server(MODEL_TYPE="local", MODEL_NAME="o/m", **cache.env(hub)) as s:
            wait_until(lambda: s.get("/api/v1/health").json()["model_loaded"], 30, "the model")
            got = s.post("/api/v1/chat", {"message": "What can you do?", "session_id": "a", "temperature": 0})
            t.equal((got.status, got.json()["model_name"]), (200, "o/m"))


@case("offline, a missing model ends the start with status 3 and the command that gets it")
def serve_offline(t):
    with Hub({"o/m": guide()}) as hub, Cache() as cache:
        status, _, err = run_sema("serve", env={"HOST": "127.0.0.1", "PORT": "0", "SESSION_STORE": "memory:", "MODEL_TYPE": "local",
                                                "MODEL_NAME": "o/m", "HF_HUB_OFFLINE": "1", **cache.env(hub)})
        t.equal(status, 3)
        t.true("no such files in" in err and "sema pull o/m" in err, err)
        t.equal(hub.requests, [])


main()
