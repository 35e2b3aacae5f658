"""Tests of modal_local_host.py, over its socket; prints TAP.

usage: python3 test/host/test_host.py

With MODAL_SDK_PATH=FOLDER the tests of files for Modal's SDK use the one that
is installed there, not the stand-in.
"""

import contextlib
import datetime
import json
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

import cbor2

HERE = os.path.dirname(os.path.abspath(__file__))
HOST = os.path.join(HERE, "../../local/host/modal_local_host.py")
CALL = struct.Struct("<IHBBQ")
REPLY = struct.Struct("<IBBHQ")
MANIFEST, RESULT, FAILURE, YIELD, DONE, CANCELLED, LOG, WAIT, RESUME, START = range(10)
RECALLED = 0xFFFF
PICKLE, CBOR = 1, 4
JSON = [["content-type", "application/json"]]

count = 0
failed = 0


def ok(condition, name, diagnostics=None):
    global count, failed
    count += 1
    print("%s %d - %s" % ("ok" if condition else "not ok", count, name))
    if not condition:
        failed += 1
        print("# got: %r" % (diagnostics,))


def same(got, expected, name):
    ok(got == expected and type(got) is type(expected), name, got)


def varint(n):
    out = bytearray()
    n &= (1 << 64) - 1
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def parameter_set(**values):
    """A ClassParameterSet, as clients encode it."""
    out = b""
    for name, value in values.items():
        item = b"\x0a" + varint(len(name)) + name.encode()
        if isinstance(value, bool):
            item += b"\x10\x09\x38" + varint(value)
        elif isinstance(value, int):
            item += b"\x10\x02\x20" + varint(value)
        else:
            number, kind = (0x32, 4) if isinstance(value, bytes) else (0x1A, 1)
            data = value if isinstance(value, bytes) else value.encode()
            item += b"\x10" + varint(kind) + varint(number) + varint(len(data)) + data
        out += b"\x0a" + varint(len(item)) + item
    return out


