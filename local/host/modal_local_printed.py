"""What inputs print: to which of them it belongs, and in which pieces it is sent.

Part of modal_local_host.py.
"""

import concurrent.futures
import contextvars
import os
import threading

MAX_PRINTED = 64 * 1024  # characters of a line

running = contextvars.ContextVar("running", default=None)  # the call whose function runs


def for_call(function):
    """The same, for the input that runs now, in whichever thread."""
    call = running.get()

    def run(*args, **kwargs):
        running.set(call)
        return function(*args, **kwargs)

    return run


def start_thread(thread, start=threading.Thread.start):
    """A thread belongs to the input that has started it."""
    if running.get() is not None:
        thread.run = for_call(thread.run)
    start(thread)


plain_submit = concurrent.futures.ThreadPoolExecutor.submit


def submit(pool, function, /, *args, **kwargs):
    """What a pool's thread does, to the input that wants it, whichever has started the thread."""
    return plain_submit(pool, for_call(function), *args, **kwargs)


threading.Thread.start = start_thread
concurrent.futures.ThreadPoolExecutor.submit = submit
# What is forked has no say on our socket.
os.register_at_fork(after_in_child=lambda: running.set(None))


class Printed:
    """Standard output or error: what an input prints goes to the server as its own."""

    def __init__(self, send, stream, number):
        self.send, self.stream, self.number = send, stream, number
        self.lines = {}  # by call: what it has printed since the last newline
        self.lock = threading.RLock()  # of these; a signal's handler prints, too

    def write(self, text):
        call = running.get()
        if call is None:
            return self.stream.write(text)
        with self.lock:
            whole, newline, rest = (self.lines.pop(call.id, "") + text).rpartition("\n")
            if len(rest) > MAX_PRINTED:
                whole, newline, rest = whole + newline + rest, "\n", ""
            if newline:
                self.send(call, self.number, whole + newline)
            if rest:
                self.lines[call.id] = rest
        return len(text)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def finish(self, call):
        with self.lock:
            rest = self.lines.pop(call.id, "")
            if rest:
                self.send(call, self.number, rest + "\n")

    @property
    def buffer(self):
        return PrintedBytes(self)

    def __getattr__(self, name):
        return getattr(self.stream, name)


class PrintedBytes:
    """The buffer below, for those who write bytes."""

    def __init__(self, printed):
        self.printed = printed

    def write(self, data):
        if running.get() is None:
            return self.printed.stream.buffer.write(data)
        self.printed.write(bytes(data).decode(errors="backslashreplace"))
        return len(data)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def __getattr__(self, name):
        return getattr(self.printed.stream.buffer, name)
