"""What a file offers: its functions, classes and web endpoints.

Part of modal_local_host.py.  A file with a modal.App offers what is registered
there; any other, its public top-level functions and classes.
"""

import collections
import concurrent.futures
import dis
import functools
import importlib.machinery
import importlib.util
import inspect
import json
import linecache
import os
import re
import sys
import threading
import traceback
import typing

from modal_local_web import web_function

MAX_OBJECTS = 64  # parameterised objects kept per process
MAX_SIGNATURE = 300  # characters


class Unservable(Exception):
    """The file holds nothing to serve, or something that cannot be served."""


def signature_of(function):
    try:
        text = str(inspect.signature(function))
    except Exception:  # there is none, or a default that cannot be told
        text = "(...)"
    return text if len(text) <= MAX_SIGNATURE else text[:MAX_SIGNATURE] + "..."


class Target:
    """One function, or one method of a class."""

    def __init__(self, app, name, function, owner=None, options=None):
        plain = inspect.unwrap(function)
        self.app = app
        self.name = name
        self.function = function
        self.owner = owner
        self.options = options or Options()
        self.generator = self.options.is_generator
        if self.generator is None:
            self.generator = inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain)
        # What a decorator has made of a coroutine shows when it is called.
        self.asynchronous = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(plain)
        self.batch = self.options.batch  # (size, seconds) or None
        if self.options.web is not None:
            self.function = web_function(self.options.web, function)
            self.generator, self.asynchronous = False, True

    def bind(self, parameters):
        """
        A generator that returns a method, of the object with these parameters.
        It yields what is to be awaited for that.
        """
        return self.owner.method_of((yield from self.owner.instance(parameters)), self.name)

    def describe(self, number):
        signature = signature_of(self.function)
        if self.owner is not None:  # without self
            signature = re.sub(r"^\(self\b[^,)]*(, )?", "(", signature)
        doc = inspect.getdoc(self.function) or ""
        return {
            "app": self.app,
            "name": self.name,
            "target": number,
            "generator": self.generator,
            "signature": signature,
            "doc": doc.partition("\n")[0],
            **self.options.describe(),
        }


class Owner:
    """A class, and its objects by parameter set."""

    TYPES = {str: "string", int: "int", bytes: "bytes", bool: "bool"}

    def __init__(self, app, name, make, signature, method_of=getattr, enters_of=lambda _: (), options=None):
        self.app = app
        self.name = name
        self.make = make
        self.method_of = method_of
        self.enters_of = enters_of
        self.options = options or Options()
        self.parameters = [self.describe_parameter(p) for p in signature]
        self.objects = collections.OrderedDict()  # futures: a tuple of the object, empty if it cannot be made
        self.lock = threading.Lock()  # of these

    def describe_parameter(self, parameter):
        kind = self.TYPES.get(parameter.annotation)
        if kind is None:
            raise Unservable(
                "class %s: parameter %s must be annotated as str, int, bytes or bool" % (self.name, parameter.name)
            )
        entry = {"name": parameter.name, "type": kind}
        if parameter.default is not inspect.Parameter.empty:
            default = parameter.default
            if type(default) is not parameter.annotation or (kind == "int" and not -(2**63) <= default < 2**63):
                raise Unservable(
                    "class %s: the default of parameter %s must be of type %s%s"
                    % (self.name, parameter.name, parameter.annotation.__name__, ", of 64 bits" if kind == "int" else "")
                )
            entry["default"] = default.hex() if kind == "bytes" else default
        return entry

    def instance(self, parameters):
        """As Target.bind: inputs that run together have one, which is made once."""
        while True:
            made = concurrent.futures.Future()
            with self.lock:
                known = self.objects.setdefault(parameters, made)
                self.objects.move_to_end(parameters)
                if len(self.objects) > MAX_OBJECTS:
                    self.objects.popitem(last=False)
            if known is made:
                return (yield from self.make_instance(parameters, made))
            if not known.done():
                yield known
            if known.result():
                return known.result()[0]

    def make_instance(self, parameters, made):
        result = ()
        try:
            instance = self.make(**decode_parameters(parameters))
            for enter in self.enters_of(instance):
                entered = enter()
                if inspect.isawaitable(entered):
                    yield entered
            result = (instance,)
            return instance
        finally:
            if not result:
                with self.lock:
                    if self.objects.get(parameters) is made:
                        del self.objects[parameters]
            made.set_result(result)


