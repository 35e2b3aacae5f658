"""The input plane: attempts and maps, in the wrong order too; prints TAP."""

from client import *

with server() as s:
    auth = s.auth()
    plane = s.function("echo_input_plane").function_id

    def attempt(token, **fields):
        return s.call("AttemptAwait", pb.AttemptAwaitRequest(attempt_token=token, **fields), headers=auth).output

    def start(values, **fields):
        items = [pb.MapStartOrContinueItem(input=item(i, v)) for i, v in enumerate(values)]
        return s.call("MapStartOrContinue", pb.MapStartOrContinueRequest(function_id=plane, items=items, **fields),
                      headers=auth)

    def outputs(token, cursor):
        return s.call("MapAwait", pb.MapAwaitRequest(map_token=token, last_entry_id=cursor, timeout=3), headers=auth)

    one = s.call("AttemptStart", pb.AttemptStartRequest(function_id=plane, input=item(0, "one")), headers=auth)
    same(s.value(attempt(one.attempt_token, timeout_secs=10).result), "one", "an attempt")
    same(s.value(attempt(one.attempt_token, timeout_secs=10).result), "one", "whose reply got lost is asked for again")

    call = start(["a", "b", "c"])
    same(s.value(attempt(call.attempt_tokens[1], timeout_secs=10).result), "b", "an attempt of a map")
    got, cursor = [], "0-0"
    for _ in range(3):
        reply = outputs(call.map_token, cursor)
        got += [s.value(o.result) for o in reply.outputs]
        cursor = reply.last_entry_id
    same(sorted(got), ["a", "b", "c"], "takes no output from the map")

    # The same call by way of the control plane, where outputs can be given away.
    s.outputs(call.function_call_id, clear_on_success=True)
    ok(not attempt(call.attempt_tokens[0], timeout_secs=0.2).HasField("result"), "an output that was given away is none")
    same(s.remote("square", 3), 9, "modal-local lives on")
done()
