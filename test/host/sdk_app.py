"""A file for Modal's SDK; test_host.py serves it with the stand-in."""

import modal

app = modal.App("named-app")


@app.function()
def plain(x):
    return f"plain {x}"


@app.function()
def generate(n):
    yield from range(n)


def not_registered():
    raise AssertionError("is not served")


@app.cls()
class Multiplier:
    factor: int = modal.parameter(default=2)

    @modal.enter()
    def prepare(self):
        self.ready = True

    @modal.enter()
    async def prepare_more(self):
        self.really_ready = self.ready

    @modal.method()
    def times(self, x):
        assert self.really_ready
        return x * self.factor

    @modal.method()
    async def times_async(self, x):
        assert self.really_ready
        return x * self.factor
