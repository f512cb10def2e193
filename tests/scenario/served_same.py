"""The same API in and out: what a client wrote goes up byte for byte, but for what must be changed (openai-compat.md 1.2,
providers.md section 2)."""
from harness import *

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"

# White space, order and numbers as no writer of ours would put them.
OPENAI_TOOLS = ('[ {"function":{"parameters":{"properties":{"n":{"minimum":1.10,"type":"number"}},"type":"object"} ,"strict":false,'
                '"name":"f","description":"d"},"type":"function"} ]')
OPENAI_MESSAGES = ('[ {"content":"Be \\u0062rief.","role":"system"},\n {"role":"user","content":[{"type":"text","text":"a"},'
                   '{"type":"image_url","image_url":{"detail":"low","url":"data:image/png;base64,AAAA"}}]},'
                   '{"role":"assistant","content":null,"tool_calls":[{"id":"call_9","type":"function","function":{"name":"f",'
                   '"arguments":"{ \\"id\\":1234567890123456789, \\"x\\":1.10}"}}]},'
                   '{"tool_call_id":"call_9","role":"tool","content":"ok"} ,{"role":"user","content":"go on"}]')
ANTHROPIC_TOOLS = ('[ {"input_schema":{"properties":{"n":{"minimum":1.10}},"type":"object"},"name":"f",'
                   '"cache_control":{"ttl":"1h","type":"ephemeral"}} ]')
ANTHROPIC_SYSTEM = ('[ {"text":"one","type":"text"}, {"type":"text","text":"two","cache_control":{"type":"ephemeral","ttl":"1h"}} ]')
ANTHROPIC_MESSAGES = ('[ {"content":"a","role":"user"}, {"role":"user","content":[{"type":"text","text":"b",'
                      '"cache_control":{"type":"ephemeral"}}]},\n{"role":"assistant","content":[{"type":"text","text":"so"},'
                      '{"type":"tool_use","id":"toolu_1","name":"f","input":{ "id":1234567890123456789 , "x":1.10}}]},'
                      '{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":[{"type":"text","text":"r"}],'
                      '"is_error":true},{"type":"text","text":"go on"}]}]')


