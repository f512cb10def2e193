#!/usr/bin/env python3
"""A strict fake of Hugging Face: the router (/v1), one model's own address (/hf-inference/models/OWNER/NAME), a dedicated
endpoint (/endpoint), and text generation (TGI's /generate and /generate_stream, /models/OWNER/NAME).

    python3 tests/fakes/huggingface.py --port 9000 [--log requests.jsonl] [--key hf_test]
    MODEL_TYPE=hf_api HF_API_TOKEN=hf_test HF_INFERENCE_URL=http://127.0.0.1:9000/v1 MODEL_NAME=google/gemma-2b-it ...

The model's name chooses what happens: the functions named case_* below and those of openai.py, "_" written as "-"; any
other model echoes the newest user message.  Text generation has no model in its request: there the word in brackets at the
end of the newest message chooses one of the functions named text_* ("How are you? [length]").  --no-stream leaves
/generate_stream out.  The first line on standard output is "listening on 127.0.0.1:PORT"."""
import json
import re

import fake
import openai
from fake import ARGS

FIELDS = {"model", "messages", "max_tokens", "temperature", "top_p", "top_k", "stop", "seed", "stream", "stream_options",
          "tools", "tool_choice", "response_format", "presence_penalty", "frequency_penalty", "repetition_penalty"}
PARAMETERS = {"max_new_tokens", "temperature", "top_p", "top_k", "stop", "do_sample", "return_full_text",
              "repetition_penalty", "seed", "details"}


class Refusal(Exception):
    def __init__(self, status, body):
        super().__init__(str(body))
        self.status = status
        self.body = body


def check_common(p):
    h = p.headers
    if ARGS.key and h.get("authorization") != "Bearer " + ARGS.key:
        raise Refusal(401, {"error": "Invalid username or password."})
    if h.get("content-type") != "application/json" or h.get("accept-encoding") != "identity":
        raise Refusal(415, {"error": "header fields"})


# ---- chat completions ----------------------------------------------------------------------------------------------

def check_chat(p):
    check_common(p)
    unknown = set(p.json) - FIELDS
    if unknown:
        raise Refusal(422, {"detail": [{"msg": f"Extra inputs are not permitted: {sorted(unknown)[0]}"}]})
    try:
        openai.check(p)
    except openai.Refusal as r:
        raise Refusal(r.status, r.body) from r


def say_plain(status, body, kind="application/json", headers=""):
    return lambda p: p.answer(status, body, kind, headers)


case_error_text = say_plain(401, {"error": "Invalid username or password."})
case_error_message = say_plain(429, {"message": "slow down"}, headers="retry-after-ms: 10\r\n")
case_error_detail = say_plain(422, {"detail": "bad"})
case_error_plain = say_plain(400, "Bad Request", "text/plain")
case_credits = say_plain(402, {"error": "You have exceeded your monthly included credits for Inference Providers."})
case_gated = say_plain(403, {"error": "This authentication method does not have sufficient permissions"})
case_not_supported = say_plain(400, {"error": {"message": "The requested model 'x' is not supported by any provider you "
                                               "have enabled.", "type": "invalid_request_error", "param": "model",
                                               "code": "model_not_supported"}})


def case_loading(p):
    if p.nth == 1:
        return p.answer(503, {"error": "Model x is currently loading", "estimated_time": 0.05})
    p.say(p.headers.get("x-wait-for-model", "no field"))


case_loading_long = say_plain(503, {"error": "Model x is currently loading", "estimated_time": 20.0})


def case_not_cold(p):
    if p.json.get("temperature") == 0:
        return p.answer(422, {"error": "Input validation error: `temperature` must be strictly positive"})
    p.say(str(p.json.get("temperature")))


def case_no_space(p):
    p.begin()
    p.chunk(": ping\n\n")
    p.chunk('data:{"choices":[{"index":0,"delta":{"role":"assistant","content":"a"},"finish_reason":""}]}\n\n')
    p.chunk('data:{"choices":[{"index":0,"delta":{},"finish_reason":"eos"}]}\n\ndata:[DONE]\n\n')
    p.end()


CASES = {**fake.cases(vars(openai)), **fake.cases(globals())}


def chat(p, model):
    fake.count(p, model)
    try:
        check_chat(p)
    except Refusal as r:
        return p.answer(r.status, r.body)
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        return p.answer(422, {"error": f"malformed request: {e!r}"})
    CASES.get(model, openai.default)(p)


# ---- text generation -----------------------------------------------------------------------------------------------

def check_text(p):
    check_common(p)
    q = p.json
    n = q["parameters"]
    if set(q) - {"inputs", "parameters", "stream", "options"} or set(n) - PARAMETERS:
        raise Refusal(422, {"error": "Input validation error: unknown field", "error_type": "validation"})
    for field, good in (("temperature", lambda x: x > 0), ("top_p", lambda x: 0 < x < 1), ("top_k", lambda x: x > 0),
                        ("max_new_tokens", lambda x: x > 0), ("repetition_penalty", lambda x: x > 0)):
        if field in n and not good(n[field]):
            raise Refusal(422, {"error": f"Input validation error: `{field}`", "error_type": "validation"})
    if not re.fullmatch(r"(System: .*?\n\n)?((User|Assistant|Tool): .*\n)+Assistant:( \S.*)?", q["inputs"], re.S):
        raise Refusal(422, {"error": "Input validation error: the prompt", "error_type": "validation"})
    if "\nUser:" not in n["stop"] or n["return_full_text"] is not False:
        raise Refusal(422, {"error": "Input validation error: `stop`", "error_type": "validation"})


