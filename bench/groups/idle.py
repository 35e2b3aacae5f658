"""Does anything wake up while there is nothing to do?"""

import time

from harness import voluntary_switches

SECONDS = 10


def run(bench):
    session = bench.session()
    session.query("SELECT count(*) FROM modal_map('local:builtin/echo', "
                  "'SELECT g FROM generate_series(1, 1000) g')")
    # What follows a call once must be over: modal-local forgets it after 5 s,
    # and PostgreSQL itself sends an idle session's statistics after 10 s.
    time.sleep(12)
    processes = bench.worker_pids() + [session.pid, bench.local_pid]
    before = {pid: voluntary_switches(pid) for pid in processes}
    time.sleep(SECONDS)
    woken = {pid: voluntary_switches(pid) - before[pid] for pid in processes}
    bench.say("wake-ups by process: %s" % woken)
    session.close()
    bench.figure("idle.wakeups", sum(woken.values()), "per %d s" % SECONDS)
