"""A whole orgtrail on this machine: CA, server with a local store, agents.

Every process is waited for with wait4, so that its CPU seconds and its peak
memory are what the operating system says.
"""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
ORGANIZATION_ACCOUNT = "111122223333"
MIB = 1 << 20


class Usage:
    """What a process used until it ended."""

    def __init__(self, name, status, usage, seconds):
        self.name, self.status, self.seconds = name, status, seconds
        self.user, self.system = usage.ru_utime, usage.ru_stime
        self.peak_bytes = usage.ru_maxrss * 1024

    def cpu(self):
        return self.user + self.system


class Process:
    def __init__(self, name, command, log):
        self.name, self.begun = name, time.monotonic()
        with open(log, "ab") as file:
            self.child = subprocess.Popen(command, stdout=file, stderr=file)

    def stop(self):
        self.child.send_signal(signal.SIGTERM)

    def wait(self):
        _, status, usage = os.wait4(self.child.pid, 0)
        self.child.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - self.begun
        return Usage(self.name, self.child.returncode, usage, seconds)

    def resident_bytes(self):
        with open(f"/proc/{self.child.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Deployment:
    def __init__(self, directory, table="", aggregator=""):
        self.directory = os.path.abspath(directory)
        self.store = self.path("store")
        self.port, self.operations_port = free_ports(2)
        self.agents = 0
        os.makedirs(self.store)
        self.ca("init", "--organization", "bench.example")
        self.ca("issue", "--server", "localhost", "--out", self.path("server"))
        self.write(
            "orgtrail.toml",
            f"""
            [store]
            url = "file://{self.store}"
            [identity]
            ca = "{self.path("server", "ca.pem")}"
            certificate = "{self.path("server", "server.pem")}"
            key = "{self.path("server", "server.key")}"
            [aggregator]
            listen = "127.0.0.1:{self.port}"
            {aggregator}
            [operations]
            listen = "127.0.0.1:{self.operations_port}"
            [table]
            {table}
            """,
        )

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write("\n".join(line.strip() for line in text.strip().splitlines()) + "\n")

    def ca(self, *words):
        command = [program("orgtrail"), "ca", *words, "--dir", self.path("ca")]
        subprocess.run(command, check=True, capture_output=True)

    def serve(self):
        server = Process(
            "aggregator",
            [program("orgtrail"), "serve", "--config", self.path("orgtrail.toml")],
            self.path("server.log"),
        )
        deadline = time.monotonic() + 60
        while not self.is_ready():
            if server.child.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the server does not start: see {self.path('server.log')}")
            time.sleep(0.02)
        return server

    def is_ready(self):
        try:
            url = f"http://127.0.0.1:{self.operations_port}/readyz"
            return urllib.request.urlopen(url, timeout=1).status == 200
        except OSError:
            return False

    def metrics(self):
        url = f"http://127.0.0.1:{self.operations_port}/metrics"
        return urllib.request.urlopen(url, timeout=5).read().decode()

    def agent(self, account, name, source, organization=False):
        """Issues a certificate and writes a configuration; gives the latter's path."""
        self.agents += 1
        own = f"agent-{account}-{name}"
        words = ["--organization"] if organization else []
        self.ca("issue", "--account", account, "--agent", name, "--out", self.path(own), *words)
        self.write(
            f"{own}.toml",
            f"""
            state_dir = "{self.path(own, "state")}"
            [aggregator]
            endpoints = ["localhost:{self.port}"]
            [identity]
            ca = "{self.path(own, "ca.pem")}"
            certificate = "{self.path(own, "agent.pem")}"
            key = "{self.path(own, "agent.key")}"
            [[source]]
            name = "logs"
            path = "{os.path.abspath(source)}"
            """,
        )
        return self.path(f"{own}.toml")

    def run_agent(self, config, *words):
        return Process(
            "agent",
            [program("orgtrail-agent"), "run", "--config", config, *words],
            config.replace(".toml", ".log"),
        )

    def take_in(self, logs, name="central"):
        """Lets an organization's agent of that name read logs to their end, and the server
        drain; gives what the two used."""
        server = self.serve()
        config = self.agent(ORGANIZATION_ACCOUNT, name, logs, organization=True)
        agent = self.run_agent(config, "--once").wait()
        assert agent.status == 0, f"the agent ended with {agent.status}: {config}"
        server.stop()
        served = server.wait()
        assert served.status == 0, f"the server failed: {self.path('server.log')}"
        return served, agent

    def status(self):
        command = [program("orgtrail"), "status", "--store", f"file://{self.store}", "-o", "json"]
        return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)

    def bytes_below(self, *parts):
        """Bytes and number of the files below a folder of the store."""
        total = count = 0
        for folder, _, names in os.walk(os.path.join(self.store, *parts)):
            for name in names:
                total += os.path.getsize(os.path.join(folder, name))
                count += 1
        return total, count


def program(name):
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(TOP, "target"))
    return os.path.join(target, "release", name)


def build(*programs):
    """Builds programs as everything else here is built."""
    command = ["cargo", "build", "--release", "--locked", "--quiet"]
    for name in programs:
        command += ["--bin", name]
    subprocess.run(command, check=True, cwd=TOP)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
