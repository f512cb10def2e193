// openai: chat completions, completions, responses, models.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { KEY, fake, serve } from "./server.mjs";

const say = (content) => [{ role: "user", content }];
const delta = (chunk) => chunk.choices[0]?.delta?.content;

export default function client(url, key, more) {
  const api = new OpenAI({ baseURL: url + "/v1", apiKey: key, maxRetries: 0, ...more });
  const ask = (model, messages, rest) => api.chat.completions.create({ model, messages, temperature: 0, ...rest });
  return {
    api,
    status: (error) => error.status,
    chat: async (model, text) => (await ask(model, say(text))).choices[0].message.content,
    async stream(model, text) {
      const pieces = [];
      for await (const chunk of await ask(model, say(text), { stream: true })) if (delta(chunk)) pieces.push(delta(chunk));
      return pieces;
    },
    async tools(model, text, tool, result, forced) {
      const tools = [{ type: "function", function: tool }];
      const first = (await ask(model, say(text), { tools, ...(forced && { tool_choice: "required" }) })).choices[0];
      assert.equal(first.finish_reason, "tool_calls");
      const [call] = first.message.tool_calls;
      const talk = [...say(text), first.message, { role: "tool", tool_call_id: call.id, content: result }];
      const second = (await ask(model, talk, { tools })).choices[0].message;
      return { call: { name: call.function.name, args: JSON.parse(call.function.arguments) }, text: second.content };
    },
    async schema(model, text, schema) {
      const response_format = { type: "json_schema", json_schema: { name: "answer", strict: true, schema } };
      const p = await api.chat.completions.parse({ model, messages: say(text), temperature: 0, response_format });
      return p.choices[0].message.parsed ?? JSON.parse(p.choices[0].message.content);
    },
    async abort(model, text, pieces) {
      let n = 0;
      const stream = await ask(model, say(text), { stream: true });
      for await (const chunk of stream) if (delta(chunk) && ++n === pieces) break; // which closes the connection
      return n;
    },
  };
}

const parameters = { type: "object", properties: { a: { type: "integer" } }, required: ["a"] };

// What only this client has, against a script.
export const own = {
  async "the stream helper, usage, completions, models"(url) {
    const { api } = client(url, KEY);
    const h = api.chat.completions.stream({ model: "sema", messages: say("hello"), stream_options: { include_usage: true } });
    assert.equal(await h.finalContent(), "Hello you");
    assert.equal((await h.totalUsage()).total_tokens, 12);
    const tools = [{ type: "function", function: { name: "f", parameters } }];
    const t = await api.chat.completions.stream({ model: "sema", messages: say("tool"), tools }).finalChatCompletion();
    assert.equal(t.choices[0].message.tool_calls[0].function.arguments, '{"a":1}');
    assert.equal(t.choices[0].finish_reason, "tool_calls");
    assert.equal((await api.completions.create({ model: "sema", prompt: "hello" })).choices[0].text, "Hello you");
    const models = await api.models.list();
    assert.equal((await api.models.retrieve(models.data[0].id)).id, models.data[0].id);
  },
  async "responses whole and by the stream helper"(url) {
    const { api } = client(url, KEY);
    assert.equal((await api.responses.create({ model: "sema", input: "hello" })).output_text, "Hello you");
    const tools = [{ type: "function", name: "f", parameters, strict: false }];
    const r = await api.responses.stream({ model: "sema", input: "tool", tools }).finalResponse();
    assert.equal(r.output[0].arguments, '{"a":1}');
    const t = await api.responses.stream({ model: "sema", input: "think" }).finalResponse();
    assert.deepEqual(t.output.map((i) => i.type), ["reasoning", "message"]);
    assert.equal(t.output_text, "42");
  },
  async "embeddings, in the packed form that it asks for by default"() {
    const f = await fake("openai", "key-of-the-server");
    const s = await serve({ env: { MODEL_TYPE: "openai", MODEL_NAME: "hello", OPENAI_BASE_URL: f.url + "/v1", OPENAI_API_KEY: "key-of-the-server" } });
    try {
      const { api } = client(s.url, KEY);
      const rounded = (r) => r.data.map((d) => Array.from(d.embedding, (n) => Math.round(n * 1000) / 1000));
      for (const model of ["openai/embed-x", "openai/embed-floats"]) {
        const r = await api.embeddings.create({ model, input: ["hello", "a"] });
        assert.deepEqual(rounded(r), [[5, 0, 0.1], [1, 1, 0.1]]);
        assert.equal(r.usage.total_tokens, 6);
      }
      assert.deepEqual(rounded(await api.embeddings.create({ model: "openai/embed-x", input: "hello", dimensions: 2, encoding_format: "float" })), [[5, 0]]);
      await assert.rejects(api.embeddings.create({ model: "none", input: "x" }), OpenAI.NotFoundError);
    } finally {
      s.stop();
      f.stop();
    }
  },
  async "errors by their class and field"(url) {
    const { api } = client(url, KEY);
    const ask = (text, more) => api.chat.completions.create({ model: "sema", messages: say(text), ...more });
    await assert.rejects(ask("busy"), OpenAI.RateLimitError);
    await assert.rejects(ask("hello", { temperature: 9 }), (e) => e instanceof OpenAI.BadRequestError && e.param === "temperature");
    await assert.rejects(ask("hello", { model: "none" }), (e) => e instanceof OpenAI.NotFoundError && e.code === "model_not_found");
    await assert.rejects(client(url, "wrong").api.models.list(), OpenAI.AuthenticationError);
  },
};
