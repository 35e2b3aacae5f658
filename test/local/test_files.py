"""Files that are served: what is told of them, changes, decorators, prints; prints TAP."""

import datetime
import http.client
import json
import pickle
import queue
import re
import socket
import threading

from client import *

STAND_IN = os.path.join(TOP, "test/host/stand_in")
JSON = {"Content-Type": "application/json"}


class Files:
    """A folder of files to serve, and what modal-local says."""

    def __init__(self, *arguments, environment=None, **files):
        self.folder = tempfile.TemporaryDirectory(prefix="modal-local-")
        for name, text in files.items():
            self.write(name, text)
        names = [self.path(name) for name in files if not name.startswith("_")]
        self.process = subprocess.Popen(
            [PROGRAM, "--port", "0", "--dir", self.path("state", ""), *arguments, *names],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True, env={**os.environ, **(environment or {})})
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()
        line = self.await_line("ready").split("\t")
        self.server = object.__new__(Server)
        self.server.port, self.server.ca = line[1], line[2]
        self.listing = self.await_line("CREATE USER MAPPING")
        self.listing = [line for line in self.seen if line.startswith("  ")]

    def path(self, name, suffix=".py"):
        return os.path.join(self.folder.name, name + suffix)

    def write(self, name, text):
        """As editors do: a new file that takes the old one's name."""
        with open(self.path(name, ".new"), "w") as file:
            file.write(text)
        os.rename(self.path(name, ".new"), self.path(name))

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def await_line(self, text):
        self.seen = []
        while True:
            line = self.lines.get(timeout=30)
            assert line is not None, self.seen
            self.seen.append(line)
            if text in line:
                return line

    def start_call(self, app, tag, *args, **kwargs):
        function = self.server.function(tag, app=app).function_id
        return self.server.start_call(function, [item(0, *args, **kwargs)])

    def result(self, call):
        return self.server.value(self.server.outputs(call.function_call_id).outputs[0].result)

    def remote(self, app, tag, *args, **kwargs):
        return self.result(self.start_call(app, tag, *args, **kwargs))

    def signal(self, signo):
        self.process.send_signal(signo)

    def end(self):
        self.process.terminate()
        status = self.process.wait(20)
        self.folder.cleanup()
        return status


WORDS = '''
import _helper
import time


def pick(text: str, n: int = 3) -> list:
    """The first words.

    Of a text."""
    return text.split()[:n]


def version():
    return "one " + _helper.name


def slow(path):
    open(path + ".begun", "w").close()
    for _ in range(2000):
        if __import__("os").path.exists(path):
            return version()
        time.sleep(0.01)


class Model:
    size: str = "small"
    depth: int

    def run(self, x):
        return x
'''


