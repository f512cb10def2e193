// Real clients from npm against the real program: each case is what a user of that client would write.
// TAP; without node_modules (npm ci) a single line that says so.
import { spawn } from "node:child_process";
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

if (parseInt(process.versions.node) < 20) {
  console.log("1..0 # SKIP these clients want Node 20 or newer");
  process.exit(0);
}
const here = path.dirname(new URL(import.meta.url).pathname);
if (!fs.existsSync(path.join(here, "node_modules", "openai"))) {
  console.log("1..0 # SKIP the clients are not installed: npm ci in tests/clients");
  process.exit(0);
}
const { default: OpenAI } = await import("openai");
const { default: Anthropic } = await import("@anthropic-ai/sdk");
const { Ollama } = await import("ollama");
const ai = await import("ai");
const { createOpenAICompatible } = await import("@ai-sdk/openai-compatible");
const { ChatOpenAI } = await import("@langchain/openai");

const KEY = "key-of-this-test";
const script = [
  { when: "hello", pieces: ["Hel", "lo ", "you"], usage: { prompt: 9, completion: 3 } },
  { when: "think", pieces: [{ reasoning: "Let me see." }, "42"] },
  { when: "tool", finish: "tool_calls", pieces: [{ tool: { id: "call_a", name: "f", args: ['{"a":', "1}"] } }] },
  { when: "schema", pieces: ['{"ok":', "true}"] },
  { when: "forever", pieces: [{ text: "on ", repeat: 100000, every_ms: 5 }] },
  { when: "cut", pieces: ["word", { error: "server", status: 500 }] },
  { when: "busy", pieces: [{ error: "rate_limit", retry_after_ms: 1000, status: 429 }] },
  { when: "number", pieces: [{ echo: "last" }, { text: ".", repeat: 10, every_ms: 5 }] },
];

async function serve(env) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "sema-clients-"));
  fs.writeFileSync(path.join(folder, "script.jsonl"), script.map((l) => JSON.stringify(l)).join("\n"));
  const child = spawn(process.env.SEMA_BINARY, ["serve"], {
    cwd: folder,
    stdio: ["ignore", "pipe", "ignore"],
    env: {
      PATH: process.env.PATH, HOME: folder, HOST: "127.0.0.1", PORT: "0", RATE_LIMIT: "0", API_KEY: KEY, SHUTDOWN_TIMEOUT: "1",
      SESSION_STORE: "memory:", PROVIDER_RETRIES: "0", PROVIDER_BREAKER_FAILURES: "0", STREAM_RESCUE: "off", HF_HUB_OFFLINE: "1",
      ...(env ?? { MODEL_TYPE: "scripted", MODEL_NAME: path.join(folder, "script.jsonl") }),
    },
  });
  let log = "";
  child.stdout.on("data", (d) => (log += d));
  const stop = () => {
    child.kill("SIGTERM");
    fs.rmSync(folder, { recursive: true, force: true });
  };
  for (let n = 0; n < 1500; n++) {
    const line = log.split("\n").find((l) => l.includes('"application_startup"'));
    if (line) {
      const url = `http://127.0.0.1:${JSON.parse(line).port}`;
      const health = await fetch(url + "/api/v1/health").then((r) => r.json());
      if (health.model_loaded) return { url, stop };
    }
    await new Promise((r) => setTimeout(r, 10));
  }
  stop();
  throw new Error("the server did not start: " + log);
}

const say = (content) => [{ role: "user", content }];
const parameters = { type: "object", properties: { a: { type: "integer" } }, required: ["a"] };
const tools = [{ type: "function", function: { name: "f", parameters } }];
const collect = async (stream, pick) => {
  let text = "";
  for await (const chunk of stream) text += pick(chunk) ?? "";
  return text;
};
const delta = (c) => c.choices[0]?.delta?.content;

const openai = (s, more) => new OpenAI({ baseURL: s.url + "/v1", apiKey: KEY, maxRetries: 0, ...more });
const anthropic = (s) => new Anthropic({ baseURL: s.url, apiKey: KEY, maxRetries: 0 });
const ollama = (s) => new Ollama({ host: s.url, headers: { Authorization: `Bearer ${KEY}` } });
const sdk = (s) => createOpenAICompatible({ name: "sema", baseURL: s.url + "/v1", apiKey: KEY, includeUsage: true });
const langchain = (s, more) =>
  new ChatOpenAI({ model: "sema", apiKey: KEY, maxRetries: 0, configuration: { baseURL: s.url + "/v1" }, ...more });