class Manifest:
    def __init__(self):
        self.targets = []
        self.owners = []
        self.files = []
        self.left_out = []  # why, each

    def add_class(self, owner, methods):
        self.owners.append(owner)
        for name, function in methods:
            self.targets.append(Target(owner.app, name, function, owner))

    def to_json(self):
        def entries(owner):
            return [t.describe(i) for i, t in enumerate(self.targets) if t.owner is owner]

        classes = [
            {
                "app": o.app,
                "name": o.name,
                "parameters": o.parameters,
                "methods": entries(o),
                **o.options.describe(),
            }
            for o in self.owners
        ]
        # What must be the same in all processes: texts may differ, by addresses and the order of sets.
        targets = [[t.app, t.owner and t.owner.name, t.name, t.generator] for t in self.targets]
        told = {"functions": entries(None), "classes": classes, "targets": targets}
        return json.dumps({**told, "files": self.files, "left_out": self.left_out})


# ------------------------------------------------------- class parameters


def decode_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def decode_fields(data):
    """(number, value) of each field of a protobuf message of varints and bytes."""
    at = 0
    while at < len(data):
        key, at = decode_varint(data, at)
        value, at = decode_varint(data, at)
        if key & 7 == 2:
            value, at = data[at : at + value], at + value
        elif key & 7 != 0:
            raise ValueError("malformed class parameters")
        yield key >> 3, value


def decode_parameters(data):
    """ClassParameterSet to keyword arguments."""
    parameters = {}
    for _, item in decode_fields(data):
        name = value = None
        for number, field in decode_fields(item):
            if number == 1:
                name = field.decode()
            elif number == 3:
                value = field.decode()
            elif number == 4:
                value = field - (1 << 64) if field >> 63 else field
            elif number == 6:
                value = field
            elif number == 7:
                value = bool(field)
        parameters[name] = value
    return parameters


# ---------------------------------------------------------------- the file


class Snapshot(importlib.machinery.SourceFileLoader):
    """Loads the text that the server has read, whatever is in the file by now."""

    def __init__(self, name, path, text):
        super().__init__(name, path)
        self.text = text

    def get_data(self, path):
        if path == self.path:
            return self.text
        raise OSError  # no bytecode is kept of it


def load(path, text=None):
    """Import the file under its base name, as `import` would find it."""
    directory, base = os.path.split(os.path.abspath(path))
    name = os.path.splitext(base)[0]
    sys.path[: not getattr(sys.flags, "safe_path", False)] = [directory]  # instead of our own, if that is there
    if text is None:
        with open(path, "rb") as file:
            text = file.read()
    loader = Snapshot(name, path, text)
    module = importlib.util.module_from_spec(importlib.util.spec_from_file_location(name, path, loader=loader))
    sys.modules[name] = module
    lines = text.decode(errors="replace").splitlines(True)
    linecache.cache[path] = (len(text), None, lines, path)
    if b"modal" in text:
        listen_to_sdk()
    loader.exec_module(module)
    return name, module


def explain(exc, ours):
    """Why the file cannot be served: the error, and where in the user's code."""
    if isinstance(exc, Unservable):
        return str(exc)
    frames = traceback.extract_tb(exc.__traceback__)
    while frames and (frames[0].filename in ours or frames[0].filename.startswith("<frozen ")):
        del frames[0]
    text = "".join(traceback.format_exception_only(type(exc), exc)).rstrip("\n")
    if frames:
        text = "Traceback (most recent call last):\n" + "".join(frames.format()) + text
    if isinstance(exc, ModuleNotFoundError):
        text += "\n(looked for with %s)" % sys.executable
    return text


def survey(name, module):
    """Find what the module offers: its modal.Apps, or else all it defines."""
    manifest = Manifest()
    modal = sys.modules.get("modal")
    # What stands for something that is made when it is asked for is not asked.
    apps = [v for v in vars(module).values() if modal is not None and issubclass(type(v), getattr(modal, "App", ()))]
    for app in apps:
        survey_app(manifest, app, name, module)
    if not apps:
        survey_module(manifest, name, module)
    if not manifest.targets:
        raise Unservable("\n".join(manifest.left_out) or "no public function or class is defined in it")
    directory = os.path.dirname(os.path.abspath(module.__file__))
    files = [getattr(m, "__file__", None) for m in list(sys.modules.values())]
    manifest.files = sorted({os.path.basename(f) for f in files if f and os.path.dirname(f) == directory})
    return manifest


def survey_module(manifest, app, module):
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(value):
            try:
                survey_class(manifest, app, name, value)
            except Unservable as exc:  # it may be there for the others
                manifest.left_out.append(str(exc))
        elif inspect.isroutine(value) or inspect.getattr_static(value, "__wrapped__", None) is not None:
            manifest.targets.append(Target(app, name, value))


