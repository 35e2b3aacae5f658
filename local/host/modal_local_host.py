"""Function host of modal-local: runs the functions of one Python file.

modal-local starts this program as

    python3 modal_local_host.py SOCKET_FD CONTROL_FD CONCURRENCY FILE [TEXT_FD]

The host imports FILE (with the text in TEXT_FD, so that all hosts of a time
run the same, whatever is in the file by then), sends a manifest of what it
found, and then answers calls.  Frames on the socket are a 16-byte
little-endian header and a body:

    server to host   length u32, target u16, format u8, 0 u8, id u64
                     body: length of the class parameters u32, the parameters
                     (a ClassParameterSet), the arguments
    host to server   length u32, type u8, format u8, 0 u16, id u64
                     body: by type, see the constants below

Ids increase.  A serial host (CONCURRENCY 1) runs its inputs in the order of
their arrival and answers each one before it starts the next, so that the
server knows which input was running should the process die; only those of a
batched function run together.  To cancel inputs the server writes their ids to
the control pipe, 8 bytes each, and raises SIGUSR1.  Calls that come as pickle
are answered with pickle, all others with CBOR.

While an input waits for another one (WAIT to RESUME), its host runs nothing
else; the server gives what it had sent ahead to other processes and says so
with a frame of target RECALLED, which is waited for before the next input.
"""

import asyncio
import collections
import concurrent.futures
import contextlib
import datetime
import functools
import importlib.machinery
import importlib.util
import inspect
import json
import os
import pickle
import select
import signal
import socket
import struct
import sys
import threading
import time
import traceback

try:
    import cbor2
except ImportError:
    sys.exit("%s has no module cbor2 (Debian: python3-cbor2)" % sys.executable)

# The other parts of this program: files beside it, or what modal-local has put
# into these descriptors.
PARTS = {"modal_local_printed": 6, "modal_local_survey": 7, "modal_local_web": 8}


class Parts:
    @staticmethod
    def find_spec(name, _path=None, _target=None):
        if name not in PARTS:
            return None
        loader = importlib.machinery.SourceFileLoader(name, "/proc/self/fd/%d" % PARTS[name])
        return importlib.util.spec_from_loader(name, loader)


if __file__.startswith("/proc/self/fd/"):
    sys.meta_path.insert(0, Parts)

import modal_local_survey  # noqa: E402
import modal_local_web  # noqa: E402
from modal_local_printed import Printed, running  # noqa: E402

OURS = {__file__, *(sys.modules[name].__file__ for name in PARTS)}
del __file__  # processes that multiprocessing starts would run it as the user's main program

CALL = struct.Struct("<IHBBQ")
REPLY = struct.Struct("<IBBHQ")
U32 = struct.Struct("<I")

# Types of the frames that the host sends.
MANIFEST = 0  # JSON; or, where the file cannot be served: {"error": text}
RESULT = 1  # the encoded value
FAILURE = 2  # u32 + bytes each: exception, traceback, frames and their lines (pickled); pickled exception
YIELD = 3  # one encoded item of a generator
DONE = 4  # the generator's end: number of items u64
CANCELLED = 5  # nothing
LOG = 6  # what the input has printed; format: 1 stdout, 2 stderr
WAIT = 7  # the input waits for another one: ids of those that run with it, u64 each
RESUME = 8  # nothing
START = 9  # inputs run as a batch: their ids, u64 each; others do in their order

RECALLED = 0xFFFF  # a target: forget the calls before this frame that have not begun

PICKLE = 1
CBOR = 4

MAX_TEXT = 2 * 1024 * 1024  # of an exception and of a traceback
MAX_FRAMES = 200  # of a failure
MAX_WAITING = 64  # threads beyond the concurrency, for inputs that wait for others
TASK_ID = "ta-local"


class SerializationError(Exception):
    """A result cannot be written in the format that the caller reads."""


