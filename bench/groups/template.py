"""Formats that are templates, against one that is code, and against Python."""

import http.client
import json
import os
import struct
import subprocess
import sys

from harness import median, timed

ROWS_A_REQUEST = 100


class Api:
    def __init__(self, bench):
        self.process = subprocess.Popen(
            [sys.executable, os.path.join(bench.top, "bench", "api_server.py")],
            stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def stop(self):
        self.process.terminate()
        self.process.wait()


def server(bench, api, name, options):
    bench.sql("DROP SERVER IF EXISTS template_%s CASCADE; CREATE SERVER template_%s FOREIGN DATA "
              "WRAPPER modal_batch OPTIONS (protocol 'http', allow_http 'on', "
              "url 'http://127.0.0.1:%d', max_batch_rows '%d', %s);"
              % (name, name, api.port, ROWS_A_REQUEST, options))


def rate(session, function, rows):
    """Rows per second, each of which must have its result."""
    session.query("TRUNCATE template_result")
    seconds = timed(lambda: session.query(
        "INSERT INTO template_result SELECT ordinal, result FROM modal_map('template_%s', "
        "'SELECT ''~'' || g FROM generate_series(1, %d) g', ordered => false)" % (function, rows)))
    got = int(session.query("SELECT count(DISTINCT ordinal) FROM template_result "
                            "WHERE jsonb_array_length(result) = 3"))
    if got != rows:
        raise RuntimeError("%s: %d of %d rows have their result" % (function, got, rows))
    return rows / seconds


def batched(bench, session):
    rows = 100_000 if bench.quick else 300_000
    rates, ratios = [], []
    rate(session, "openai:v1/embeddings", 20_000)
    rate(session, "bigquery:calls", 20_000)
    for _ in range(3 if bench.quick else 5):
        rates.append(rate(session, "openai:v1/embeddings", rows))
        ratios.append(rates[-1] / rate(session, "bigquery:calls", rows))
    bench.figure("template.batched.rows_per_s", round(median(rates)), "1/s")
    bench.figure("template.batched.ratio_to_bigquery", median(ratios), "ratio")


def by_python(bench, api, rows):
    """The same vectors with json.loads and COPY BINARY; seconds."""
    def load():
        client = http.client.HTTPConnection("127.0.0.1", api.port)
        body = json.dumps({"input": ["~"] * ROWS_A_REQUEST})
        copy = subprocess.Popen(
            [os.path.join(bench.bin, "psql"), "-X", "-q", "-c",
             "COPY template_vector FROM STDIN (FORMAT binary)"], env=bench.env, stdin=subprocess.PIPE)
        copy.stdin.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
        # fields, bytes; dimensions, nulls, type; length, lower bound; elements
        row = struct.Struct(">hiiiIii" + "if" * 1536)
        for _ in range(rows // ROWS_A_REQUEST):
            client.request("POST", "/v1/long", body)
            for item in json.loads(client.getresponse().read())["data"]:
                floats = [x for value in item["embedding"] for x in (4, value)]
                copy.stdin.write(row.pack(1, row.size - 6, 1, 0, 700, 1536, 1, *floats))
        copy.stdin.write(b"\xff\xff")
        copy.stdin.close()
        if copy.wait() != 0:
            raise RuntimeError("COPY failed")
        client.close()

    return timed(load)


def vectors(bench, api, session):
    rows = 3_000 if bench.quick else 10_000
    bytes_a_row = 4 * 1536 / 1e6
    bench.sql("DROP TABLE IF EXISTS template_vector; CREATE UNLOGGED TABLE template_vector (v float4[]);"
              "CREATE OR REPLACE FUNCTION template_embed(text) RETURNS float4[] LANGUAGE modal "
              "AS 'template_openai:v1/long';")
    ours, ratios = [], []
    for _ in range(3):
        session.query("TRUNCATE template_vector")
        seconds = timed(lambda: session.query(
            "INSERT INTO template_vector SELECT template_embed('~' || g) "
            "FROM generate_series(1, %d) g" % rows))
        session.query("TRUNCATE template_vector")
        ours.append(rows * bytes_a_row / seconds)
        ratios.append(by_python(bench, api, rows) / seconds)
        if int(session.query("SELECT count(*) FROM template_vector WHERE array_length(v, 1) = 1536")) != rows:
            raise RuntimeError("rows are missing")
    bench.figure("template.vectors_mb_per_s", median(ours), "MB/s")
    bench.figure("template.vectors_ratio_to_python", median(ratios), "ratio")


def run(bench):
    api = Api(bench)
    try:
        bench.sql("DROP TABLE IF EXISTS template_result;"
                  "CREATE UNLOGGED TABLE template_result (ordinal bigint, result jsonb);")
        server(bench, api, "openai", "format 'openai-embeddings', parameters '{\"model\": \"m\"}'")
        server(bench, api, "bigquery", "format 'bigquery'")
        session = bench.session()
        batched(bench, session)
        vectors(bench, api, session)
        session.close()
    finally:
        api.stop()
