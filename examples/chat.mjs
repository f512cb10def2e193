// A client of Sema in JavaScript (Node 20 or newer, no packages): chat, stream, WebSocket, sessions, switch.
//
//     node examples/chat.mjs [URL] [MODEL_TYPE MODEL_NAME]
//
// URL is http://127.0.0.1:7860 unless given; API_KEY of the environment is sent when it is set.  With a model named
// the server is switched to it, else to the one that it has, which changes nothing.
import { randomBytes, randomUUID } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';

const base = (process.argv[2] ?? 'http://127.0.0.1:7860').replace(/\/+$/, '');
const key = process.env.API_KEY ? { Authorization: `Bearer ${process.env.API_KEY}` } : {};
const MS = 120_000; // an answer may take no longer

function fail(what) {
  console.error(what);
  process.exit(1);
}

async function request(method, path, body) {
  const headers = body ? { 'Content-Type': 'application/json', ...key } : key;
  const asked = { method, headers, body: body && JSON.stringify(body), signal: AbortSignal.timeout(MS) };
  const answer = await fetch(base + path, asked).catch((error) => fail(`${base}: ${error.cause?.message ?? error.message}`));
  if (answer.status !== 200) fail(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return answer;
}

const ask = async (method, path, body) => (await request(method, path, body)).json();

async function chat(message, session) {
  return (await ask('POST', '/api/v1/chat', { message, session_id: session })).message;
}

// The pieces of an answer, as they come (server-sent events).
async function* stream(message, session) {
  const answer = await request('GET', `/api/v1/chat/stream?${new URLSearchParams({ message, session_id: session })}`);
  const decoder = new TextDecoder();
  let text = '', event = '';
  for await (const bytes of answer.body) {
    text += decoder.decode(bytes, { stream: true });
    const lines = text.split('\r\n');
    text = lines.pop();
    for (const line of lines) {
      if (line.startsWith('event: ')) event = line.slice(7);
      if (!line.startsWith('data: ')) continue;
      const data = JSON.parse(line.slice(6));
      if (event === 'error') fail(`stream: ${data.error}`);
      if (event === 'chunk' && data.content) yield data.content;
    }
  }
}

// RFC 6455, as much as a chat needs.  Node 22 has a WebSocket of its own, which cannot send the key as a header.
class Socket {
  static open(path) {
    const headers = {
      Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': randomBytes(16).toString('base64'), ...key,
    };
    return new Promise((resolve) => {
      const asked = (base.startsWith('https:') ? https : http).request(base + path, { headers });
      asked.on('upgrade', (_, connection, first) => resolve(new Socket(connection, first)));
      asked.on('response', (answer) => fail(`websocket: ${answer.statusCode}`));
      asked.on('error', (error) => fail(`websocket: ${error.message}`));
      asked.end();
    });
  }

  constructor(connection, first) {
    this.connection = connection;
    this.bytes = first;
    this.chunks = connection.setTimeout(MS, () => fail('websocket: silence'))[Symbol.asyncIterator]();
  }

  send(opcode, text) {
    const data = Buffer.from(text), mask = randomBytes(4);
    const length = data.length < 126 ? [0x80 | data.length] : [0x80 | 126, data.length >> 8, data.length & 0xff];
    this.connection.write(Buffer.concat([Buffer.from([0x80 | opcode, ...length]), mask, data.map((b, i) => b ^ mask[i % 4])]));
  }

  async take(n) {
    while (this.bytes.length < n) {
      const { value, done } = await this.chunks.next();
      if (done) fail('websocket: the server is gone');
      this.bytes = Buffer.concat([this.bytes, value]);
    }
    const taken = this.bytes.subarray(0, n);
    this.bytes = this.bytes.subarray(n);
    return taken;
  }

  async receive() {
    for (;;) {
      const [first, second] = await this.take(2);
      let n = second & 0x7f;
      if (n === 126) n = (await this.take(2)).readUInt16BE();
      else if (n === 127) n = Number((await this.take(8)).readBigUInt64BE());
      const data = await this.take(n);
      if ((first & 0x0f) === 1) return JSON.parse(data);
      if ((first & 0x0f) === 8) fail('websocket: closed by the server');
      if ((first & 0x0f) === 9) this.send(10, data);
    }
  }

  async *chat(message, session) {
    this.send(1, JSON.stringify({ message, session_id: session }));
    for (;;) {
      const frame = await this.receive();
      if (frame.type === 'error') fail(`websocket: ${frame.error}`);
      if (frame.is_final) return;
      yield frame.content;
    }
  }

  close() {
    this.send(8, Buffer.from([0x03, 0xe8]));
    this.connection.destroySoon();
  }
}

async function whole(pieces) {
  let text = '';
  for await (const piece of pieces) text += piece;
  return text;
}

const session = `example-${randomUUID()}`;
console.log('chat:', await chat('Hello', session));
console.log('stream:', await whole(stream('Hello again', session)));
const socket = await Socket.open('/api/v1/chat/ws');
console.log('websocket:', await whole(socket.chat('And again', session)));
socket.close();
const history = await ask('GET', `/api/v1/sessions/${session}`);
console.log(`session: ${history.message_count} messages, ${(await ask('GET', '/api/v1/sessions')).length} sessions`);
await ask('DELETE', `/api/v1/sessions/${session}`);
const [, , , type, name] = process.argv;
const model = name ? { model_type: type, model_name: name } : { model_name: (await ask('GET', '/api/v1/model/info')).name };
console.log('switch:', (await ask('POST', '/api/v1/model/switch', model)).current.model_name);
