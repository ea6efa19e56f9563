"""The whole walk beside a bare conversion: events a second, CPU seconds, memory.

    python3 tests/bench/walk.py [--events 1000000] [--rounds 5] [--only walk,duckdb,chdb]

The walk: `.json.gz` log files -> agent -> spool -> mutual TLS -> journal ->
settled Parquet partitions, all its processes together, from the agent's start
to the end of the server's drain. Beside it DuckDB and ClickHouse (chdb) convert
the same events, already unpacked to NDJSON, to Parquet partitioned alike
(`peers.py`). Rounds are interleaved in random order; the table has medians,
and ratios of medians. What they wrote is deleted when all are done: some file
systems look long for an inode that was not deleted lately, which would be
measured with whatever comes next. It fails if a memory bound does not hold:
agent 64 MiB, aggregator its buffer + 256 MiB.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile

from deployment import MIB, ORGANIZATION_ACCOUNT, TOP, Deployment, Process, build, program

HERE = os.path.dirname(os.path.abspath(__file__))
BUFFER_MIB = 64
AGENT_MIB_MAX = 64
AGGREGATOR_MIB_MAX = BUFFER_MIB + 256


class Run:
    """One way's figures in one round."""

    def __init__(self, seconds, usages, output_bytes, files):
        self.seconds, self.usages = seconds, usages
        self.cpu = sum(usage.cpu() for usage in usages)
        self.user = sum(usage.user for usage in usages)
        self.peak_bytes = sum(usage.peak_bytes for usage in usages)
        self.output_bytes, self.files = output_bytes, files


def walk(sample, events, directory):
    house = Deployment(directory, aggregator=f"buffer_bytes = {BUFFER_MIB * MIB}")
    server = house.serve()
    config = house.agent(
        ORGANIZATION_ACCOUNT, "central", os.path.join(sample, "logs"), organization=True
    )
    agent = house.run_agent(config, "--once").wait()
    assert agent.status == 0, f"the agent ended with {agent.status}: {config}"
    server.stop()
    served = server.wait()
    assert served.status == 0, f"the server ended with {served.status}: {directory}/server.log"
    rows = count_rows(os.path.join(house.store, "trail/default/events"))
    assert rows == events, f"{rows} settled rows of {events} events"
    size, files = house.bytes_below("trail", "default", "events")
    return Run(served.seconds, [agent, served], size, files)


def count_rows(events):
    script = "import duckdb, sys; duckdb.sql('SET enable_progress_bar = false');"
    script += "print(duckdb.sql(f\"FROM read_parquet('{sys.argv[1]}/**/*.parquet') SELECT count(*)\").fetchone()[0])"
    command = [python(), "-c", script, events]
    return int(subprocess.run(command, check=True, capture_output=True).stdout)


def peer(name):
    def run(sample, _, directory):
        output = os.path.join(directory, "out")
        os.makedirs(directory)
        command = [python(), os.path.join(HERE, "peers.py"), name]
        command += [os.path.join(sample, "events.ndjson"), output]
        usage = Process(name, command, os.path.join(directory, "log")).wait()
        assert usage.status == 0, f"{name} failed: {directory}/log"
        sizes = [
            os.path.getsize(os.path.join(folder, file))
            for folder, _, files in os.walk(output)
            for file in files
        ]
        return Run(usage.seconds, [usage], sum(sizes), len(sizes))

    return run


def python():
    environment = os.path.join(TOP, "target", "bench-venv")
    found = os.path.join(environment, "bin", "python")
    if not os.path.exists(os.path.join(environment, "made")):
        subprocess.run(["python3", "-m", "venv", environment], check=True)
        pip = [found, "-m", "pip", "install", "--quiet", "-r"]
        subprocess.run([*pip, os.path.join(HERE, "requirements.txt")], check=True)
        open(os.path.join(environment, "made"), "w", encoding="ascii").close()
    return found


WAYS = {"walk": walk, "duckdb": peer("duckdb"), "chdb": peer("chdb")}


def measure(names, sample, events, rounds, seed, directory):
    runs = {name: [] for name in names}
    dice = random.Random(seed)
    for number in range(rounds):
        for name in dice.sample(names, len(names)):
            run = WAYS[name](sample, events, os.path.join(directory, f"{name}-{number}"))
            runs[name].append(run)
            print(
                f"round {number + 1} {name}: {run.seconds:.1f} s wall, {run.cpu:.1f} s CPU,"
                f" {run.peak_bytes / MIB:.0f} MiB",
                file=sys.stderr,
            )
    return runs


def median(runs, figure):
    return statistics.median(figure(run) for run in runs)


def table(runs, events):
    million = events / 1e6
    head = ["", "events/s", "CPU s/M", "user s/M", "CPU (min-max)", "peak MiB", "files", "B/event"]
    rows = [head]
    for name, some in runs.items():
        cpu = [run.cpu / million for run in some]
        rows.append(
            [
                name,
                f"{events / median(some, lambda run: run.seconds):,.0f}",
                f"{median(some, lambda run: run.cpu) / million:.1f}",
                f"{median(some, lambda run: run.user) / million:.1f}",
                f"{min(cpu):.1f}-{max(cpu):.1f}",
                f"{median(some, lambda run: run.peak_bytes) / MIB:,.0f}",
                f"{median(some, lambda run: run.files):,.0f}",
                f"{median(some, lambda run: run.output_bytes) / events:.0f}",
            ]
        )
    widths = [max(len(row[at]) for row in rows) for at in range(len(head))]
    for row in rows:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths)))


def parts(runs, events):
    """The walk's processes one by one, and whether their bounds hold."""
    holds = True
    limits = {"agent": AGENT_MIB_MAX, "aggregator": AGGREGATOR_MIB_MAX}
    for at, (name, limit) in enumerate(limits.items()):
        cpu = median(runs, lambda run: run.usages[at].cpu()) / (events / 1e6)
        peak = max(run.usages[at].peak_bytes for run in runs) / MIB
        holds = holds and peak < limit
        verdict = "holds" if peak < limit else "DOES NOT HOLD"
        print(f"{name}: {cpu:.1f} CPU s/M, peak {peak:.0f} MiB of {limit} MiB ({verdict})")
    return holds


def ratios(runs):
    for name in runs.keys() - {"walk"}:
        cpu = median(runs["walk"], lambda run: run.cpu) / median(runs[name], lambda run: run.cpu)
        memory = median(runs["walk"], lambda run: run.peak_bytes) / median(
            runs[name], lambda run: run.peak_bytes
        )
        print(f"walk / {name}: CPU {cpu:.2f}, memory {memory:.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="walk,duckdb,chdb")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sample", help="a directory that make-sample has written before")
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    build("orgtrail", "orgtrail-agent", "make-sample")
    sample = arguments.sample or os.path.join(TOP, "target", f"bench-sample-{arguments.events}")
    if not os.path.exists(os.path.join(sample, "events.ndjson")):
        command = [program("make-sample"), "logs", sample, str(arguments.events)]
        subprocess.run(command, check=True)
    with tempfile.TemporaryDirectory(prefix="orgtrail-walk-") as directory:
        rounds, seed = arguments.rounds, arguments.seed
        runs = measure(names, sample, arguments.events, rounds, seed, directory)
    table(runs, arguments.events)
    holds = True
    if "walk" in runs:
        holds = parts(runs["walk"], arguments.events)
        ratios(runs)
    sys.exit(0 if holds else 3)


if __name__ == "__main__":
    main()
