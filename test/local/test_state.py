"""What modal-local keeps, and what happens when there is no room for it; prints TAP."""

import hashlib
import http.client
import resource
import socket
import subprocess

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


def restart(s):
    s.process.kill()
    s.process.wait()
    s.process.stdout.close()
    s.start()


def test_compaction():
    with server() as s:
        waiting = spawn(s, [item(0, 3600, "later")], "sleep")
        calls = [spawn(s, [item(i, i, filler=BIG) for i in range(100)]) for _ in range(15)]
        ok(wait_for(lambda: size_of_journal(s) < 70_000_000), "the journal shrinks while it is in use",
           size_of_journal(s))
        after = spawn(s, [item(0, 7)])
        ok(wait_for(lambda: finished(s, after)), "and is written on")
        restart(s)
        same(values(s, calls[3], 100), [i * i for i in range(100)], "results from before are there after a crash")
        same(values(s, after, 1), [49], "and those from after it")
        info = s.call("FunctionCallGetInfo", pb.FunctionCallGetInfoRequest(function_call_id=waiting.function_call_id))
        same(info.info.pending_inputs.total, 1, "what had not ended runs again")


def journal_record(kind, *texts):
    fields = b"".join(struct.pack("<I", len(text)) + text for text in texts)
    data = bytes([kind]) + fields
    value, mask = len(data), 2 ** 64 - 1
    for at in range(0, len(data) // 8 * 8 + 8, 8):
        value = (value ^ int.from_bytes(data[at:at + 8], "little")) * 0x9E3779B97F4A7C15 & mask
        if at + 8 <= len(data):
            value ^= value >> 32
    return struct.pack("<II", len(fields), value >> 32) + data


def test_variants():
    with server() as s:
        square = s.function("square").function_id

        def bind(seconds):
            return s.call("FunctionBindParams", pb.FunctionBindParamsRequest(
                function_id=square, function_options=pb.FunctionOptions(timeout_secs=seconds))).bound_function_id

        variant = bind(100_000)
        call = s.start_call(variant, [item(0, 5)], invocation=ASYNC)
        s.outputs(call.function_call_id)
        s.process.kill()
        s.process.wait()
        s.process.stdout.close()
        with open(s.path("state/journal"), "ab") as f:
            for seconds in range(1, 12_001):
                f.write(journal_record(1, square.encode(), b"", pb.FunctionOptions(timeout_secs=seconds).SerializeToString()))
        size = size_of_journal(s)
        s.start()
        ok(s.remote(bind(100_001), 3) == 9, "more variants in the journal than there may be are no obstacle to a new one")
        same(values(s, call, 1), [25], "the calls of one are known")
        same((s.remote(variant, 3), bind(12_000)), (9, bind(12_000)), "and it, and others that were")
        ok(wait_for(lambda: size_of_journal(s) < size), "the oldest that nobody uses are forgotten",
           (size_of_journal(s), size))
        restart(s)
        same(s.remote(variant, 4), 16, "once more")


def test_bound():
    with server("--max-results", "1") as s:
        big = spawn(s, [item(i, b"y" * 8000) for i in range(200)], "echo")
        ok(wait_for(lambda: finished(s, big)), "results of more than --max-results come all")
        error = refused(lambda: spawn(s, [item(0, 1)]), 8, "but no more is taken")
        ok(error and "max-results" in error.message, "which is said", error)
        same(s.remote("square", 3), 9, "synchronous calls go on")


def test_keep():
    with server("--keep", "15") as s:
        early = spawn(s, [item(0, 6)])
        began = time.monotonic()
        time.sleep(8)
        for _ in range(8):
            spawn(s, [item(i, i, filler=BIG) for i in range(100)])
        ok(wait_for(lambda: size_of_journal(s) < 40_000_000), "the journal is made smaller")
        time.sleep(max(0, began + 22 - time.monotonic()))
        refused(lambda: s.call("FunctionCallFromId", pb.FunctionCallFromIdRequest(
            function_call_id=early.function_call_id)), 5, "which keeps no results longer than --keep says")


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
        restart(s)
        same(values(s, waiting, 1), ["late"], "and nothing that was taken is lost")


def packs(s):
    return sorted(s.path("state/blobs/" + name) for name in os.listdir(s.path("state/blobs")) if name.startswith("pack-"))


def upload(s, data, *headers):
    """(status, id of the blob)"""
    place = s.call("BlobCreate", pb.BlobCreateRequest(content_length=len(data)))
    status, _, _ = s.http("-X", "PUT", *headers, "--data-binary", "@-", place.upload_urls.items[0], data=data)
    return status, place.blob_ids[0]


def is_there(s, blob_id):
    try:
        s.call("BlobGet", pb.BlobGetRequest(blob_id=blob_id))
    except GrpcError as error:
        assert error.status == 5, error
        return False
    return True


def test_blobs():
    sizes = [0, 1, 9000, 65536, 65537, 300_000]
    with server() as s:
        results = spawn(s, [item(i, 9000 + i) for i in range(50)], "large")
        ok(wait_for(lambda: finished(s, results)), "results that are blobs")
        same(values(s, results, 50), [bytes(9000 + i) for i in range(50)], "can be read at once")
        contents = [os.urandom(n) for n in sizes]
        uploads = [upload(s, content) for content in contents]
        same([status for status, _ in uploads], ["200"] * len(sizes), "blobs of all sizes are taken")
        ids = [blob_id for _, blob_id in uploads]
        status, broken = upload(s, b"small", "-H", "Content-MD5: AAAAAAAAAAAAAAAAAAAAAA==")
        ok(status == "400" and not is_there(s, broken), "one with the wrong digest is not there", status)
        files = os.listdir(s.path("state/blobs"))
        same(len(files), 1 + sum(n > 65536 for n in sizes), "small ones have no files of their own")
        restart(s)
        same(values(s, results, 50), [bytes(9000 + i) for i in range(50)], "results are there after a crash")
        same([s.download(i) for i in ids], contents, "and what was uploaded")

        refused(lambda: s.call("BlobCreate", pb.BlobCreateRequest(content_length=2 ** 32 - 4)), 3,
                "what a process cannot take is refused")
        _, last = upload(s, b"l" * 5000)
        restart(s)
        same(s.download(last), b"l" * 5000, "each start begins a file")
        os.truncate(packs(s)[-1], os.path.getsize(packs(s)[-1]) - 1)
        restart(s)
        ok(not is_there(s, last), "what was cut off is not there")
        same(s.download(ids[2]), contents[2], "what stands in older files is")

        for path in packs(s)[:1]:
            os.utime(path, (0, 0))
        restart(s)
        ok(not is_there(s, ids[2]), "what is too old is gone")
        ok(is_there(s, ids[5]), "nothing else is")
        same(len(packs(s)), 1, "nor is its file")

        set_limit(s, resource.RLIMIT_FSIZE, 1000)
        _, waiting = upload(s, b"w" * 9000)
        same(upload(s, b"s" * 9000)[0], "507", "without room a small blob is refused")
        same(s.download(waiting), b"w" * 9000, "what was taken before that was known waits in memory")
        set_limit(s, resource.RLIMIT_FSIZE, resource.RLIM_INFINITY)
        ok(wait_for(lambda: upload(s, b"s" * 9000)[0] == "200"), "with room again blobs are taken")
        restart(s)
        same(s.download(waiting), b"w" * 9000, "and what waited is on the disk")


def parts(s):
    """Sizes of blobs that are being written."""
    sizes = []
    for name in os.listdir(s.path("state/blobs")):
        if name.endswith(".new"):
            try:
                sizes.append(os.path.getsize(s.path("state/blobs/" + name)))
            except FileNotFoundError:
                pass  # it is written
    return sizes


def test_large_results():
    sizes = [5_000_000, 20_000_000, 7]
    with server() as s:
        results = spawn(s, [item(i, size) for i, size in enumerate(sizes)], "large")
        ok(wait_for(lambda: finished(s, results)), "results that take long to be written")
        same(values(s, results, len(sizes)), [bytes(size) for size in sizes], "are what they were")
        call = s.call("FunctionCallFromId", pb.FunctionCallFromIdRequest(function_call_id=results.function_call_id))
        same(call.num_inputs, len(sizes), "once each")
        set_limit(s, resource.RLIMIT_FSIZE, 6_000_000)
        results = spawn(s, [item(i, size) for i, size in enumerate(sizes)], "large")
        ok(wait_for(lambda: finished(s, results)), "some without room")
        outputs = s.outputs(results.function_call_id, start_idx=0, end_idx=2, timeout=0).outputs
        same([(o.result.status, o.result.exception) for o in outputs if o.result.status != SUCCESS],
             [(FAILURE, "OSError('there is no room for the result in modal-local')")], "fail, and say why")
        same(len(s.value(outputs[0].result)), sizes[0], "the others do not")
        same(parts(s), [], "and leave nothing behind")
        for _ in range(5):
            call = spawn(s, [item(0, sizes[1])], "large")
            s.call("FunctionCallCancel", pb.FunctionCallCancelRequest(function_call_id=call.function_call_id))
        ok(wait_for(lambda: not parts(s)), "nor does what is cancelled")


def test_unreadable():
    with server() as s:
        _, blob = upload(s, payload(b"a" * 5000))
        restart(s)
        with open(packs(s)[0], "rb") as f:
            content = f.read()
        os.truncate(packs(s)[0], 10)
        echo = s.function("echo").function_id
        by_blob = pb.FunctionPutInputsItem(input=pb.FunctionInput(args_blob_id=blob, data_format=CBOR))
        result = s.outputs(s.start_call(echo, [by_blob]).function_call_id).outputs[0].result
        same((result.status, result.exception), (INTERNAL_FAILURE, "The argument of the input cannot be read"),
             "an argument that cannot be read is a failure of the platform")
        call = s.start_call(echo, [by_blob], invocation=ASYNC)
        with open(packs(s)[0], "wb") as f:
            f.write(content)
        same(s.value(s.outputs(call.function_call_id).outputs[0].result), b"a" * 5000, "after which it is read again")


def test_parts():
    part = 8_000_000
    data = os.urandom(part) * 10
    with server("--max-part", str(part)) as s:
        place = s.call("BlobCreate", pb.BlobCreateRequest(content_length=len(data)))
        parts = place.multiparts.items[0]
        for i, url in enumerate(parts.upload_urls):
            s.http("-X", "PUT", "--data-binary", "@-", url, data=data[i * part:(i + 1) * part])
        joining = s.path("state/blobs/%s.0.new" % place.blob_ids[0])
        command = ["curl", "-s", "--http1.1", "-d", "", parts.completion_url]
        with subprocess.Popen(command) as gone:
            wait_for(lambda: os.path.exists(joining))
            gone.kill()
        ok(wait_for(lambda: not os.path.exists(joining)) and not is_there(s, place.blob_ids[0]),
           "who goes meanwhile leaves the parts as they are")
        other = http.client.HTTPConnection("localhost", int(s.port), timeout=60)
        other.connect()
        with subprocess.Popen(command, stdout=subprocess.PIPE) as complete:
            ok(wait_for(lambda: os.path.exists(joining)), "parts are being joined")
            other.request("POST", parts.completion_url.partition(s.port)[2], "")
            reply = other.getresponse()
            same((reply.status, os.path.exists(joining)), (400, True), "by one at a time, while others are served")
            reply.read()
            other.close()
            digests = b"".join(hashlib.md5(data[i:i + part]).digest() for i in range(0, len(data), part))
            ok('"%s-10"' % hashlib.md5(digests).hexdigest() in complete.stdout.read().decode(), "the answer has their digest")
        ok(s.download(place.blob_ids[0]) == data, "joined, they are what was uploaded")
        files = os.listdir(s.path("state/blobs"))
        same([name for name in files if name.startswith(place.blob_ids[0])], [place.blob_ids[0]], "and the parts are gone")
        again = s.http("-d", "", parts.completion_url)[0]
        same(again, "400", "what is missing cannot be joined")


def test_descriptors():
    with server() as s:
        open_now = len(os.listdir("/proc/%d/fd" % s.process.pid))
        set_limit(s, resource.RLIMIT_NOFILE, open_now + 3)
        sockets = [socket.create_connection(("localhost", int(s.port))) for _ in range(10)]
        time.sleep(0.3)

        before = s.cpu()
        time.sleep(1)
        ok(s.cpu() - before < 20, "connections that cannot be accepted do not keep it busy", s.cpu() - before)
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


def test_host():
    with tempfile.TemporaryDirectory() as folder:
        for host in ("127.0.0.1", "127.0.0.2"):
            process = subprocess.Popen([PROGRAM, "--port", "0", "--dir", folder, "--host", host], stdout=subprocess.PIPE, text=True)
            port, ca = process.stdout.readline().split("\t")[1:3]
            said = ""
            while "CREATE USER MAPPING" not in said:
                said += process.stdout.readline()
            name = "localhost" if host == "127.0.0.1" else host
            url = "https://%s:%s" % (name, port)
            ok("(url '%s'" % url in said, "the server that is created is at %s" % name, said)
            command = ["curl", "-s", "--http1.1", "--cacert", ca, "-w", "%{http_code}", url + "/console/"]
            ok(subprocess.check_output(command).endswith(b"403"), "where it has a certificate for that")
            said = subprocess.check_output([*command, "-H", "Host: other"])
            ok(b"--host" in said and said.endswith(b"421"), "other names are refused by the console, with the reason", said)
            process.terminate()
            process.wait(20)
            process.stdout.close()


def test_lock():
    with server() as s:
        place = s.call("BlobCreate", pb.BlobCreateRequest(content_length=100_000))
        under_way = s.path("state/blobs/%s.0.new" % place.blob_ids[0])
        open(under_way, "w").close()
        done = subprocess.run([PROGRAM, "--port", "0", "--dir", s.path("state"), "--idle-limit", "1"],
                              capture_output=True, text=True, timeout=30)
        ok(done.returncode == 1 and "--dir" in done.stderr, "a folder is of one process", done)
        ok(os.path.exists(under_way), "and another one touches nothing in it")
        restart(s)
        same(s.remote("square", 3), 9, "until that has ended")


test_compaction()
test_variants()
test_bound()
test_keep()
test_full()
test_blobs()
test_large_results()
test_unreadable()
test_parts()
test_descriptors()
test_folder()
test_lock()
test_host()
done()