def hints_of(thing, annotations):
    """The types of its annotations; where one names what only a type checker knows, of those that are parameters'."""
    try:
        return typing.get_type_hints(thing)
    except Exception:
        known = {kind.__name__: kind for kind in Owner.TYPES}
        return {n: known.get(a, a) if isinstance(a, str) else a for n, a in annotations.items()}


def class_hints(cls):
    annotations = {}
    for base in reversed(cls.__mro__):
        annotations.update(vars(base).get("__annotations__", {}))
    return {n: h for n, h in hints_of(cls, annotations).items() if not is_constant(h)}


def is_constant(hint):
    if isinstance(hint, str):
        return "ClassVar" in hint or "Final" in hint
    return typing.get_origin(hint) in (typing.ClassVar, typing.Final) or hint in (typing.ClassVar, typing.Final)


def init_arguments(name, init):
    """Those that can be given by name."""
    try:
        signature = inspect.signature(init)
    except (TypeError, ValueError):
        raise Unservable("class %s: the arguments of its __init__ are not known" % name) from None
    hints = hints_of(init, {n: p.annotation for n, p in signature.parameters.items()})
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    arguments = [p for p in signature.parameters.values() if p.kind not in variable]
    return [p.replace(annotation=hints.get(p.name)) for p in arguments[1:]]  # without self


def inits_of(cls):
    """The __init__ of its objects, and inherited ones that this goes on to."""
    for base in cls.__mro__:
        init = inspect.unwrap(vars(base).get("__init__", base))
        if inspect.isfunction(init):
            yield init
            if "__init__" not in init.__code__.co_names:
                return


def sets(init, name):
    """Has it "self.NAME = ..."?  The object is what has been loaded last then."""
    me = init.__code__.co_varnames[:1]
    loaded = ()
    for step in dis.get_instructions(init):
        if step.opname == "STORE_ATTR" and step.argval == name and loaded[-1:] == me:
            return True
        if step.opname != "EXTENDED_ARG":
            loaded = step.argval if isinstance(step.argval, tuple) else (step.argval,)
    return False


def attribute(cls, name, hint):
    default = getattr(cls, name, inspect.Parameter.empty)
    if inspect.ismemberdescriptor(default):
        default = inspect.Parameter.empty  # of __slots__
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)


def survey_class(manifest, app, name, cls):
    """
    Parameters are those of __init__ (of a dataclass too), and the annotated
    attributes, which are set on each new object before __init__ runs.  What
    __init__ sets by itself is none, nor what has a default and is of another type.
    """
    methods = [(n, f) for n, f in inspect.getmembers(cls, inspect.isfunction) if not n.startswith("_")]
    if not methods or issubclass(cls, BaseException) or inspect.isabstract(cls) or getattr(cls, "_is_protocol", False):
        return
    own_init = cls.__init__ is not object.__init__
    arguments = init_arguments(name, cls.__init__) if own_init else []
    named = {p.name for p in arguments}
    inits = list(inits_of(cls))
    attributes = [
        attribute(cls, n, h)
        for n, h in class_hints(cls).items()
        if not (n in named or (own_init and h not in Owner.TYPES) or any(sets(i, n) for i in inits))
    ]
    others = [p for p in arguments + attributes if p.annotation not in Owner.TYPES and p.default is not p.empty]
    options = Options()
    options.ignored = ["parameter " + p.name for p in others if p in arguments]

    def make(**parameters):
        instance = cls.__new__(cls)
        for attribute in attributes:
            if attribute.name in parameters:
                setattr(instance, attribute.name, parameters.pop(attribute.name))
        instance.__init__(**parameters)
        return instance

    parameters = [p for p in arguments + attributes if p not in others]
    manifest.add_class(Owner(app, name, make, parameters, options=options), methods)


# ------------------------------------------------------------- Modal's SDK

WEB = ("fastapi_endpoint", "web_endpoint", "asgi_app", "wsgi_app")
NOTED = WEB + ("method", "batched", "concurrent", "web_server")
EFFECTIVE = {"name", "timeout", "retries", "serialized", "is_generator"}

registrations = {}  # (id of the app, tag): arguments of App.function or App.cls
notes = {}  # id of a function or class: {decorator: its arguments}


def raw_of(function):
    """What the user wrote, below the SDK's decorators."""
    for getter in "_get_raw_f", "get_raw_f":
        if hasattr(function, getter):
            return getattr(function, getter)()
    return function


