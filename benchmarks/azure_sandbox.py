"""The sandbox in a process of its own, so that the CPU and memory of the program are its own alone.

`python -m benchmarks.azure_sandbox '{"servers": 100, ...}'` prints one line of JSON, serves, and ends with its stdin.
Each line of stdin is a command, answered by one line: `forget` the requests that were kept, tell the time of the
`first` one since, `empty` every server.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from illumio_azsql_enforcer.sandbox.arm import ArmSimulator
from illumio_azsql_enforcer.sandbox.arm.switches import Switches
from illumio_azsql_enforcer.sandbox.box import IN_THE_WAY
from illumio_azsql_enforcer.sandbox.pce import PceSimulator

SUFFIX = "database.windows.net"
CONFIG = """\
pce: {{url: "{pce_url}", org_id: {org_id}, api_key: {api_key}, api_secret: "{api_secret}"}}
azure:
  cloud: {{resource_manager: "{arm_url}", audience: https://management.azure.com}}
  subscriptions: {subscriptions}
  credential: managed_identity
  ca_file: {ca_file}
  concurrency: {concurrency}
enforcement: {{mode: sync, interval: 60s, full_sync_interval: 24h}}
"""


@dataclass(frozen=True, slots=True)
class World:
    """What the sandbox holds: servers spread over subscriptions, all with the same policy of some ranges."""

    servers: int = 1
    rules: int = 50
    subscriptions: int = 1
    in_sync: bool = True  # the servers have the rules of the policy already
    latency: float = 0.04  # seconds that ARM takes for each request
    concurrency: int = 16
    buckets: bool = True


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sandbox is, and how to get there."""

    arm: str
    environ: dict[str, str]
    config: str  # path
    ca_file: str
    subscriptions: list[str]


@dataclass(frozen=True, slots=True)
class Running:
    """A sandbox process."""

    place: Place
    process: "subprocess.Popen[str]"

    def ask(self, command: str) -> str:
        """Give a command and wait for its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(command, file=self.process.stdin, flush=True)
        return self.process.stdout.readline().strip()


@contextmanager
def running(world: World) -> Iterator[Running]:
    """A sandbox process that lives as long as the `with`."""
    command = [sys.executable, "-m", "benchmarks.azure_sandbox", json.dumps(asdict(world))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Running(Place(**json.loads(process.stdout.readline())), process)
        finally:
            process.stdin.close()
            process.wait(60)


def environ_for(place: Place) -> dict[str, str]:
    """The environment of a process that gets its tokens from the sandbox."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith((*IN_THE_WAY, "ILLUMIO_"))}
    return {name: value for name, value in kept.items() if not name.lower().endswith("_proxy")} | place.environ


def ranges(number: int) -> list[tuple[str, str]]:
    """That many ranges that neither touch nor overlap."""
    blocks = (f"{11 + at // 32768}.{at // 128 % 256}.{at % 128 * 2}" for at in range(number))
    return [(f"{block}.0", f"{block}.255") for block in blocks]


def main() -> None:
    """Serve until stdin ends."""
    world = World(**json.loads(sys.argv[1]))
    switches = Switches()
    switches.throttle.enabled = world.buckets
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as directory,
        PceSimulator() as pce,
        ArmSimulator(tls=True, latency=world.latency, switches=switches) as arm,
    ):
        subscriptions = _fill(world, pce, arm)
        config = Path(directory) / "config.yaml"
        config.write_text(_config(world, pce, arm, subscriptions))
        place = Place(arm.url, arm.environ, str(config), str(arm.ca_file), subscriptions)
        print(json.dumps(asdict(place)), flush=True)
        _serve(pce, arm)


def _serve(pce: PceSimulator, arm: ArmSimulator) -> None:
    for line in sys.stdin:
        print(_obey(line.strip(), pce, arm), flush=True)


def _obey(command: str, pce: PceSimulator, arm: ArmSimulator) -> str:
    match command:
        case "forget":
            pce.journal.clear()
            arm.journal.clear()
        case "empty":
            for server in arm.state.servers.values():
                arm.state.replace_rules(server, {})
        case "first":
            return str(min(request.at.timestamp() for request in (*pce.journal, *arm.journal)))
    return "done"


def _fill(world: World, pce: PceSimulator, arm: ArmSimulator) -> list[str]:
    subscriptions = [f"6f1b3a52-0c7e-4d1b-9a55-{at:012d}" for at in range(1, world.subscriptions + 1)]
    for subscription in subscriptions:
        arm.state.add_subscription(subscription)
    label = pce.console.create("labels", key="role", value="Database Server")["href"]
    for at in range(world.servers):
        name = f"sql{at:05d}"
        _server(world, arm, name, subscriptions[at % len(subscriptions)])
        pce.console.create("workloads", name=name, hostname=f"{name}.{SUFFIX}", labels=[{"href": label}], interfaces=[])
    _policy(world, pce, label)
    return subscriptions


def _server(world: World, arm: ArmSimulator, name: str, subscription: str) -> None:
    arm.state.add_server(name, subscription=subscription, resource_group="data", fqdn=f"{name}.{SUFFIX}")
    if world.in_sync:
        for start, end in ranges(world.rules):
            arm.state.set_rule(name, f"illumio-{start}-{end}", start, end)


def _policy(world: World, pce: PceSimulator, label: Any) -> None:  # noqa: ANN401 - PCE JSON
    clients = [{"from_ip": start, "to_ip": end} for start, end in ranges(world.rules)]
    ip_list = pce.console.create("ip_lists", name="Clients", ip_ranges=clients)
    rule_set = pce.console.create("rule_sets", name="Databases", scopes=[[]])
    pce.console.add_rule(
        rule_set["href"],
        providers=[{"label": {"href": label}}],
        consumers=[{"ip_list": {"href": ip_list["href"]}}],
        ingress_services=[{"proto": 6, "port": 1433}],
    )
    pce.console.provision("Databases")


def _config(world: World, pce: PceSimulator, arm: ArmSimulator, subscriptions: list[str]) -> str:
    return CONFIG.format(
        pce_url=pce.url,
        org_id=pce.org_id,
        api_key=pce.api_key,
        api_secret=pce.api_secret,
        arm_url=arm.url,
        ca_file=arm.ca_file,
        subscriptions=json.dumps(subscriptions),
        concurrency=world.concurrency,
    )


if __name__ == "__main__":
    main()
