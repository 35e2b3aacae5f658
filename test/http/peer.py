"""An HTTP service for tests: notes what it is sent, and misbehaves on demand.

    python3 test/http/peer.py LOG [PORT]

Prints its port, by default a free one.  Each request becomes a line of LOG: a
JSON object with time, connection, method, path, headers (lower case) and body;
each connection that has ended one of LOG.ended.  A path is a list of steps, of
which the first that answers is the last:

    echo            the body, as it came (any format but bigquery)
    calls           bigquery: the first argument of each row
    data            snowflake: the first argument of each row
    results         redshift: the first argument of each row
    headers         the headers of the request, as a JSON object
    tell            400 with the Authorization header in its text
    tell-page       the same, in HTML, with what Basic credentials stand for, or
                    those for a proxy
    tell-code       bigquery: a row error with that header, and much else, as code
    empty           200 without a body; 204 with that status
    status-N        answers with status N
    bad-NAME        400 when a row is 13, else as calls, data or results
    fewer-NAME      the same, with a result missing
    broken-NAME     the same, with status 500
    hanging-NAME    the same, with no answer
    sleep-N         N milliseconds before the answer
    queue-N         the same, one request at a time
    first-N-STATUS  the first N requests with the same key get that status
    first-N-close   the same, with the connection closed instead
    first-N-hang    the same, never answered
    after-TEXT      Retry-After: TEXT, percent-decoded; past: a date that is over
    raw-NAME        one of the answers in RAW below
    then-NAME       as echo, and then one of the SURPLUS below
    tired           408 and the end of the connection, if it is not its first request
    swell-N         N answers of one byte each, then such of 5 MB, all in a while
    throttle-N      429 while N requests are under way
    async-N         snowflake: 202 for a POST and for N GETs, then go on
    astray-N-STATUS snowflake: 202 for a POST, STATUS for N GETs, then go on
    swapped, twice  snowflake: pairs in another order, a row number twice
    errors          bigquery: as calls, but 13 fails alone (at first for a while)

Standard library only.
"""

import base64
import gzip
import html
import json
import socket
import socketserver
import sys
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote

PAST = "Sun, 06 Nov 1994 08:49:37 GMT"
HTML = b"HTTP/1.1 %s\r\nContent-Type: text/html; charset=utf-8\r\n"
PAGE = "<html><style>p {}</style><body><h1>Bad</h1><p>upstream \u00fc</p></body></html>"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BAD = b"HTTP/1.1 400 Bad\r\n"


def whole(body, extra=b"", head=HEAD):
    return head + extra + b"Content-Length: %d\r\n\r\n" % len(body) + body


def bomb():
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = packer.compress(b'"' + b"x" * (200 << 20) + b'"') + packer.flush()
    return whole(packed, b"Content-Encoding: gzip\r\n")


