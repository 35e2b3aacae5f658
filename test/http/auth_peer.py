"""A service that wants to be shown who asks, and a token endpoint, for tests.

    python3 test/http/auth_peer.py LOG [PORT]

Prints its port; writes a JSON object per request to LOG, as peer.py does.  The
path of a request says what happens, step by step:

    /token/...      the token endpoint: checks the client (RFC 6749) or the
                    assertion of a service account (RFC 7523)
      life-N        what it gives out is good for N seconds (default 3600)
      opaque        without saying for how long
      fail-N-STATUS the first N requests for this path get that status
      from-A-B-STATUS  requests A to B for this path get that status
      sleep-N       N milliseconds before the answer
      refuse        400 invalid_client, with what it was sent in its text
      bare          the same, with the credentials alone of its header
      denied        200 with an error of OAuth
      none, html, other   200 without a token, without JSON, of another type
      rotate        gives a new refresh token each time, and wants the latest
      moved         302
    /api/...        wants a bearer token that was given out and is not over
      echo          the body
      sleep-N       N milliseconds before the answer
      tell          400 with the Authorization header in its text
      bare          400 with the token in its text
      once          401 for each token that has been seen there before
    /aws/REGION/SERVICE/...   wants AWS's signature, checked with botocore
    /late-N/..., /early-N/... the same, where the clock is N seconds off
    /hook/...       wants the signature of the Standard Webhooks specification
      first-N-STATUS  the first N requests with the same id get that status
      refuse        400
      tell          the same, with the secrets in base64 in its text
      status-N      N
      long, cut     200 with 5000 bytes, and with less than was announced
      gone          410 for a record whose note is "gone"
      sleep-N       N milliseconds before the answer

Client "client-1" has secret "se cret%&-1"; AWS key "AKIDEXAMPLE" has secret
"aws-s3cret/+" and session token "aws-t0ken=="; webhooks have the secrets below.
"""

import base64
import hashlib
import hmac
import json
import secrets
import socketserver
import sys
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qsl, unquote_plus

CLIENT = ("client-1", "se cret%&-1")
AWS = ("AKIDEXAMPLE", "aws-s3cret/+", "aws-t0ken==")
HOOK_SECRETS = {"old": b"0123456789abcdef01234567", "new": b"an even newer secret, longer"}
ACCOUNT = "robot@shop.example"

lock = threading.Lock()
tokens = {}      # token -> when it is over
seen = {}        # path, or id -> requests so far
shown = set()    # tokens seen by "once"
latest = {"refresh": "refresh-0"}


class Refused(Exception):
    pass


def check_client(headers, form):
    given = headers.get("Authorization", "")
    if given.startswith("Basic "):
        name, _, secret = base64.b64decode(given[6:]).decode().partition(":")
        pair = unquote_plus(name), unquote_plus(secret)
    else:
        pair = form.get("client_id"), form.get("client_secret")
    if pair != CLIENT:
        raise Refused("unknown client %r" % (pair,))


def check_assertion(form, endpoint):
    import jwt
    # The test puts it there before it makes a service account's mapping.
    with open(sys.argv[1] + ".pub", encoding="ascii") as file:
        public_key = file.read()
    claims = jwt.decode(form["assertion"], public_key, algorithms=["RS256"], audience=endpoint)
    if claims["iss"] != ACCOUNT or claims["exp"] - claims["iat"] != 3600:
        raise Refused("the assertion is none of ours")
    if abs(claims["iat"] - time.time()) > 60:
        raise Refused("it is of another time")
    return claims