def test_changes():
    f = Files(words=WORDS, _helper="name = 'first'\n")
    same(f.listing[:4], ["  words/pick(text: str, n: int = 3) -> list", "      The first words.",
                         "  words/version()", "  words/slow(path)"], "functions are listed with signatures")
    ok("  words/Model{size: str = 'small', depth: int}.run(x)" in f.listing, "parameters of classes too", f.listing)
    model = f.server.function("Model.*", app="words").function_id
    for parameters, name in ((b"\x0a\x04\x0a\x02no", "unknown"), (b"", "missing")):
        error = refused(lambda: f.server.call("FunctionBindParams", pb.FunctionBindParamsRequest(
            function_id=model, serialized_params=parameters)), 3, "a class parameter that is %s" % name)
        ok(error and "class Model has: size: str, depth: int" in error.message, "which there are is told", error)
    act = console(f)
    fields = dict(function=model, method="run", args="[7]", kwargs="{}")
    ok("call" in act("call", parameters='{"depth": 1, "size": null}', **fields), "the console leaves a parameter with null to its default")
    ok("depth" in act("call", parameters='{"depth": null}', **fields).get("error", ""), "of which not all have one")
    f.signal(signal.SIGHUP)
    f.signal(signal.SIGUSR1)
    f.await_line("words/version")
    ok(True, "SIGUSR1 lists them again, and SIGHUP without --faults does nothing")

    go = f.path("go", "")
    old = f.start_call("words", "slow", go)
    ok(wait_for(lambda: os.path.exists(go + ".begun")), "a call is running")
    f.write("words", WORDS.replace('"one', '"two').replace("def pick", "def choose"))
    f.await_line("has changed")
    same(f.remote("words", "version"), "two first", "a changed file is served")
    same(f.remote("words", "choose", "a b"), ["a", "b"], "with its new functions")
    refused(lambda: f.server.function("pick", app="words"), 5, "and without those that went")
    open(go, "w").close()
    same(f.result(old), "one first", "a call that ran ends on the old code")

    f.write("words", WORDS + "def broken(:\n")
    f.await_line("SyntaxError")
    ok(any("stays as it was" in line for line in f.seen), "a syntax error is shown", f.seen)
    same(f.remote("words", "version"), "two first", "and the old code stays")
    f.write("words", WORDS)
    f.await_line("has changed")
    same(f.remote("words", "version"), "one first", "until it is mended")
    f.write("_helper", "name = 'second'\n")
    f.await_line("has changed")
    same(f.remote("words", "version"), "one second", "a module beside the file counts as well")
    same(f.end(), 0, "an orderly end")


def console(f):
    """Opens the console, and returns what asks it for an action."""
    def ask(method, path, body=None, **headers):
        connection = http.client.HTTPConnection("localhost", int(f.server.port), timeout=30)
        connection.request(method, "/console" + path, body, headers)
        reply = connection.getresponse()
        data = reply.read()
        connection.close()
        return reply, data

    login, _ = ask("GET", f.await_line("Console").partition("/console")[2])
    headers = {"Cookie": login.getheader("set-cookie").partition(";")[0], "Origin": "http://localhost:" + f.server.port}
    return lambda action, **fields: json.loads(ask("POST", "/do/" + action, json.dumps(fields), **headers)[1])


def test_tokens():
    f = Files(differing=DIFFERING, environment={"MODAL_TOKEN_ID": "ak-o'hara", "MODAL_TOKEN_SECRET": "''"})
    f.await_line("token_id")
    same(f.seen[-1], "  OPTIONS (token_id 'ak-o''hara', token_secret '''''');", "statements to paste, whatever the token")
    same(f.end(), 0, "an orderly end")
    f = Files(differing=DIFFERING, environment={"MODAL_TOKEN_ID": "", "MODAL_TOKEN_SECRET": "as-own"})
    f.await_line("token_id")
    same(f.seen[-1], "  OPTIONS (token_id 'ak-local', token_secret 'as-own');", "an empty variable is none, and takes none away")
    same(f.end(), 0, "an orderly end")


def test_links():
    """A file that is a symbolic link, into a folder that is one."""
    with tempfile.TemporaryDirectory() as folder:
        def write(name, text):
            os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
            with open(os.path.join(folder, name + ".new"), "w") as file:
                file.write("def version():\n    return %r\n" % text)
            os.rename(os.path.join(folder, name + ".new"), os.path.join(folder, name))

        def link(target, name, replace=True):
            place = os.path.join(folder, name)
            os.symlink(target, place + ".new" if replace else place)
            if replace:
                os.rename(place + ".new", place)

        write("first/linked.py", "one")
        write("second/linked.py", "two")
        link("first", "..data")
        link("..data/linked.py", "linked.py")
        f = Files("--workers", "1", os.path.join(folder, "linked.py"))
        same(f.remote("linked", "version"), "one", "a link is served")
        write("first/linked.py", "one, changed")
        f.await_line("has changed")
        same(f.remote("linked", "version"), "one, changed", "what it leads to has changed")
        link("second", "..data")
        f.await_line("has changed")
        same(f.remote("linked", "version"), "two", "it leads elsewhere")
        write("second/linked.py", "two, changed")
        f.await_line("has changed")
        same(f.remote("linked", "version"), "two, changed", "and that has changed")
        os.unlink(os.path.join(folder, "linked.py"))
        link("first/linked.py", "linked.py", replace=False)
        f.await_line("has changed")
        same(f.remote("linked", "version"), "one, changed", "it was made anew")
        same(f.end(), 0, "an orderly end")