const cases = {
  async "openai: chat, streamed chat, the stream helper, usage"(s) {
    const c = openai(s);
    const a = await c.chat.completions.create({ model: "sema", messages: say("hello") });
    assert.equal(a.choices[0].message.content, "Hello you");
    assert.equal(a.usage.total_tokens, 12);
    assert.equal(await collect(await c.chat.completions.create({ model: "sema", messages: say("hello"), stream: true }), delta), "Hello you");
    const h = c.chat.completions.stream({ model: "sema", messages: say("hello"), stream_options: { include_usage: true } });
    assert.equal(await h.finalContent(), "Hello you");
    assert.equal((await h.totalUsage()).total_tokens, 12);
  },
  async "openai: tools whole and streamed, a parsed schema, completions, models"(s) {
    const c = openai(s);
    const ask = { model: "sema", messages: say("tool"), tools };
    const a = await c.chat.completions.create(ask);
    assert.deepEqual(JSON.parse(a.choices[0].message.tool_calls[0].function.arguments), { a: 1 });
    const b = await c.chat.completions.stream(ask).finalChatCompletion();
    assert.equal(b.choices[0].message.tool_calls[0].function.arguments, '{"a":1}');
    assert.equal(b.choices[0].finish_reason, "tool_calls");
    const response_format = { type: "json_schema", json_schema: { name: "n", strict: true, schema: { type: "object" } } };
    const p = await c.chat.completions.parse({ model: "sema", messages: say("schema"), response_format });
    assert.deepEqual(p.choices[0].message.parsed ?? JSON.parse(p.choices[0].message.content), { ok: true });
    assert.equal((await c.completions.create({ model: "sema", prompt: "hello" })).choices[0].text, "Hello you");
    const list = await c.models.list();
    assert.equal((await c.models.retrieve(list.data[0].id)).id, list.data[0].id);
  },
  async "openai: responses whole and by the stream helper"(s) {
    const c = openai(s);
    assert.equal((await c.responses.create({ model: "sema", input: "hello" })).output_text, "Hello you");
    const r = await c.responses.stream({ model: "sema", input: "tool", tools: [{ type: "function", name: "f", parameters, strict: false }] }).finalResponse();
    assert.equal(r.output[0].arguments, '{"a":1}');
    const t = await c.responses.stream({ model: "sema", input: "think" }).finalResponse();
    assert.deepEqual(t.output.map((i) => i.type), ["reasoning", "message"]);
    assert.equal(t.output_text, "42");
  },
  async "openai: errors by their class, a cut stream is no success, an abort is one"(s) {
    const c = openai(s);
    const ask = (text, more) => c.chat.completions.create({ model: "sema", messages: say(text), ...more });
    await assert.rejects(ask("busy"), OpenAI.RateLimitError);
    await assert.rejects(ask("busy", { stream: true }), OpenAI.RateLimitError);
    await assert.rejects(ask("hello", { temperature: 9 }), (e) => e instanceof OpenAI.BadRequestError && e.param === "temperature");
    await assert.rejects(ask("hello", { model: "none" }), (e) => e instanceof OpenAI.NotFoundError && e.code === "model_not_found");
    await assert.rejects(openai(s, { apiKey: "wrong" }).models.list(), OpenAI.AuthenticationError);
    await assert.rejects(collect(await ask("cut", { stream: true }), delta), OpenAI.APIError);
    const stream = await ask("forever", { stream: true });
    let n = 0;
    for await (const _ of stream) if (++n === 5) break;
    assert.equal(n, 5);
    assert.equal((await ask("hello")).choices[0].message.content, "Hello you");
  },
  async "openai: 50 streams at once"(s) {
    const c = openai(s);
    const one = async (n) => collect(await c.chat.completions.create({ model: "sema", messages: say(`number ${n}`), stream: true }), delta);
    const got = await Promise.all(Array.from({ length: 50 }, (_, n) => one(n)));
    got.forEach((text, n) => assert.equal(text, `number ${n}..........`));
  },
  async "anthropic: messages, the stream helper, tools, counting, errors"(s) {
    const c = anthropic(s);
    const ask = (text, more) => ({ model: "sema", max_tokens: 100, messages: say(text), ...more });
    const a = await c.messages.create(ask("hello"));
    assert.equal(a.content[0].text, "Hello you");
    assert.equal(a.stop_reason, "end_turn");
    assert.equal(await c.messages.stream(ask("hello")).finalText(), "Hello you");
    const m = await c.messages.stream(ask("tool", { tools: [{ name: "f", input_schema: parameters }] })).finalMessage();
    assert.deepEqual(m.content[0].input, { a: 1 });
    assert.equal(m.stop_reason, "tool_use");
    assert.ok((await c.messages.countTokens({ model: "sema", messages: say("hello") })).input_tokens > 0);
    await assert.rejects(c.messages.create(ask("busy")), Anthropic.RateLimitError);
    await assert.rejects(c.messages.stream(ask("cut")).finalText(), Anthropic.APIError);
  },
  async "ollama: chat, generate, tools, list, show, errors, abort"(s) {
    const c = ollama(s);
    assert.equal((await c.chat({ model: "sema", messages: say("hello") })).message.content, "Hello you");
    assert.equal(await collect(await c.chat({ model: "sema", messages: say("hello"), stream: true }), (x) => x.message.content), "Hello you");
    assert.equal((await c.generate({ model: "sema", prompt: "hello" })).response, "Hello you");
    assert.deepEqual((await c.chat({ model: "sema", messages: say("tool"), tools })).message.tool_calls[0].function, { name: "f", arguments: { a: 1 } });
    const { models } = await c.list();
    assert.ok((await c.show({ model: models[0].name })).capabilities.includes("completion"));
    await assert.rejects(c.chat({ model: "none", messages: say("hello") }), (e) => e.status_code === 404);
    await assert.rejects(async () => collect(await c.chat({ model: "sema", messages: say("cut"), stream: true }), (x) => x.message.content));
    const stream = await c.chat({ model: "sema", messages: say("forever"), stream: true });
    await assert.rejects(async () => {
      for await (const _ of stream) stream.abort();
    }, { name: "AbortError" });
  },
  async "ai sdk: text, a stream with reasoning, tools, errors"(s) {
    const model = sdk(s)("sema");
    const a = await ai.generateText({ model, prompt: "hello", maxRetries: 0 });
    assert.equal(a.text, "Hello you");
    const r = ai.streamText({ model, prompt: "think", maxRetries: 0 });
    assert.equal(await r.text, "42");
    assert.equal(await r.reasoningText, "Let me see.");
    const f = ai.tool({ inputSchema: ai.jsonSchema(parameters) });
    const t = await ai.generateText({ model, prompt: "tool", tools: { f }, maxRetries: 0 });
    assert.deepEqual(t.toolCalls[0].input, { a: 1 });
    await assert.rejects(ai.generateText({ model, prompt: "busy", maxRetries: 0 }), (e) => e.statusCode === 429);
  },
  async "langchain: invoke, stream with usage, tools"(s) {
    const a = await langchain(s).invoke("hello");
    assert.equal(a.content, "Hello you");
    assert.equal(a.usage_metadata.total_tokens, 12);
    assert.equal(await collect(await langchain(s).stream("hello"), (x) => x.content), "Hello you");
    const t = await langchain(s).bindTools(tools).invoke("tool");
    assert.deepEqual(t.tool_calls[0].args, { a: 1 });
  },
};

