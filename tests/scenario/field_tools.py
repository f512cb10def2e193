"""Cases from the field about tool calls, reasoning, usage and roles, by their names (T2 T3 T5 R2 R3 R4 U1 U3 G2); T1, T4 and
T6 are other rooms'."""
from harness import *

ENV = {
    "openai": lambda u: {"OPENAI_BASE_URL": u + "/v1", "OPENAI_API_KEY": "k"},
    "anthropic": lambda u: {"ANTHROPIC_BASE_URL": u, "ANTHROPIC_API_KEY": "k"},
    "google": lambda u: {"GOOGLE_GEMINI_BASE_URL": u, "GOOGLE_API_KEY": "k"},
    "minimax": lambda u: {"MINIMAX_API_URL": u + "/anthropic/v1/messages", "MINIMAX_API_KEY": "k"},
}
F = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
TOOL = {"name": "f", "input_schema": {"type": "object", "properties": {}}}
HI = [{"role": "user", "content": "hi"}]


def over(dialect, f, model, **more):
    return Server(**{"MODEL_TYPE": dialect, "MODEL_NAME": model, "PROVIDER_RETRIES": "0", "PROVIDER_BREAKER_FAILURES": "0",
                     **ENV[dialect](f.url), **more})


def completions(s, model="sema", messages=None, **more):
    return s.post("/v1/chat/completions", {"model": model, "messages": messages or HI, **more}, timeout=30)


def messages(s, model="sema", turns=None, **more):
    return s.post("/v1/messages", {"model": model, "max_tokens": 2000, "messages": turns or HI, **more}, timeout=30)


def datas(r):
    return [json.loads(line[6:]) for line in r.text.splitlines() if line.startswith("data: {")]


def tool_pieces(r):
    return [call for c in datas(r) for x in c.get("choices", []) for call in x["delta"].get("tool_calls", [])]


def newest(f):
    return [r for r in f.requests() if r["method"] == "POST"][-1]["body"]


@case("T2: Google's parallel calls, each in its own chunk, have indices and ids of their own; the results come back in order")
def t2(t):
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}]
    with Fake("google") as f, over("google", f, "three-chunks") as s:
        r = completions(s, stream=True, tools=tools)
        calls = {}
        for piece in tool_pieces(r):
            call = calls.setdefault(piece["index"], {"id": piece.get("id"), "args": ""})
            call["args"] += piece["function"].get("arguments") or ""
        t.equal([json.loads(calls[i]["args"]) for i in sorted(calls)], [{"city": c} for c in ("Oslo", "Rome", "Lima")])
        t.equal((sorted(calls), len({c["id"] for c in calls.values()})), ([0, 1, 2], 3))
        t.equal([x["finish_reason"] for c in datas(r) for x in c["choices"] if x["finish_reason"]], ["tool_calls"])
        history = [*HI, {"role": "assistant", "content": None, "tool_calls": [
            {"id": calls[i]["id"], "type": "function", "function": {"name": "get_weather", "arguments": calls[i]["args"]}} for i in range(3)]},
            *({"role": "tool", "tool_call_id": calls[i]["id"], "content": str(10 * i)} for i in range(3))]
        r = completions(s, messages=history, tools=tools)
        t.equal(json.loads(r.json()["choices"][0]["message"]["content"]), [["0", "10", "20"]])
        contents = newest(f)["contents"]
        t.equal([(c["role"], len(c["parts"])) for c in contents], [("user", 1), ("model", 3), ("user", 3)])