DIFFERING = '''
import os


def end():
    os._exit(1)


def listed(missing=object(), names={"a", "b", "c", "d", "e"}):
    return sorted(names)
'''


def test_differing():
    """Signatures are not the same text in each process."""
    f = Files("--workers", "3", differing=DIFFERING)
    for _ in range(3):
        try:
            f.remote("differing", "end")
        except RuntimeError:
            pass
    same(f.remote("differing", "listed"), ["a", "b", "c", "d", "e"], "new processes may write a default differently")
    same(f.end(), 0, "an orderly end")


APP = '''
import modal
import time

app = modal.App("shop")


@app.function(timeout=1)
def sleepy(seconds):
    time.sleep(seconds)
    return "slept"


@app.function(retries=2, gpu="any")
def third_time(path):
    with open(path, "a") as file:
        file.write("x")
    with open(path) as file:
        if len(file.read()) < 3:
            raise ValueError("not yet")
    return "done"


@app.function()
def total(values):
    return sum(double.remote(v) for v in values)


@app.function()
def double_by_name(x):
    return modal.Function.from_name("shop", "double").remote(x)


@app.function()
def double(x):
    return 2 * x if x < 100 else double.remote(x - 100)


@app.function()
@modal.batched(max_batch_size=4, wait_ms=2000)
def batch(x):
    return [[v, len(x)] for v in x]


@app.function()
@modal.wsgi_app()
def answers():
    def application(environ, start_response):
        start_response(environ["PATH_INFO"][1:] + " OK", [])
        return [b"body"]

    return application


@app.function()
@modal.fastapi_endpoint(method="POST")
def hook(name: str):
    print("hook of", name)
    if name == "bad":
        raise ValueError("bad name")
    return {"hello": name}
'''


def web(f, method, path, body=None):
    connection = http.client.HTTPConnection("localhost", int(f.server.port), timeout=30)
    connection.request(method, path, body, JSON if body else {})
    reply = connection.getresponse()
    data = reply.read()
    connection.close()
    return reply.status, reply.getheader("content-type"), data


