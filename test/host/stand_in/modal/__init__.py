"""A stand-in for Modal's SDK: what modal_local_host.py uses of it, no more.

The members have the names and the behaviour of SDK 1.5.
"""

from .cls import Cls, enter, method, parameter

__all__ = ["App", "enter", "method", "parameter"]


class Function:
    def __init__(self, raw_f):
        self._raw_f = raw_f

    def get_raw_f(self):
        return self._raw_f


class App:
    def __init__(self, name=None):
        self.name = name
        self.registered_functions = {}
        self.registered_classes = {}
        self.registered_web_endpoints = []

    def function(self):
        def register(f):
            self.registered_functions[f.__name__] = Function(f)
            return self.registered_functions[f.__name__]

        return register

    def cls(self):
        def register(user_class):
            name = user_class.__name__
            self.registered_functions[name + ".*"] = Function(None)
            self.registered_classes[name] = Cls(user_class)
            return self.registered_classes[name]

        return register
