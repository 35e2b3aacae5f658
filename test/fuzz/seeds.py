"""Writes a few good inputs for each fuzz target: seeds.py directory

They go to directory/TARGET/NUMBER; the fuzzer finds the rest from there.
"""

import collections
import datetime
import decimal
import gzip
import os
import pickle
import struct
import sys
import uuid

CBOR = """
00 1818 1bffffffffffffffff 3bffffffffffffffff f97e00 fa47c35000
fb3ff199999999999a f4 f6 f7 f0 f8ff c249010000000000000000
c074323031332d30332d32315432303a30343a30305a c1fb41d452d9ec200000
c4822118641903e8 d82550000102030405060708090a0b0c0d0e0f d90102820102
d903ec6a323032342d30322d3239 d9d9f783010203 5f42010243030405ff
7f657374726561646d696e67ff 8301820203820405 9f018202039f0405ffff
a26161016162820203 bf61610161629f0203ffff a1820102f6 63e6b0b4
8280a0 82816568656c6c6fa1616b02 82816568656c6c6fb9000161736178
8282c074323031332d30332d32315432303a30343a30305ad82550000102030405060708090a0b0c0d0e0fa0
8283d901028101c48220190100c1fb41d452d9ec200000a16161f6
""".split()

NUMBERS = """
83fb3fb999999999999afa3f800000f93e00 8400181819ffff1a7fffffff 8220387f 81f97e00 811b0020000000000001
d84042ff01 d855480000803fcdcccc3d d8564800000000000000c0 d84d44fffe0080 d850443c007c00
""".split()

REFERENCES = """
app/f server:app/f@12 app/Class.method app/Class{"size":"a}"}.method@3#{"gpu":"H100"}
s:app/C{"a":[1,{}]}.m scorer:/v1/score?x=%20&y scorer:a/b#{"k":1} scorer: v1:x
scorer:{1}/x?q={a_b}#{"format":"tei"} scorer:a/../b https://host/x s:a%2525/%2fb?x=://y/.. s:a/%252e%252e/b s:a/..;x s:/@a%5cb
""".split()

JSON = [
    '[1, -0.50, 1e400, 123456789012345678901234567890]',
    '{"data": [[0, "a\\"\\u00fc\\n"], [1, null]], "x": {"y": [true, {}]}}',
    '"\u20ac \\ud83d\\ude00 \\u0000"', ' [ ] ', '[NaN, Infinity]', '{"a":1} {"a":2}',
]

# format (json, json-lines, bigquery, snowflake, redshift), rows less one, reply
HTTP_REPLIES = [
    b'\0\0{"a": [1, null]}', b'\1\1[1]\n"x"\n', b"\1\0[\n\n\n\n\n\nn",
    b'\2\1{"replies": [1, "x"]}',
    b'\2\1{"replies": [1, 2], "errors": [null, {"code": "E", "retryable": true}]}',
    b'\2\0{"errorMessage": "no \\u00e9"}', b'\3\1{"data": [[0, {}], [1, null]]}',
    b'\4\0{"success": true, "num_records": 1, "results": ["x"]}',
    b'\4\0"{\\"success\\":false,\\"error_msg\\":\\"no\\"}"',
]

# which form, rows less one, reply; or that it is a path (5), a template (6)
HTTP_FORMS = [
    b'\0\1{"data": [{"i": 1, "v": [1]}, {"v": 2, "i": 0}], "usage": {"total": 7}}',
    b'\0\0{"data": [{"i": 0, "error": {"code": "E", "message": "m", "retryable": true}}]}',
    b'\0\0{"error": {"message": "no \\u00e9"}}',
    b'\1\0{"choices": [{"text": "{\\"a\\": 1}", "why": "stop"}], "usage": {"a": 1.5}}',
    b'\1\0{"choices": [{"text": null, "refusal": "no"}]}',
    b'\2\1{"data": [1, 2, 3, 4], "shape": [2, 2]}', b'\2\1{"data": [[1], [2]], "shape": [2, 1]}',
    b'\3\0text', b'\4\1[[{"a": "1"}], [{"a": "[]"}]]',
    b'\5$.data[*]."a b"[0] ? (@ != "stop" && @ != null)', b'\5$ . a [ 12 ] ? (@ == 1 || @ == true)',
    b'\6{"input": "$rows", "n": "$count", "p": "$kwargs", "$kwargs": {"a": 1}}',
    b'\6{"x": {"$rows": ["$1", "$name", "$row"]}, "s": "$shape"}', b'\6["$$", "$1", {"$ref": "$2"}]',
]