def test_app():
    with tempfile.NamedTemporaryFile() as calls:
        f = Files("--workers", "1", shop=APP, environment={
            "PYTHONPATH": STAND_IN, "STAND_IN_CALLS": calls.name, "STAND_IN_CLIENT": os.path.dirname(__file__)})
        ok("      without effect here: gpu" in f.listing, "what has no effect is listed", f.listing)
        s = f.server
        ok(any("at http://localhost:%s/web/shop/hook" % s.port in line for line in f.listing),
           "and where web endpoints are", f.listing)
        started = f.start_call("shop", "sleepy", 30)
        result = s.outputs(started.function_call_id).outputs[0].result
        same((result.status, "timeout of 1s" in result.exception), (TIMEOUT, True), "a timeout ends an input")
        same(f.remote("shop", "sleepy", 0), "slept", "and only that")
        same(f.remote("shop", "third_time", f.path("tries", "")), "done", "failures are retried")
        same(f.remote("shop", "double_by_name", 3), 6, "a function calls another, though there is one process")
        same(f.remote("shop", "total", [1, 2, 3]), 12, "many times")
        same(f.remote("shop", "double", 304), 8, "and itself, several deep")
        call = s.start_call(s.function("batch", app="shop").function_id, kind=MAP)
        s.call("FunctionPutInputs", put(call, [item(i, i) for i in range(4)]))
        got = []
        while len(got) < 4:
            got += [s.value(o.result) for o in s.outputs(call.function_call_id, clear_on_success=True).outputs]
        same(sorted(got), [[i, 4] for i in range(4)], "inputs of a batched function run as a list")
        hook = s.function("hook", app="shop")
        same(hook.handle_metadata.web_url, "http://localhost:%s/web/shop/hook" % s.port, "a web endpoint has its URL")
        refused(lambda: s.start_call(hook.function_id, [item(0)]), 3, "and cannot be called otherwise")
        same(web(f, "POST", "/web/shop/hook?name=Ann"), (200, "application/json", b'{"hello": "Ann"}'), "it answers")
        same(web(f, "POST", "/web/shop/hook", b'{"name": "Bob"}')[2], b'{"hello": "Bob"}', "a body, too")
        same(web(f, "POST", "/web/shop/hook?name=" + 6000 * "a")[2], b'{"hello": "%s"}' % (6000 * b"a"), "a long query")
        same(web(f, "POST", "/web/shop/hook?name=" + 9000 * "a")[0], 414, "not one that is too long")
        for method in ("PATCH", "POST"):
            same(s.http("-X", method, "-H", "Transfer-Encoding: chunked", "-d", "{}", "http://localhost:%s/web/shop/hook" % s.port)[0],
                 "411", "%s: a body needs its length" % method)
        same(web(f, "POST", "/web/shop/hook")[0], 422, "a bad request is its own answer")
        same(web(f, "POST", "/web/shop/hook?name=bad")[0], 500, "an exception is a 500")
        same(web(f, "GET", "/web/shop/nothing")[0], 404, "there is no other")
        with socket.create_connection(("localhost", int(s.port)), timeout=30) as kept:
            for status in (204, 304, 101, 200):
                close = "Connection: close\r\n" if status == 200 else ""
                kept.sendall(b"GET /web/shop/answers/%d HTTP/1.1\r\nHost: localhost\r\n%s\r\n" % (status, close.encode()))
            answers = b"".join(iter(lambda: kept.recv(4096), b""))
        same(re.findall(rb"(\w*)HTTP/1.1 (\d+)", answers), [(b"", b"204"), (b"", b"304"), (b"", b"500"), (b"", b"200")],
             "answers without a body have none")
        same(web(f, "GET", "/web/shop/double")[0], 404, "a function is none")
        same(f.end(), 0, "an orderly end")


TIMED = '''
import modal
import os
import time

app = modal.App("timed")


@app.function(timeout=1)
def start(path):
    os.system("echo $$ >%s; exec sleep 1000" % path)


@app.function()
def touch(path):
    open(path, "w").close()
    time.sleep(0.5)
    return "touched"


@app.function(timeout=2)
def nap(seconds):
    time.sleep(seconds)
    return seconds


@app.function(timeout=1)
@modal.batched(max_batch_size=3, wait_ms=1500)
def batch(x):
    if x[0] == "slow":
        time.sleep(30)
    if "crash" in x:
        os._exit(1)
    return x
'''


def is_running(pid):
    with contextlib.suppress(FileNotFoundError), open("/proc/%s/stat" % pid) as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"
    return False


def test_times():
    f = Files("--workers", "1", timed=TIMED, environment={"PYTHONPATH": STAND_IN})
    s = f.server

    def outcomes(tag, values):
        call = s.start_call(s.function(tag, app="timed").function_id, kind=MAP)
        s.call("FunctionPutInputs", put(call, [item(i, v) for i, v in enumerate(values)]))
        got = {}
        while len(got) < len(values):
            for output in s.outputs(call.function_call_id, clear_on_success=True).outputs:
                got[output.idx] = output.result.status
        return [got[i] for i in range(len(values))]

    same(outcomes("nap", [0.8] * 4), [SUCCESS] * 4, "the time that an input waits for its turn does not count")
    same(outcomes("nap", [30, 0]), [TIMEOUT, SUCCESS], "that of its run does")
    same(outcomes("start", [f.path("pid", "")]), [TIMEOUT], "that of a program that it runs as well")
    with open(f.path("pid", "")) as file:
        pid = file.read().strip()
    ok(wait_for(lambda: not is_running(pid)), "which ends with it", pid)
    call = f.start_call("timed", "touch", f.path("touched", ""))
    ok(wait_for(lambda: os.path.exists(f.path("touched", ""))), "an input runs")
    os.killpg(f.process.pid, signal.SIGHUP)
    same(f.result(call), "touched", "and goes on when the terminal is closed")
    same(outcomes("batch", ["a"]), [SUCCESS], "nor does the time that a batch waits for more")
    same(outcomes("batch", ["slow"] * 3 + ["a"]), [TIMEOUT] * 3 + [SUCCESS], "that of a batch is its inputs'")
    same(outcomes("batch", ["a", "b", "crash"]), [SUCCESS, SUCCESS, FAILURE],
         "of a batch whose process ends, the input fails that ends it alone, too")
    same(f.end(), 0, "an orderly end")


NAMED = '''
import modal

app = modal.App()


@app.function()
@modal.fastapi_endpoint()
def grüße(name: str):
    return name


@app.function()
def plain():
    return 1
'''


def test_names():
    f = Files("--workers", "1", environment={"PYTHONPATH": STAND_IN}, **{"my äpp": NAMED})
    url = f.server.function("grüße", app="my äpp").handle_metadata.web_url
    path = url.partition(f.server.port)[2]
    same(path, "/web/my%20%C3%A4pp/gr%C3%BC%C3%9Fe", "the URL of a web endpoint is one, whatever its name")
    same(web(f, "GET", path + "?name=Ann")[2], b'"Ann"', "and leads to it")
    for other in ("/web/my%20%C3%A4pp/%", "/web/my%20%C3%A4pp/gr%C3%BC%C3%9Fe%00", "/web/%zz/a", "/web/"):
        same(web(f, "GET", other)[0], 404, "%s does not" % other)
    same(f.remote("my äpp", "plain"), 1, "a file's name is its app's")
    same(f.end(), 0, "an orderly end")


PRINTS = '''
import asyncio
import os
import sys
import time


def talk(n):
    for i in range(n):
        print("line", i)
    print("trouble", file=sys.stderr)
    print("no end", end="")
    return n


async def leave_behind():
    async def print_later():
        await asyncio.sleep(0.1)
        print("late")

    asyncio.ensure_future(print_later())
    return os.getpid()


async def nap(seconds):
    await asyncio.sleep(seconds)
    return os.getpid()


def read():
    return sys.stdin.read()


def fork():
    pid = os.fork()
    if pid == 0:
        print("from a child")
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(pid, 0)
    return "forked"


def end_before_child(path):
    if os.fork() == 0:
        while not os.path.exists(path):
            time.sleep(0.01)
    os._exit(5)


def flood(lines, size):
    for _ in range(lines):
        print("x" * size)
'''


def logs(s, rpc="AppFetchLogs", **fields):
    reply = s.call(rpc, getattr(pb, rpc + "Request")(**fields))
    return [(line.file_descriptor, line.data, line.input_id) for batch in reply.batches for line in batch.items]


