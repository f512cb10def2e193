"""Answers of the trained reference models as clients of /v1 get them: the cases of
testdata/chat-models/api-cases.jsonl and every conversation of every model, whole and streamed."""
from concurrent.futures import ThreadPoolExecutor

from harness import *

DATA = os.path.join(os.environ.get("SEMA_SHARED_DATA", ""), "chat-models")
SETTINGS = {"MODEL_TYPE": "local", "HF_HUB_OFFLINE": "1", "MAX_CONCURRENT_REQUESTS": "64", "LOCAL_QUEUE": "64"}


def lines(*path):
    with open(os.path.join(DATA, *path), encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def serve(name, **more):
    return Server(MODEL_PATH=DATA, MODEL_NAME=name, **{**SETTINGS, **more})


def ask(s, request):
    """(text, finish_reason, prompt tokens, answer tokens) of a whole answer."""
    r = s.post("/v1/chat/completions", {"model": s.env["MODEL_NAME"], **request}, timeout=60)
    if r.status != 200:
        raise Failed(f"{r.status}: {r.text}")
    body = r.json()
    choice, usage = body["choices"][0], body["usage"]
    return choice["message"]["content"] or "", choice["finish_reason"], usage["prompt_tokens"], usage["completion_tokens"]


def stream(s, request):
    """The same of a streamed one."""
    r = s.post("/v1/chat/completions", {"model": s.env["MODEL_NAME"], "stream": True, "stream_options": {"include_usage": True}, **request},
               timeout=60)
    if r.status != 200:
        raise Failed(f"{r.status}: {r.text}")
    events = [line[6:] for line in r.text.split("\n") if line.startswith("data: ")]
    if events[-1] != "[DONE]":
        raise Failed(f"the stream ends with {events[-1]}")
    chunks = [json.loads(e) for e in events[:-1]]
    choices = [c["choices"][0] for c in chunks if c["choices"]]
    usage = next(c["usage"] for c in chunks if c.get("usage"))
    reasons = [c["finish_reason"] for c in choices if c["finish_reason"]]
    if len(reasons) != 1:
        raise Failed(f"{len(reasons)} finish reasons")
    return ("".join(c["delta"].get("content") or "" for c in choices), reasons[0], usage["prompt_tokens"],
            usage["completion_tokens"])


def same(t, got, want, ended, what):
    """`want` counts without the end token; an answer that the model ended may count it."""
    t.equal(got[:3], want[:3], what)
    t.inside(got[3], want[3], want[3] + ended, what + ": answer tokens")


def api_cases(name):
    def run(t):
        with serve(name) as s:
            for c in (c for c in lines("api-cases.jsonl") if c["model"] == name):
                e = c["expect"]
                want = e["content"], e["finish_reason"], e["prompt_tokens"], e["tokens_generated_excluding_end_token"]
                ended = "stop" not in c["request"] or e["finish_reason"] == "stop"
                same(t, ask(s, c["request"]), want, ended, c["case"])
                same(t, stream(s, c["request"]), want, ended, c["case"] + ", streamed")
    return run


def conversations(name):
    def run(t):
        with serve(name) as s:
            vectors = lines(name, "expected", "chat.jsonl")
            # The date that this template prints is the clock's, not the vectors': no count of prompt tokens.
            dated = "Today Date" in vectors[0]["prompt"]

            def check(v, call):
                request = {"messages": v["messages"], "temperature": 0, "max_tokens": 200}
                got = call(s, request)
                return v, got[0], got[1], len(v["prompt_ids"]) if dated else got[2]
            for call in (ask, stream):
                with ThreadPoolExecutor(8) as many:  # decoded together: the same as alone
                    for v, text, reason, prompt in many.map(lambda v: check(v, call), vectors):
                        t.equal((text, reason, prompt), (v["reply_text"], v["finish_reason"], len(v["prompt_ids"])),
                                f"{name} {v['messages'][-1]['content']}")
    return run


if os.path.isfile(os.path.join(DATA, "api-cases.jsonl")):
    for model in sorted({c["model"] for c in lines("api-cases.jsonl")}):
        case(f"{model}: limits and stops")(api_cases(model))
    for model in sorted(n for n in os.listdir(DATA) if os.path.isfile(os.path.join(DATA, n, "expected", "chat.jsonl"))):
        if model != "chat-llama3":
            case(f"{model}: its conversations")(conversations(model))
    main()
else:
    print("1..1\nok 1 - reference data # SKIP not here")
