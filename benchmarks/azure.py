"""What the Azure side costs, against the sandbox in a process of its own: `python -m benchmarks.azure [FIGURE...]`.

Without figures: those of `make bench`. Three more tables, which take longer, come only when they are named: `discovery`
(a list of each subscription against Resource Graph), `large` (a full subscription; 10,000 servers) and `memory` (1,000
quiet cycles).
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.azure_sandbox import Place, Running, World, environ_for, ranges, running

LATENCY = 0.04
BUCKET, REFILL = 250, 25  # reads that ARM grants at once in a subscription, and each second
BARE_CALLS = 100
RUNS = 5

SERIAL = """
import sys
from azure.identity import ManagedIdentityCredential
from azure.mgmt.sql import SqlManagementClient
arm, subscription, ca_file = sys.argv[1:4]
client = SqlManagementClient(
    ManagedIdentityCredential(), subscription, base_url=arm, connection_verify=ca_file,
    credential_scopes=["https://management.azure.com/.default"],
)
for line in sys.stdin:
    start, end = line.split()
    body = {"properties": {"startIpAddress": start, "endIpAddress": end}}
    client.firewall_rules.create_or_update("data", "sql00000", f"illumio-{start}-{end}", body)
"""


# --- quiet cycles


@dataclass(frozen=True, slots=True)
class Quiet:
    """Medians over some quiet cycles."""

    world: World
    wall: float  # seconds
    cpu: float  # milliseconds for each server
    requests: float  # of ARM, for each server
    bare: float  # milliseconds of one list_by_server

    def bound(self, granted: int) -> float:
        """Seconds that latency, concurrency and the fullest read bucket leave, of which so many are granted at once."""
        waves = self.world.servers * self.world.latency / self.world.concurrency
        fullest = -(-self.world.servers // self.world.subscriptions)
        return max(waves, (fullest - granted) / REFILL)


def measured(world: World, cycles: int) -> Quiet:
    """Quiet cycles of an Enforcer in this process, and the SDK's own list in the same process."""
    with ExitStack() as stack:
        place = stack.enter_context(running(world)).place
        enforcer = stack.enter_context(closing(_enforcer(place)))
        _expect(enforcer.cycle(), world)
        taken = [_timed(enforcer.cycle) for _ in range(cycles)]
        for _, _, report in taken:
            _expect(report, world)
        return Quiet(
            world,
            wall=median(wall for wall, _, _ in taken),
            cpu=median(cpu for _, cpu, _ in taken) * 1000 / world.servers,
            requests=median(report.calls.azure_reads for _, _, report in taken) / world.servers,
            bare=_bare(place),
        )


def _enforcer(place: Place) -> Any:  # noqa: ANN401 - the program is imported when it is measured
    from illumio_azsql_enforcer import logs  # noqa: PLC0415
    from illumio_azsql_enforcer.clock import SystemClock  # noqa: PLC0415
    from illumio_azsql_enforcer.config import load  # noqa: PLC0415
    from illumio_azsql_enforcer.enforcer import Enforcer  # noqa: PLC0415
    from illumio_azsql_enforcer.server_cycle import Options  # noqa: PLC0415

    logs.configure("json", "warning")
    os.environ.update(place.environ)
    return Enforcer(load(Path(place.config), os.environ), Options(watch=True), SystemClock())


def _expect(report: Any, world: World) -> None:  # noqa: ANN401
    if report.outcome != "in_sync" or len(report.servers) != world.servers:
        raise SystemExit(f"The cycle ended {report.outcome}: {report.error or report.servers[0].reason}")


def _timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Wall and CPU seconds, and the result."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - wall, time.process_time() - cpu, result


