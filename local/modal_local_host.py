"""Function host of modal-local: runs the functions of one Python file.

modal-local starts this program as

    python3 modal_local_host.py SOCKET_FD CONTROL_FD CONCURRENCY FILE

The host imports FILE, sends a manifest of what it found, and then answers
calls.  Frames on the socket are a 16-byte little-endian header and a body:

    server to host   length u32, target u16, format u8, 0 u8, id u64
                     body: length of the class parameters u32, the parameters
                     (a ClassParameterSet), the arguments
    host to server   length u32, type u8, format u8, 0 u16, id u64
                     body: by type, see the constants below

Ids increase.  A serial host (CONCURRENCY 1) runs its inputs in the order of
their arrival and answers each one before it starts the next, so that the
server knows which input was running should the process die.  To cancel
inputs the server writes their ids to the control pipe, 8 bytes each, and
raises SIGUSR1.  Calls that come as pickle are answered with pickle, all
others with CBOR.
"""

import asyncio
import collections
import concurrent.futures
import importlib.util
import inspect
import json
import os
import pickle
import signal
import socket
import struct
import sys
import threading
import traceback
import typing

try:
    import cbor2
except ImportError:
    sys.exit("%s has no module cbor2 (Debian: python3-cbor2)" % sys.executable)

CALL = struct.Struct("<IHBBQ")
REPLY = struct.Struct("<IBBHQ")
U32 = struct.Struct("<I")

# Types of the frames that the host sends.
MANIFEST = 0  # JSON; or, where the file cannot be served: {"error": text}
RESULT = 1  # the encoded value
FAILURE = 2  # exception u32 + text, traceback u32 + text, pickled exception
YIELD = 3  # one encoded item of a generator
DONE = 4  # the generator's end: number of items u64
CANCELLED = 5  # nothing

PICKLE = 1
CBOR = 4

MAX_TEXT = 2 * 1024 * 1024  # of an exception and of a traceback
MAX_OBJECTS = 64  # parameterised objects kept per process


class SerializationError(Exception):
    """A result cannot be written in the format that the caller reads."""


class InputCancellation(BaseException):
    """Raised inside a function whose input was cancelled."""


class Unservable(Exception):
    """The file holds nothing to serve, or something that cannot be served."""


Call = collections.namedtuple("Call", "id target format parameters arguments")


# ---------------------------------------------------------------- manifest


class Target:
    """One function, or one method of a class."""

    def __init__(self, app, name, function, owner=None):
        plain = inspect.unwrap(function)
        self.app = app
        self.name = name
        self.function = function
        self.owner = owner
        self.generator = inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain)
        self.asynchronous = inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain)

    def bind(self, parameters):
        """The callable; for a method, of the object with these parameters."""
        if self.owner is None:
            return self.function
        return self.owner.method(self.name, parameters)


class Owner:
    """A class, and its objects by parameter set."""

    TYPES = {str: "string", int: "int", bytes: "bytes", bool: "bool"}

    def __init__(self, app, name, make, signature, method_of):
        self.app = app
        self.name = name
        self.make = make
        self.method_of = method_of
        self.parameters = [self.describe(p) for p in signature]
        self.objects = collections.OrderedDict()

    def describe(self, parameter):
        kind = self.TYPES.get(parameter.annotation)
        if kind is None:
            raise Unservable(
                "class %s: parameter %s must be annotated as str, int, bytes or bool" % (self.name, parameter.name)
            )
        entry = {"name": parameter.name, "type": kind}
        if parameter.default is not inspect.Parameter.empty:
            default = parameter.default
            entry["default"] = default.hex() if kind == "bytes" else default
        return entry

    def method(self, name, parameters):
        instance = self.objects.get(parameters)
        if instance is None:
            instance = self.make(**decode_parameters(parameters))
            self.objects[parameters] = instance
            if len(self.objects) > MAX_OBJECTS:
                self.objects.popitem(last=False)
        else:
            self.objects.move_to_end(parameters)
        return self.method_of(instance, name)


class Manifest:
    def __init__(self):
        self.targets = []
        self.owners = []

    def add_class(self, owner, methods):
        self.owners.append(owner)
        for name, function in methods:
            self.targets.append(Target(owner.app, name, function, owner))

    def to_json(self):
        def entries(owner):
            return [
                {"app": t.app, "name": t.name, "target": i, "generator": t.generator}
                for i, t in enumerate(self.targets)
                if t.owner is owner
            ]

        classes = [
            {"app": o.app, "name": o.name, "parameters": o.parameters, "methods": entries(o)} for o in self.owners
        ]
        return json.dumps({"functions": entries(None), "classes": classes})