def completion(text, **more):
    return {"id": "chatcmpl-9", "object": "chat.completion", "created": 5, "model": "test-model", "choices": [
        {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", **more}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}, "system_fingerprint": "fp_1"}


def chunk(delta, finish=None, **more):
    return Upstream.event(json.dumps({"id": "chatcmpl-9", "object": "chat.completion.chunk", "created": 5, "model": "test-model",
                                      "choices": [{"index": 0, "delta": delta, "finish_reason": finish, **more}]}))


def openai(request):
    """Whole or streamed, as asked."""
    if request["method"] == "GET":
        return [Upstream.json(200, {"object": "list", "data": []})]
    if not request["body"].get("stream"):
        return [Upstream.json(200, completion("hello"))]
    return [Upstream.STREAM, chunk({"role": "assistant", "content": ""}), chunk({"content": "hello"}), chunk({}, "stop"),
            Upstream.event("[DONE]")]


def anthropic(request):
    if request["method"] == "GET":
        return [Upstream.json(200, {"data": []})]
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "hello"}],
               "stop_reason": "stop_sequence", "stop_sequence": "END", "usage": {"input_tokens": 3, "output_tokens": 2}}
    if not request["body"].get("stream"):
        return [Upstream.json(200, message)]
    events = [{"type": "message_start", "message": {**message, "content": [], "stop_reason": None, "stop_sequence": None}},
              {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
              {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hello"}},
              {"type": "content_block_stop", "index": 0},
              {"type": "message_delta", "delta": {"stop_reason": "stop_sequence", "stop_sequence": "END"}, "usage": {"output_tokens": 2}},
              {"type": "message_stop"}]
    return [Upstream.STREAM, *(Upstream.event(json.dumps(e)) for e in events)]


def env_of(upstream):
    """It as Anthropic."""
    return {"MODEL_TYPE": "anthropic", "MODEL_NAME": "claude-haiku-4-5", "ANTHROPIC_API_KEY": "sk-ant-of-the-server",
            "ANTHROPIC_BASE_URL": upstream.url[:-3], "PROVIDER_RETRIES": "0", "PROVIDER_BREAKER_FAILURES": "0"}


def post(s, path, body, **fields):
    return s.post(path, body, {"Content-Type": "application/json", **fields})


def newest(upstream):
    return upstream.requests[-1]


@case("chat completions: messages and tools are the client's bytes, only the model's name is changed")
def _(t):
    with Upstream(openai) as up, Server(**up.env()) as s:
        body = f'{{"messages":{OPENAI_MESSAGES},"tools":{OPENAI_TOOLS},"model":"sema","temperature":0.70}}'
        r = post(s, CHAT, body)
        t.equal(r.status, 200, repr(r))
        t.equal(newest(up)["raw"], body.replace('"sema"', '"test-model"'))
        t.equal(newest(up)["headers"]["accept"], "application/json")
        t.equal(r.json()["choices"][0]["message"]["content"], "hello")
        t.equal(r.json()["usage"]["total_tokens"], 11)


@case("chat completions: a stream is asked for as one, with usage")
def _(t):
    with Upstream(openai) as up, Server(**up.env()) as s:
        r = post(s, CHAT, f'{{"model":"sema","stream":true,"messages":{OPENAI_MESSAGES},"tools":{OPENAI_TOOLS}}}')
        t.has(r.text, "hello")
        t.has(r.text, "[DONE]")
        t.equal(newest(up)["raw"], f'{{"model":"test-model","stream":true,"messages":{OPENAI_MESSAGES},"tools":{OPENAI_TOOLS},'
                '"stream_options":{"include_usage":true}}')
        post(s, CHAT, '{"model":"sema","stream":true,"stream_options":{"include_obfuscation":false,"include_usage":false},"messages":[{"role":"user","content":"a"}]}')
        t.equal(newest(up)["body"]["stream_options"], {"include_obfuscation": False, "include_usage": True})


@case("messages: blocks, cache_control and numbers are the client's bytes, whole and streamed")
def _(t):
    with Upstream(anthropic) as up, Server(**env_of(up)) as s:
        for stream in ("", ',"stream":true', ',"stream":false'):
            body = (f'{{"system":{ANTHROPIC_SYSTEM},"messages":{ANTHROPIC_MESSAGES},"tools":{ANTHROPIC_TOOLS},"model":"sema",'
                    f'"max_tokens":100{stream},"metadata":{{"user_id":"u"}},"stop_sequences":["END"],"temperature":0.50}}')
            r = post(s, MESSAGES + "?beta=true", body)
            t.equal(r.status, 200, repr(r))
            t.equal(newest(up)["raw"], body.replace('"sema"', '"claude-haiku-4-5"'))
            t.has(r.text, '"stop_reason":"stop_sequence","stop_sequence":"END"')


INPUT = ('[ {"role":"user", "content":[ {"type":"input_text","text":"b\\u0065"},{"detail":"low","type":"input_image","image_url":'
         '"data:image/png;base64,AAAA"}]},\n%s{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":'
         '[{"type":"output_text","annotations":[],"text":"so"}]},{"arguments":"{ \\"id\\":1234567890123456789, \\"x\\":1.10}",'
         '"type":"function_call","call_id":"call_9","name":"f"},\t{"type":"function_call_output","call_id":"call_9","output":"ok"} ]')
FLAT = '[ {"name":"f","parameters":{"properties":{"n":{"minimum":1.10,"type":"number"}},"type":"object"} ,"type":"function"} ]'
TAIL = ',"store":false,"include":["reasoning.encrypted_content"]'


def responses(request):
    if request["method"] == "GET":
        return [Upstream.json(200, {"object": "list", "data": []})]
    output = [{"type": "reasoning", "id": "rs_7", "summary": [], "encrypted_content": "gAAAA-7"},
              {"type": "message", "id": "msg_7", "role": "assistant", "content": [{"type": "output_text", "text": "hello", "annotations": []}]}]
    answer = {"id": "resp_1", "object": "response", "status": "completed", "model": "test-model", "output": output, "usage": None}
    if not request["body"].get("stream"):
        return [Upstream.json(200, answer)]
    return [Upstream.STREAM, *(Upstream.event(json.dumps({"type": "response.output_item.done", "output_index": n, "item": item}))
                               for n, item in enumerate(output)),
            Upstream.event(json.dumps({"type": "response.completed", "response": answer}))]


@case("responses: items and tools are the client's bytes, whole and streamed; of a thought only its token is opened")
def _(t):
    with Upstream(responses) as up, Server(**up.env(OPENAI_BASE_URL=up.url + "/responses")) as s:
        for stream, accept in (("", "application/json"), (',"stream":true', "text/event-stream"), (',"stream":false', "application/json")):
            body = (f'{{"instructions":"b\\u0065 kind","input":{INPUT % ""},"tools":{FLAT},"model":"sema","max_output_tokens":100{stream},'
                    f'"temperature":0.70,"nobodyKnows":[ 1 ],"metadata":{{ }}')
            r = post(s, RESPONSES, body + "}")
            t.equal(r.status, 200, repr(r))
            t.equal(newest(up)["raw"], body.replace('"sema"', '"test-model"') + TAIL + "}")
            t.equal(newest(up)["headers"]["accept"], accept)
            t.has(r.text, '"text":"hello"')
        # The answer comes back with a thought whose token is ours outside: inside it is the provider's, with its own id.
        body = f'{{"input":"hi","model":"sema"{TAIL}}}'
        output = post(s, RESPONSES, body).json()["output"]
        t.equal(newest(up)["raw"], body.replace('"sema"', '"test-model"'))
        t.true(output[0]["encrypted_content"].startswith("c2VtYS4x"), repr(output))
        mine = f'{{"role":"user", "content":"hi"}} , {json.dumps(output[0])} , '
        body = f'{{"model":"sema","input":{INPUT % mine}{TAIL}}}'
        t.equal(post(s, RESPONSES, body).status, 200)
        sent = newest(up)["body"]["input"]
        t.equal(sent[2], {"type": "reasoning", "id": "rs_7", "summary": [], "encrypted_content": "gAAAA-7"})
        before, _, after = newest(up)["raw"].partition(json.dumps(sent[2], separators=(",", ":")))
        t.equal(before, f'{{"model":"test-model","input":{INPUT.partition("%s")[0]}{{"role":"user", "content":"hi"}} , ')
        t.equal(after, " , " + INPUT.partition("%s")[2] + TAIL + "}")


@case("fields that nobody here knows go to compatible servers, to the vendor's own words stay as they are, null is absent")
def _(t):
    with Upstream(openai) as up, Server(**up.env()) as s:
        post(s, CHAT, '{"model":"sema","messages":[{"role":"user","content":"a"}],"guided_choice":[ "a" ],"metadata":{"k":"v"},'
             '"store":true,"service_tier":"flex","verbosity":null,"max_completion_tokens":7,"chat_template_kwargs":{"enable_thinking":false},'
             '"top_k":4,"stop":"x","user":"u","logit_bias":{"5":1.0},"seed":3,"n":1,"temperature":9e-1,"parallel_tool_calls":true,"tools":[]}')
        t.equal(newest(up)["raw"], '{"model":"test-model","messages":[{"role":"user","content":"a"}],"guided_choice":[ "a" ],"metadata":{"k":"v"},'
                '"store":true,"service_tier":"flex","chat_template_kwargs":{"enable_thinking":false},"top_k":4,"stop":"x","user":"u",'
                '"logit_bias":{"5":1.0},"seed":3,"n":1,"temperature":9e-1,"max_tokens":7}')
    with Upstream(anthropic) as up, Server(**env_of(up)) as s:
        post(s, MESSAGES, '{"model":"sema","max_tokens":5,"messages":[{"role":"user","content":"a"}],"service_tier":"auto","odd":{"x":1.10}}')
        t.equal(newest(up)["raw"], '{"model":"claude-haiku-4-5","max_tokens":5,"messages":[{"role":"user","content":"a"}],"service_tier":"auto",'
                '"odd":{"x":1.10}}')


@case("a field that the server does not know is left out on the one repeat, and from then on")
def _(t):
    def strict(request):
        if request["method"] == "POST" and "guided_choice" in request["body"]:
            return [Upstream.json(400, {"error": {"message": "Unrecognized request argument supplied: guided_choice", "type": "x",
                                                  "param": None, "code": None}})]
        return openai(request)

    with Upstream(strict) as up, Server(**up.env()) as s:
        for calls in (2, 3):
            r = post(s, CHAT, '{"model":"sema","messages":[{"role":"user","content":"a"}],"guided_choice":["a"]}')
            t.equal(r.status, 200, repr(r))
            t.equal(len([q for q in up.requests if q["method"] == "POST"]), calls)


@case("logprobs come back, whole and in pieces, when they were asked for")
def _(t):
    one = {"token": "hel", "logprob": -0.10, "bytes": [104, 101, 108], "top_logprobs": []}
    two = {"token": "lo", "logprob": -0.25, "bytes": None, "top_logprobs": []}

    def answer(request):
        if request["method"] == "GET":
            return openai(request)
        if not request["body"].get("stream"):
            return [Upstream.json(200, completion("hello", logprobs={"content": [one, two], "refusal": None}))]
        return [Upstream.STREAM, chunk({"role": "assistant", "content": ""}), chunk({"content": "hel"}, logprobs={"content": [one]}),
                chunk({"content": "lo"}, logprobs={"content": [two], "refusal": None}), chunk({}, "stop"), Upstream.event("[DONE]")]

    with Upstream(answer) as up, Server(**up.env()) as s:
        body = {"model": "sema", "messages": [{"role": "user", "content": "a"}], "logprobs": True, "top_logprobs": 2}
        r = s.post(CHAT, body)
        t.equal(r.json()["choices"][0]["logprobs"], {"content": [one, two], "refusal": None})
        t.equal(r.json()["system_fingerprint"], "fp_1")
        t.equal((newest(up)["body"]["logprobs"], newest(up)["body"]["top_logprobs"]), (True, 2))
        r = s.post(CHAT, {**body, "stream": True})
        chunks = [json.loads(line[6:]) for line in r.text.split("\n\n") if line.startswith("data: {")]
        t.equal([(c["choices"][0]["delta"].get("content"), c["choices"][0]["logprobs"]) for c in chunks],
                [("", None), ("hel", {"content": [one], "refusal": None}), ("lo", {"content": [two], "refusal": None}), (None, None)])
        r = s.post(CHAT, {**body, "logprobs": False})
        t.equal(r.json()["choices"][0]["logprobs"], None)


@case("what no provider takes is written anew: the order of results, empty messages, doubled ids, systems in the middle, our own tokens")
def _(t):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    rows = [
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": ""}, {"role": "user", "content": "b"}],
        [{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [call]}, {"role": "user", "content": "b"}],
        [{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [call, {**call, "id": "d"}]},
         {"role": "tool", "tool_call_id": "d", "content": "2"}, {"role": "tool", "tool_call_id": "c", "content": "1"}],
        [{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [{**call, "id": "not legal"}]},
         {"role": "tool", "tool_call_id": "not legal", "content": "1"}],
        [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}],
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "reasoning_content": "hm", "refusal": None, "annotations": [],
                                            "tool_calls": []}, {"role": "user", "content": "c"}],
    ]
    with Fake("openai") as f, Server(MODEL_TYPE="openai", MODEL_NAME="m", OPENAI_BASE_URL=f.url + "/v1") as s:
        for row in rows:
            t.equal(s.post(CHAT, {"model": "sema", "messages": row, "stream": False}).status, 200)
            sent = f.requests("/v1/chat/completions")[-1]["body"]
            t.true(not any(set(m) - {"role", "content", "tool_calls", "tool_call_id"} for m in sent["messages"]), sent)
    use = {"type": "tool_use", "id": "x", "name": "f", "input": {}}

    def result(id):
        return {"type": "tool_result", "tool_use_id": id, "content": "r"}

    rows = [
        [{"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}],
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b "}],
        [{"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "a"}]}],
        [{"role": "user", "content": "a"}, {"role": "system", "content": "S"}, {"role": "user", "content": "c"}],
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": [use, {**use, "id": "y"}]},
         {"role": "user", "content": [{"type": "text", "text": "and"}, result("y"), result("x")]}],
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": "sema-1"},
                                                                             {"type": "text", "text": "b"}]}, {"role": "user", "content": "c"}],
        [{"role": "user", "content": "a"}, {"role": "assistant", "id": "msg_1", "type": "message", "content": [{"type": "text", "text": "b"}]},
         {"role": "user", "content": "c"}],
    ]
    with Fake("anthropic") as f, Server(MODEL_TYPE="anthropic", MODEL_NAME="claude-sonnet-5", ANTHROPIC_BASE_URL=f.url,
                                        ANTHROPIC_API_KEY="k") as s:
        for row in rows:
            r = s.post(MESSAGES, {"model": "sema", "max_tokens": 9, "messages": row, "temperature": 0.5})
            t.equal(r.status, 200, repr(r) + json.dumps(row))
            t.lacks(json.dumps(f.requests("/v1/messages")[-1]["body"]), "sema-1")