def _bare(place: Place) -> float:
    from azure.identity import ManagedIdentityCredential  # noqa: PLC0415
    from azure.mgmt.sql import SqlManagementClient  # noqa: PLC0415

    client = SqlManagementClient(
        ManagedIdentityCredential(),
        place.subscriptions[0],
        base_url=place.arm,
        connection_verify=place.ca_file,
        credential_scopes=["https://management.azure.com/.default"],
    )
    list(client.firewall_rules.list_by_server("data", "sql00000"))
    taken = [_timed(lambda: list(client.firewall_rules.list_by_server("data", "sql00000"))) for _ in range(BARE_CALLS)]
    return median(cpu for _, cpu, _ in taken) * 1000


def quiet(*sizes: tuple[int, int], granted: int = BUCKET) -> dict[str, float]:
    """A table over (servers, subscriptions); the figures are those of the last row."""
    print(f"{'servers':>9}{'subscr.':>9}{'wall s':>9}{'bound s':>9}{'ratio':>7}{'CPU ms':>9}{'bare ms':>9}{'ratio':>7}")
    figures: dict[str, float] = {}
    for servers, subscriptions in sizes:
        world = World(servers=servers, subscriptions=subscriptions, latency=LATENCY)
        one = measured(world, cycles=RUNS if granted else 2)
        bound = one.bound(granted)
        wall_ratio, cpu_ratio = one.wall / bound, one.cpu / one.bare
        left = f"{servers:>9}{subscriptions:>9}{one.wall:>9.2f}{bound:>9.2f}{wall_ratio:>7.2f}"
        print(f"{left}{one.cpu:>9.2f}{one.bare:>9.2f}{cpu_ratio:>7.2f}", flush=True)
        figures = {
            "quiet_arm_requests": one.requests,
            "quiet_wall_ratio": wall_ratio,
            "quiet_cpu_ratio": cpu_ratio,
        }
    return figures


# --- converging


def converge() -> dict[str, float]:
    """From an empty server to 50 and to 250 rules, and once more when nothing is to do."""
    print(f"{'rules':>9}{'to set':>9}{'ours s':>9}{'serial s':>10}{'ratio':>7}")
    ratios = [_converged(50, RUNS), _converged(250, 1)]
    return {"converge_wall_ratio": ratios[0]}


def _converged(rules: int, runs: int) -> float:
    world = World(rules=rules, in_sync=False, latency=LATENCY, buckets=False)
    with running(world) as sandbox:
        ours, serial = [], []
        for _ in range(runs):
            sandbox.ask("empty")
            ours.append(_once(sandbox.place))
            again = _once(sandbox.place)
            sandbox.ask("empty")
            serial.append(_serial(sandbox.place, rules))
    ratio = median(ours) / median(serial)
    print(f"{rules:>9}{rules:>9}{median(ours):>9.2f}{median(serial):>10.2f}{ratio:>7.2f}")
    print(f"{rules:>9}{0:>9}{again:>9.2f}{median(serial):>10.2f}{again / median(serial):>7.2f}", flush=True)
    return ratio


def _once(place: Place) -> float:
    command = [sys.executable, "-m", "illumio_azsql_enforcer", "--config", place.config, "--once"]
    return _timed(lambda: subprocess.run(command, env=environ_for(place), check=True, capture_output=True))[0]


def _serial(place: Place, rules: int) -> float:
    command = [sys.executable, "-c", SERIAL, place.arm, place.subscriptions[0], place.ca_file]
    text = "\n".join(" ".join(one) for one in ranges(rules))
    run = lambda: subprocess.run(command, env=environ_for(place), input=text, text=True, check=True)  # noqa: E731
    return _timed(run)[0]


# --- start


def start() -> dict[str, float]:
    """`--once` on one server that is in sync: seconds to its first request, and peak resident memory."""
    with running(World(latency=0.0)) as sandbox:
        taken = [_started(sandbox) for _ in range(RUNS + 1)][1:]
    seconds, mib = median(one for one, _ in taken), median(one for _, one in taken)
    print(f"{'first request s':>16}{'peak MiB':>10}\n{seconds:>16.2f}{mib:>10.1f}", flush=True)
    return {"start_seconds": seconds, "start_mib": mib}


