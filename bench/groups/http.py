"""HTTP functions, served by an nginx on the same machine.

single, latency, hang, storm and dead have one row in a request, batched has
1,000.  nginx answers by itself (return, and the echo module for delays and for
giving back what it got), so that what is measured is our side.
"""

import glob
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time

from harness import cpu_us, median, timed

CONFIG = """
load_module %(module)s;
daemon off; master_process off; pid %(dir)s/pid; error_log %(dir)s/error.log;
events { worker_connections 4096; }
http {
  access_log off; default_type application/json;
  log_format ended '$msec';
  keepalive_requests 1000000000; keepalive_timeout 1h;
  client_body_buffer_size 4m; client_max_body_size 64m;
  client_body_temp_path %(dir)s/body; proxy_temp_path %(dir)s/proxy;
  fastcgi_temp_path %(dir)s/fastcgi; uwsgi_temp_path %(dir)s/uwsgi; scgi_temp_path %(dir)s/scgi;
  split_clients $request_id $hangs { 1%% yes; * ""; }
  split_clients $request_id $storm { 10%% 503; 10%% 429; * ""; }
  server {
    listen 127.0.0.1:%(port)d backlog=4096;
    location /one { return 200 '{"ok": true}'; }
    location /slow { echo_sleep 0.05; echo '{"ok": true}'; }
    location /echo { echo_read_request_body; echo_request_body; }
    location /wait { access_log %(dir)s/wait ended; echo_sleep 0.002; echo '{"ok": true}'; }
    location /hang {
      access_log %(dir)s/hang ended;
      if ($hangs) { rewrite ^ /never last; }
      echo_sleep 0.002; echo '{"ok": true}';
    }
    location /never { internal; echo_sleep 3600; }
    location /storm {
      if ($storm = 503) { return 503; }
      if ($storm = 429) { return 429; }
      return 200 '{"ok": true}';
    }
  }
}
"""

POST = """
wrk.method = "POST"
wrk.body = '{"id":12345}'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["User-Agent"] = "modal_batch/1.0"
wrk.headers["Idempotency-Key"] = "0b7fd7a2-3c1c-8d7e-a3a3-0d9ae07a51c4"
"""


class Nginx:
    def __init__(self, bench):
        self.dir = tempfile.mkdtemp(prefix="modal_batch-nginx-")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.url = "http://127.0.0.1:%d" % self.port
        module = glob.glob("/usr/lib/nginx/modules/ngx_http_echo_module.so")[0]
        with open(os.path.join(self.dir, "nginx.conf"), "w") as f:
            f.write(CONFIG % {"module": module, "dir": self.dir, "port": self.port})
        command = [shutil.which("nginx") or "/usr/sbin/nginx", "-p", self.dir,
                   "-e", self.dir + "/error.log", "-c", self.dir + "/nginx.conf"]
        if os.getuid() == 0:
            shutil.chown(self.dir, "postgres")
            command = ["setpriv", "--reuid=postgres", "--clear-groups", "--"] + command
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except ConnectionRefusedError:
                time.sleep(0.02)
        raise RuntimeError("nginx does not start")

    def stop(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.dir)

    def answers_per_s(self, name):
        """From when the first tenth of the answers was given to the last tenth."""
        with open(os.path.join(self.dir, name), "r+") as f:
            ended = sorted(float(line) for line in f)
            f.truncate(0)
        begin, end = len(ended) // 10, len(ended) * 9 // 10
        return (end - begin) / (ended[end] - ended[begin])

    def wrk(self, path, connections=64):
        script = os.path.join(self.dir, "post.lua")
        with open(script, "w") as f:
            f.write(POST)
        out = subprocess.run(["wrk", "-t1", "-c%d" % connections, "-d1", "-s", script, self.url + path],
                             check=True, stdout=subprocess.PIPE, text=True).stdout
        if "Non-2xx" in out:
            raise RuntimeError(out)
        return float(re.search(r"Requests/sec: +([0-9.]+)", out).group(1))


class Maps:
    """Maps over HTTP functions, whose results go into a table."""

    def __init__(self, bench, nginx):
        self.bench = bench
        bench.sql("DROP TABLE IF EXISTS http_result;"
                  "CREATE UNLOGGED TABLE http_result (ordinal bigint, result jsonb);")
        for name, options in {
                "single": "", "slow": "max_concurrency '256'", "wide": "max_concurrency '1024'",
                "batched": "format 'json-lines', max_batch_rows '1000'",
                "hanging": "max_concurrency '256', timeout '0.2'"}.items():
            self.server(name, nginx.url, options)
        self.session = bench.session()

    def server(self, name, url, options=""):
        self.bench.sql(
            "DROP SERVER IF EXISTS http_%s CASCADE; CREATE SERVER http_%s FOREIGN DATA WRAPPER "
            "modal_batch OPTIONS (protocol 'http', allow_http 'on', url '%s'%s);"
            % (name, name, url, ", " + options if options else ""))

    def run(self, function, rows, good="result = '{\"ok\": true}'"):
        """Rows per second; each must have its result."""
        self.session.query("TRUNCATE http_result")
        seconds = timed(lambda: self.session.query(
            "INSERT INTO http_result SELECT ordinal, result FROM modal_map('http_%s', "
            "'SELECT g AS id FROM generate_series(1, %d) g', ordered => false)" % (function, rows)))
        got = int(self.session.query(
            "SELECT count(DISTINCT ordinal) FROM http_result WHERE " + good))
        if got != rows:
            raise RuntimeError("%s: %d of %d rows have their result" % (function, got, rows))
        return rows / seconds

    def requests(self):
        return int(self.bench.value("SELECT sum(requests) FROM modal_batch.stat_dispatcher"))