class Host:
    def __init__(self, path, concurrency=1, environment=None, text=None):
        self.sock, theirs = socket.socketpair()
        control, self.control = os.pipe()
        self.sock.settimeout(20)
        fds = [theirs.fileno(), control] + ([os.open(text, os.O_RDONLY)] if text else [])
        arguments = [str(fds[0]), str(fds[1]), str(concurrency), path] + [str(fd) for fd in fds[2:]]
        self.process = subprocess.Popen(
            [sys.executable, HOST, *arguments],
            pass_fds=fds,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )
        theirs.close()
        os.close(control)
        self.last_id = 0
        self.printed = []
        self.batches = []  # ids of inputs that ran as one
        self.manifest = json.loads(self.reply()[3])
        self.targets = {f["name"]: f["target"] for f in self.manifest.get("functions", [])}
        for cls in self.manifest.get("classes", []):
            for method in cls["methods"]:
                self.targets[cls["name"] + "." + method["name"]] = method["target"]

    def read(self, n):
        data = b""
        while len(data) < n:
            more = self.sock.recv(n - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def reply(self):
        """(id, type, format, body) of the next one; what is printed is kept aside, and so are batches."""
        while True:
            length, kind, data_format, _, call_id = REPLY.unpack(self.read(REPLY.size))
            body = self.read(length)
            if kind == START:
                self.batches.append([i for (i,) in struct.iter_unpack("<Q", body)])
                continue
            if kind != LOG:
                return call_id, kind, data_format, body
            self.printed.append((call_id, data_format, body.decode()))

    def words(self, call_id, stream=1):
        """What the input has printed."""
        return "".join(text for i, f, text in self.printed if (i, f) == (call_id, stream))

    def frame(self, name, args, kwargs, parameters, data_format):
        self.last_id += 1
        body = (pickle if data_format == PICKLE else cbor2).dumps((args, kwargs))
        return (
            CALL.pack(4 + len(parameters) + len(body), self.targets[name], data_format, 0, self.last_id)
            + struct.pack("<I", len(parameters))
            + parameters
            + body
        )

    def send(self, name, *args, parameters=b"", data_format=CBOR, **kwargs):
        self.sock.sendall(self.frame(name, args, kwargs, parameters, data_format))
        return self.last_id

    def call(self, name, *args, **options):
        call_id = self.send(name, *args, **options)
        reply = self.reply()
        assert reply[0] == call_id, reply
        return reply[1:]

    def result(self, name, *args, **options):
        kind, data_format, body = self.call(name, *args, **options)
        assert kind == RESULT, (kind, body)
        return (pickle if data_format == PICKLE else cbor2).loads(body)

    def failure(self, name, *args, **options):
        """(exception, traceback, data) of a call that fails."""
        kind, _, body = self.call(name, *args, **options)
        assert kind == FAILURE, (kind, body)
        parts = []
        for _ in range(4):
            (n,) = struct.unpack_from("<I", body)
            parts.append(body[4 : 4 + n])
            body = body[4 + n :]
        self.frames = parts[2:]
        return parts[0].decode(), parts[1].decode(), body

    def items(self, name, *args, **options):
        """What a generator yields, and the reply that ends it."""
        self.send(name, *args, **options)
        items = []
        while True:
            _, kind, _, body = self.reply()
            if kind != YIELD:
                return items, kind, body
            items.append(cbor2.loads(body))

    def cancel(self, *ids):
        os.write(self.control, b"".join(struct.pack("<Q", i) for i in ids))
        self.process.send_signal(signal.SIGUSR1)

    def close(self):
        self.sock.close()
        output = self.process.communicate(timeout=20)[0].decode()
        os.close(self.control)
        return output


def test_manifest(host):
    functions = {f["name"]: f["generator"] for f in host.manifest["functions"]}
    ok("_private" not in functions, "functions with an underscore are not served")
    same(functions["echo"], False, "a function is served")
    same(functions["count"], True, "a generator is served as such")
    same(functions["count_async"], True, "an async generator too")
    ok("cached" in functions, "a decorated function is served")
    same({f["app"] for f in host.manifest["functions"]}, {"functions"}, "the app is named after the file")
    classes = {c["name"]: c for c in host.manifest["classes"]}
    same(set(classes), {"Counted", "Counter", "Greeter", "Labelled", "Loaded", "Posed", "Slow", "Tuned"}, "classes are served, exceptions are not")
    same(
        classes["Greeter"]["parameters"],
        [
            {"name": "name", "type": "string"},
            {"name": "loud", "type": "bool", "default": False},
            {"name": "data", "type": "bytes", "default": "00ff"},
        ],
        "parameters of a dataclass",
    )
    same(
        classes["Counter"]["parameters"],
        [{"name": "start", "type": "int", "default": 5}],
        "annotated attributes are parameters",
    )
    same(
        {m["name"]: m["generator"] for m in classes["Greeter"]["methods"]},
        {"greet": False, "letters": True},
        "public methods are served",
    )


def test_values(host):
    for value in (None, True, -5, 1.5, "grüß", b"\x00\xff", [1, [2]], {"a": 1}, 2**70):
        same(host.result("echo", value), value, "%.20r there and back" % (value,))
    same(host.result("echo", value="keyword"), "keyword", "keyword arguments")
    same(len(host.result("echo", "x" * 3_000_000)), 3_000_000, "three megabytes there and back")
    same(host.result("sleep_async", 0.01), "slept", "an async function")
    same(host.result("cached", 1), 2, "a decorated function runs")
    host.sock.sendall(b"".join(host.frame("echo", (i,), {}, b"", CBOR) for i in range(1000)))
    got = sorted(host.reply()[3] for _ in range(1000))
    same(got, sorted(cbor2.dumps(i) for i in range(1000)), "a thousand calls at once")


def test_failures(host):
    exception, trace, data = host.failure("fail", "bad")
    same(exception, "ValueError('bad')", "an exception's repr")
    ok("in fail" in trace and "modal_local_host" not in trace, "a traceback of the user's code only", trace)
    trace = host.failure("fail_async", "bad")[1]
    ok("in fail_async" in trace and "asyncio" not in trace, "of async functions too", trace)
    same((data, host.frames), (b"", [b"", b""]), "no pickle for a caller that sent CBOR")
    exception, _, data = host.failure("fail", "bad", data_format=PICKLE)
    frames, lines = (pickle.loads(part) for part in host.frames)
    code = frames["tb_frame"]["f_code"]
    path = os.path.join(HERE, "functions.py")
    same((code["co_name"], code["co_filename"]), ("fail", "<ta-local>:" + path), "the frames, as clients want them")
    same(lines[(path, frames["tb_lineno"])], "raise ValueError(message)", "and the lines of their source")
    same(frames["tb_next"], None, "of the user's code only")
    same(repr(pickle.loads(data)), "ValueError('bad')", "the pickled exception for one that sent pickle")
    ok(host.failure("echo")[0].startswith("TypeError("), "missing arguments")
    ok(host.failure("interval")[0].startswith("SerializationError("), "an unserializable result")
    ok("cbor" in host.failure("interval")[0], "names the format")
    same(host.result("interval", data_format=PICKLE).days, 1, "pickle can write it")
    same(host.result("described", (1, 2), data_format=PICKLE), "tuple (1, 2)", "pickle keeps tuples")
    same(host.failure("leave", 3)[0], "SystemExit(3)", "sys.exit() is a failure")
    for name in "fail_without_repr", "fail_without_repr_async":
        exception, trace, _ = host.failure(name, data_format=PICKLE)
        same(exception, "NoRepr(<no text: RuntimeError>)", "an exception that cannot be told")
        ok("NoRepr: message" in trace, "still has its traceback", trace)
    exception, trace, _ = host.failure("fail_without_trace")
    ok(exception.startswith("SyntaxError('message'"), "an exception that has no traceback to print", exception)
    same(host.result("fork_and_return"), 0, "a forked child that returns from the function ends there")
    same(host.result("fork_and_fail"), 1, "and one that fails")
    host.last_id += 1
    host.sock.sendall(CALL.pack(5, host.targets["echo"], CBOR, 0, host.last_id) + struct.pack("<I", 0) + b"\xff")
    same(host.reply()[1], FAILURE, "arguments that are not CBOR")
    host.last_id += 1
    host.sock.sendall(CALL.pack(4, host.targets["leap_day"], CBOR, 0, host.last_id) + struct.pack("<I", 0))
    same(host.reply()[1], RESULT, "no bytes are no arguments")
    same(host.result("echo", "alive"), "alive", "the host lives on")


def test_generators(host):
    for name in "count", "count_async":
        same(host.items(name, 3), ([0, 1, 2], DONE, struct.pack("<Q", 3)), "%s yields and ends" % name)
    same(host.items("count", 0), ([], DONE, struct.pack("<Q", 0)), "a generator without items")
    items, kind, _ = host.items("count_and_fail", 2)
    same((items, kind), ([0, 1], FAILURE), "a generator that fails midway")


def test_classes(host):
    same(host.result("Counter.add", 3), 8, "a method of an object with defaults")
    same(host.result("Counter.add", 3), 11, "the object is kept")
    same(host.result("Counter.add", 1, parameters=parameter_set(start=-7)), -6, "an int parameter")
    same(host.result("Counter.add", 1), 12, "objects with other parameters are others")
    greet = parameter_set(loud=True, name="Ann")
    same(host.result("Greeter.greet", parameters=greet), "HELLO ANN", "string and bool parameters")
    same(host.items("Greeter.letters", parameters=greet)[0], ["A", "n", "n"], "a generator method")
    ok(host.failure("Greeter.greet")[0].startswith("TypeError("), "a missing parameter")
    big = parameter_set(size="big")
    same(host.result("Labelled.describe", parameters=big), ["big", 1], "an attribute beside an __init__ without any")
    same(host.result("Labelled.describe"), ["small", 1], "and its default")
    posed = parameter_set(size="big", start=7)
    same(host.result("Posed.describe", parameters=posed), ["big", 7], "an attribute and an argument of __init__")
    same(host.result("Tuned.describe", parameters=big), ["big", "loaded"], "what an inherited __init__ sets is no parameter")
    same(host.result("Counted.describe", parameters=parameter_set(start=3)), 3, "an attribute that has a slot")
    parameters = {c["name"]: [p["name"] for p in c["parameters"]] for c in host.manifest["classes"]}
    same(parameters["Loaded"], [], "nor what __init__ sets")
    same(parameters["Tuned"], ["size"], "what is set of another object is one, a ClassVar is none")


def test_making(host):
    """Inputs that come while their object is made."""
    for number, parameters in (1, b""), (3, parameter_set(name="bad")):
        for name in "Slow.describe", "Slow.describe_async":
            host.send(name, parameters=parameters)
            host.send(name, parameters=parameters)
        replies = [host.reply() for _ in range(4)]
        if number == 3:
            same([kind for _, kind, _, _ in replies], [FAILURE] + [RESULT] * 3, "an object that cannot be made fails one input")
        values = [cbor2.loads(body) for _, kind, _, body in replies if kind == RESULT]
        same(values, [number] * len(values), "is made once for all inputs that wait for it")


def test_dates(host):
    day = datetime.date(2024, 2, 29)
    for tag in cbor2.CBORTag(1004, "2024-02-29"), cbor2.CBORTag(100, 19782):
        same(host.result("described", tag), "date %r" % day, "a date arrives as one, tag %d" % tag.tag)
    kind, _, body = host.call("leap_day")
    same((kind, body[:3]), (RESULT, b"\xd9\x03\xec"), "and leaves as a date, not as a time")
    same(body[4:], b"2024-02-29", "that is its text")
    kind, _, body = host.call("root")
    same((kind, body[:4]), (RESULT, b"\xd9\xa7\xf8\x82"), "a complex number leaves as a pair")
    same(host.result("described", [cbor2.CBORTag(1004, "2024-02-29")]), "list %r" % [day], "in a list, too")
    same(host.result("described", cbor2.CBORTag(4711, 1)), "CBORTag CBORTag(4711, 1)", "tags nobody knows stay")


def test_cancel(host, interrupts_threads):
    names = ["sleep_async"] + (["sleep"] if interrupts_threads else [])
    for name in names:
        call_id = host.send(name, 30)
        time.sleep(0.2)
        start = time.monotonic()
        host.cancel(call_id)
        same(host.reply()[:2], (call_id, CANCELLED), "%s is cancelled" % name)
        ok(time.monotonic() - start < 1, "at once")
    first = host.send("sleep_async", 0.3)
    second = host.send("sleep_async", 30)
    third = host.send("echo", 1)
    time.sleep(0.1)
    host.cancel(second)
    replies = {host.reply()[:2] for _ in range(3)}
    same(replies, {(first, RESULT), (second, CANCELLED), (third, RESULT)}, "one of several is cancelled")
    host.cancel(first)
    same(host.result("echo", 1), 1, "a late cancellation does nothing")


def test_printed(host):
    host.printed = []
    first, second = host.send("chatter", "a"), host.send("chatter", "b")
    for _ in range(2):
        host.reply()
    for call_id, name in (first, "a"), (second, "b"):
        text = {n: host.words(call_id, n) for n in (1, 2)}
        same(text, {1: "out %s\nbytes\\xff\\x00\nthread\nno newline\n" % name, 2: "error %s\n" % name}, "what input %s prints is its own" % name)
    for name in "first", "second":
        call_id = host.send("chatter_in_pool", name)
        host.reply()
        same(host.words(call_id), "pool %s\n" % name, "what a thread of a pool prints is of the %s input" % name)
    call_id = host.send("chatter_together", 8, 200)
    host.reply()
    same(host.words(call_id).count("line"), 1600, "nothing is lost of what threads print")


def test_signals(host):
    host.printed = []
    call_id = host.send("tick", 1)
    same(host.reply()[:2], (call_id, RESULT), "an input prints, and so does a handler of a signal")
    ok("tick\n" in host.words(call_id), "whose words are the input's, too")
    same(host.result("ring", 20), 20, "a handler of a signal ends what prints, and the rest goes on")
    host.printed = []


def test_decorated(host):
    for name in "add_plainly", "add_at_once":
        same(host.result(name, 3, 4), 7, "an async function that is decorated: " + name)
    for name in "count_plainly", "count_as_list":
        same(host.items(name, 2)[0], [0, 1], "a generator that is: " + name)


def test_processes(host):
    for method in "fork", "spawn", "forkserver":
        same(host.result("in_processes", method), method, "a function has others run in processes: " + method)


def test_end(host):
    host.send("end", 3)
    with contextlib.suppress(EOFError, ConnectionError):
        host.reply()
    same(host.process.wait(20), 3, "a function can end its process")


def test_start_errors():
    cases = [
        ("def f(:\n", "SyntaxError", "a syntax error"),
        ("import no_such_module\n", "ModuleNotFoundError", "a missing module"),
        ("def f():\n    return 1 / 0\nf()\n", "ZeroDivisionError", "an exception"),
        ("_x = 1\n", "no public function", "an empty file"),
        ("class C:\n    x: list\n    def f(self): pass\n", "must be annotated as", "a parameter of a wrong type"),
        ("class C:\n    x: int = 1.5\n    def f(self): pass\n", "default of parameter x", "a default of another type"),
        ("class C:\n    x: bytes = None\n    def f(self): pass\n", "default of parameter x", "None as a default"),
        ("class C:\n    x: int = 2**63\n    def f(self): pass\n", "default of parameter x", "a default that is too large"),
    ]
    for source, expected, name in cases:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "bad.py")
            with open(path, "w") as file:
                file.write(source)
            host = Host(path)
            error = host.manifest.get("error", "")
            ok(expected in error and "modal_local_host" not in error, name + " is told", error)
            host.close()