RAW = {
    "page": lambda: whole(PAGE.encode(), head=HTML % b"200 OK"),
    "bad-page": lambda: whole(PAGE.encode(), head=HTML % b"400 Bad"),
    "bad-bom": lambda: whole(b'\xef\xbb\xbf{"error": "with a mark"}', head=BAD),
    "bad-utf16": lambda: whole("\ufeffwide \u00fc".encode("utf-16-le"), head=BAD),
    "bad-bytes": lambda: whole(b"caf\xe9 \0 \x1b[31m", head=BAD),
    "bad-secret": lambda: whole(b"x" * 8190 + b"for-this-peer-alone", head=BAD),
    "wide-secret": lambda: whole("\ufefffor-this-peer-alone".encode("utf-16-be"), head=BAD),
    "cut-letter": lambda: whole(b"x" + "\u20ac".encode() * 4000, head=BAD),
    "mark": lambda: whole(b"\xef\xbb\xbf1"),
    "not-json": lambda: whole(b"<html>oops</html>"),
    "cut-json": lambda: whole(b'{"replies": [1, '),
    "nan": lambda: whole(b"NaN"),
    "two": lambda: whole(b"1 2"),
    "bad-utf8": lambda: whole(b'"\xff\xfe"'),
    "nul": lambda: whole(b'"a\\u0000b"'),
    "deep": lambda: whole(b"[" * 100000),
    "large": lambda: whole(b'"' + b"x" * 5_000_000 + b'"'),
    "endless": lambda: HEAD + b"\r\n" + b" " * (80 << 20),
    "bomb": bomb,
    "not-gzip": lambda: whole(b"plain", b"Content-Encoding: gzip\r\n"),
    "length-list": lambda: HEAD + b"Content-Length: 1 , 1\r\n\r\n1",
    "lengths-list": lambda: HEAD + b"Content-Length: 1, 2\r\n\r\n12",
    "long-length": lambda: HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n1",
    "plus-length": lambda: HEAD + b"Content-Length: +1\r\n\r\n1",
    "shown-not-gzip": lambda: whole(b"plain", b"Content-Encoding: gzip\r\n",
                                    b"HTTP/1.1 404 Not Found\r\n"),
    "padded": lambda: whole(gzip.compress(b"1") + bytes(600), b"Content-Encoding: gzip\r\n"),
    "followed": lambda: whole(gzip.compress(b"1") + b"more", b"Content-Encoding: gzip\r\n"),
    "deflate": lambda: whole(zlib.compress(b"1"), b"Content-Encoding: deflate\r\n"),
    "shown-deflate": lambda: whole(zlib.compress(b"1"), b"Content-Encoding: deflate\r\n",
                                   b"HTTP/1.1 404 Not Found\r\n"),
    "gzip-twice": lambda: whole(gzip.compress(gzip.compress(b"1")), b"Content-Encoding: gzip, gzip\r\n"),
    "gzip-list": lambda: whole(gzip.compress(b"1"), b"Content-Encoding: identity ,\tX-GZIP\r\n"),
    "gzip-trailer": lambda: CHUNKED + b"1\r\n1\r\n0\r\nContent-Encoding: gzip\r\n\r\n",
    "members": lambda: whole(gzip.compress(b'"two ') + gzip.compress(b'members"'),
                             b"Content-Encoding: gzip\r\n"),
    "smuggled": lambda: HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
                               b"3\r\n\"a\"\r\n0\r\n\r\n",
    "gzip": lambda: whole(gzip.compress(b'"packed"'), b"Content-Encoding: gzip\r\n"),
    "half": lambda: HEAD + b"Content-Length: 100\r\n\r\n" + b'"half',
    "half-chunk": lambda: HEAD + b"Transfer-Encoding: chunked\r\n\r\n50\r\nabc",
    "huge-header": lambda: HEAD + b"X: " + b"a" * (8 << 20) + b"\r\n\r\n",
    "many-headers": lambda: HEAD + b"X-Header: value\r\n" * 200_000 + b"\r\n",
    "interim": lambda: b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + whole(b"1"),
    "flood": lambda: b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 200_000 + whole(b"1"),
    "trailers": lambda: CHUNKED + b"1\r\n1\r\n0\r\nX-Trailer: 1\r\n\r\n",
    "many-trailers": lambda: CHUNKED + b"1\r\n1\r\n0\r\n" + b"X-Trailer: 1\r\n" * 200_000 + b"\r\n",
    "endless-chunk": lambda: CHUNKED + b"1;" + b"x" * (8 << 20) + b"\r\n1\r\n0\r\n\r\n",
    "bad-chunk": lambda: CHUNKED + b"-1\r\n1\r\n0\r\n\r\n",
    "bad-length": lambda: HEAD + b"Content-Length: -1\r\n\r\n1",
    "vast-length": lambda: HEAD + b"Content-Length: 99999999999999999999\r\n\r\n1",
    "two-lengths": lambda: HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n12",
    "vast-number": lambda: whole(b"1e999999999"),
    "large-number": lambda: whole(b"1e999"),
    "long-number": lambda: whole(b"9" * 500_000),
    "deep-error": lambda: whole(b'{"error": ' * 50_000, head=BAD),
    "twice": lambda: whole(b'{"replies": [1], "replies": [2]}'),
    "strange-errors": lambda: whole(b'{"replies": [1], "errors": [[1]]}'),
    "more-errors": lambda: whole(b'{"replies": [1], "errors": [null, null]}'),
    "other-protocol": lambda: b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "no-status": lambda: b"HTTP/1.1 \r\n\r\n1",
    "odd-status": lambda: b"HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n",
    "not-http": lambda: b"SSH-2.0-OpenSSH_9.2\r\n",
    "nothing": lambda: b"",
    "short": lambda: whole(b'{"replies": [1]}'),
    "long": lambda: whole(json.dumps({"replies": list(range(5000))}).encode()),
    "no-list": lambda: whole(b'{"answer": 42}'),
    "failure": lambda: whole(b'{"errorMessage": "model not loaded"}'),
    "unsuccessful": lambda: whole(b'{"success": false, "error_msg": "no model"}'),
}