def listen_to_sdk():
    """
    The SDK keeps for itself what its decorators were told: hear it said.  Does
    nothing where there is no SDK.
    """
    try:
        import modal
    except ImportError:
        return
    for name in NOTED:
        if hasattr(modal, name):
            setattr(modal, name, noting(name, getattr(modal, name)))
    for name, registered in ("function", "registered_functions"), ("cls", "registered_classes"):
        setattr(modal.App, name, registering(getattr(modal.App, name), registered))
    if hasattr(modal.App, "include"):
        modal.App.include = including(modal.App.include)
    for name, methods in WAITS.items():
        cls = getattr(modal, name, None)
        for method in methods:
            found = inspect.getattr_static(cls, method, None)
            if found is not None:
                setattr(cls, method, Waits(found))


def noting(name, decorator):
    @functools.wraps(decorator)
    def outer(*args, **kwargs):
        decorate = decorator(*args, **kwargs)

        def inner(function):
            notes.setdefault(id(raw_of(function)), {})[name] = kwargs
            return decorate(function)

        return inner

    return outer


def registering(method, registered):
    @functools.wraps(method)
    def outer(self, *args, **kwargs):
        decorate = method(self, *args, **kwargs)

        def inner(thing):
            before = set(getattr(self, registered))
            result = decorate(thing)
            for tag in set(getattr(self, registered)) - before:
                registrations[id(self), tag] = kwargs
            return result

        return inner

    return outer


def including(method):
    @functools.wraps(method)
    def outer(self, other_app, *args, **kwargs):
        result = method(self, other_app, *args, **kwargs)
        for (app, tag), arguments in list(registrations.items()):
            if app == id(other_app):
                registrations[id(self), tag] = arguments
        return result

    return outer


class Options:
    """What was said in decorators: what of it holds here, and what does not."""

    def __init__(self, arguments=None, noted=None):
        arguments, noted = arguments or {}, noted or {}
        self.timeout = arguments.get("timeout")
        self.retries = arguments.get("retries")
        self.is_generator = arguments.get("is_generator", noted.get("method", {}).get("is_generator"))
        self.web = next(((kind, noted[kind]) for kind in WEB if kind in noted), None)
        batched = noted.get("batched")
        self.batch = (batched["max_batch_size"], batched["wait_ms"] / 1000) if batched else None
        self.ignored = sorted(n for n, v in arguments.items() if v is not None and n not in EFFECTIVE)
        self.ignored += ["@modal." + n for n in ("concurrent", "web_server") if n in noted]

    def describe(self):
        entry = {}
        if self.timeout:
            entry["timeout"] = int(self.timeout)
        if isinstance(self.retries, int) and self.retries > 0:
            entry["retries"] = {"count": self.retries, "factor": 1.0, "delay": 1000, "max_delay": 60000}
        elif hasattr(self.retries, "max_retries"):
            entry["retries"] = {
                "count": self.retries.max_retries,
                "factor": float(self.retries.backoff_coefficient),
                "delay": int(self.retries.initial_delay.total_seconds() * 1000),
                "max_delay": int(self.retries.max_delay.total_seconds() * 1000),
            }
        if self.batch:
            entry["batch"], entry["batch_wait"] = self.batch
        if self.web:
            entry["web"] = self.web[0]
        if self.ignored:
            entry["ignored"] = self.ignored
        return entry


def identity(thing):
    """Of the user's function or class in a thing of the SDK's; None: it is no such thing."""
    for getter in "get_raw_f", "_get_user_cls":
        if callable(getattr(type(thing), getter, None)):
            return id(getattr(thing, getter)())
    return None


def survey_app(manifest, app, default_name, module):
    """The functions and classes that a modal.App of the SDK has registered."""
    app_name = app.name or default_name
    web = set(app.registered_web_endpoints)
    served = {}
    for tag, function in app.registered_functions.items():
        if "*" in tag or "." in tag:
            continue
        raw = function.get_raw_f()
        if raw is None:
            manifest.left_out.append("%s: a server (@app.server) is not started" % tag)
            continue
        options = Options(registrations.get((id(app), tag)), notes.get(id(raw)))
        if options.web is not None or tag not in web:
            manifest.targets.append(Target(app_name, tag, raw, options=options))
            served[identity(function)] = ServedFunction(app_name, tag, function)
    for tag, cls in app.registered_classes.items():
        survey_app_class(manifest, app_name, tag, cls, registrations.get((id(app), tag)))
        served[identity(cls)] = ServedClass(app_name, tag, cls)
    for name, value in list(vars(module).items()):
        if identity(value) in served:
            setattr(module, name, served[identity(value)])


def survey_app_class(manifest, app, tag, cls, arguments):
    from modal._partial_function import _find_callables_for_obj, _PartialFunctionFlags
    from modal.cls import _get_class_constructor_signature

    user_class = cls._get_user_cls()
    hints = typing.get_type_hints(user_class)
    signature = [
        p.replace(annotation=hints.get(n, p.annotation))
        for n, p in _get_class_constructor_signature(user_class).parameters.items()
    ]
    partial = cls._get_partial_functions()
    methods = {n: partial[n]._get_raw_f() for n in cls._get_method_names() if not partial[n]._is_web_endpoint()}

    def make(**parameters):
        local = cls(**parameters)
        instance = local._cached_user_cls_instance()
        local._entered = True  # else .local() of a method would see to that
        remote = ServedClass(app, tag, cls)._remote()(**parameters)
        functions = getattr(instance, "_modal_functions", {})  # what self.NAME is
        for name in methods.keys() & functions.keys():
            functions[name] = ServedMethod(getattr(remote, name), functions[name])
        return instance

    def enters_of(instance):
        for flag in _PartialFunctionFlags.ENTER_PRE_SNAPSHOT, _PartialFunctionFlags.ENTER_POST_SNAPSHOT:
            yield from _find_callables_for_obj(instance, flag).values()

    options = Options(arguments, notes.get(id(user_class)))
    if any(p.flags & _PartialFunctionFlags.EXIT for p in partial.values()):
        options.ignored.append("@modal.exit")
    options.ignored += ["web endpoint %s" % n for n in cls._get_method_names() if n not in methods]
    owner = Owner(app, tag, make, signature, lambda instance, name: methods[name].__get__(instance), enters_of, options)
    manifest.owners.append(owner)
    for name, raw in methods.items():
        manifest.targets.append(Target(app, name, raw, owner, Options(None, notes.get(id(raw)))))


# ---------------------------------------- calls from one function to another

waiting = None  # a context in which a function waits for another; set by the host


# What waits, of the SDK's: whoever calls it, what is waited for may be an input of this file.
WAITS = {
    "Function": ("remote", "remote_gen", "map", "starmap", "for_each"),
    "FunctionCall": ("get", "get_gen", "iter", "gather"),
}


class Waits:
    """A method of the SDK's that waits."""

    def __init__(self, method):
        self.method = method

    def __get__(self, instance, owner=None):
        bind = getattr(self.method, "__get__", None)  # a static one may have none
        return Waiting(bind(instance, owner) if bind else self.method)


class Waiting:
    """The same, of an object."""

    def __init__(self, function):
        self.function = function

    def __call__(self, *args, **kwargs):
        with waiting():
            result = self.function(*args, **kwargs)
        if inspect.isgenerator(result) or isinstance(result, collections.abc.Iterator):
            return self.items(result)
        return result

    def items(self, iterator):
        end = object()
        while True:
            with waiting():
                item = next(iterator, end)
            if item is end:
                return
            yield item

    def aio(self, *args, **kwargs):
        result = self.function.aio(*args, **kwargs)
        if inspect.isawaitable(result):
            return self.awaited(result)
        return self.items_async(result) if hasattr(result, "__anext__") else result

    async def awaited(self, awaitable):
        with waiting():
            return await awaitable

    async def items_async(self, iterator):
        while True:
            with waiting():
                try:
                    item = await iterator.__anext__()
                except StopAsyncIteration:
                    return
            yield item

    def __getattr__(self, name):
        return getattr(self.function, name)


class Served:
    """
    Stands in the module for a function, class or method of its app: calls of
    it go to the server that serves it, as they would to Modal.
    """

    def __init__(self, local):
        self._local = local

    def __getattr__(self, name):
        if name == "local" or name.startswith("_"):
            return getattr(self._local, name)
        return getattr(self._remote(), name)


class ServedFunction(Served):
    def __init__(self, app, tag, local):
        super().__init__(local)
        self._name = app, tag

    def _remote(self):
        import modal

        return modal.Function.from_name(*self._name)


class ServedClass(Served):
    def __init__(self, app, tag, local):
        super().__init__(local)
        self._name = app, tag

    def _remote(self):
        import modal

        return modal.Cls.from_name(*self._name)

    def __call__(self, **parameters):
        return ServedObject(self._remote()(**parameters), self._local(**parameters))


class ServedObject:
    def __init__(self, remote, local):
        self._remote, self._local = remote, local

    def __getattr__(self, name):
        return ServedMethod(getattr(self._remote, name), getattr(self._local, name))


class ServedMethod(Served):
    def __init__(self, remote, local):
        super().__init__(local)
        self._method = remote

    def _remote(self):
        return self._method
