"""Classes of the stand-in: parameters, @enter, @method."""

import inspect

from ._partial_function import PartialFunction, _PartialFunctionFlags, partials


class Parameter:
    def __init__(self, default):
        self.default = default


def parameter(default=inspect.Parameter.empty):
    return Parameter(default)


def enter():
    return lambda f: PartialFunction(f, _PartialFunctionFlags.ENTER_POST_SNAPSHOT)


def exit():
    return lambda f: PartialFunction(f, _PartialFunctionFlags.EXIT)


def method(*, is_generator=None):
    def decorate(f):
        partial = f if isinstance(f, PartialFunction) else PartialFunction(f, 0)
        partial.flags |= _PartialFunctionFlags.CALLABLE_INTERFACE
        return partial

    return decorate


def _get_class_constructor_signature(user_class):
    parameters = [
        inspect.Parameter(
            name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=getattr(user_class, name).default,
            annotation=annotation,
        )
        for name, annotation in inspect.get_annotations(user_class).items()
    ]
    return inspect.Signature(parameters)


class Obj:
    def __init__(self, user_class, parameters):
        bound = _get_class_constructor_signature(user_class).bind(**parameters)
        bound.apply_defaults()
        self.instance = user_class.__new__(user_class)
        vars(self.instance).update(bound.arguments)
        self._entered = False
        self.instance._modal_functions = {n: self.method(p) for n, p in partials(user_class, ~0).items()}

    def method(self, partial):
        from . import Function  # which imports this

        method = partial.raw_f.__get__(self.instance)

        def enter_and_call(*args):
            if not self._entered:
                for f in partials(type(self.instance), _PartialFunctionFlags.ENTER_POST_SNAPSHOT).values():
                    f.raw_f.__get__(self.instance)()
            self._entered = True
            return method(*args)

        return Function(enter_and_call)

    def __getattr__(self, name):
        return self.instance._modal_functions[name]

    def _cached_user_cls_instance(self):
        return self.instance


class RemoteObj:
    def __init__(self, app_name, name):
        self.names = app_name, name

    def __getattr__(self, name):
        from . import Function

        return Function.from_name(self.names[0], self.names[1] + "." + name)


class Cls:
    @staticmethod
    def from_name(app_name, name):
        return lambda **_: RemoteObj(app_name, name)

    def __init__(self, user_class):
        self.user_class = user_class

    def __call__(self, **parameters):
        return Obj(self.user_class, parameters)

    def _get_user_cls(self):
        return self.user_class

    def _get_partial_functions(self):
        return partials(self.user_class, ~0)

    def _get_method_names(self):
        return partials(self.user_class, _PartialFunctionFlags.CALLABLE_INTERFACE).keys()
