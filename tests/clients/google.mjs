// @google/genai: generateContent and what belongs to it.
import assert from "node:assert/strict";
import { FunctionCallingConfigMode, GoogleGenAI } from "@google/genai";
import { KEY } from "./server.mjs";

export default function client(url, key) {
  const api = new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: url, retryOptions: { attempts: 1 } } });
  const ask = (model, contents, config) => ({ model, contents, config: { temperature: 0, ...config } });
  return {
    api,
    status: (error) => error.status,
    chat: async (model, text) => (await api.models.generateContent(ask(model, text))).text,
    async stream(model, text) {
      const pieces = [];
      for await (const chunk of await api.models.generateContentStream(ask(model, text))) if (chunk.text) pieces.push(chunk.text);
      return pieces;
    },
    async tools(model, text, tool, result, forced) {
      const { parameters, ...rest } = tool;
      const tools = [{ functionDeclarations: [{ ...rest, parametersJsonSchema: parameters }] }];
      const toolConfig = forced && { functionCallingConfig: { mode: FunctionCallingConfigMode.ANY } };
      const first = await api.models.generateContent(ask(model, text, { tools, ...(forced && { toolConfig }) }));
      const [call] = first.functionCalls;
      const back = { functionResponse: { id: call.id, name: call.name, response: { output: result } } };
      const talk = [{ role: "user", parts: [{ text }] }, first.candidates[0].content, { role: "user", parts: [back] }];
      return { call, text: (await api.models.generateContent(ask(model, talk, { tools }))).text };
    },
    schema: async (model, text, responseJsonSchema) =>
      JSON.parse((await api.models.generateContent(ask(model, text, { responseMimeType: "application/json", responseJsonSchema }))).text),
    async abort(model, text, pieces) {
      let n = 0;
      const stop = new AbortController();
      try {
        const stream = await api.models.generateContentStream(ask(model, text, { abortSignal: stop.signal }));
        for await (const chunk of stream) if (chunk.text && ++n === pieces) stop.abort();
      } catch (error) {
        assert.match(String(error), /abort/i);
      }
      return n;
    },
  };
}

// What only this client has, against a script.
export const own = {
  async "thoughts, usage, a chat that remembers, countTokens, models"(url) {
    const { api } = client(url, KEY);
    const thinkingConfig = { includeThoughts: true };
    const t = await api.models.generateContent({ model: "sema", contents: "think", config: { thinkingConfig } });
    assert.deepEqual(t.candidates[0].content.parts.map((p) => [p.text, p.thought ?? false]), [["Let me see.", true], ["42", false]]);
    const a = await api.models.generateContent({ model: "sema", contents: "hello" });
    assert.equal(a.usageMetadata.totalTokenCount, 12);
    assert.equal(a.candidates[0].finishReason, "STOP");
    const chat = api.chats.create({ model: "sema" });
    for await (const _ of await chat.sendMessageStream({ message: "hello" }));
    assert.equal((await chat.sendMessage({ message: "what was said?" })).text, "user: hello\nassistant: Hello you\nuser: what was said?\n");
    assert.ok((await api.models.countTokens({ model: "sema", contents: "hello" })).totalTokens > 0);
    const models = [];
    for await (const m of await api.models.list({ config: { pageSize: 2 } })) models.push(m.name);
    assert.equal((await api.models.get({ model: models[0] })).name, models[0]);
  },
  async "calls of a stream, a schema in Google's words, an image, system words"(url) {
    const { api } = client(url, KEY);
    const calls = [];
    const tools = [{ functionDeclarations: [{ name: "f", parameters: { type: "OBJECT", properties: { a: { type: "INTEGER" } } } }] }];
    for await (const c of await api.models.generateContentStream({ model: "sema", contents: "tool", config: { tools } })) calls.push(...(c.functionCalls ?? []));
    assert.deepEqual(calls.map((c) => [c.name, c.args]), [["f", { a: 1 }]]);
    const config = { systemInstruction: "Be short.", responseMimeType: "application/json", responseSchema: { type: "OBJECT", properties: { ok: { type: "BOOLEAN" } } } };
    const contents = ["schema", { inlineData: { mimeType: "image/png", data: "iVBORw0KGgo=" } }];
    assert.equal((await api.models.generateContent({ model: "sema", contents, config })).text, '{"ok":true}');
  },
  async "errors: status words, a field that is wrong, a stream that fails"(url) {
    const { api } = client(url, KEY);
    const ask = (text, config) => api.models.generateContent({ model: "sema", contents: text, config });
    await assert.rejects(ask("busy"), (e) => e.status === 429 && /RESOURCE_EXHAUSTED/.test(e.message));
    await assert.rejects(ask("hello", { temperature: 9 }), (e) => e.status === 400 && /generationConfig.temperature/.test(e.message));
    await assert.rejects(async () => {
      for await (const _ of await api.models.generateContentStream({ model: "sema", contents: "cut" }));
    }, /INTERNAL|502/);
  },
};
