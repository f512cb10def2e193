"""What a request in Google's form becomes upstream: names, contents, tools, settings, signatures (openai-compat.md 11)."""
import base64

from harness import *

KEY = "sk-of-the-server"
PATH = "/v1beta/models/sema:generateContent"
STREAM = "/v1beta/models/sema:streamGenerateContent"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="


def over(f, name, model, **more):
    url = {"openai": {"OPENAI_BASE_URL": f.url + "/v1"}, "anthropic": {"ANTHROPIC_BASE_URL": f.url}, "google": {"GOOGLE_GEMINI_BASE_URL": f.url}}
    return Server(**{"MODEL_TYPE": name, "MODEL_NAME": model, f"{name.upper()}_API_KEY": KEY, "PROVIDER_RETRIES": "0", **url[name], **more})


def user(*parts):
    return {"role": "user", "parts": [{"text": p} if isinstance(p, str) else p for p in parts]}


def model(*parts):
    return {**user(*parts), "role": "model"}


def call(name, args=None, **more):
    return {"functionCall": {"name": name, **({} if args is None else {"args": args}), **more}}


def result(name, response, **more):
    return {"functionResponse": {"name": name, "response": response, **more}}


def parts(r):
    return r.json()["candidates"][0]["content"]["parts"]


def snake(value):
    """The same in the other spelling: names, not what they hold."""
    if isinstance(value, list):
        return [snake(v) for v in value]
    if not isinstance(value, dict):
        return value
    held = ("args", "response", "properties", "parametersJsonSchema", "responseJsonSchema")
    return {re.sub("[A-Z]", lambda m: "_" + m[0].lower(), k): v if k in held else snake(v) for k, v in value.items()}


TALK = {
    "systemInstruction": {"role": "system", "parts": [{"text": "Be kind."}, {"text": "Be short."}]},
    "contents": [
        user("Weather?", {"inlineData": {"mimeType": "image/png", "data": PIXEL}}),
        model({"text": "Let me see.", "thought": True}, "I will ", "look.", call("f", {"city": "Oslo", "n": 12345678901234567890}), call("g")),
        user(result("g", {"result": {"deg": 3}}), result("f", {"output": "sunny"}), "and now?"),
        model("Sun", "ny."), model(" Really."),
        user("Thanks", " a lot"),
    ],
    "tools": [{"functionDeclarations": [{"name": "f", "description": "d", "parameters": {
        "type": "OBJECT", "properties": {"city": {"type": "STRING", "format": "enum", "enum": ["Oslo", "Rome"]},
                                         "n": {"type": "INTEGER", "nullable": True, "example": 3},
                                         "type": {"type": "ARRAY", "minItems": "1", "items": {"type": "NUMBER"}}},
        "required": ["city"], "propertyOrdering": ["city", "n"]}}]},
        {"googleSearch": {}}, {"functionDeclarations": [{"name": "g", "parametersJsonSchema": {"type": "object", "additionalProperties": False}}]}],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
    "generationConfig": {"temperature": 0.5, "topP": 0.25, "maxOutputTokens": 64, "stopSequences": ["END"], "seed": 7.0, "candidateCount": 1,
                         "presencePenalty": -1, "frequencyPenalty": 1.5, "responseLogprobs": True, "mediaResolution": "MEDIA_RESOLUTION_LOW"},
    "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}], "labels": {"a": "b"}, "nobodyKnows": [1],
}


