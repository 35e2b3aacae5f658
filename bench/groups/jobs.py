"""Durable jobs: what recording, running and writing back cost."""

import time

from harness import Meanwhile, MemoryPeak, cpu_us, median, percentile, timed

INPUTS = 100_000
MILLION = 1_000_000
TRANSACTIONS = 20_000
CLIENTS = 4
LISTS, LIST_ROWS = 1_000, 100
LIVE_RATE = 1_000
LIVE_S = 5
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
CREATE TABLE jobs_bench.pages (doc int, n int, result int, PRIMARY KEY (doc, n));
CREATE TABLE jobs_bench.pages_copied (LIKE jobs_bench.pages INCLUDING ALL);
CREATE SEQUENCE jobs_bench.live START 10000000;
CREATE TABLE jobs_bench.filled (id int PRIMARY KEY, n int, n2 int, made timestamptz, done timestamptz);
CREATE FUNCTION jobs_bench.note_done() RETURNS trigger LANGUAGE plpgsql AS
	'BEGIN NEW.done = clock_timestamp(); RETURN NEW; END';
CREATE TRIGGER note_done BEFORE UPDATE OF n2 ON jobs_bench.filled
	FOR EACH ROW WHEN (NEW.made IS NOT NULL) EXECUTE FUNCTION jobs_bench.note_done();
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

    def poll(self, job):
        while self.query("SELECT state FROM modal_batch.job WHERE id = %s" % job) != "completed":
            time.sleep(0.1)

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
    """Of many jobs, which may become one, until none is left."""
    while jobs.query("SELECT 1 FROM modal_batch.job WHERE finished_at IS NULL LIMIT 1") != "":
        time.sleep(0.01)
    failed = jobs.query("SELECT count(*) FROM modal_batch.job WHERE state <> 'completed'")
    if failed != "0":
        raise RuntimeError("%s jobs have not completed" % failed)


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
    sessions = [jobs.bench.session() for _ in range(CLIENTS)]
    each = TRANSACTIONS // CLIENTS

    def change(table):
        for n, session in enumerate(sessions):
            session.start("DO $$ BEGIN FOR i IN 1..%d LOOP INSERT INTO jobs_bench.%s "
                          "VALUES (%d + i, i); COMMIT; END LOOP; END $$" % (each, table, n * each))
        for session in sessions:
            session.answer()

    plain, rates = [], []
    for _ in range(rounds):
        jobs.clear("plain", "triggered")
        jobs.query("DELETE FROM modal_batch.job; DELETE FROM modal_batch.joined_job")
        plain.append(TRANSACTIONS / timed(lambda: change("plain")))
        rates.append(TRANSACTIONS / timed(lambda: (change("triggered"), wait_for_all(jobs))))
        wrong = jobs.query("SELECT count(*) FROM jobs_bench.triggered WHERE n2 IS DISTINCT FROM n")
        if wrong != "0":
            raise RuntimeError("%s rows have no result" % wrong)
    for session in sessions:
        session.close()
    jobs.bench.figure("one_row_transactions_per_s", round(median(plain)), "1/s")
    jobs.bench.figure("one_row_jobs_per_s", round(median(rates)), "1/s")


def replace(jobs, rounds):
    """Lists that become rows, against INSERT ... SELECT of the same rows."""
    query = ("SELECT d AS doc, to_jsonb(ARRAY(SELECT d + n FROM generate_series(1, %d) n)) "
             "FROM generate_series(1, %d) d" % (LIST_ROWS, LISTS))
    call = ("SELECT modal_spawn_map('local:builtin/echo', $$%s$$, key => '{doc}', "
            "into_table => 'jobs_bench.pages', mode => 'replace', ordinality_column => 'n')" % query)
    rows = LISTS * LIST_ROWS
    rates, ratios, again = [], [], []
    for _ in range(rounds):
        jobs.clear("pages", "pages_copied")
        drain_s = jobs.drain(jobs.query(call))
        jobs.count("pages", rows)
        insert_s = timed(lambda: jobs.query(
            "INSERT INTO jobs_bench.pages_copied SELECT * FROM jobs_bench.pages"))
        rates.append(rows / drain_s)
        ratios.append(insert_s / drain_s)
        again.append(rows / jobs.drain(jobs.query(call)))
        jobs.count("pages", rows)
    jobs.bench.figure("replace.rows_per_s", round(median(rates)), "1/s")
    jobs.bench.figure("replace.ratio_to_insert", median(ratios), "ratio")
    jobs.bench.figure("replace.again_rows_per_s", round(median(again)), "1/s")


class Live(Meanwhile):
    """Rows that come meanwhile, so many a second."""

    def __init__(self, bench):
        super().__init__()
        self.bench = bench

    def run(self):
        while not self.done.is_set():
            self.bench.pgbench(
                "INSERT INTO jobs_bench.filled (id, n, made) "
                "VALUES (nextval('jobs_bench.live'), 1, clock_timestamp());",
                "-R", str(LIVE_RATE), "-T", "1", "-M", "prepared")


def backfill(jobs):
    """How long rows that come wait for their result, without and beside a backfill."""
    def latency_ms(begin, end):
        return percentile([float(ms) for ms in jobs.query(
            "SELECT extract(epoch FROM done - made) * 1000 FROM jobs_bench.filled "
            "WHERE made BETWEEN '%s' AND '%s'" % (begin, end)).split()], 0.99)

    def now():
        return jobs.query("SELECT clock_timestamp()")

    jobs.query("INSERT INTO jobs_bench.filled SELECT g, g FROM generate_series(1, %d) g" % MILLION)
    jobs.query("VACUUM ANALYZE jobs_bench.filled")
    jobs.query("SELECT modal_generate_column('jobs_bench.filled', 'n2', 'local:builtin/echo', "
               "'{n}', backfill => false)")
    with Live(jobs.bench):
        time.sleep(1)
        alone = now()
        time.sleep(LIVE_S)
        alone_end = now()
        job = jobs.query("SELECT modal_regenerate('jobs_bench.filled', 'n2')")
        begun = now()
        # a session that waits would hold a snapshot all the while
        seconds = timed(lambda: jobs.poll(job))
        ended = now()
    wait_for_all(jobs)
    alone_ms, beside_ms = latency_ms(alone, alone_end), latency_ms(begun, ended)
    jobs.bench.figure("backfill.rows_per_s", round(MILLION / seconds), "1/s")
    jobs.bench.figure("backfill.live_p99_alone_ms", alone_ms, "ms")
    jobs.bench.figure("backfill.live_p99_ms", beside_ms, "ms")
    jobs.bench.figure("backfill.latency_ratio", beside_ms / alone_ms, "ratio")


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
    replace(jobs, rounds)
    backfill(jobs)
    jobs.session.close()
