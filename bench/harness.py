"""What benchmark groups are given: a cluster, a modal-local, and measurements.

A group is a file groups/NAME.py with one function, run(bench); see Bench.
"""

import contextlib
import glob
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time


def percentile(values, share):
    """The nearest-rank percentile; share is 0 to 1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Session:
    """One psql session, for what must run in one and the same backend."""

    END = "--end of answer--"

    def __init__(self, bench, stop_on_error=True, database="postgres"):
        self.process = subprocess.Popen(
            [os.path.join(bench.bin, "psql"), "-X", "-q", "-At",
             "-v", "ON_ERROR_STOP=%d" % stop_on_error, "-d", database],
            env=bench.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            stderr=None if stop_on_error else subprocess.DEVNULL)
        self.pid = int(self.query("SELECT pg_backend_pid()"))

    def query(self, sql):
        """Runs one statement and returns its output, without the last newline."""
        self.start(sql)
        return self.answer(sql)

    def start(self, sql):
        """Begins with a statement; answer() waits for its end."""
        self.process.stdin.write("%s;\n\\echo '%s'\n" % (sql, self.END))
        self.process.stdin.flush()

    def answer(self, sql=""):
        lines = []
        for line in self.process.stdout:
            if line.rstrip("\n") == self.END:
                return "\n".join(lines)
            lines.append(line.rstrip("\n"))
        raise RuntimeError("session ended during: %s" % sql)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Meanwhile:
    """What goes on beside a "with" block: run(), until self.done is set."""

    def __init__(self):
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        raise NotImplementedError

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.done.set()
        self.thread.join()


class MemoryPeak(Meanwhile):
    """The most private memory, in MB, that each process had meanwhile."""

    def __init__(self, *pids):
        super().__init__()
        self.peaks = {pid: private_mb(pid) for pid in pids}

    def run(self):
        while not self.done.wait(0.02):
            for pid in self.peaks:
                self.peaks[pid] = max(self.peaks[pid], private_mb(pid))


def private_mb(pid):
    """Anonymous memory of a process, resident or swapped; nothing shared."""
    with open("/proc/%d/smaps_rollup" % pid) as f:
        text = f.read()
    return sum(int(kb) for kb in re.findall(r"^(?:Anonymous|Swap): +(\d+) kB$", text, re.M)) / 1024


def cpu_us(pid):
    """CPU microseconds of all threads of a process so far."""
    total = 0
    for path in glob.glob("/proc/%d/task/*/schedstat" % pid):
        with open(path) as f:
            total += int(f.read().split()[0])
    return total / 1000


def voluntary_switches(pid):
    total = 0
    for path in glob.glob("/proc/%d/task/*/status" % pid):
        with open(path) as f:
            total += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", f.read(), re.M).group(1))
    return total


class Bench:
    """The surroundings of a run.

    quick       whether a shorter run is wanted
    env         environment with PGHOST and so on, MODAL_LOCAL_URL, MODAL_LOCAL_CA
    bin         folder of psql and pgbench
    tree        the copy of the tree that was built
    local_pid   of modal-local
    """

    def __init__(self, top, directory, quick, figures):
        self.top = top
        self.directory = directory
        self.quick = quick
        self.figures = figures
        self.tree = os.path.join(directory, "tree")

    def __enter__(self):
        self.dev_cluster("start", "--release")
        self.env = dict(os.environ)
        for line in self.dev_cluster("env").splitlines():
            for name, value in re.findall(r"(\w+)=(\S+)", line):
                self.env[name] = value
        self.bin = self.env["bin"]
        with open(os.path.join(self.directory, "modal-local.log.pid")) as f:
            self.local_pid = int(f.read())
        return self

    def __exit__(self, *error):
        self.dev_cluster("stop")
        # The results of jobs, gigabytes of them, which modal-local would read at its next start.
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(self.directory, "modal-local", "journal"))
        shutil.rmtree(os.path.join(self.directory, "modal-local", "blobs"), ignore_errors=True)

    def dev_cluster(self, action, *arguments):
        return subprocess.run(
            [os.path.join(self.top, "tools", "dev-cluster"), action, "--dir", self.directory,
             *arguments],
            check=True, stdout=subprocess.PIPE, text=True).stdout

    # --- reporting ---------------------------------------------------------

    def say(self, text):
        print("bench: " + text, file=sys.stderr, flush=True)

    def figure(self, name, value, unit):
        """Reports one figure."""
        value = float("%.4g" % value) if isinstance(value, float) else value
        self.figures[name] = {"value": value, "unit": unit}
        print("%s\t%.10g\t%s" % (name, value, unit), flush=True)

    # --- the cluster -------------------------------------------------------

    @contextlib.contextmanager
    def settings(self, text):
        """Meanwhile the server runs with these settings, for which it is restarted."""
        path = os.path.join(self.directory, "local.conf")
        with open(path, "w") as f:
            f.write(text)
        self.dev_cluster("restart")
        try:
            yield
        finally:
            os.remove(path)
            self.dev_cluster("restart")

    def create_objects(self, database):
        """The extension and the server local, in another database."""
        subprocess.run(
            [os.path.join(self.bin, "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database,
             "-f", os.path.join(self.tree, "test", "setup.sql")],
            env=self.env, check=True, stdout=subprocess.DEVNULL)

    @contextlib.contextmanager
    def other_local(self, server, *arguments):
        """Meanwhile another modal-local, started with these arguments, is the server of that name."""
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)  # the database reads the certificate
            process = subprocess.Popen(
                [os.path.join(self.tree, "local", "modal-local"), "--port", "0",
                 "--dir", os.path.join(folder, "state"), "--exit-with-parent", *arguments],
                stdout=subprocess.PIPE, text=True)
            try:
                _, port, ca, token_id, token_secret = process.stdout.readline().split()
                self.sql("DROP SERVER IF EXISTS %s CASCADE; CREATE SERVER %s FOREIGN DATA WRAPPER"
                         " modal_batch OPTIONS (url 'https://localhost:%s', ssl_ca_file '%s');"
                         "CREATE USER MAPPING FOR CURRENT_USER SERVER %s"
                         " OPTIONS (token_id '%s', token_secret '%s')"
                         % (server, server, port, ca, server, token_id, token_secret))
                yield
                self.sql("DROP SERVER %s CASCADE" % server)
            finally:
                process.terminate()
                process.wait()
                process.stdout.close()

    def session(self, stop_on_error=True, database="postgres"):
        return Session(self, stop_on_error, database)

    def sql(self, sql):
        """Runs statements in a session of their own; returns the output."""
        return subprocess.run(
            [os.path.join(self.bin, "psql"), "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1"],
            input=sql, env=self.env, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def value(self, sql):
        return self.sql(sql + ";")

    def dispatcher_pids(self):
        return [int(pid) for pid in self.value(
            "SELECT pid FROM modal_batch.stat_dispatcher").split()]

    def worker_pids(self):
        """All background workers of the extension."""
        with open(os.path.join(self.directory, "data", "postmaster.pid")) as f:
            postmaster = f.readline().strip()
        found = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", postmaster],
                               capture_output=True, text=True).stdout
        return [int(line.split()[0]) for line in found.splitlines() if "modal_batch" in line]

    def pgbench(self, script, *arguments):
        """Runs pgbench; returns the microseconds of every transaction."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "script.sql")
            with open(path, "w") as f:
                f.write(script)
            subprocess.run(
                [os.path.join(self.bin, "pgbench"), "-n", "-f", path, "-l",
                 "--log-prefix", os.path.join(folder, "log"), *arguments],
                env=self.env, check=True, stdout=subprocess.DEVNULL)
            times = []
            for log in glob.glob(os.path.join(folder, "log.*")):
                with open(log) as f:
                    times += [int(line.split()[2]) for line in f]
        return times

    # --- programs without a database ---------------------------------------

    def build_programs(self):
        """Builds bench/*.c in the copied tree, as the tree's owner."""
        command = ["make", "-s", "-C", os.path.join(self.tree, "bench")]
        if os.getuid() == 0:
            command = ["runuser", "-u", "postgres", "--"] + command
        subprocess.run(command, check=True, stdout=sys.stderr)

    def program(self, name, *arguments):
        """Runs bench/NAME and returns its output."""
        return subprocess.run([os.path.join(self.tree, "bench", name), *arguments],
                              check=True, stdout=subprocess.PIPE, text=True).stdout


def median(values):
    return statistics.median(values)


def timed(call):
    """Seconds that call() takes."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin
