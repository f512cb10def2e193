"""Every way in times every way out (issue 6 item 4): a conversation that one API takes and another one's provider is sent
comes out as it went in, but for what the two cannot say.

A second Sema is the provider: it serves the upstream's API and tells what it read, so that each pair is a client's body ->
reader -> neutral form -> writer -> the other API's reader.  Cases are random; a failure names its seed:
    python3 tests/scenario/pairs.py          PAIRS_SEED=7 PAIRS_CASES=1 for one"""
import contextlib
import random

from harness import *

CASES_OF_A_PAIR = int(os.environ.get("PAIRS_CASES", 40))
FIRST_SEED = int(os.environ.get("PAIRS_SEED", 1))
PNG = "data:image/png;base64,iVBORw0KGgo="

# What a form of requests cannot say: gone on this side of the table, by the contract.  `images`: those of a tool's result
# may stand in a message of the user's behind them; that is no loss, see canon().
LOSSES = {
    "chat": {"error", "reasoning"},
    "responses": {"error", "reasoning", "stops", "seed", "top_k", "presence_penalty", "frequency_penalty", "user"},
    "messages": {"seed", "presence_penalty", "frequency_penalty", "strict", "schema_name"},
    "google": {"ids", "names", "reasoning", "parallel_tool_calls", "strict", "schema_name", "user"},
    "ollama": {"ids", "error", "reasoning", "tool_choice", "parallel_tool_calls", "strict", "schema_name", "user"},
}
WORDS = ["plain", "naïve café", "漢字", "🙂 surrogate", "a\"quote\\", "tab\tline\nend", "\u2028sep", "<tag> & ' %", "0", " leading", "é" * 5]


class Raw:
    """JSON text that goes into a body as it stands: number literals survive."""

    def __init__(self):
        self.texts = []

    def put(self, text):
        self.texts.append(text)
        return f"@@{len(self.texts) - 1}@@"

    def dump(self, value):
        text = json.dumps(value)
        for i, raw in enumerate(self.texts):
            text = text.replace(f'"@@{i}@@"', raw)
        return text


# ---- a conversation ----

def args_of(r):
    fields = [f'"id":{r.choice(["1234567890123456789", "-9007199254740993", "7"])}', f'"x":{r.choice(["1.10", "1e3", "0.30000000000000004"])}',
              f'"s":{json.dumps(r.choice(WORDS))}', '"list":[1,2.50,null,true]', '"o":{"deep":{"n":1.0}}']
    blank = r.choice(["", "", "\n  "])  # some models write their arguments over several lines
    return "{" + ("," + blank).join(r.sample(fields, r.randint(0, len(fields)))) + blank + "}"


def make(r):
    """The neutral form, as data."""
    tools = [{"name": n, "description": r.choice(WORDS), "parameters": '{"type":"object","properties":{"x":{"type":"number","minimum":1.10}}}',
              "strict": r.random() < 0.2} for n in ("alpha", "beta_2", "g-3")[:r.randint(0, 3)]]
    q = {"system": [r.choice(WORDS) for _ in range(r.choice([0, 1, 1, 2]))], "turns": [], "tools": tools}
    calls = 0
    for turn in range(r.randint(1, 4)):
        q["turns"].append({"user": r.choice(WORDS) + str(turn), "images": [PNG] * r.choice([0, 0, 0, 1, 2])})
        for _ in range(r.choice([0, 1, 1, 2]) if tools else 0):
            made = []
            for _ in range(r.randint(1, 3)):
                calls += 1
                made.append({"id": f"call_{calls}", "name": r.choice(tools)["name"], "args": args_of(r), "result": r.choice(WORDS),
                             "error": r.random() < 0.2, "image": r.random() < 0.15})
            q["turns"].append({"say": r.choice(["", "Let me see."]), "calls": made, "thought": r.random() < 0.3})
        q["turns"].append({"say": r.choice(WORDS) + "!", "calls": []})
    if r.random() < 0.8 or not q["turns"][-2].get("calls"):
        q["turns"].append({"user": "and " + r.choice(WORDS), "images": []})
    else:
        q["turns"].pop()  # ends with results
    if tools and r.random() < 0.5:
        q["tool_choice"] = r.choice(["auto", "none", "required", tools[0]["name"]])
    if tools and q.get("tool_choice") != "none" and r.random() < 0.3:
        q["parallel_tool_calls"] = 0
    if r.random() < 0.2:
        q["schema"], q["schema_name"] = '{"type":"object","properties":{"n":{"type":"number","maximum":2.50}},"required":["n"]}', "answer"
    for field, values in (("temperature", [0.25, 1]), ("top_k", [5]), ("presence_penalty", [-0.5]), ("frequency_penalty", [0.5]),
                          ("seed", [42]), ("user", ["someone"])):
        if r.random() < 0.3:
            q[field] = r.choice(values)
    if "temperature" not in q and r.random() < 0.3:
        q["top_p"] = 0.5
    q["stops"] = r.choice([[], [], ["END"], ["END", "STOP"]])
    q["max_tokens"] = r.randint(1, 3000)
    return q


