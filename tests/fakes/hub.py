#!/usr/bin/env python3
"""A hub of model files on loopback: repositories from folders, with the calls that a pull makes, and faults.

By hand:  python3 tests/fakes/hub.py --port 8123 OWNER/NAME=FOLDER ...      then HF_ENDPOINT=http://127.0.0.1:8123
In tests: with Hub({"o/m": {"config.json": b"..."}}) as hub: ... hub.url, hub.requests

Large files (over `large` bytes) are answered by a redirect to another port, as the real one does; the token must not
follow.  Faults are switched by attributes: gated, fail (statuses to answer first), cut (bytes after which a file's
connection ends, once for each entry), corrupt (names whose bytes are wrong, so many times), no_blobs (the list names no
sizes and hashes), slow (bytes a second).
"""
import argparse
import hashlib
import http.server
import json
import os
import re
import threading
import time
import urllib.parse

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git_blob(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Hub:
    def __init__(self, repos, large=1000, token=None, port=0):
        self.repos, self.large, self.token = repos, large, token
        self.commit = COMMIT
        self.gated, self.no_blobs = False, False
        self.fail, self.cut, self.corrupt = [], [], {}
        self.stale_416 = False
        self.slow = 0  # bytes a second of a large file; 0: as fast as it goes
        self.requests = []  # (port is the store's?, method, path, headers)
        self.lock = threading.Lock()
        self.front = self.server(False, port)
        self.store = self.server(True, 0)
        self.url = f"http://127.0.0.1:{self.front.server_port}"

    def server(self, store, port):
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                hub.answer(self, store)

            do_HEAD = do_GET

        made = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        made.daemon_threads = True
        threading.Thread(target=made.serve_forever, daemon=True).start()
        return made

    def __enter__(self):
        return self

    def __exit__(self, *what):
        for s in (self.front, self.store):
            s.shutdown()
            s.server_close()

    def get_paths(self):
        return [path for _, method, path, _ in self.requests if method == "GET"]

    # ---- answers ----

    def send(self, h, status, body=b"", **headers):
        h.send_response(status)
        for name, value in headers.items():
            h.send_header(name.replace("_", "-"), value)
        h.send_header("Content-Length", str(len(body)))
        h.end_headers()
        if h.command != "HEAD":
            h.wfile.write(body)

    def answer(self, h, store):
        path = urllib.parse.unquote(h.path.partition("?")[0])
        with self.lock:
            self.requests.append((store, h.command, h.path, dict(h.headers)))
            status = self.fail.pop(0) if self.fail and not store else None
        if status:
            return self.send(h, status, Retry_After="0")
        if store:
            return self.file(h, *path[1:].split("/", 1))
        if self.token and h.headers.get("Authorization") != f"Bearer {self.token}":
            return self.send(h, 401)
        if self.gated:
            return self.send(h, 403)
        listed = re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/([^/]+)", path)
        if listed and listed[1] in self.repos:
            return self.send(h, 200, json.dumps(self.listing(listed[1])).encode())
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if found and found[3] in self.repos.get(found[1], {}):
            return self.resolve(h, found[1], found[3])
        return self.send(h, 404)

    def listing(self, repo):
        files = []
        for name, data in self.repos[repo].items():
            row = {"rfilename": name}
            if not self.no_blobs:
                row.update(size=len(data), blobId=git_blob(data))
                if len(data) > self.large:
                    row["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
            files.append(row)
        return {"id": repo, "sha": self.commit, "siblings": files, "gated": False, "private": False}

    def resolve(self, h, repo, name):
        data = self.repos[repo][name]
        if len(data) <= self.large:
            return self.file(h, repo.replace("/", "%2F"), name)
        where = f"http://127.0.0.1:{self.store.server_port}/{urllib.parse.quote(repo, safe='')}/{name}"
        return self.send(h, 302, Location=where, X_Repo_Commit=self.commit, X_Linked_Size=str(len(data)),
                         X_Linked_ETag='"' + hashlib.sha256(data).hexdigest() + '"')

    def file(self, h, repo, name):
        repo = urllib.parse.unquote(repo)
        if "/" not in repo and "/" in name:  # an unquoted path of the store
            owner, name = repo, name
            first, _, rest = name.partition("/")
            if f"{owner}/{first}" in self.repos:
                repo, name = f"{owner}/{first}", rest
        data = self.repos[repo][name]
        etag = '"' + git_blob(data) + '"'
        with self.lock:
            wrong = self.corrupt.get(name, 0) > 0
            if wrong and h.command == "GET":
                self.corrupt[name] -= 1
        if wrong:
            data = bytes(b ^ 1 for b in data)
        asked = re.fullmatch(r"bytes=(\d+)-", h.headers.get("Range", ""))
        first = int(asked[1]) if asked else 0
        if asked and (first >= len(data) or self.stale_416):
            self.stale_416 = False
            return self.send(h, 416)
        with self.lock:
            cut = self.cut.pop(0) if self.cut and h.command == "GET" and len(data) - first > self.cut[0] else None
        h.send_response(206 if asked else 200)
        h.send_header("ETag", etag)
        h.send_header("X-Repo-Commit", self.commit)
        h.send_header("Content-Length", str(len(data) - first))
        h.end_headers()
        if h.command == "HEAD":
            return None
        part = data[first:] if cut is None else data[first:first + cut]
        if self.slow and len(part) > self.large:
            part = self.trickle(h, part)
        h.wfile.write(part)
        if cut is not None:
            h.wfile.flush()
            h.close_connection = True
            h.connection.close()
        return None

    def trickle(self, h, part):
        """All but the last piece, at the rate that is set; the end of the client ends it."""
        while self.slow and len(part) > self.large:
            piece = max(1, self.slow // 20)
            h.wfile.write(part[:piece])
            part = part[piece:]
            time.sleep(0.05)
        return part


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--slow", type=int, default=0, metavar="BYTES", help="a second, of large files")
    parser.add_argument("repos", nargs="+", metavar="OWNER/NAME=FOLDER")
    args = parser.parse_args()
    repos = {}
    for item in args.repos:
        name, _, folder = item.partition("=")
        repos[name] = {f: open(os.path.join(folder, f), "rb").read() for f in sorted(os.listdir(folder))}
    with Hub(repos, port=args.port) as hub:
        hub.slow = args.slow
        print(f"HF_ENDPOINT={hub.url}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
