"""What a PCE is asked for, how much it sends, and how long that takes: over HTTPS, against the simulated PCE.

    python -m benchmarks.decode [--sizes N,N] [--runs N] [--peers] [FIGURE ...]

Four cycles of the watch: the first, a quiet one, one after a workload was relabelled, one after a rule set was
provisioned. In the dense estate nearly every workload is a consumer of some SQL server; the sparse one is the sandbox's
small policy amid the same workloads. `--peers` puts one full read by other clients beside it: they are installed into a
throw-away virtual environment. Last, one line `bench NAME VALUE` for each figure.
"""

import argparse
import gc
import json
import multiprocessing
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks import estate, policy
from illumio_azsql_enforcer import logs
from illumio_azsql_enforcer.clock import SystemClock
from illumio_azsql_enforcer.model.firewall import Server
from illumio_azsql_enforcer.model.settings import PceSettings, ServerSettings
from illumio_azsql_enforcer.pce.changes import PolicyWatch
from illumio_azsql_enforcer.pce.client import PceClient
from illumio_azsql_enforcer.policy.demand import Interest
from illumio_azsql_enforcer.retrying import Deadline
from illumio_azsql_enforcer.sandbox.arm import ArmSimulator
from illumio_azsql_enforcer.sandbox.arm.certificates import make_certificates
from illumio_azsql_enforcer.sandbox.estate import SUFFIX, blog_estate
from illumio_azsql_enforcer.sandbox.pce import PceSimulator
from illumio_azsql_enforcer.secret import Secret

FIGURES = ("decode_ratio", "quiet_pce_requests")
PATIENCE = 900.0  # seconds for one read by another client
PEERS = ("illumio==1.1.3", "illumio-pylo==0.4.0")
MIB = 1 << 20


class Counter:
    """Ends TLS in front of the simulator, and counts what it sends."""

    def __init__(self, target: int, context: ssl.SSLContext) -> None:
        self.sent = 0
        self._target, self._context = target, context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                line, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        with (
            suppress(OSError),
            self._context.wrap_socket(line, server_side=True) as near,
            socket.create_connection(("127.0.0.1", self._target)) as far,
        ):
            threading.Thread(target=_carry, args=(near, far), daemon=True).start()
            while piece := far.recv(1 << 16):
                self.sent += len(piece)
                near.sendall(piece)

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(1 << 16):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_RDWR)


@dataclass(slots=True)
class Place:
    """A simulated PCE with an estate, and what is needed to talk to it."""

    pce: PceSimulator
    counter: Counter
    ca_file: Path
    servers: list[Server]
    relabelled: tuple[str, str]  # a workload, and the label that it gets
    rule_set: str
    payload: int  # bytes of JSON
    rows: list[tuple[str, int, float, float, float]] = field(default_factory=list)

    def measured(self, name: str, act: Callable[[], tuple[float, float]]) -> int:
        """Runs one cycle, which gives its seconds and peak MiB; notes what it cost, and returns its requests."""
        self.pce.journal.clear()
        before = self.counter.sent
        seconds, peak = act()
        requests = len(self.pce.journal)
        self.rows.append((name, requests, (self.counter.sent - before) / MIB, seconds, peak))
        return requests


@contextmanager
def dense(size: estate.Size) -> Iterator[Place]:
    """The large estate: many servers, many rules, nearly every workload a consumer of some."""
    with _place(size, estate.servers(size)) as place:
        roles = f"{estate.ORG}/labels/role-"
        place.relabelled = (f"{estate.ORG}/workloads/{size.workloads - 1}", f"{roles}{estate.TYPES['role'] - 1}")
        place.rule_set = f"{estate.ACTIVE}/rule_sets/{estate.RULES_A_SET}"
        yield place


@contextmanager
def sparse(size: estate.Size) -> Iterator[Place]:
    """The policy of the sandbox for three servers, amid as many workloads."""
    names = ("orders-sql", "billing-sql", "scratch-sql")
    servers = [Server(f"/s/{name}", name, "s", "g", f"{name}.{SUFFIX}") for name in names]
    with _place(size, servers, only=("labels", "workloads")) as place, ArmSimulator() as arm:
        small = blog_estate(place.pce, arm)
        for href in (small.public_client, small.cloud_client, small.private_client, small.offline_client):
            place.pce.console.delete(href)  # the estate's own workloads have all that an agent tells
        clients = [f"{estate.ORG}/workloads/{size.workloads - at}" for at in range(1, 5)]
        for href in clients:
            place.pce.console.update(href, labels=[{"href": small.labels["sql_client"]}])
        place.relabelled = (clients[0], small.labels["web"])
        place.rule_set = small.rule_set
        yield place


