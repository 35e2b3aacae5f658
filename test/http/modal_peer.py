"""A service of Modal's API that tells lies, for tests.

    python3 test/http/modal_peer.py LOG

Plain HTTP/2, by prior knowledge, on a free port, which it prints; the name of
each request becomes a line of LOG.  Functions are of any app; what a call of one
is answered with is what its name says:

    square      the square of each input, as it should be
    id-bytes    the call's id is no text
    id-control  it has a line break in it
    id-long     it has 2000 characters
    id-zero     it has a zero byte in it
    blob        its result, and large inputs, are where nobody can go
    changing    its result has a million bytes when it is first fetched, which does
                not succeed, and then fewer
    excuse      its result is 900,000 bytes, in place of which an error as long comes
                first
    pour        a generator of 500,000 times 1, as fast as they go out
    again       ten times as many, of which each is the first one once more
    wide        the id of the function has 3.9 MB
    web         it is a web function, whose URL has the token's secret in it

h2 is the library.
"""

import functools
import http.server
import socketserver
import sys
import threading

import h2.config
import h2.connection
import h2.events

SUCCESS, CBOR, GENERATOR_DONE = 1, 4, 3
GENERATOR, FUNCTION = 1, 2
ITEMS = 500_000
FIRST = 1 << 21  # index of the first of them: all are of one length

IDS = {
    "id-bytes": b"fc-\xff\xfe",
    "id-control": b"fc-a\nb",
    "id-long": b"fc-" + b"x" * 1997,
    "id-zero": b"fc-a\0b",
    "blob": b"fc-blob",
    "changing": b"fc-changing",
    "excuse": b"fc-excuse",
    "pour": b"fc-pour",
    "again": b"fc-again",
}

lock = threading.Lock()
calls = {}  # id -> numbers by index, with results that nobody has asked for


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out) + bytes([n])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def fields(data):
    """(number, value) of each field; those of fixed size are left out."""
    at = 0

    def take():
        nonlocal at
        n = shift = 0
        while True:
            byte = data[at]
            at += 1
            n |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return n

    while at < len(data):
        number, wire = divmod(take(), 8)
        if wire == 0:
            yield number, take()
        elif wire == 2:
            n = take()
            at += n
            yield number, data[at - n:at]
        else:
            at += 4 if wire == 5 else 8


def add_inputs(call, items):
    """Small numbers in CBOR, [[n], {}], become squares."""
    reply = b""
    for item in items:
        parts = dict(fields(item))
        n = dict(fields(parts[2]))[1][2]
        calls[call].append((parts.get(1, 0), n * n))
        reply += field(1, field(1, parts.get(1, 0)) + field(2, b"in-1") + field(3, b"token"))
    return reply


def all_of(data, number):
    return [value for n, value in fields(data) if n == number]


def function_get(message, headers):
    tag = all_of(message, 2)[0]
    kind = GENERATOR if tag in (b"pour", b"again") else FUNCTION
    handle = field(2, tag) + field(8, kind) + field(50, CBOR)
    if tag == b"web":
        handle += field(28, b"https://web.example/" + headers["x-modal-token-secret"].encode())
    name = b"fu-" + tag
    if tag == b"wide":
        name += b"x" * 3_900_000
    return field(1, name) + field(2, handle)


def item(index):
    message = field(1, CBOR) + field(2, b"\x01") + field(4, index)
    return b"\0" + len(message).to_bytes(4, "big") + message


@functools.cache
def all_items():
    return b"".join(item(FIRST + i) for i in range(ITEMS))


def items_behind(message):
    if all_of(message, 1)[0] == b"fc-again":
        return memoryview(item(FIRST) * 10 * ITEMS)
    after = max(all_of(message, 2), default=FIRST - 1)
    return memoryview(all_items())[len(item(FIRST)) * (after + 1 - FIRST):]


def function_map(message, _):
    call = IDS.get(all_of(message, 1)[0][3:].decode(), b"fc-%d" % (len(calls) + 1))
    calls[call] = []
    items = add_inputs(call, all_of(message, 5))
    return (field(1, call) + items.replace(b"\x0a", b"\x12", 1) + field(4, b"jwt") +
            field(6, 1000))


def function_put_inputs(message, _):
    return add_inputs(all_of(message, 3)[0], all_of(message, 4))


