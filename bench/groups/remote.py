"""Single calls: from warm sessions, from many, from fresh ones."""

from harness import median, percentile

# pgbench takes what follows a colon for a variable: the server is a setting.
CALL = "SELECT modal_remote('builtin/echo', 1);\n"

# The microseconds of each call, by the session's own clock.
TIMED_CALLS = """
    SELECT extract(epoch FROM b - a) * 1e6
    FROM (SELECT clock_timestamp() AS a, modal_remote('local:builtin/echo', g),
            clock_timestamp() AS b
        FROM generate_series(1, %d) g OFFSET 0) s"""


def run(bench):
    calls = 1000 if bench.quick else 10_000
    bench.build_programs()
    bench.env["PGOPTIONS"] = "-c modal_batch.server=local"
    bench.sql(CALL)

    warm = bench.pgbench(CALL, "-c", "1", "-M", "prepared", "-t", str(calls))
    bench.figure("remote.p50_us", percentile(warm, 0.50), "us")
    bench.figure("remote.p99_us", percentile(warm, 0.99), "us")

    many = bench.pgbench(CALL, "-c", "32", "-j", "2", "-M", "prepared",
                         "-t", str(calls // 10))
    bench.figure("remote.c32_p50_us", percentile(many, 0.50), "us")
    bench.figure("remote.c32_p99_us", percentile(many, 0.99), "us")

    # pgbench's clock starts after the connection is made: this is the time of
    # a session's first statement, catalog caches cold.
    fresh = bench.pgbench(CALL, "-C", "-c", "1", "-t", str(calls // 5))
    bench.figure("remote.fresh_p50_us", percentile(fresh, 0.50), "us")
    bench.figure("remote.fresh_p99_us", percentile(fresh, 0.99), "us")

    # What a session's first statement costs without a remote call in it.
    cold = bench.pgbench("SELECT jsonb_build_array(1);\n", "-C", "-c", "1",
                         "-t", str(calls // 5))
    bench.figure("remote.fresh_local_p50_us", percentile(cold, 0.50), "us")
    del bench.env["PGOPTIONS"]

    def inside():
        session = bench.session()
        times = [float(us) for us in session.query(TIMED_CALLS % (calls // 5)).split()]
        session.close()
        return times

    def bare():
        return [float(us) for us in bench.program(
            "curl_remote", bench.env["MODAL_LOCAL_URL"], bench.env["MODAL_LOCAL_CA"],
            str(calls // 5)).split()]

    rounds = [(inside(), bare()) for _ in range(5)]
    session_us = median([us for times, _ in rounds for us in times])
    bare_us = median([us for _, times in rounds for us in times])
    bench.figure("remote.session_p50_us", session_us, "us")
    bench.figure("remote.bare_libcurl_p50_us", bare_us, "us")
    bench.figure("remote.overhead_us",
                 median([median(ours) - median(theirs) for ours, theirs in rounds]), "us")
    bench.figure("remote.fresh_overhead_us", median(fresh) - median(cold) - bare_us, "us")
