"""Services with APIs as their providers publish them, for tests of formats.

    python3 test/http/api_peer.py LOG [PORT]

Prints its port, by default a free one.  Each request becomes a line of LOG, as
of peer.py.  What a path answers, and the description that it was written from:

    v1/embeddings       OpenAI, API reference "Create embeddings"
    v1/chat/completions OpenAI, API reference "Create chat completion",
                        guides "Structured Outputs" and "JSON mode"
    embed               Hugging Face, Text Embeddings Inference, OpenAPI of /embed
    api/embed           Ollama, docs/api.md "Generate Embeddings"
    …:predict           Google, Vertex AI "projects.locations.endpoints.predict";
                        TensorFlow Serving, "RESTful API"
    v2/models/…/infer   Open Inference Protocol 2, "Inference Request JSON Object"
    2015-03-31/functions/…/invocations
                        AWS, Lambda API reference "Invoke"
    bad/NAME            answers that are wrong in one way; see BAD
    rest/…              what was asked for: method, path, type, body
    rest/status-N/…     the same with status N

Texts stand for themselves: an embedding of "abc" is [3, 97, 99] (its length,
the first and the last character); "13" is refused.

Standard library only.
"""

import base64
import json
import socketserver
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler

lock = threading.Lock()


class Refused(Exception):
    def __init__(self, status, body):
        super().__init__(status)
        self.status, self.body = status, body


def vector(text):
    if not isinstance(text, str):
        text = json.dumps(text)
    return [len(text), ord(text[0]) if text else 0, ord(text[-1]) if text else 0]


def openai_error(status, message, kind="invalid_request_error", code=None):
    return Refused(status, {"error": {"message": message, "type": kind,
                                      "param": None, "code": code}})


def embeddings(body):
    """Items are numbered, and here they come in another order."""
    if not isinstance(body.get("model"), str):
        raise openai_error(400, "you must provide a model parameter")
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    if "13" in texts:
        raise openai_error(400, "13 is unlucky")
    if unknown := set(body) - {"model", "input", "dimensions", "encoding_format", "user"}:
        raise openai_error(400, "unrecognized request argument: " + ", ".join(unknown))
    size = body.get("dimensions", 3)
    data = [{"object": "embedding", "index": i, "embedding": vector(text)[:size]}
            for i, text in enumerate(texts)]
    tokens = sum(len(text) for text in texts)
    return {"object": "list", "data": data[::-1], "model": body["model"],
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


def chat(body):
    if not isinstance(body.get("model"), str):
        raise openai_error(400, "you must provide a model parameter")
    said = body["messages"][-1]["content"]
    message = {"role": "assistant", "content": "You said: " + said, "refusal": None}
    finish = "stop"
    kind = body.get("response_format", {}).get("type", "text")
    if said == "refuse":
        message.update(content=None, refusal="I cannot help with that.")
    elif said in ("length", "content_filter"):
        finish = said
    elif said == "broken":
        message["content"] = '{"cut": '
    elif kind == "json_schema":
        schema = body["response_format"]["json_schema"]
        if not (isinstance(schema["name"], str) and schema["schema"]["type"] == "object"):
            raise openai_error(400, "invalid schema")
        message["content"] = json.dumps({"said": said, "n": len(said)})
    elif kind == "json_object":
        message["content"] = json.dumps({"said": said})
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": body["model"],
            "choices": [{"index": 0, "message": message, "logprobs": None,
                         "finish_reason": finish}],
            "usage": {"prompt_tokens": len(said), "completion_tokens": 2,
                      "total_tokens": len(said) + 2}}


def tei(body):
    texts = body["inputs"]
    if len(texts) > 32:
        raise Refused(422, {"error": f"batch size {len(texts)} > maximum allowed batch size 32",
                            "error_type": "Validation"})
    if "13" in texts:
        raise Refused(413, {"error": "Input validation error: 13 is unlucky",
                            "error_type": "Validation"})
    if body.get("truncate") not in (None, True, False):
        raise Refused(422, {"error": "truncate is a boolean", "error_type": "Validation"})
    return [vector(text) for text in texts]


def ollama(body):
    if body.get("model") != "all-minilm":
        raise Refused(404, {"error": f"model {body.get('model')!r} not found, try pulling it first"})
    return {"model": body["model"], "embeddings": [vector(text) for text in body["input"]],
            "total_duration": 14143917, "load_duration": 1019500,
            "prompt_eval_count": sum(len(text) for text in body["input"])}


def predict(path, body):
    """Vertex AI below projects/, else TensorFlow Serving."""
    vertex = "projects/" in path
    if "13" in body["instances"]:
        text = "13 is unlucky"
        raise Refused(400, {"error": {"code": 400, "message": text, "status": "INVALID_ARGUMENT"}}
                      if vertex else {"error": text})
    scale = body.get("parameters", {}).get("scale", 1)
    predictions = [{"score": scale * len(json.dumps(row)), "row": row} for row in body["instances"]]
    return {"predictions": predictions} | (
        {"deployedModelId": "1", "model": "m", "modelVersionId": "1"} if vertex else {})


