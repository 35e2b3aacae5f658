"""OpenAI's batch endpoint, for tests of jobs.

    python3 test/http/batch_peer.py LOG [PORT]

Prints its port; each request becomes a line of LOG, as of peer.py.  Written from
OpenAI's API reference: "Upload file", "Retrieve file content", "Create batch",
"Retrieve batch", "List batch", "Cancel batch", "The request input object", "The
request output object", and the guide "Batch API".  Its state is lost at its end.

A batch is run when it is asked for the second time.  What a user's message says
decides what becomes of its line; all else is answered as api_peer.py's chat:

    13        status 400, in the error file
    busy      status 429, in the error file
    expire    the batch expires before it
    stop      the batch is cancelled before it
    lost      a line in neither file
    twice     two lines, of which the first one counts
    tell      an error whose message has the Authorization header in it
    badline   the file is refused, for the lines with this
    wrong     the file is refused, for no line in particular

Files beside LOG say what else happens:

    LOG.hold  the name of a step (upload, list, create, retrieve, output, errors,
              cancel): once it is done, LOG.held is written, and the answer waits
              until LOG.hold is gone
    LOG.full  files are refused while it is there: too many tokens are enqueued
    LOG.slow  batches stay in progress while it is there
    LOG.later the header Retry-After of all answers, while it is there
    LOG.rows  the rows that batches claim to have, in their metadata
    LOG.swap  which batch is told of, whichever is asked for, while it is there
    LOG.mark  results begin with a byte order mark while it is there
    LOG.page  what is answered instead of files, while it is there
    LOG.fail  "STEP STATUS N": the next N such steps get that status; with "done"
              at the end, after they have been done

Wants "Authorization: Bearer sk-secret-1".
"""

import json
import os
import random
import re
import socketserver
import sys
import threading
import time
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler

sys.dont_write_bytecode = True

from api_peer import Refused, chat, embeddings, openai_error

TOKEN = "Bearer sk-secret-1"
MAX_LINES = 50000

lock = threading.RLock()
files = {}    # id -> bytes
batches = {}  # id -> object
asked = {}    # id -> how often
log_name = sys.argv[1]
failures = {}


def control(name):
    try:
        with open(f"{log_name}.{name}", encoding="utf-8") as file:
            return file.read().strip()
    except FileNotFoundError:
        return ""


def add_file(data):
    name = f"file-{len(files) + 1}"
    files[name] = data
    return name


def upload(headers, body):
    kind = headers["Content-Type"]
    form = BytesParser().parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
    parts = {part.get_param("name", header="content-disposition"): part for part in form.get_payload()}
    if parts["purpose"].get_payload().strip() != "batch" or not parts["file"].get_filename().endswith(".jsonl"):
        raise openai_error(400, "Invalid file format for Batch API. Must be .jsonl")
    data = parts["file"].get_payload(decode=True)
    name = add_file(data)
    return {"id": name, "object": "file", "bytes": len(data), "created_at": int(time.time()),
            "filename": parts["file"].get_filename(), "purpose": "batch"}


def said(line):
    return (line["body"].get("messages") or [{}])[-1].get("content", "")


def create(body):
    if set(body) - {"input_file_id", "endpoint", "completion_window", "metadata"}:
        raise openai_error(400, "unknown parameter")
    if body["completion_window"] != "24h":
        raise openai_error(400, "Invalid completion_window")
    if not all(isinstance(v, str) and len(v) <= 512 and len(k) <= 64
               for k, v in body.get("metadata", {}).items()):
        raise openai_error(400, "Invalid metadata")
    if body["input_file_id"] not in files:
        raise openai_error(400, "no such File object")
    name = f"batch_{len(batches) + 1}"
    batches[name] = {
        "id": name, "object": "batch", "endpoint": body["endpoint"], "errors": None,
        "input_file_id": body["input_file_id"], "completion_window": "24h", "status": "validating",
        "output_file_id": None, "error_file_id": None, "created_at": int(time.time()),
        "expires_at": int(time.time()) + 86400, "metadata": body.get("metadata"),
        "request_counts": {"total": 0, "completed": 0, "failed": 0}}
    return batches[name]


def validate(batch, lines):
    bad = []
    ids = set()
    if os.path.exists(log_name + ".full"):
        bad.append({"code": "token_limit_exceeded", "line": None, "param": None,
                    "message": "Enqueued token limit reached"})
    if len(lines) > MAX_LINES:
        bad.append({"code": "too_many_tasks", "line": None, "message": "too many", "param": None})
    for number, line in enumerate(lines, 1):
        if line["custom_id"] in ids:
            bad.append({"code": "duplicate_custom_id", "line": number, "param": "custom_id",
                        "message": "The custom_id is a duplicate."})
        ids.add(line["custom_id"])
        if line["url"] != batch["endpoint"] or line["method"] != "POST":
            bad.append({"code": "mismatched_endpoint", "line": number, "param": "url",
                        "message": "The URL provided for this request does not match the batch endpoint."})
        if said(line) == "badline":
            bad.append({"code": "invalid_request", "line": number, "param": "body.messages",
                        "message": "this line is bad"})
        if said(line) == "wrong":
            bad.append({"code": "invalid_file", "line": None, "param": None, "message": "this file is wrong"})
    return bad