POISON = whole(b'"poison"')

# What comes after an answer that is complete: in one piece with it, or later.
SURPLUS = {
    "another": (POISON, 0), "bytes": (b'"poison"', 0),
    "late-another": (POISON, 0.1), "late-bytes": (b"x", 0.1),
    "late-408": (b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 0.1),
}

lock = threading.Lock()
queue = threading.Lock()
seen = {}       # key -> requests so far
under_way = 0


class Peer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def answer(self, status, body, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status != 204:
            self.wfile.write(body)

    def value(self, value):
        self.answer(200, json.dumps(value).encode())

    def raw(self, name):
        self.close_connection = name != "other-protocol"
        if name == "drip":
            self.wfile.write(HEAD + b"Content-Length: 100000\r\n\r\n")
            for _ in range(1000):
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(0.05)
        else:
            self.wfile.write(RAW[name]())

    def handle(self):
        try:
            super().handle()
        finally:
            with lock:
                self.ended.write("%d\n" % self.client_address[1])
                self.ended.flush()

    def surplus(self, name, body):
        surplus, seconds = SURPLUS[name]
        if not seconds:
            self.wfile.write(whole(body) + surplus)
            return
        self.wfile.write(whole(body))
        time.sleep(seconds)
        self.wfile.write(surplus)

    def read_body(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        return body

    def note(self, body):
        self.log.write(json.dumps({
            "time": time.time(), "connection": self.client_address[1],
            "method": self.command, "path": self.path, "body": body.decode(),
            "headers": {k.lower(): v for k, v in self.headers.items()}}).encode() + b"\n")

    def rows(self, name, body):
        text = json.loads(body) if name != "lines" else None
        if name == "calls":
            return [row[0] for row in text["calls"]]
        if name == "data":
            return [row[1] for row in text["data"]]
        return [row[0] for row in text["arguments"]]

    def reply_rows(self, name, rows):
        if name == "calls":
            self.value({"replies": rows})
        elif name == "data":
            self.value({"data": [[i, row] for i, row in enumerate(rows)]})
        elif name == "results":
            self.value({"success": True, "num_records": len(rows), "results": rows})

    def do(self):
        body = self.read_body()
        self.nrequests = getattr(self, "nrequests", 0) + 1
        with lock:
            self.note(body)
            key = self.headers.get("Idempotency-Key")
            seen[key] = seen.get(key, 0) + 1
            count = seen[key]
        try:
            self.act(body, count)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def has_room(self, most):
        """Whether no more than so many are under way; if so, works a while."""
        global under_way
        with lock:
            if under_way >= most:
                return False
            under_way += 1
        time.sleep(0.02)
        with lock:
            under_way -= 1
        return True

    def act(self, body, count):
        after = {}
        for step in self.path.split("?")[0].strip("/").split("/"):
            word, *numbers = step.split("-")
            if word == "then":
                return self.surplus(step[5:], body)
            if step.startswith("raw-"):
                return self.raw(step[4:])
            if word == "sleep":
                time.sleep(int(numbers[0]) / 1000)
            elif word == "queue":
                with queue:
                    time.sleep(int(numbers[0]) / 1000)
            elif word == "after":
                after = {"Retry_After": PAST if step == "after-past" else unquote(step[6:])}
            elif word == "first":
                if count <= int(numbers[0]):
                    if numbers[1] == "hang":
                        time.sleep(3600)
                    if numbers[1] in ("close", "hang"):
                        self.close_connection = True
                        return None
                    return self.answer(int(numbers[1]), b'{"error": "not yet"}', **after)
            elif word == "tired":
                if self.nrequests > 1:
                    self.close_connection = True
                    return self.answer(408, b"", Connection="close")
            elif word == "swell":
                with lock:
                    seen[step] = seen.get(step, 0) + 1
                    large = seen[step] > int(numbers[0])
                time.sleep(0.3 if large else 0.02)
                return self.answer(200, b'"%s"' % (b"x" * 5_000_000) if large else b"1")
            elif word == "throttle":
                if not self.has_room(int(numbers[0])):
                    return self.answer(429, b"slow down", **after)
            elif word == "status":
                where = {"Location": "/echo"} if numbers[0].startswith("3") else {}
                return self.answer(int(numbers[0]), b'{"error": "because"}', **after, **where)
            elif word in ("async", "astray"):
                if self.command == "POST":
                    Peer.posted[self.headers["sf-external-function-query-batch-id"]] = body
                    return self.answer(202, b"")
                if count <= int(numbers[0]) + 1:
                    return self.answer(int(numbers[1]) if word == "astray" else 202, b"")
                body = Peer.posted[self.headers["sf-external-function-query-batch-id"]]
            elif word in ("bad", "fewer", "broken", "hanging"):
                rows = self.rows(numbers[0], body)
                if 13 in rows and word == "bad":
                    return self.answer(400, b'{"errorMessage": "13 is unlucky"}')
                if 13 in rows and word == "broken":
                    return self.answer(500, b"Internal Server Error")
                if 13 in rows and word == "hanging":
                    time.sleep(3600)
                return self.reply_rows(
                    numbers[0], rows[1:] if 13 in rows and word == "fewer" else rows)
            elif word == "swapped":
                rows = self.rows("data", body)
                pairs = [[i, row] for i, row in enumerate(rows)]
                return self.value({"data": pairs[::-1] if len(pairs) > 1 else [[1, 0]]})
            elif word == "twice":
                rows = self.rows("data", body)
                return self.value({"data": [[0, row] for row in rows] + [[0, 0]]})
            elif word in ("calls", "data", "results"):
                return self.reply_rows(word, self.rows(word, body))
            elif word == "errors":
                rows = self.rows("calls", body)
                return self.value({"replies": rows, "errors": [
                    {"code": "UNLUCKY", "message": "13 is unlucky",
                     "retryable": True} if row == 13 and count == 1 else None
                    for row in rows]})
            elif word == "headers":
                return self.value({k.lower(): v for k, v in self.headers.items()})
            elif word == "tell":
                text = "I got " + self.headers.get("Authorization", "nothing")
                if numbers == ["page"]:
                    basic = self.headers.get("Proxy-Authorization") or text[6:]
                    pair = base64.b64decode(basic.partition("Basic ")[2]).decode()
                    return self.answer(400, html.escape("wrong: " + pair).encode())
                if numbers == ["code"]:
                    return self.value({"replies": [None], "errors": [
                        {"code": text + " " + 1000 * "x", "message": "no"}]})
                return self.answer(400, json.dumps({"error": text}).encode())
            elif word == "empty":
                return self.answer(200, b"")
            elif word == "204":
                return self.answer(204, b"")
            elif word == "echo":
                return self.answer(200, body)
        return self.answer(404, b'{"error": "no such path"}')

    do_GET = do_POST = do_PUT = do_PATCH = do


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 512


if __name__ == "__main__":
    Peer.posted = {}
    # Not buffered: threads write whole lines to it.
    Peer.log = open(sys.argv[1], "ab", buffering=0)
    Peer.ended = open(sys.argv[1] + ".ended", "a", encoding="utf-8")
    server = Server(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 0), Peer)
    print(server.server_address[1], flush=True)
    server.serve_forever()
