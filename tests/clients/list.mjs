// What every client can do over every backend.  `c` is what a client's file makes (chat, stream, tools, schema, abort, status),
// `b` a backend that was started (backends.mjs), `again(key)` the same client with another key.
import assert from "node:assert/strict";
import { until } from "./server.mjs";

const tool = {
  name: "f",
  description: "Tells the weather",
  parameters: { type: "object", properties: { a: { type: "integer" } }, required: ["a"], additionalProperties: false },
};
const schema = { type: "object", properties: { ok: { type: "boolean" } }, required: ["ok"], additionalProperties: false };

export const list = {
  async chat(c, b) {
    const text = await c.chat(b.model("hello"), "Hello");
    if (b.local) assert.ok(text.length > 0);
    else assert.equal(text, "Hello!");
  },

  async streaming(c, b) {
    const pieces = await c.stream(b.model("hello"), "Hello");
    assert.equal(pieces.join(""), b.local ? await c.chat(b.model("hello"), "Hello") : "Hello!");
    assert.ok(b.local || pieces.length >= 3, `not as it came: ${pieces}`);
  },

  // A call, its result, and the answer to that.  The small model calls when it has to.
  async tools(c, b) {
    const { call, text } = await c.tools(b.model("round-trip"), "What is the weather?", tool, "sunny", b.local);
    if (b.local && !call) return; // a client that cannot force it
    assert.equal(call.name, "f");
    if (b.local) assert.equal(typeof call.args.a, "number");
    else assert.deepEqual([call.args, text], [{ a: 1 }, "f said sunny"]);
  },

  async schema(c, b) {
    const value = await c.schema(b.model("json"), "Is it so? Answer as JSON.", schema);
    if (b.local) assert.equal(typeof value.ok, "boolean");
    else assert.deepEqual(value, { ok: true });
  },

  async "abort in mid-stream"(c, b) {
    const pieces = b.local ? 1 : 3;
    const before = b.gone && (await b.gone());
    const got = await c.abort(b.model("slow"), "What is Sema, and what can it do?", pieces);
    assert.ok(got >= pieces); // what had arrived may still be told
    assert.ok(b.local || got < 100);
    if (b.gone) await until(async () => (await b.gone()) > before, 2000, "the provider's call ends");
    assert.ok(await c.chat(b.model("hello"), "Hello"));
  },

  async errors(c, b, again) {
    const has = (status) => (error) => (assert.equal(c.status(error), status, String(error)), true);
    await assert.rejects(c.chat("none", "Hello"), has(404));
    await assert.rejects(c.stream("none", "Hello"), has(404));
    await assert.rejects(again("wrong").chat(b.model("hello"), "Hello"), has(401));
    if (b.local) return;
    await assert.rejects(c.chat(b.model("status-429"), "Hello"), has(429));
    await assert.rejects(c.stream(b.model("status-429"), "Hello"), has(429));
    await assert.rejects(c.chat(b.model("html-502"), "Hello"), has(502));
    await assert.rejects(c.stream(b.model("error-mid-stream"), "Hello"), "a cut stream is no success");
  },

  async "50 at once"(c, b) {
    const asked = Array.from({ length: 50 }, (_, n) => (b.local ? "Hello" : `number ${n}`));
    const got = await Promise.all(asked.map((text) => c.stream(b.model("echo"), text)));
    const want = b.local ? asked.map(() => got[0].join("")) : asked;
    assert.deepEqual(got.map((pieces) => pieces.join("")), want);
    assert.ok(want[0]);
  },
};
