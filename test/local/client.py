"""A client of modal-local for its tests: requests by curl, messages by protobuf."""

import contextlib
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
import uuid

import cbor2

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
PROGRAM = os.environ.get("MODAL_LOCAL", os.path.join(TOP, "local/modal-local"))
PICKLE, CBOR, GENERATOR_DONE = 1, 4, 3
SUCCESS, FAILURE, TERMINATED, TIMEOUT, INTERNAL_FAILURE = 1, 2, 3, 4, 6
SYNC_LEGACY, ASYNC, SYNC = 1, 3, 4
UNARY, MAP = 1, 2

_generated = tempfile.TemporaryDirectory()
subprocess.run(["protoc", "--proto_path", os.path.join(TOP, "src/proto"),
                "--python_out", _generated.name, "modal.proto"], check=True)
sys.path.insert(0, _generated.name)
import modal_pb2 as pb  # noqa: E402


class GrpcError(Exception):
    def __init__(self, status, message, details=b""):
        super().__init__("%s: %s" % (status, message))
        self.status = status
        self.message = message
        self.details = details


class Reply:
    """What curl has to say about a request."""

    def __init__(self, process, response):
        self.process = process
        self.response = response

    def raw(self):
        """(curl's exit status, headers and trailers, body)"""
        out, _ = self.process.communicate(timeout=90)
        headers = {}
        head, _, rest = out.partition(b"\r\n\r\n")
        trailer = b""
        body = rest
        at = rest.rfind(b"grpc-status: ")
        if at >= 0:
            body, trailer = rest[:at], rest[at:]
        for line in (head + b"\r\n" + trailer).decode("latin-1").splitlines():
            name, colon, value = line.partition(": ")
            if colon:
                headers[name.lower()] = value.strip()
        headers[":status"] = head.split(b" ")[1].decode() if b" " in head else ""
        return self.process.returncode, headers, body

    def get(self):
        code, headers, body = self.raw()
        if "grpc-status" not in headers:
            raise GrpcError("none", "curl %d, HTTP status %s" % (code, headers[":status"]))
        if headers["grpc-status"] != "0":
            raise GrpcError(int(headers["grpc-status"]), headers.get("grpc-message", ""),
                            headers.get("grpc-status-details-bin", ""))
        messages = []
        while body:
            flag, size = struct.unpack(">BI", body[:5])
            assert flag == 0 and len(body) >= 5 + size, "truncated message"
            message = self.response()
            message.ParseFromString(body[5:5 + size])
            messages.append(message)
            body = body[5 + size:]
        return messages


class Server:
    plain = False  # without TLS, unless a request says otherwise

    def __init__(self, *arguments, faults=""):
        self.folder = tempfile.TemporaryDirectory(prefix="modal-local-")
        self.dir = self.folder.name
        self.arguments = arguments
        self.port = "0"
        self.write_faults(faults)
        self.start()

    def path(self, name):
        return os.path.join(self.dir, name)

    def start(self):
        self.process = subprocess.Popen(
            [PROGRAM, "--port", self.port, "--dir", self.path("state"), "--log", self.path("log"),
             "--faults", self.path("faults"), *self.arguments],
            stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline().split("\t")
        assert line[0] == "ready", line
        self.port, self.ca = line[1], line[2]

    def end(self, signo=signal.SIGTERM):
        self.process.send_signal(signo)
        status = self.process.wait(30)
        self.process.stdout.close()
        return status

    def write_faults(self, text):
        with open(self.path("faults"), "w") as f:
            f.write(text)

    def set_faults(self, text):
        self.write_faults(text)
        self.process.send_signal(signal.SIGHUP)

    def log(self, rpc=None):
        with open(self.path("log")) as f:
            lines = [line.rstrip("\n").split("\t") for line in f]
        return [dict([w.split("=", 1) for w in line[5:]], rpc=line[2], outcome=line[3])
                for line in lines if line[1] != "0" and rpc in (None, line[2])]

    def cpu(self):
        """In hundredths of a second."""
        with open("/proc/%d/stat" % self.process.pid) as f:
            fields = f.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    # --- requests ----------------------------------------------------------

    def send(self, name, request, tls=None, headers=None, key=None, path=None):
        """Begin a request; the message type of the reply is by its name."""
        tls = not self.plain if tls is None else tls
        values = {
            "content-type": "application/grpc", "te": "trailers", "x-modal-client-type": "9",
            "x-modal-client-version": "1.0.0", "x-modal-token-id": "ak-local",
            "x-modal-token-secret": "as-local", "x-idempotency-key": key or str(uuid.uuid4()),
        }
        values.update(headers or {})
        command = ["curl", "-s", "-i", "-N", "--max-time", "80", "--data-binary", "@-",
                   *(["--cacert", self.ca, "--http2"] if tls else ["--http2-prior-knowledge"])]
        for header, value in values.items():
            command += ["-H", "%s:%s" % (header, " " + value if value is not None else "")]
        command.append("%s://localhost:%s%s" % ("https" if tls else "http", self.port,
                                                path or "/modal.client.ModalClient/" + name))
        body = request if isinstance(request, bytes) else (
            lambda m: struct.pack(">BI", 0, len(m)) + m)(request.SerializeToString())
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        process.stdin.write(body)
        process.stdin.close()
        process.stdin = None
        response = {"FunctionGetCurrentStats": "FunctionStats",
                    "FunctionCallGetDataOut": "DataChunk"}.get(name, name + "Response")
        return Reply(process, getattr(pb, response, pb.Empty))

    def call(self, name, request=None, **options):
        if request is None:
            request = getattr(pb, name + "Request", pb.Empty)()
        return self.send(name, request, **options).get()[0]

    def auth(self):
        return {"x-modal-auth-token": self.call("AuthTokenGet").token}

    # --- what clients do ---------------------------------------------------

    def function(self, name, app="builtin"):
        return self.call("FunctionGet", pb.FunctionGetRequest(app_name=app, object_tag=name))

    def start_call(self, function_id, inputs=(), kind=UNARY, invocation=SYNC, **options):
        return self.call("FunctionMap", pb.FunctionMapRequest(
            function_id=function_id, function_call_type=kind,
            function_call_invocation_type=invocation, pipelined_inputs=inputs), **options)

    def outputs(self, call_id, **fields):
        fields = {"timeout": 30, "last_entry_id": "0-0", **fields}
        key = fields.pop("key", None)
        return self.call("FunctionGetOutputs",
                         pb.FunctionGetOutputsRequest(function_call_id=call_id, **fields), key=key)

    def output(self, function, *args, method=None, invocation=SYNC, **kwargs):
        """The output of one input."""
        function_id = function if function.startswith("fu-") else self.function(function).function_id
        call = self.start_call(function_id, [item(0, *args, method=method, **kwargs)],
                               invocation=invocation)
        reply = self.outputs(call.function_call_id, max_values=1, clear_on_success=True)
        return reply.outputs[0]

    def remote(self, function, *args, **kwargs):
        """As the SDKs' .remote(): the value, or a failure raised."""
        output = self.output(function, *args, **kwargs)
        return self.value(output.result)

    def value(self, result):
        if result.status != SUCCESS:
            raise RuntimeError(result.exception)
        data = result.data
        if result.data_blob_id:
            data = self.download(result.data_blob_id)
        return cbor2.loads(data)

    # --- blobs -------------------------------------------------------------

    def http(self, *arguments, data=None):
        """(status, headers, body) of a request to a blob's URL."""
        done = subprocess.run(["curl", "-s", "-i", "--http1.1", "-H", "Expect:", *arguments],
                              input=data, capture_output=True)
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        return head.split(b" ")[1].decode() if b" " in head else "", head.decode(), body

    def download(self, blob_id):
        url = self.call("BlobGet", pb.BlobGetRequest(blob_id=blob_id)).download_url
        status, _, body = self.http(url)
        assert status == "200", status
        return body


@contextlib.contextmanager
def server(*arguments, **options):
    it = Server(*arguments, **options)
    try:
        yield it
    finally:
        if it.process.poll() is None:
            status = it.end()
            assert status == 0, "modal-local ended with status %d" % status


def payload(*args, **kwargs):
    return cbor2.dumps([list(args), kwargs])


def item(idx, *args, method=None, **kwargs):
    fields = {"method_name": method} if method else {}
    return pb.FunctionPutInputsItem(idx=idx, input=pb.FunctionInput(
        args=payload(*args, **kwargs), data_format=CBOR, **fields))


def put(call, items, function_id=""):
    return pb.FunctionPutInputsRequest(function_id=function_id,
                                       function_call_id=call.function_call_id, inputs=items)


# --- TAP ---------------------------------------------------------------------

_count = 0
_failed = 0


def ok(condition, name, diagnostics=None):
    global _count, _failed
    _count += 1
    print("%s %d - %s" % ("ok" if condition else "not ok", _count, name), flush=True)
    if not condition:
        _failed += 1
        print("# got: %r" % (diagnostics,))


def same(got, wanted, name):
    ok(got == wanted, name, (got, "instead of", wanted))


def refused(call, status, name):
    """The call must end with this gRPC status."""
    try:
        call()
    except GrpcError as error:
        same(error.status, status, name)
        return error
    ok(False, name, "no error")
    return None


def wait_for(condition, seconds=20):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.02)
    return False


def done():
    print("1..%d" % _count)
    sys.exit(1 if _failed else 0)
