"""sema test-backends: each backend that has its credential, tried out against the fakes."""
from contextlib import ExitStack

from harness import *

OFFLINE = {"HF_HUB_OFFLINE": "1"}
KEYS = {"openai": ("OPENAI_API_KEY", "OPENAI_BASE_URL", "/v1"), "anthropic": ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", ""),
        "google": ("GOOGLE_API_KEY", "GOOGLE_GEMINI_BASE_URL", ""),
        "minimax": ("MINIMAX_API_KEY", "MINIMAX_API_URL", "/v1/text/chatcompletion_v2"),
        "huggingface": ("HF_API_TOKEN", "HF_INFERENCE_URL", "/v1")}


class Providers:
    """All five fakes, each with a key of its own, and the settings for them."""

    def __init__(self, **keys):
        self.keys = keys

    def __enter__(self):
        self.stack = ExitStack()
        self.env = dict(OFFLINE)
        self.fakes = {}
        for name, (key, address, path) in KEYS.items():
            f = self.stack.enter_context(Fake(name, "--key", self.keys.get(name, "key-never-shown-" + name)))
            self.fakes[name] = f
            self.env.update({key: "key-never-shown-" + name, address: f.url + path})
        return self

    def __exit__(self, *_):
        self.stack.close()

    def asked(self):
        return {n: sum(r["method"] == "POST" for r in f.requests()) for n, f in self.fakes.items()}


def rows(*args, env, timeout=20):
    status, out, err = run_sema("test-backends", "--json", *args, env=env, timeout=timeout)
    if err:
        raise Failed(err)
    if "never-shown" in out:
        raise Failed("a key is shown: " + out)
    return status, {r["backend"]: r for r in json.loads(out)}


@case("without a key the local model answers")
def local(t):
    status, out, err = run_sema("test-backends", env=OFFLINE)
    t.equal((status, err, len(out.splitlines())), (0, "", 1))
    t.match(out, r"local +sema-guide +ok +ready in \d+ ms, first token after \d+ ms, \d+ tokens \(asked\)\n")


@case("by itself: free calls where there are some, one short answer where there is none")
def by_itself(t):
    began = time.monotonic()
    with Providers() as p:
        status, got = rows(env=p.env)
        t.equal((status, {n: r["ok"] for n, r in got.items()}),
                (0, dict.fromkeys(("local", "openai", "anthropic", "google", "minimax", "hf_api"), True)))
        t.equal(p.asked(), {"openai": 0, "anthropic": 0, "google": 0, "minimax": 1, "huggingface": 1})
        t.equal((got["minimax"]["asked"], got["google"]["asked"], got["google"]["first_token_ms"]), (True, False, None))
        t.true(got["minimax"]["tokens"] > 0 and got["minimax"]["first_token_ms"] is not None, got["minimax"])
        _, out, _ = run_sema("test-backends", env=p.env)
        t.has(out, "(free call, nothing asked)")
    t.took(began, 0, 10)  # connections that the provider keeps open hold nobody up


@case("--ask has each answer, --free none that may charge")
def ask(t):
    with Providers() as p:
        status, got = rows("--ask", env=p.env)
        t.equal((status, p.asked()), (0, dict.fromkeys(KEYS, 1)))
        for name, r in got.items():
            t.true(r["asked"] and r["tokens"] > 0 and r["first_token_ms"] is not None, (name, r))
        status, got = rows("--free", env=p.env)
        t.equal((status, p.asked()), (0, dict.fromkeys(KEYS, 1)))
        t.equal((got["minimax"]["asked"], got["local"]["asked"]), (False, True))
        t.has(run_sema("test-backends", "--free", "--backend", "minimax", env=p.env)[1], "key not checked")
    status, _, err = run_sema("test-backends", "--free", "--ask", env=OFFLINE)
    t.equal((status, err), (1, "sema test-backends: either --ask or --free\n"))


@case("a refused key is a failure that names its setting; the status counts them")
def refused(t):
    with Providers(**dict.fromkeys(KEYS, "another")) as p:
        status, got = rows(env=p.env)
        t.equal((status, [n for n, r in got.items() if r["ok"]]), (5, ["local"]))
        for name, (key, _, _) in KEYS.items():
            r = got["hf_api" if name == "huggingface" else name]
            t.equal(r["code"], "provider_auth")
            t.has(r["error"] + str(r["advice"]), key)
        status, out, _ = run_sema("test-backends", env=p.env)
        t.equal((status, out.count(" FAILED  ")), (5, 5))
        t.lacks(out, "never-shown")


@case("nobody there: the reason, and the address's setting")
def unreachable(t):
    env = {**OFFLINE, **{key: "k-never-shown" for key, _, _ in KEYS.values()},
           **{address: "http://127.0.0.1:9" + path for _, address, path in KEYS.values()}}
    status, got = rows(env=env)
    t.equal(status, 5)
    for name, (_, address, _) in KEYS.items():
        r = got["hf_api" if name == "huggingface" else name]
        t.equal(r["code"], "provider_network")
        t.has(r["error"], "127.0.0.1:9")
        t.has(r["advice"], address)


@case("--backend: one alone, in any case; a missing key is named, an unknown word answered with the list")
def one(t):
    with Providers() as p:
        t.equal({n: list(rows("--backend", n, env=p.env)[1]) for n in ("openai", "GOOGLE", "local")},
                {"openai": ["openai"], "GOOGLE": ["google"], "local": ["local"]})
    for name, key in (("openai", "OPENAI_API_KEY"), ("anthropic", "ANTHROPIC_API_KEY"), ("google", "GOOGLE_API_KEY"),
                      ("minimax", "MINIMAX_API_KEY"), ("hf_api", "HF_API_TOKEN")):
        status, out, _ = run_sema("test-backends", "--backend", name, env=OFFLINE)
        t.equal((status, out.count("\n")), (1, 1))
        t.has(out, key)
    status, out, err = run_sema("test-backends", "--backend", "chatgpt", env=OFFLINE)
    t.equal((status, out, err), (1, "", 'sema test-backends: unknown backend "chatgpt"; one of local, hf_api, openai, anthropic, '
                                        "minimax, google\n"))


@case("what the settings name is what is tried: fallback and reasoning models too")
def configured(t):
    with Providers() as p:
        env = {**p.env, "MODEL_TYPE": "google", "MODEL_NAME": "gemini-1.5-pro", "REASONING_MODEL_TYPE": "minimax",
               "REASONING_MODEL_NAME": "MiniMax-M1", "FALLBACK_MODEL_TYPE": "openai", "FALLBACK_MODEL_NAME": "gpt-3.5-turbo"}
        _, got = rows(env=env)
        t.equal([(n, r["model"]) for n, r in got.items()][:3],
                [("google", "gemini-1.5-pro"), ("openai", "gpt-3.5-turbo"), ("minimax", "MiniMax-M1")])


main()
