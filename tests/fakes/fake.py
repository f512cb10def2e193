"""What the fake providers share: a connection whose every byte is written by hand, so that everything can be written
wrongly; a log; and the small questions GET /fake/calls?model=M (how often M was asked) and GET /fake/gone (how many
clients left early).

    class Peer(fake.Peer): ...          # the pieces of the provider's streams
    def route(p): ...                   # answers one request: p.method, p.path, p.headers, p.json
    fake.run(__doc__, Peer, route)"""
import argparse
import json
import os
import socket
import struct
import sys
import threading
import time

ARGS = argparse.Namespace()  # filled by run()
LOCK = threading.Lock()
CALLS = {}
GONE = [0]


class Gone(Exception):
    """The client left."""


class Refusal(Exception):
    """A request that breaks a rule of the provider: its status and body."""

    def __init__(self, status, message, body):
        super().__init__(message)
        self.status = status
        self.body = body


class Peer:
    id_field = "x-request-id"
    broken_json = {"error": {"message": "We could not parse the JSON body of your request."}}

    def __init__(self, sock):
        self.sock = sock
        self.data = b""
        self.method = self.path = ""
        self.headers = {}
        self.body = b""
        self.json = {}
        self.close = False
        self.nth = 0  # which request for this model, from 1
        self.begun = ""  # the answer's beginning, where the request gives one to go on from

    def read(self):
        while b"\r\n\r\n" not in self.data:
            piece = self.sock.recv(65536)
            if not piece:
                return False
            self.data += piece
        head, self.data = self.data.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.path, _ = lines[0].split(" ", 2)
        self.headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines[1:])}
        length = int(self.headers.get("content-length", "0"))
        while len(self.data) < length:
            piece = self.sock.recv(65536)
            if not piece:
                return False
            self.data += piece
        self.body, self.data = self.data[:length], self.data[length:]
        return True

    def raw(self, data):
        try:
            self.sock.sendall(data if isinstance(data, bytes) else data.encode())
        except OSError as e:
            raise Gone() from e

    def pause(self, seconds):
        """Sleeps; notices a client that leaves meanwhile."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.sock.settimeout(min(left, 0.02))
            try:
                if not self.sock.recv(1, socket.MSG_PEEK):
                    raise Gone()
                time.sleep(min(left, 0.02))
            except socket.timeout:
                pass
            except OSError as e:
                raise Gone() from e
            finally:
                self.sock.settimeout(None)

    def reset(self):
        self.pause(0.03)  # what was written is on its way before the reset overtakes it
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close = True

    def answer(self, status, body, kind="application/json", headers=""):
        if not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode("utf-8", "surrogatepass")
        self.raw(f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n{self.id_field}: req_fake\r\n{headers}"
                 f"Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def begin(self, kind="text/event-stream"):
        self.raw(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n")

    def chunk(self, data):
        data = data if isinstance(data, bytes) else data.encode()
        self.raw(b"%x\r\n%s\r\n" % (len(data), data))

    def end(self):
        self.raw("0\r\n\r\n")


def cases(names):
    """The functions case_* of a module, by model name: "_" is written "-"."""
    return {name[5:].replace("_", "-"): f for name, f in list(names.items()) if name.startswith("case_")}


def count(p, model):
    with LOCK:
        p.nth = CALLS[model] = CALLS.get(model, 0) + 1


def log(p):
    if not ARGS.log:
        return
    line = json.dumps({"method": p.method, "path": p.path, "headers": p.headers, "body": p.json})
    with LOCK, open(ARGS.log, "a", encoding="utf-8") as f:
        f.write(line + "\n")


def answer_one(p, route):
    if p.path.startswith("/fake/calls"):
        return p.answer(200, {"calls": CALLS.get(p.path.partition("model=")[2], 0)})
    if p.path == "/fake/gone":
        return p.answer(200, {"gone": GONE[0]})
    try:
        p.json = json.loads(p.body) if p.body else {}
    except ValueError:
        return p.answer(400, p.broken_json)
    log(p)
    return route(p)


def serve(sock, peer, route):
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    p = peer(sock)
    try:
        while not p.close and p.read():
            answer_one(p, route)
    except Gone:
        with LOCK:
            GONE[0] += 1
    except OSError:
        pass
    finally:
        sock.close()


def run(doc, peer, route, options=None):
    """Serves until it is ended; `options(parser)` adds the provider's own."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", help="a JSON line for each request")
    parser.add_argument("--key", help="refuse any other")
    parser.add_argument("--models-status", type=int, default=200, help="of the list of models")
    parser.add_argument("--with-parent", action="store_true", help="end when standard input ends")
    if options:
        options(parser)
    parser.parse_args(namespace=ARGS)
    listener = socket.create_server(("127.0.0.1", ARGS.port), backlog=256)
    print(f"listening on 127.0.0.1:{listener.getsockname()[1]}", flush=True)
    if ARGS.with_parent:
        threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    try:
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=serve, args=(sock, peer, route), daemon=True).start()
    except KeyboardInterrupt:
        sys.exit(0)
