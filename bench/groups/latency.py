"""Is the window full all the time?  A function that only waits tells."""

from harness import median, timed

WINDOW = 1000
DELAY_S = 0.05


def run(bench):
    inputs = 40_000 if bench.quick else 100_000
    session = bench.session()
    query = ("SELECT count(*) FROM modal_map('local:builtin/sleep', "
             "'SELECT %g::float8, g FROM generate_series(1, %d) g')" % (DELAY_S, inputs))
    session.query(query)
    rates = [inputs / timed(lambda: session.query(query)) for _ in range(3)]
    session.close()
    bench.figure("latency.inputs_per_s", round(median(rates)), "1/s")
    bench.figure("latency.share", median(rates) / (WINDOW / DELAY_S), "ratio")