def load(path):
    """Import the file under its base name, as `import` would find it."""
    directory, base = os.path.split(os.path.abspath(path))
    name = os.path.splitext(base)[0]
    sys.path[0] = directory
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None:
        raise Unservable("not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return name, module


def survey(name, module):
    """Find what the module offers: its modal.Apps, or else all it defines."""
    manifest = Manifest()
    modal = sys.modules.get("modal")
    apps = [v for v in vars(module).values() if modal is not None and isinstance(v, modal.App)]
    for app in apps:
        survey_app(manifest, app, name)
    if not apps:
        survey_module(manifest, name, module)
    if not manifest.targets:
        raise Unservable("no public function or class is defined in it")
    return manifest


def survey_module(manifest, app, module):
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(value):
            survey_class(manifest, app, name, value)
        elif inspect.isroutine(value) or hasattr(value, "__wrapped__"):
            manifest.targets.append(Target(app, name, value))


def survey_class(manifest, app, name, cls):
    """
    Parameters are those of __init__ (of a dataclass too); in a class without
    one, the annotated attributes, which are set on each new object.
    """
    methods = [(n, f) for n, f in inspect.getmembers(cls, inspect.isfunction) if not n.startswith("_")]
    if not methods or issubclass(cls, BaseException):
        return
    hints = typing.get_type_hints(cls.__init__ if cls.__init__ is not object.__init__ else cls)
    if cls.__init__ is object.__init__:
        signature = [
            inspect.Parameter(
                n,
                inspect.Parameter.KEYWORD_ONLY,
                default=getattr(cls, n, inspect.Parameter.empty),
                annotation=hint,
            )
            for n, hint in hints.items()
        ]

        def make(**parameters):
            instance = cls()
            vars(instance).update(parameters)
            return instance

    else:
        signature = [p.replace(annotation=hints.get(n)) for n, p in inspect.signature(cls).parameters.items()]
        make = cls
    manifest.add_class(Owner(app, name, make, signature, getattr), methods)


def survey_app(manifest, app, default_name):
    """The functions and classes that a modal.App of the SDK has registered."""
    app_name = app.name or default_name
    web = set(app.registered_web_endpoints)
    for tag, function in app.registered_functions.items():
        if tag not in web and "*" not in tag:
            manifest.targets.append(Target(app_name, tag, function.get_raw_f()))
    for tag, cls in app.registered_classes.items():
        survey_app_class(manifest, app_name, tag, cls)


def survey_app_class(manifest, app, tag, cls):
    from modal._partial_function import _find_callables_for_obj, _PartialFunctionFlags
    from modal.cls import _get_class_constructor_signature

    user_class = cls._get_user_cls()
    hints = typing.get_type_hints(user_class)
    signature = [
        p.replace(annotation=hints.get(n, p.annotation))
        for n, p in _get_class_constructor_signature(user_class).parameters.items()
    ]
    partial = cls._get_partial_functions()
    methods = {n: partial[n]._get_raw_f() for n in cls._get_method_names() if not partial[n]._is_web_endpoint()}

    def make(**parameters):
        instance = cls(**parameters)._cached_user_cls_instance()
        for flag in _PartialFunctionFlags.ENTER_PRE_SNAPSHOT, _PartialFunctionFlags.ENTER_POST_SNAPSHOT:
            for enter in _find_callables_for_obj(instance, flag).values():
                result = enter()
                if inspect.isawaitable(result):
                    run_aside(result)
        return instance

    owner = Owner(app, tag, make, signature, lambda instance, name: methods[name].__get__(instance))
    manifest.add_class(owner, methods.items())


def run_aside(awaitable):
    """Wait for something async, wherever we are called: in a loop of its own."""

    async def wait():
        return await awaitable

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, wait()).result()


# ---------------------------------------------------------------- encoding


def decode_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def decode_fields(data):
    """(number, value) of each field of a protobuf message of varints and bytes."""
    at = 0
    while at < len(data):
        key, at = decode_varint(data, at)
        value, at = decode_varint(data, at)
        if key & 7 == 2:
            value, at = data[at : at + value], at + value
        elif key & 7 != 0:
            raise ValueError("malformed class parameters")
        yield key >> 3, value


def decode_parameters(data):
    """ClassParameterSet to keyword arguments."""
    parameters = {}
    for _, item in decode_fields(data):
        name = value = None
        for number, field in decode_fields(item):
            if number == 1:
                name = field.decode()
            elif number == 3:
                value = field.decode()
            elif number == 4:
                value = field - (1 << 64) if field >> 63 else field
            elif number == 6:
                value = field
            elif number == 7:
                value = bool(field)
        parameters[name] = value
    return parameters