def function_get_outputs(message, _):
    call = all_of(message, 1)[0]
    done, calls[call] = calls[call], []
    reply = b""
    if call == b"fc-again":
        return field(6, 1)
    if call == b"fc-pour":
        done = []
        reply = field(4, field(1, field(1, SUCCESS) + field(5, field(1, ITEMS))) +
                         field(5, GENERATOR_DONE))
    for idx, number in done:
        value = field(5, b"\x19" + number.to_bytes(2, "big"))
        if call in (b"fc-blob", b"fc-changing", b"fc-excuse"):
            value = field(10, call.replace(b"fc-", b"bl-"))
        reply += field(4, field(1, field(1, SUCCESS) + value) + field(2, idx) +
                       field(5, CBOR))
    return reply


def blob_get(message, _):
    blob = all_of(message, 1)[0]
    if blob != b"bl-blob":
        return field(1, b"http://127.0.0.1:%d/%s" % (Store.port, blob))
    return field(1, b"ftp://store.example/1")


ANSWERS = {
    "BlobCreate": lambda *_: field(1, b"ftp://store.example/1") + field(2, b"bl-1"),
    "BlobGet": blob_get,
    "AuthTokenGet": lambda *_: field(1, b"a-token"),
    "FunctionGet": function_get,
    "FunctionMap": function_map,
    "FunctionPutInputs": function_put_inputs,
    "FunctionGetOutputs": function_get_outputs,
    "FunctionFinishInputs": lambda *_: b"",
    "FunctionCallCancel": lambda *_: b"",
}


class Connection(socketserver.BaseRequestHandler):
    def handle(self):
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.streams = {}
        self.items = {}  # stream -> what the peer's windows have not let out yet
        self.h2.initiate_connection()
        self.request.sendall(self.h2.data_to_send())
        while data := self.request.recv(65536):
            for event in self.h2.receive_data(data):
                self.on_event(event)
            for stream in list(self.items):
                self.pour(stream)
            self.request.sendall(self.h2.data_to_send())

    def pour(self, stream):
        while (n := min(self.h2.local_flow_control_window(stream), 16384, len(self.items[stream]))) > 0:
            self.h2.send_data(stream, bytes(self.items[stream][:n]))
            self.items[stream] = self.items[stream][n:]
        if not self.items[stream]:
            del self.items[stream]
            self.h2.send_headers(stream, [("grpc-status", "0")], end_stream=True)

    def on_event(self, event):
        if isinstance(event, h2.events.RequestReceived):
            headers = dict((k.decode(), v.decode()) if isinstance(k, bytes) else (k, v)
                           for k, v in event.headers)
            self.streams[event.stream_id] = [headers, b""]
        elif isinstance(event, h2.events.DataReceived):
            self.streams[event.stream_id][1] += event.data
            if event.flow_controlled_length:
                self.h2.increment_flow_control_window(event.flow_controlled_length)
        elif isinstance(event, h2.events.StreamReset):
            self.items.pop(event.stream_id, None)
        elif isinstance(event, h2.events.StreamEnded):
            headers, body = self.streams.pop(event.stream_id)
            self.answer(event.stream_id, headers, body[5:])

    def answer(self, stream, headers, message):
        name = headers[":path"].rsplit("/", 1)[-1]
        with lock:
            self.log.write(name + "\n")
            self.log.flush()
            reply = ANSWERS[name](message, headers) if name in ANSWERS else None
        self.h2.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
        if name == "FunctionCallGetDataOut":
            self.items[stream] = items_behind(message)
        elif reply is not None:
            self.items[stream] = memoryview(b"\0" + len(reply).to_bytes(4, "big") + reply)
        else:
            self.h2.send_headers(stream, [("grpc-status", "12")], end_stream=True)


class Store(http.server.BaseHTTPRequestHandler):
    """Where results are that do not come the first time."""

    port = 0
    fetched = set()

    def do_GET(self):
        first = self.path not in self.fetched
        changes = self.path == "/bl-changing"
        size = 1_000_000 if first and changes else 900_000
        self.fetched.add(self.path)
        self.send_response(503 if first and not changes else 200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        body = b"\x5a" + (size - 5).to_bytes(4, "big") + bytes(size - 5)
        if first:
            body = body[:600_000] if changes else b"x" * size
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    Connection.log = open(sys.argv[1], "a", encoding="utf-8")
    store = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store)
    Store.port = store.server_address[1]
    threading.Thread(target=store.serve_forever, daemon=True).start()
    server = Server(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 0), Connection)
    print(server.server_address[1], flush=True)
    server.serve_forever()
