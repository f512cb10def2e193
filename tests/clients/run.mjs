// Real clients from npm against the real program, unmodified: every client (a file each) does the same list (list.mjs) over
// every backend (backends.mjs), and some things of its own against a script.  TAP; `run` beside it chooses the Node.
//
//     SEMA_BINARY=build/src/sema tests/clients/run [WORD]     only cases whose name holds the word
import fs from "node:fs";
import path from "node:path";

const here = path.dirname(new URL(import.meta.url).pathname);
if (!fs.existsSync(path.join(here, "node_modules", "openai"))) {
  console.log("1..0 # SKIP the clients are not installed: npm ci in tests/clients");
  process.exit(0);
}
const { backends } = await import("./backends.mjs");
const { list } = await import("./list.mjs");
const { KEY, serve } = await import("./server.mjs");

const clients = {};
for (const name of ["openai", "anthropic", "ai-sdk", "langchain", "google", "ollama"]) clients[name] = await import(`./${name}.mjs`);

const script = [
  { when: "hello", pieces: ["Hel", "lo ", "you"], usage: { prompt: 9, completion: 3 } },
  { when: "think", pieces: [{ reasoning: "Let me see." }, "42"] },
  { when: "tool", finish: "tool_calls", pieces: [{ tool: { id: "call_a", name: "f", args: ['{"a":', "1}"] } }] },
  { when: "schema", pieces: ['{"ok":', "true}"] },
  { when: "cut", pieces: ["word", { error: "server", status: 500 }] },
  { when: "busy", pieces: [{ error: "rate_limit", retry_after_ms: 1000, status: 429 }] },
  { when: "what was said", pieces: [{ echo: "conversation" }] },
];

// One server at a time: [its start, the cases that need it].
const groups = backends.map((b) => [
  b.start,
  Object.entries(clients).flatMap(([name, { default: client }]) =>
    Object.entries(list).map(([what, run]) => [
      `${name}: ${what}, ${b.name}`,
      (s) => run(client(s.url, KEY), s, (key) => client(s.url, key)),
    ]),
  ),
]);
groups.push([
  () => serve({ script }),
  Object.entries(clients).flatMap(([name, { own }]) => Object.entries(own).map(([what, run]) => [`${name}: ${what}`, (s) => run(s.url)])),
]);
const word = process.argv[2] ?? "";
for (const group of groups) group[1] = group[1].filter(([name]) => name.includes(word));

let number = 0;
let bad = 0;
console.log(`1..${groups.reduce((n, [, cases]) => n + cases.length, 0)}`);
for (const [start, cases] of groups) {
  if (!cases.length) continue;
  const s = await start();
  for (const [name, run] of cases) {
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