def test_prints():
    f = Files("--workers", "1", talk=PRINTS)
    s = f.server
    reply = s.outputs(f.start_call("talk", "read").function_call_id, timeout=10)
    ok(reply.outputs and s.value(reply.outputs[0].result) == "", "an input has nothing to read", reply)
    call = f.start_call("talk", "talk", 2)
    f.result(call)
    function = s.function("talk", app="talk")
    input_id = call.pipelined_inputs[0].input_id
    wanted = [(1, "line 0\n", input_id), (1, "line 1\n", input_id), (2, "trouble\n", input_id), (1, "no end\n", input_id)]
    same(logs(s, function_call_id=call.function_call_id), wanted, "what an input prints is kept")
    other = f.start_call("talk", "talk", 1)
    f.result(other)
    same(len(logs(s, function_call_id=call.function_call_id)), 4, "by call")
    same(len(logs(s, function_id=function.function_id)), 7, "by function")
    same(len(logs(s, app_id=function.handle_metadata.app_id)), 7, "by app")
    same(len(logs(s, app_id="ap-x")), 0, "not by another")
    same(len(logs(s, function_call_id=call.function_call_id, source=2)), 1, "by stream")
    same(len(logs(s, function_id=function.function_id, search_text="line")), 3, "by what is in it")
    same(logs(s, function_call_id=call.function_call_id, limit=1), wanted[-1:], "the newest, when there are too many")
    counted = s.call("AppCountLogs", pb.AppCountLogsRequest(
        function_id=function.function_id, bucket_secs=60, since=pb.Timestamp(seconds=int(time.time()) - 120),
        until=pb.Timestamp(seconds=int(time.time()) + 60)))
    same((sum(b.stdout_logs for b in counted.buckets), sum(b.stderr_logs for b in counted.buckets)), (5, 2), "counted")
    refused(lambda: s.call("AppCountLogs", pb.AppCountLogsRequest(until=pb.Timestamp(seconds=4 * 10**9), bucket_secs=1)),
            3, "within reason")

    def stream(**fields):
        reply = s.send("AppGetLogs", pb.AppGetLogsRequest(timeout=1, **fields))
        _, headers, body = reply.raw()
        lines, last = [], ""
        while body:
            size = struct.unpack(">I", body[1:5])[0]
            batch = pb.TaskLogsBatch()
            batch.ParseFromString(body[5:5 + size])
            lines += [line.data for line in batch.items]
            last = batch.entry_id or last
            body = body[5 + size:]
        return lines, last, headers["grpc-status"]

    lines, last, status = stream(function_call_id=call.function_call_id)
    same((lines, status), ([w[1] for w in wanted], "0"), "as a stream, which ends")
    same(stream(function_call_id=call.function_call_id, last_entry_id=last)[0], [], "after what has been seen")
    reply = s.send("AppGetLogs", pb.AppGetLogsRequest(timeout=3, function_id=function.function_id, last_entry_id=last,
                                                      search_text="trouble"))
    f.result(f.start_call("talk", "talk", 0))
    ok(reply.raw()[2].count(b"trouble\n") == 2, "new lines come while it is open")
    silent = f.start_call("talk", "nap", 0)
    reply = s.send("AppGetLogs", pb.AppGetLogsRequest(timeout=40, function_call_id=silent.function_call_id))
    s.outputs(silent.function_call_id, clear_on_success=True)
    connection = http.client.HTTPConnection("localhost", int(s.port))

    def has_ended():
        for _ in range(200):  # of a thousand calls something is known after their end
            connection.request("GET", "/web/builtin/web")
            connection.getresponse().read()
        f.remote("talk", "flood", 1, 1)
        return reply.process.poll() is not None

    ok(wait_for(has_ended, 30), "the stream of a call that is known no more ends")
    reply.process.terminate()
    connection.close()
    pid = f.remote("talk", "leave_behind")
    same(f.remote("talk", "nap", 0.3), pid, "what a task prints after its input's end harms nobody")
    f.await_line("late")
    same(f.remote("talk", "fork"), "forked", "nor does a forked process that prints")
    f.await_line("from a child")
    go = f.path("go", "")
    reply = s.outputs(f.start_call("talk", "end_before_child", go).function_call_id, timeout=50)
    ok(reply.outputs and "status 5" in reply.outputs[0].result.exception, "a process has ended, though what it forked has not", reply)
    open(go, "w").close()
    flood = f.start_call("talk", "flood", 600, 10000)
    f.result(flood)
    kept = logs(s, function_call_id=flood.function_call_id)
    ok(300 < len(kept) < 450, "of one call some megabytes are kept", len(kept))
    same(len(logs(s, function_call_id=call.function_call_id)), 4, "and nothing of others is lost")
    by_id = s.call("FunctionGetById", pb.FunctionGetByIdRequest(function_id=function.function_id))
    same((by_id.function.function_name, by_id.handle_metadata.base_function_id), ("talk", function.function_id),
         "FunctionGetById")
    refused(lambda: s.call("FunctionGetById", pb.FunctionGetByIdRequest(function_id="fu-x")), 5, "of none")
    stats = s.call("FunctionGetTimeRangeStats", pb.FunctionGetTimeRangeStatsRequest(function_id=function.function_id))
    same((stats.input_success_count, stats.input_failure_count), (3, 0), "FunctionGetTimeRangeStats")
    ok(stats.input_percentile_stats["execution_time"].percentiles[0].value < 5, "with times")
    metrics = s.call("FunctionGetMetrics", pb.FunctionGetMetricsRequest(
        function_id=function.function_id, bucket_secs=60, since=pb.Timestamp(seconds=int(time.time()) - 300),
        until=pb.Timestamp(seconds=int(time.time()) + 60)))
    same([(m.name, sum(p.value for p in m.points)) for m in metrics.series][0], ("successful_calls_count", 3.0),
         "FunctionGetMetrics")
    f.end()