@case("T3: a call without arguments has {} for them, from every dialect on every route; empty text in the history becomes {}")
def t3(t):
    for dialect, model in (("anthropic", "tool-no-args"), ("openai", "tool-empty-args"), ("openai", "tool-null-args"), ("google", "tool-no-args")):
        with Fake(dialect) as f, over(dialect, f, model) as s:
            what = (dialect, model)
            r = completions(s, tools=[F])
            t.equal((what, r.json()["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]), (what, "{}"))
            text = "".join(p["function"].get("arguments") or "" for p in tool_pieces(completions(s, tools=[F], stream=True)))
            t.equal((what, text), (what, "{}"))
            flat = [{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}]
            r = s.post("/v1/responses", {"model": "sema", "input": "hi", "tools": flat})
            t.equal((what, [x["arguments"] for x in r.json()["output"] if x["type"] == "function_call"]), (what, ["{}"]))
            r = s.post("/v1/responses", {"model": "sema", "input": "hi", "tools": flat, "stream": True})
            t.equal((what, [e["arguments"] for e in datas(r) if e["type"] == "response.function_call_arguments.done"]), (what, ["{}"]))
            r = messages(s, tools=[TOOL])
            t.equal((what, [b["input"] for b in r.json()["content"] if b["type"] == "tool_use"]), (what, [{}]))
            pieces = [e["delta"]["partial_json"] for e in datas(messages(s, tools=[TOOL], stream=True))
                      if e["type"] == "content_block_delta" and e["delta"]["type"] == "input_json_delta"]
            t.equal((what, json.loads("".join(pieces) or "{}")), (what, {}))
    history = [*HI, {"role": "assistant", "content": None, "tool_calls": [
        {"id": "call_a", "type": "function", "function": {"name": "f", "arguments": ""}}]}, {"role": "tool", "tool_call_id": "call_a", "content": "r"}]
    with Fake("openai") as f, over("openai", f, "echo") as s:
        t.equal(completions(s, messages=history, tools=[F]).status, 200)
        t.equal(newest(f)["messages"][1]["tool_calls"][0]["function"]["arguments"], "{}")
    with Fake("anthropic") as f, over("anthropic", f, "claude-sonnet-4-5") as s:
        t.equal(completions(s, messages=history, tools=[F]).status, 200)
        t.equal(newest(f)["messages"][1]["content"][0]["input"], {})


@case("T5: text beside results in one user turn: results first, in the calls' order, then the texts in theirs")
def t5(t):
    turns = [{"role": "user", "content": "weather?"},
             {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}},
                                               {"type": "tool_use", "id": "t2", "name": "f", "input": {}}]},
             {"role": "user", "content": [{"type": "text", "text": "and Oslo?"}, {"type": "tool_result", "tool_use_id": "t1", "content": "one"},
                                          {"type": "text", "text": "now"}, {"type": "tool_result", "tool_use_id": "t2", "content": "two"}]}]
    with Fake("openai") as f, over("openai", f, "echo") as s:
        t.equal(messages(s, turns=turns, tools=[TOOL]).status, 200)
        sent = newest(f)["messages"]
        t.equal([m["role"] for m in sent], ["user", "assistant", "tool", "tool", "user"])
        t.equal([(m["tool_call_id"], m["content"]) for m in sent[2:4]], [("t1", "one"), ("t2", "two")])
        said = json.dumps(sent[4]["content"])
        t.true(said.index("and Oslo?") < said.index("now"), said)
    with Fake("anthropic") as f, over("anthropic", f, "claude-sonnet-4-5") as s:
        t.equal(messages(s, turns=turns, tools=[TOOL]).status, 200)
        blocks = newest(f)["messages"][2]["content"]
        t.equal([b.get("tool_use_id") or b["text"] for b in blocks], ["t1", "t2", "and Oslo?", "now"])
    with Fake("google") as f, over("google", f, "gemini-3.5-flash") as s:
        t.equal(messages(s, turns=turns, tools=[TOOL]).status, 200)
        parts = newest(f)["contents"][2]["parts"]
        t.equal([p["functionResponse"]["response"].get("output") if "functionResponse" in p else p["text"] for p in parts],
                ["one", "two", "and Oslo?", "now"])


