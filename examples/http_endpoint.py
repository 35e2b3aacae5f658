"""HTTP functions in every format that modal_batch speaks.

    python3 examples/http_endpoint.py 8000

Standard library only.  /json and /lines give back what they get, /bigquery
doubles its argument, /snowflake adds one, /redshift squares.  What the tests
need besides: 13 is refused, as a whole request (400) or, by /rows, as a row;
/flaky answers every third request with 503.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

requests = 0


class Endpoint(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
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
        self.reply(200, {})

    def do_POST(self):
        global requests
        requests += 1
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/flaky" and requests % 3 == 0:
            self.reply(503, {"error": "busy"})
        elif self.path in ("/json", "/lines", "/flaky"):
            self.reply(200, body)
        elif self.path == "/bigquery":
            calls = json.loads(body)["calls"]
            if any(call[0] == 13 for call in calls):
                self.reply(400, {"errorMessage": "13 is unlucky"})
            else:
                self.reply(200, {"replies": [call[0] * 2 for call in calls]})
        elif self.path == "/rows":
            calls = json.loads(body)["calls"]
            bad = {"code": "UNLUCKY", "message": "13 is unlucky"}
            self.reply(200, {
                "replies": [call[0] for call in calls],
                "errors": [bad if call[0] == 13 else None for call in calls]})
        elif self.path == "/short":
            self.reply(200, {"replies": []})
        elif self.path == "/snowflake":
            rows = json.loads(body)["data"]
            self.reply(200, {"data": [[row[0], row[1] + 1] for row in rows]})
        elif self.path == "/redshift":
            rows = json.loads(body)["arguments"]
            answer = {"success": True, "results": [row[0] ** 2 for row in rows]}
            self.reply(200, json.dumps(json.dumps(answer)).encode())
        elif self.path == "/denied":
            self.reply(401, {"error": "who are you?"})
        else:
            self.reply(404, {"error": "no such function"})


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Endpoint)
    server.daemon_threads = True
    print(server.server_port, flush=True)
    server.serve_forever()