def canon(q, lost):
    """What is compared: the talk in its order, images apart, the fields."""
    choice = q.get("tool_choice")
    talk, images, number = [], [], {}
    for t in q["turns"]:
        if "user" in t:
            talk += [("user", t["user"])] if t["user"] is not None else []
            images += t["images"]
            continue
        if t["say"]:
            talk.append(("assistant", t["say"]))
        for c in t["calls"]:
            talk.append(("call", c["name"], numbers(c["args"])) + (() if "ids" in lost else (c["id"],)))
        for i, c in enumerate(t["calls"]):
            talk.append(("result", i, c["result"]) + (() if "error" in lost else (c["error"],)))
            images += [PNG] * c["image"]
    fields = {k: q[k] for k in ("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "seed", "user", "stops",
                                "tool_choice", "parallel_tool_calls", "schema_name", "max_tokens") if k in q and k not in lost}
    if fields.get("tool_choice") == "auto":
        del fields["tool_choice"]  # what is meant without one
    if "names" in lost and "tool_choice" not in lost and choice not in (None, "auto", "none", "required"):  # one name allowed: Google's form has lists
        q = {**q, "tools": [t for t in q["tools"] if t["name"] == choice]}
    tools = [(t["name"], t["description"], numbers(t["parameters"])) + (() if "strict" in lost else (t["strict"],)) for t in q["tools"]]
    return {"system": "\n\n".join(q["system"]), "talk": talk, "images": images, "tools": tools, "schema": numbers(q.get("schema")), **fields}


def numbers(text):
    return text and json.loads(text, parse_int=lambda n: "#" + n, parse_float=lambda n: "#" + n)


# ---- the five ways in ----

def schema_of(q, raw):
    return raw.put(q["schema"])


