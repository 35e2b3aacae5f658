"""What test_host.py serves without the SDK: functions and classes of all kinds."""

import asyncio
import concurrent.futures
import dataclasses
import datetime
import functools
import multiprocessing
import os
import signal
import sys
import threading
import time
import types
import typing


def echo(value):
    return value


def described(value):
    return "%s %r" % (type(value).__name__, value)


def sleep(seconds):
    time.sleep(seconds)
    return "slept"


def stubborn(seconds):
    """Notices that it is cancelled, and cleans up."""
    try:
        time.sleep(seconds)
    except BaseException as exc:
        print("cleaning up after", type(exc).__name__)
        print("done")
        raise


def chatter(name):
    print("out", name)
    sys.stdout.buffer.write(b"bytes\xff\x00")
    sys.stdout.buffer.writelines([b"\n"])
    sys.stdout.buffer.flush()
    print("error", name, file=sys.stderr)
    thread = threading.Thread(target=print, args=("thread",))
    thread.start()
    thread.join()
    print("no newline", end="")


pool = concurrent.futures.ThreadPoolExecutor(1)


def in_processes(method):
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as processes:
        return processes.submit(echo, method).result()


def chatter_in_pool(name):
    pool.submit(lambda submit: print("pool", submit), submit=name).result()


def chatter_together(threads, lines):
    """Each line has its end first, so that there is always one that has not been sent."""

    def talk():
        for _ in range(lines):
            sys.stdout.write("\nline")

    talkers = [threading.Thread(target=talk) for _ in range(threads)]
    for talker in talkers:
        talker.start()
    for talker in talkers:
        talker.join()


def plainly(function):
    """A decorator that passes on what it gets."""
    return functools.wraps(function)(lambda *args: function(*args))


def at_once(function):
    """One that waits for it."""
    return functools.wraps(function)(lambda *args: asyncio.run(function(*args)))


def as_list(function):
    return functools.wraps(function)(lambda *args: list(function(*args)))


@plainly
async def add_plainly(a, b):
    return a + b


@at_once
async def add_at_once(a, b):
    return a + b


@plainly
def count_plainly(n):
    yield from range(n)


@as_list
def count_as_list(n):
    yield from range(n)


def tick(seconds):
    """A signal's handler prints, while the input does."""
    signal.signal(signal.SIGALRM, lambda *_: print("tick"))
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        print("x" * 100000)
    signal.setitimer(signal.ITIMER_REAL, 0)


def ring(times):
    """A signal's handler raises, while the input prints."""
    heard = 0

    def handler(*_):
        raise TimeoutError

    signal.signal(signal.SIGALRM, handler)
    for _ in range(times):
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            while True:
                print("x" * 100000)
        except TimeoutError:
            heard += 1
    return heard


def fail(message):
    raise ValueError(message)


class NoRepr(Exception):
    def __repr__(self):
        raise RuntimeError


def fail_without_repr(_error=NoRepr()):
    raise NoRepr("message")


async def fail_without_repr_async():
    raise NoRepr("message")


def fail_without_trace():
    raise SyntaxError("message", ("file", "line", 1, 2))


def fork_and_return():
    child = os.fork()
    if child == 0:
        return "the child's"
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def fork_and_fail():
    child = os.fork()
    if child == 0:
        raise ValueError
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def interval():
    return datetime.timedelta(days=1)


def leap_day():
    return datetime.date(2024, 2, 29)


def root():
    return 1 + 2j


def end(status):
    os._exit(status)


def leave(status):
    raise SystemExit(status)


def count(n):
    for i in range(n):
        yield i


def count_and_fail(n):
    yield from range(n)
    raise ValueError("no more")


async def sleep_async(seconds):
    await asyncio.sleep(seconds)
    return "slept"


async def fail_async(message):
    raise ValueError(message)


async def count_async(n):
    for i in range(n):
        yield i


class Lazy:
    """Loads what it stands for when an attribute is wanted."""

    def __getattr__(self, name):
        raise RuntimeError(name)


lazy = Lazy()


@functools.lru_cache
def cached(value):
    return value + 1


def _private():
    raise AssertionError("is not served")


class Counter:
    start: int = 5

    def add(self, n):
        self.start += n
        return self.start


class Labelled:
    size: str = "small"

    def __init__(self):
        self.calls = 0

    def describe(self):
        return [self.size, self.calls + 1]


class Posed:
    size: str = "small"

    def __init__(self, start: int):
        self.start = start

    def describe(self):
        return [self.size, self.start]


class Loaded:
    model: str

    def __init__(self):
        self.model = "loaded"

    def describe(self):
        return self.model


class Tuned(Loaded):
    kinds: typing.ClassVar[str] = "all"
    size: str = "small"

    def __init__(self):
        super().__init__()
        self.inner = types.SimpleNamespace()
        self.inner.size = "of another object"

    def describe(self):
        return [self.size, self.model]


class Slow:
    """Takes its time to be made, as models do."""

    name: str = "one"
    made = 0

    def __init__(self):
        time.sleep(0.5)
        Slow.made += 1
        if self.name == "bad" and Slow.made == 2:
            raise ValueError("bad")
        self.number = Slow.made

    def describe(self):
        return self.number

    async def describe_async(self):
        return self.number


class Counted:
    kinds: typing.ClassVar[str] = "all"
    __slots__ = ("start",)
    start: int

    def describe(self):
        return self.start


@dataclasses.dataclass
class Greeter:
    name: str
    loud: bool = False
    data: bytes = b"\x00\xff"

    def greet(self):
        return ("hello " + self.name).upper() if self.loud else "hello " + self.name

    def letters(self):
        yield from self.name

    def _private(self):
        raise AssertionError("is not served")


class Failure(Exception):
    def reason(self):
        raise AssertionError("exceptions are not served")