KINDS = """
from __future__ import annotations
import dataclasses
import enum
import threading
import typing

if typing.TYPE_CHECKING:
    import numpy


class Unsuited:
    def __init__(self, x):
        self.x = x

    def run(self):
        return self.x


class Table(dict):
    def row(self, key):
        return self[key]


class Worker(threading.Thread):
    def work(self):
        return "works"


class Shape(typing.Protocol):
    def area(self): ...


class Typed:
    limit: typing.ClassVar[int] = 3
    cache: dict = {}
    model: numpy.ndarray | None = None
    size: str = "s"

    def run(self):
        return [self.limit, self.cache, self.model, self.size]


class Made:
    size: str = "s"

    def __init__(self, *args, name: str = "n", model: numpy.ndarray | None = None, **kwargs):
        self.name = [name, model]

    def run(self):
        return self.name + [self.size]


@dataclasses.dataclass
class Data:
    words: list = dataclasses.field(default_factory=list)
    size: str = "s"

    def run(self):
        return [self.words, self.size]


class Slotted:
    __slots__ = ("size",)
    size: str

    def run(self):
        return self.size


def plain():
    return Unsuited("plain").run()
"""


def test_class_kinds():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "kinds.py")
        with open(path, "w") as file:
            file.write(KINDS)
        host = Host(path)
        ok("error" not in host.manifest, "classes of all kinds may be in a file", host.manifest)
        same(host.result("plain"), "plain", "a function uses one that cannot be served")
        left_out = "class Unsuited: parameter x must be annotated as str, int, bytes or bool"
        ok(left_out in host.manifest["left_out"], "and which that is is told", host.manifest["left_out"])
        classes = {c["name"]: c for c in host.manifest["classes"]}
        ok("Shape" not in classes, "a protocol is not served", classes)
        names = {n: [p["name"] for p in c["parameters"]] for n, c in classes.items()}
        same(
            [names[n] for n in ("Typed", "Made", "Data", "Slotted", "Worker")],
            [["size"], ["name", "size"], ["size"], ["size"], []],
            "what has a default and is of another type is no parameter",
        )
        same(classes["Made"]["ignored"], ["parameter model"], "which is told of an argument")
        parameters = parameter_set(size="big")
        same(host.result("Typed.run", parameters=parameters), [3, {}, None, "big"], "attributes of all kinds")
        same(host.result("Made.run", parameters=parameters), ["n", None, "big"], "arguments of all kinds")
        same(host.result("Data.run", parameters=parameters), [[], "big"], "a dataclass")
        same(host.result("Slotted.run", parameters=parameters), "big", "a class with slots")
        same(host.result("Worker.work"), "works", "a class of the library's")
        host.close()