const local = {
  async "the model that is built in: openai, responses, anthropic, ollama"(s) {
    const c = openai(s);
    const schema = { type: "object", properties: { ok: { type: "boolean" } }, required: ["ok"], additionalProperties: false };
    const response_format = { type: "json_schema", json_schema: { name: "n", strict: true, schema } };
    const a = await c.chat.completions.create({ model: "sema", messages: say("Is it so?"), response_format });
    assert.equal(typeof JSON.parse(a.choices[0].message.content).ok, "boolean");
    const b = await c.chat.completions.create({ model: "sema", messages: say("What is Sema?"), max_tokens: 4 });
    assert.equal(b.choices[0].finish_reason, "length");
    assert.ok((await c.responses.create({ model: "sema", input: "What is Sema?", max_output_tokens: 4 })).output_text);
    assert.equal((await anthropic(s).messages.create({ model: "sema", max_tokens: 4, messages: say("What is Sema?") })).stop_reason, "max_tokens");
    const o = await ollama(s).chat({ model: "sema", messages: say("Is it so?"), format: schema });
    assert.equal(typeof JSON.parse(o.message.content).ok, "boolean");
  },
};

let number = 0;
let bad = 0;
console.log(`1..${Object.keys(cases).length + Object.keys(local).length}`);
for (const [group, env] of [[cases, undefined], [local, {}]]) {
  const s = await serve(env);
  for (const [name, run] of Object.entries(group)) {
    try {
      await run(s);
      console.log(`ok ${++number} - ${name}`);
    } catch (error) {
      bad++;
      for (const line of String(error.stack ?? error).split("\n").slice(0, 12)) console.log("# " + line);
      console.log(`not ok ${++number} - ${name}`);
    }
  }
  s.stop();
}
process.exit(bad ? 1 : 0);
