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

    def _cached_user_cls_instance(self):
        return self.instance


class Cls:
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
