"""What people really send: embeddings of 1,536 floats, texts of 10 kB, and files of 20 MB."""

import os
import struct
import tempfile

from harness import cpu_us, median, timed

WIDTH = 1536
BYTES = 9 * WIDTH  # of so many floats in CBOR
FILE = 20_000_000
COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
SETUP = """
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS payload_bench CASCADE;
CREATE SCHEMA payload_bench;
CREATE UNLOGGED TABLE payload_bench.text (id int PRIMARY KEY, v text);
CREATE FUNCTION payload_bench.as_bytes(int) RETURNS bytea LANGUAGE modal AS 'local:builtin/large';
CREATE FUNCTION payload_bench.as_jsonb(int) RETURNS jsonb LANGUAGE modal AS 'local:builtin/floats';
CREATE FUNCTION payload_bench.echo(bytea) RETURNS bytea LANGUAGE modal AS 'local:builtin/echo';
-- Seconds of one call, for one who has the argument in memory and wants the result there.
CREATE FUNCTION payload_bench.echo_s(bytes int) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    value bytea := decode(repeat(md5(bytes::text), bytes / 16), 'hex');
    started timestamptz := clock_timestamp();
    result bytea := payload_bench.echo(value);
    ended timestamptz := clock_timestamp();
BEGIN
    ASSERT result = value;
    RETURN extract(epoch FROM ended - started);
END $$;
"""
TYPED = """
CREATE FUNCTION payload_bench.as_{name}(int) RETURNS {type} LANGUAGE modal AS 'local:builtin/floats';
CREATE UNLOGGED TABLE payload_bench.{name} (id int PRIMARY KEY, v {column});
CREATE UNLOGGED TABLE payload_bench.{name}_copy (id int PRIMARY KEY, v {column});
"""


def floats():
    """What the remote function returns."""
    return [struct.unpack("f", struct.pack("f", 1 / (i + 1)))[0] for i in range(WIDTH)]


def array_bytes(numbers):
    """As float4[] is sent."""
    return struct.pack(">iiIii", 1, 0, 700, len(numbers), 1) + b"".join(
        struct.pack(">if", 4, v) for v in numbers)


def vector_bytes(numbers):
    """As pgvector's vector is sent."""
    return struct.pack(">HH", len(numbers), 0) + b"".join(struct.pack(">f", v) for v in numbers)