def request(method, path, query="", body=b"", headers=()):
    return {"method": method, "path": path, "query": query, "headers": [list(h) for h in headers], "body": body}


def test_web(host):
    same(host.result("greet", request("GET", "/", "name=Ann&times=2")), [200, JSON, b'"hello Ann hello Ann"'], "GET")
    same(host.result("greet", request("GET", "/", "times=x&name=A"))[0], 422, "a parameter of the wrong type")
    same(host.result("greet", request("GET", "/"))[0], 422, "a missing parameter")
    same(host.result("greet", request("POST", "/"))[0], 405, "another method")
    same(host.result("greet", request("GET", "/x"))[0], 404, "another path")
    same(host.result("total", request("POST", "/", body=b'{"values": [1, 2]}')), [200, JSON, b"3"], "POST of JSON")
    same(host.result("put", request("PUT", "/")), [200, JSON, b'"put"'], "a method in small letters")
    for _ in range(2):
        host.send("slow_to_start", request("GET", "/"))
    for _ in range(2):
        same(cbor2.loads(host.reply()[3]), [200, [["x-started", "yes"]], b""], "an application answers when it is ready")
    same(
        host.result("asgi", request("PUT", "/a%20b", "q=1", b"body", [("X-Test", "yes")])),
        [201, [["x-started", "yes"]], b"PUT /a b q=1 yes body"],
        "an ASGI application",
    )
    same(
        host.result("wsgi", request("POST", "/p", "q=1", b"body", [("X-Test", "yes"), ("x-test", "no")])),
        [202, [["X-Answer", "1"]], b"POST /p q=1 yes,no body"],
        "a WSGI application",
    )


