"""WebSocket on a real socket: frames, closes, pings, back-pressure (RFC 6455, http-api.md section 7)."""
import base64
import hashlib
import os
import random
import socket
import struct
import time

from wire import Client, Server, run, test

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 1.3, and its answer
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def frame(opcode, payload=b"", fin=True, rsv=0, mask=True, length=None):
    if isinstance(payload, str):
        payload = payload.encode()
    n = len(payload) if length is None else length
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    bit = 0x80 if mask else 0
    if n < 126:
        head += bytes([bit | n])
    elif n < 65536:
        head += bytes([bit | 126]) + struct.pack(">H", n)
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", n)
    if not mask:
        return head + payload
    key = os.urandom(4)
    long_key = key * (len(payload) // 4 + 1)
    return head + key + bytes(a ^ b for a, b in zip(payload, long_key))


class Socket:
    def __init__(self, server, receive_bytes=None, early=b""):
        self.c = server.connect(receive_bytes)
        self.c.send(b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
                    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY.encode() + b"\r\n"
                    b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n" + early)
        status, self.fields = self.c.head()
        assert status == 101, status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.c.s.close()

    def send(self, *args, cut=None, **named):
        self.c.send(frame(*args, **named), cut)

    def receive(self):
        a, b = self.c.exactly(2)
        assert a & 0x70 == 0 and b & 0x80 == 0, (a, b)
        n = b & 0x7f
        if n == 126:
            n = struct.unpack(">H", self.c.exactly(2))[0]
        elif n == 127:
            n = struct.unpack(">Q", self.c.exactly(8))[0]
        assert a & 0x80
        return a & 0x0f, self.c.exactly(n)

    def echoes(self, text):
        got = self.receive()
        assert got == (TEXT, text.encode() if isinstance(text, str) else text), got

    def closes(self, code, seconds=3):
        """The close frame comes, then the end."""
        opcode, payload = self.receive()
        assert opcode == CLOSE, (opcode, payload)
        got = struct.unpack(">H", payload[:2])[0]
        assert got == code, (got, payload)
        self.c.closed(seconds)


@test
def handshake():
    """the handshake answers 101 with the key's digest, no subprotocol and no extension"""
    assert base64.b64encode(hashlib.sha1((KEY + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()) == ACCEPT.encode()
    with Server() as s:
        with Socket(s) as w:
            assert w.fields["sec-websocket-accept"] == ACCEPT
            assert w.fields["upgrade"] == "websocket" and w.fields["connection"] == "Upgrade"
            assert "sec-websocket-extensions" not in w.fields and "sec-websocket-protocol" not in w.fields
            assert w.fields["server"] == "sema" and w.fields["x-request-id"] and w.fields["x-process-time"]
        good = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": KEY}
        for name, value in (("Connection", "close, x"), ("Upgrade", "h2c"), ("Sec-WebSocket-Version", "12"),
                            ("Sec-WebSocket-Key", KEY[1:]), ("Sec-WebSocket-Key", KEY[:-1] + "A"),
                            ("Sec-WebSocket-Key", "")):
            fields = {**good, name: value}
            assert s.ask("GET", "/ws", **{k.replace("-", "_"): v for k, v in fields.items()}).status == 404
        fields = {k.replace("-", "_"): v for k, v in good.items()}
        assert s.ask("POST", "/ws", **fields).status == 404
        assert s.ask("GET", "/ws", b"x", **fields).status == 404
        s.wait_for("ws_open", 0)


@test
def messages():
    """messages of every length class come back whole, text and binary, one after the other"""
    with Server() as s, Socket(s, early=frame(TEXT, "early")) as w:
        w.echoes("early")
        for n in (0, 1, 125, 126, 4095, 4096, 65535, 65536, 1 << 20):
            w.send(TEXT, b"m" * n)
            w.echoes(b"m" * n)
        w.send(BINARY, "binär")
        w.echoes("binär")
        w.c.send(b"".join(frame(TEXT, str(i)) for i in range(500)))
        for i in range(500):
            w.echoes(str(i))


@test
def every_cut():
    """frames are the same wherever the network cuts them: fragments, a ping between them, a close"""
    data = (frame(TEXT, "café".encode()[:4], fin=False) + frame(PING, "p") +
            frame(0, "café".encode()[4:], fin=False) + frame(0, b"!") + frame(BINARY, b"b" * 130))
    with Server() as s, Socket(s) as w:
        for cut in list(range(1, len(data))) + [None]:
            w.c.send(data, cut)
            assert w.receive() == (PONG, b"p"), cut
            w.echoes("café!")
            w.echoes(b"b" * 130)
        for byte in data:
            w.c.send(bytes([byte]))
        assert w.receive() == (PONG, b"p")
        w.echoes("café!")
        w.echoes(b"b" * 130)


@test
def protocol_errors():
    """each breach of the framing closes with 1002, 1007 or 1009, and nothing behind it is looked at"""
    rows = [
        (frame(TEXT, "x", mask=False), 1002, "not masked"),
        (frame(TEXT, "x", rsv=4), 1002, "rsv1"),
        (frame(TEXT, "x", rsv=2), 1002, "rsv2"),
        (frame(TEXT, "x", rsv=1), 1002, "rsv3"),
        (frame(3, "x"), 1002, "opcode 3"),
        (frame(11, "x"), 1002, "opcode 11"),
        (frame(15), 1002, "opcode 15"),
        (frame(0, "x"), 1002, "continuation of nothing"),
        (frame(TEXT, "x", fin=False) + frame(TEXT, "y"), 1002, "text inside a message"),
        (frame(TEXT, "x", fin=False) + frame(BINARY, "y"), 1002, "binary inside a message"),
        (frame(PING, "x", fin=False), 1002, "fragmented ping"),
        (frame(PING, "x" * 126), 1002, "long ping"),
        (frame(CLOSE, "x" * 126), 1002, "long close"),
        (frame(CLOSE, b"\x03"), 1002, "close of one byte"),
        (frame(CLOSE, struct.pack(">H", 999)), 1002, "close code 999"),
        (frame(CLOSE, struct.pack(">H", 1004)), 1002, "close code 1004"),
        (frame(CLOSE, struct.pack(">H", 1005)), 1002, "close code 1005"),
        (frame(CLOSE, struct.pack(">H", 1006)), 1002, "close code 1006"),
        (frame(CLOSE, struct.pack(">H", 1015)), 1002, "close code 1015"),
        (frame(CLOSE, struct.pack(">H", 2999)), 1002, "close code 2999"),
        (frame(CLOSE, struct.pack(">H", 5000)), 1002, "close code 5000"),
        (frame(CLOSE, struct.pack(">H", 1000) + b"\xff"), 1007, "close reason not UTF-8"),
        (bytes([0x81, 0x80 | 126, 0, 5]) + b"kkkk" + b"x" * 5, 1002, "length not minimal"),
        (bytes([0x81, 0x80 | 127]) + struct.pack(">Q", 200) + b"kkkk" + b"x" * 200, 1002, "length not minimal, long"),
        (bytes([0x81, 0x80 | 127]) + struct.pack(">Q", 1 << 63) + b"kkkk" + b"x", 1002, "length of 64 bits"),
        (frame(TEXT, b"\xff"), 1007, "not UTF-8"),
        (frame(TEXT, b"\xc3"), 1007, "a character cut off"),
        (frame(TEXT, b"\xed\xa0\x80"), 1007, "a surrogate"),
        (frame(TEXT, b"\xc3", fin=False) + frame(0, b"("), 1007, "not UTF-8 over fragments"),
        (frame(TEXT, b"x" * 10, length=(1 << 20) + 1), 1009, "too big, announced"),
        (frame(TEXT, b"x" * (1 << 20), fin=False) + frame(0, b"y"), 1009, "too big over fragments"),
    ]
    with Server() as s:
        for data, code, name in rows:
            with Socket(s) as w:
                w.c.send(data + frame(TEXT, "never"))
                try:
                    w.closes(code)
                except Exception as e:
                    raise AssertionError(name) from e
        assert s.stats()["ws_messages"] == 0
        for data, code, name in rows[:24]:  # the short ones again, cut everywhere
            for cut in range(1, min(len(data), 12)):
                with Socket(s) as w:
                    w.c.send(data, cut)
                    w.closes(code)


@test
def closes():
    """the client's close is answered with 1000; the server's own is followed by the client's"""
    with Server("ws_close_ms=300") as s:
        for payload in (b"", struct.pack(">H", 1000), struct.pack(">H", 1001) + b"bye", struct.pack(">H", 3000),
                        struct.pack(">H", 4999)):
            with Socket(s) as w:
                w.send(CLOSE, payload)
                w.closes(1000)
        with Socket(s) as w:
            w.send(TEXT, "close 1008")
            opcode, payload = w.receive()
            assert (opcode, payload) == (CLOSE, struct.pack(">H", 1008) + b"as asked")
            s.wait_for("ws_open", 0, 0.25)  # the app hears of it at once
            w.send(TEXT, "ignored")
            w.send(CLOSE, payload)
            w.c.closed()
        with Socket(s) as w:  # a client that never answers
            w.send(TEXT, "close 1001")
            w.receive()
            start = time.monotonic()
            w.c.closed()
            assert 0.25 < time.monotonic() - start < 2.5
        assert s.stats()["ws_messages"] == 2


@test
def leaving():
    """a client that leaves without a close is noticed at once, also in the middle of a frame"""
    with Server() as s:
        for part in (b"", frame(TEXT, "hello")[:4], frame(TEXT, "hello", fin=False)):
            w = Socket(s)
            w.c.send(part)
            time.sleep(0.02)
            assert s.stats()["ws_open"] == 1
            w.c.s.close()
            s.wait_for("ws_open", 0, 1)


@test
def pings():
    """a ping is sent in time; silence after it closes with 1011, any frame at all keeps the connection"""
    with Server("ws_ping_ms=200", "ws_pong_ms=200") as s:
        with Socket(s) as w:
            start = time.monotonic()
            assert w.receive() == (PING, b"")
            assert 0.15 < time.monotonic() - start < 2
            w.closes(1011)
            assert 0.35 < time.monotonic() - start < 3
        with Socket(s) as w:  # pongs
            for _ in range(5):
                assert w.receive() == (PING, b"")
                w.send(PONG)
            w.send(TEXT, "alive")
            w.echoes("alive")
        with Socket(s) as w:  # never a pong, but frames of its own
            heard = []
            for i in range(12):
                w.send(TEXT, str(i))
                time.sleep(0.09)
            while len([x for x in heard if x[0] == TEXT]) < 12:
                heard.append(w.receive())
            assert (PING, b"") in heard and CLOSE not in [x[0] for x in heard]


@test
def unsent_ping():
    """while the ping itself waits behind unread data its silence does not count (a slow but living reader)"""
    with Server("ws_ping_ms=200", "ws_pong_ms=300") as s, Socket(s, receive_bytes=4096) as w:
        w.send(TEXT, "send 6000000")
        time.sleep(1.2)  # not a byte is read, not a byte is sent
        opcode, payload = w.receive()
        assert opcode == TEXT and len(payload) == 6000000
        assert w.receive() == (PING, b"")
        w.send(PONG)
        w.send(TEXT, "still here")
        while True:
            got = w.receive()
            if got[0] == TEXT:
                break
            w.send(PONG)
        assert got == (TEXT, b"still here")


@test
def back_pressure():
    """what a client does not take is counted to the app, which hears when it drained; a stall drops the client"""
    with Server("stalled_ms=600") as s:
        with Socket(s, receive_bytes=4096) as w:
            w.send(TEXT, "send 8000000")
            time.sleep(0.2)
            assert s.stats()["full_bytes"] > 256 << 10 and s.stats()["drains"] == 0
            assert len(w.receive()[1]) == 8000000
            s.wait_for("drains", 1, 1)
        with Socket(s, receive_bytes=4096) as w:
            w.send(TEXT, "send 8000000")
            s.wait_for("ws_open", 1, 1)
            s.wait_for("ws_open", 0, 2)


@test
def noise():
    """no bytes whatever end the server: random frames, whole and spoiled"""
    chance = random.Random(6455)
    with Server() as s:
        for _ in range(300):
            with Socket(s) as w:
                data = b"".join(frame(chance.choice([0, 1, 2, 3, 8, 9, 10, 15]), chance.randbytes(chance.randrange(300)),
                                      fin=chance.random() < 0.8, rsv=chance.random() < 0.05) for _ in range(8))
                spoiled = bytearray(data)
                spoiled[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
                try:
                    w.c.send(bytes(spoiled), chance.randrange(len(data)))
                    w.c.s.settimeout(0.01)
                    w.c.rest()
                except (socket.timeout, ConnectionResetError, BrokenPipeError):
                    pass
        s.wait_for("ws_open", 0)


@test
def pong_flood():
    """a client that only pings and never reads costs bounded memory"""
    with Server("stalled_ms=2000") as s, Socket(s, receive_bytes=4096) as w:
        before = s.resident_kb()
        w.c.s.setblocking(False)
        flood = frame(PING, b"x" * 125) * 500
        end = time.monotonic() + 1
        while time.monotonic() < end:
            try:
                w.c.s.send(flood)
            except BlockingIOError:
                time.sleep(0.01)
        s.grew_less(before, 2048)


@test
def memory():
    """an idle WebSocket or stream that was in use costs half of the 12 KiB it may, and gives it back"""
    for make in (used_socket, stream):
        with Server(fds=4096) as s:
            make(s).s.close()  # code that is needed once is there
            s.wait_for("conns", 1)
            idle_kb = s.resident_kb()
            clients = [make(s) for _ in range(100)]
            before = s.resident_kb()
            clients += [make(s) for _ in range(1500)]
            print(f"# {(s.resident_kb() - before) / 1500:.1f} KiB each", flush=True)
            s.grew_less(before, 6 * 1500)
            for c in clients:
                c.s.close()
            s.wait_for("conns", 1)
            end = time.monotonic() + 5
            while s.resident_kb() > idle_kb + 2048 and os.environ.get("SEMA_SANITIZER", "none") == "none":
                assert time.monotonic() < end, f"{s.resident_kb() - idle_kb} KiB more than before"
                time.sleep(0.1)


def used_socket(s):
    w = Socket(s)
    w.send(TEXT, "x" * 5000)
    w.echoes("x" * 5000)
    return w.c


def stream(s):
    c = s.connect()
    c.send("GET /stream?n=1000&ms=100000 HTTP/1.1\r\nHost: a\r\n\r\n")
    c.head()
    return c


@test
def drain():
    """a drain waits for open WebSockets until they are closed"""
    with Server() as s, Socket(s) as w:
        s.term()
        time.sleep(0.1)
        w.send(TEXT, "still served")
        w.echoes("still served")
        assert s.process.poll() is None
        w.send(CLOSE)
        w.closes(1000)
        s.process.wait(3)


run()