def _started(sandbox: Running) -> tuple[float, float]:
    sandbox.ask("forget")
    command = [sys.executable, "-m", "illumio_azsql_enforcer", "--config", sandbox.place.config, "--once"]
    begun = time.time()
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen(command, env=environ_for(sandbox.place), stdout=nowhere, stderr=nowhere)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"--once ended with {process.returncode}")
    return float(sandbox.ask("first")) - begun, usage.ru_maxrss / 1024


# --- the longer tables


def discovery() -> dict[str, float]:
    """Lists of all subscriptions against Resource Graph, when every tenth subscription holds a server."""
    from illumio_azsql_enforcer.azure import servers  # noqa: PLC0415

    print(f"{'subscr.':>9}{'with SQL':>9}{'lists s':>9}{'graph s':>9}{'lists req':>11}{'graph req':>11}")
    for subscriptions in (16, 32, 64, 128, 256, 512):
        holding = max(1, subscriptions // 10)
        world = World(servers=holding, rules=1, subscriptions=subscriptions, latency=LATENCY)
        with running(world) as sandbox:
            rows = []
            for many in (10**9, 0):
                servers.MANY = many
                rows.append(_discovered(sandbox.place))
        (lists, asked), (graph, fewer) = rows
        print(f"{subscriptions:>9}{holding:>9}{lists:>9.3f}{graph:>9.3f}{asked:>11}{fewer:>11}", flush=True)
    return {}


def _discovered(place: Place) -> tuple[float, int]:
    """Seconds and requests of a discovery after the first."""
    from illumio_azsql_enforcer.survey import find_servers  # noqa: PLC0415

    with closing(_enforcer(place)) as enforcer:
        access, config, clock = enforcer._azure, enforcer.config, enforcer._clock  # noqa: SLF001 - what is measured
        find_servers(access, config, clock)
        before = access.reads
        taken = [_timed(lambda: find_servers(access, config, clock))[0] for _ in range(RUNS)]
        return median(taken), (access.reads - before) // RUNS


def large() -> dict[str, float]:
    """1,000 servers in one subscription, cycle after cycle, so that its bucket is empty; 10,000 servers in 400."""
    quiet((1000, 1), granted=0)
    quiet((10_000, 400))
    return {}


def memory() -> dict[str, float]:
    """Resident memory over 1,000 quiet cycles of 20 servers."""
    world = World(servers=20, latency=0.0, buckets=False)
    with running(world) as sandbox, closing(_enforcer(sandbox.place)) as enforcer:
        print(f"{'cycles':>9}{'MiB':>9}")
        for cycle in range(1001):
            _expect(enforcer.cycle(), world)
            if cycle % 100 == 0:
                sandbox.ask("forget")
                print(f"{cycle:>9}{_resident():>9.1f}", flush=True)
    return {}


def _resident() -> float:
    found = re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


# --- the command


def _quiet() -> dict[str, float]:
    """In so many subscriptions that all the cycles together do not empty a bucket."""
    return quiet((100, 8), (1000, 40))


MEASURES: dict[str, Callable[[], dict[str, float]]] = {
    "quiet_arm_requests": _quiet,
    "quiet_wall_ratio": _quiet,
    "quiet_cpu_ratio": _quiet,
    "converge_wall_ratio": converge,
    "start_seconds": start,
    "start_mib": start,
    "discovery": discovery,
    "large": large,
    "memory": memory,
}
LONG = ("discovery", "large", "memory")


def main(figures: Sequence[str]) -> None:
    """Tables first, figures last."""
    wanted = list(figures) or [name for name in MEASURES if name not in LONG]
    told: dict[str, float] = {}
    for measure in dict.fromkeys(MEASURES[name] for name in wanted):
        told |= measure()
    for name in wanted:
        if name in told:
            print(f"bench {name} {told[name]:.4g}")


if __name__ == "__main__":
    main(sys.argv[1:])
