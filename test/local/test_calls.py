"""Single calls, maps and asynchronous calls on the control plane; prints TAP."""

import base64
import json
import pickle
import re
import socket

from client import *

with server() as s:
    # --- who asks ---
    token = s.call("AuthTokenGet").token
    header, claims, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(claims + "=="))
    ok(claims["exp"] > time.time() + 3000 and signature, "AuthTokenGet gives a signed JWT")
    same(s.call("ClientHello", pb.Empty()).image_builder_version, "2025.06", "ClientHello")
    hello = s.call("ClientHello", pb.Empty(), headers={"x-modal-client-version": "deprecated"})
    same(len(hello.server_warnings), 1, "a deprecated client is warned")
    get = pb.FunctionGetRequest(app_name="builtin", object_tag="echo")
    for headers, status, name in (
            ({"x-modal-token-secret": "as-wrong"}, 16, "wrong secret"),
            ({"x-modal-token-id": None}, 16, "no token"),
            ({"x-modal-client-type": None}, 9, "no client type"),
            ({"x-modal-client-version": None}, 9, "no version"),
            ({"x-modal-client-version": "0.9"}, 9, "old version"),
            ({"x-modal-client-version": "unauthenticated"}, 16, "version 'unauthenticated'"),
            ({"x-modal-client-type": "5"}, 9, "a client type that is not served"),
            ({"x-modal-client-type": "3", "x-modal-python-version": "3.12.1", "x-modal-token-id": None,
              "x-modal-token-secret": None}, 9, "a container, of which there are none"),
            ({"x-modal-client-type": "1"}, 9, "a Python client with no Python version"),
            ({"x-modal-auth-token": token[:-3] + "AAA"}, 16, "an auth token that is not ours")):
        refused(lambda: s.call("FunctionGet", get, headers=headers), status, name)
    began = time.monotonic()
    refused(lambda: s.call("FunctionGet", get, headers={"x-modal-token-secret": "as-wrong", "x-modal-local-fault": "delay=5"}),
            16, "who is not known cannot ask for faults")
    ok(time.monotonic() - began < 4, "but is refused at once")

    def peak():
        with open("/proc/%d/status" % s.process.pid) as f:
            return int(re.search(r"VmHWM:\s*(\d+)", f.read()).group(1)) * 1024

    before = peak()
    refused(lambda: s.call("FunctionGet", bytes(60 * 2 ** 20), headers={"x-modal-token-secret": "as-wrong"}), 16,
            "nor send a large request")
    ok(peak() - before < 20 * 2 ** 20, "of which nothing is kept", peak() - before)
    python = {"x-modal-client-type": "1", "x-modal-client-version": "1.5.4",
              "x-modal-python-version": "3.12.1"}
    ok(s.call("FunctionGet", get, headers=python).function_id, "a Python client")
    ok(s.call("FunctionGet", get, tls=False).function_id, "HTTP/2 without TLS on the same port")
    refused(lambda: s.call("Nothing", pb.Empty()), 12, "an unknown method is UNIMPLEMENTED")
    refused(lambda: s.call("x", pb.Empty(), path="/x.Y/Z"), 12, "an unknown service, too")
    same(s.send("FunctionGet", get, headers={"te": None}).raw()[1][":status"], "400",
         "te: trailers is demanded")

    # --- lookup ---
    echo = s.function("echo")
    same(list(echo.handle_metadata.supported_input_formats), [PICKLE, CBOR], "formats")
    same(echo.handle_metadata.max_async_object_size_bytes, 8192, "limit of asynchronous inputs")
    for request in (dict(app_name="builtin", object_tag="nothing"),
                    dict(app_name="nothing", object_tag="echo"),
                    dict(app_name="builtin", object_tag="echo", environment_name="dev"),
                    dict(app_name="builtin", object_tag="echo", app_version=2)):
        refused(lambda: s.call("FunctionGet", pb.FunctionGetRequest(**request)), 5,
                "not found: %r" % request)
    ok(s.call("FunctionGet", pb.FunctionGetRequest(
        app_name="builtin", object_tag="echo", environment_name="main", app_version=1)).function_id,
       "the default environment by name, the live version by number")
    same(s.call("EnvironmentGetOrCreate").metadata.name, "main", "default environment")
    refused(lambda: s.call("EnvironmentGetOrCreate",
                           pb.EnvironmentGetOrCreateRequest(deployment_name="dev")), 3,
            "unknown environment")
    ok(s.function("web").handle_metadata.web_url, "a web function has its URL")
    refused(lambda: s.start_call(s.function("web").function_id, [item(0)]), 3,
            "and cannot be called otherwise")

    # --- single calls ---
    same(s.remote("echo", {"a": [1, None, b"x"]}), {"a": [1, None, b"x"]}, "echo")
    same(s.remote("echo"), None, "echo of nothing")
    same(s.remote("echo", 1, 2), [1, 2], "echo of two")
    same(s.remote("square", -7), 49, "square")
    same(s.remote("square", x=1.5), 2.25, "square by keyword")
    same(s.remote("square", 2 ** 40), 2 ** 80, "square of a large integer")
    same(s.remote("sleep", 0.05, "slept"), "slept", "sleep")
    same(s.remote("kwargs", a=1, b=[2]), {"a": 1, "b": [2]}, "kwargs")
    same(s.remote("types", 1, None, True, 1.5, "s", b"b", [1], {}, k=2 ** 70),
         {"args": [["int", 1], ["NoneType", None], ["bool", True], ["float", 1.5], ["str", "s"],
                   ["bytes", b"b"], ["list", [1]], ["dict", {}]], "kwargs": {"k": ["int", 2 ** 70]}},
         "types")
    same(s.output("raw", b"\xff").result.data, b"\xff", "raw")
    failed = s.output("fail", "it's bad")
    same((failed.result.status, failed.result.exception, failed.data_format),
         (FAILURE, 'ValueError("it\'s bad")', CBOR), "fail")
    ok(failed.result.traceback.startswith("Traceback (most recent call last):\n")
       and not failed.result.data, "with a traceback, without data")
    same(s.output("timeout").result.status, TIMEOUT, "timeout")
    same(s.output("square", "x").result.exception[:10], "TypeError(", "an argument of a wrong type")
    same(s.output("square").result.exception,
         'TypeError("square() missing 1 required positional argument: \'x\'")', "a missing argument")
    bad = s.start_call(echo.function_id, [pb.FunctionPutInputsItem(
        input=pb.FunctionInput(args=b"\x82\x81", data_format=CBOR))])
    same(s.outputs(bad.function_call_id).outputs[0].result.exception[:21],
         "DeserializationError(", "arguments that are cut off")
    old = s.function("old_echo")
    same(list(old.handle_metadata.supported_input_formats), [], "an old function names no formats")
    refused(lambda: s.start_call(old.function_id, [item(0, 1)]), 3, "and takes no CBOR")
    call = s.start_call(old.function_id, [pb.FunctionPutInputsItem(input=pb.FunctionInput(
        args=pickle.dumps(((["a", 2.5, None],), {}), 4), data_format=PICKLE))])
    output = s.outputs(call.function_call_id).outputs[0]
    same((output.data_format, pickle.loads(output.result.data)), (PICKLE, ["a", 2.5, None]),
         "but pickles")
    refused(lambda: s.start_call("fu-nothing", [item(0)]), 5, "an unknown function id")

    # --- replies to the client's polls ---
    call = s.start_call(echo.function_id, [item(0, 5)])
    claims = json.loads(base64.urlsafe_b64decode(
        call.pipelined_inputs[0].input_jwt.split(".")[1] + "=="))
    same((claims["idx"], claims["retry_count"], claims["function_call_id"], claims["input_id"]),
         (0, 0, call.function_call_id, call.pipelined_inputs[0].input_id), "claims of an input's jwt")
    poll = dict(max_values=1, clear_on_success=True, timeout=0)
    first = s.outputs(call.function_call_id, key="poll", **poll)
    same(len(first.outputs), 1, "an output is given")
    same(len(s.outputs(call.function_call_id, **poll).outputs), 0, "and then dropped")
    same(s.outputs(call.function_call_id, key="poll", **poll).outputs, first.outputs,
         "but given again to the same request")
    began = time.monotonic()
    sleeping = s.start_call(s.function("sleep").function_id, [item(0, 30)])
    reply = s.outputs(sleeping.function_call_id, timeout=0.3)
    same((len(reply.outputs), reply.num_unfinished_inputs), (0, 1), "a poll with nothing to give")
    ok(time.monotonic() - began >= 0.3, "has waited as long as it was to")
    waiting = s.send("FunctionGetOutputs", pb.FunctionGetOutputsRequest(
        function_call_id=sleeping.function_call_id, timeout=30, last_entry_id="0-0"))
    same(s.call("FunctionGetCurrentStats", pb.FunctionGetCurrentStatsRequest(
        function_id=s.function("sleep").function_id)).num_running_inputs, 1, "it is running")
    s.send("FunctionCallCancel", pb.FunctionCallCancelRequest(
        function_call_id=sleeping.function_call_id)).get()
    same(waiting.get()[0].outputs[0].result.status, TERMINATED, "cancelling ends it, and a poll")
    refused(lambda: s.outputs("fc-nothing"), 5, "an unknown call")
    refused(lambda: s.outputs(call.function_call_id, last_entry_id="x"), 3, "a bad cursor")

    # --- retries by the client ---
    flaky = s.function("flaky")
    call = s.start_call(flaky.function_id, [item(0, 2, "done")])
    same((call.retry_policy.retries, call.sync_client_retries_enabled), (3, True), "retry policy")
    jwt = call.pipelined_inputs[0].input_jwt
    for attempt in (1, 2):
        output = s.outputs(call.function_call_id, **poll).outputs[0]
        same((output.result.status, output.retry_count), (FAILURE, attempt - 1),
             "attempt %d fails" % attempt)
        jwt = s.call("FunctionRetryInputs", pb.FunctionRetryInputsRequest(
            function_call_jwt=call.function_call_jwt,
            inputs=[pb.FunctionRetryInputsItem(input_jwt=jwt, input=item(0, 2, "done").input,
                                               retry_count=attempt)])).input_jwts[0]
    output = s.outputs(call.function_call_id, **poll).outputs[0]
    same((s.value(output.result), output.retry_count), ("done", 2), "the third succeeds")
    refused(lambda: s.call("FunctionRetryInputs", pb.FunctionRetryInputsRequest(
        function_call_jwt=call.function_call_jwt,
        inputs=[pb.FunctionRetryInputsItem(input_jwt="x")])), 3, "a jwt that is not ours")
    # Modal's Python client counts nothing in single calls, its JavaScript client from 0.
    for counts in (None, None), (0, 1):
        call = s.start_call(s.function("flaky").function_id, [item(0, 2, "done")])
        jwt, last, seen = call.pipelined_inputs[0].input_jwt, "0-0", []
        for count in *counts, None:
            reply = s.outputs(call.function_call_id, max_values=1, last_entry_id=last)
            last = reply.last_entry_id
            seen += [o.result.status for o in reply.outputs]
            if len(seen) < 3:
                s.call("FunctionRetryInputs", pb.FunctionRetryInputsRequest(
                    function_call_jwt=call.function_call_jwt,
                    inputs=[pb.FunctionRetryInputsItem(input_jwt=jwt, retry_count=count,
                                                       input=item(0, 2, "done").input)]))
        same(seen, [FAILURE, FAILURE, SUCCESS], "retries with counts %r are counted here" % (counts,))
    same(s.output("crash", 1).result.status, INTERNAL_FAILURE, "crash fails internally at first")

    # --- maps ---
    n = 200
    call = s.start_call(echo.function_id, kind=MAP)
    same(call.max_inputs_outstanding, 1000, "window")
    jwts = {}
    for first in range(0, n, 49):
        request = put(call, [item(i, {"i": i}) for i in range(first, min(first + 49, n))])
        replies = [s.call("FunctionPutInputs", request, key="put %d" % first) for _ in range(2)]
        same(replies[0], replies[1], "a repeated FunctionPutInputs gets the same reply")
        jwts.update({i.idx: i.input_jwt for i in replies[0].inputs})
    got, cursor = {}, "0-0"
    while len(got) < n:
        reply = s.outputs(call.function_call_id, last_entry_id=cursor, input_jwts=jwts.values())
        cursor = reply.last_entry_id
        for output in reply.outputs:
            ok(output.idx not in got, "output %d comes once" % output.idx) if output.idx in got else 0
            got[output.idx] = s.value(output.result)["i"]
    same(got, {i: i for i in range(n)}, "a map gives every result once")
    same(len(s.outputs(call.function_call_id, last_entry_id=cursor, timeout=0).outputs), 0,
         "and nothing after its cursor")
    s.outputs(call.function_call_id, timeout=0, clear_on_success=True)
    same(len(s.outputs(call.function_call_id, timeout=0).outputs), 0, "or after the end")
    call = s.start_call(s.function("sleep").function_id, kind=MAP)
    for first in range(0, 1000, 500):
        s.call("FunctionPutInputs", put(call, [item(i, 60) for i in range(first, first + 500)]))
    refused(lambda: s.call("FunctionPutInputs", put(call, [item(1000, 60)])), 8,
            "more inputs than the window holds: RESOURCE_EXHAUSTED")
    s.send("FunctionCallCancel", pb.FunctionCallCancelRequest(
        function_call_id=call.function_call_id)).get()
    reply = s.outputs(call.function_call_id)
    same({o.result.status for o in reply.outputs}, {TERMINATED}, "a cancelled map is terminated")
    for idx in (-1, 2 ** 24):
        refused(lambda: s.call("FunctionPutInputs", put(call, [item(idx)])), 3,
                "index %d is out of range" % idx)

    large, unfinished = s.function("large"), 0
    for _ in range(10):  # the poll may come too late
        call = s.start_call(large.function_id, kind=MAP)
        waiting = s.send("FunctionGetOutputs", pb.FunctionGetOutputsRequest(
            function_call_id=call.function_call_id, timeout=30, last_entry_id="0-0"))
        time.sleep(0.2)
        s.call("FunctionPutInputs", put(call, [item(i, 300_000) for i in range(500)]))
        unfinished = waiting.get()[0].num_unfinished_inputs
        s.send("FunctionCallCancel", pb.FunctionCallCancelRequest(
            function_call_id=call.function_call_id)).get()
        if unfinished:
            break
    ok(unfinished, "results leave while others of the same request are still made")

    # --- asynchronous calls ---
    call = s.start_call(echo.function_id, kind=MAP, invocation=ASYNC)
    same(call.sync_client_retries_enabled, False, "retries of asynchronous calls are the server's")
    s.call("FunctionPutInputs", put(call, [item(i, i) for i in range(100)]))
    s.send("FunctionFinishInputs", pb.FunctionFinishInputsRequest(
        function_call_id=call.function_call_id, num_inputs=100)).get()
    found = s.call("FunctionCallFromId", pb.FunctionCallFromIdRequest(
        function_call_id=call.function_call_id))
    same((found.num_inputs, found.metadata.function_id), (100, echo.function_id),
         "FunctionCallFromId")
    for _ in range(2):
        reply = s.outputs(call.function_call_id, start_idx=10, end_idx=19, timeout=0)
        same([(o.idx, s.value(o.result)) for o in reply.outputs], [(i, i) for i in range(10, 20)],
             "results by index, as often as wanted")
    began = time.monotonic()
    same(len(s.outputs(call.function_call_id, start_idx=-2 ** 31, end_idx=9, timeout=0).outputs), 10, "from before the first")
    ok(time.monotonic() - began < 1, "which takes no longer")
    began = time.monotonic()
    reply = s.outputs(call.function_call_id, start_idx=100, end_idx=100, timeout=0.5)
    ok(len(reply.outputs) == 0 and time.monotonic() - began >= 0.5,
       "a poll for an index that is not there waits as long as it asked to")
    info = s.call("FunctionCallGetInfo", pb.FunctionCallGetInfoRequest(
        function_call_id=call.function_call_id)).info
    same((info.total_inputs, info.succeeded_inputs.total, info.pending_inputs.total),
         (100, 100, 0), "FunctionCallGetInfo")
    listed = s.call("FunctionCallList", pb.FunctionCallListRequest(function_id=echo.function_id))
    ok(call.function_call_id in [c.function_call_id for c in listed.function_calls],
       "FunctionCallList")
    output = s.output("flaky_server", 1, "again", invocation=ASYNC)
    same((s.value(output.result), output.retry_count), ("again", 1),
         "the server retries an asynchronous call")
    same(s.remote("crash", "again", invocation=ASYNC), "again", "and after an internal failure")
    large = s.output("large", 10000, invocation=ASYNC)
    ok(large.result.data_blob_id, "a result over 8 KiB of an asynchronous call is a blob")
    same(s.value(large.result), bytes(10000), "which can be fetched")
    child = s.call("FunctionMap", pb.FunctionMapRequest(
        function_id=echo.function_id, function_call_type=UNARY, function_call_invocation_type=ASYNC,
        parent_input_id=call.function_call_id.replace("fc-", "in-") + "-3",
        pipelined_inputs=[item(0, 1)]))
    graph = s.call("FunctionGetCallGraph", pb.FunctionGetCallGraphRequest(
        function_call_id=child.function_call_id))
    same({c.function_call_id for c in graph.function_calls},
         {call.function_call_id, child.function_call_id}, "the call graph has parent and child")
    same(len(graph.inputs), 101, "with their inputs")

    # --- generators ---
    count = s.function("count")
    same(count.handle_metadata.function_type, 1, "a generator says so")
    call = s.start_call(count.function_id, [item(0, 3)], invocation=SYNC_LEGACY)
    result = s.outputs(call.function_call_id).outputs[0]
    done_message = pb.GeneratorDone()
    done_message.ParseFromString(result.result.data)
    same((result.data_format, done_message.items_total), (GENERATOR_DONE, 3), "its end")

    def chunks(**fields):
        reply = s.send("FunctionCallGetDataOut", pb.FunctionCallGetDataRequest(**fields))
        time.sleep(0.5)
        reply.process.terminate()  # the stream is kept open
        body = reply.raw()[2]
        out = []
        while body:
            size = struct.unpack(">I", body[1:5])[0]
            chunk = pb.DataChunk()
            chunk.ParseFromString(body[5:5 + size])
            out.append((chunk.index, len(s.download(chunk.data_blob_id)) if chunk.data_blob_id else cbor2.loads(chunk.data)))
            body = body[5 + size:]
        return out

    same(chunks(function_call_id=call.function_call_id), [(1, 0), (2, 1), (3, 2)], "its items")
    same(chunks(function_call_id=call.function_call_id, last_index=2), [(3, 2)], "after an index")

    call = s.start_call(count.function_id, [item(0, 10 ** 15)], invocation=SYNC_LEGACY)
    began = time.monotonic()
    ok(s.remote("square", 3) == 9 and time.monotonic() - began < 5, "while one yields, others are served")
    result = s.outputs(call.function_call_id).outputs[0].result
    same((result.status, result.exception),
         (FAILURE, "RuntimeError('the generator has yielded more than 1000000 items')"), "one without an end fails")
    same(chunks(function_call_id=call.function_call_id, last_index=999_999), [(10 ** 6, 999_999)], "with its last item")
    call = s.start_call(count.function_id, [item(0, 258, 0, 2 ** 20)], invocation=SYNC_LEGACY)
    same(s.outputs(call.function_call_id).outputs[0].result.status, SUCCESS, "items of more than 256 MB")
    same(chunks(function_call_id=call.function_call_id, last_index=257), [(258, 2 ** 20 + 5)], "are blobs from there on")

    # --- clients that do not read ---
    def resident():
        with open("/proc/%d/statm" % s.process.pid) as f:
            return int(f.read().split()[1]) * 4096

    call = s.start_call(count.function_id, [item(0, 200, 0, 2 ** 20)], invocation=SYNC_LEGACY)
    s.outputs(call.function_call_id)
    before = resident()
    reply = s.send("FunctionCallGetDataOut", pb.FunctionCallGetDataRequest(function_call_id=call.function_call_id))
    time.sleep(1)
    ok(resident() - before < 50 * 2 ** 20, "items that are not read are not sent ahead", resident() - before)
    data = reply.process.stdout.read(200 * 2 ** 20)
    same(len(data), 200 * 2 ** 20, "and come when they are")
    reply.process.terminate()
    reply.process.communicate()
    before = resident()
    with socket.create_connection(("localhost", int(s.port))) as flood:
        flood.settimeout(1)
        try:
            for _ in range(1000):
                flood.sendall(b"GET /console/ HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000)
        except OSError:
            pass
        ok(resident() - before < 30 * 2 ** 20, "nor are answers to requests", resident() - before)

        def idle():
            before = s.cpu()
            time.sleep(1)
            return s.cpu() - before < 10

        ok(wait_for(idle), "and who has sent too many does not keep it busy")

    same(s.call("TokenInfoGet").token_id, "ak-local", "TokenInfoGet")
    same(s.call("WorkspaceNameLookup", pb.Empty()).username, "local", "WorkspaceNameLookup")
done()
