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


main()