class InputCancellation(BaseException):
    """Raised inside a function whose input was cancelled."""


Call = collections.namedtuple("Call", "id target format parameters arguments")


# ---------------------------------------------------------------- encoding


def date_of(_decoder, tag, *_):
    if tag.tag == 1004:
        return datetime.date.fromisoformat(tag.value)
    if tag.tag == 100:
        return datetime.date.fromordinal(datetime.date(1970, 1, 1).toordinal() + tag.value)
    return tag


def encode_other(encoder, value):
    if isinstance(value, datetime.date):
        encoder.encode(cbor2.CBORTag(1004, value.isoformat()))
    elif isinstance(value, complex):
        encoder.encode(cbor2.CBORTag(43000, [value.real, value.imag]))
    else:
        raise cbor2.CBOREncodeTypeError("cannot serialize type %r" % (type(value),))


# Versions of cbor2 before 5.6 know neither dates nor complex numbers.
KNOWS_DATES = isinstance(cbor2.loads(b"\xd9\x03\xec\x6a2024-02-29"), datetime.date)
READING = {} if KNOWS_DATES else {"tag_hook": date_of}
WRITING = {"default": encode_other}


def decode_arguments(call):
    if not call.arguments:
        return (), {}
    if call.format == PICKLE:
        args, kwargs = pickle.loads(call.arguments)
    else:
        args, kwargs = cbor2.loads(call.arguments, **READING)
    return args, kwargs


def encode(value, data_format):
    try:
        if data_format == PICKLE:
            return pickle.dumps(value, protocol=4)
        return cbor2.dumps(value, **WRITING)
    except Exception as exc:
        raise SerializationError(
            "a value of type %s cannot be serialized as %s: %s"
            % (type(value).__qualname__, "pickle" if data_format == PICKLE else "cbor", exc)
        ) from None


def users_frames(exc):
    """The traceback from the user's first frame on: those before are ours."""
    frames = at = exc.__traceback__
    while at is not None:
        if at.tb_frame.f_code.co_filename in OURS:
            frames = at.tb_next
        at = at.tb_next
    return frames


def encode_frames(frames):
    """
    The traceback as Modal's containers send it, from which its Python client
    makes one again: nested dicts, and the lines by file and number.
    """
    found = list(traceback.walk_tb(frames))[-MAX_FRAMES:]
    encoded = None
    for frame, line in reversed(found):
        code = frame.f_code
        encoded = {
            "tb_frame": {
                "f_globals": {k: frame.f_globals[k] for k in ("__file__", "__name__") if k in frame.f_globals},
                "f_locals": {},
                "f_lineno": line,
                "f_code": {"co_filename": "<%s>:%s" % (TASK_ID, code.co_filename), "co_name": code.co_name},
            },
            "tb_lineno": line,
            "tb_next": encoded,
        }
    lines = {(f.filename, f.lineno): f.line for f in traceback.extract_tb(frames)[-MAX_FRAMES:]}
    return (pickle.dumps(encoded, protocol=4), pickle.dumps(lines, protocol=4)) if encoded else (b"", b"")


def encode_text(make, exc):
    """What the user's exception says of itself, or else that it fails to."""
    try:
        text = make(exc)
    except BaseException as failure:
        text = "%s(<no text: %s>)" % (type(exc).__qualname__, type(failure).__qualname__)
    return text.encode(errors="replace")[:MAX_TEXT]


def encode_failure(exc, data_format):
    frames = users_frames(exc)

    def trace(exc):
        return "".join(traceback.format_exception(type(exc), exc, frames))

    parts = [encode_text(repr, exc), encode_text(trace, exc), b"", b""]
    data = b""
    if data_format == PICKLE:
        parts[2:] = encode_frames(frames)
        try:
            data = pickle.dumps(exc, protocol=4)
        except BaseException:
            pass  # the text has to do
    return b"".join(U32.pack(len(part)) + part for part in parts) + data