def test_web_together(host):
    for name, body in ("meet", b"true"), ("meet_otherwise", b"met"):
        for _ in range(2):
            host.send(name, request("GET", "/"))
        same([cbor2.loads(host.reply()[3])[2] for _ in range(2)], [body] * 2, "%s runs at the same time" % name)


def test_batches(host):
    ids = [host.send("join", str(i), separator="-") for i in range(5)]
    got = {i: cbor2.loads(body) for i, _, _, body in (host.reply() for _ in ids)}
    same([got[i] for i in ids], ["0-1-2-"] * 3 + ["3-4-"] * 2, "batches of at most three")
    same(host.batches, [ids[:3], ids[3:]], "which are told when they run")
    bad, good = host.send("join"), host.send("join", "x", separator="+")
    got = {i: kind for i, kind, _, _ in (host.reply() for _ in range(2))}
    same(got, {bad: FAILURE, good: RESULT}, "arguments that do not suit fail alone")
    bad, worse = host.send("no_list"), host.send("no_list", [])
    got = {i: (kind, body) for i, kind, _, body in (host.reply() for _ in range(2))}
    same({k for k, _ in got.values()}, {FAILURE}, "and so does what the function raises for the others")
    ok(b"TypeError" in got[bad][1] and b"TypeError" in got[worse][1], "each once", got)
    ok("must return a list" in host.failure("no_list", 1)[0], "a batched function that returns no list")
    ids = [host.send("Multiplier.add_all", i, parameters=parameter_set(factor=3)) for i in range(3)]
    same([cbor2.loads(host.reply()[3]) for _ in ids], [3, 4, 5], "a batched method, which is async")


    first, second = host.send("sleep_together", 1), host.send("sleep_together", 1)
    time.sleep(0.3)
    host.cancel(first)
    got = dict(host.reply()[:2] for _ in range(2))
    same(got[second], RESULT, "an input goes on when another one of its batch is cancelled")
    first, second = host.send("sleep_together", 30), host.send("sleep_together", 30)
    time.sleep(0.3)
    host.cancel(first, second)
    same(dict(host.reply()[:2] for _ in range(2)), {first: CANCELLED, second: CANCELLED}, "all of one can be")