def chat(q, raw):
    out = [{"role": "system", "content": s} for s in q["system"]]
    for t in q["turns"]:
        if "user" in t:
            out.append({"role": "user", "content": [{"type": "text", "text": t["user"]},
                                                    *({"type": "image_url", "image_url": {"url": i}} for i in t["images"])] if t["images"] else t["user"]})
            continue
        m = {"role": "assistant", "content": t["say"] or None}
        if t["calls"]:
            m["tool_calls"] = [{"id": c["id"], "type": "function", "function": {"name": c["name"], "arguments": c["args"]}} for c in t["calls"]]
        out.append(m)
        for c in t["calls"]:
            text = {"type": "text", "text": c["result"]}
            out.append({"role": "tool", "tool_call_id": c["id"],
                        "content": [text, {"type": "image_url", "image_url": {"url": PNG}}] if c["image"] else c["result"]})
    body = {"model": "sema", "messages": out, "max_tokens": q["max_tokens"]}
    if q["tools"]:
        body["tools"] = [{"type": "function", "function": {"name": x["name"], "description": x["description"], "parameters": raw.put(x["parameters"]),
                                                           **({"strict": True} if x["strict"] else {})}} for x in q["tools"]]
    if "tool_choice" in q:
        c = q["tool_choice"]
        body["tool_choice"] = c if c in ("auto", "none", "required") else {"type": "function", "function": {"name": c}}
    if "parallel_tool_calls" in q:
        body["parallel_tool_calls"] = False
    if "schema" in q:
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": q["schema_name"], "schema": schema_of(q, raw)}}
    if q["stops"]:
        body["stop"] = q["stops"]
    body.update({k: q[k] for k in ("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "seed", "user") if k in q})
    return "/v1/chat/completions", body


def responses(q, raw):
    out = [{"role": "system", "content": s} for s in q["system"]]
    for t in q["turns"]:
        if "user" in t:
            out.append({"role": "user", "content": [{"type": "input_text", "text": t["user"]},
                                                    *({"type": "input_image", "image_url": i} for i in t["images"])]})
            continue
        if t["say"]:
            out.append({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": t["say"]}]})
        out += [{"type": "function_call", "call_id": c["id"], "name": c["name"], "arguments": c["args"]} for c in t["calls"]]
        for c in t["calls"]:
            text = {"type": "input_text", "text": c["result"]}
            out.append({"type": "function_call_output", "call_id": c["id"],
                        "output": [text, {"type": "input_image", "image_url": PNG}] if c["image"] else c["result"]})
    body = {"model": "sema", "input": out, "max_output_tokens": q["max_tokens"]}
    if q["tools"]:
        body["tools"] = [{"type": "function", "name": x["name"], "description": x["description"], "parameters": raw.put(x["parameters"]),
                          "strict": x["strict"]} for x in q["tools"]]
    if "tool_choice" in q:
        c = q["tool_choice"]
        body["tool_choice"] = c if c in ("auto", "none", "required") else {"type": "function", "name": c}
    if "parallel_tool_calls" in q:
        body["parallel_tool_calls"] = False
    if "schema" in q:
        body["text"] = {"format": {"type": "json_schema", "name": q["schema_name"], "schema": schema_of(q, raw), "strict": False}}
    body.update({k: q[k] for k in ("temperature", "top_p", "user") if k in q})
    return "/v1/responses", body


def image_block(uri):
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": uri.partition(",")[2]}}


def messages(q, raw):
    out, results = [], []
    for t in q["turns"]:
        if "user" in t:
            out.append({"role": "user", "content": [*results, {"type": "text", "text": t["user"]}, *(image_block(i) for i in t["images"])]})
            results = []
            continue
        if results:
            out.append({"role": "user", "content": results})
        out.append({"role": "assistant", "content": ([{"type": "text", "text": t["say"]}] if t["say"] else []) + [
            {"type": "tool_use", "id": c["id"], "name": c["name"], "input": raw.put(c["args"])} for c in t["calls"]]})
        results = [{"type": "tool_result", "tool_use_id": c["id"], **({"is_error": True} if c["error"] else {}),
                    "content": [{"type": "text", "text": c["result"]}, *([image_block(PNG)] if c["image"] else [])]} for c in t["calls"]]
    if results:
        out.append({"role": "user", "content": results})
    body = {"model": "sema", "messages": out, "max_tokens": q["max_tokens"]}
    if q["system"]:
        body["system"] = [{"type": "text", "text": s} for s in q["system"]]
    if q["tools"]:
        body["tools"] = [{"name": x["name"], "description": x["description"], "input_schema": raw.put(x["parameters"])} for x in q["tools"]]
    if "tool_choice" in q or "parallel_tool_calls" in q:
        c = q.get("tool_choice", "auto")
        body["tool_choice"] = {"type": {"required": "any"}.get(c, c)} if c in ("auto", "none", "required") else {"type": "tool", "name": c}
        if "parallel_tool_calls" in q and c != "none":
            body["tool_choice"]["disable_parallel_tool_use"] = True
    if "schema" in q:
        body["output_config"] = {"format": {"type": "json_schema", "schema": schema_of(q, raw)}}
    if q["stops"]:
        body["stop_sequences"] = q["stops"]
    if "user" in q:
        body["metadata"] = {"user_id": q["user"]}
    body.update({k: q[k] for k in ("temperature", "top_p", "top_k") if k in q})
    return "/v1/messages", body


def google(q, raw):
    out = []

    def say(role, parts):
        if out and out[-1]["role"] == role:
            out[-1]["parts"] += parts
        else:
            out.append({"role": role, "parts": parts})

    blob = {"inlineData": {"mimeType": "image/png", "data": PNG.partition(",")[2]}}
    for t in q["turns"]:
        if "user" in t:
            say("user", [{"text": t["user"]}] + [blob] * len(t["images"]))
            continue
        say("model", ([{"text": t["say"]}] if t["say"] else []) + [{"functionCall": {"name": c["name"], "args": raw.put(c["args"])}} for c in t["calls"]])
        if t["calls"]:
            say("user", [{"functionResponse": {"name": c["name"], "response": {"error" if c["error"] else "output": c["result"]}}} for c in t["calls"]] +
                [blob for c in t["calls"] if c["image"]])
    config = {"maxOutputTokens": q["max_tokens"]}
    body = {"contents": out, "generationConfig": config}
    if q["system"]:
        body["systemInstruction"] = {"parts": [{"text": "\n\n".join(q["system"])}]}
    if q["tools"]:
        body["tools"] = [{"functionDeclarations": [{"name": x["name"], "description": x["description"], "parametersJsonSchema": raw.put(x["parameters"])}
                                                   for x in q["tools"]]}]
    if "tool_choice" in q:
        c = q["tool_choice"]
        mode = {"auto": "AUTO", "none": "NONE", "required": "ANY"}.get(c)
        body["toolConfig"] = {"functionCallingConfig": {"mode": mode} if mode else {"mode": "ANY", "allowedFunctionNames": [c]}}
    if "schema" in q:
        config.update(responseMimeType="application/json", responseJsonSchema=schema_of(q, raw))
    if q["stops"]:
        config["stopSequences"] = q["stops"]
    for key, name in (("temperature", "temperature"), ("top_p", "topP"), ("top_k", "topK"), ("seed", "seed"),
                      ("presence_penalty", "presencePenalty"), ("frequency_penalty", "frequencyPenalty")):
        if key in q:
            config[name] = q[key]
    return "/v1beta/models/sema:generateContent", body


def ollama(q, raw):
    out = [{"role": "system", "content": s} for s in q["system"]]
    for t in q["turns"]:
        if "user" in t:
            out.append({"role": "user", "content": t["user"], **({"images": [i.partition(",")[2] for i in t["images"]]} if t["images"] else {})})
            continue
        out.append({"role": "assistant", "content": t["say"],
                    **({"tool_calls": [{"function": {"name": c["name"], "arguments": raw.put(c["args"])}} for c in t["calls"]]} if t["calls"] else {})})
        for c in t["calls"]:
            out.append({"role": "tool", "tool_name": c["name"], "content": c["result"],
                        **({"images": [PNG.partition(",")[2]]} if c["image"] else {})})
    options = {"num_predict": q["max_tokens"]}
    body = {"model": "sema", "messages": out, "options": options, "stream": False}
    if q["tools"]:
        body["tools"] = [{"type": "function", "function": {"name": x["name"], "description": x["description"], "parameters": raw.put(x["parameters"])}}
                         for x in q["tools"]]
    if "schema" in q:
        body["format"] = schema_of(q, raw)
    if q["stops"]:
        options["stop"] = q["stops"]
    options.update({k: q[k] for k in ("temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty") if k in q})
    return "/api/chat", body


WAYS_IN = {"chat": chat, "responses": responses, "messages": messages, "google": google, "ollama": ollama}


# ---- what arrived ----

def answer_text(way, r):
    j = r.json()
    if way == "chat":
        return j["choices"][0]["message"]["content"]
    if way == "responses":
        return next(i for i in j["output"] if i["type"] == "message")["content"][0]["text"]
    if way == "messages":
        return next(b for b in j["content"] if b["type"] == "text")["text"]
    if way == "google":
        return "".join(p["text"] for p in j["candidates"][0]["content"]["parts"])
    return j["message"]["content"]


def arrived(echo):
    """The echo of the second Sema as make() writes it."""
    q = {"system": [], "turns": [], "tools": [], "stops": echo["stops"]}
    rounds = []
    for m in echo["messages"]:
        texts = [p["text"] for p in m["parts"] if "text" in p]
        images = [p["image"] for p in m["parts"] if "image" in p]
        if m["role"] == "system":
            q["system"] += texts
        elif m["role"] == "user":
            if not texts:  # images of results
                q["turns"].append({"user": None, "images": images})
            for i, text in enumerate(texts):
                q["turns"].append({"user": text, "images": images if i == 0 else []})
        elif m["role"] == "assistant":
            calls = [{"id": p["id"], "name": p["call"], "args": p["args"], "error": False, "image": False, "result": None} for p in m["parts"] if "call" in p]
            rounds = calls
            q["turns"].append({"say": "".join(texts), "calls": calls})
        else:
            of = next(c for c in rounds if c["id"] == m["of"] and c["result"] is None)
            of.update(result="".join(texts), error=m.get("error", False), image=len(images))
    for t in echo["tools"]:
        q["tools"].append({"name": t["name"], "description": t.get("description", ""), "parameters": t["parameters"], "strict": t.get("strict", False)})
    q.update({k: echo[k] for k in ("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "seed", "user", "tool_choice",
                                   "parallel_tool_calls", "schema", "schema_name", "max_tokens") if k in echo})
    return q


@contextlib.contextmanager
def provider(script):
    """The second Sema; its model has a name that Anthropic's writer knows as one that takes schemas and sampling."""
    with tempfile.TemporaryDirectory(prefix="sema-test-") as folder:
        path = os.path.join(folder, "my-claude-opus-4-5")
        with open(path, "w", encoding="utf-8") as f:
            f.writelines(json.dumps(line) + "\n" for line in script)
        with Server(folder=folder, MODEL_NAME=path) as s:
            yield s


def ways_out(inner):
    base = f"http://127.0.0.1:{inner.port}"
    more = {"PROVIDER_RETRIES": "0", "PROVIDER_BREAKER_FAILURES": "0"}
    return {
        "chat": {"MODEL_TYPE": "openai", "MODEL_NAME": "default", "OPENAI_BASE_URL": base + "/v1", **more},
        "responses": {"MODEL_TYPE": "openai", "MODEL_NAME": "default", "OPENAI_BASE_URL": base + "/v1/responses", **more},
        "messages": {"MODEL_TYPE": "anthropic", "MODEL_NAME": "my-claude-opus-4-5", "ANTHROPIC_BASE_URL": base, "ANTHROPIC_API_KEY": "k", **more},
        "google": {"MODEL_TYPE": "google", "MODEL_NAME": "default", "GOOGLE_GEMINI_BASE_URL": base, "GOOGLE_API_KEY": "k", **more},
    }


def difference(got, want):
    return "\n".join(f"  {k}\n    got  {got.get(k)!r}\n    want {want.get(k)!r}" for k in {**got, **want} if got.get(k) != want.get(k))


def check_pair(t, outer, way_in, way_out):
    lost = LOSSES[way_in] | LOSSES[way_out]
    for seed in range(FIRST_SEED, FIRST_SEED + CASES_OF_A_PAIR):
        q, raw = make(random.Random(seed)), Raw()
        path, body = WAYS_IN[way_in](q, raw)
        r = outer.post(path, raw.dump(body))
        if r.status != 200:
            raise Failed(f"seed {seed}: {r!r}\n{raw.dump(body)}")
        got, want = canon(arrived(json.loads(answer_text(way_in, r))), lost), canon(q, lost)
        if got != want:
            raise Failed(f"seed {seed}:\n{difference(got, want)}")


# ---- answers ----

# What an answer's form cannot say.  Google's and Ollama's have no ids, and a call of theirs is whole; MESSAGES: thinking is
# shown to who asked for it.
ANSWER_LOSSES = {"google": {"ids"}, "ollama": {"ids", "cached"}}
FINISH = {"chat": {}, "responses": {}, "messages": {"end_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls", "refusal": "content_filter"},
          "google": {"STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "content_filter"}, "ollama": {}}


def make_answer(r, i):
    """A line of the script."""
    pieces = [{"reasoning": r.choice(WORDS)} for _ in range(r.choice([0, 0, 1, 3]))]
    pieces += [r.choice(WORDS) for _ in range(r.choice([0, 1, 2, 5]))]
    calls = r.choice([0, 0, 1, 2])
    for n in range(calls):
        args = args_of(r)
        cut = r.randint(0, len(args))
        pieces.append({"tool": {"id": f"call_{i}x{n}", "name": r.choice(["alpha", "beta_2"]), "args": [args[:cut], args[cut:]]}})
    if not pieces:
        pieces = ["so"]
    prompt = r.randint(10, 999)
    return {"when": f"case {i}.", "pieces": pieces, "finish": "tool_calls" if calls else r.choice(["stop", "stop", "length"]),
            "usage": {"prompt": prompt, "completion": r.randint(1, 99), "cached": r.randint(0, prompt)}}


def expected(line, lost):
    said = [p for p in line["pieces"] if isinstance(p, str)]
    calls = [p["tool"] for p in line["pieces"] if isinstance(p, dict) and "tool" in p]
    u = line["usage"]
    return {"text": "".join(said), "reasoning": "".join(p["reasoning"] for p in line["pieces"] if isinstance(p, dict) and "reasoning" in p),
            "calls": [(c["name"], numbers("".join(c["args"]))) + (() if "ids" in lost else (c["id"],)) for c in calls],
            "finish": line["finish"], "usage": (u["prompt"], u["completion"]) + (() if "cached" in lost else (u["cached"],))}


def said(lost, text, reasoning, calls, finish, usage):
    """`calls`: id, name, arguments as text."""
    return {"text": text or "", "reasoning": reasoning or "", "usage": tuple(usage[:2 if "cached" in lost else 3]), "finish": finish,
            "calls": [(name, numbers(args)) + (() if "ids" in lost else (id.replace("toolu_", "call_"),)) for id, name, args in calls]}


def events_of(text):
    for block in text.replace("\r\n", "\n").split("\n\n"):
        data = "".join(line[6:] for line in block.split("\n") if line.startswith("data: "))
        if data and data != "[DONE]":
            yield json.loads(data, parse_float=Number, parse_int=Number)


class Number(str):
    """A literal as it was written."""


def dumped(value):
    """An object's JSON text with its literals as they were."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(json.dumps(k) + ":" + dumped(v) for k, v in value.items()) + "}"
    return "[" + ",".join(map(dumped, value)) + "]" if isinstance(value, list) else json.dumps(value)


def exact(text):
    return json.loads(text, parse_float=Number, parse_int=Number)


def read_chat(r, stream, lost):
    if not stream:
        j = exact(r.text)
        m, u, finish = j["choices"][0]["message"], j["usage"], j["choices"][0]["finish_reason"]
        calls = [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in m.get("tool_calls", [])]
        text, reasoning = m["content"], m.get("reasoning_content")
    else:
        text = reasoning = ""
        found, finish, u = {}, None, None
        for e in events_of(r.text):
            u = e.get("usage") or u
            for c in e["choices"]:
                d = c["delta"]
                text += d.get("content") or ""
                reasoning += d.get("reasoning_content") or ""
                finish = c["finish_reason"] or finish
                for k in d.get("tool_calls", []):
                    at = found.setdefault(k["index"], [k.get("id"), k["function"].get("name"), ""])
                    at[2] += k["function"]["arguments"]
        calls = list(found.values())
    return said(lost, text, reasoning, calls, finish, [int(u["prompt_tokens"]), int(u["completion_tokens"]), int(u["prompt_tokens_details"]["cached_tokens"])])


def read_responses(r, stream, lost):
    j = exact(r.text) if not stream else [e["response"] for e in events_of(r.text) if e["type"] in ("response.completed", "response.incomplete")][0]
    text = "".join(c["text"] for i in j["output"] if i["type"] == "message" for c in i["content"])
    reasoning = "".join(c["text"] for i in j["output"] if i["type"] == "reasoning" for c in i["summary"])
    calls = [(i["call_id"], i["name"], i["arguments"]) for i in j["output"] if i["type"] == "function_call"]
    if stream:
        deltas = "".join(e["delta"] for e in events_of(r.text) if e["type"] == "response.output_text.delta")
        if deltas != text:
            raise Failed(f"deltas {deltas!r}, whole {text!r}")
    u, finish = j["usage"], "length" if j["status"] == "incomplete" else "tool_calls" if calls else "stop"
    return said(lost, text, reasoning, calls, finish, [int(u["input_tokens"]), int(u["output_tokens"]), int(u["input_tokens_details"]["cached_tokens"])])


def read_messages(r, stream, lost):
    if not stream:
        j = exact(r.text)
        blocks, u, reason = j["content"], j["usage"], j["stop_reason"]
        blocks = [{**b, "input": dumped(b["input"])} if b["type"] == "tool_use" else b for b in blocks]
    else:
        blocks, u, reason = [], None, None
        for e in events_of(r.text):
            if e["type"] == "content_block_start":
                blocks.append({**e["content_block"], "input": ""})
            elif e["type"] == "content_block_delta":
                for field, to in (("text", "text"), ("thinking", "thinking"), ("partial_json", "input")):
                    if field in e["delta"]:
                        blocks[int(e["index"])][to] += e["delta"][field]
            elif e["type"] == "message_delta":
                u, reason = e["usage"], e["delta"]["stop_reason"]
    text, thinking = ("".join(b[k] for b in blocks if b["type"] == k) for k in ("text", "thinking"))
    calls = [(b["id"], b["name"], b["input"] or "{}") for b in blocks if b["type"] == "tool_use"]
    read = int(u["cache_read_input_tokens"])
    return said(lost, text, thinking, calls, FINISH["messages"][reason], [int(u["input_tokens"]) + read, int(u["output_tokens"]), read])


def read_google(r, stream, lost):
    all = list(events_of(r.text)) if stream else [exact(r.text)]
    parts = [p for e in all for c in e.get("candidates", []) for p in c.get("content", {}).get("parts", [])]
    calls = [("", p["functionCall"]["name"], dumped(p["functionCall"]["args"])) for p in parts if "functionCall" in p]
    u = [e["usageMetadata"] for e in all if "usageMetadata" in e][-1]
    reason = [c["finishReason"] for e in all for c in e.get("candidates", []) if "finishReason" in c][-1]
    text, thoughts = ("".join(p.get("text", "") for p in parts if bool(p.get("thought")) is t) for t in (False, True))
    finish = "tool_calls" if calls and reason == "STOP" else FINISH["google"][reason]
    return said(lost, text, thoughts, calls, finish, [int(u["promptTokenCount"]), int(u["candidatesTokenCount"]) + int(u.get("thoughtsTokenCount", 0)),
                                                      int(u.get("cachedContentTokenCount", 0))])


def read_ollama(r, stream, lost):
    all = [exact(line) for line in r.text.splitlines()] if stream else [exact(r.text)]
    calls = [("", c["function"]["name"], dumped(c["function"]["arguments"])) for e in all for c in e["message"].get("tool_calls", [])]
    text, thinking = ("".join(e["message"].get(k, "") for e in all) for k in ("content", "thinking"))
    finish = all[-1]["done_reason"]
    return said(lost, text, thinking, calls, "tool_calls" if calls else finish, [int(all[-1]["prompt_eval_count"]), int(all[-1]["eval_count"])])


READERS = {"chat": read_chat, "responses": read_responses, "messages": read_messages, "google": read_google, "ollama": read_ollama}
ASK = {"chat": ("/v1/chat/completions", {"stream_options": {"include_usage": True}, "reasoning_effort": "medium"}),
       "responses": ("/v1/responses", {"reasoning": {"effort": "medium"}}),
       "messages": ("/v1/messages", {"max_tokens": 999, "thinking": {"type": "adaptive"}}),
       "google": ("/v1beta/models/sema:", {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}), "ollama": ("/api/chat", {"think": True})}


def question(way, text, stream):
    path, more = ASK[way]
    if way == "google":
        return path + ("streamGenerateContent?alt=sse" if stream else "generateContent"), {"contents": [{"parts": [{"text": text}]}], **more}
    said = "input" if way == "responses" else "messages"
    return path, {"model": "sema", said: [{"role": "user", "content": text}], "stream": stream, **more}


def check_answers(t, outer, way_in, way_out, lines):
    lost = ANSWER_LOSSES.get(way_in, set()) | ANSWER_LOSSES.get(way_out, set())
    for i, line in enumerate(lines):
        for stream in (False, True):
            path, body = question(way_in, line["when"], stream)
            r = outer.post(path, body)
            if r.status != 200:
                raise Failed(f"seed {FIRST_SEED + i}, stream {stream}: {r!r}")
            got, want = READERS[way_in](r, stream, lost), expected(line, lost)
            if got != want:
                raise Failed(f"seed {FIRST_SEED + i}, stream {stream}:\n{difference(got, want)}\n{r.text[:3000]}")


def add_cases():
    for way_out in ("chat", "responses", "messages", "google"):
        @case(f"every way in, out by {way_out}")
        def _(t, way_out=way_out):
            with provider([{"when": "*", "pieces": [{"echo": "all"}]}]) as inner, Server(**ways_out(inner)[way_out]) as outer:
                for way_in in WAYS_IN:
                    try:
                        check_pair(t, outer, way_in, way_out)
                    except Failed as e:
                        raise Failed(f"{way_in} -> {way_out}: {e}") from e


    for way_out in ("chat", "responses", "messages", "google"):
        @case(f"answers: out by {way_out}, back to each")
        def _(t, way_out=way_out):
            lines = [make_answer(random.Random(FIRST_SEED + i), i) for i in range(CASES_OF_A_PAIR // 2 or 1)]
            with provider(lines) as inner, Server(**ways_out(inner)[way_out]) as outer:
                for way_in in WAYS_IN:
                    try:
                        check_answers(t, outer, way_in, way_out, lines)
                    except Failed as e:
                        raise Failed(f"{way_out} -> {way_in}: {e}") from e


add_cases()

if __name__ == "__main__":
    main()