OPTIONS = [
    "https://api.modal.com,https://api.modal2.com", "http://[::1]:9443/x?y#z",
    "A: b\nX-Custom: c: d\n", "Authorization: x", "Content-Length: 5", "-12.5e1",
    "json-lines", "https://user:pw@host",
]

REDACT = [
    b"\xfftoken ak-Abc123Def456 s3cretin aaaa",
    b"\xffhttps://user:pw@host/a?key=1 Bearer abcdef Basic dXNlcjpwdw==",
    b"\x10eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9.c2ln \xe2\x82\xac",
]

# FunctionGetOutputsResponse with a result, packed numbers, all wire types.
MESSAGES = """
220e0a060801 2a02f6f6100318012005 1a0301ac02 0d0000803f 11000000000000f03f
0a0366632d300a3801 9201011a 08ffffffffffffffffff01 2a03302d30 0800
""".split()

HTTP = [
    b"PUT /blobs/bl-1 HTTP/1.1\r\nContent-Length: 5\r\nContent-MD5: x\r\n\r\nhello"
    b"GET /blobs/bl-1 HTTP/1.1\r\n\r\n", b"GET /blobs/p1 HTTP/1.1\r\n\r\n",
    b"PUT /blobs/bl-2?part=3 HTTP/1.1\r\nExpect: 100-continue\r\ncontent-length:3\r\n\r\nabc"
    b"POST /blobs/bl-2?complete=3 HTTP/1.1\r\nContent-Length: 4\r\n\r\n<x/>",
    b"GET /blobs/short HTTP/1.1\r\n\r\n", b"PUT /blobs/x HTTP/1.1\r\n\r\n",
    b"PUT /blobs/f HTTP/1.1\r\nContent-Length: 7\r\n\r\nFAILURE",
    b"DELETE / HTTP/1.1\r\n\r\n", b"PUT /blobs/a HTTP/1.1\r\nContent-Length: 99999999999999\r\n\r\n",
]

VALUES = [
    None, [True, 1, -1, 300, 70000, 1 << 70, -1 << 70], 1.5, "text \u20ac",
    b"bytes", bytearray(b"array"), (1, 2, 3, 4), {"a": [1], "b": {2, 3}},
    frozenset((1,)), ["same"] * 3, collections.OrderedDict(a=1),
    datetime.datetime(2024, 2, 29, 23, 59, 58, 7),
    datetime.datetime(2024, 2, 29, tzinfo=datetime.timezone(
        datetime.timedelta(hours=-5, seconds=1))),
    datetime.date(2024, 2, 29), decimal.Decimal("-1.50E+7"),
    uuid.UUID(int=1 << 127 | 1), ValueError("bad", 1), len,
]


def text(data):
    return struct.pack("=I", len(data)) + data


def frames():
    def frame(kind, body):
        return struct.pack("=HHI", kind, 0, 1) + body

    options = text(b"url") + text(b"https://localhost") + text(b"empty") + text(b"")
    yield frame(1, struct.pack("=BBBIIQIqqq16s", 2, 0, 1, 1, 10, 1000, 0, 0, -1,
                               -1, b"0123456789abcdef") +
                text(options) + text(b"app/f") + text(b"s:app/f") + text(b"") +
                text(b"{}"))
    yield frame(2, struct.pack("=q", 0) + text(b"one") + struct.pack("=q", 1) +
                text(b""))
    yield frame(3, struct.pack("=QQ", 10, 7) + text(b"end"))
    yield frame(4, b"")
    yield frame(5, struct.pack("=QqQ", 1000, -1, 3))
    yield frame(65, text(b"fu-1") + text(b"fc-1") + struct.pack("=IIBB", 1, 100, 1, 0))
    yield frame(66, struct.pack("=qI", 0, 49))
    yield frame(67, struct.pack("=qBBHdd", 0, 1, 1, 1, 1.5, 2.5) + text(b"\xf6") +
                struct.pack("=qBBHddB5s", 1, 0, 1, 3, 0, 0, 1, b"38000") +
                text(b"ValueError") + text(b"bad") + text(b""))
    yield frame(69, text(b"careful"))
    yield frame(70, struct.pack("=BB5s", 0, 1, b"08006") + text(b"lost") +
                text(b"") + text(b"try") + struct.pack("=6Q", 1, 2, 3, 4, 5, 6))
    yield options