def test_waiting(host, concurrency):
    for name in "outer", "outer_in_thread", "outer_of_another", "outer_later", "outer_at_last", "outer_all":
        outer = host.send(name, 3)
        ahead = host.send("plain", "ahead") if concurrency == 1 else None
        for _ in range(2 if name == "outer_all" else 1):  # for an item, and the end
            said = host.reply()
            same(said[:2] + said[3:], (outer, WAIT, struct.pack("<Q", outer)), "%s says that it waits for another" % name)
            if ahead:
                host.sock.sendall(CALL.pack(4, RECALLED, 0, 0, 0) + struct.pack("<I", 0))
            same(host.reply()[:2], (outer, RESUME), "and that it goes on")
        same(host.reply()[1:2] + (host.remote_calls(),), (RESULT, ["named-app plain (3,)"]), "the SDK was asked for it")
        if ahead:
            same(host.result("plain", "next"), "plain next", "what was recalled is not run")
    same(host.result("local", 3), "plain 3", "a local call stays here")
    outer = host.send("Multiplier.times_remotely", 3)
    same([host.reply()[1] for _ in range(3)], [WAIT, RESUME, RESULT], "a method of the same object is called, too")
    same(host.remote_calls(), ["named-app Multiplier.times (6,)"], "here and there")
    if concurrency == 1:
        host.sock.sendall(CALL.pack(4, RECALLED, 0, 0, 0) + struct.pack("<I", 0))


