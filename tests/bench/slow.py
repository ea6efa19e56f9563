"""Many quiet agents: what an event costs when a batch has one or two.

    python3 tests/bench/slow.py [--agents 300] [--seconds 120]

Each agent is a process of its own that follows a file which grows by one event
a second. Reports bytes per event in the journal, puts per minute, memory, how
long an event takes to its ack, and whether everything arrived. Fails if the
journal needs more than 150 bytes an event.
"""

import argparse
import glob
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from deployment import MIB, Deployment, build, program

JOURNAL_BYTES_PER_EVENT_MAX = 150


class Quiet:
    """One account: its events, its growing file, its agent."""

    def __init__(self, house, directory, events):
        self.account = os.path.basename(events).removesuffix(".ndjson")
        with open(events, "rb") as file:
            self.lines = file.read().splitlines(keepends=True)
        os.makedirs(directory)
        self.file = open(os.path.join(directory, "events.ndjson"), "ab", buffering=0)
        self.config = house.agent(self.account, "quiet", directory)
        self.process = None

    def grow(self, number):
        self.file.write(self.lines[number])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agents", type=int, default=300)
    parser.add_argument("--seconds", type=int, default=120)
    arguments = parser.parse_args()
    build("orgtrail", "orgtrail-agent", "make-sample")
    directory = tempfile.mkdtemp(prefix="orgtrail-slow-")
    sample = os.path.join(directory, "sample")
    command = [program("make-sample"), "streams", sample]
    subprocess.run([*command, str(arguments.agents), str(arguments.seconds)], check=True)

    house = Deployment(os.path.join(directory, "house"))
    server = house.serve()
    quiet = [
        Quiet(house, os.path.join(directory, "logs", str(number)), events)
        for number, events in enumerate(sorted(glob.glob(f"{sample}/*.ndjson")))
    ]
    for one in quiet:
        one.process = house.run_agent(one.config)
    time.sleep(5)

    before = house.bytes_below("journal")
    begun = time.monotonic()
    server_peaks, agent_sizes = [], []
    for second in range(arguments.seconds):
        for number, one in enumerate(quiet):
            # Spread over the second, as independent accounts are.
            pause = begun + second + number / len(quiet) - time.monotonic()
            if pause > 0.005:
                time.sleep(pause)
            one.grow(second)
        server_peaks.append(server.resident_bytes())
        agent_sizes.append(quiet[second % len(quiet)].process.resident_bytes())
    written = time.monotonic()
    events = len(quiet) * arguments.seconds
    arrived = wait_for(house, events)
    after = house.bytes_below("journal")
    minutes = (written - begun) / 60

    for one in quiet:
        one.process.stop()
    agents = [one.process.wait() for one in quiet]
    server.stop()
    served = server.wait()

    segments, _ = house.bytes_below("journal", "segment")
    records, _ = house.bytes_below("journal", "log")
    per_event = (after[0] - before[0]) / events
    holds = arrived == events and per_event <= JOURNAL_BYTES_PER_EVENT_MAX
    print(f"{len(quiet)} agents, {events:,} events in {written - begun:.0f} s")
    print(f"arrived                 {arrived:,}, the last {time.monotonic() - written:.1f} s after the end")
    print(f"journal                 {per_event:.0f} B/event ({segments:,} B segments, {records:,} B records)")
    print(f"puts of the journal     {(after[1] - before[1]) / minutes:.0f} a minute")
    print(f"aggregator              {max(server_peaks) / MIB:.0f} MiB, {served.cpu():.1f} CPU s in all")
    print(f"an agent                {statistics.median(agent_sizes) / MIB:.0f} MiB, peak {max(a.peak_bytes for a in agents) / MIB:.0f} MiB")
    print(f"all agents              {sum(a.cpu() for a in agents):.1f} CPU s in all")
    print(f"within {JOURNAL_BYTES_PER_EVENT_MAX} B/event        {'yes' if holds else 'NO'}")
    if holds:
        shutil.rmtree(directory)
    sys.exit(0 if holds else 3)


def wait_for(house, events):
    """How many events the journal holds, once it holds all or a minute has passed."""
    deadline = time.monotonic() + 60
    while (journaled := house.status()["journal"]["journaled"]) < events and time.monotonic() < deadline:
        time.sleep(0.5)
    return journaled


if __name__ == "__main__":
    main()