def single(bench, nginx, maps):
    rows = 50_000 if bench.quick else 100_000
    processes = {"session": [maps.session.pid], "dispatcher": bench.dispatcher_pids(),
                 "nginx": [nginx.process.pid]}
    rates, ratios, cpu = [], [], []
    maps.run("single:one", 5_000)
    for _ in range(3 if bench.quick else 5):
        before = {name: sum(map(cpu_us, pids)) for name, pids in processes.items()}
        rates.append(maps.run("single:one", rows))
        cpu.append({name: (sum(map(cpu_us, pids)) - before[name]) / rows
                    for name, pids in processes.items()})
        ratios.append(rates[-1] / nginx.wrk("/one"))
    bench.figure("http.single.rows_per_s", round(median(rates)), "1/s")
    bench.figure("http.single.ratio_to_wrk", median(ratios), "ratio")
    for name in processes:
        bench.figure("http.single.%s_cpu_us" % name, median([used[name] for used in cpu]), "us/row")


def latency(bench, maps):
    rate = maps.run("slow:slow", 40_000 if bench.quick else 100_000)
    bench.figure("http.latency.share", rate / (256 / 0.05), "ratio")


def wide(bench, nginx, maps):
    """As many connections as one server gets, in turns with wrk."""
    rows = 60_000 if bench.quick else 200_000
    maps.run("wide:slow", 20_000)
    rates, ratios = [], []
    for _ in range(3 if bench.quick else 5):
        rates.append(maps.run("wide:slow", rows))
        ratios.append(rates[-1] / nginx.wrk("/slow", 1024))
    bench.figure("http.wide.rows_per_s", round(median(rates)), "1/s")
    bench.figure("http.wide.ratio_to_wrk", median(ratios), "ratio")


def ramp(bench, maps, url):
    """The first call to a server that nothing is known of."""
    shares = []
    for n in range(3 if bench.quick else 5):
        maps.server("fresh", url, "max_concurrency '256', retry_budget '%d'" % (60 + n))
        shares.append(maps.run("fresh:slow", 20_000) / (256 / 0.05))
    bench.figure("http.ramp_share", median(shares), "ratio")


def batched(bench, maps):
    rows = 400_000 if bench.quick else 1_000_000
    rates = [maps.run("batched:echo", rows, "result = jsonb_build_array(ordinal + 1)")
             for _ in range(1 if bench.quick else 3)]
    bench.figure("http.batched.rows_per_s", round(median(rates)), "1/s")


def share(bench, troubled, clean):
    """Median of the ratios of runs in turns: the machine is not always as fast."""
    ratios = []
    for _ in range(3 if bench.quick else 5):
        rate = clean()
        ratios.append(troubled() / rate)
    return median(ratios)


def hang(bench, nginx, maps):
    """max_concurrency has room for the requests that hang and for the others."""
    def answers(path):
        maps.run("hanging:" + path, 30_000)
        return nginx.answers_per_s(path)

    answers("wait")
    bench.figure("http.hang.share", share(bench, lambda: answers("hang"), lambda: answers("wait")),
                 "ratio")


def storm(bench, maps):
    rows = 50_000 if bench.quick else 100_000
    requests = []

    def storm():
        before = maps.requests()
        rate = maps.run("single:storm", rows)
        requests.append((maps.requests() - before) / rows)
        return rate

    bench.figure("http.storm.share", share(bench, storm, lambda: maps.run("single:one", rows)),
                 "ratio")
    bench.figure("http.storm.requests_per_row", max(requests), "1/row")


def dead(bench, maps):
    """One target refuses connections, another takes them and says nothing."""
    rows = 20_000 if bench.quick else 50_000
    with socket.socket() as deaf, socket.socket() as closed:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(1024)
        closed.bind(("127.0.0.1", 0))
        for name, s in ("deaf", deaf), ("closed", closed):
            maps.server(name, "http://127.0.0.1:%d" % s.getsockname()[1])

        def beside():
            jobs = [bench.value("SELECT modal_spawn_map('http_%s:x', "
                                "'SELECT g AS id FROM generate_series(1, 1000) g')" % name)
                    for name in ("deaf", "closed")]
            time.sleep(0.2)
            rate = maps.run("single:one", rows)
            for job in jobs:
                bench.value("SELECT modal_cancel(%s)" % job)
            return rate

        bench.figure("http.dead.share", share(bench, beside, lambda: maps.run("single:one", rows)),
                     "ratio")


def run(bench):
    subprocess.run([os.path.join(bench.top, "tools", "deps.sh"), "bench"], check=True)
    nginx = Nginx(bench)
    try:
        maps = Maps(bench, nginx)
        single(bench, nginx, maps)
        latency(bench, maps)
        ramp(bench, maps, nginx.url)
        batched(bench, maps)
        hang(bench, nginx, maps)
        storm(bench, maps)
        dead(bench, maps)
        maps.session.close()
        # a third of them are for connections
        with bench.settings("max_files_per_process = 4000\n"):
            wide(bench, nginx, Maps(bench, nginx))
    finally:
        nginx.stop()
