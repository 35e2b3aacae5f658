"""Classes of the stand-in: parameters, @enter, @method, .local."""

import inspect


class Parameter:
    def __init__(self, default):
        self.default = default


def parameter(default=inspect.Parameter.empty):
    return Parameter(default)


class Partial:
    def __init__(self, raw_f, is_enter):
        self.raw_f = raw_f
        self.is_enter = is_enter


def enter():
    return lambda f: Partial(f, True)


def method():
    return lambda f: Partial(f, False)


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


class Method:
    def __init__(self, obj, raw_f):
        self.obj = obj
        self.raw_f = raw_f

    def local(self, *args, **kwargs):
        return self.raw_f(self.obj.enter(), *args, **kwargs)


class Obj:
    def __init__(self, cls, parameters):
        bound = _get_class_constructor_signature(cls.user_class).bind(**parameters)
        bound.apply_defaults()
        self.cls = cls
        self.instance = cls.user_class.__new__(cls.user_class)
        vars(self.instance).update(bound.arguments)
        self.entered = False

    def enter(self):
        if not self.entered:
            self.entered = True
            for partial in vars(self.cls.user_class).values():
                if isinstance(partial, Partial) and partial.is_enter:
                    partial.raw_f(self.instance)
        return self.instance

    def __getattr__(self, name):
        return Method(self, self.cls._get_partial_functions()[name].raw_f)


class Cls:
    def __init__(self, user_class):
        self.user_class = user_class

    def __call__(self, **parameters):
        return Obj(self, parameters)

    def _get_user_cls(self):
        return self.user_class

    def _get_partial_functions(self):
        return {n: p for n, p in vars(self.user_class).items() if isinstance(p, Partial) and not p.is_enter}
