"""Web endpoints of a modal.App: HTTP requests as calls of a function.

Part of modal_local_host.py.  A request comes as a dict {method, path, query,
headers, body}, and its answer goes as [status, headers, body].
"""

import asyncio
import inspect
import io
import json
import sys
import typing
import urllib.parse

JSON_HEADERS = [["content-type", "application/json"]]


async def call(function, *args, **kwargs):
    """Call what is not async; a host that runs other inputs meanwhile has another way."""
    return function(*args, **kwargs)


def web_function(web, function):
    """The function that answers requests for one that was decorated as web[0]."""
    kind, arguments = web
    if kind == "wsgi_app":
        app = Once(function, WsgiApp)
    elif kind == "asgi_app":
        app = Once(function, AsgiApp)
    else:
        app = Once(lambda: endpoint_app(function, arguments.get("method", "GET")), lambda made: made)

    async def answer(request):
        return await app.get().answer(request)

    answer.__doc__ = function.__doc__
    answer.__signature__ = inspect.signature(function)
    return answer


class Once:
    """Made when it is wanted for the first time."""

    def __init__(self, make, wrap):
        self.make, self.wrap, self.made = make, wrap, None

    def get(self):
        if self.made is None:
            self.made = self.wrap(self.make())
        return self.made


def endpoint_app(function, method):
    try:
        import fastapi
    except ImportError:
        return Endpoint(function, method)
    app = fastapi.FastAPI()
    app.add_api_route("/", function, methods=[method])
    return AsgiApp(app)


class AsgiApp:
    def __init__(self, app):
        self.app = app
        self.started = None  # the task that starts it

    async def start(self):
        """The lifespan protocol, for applications that know it."""
        events, answered = asyncio.Queue(), asyncio.Event()

        async def send(_message):
            answered.set()

        async def run():
            try:
                await self.app({"type": "lifespan", "asgi": {"version": "3.0"}}, events.get, send)
            except Exception:
                pass  # it does not know it
            finally:
                answered.set()

        self.lifespan = asyncio.ensure_future(run())
        await events.put({"type": "lifespan.startup"})
        await answered.wait()

    async def answer(self, request):
        if self.started is None:
            self.started = asyncio.ensure_future(self.start())
        await asyncio.shield(self.started)  # for all, whichever request is cancelled
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": request["method"],
            "scheme": "http",
            "path": urllib.parse.unquote(request["path"]),
            "raw_path": request["path"].encode(),
            "root_path": "",
            "query_string": request["query"].encode(),
            "headers": [(n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in request["headers"]],
            "client": None,
            "server": None,
        }
        answer, body, sent = [500, [], b""], [], asyncio.Event()
        messages = [{"type": "http.request", "body": request["body"], "more_body": False}]

        async def receive():
            if messages:
                return messages.pop()
            await sent.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            if message["type"] == "http.response.start":
                answer[0] = message["status"]
                answer[1] = [[n.decode("latin-1"), v.decode("latin-1")] for n, v in message.get("headers", [])]
            elif message["type"] == "http.response.body":
                body.append(message.get("body", b""))
                if not message.get("more_body"):
                    sent.set()

        await self.app(scope, receive, send)
        answer[2] = b"".join(body)
        return answer


class WsgiApp:
    def __init__(self, app):
        self.app = app

    async def answer(self, request):
        return await call(self.run, request)

    def run(self, request):
        answer = [500, [], b""]
        environ = {
            "REQUEST_METHOD": request["method"],
            "SCRIPT_NAME": "",
            "PATH_INFO": urllib.parse.unquote(request["path"], "latin-1"),
            "QUERY_STRING": request["query"],
            "CONTENT_LENGTH": str(len(request["body"])),
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(request["body"]),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": False,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        for name, value in request["headers"]:
            name = name.upper().replace("-", "_")
            name = name if name == "CONTENT_TYPE" else "HTTP_" + name
            environ[name] = environ[name] + "," + value if name in environ else value
        written = []

        def start_response(status, headers, _exc_info=None):
            answer[0] = int(status.split()[0])
            answer[1] = [list(h) for h in headers]
            return written.append

        chunks = self.app(environ, start_response)
        try:
            written.extend(chunks)
        finally:
            if hasattr(chunks, "close"):
                chunks.close()
        answer[2] = b"".join(written)
        return answer


class Endpoint:
    """
    What FastAPI would make of the simplest of endpoints, where it is not
    installed: arguments from the query, or by name from a JSON object in the
    body; a parameter that is a dict takes that whole.
    """

    CONVERTERS = {int: int, float: float, bool: lambda s: s.lower() in ("1", "true", "yes", "on")}

    def __init__(self, function, method):
        self.function = function
        self.method = method.upper()
        self.parameters = inspect.signature(function).parameters
        self.hints = typing.get_type_hints(function)

    def arguments(self, request):
        given = dict(urllib.parse.parse_qsl(request["query"], keep_blank_values=True))
        body = json.loads(request["body"]) if request["body"] else {}
        arguments = {}
        for name, parameter in self.parameters.items():
            hint = self.hints.get(name)
            if name in given:
                arguments[name] = self.CONVERTERS.get(hint, str)(given[name])
            elif isinstance(body, dict) and name in body:
                arguments[name] = body[name]
            elif hint is dict:
                arguments[name] = body
            elif parameter.default is inspect.Parameter.empty:
                raise ValueError("missing: " + name)
        return arguments

    async def answer(self, request):
        if request["path"] != "/":
            return [404, JSON_HEADERS, b'{"detail":"Not Found"}']
        if request["method"] != self.method:
            return [405, JSON_HEADERS, b'{"detail":"Method Not Allowed"}']
        try:
            arguments = self.arguments(request)
        except ValueError as exc:
            return [422, JSON_HEADERS, json.dumps({"detail": str(exc)}).encode()]
        if inspect.iscoroutinefunction(self.function):
            result = await self.function(**arguments)
        else:
            result = await call(self.function, **arguments)
        return [200, JSON_HEADERS, json.dumps(result).encode()]