class Connection:
    """The socket: whole calls in, replies out."""

    def __init__(self, sock):
        self.sock = sock
        self.lock = threading.Lock()
        self.rest = b""
        self.process = os.getpid()
        self.main_thread = threading.main_thread().ident  # where handlers of signals run
        self.sending = False  # that one
        self.held = collections.deque()  # of these, until it has sent
        signal.signal = self.holding(signal.signal)

    def holding(self, install):
        """A frame is not left half sent by a handler that raises, nor has another one that it sends within."""

        def outer(number, handler):
            def run(*args):
                if self.sending:
                    self.held.append(functools.partial(handler, *args))
                else:
                    handler(*args)

            return install(number, run if callable(handler) else handler)

        return outer

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
        if os.getpid() != self.process:
            os._exit(kind == FAILURE)  # forked by a function, and has come to its end
        frame = REPLY.pack(len(body), kind, call.format, 0, call.id) + body
        if threading.get_ident() != self.main_thread:
            self.send_frame(frame)
            return
        self.sending = True
        try:
            self.send_frame(frame)
        finally:
            self.sending = False
        while self.held:
            self.held.popleft()()

    def send_frame(self, frame):
        with self.lock:
            self.sock.sendall(frame)

    def readable(self, seconds):
        return bool(select.select([self.sock], [], [], seconds)[0])


# --------------------------------------------------------------- execution


class Host:
    """What serial and concurrent execution share."""

    def __init__(self, connection, control):
        self.connection = connection
        self.control = control
        self.targets = []
        self.cancelled = set()
        self.printed = Printed(self.send_printed, sys.stdout, 1), Printed(self.send_printed, sys.stderr, 2)
        sys.stdout, sys.stderr = self.printed

    def read_cancellations(self):
        """Ids that the server has cancelled since the last time."""
        try:
            data = os.read(self.control, 1 << 16)
        except BlockingIOError:
            return []
        return [item[0] for item in struct.iter_unpack("<Q", data)]

    def send(self, kind, call, body=b""):
        """From within a function of the user's."""
        self.connection.send(kind, call, body)

    def send_printed(self, call, stream, text):
        text = text.replace("\0", "\\x00")  # those who read it may take that for its end
        self.send(LOG, call._replace(format=stream), text.encode(errors="backslashreplace"))

    @contextlib.contextmanager
    def waiting(self):
        """The running input waits for another one meanwhile."""
        call = running.get()
        if call is None:
            yield
            return
        self.send(WAIT, call, b"".join(struct.pack("<Q", i) for i in self.together(call)))
        try:
            yield
        finally:
            self.send(RESUME, call)

    def together(self, call):
        """Ids of the inputs that run as one with this."""
        return (call.id,)

    def bind(self, calls):
        """The callable for these, whose target and parameters are the same."""
        target = self.targets[calls[0].target]
        if target.owner is None:
            return target.function
        with contextlib.closing(target.bind(calls[0].parameters)) as binding:
            try:
                while True:
                    self.await_here(calls, self.step(calls, next, binding))
            except StopIteration as end:
                return end.value

    async def bind_async(self, call):
        """Likewise, in the loop."""
        target = self.targets[call.target]
        if target.owner is None:
            return target.function
        with contextlib.closing(target.bind(call.parameters)) as binding:
            try:
                while True:
                    wanted = next(binding)
                    await (asyncio.wrap_future(wanted) if isinstance(wanted, concurrent.futures.Future) else wanted)
            except StopIteration as end:
                return end.value

    def settled(self, calls, result):
        """What comes of a function that is not async, where that is something to await."""
        return self.await_here(calls, result) if hasattr(type(result), "__await__") else result

    def step(self, _calls, function, *args):
        """Call something of the user's."""
        return function(*args)

    def start(self, call, function):
        """Decode and call: the result, a generator, or something to await."""
        args, kwargs = decode_arguments(call)
        return function(*args, **kwargs)

    def reply(self, kind, call, body=b""):
        """The last thing that is said about a call."""
        for printed in self.printed:
            printed.finish(call)
        self.connection.send(kind, call, body)

    def yield_item(self, call, item):
        self.connection.send(YIELD, call, encode(item, call.format))

    def finish_generator(self, call, count):
        self.reply(DONE, call, struct.pack("<Q", count))

    def finish(self, call, value):
        self.reply(RESULT, call, encode(value, call.format))

    def fail(self, call, exc):
        self.reply(FAILURE, call, encode_failure(exc, call.format))

    async def run_async(self, call):
        """Run an async function or generator to its end, and answer."""
        function = await self.bind_async(call)
        if not self.targets[call.target].generator:
            self.finish(call, await self.start(call, function))
            return
        count = 0
        async for item in self.start(call, function):
            self.yield_item(call, item)
            count += 1
        self.finish_generator(call, count)

    def note_batch(self, calls):
        self.connection.send(START, calls[0], b"".join(struct.pack("<Q", call.id) for call in calls))

    def start_batch(self, calls, function):
        """
        Call a batched function: its result, or what to await.  Calls whose
        arguments do not suit are answered, and taken out of the list.
        """
        signature = inspect.signature(function)
        lists = {}
        for call in list(calls):
            try:
                args, kwargs = decode_arguments(call)
                bound = signature.bind(*args, **kwargs)
            except Exception as exc:
                calls.remove(call)
                self.fail(call, exc)
                continue
            bound.apply_defaults()
            for name, value in bound.arguments.items():
                lists.setdefault(name, []).append(value)
        return function(**lists) if calls else []

    def finish_batch(self, calls, results):
        if not isinstance(results, list) or len(results) != len(calls):
            results = TypeError("a batched function must return a list, of a result for each of its inputs")
            self.fail_batch(calls, results)
            return
        for call, result in zip(calls, results):
            try:
                self.finish(call, result)
            except Exception as exc:
                self.fail(call, exc)

    def fail_batch(self, calls, exc):
        for call in calls:
            self.fail(call, exc)

    def key_of_batch(self, call):
        """Calls with the same one may run together; None: not with others."""
        batch = self.targets[call.target].batch
        return (call.target, call.parameters, call.format == PICKLE) if batch else None