@contextmanager
def _place(size: estate.Size, servers: list[Server], only: Sequence[str] = ()) -> Iterator[Place]:
    with tempfile.TemporaryDirectory() as folder, PceSimulator(release="26.3.0") as pce:
        pce.behaviour.requests_per_minute = 1_000_000
        for key in estate.TYPES.keys() - {"role", "app", "env", "loc"}:
            pce.console.create("label_dimensions", key=key, display_name=key)
        payload = 0
        for name, body in estate.collections(size):
            if not only or name in only:
                payload += len(body)
                pce.console.plant({name: _loaded(body)})
        ca_file, context = make_certificates(Path(folder))
        counter = Counter(int(pce.url.rpartition(":")[2]), context)
        try:
            yield Place(pce, counter, ca_file, servers, ("", ""), "", payload)
        finally:
            counter.close()


def _loaded(body: bytes) -> list[dict[str, Any]]:
    gc.disable()  # the simulator's own objects are not what is measured
    try:
        loaded: list[dict[str, Any]] = json.loads(body)
    finally:
        gc.enable()
    return loaded


# --- the watch, in a process of its own


@dataclass(frozen=True, slots=True)
class Reach:
    """What the child needs to know."""

    url: str
    key: str
    secret: str
    ca_file: Path
    servers: tuple[Server, ...]


def _watch(commands: Connection, reach: Reach) -> None:
    logs.configure("console", "error")
    clock = SystemClock()
    settings = PceSettings(reach.url, 1, reach.key, Secret(reach.secret), ca_file=reach.ca_file, timeout=300.0)
    client = PceClient(settings, clock)
    watch = PolicyWatch(client, 1, clock, 1e9)
    interest = Interest(reach.servers, ServerSettings(), estate.settings())
    bare = policy.peak_mib()
    while commands.recv():
        start = time.perf_counter()
        watch.snapshot(Deadline.after(clock, 3600.0), lambda: interest)
        commands.send((time.perf_counter() - start, policy.peak_mib() - bare))


@contextmanager
def _watching(place: Place) -> Iterator[Callable[[], tuple[float, float]]]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    url = f"https://127.0.0.1:{place.counter.port}"
    reach = Reach(url, place.pce.api_key, place.pce.api_secret, place.ca_file, tuple(place.servers))
    child = context.Process(target=_watch, args=(theirs, reach))
    child.start()
    theirs.close()

    def look() -> tuple[float, float]:
        ours.send("look")
        told: tuple[float, float] = ours.recv()
        return told

    try:
        yield look
    finally:
        ours.send("")
        child.join()


def watch_cycles(place: Place) -> int:
    """The four cycles; returns the requests of the quiet one."""
    workload, label = place.relabelled
    console = place.pce.console
    with _watching(place) as look:
        place.measured("first cycle", look)
        quiet = place.measured("quiet cycle", look)
        console.update(workload, labels=[{"href": label}])
        place.measured("a workload relabelled", look)
        console.update(place.rule_set, description="edited")
        console.provision("edited")
        place.measured("a rule set provisioned", look)
    return quiet


# --- other clients

_ILLUMIO = """
import sys
from illumio import PolicyComputeEngine
port, user, secret, ca_file = sys.argv[1:]
pce = PolicyComputeEngine("https://127.0.0.1", port=port, org_id="1")
pce.set_credentials(user, secret)
pce.set_tls_settings(verify=ca_file)
for api in (pce.labels, pce.label_groups, pce.ip_lists, pce.services, pce.rule_sets, pce.virtual_services,
            pce.service_bindings, pce.workloads):
    api.get_all(policy_version="active")
"""
_PYLO = """
import sys
import illumio_pylo as pylo
port, user, secret, ca_file = sys.argv[1:]
connector = pylo.APIConnector("127.0.0.1", int(port), user, secret, skip_ssl_cert_check=True, org_id=1)
organization = pylo.Organization(1)
organization.load_from_api(connector)
"""


