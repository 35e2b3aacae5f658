"""What statements that end early have sent, of a map over a million rows."""

import time

from harness import median, timed

MAP = "modal_map('local:builtin/echo', 'SELECT generate_series(1, 1000000)')"
SENT = ("SELECT coalesce(sum(calls), 0), coalesce(sum(inputs), 0) "
        "FROM modal_batch.stat_functions WHERE function = 'local:builtin/echo'")
WAYS = {
    "limit": ["SELECT result FROM %s LIMIT 10" % MAP],
    "limit.select_list": ["SELECT %s LIMIT 10" % MAP],
    "limit.fetch": ["BEGIN", "DECLARE c CURSOR FOR SELECT result FROM %s" % MAP,
                    "FETCH 10 FROM c", "COMMIT"],
}


def run(bench):
    session = bench.session()

    def counts():
        return [int(n) for n in session.query(SENT).split("|")]

    def sent(statements):
        """Calls are counted when they have ended, which a cancelled one does in its time."""
        calls, inputs = counts()
        for statement in statements:
            session.query(statement)
        until = time.monotonic() + 20
        while counts()[0] == calls and time.monotonic() < until:
            time.sleep(0.05)
        return counts()[1] - inputs

    sent(["SELECT modal_remote('local:builtin/echo', 1)"])
    for name, statements in WAYS.items():
        bench.figure(name + ".inputs_sent", sent(statements), "inputs")
    bench.figure("limit.ms", 1000 * median([timed(lambda: session.query(WAYS["limit"][0]))
                                            for _ in range(9)]), "ms")
    session.close()
