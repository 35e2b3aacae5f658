"""HTTP functions in every format that modal_batch speaks.

    python3 examples/http_endpoint.py 8000

    CREATE SERVER example FOREIGN DATA WRAPPER modal_batch OPTIONS
        (protocol 'http', url 'http://localhost:8000', allow_http 'on', format 'bigquery');
    SELECT result FROM modal_map('example:bigquery', 'SELECT generate_series(100, 102)');

Standard library only.  /json and /lines give back what they get, /bigquery
doubles its argument, /snowflake adds one, /redshift squares.  13 is refused,
to show how: as a whole request (status 400), or by /rows as a row of a reply
that is good.  /flaky is busy every third time, /denied wants credentials, and
/short forgets its results.
"""

import itertools
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

UNLUCKY = 13
requests = itertools.count(1)


class Refused(Exception):
    """An answer with an error status; its text is shown to the SQL user."""

    def __init__(self, status, body):
        super().__init__(body)
        self.status = status
        self.body = body


def echo(body):
    return body


def bigquery(body):
    calls = json.loads(body)["calls"]
    if any(call[0] == UNLUCKY for call in calls):
        raise Refused(400, {"errorMessage": "13 is unlucky"})
    return {"replies": [call[0] * 2 for call in calls]}


def rows(body):
    """One bad row fails alone: the others keep their results."""
    calls = json.loads(body)["calls"]
    bad = {"code": "UNLUCKY", "message": "13 is unlucky", "retryable": False}
    return {"replies": [call[0] for call in calls],
            "errors": [bad if call[0] == UNLUCKY else None for call in calls]}


def snowflake(body):
    return {"data": [[number, value + 1] for number, value in json.loads(body)["data"]]}


def redshift(body):
    """As a Lambda handler does, it gives its JSON in a JSON string."""
    event = json.loads(body)
    results = [arguments[0] ** 2 for arguments in event["arguments"]]
    return json.dumps({"success": True, "num_records": event["num_records"],
                       "results": results})


def flaky(body):
    if next(requests) % 3 == 0:
        raise Refused(503, {"error": "busy"})
    return body


def denied(body):
    raise Refused(401, {"error": "who are you?"})


def short(body):
    return {"replies": []}


FUNCTIONS = {"/json": echo, "/lines": echo, "/bigquery": bigquery, "/rows": rows,
             "/snowflake": snowflake, "/redshift": redshift, "/flaky": flaky,
             "/denied": denied, "/short": short}


class Endpoint(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def reply(self, status, body):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        """modal_ping asks so."""
        self.reply(200, {})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        function = FUNCTIONS.get(self.path)
        if function is None:
            self.reply(404, {"error": "no such function"})
            return
        try:
            self.reply(200, function(body))
        except Refused as refused:
            self.reply(refused.status, refused.body)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Endpoint)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()
