// Who answers behind Sema.  A fake's models do what their names say: the functions case_* of its file in tests/fakes.
import { fake, serve } from "./server.mjs";

const SECRET = "key-of-the-server"; // what Sema sends to the provider

const table = [
  { name: "local", env: () => ({}) },
  { name: "openai", type: "openai", env: (url) => ({ OPENAI_BASE_URL: url + "/v1", OPENAI_API_KEY: SECRET }) },
  { name: "responses", of: "openai", type: "openai", env: (url) => ({ OPENAI_BASE_URL: url + "/v1/responses", OPENAI_API_KEY: SECRET }) },
  { name: "anthropic", type: "anthropic", env: (url) => ({ ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: SECRET }) },
  { name: "google", type: "google", env: (url) => ({ GOOGLE_GEMINI_BASE_URL: url, GOOGLE_API_KEY: SECRET }) },
  { name: "minimax", type: "minimax", env: (url) => ({ MINIMAX_API_URL: url + "/v1/text/chatcompletion_v2", MINIMAX_API_KEY: SECRET }) },
  { name: "huggingface", type: "hf_api", env: (url) => ({ HF_INFERENCE_URL: url + "/v1", HF_API_TOKEN: SECRET }) },
];

export const backends = table.map(({ name, of, type, env }) => ({
  name,
  async start() {
    if (!type) { // the built-in model, which does what it was trained for
      const s = await serve({});
      return { ...s, local: true, model: () => "sema" };
    }
    const f = await fake(of ?? name, SECRET);
    // A named model's faults fall back to this one, so it must not be one that answers.
    const s = await serve({ env: { MODEL_TYPE: type, MODEL_NAME: "status-429", ...env(f.url) } });
    const stop = () => (s.stop(), f.stop());
    return { url: s.url, stop, gone: f.gone, model: (word) => `${type}/${word}` };
  },
}));
