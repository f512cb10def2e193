// @anthropic-ai/sdk: messages and what belongs to them.
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import { KEY } from "./server.mjs";

const say = (content) => [{ role: "user", content }];
const text_of = (message) => message.content.filter((b) => b.type === "text").map((b) => b.text).join("");

export default function client(url, key) {
  const api = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });
  const ask = (model, messages, rest) => api.messages.create({ model, max_tokens: 200, messages, temperature: 0, ...rest });
  return {
    api,
    status: (error) => error.status,
    chat: async (model, text) => text_of(await ask(model, say(text))),
    async stream(model, text) {
      const pieces = [];
      for await (const e of await ask(model, say(text), { stream: true })) if (e.delta?.type === "text_delta") pieces.push(e.delta.text);
      return pieces;
    },
    async tools(model, text, tool, result, forced) {
      const tools = [{ name: tool.name, description: tool.description, input_schema: tool.parameters }];
      const first = await ask(model, say(text), { tools, ...(forced && { tool_choice: { type: "any" } }) });
      assert.equal(first.stop_reason, "tool_use");
      const call = first.content.find((b) => b.type === "tool_use");
      const talk = [
        ...say(text),
        { role: "assistant", content: first.content },
        { role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: result }] },
      ];
      return { call: { name: call.name, args: call.input }, text: text_of(await ask(model, talk, { tools })) };
    },
    schema: async (model, text, schema) =>
      JSON.parse(text_of(await ask(model, say(text), { output_config: { format: { type: "json_schema", schema } } }))),
    async abort(model, text, pieces) {
      let n = 0;
      const stream = await ask(model, say(text), { stream: true });
      for await (const e of stream) if (e.delta?.type === "text_delta" && ++n === pieces) break; // which closes the connection
      return n;
    },
  };
}

// What only this client has, against a script.
export const own = {
  async "the stream helper, thinking, counts, errors by their class"(url) {
    const { api } = client(url, KEY);
    const ask = (text, more) => ({ model: "sema", max_tokens: 2000, messages: say(text), ...more });
    assert.equal(await api.messages.stream(ask("hello")).finalText(), "Hello you");
    const thinking = { type: "enabled", budget_tokens: 1024 };
    const t = await api.messages.stream(ask("think", { thinking })).finalMessage();
    assert.deepEqual(t.content.map((b) => b.type), ["thinking", "text"]);
    assert.equal(t.content[0].thinking, "Let me see.");
    const tools = [{ name: "f", input_schema: { type: "object" } }];
    const m = await api.messages.stream(ask("tool", { tools })).finalMessage();
    assert.deepEqual(m.content[0].input, { a: 1 });
    assert.equal(m.stop_reason, "tool_use");
    assert.ok((await api.messages.countTokens({ model: "sema", messages: say("hello") })).input_tokens > 0);
    await assert.rejects(api.messages.create(ask("busy")), Anthropic.RateLimitError);
    await assert.rejects(api.messages.stream(ask("cut")).finalText(), Anthropic.APIError);
  },
};
