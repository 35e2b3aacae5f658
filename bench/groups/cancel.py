"""How soon is a session free again when its map is cancelled?"""

import time

from harness import median

MAP = ("SELECT count(*) FROM modal_map('local:builtin/sleep', "
       "'SELECT 60::float8, g FROM generate_series(1, 5000) g')")


def run(bench):
    session = bench.session(stop_on_error=False)
    other = bench.session()

    def wait_until(condition):
        while other.query("SELECT " + condition) != "t":
            time.sleep(0.01)

    def cancel():
        session.start(MAP)
        wait_until("EXISTS (SELECT FROM modal_batch.activity WHERE sent > 0)")
        begin = time.perf_counter()
        other.query("SELECT pg_cancel_backend(%d)" % session.pid)
        session.answer()
        seconds = time.perf_counter() - begin
        wait_until("NOT EXISTS (SELECT FROM modal_batch.activity)")
        return seconds

    times = [cancel() for _ in range(5 if bench.quick else 20)]
    session.close()
    other.close()
    bench.figure("cancel.session_free_p50_ms", median(times) * 1000, "ms")
    bench.figure("cancel.session_free_max_ms", max(times) * 1000, "ms")
