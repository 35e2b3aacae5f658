"""An HTTP/2 service for tests, which misbehaves on demand.

    python3 test/http/h2_peer.py LOG [--max-streams N] [--window N]

Plain HTTP/2, by prior knowledge, on a free port, which it prints.  Each request
becomes a line of LOG when its body has ended: a JSON object with connection,
stream, path, headers and bytes (of the body, as it came).  The last step of a path says
what is done:

    echo        the body
    connection  the number of the connection
    authority   the host that was asked for
    ping        as echo, after PINGs and an unknown frame
    pieces      as echo, one byte per frame
    refuse-N    the first N such streams are refused, then as echo
    recant      the stream is refused when its answer has begun
    goaway-N    the first N connections asked this say GOAWAY, and that this
                stream was not begun; then as echo
    last        GOAWAY after this stream, which is answered
    reset       the stream is reset
    drop        the connection is closed without an answer
    late-N      the first N such streams have their connection closed after
                300 ms, without an answer; meanwhile other connections are
                closed as soon as they are made; then as echo
    half        half an answer, then the connection is closed
    early       answered before the body has come, the rest is not wanted
    over        answered before the body has come, and no word about the rest
    bye         answered before the body has come, and nothing is said or read
                any more
    leave       GOAWAY after this stream, which is answered 3 s later
    part        an answer that is cut short as if nothing had happened
    fault       a frame that HTTP/2 does not allow
    deaf        nothing more is read from this connection
    drain       as echo; then no more streams are allowed, and GOAWAY after 500 ms
    meet        the first one is answered when there is another one, or after
                20 s ("alone"); for 300 ms other connections are closed
    gzip, gzip-shout
                as echo, compressed
    gzip-members
                as echo, compressed in two members
    gzip-empty  no body, which is said to be compressed
    gzip-cut, gzip-bad, gzip-bomb
                a compressed body that ends too early, is none, or is 200 MB
    head-N      N kilobytes of headers
    silent      nothing at all
    AuthTokenGet
                a token, as Modal's service has it
    FunctionGet that one is not permitted, with the token in base64
    required    the stream is reset, and HTTP/1.1 wanted, which is answered, too
    trickle     the beginning of an answer, and then a byte of it in each frame,
                without end
    flood-NAME  one of the frames in FLOODS below, without end

What does not begin with HTTP/2's preface is answered as HTTP/1.1: "old".

h2 is the library.
"""

import argparse
import base64
import functools
import gzip
import json
import socket
import socketserver
import threading
import time
import zlib

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings

UNKNOWN_FRAME = b"\0\0\4\xbb\0\0\0\0\0what"
FORBIDDEN_FRAME = b"\0\0\1\0\0\0\0\0\0x"  # data of no stream

FLOODS = {
    "data": lambda stream: frame(0, stream, b""),
    "ping": lambda stream: frame(6, 0, b"12345678"),
    "settings": lambda stream: frame(4, 0, b""),
    "window": lambda stream: frame(8, 0, b"\0\0\0\1"),
    "priority": lambda stream: frame(2, stream, b"\0\0\0\0\0"),
    "unknown": lambda stream: frame(0xbb, 0, b""),
}


def frame(kind, stream, payload):
    return len(payload).to_bytes(3, "big") + bytes([kind, 0]) + stream.to_bytes(4, "big") + payload


parser = argparse.ArgumentParser()
parser.add_argument("log")
parser.add_argument("--max-streams", type=int, default=100)
parser.add_argument("--window", type=int, default=65535)
args = parser.parse_args()

lock = threading.Lock()
refusing = threading.Event()  # new connections
met = threading.Event()
never = threading.Event()
counts = {}
connections = 0


def count(key):
    with lock:
        counts[key] = counts.get(key, 0) + 1
        return counts[key]


@functools.cache
def bomb():
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(b'"' + b"x" * (200 << 20) + b'"') + packer.flush()