class SerialHost(Host):
    """
    One input, or one batch, at a time, on the main thread.  A cancellation
    reaches a function as an exception raised by the signal handler; `current`
    is set only where that may happen, never while a frame is being sent.
    """

    def __init__(self, *args):
        super().__init__(*args)
        self.current = ()  # ids
        self.pending = collections.deque()
        self.owed = 0  # frames of target RECALLED that are to come
        self.counting = threading.Lock()  # of these, by threads too
        self.task = None
        self.loop = None
        signal.signal(signal.SIGUSR1, self.interrupt)

    def together(self, call):
        return self.current or (call.id,)

    def check_cancelled(self):
        """Interrupts the function that runs, once, if all of its inputs are cancelled."""
        if self.current and self.cancelled.issuperset(self.current):
            self.current = ()
            if self.task is None:
                raise InputCancellation
            self.loop.call_soon_threadsafe(self.task.cancel)

    def interrupt(self, _signal, _frame):
        self.cancelled.update(self.read_cancellations())
        self.check_cancelled()

    def send(self, kind, call, body=b""):
        if threading.current_thread() is not threading.main_thread():
            self.count_owed(kind == WAIT)
            super().send(kind, call, body)
            return
        current, self.current = self.current, ()
        self.count_owed(kind == WAIT)
        try:
            super().send(kind, call, body)
        finally:
            self.current = current
        self.check_cancelled()

    def count_owed(self, change):
        with self.counting:
            self.owed += change

    def next_call(self, seconds=None):
        """The next one; None when there is none after so many seconds."""
        while self.owed or not self.pending:
            if seconds is not None and not self.connection.readable(seconds):
                return None
            for call in self.connection.receive():
                if call.target == RECALLED:
                    self.pending.clear()
                    self.count_owed(-1)
                else:
                    self.pending.append(call)
        return self.pending.popleft()

    def next_calls(self):
        """The next one, or those that make a batch."""
        calls, others = [self.next_call()], []
        key = self.key_of_batch(calls[0])
        if key is None:
            return calls
        size, seconds = self.targets[calls[0].target].batch
        until = time.monotonic() + seconds
        while len(calls) < size:
            call = self.next_call(max(0, until - time.monotonic()))
            if call is None:
                break
            (calls if self.key_of_batch(call) == key else others).append(call)
        self.pending.extendleft(reversed(others))
        return calls

    def serve(self):
        while True:
            calls = self.next_calls()
            last = max(call.id for call in calls)
            for call in list(calls) if len(calls) > 1 else ():
                if call.id in self.cancelled:
                    calls.remove(call)
                    self.reply(CANCELLED, call)
            if calls:
                self.answer(calls)
            if self.cancelled:
                self.cancelled = {i for i in self.cancelled if i > last}

    def answer(self, calls):
        target = self.targets[calls[0].target]
        running.set(calls[0])
        try:
            if target.batch:
                self.run_batch(calls)
            elif target.asynchronous:
                self.run_in_loop(calls, self.run_async(calls[0]))
            elif target.generator:
                self.run_generator(calls[0])
            else:
                self.finish(calls[0], self.settled(calls, self.step(calls, self.start, calls[0], self.bind(calls))))
        except InputCancellation:
            for call in calls:
                self.reply(CANCELLED, call)
        except BaseException as exc:
            self.fail_batch(calls, exc)
        finally:
            running.set(None)

    def step(self, calls, function, *args):
        """Call something of the user's, interruptibly."""
        try:
            self.current = tuple(call.id for call in calls)
            self.check_cancelled()
            return function(*args)
        finally:
            self.current = ()

    def run_batch(self, calls):
        self.note_batch(calls)
        results = self.step(calls, self.start_batch, calls, self.bind(calls))
        self.finish_batch(calls, self.settled(calls, results))

    def run_generator(self, call):
        items = iter(self.step([call], self.start, call, self.bind([call])))
        end = object()
        count = 0
        while True:
            item = self.step([call], next, items, end)
            if item is end:
                break
            self.yield_item(call, item)
            count += 1
        self.finish_generator(call, count)

    def await_here(self, calls, wanted):
        return self.run_in_loop(calls, wanted)

    def run_in_loop(self, calls, awaitable):
        if self.loop is None:
            self.loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self.loop)
        self.task = asyncio.ensure_future(awaitable, loop=self.loop)
        try:
            return self.step(calls, self.loop.run_until_complete, self.task)
        except asyncio.CancelledError:
            if not self.cancelled.issuperset(call.id for call in calls):
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
        self.tasks = {}  # by id: the task, and the ids of all that run in it
        self.batches = {}  # by their key: calls that wait for more
        self.threads = concurrency + MAX_WAITING
        self.pool = concurrent.futures.ThreadPoolExecutor(self.threads)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        modal_local_web.call = asyncio.to_thread

    def serve(self):
        self.loop = asyncio.new_event_loop()
        self.loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(self.threads))
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
            target = self.targets[call.target]
            if target.batch:
                self.add_to_batch(call, *target.batch)
            elif target.asynchronous:
                self.tasks[call.id] = self.loop.create_task(self.run_task(call)), (call.id,)
            else:
                self.pool.submit(self.run_thread, call)

    def add_to_batch(self, call, size, seconds):
        key = self.key_of_batch(call)
        calls = self.batches.setdefault(key, [])
        calls.append(call)
        if len(calls) == size:
            self.start_waiting_batch(key, calls)
        elif len(calls) == 1:
            self.loop.call_later(seconds, self.start_waiting_batch, key, calls)

    def start_waiting_batch(self, key, calls):
        if self.batches.get(key) is not calls:
            return  # it was full before
        del self.batches[key]
        self.note_batch(calls)
        if self.targets[calls[0].target].asynchronous:
            task, ids = self.loop.create_task(self.run_batch_task(calls)), tuple(call.id for call in calls)
            self.tasks.update(dict.fromkeys(ids, (task, ids)))
        else:
            self.pool.submit(self.run_batch_thread, calls)

    def cancel(self):
        for call_id in self.read_cancellations():
            if call_id in self.tasks:
                self.cancelled.add(call_id)
                task, ids = self.tasks[call_id]
                if self.cancelled.issuperset(ids):
                    task.cancel()

    async def run_task(self, call):
        running.set(call)
        try:
            await self.run_async(call)
        except asyncio.CancelledError as exc:
            if call.id in self.cancelled:
                self.reply(CANCELLED, call)
            else:
                self.fail(call, exc)
        except BaseException as exc:
            self.fail(call, exc)
        finally:
            self.forget((call.id,))

    def await_here(self, _calls, wanted):
        """In a thread: something async, in the loop, or what another thread makes."""

        async def wait():
            return await wanted

        if isinstance(wanted, concurrent.futures.Future):
            return wanted.result()
        return asyncio.run_coroutine_threadsafe(wait(), self.loop).result()

    def forget(self, ids):
        for call_id in ids:
            del self.tasks[call_id]
            self.cancelled.discard(call_id)

    def run_thread(self, call):
        running.set(call)
        try:
            result = self.start(call, self.bind([call]))
            if not self.targets[call.target].generator:
                self.finish(call, self.settled([call], result))
                return
            count = 0
            for item in result:
                self.yield_item(call, item)
                count += 1
            self.finish_generator(call, count)
        except BaseException as exc:
            self.fail(call, exc)

    async def run_batch_task(self, calls):
        ids = [call.id for call in calls]
        running.set(calls[0])
        try:
            results = self.start_batch(calls, await self.bind_async(calls[0]))
            self.finish_batch(calls, await results if calls else [])
        except BaseException as exc:
            if isinstance(exc, asyncio.CancelledError) and self.cancelled.issuperset(ids):
                for call in calls:
                    self.reply(CANCELLED, call)
            else:
                self.fail_batch(calls, exc)
        finally:
            self.forget(ids)

    def run_batch_thread(self, calls):
        running.set(calls[0])
        try:
            self.finish_batch(calls, self.settled(calls, self.start_batch(calls, self.bind(calls))))
        except BaseException as exc:
            self.fail_batch(calls, exc)


def main():
    sock_fd, control, concurrency, path = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server decides when to end
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")
    os.set_blocking(control, False)
    connection = Connection(socket.socket(fileno=sock_fd))
    text = None
    if len(sys.argv) > 5:
        with open("/proc/self/fd/" + sys.argv[5], "rb") as file:
            text = file.read()
    if concurrency == 1:
        host = SerialHost(connection, control)
    else:
        host = ConcurrentHost(concurrency, connection, control)
    modal_local_survey.waiting = host.waiting
    hello = Call(0, 0, 0, b"", b"")
    try:
        manifest = modal_local_survey.survey(*modal_local_survey.load(path, text))
    except BaseException as exc:
        connection.send(MANIFEST, hello, json.dumps({"error": modal_local_survey.explain(exc, OURS)}).encode())
        return 1
    host.targets = manifest.targets
    connection.send(MANIFEST, hello, manifest.to_json().encode())
    try:
        host.serve()
    except (EOFError, ConnectionError):
        pass  # the server has ended
    return 0


if __name__ == "__main__":
    sys.exit(main())