@case("everything at once, in both spellings, as OpenAI gets it")
def all_at_once(t):
    with Fake("openai") as f, over(f, "openai", "hello") as s:
        for body in (TALK, snake(TALK)):
            r = s.post(PATH, body)
            t.equal(r.status, 200, r.text)
            got = f.requests("/v1/chat/completions")[-1]["body"]
            roles = [m["role"] for m in got["messages"]]
            t.equal(roles, ["system", "system", "user", "assistant", "tool", "tool", "user", "assistant", "user"]
                    if roles[:2] == ["system"] * 2 else ["system", "user", "assistant", "tool", "tool", "user", "assistant", "user"])
            m = [m for m in got["messages"] if m["role"] != "system"]
            t.equal([p.get("text") or p["image_url"]["url"] for p in m[0]["content"]], ["Weather?", "data:image/png;base64," + PIXEL])
            t.equal(m[1]["content"], "I will look.")
            calls = m[1]["tool_calls"]
            t.equal([(c["function"]["name"], json.loads(c["function"]["arguments"])) for c in calls],
                    [("f", {"city": "Oslo", "n": 12345678901234567890}), ("g", {})])
            t.equal([(x["tool_call_id"], x["content"]) for x in m[2:4]], [(calls[0]["id"], "sunny"), (calls[1]["id"], '{"deg":3}')])
            t.equal((m[5]["content"], m[4]["content"]), ("Sunny. Really.", "and now?"))
            schema, other = [x["function"]["parameters"] for x in got["tools"]]
            t.equal(schema, {"type": "object", "properties": {
                "city": {"type": "string", "enum": ["Oslo", "Rome"]}, "n": {"type": ["integer", "null"]},
                "type": {"type": "array", "minItems": 1, "items": {"type": "number"}}}, "required": ["city"]})
            t.equal(other, {"type": "object", "additionalProperties": False})
            t.equal((got["tool_choice"], got["temperature"], got["top_p"], got["stop"], got["seed"]), ("required", 0.5, 0.25, ["END"], 7))
            t.equal((got["presence_penalty"], got["frequency_penalty"]), (-1, 1.5))