class Connection(socketserver.BaseRequestHandler):
    def setup(self):
        global connections
        with lock:
            connections += 1
            self.number = connections
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.h2.local_settings = h2.settings.Settings(client=False, initial_values={
            h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: args.max_streams,
            h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: args.window})
        self.streams = {}
        self.replies = {}  # what the peer's windows do not let out yet
        self.open = True

    def flush(self):
        self.request.sendall(self.h2.data_to_send())

    def handle(self):
        if refusing.is_set():
            return
        if not self.request.recv(4, socket.MSG_PEEK).startswith(b"PRI"):
            self.serve_old()
            return
        self.h2.initiate_connection()
        if args.window > 65535:
            self.h2.increment_flow_control_window(args.window - 65535)
        self.flush()
        while self.open:
            data = self.request.recv(65536)
            if not data:
                return
            for event in self.h2.receive_data(data):
                self.on_event(event)
            for stream in list(self.replies):
                self.push(stream)
            if self.open:
                self.flush()

    def serve_old(self):
        with self.request.makefile("rb") as stream:
            while stream.readline():
                length = 0
                while (line := stream.readline()) not in (b"\r\n", b""):
                    name, _, value = line.partition(b":")
                    if name.lower() == b"content-length":
                        length = int(value)
                stream.read(length)
                self.request.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"old"')

    def pour(self, data):
        """The same, again and again, until the peer has had enough."""
        self.flush()
        data *= 64000 // len(data)
        while True:
            self.request.sendall(data)

    def on_event(self, event):
        if isinstance(event, h2.events.RequestReceived):
            headers = dict((k.decode(), v.decode()) if isinstance(k, bytes) else (k, v)
                           for k, v in event.headers)
            self.streams[event.stream_id] = [headers, b""]
            if headers[":path"].endswith("/deaf"):
                self.note(event.stream_id, headers, b"")
                never.wait()
            elif headers[":path"].endswith("/over"):
                self.answer(event.stream_id, b'"over"')
                del self.streams[event.stream_id]
            elif headers[":path"].endswith("/bye"):
                self.answer(event.stream_id, b'"bye"')
                self.close()
                self.request.shutdown(socket.SHUT_WR)
                time.sleep(1)
            elif headers[":path"].endswith("/early"):
                self.answer(event.stream_id, b'"early"')
                self.flush()
                self.h2.reset_stream(event.stream_id, h2.errors.ErrorCodes.NO_ERROR)
                del self.streams[event.stream_id]
        elif isinstance(event, h2.events.DataReceived):
            if event.stream_id in self.streams:
                self.streams[event.stream_id][1] += event.data
            if event.flow_controlled_length:
                self.h2.increment_flow_control_window(event.flow_controlled_length)
                if event.stream_id in self.streams and not event.stream_ended:
                    self.h2.increment_flow_control_window(event.flow_controlled_length,
                                                          event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self.streams.pop(event.stream_id, None)
            self.replies.pop(event.stream_id, None)
        elif isinstance(event, h2.events.StreamEnded) and event.stream_id in self.streams:
            headers, body = self.streams.pop(event.stream_id)
            self.note(event.stream_id, headers, body)
            if headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            self.serve(event.stream_id, headers, body)

    def note(self, stream, headers, body):
        line = json.dumps({"connection": self.number, "stream": stream,
                           "path": headers[":path"], "headers": headers, "bytes": len(body)})
        with lock, open(args.log, "a") as log:
            log.write(line + "\n")

    def answer(self, stream, body, extra=(), end=True):
        self.h2.send_headers(stream, [(":status", "200"), ("content-type", "application/json"),
                                      *extra])
        self.replies[stream] = [body, end]
        self.push(stream)

    def push(self, stream):
        body, end = self.replies[stream]
        while body:
            n = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size,
                    len(body))
            if n <= 0:
                self.replies[stream][0] = body
                return
            self.h2.send_data(stream, body[:n])
            body = body[n:]
        del self.replies[stream]
        if end:
            self.h2.end_stream(stream)

    def close(self):
        self.flush()
        self.open = False

    def serve(self, stream, headers, body):
        step = headers[":path"].rsplit("/", 1)[-1]
        name, _, number = step.partition("-")
        if name == "refuse" and count(step) <= int(number):
            self.h2.reset_stream(stream, h2.errors.ErrorCodes.REFUSED_STREAM)
        elif step == "recant":
            self.answer(stream, b"1", end=False)
            self.h2.reset_stream(stream, h2.errors.ErrorCodes.REFUSED_STREAM)
        elif name == "goaway" and count(step) <= int(number):
            self.h2.close_connection(last_stream_id=max(stream - 2, 0))
            self.close()
        elif step == "last":
            self.answer(stream, b'"last"')
            self.h2.close_connection(last_stream_id=stream)
            self.close()
        elif step == "leave":
            self.flush()
            self.request.sendall(frame(7, 0, stream.to_bytes(4, "big") + b"\0\0\0\0"))
            time.sleep(3)
            self.answer(stream, b'"left"')
            self.close()
        elif step == "reset":
            self.h2.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
        elif step == "drop":
            self.open = False
        elif name == "late" and count(step) <= int(number):
            refusing.set()
            time.sleep(0.3)
            refusing.clear()
            self.open = False
        elif step == "part":
            self.answer(stream, b"1", end=False)
            self.h2.reset_stream(stream, h2.errors.ErrorCodes.NO_ERROR)
        elif step == "fault":
            self.flush()
            self.request.sendall(FORBIDDEN_FRAME)
            never.wait()
        elif step == "drain":
            self.h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 0})
            self.answer(stream, body)
            self.flush()
            time.sleep(0.5)
            self.h2.close_connection(last_stream_id=stream)
            self.close()
        elif step == "meet":
            if count(step) == 1:
                refusing.set()
                time.sleep(0.3)
                refusing.clear()
                self.answer(stream, b'"met"' if met.wait(20) else b'"alone"')
            else:
                met.set()
                self.answer(stream, b'"met"')
        elif step == "half":
            self.answer(stream, body[:len(body) // 2], end=False)
            self.close()
        elif step == "silent":
            pass
        elif step == "AuthTokenGet":
            self.answer(stream, b"\0\0\0\0\x0f\x0a\x0dshown-to-peer", [("grpc-status", "0")])
        elif step == "FunctionGet":
            token = base64.b64encode(headers["x-modal-auth-token"].encode()).decode()
            self.answer(stream, b"", [("grpc-status", "7"), ("grpc-message", "not with " + token)])
        elif step == "required":
            self.h2.reset_stream(stream, h2.errors.ErrorCodes.HTTP_1_1_REQUIRED)
        elif step == "trickle":
            self.answer(stream, b"", end=False)
            self.pour(frame(0, stream, b" "))
        elif name == "flood":
            self.answer(stream, b"", end=False)
            self.pour(FLOODS[number](stream))
        elif step == "connection":
            self.answer(stream, b"%d" % self.number)
        elif step == "authority":
            self.answer(stream, json.dumps(headers[":authority"]).encode())
        elif step == "gzip":
            self.answer(stream, gzip.compress(body), [("content-encoding", "gzip")])
        elif step == "gzip-shout":
            self.answer(stream, gzip.compress(body), [("content-encoding", "GZip")])
        elif step == "gzip-members":
            half = len(body) // 2
            self.answer(stream, gzip.compress(body[:half]) + gzip.compress(body[half:]),
                        [("content-encoding", "gzip")])
        elif step == "gzip-empty":
            self.answer(stream, b"", [("content-encoding", "gzip")])
        elif step == "gzip-cut":
            self.answer(stream, gzip.compress(body)[:-6], [("content-encoding", "gzip")])
        elif step == "gzip-bad":
            self.answer(stream, body, [("content-encoding", "gzip")])
        elif step == "gzip-bomb":
            self.answer(stream, bomb(), [("content-encoding", "gzip")])
        elif name == "head":
            self.answer(stream, body, [("x-filler-%d" % i, "x" * 1000) for i in range(int(number))])
        elif step == "ping":
            for i in range(10):
                self.h2.ping(b"ping%04d" % i)
            self.flush()
            self.request.sendall(UNKNOWN_FRAME)
            self.answer(stream, body)
        elif step == "pieces":
            self.answer(stream, b"", end=False)
            for i in range(len(body)):
                self.h2.send_data(stream, body[i:i + 1])
                self.flush()
                time.sleep(0.001)
            self.h2.end_stream(stream)
        else:
            self.answer(stream, body)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request, client_address):
        pass  # clients go away as they like


open(args.log, "a").close()
server = Server(("127.0.0.1", 0), Connection)
if args.window > 65535:  # what it does not read shall be noticed
    server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
print(server.server_address[1], flush=True)
server.serve_forever()
