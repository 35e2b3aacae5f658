"""Durable jobs: what recording, running and writing back cost."""

import time

from harness import MemoryPeak, cpu_us, median, timed

INPUTS = 100_000
TRANSACTIONS = 2_000
MILLION = 1_000_000
ROWS = "SELECT g AS id, g AS n FROM generate_series(1, %d) g"
SETUP = """
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS jobs_bench CASCADE;
CREATE SCHEMA jobs_bench;
CREATE TABLE jobs_bench.payloads (payload bytea);
CREATE TABLE jobs_bench.results (id int PRIMARY KEY, result int);
CREATE TABLE jobs_bench.copies (id int PRIMARY KEY, result int);
CREATE TABLE jobs_bench.plain (id int PRIMARY KEY, n int, n2 int);
CREATE TABLE jobs_bench.triggered (id int PRIMARY KEY, n int, n2 int);
CREATE TRIGGER square AFTER INSERT OR UPDATE ON jobs_bench.triggered
	FOR EACH ROW EXECUTE FUNCTION modal_trigger('local:builtin/echo', 'n', 'n2');
"""
OWN_TABLES = "'modal_batch.job', 'modal_batch.chunk', 'modal_batch.result'"


class Jobs:
    def __init__(self, bench):
        self.bench = bench
        bench.sql(SETUP)
        self.session = bench.session()
        self.query = self.session.query

    def spawn(self, inputs, **arguments):
        """Seconds to record and commit a job, and its number."""
        arguments.setdefault("key", "'{id}'")
        arguments.setdefault("into_table", "'jobs_bench.results'")
        call = "SELECT modal_spawn_map('local:builtin/echo', '%s'%s)" % (
            ROWS % inputs, "".join(", %s => %s" % a for a in arguments.items()))
        job = []
        seconds = timed(lambda: job.append(self.query(call)))
        return seconds, job[0]

    def wait(self, job):
        state = self.query("SELECT modal_wait(%s)" % job)
        if state != "completed":
            raise RuntimeError("job %s: %s" % (job, state))

    def drain(self, job):
        """Seconds until a job that has just been committed is done."""
        return timed(lambda: self.wait(job))

    def clear(self, *tables):
        for table in tables:
            self.query("TRUNCATE jobs_bench.%s" % table)
            self.query("VACUUM jobs_bench.%s" % table)

    def count(self, table, expected):
        found = int(self.query("SELECT count(*) FROM jobs_bench.%s" % table))
        if found != expected:
            raise RuntimeError("%d rows in %s, not %d" % (found, table, expected))

    def wal(self):
        return int(self.query("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"))

    def own_mb(self):
        return float(self.query(
            "SELECT sum(pg_total_relation_size(t)) / 1048576.0 FROM unnest(ARRAY[%s]) t"
            % OWN_TABLES))

    def runner_pid(self):
        return int(self.query("SELECT pid FROM pg_stat_activity WHERE datname = "
                              "current_database() AND backend_type = 'modal_batch runner'"))

    def processes(self):
        return {"runner": self.runner_pid(), "dispatcher": self.bench.dispatcher_pids()[0],
                "modal_local": self.bench.local_pid}


def throughput(jobs, rounds):
    """Enqueue and drain, and what they are compared with, in turns."""
    bench = jobs.bench
    figures = {}

    def note(name, value):
        figures.setdefault(name, []).append(value)

    def insert_payloads():
        jobs.query("INSERT INTO jobs_bench.payloads SELECT int4send(id) || int4send(n) FROM (%s) q"
                   % (ROWS % INPUTS))

    def copy_results():
        jobs.query("INSERT INTO jobs_bench.copies SELECT * FROM jobs_bench.results")

    def one_map():
        jobs.query("SELECT count(*) FROM modal_map('local:builtin/echo', "
                   "'SELECT g FROM generate_series(1, %d) g')" % INPUTS)

    jobs.drain(jobs.spawn(1000)[1])
    one_map()
    for _ in range(rounds):
        jobs.clear("payloads", "results", "copies")
        insert_s = timed(insert_payloads)
        before = {name: cpu_us(pid) for name, pid in jobs.processes().items()}
        wal = jobs.wal()
        enqueue_s, job = jobs.spawn(INPUTS)
        enqueue_wal = jobs.wal()
        drain_s = jobs.drain(job)
        note("wal", (jobs.wal() - wal) / INPUTS)
        note("enqueue_wal", (enqueue_wal - wal) / INPUTS)
        for name, pid in jobs.processes().items():
            note(name, (cpu_us(pid) - before[name]) / INPUTS)
        jobs.count("results", INPUTS)
        ceiling = min(INPUTS / timed(copy_results), INPUTS / timed(one_map))
        note("enqueue", INPUTS / enqueue_s)
        note("enqueue_ratio", insert_s / enqueue_s)
        note("drain", INPUTS / drain_s)
        note("drain_ratio", INPUTS / drain_s / ceiling)

    bench.figure("enqueue.rows_per_s", round(median(figures["enqueue"])), "1/s")
    bench.figure("enqueue.ratio_to_insert", median(figures["enqueue_ratio"]), "ratio")
    bench.figure("drain.rows_per_s", round(median(figures["drain"])), "1/s")
    bench.figure("drain.ratio_to_ceiling", median(figures["drain_ratio"]), "ratio")
    for name in "runner", "dispatcher", "modal_local":
        bench.figure("drain.%s_cpu_us" % name, median(figures[name]), "us/input")
    bench.figure("wal_bytes_per_input", median(figures["wal"]), "B")
    bench.figure("enqueue.wal_bytes_per_input", median(figures["enqueue_wal"]), "B")


