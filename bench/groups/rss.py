"""Does memory grow with the number of rows?"""

from harness import MemoryPeak

MAP = ("SELECT count(*) FROM modal_map('local:builtin/echo', "
       "'SELECT g FROM generate_series(1, %d) g')")


def run(bench):
    dispatcher = bench.dispatcher_pids()[0]

    def peaks(inputs):
        session = bench.session()
        session.query(MAP % 1000)
        with MemoryPeak(session.pid, dispatcher) as memory:
            session.query(MAP % inputs)
        session.close()
        return memory.peaks[session.pid], memory.peaks[dispatcher]

    small = peaks(10_000)
    large = peaks(1_000_000)
    bench.figure("rss.session_growth_mb", large[0] - small[0], "MB")
    bench.figure("rss.dispatcher_growth_mb", large[1] - small[1], "MB")
