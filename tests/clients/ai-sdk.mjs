// ai with @ai-sdk/openai-compatible.
import assert from "node:assert/strict";
import * as ai from "ai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { KEY } from "./server.mjs";

export default function client(url, key) {
  const provider = createOpenAICompatible({
    name: "sema", baseURL: url + "/v1", apiKey: key, includeUsage: true, supportsStructuredOutputs: true,
  });
  const plain = (model, prompt) => ({ model: provider(model), prompt, temperature: 0, maxRetries: 0, onError() {} });
  // Each piece of text; errors come as parts of the stream.
  async function* pieces_of(how) {
    for await (const part of ai.streamText(how).fullStream) {
      if (part.type === "error") throw part.error;
      if (part.type === "text-delta" && part.text) yield part.text;
    }
  }
  return {
    provider,
    status: (error) => error.statusCode,
    chat: async (model, text) => (await ai.generateText(plain(model, text))).text,
    async stream(model, text) {
      const pieces = [];
      for await (const piece of pieces_of(plain(model, text))) pieces.push(piece);
      return pieces;
    },
    async tools(model, text, { name, description, parameters }, result, forced) {
      let args;
      const tools = { [name]: ai.tool({ description, inputSchema: ai.jsonSchema(parameters), execute: (given) => ((args = given), result) }) };
      const r = await ai.generateText({
        ...plain(model, text), tools, stopWhen: ai.stepCountIs(2),
        prepareStep: ({ stepNumber }) => ({ toolChoice: forced && stepNumber === 0 ? "required" : "auto" }),
      });
      return { call: args && { name: r.steps[0].toolCalls[0].toolName, args }, text: r.text };
    },
    schema: async (model, text, schema) => (await ai.generateObject({ ...plain(model, text), schema: ai.jsonSchema(schema) })).object,
    async abort(model, text, pieces) {
      let n = 0;
      const stop = new AbortController();
      for await (const _ of pieces_of({ ...plain(model, text), abortSignal: stop.signal })) if (++n === pieces) stop.abort();
      return n;
    },
  };
}

// What only this client has, against a script.
export const own = {
  async "reasoning apart from the text, usage"(url) {
    const r = ai.streamText({ model: client(url, KEY).provider("sema"), prompt: "think", maxRetries: 0 });
    assert.equal(await r.text, "42");
    assert.equal(await r.reasoningText, "Let me see.");
    const h = ai.streamText({ model: client(url, KEY).provider("sema"), prompt: "hello", maxRetries: 0 });
    assert.equal((await h.usage).totalTokens, 12);
  },
};
