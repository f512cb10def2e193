"""The guide's configuration blocks for MiniMax and Hugging Face, word for word, against the fakes of tests/fakes."""
from harness import *

ROOT = os.environ["SEMA_SOURCE_ROOT"]
KEYS = ("your_minimax_api_key", "your_hf_token")


class Fake:
    def __init__(self, name, *args):
        self.process = subprocess.Popen([sys.executable, os.path.join(ROOT, "tests", "fakes", name), "--with-parent", *args],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.address = "http://" + self.process.stdout.readline().decode().split()[-1]

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def quiet(t, *servers):
    """No key in a log or on the terminal."""
    for s in servers:
        for key in KEYS:
            t.lacks(s.log_text() + s.errors(), key)


# ---- MiniMax ----

QUESTION = "Solve this math problem: 2x + 5 = 15"
ANSWER = ("[Reasoning: I need to solve for x. First, subtract 5 from both sides: 2x = 10. Then divide by 2: x = 5]\n\nTo solve "
          "2x + 5 = 15:\n1. Subtract 5 from both sides: 2x = 10\n2. Divide by 2: x = 5\n\nTherefore, x = 5.")


def minimax(fake, path="/v1/text/chatcompletion_v2", **more):
    return Server(MODEL_TYPE="minimax", MODEL_NAME="MiniMax-M1", MINIMAX_API_KEY="your_minimax_api_key",
                  MINIMAX_API_URL=fake.address + path, MINIMAX_MODEL_VERSION="abab6.5s-chat", **more)


@case("MiniMax: the guide's example, byte for byte, whole and streamed")
def example(t):
    for path in ("/v1/text/chatcompletion_v2", "/v1/chat/completions"):
        with Fake("minimax.py", "--key", "your_minimax_api_key") as fake, minimax(fake, path) as s:
            r = s.chat(QUESTION, "minimax-test")
            t.equal(r.status, 200, r.text)
            a = r.json()
            t.equal((a["message"], a["session_id"], a["model_name"]), (ANSWER, "minimax-test", "MiniMax-M1"))
            t.has(r.text, json.dumps(ANSWER)[1:-1])
            t.equal(s.sse(QUESTION, "stream").content(), ANSWER)
            t.equal(s.get("/api/v1/sessions/stream").json()["messages"][1]["content"], ANSWER)
            quiet(t, s)


@case("MiniMax: the version goes up, the name is shown; thoughts do not go up again as text")
def version(t):
    with tempfile.TemporaryDirectory() as folder:
        log = os.path.join(folder, "log")
        with Fake("minimax.py", "--log", log) as fake, minimax(fake) as s:
            s.chat(QUESTION, "s")
            s.chat("thanks", "s")
            with open(log, encoding="utf-8") as f:
                up = [json.loads(line) for line in f]
            up = [q["body"] for q in up if q["method"] == "POST"]
            t.equal([q["model"] for q in up], ["abab6.5s-chat"] * 2)
            t.lacks(json.dumps(up[1]), "[Reasoning")
            t.lacks(json.dumps(up[1]), "I need to solve")
            quiet(t, s)


@case("MiniMax: a wrong key inside of HTTP 200 is the server's fault, and shows nowhere")
def wrong_key(t):
    with Fake("minimax.py", "--key", "another") as fake, minimax(fake) as s:
        r = s.chat("hello")
        t.equal((r.status, r.code), (502, "provider_auth"))
        t.lacks(r.text, "login fail")
        quiet(t, s)


@case("MiniMax: the reasoning model of the research setup")
def research(t):
    with Fake("minimax.py") as fake, Server(
            script=[{"when": "*", "pieces": ["fast"]}], REASONING_MODEL_TYPE="minimax", REASONING_MODEL_NAME="MiniMax-M1",
            MINIMAX_API_KEY="your_minimax_api_key", MINIMAX_API_URL=fake.address + "/v1/text/chatcompletion_v2") as s:
        t.equal(s.chat(QUESTION).json()["message"], "fast")
        a = s.chat(QUESTION, "r", reasoning=True).json()
        t.equal((a["message"], a["model_name"]), (ANSWER, "MiniMax-M1"))
        quiet(t, s)


@case("MiniMax: the switch of the guide")
def switch(t):
    with Fake("minimax.py") as fake, Server(
            script=[{"when": "*", "pieces": ["fast"]}], MINIMAX_API_KEY="your_minimax_api_key",
            MINIMAX_API_URL=fake.address + "/v1/text/chatcompletion_v2") as s:
        r = s.post("/api/v1/model/switch", {"model_type": "minimax", "model_name": "MiniMax-M1"})
        t.equal(r.status, 200, r.text)
        t.equal(s.chat(QUESTION).json()["message"], ANSWER)
        quiet(t, s)


# ---- Hugging Face ----

def hugging(fake, path="/v1", **more):
    return Server(MODEL_TYPE="hf_api", MODEL_NAME="google/gemma-2b-it", HF_API_TOKEN="your_hf_token",
                  HF_INFERENCE_URL=fake.address + path, **more)


@case("Hugging Face: Gemma by the router, by its own address, by an endpoint, by text generation")
def gemma(t):
    for path in ("/v1", "/v1/chat/completions", "/hf-inference/models/", "/endpoint", "/generate", "/models/google/gemma-2b-it"):
        with Fake("huggingface.py", "--key", "your_hf_token") as fake, hugging(fake, path) as s:
            r = s.chat("Explain quantum computing in simple terms", "gemma-test", temperature=0.7)
            t.equal(r.status, 200, f"{path}: {r.text}")
            a = r.json()
            t.equal((a["message"], a["model_name"]), ("Explain quantum computing in simple terms", "google/gemma-2b-it"))
            t.equal(s.sse("and streamed", "s").content(), "and streamed")
            quiet(t, s)


@case("Hugging Face: temperature 0 and top_p 1 are taken by text generation too")
def edges(t):
    with Fake("huggingface.py") as fake, hugging(fake, "/generate", TOP_P="1", TOP_K="0") as s:
        t.equal(s.chat("hello", temperature=0).json()["message"], "hello")


@case("Hugging Face: the production setup falls back when the first model is gone")
def production(t):
    with Fake("huggingface.py") as fake, Server(
            MODEL_TYPE="openai", MODEL_NAME="gpt-3.5-turbo", OPENAI_API_KEY="your_key", OPENAI_BASE_URL="http://127.0.0.1:1/v1",
            FALLBACK_MODEL_TYPE="hf_api", FALLBACK_MODEL_NAME="microsoft/DialoGPT-medium", HF_API_TOKEN="your_hf_token",
            HF_INFERENCE_URL=fake.address + "/v1", wait_ready=False) as s:
        r = wait_until(lambda: (a := s.chat("still there?")).status == 200 and a, 10, "an answer")
        t.equal((r.json()["message"], r.json()["model_name"]), ("still there?", "microsoft/DialoGPT-medium"))
        quiet(t, s)


@case("Hugging Face: a wrong token, and the old address")
def wrong(t):
    with Fake("huggingface.py", "--key", "another") as fake, hugging(fake) as s:
        r = s.chat("hello")
        t.equal((r.status, r.code), (502, "provider_auth"))
        quiet(t, s)
    with Fake("huggingface.py") as fake, hugging(fake, "/old/models") as s:
        t.equal(s.chat("hello").code, "provider_model_not_found")
        t.has(s.log_text(), "https://router.huggingface.co")


main()