def test_sdk():
    """A modal.App, with a stand-in for the SDK that has the same members."""
    path = os.path.join(HERE, "sdk_app.py")
    sdk = os.environ.get("MODAL_SDK_PATH", os.path.join(HERE, "stand_in"))
    for concurrency in 1, 4:
        with tempfile.NamedTemporaryFile("r") as calls:
            host = Host(path, concurrency, environment={"PYTHONPATH": sdk, "STAND_IN_CALLS": calls.name})
            host.remote_calls = lambda: calls.read().splitlines()  # noqa: B023
            assert "error" not in host.manifest, host.manifest
            functions = {f["name"]: f for f in host.manifest["functions"]}
            same({f["app"] for f in functions.values()}, {"named-app"}, "a modal.App keeps its name")
            names = ["asgi", "generate", "generate_otherwise", "greet", "included", "join", "local", "meet"]
            names += ["meet_otherwise", "no_list", "outer", "outer_all", "outer_at_last", "outer_in_thread"]
            names += ["outer_later", "outer_of_another", "plain", "put", "sleep_together", "slow_to_start", "total", "wsgi"]
            same(sorted(functions), names, "its functions are served")
            same(host.manifest["left_out"], ["Server: a server (@app.server) is not started"], "its servers are not")
            cls = host.manifest["classes"][0]
            same(cls["parameters"], [{"name": "factor", "type": "int", "default": 2}], "parameters")
            same(host.result("plain", 1), "plain 1", "a function of the app")
            same(host.items("generate", 2)[0], [0, 1], "a generator of the app")
            same(host.items("generate_otherwise", 2)[0], [0, 1], "one that only says that it is")
            same(host.items("Multiplier.generate", 2)[0], [2, 2], "a method that does")
            same(functions["included"]["timeout"], 9, "a function of an app that is included keeps its arguments")
            for name in "times", "times_async":
                value = host.result("Multiplier." + name, 5, parameters=parameter_set(factor=3))
                same(value, 15, name + ", after @enter")
            same(functions["plain"]["timeout"], 7, "a timeout is told")
            same(
                functions["plain"]["retries"],
                {"count": 2, "factor": 1.0, "delay": 1000, "max_delay": 60000},
                "retries are told",
            )
            same(functions["generate"]["retries"]["delay"], 500, "a policy of retries, too")
            same(functions["plain"]["ignored"], ["gpu", "image"], "and what has no effect")
            same(cls["ignored"], ["scaledown_window", "@modal.concurrent", "@modal.exit"], "of a class, too")
            same(functions["join"]["batch"], 3, "a batched function says so")
            same(functions["asgi"]["web"], "asgi_app", "a web endpoint, too")
            same(functions["plain"]["signature"], "(x: int)", "signatures")
            same(functions["plain"]["doc"], "Says so.", "and docstrings")
            same({m["name"]: m["signature"] for m in cls["methods"]}["times"], "(x)", "of methods without self")
            test_web(host)
            if concurrency > 1:
                test_web_together(host)
            test_batches(host)
            test_waiting(host, concurrency)
            host.close()


