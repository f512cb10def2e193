#!/usr/bin/env python3
"""A client of Sema in Python, on its standard library alone: chat, stream, WebSocket, sessions, switch.

    python examples/chat.py [URL] [MODEL_TYPE MODEL_NAME]

URL is http://127.0.0.1:7860 unless given; API_KEY of the environment is sent when it is set.  With a model named the
server is switched to it, else to the one that it has, which changes nothing."""
import base64
import http.client
import json
import os
import socket
import ssl
import sys
import urllib.parse
import uuid

URL = urllib.parse.urlsplit((sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:7860").rstrip("/"))
KEY = os.environ.get("API_KEY")
SECONDS = 120  # an answer may take no longer


def request(method, path, body=None):
    """Sends one request; gives the response, still to be read."""
    kind = http.client.HTTPSConnection if URL.scheme == "https" else http.client.HTTPConnection
    connection = kind(URL.hostname, URL.port, timeout=SECONDS)
    headers = {"Content-Type": "application/json"} if body is not None else {}
    if KEY:
        headers["Authorization"] = "Bearer " + KEY
    connection.request(method, URL.path + path, json.dumps(body) if body is not None else None, headers)
    return connection.getresponse()


def ask(method, path, body=None):
    """One request and its answer as JSON; anything but 200 ends the program."""
    response = request(method, path, body)
    text = response.read().decode()
    if response.status != 200:
        sys.exit(f"{method} {path}: {response.status} {text}")
    return json.loads(text)


def chat(message, session):
    return ask("POST", "/api/v1/chat", {"message": message, "session_id": session})["message"]


def stream(message, session):
    """The pieces of an answer, as they come (server-sent events)."""
    response = request("GET", "/api/v1/chat/stream?" + urllib.parse.urlencode({"message": message, "session_id": session}))
    if response.status != 200:
        sys.exit(f"stream: {response.status} {response.read().decode()}")
    event = ""
    for line in response:
        line = line.decode().rstrip("\r\n")
        if line.startswith("event: "):
            event = line[7:]
        elif line.startswith("data: "):
            data = json.loads(line[6:])
            if event == "error":
                sys.exit("stream: " + data["error"])
            if event == "chunk" and data["content"]:
                yield data["content"]


class WebSocket:
    """RFC 6455, as much as a chat needs: short text frames out, text frames and pings in."""

    def __init__(self, path):
        s = socket.create_connection((URL.hostname, URL.port or (443 if URL.scheme == "https" else 80)), SECONDS)
        if URL.scheme == "https":
            s = ssl.create_default_context().wrap_socket(s, server_hostname=URL.hostname)
        self.socket, self.file = s, s.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        s.sendall((f"GET {URL.path}{path} HTTP/1.1\r\nHost: {URL.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
                   + (f"Authorization: Bearer {KEY}\r\n" if KEY else "") + "\r\n").encode())
        status = self.file.readline().decode().strip()
        if " 101 " not in status:
            sys.exit("websocket: " + status)
        while self.file.readline().strip():
            pass

    def send(self, opcode, data):
        mask = os.urandom(4)
        n = len(data)
        length = bytes([0x80 | n]) if n < 126 else bytes([0x80 | 126]) + n.to_bytes(2, "big")
        self.socket.sendall(bytes([0x80 | opcode]) + length + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))

    def receive(self):
        while True:
            head = self.file.read(2)
            if len(head) < 2:
                sys.exit("websocket: the server is gone")
            opcode, n = head[0] & 0x0F, head[1] & 0x7F
            if n >= 126:
                n = int.from_bytes(self.file.read(2 if n == 126 else 8), "big")
            data = self.file.read(n)
            if opcode == 1:
                return json.loads(data)
            if opcode == 8:
                sys.exit("websocket: closed by the server")
            if opcode == 9:
                self.send(10, data)

    def chat(self, message, session):
        self.send(1, json.dumps({"message": message, "session_id": session}).encode())
        while True:
            frame = self.receive()
            if frame["type"] == "error":
                sys.exit("websocket: " + frame["error"])
            if frame["is_final"]:
                return
            yield frame["content"]

    def close(self):
        self.send(8, (1000).to_bytes(2, "big"))
        self.socket.close()


def main():
    session = f"example-{uuid.uuid4()}"
    print("chat:", chat("Hello", session))
    pieces = list(stream("Hello again", session))
    print("stream:", "".join(pieces))
    socket_ = WebSocket("/api/v1/chat/ws")
    print("websocket:", "".join(socket_.chat("And again", session)))
    socket_.close()
    history = ask("GET", "/api/v1/sessions/" + session)
    print("session:", history["message_count"], "messages,", len(ask("GET", "/api/v1/sessions")), "sessions")
    ask("DELETE", "/api/v1/sessions/" + session)
    model = {"model_type": sys.argv[2], "model_name": sys.argv[3]} if len(sys.argv) > 3 else {
        "model_name": ask("GET", "/api/v1/model/info")["name"]}
    print("switch:", ask("POST", "/api/v1/model/switch", model)["current"]["model_name"])


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.exit(f"{URL.geturl()}: {error}")