@case("repeated keys: the last counts; half a surrogate pair is mended; a key with escapes is the same key")
def _(t):
    with Upstream(openai) as up, Server(**up.env()) as s:
        post(s, CHAT, '{"model":"x","model":"sema","m\\u0065ssages":[{"role":"user","content":"a"}],"odd":1,"odd":[ 2 ]}')
        t.equal(newest(up)["raw"], '{"model":"test-model","m\\u0065ssages":[{"role":"user","content":"a"}],"odd":[ 2 ]}')
        post(s, CHAT, '{"model":"sema","messages":[ {"role":"user","content":"\\ud83d!"}]}')
        t.equal(newest(up)["body"]["messages"], [{"role": "user", "content": "\ufffd!"}])


@case("another dialect takes over with the same request in its own words")
def _(t):
    def broken(request):
        return openai(request) if request["method"] == "GET" else [Upstream.json(503, {"error": {"message": "no"}})]

    with Upstream(broken) as up, Upstream(anthropic) as other, Server(**up.env(
            FALLBACK_MODEL_TYPE="anthropic", FALLBACK_MODEL_NAME="claude-haiku-4-5", ANTHROPIC_API_KEY="k",
            ANTHROPIC_BASE_URL=other.url[:-3])) as s:
        plain = {"model": "sema", "messages": [{"role": "user", "content": "a"}]}
        wait_until(lambda: s.post(CHAT, plain).status == 200, what="the second model")
        for more in ("", ',"stream":true'):
            r = post(s, CHAT, f'{{"model":"sema","messages":{OPENAI_MESSAGES},"tools":{OPENAI_TOOLS},"odd":1{more}}}')
            t.equal(r.status, 200, repr(r))
            t.has(r.text, "hello")
            sent = newest(other)["body"]
            t.equal(sent["system"], "Be brief.")
            t.lacks(newest(other)["raw"], "odd")
            t.has(newest(other)["raw"], "1234567890123456789")