@case("which functions may be called")
def choices(t):
    tools = [{"functionDeclarations": [{"name": n} for n in "abc"]}]
    rows = [({"mode": "AUTO"}, "auto", "abc"), ({"mode": "ANY", "allowedFunctionNames": ["b"]}, {"type": "function", "function": {"name": "b"}}, "b"),
            ({"mode": "ANY", "allowedFunctionNames": ["a", "c"]}, "required", "ac"), ({"mode": "VALIDATED"}, "auto", "abc"),
            ({"mode": "VALIDATED", "allowedFunctionNames": ["a"]}, "auto", "a"), ({"mode": "any"}, "required", "abc")]
    with Fake("openai") as f, over(f, "openai", "hello") as s:
        for config, choice, names in rows:
            t.equal(s.post(PATH, {"contents": "hi", "tools": tools, "toolConfig": {"functionCallingConfig": config}}).status, 200)
            got = f.requests("/v1/chat/completions")[-1]["body"]
            t.equal((got["tool_choice"], "".join(x["function"]["name"] for x in got["tools"])), (choice, names), repr(config))
        t.equal(s.post(PATH, {"contents": "hi", "tools": tools, "toolConfig": {"functionCallingConfig": {"mode": "NONE"}}}).status, 200)
        t.equal(f.requests("/v1/chat/completions")[-1]["body"].get("tool_choice", "none"), "none")
        t.equal(s.post(PATH, {"contents": "hi", "toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}).status, 200)
        t.true("tool_choice" not in f.requests("/v1/chat/completions")[-1]["body"])


@case("a form for the answer: an object, Google's schema, JSON Schema")
def forms(t):
    google = {"type": "OBJECT", "properties": {"ok": {"type": "BOOLEAN"}, "s": {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}], "nullable": True}}}
    with Fake("openai") as f, over(f, "openai", "hello") as s:
        def form(**config):
            r = s.post(PATH, {"contents": "hi, as json", "generationConfig": {"responseMimeType": "application/json", **config}})
            t.equal(r.status, 200, r.text)
            return f.requests("/v1/chat/completions")[-1]["body"]["response_format"]
        t.equal(form(), {"type": "json_object"})
        t.equal(form(responseSchema=google)["json_schema"]["schema"], {"type": "object", "properties": {
            "ok": {"type": "boolean"}, "s": {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]}}})
        plain = {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"], "additionalProperties": False}
        t.equal(form(responseJsonSchema=plain)["json_schema"]["schema"], plain)
        t.equal(form(response_json_schema=plain)["json_schema"]["schema"], plain)


@case("thinking: levels, budgets, and what is left to the model")
def thinking(t):
    rows = [({"thinkingLevel": "LOW"}, "low"), ({"thinking_level": "high"}, "high"), ({"thinkingBudget": 0}, "none"), ({"includeThoughts": True}, "medium"),
            ({"includeThoughts": True, "thinkingBudget": -1}, "medium"), ({}, None), ({"thinkingBudget": -1}, None)]
    with Fake("openai") as f, over(f, "openai", "gpt-5.2") as s:
        for config, want in rows:
            r = s.post(PATH, {"contents": "hi", "generationConfig": {"thinkingConfig": config}})
            t.equal((r.status, f.requests("/v1/chat/completions")[-1]["body"].get("reasoning_effort")), (200, want), repr(config) + r.text)


@case("results find their calls: by id, by name, in order; each call has one")
def pairs(t):
    rows = [
        ([call("f", {}, id="1"), call("f", {}, id="2")], [result("f", {"output": "two"}, id="2"), result("f", {"output": "one"}, id="1")], ["one", "two"]),
        ([call("f"), call("g")], [result("g", {"output": "g"}), result("f", {"output": "f"})], ["f", "g"]),
        ([call("f"), call("f")], [result("f", {"output": "one"}), result("f", {"output": "two"})], ["one", "two"]),
        ([call("f", {}, id="x")], [result("f", {"output": "y"})], ["y"]),
        ([call("f")], [result("f", {"output": "y"}, id="made-up")], ["y"]),
        ([call("f")], [result("other", {"a": 1, "b": "c"})], ['{"a":1,"b":"c"}']),
        ([call("f")], [result("f", {"error": "it broke"})], ["it broke"]),
        ([call("f"), call("g")], [result("f", {})], ["{}", "(no result)"]),
    ]
    with Fake("openai") as f, over(f, "openai", "hello") as s:
        for calls, results, want in rows:
            for role in ("user", "function", None):
                back = {"role": role, "parts": results} if role else {"parts": results}
                r = s.post(PATH, {"contents": [user("hi"), model(*calls), back]})
                t.equal(r.status, 200, r.text)
                m = f.requests("/v1/chat/completions")[-1]["body"]["messages"]
                ids = [c["id"] for c in m[1]["tool_calls"]]
                t.equal([(x["tool_call_id"], x["content"]) for x in m[2:]], list(zip(ids, want)))
        rounds = [user("hi")]
        for n in range(3):  # the same calls without ids, again and again
            rounds += [model(call("f", {"n": n})), user(result("f", {"output": str(n)}))]
        t.equal(s.post(PATH, {"contents": rounds}).status, 200)
        m = f.requests("/v1/chat/completions")[-1]["body"]["messages"]
        t.equal([x["content"] for x in m if x["role"] == "tool"], ["0", "1", "2"])
        t.equal(len({x["tool_call_id"] for x in m if x["role"] == "tool"}), 3)


@case("Google's signatures reach the client and come back on the parts that had them, after a restart too")
def signatures(t):
    tools = [{"functionDeclarations": [{"name": n} for n in "fg"]}]
    with Fake("google", "--key", KEY) as f:
        for path in (PATH, STREAM):
            with over(f, "google", "signed") as s:
                r = s.post(path, {"contents": [user("hi")], "tools": tools}).json()
            got = [p for o in (r if isinstance(r, list) else [r]) for p in o["candidates"][0]["content"]["parts"] if "functionCall" in p]
            t.equal([(p["functionCall"]["name"], p.get("thoughtSignature")) for p in got], [("f", "sig-R3"), ("g", None)])
            with over(f, "google", "signed") as s:  # which knows nothing of it
                back = [result(p["functionCall"]["name"], {"output": "x"}, id=p["functionCall"]["id"]) for p in got]
                r = s.post(PATH, {"contents": [user("hi"), {"role": "model", "parts": got}, {"role": "user", "parts": back}], "tools": tools})
                t.equal(parts(r)[0]["text"], '["sig-R3", null]', r.text)
        with over(f, "google", "reasoning") as s:
            want = {"generationConfig": {"thinkingConfig": {"includeThoughts": True, "thinkingLevel": "LOW"}}}
            a = parts(s.post(PATH, {"contents": [user("hi")], **want}))
            t.equal(a, [{"text": "Think", "thought": True}, {"text": "42", "thoughtSignature": "t1"}])
            out = [p for o in s.post(STREAM, {"contents": [user("hi")], **want}).json() for p in o["candidates"][0]["content"]["parts"]]
            t.true("t1" in [p.get("thoughtSignature") for p in out])


@case("a signature of ours is for the client alone; others' thinking goes back to them")
def other_signatures(t):
    with Fake("openai") as f, over(f, "openai", "tool") as s:
        got = parts(s.post(PATH, {"contents": [user("hi")], "tools": [{"functionDeclarations": [{"name": "get_weather"}]}]}))
        ours = got[0]["thoughtSignature"]
        base64.b64decode(ours, validate=True)
    with Fake("google", "--key", KEY) as f, over(f, "google", "hello") as s:
        r = s.post(PATH, {"contents": [user("hi"), {"role": "model", "parts": got}, user(result("get_weather", {"output": "x"}))]})
        t.equal(r.status, 200, r.text)  # the fake refuses signatures that it did not give
    tools = [{"functionDeclarations": [{"name": "f"}]}]
    with Fake("anthropic", "--key", KEY) as f, over(f, "anthropic", "tool-loop", MODEL_ALIASES="redacted=anthropic/redacted") as s:
        body = {"contents": [user("hi")], "tools": tools, "generationConfig": {"thinkingConfig": {"includeThoughts": True}}}
        whole = s.post(PATH, body).json()["candidates"][0]["content"]
        t.equal([sorted(p) for p in whole["parts"]], [["text", "thought", "thoughtSignature"], ["functionCall", "thoughtSignature"]])
        pieces = [o["candidates"][0]["content"] for o in s.post(STREAM, body).json()]
        for back in ([whole], pieces):
            id = [p["functionCall"]["id"] for c in back for p in c["parts"] if "functionCall" in p][0]
            r = s.post(PATH, {**body, "contents": [user("hi"), *back, user(result("f", {"output": "x"}, id=id))]})
            t.equal(r.status, 200, r.text)
            t.equal(parts(r)[-1]["text"], "thinking tool_use tool_result")
            sent = f.requests("/v1/messages")[-1]["body"]["messages"][1]["content"][0]
            t.equal(sent["thinking"], "I should look.")
        for path in (PATH, STREAM):
            r = s.post(path.replace("sema", "redacted"), body)
            back = [o["candidates"][0]["content"] for o in (r.json() if isinstance(r.json(), list) else [r.json()])]
            data = [p["thoughtSignature"] for c in back for p in c["parts"] if p.get("thought")]
            t.equal(len(data), 1)
            back += [model(call("f"))]
            r = s.post(PATH, {**body, "contents": [user("hi"), *back, user(result("f", {"output": "x"}))]})
            t.equal(r.status, 200, r.text)
            sent = f.requests("/v1/messages")[-1]["body"]["messages"][1]["content"][0]
            t.equal(sent["type"], "redacted_thinking")
            t.true(data[0].endswith(sent["data"]))


@case("what cannot be: 400 before anything is asked, naming the field")
def malformed(t):
    config = lambda **c: {"contents": "hi", "generationConfig": c}
    declared = {"contents": "hi", "tools": [{"functionDeclarations": [{"name": "f"}]}]}
    file = {"fileData": {"fileUri": "https://x.example/a.png", "mimeType": "image/png"}}
    rows = [
        ({}, "contents"), ({"contents": []}, "contents"), ({"contents": 7}, "contents"), ({"contents": [7]}, "contents[0]"),
        ({"contents": [{"role": "user"}]}, "contents[0].parts"), ({"contents": [user("a"), {"role": "user", "parts": []}]}, "contents[1].parts"),
        ({"contents": [{"role": "assistant", "parts": [{"text": "a"}]}]}, "contents[0].role"),
        ({"contents": [{"role": "system", "parts": [{"text": "a"}]}]}, "contents[0].role"),
        ({"contents": [user({})]}, "contents[0].parts[0]"), ({"contents": [user("a", {"text": 7})]}, "contents[0].parts[1].text"),
        ({"contents": [user(["a"])]}, "contents[0].parts[0]"),
        ({"contents": [user("a", file)]}, "contents[0].parts[1].fileData"),
        ({"contents": [user({"file_data": {}})]}, "contents[0].parts[0].fileData"),
        ({"contents": [user({"inlineData": {"mimeType": "image/png"}})]}, "contents[0].parts[0].inlineData"),
        ({"contents": [user({"inlineData": {"mimeType": "image/png", "data": 7}})]}, "contents[0].parts[0].inlineData"),
        ({"contents": [user({"inlineData": {"mimeType": "image/png,x/y", "data": "AAAA"}})]}, "contents[0].parts[0].inlineData"),
        ({"contents": [user({"inlineData": {"mimeType": "audio", "data": "AAAA"}})]}, "contents[0].parts[0].inlineData"),
        ({"contents": [user(call("f"))]}, "contents[0].parts[0].functionCall"),
        ({"contents": [user("a"), model({"functionCall": {"args": {}}})]}, "contents[1].parts[0].functionCall.name"),
        ({"contents": [user("a"), model({"functionCall": {"name": "f", "args": "x"}})]}, "contents[1].parts[0].functionCall.args"),
        ({"contents": [user(result("f", {}))]}, "contents[0].parts[0].functionResponse"),
        ({"contents": [user("a"), model(call("f")), user(result("f", "text"))]}, "contents[2].parts[0].functionResponse.response"),
        ({"contents": [user("a"), model(call("f")), user({"functionResponse": {"response": {}}})]}, "contents[2].parts[0].functionResponse.name"),
        ({"contents": [user("a"), model(result("f", {}))]}, "contents[1].parts[0].functionResponse"),
        ({"contents": "hi", "systemInstruction": 7}, "systemInstruction"), ({"contents": "hi", "systemInstruction": user(file)}, "systemInstruction.parts[0]"),
        ({"contents": "hi", "cachedContent": "cachedContents/x"}, "cachedContent"),
        ({"contents": "hi", "tools": {}}, "tools"), ({"contents": "hi", "tools": [7]}, "tools[0].functionDeclarations"),
        ({"contents": "hi", "tools": [{"functionDeclarations": {}}]}, "tools[0].functionDeclarations"),
        ({"contents": "hi", "tools": [{"functionDeclarations": [{}]}]}, "tools[0].functionDeclarations[0]"),
        ({"contents": "hi", "tools": [{"functionDeclarations": [{"name": "f", "parameters": 7}]}]}, "tools[0].functionDeclarations[0]"),
        ({**declared, "toolConfig": {"functionCallingConfig": {"mode": "SOMETIMES"}}}, "toolConfig.functionCallingConfig.mode"),
        ({**declared, "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["g"]}}},
         "toolConfig.functionCallingConfig.allowedFunctionNames"),
        ({**declared, "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": [7]}}}, "allowedFunctionNames"),
        ({"contents": "hi", "generationConfig": []}, "generationConfig"),
        (config(temperature=2.5), "generationConfig.temperature"), (config(temperature="x"), "generationConfig.temperature"),
        (config(topP=-1), "generationConfig.topP"), (config(top_p=2), "generationConfig.top_p"), (config(topK=1.5), "generationConfig.topK"),
        (config(maxOutputTokens=0), "generationConfig.maxOutputTokens"), (config(max_output_tokens=-1), "generationConfig.max_output_tokens"),
        (config(stopSequences=[1]), "generationConfig.stopSequences"), (config(candidateCount=2), "generationConfig.candidateCount"),
        (config(seed=1.5), "generationConfig.seed"), (config(presencePenalty=3), "generationConfig.presencePenalty"),
        (config(frequencyPenalty=-3), "generationConfig.frequencyPenalty"), (config(responseMimeType="image/png"), "generationConfig.responseMimeType"),
        (config(responseMimeType="application/json", responseSchema=7), "generationConfig.responseSchema"),
        (config(responseMimeType="text/plain", responseJsonSchema={}), "generationConfig.responseMimeType"),
        (config(responseModalities=["IMAGE"]), "generationConfig.responseModalities"),
        (config(thinkingConfig=7), "generationConfig.thinkingConfig"), (config(thinkingConfig={"thinkingLevel": "MUCH"}), "generationConfig.thinkingConfig.thinkingLevel"),
        (config(thinkingConfig={"thinkingLevel": "LOW", "thinkingBudget": 1}), "generationConfig.thinkingConfig.thinkingLevel"),
        (config(thinkingConfig={"thinkingBudget": "x"}), "generationConfig.thinkingBudget"),
        (config(thinkingConfig={"includeThoughts": 1}), "generationConfig.thinkingConfig.includeThoughts"),
    ]
    with Fake("openai") as f, over(f, "openai", "hello") as s:
        before = len(f.requests("/v1/chat/completions"))
        for body, field in rows:
            for path in (PATH, STREAM):
                r = s.post(path, body)
                e = r.json()["error"]
                t.equal((r.status, e["code"], e["status"]), (400, 400, "INVALID_ARGUMENT"), repr(body))
                t.true(e["message"].startswith(field + ":"), f"{e['message']} for {field}")
                t.equal(e["details"][0]["fieldViolations"][0]["field"], field)
        for raw in ("", "{", "[]", "null", b"\xff", '{"a":' * 600 + "1" + "}" * 600, '{"contents":"a\x00b"}'):
            r = s.post(PATH, raw)
            t.equal((r.status, r.json()["error"]["status"]), (400, "INVALID_ARGUMENT"), repr(raw[:20]))
        t.equal(len(f.requests("/v1/chat/completions")), before)


