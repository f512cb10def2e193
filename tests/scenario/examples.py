"""The C example, and sema test-backends: a set-up tried out as the guide says."""
from harness import *

EXAMPLE = os.path.join(os.environ.get("SEMA_BUILD_ROOT", ""), "examples", "one_backend")


def example(*args, **env):
    done = subprocess.run([EXAMPLE, *args], capture_output=True, timeout=30, env={"PATH": os.environ["PATH"], **env})
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@case("the C example asks one backend through the headers")
def one_backend(t):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "answers.jsonl")
        with open(path, "w", encoding="utf-8") as f:
            f.write(json.dumps({"when": "Hello", "pieces": ["Good ", "day"], "usage": {"prompt": 3, "completion": 2}}) + "\n")
        t.equal(example("scripted", path, "Hello"), (0, "Good day\n(2 tokens)\n", ""))
    status, _, err = example("openai", "m", "Hello", "http://127.0.0.1:9/v1")
    t.equal(status, 1)
    t.true("127.0.0.1:9" in err, err)
    t.equal(example("nonsense", "m", "x")[0], 2)


@case("test-backends: the local model answers, a dead provider is a line that says why, the status counts failures")
def backends(t):
    env = {"HF_HUB_OFFLINE": "1"}
    status, out, err = run_sema("test-backends", env=env)
    t.equal((status, err), (0, ""))
    t.true("sema-guide" in out and " ok " in out and "first token after" in out, out)
    env.update(OPENAI_API_KEY="sk-never-shown-1", OPENAI_BASE_URL="http://127.0.0.1:9/v1", ANTHROPIC_API_KEY="sk-never-shown-2",
               ANTHROPIC_BASE_URL="http://127.0.0.1:9")
    status, out, _ = run_sema("test-backends", "--json", env=env)
    rows = {r["backend"]: r for r in json.loads(out)}
    t.equal((status, rows["local"]["ok"], rows["openai"]["ok"], rows["anthropic"]["code"]), (2, True, False, "provider_network"))
    t.true("never-shown" not in out)
    status, out, _ = run_sema("test-backends", "--backend", "openai", "--json", env=env)
    t.equal((status, [r["backend"] for r in json.loads(out)]), (1, ["openai"]))
    status, out, _ = run_sema("test-backends", "--backend", "anthropic", env={"HF_HUB_OFFLINE": "1"})
    t.equal(status, 1)
    t.true("ANTHROPIC_API_KEY" in out, out)


main()