def answer(line, authorization):
    """The line of its file, and whether that is the one of results."""
    text = said(line)
    response = {"status_code": 200, "request_id": "req_1", "body": None}
    error = None
    try:
        if text == "13":
            raise openai_error(400, "13 is unlucky")
        if text == "busy":
            raise openai_error(429, "too many")
        if text == "tell":
            raise openai_error(400, "you sent " + authorization)
        response["body"] = (embeddings if line["url"].endswith("embeddings") else chat)(line["body"])
    except Refused as refused:
        response.update(status_code=refused.status, body=refused.body)
    if text in ("expire", "stop"):
        response, error = None, (
            {"code": "batch_expired", "message": "This request could not be executed before the completion window expired."}
            if text == "expire" else
            {"code": "batch_cancelled", "message": "This request was cancelled."})
    return json.dumps({"id": "batch_req_1", "custom_id": line["custom_id"], "response": response,
                       "error": error}), error is None and response["status_code"] == 200


def run(batch, authorization):
    lines = [json.loads(line) for line in files[batch["input_file_id"]].decode().splitlines()]
    bad = validate(batch, lines)
    if bad:
        batch.update(status="failed", errors={"object": "list", "data": bad})
        return
    good, wrong, texts = [], [], {said(line) for line in lines}
    for line in lines:
        text, is_good = answer(line, authorization)
        if said(line) != "lost":
            (good if is_good else wrong).extend([text] * (1 + (said(line) == "twice")))
    random.shuffle(good)
    batch["status"] = "expired" if "expire" in texts else "cancelled" if "stop" in texts else "completed"
    if good:
        batch["output_file_id"] = add_file("\n".join(good).encode() + b"\n")
    if wrong:
        batch["error_file_id"] = add_file("\n".join(wrong).encode())
    batch["request_counts"] = {"total": len(lines), "completed": len(good), "failed": len(wrong)}


def retrieve(name, authorization):
    batch = batches[name]
    asked[name] = asked.get(name, 0) + 1
    if batch["status"] == "cancelling":
        batch["status"] = "cancelled"
    if batch["status"] == "validating":
        batch["status"] = "in_progress"
    elif batch["status"] == "in_progress" and not os.path.exists(log_name + ".slow"):
        run(batch, authorization)
    return batch


def cancel(name):
    batch = batches[name]
    if batch["status"] not in ("validating", "in_progress", "cancelling"):
        raise openai_error(409, f"Cannot cancel a batch with status '{batch['status']}'.")
    batch["status"] = "cancelling"
    return batch


class Peer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def reply(self, status, body, kind="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if control("later"):
            self.send_header("Retry-After", control("later"))
        self.end_headers()
        self.wfile.write(body)

    def step(self):
        """What is asked for: name, and the id."""
        path = self.path.split("?")[0]
        post = self.command == "POST"
        for name, pattern, is_post in (
                ("upload", "/v1/files", True), ("list", "/v1/batches", False), ("create", "/v1/batches", True),
                ("retrieve", r"/v1/batches/(batch_\d+)", False), ("content", r"/v1/files/(file-\d+)/content", False),
                ("cancel", r"/v1/batches/(batch_\d+)/cancel", True)):
            match = re.fullmatch(pattern, path)
            if match and post == is_post:
                return name, (match.groups() or (None,))[0]
        raise openai_error(404, "Unknown request URL")

    def value(self, name, which, body):
        if name == "upload":
            return upload(self.headers, body)
        if name == "list":
            return {"object": "list", "data": list(batches.values())[::-1][:100], "has_more": len(batches) > 100}
        if name == "create":
            return create(json.loads(body))
        if which not in batches and which not in files:
            raise openai_error(404, f"No such object: {which}")
        if name == "retrieve":
            return batches.get(control("swap")) or retrieve(which, self.headers["Authorization"])
        if name == "cancel":
            return cancel(which)
        return files[which]

    def note(self, name, body):
        with lock:
            self.log.write(json.dumps({
                "time": time.time(), "connection": self.client_address[1], "method": self.command,
                "path": self.path, "step": name, "body": body.decode("latin-1"),
                "headers": {k.lower(): v for k, v in self.headers.items()}}) + "\n")
            self.log.flush()

    def fail(self, name, done):
        words = control("fail").split()
        if len(words) < 3 or words[0] != name or ("done" in words) != done:
            return
        with lock:
            failures[" ".join(words)] = failures.get(" ".join(words), 0) + 1
            if failures[" ".join(words)] <= int(words[2]):
                raise openai_error(int(words[1]), "not now")

    def hold(self, name):
        if control("hold") != name:
            return
        with open(log_name + ".held", "w", encoding="utf-8") as file:
            file.write(name)
        while control("hold") == name:
            time.sleep(0.02)

    def do(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        name = ""
        try:
            name, which = self.step()
            if name == "content":
                name = "errors" if any(b["error_file_id"] == which for b in batches.values()) else "output"
            self.note(name, body)
            if self.headers.get("Authorization") != TOKEN:
                raise openai_error(401, f"Incorrect API key provided: {self.headers.get('Authorization')}")
            self.fail(name, False)
            with lock:
                value = self.value(name, which, body)
                rows = control("rows")
                if rows and name != "upload" and not isinstance(value, bytes):
                    value = json.loads(re.sub(r'("modal_batch_rows": )"\d+"', rf'\1"{rows}"', json.dumps(value)))
                text = value if isinstance(value, bytes) else json.dumps(value).encode()
                if name in ("output", "errors"):
                    text = control("page").encode() or text
                    text = b"\xef\xbb\xbf" * bool(control("mark")) + text
            self.fail(name, True)
            self.hold(name)
            self.reply(200, text)
        except Refused as refused:
            if not name:
                self.note(name, body)
            self.reply(refused.status, json.dumps(refused.body).encode())
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_POST = do


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 512


if __name__ == "__main__":
    Peer.log = open(log_name, "a", encoding="utf-8")
    server = Server(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 0), Peer)
    print(server.server_address[1], flush=True)
    server.serve_forever()