def test_text():
    """The text that the server has read counts, not what is in the file by now."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "old.py")
        for name, text in (path, "def new():\n    pass\n"), (path + ".old", "def old():\n    raise ValueError\n"):
            with open(name, "w") as file:
                file.write(text)
        host = Host(path, text=path + ".old")
        same(list(host.targets), ["old"], "the text that was given is run")
        ok("raise ValueError" in host.failure("old")[1], "and shown in tracebacks")
        same(host.manifest["files"], ["old.py"], "the files that it is made of are told")
        host.close()


def main():
    path = os.path.join(HERE, "functions.py")
    for concurrency in 1, 4:
        print("# %d at a time" % concurrency)
        host = Host(path, concurrency)
        test_manifest(host)
        test_values(host)
        test_failures(host)
        test_generators(host)
        test_classes(host)
        test_making(host)
        test_dates(host)
        test_printed(host)
        test_cancel(host, concurrency == 1)
        if concurrency == 1:
            test_signals(host)
            call_id = host.send("stubborn", 30)
            time.sleep(0.2)
            host.cancel(call_id)
            same(host.reply()[1], CANCELLED, "a function may clean up when it is cancelled")
            same(
                host.words(call_id),
                "cleaning up after InputCancellation\ndone\n",
                "and print, as long as that takes",
            )
        else:
            start = time.monotonic()
            for name in ["sleep", "sleep_async"] * 2:
                host.send(name, 0.5)
            for _ in range(4):
                host.reply()
            ok(time.monotonic() - start < 1.5, "four inputs run at the same time")
        test_decorated(host)
        test_processes(host)
        test_end(host)
        host.close()
    host = Host(path)
    host.close()
    same(host.process.returncode, 0, "the host ends when the server does")
    test_start_errors()
    test_class_kinds()
    test_sdk()
    test_text()
    print("1..%d" % count)
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
