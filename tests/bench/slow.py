"""Many quiet agents: what an event costs when a batch has one or two.

    python3 tests/bench/slow.py [--agents 300] [--seconds 120] [--from DIR]

Each agent is a process of its own that follows a file which grows by one event
a second. Reports bytes per event in the journal, puts per minute, memory, how
long an event takes to its ack, and whether everything arrived. Fails if the
journal needs more than 150 bytes an event.

Events are made ones, or with --from the real ones in DIR/*.ndjson.gz: shuffled,
dealt out in turn, and with fresh event and request ids when they come round
again, which is always in a later commit. Made events hold more that nothing can
compress (a third of them are AssumeRole with a new session token).
"""

import argparse
import glob
import gzip
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid

from deployment import MIB, Deployment, build, program

JOURNAL_BYTES_PER_EVENT_MAX = 150


class Quiet:
    """One account: its events, its growing file, its agent."""

    def __init__(self, house, directory, account, lines, organization):
        self.lines = lines
        os.makedirs(directory)
        self.file = open(os.path.join(directory, "events.ndjson"), "ab", buffering=0)
        self.config = house.agent(account, "quiet", directory, organization)
        self.process = None

    def grow(self, number):
        self.file.write(self.lines[number])


def made(directory, agents, seconds):
    """The account and lines of each agent, from the generator."""
    command = [program("make-sample"), "streams", directory, str(agents), str(seconds)]
    subprocess.run(command, check=True)
    for path in sorted(glob.glob(f"{directory}/*.ndjson")):
        with open(path, "rb") as file:
            yield os.path.basename(path).removesuffix(".ndjson"), file.read().splitlines(True)


def real(directory, agents, seconds):
    """The same from real events."""
    events = []
    for path in sorted(glob.glob(f"{directory}/*.ndjson.gz")):
        with gzip.open(path, "rb") as file:
            events += file.read().splitlines()
    dice = random.Random(1)
    dice.shuffle(events)
    streams = [[] for _ in range(agents)]
    for number in range(agents * seconds):
        event = events[number % len(events)]
        if number >= len(events):
            event = ID.sub(lambda found: found[1] + fresh_id(dice), event)
        streams[number % agents].append(event + b"\n")
    return [(f"{111111000000 + number}", lines) for number, lines in enumerate(streams)]


ID = re.compile(rb'("(?:eventID|requestID)":")[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}')


def fresh_id(dice):
    return str(uuid.UUID(int=dice.getrandbits(128), version=4)).encode()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agents", type=int, default=300)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--from", dest="source", help="a directory of real events")
    arguments = parser.parse_args()
    build("orgtrail", "orgtrail-agent", "make-sample")
    directory = tempfile.mkdtemp(prefix="orgtrail-slow-")
    if arguments.source:
        streams = real(arguments.source, arguments.agents, arguments.seconds)
    else:
        streams = made(os.path.join(directory, "sample"), arguments.agents, arguments.seconds)

    house = Deployment(os.path.join(directory, "house"))
    server = house.serve()
    quiet = [
        Quiet(house, os.path.join(directory, "logs", str(number)), account, lines, bool(arguments.source))
        for number, (account, lines) in enumerate(streams)
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
