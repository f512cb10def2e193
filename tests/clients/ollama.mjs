// ollama.
import assert from "node:assert/strict";
import { Ollama } from "ollama";
import { KEY } from "./server.mjs";

const say = (content) => [{ role: "user", content }];

export default function client(url, key) {
  const api = new Ollama({ host: url, headers: { Authorization: `Bearer ${key}` } });
  const ask = (model, messages, rest) => api.chat({ model, messages, options: { temperature: 0 }, ...rest });
  return {
    api,
    status: (error) => error.status_code,
    chat: async (model, text) => (await ask(model, say(text))).message.content,
    async stream(model, text) {
      const pieces = [];
      for await (const line of await ask(model, say(text), { stream: true })) if (line.message.content) pieces.push(line.message.content);
      return pieces;
    },
    // Its form has no word that forces a call.
    async tools(model, text, tool, result) {
      const tools = [{ type: "function", function: tool }];
      const { message } = await ask(model, say(text), { tools });
      const call = message.tool_calls?.[0].function;
      if (!call) return { text: message.content };
      const talk = [...say(text), message, { role: "tool", tool_name: call.name, content: result }];
      return { call: { name: call.name, args: call.arguments }, text: (await ask(model, talk, { tools })).message.content };
    },
    schema: async (model, text, format) => JSON.parse((await ask(model, say(text), { format })).message.content),
    async abort(model, text, pieces) {
      let n = 0;
      const stream = await ask(model, say(text), { stream: true });
      await assert.rejects(async () => {
        for await (const line of stream) if (line.message.content && ++n === pieces) stream.abort();
      }, { name: "AbortError" });
      return n;
    },
  };
}

// What only this client has, against a script.
export const own = {
  async "generate, list, show"(url) {
    const { api } = client(url, KEY);
    assert.equal((await api.generate({ model: "sema", prompt: "hello" })).response, "Hello you");
    const { models } = await api.list();
    assert.ok((await api.show({ model: models[0].name })).capabilities.includes("completion"));
  },
};