def signed_by_minimax(r):
    """Thinks, signs it "m1", and calls a tool; later it is busy."""
    def event(kind, **more):
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()
    if r["method"] == "GET":
        return [Upstream.json(404, {})]
    if any(b.get("type") == "tool_result" for m in r["body"]["messages"] if isinstance(m["content"], list) for b in m["content"]):
        return [Upstream.json(503, {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}})]
    return [Upstream.STREAM,
            event("message_start", message={"id": "m", "role": "assistant", "content": [], "usage": {"input_tokens": 9, "output_tokens": 1}}),
            event("content_block_start", index=0, content_block={"type": "thinking", "thinking": "", "signature": ""}),
            event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "hm"}),
            event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "m1"}),
            event("content_block_stop", index=0),
            event("content_block_start", index=1, content_block={"type": "tool_use", "id": "toolu_m", "name": "f", "input": {}}),
            event("content_block_stop", index=1),
            event("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 2}), event("message_stop")]


@case("R2: a signature that somebody else issued, or none, is left out, by name and by fallback; the turn's calls stay")
def r2(t):
    thinking = {"type": "enabled", "budget_tokens": 1024}
    with Fake("anthropic") as a, Fake("openai") as o, Upstream(signed_by_minimax) as m, over(
            "anthropic", a, "claude-haiku-4-5", **ENV["openai"](o.url), **ENV["minimax"](m.url[:-3])) as s, over(
            "minimax", m, "MiniMax-M2", MINIMAX_API_URL=m.url[:-3] + "/anthropic/v1/messages",
            FALLBACK_MODELS='["anthropic/claude-haiku-4-5"]', **ENV["anthropic"](a.url)) as chained:
        first = messages(s, "minimax/MiniMax-M2", tools=[TOOL], thinking=thinking).json()["content"]
        t.equal([b["type"] for b in first], ["thinking", "tool_use"])
        own = messages(s, "openai/reasoning", thinking=thinking).json()["content"]
        t.equal([b["type"] for b in own], ["thinking", "text"])
        call = next(b for b in first if b["type"] == "tool_use")
        for what, server, blocks in (("minimax", s, first), ("sema's own", s, [own[0], call]),
                                     ("unsigned", s, [{"type": "thinking", "thinking": "hm", "signature": ""}, call]),
                                     ("by fallback", chained, first)):
            if server is chained:  # it has to know who signed
                blocks = messages(chained, tools=[TOOL], thinking=thinking).json()["content"]
            turns = [*HI, {"role": "assistant", "content": blocks},
                     {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call["id"], "content": "r"}]}]
            r = messages(server, "sema", turns, tools=[TOOL], thinking=thinking)
            t.equal((what, r.status), (what, 200), r.text)
            sent = newest(a)["messages"]
            t.equal((what, [b["type"] for b in sent[1]["content"]]), (what, ["tool_use"]))


@case("R3: Google's signature comes back on the first of parallel calls only, and the placeholder after a restart")
def r3(t):
    with Fake("google") as f, over("google", f, "signed") as s:
        calls = completions(s, tools=[F]).json()["choices"][0]["message"]["tool_calls"]
        t.equal(len(calls), 2)
        results = [{"role": "tool", "tool_call_id": c["id"], "content": "r"} for c in calls]
        one = [*HI, {"role": "assistant", "content": None, "tool_calls": calls}, *results]
        two = [*HI, *({"role": "assistant", "content": None, "tool_calls": [c]} for c in calls), *results]
        uses = [{"type": "tool_use", "id": c["id"], "name": c["function"]["name"], "input": json.loads(c["function"]["arguments"])} for c in calls]
        back = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": c["id"], "content": "r"} for c in calls]}
        for signature in ("sig-R3", "skip_thought_signature_validator"):
            for history in (one, two):
                r = completions(s, messages=history, tools=[F])
                t.equal((r.status, r.status == 200 and r.json()["choices"][0]["message"]["content"]), (200, json.dumps([signature, None])), r.text)
                t.equal([c["role"] for c in newest(f)["contents"]], ["user", "model", "user"])
            for turns in ([*HI, {"role": "assistant", "content": uses}, back],
                          [*HI, *({"role": "assistant", "content": [u]} for u in uses), back]):
                r = messages(s, turns=turns, tools=[TOOL])
                t.equal((r.status, r.json()["content"][0].get("text")), (200, json.dumps([signature, None])), r.text)
            s.stop()
            s.port = None
            s.start()


