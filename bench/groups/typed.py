"""Typed functions in plain SQL, and what the hooks cost everybody else."""

import os
import re
import shutil
import subprocess
import tempfile
import time

from harness import MemoryPeak, median, timed

FUNCTIONS = """
SET client_min_messages = warning;
CREATE OR REPLACE FUNCTION typed_echo(int) RETURNS int LANGUAGE modal AS 'local:builtin/echo';
CREATE OR REPLACE FUNCTION typed_sleep(float8, int) RETURNS int LANGUAGE modal AS 'local:builtin/sleep';
DROP TABLE IF EXISTS typed_result, typed_source;
CREATE UNLOGGED TABLE typed_result (g int, r int);
CREATE UNLOGGED TABLE typed_source AS SELECT g FROM generate_series(1, 1000000) g;
ANALYZE typed_source;
"""

ROWS = 100_000
TYPED = "SELECT count(r) FROM (SELECT typed_echo(g) r FROM generate_series(1, %d) g) q" % ROWS
MAP = ("SELECT count(*) FROM modal_map('local:builtin/echo', "
       "'SELECT g FROM generate_series(1, %d) g')" % ROWS)
SLEEP = "SELECT typed_sleep(0.05, g) FROM generate_series(1, 1000) g"
INSERT = "INSERT INTO typed_result SELECT g, typed_echo(g) FROM typed_source WHERE g <= %d"


def run(bench):
    bench.sql(FUNCTIONS)
    session = bench.session()
    session.query(SLEEP)
    bench.figure("typed.sleep_s", median([timed(lambda: session.query(SLEEP)) for _ in range(5)]),
                 "s")
    ratio_to_map(bench, session)
    session.close()
    rss_growth(bench)
    hook_overhead(bench)


def ratio_to_map(bench, session):
    session.query(TYPED)
    session.query(MAP)
    typed, mapped = [], []
    for _ in range(7 if bench.quick else 15):
        typed.append(ROWS / timed(lambda: session.query(TYPED)))
        mapped.append(ROWS / timed(lambda: session.query(MAP)))
    bench.figure("typed.rows_per_s", round(median(typed)), "1/s")
    bench.figure("typed.ratio_to_map", median([t / m for t, m in zip(typed, mapped)]), "ratio")


def rss_growth(bench):
    def peak(rows):
        session = bench.session()
        session.query(INSERT % 1000)
        with MemoryPeak(session.pid) as memory:
            session.query(INSERT % rows)
        session.query("TRUNCATE typed_result")
        session.close()
        return memory.peaks[session.pid]

    small = peak(10_000)
    bench.figure("typed.rss_growth_mb", peak(1_000_000) - small, "MB")


# --- instructions of a transaction that has nothing to do with us -------------


class CountedCluster:
    """A server whose processes count their instructions, under cachegrind."""

    def __init__(self, bench, preload):
        self.bench = bench
        self.preload = preload

    def as_server_user(self, *command):
        if os.getuid() == 0:
            command = ("runuser", "-u", "postgres", "--") + command
        return command

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="modal_batch-hooks-")
        if os.getuid() == 0:
            shutil.chown(self.dir, "postgres")
        data = os.path.join(self.dir, "data")
        postgres = os.path.join(self.bench.bin, "postgres")
        self.env = dict(os.environ, PGHOST=self.dir, PGPORT="5432", PGUSER="postgres",
                        PGDATABASE="postgres")
        subprocess.run(
            self.as_server_user(os.path.join(self.bench.bin, "initdb"), "-D", data, "-U", "postgres",
                                "-A", "trust", "--no-sync"),
            check=True, stdout=subprocess.DEVNULL)
        self.log = open(os.path.join(self.dir, "log"), "w+")
        self.server = subprocess.Popen(
            self.as_server_user(
                "valgrind", "--tool=cachegrind", "--cache-sim=no",
                "--cachegrind-out-file=%s/counts.%%p" % self.dir,
                postgres, "-D", data, "-k", self.dir, "-c", "listen_addresses=",
                "-c", "shared_preload_libraries=" + self.preload, "-c", "fsync=off",
                "-c", "autovacuum=off", "-c", "log_disconnections=on",
                "-c", "log_line_prefix=%p %a "),
            stdout=self.log, stderr=self.log)
        self.wait(lambda: self.run("pg_isready", "-q").returncode == 0)
        self.run("pgbench", "-i", "-q", check=True)
        return self

    def __exit__(self, *error):
        self.run_as_server("pg_ctl", "-D", os.path.join(self.dir, "data"), "-m", "fast", "stop")
        self.server.wait()
        self.log.close()
        shutil.rmtree(self.dir)

    def wait(self, condition):
        until = time.time() + 60
        while not condition():
            if time.time() > until or self.server.poll() is not None:
                self.log.seek(0)
                raise RuntimeError("no counts:\n" + self.log.read())
            time.sleep(0.05)

    def run(self, program, *arguments, check=False):
        return subprocess.run([os.path.join(self.bench.bin, program), *arguments], env=self.env,
                              check=check, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def run_as_server(self, program, *arguments):
        subprocess.run(self.as_server_user(os.path.join(self.bench.bin, program), *arguments),
                       check=True, stdout=subprocess.DEVNULL)

    def backends(self, name):
        """The processes that have served an application and have ended."""
        return re.findall(r"^(\d+) %s LOG:  disconnection" % name, read(self.log.name), re.M)

    def instructions(self, mode, transactions):
        """What the backend of a pgbench -S executes, from its start to its end."""
        name = "%s-%d" % (mode, transactions)
        self.env["PGAPPNAME"] = name
        self.run("pgbench", "-n", "-S", "-M", mode, "-t", str(transactions), "--random-seed=1",
                 check=True)
        # the first one only looked how large the table is
        self.wait(lambda: len(self.backends(name)) == 2)
        path = os.path.join(self.dir, "counts." + self.backends(name)[1])
        self.wait(lambda: re.search(r"^summary: ", read(path), re.M))
        return int(re.search(r"^summary: (\d+)", read(path), re.M).group(1))

    def per_transaction(self, mode):
        few, many = 100, 1100
        return ((self.instructions(mode, many) - self.instructions(mode, few)) /
                (many - few))


def read(path):
    if not os.path.exists(path):
        return ""
    with open(path) as f:
        return f.read()


def hook_overhead(bench):
    if shutil.which("valgrind") is None:
        bench.say("typed.hook_overhead: not measured, for want of valgrind")
        return
    counts = {}
    for preload in "", "modal_batch":
        with CountedCluster(bench, preload) as cluster:
            for mode in "simple", "prepared":
                counts[mode, preload] = cluster.per_transaction(mode)
    for mode in "simple", "prepared":
        without, loaded = counts[mode, ""], counts[mode, "modal_batch"]
        bench.say("%s: %.0f instructions without, %.0f with" % (mode, without, loaded))
        bench.figure("typed.hook_overhead_" + mode, 100 * (loaded / without - 1), "%")
    bench.figure("typed.hook_overhead",
                 max(100 * (counts[mode, "modal_batch"] / counts[mode, ""] - 1)
                     for mode in ("simple", "prepared")), "%")