def other_clients(place: Place, python: Path) -> None:
    """One full read by each: none of them looks for changes, so each cycle would cost as much."""
    for name, script in (("illumio-py", _ILLUMIO), ("illumio-pylo", _PYLO)):
        try:
            place.measured(f"{name}, each cycle", lambda script=script: _run(place, python, script))  # type: ignore[misc]
        except (subprocess.SubprocessError, OSError) as problem:
            print(f"  {name} is left out: {_why(problem)}")


def _run(place: Place, python: Path, script: str) -> tuple[float, float]:
    start = time.perf_counter()
    words = [str(place.counter.port), place.pce.api_key, place.pce.api_secret, str(place.ca_file)]
    script += "\nimport resource\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)\n"
    done = subprocess.run(
        [python, "-W", "ignore", "-c", script, *words],
        env={**os.environ, "REQUESTS_CA_BUNDLE": str(place.ca_file)},  # wins over what a client says
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    return time.perf_counter() - start, float(done.stdout.split()[-1])


def _why(problem: Exception) -> str:
    if isinstance(problem, subprocess.TimeoutExpired):
        return f"it was not done within {PATIENCE:.0f} s"
    said = problem.stderr.strip().splitlines() if isinstance(problem, subprocess.CalledProcessError) else []
    return said[-1][:200] if said else str(problem)


@contextmanager
def _peers(wanted: bool) -> Iterator[Path | None]:  # noqa: FBT001 - one switch of the command line
    """A Python that has the other clients; None where they are not wanted or cannot be had."""
    if not wanted:
        print("Other clients are left out; --peers puts them beside it.")
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder) / "bin" / "python"
        try:
            venv.create(folder, with_pip=True)
            install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PEERS]
            subprocess.run(install, check=True, capture_output=True, text=True)
        except (subprocess.SubprocessError, OSError) as problem:
            print(f"Other clients are left out: they cannot be installed ({_why(problem)}).")
            yield None
        else:
            yield python


# --- showing it


def _show(title: str, place: Place) -> None:
    print(f"\n{title}; {place.payload / MIB:,.1f} MiB of JSON in all")
    print(f"  {'':<28}{'requests':>9}{'MiB sent':>11}{'seconds':>9}{'peak MiB':>10}")
    for name, requests, sent, seconds, peak in place.rows:
        print(f"  {name:<28}{requests:>9,}{sent:>11,.2f}{seconds:>9,.2f}{peak:>10,.0f}")


def quiet_pce_requests(sizes: Sequence[int], python: Path | None) -> float:
    """The most requests that a quiet cycle takes, over estates and sizes."""
    found = []
    for workloads in sizes:
        size = estate.Size(workloads, max(400, workloads * 2 // 5), max(10, workloads // 125))
        for kind, make in (("dense", dense), ("sparse", sparse)):
            with make(size) as place:
                found.append(watch_cycles(place))
                if python and kind == "sparse":
                    other_clients(place, python)
                what = f"{size.rules:,} rules, {size.servers:,} servers" if kind == "dense" else "3 rules, 3 servers"
                _show(f"{workloads:,} workloads, {what}", place)
    return max(found)


def measure(figures: Sequence[str], sizes: Sequence[int], runs: int, *, peers: bool = False) -> dict[str, float]:
    """The value of each of these figures."""
    values: dict[str, float] = {}
    if "decode_ratio" in figures:
        values |= policy.measure(["decode_ratio"], estate.Size(workloads=max(sizes)), runs)
    if "quiet_pce_requests" in figures:
        with _peers(peers) as python:
            values["quiet_pce_requests"] = quiet_pce_requests(sizes, python)
    return values


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the figures that are named, or all."""
    parser = argparse.ArgumentParser(description="Measure what a PCE is asked for, and decoding what it sends.")
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=", ".join(FIGURES))
    parser.add_argument("--sizes", default="1000,125000", help="numbers of workloads, with commas")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peers", action="store_true", help="install other clients, and measure them too")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.figures) - set(FIGURES):
        parser.error(f"no such figure: {', '.join(sorted(unknown))}")
    sizes = [int(each) for each in asked.sizes.split(",")]
    values = measure(asked.figures or FIGURES, sizes, asked.runs, peers=asked.peers)
    print()
    for name, value in values.items():
        print(f"bench {name} {value:.3f}")


if __name__ == "__main__":
    main(sys.argv[1:])
