"""Decorated methods of the stand-in."""

import enum


class _PartialFunctionFlags(enum.IntFlag):
    ENTER_PRE_SNAPSHOT = 2
    ENTER_POST_SNAPSHOT = 4
    EXIT = 8
    CALLABLE_INTERFACE = 16
    WEB_INTERFACE = 32
    BATCHED = 64
    CONCURRENT = 128


class PartialFunction:
    def __init__(self, raw_f, flags):
        self.raw_f = raw_f
        self.flags = flags

    def __get__(self, instance, owner=None):
        if instance is None:
            return self
        return instance._modal_functions[self.raw_f.__name__]

    def _get_raw_f(self):
        return self.raw_f

    def _is_web_endpoint(self):
        return bool(self.flags & _PartialFunctionFlags.WEB_INTERFACE)


def partials(user_class, flags):
    found = {n: p for n, p in vars(user_class).items() if isinstance(p, PartialFunction)}
    return {n: p for n, p in found.items() if p.flags & flags}


def _find_callables_for_obj(instance, flags):
    return {n: p.raw_f.__get__(instance) for n, p in partials(type(instance), flags).items()}