def token(p, text, special=False, **last):
    p.index = getattr(p, "index", 0) + 1
    p.chunk("data:" + json.dumps({"index": p.index, "token": {"id": 7, "text": text, "logprob": -0.1, "special": special},
                                  "generated_text": None, "details": None, **last}) + "\n\n")


def generate(p, pieces, reason="eos_token", last=("</s>", True)):
    """Streamed or whole, as asked for."""
    text = "".join(pieces)
    details = {"finish_reason": reason, "generated_tokens": len(pieces), "seed": None}
    if not p.stream_asked:
        return p.answer(200, [{"generated_text": text, "details": details}])
    p.begin()
    for piece in pieces:
        token(p, piece)
    token(p, *last, generated_text=text, details=details)
    p.end()


def text_length(p): generate(p, [" a", " b"], "length", (" c", False))
def text_request(p): generate(p, [json.dumps(p.json, sort_keys=True)])
def text_path(p): generate(p, [p.path])
def text_turn(p): generate(p, [" fine", "\nUs", "er: and", " you?"], "stop_sequence")
def text_almost(p): generate(p, [" one\nUs", "ers", " two\nU"])
def text_full(p): p.answer(200, [{"generated_text": p.json["inputs"] + " after the prompt"}])
def text_object(p): p.answer(200, {"generated_text": "one", "details": {"finish_reason": "length", "generated_tokens": 1}})
def text_nothing(p): p.answer(200, [{}])
def text_context(p): p.answer(422, {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096",
                                    "error_type": "validation"})
def text_overloaded(p): p.answer(429, {"error": "Model is overloaded", "error_type": "overloaded"})
def text_failed(p): p.answer(424, {"error": "Request failed during generation", "error_type": "generation"})


def text_error_mid(p):
    p.begin()
    token(p, " some")
    p.chunk('data:{"error":"Request failed during generation","error_type":"generation"}\n\n')
    p.end()


def text_eof(p):
    p.begin()
    token(p, " some")
    p.end()


def text(p, stream):
    try:
        check_text(p)
    except Refusal as r:
        return p.answer(r.status, r.body)
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        return p.answer(422, {"error": f"malformed request: {e!r}", "error_type": "validation"})
    p.stream_asked = stream
    said = re.findall(r"User: (.*?)\n(?=User:|Assistant:|Tool:)", p.json["inputs"], re.S)[-1]
    name = re.search(r"\[([a-z-]+)\]$", said)
    case = name and globals().get("text_" + name[1].replace("-", "_"))
    if case:
        return case(p)
    generate(p, [" "] + [said[i:i + 3] for i in range(0, len(said), 3)])


# ---- the server ----------------------------------------------------------------------------------------------------

def models(p):
    data = [{"id": i, "object": "model", "created": 1, "owned_by": "x", "providers": [{"provider": "groq", "status": "live"}]}
            for i in [*CASES, "google/gemma-2b-it"]]
    p.answer(200, {"object": "list", "data": data})


def features(p):
    """A vector of a text: its length and 0.5; a model named tokens-* gives one for each letter."""
    if ARGS.key and p.headers.get("authorization") != "Bearer " + ARGS.key:
        return p.answer(401, {"error": "Invalid credentials in Authorization header"})
    if list(p.json) != ["inputs"] or not all(isinstance(x, str) for x in p.json["inputs"]):
        return p.answer(400, {"error": "inputs: expected a list of strings"})
    if "/tokens-" in p.path:
        return p.answer(200, [[[1, 0.5] for _ in text] for text in p.json["inputs"]])
    p.answer(200, [[len(text), 0.5] for text in p.json["inputs"]])


def route(p):
    path = p.path.split("?")[0]
    if path.startswith("/old/"):
        return p.answer(410, {"error": "https://api-inference.huggingface.co is no longer supported. Please use "
                              "https://router.huggingface.co instead."})
    if p.method == "GET" and path == "/v1/models":
        return models(p)
    if p.method == "POST":
        if path in ("/v1/chat/completions", "/endpoint/v1/chat/completions"):
            return chat(p, p.json.get("model", ""))
        one = re.fullmatch(r"/hf-inference/models/([^/]+/)?([^/]+)/v1/chat/completions", path)
        if one:
            return chat(p, one[2])
        if path in ("/v1/embeddings", "/endpoint/v1/embeddings"):
            return openai.embeddings(p)
        if re.fullmatch(r"/hf-inference/models/([^/]+/)?[^/]+/pipeline/feature-extraction", path):
            return features(p)
        if path == "/generate_stream" and not ARGS.no_stream:
            return text(p, True)
        if path == "/generate":
            return text(p, False)
        if re.fullmatch(r"/models/[^/]+/[^/]+", path):
            return text(p, bool(p.json.get("stream")))
    p.answer(404, "Not Found", "text/plain")


def options(parser):
    parser.add_argument("--official", action="store_true", help="OpenAI's own rules")
    parser.add_argument("--no-count", action="store_true", help="no call that counts tokens")
    parser.add_argument("--no-stream", action="store_true", help="a TGI without /generate_stream")


if __name__ == "__main__":
    fake.run(__doc__, openai.Peer, route, options)
