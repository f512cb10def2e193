// The real program, and the fake providers of tests/fakes, for as long as a test needs them.
import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

export const KEY = "key-of-this-test"; // API_KEY, what clients send
const here = path.dirname(new URL(import.meta.url).pathname);
const wait = (ms) => new Promise((r) => setTimeout(r, ms));

export async function until(condition, ms, what) {
  for (const end = Date.now() + ms; Date.now() < end; await wait(20)) if (await condition()) return;
  throw new Error(`not within ${ms} ms: ${what}`);
}

// `script`: lines of a scripted backend; else `env` says which model answers.
export async function serve({ script, env = {} }) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "sema-clients-"));
  if (script) {
    const file = path.join(folder, "script.jsonl");
    fs.writeFileSync(file, script.map((line) => JSON.stringify(line)).join("\n"));
    env = { ...env, MODEL_TYPE: "scripted", MODEL_NAME: file };
  }
  const child = spawn(process.env.SEMA_BINARY, ["serve"], {
    cwd: folder,
    stdio: ["ignore", "pipe", "ignore"],
    env: {
      PATH: process.env.PATH, HOME: folder, HOST: "127.0.0.1", PORT: "0", RATE_LIMIT: "0", API_KEY: KEY, SHUTDOWN_TIMEOUT: "1",
      SESSION_STORE: "memory:", PROVIDER_RETRIES: "0", PROVIDER_BREAKER_FAILURES: "0", STREAM_RESCUE: "off", HF_HUB_OFFLINE: "1", ...env,
    },
  });
  let log = "";
  child.stdout.on("data", (d) => (log += d));
  const stop = () => {
    child.kill("SIGTERM");
    fs.rmSync(folder, { recursive: true, force: true });
  };
  const started = () => log.split("\n").find((l) => l.includes('"application_startup"'));
  try {
    await until(started, 15000, "the start");
    const url = `http://127.0.0.1:${JSON.parse(started()).port}`;
    await until(async () => (await fetch(url + "/api/v1/health").then((r) => r.json())).model_loaded, 15000, "a model");
    return { url, stop };
  } catch (error) {
    stop();
    throw new Error(`${error.message}\n${log}`);
  }
}

// tests/fakes/NAME.py; gone() is how many of its clients left early.
export async function fake(name, key) {
  const child = spawn("python3", [path.join(here, "..", "fakes", name + ".py"), "--key", key, "--with-parent"], { stdio: ["pipe", "pipe", "ignore"] });
  let said = "";
  child.stdout.on("data", (d) => (said += d));
  await until(() => said.includes("\n"), 15000, "the fake " + name);
  const url = "http://" + said.split("\n")[0].split(" ").pop();
  const gone = async () => (await fetch(url + "/fake/gone").then((r) => r.json())).gone;
  return { url, gone, stop: () => child.kill() };
}
