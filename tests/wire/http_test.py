"""The HTTP server on a real socket: framing, limits, deadlines, leaving clients (reliability.md 2, 3)."""
import re
import socket
import threading
import time

from wire import Server, run, test

HOST = "Host: a\r\n"


def refused(c, status, kind="text/plain; charset=utf-8", body=b"Invalid HTTP request received."):
    a = c.answer()
    assert a.status == status, (a.status, a.body)
    assert a.fields["content-type"] == kind and a.body == body, (a.fields, a.body)
    assert a.fields["connection"] == "close"
    assert a.fields["server"] == "sema" and "date" in a.fields
    c.closed()


MALFORMED = [
    ("GET / HTTP/1.1\n" + HOST + "\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\x01\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\x00\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nX(: a\r\n" + HOST + "\r\n", 400),
    ("GET / HTTP/1.1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\n" + HOST + HOST + "\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    ("GET x HTTP/1.1\r\n" + HOST + "\r\n", 400),
    ("GET http://other/ HTTP/1.1\r\n" + HOST + "\r\n", 400),
    ("CONNECT a:1 HTTP/1.1\r\n" + HOST + "\r\n", 400),
    ("\x16\x03\x01\x00\xa5", 400),
    ("GET / HTTP/2.0\r\n" + HOST + "\r\n", 505),
    ("BREW / HTTP/1.1\r\n" + HOST + "\r\n", 501),
    ("POST /echo HTTP/1.1\r\n" + HOST + "Expect: x\r\nContent-Length: 1\r\n\r\nx", 417),
    ("POST /echo HTTP/1.1\r\n" + HOST + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy", 400),
    ("POST /echo HTTP/1.1\r\n" + HOST + "Content-Length: +1\r\n\r\nx", 400),
    ("POST /echo HTTP/1.1\r\n" + HOST + "Content-Length: 1, 1\r\n\r\nx", 400),
    ("POST /echo HTTP/1.1\r\n" + HOST + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST /echo HTTP/1.1\r\n" + HOST + "Transfer-Encoding: x, chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST /echo HTTP/1.0\r\n" + HOST + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST /echo HTTP/1.1\r\n" + HOST + "Transfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n", 400),
    ("POST /echo HTTP/1.1\r\n" + HOST + "Transfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n", 400),
    ("POST /echo HTTP/1.1\r\n" + HOST + "Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n", 400),
    ("POST /echo HTTP/1.1\r\n" + HOST + "Transfer-Encoding: chunked\r\n\r\n0\r\nX : y\r\n\r\n", 400),
]


@test
def malformed():
    """a malformed request is refused with its status and closed; what follows is never executed"""
    with Server() as s:
        for text, status in MALFORMED:
            with s.connect() as c:
                c.send(text + "GET /status HTTP/1.1\r\n" + HOST + "\r\n")
                refused(c, status)
        stats = s.stats()
        assert stats["refused"] == len(MALFORMED), stats


@test
def every_cut():
    """good and bad requests get the same answers wherever the network cuts them"""
    good = ("POST /echo HTTP/1.1\r\n" + HOST + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
            "GET /none HTTP/1.1\r\n" + HOST + "\r\n")
    bad = "POST /echo HTTP/1.1\r\n" + HOST + "Transfer-Encoding: chunked\r\n\r\n2\r\nhiX\r\n"
    with Server() as s:
        with s.connect() as c:
            for cut in range(1, len(good)):
                c.send(good, cut)
                a = c.answer()
                assert (a.status, a.body) == (200, b"hi"), (cut, a.status, a.body)
                assert c.answer().status == 204, cut
        for cut in range(1, len(bad)):
            with s.connect() as c:
                c.send(bad, cut)
                refused(c, 400)


@test
def large_heads():
    """64 KiB of request line and 100 fields pass; 96 KiB is 414, 101 fields or 33 KiB of them 431"""
    with Server() as s:
        def status(target="/status", fields=""):
            with s.connect() as c:
                c.send(f"GET {target} HTTP/1.1\r\n{HOST}{fields}\r\n")
                a = c.answer()
                if a.status != 200:
                    c.closed()
                return a.status
        assert status("/status?" + "a" * 65500) == 200
        assert status("/status?" + "a" * 98304) == 414
        assert status("/status?" + "a" * 500000) == 414
        assert status(fields="X: y\r\n" * 99) == 200
        assert status(fields="X: y\r\n" * 100) == 431
        assert status(fields="X: " + "y" * 30000 + "\r\n") == 200
        assert status(fields="X: " + "y" * 33000 + "\r\n") == 431
        assert status("/status?" + "a" * 65500, "X: " + "y" * 30000 + "\r\n") == 200


@test
def heads_of_answers():
    """every answer has its date, server, process time, request id and nosniff; a sound id is echoed"""
    with Server() as s:
        seen = set()
        for path in ("/status", "/none", "/nowhere", "/stream?ms=1", "/what"):
            a = s.ask("GET", path)
            assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", a.fields["date"])
            assert a.fields["server"] == "sema"
            assert a.fields["x-content-type-options"] == "nosniff"
            assert re.fullmatch(r"\d+\.\d{6}", a.fields["x-process-time"])
            seen.add(a.fields["x-request-id"])
        assert len(seen) == 5
        for good in ("a", "A-1_2.b", "x" * 128):
            assert s.ask("GET", "/status", X_Request_ID=good).fields["x-request-id"] == good
        for bad in ("a b", "x" * 129, "a/b", ""):
            assert s.ask("GET", "/status", X_Request_ID=bad).fields["x-request-id"] not in (bad, "")


@test
def pipelining():
    """pipelined requests are answered in order, also when an earlier one takes its time"""
    with Server() as s, s.connect() as c:
        c.send("".join(f"GET /what?{i} HTTP/1.1\r\n{HOST}\r\n" for i in range(1000)))
        for i in range(1000):
            assert f"/what?{i} ".encode() in c.answer().body
        c.send(f"GET /late?ms=200 HTTP/1.1\r\n{HOST}\r\nGET /what?x HTTP/1.1\r\n{HOST}\r\n"
               f"GET /stream?n=2&ms=20 HTTP/1.1\r\n{HOST}\r\nGET /what?y HTTP/1.1\r\n{HOST}\r\n")
        assert c.answer().body == b"late"
        assert b"?x" in c.answer().body
        assert c.answer().body == b"x" * 32
        assert b"?y" in c.answer().body


@test
def pipelining_is_bounded():
    """what a client sends ahead while its answer is pending is kept up to 64 KiB, then not read"""
    with Server() as s, s.connect() as c:
        c.send(f"GET /late?ms=1500 HTTP/1.1\r\n{HOST}\r\n")
        c.s.setblocking(False)
        one = f"GET /none HTTP/1.1\r\n{HOST}\r\n".encode()
        time.sleep(0.1)
        before = s.resident_kb()
        sent = 0
        end = time.monotonic() + 0.8
        while time.monotonic() < end and sent < 64 << 20:
            try:
                sent += c.s.send((one * 1000)[sent % len(one):])
            except BlockingIOError:
                time.sleep(0.02)
        s.grew_less(before, 2048)
        c.s.settimeout(10)
        whole = -(-sent // len(one))  # the last one may be cut
        rest = one * whole + f"GET /what?last HTTP/1.1\r\n{HOST}\r\n".encode()
        sender = threading.Thread(target=c.s.sendall, args=[rest[sent:]])
        sender.start()
        assert c.answer().body == b"late"
        for _ in range(whole):
            assert c.answer().status == 204
        assert b"?last" in c.answer().body
        sender.join()


@test
def pipelining_without_reading():
    """a client that pipelines and never reads costs bounded memory and is dropped when it stalls"""
    with Server("stalled_ms=800") as s, s.connect(receive_bytes=4096) as c:
        one = f"POST /echo HTTP/1.1\r\n{HOST}Content-Length: 1000\r\n\r\n".encode() + b"e" * 1000
        c.s.setblocking(False)
        before = s.resident_kb()
        dropped = False
        end = time.monotonic() + 6
        while time.monotonic() < end and not dropped:
            try:
                c.s.send(one * 50)
            except BlockingIOError:
                time.sleep(0.02)
            except (ConnectionResetError, BrokenPipeError):
                dropped = True
        assert dropped
        s.grew_less(before, 4096)


@test
def http10():
    """HTTP/1.0 closes unless keep-alive was asked for; its streams end with the connection, unchunked"""
    with Server() as s:
        with s.connect() as c:
            c.send("GET /what HTTP/1.0\r\n\r\n")
            a = c.answer()
            assert a.status == 200 and a.fields["connection"] == "close"
            c.closed()
        with s.connect() as c:
            for _ in range(2):
                c.send("GET /what HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
                assert c.answer().fields["connection"] == "keep-alive"
            c.send("GET /stream?n=3&ms=10 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            status, fields = c.head()
            assert "transfer-encoding" not in fields and fields["connection"] == "close"
            assert c.rest() == b"x" * 48
        with s.connect() as c:
            c.send("GET /status HTTP/1.1\r\nConnection: close\r\n" + HOST + "\r\n")
            assert c.answer().fields["connection"] == "close"
            c.closed()


@test
def bodiless():
    """HEAD, 204 and 304 carry no body, and the next answer follows at once"""
    with Server() as s, s.connect() as c:
        for _ in range(2):
            a = c.ask("HEAD", "/status")
            assert int(a.fields["content-length"]) > 0 and c.held == b""
            a = c.ask("HEAD", "/stream?n=2&ms=5")
            assert a.status == 200
            for status in (204, 304):
                a = c.ask("GET", f"/none?status={status}")
                assert a.status == status and "content-length" not in a.fields
            assert c.ask("GET", "/none?status=200").fields["content-length"] == "0"
            assert c.ask("GET", "/what").status == 200


@test
def absolute_form():
    """an absolute target for this host is served as its path"""
    with Server() as s, s.connect() as c:
        c.send("GET http://A/what?q HTTP/1.1\r\nHost: a:80\r\n\r\n")
        assert b"GET /what?q host=a peer=127.0.0.1 " in c.answer().body


@test
def body_too_long():
    """413 is decided from Content-Length before the body, from the running sum when chunked, framing included"""
    with Server() as s:
        with s.connect() as c:  # nothing of the body is sent, no 100 Continue comes
            c.send(f"POST /echo?max=100 HTTP/1.1\r\n{HOST}Expect: 100-continue\r\nContent-Length: 101\r\n\r\n")
            a = c.answer()
            assert a.status == 413 and a.fields["x-fault"] == "yes" and a.fields["connection"] == "close"
            c.closed()
        assert s.ask("POST", "/echo?max=100", b"x" * 100).body == b"x" * 100
        with s.connect() as c:  # a client that sends all of it first still reads the answer
            a = c.ask("POST", "/echo?max=100", b"x" * (8 << 20))
            assert a.status == 413
            c.closed()
        with s.connect() as c:
            c.send(f"POST /echo?max=100 HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n")
            c.send("1\r\nx\r\n" * 16)
            c.silent(0.1)
            c.send("1\r\nx\r\n")
            assert c.answer().status == 413
            c.closed()
        with s.connect() as c:  # an app that takes no body
            c.send(f"POST /echo?max=0 HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n")
            assert c.answer().status == 413


@test
def announced_memory():
    """memory follows what was received, never what was announced"""
    with Server() as s:
        before = s.resident_kb()
        clients = [s.connect() for _ in range(50)]
        for c in clients:
            c.send(f"POST /echo?max=100000000 HTTP/1.1\r\n{HOST}Content-Length: 99999999\r\n\r\nx")
        time.sleep(0.2)
        s.grew_less(before, 1024)
        for c in clients:
            c.s.close()
        s.wait_for("gone", 50)


@test
def expect():
    """100 Continue is sent when the body may come, and only when it was asked for"""
    with Server() as s, s.connect() as c:
        c.send(f"POST /echo HTTP/1.1\r\n{HOST}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert c.answer().status == 100
        c.send("hi")
        assert c.answer().body == b"hi"
        c.send(f"POST /echo HTTP/1.1\r\n{HOST}Content-Length: 2\r\n\r\nhi")
        assert c.answer().status == 200
        c.send("POST /denied HTTP/1.1\r\n" + HOST + "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert c.answer().status == 401


@test
def answered_at_the_head():
    """an answer given at the head closes the connection unread, and reaches a client that sends on"""
    with Server() as s, s.connect() as c:
        a = c.ask("POST", "/denied", b"x" * (4 << 20))
        assert a.status == 401 and a.fields["connection"] == "close"
        c.closed()
        with s.connect() as d:
            a = d.ask("POST", "/early?n=2&ms=20", b"x")  # a stream that was begun there
            assert a.body == b"x" * 32 and a.fields["connection"] == "close"
            d.closed()
        with s.connect() as d:
            assert d.ask("GET", "/early?n=2&ms=20").body == b"x" * 32
            assert d.ask("GET", "/denied").status == 401
            assert d.ask("GET", "/status").status == 200  # no body was announced: the connection is kept


@test
def slow_head():
    """a head has its whole time from its first byte, however it trickles; then 408 and close"""
    with Server("head_ms=400") as s, s.connect() as c:
        start = time.monotonic()
        c.s.settimeout(0.05)
        for byte in "GET /status HTTP/1.1\r\nX: " + "y" * 1000:
            c.send(byte)
            try:
                c.more()
                break
            except socket.timeout:
                pass
        took = time.monotonic() - start
        assert 0.35 < took < 3, took
        c.s.settimeout(5)
        refused(c, 408, "application/json", b'{"detail":"Request timeout"}')


@test
def slow_body():
    """a body that stays away is the app's 408; one that comes gets more time"""
    with Server("body_ms=400") as s:
        with s.connect() as c:
            start = time.monotonic()
            c.send(f"POST /echo HTTP/1.1\r\n{HOST}Content-Length: 5\r\n\r\nhel")
            a = c.answer()
            assert a.status == 408 and a.fields["x-fault"] == "yes"
            assert 0.35 < time.monotonic() - start < 3
            c.closed()
        with s.connect() as c:  # 64 KiB buy a second
            c.send(f"POST /echo HTTP/1.1\r\n{HOST}Content-Length: 65541\r\n\r\n" + "x" * 65536)
            time.sleep(0.7)
            c.send("hello")
            assert c.answer().status == 200


@test
def idle():
    """an idle connection is closed without a word, and an empty line does not keep it"""
    with Server("idle_ms=400", "first_ms=600") as s:
        with s.connect() as c:
            assert c.ask("GET", "/status").status == 200
            start = time.monotonic()
            time.sleep(0.2)
            c.send("\r\n")
            c.closed()
            assert 0.35 < time.monotonic() - start < 3
        with s.connect() as c:
            start = time.monotonic()
            c.closed()
            assert 0.5 < time.monotonic() - start < 3


@test
def client_leaves():
    """a client that leaves while its answer is pending or streaming is gone within a moment"""
    with Server() as s:
        ways = {"close": lambda c: c.s.close(), "reset": lambda c: c.reset(),
                "half": lambda c: c.s.shutdown(socket.SHUT_WR)}
        gone = 0
        for path in ("/never", "/stream?n=1000&ms=1000"):
            for way in ways.values():
                with s.connect() as c:
                    c.send(f"GET {path} HTTP/1.1\r\n{HOST}\r\nGET /status HTTP/1.1\r\n{HOST}\r\n")
                    time.sleep(0.05)
                    way(c)
                    gone += 1
                    s.wait_for("gone", gone, 1)
        with s.connect() as c:  # in the middle of its body
            c.send(f"POST /never HTTP/1.1\r\n{HOST}Content-Length: 5\r\n\r\nhel")
        s.wait_for("gone", gone + 1, 1)


@test
def malformed_behind_the_head():
    """an app that has seen the head learns that a malformed body will not come"""
    with Server() as s, s.connect() as c:
        c.send(f"POST /echo HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n")
        c.silent(0.05)
        c.send("x\r\n")
        refused(c, 400)
        stats = s.stats()
        assert (stats["gone"], stats["refused"], stats["faults"]) == (1, 1, 0), stats


@test
def half_close():
    """half-closing behind a complete exchange loses nothing of a large answer"""
    with Server() as s, s.connect() as c:
        c.send(f"POST /echo?max=9000000 HTTP/1.1\r\n{HOST}Content-Length: 8000000\r\n\r\n" + "x" * 8000000)
        c.s.recv(1, socket.MSG_PEEK)
        c.s.shutdown(socket.SHUT_WR)
        assert c.answer().body == b"x" * 8000000
        c.closed()


@test
def back_pressure():
    """a stream whose client does not read stops at 256 KiB, and goes on when it reads"""
    with Server() as s, s.connect(receive_bytes=65536) as c:
        c.send(f"GET /flood?n=400&bytes=65536 HTTP/1.1\r\n{HOST}\r\n")
        time.sleep(0.3)
        assert 256 << 10 < s.stats()["full_bytes"] <= (256 + 65) << 10, s.stats()
        assert s.stats()["drains"] == 0
        assert len(c.answer().body) == 400 * 65536
        assert s.stats()["drains"] == s.stats()["fulls"] > 1, s.stats()


@test
def stalled_reader():
    """a client that takes nothing is dropped; one that takes little is not"""
    with Server("stalled_ms=800") as s, s.connect(4096) as c, s.connect(4096) as d:
        for client in (c, d):
            client.send(f"GET /flood?n=100&bytes=65536 HTTP/1.1\r\n{HOST}\r\n")
        start = time.monotonic()
        while s.stats()["gone"] == 0:
            assert time.monotonic() - start < 3
            d.more()
            time.sleep(0.01)
        assert time.monotonic() - start > 0.7
        assert len(d.answer().body) == 100 * 65536
        assert s.stats()["gone"] == 1


@test
def aborted_stream():
    """an aborted stream never looks like a complete one"""
    with Server() as s:
        with s.connect() as c:
            c.send(f"GET /abort HTTP/1.1\r\n{HOST}\r\n")
            c.head()
            assert c.rest() == b"4\r\nhalf\r\n"
        with s.connect() as c:
            c.send("GET /abort HTTP/1.0\r\n\r\n")
            try:
                c.rest()
                raise AssertionError("a clean end")
            except ConnectionResetError:
                pass


@test
def drain():
    """a drain refuses new clients, closes idle ones, and lets the others have their answer"""
    with Server() as s:
        idle, late, stream, head = [s.connect() for _ in range(4)]
        assert idle.ask("GET", "/status").status == 200
        late.send(f"GET /late?ms=500 HTTP/1.1\r\n{HOST}\r\n")
        stream.send(f"GET /stream?n=10&ms=50 HTTP/1.1\r\n{HOST}\r\n")
        head.send("GET /status HT")
        time.sleep(0.1)
        s.term()
        idle.closed(1)
        try:
            s.connect()
            raise AssertionError("a new client got in")
        except ConnectionRefusedError:
            pass
        head.send(f"TP/1.1\r\n{HOST}\r\n")
        for c in (head, late):
            a = c.answer()
            assert a.status == 200 and a.fields["connection"] == "close"
            c.closed()
        assert stream.answer().body == b"x" * 160
        stream.closed()
        s.process.wait(5)


@test
def drain_of_a_request_on_its_way():
    """a request that arrived before the drain, on a connection that was idle, is answered"""
    import os
    import signal
    with Server() as s, s.connect() as c:
        assert c.ask("GET", "/status").status == 200
        os.kill(s.process.pid, signal.SIGSTOP)
        c.send(f"GET /what HTTP/1.1\r\n{HOST}\r\n")
        s.term()
        os.kill(s.process.pid, signal.SIGCONT)
        assert c.answer().status == 200
        c.closed()


@test
def ceiling():
    """at the ceiling of connections accepting pauses without spinning, and goes on when one closes"""
    with Server("accept_retry_ms=60000", fds=100) as s:
        clients = []
        most = (100 - 64) // 2
        for _ in range(most):
            clients.append(s.connect())
            assert clients[-1].ask("GET", "/status").status == 200
        waiting = s.connect()  # the kernel takes it, the server does not
        waiting.send(f"GET /stats HTTP/1.1\r\n{HOST}\r\n")
        before = s.cpu_s()
        waiting.silent(1)
        assert s.cpu_s() - before < 0.2
        clients.pop().s.close()
        waiting.s.settimeout(2)
        assert f'"conns":{most}'.encode() in waiting.answer().body
        for c in clients + [waiting]:
            c.s.close()


@test
def out_of_descriptors():
    """out of descriptors the server neither ends nor spins, and recovers when some are free"""
    with Server(fds=18) as s:  # fewer than the least ceiling of 8 connections and its own need
        clients = [s.connect() for _ in range(12)]
        for c in clients:
            c.send(f"GET /status HTTP/1.1\r\n{HOST}\r\n")
        before = s.cpu_s()
        time.sleep(1)
        assert s.cpu_s() - before < 0.3
        served = 0
        for c in clients:  # each that leaves makes room for one that waits
            assert c.answer().status == 200
            c.s.close()
            served += 1
        assert served == 12


@test
def many_loops():
    """several loops share one socket and one count of connections"""
    with Server("loops=3") as s:
        clients = [s.connect() for _ in range(60)]
        for c in clients:
            assert c.ask("GET", "/status").status == 200
        assert s.stats()["conns"] == 61
        for c in clients:
            c.s.close()
        s.wait_for("conns", 1)


@test
def taken_port():
    """a taken port is one clear line, not a second listener"""
    import subprocess
    from wire import ECHO
    with Server() as s:
        p = subprocess.run([ECHO, f"port={s.port}"], capture_output=True, text=True, timeout=10)
        assert p.returncode == 3
        assert p.stderr == f"cannot listen on 127.0.0.1:{s.port}: Address already in use\n", p.stderr


run()