@case("what cannot be expressed is refused, its field named")
def _(t):
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    ask = {"model": "sema", "messages": [{"role": "user", "content": "a"}]}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    pdf = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}}
    rows = [({"n": 2}, "n"), ({"modalities": ["text", "audio"]}, "modalities"), ({"response_format": {"type": "grammar"}}, "response_format"),
            ({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "x"}}]}]}, "messages[0].content"),
            ({"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]}, "messages[0].content"),
            ({"tools": tools, "tool_choice": "f"}, "tool_choice"),
            ({"tools": tools, "tool_choice": {"type": "function", "function": {"name": "g"}}}, "tool_choice")]
    with Upstream(openai) as up, Server(**up.env()) as s:
        for fields, param in rows:
            r = s.post(CHAT, {**ask, **fields})
            t.equal((r.status, r.json()["error"]["param"]), (400, param), repr(r))
        t.equal([q for q in up.requests if q["method"] == "POST"], [])
        claude = {"model": "sema", "max_tokens": 9, "messages": [{"role": "user", "content": "a"}]}
        use = {"role": "assistant", "content": [{"type": "tool_use", "id": "x", "name": "f", "input": {}}]}
        for fields, word in (({"messages": [{"role": "user", "content": [pdf]}]}, "messages.0"),
                             ({"messages": [claude["messages"][0], use, {"role": "user", "content": [
                                 {"type": "tool_result", "tool_use_id": "x", "content": [pdf]}]}]}, "messages.2"),
                             ({"system": [{"type": "image"}]}, "system"), ({"output_config": {"format": {"type": "xml"}}}, "output_config.format"),
                             ({"tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "tool", "name": "g"}}, "tool_choice")):
            r = s.post(MESSAGES, {**claude, **fields})
            t.equal((r.status, r.json()["error"]["type"]), (400, "invalid_request_error"), repr(r))
            t.has(r.json()["error"]["message"], word)
        seen = [{"role": "user", "content": "a"}, use, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x", "content": [
            {"type": "text", "text": "r"}, {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}]}]}]
        t.equal(s.post(MESSAGES, {**claude, "messages": seen}).status, 200)  # OpenAI's results are text: the image follows
        t.equal(newest(up)["body"]["messages"][-2:], [{"role": "tool", "tool_call_id": "x", "content": "r"}, {"role": "user", "content": [image]}])
    minimax = {"MODEL_TYPE": "minimax", "MODEL_NAME": "MiniMax-M2", "MINIMAX_API_KEY": "k"}
    with Upstream(openai) as up:
        for path in ("/text/chatcompletion_v2", "/chat/completions"):
            with Server(**minimax, MINIMAX_API_URL=up.url + path) as s:
                for fields, param in (({"tools": tools, "tool_choice": "required"}, "tool_choice"),
                                      ({"messages": [{"role": "user", "content": [image]}]}, "messages")):
                    r = s.post(CHAT, {**ask, **fields})
                    t.equal((r.status, r.json()["error"]["param"]), (400, param), repr(r))
    google = {"MODEL_TYPE": "google", "MODEL_NAME": "gemma-3-27b-it", "GOOGLE_API_KEY": "k"}
    with Upstream(openai) as up, Server(**google, GOOGLE_GEMINI_BASE_URL=up.url[:-3]) as s:
        r = s.post(CHAT, {**ask, "tools": tools})
        t.equal((r.status, r.json()["error"]["param"]), (400, "tools"), repr(r))
    with Server() as s:
        r = s.post(CHAT, {**ask, "messages": [{"role": "user", "content": [image]}], "model": "local/sema-guide"})
        t.equal((r.status, r.json()["error"]["param"]), (400, "messages"), repr(r))


if __name__ == "__main__":
    main()
