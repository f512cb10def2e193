"""OpenAI's Responses API upstream, through the whole program: every client's API over it, whole and streamed, tools with
reasoning that stays encrypted between turns, and field case T6 (providers.md section 4)."""
from harness import *

TOOL = {"name": "f", "description": "", "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}}}
CHAT_TOOLS = [{"type": "function", "function": TOOL}]
MESSAGES_TOOLS = [{"name": "f", "input_schema": TOOL["parameters"]}]
RESPONSES_TOOLS = [{"type": "function", **TOOL}]
INCLUDE = {"include": ["reasoning.encrypted_content"]}


def over(f, model, end="/v1/responses", **more):
    """The address names the API, so that every model of the fake is asked there."""
    return Server(MODEL_TYPE="openai", MODEL_NAME=model, OPENAI_BASE_URL=f.url + end, OPENAI_API_KEY="k", PROVIDER_RETRIES="0",
                  **more)


def data(r):
    return [json.loads(line[6:]) for line in r.text.splitlines() if line.startswith("data: {")]


def user(text):
    return [{"role": "user", "content": text}]


class Chat:
    path, tools = "/v1/chat/completions", CHAT_TOOLS

    @staticmethod
    def ask(s, messages, stream, **fields):
        """(text, [(id, name, arguments)], finish, the answer as it goes back into the conversation)"""
        r = s.post(Chat.path, {"model": "sema", "messages": messages, "stream": stream, **fields}, timeout=30)
        if not stream:
            choice = r.json()["choices"][0]
            m = choice["message"]
            calls = [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in m.get("tool_calls", [])]
            return m["content"] or "", calls, choice["finish_reason"], [m]
        text, calls, finish = "", [], None
        for c in [x["choices"][0] for x in data(r) if x["choices"]]:
            text += c["delta"].get("content") or ""
            finish = c["finish_reason"] or finish
            for call in c["delta"].get("tool_calls", []):
                if "id" in call:
                    calls.append([call["id"], call["function"]["name"], ""])
                    if call["index"] != len(calls) - 1:
                        raise Failed(f"call {len(calls)} has the index {call['index']}")
                calls[call["index"]][2] += call["function"].get("arguments", "")
        back = {"role": "assistant", "content": text or None}
        if calls:
            back["tool_calls"] = [{"id": i, "type": "function", "function": {"name": n, "arguments": a}} for i, n, a in calls]
        return text, [tuple(c) for c in calls], finish, [back]

    @staticmethod
    def result(id, text):
        return [{"role": "tool", "tool_call_id": id, "content": text}]


class Messages:
    path, tools = "/v1/messages", MESSAGES_TOOLS

    @staticmethod
    def ask(s, messages, stream, **fields):
        r = s.post(Messages.path, {"model": "sema", "max_tokens": 2000, "messages": messages, "stream": stream,
                                   "thinking": {"type": "enabled", "budget_tokens": 1024}, **fields},
                   {"anthropic-version": "2023-06-01"}, timeout=30)
        if stream:
            blocks, finish = [], None
            for e in data(r):
                if e["type"] == "content_block_start":
                    blocks.append({**e["content_block"], "json": ""})
                elif e["type"] == "content_block_delta":
                    for k, v in e["delta"].items():
                        if k != "type":
                            blocks[e["index"]]["json" if k == "partial_json" else k] += v
                elif e["type"] == "message_delta":
                    finish = e["delta"]["stop_reason"]
            for b in blocks:
                given = b.pop("json")
                if b["type"] == "tool_use":
                    b["input"] = json.loads(given or "{}")
        else:
            blocks, finish = r.json()["content"], r.json()["stop_reason"]
        text = "".join(b["text"] for b in blocks if b["type"] == "text")
        calls = [(b["id"], b["name"], json.dumps(b["input"], separators=(",", ":"))) for b in blocks if b["type"] == "tool_use"]
        return text, calls, finish, [{"role": "assistant", "content": blocks}]

    @staticmethod
    def result(id, text):
        return [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": text}]}]


class Responses:
    path, tools = "/v1/responses", RESPONSES_TOOLS

    @staticmethod
    def ask(s, messages, stream, **fields):
        r = s.post(Responses.path, {"model": "sema", "input": messages, "stream": stream, "store": False, **INCLUDE, **fields},
                   timeout=30)
        if stream:
            events = data(r)
            last = events[-1]["response"]
            done = {e["output_index"]: e["item"] for e in events if e["type"] == "response.output_item.done"}
            if [done[n] for n in sorted(done)] != last["output"]:
                raise Failed(f"items as they ended and in the last event differ: {done} {last['output']}")
            for n, item in done.items():
                got = "".join(e["delta"] for e in events if e["type"] == "response.function_call_arguments.delta" and
                              (e["item_id"], e["output_index"]) == (item["id"], n))
                if item["type"] == "function_call" and got != item["arguments"]:
                    raise Failed(f"deltas {got} of {item}")
        else:
            last = r.json()
        output = last["output"]
        text = "".join(c["text"] for i in output if i["type"] == "message" for c in i["content"])
        calls = [(i["call_id"], i["name"], i["arguments"]) for i in output if i["type"] == "function_call"]
        return text, calls, last["status"], output

    @staticmethod
    def result(id, text):
        return [{"type": "function_call_output", "call_id": id, "output": text}]


class Gemini:
    path, tools = "/v1beta/models/sema", [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": TOOL["parameters"]}]}]

    @staticmethod
    def ask(s, messages, stream, **fields):
        messages = [{"role": "user", "parts": [{"text": m["content"]}]} if "content" in m else m for m in messages]
        r = s.post(Gemini.path + (":streamGenerateContent?alt=sse" if stream else ":generateContent"), {
            "contents": messages, "generationConfig": {"thinkingConfig": {"includeThoughts": True}}, **fields})
        chunks = data(r) if stream else [r.json()]
        parts = [p for c in chunks for p in c["candidates"][0]["content"].get("parts", [])]
        calls = [(p["functionCall"].get("id"), p["functionCall"]["name"], json.dumps(p["functionCall"]["args"], separators=(",", ":")))
                 for p in parts if "functionCall" in p]
        text = "".join(p.get("text", "") for p in parts if not p.get("thought"))
        return text, calls, chunks[-1]["candidates"][0].get("finishReason"), [{"role": "model", "parts": parts}]

    @staticmethod
    def result(id, text):
        return [{"role": "user", "parts": [{"functionResponse": {"id": id, "name": "f", "response": {"output": text}}}]}]


CLIENTS = (Chat, Messages, Responses)


@case("text, reasoning, usage and finish reach every client, whole and streamed")
def plain(t):
    with Fake("openai") as f:
        with over(f, "hello") as s:
            t.equal(s.chat("hi").json()["message"], "Hello!")
            text = "".join(e.json()["content"] for e in s.sse("hi", "s2").events() if e.type == "chunk")
            t.equal(text, "Hello!")
            for client in CLIENTS:
                for stream in (False, True):
                    t.equal(client.ask(s, user("hi"), stream)[0], "Hello!", client.path)
            u = s.post("/v1/chat/completions", {"model": "sema", "messages": user("hi")}).json()["usage"]
            t.equal((u["prompt_tokens"], u["completion_tokens"], u["total_tokens"], u["prompt_tokens_details"]["cached_tokens"],
                     u["completion_tokens_details"]["reasoning_tokens"]), (9, 5, 14, 4, 3))
        with over(f, "reasoning", SHOW_REASONING="true") as s:
            body = s.chat("hi").json()
            t.equal((body["reasoning"], body["message"][-2:]), ("Think\n\nmore", "42"))
        with over(f, "length") as s:
            t.equal([c.ask(s, user("hi"), x)[2] for c in CLIENTS for x in (False, True)],
                    ["length", "length", "max_tokens", "max_tokens", "incomplete", "incomplete"])
        with over(f, "refusal") as s:
            t.equal([c.ask(s, user("hi"), x)[2] for c in CLIENTS for x in (False, True)],
                    ["content_filter", "content_filter", "refusal", "refusal", "incomplete", "incomplete"])


@case("T6: calls that are open at once keep their own arguments, indices and ids")
def t6(t):
    with Fake("openai") as f:
        for model in ("interleaved", "interleaved-by-index", "interleaved-same-index", "text-and-tools"):
            with over(f, model) as s:
                for client in CLIENTS:
                    for stream in (False, True):
                        _, calls, _, _ = client.ask(s, user("hi"), stream, tools=client.tools)
                        ids = ["toolu_a", "toolu_b"] if client is Messages else ["call_a", "call_b"]
                        want = [(ids[0], "f", "{}"), (ids[1], "g", '{"b":2}')] if model == "text-and-tools" else \
                            [(ids[0], "f", '{"a":1}'), (ids[1], "g", '{"b":2}')]
                        t.equal((model, client.path, stream, calls), (model, client.path, stream, want))


@case("a loop of tools: what was thought goes back to the model unchanged, by the clients that can bring it")
def loop(t):
    with Fake("openai") as f, over(f, "loop") as s:
        for client in (*CLIENTS, Gemini):
            for stream in (False, True):
                talk = user("go")
                for step in (1, 2):
                    _, calls, _, answer = client.ask(s, talk, stream, tools=client.tools)
                    t.equal([c[1:] for c in calls], [("f", f'{{"n":{step}}}')])
                    talk = talk + answer + client.result(calls[0][0], f"result {step}")
                text, calls, _, _ = client.ask(s, talk, stream, tools=client.tools)
                kept = [] if client is Chat else [["reasoning", "gAAAA"]]
                want = [["user", ""], *kept, ["function_call", ""], ["function_call_output", ""], *kept, ["function_call", ""],
                        ["function_call_output", ""]]
                t.equal((client.path, stream, json.loads(text)), (client.path, stream, want))


@case("encrypted reasoning is given where it is asked for, and nowhere else; a cut or foreign token costs nothing")
def encrypted(t):
    with Fake("openai") as f, over(f, "hidden-reasoning") as s:
        for stream in (False, True):
            output = Responses.ask(s, user("hi"), stream)[3]
            t.equal([(i["type"], i.get("summary"), bool(i.get("encrypted_content"))) for i in output],
                    [("reasoning", [], True), ("message", None, False)])
            t.equal([i["type"] for i in Responses.ask(s, user("hi"), stream, include=None)[3]], ["message"])
        token = output[0]["encrypted_content"]
        for bad in (token[:-8], token[:20], "c2VtYS4x", "gAAAA-of-another-account", "x", ""):
            talk = user("hi") + [{**output[0], "encrypted_content": bad}, *output[1:]] + user("on")
            t.equal((bad[:20], Responses.ask(s, talk, False)[0]), (bad[:20], "42"))
    # Thoughts of Anthropic's come back to it the same way.
    with Fake("anthropic") as f, Server(MODEL_TYPE="anthropic", MODEL_NAME="claude-opus-5-5", ANTHROPIC_BASE_URL=f.url,
                                        ANTHROPIC_API_KEY="k", PROVIDER_RETRIES="0") as s:
        for model, kind in (("reasoning", "thinking"), ("redacted", "redacted_thinking")):
            output = Responses.ask(s, user("hi"), True, model="anthropic/" + model, reasoning={"effort": "low"})[3]
            t.equal(output[0]["type"], "reasoning")
            call = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
            talk = user("hi") + [output[0], call] + Responses.result("c1", "x")
            r = s.post("/v1/responses", {"model": "anthropic/claude-opus-5-5", "input": talk, "tools": RESPONSES_TOOLS,
                                         "reasoning": {"effort": "low"}})
            t.equal(r.status, 200, r.text)
            sent = f.requests()[-1]["body"]["messages"][1]["content"]
            t.equal([b["type"] for b in sent], [kind, "tool_use"])
            # To another provider they do not go.
            with Fake("openai") as g, over(g, "roundtrip") as other:
                t.equal(Responses.ask(other, talk, False, tools=RESPONSES_TOOLS)[0], "user function_call function_call_output")


@case("a cut, a failure and an error event end every stream with its own error, and nothing as success")
def faults(t):
    with Fake("openai") as f:
        for model in ("eof", "done-without-end", "failed-after-text", "error-event", "reset-between", "eof-in-call"):
            with over(f, model) as s:
                r = s.post("/v1/chat/completions", {"model": "sema", "messages": user("hi"), "stream": True})
                t.lacks(r.text, "[DONE]")
                t.true(any("error" in x for x in data(r)), model)
                r = s.post("/v1/responses", {"model": "sema", "input": "hi", "stream": True})
                t.equal((model, data(r)[-1]["type"]), (model, "response.failed"))
                r = s.post("/v1/messages", {"model": "sema", "max_tokens": 9, "messages": user("hi"), "stream": True})
                t.has(r.text, "event: error")
                t.equal((model, s.chat("hi", "s").status), (model, 502))
        for model, status in (("failed", 502), ("failed-limit", 429), ("failed-context", 400), ("status-401", 502), ("quota", 503)):
            with over(f, model) as s:
                for stream in (False, True):
                    r = s.post("/v1/chat/completions", {"model": "sema", "messages": user("hi"), "stream": stream})
                    t.equal((model, r.status), (model, status), r.text)
                if model in ("failed", "failed-limit"):
                    with over(f, model, FALLBACK_MODELS='["openai/hello"]') as other:
                        t.equal((model, Chat.ask(other, user("hi"), True)[0]), (model, "Hello!"))


@case("OpenAI's models behind another address go to the API that they need")
def elsewhere(t):
    with Fake("openai", "--official") as f, over(f, "gpt-6-sol", "/v1") as s:
        paths = []
        for model, tools, effort in (("gpt-6-sol", True, None), ("gpt-6-sol", True, "high"), ("gpt-6-sol", False, None),
                                     ("gpt-5.3-codex", False, None), ("gpt-5.3-codex", True, "low")):
            more = {"tools": CHAT_TOOLS} if tools else {}
            if effort:
                more["reasoning_effort"] = effort
            before = len(f.requests())
            t.equal(Chat.ask(s, user("hi"), True, model="openai/" + model, **more)[0], "hi")
            paths.append([r["path"].rsplit("/", 1)[1] for r in f.requests()[before:]])
        t.equal(paths, [["responses"], ["responses"], ["completions"], ["responses"], ["responses"]])
        t.equal(f.requests()[-1]["body"]["reasoning"], {"effort": "low", "summary": "auto"})


@case("what only a client of this API can say goes on to it, and a refused one is left out from then on")
def extras(t):
    more = {"prompt_cache_key": "k\u00e9", "service_tier": "flex", "metadata": {"a": "1"}, "user": None, "house_field": {"n": 1.10},
            "text": {"verbosity": "low"}, "reasoning": {"summary": "detailed", "effort": "low"}, "truncation": "auto", "store": True,
            "stream_options": {"include_obfuscation": False}, "top_logprobs": 2}
    with Fake("openai") as f, over(f, "request") as s:
        sent = json.loads(Responses.ask(s, "hi", False, **more)[0])
        t.equal({k: v for k, v in sent.items() if k in (*more, "verbosity")},
                {"prompt_cache_key": "k\u00e9", "service_tier": "flex", "metadata": {"a": "1"}, "house_field": {"n": 1.10},
                 "text": {"verbosity": "low"}, "reasoning": {"summary": "detailed", "effort": "low"}, "truncation": "auto", "store": False})
        for n in (3, 4):
            t.equal(Responses.ask(s, "hi", True, model="openai/echo", **more)[0], "hi")
            t.equal(len(f.requests("/v1/responses")), n)
        t.true("house_field" not in f.requests()[-1]["body"], "left out")
        # A name that is ours to write stays ours, however it is spelt.
        r = s.post("/v1/responses", b'{"\\u006dodel":"other","\\u0069nput":"mine","model":"sema","input":"hi"}', timeout=30)
        sent = json.loads(r.json()["output"][0]["content"][0]["text"])
        t.equal(sent["model"], "request")
        t.has(json.dumps(sent["input"]), "hi")
        # Other clients bring none of it.
        t.equal(json.loads(Chat.ask(s, user("hi"), False, service_tier="flex")[0]).get("service_tier"), None)


@case("custom tools stay what they are where OpenAI's models know them, and are functions elsewhere")
def custom(t):
    tools = [{"type": "custom", "name": "c", "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"}}, *RESPONSES_TOOLS]
    with Fake("openai") as f, over(f, "custom") as s:
        for model in ("custom", "custom-by-item", "custom-by-deltas"):  # whatever the model was asked with, its call is the client's own kind
            for stream in (False, True):
                output = Responses.ask(s, user("hi"), stream, model="openai/" + model, tools=tools)[3]
                t.equal([(i["type"], i["name"], i.get("input", i.get("arguments"))) for i in output],
                        [("custom_tool_call", "c", "a\"\n\U0001F600 {b}"), ("function_call", "f", "{}")])
                t.true(output[0]["id"].startswith("ctc_"), repr(output))
        t.equal([tool["type"] for tool in f.requests("/v1/responses")[-1]["body"]["tools"]], ["function", "function"])
        for stream in (False, True):
            output = Responses.ask(s, user("hi"), stream, model="openai/gpt-6-custom", tools=tools, reasoning={"effort": "low"})[3]
            t.equal(f.requests("/v1/responses")[-1]["body"]["tools"], tools)
            t.equal([i["type"] for i in output], ["reasoning", "custom_tool_call"])
            talk = user("hi") + output + [{"type": "custom_tool_call_output", "call_id": "call_c", "output": "done"}]
            text = Responses.ask(s, talk, stream, model="openai/gpt-6-custom", tools=tools, reasoning={"effort": "low"})[0]
            t.equal(text, "user reasoning custom_tool_call custom_tool_call_output custom function")
    with Fake("openai") as f, over(f, "gpt-6-no-custom") as s:  # refused once, then asked as a function
        for n in (2, 3):
            t.equal([c[:2] for c in Responses.ask(s, user("hi"), False, tools=tools)[1]], [("call_a", "get_weather")])
            t.equal(len(f.requests("/v1/responses")), n)
        t.equal([tool["type"] for tool in f.requests("/v1/responses")[-1]["body"]["tools"]], ["function", "function"])


@case("stop strings, which this API does not know, end the answer before them")
def stops(t):
    with Fake("openai") as f, over(f, "echo") as s:
        for stream in (False, True):
            t.equal(Chat.ask(s, user("one two three"), stream, stop=["x", " three", "two"])[::2], ("one ", "stop"))
            t.equal(Messages.ask(s, user("one two three"), stream, stop_sequences=["two"])[::2], ("one ", "stop_sequence"))


main()