def compressed():
    for body in (b"", b'{"a": [1, 2, 3]}', b"x" * 200000):
        packed = gzip.compress(body, mtime=0)
        yield b"\xff\xff" + packed
        yield b"\0\0" + packed
        yield b"\x05\0" + packed[:-3]
        yield b"\x05\0" + packed + b"more"


def grpc():
    stream = b"".join(struct.pack(">BI", 0, size) + b"x" * size
                      for size in (5, 0, 1000, 17))
    yield b"\0\0" + stream
    yield b"\x10\0" + stream[:-3]
    yield b"\xff\xff" + stream + struct.pack(">BI", 0, 1001)
    yield b"\xff\xff" + struct.pack(">BI", 1, 0)


def main():
    calls = [bytes.fromhex(item) for item in CBOR]
    targets = {
        "bulk": [b'{"id": "batch_1", "status": "failed", "output_file_id": "file-2", "error_file_id": null, "errors": '
                 b'{"data": [{"code": "c", "line": 3, "message": "m"}, {"line": null}]}, "metadata": '
                 b'{"modal_batch_run": "r", "modal_batch_first": "0", "modal_batch_rows": "7"}}',
                 b'{"data": [{"id": "b", "status": "completed", "metadata": {"modal_batch_run": "r"}}]}',
                 b'{"custom_id": "1", "response": {"status_code": 200, "body": {}}, "error": {"code": "c", "message": "m"}}'],
        "cbor": calls,
        "frame": list(frames()),
        "grpc_frame": list(grpc()),
        "gunzip": list(compressed()),
        "http_format": HTTP_REPLIES,
        "http_reply": HTTP_FORMS,
        "http1": [cut + request for request in HTTP for cut in (b"\xff\xff", b"\2\0")],
        "json_split": [text.encode() for text in JSON],
        "modal_config": [b'[default]\ntoken_id = "ak-1"\n# x\n[w]\nactive = true\na = \'b\'\nc = "\\u00fc\\n"\n',
                         b"[default]\n'' = ''\n"],
        "numbers": [bytes.fromhex(item) for item in NUMBERS] +
                   [b"[0.1, -2.5e3,1E+2 ,7]", b" [ -0.0, 32767 ] ", b"[1,2,3]"],
        "oauth": [b'{"access_token": "a", "token_type": "Bearer", "expires_in": "3600", "refresh_token": "r"}',
                  b'{"id_token": "a.b.c"}', b'{"error": "invalid_client", "error_description": "no"}'],
        "option_value": [text.encode() for text in OPTIONS],
        "pb": [bytes.fromhex(message) for message in MESSAGES],
        "pickle": calls + [pickle.dumps(value, protocol) for value in VALUES
                           for protocol in (2, 4, 5)],
        "redact": REDACT,
        "reference": [reference.encode() for reference in REFERENCES],
        "retry": [b"0", b"7", b"1.5", b"0x10", b"9" * 30, b"Sun, 06 Nov 1994 08:50:37 GMT",
                  b"Sunday, 06-Nov-94 08:50:37 GMT", b"Sun Nov  6 08:50:37 1994"],
    }
    for target, seeds in targets.items():
        directory = os.path.join(sys.argv[1], target)
        os.makedirs(directory, exist_ok=True)
        for number, seed in enumerate(seeds):
            with open(os.path.join(directory, str(number)), "wb") as file:
                file.write(seed)


main()
