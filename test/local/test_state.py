"""What modal-local keeps, and what happens when there is no room for it; prints TAP."""

import resource
import socket

from client import *

BIG = b"x" * 100_000  # an argument that nobody needs once it has been used


def size_of_journal(s):
    return os.path.getsize(s.path("state/journal"))


def spawn(s, items, function="square"):
    call = s.start_call(s.function(function).function_id, kind=MAP, invocation=ASYNC)
    s.call("FunctionPutInputs", put(call, items))
    return call


def values(s, call, n):
    return [s.value(o.result) for o in s.outputs(call.function_call_id, start_idx=0, end_idx=n - 1, timeout=0).outputs]


def finished(s, call):
    info = s.call("FunctionCallGetInfo", pb.FunctionCallGetInfoRequest(function_call_id=call.function_call_id)).info
    return info.pending_inputs.total == 0


def test_compaction():
    with server() as s:
        waiting = spawn(s, [item(0, 3600, "later")], "sleep")
        calls = [spawn(s, [item(i, i, filler=BIG) for i in range(100)]) for _ in range(15)]
        ok(wait_for(lambda: size_of_journal(s) < 70_000_000), "the journal shrinks while it is in use",
           size_of_journal(s))
        after = spawn(s, [item(0, 7)])
        ok(wait_for(lambda: finished(s, after)), "and is written on")
        s.process.kill()
        s.process.wait()
        s.process.stdout.close()
        s.start()
        same(values(s, calls[3], 100), [i * i for i in range(100)], "results from before are there after a crash")
        same(values(s, after, 1), [49], "and those from after it")
        info = s.call("FunctionCallGetInfo", pb.FunctionCallGetInfoRequest(function_call_id=waiting.function_call_id))
        same(info.info.pending_inputs.total, 1, "what had not ended runs again")


def test_bound():
    with server("--max-results", "1") as s:
        big = spawn(s, [item(i, b"y" * 8000) for i in range(200)], "echo")
        ok(wait_for(lambda: finished(s, big)), "results of more than --max-results come all")
        error = refused(lambda: spawn(s, [item(0, 1)]), 8, "but no more is taken")
        ok(error and "max-results" in error.message, "which is said", error)
        same(s.remote("square", 3), 9, "synchronous calls go on")


def set_limit(s, what, soft):
    resource.prlimit(s.process.pid, what, (soft, resource.prlimit(s.process.pid, what)[1]))


def test_full():
    with server() as s:
        kept = spawn(s, [item(0, 5)])
        waiting = spawn(s, [item(0, 1.5, "late")], "sleep")
        ok(wait_for(lambda: finished(s, kept)), "a result is kept")
        set_limit(s, resource.RLIMIT_FSIZE, size_of_journal(s))  # not a byte more
        try:
            spawn(s, [item(i, 1, filler=BIG) for i in range(50)])
        except GrpcError:
            pass
        error = refused(lambda: spawn(s, [item(0, 1)]), 8, "without room new inputs are refused")
        ok(error and "full" in error.message, "with the reason", error)
        same(s.remote("square", 3), 9, "synchronous calls go on")
        same(s.output("large", 3_000_000).result.exception, "OSError('there is no room for the result in modal-local')",
             "a result that needs the disk fails")
        same(values(s, kept, 1), [25], "results can be read")
        ok(wait_for(lambda: finished(s, waiting)), "what was taken ends")
        set_limit(s, resource.RLIMIT_FSIZE, resource.RLIM_INFINITY)

        def accepted():
            try:
                return spawn(s, [item(0, 6)])
            except GrpcError:
                return None

        ok(wait_for(accepted), "with room again, inputs are taken")
        s.process.kill()
        s.process.wait()
        s.process.stdout.close()
        s.start()
        same(values(s, waiting, 1), ["late"], "and nothing that was taken is lost")


def test_descriptors():
    with server() as s:
        open_now = len(os.listdir("/proc/%d/fd" % s.process.pid))
        set_limit(s, resource.RLIMIT_NOFILE, open_now + 3)
        sockets = [socket.create_connection(("localhost", int(s.port))) for _ in range(10)]
        time.sleep(0.3)

        def cpu():
            with open("/proc/%d/stat" % s.process.pid) as f:
                fields = f.read().rpartition(")")[2].split()
            return int(fields[11]) + int(fields[12])

        before = cpu()
        time.sleep(1)
        ok(cpu() - before < 20, "connections that cannot be accepted do not keep it busy", cpu() - before)
        for one in sockets:
            one.close()
        ok(wait_for(lambda: s.remote("square", 2) == 4), "and it goes on when there are descriptors")


def test_folder():
    if os.geteuid() != 0:
        ok(True, "no HOME # SKIP needs root")
        return
    environment = {k: v for k, v in os.environ.items() if k not in ("HOME", "XDG_STATE_HOME")}
    done = subprocess.run([PROGRAM, "--port", "0"], env=environment, user=4_000_000, capture_output=True, text=True,
                          timeout=30)
    ok(done.returncode == 1 and "--dir" in done.stderr, "without a home it wants to be told a folder", done)


test_compaction()
test_bound()
test_full()
test_descriptors()
test_folder()
done()
