"""A stand-in for Modal's SDK: what modal_local_host.py uses of it, no more.

The members have the names and the behaviour of SDK 1.5.
"""

import asyncio
import datetime
import functools
import inspect
import os
import sys

from ._partial_function import PartialFunction, _PartialFunctionFlags
from .cls import Cls, enter, exit, method, parameter

__all__ = ["App", "Function", "FunctionCall", "Retries", "enter", "exit", "method", "parameter"]


class Retries:
    def __init__(self, *, max_retries, backoff_coefficient=2.0, initial_delay=1.0, max_delay=60.0):
        self.max_retries = max_retries
        self.backoff_coefficient = backoff_coefficient
        self.initial_delay = datetime.timedelta(seconds=initial_delay)
        self.max_delay = datetime.timedelta(seconds=max_delay)


class Both:
    """A method that is called plainly, or by its attribute aio; a generator, too."""

    def __init__(self, method):
        self.method = method

    def __get__(self, instance, owner=None):
        bound = functools.partial(self.method, instance)

        async def awaited(*args):
            return await asyncio.to_thread(bound, *args)

        async def items(*args):
            for item in await asyncio.to_thread(lambda: list(bound(*args))):
                yield item

        bound.aio = items if inspect.isgeneratorfunction(self.method) else awaited
        return bound


class Function:
    """
    One that is remote writes down what it is asked for, and asks a server only
    where it is told how.
    """

    def __init__(self, raw_f, *names):
        self._raw_f = raw_f
        self.names = names

    def get_raw_f(self):
        return self._raw_f

    def local(self, *args, **kwargs):
        return self._raw_f(*args, **kwargs)

    @staticmethod
    def from_name(app_name, name):
        return Function(None, app_name, name)

    @Both
    def remote(self, *args):
        return self.spawn(*args)._value()

    @Both
    def map(self, *iterators):
        yield from [call._value() for call in [self.spawn(*args) for args in zip(*iterators)]]

    @Both
    def spawn(self, *args):
        with open(os.environ["STAND_IN_CALLS"], "a") as file:
            file.write("%s %r\n" % (" ".join(self.names), args))
        return FunctionCall(self.names, args)


class FunctionCall:
    def __init__(self, names, args):
        if "STAND_IN_CLIENT" not in os.environ:
            self._value = lambda: None
            return
        sys.path.append(os.environ["STAND_IN_CLIENT"])
        import client

        server = object.__new__(client.Server)
        server.port, server.ca, server.plain = os.environ["MODAL_SERVER_URL"].rpartition(":")[2], "", True
        function = server.function(names[1], app=names[0]).function_id
        call = server.start_call(function, [client.item(0, *args)]).function_call_id
        self._value = lambda: server.value(server.outputs(call, max_values=1).outputs[0].result)

    @Both
    def get(self):
        return self._value()

    class _Gather:
        """A function that is no descriptor, as there."""

        def __call__(self, *calls):
            return [call._value() for call in calls]

    gather = _Gather()


class App:
    def __init__(self, name=None):
        self.name = name
        self.registered_functions = {}
        self.registered_classes = {}
        self.registered_web_endpoints = []

    def include(self, other_app):
        self.registered_functions.update(other_app.registered_functions)
        return self

    def function(self, *, timeout=None, retries=None, gpu=None, image=None, is_generator=None):
        def register(f):
            raw = f.raw_f if isinstance(f, PartialFunction) else f
            if isinstance(f, PartialFunction) and f._is_web_endpoint():
                self.registered_web_endpoints.append(raw.__name__)
            self.registered_functions[raw.__name__] = Function(raw)
            return self.registered_functions[raw.__name__]

        return register

    def server(self, *, port):
        def register(user_class):
            self.registered_functions[user_class.__name__] = Function(None)
            return object()

        return register

    def cls(self, *, scaledown_window=None):
        def register(user_class):
            if isinstance(user_class, PartialFunction):
                user_class = user_class.raw_f
            name = user_class.__name__
            self.registered_functions[name + ".*"] = Function(None)
            self.registered_classes[name] = Cls(user_class)
            return self.registered_classes[name]

        return register


def decorator(flag, *names):
    """One that makes a PartialFunction of a function, or adds to one."""

    def outer(**arguments):
        unknown = set(arguments) - set(names)
        assert not unknown, unknown

        def inner(f):
            partial = f if isinstance(f, PartialFunction) else PartialFunction(f, 0)
            partial.flags |= flag
            return partial

        return inner

    return outer


batched = decorator(_PartialFunctionFlags.BATCHED, "max_batch_size", "wait_ms")
concurrent = decorator(_PartialFunctionFlags.CONCURRENT, "max_inputs")
fastapi_endpoint = decorator(_PartialFunctionFlags.WEB_INTERFACE, "method")
asgi_app = decorator(_PartialFunctionFlags.WEB_INTERFACE)
wsgi_app = decorator(_PartialFunctionFlags.WEB_INTERFACE)