def infer(path, body):
    tensor = body["inputs"][0]
    flat = []

    def flatten(value):
        if isinstance(value, list):
            for item in value:
                flatten(item)
        else:
            flat.append(value)

    flatten(tensor["data"])
    size = 1
    for n in tensor["shape"]:
        size *= n
    if size != len(flat):
        raise Refused(400, {"error": f"shape {tensor['shape']} does not fit {len(flat)} elements"})
    rows = tensor["shape"][0]
    if tensor["datatype"] == "BYTES":
        data, shape = [n for text in flat for n in vector(text)], [rows, 3]
    elif "/square/" in path:
        data, shape = [n * n for n in flat], [rows, 1]
    else:
        data, shape = [2 * n for n in flat], tensor["shape"]
    return {"model_name": path.split("/")[2], "model_version": "1", "outputs": [
        {"name": "output", "datatype": "FP32", "shape": shape, "data": data}]}


def invoke(handler, body):
    """A function that raises is a 200 with a header."""
    if body.get("fail"):
        handler.extra["X-Amz-Function-Error"] = "Unhandled"
        return {"errorMessage": "13 is unlucky", "errorType": "ValueError",
                "stackTrace": ["  File \"/var/task/f.py\", line 1"]}
    if body.get("busy"):
        raise Refused(400, {"Type": "User", "message": "request is malformed"})
    return {"errorMessage": "is a key like any other", "got": body}


def items(body, **more):
    return {"data": [{"index": i, "v": text} for i, text in enumerate(body["input"])], **more}


def few(body):
    return {"data": items(body)["data"][1:]}


def double(body):
    return {"data": [{"index": 0, "v": text} for text in body["input"]]}


def far(body):
    return {"data": [{"index": i + 1, "v": text} for i, text in enumerate(body["input"])]}


def rows(body):
    """Rows fail alone: 13 for good, 14 for a while."""
    again = BadState.seen(json.dumps(body))
    data = []
    for text in body["input"]:
        if text == "13":
            data.append({"error": {"code": "UNLUCKY", "message": "13 is unlucky"}})
        elif text == "14" and not again:
            data.append({"error": {"code": "BUSY", "message": "later", "retryable": True}})
        elif text == "15":
            data.append({"error": "no 15"})
        else:
            data.append({"error": None, "v": text})
    return {"data": [item | {"index": i} for i, item in enumerate(data)],
            "usage": {"total": len(body["input"])}}


class BadState:
    keys = {}

    @classmethod
    def seen(cls, key):
        with lock:
            cls.keys[key] = cls.keys.get(key, 0) + 1
            return "14" in key and sum(n for k, n in cls.keys.items() if "14" in k) > 1


BAD = {
    "none": lambda body: {"answer": 42},
    "few": few,
    "many": lambda body: {"data": items(body)["data"] * 2},
    "twice": double,
    "far": far,
    "unnumbered": lambda body: {"data": [{"v": text} for text in body["input"]]},
    "usage": lambda body: items(body, usage={"total": "lots"}),
    "huge-usage": lambda body: items(body, usage={"total": -1}),
    "error": lambda body: {"error": {"message": "model not loaded"}},
    "shape": lambda body: {"outputs": [{"shape": [2, 2], "data": [1, 2, 3]}]},
    "fewer-elements": lambda body: {"outputs": [{"shape": [len(body["input"]), 2], "data": [1]}]},
    "rows": rows,
    "same": items,
}


class Peer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def note(self, body):
        try:
            text = body.decode()
        except UnicodeDecodeError:
            text = "base64:" + base64.b64encode(body).decode()
        with lock:
            self.log.write(json.dumps({
                "time": time.time(), "connection": self.client_address[1],
                "method": self.command, "path": self.path, "body": text,
                "headers": {k.lower(): v for k, v in self.headers.items()}}) + "\n")
            self.log.flush()

    def reply(self, status, body, kind="application/json"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for name, value in self.extra.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def rest(self, body):
        kind = self.headers.get("Content-Type")
        if "/bytes" in self.path:
            return self.reply(200, bytes(range(256)), "application/octet-stream")
        if "/echo" in self.path:
            return self.reply(200, body, kind or "text/plain")
        status = self.path.split("/status-")[1:]
        return self.reply(int(status[0][:3]) if status else 200, json.dumps({
            "method": self.command, "path": self.path, "type": kind,
            "body": body.decode("utf-8", "replace")}).encode())

    def do(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.split("?")[0].strip("/")
        self.extra = {}
        self.note(body)
        if path.startswith("rest"):
            return self.rest(body)
        try:
            return self.reply(200, json.dumps(self.value(path, json.loads(body))).encode())
        except Refused as refused:
            return self.reply(refused.status, json.dumps(refused.body).encode())

    def value(self, path, body):
        if path.endswith("v1/embeddings"):
            return embeddings(body)
        if path.endswith("v1/chat/completions"):
            return chat(body)
        if path == "embed":
            return tei(body)
        if path == "api/embed":
            return ollama(body)
        if path.endswith(":predict"):
            return predict(path, body)
        if path.startswith("v2/models/"):
            return infer(path, body)
        if path.startswith("2015-03-31/functions/"):
            return invoke(self, body)
        if path.startswith("bad/"):
            return BAD[path[4:]](body)
        raise Refused(404, {"error": "no such path"})

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 512


if __name__ == "__main__":
    Peer.log = open(sys.argv[1], "a", encoding="utf-8")
    server = Server(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 0), Peer)
    print(server.server_address[1], flush=True)
    server.serve_forever()