def decode_arguments(call):
    args, kwargs = (pickle if call.format == PICKLE else cbor2).loads(call.arguments)
    return args, kwargs


def encode(value, data_format):
    try:
        if data_format == PICKLE:
            return pickle.dumps(value, protocol=4)
        return cbor2.dumps(value)
    except Exception as exc:
        raise SerializationError(
            "a value of type %s cannot be serialized as %s: %s"
            % (type(value).__qualname__, "pickle" if data_format == PICKLE else "cbor", exc)
        ) from None


def encode_failure(exc, data_format):
    frames = at = exc.__traceback__
    while at is not None:  # the user's frames are those below ours
        if at.tb_frame.f_code.co_filename == __file__:
            frames = at.tb_next
        at = at.tb_next
    text = repr(exc).encode(errors="replace")[:MAX_TEXT]
    trace = "".join(traceback.format_exception(type(exc), exc, frames)).encode(errors="replace")[:MAX_TEXT]
    data = b""
    if data_format == PICKLE:
        try:
            data = pickle.dumps(exc, protocol=4)
        except Exception:
            pass  # the text has to do
    return b"".join((U32.pack(len(text)), text, U32.pack(len(trace)), trace, data))


class Connection:
    """The socket: whole calls in, replies out."""

    def __init__(self, sock):
        self.sock = sock
        self.lock = threading.Lock()
        self.rest = b""

    def receive(self):
        """The calls that have arrived, at least one; EOFError at the end."""
        data = self.rest
        while True:
            more = self.sock.recv(1 << 18)
            if not more:
                raise EOFError
            data += more
            calls, at = [], 0
            while len(data) - at >= CALL.size:
                length, target, data_format, _, call_id = CALL.unpack_from(data, at)
                if len(data) - at - CALL.size < length:
                    # Take the rest of a long call in one buffer, not piece by piece.
                    if length > len(more):
                        data = data[at:] + self.receive_exactly(length - (len(data) - at - CALL.size))
                        at = 0
                        continue
                    break
                body = at + CALL.size
                (n,) = U32.unpack_from(data, body)
                split = body + U32.size + n
                at = body + length
                calls.append(Call(call_id, target, data_format, data[body + U32.size : split], data[split:at]))
            self.rest = data = data[at:]
            if calls:
                return calls

    def receive_exactly(self, size):
        buffer = bytearray(size)
        view = memoryview(buffer)
        while view:
            n = self.sock.recv_into(view)
            if n == 0:
                raise EOFError
            view = view[n:]
        return bytes(buffer)

    def send(self, kind, call, body=b""):
        frame = REPLY.pack(len(body), kind, call.format, 0, call.id) + body
        with self.lock:
            self.sock.sendall(frame)


# --------------------------------------------------------------- execution


class Host:
    """What serial and concurrent execution share."""

    def __init__(self, connection, control, targets):
        self.connection = connection
        self.control = control
        self.targets = targets
        self.cancelled = set()

    def read_cancellations(self):
        """Ids that the server has cancelled since the last time."""
        try:
            data = os.read(self.control, 1 << 16)
        except BlockingIOError:
            return []
        return [item[0] for item in struct.iter_unpack("<Q", data)]

    def start(self, call):
        """Decode and call: the result, a generator, or something to await."""
        target = self.targets[call.target]
        args, kwargs = decode_arguments(call)
        return target.bind(call.parameters)(*args, **kwargs)

    def yield_item(self, call, item):
        self.connection.send(YIELD, call, encode(item, call.format))

    def finish_generator(self, call, count):
        self.connection.send(DONE, call, struct.pack("<Q", count))

    def finish(self, call, value):
        self.connection.send(RESULT, call, encode(value, call.format))

    def fail(self, call, exc):
        self.connection.send(FAILURE, call, encode_failure(exc, call.format))

    async def run_async(self, call):
        """Run an async function or generator to its end, and answer."""
        if not self.targets[call.target].generator:
            self.finish(call, await self.start(call))
            return
        count = 0
        async for item in self.start(call):
            self.yield_item(call, item)
            count += 1
        self.finish_generator(call, count)


