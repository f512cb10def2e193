"""OpenAI's own models behind another address, a gateway of a company's say: what the family refuses is not sent there
either, and what only the provider can tell is learned from its refusals (providers.md 3.1)."""
from harness import *

EVERYTHING = {"temperature": 0.5, "top_p": 0.9, "presence_penalty": 0.1, "frequency_penalty": 0.1,
              "logit_bias": {"1": 1}, "max_tokens": 50, "seed": 7, "stop": ["p", "q", "r", "s", "t"],
              "messages": [{"role": "user", "content": "hello"}]}


def over(f, model):
    return Server(MODEL_TYPE="openai", MODEL_NAME=model, OPENAI_BASE_URL=f.url + "/v1", OPENAI_API_KEY="k")


def asked(f, model):
    return [r["body"] for r in f.requests("/v1/chat/completions") if r["body"]["model"] == model]


@case("a family's refused fields are left out at the first call")
def families(t):
    with Fake("openai", "--official") as f, over(f, "gpt-4o") as s:
        for model, taken in (("gpt-4o", {"temperature", "top_p", "stop", "max_tokens"}),
                             ("gpt-5.1", {"max_completion_tokens"}), ("o3", {"max_completion_tokens"}),
                             ("o1", {"stop", "max_completion_tokens"}), ("gpt-6-astra", {"max_completion_tokens"})):
            r = s.post("/v1/chat/completions", {**EVERYTHING, "model": "openai/" + model})
            t.equal(r.status, 200, model)
            bodies = asked(f, model)
            t.equal(len(bodies), 1, model)
            sent = set(bodies[0]) & {"temperature", "top_p", "presence_penalty", "stop", "max_tokens",
                                     "max_completion_tokens", "logit_bias"}
            t.true(taken <= sent and (model == "gpt-4o" or sent == taken), f"{model}: {sent}")
            t.true(len(bodies[0].get("stop", [])) <= 4, model)
        r = s.chat("hello", "a")
        t.equal((r.status, len(asked(f, "gpt-4o"))), (200, 2))


@case("TOP_K is no setting of these servers, whatever a request brings; a temperature of its own brings no other default")
def settings(t):
    with Fake("openai", "--official") as f:
        for model, more, sent in (("gpt-4o", {}, {"temperature", "top_p"}), ("gpt-4o", {"TOP_K": "40"}, {"temperature", "top_p"}),
                                  ("gpt-5.1", {}, set())):
            with Server(MODEL_TYPE="openai", MODEL_NAME=model, OPENAI_BASE_URL=f.url + "/v1", OPENAI_API_KEY="k", **more) as s:
                t.equal(s.chat("hello", "a", temperature=0.5).status, 200)
                body = f.requests("/v1/chat/completions")[-1]["body"]
                t.equal(set(body) & {"temperature", "top_p", "top_k"}, sent, model)
        t.equal(len(f.requests("/v1/chat/completions")), 3)
    with Fake("google") as f, Server(MODEL_TYPE="google", MODEL_NAME="gemini-3-flash", GOOGLE_GEMINI_BASE_URL=f.url, GOOGLE_API_KEY="k") as s:
        for own, sent in (({}, set()), ({"temperature": 0.5}, {"temperature"})):
            t.equal(s.chat("hello", "a", **own).status, 200)
            body = [r for r in f.requests() if "streamGenerateContent" in r["path"]][-1]["body"]
            t.equal(set(body["generationConfig"]) & {"temperature", "topP", "topK"}, sent)


@case("six refused fields of a model with an unknown name cost six repeats once, and nothing afterwards")
def learned(t):
    refused = ["max_tokens", "temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias"]

    def answer(request):
        q = request["body"]
        if not request["path"].endswith("/chat/completions"):
            yield Upstream.json(200, {"object": "list", "data": [{"id": "house-model", "object": "model"}]})
            return
        for field in refused:
            if field in q:
                yield Upstream.json(400, {"error": {"message": f"Unsupported parameter: '{field}'", "param": field,
                                                    "type": "invalid_request_error", "code": "unsupported_parameter"}})
                return
        yield Upstream.json(200, {"id": "c", "object": "chat.completion", "model": "house-model", "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"}]})
    with Upstream(answer) as u, Server(**u.env(MODEL_NAME="house-model")) as s:
        for calls in (7, 8):
            r = s.post("/v1/chat/completions", {**EVERYTHING, "model": "house-model"})
            t.equal(r.status, 200)
            up = [q["body"] for q in u.requests if q["path"].endswith("/chat/completions")]
            t.equal(len(up), calls)
        t.equal(up[-1]["max_completion_tokens"], 50)


@case("a model with an unknown name goes to the Responses API when the server sends it there, and stays")
def sent_on(t):
    def answer(request):
        if request["path"].endswith("/chat/completions"):
            yield Upstream.json(400, {"error": {"message": "This model is only supported in v1/responses and not in v1/chat/completions.",
                                                "type": "invalid_request_error", "param": "model", "code": None}})
        elif request["path"].endswith("/responses"):
            yield Upstream.json(200, {"id": "r", "object": "response", "status": "completed", "model": "house-model", "output": [
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "fine", "annotations": []}]}]})
        else:
            yield Upstream.json(200, {"object": "list", "data": [{"id": "house-model", "object": "model"}]})
    with Upstream(answer) as u, Server(**u.env(MODEL_NAME="house-model")) as s:
        for _ in range(2):
            t.equal(s.post("/v1/chat/completions", {"model": "house-model", "messages": EVERYTHING["messages"]}).json()
                    ["choices"][0]["message"]["content"], "fine")
        t.equal([q["path"].rsplit("/", 1)[1] for q in u.requests if not q["path"].endswith("/models")],
                ["completions", "responses", "responses"])


main()