def wait_for_all(jobs):
    for job in jobs.query("SELECT id FROM modal_batch.job WHERE finished_at IS NULL").split():
        jobs.wait(job)


def trigger_overhead(jobs, rounds):
    ratios = []
    for _ in range(rounds):
        jobs.clear("plain", "triggered")
        plain, triggered = (
            timed(lambda: jobs.query("INSERT INTO jobs_bench.%s SELECT id, n FROM (%s) q"
                                     % (table, ROWS % INPUTS)))
            for table in ("plain", "triggered"))
        ratios.append(triggered / plain)
        wait_for_all(jobs)
    jobs.bench.figure("trigger.overhead_ratio", median(ratios), "ratio")


def one_row_jobs(jobs, rounds):
    """From the first of many transactions that change one row to the end of their jobs."""
    jobs.clear("triggered")
    rates = []
    for n in range(rounds):
        changes = ("DO $$ BEGIN FOR i IN 1..%d LOOP INSERT INTO jobs_bench.triggered "
                   "VALUES (%d + i, i); COMMIT; END LOOP; END $$" % (TRANSACTIONS, n * TRANSACTIONS))
        rates.append(TRANSACTIONS / timed(lambda: (jobs.query(changes), wait_for_all(jobs))))
    jobs.bench.figure("one_row_jobs_per_s", round(median(rates)), "1/s")


def latency(jobs, rounds, before_each=lambda: None):
    """From sending the statement that commits until the remote function runs."""
    starts, ends = [], []
    for _ in range(rounds):
        before_each()
        sent = float(jobs.query("SELECT extract(epoch FROM clock_timestamp())"))
        job = jobs.query("SELECT modal_spawn('local:builtin/echo', 1)")
        jobs.wait(job)
        ended = float(jobs.query("SELECT extract(epoch FROM clock_timestamp())"))
        started = float(jobs.query("SELECT extract(epoch FROM started_at) FROM modal_results(%s)"
                                   % job))
        starts.append((started - sent) * 1000)
        ends.append((ended - sent) * 1000)
    return median(starts), median(ends)


def start_latency(jobs, rounds):
    """With a runner that waits for work, and with none, which must be started."""
    def until_runner_left():
        while jobs.query("SELECT pid FROM pg_stat_activity "
                         "WHERE backend_type = 'modal_batch runner'"):
            time.sleep(0.01)

    def set_idle_timeout(action):
        jobs.query("ALTER SYSTEM %s" % action)
        jobs.query("SELECT pg_reload_conf()")

    bench = jobs.bench
    bench.figure("start_latency_ms", latency(jobs, rounds)[0], "ms")
    set_idle_timeout("SET modal_batch.runner_idle_timeout = 0")
    cold = latency(jobs, rounds, before_each=until_runner_left)[0]
    set_idle_timeout("RESET modal_batch.runner_idle_timeout")
    bench.figure("start_latency_cold_ms", cold, "ms")


def view(jobs, rounds):
    """What it costs to look at a thousand large jobs."""
    jobs.query("INSERT INTO modal_batch.job (id, owner, function, state, finished_at, format, "
               "inputs, succeeded, mode, search_path) SELECT -g, current_user::regrole, "
               "'local:builtin/echo', 'completed', now(), 'cbor', 1000000, 1000000, 'result', '' "
               "FROM generate_series(1, 1000) g")
    seconds = [timed(lambda: jobs.query("SELECT * FROM modal_batch.jobs")) for _ in range(rounds)]
    jobs.query("DELETE FROM modal_batch.job WHERE id < 0")
    jobs.bench.figure("jobs_view_ms", median(seconds) * 1000, "ms")


def million(jobs, rounds):
    """Memory, and a one-row job beside a job of a million."""
    bench = jobs.bench
    jobs.clear("results")
    jobs.drain(jobs.spawn(10_000)[1])
    pids = dict(jobs.processes(), session=jobs.session.pid)
    jobs.clear("results")
    with MemoryPeak(*pids.values()) as small:
        jobs.drain(jobs.spawn(10_000)[1])
    jobs.clear("results")
    with MemoryPeak(*pids.values()) as large:
        enqueue_s, job = jobs.spawn(MILLION)
        starts, ends = latency(jobs, rounds)
        drain_s = jobs.drain(job)
    jobs.count("results", MILLION)
    left = int(jobs.query("SELECT count(*) FROM modal_batch.chunk"))
    bench.figure("million.enqueue_rows_per_s", round(MILLION / enqueue_s), "1/s")
    bench.figure("million.drain_rows_per_s", round(MILLION / drain_s), "1/s")
    for name, pid in pids.items():
        if name != "modal_local":
            bench.figure("million.%s_growth_mb" % name,
                         large.peaks[pid] - small.peaks[pid], "MB")
    bench.figure("million.chunks_left", left, "rows")
    bench.figure("job.behind_start_ms", starts, "ms")
    bench.figure("job.behind_ms", ends, "ms")


def run(bench):
    jobs = Jobs(bench)
    bench.sql("DELETE FROM modal_batch.job; DELETE FROM modal_batch.result;"
              "VACUUM FULL modal_batch.job, modal_batch.chunk, modal_batch.result;")
    own_mb = jobs.own_mb()
    rounds = 5 if bench.quick else 10
    throughput(jobs, rounds)
    if rounds < 10:
        for _ in range(10 - rounds):
            jobs.clear("results")
            jobs.drain(jobs.spawn(INPUTS)[1])
    bench.figure("bloat_mb", jobs.own_mb() - own_mb, "MB")
    trigger_overhead(jobs, rounds)
    start_latency(jobs, 20)
    view(jobs, 9)
    million(jobs, 9)
    one_row_jobs(jobs, rounds)
    jobs.session.close()