class Payload:
    def __init__(self, bench):
        self.bench = bench
        self.rows = 2_000 if bench.quick else 5_000
        self.rounds = 5 if bench.quick else 9
        self.numbers = floats()
        bench.sql(SETUP)
        self.session = bench.session()

    def calls(self, function, size=WIDTH):
        """So many calls, one value a row."""
        return "SELECT g, payload_bench.%s(%d) FROM generate_series(1, %d) g" % (function, size, self.rows)

    def session_us(self, function):
        """CPU time of the session, a row, less that of as many bytes as bytea."""
        def once(name, size):
            before = cpu_us(self.session.pid)
            self.session.query("SELECT count(r) FROM (%s) q(g, r)" % self.calls(name, size))
            return (cpu_us(self.session.pid) - before) / self.rows

        once(function, WIDTH)
        once("as_bytes", BYTES)
        return median([once(function, WIDTH) - once("as_bytes", BYTES) for _ in range(self.rounds)])

    def ratio_to_copy(self, name, column, sent):
        """An INSERT … SELECT of typed calls, and a job, against COPY BINARY."""
        os.sync()  # what was written before is not to be waited for in the middle of this
        self.bench.sql(TYPED.format(name=name, type=column.split("(")[0], column=column))
        table = "payload_bench." + name
        with tempfile.NamedTemporaryFile(suffix=".copy") as f:
            f.write(COPY_HEADER)
            for row in range(self.rows):
                f.write(struct.pack(">hiii", 2, 4, row, len(sent)) + sent)
            f.write(struct.pack(">h", -1))
            f.flush()
            os.chmod(f.name, 0o644)
            query = self.session.query
            rows = "SELECT g AS id, %d AS n FROM generate_series(1, %d) g" % (WIDTH, self.rows)
            ways = {
                "copy": lambda: query("COPY %s_copy FROM '%s' (FORMAT binary)" % (table, f.name)),
                "insert": lambda: query("INSERT INTO %s %s" % (table, self.calls("as_" + name))),
                "job": lambda: self.job(table, "floats", rows),
                "inline_job": lambda: self.job(table, "floats", rows, "wide"),
            }
            rates = {what: [] for what in ways}
            for round_ in range(self.rounds + 1):
                for what, way in ways.items():
                    query("TRUNCATE %s, %s_copy" % (table, table))
                    seconds = timed(way)
                    if round_ > 0:
                        rates[what].append(self.rows / seconds)
        self.bench.figure("payload.copy_%s_rows_per_s" % name, round(median(rates["copy"])), "1/s")
        for what, figure in (("insert", name), ("job", name + "_job"), ("inline_job", name + "_inline_job")):
            self.bench.figure("payload.%s.rows_per_s" % figure, round(median(rates[what])), "1/s")
            self.bench.figure(
                "payload.%s.ratio_to_copy" % figure,
                median([r / c for r, c in zip(rates[what], rates["copy"])]), "ratio")

    def text_job_to_map(self, figure, server):
        """
        A job with texts of 10 kB and their echo, against a map of the same, also into the table; and what a job
        could be at best: the texts made and stored, with no function at all, against the map.
        """
        query = ("SELECT g AS id, left(repeat(md5(g::text), 320), 10000) AS body"
                 " FROM generate_series(1, %d) g" % self.rows)
        mapped = ("FROM modal_map('%s:builtin/echo', '%s', key => '{id}')"
                  % (server, query.replace("'", "''")))
        ratios = {"map": [], "insert": [], "best": []}
        insert = "INSERT INTO payload_bench.text "
        os.sync()
        for _ in range(self.rounds):
            self.session.query("TRUNCATE payload_bench.text")
            job = timed(lambda: self.job("payload_bench.text", "echo", query, server))
            mapping = timed(lambda: self.session.query("SELECT count(*) " + mapped))
            ratios["map"].append(mapping / job)
            self.session.query("TRUNCATE payload_bench.text")
            ratios["insert"].append(timed(lambda: self.session.query(
                insert + "SELECT (input->>'id')::int, result #>> '{}' " + mapped)) / job)
            self.session.query("TRUNCATE payload_bench.text")
            ratios["best"].append(mapping / timed(lambda: self.session.query(insert + query)))
        for what in ("map", "insert"):
            self.bench.figure("payload.%s.ratio_to_%s" % (figure, what), median(ratios[what]), "ratio")
        self.bench.figure("payload.%s.best_ratio_to_map" % figure, median(ratios["best"]), "ratio")

    def job(self, table, function, query, server="local"):
        job = self.session.query(
            "SELECT modal_spawn_map('%s:builtin/%s', '%s', key => '{id}', into_table => '%s',"
            " result_column => 'v')" % (server, function, query.replace("'", "''"), table))
        state = self.session.query("SELECT modal_wait(%s)" % job)
        if state != "completed":
            raise RuntimeError("job %s: %s" % (job, state))

    def file(self):
        """20 MB to a function and back, against bare libcurl, which does the same."""
        bench = self.bench

        def ours():
            return float(self.session.query("SELECT payload_bench.echo_s(%d)" % FILE))

        def bare():
            return median([float(us) / 1e6 for us in bench.program(
                "curl_remote", bench.env["MODAL_LOCAL_URL"], bench.env["MODAL_LOCAL_CA"], "3",
                str(FILE)).split()])

        os.sync()
        ours()
        times = [(ours(), bare()) for _ in range(2 * self.rounds)]
        bench.figure("payload.blob20m.mb_per_s",
                     median([FILE / 1e6 / seconds for seconds, _ in times]), "MB/s")
        bench.figure("payload.blob20m.ratio_to_bare_libcurl",
                     median([theirs / seconds for seconds, theirs in times]), "ratio")


def run(bench):
    payload = Payload(bench)

    def wide():
        """Modal says for each function what may travel inline: where it is more than the 8 KiB that apply if it says nothing."""
        return bench.other_local("wide", "--max-async-inline", "65536")

    with wide():
        payload.ratio_to_copy("float4_array", "float4[]", array_bytes(payload.numbers))
    bench.figure("payload.float4_array.session_us", payload.session_us("as_float4_array"), "us")
    bench.figure("payload.vector_jsonb.session_us", payload.session_us("as_jsonb"), "us")
    with wide():
        payload.text_job_to_map("text10k_job", "wide")
    payload.text_job_to_map("text10k_blob_job", "local")
    bench.build_programs()
    payload.file()
    if bench.value("SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'") == "1":
        bench.sql("SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS vector")
        with wide():
            payload.ratio_to_copy("vector", "vector(%d)" % WIDTH, vector_bytes(payload.numbers))
        bench.figure("payload.vector.session_us", payload.session_us("as_vector"), "us")
    else:
        bench.say("payload.vector: not measured, for want of pgvector")
    payload.session.close()