@case("R4: the same reasoning in two fields is said once, on every route")
def r4(t):
    with Fake("openai") as f:
        for model, want in (("reasoning-twice", "The"), ("reasoning-details", "A"), ("json-both-reasonings", "A")):
            with over("openai", f, model) as s:
                t.equal((model, s.chat("q").json()["reasoning"]), (model, want))
                t.equal((model, completions(s).json()["choices"][0]["message"]["reasoning_content"]), (model, want))
                r = completions(s, stream=True)
                t.equal((model, "".join(x["delta"].get("reasoning_content") or "" for c in datas(r) for x in c["choices"])), (model, want))
                for stream in (False, True):
                    r = messages(s, stream=stream, thinking={"type": "enabled", "budget_tokens": 1024})
                    said = ("".join(e["delta"].get("thinking", "") for e in datas(r) if e["type"] == "content_block_delta") if stream
                            else "".join(b["thinking"] for b in r.json()["content"] if b["type"] == "thinking"))
                    t.equal((model, said), (model, want))


def counts(usage):
    return [usage.get(k, 0) for k in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")]


@case("U1: the three input counts are disjoint on Messages, and all of them are OpenAI's prompt_tokens")
def u1(t):
    with Fake("openai") as f, over("openai", f, "usage-write") as s:
        t.equal(counts(messages(s).json()["usage"]), [100, 600, 300, 5])
        last = [e for e in datas(messages(s, stream=True)) if e["type"] == "message_delta"][-1]["usage"]
        t.equal(counts(last), [100, 600, 300, 5])
    with Fake("anthropic") as f, over("anthropic", f, "usage-details") as s:
        usage = completions(s).json()["usage"]
        t.equal((usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"]), (1000, 600))
        r = completions(s, stream=True, stream_options={"include_usage": True})
        t.equal([c["usage"]["prompt_tokens"] for c in datas(r) if c.get("usage")], [1000])


@case("U3: counts known only at the end are told there; a field that message_delta leaves out keeps its value")
def u3(t):
    with Fake("openai") as f, over("openai", f, "usage-last") as s:
        last = [e for e in datas(messages(s, stream=True)) if e["type"] == "message_delta"][-1]["usage"]
        t.equal(counts(last), [5, 20, 0, 4])
    with Fake("anthropic") as f:
        for model, want in (("usage-late", (25, 20, 4)), ("usage-details", (1000, 600, 20))):
            with over("anthropic", f, model) as s:
                for usage in (completions(s).json()["usage"],
                              [c for c in datas(completions(s, stream=True, stream_options={"include_usage": True})) if c.get("usage")][-1]["usage"]):
                    t.equal((model, (usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"], usage["completion_tokens"])),
                            (model, want))


@case("G2: a system message in the middle works on local models, on servers that refuse it, and on Anthropic's")
def g2(t):
    turns = [{"role": "user", "content": "one"}, {"role": "system", "content": "agents: x"}, {"role": "assistant", "content": "two"},
             {"role": "user", "content": "three"}]
    chat = [{"role": "system", "content": "S"}, {"role": "user", "content": "one"}, {"role": "assistant", "content": "two"},
            {"role": "developer", "content": "D"}, {"role": "system", "content": "late"}, {"role": "user", "content": "three"}]
    with Server(MODEL_TYPE="local", MODEL_NAME="sema-guide") as s:
        t.equal(messages(s, turns=turns, max_tokens=4).status, 200)
        t.equal(completions(s, messages=chat, max_tokens=4).status, 200)
    for dialect, model in (("openai", "no-late-system"), ("openai", "no-system"), ("openai", "request"), ("anthropic", "claude-sonnet-4-5+request")):
        with Fake(dialect) as f, over(dialect, f, model) as s:
            for ask, words in ((lambda: messages(s, turns=turns), ("agents: x",)), (lambda: completions(s, messages=chat), ("S", "D", "late"))):
                r = ask()
                t.equal((dialect, model, r.status), (dialect, model, 200), r.text)
                for word in words:
                    t.has(json.dumps(newest(f)), word)


main()
