"use strict";
// The page over /openapi.json: a form for each operation, and what came back.

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function example(document_, schema) {
  const name = schema.$ref.split("/").pop();
  const object = document_.components.schemas[name];
  const out = {};
  for (const field of object.required || []) out[field] = field === "message" ? "Hello" : "docs";
  return JSON.stringify(out, null, 2);
}

function field(form, parameter) {
  const input = make("input", { name: parameter.name });
  if (parameter.required) input.required = true;
  form.append(make("label", {}, parameter.name + (parameter.required ? " *" : ""), input));
  return { parameter, input };
}

async function send(method, path, fields, body, output, stop) {
  const query = new URLSearchParams();
  for (const { parameter, input } of fields) {
    if (parameter.in === "path") path = path.replace("{" + parameter.name + "}", encodeURIComponent(input.value));
    else if (input.value !== "") query.set(parameter.name, input.value);
  }
  const text = query.toString();
  const headers = {};
  const key = document.getElementById("key").value;
  if (key) headers.Authorization = "Bearer " + key;
  if (body) headers["Content-Type"] = "application/json";
  const began = performance.now();
  output.textContent = "...";
  const response = await fetch(path + (text ? "?" + text : ""),
    { method, headers, body: body ? body.value : undefined, signal: stop });
  output.textContent = `${response.status} ${response.statusText}  (${Math.round(performance.now() - began)} ms)\n\n`;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let whole = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    whole += value;
    output.textContent += value;
  }
  if ((response.headers.get("Content-Type") || "").startsWith("application/json") && whole) {
    const first = output.textContent.split("\n")[0];
    output.textContent = first + "\n\n" + JSON.stringify(JSON.parse(whole), null, 2);
  }
}

function operation(document_, path, method, what) {
  const form = make("form");
  const fields = (what.parameters || []).map((parameter) => field(form, parameter));
  let body = null;
  if (what.requestBody) {
    body = make("textarea", { spellcheck: "false" });
    body.value = example(document_, what.requestBody.content["application/json"].schema);
    form.append(body);
  }
  const output = make("pre");
  const cancel = make("button", { type: "button" }, "Stop");
  let stop = null;
  form.append(make("p", {}, make("button", {}, "Send"), cancel), output);
  cancel.addEventListener("click", () => stop && stop.abort());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (stop) stop.abort();
    stop = new AbortController();
    send(method.toUpperCase(), path, fields, body, output, stop.signal).catch((error) => {
      output.textContent += "\n" + error.message;
    });
  });
  return make("details", {},
    make("summary", {}, make("span", { class: "method" }, method.toUpperCase()), make("code", {}, path), " ",
      what.summary || ""), form);
}

async function show() {
  const document_ = await (await fetch("/openapi.json")).json();
  document.title = document_.info.title;
  document.getElementById("title").textContent = document_.info.title;
  document.getElementById("version").textContent = document_.info.version;
  const groups = new Map();
  for (const [path, methods] of Object.entries(document_.paths))
    for (const [method, what] of Object.entries(methods)) {
      const tag = what.tags[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(operation(document_, path, method, what));
    }
  const main = document.getElementById("operations");
  main.replaceChildren();
  for (const [tag, list] of groups) main.append(make("h2", {}, tag), ...list);
}

show().catch((error) => {
  document.getElementById("operations").textContent = "The description could not be read: " + error.message;
});
