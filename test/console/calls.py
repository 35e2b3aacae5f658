"""Calls for the tests of the console, by the client of modal-local's own tests.

usage: calls.py PORT CA_FILE map APP FUNCTION N
       calls.py PORT CA_FILE unavailable N

map makes an asynchronous map over 0 to N - 1; prints its id before there are
inputs.  unavailable makes N calls, and prints how many of them could not get
their output.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../local"))
import client  # noqa: E402
from client import pb  # noqa: E402

IN_A_REQUEST = 1000
UNAVAILABLE = 14


class Running(client.Server):
    """A server that somebody else has started."""

    def __init__(self, port, ca):
        self.port = port
        self.ca = ca


def start_map(server, app, name, n):
    function = server.function(name, app=app).function_id
    call = server.start_call(function, kind=client.MAP, invocation=client.ASYNC)
    print(call.function_call_id, flush=True)
    for first in range(0, n, IN_A_REQUEST):
        items = [client.item(i, i) for i in range(first, min(first + IN_A_REQUEST, n))]
        server.call("FunctionPutInputs", client.put(call, items, function))
    server.call("FunctionFinishInputs", pb.FunctionFinishInputsRequest(
        function_id=function, function_call_id=call.function_call_id, num_inputs=n))


def count_unavailable(server, n):
    failed = 0
    for i in range(n):
        try:
            server.output("square", i)
        except client.GrpcError as error:
            assert error.status == UNAVAILABLE, error
            failed += 1
    print(failed)


server = Running(*sys.argv[1:3])
if sys.argv[3] == "map":
    start_map(server, sys.argv[4], sys.argv[5], int(sys.argv[6]))
else:
    count_unavailable(server, int(sys.argv[4]))