@case("files that are no images go where they are read, and are refused elsewhere")
def files(t):
    pdf = {"contents": [user("What is it?", {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0="}})]}
    with Fake("google", "--key", KEY) as f, over(f, "google", "hello") as s:
        t.equal(s.post(PATH, pdf).status, 200)
        sent = [r for r in f.requests() if r["method"] == "POST"][-1]["body"]["contents"][0]["parts"]
        t.equal(sent[1], {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0="}})
    for name in ("openai", "anthropic"):
        with Fake(name, "--key", KEY) as f, over(f, name, "hello") as s:
            r = s.post(PATH, pdf)
            t.equal((r.status, r.json()["error"]["status"]), (400, "INVALID_ARGUMENT"), r.text)
            t.true("application/pdf" in r.json()["error"]["message"])


RAW_CONTENTS = ('[ {"parts":[{"text":"Be \\u0062rief."}, {"inlineData":{"data":"AAAA","mimeType":"image/png"}}],"role":"user"},\n'
                '{"role":"model","parts":[{"functionCall":{"args":{ "id":1234567890123456789 , "x":1.10},"name":"f"},"thoughtSignature":"c2ln"}]},'
                '{"role":"user","parts":[{"functionResponse":{"response":{"output":"r"},"name":"f"}} ]} ]')
RAW_TOOLS = ('[ {"functionDeclarations":[{"parametersJsonSchema":{"properties":{"n":{"minimum":1.10}},"type":"object"},"name":"f",'
             '"behavior":"BLOCKING"}]} ]')


def generate(request):
    if request["method"] == "GET":
        return [Upstream.json(200, {"models": []})]
    answer = {"candidates": [{"content": {"role": "model", "parts": [{"text": "hello"}]}, "finishReason": "STOP"}]}
    if request["path"].endswith(":generateContent"):
        return [Upstream.json(200, answer)]
    return [Upstream.STREAM, Upstream.event(json.dumps(answer))]


@case("the same form in and out: what was written goes up byte for byte, but for what must be changed")
def same(t):
    with Upstream(generate) as u, Server(MODEL_TYPE="google", MODEL_NAME="gemini-9-test", GOOGLE_API_KEY=KEY, PROVIDER_RETRIES="0",
                                         GOOGLE_GEMINI_BASE_URL=u.url[:-3]) as s:
        def sent(body):
            for path in (PATH, STREAM + "?alt=sse"):
                r = s.post(path, body)
                t.equal(r.status, 200, r.text)
            one, two = [r for r in u.requests if r["method"] == "POST"][-2:]
            t.equal([(r["path"].rpartition(":")[2], r["headers"]["accept"]) for r in (one, two)],
                    [("generateContent", "application/json"), ("streamGenerateContent?alt=sse", "text/event-stream")])
            t.equal(one["raw"], two["raw"])
            return one["raw"]
        safety = '"safetySettings":[ {"category":"HARM_CATEGORY_HARASSMENT","threshold":"BLOCK_NONE"} ]'
        kept = ('{"tools":' + RAW_TOOLS + ',"contents":' + RAW_CONTENTS + ',' + safety +
                ',"generationConfig":{"topP":0.90,"temperature":0.70,"candidateCount":1}')
        t.equal(sent(kept + ',"model":"models/sema","cachedContent":null}'), kept + "}")
        t.equal(sent(kept + ',"nobodyKnows":[ 1 ]}'), kept + ',"nobodyKnows":[ 1 ]}')  # not Google's own address
        # What has to be put right is written anew, alone.
        odd = sent('{"contents":"hi",' + safety + ',"generation_config":{"top_p":0.90},"system_instruction":"Be kind."}')
        t.true(safety in odd, odd)
        t.equal({k: v for k, v in json.loads(odd).items() if k != "safetySettings"}, {
            "contents": [{"role": "user", "parts": [{"text": "hi"}]}], "generationConfig": {"topP": 0.9},
            "systemInstruction": {"parts": [{"text": "Be kind."}]}})
        rows = [('{"text":""}', None), ('{"text":"a","nobodyKnows":1}', {"text": "a"}), ('"a"', {"text": "a"}),
                ('{"inline_data":{"mime_type":"image/png","data":"AAAA"}}', {"inlineData": {"mimeType": "image/png", "data": "AAAA"}})]
        for part, want in rows:
            got = json.loads(sent('{"contents":[{"role":"user","parts":[{"text":"b"},' + part + ']}]}'))["contents"][0]["parts"]
            t.equal(got, [{"text": "b"}] + ([want] if want else []), part)
        unsigned = json.loads(sent('{"contents":' + RAW_CONTENTS.replace(',"thoughtSignature":"c2ln"', "") + "}"))["contents"][1]["parts"]
        t.equal(unsigned[0]["thoughtSignature"], "skip_thought_signature_validator")
        apart = json.loads(sent('{"contents":[{"role":"user","parts":[{"text":"a"}]},{"role":"model","parts":[{"text":"b"}]},'
                                '{"role":"model","parts":[{"text":"c"}]},{"role":"user","parts":[{"text":"d"}]}]}'))["contents"]
        t.equal([c["parts"] for c in apart], [[{"text": "a"}], [{"text": "bc"}], [{"text": "d"}]])


@case("a whole answer is asked for as one: it may take its time, is asked for again, and falls back")
def whole(t):
    def play(request):
        if request["method"] == "GET":
            return [Upstream.json(200, {"models": []})]
        verb, posts = request["path"].rpartition(":")[2], len([r for r in u.requests if r["method"] == "POST"])
        if posts == 1:
            return [Upstream.json(503, {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}})]
        answer = {"candidates": [{"content": {"role": "model", "parts": [{"text": verb}]}, "finishReason": "STOP"}]}
        return [1.5, Upstream.json(200, answer)] if verb == "generateContent" else [Upstream.STREAM, 1.5, Upstream.event(json.dumps(answer))]
    with Upstream(play) as u, Server(MODEL_TYPE="google", MODEL_NAME="gemini-9-test", GOOGLE_API_KEY=KEY, PROVIDER_RETRIES="1",
                                     PROVIDER_IDLE_TIMEOUT="1", GOOGLE_GEMINI_BASE_URL=u.url[:-3], PROVIDER_BREAKER_FAILURES="0") as s:
        r = s.post(PATH, {"contents": "hi"})  # twice, and longer than a stream may be silent
        t.equal((r.status, r.status == 200 and parts(r)), (200, [{"text": "generateContent"}]), r.text)
        t.equal(len([r for r in u.requests if r["method"] == "POST"]), 2)
        # Nobody else's request is: silence shows early in a stream.
        r = s.post("/v1/chat/completions", {"model": "sema", "messages": [{"role": "user", "content": "hi"}]})
        t.equal(r.status, 504, r.text)


@case("null is absent, numbers may be floats, the last of two keys counts, odd text arrives whole")
def tolerant(t):
    nothing = {k: None for k in ("systemInstruction", "tools", "toolConfig", "safetySettings", "cachedContent", "labels")}
    config = {k: None for k in ("temperature", "topP", "topK", "maxOutputTokens", "stopSequences", "seed", "candidateCount", "responseMimeType",
                                "responseSchema", "responseJsonSchema", "thinkingConfig", "presencePenalty", "frequencyPenalty")}
    with Fake("openai") as f, over(f, "openai", "echo-anything") as s:
        text = "a\u0000b \U0001F600 \u2028 \\ud800"
        for body in ({"contents": [user(text)], **nothing, "generationConfig": config}, {"contents": [user(text)], **nothing, "generationConfig": None},
                     {"contents": user(text)}, {"contents": [{"role": None, "parts": {"text": text}}]}):
            r = s.post(PATH, body)
            t.equal(r.status, 200, r.text)
            t.equal(f.requests("/v1/chat/completions")[-1]["body"]["messages"][-1]["content"], text)
        r = s.post(PATH, '{"contents":"one","contents":"two","generationConfig":{"maxOutputTokens":9.0}}')
        t.equal((r.status, f.requests("/v1/chat/completions")[-1]["body"]["messages"][-1]["content"]), (200, "two"))
        r = s.post(PATH, '{"contents":"lone \\ud800 half"}')
        t.equal((r.status, f.requests("/v1/chat/completions")[-1]["body"]["messages"][-1]["content"]), (200, "lone \ufffd half"))


main()
