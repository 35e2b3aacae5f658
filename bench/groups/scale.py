"""Growth: what a row costs with many sessions, many rows, many databases.

Each figure is a ratio of the same work done in two ways, in turns.
"""

import concurrent.futures

from harness import cpu_us, median, timed

SETTINGS = """
max_connections = 300
max_worker_processes = 40
"""
SESSIONS = 256
DATABASES = 10
MAP = ("SELECT count(*) FROM modal_map('local:builtin/echo', "
       "'SELECT g FROM generate_series(1, %d) g')")
SETUP = """
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS scale_bench CASCADE;
CREATE SCHEMA scale_bench;
CREATE TABLE scale_bench.blobs (id int, result bytea);
"""


def ratio(rounds, small, large):
    """Median of large() / small(), in turns: the machine is not always as fast."""
    return median([large() / small() for _ in range(rounds)])


def dispatcher_cpu(bench):
    return sum(map(cpu_us, bench.dispatcher_pids()))


def run_job(session, call):
    """Records a job, and waits for its end."""
    job = session.query("SELECT modal_spawn_map(%s)" % call)
    if session.query("SELECT modal_wait(%s)" % job) != "completed":
        raise RuntimeError("job %s has not completed" % job)


def many_sessions(bench, rounds):
    """Dispatcher CPU per input of a map in each of many sessions, against one map of all."""
    inputs = 512_000 if bench.quick else 1_024_000
    sessions = [bench.session() for _ in range(SESSIONS)]

    def used(active, each):
        before = dispatcher_cpu(bench)
        for session in active:
            session.start(MAP % each)
        for session in active:
            session.answer()
        return (dispatcher_cpu(bench) - before) / inputs

    for session in sessions:
        session.query(MAP % 10)
    bench.figure("scale.dispatcher_us_256_to_1",
                 ratio(rounds, lambda: used(sessions[:1], inputs),
                       lambda: used(sessions, inputs // SESSIONS)), "ratio")
    bench.figure("scale.dispatcher_us", used(sessions[:1], inputs), "us/input")
    for session in sessions:
        session.close()


def blob_job(bench, rounds):
    """Dispatcher CPU per row of a job whose results travel as blobs."""
    session = bench.session()
    small, large = 1_000, 20_000

    def used(rows):
        session.query("TRUNCATE scale_bench.blobs")
        before = dispatcher_cpu(bench)
        run_job(session, "'local:builtin/large', 'SELECT 10000 FROM generate_series(1, %d)', "
                         "into_table => 'scale_bench.blobs'" % rows)
        return (dispatcher_cpu(bench) - before) / rows

    used(small)
    bench.figure("scale.blob_job_growth",
                 ratio(rounds, lambda: used(small), lambda: used(large)), "ratio")
    session.close()


def update_job(bench, rounds):
    """Time per row of a job that updates a table nobody has analyzed."""
    session = bench.session()
    small, large = 20_000, 200_000

    def used(rows):
        session.query("DROP TABLE IF EXISTS scale_bench.updated")
        session.query("CREATE TABLE scale_bench.updated (id int PRIMARY KEY, n int, result int) "
                      "WITH (autovacuum_enabled = off)")
        session.query("INSERT INTO scale_bench.updated SELECT g, g FROM generate_series(1, %d) g"
                      % rows)
        seconds = timed(lambda: run_job(
            session, "'local:builtin/echo', 'SELECT id, n FROM scale_bench.updated', key => '{id}', "
                     "into_table => 'scale_bench.updated', mode => 'update'"))
        done = int(session.query("SELECT count(*) FROM scale_bench.updated WHERE result = n"))
        if done != rows:
            raise RuntimeError("%d of %d rows were updated" % (done, rows))
        return seconds / rows

    used(small)
    bench.figure("scale.update_job_growth",
                 ratio(rounds, lambda: used(small), lambda: used(large)), "ratio")
    session.close()


def many_databases(bench, rounds):
    """Jobs in each of many databases at the same time, against one job of all rows."""
    inputs = 300_000
    names = ["scale_%d" % n for n in range(DATABASES)]
    for name in names:
        bench.sql("DROP DATABASE IF EXISTS %s;" % name)
        bench.sql("CREATE DATABASE %s;" % name)
        bench.create_objects(name)
    sessions = [bench.session(database=name) for name in names]
    for session in sessions:
        session.query("CREATE TABLE results (id int PRIMARY KEY, result int)")

    def seconds(active):
        for session in active:
            session.query("TRUNCATE results")
        call = ("'local:builtin/echo', 'SELECT g AS id, g FROM generate_series(1, %d) g', "
                "key => '{id}', into_table => 'results'" % (inputs // len(active)))
        with concurrent.futures.ThreadPoolExecutor(len(active)) as pool:
            return timed(lambda: list(pool.map(lambda s: run_job(s, call), active)))

    seconds(sessions)
    bench.figure("scale.databases_10_to_1",
                 ratio(rounds, lambda: seconds(sessions[:1]), lambda: seconds(sessions)), "ratio")
    for session in sessions:
        session.close()
    for name in names:
        bench.sql("DROP DATABASE %s;" % name)


def run(bench):
    rounds = 3 if bench.quick else 5
    with bench.settings(SETTINGS):
        bench.sql(SETUP)
        many_sessions(bench, rounds)
        blob_job(bench, rounds)
        update_job(bench, rounds)
        many_databases(bench, rounds)