def check_aws(method, path, headers, body, region, service, now):
    from botocore.auth import S3SigV4Auth, SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.compat import HTTPHeaders
    from botocore.credentials import Credentials

    given = headers.get("Authorization", "")
    if "SignedHeaders=" not in given:
        raise Refused("MissingAuthenticationToken")
    names = given.split("SignedHeaders=")[1].split(",")[0].split(";")
    for name in headers:
        if name.lower().startswith("x-amz-") and name.lower() not in names:
            raise Refused("header %s is not signed" % name)
    if not {"host", "content-type", "x-amz-date"} <= set(names):
        raise Refused("too little is signed")
    if headers["X-Amz-Content-Sha256"] != hashlib.sha256(body).hexdigest():
        raise Refused("XAmzContentSHA256Mismatch")

    class Signer(S3SigV4Auth if service == "s3" else SigV4Auth):
        def headers_to_sign(self, request):
            signed = HTTPHeaders()
            for name in names:
                signed[name] = headers[name]
            return signed

    request = AWSRequest(method, "http://" + headers["Host"] + path, data=body, headers={})
    request.headers["X-Amz-Content-Sha256"] = headers["X-Amz-Content-Sha256"]
    date = request.context["timestamp"] = headers["X-Amz-Date"]
    signer = Signer(Credentials(*AWS), service, region)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    if signer.signature(text, request) != given.split("Signature=")[1]:
        raise Refused("SignatureDoesNotMatch: the canonical string was " + text)
    if headers["X-Amz-Security-Token"] != AWS[2] or AWS[0] not in given:
        raise Refused("UnrecognizedClientException")
    signed_at = time.mktime(time.strptime(date, "%Y%m%dT%H%M%SZ")) - time.timezone
    if abs(signed_at - now) > 300:
        raise Refused("SignatureDoesNotMatch: Signature expired")


def check_hook(headers, body):
    at = int(headers["webhook-timestamp"])
    if abs(at - time.time()) > 300:
        raise Refused("it is of another time")
    text = ("%s.%d." % (headers["webhook-id"], at)).encode() + body
    given = headers["webhook-signature"].split(" ")
    good = [name for name, secret in HOOK_SECRETS.items()
            if "v1," + base64.b64encode(hmac.new(secret, text, hashlib.sha256).digest()).decode()
            in given]
    if not good or len(good) != len(given):
        raise Refused("a signature is wrong")
    return good


