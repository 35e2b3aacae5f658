"""The functions that the tests of the JavaScript SDK call; see sdk.test.js."""

import os
import sys
import time


def echo_string(s):
    return "output: " + s


def identity_with_repr(value):
    return value, repr(value)


def byte_length(data):
    return len(data)


def make_bytes(n):
    return bytes(i % 251 for i in range(n))


def sleep(t):
    time.sleep(t)


def raise_value_error(message):
    raise ValueError(message)


def prints():
    print("one")
    print("two", file=sys.stderr)


def env_var(name):
    return os.environ.get(name, "[not set]")


def unserializable():
    return object()


def crash(status):
    os._exit(status)


def crash_once(path):
    """Ends its process the first time, and succeeds the second."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return "second try"
    os._exit(1)


async def echo_async(s):
    return "output: " + s


class EchoCls:
    def echo_string(self, s):
        return "output: " + s


class EchoClsParametrized:
    name: str = "test"
    repetitions: int = 1
    loud: bool = False
    data: bytes = b""

    def echo_parameter(self):
        text = " ".join([self.name] * self.repetitions) + self.data.decode()
        return "output: " + (text.upper() if self.loud else text)

    def echo_env_var(self, var_name):
        return "output: " + os.environ.get(var_name, "[not set]")


class NeedsName:
    name: str

    def greet(self):
        return "hello " + self.name