def test_start():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "long.py")
        with open(path, "w") as file:
            file.write("import time\nopen(__file__ + '.begun', 'w').close()\ntime.sleep(60)\n")
        process = subprocess.Popen([PROGRAM, "--port", "0", "--dir", folder, path], stdout=subprocess.PIPE)
        ok(wait_for(lambda: os.path.exists(path + ".begun")), "a file is being imported")
        process.terminate()
        same(process.wait(10), 0, "and SIGTERM ends that, too")
        process.stdout.close()


LOGS = '''
log = open(__file__ + ".log", "a")


def write():
    log.write("called")


'''


def test_interrupt():
    """A script's other programs are interrupted, such as its psql."""
    with tempfile.TemporaryDirectory() as folder:
        program = "trap '' INT; exec %s --port 0 --dir %s" % (PROGRAM, folder)
        process = subprocess.Popen(["sh", "-c", program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

        def says(text):
            return any(text in line for line in iter(process.stdout.readline, b""))

        def answers():
            process.send_signal(signal.SIGUSR1)
            return says(b"console:")

        ok(says(b"Console ("), "a program in the background")
        process.send_signal(signal.SIGINT)
        ok(answers() and answers(), "is not ended by SIGINT")
        process.terminate()
        same(process.wait(10), 0, "but by SIGTERM")
        process.stdout.close()


MAKES = '''
import time

with open(__file__.replace("makes", "_made"), "w") as file:
    file.write("value = 1")
time.sleep(1)
import _made


def value():
    return _made.value
'''


def test_loading():
    """Changes while a file is imported, by others and by itself."""
    deep = "/".join(["d" * 60] * 5)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, deep, "long.py")
        os.makedirs(os.path.dirname(path))

        def write(text):
            with open(path, "w") as file:
                file.write(text)

        write("import time\nopen(__file__ + '.begun', 'w').close()\ntime.sleep(60)\n")
        with open(os.path.join(os.path.dirname(path), "types.py"), "w") as file:
            file.write("raise ImportError\n")
        process = subprocess.Popen([PROGRAM, "--port", "0", "--dir", folder, path], cwd=os.path.dirname(path), stdout=subprocess.PIPE)
        ok(wait_for(lambda: os.path.exists(path + ".begun") or process.poll()), "a file is being imported, whatever is beside it")
        write("def changed():\n    pass\n")
        ok(b"  long/changed()\n" in [process.stdout.readline() for _ in range(4)], "and another time when it changes, also at the start")
        process.terminate()
        same(process.wait(10), 0, "an orderly end")
        process.stdout.close()

    for safe in "", "1":
        with tempfile.TemporaryDirectory() as elsewhere:
            with open(os.path.join(elsewhere, "there.py"), "w") as file:
                file.write("value = 7\n")
            f = Files(app="import _near, there\n\n\ndef get():\n    return there.value\n", _near="",
                      environment={"PYTHONPATH": elsewhere, "PYTHONSAFEPATH": safe})
            same(f.remote("app", "get"), 7, "modules are found beside a file and in PYTHONPATH, PYTHONSAFEPATH=" + safe)
            f.end()

    f = Files(makes=MAKES)
    same(f.remote("makes", "value"), 1, "a file that writes a module whenever it is imported is served")
    f.write("makes", MAKES.replace("= 1", "= 2"))
    ok(wait_for(lambda: f.remote("makes", "value") == 2), "also when it changes")
    time.sleep(5)  # for more of these
    changes = 0
    while not f.lines.empty():
        changes += "has changed" in f.lines.get()
    ok(changes < 4, "not over and over", changes)
    same(f.end(), 0, "an orderly end")

    f = Files(logs=LOGS)
    f.write("logs", LOGS + "broken()\n")
    f.await_line("NameError")
    time.sleep(1)  # for more of these
    f.write("logs", LOGS)
    f.await_line("has changed")
    ok(not any("NameError" in line for line in f.seen), "what it writes itself beside it is no change", f.seen)
    same(f.end(), 0, "an orderly end")


def children(f):
    with open("/proc/%d/task/%d/children" % (f.process.pid, f.process.pid)) as file:
        return len(file.read().split())


def begin_secrets():
    """What leaves after thirty seconds is looked for at the end, in test_secrets."""
    f = Files("--secret", "both:FIRST=1", "--secret", "both:SECOND=2=2",
              env='import os\n\n\ndef get(*names):\n    return [os.environ.get(n) for n in names]\n')
    s = f.server

    def get(*names, **fields):
        secret = s.call("SecretGetOrCreate", pb.SecretGetOrCreateRequest(**fields)).secret_id
        bound = s.call("FunctionBindParams", pb.FunctionBindParamsRequest(
            function_id=s.function("get", app="env").function_id,
            function_options=pb.FunctionOptions(secret_ids=[secret], replace_secret_ids=True))).bound_function_id
        return bound, s.remote(bound, *names)

    same(get("FIRST", "SECOND", deployment_name="both")[1], ["1", "2=2"], "a secret of two variables")
    ok(wait_for(lambda: children(f) == 4), "has processes of its own", children(f))
    fields = dict(object_creation_type=pb.OBJECT_CREATION_TYPE_EPHEMERAL, env_dict={"FIRST": "a", "THIRD": "c"})
    first = get("FIRST", "THIRD", **fields)
    same(first[1], ["a", "c"], "variables without a name")
    same(get("FIRST", "THIRD", **fields), first, "are the same secret when they are the same")
    fields["env_dict"]["THIRD"] = "d"
    ok(get("FIRST", "THIRD", **fields)[0] != first[0], "and another one when not")
    return f, get


def test_secrets(f, get):
    ok(wait_for(lambda: children(f) == 2, 40), "processes for secrets leave when nobody needs them", children(f))
    same(get("FIRST", "SECOND", deployment_name="both")[1], ["1", "2=2"], "and come again")
    f.end()
    done = subprocess.run([PROGRAM, "--secret", "a:B=1", "--secret", "a:B=2"], capture_output=True, text=True)
    ok(done.returncode == 1 and "each once" in done.stderr, "not twice the same", done)


secrets = begin_secrets()
test_changes()
test_links()
test_tokens()
test_differing()
test_app()
test_times()
test_names()
test_prints()
test_start()
test_interrupt()
test_loading()
test_secrets(*secrets)
done()
