"""Single calls: from warm sessions, from many, from fresh ones."""

from harness import median, percentile

CALL = "SELECT modal_remote('local:builtin/echo', 1);\n"


def run(bench):
    calls = 1000 if bench.quick else 10_000
    bench.build_programs()
    bench.sql(CALL)

    warm = bench.pgbench(CALL, "-c", "1", "-M", "prepared", "-t", str(calls))
    bench.figure("remote.p50_us", percentile(warm, 0.50), "us")
    bench.figure("remote.p99_us", percentile(warm, 0.99), "us")

    many = bench.pgbench(CALL, "-c", "32", "-j", "2", "-M", "prepared",
                         "-t", str(calls // 10))
    bench.figure("remote.c32_p50_us", percentile(many, 0.50), "us")
    bench.figure("remote.c32_p99_us", percentile(many, 0.99), "us")

    # pgbench's clock starts after the connection is made: this is the time of
    # a session's first call, catalog caches cold.
    fresh = bench.pgbench(CALL, "-C", "-c", "1", "-t", str(calls // 5))
    bench.figure("remote.fresh_p50_us", percentile(fresh, 0.50), "us")
    bench.figure("remote.fresh_p99_us", percentile(fresh, 0.99), "us")

    # What a session's first statement costs without a remote call in it.
    cold = bench.pgbench("SELECT jsonb_build_array(1);\n", "-C", "-c", "1",
                         "-t", str(calls // 5))
    bench.figure("remote.fresh_local_p50_us", percentile(cold, 0.50), "us")

    bare = [float(line) for line in bench.program(
        "curl_remote", bench.env["MODAL_LOCAL_URL"], bench.env["MODAL_LOCAL_CA"],
        str(calls)).split()]
    bench.figure("remote.bare_libcurl_p50_us", median(bare), "us")
    bench.figure("remote.warm_overhead_us", median(warm) - median(bare), "us")
    bench.figure("remote.overhead_us", median(fresh) - median(bare), "us")
