"""modal_map against the same map done by a C client with no database."""

from harness import cpu_us, median, timed

MAP = ("SELECT count(*) FROM modal_map('local:builtin/echo', "
       "'SELECT g FROM generate_series(1, %d) g')")


def run(bench):
    inputs = 100_000
    rounds = 3 if bench.quick else 9
    bench.build_programs()
    url, ca_file = bench.env["MODAL_LOCAL_URL"], bench.env["MODAL_LOCAL_CA"]
    session = bench.session()
    dispatchers = bench.dispatcher_pids()
    processes = {"session": [session.pid], "dispatcher": dispatchers,
                 "modal_local": [bench.local_pid]}

    def wire():
        return float(bench.program("wire", url, ca_file, str(inputs)))

    def one_map():
        before = {name: sum(map(cpu_us, pids)) for name, pids in processes.items()}
        seconds = timed(lambda: session.query(MAP % inputs))
        used = {name: (sum(map(cpu_us, pids)) - before[name]) / inputs
                for name, pids in processes.items()}
        return inputs / seconds, used

    wire()
    one_map()
    wires, maps, cpu = [], [], []
    for _ in range(rounds):
        wires.append(wire())
        rate, used = one_map()
        maps.append(rate)
        cpu.append(used)
    session.close()

    bench.figure("wire.inputs_per_s", round(median(wires)), "1/s")
    bench.figure("map.inputs_per_s", round(median(maps)), "1/s")
    bench.figure("map.ratio_to_wire", median([m / w for m, w in zip(maps, wires)]), "ratio")
    for name in processes:
        bench.figure("map.%s_cpu_us" % name, median([used[name] for used in cpu]), "us/input")
