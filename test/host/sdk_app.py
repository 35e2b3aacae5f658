"""A file for Modal's SDK; test_host.py serves it with the stand-in."""

import asyncio
import threading

import modal

app = modal.App("named-app")
meeting = threading.Barrier(2)


class Lazy:
    """Stands for an object of a class that is not known yet."""

    __class__ = property(lambda self: 1 / 0)


lazy = Lazy()
part = modal.App("part")


@part.function(timeout=9)
def included():
    return "included"


app.include(part)
del part


@app.function(timeout=7, retries=2, gpu="any", image=object())
def plain(x: int):
    """Says so.

    At length.
    """
    return f"plain {x}"


@app.function(retries=modal.Retries(max_retries=3, initial_delay=0.5))
def generate(n):
    yield from range(n)


@app.function(is_generator=True)
def generate_otherwise(n):
    return iter(range(n))


def not_registered():
    raise AssertionError("is not served")


@app.function()
def outer(x):
    return plain.remote(x)


@app.function()
async def outer_in_thread(x):
    return await asyncio.to_thread(plain.remote, x)


@app.function()
def outer_of_another(x):
    return modal.Function.from_name("named-app", "plain").remote(x)


@app.function()
def outer_later(x):
    return plain.spawn(x).get()


@app.function()
def outer_at_last(x):
    return modal.FunctionCall.gather(plain.spawn(x))


@app.function()
async def outer_all(x):
    return [y async for y in plain.map.aio([x])]


@app.function()
def local(x):
    return plain.local(x)


@app.function()
@modal.batched(max_batch_size=3, wait_ms=300)
def join(texts, separator=None):
    whole = "".join(t + s for t, s in zip(texts, separator))
    return [whole] * len(texts)


@app.function()
@modal.batched(max_batch_size=2, wait_ms=300)
async def sleep_together(seconds):
    await asyncio.sleep(seconds[0])
    return seconds


@app.function()
@modal.batched(max_batch_size=2, wait_ms=0)
def no_list(x):
    return len(x[0]) if isinstance(x[0], list) and x[0] else x[0] + 0


@app.function()
@modal.fastapi_endpoint()
def greet(name: str, times: int = 1):
    return " ".join(["hello " + name] * times)


@app.function()
@modal.fastapi_endpoint(method="POST")
async def total(values: list):
    return sum(values)


@app.function()
@modal.fastapi_endpoint()
def meet():
    return meeting.wait(10) in (0, 1)


@app.function()
@modal.wsgi_app()
def meet_otherwise():
    def application(environ, start_response):
        meeting.wait(10)
        start_response("200 OK", [])
        return [b"met"]

    return application


@app.function()
@modal.fastapi_endpoint(method="put")
def put():
    return "put"


@app.function()
@modal.asgi_app()
def slow_to_start():
    started = []

    async def application(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            await asyncio.sleep(0.3)
            started.append("yes")
            await send({"type": "lifespan.startup.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-started", b"yes")] * len(started)})
        await send({"type": "http.response.body"})

    return application


@app.function()
@modal.asgi_app()
def asgi():
    started = []

    async def application(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            started.append("yes")
            await send({"type": "lifespan.startup.complete"})
            return
        body = (await receive())["body"].decode()
        header = dict(scope["headers"])[b"x-test"].decode()
        words = [scope["method"], scope["path"], scope["query_string"].decode(), header, body]
        headers = [(b"x-started", s.encode()) for s in started]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": " ".join(words).encode()})

    return application


@app.function()
@modal.wsgi_app()
def wsgi():
    def application(environ, start_response):
        start_response("202 Accepted", [("X-Answer", "1")])
        words = [environ[k] for k in ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "HTTP_X_TEST")]
        return [" ".join(words).encode(), b" ", environ["wsgi.input"].read()]

    return application


@app.server(port=8000)
class Server:
    pass


@app.cls(scaledown_window=60)
@modal.concurrent(max_inputs=2)
class Multiplier:
    factor: int = modal.parameter(default=2)

    @modal.exit()
    def clean_up(self):
        pass

    @modal.method(is_generator=True)
    def generate(self, n):
        return iter([self.factor] * n)

    @modal.enter()
    def prepare(self):
        assert not hasattr(self, "ready")
        self.ready = True

    @modal.enter()
    async def prepare_more(self):
        self.really_ready = self.ready
        self.loop = asyncio.get_running_loop()

    @modal.method()
    def times(self, x):
        assert self.really_ready
        return x * self.factor

    @modal.method()
    def times_remotely(self, x):
        return self.times.remote(self.times.local(x))

    @modal.method()
    async def times_async(self, x):
        assert self.really_ready
        assert self.loop is asyncio.get_running_loop()
        return x * self.factor

    @modal.method()
    @modal.batched(max_batch_size=3, wait_ms=300)
    async def add_all(self, x):
        return [v + self.factor for v in x]