class SerialHost(Host):
    """
    One input at a time, on the main thread.  A cancellation reaches a
    function as an exception raised by the signal handler; `current` is set
    only where that may happen, never while a frame is being sent.
    """

    def __init__(self, *args):
        super().__init__(*args)
        self.current = None
        self.task = None
        self.loop = None
        signal.signal(signal.SIGUSR1, self.interrupt)

    def interrupt(self, _signal, _frame):
        self.cancelled.update(self.read_cancellations())
        if self.current in self.cancelled:
            if self.task is not None:
                self.loop.call_soon_threadsafe(self.task.cancel)
            else:
                raise InputCancellation

    def serve(self):
        while True:
            for call in self.connection.receive():
                self.answer(call)

    def answer(self, call):
        try:
            target = self.targets[call.target]
            if target.asynchronous:
                self.run_in_loop(call)
            elif target.generator:
                self.run_generator(call)
            else:
                self.finish(call, self.step(call, self.start, call))
        except InputCancellation:
            self.connection.send(CANCELLED, call)
        except BaseException as exc:
            self.fail(call, exc)
        if self.cancelled:
            self.cancelled = {i for i in self.cancelled if i > call.id}

    def step(self, call, function, *args):
        """Call something of the user's, interruptibly."""
        try:
            self.current = call.id
            if call.id in self.cancelled:
                raise InputCancellation
            return function(*args)
        finally:
            self.current = None

    def run_generator(self, call):
        items = self.step(call, self.start, call)
        end = object()
        count = 0
        while True:
            item = self.step(call, next, items, end)
            if item is end:
                break
            self.yield_item(call, item)
            count += 1
        self.finish_generator(call, count)

    def run_in_loop(self, call):
        if self.loop is None:
            self.loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self.loop)
        self.task = self.loop.create_task(self.run_async(call))
        try:
            self.step(call, self.loop.run_until_complete, self.task)
        except asyncio.CancelledError:
            if call.id not in self.cancelled:
                raise
            raise InputCancellation from None
        finally:
            self.task.cancel()  # does nothing to a task that has ended
            self.task = None


class ConcurrentHost(Host):
    """
    Several inputs at a time: async functions as tasks of one event loop, the
    others in threads.  A thread cannot be interrupted: where it matters, the
    server ends the process.
    """

    def __init__(self, concurrency, *args):
        super().__init__(*args)
        self.tasks = {}
        self.pool = concurrent.futures.ThreadPoolExecutor(concurrency)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)

    def serve(self):
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.loop.add_reader(self.connection.sock, self.accept)
        self.loop.add_reader(self.control, self.cancel)
        self.loop.run_forever()
        os._exit(0)  # threads may be in the middle of something

    def accept(self):
        try:
            calls = self.connection.receive()
        except EOFError:
            self.loop.stop()
            return
        for call in calls:
            if self.targets[call.target].asynchronous:
                self.tasks[call.id] = self.loop.create_task(self.run_task(call))
            else:
                self.pool.submit(self.run_thread, call)

    def cancel(self):
        for call_id in self.read_cancellations():
            if call_id in self.tasks:
                self.cancelled.add(call_id)
                self.tasks[call_id].cancel()

    async def run_task(self, call):
        try:
            await self.run_async(call)
        except asyncio.CancelledError as exc:
            if call.id in self.cancelled:
                self.connection.send(CANCELLED, call)
            else:
                self.fail(call, exc)
        except BaseException as exc:
            self.fail(call, exc)
        finally:
            del self.tasks[call.id]
            self.cancelled.discard(call.id)

    def run_thread(self, call):
        try:
            result = self.start(call)
            if not self.targets[call.target].generator:
                self.finish(call, result)
                return
            count = 0
            for item in result:
                self.yield_item(call, item)
                count += 1
            self.finish_generator(call, count)
        except BaseException as exc:
            self.fail(call, exc)


def explain(exc):
    """Why the file cannot be served: the error, and where in the user's code."""
    if isinstance(exc, Unservable):
        return str(exc)
    frames = traceback.extract_tb(exc.__traceback__)
    while frames and (frames[0].filename == __file__ or frames[0].filename.startswith("<frozen ")):
        del frames[0]
    text = "".join(traceback.format_exception_only(type(exc), exc)).rstrip("\n")
    if frames:
        text = "Traceback (most recent call last):\n" + "".join(frames.format()) + text
    if isinstance(exc, ModuleNotFoundError):
        text += "\n(looked for with %s)" % sys.executable
    return text


def main():
    sock_fd, control, concurrency, path = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server decides when to end
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")
    os.set_blocking(control, False)
    connection = Connection(socket.socket(fileno=sock_fd))
    hello = Call(0, 0, 0, b"", b"")
    try:
        manifest = survey(*load(path))
    except BaseException as exc:
        connection.send(MANIFEST, hello, json.dumps({"error": explain(exc)}).encode())
        return 1
    connection.send(MANIFEST, hello, manifest.to_json().encode())
    if concurrency == 1:
        host = SerialHost(connection, control, manifest.targets)
    else:
        host = ConcurrentHost(concurrency, connection, control, manifest.targets)
    try:
        host.serve()
    except (EOFError, ConnectionError):
        pass  # the server has ended
    return 0


if __name__ == "__main__":
    sys.exit(main())
