// @langchain/openai.
import assert from "node:assert/strict";
import { AIMessage, HumanMessage, ToolMessage } from "@langchain/core/messages";
import { ChatOpenAI } from "@langchain/openai";
import { KEY } from "./server.mjs";

export default function client(url, key) {
  const of = (model) => new ChatOpenAI({ model, apiKey: key, temperature: 0, maxRetries: 0, configuration: { baseURL: url + "/v1" } });
  return {
    of,
    status: (error) => error.status,
    chat: async (model, text) => (await of(model).invoke(text)).content,
    async stream(model, text) {
      const pieces = [];
      for await (const chunk of await of(model).stream(text)) if (chunk.content) pieces.push(chunk.content);
      return pieces;
    },
    async tools(model, text, tool, result, forced) {
      const tools = [{ type: "function", function: tool }];
      const first = await of(model).bindTools(tools, forced ? { tool_choice: "required" } : {}).invoke(text);
      assert.ok(first instanceof AIMessage);
      const [call] = first.tool_calls;
      const talk = [new HumanMessage(text), first, new ToolMessage({ tool_call_id: call.id, content: result })];
      return { call, text: (await of(model).bindTools(tools).invoke(talk)).content };
    },
    schema: (model, text, schema) =>
      of(model).withStructuredOutput({ title: "answer", ...schema }, { method: "jsonSchema", name: "answer", strict: true }).invoke(text),
    async abort(model, text, pieces) {
      let n = 0;
      const stop = new AbortController();
      try {
        for await (const chunk of await of(model).stream(text, { signal: stop.signal })) if (chunk.content && ++n === pieces) stop.abort();
      } catch (error) {
        assert.match(String(error), /abort/i);
      }
      return n;
    },
  };
}

// What only this client has, against a script.
export const own = {
  async "usage, whole and streamed"(url) {
    assert.equal((await client(url, KEY).of("sema").invoke("hello")).usage_metadata.total_tokens, 12);
    let all;
    for await (const chunk of await client(url, KEY).of("sema").stream("hello")) all = all ? all.concat(chunk) : chunk;
    assert.equal(all.usage_metadata.total_tokens, 12);
  },
};