class Peer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    shift = 0

    def log_message(self, *args):
        pass

    def date_time_string(self, timestamp=None):
        return formatdate(time.time() + self.shift, usegmt=True)

    def answer(self, status, value, **headers):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.shift = 0
        kind, *steps = self.path.split("?")[0].strip("/").split("/")
        with lock:
            self.log.write(json.dumps({
                "time": time.time(), "connection": self.client_address[1], "method": self.command,
                "path": self.path, "body": body.decode("latin-1"),
                "headers": {k.lower(): v for k, v in self.headers.items()}}) + "\n")
            self.log.flush()
            key = self.headers.get("webhook-id", self.path)
            seen[key] = seen.get(key, 0) + 1
            count = seen[key]
        word, _, number = kind.partition("-")
        try:
            if word in ("late", "early"):
                self.shift = int(number) * (1 if word == "late" else -1)
                kind, *steps = steps
            getattr(self, "do_" + kind)(steps, body, count)
        except Refused as refused:
            self.answer(403 if kind == "aws" else 401, {"message": str(refused)})
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def do_token(self, steps, body, count):
        form = dict(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True))
        reply = {"access_token": "tok-" + secrets.token_urlsafe(40), "token_type": "Bearer",
                 "expires_in": 3600}
        if self.shift:
            return self.answer(400, {"error": "invalid_grant",
                                     "error_description": "Invalid JWT: check your iat and exp"})
        try:
            if form["grant_type"].endswith("jwt-bearer"):
                claims = check_assertion(form, "http://%s%s" % (self.headers["Host"], self.path))
                if "target_audience" in claims:
                    reply = {"id_token": reply["access_token"]}
            else:
                check_client(self.headers, form)
        except Exception as error:
            return self.answer(401, {"error": "invalid_client", "error_description": str(error)})
        for step in steps:
            word, *numbers = step.split("-")
            if word == "life":
                reply["expires_in"] = int(numbers[0])
            elif word == "opaque":
                del reply["expires_in"]
            elif word == "fail" and count <= int(numbers[0]):
                return self.answer(int(numbers[1]), {"error": "temporarily_unavailable"})
            elif word == "from" and int(numbers[0]) <= count <= int(numbers[1]):
                return self.answer(int(numbers[2]), {"error": "temporarily_unavailable"})
            elif word == "sleep":
                time.sleep(int(numbers[0]) / 1000)
            elif word == "refuse":
                return self.answer(400, {
                    "error": "invalid_client", "error_description": "I got %s with %s" % (
                        body.decode(), self.headers.get("Authorization"))})
            elif word == "bare":
                return self.answer(400, {
                    "error": "invalid_client",
                    "error_description": "not " + self.headers["Authorization"].split()[1]})
            elif word == "denied":
                return self.answer(200, {"error": "bad_code", "error_description": "The code is wrong."})
            elif word == "none":
                return self.answer(200, {"expires_in": 3600})
            elif word == "html":
                return self.answer(200, b"<html>sign in</html>")
            elif word == "other":
                reply["token_type"] = "mac"
            elif word == "moved":
                return self.answer(302, b"", Location="/token")
            elif word == "rotate":
                if form.get("refresh_token") != latest["refresh"]:
                    return self.answer(400, {"error": "invalid_grant",
                                             "error_description": "the refresh token is not the latest"})
                latest["refresh"] = reply["refresh_token"] = "refresh-%d" % count
        token = reply.get("access_token") or reply["id_token"]
        tokens[token] = time.time() + reply.get("expires_in", 3600)
        return self.answer(200, reply)

    def do_api(self, steps, body, count):
        given = self.headers.get("Authorization", "").partition("Bearer ")[2]
        if tokens.get(given, 0) < time.time():
            return self.answer(401, {"error": "the token is unknown or over"})
        if "once" in steps:
            if given in shown:
                return self.answer(401, {"error": "the token was revoked"})
            shown.add(given)
        for step in steps:
            if step.startswith("sleep-"):
                time.sleep(int(step[6:]) / 1000)
        if "tell" in steps:
            return self.answer(400, {"error": "I got " + self.headers["Authorization"]})
        if "bare" in steps:
            return self.answer(400, {"error": "I got " + given})
        return self.answer(200, body)

    def do_aws(self, steps, body, count):
        check_aws(self.command, self.path, self.headers, body, steps[0], steps[1],
                  time.time() + self.shift)
        packed = self.headers.get("Content-Encoding") == "gzip"
        return self.answer(200, {"signed": True} if packed or not body else body)

    def do_hook(self, steps, body, count):
        good = check_hook(self.headers, body)
        for step in steps:
            word, *numbers = step.split("-")
            if word == "first" and count <= int(numbers[0]):
                return self.answer(int(numbers[1]), {"error": "not yet"})
            if word == "sleep":
                time.sleep(int(numbers[0]) / 1000)
            if word == "refuse":
                return self.answer(400, {"error": "not wanted"})
            if word == "tell":
                return self.answer(400, {"error": " or ".join(
                    base64.b64encode(HOOK_SECRETS[name]).decode() for name in good)})
            if word == "status":
                return self.answer(int(numbers[0]), {"error": "not here"})
            if word == "long":
                return self.answer(200, b"x" * 5000)
            if word == "cut":
                self.close_connection = True
                return self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ntaken")
            if word == "gone" and (json.loads(body)["record"] or {}).get("note") == "gone":
                return self.answer(410, {"error": "gone"})
        return self.answer(200, {"good": good})

    do_GET = do_POST = do_PUT = do_PATCH = do


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 512


if __name__ == "__main__":
    Peer.log = open(sys.argv[1], "a", encoding="utf-8")
    server = Server(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 0), Peer)
    print(server.server_address[1], flush=True)
    server.serve_forever()
