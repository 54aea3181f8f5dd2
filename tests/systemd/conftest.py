"""A machine with systemd, the package installed on it, and a sandbox for the service to work on."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.systemd import machine as machines
from tests.systemd.machine import PROJECT, Machine, until

NAME = "illumio-azsql-enforcer"
ETC = f"/etc/{NAME}"
PYTHON = f"/usr/lib/{NAME}/bin/python"
PATIENCE = 45.0  # seconds; a loaded machine is slow

REQUEST = """
import base64, pathlib, sys, urllib.request
method, url, body = sys.argv[1:]
secret = pathlib.Path("/run/sandbox/pce-api-secret").read_text().strip()
key = base64.b64encode(f"api_1a2b3c4d5e6f70819:{secret}".encode()).decode()
headers = {"Content-Type": "application/json", "Authorization": f"Basic {key}"}
request = urllib.request.Request(url, body.encode() or None, headers, method=method)
sys.stdout.write(urllib.request.urlopen(request).read().decode())
"""


@pytest.fixture(scope="session")
def suite() -> str:
    """The Debian release to test on; skips where no machine can be had, or where nobody asked for one."""
    chosen = os.environ.get("SYSTEMD_SUITE")
    if not chosen:
        pytest.skip("boots a machine: make test-systemd, as root")
    if reason := machines.missing():
        pytest.skip(reason)
    return chosen


@pytest.fixture(scope="session")
def package(suite: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Debian package, built on that release; $SYSTEMD_PACKAGE names one that exists."""
    if given := os.environ.get("SYSTEMD_PACKAGE"):
        return Path(given)
    there = tmp_path_factory.mktemp("package")
    source = machines.copied_project(there / "source")
    disk = machines.build_disk(suite)
    machines.in_disk(disk, "make", "--directory=/src", "deb", binds=[f"--bind={source}:/src"])
    (built,) = (source / "dist").glob("*.deb")
    return Path(shutil.copy(built, there))


@pytest.fixture(scope="session")
def disk_with_package(suite: str, package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A disk on which the package is installed."""
    with machines.overlay(machines.disk(suite), tmp_path_factory.mktemp("installed")) as disk:
        shutil.copy(package, disk / "root/package.deb")
        shutil.copy(PROJECT / "tests/systemd/sandbox_program.py", disk / "root")
        machines.in_disk(disk, "dpkg", "--install", "/root/package.deb")
        yield disk


@pytest.fixture
def machine(disk_with_package: Path, tmp_path: Path) -> Iterator[Machine]:
    """A machine with the package installed, booted for one test."""
    with machines.overlay(disk_with_package, tmp_path / "machine") as disk, machines.booted(disk) as booted:
        yield booted


class Service:
    """The service on its machine, and the sandbox that it works on."""

    def __init__(self, machine: Machine, unit: str = f"{NAME}.service") -> None:
        self.machine, self.unit = machine, unit

    def configure(self, changes: dict[str, str] | None = None, directory: str = ETC) -> None:
        """The sandbox's config, with the secret as a credential, and other texts replaced."""
        text = self.machine.run("cat", "/run/sandbox/config.yaml")
        secret = self.machine.run("cat", "/run/sandbox/pce-api-secret")
        changes = {"${file:/run/sandbox/pce-api-secret}": "${credential:pce-api-secret}", **(changes or {})}
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        self.machine.write(f"{directory}/config.yaml", text)
        self.machine.write(f"{directory}/pce-api-secret", secret + "\n", 0o600)

    def drop_in(self, text: str) -> None:
        """Settings of the unit for this test."""
        self.machine.write(f"/etc/systemd/system/{self.unit}.d/test.conf", text)
        self.machine.run("systemctl", "daemon-reload")

    def control(self, verb: str, *more: str, check: bool = True) -> None:
        """systemctl VERB UNIT."""
        self.machine.run("systemctl", verb, *more, self.unit, check=check, timeout=PATIENCE * 4)

    def show(self, name: str) -> str:
        """A property of the unit, such as MainPID."""
        return self.machine.show(self.unit, name)

    def log(self) -> list[dict[str, Any]]:
        """The journal's entries of the unit."""
        lines = self.machine.run("journalctl", "--unit", self.unit, "--output=json", "--no-pager")
        return [json.loads(line) for line in lines.splitlines()]

    def events(self, name: str) -> list[dict[str, Any]]:
        """The program's own log lines with that event."""
        texts = [entry["MESSAGE"] for entry in self.log() if isinstance(entry["MESSAGE"], str)]
        lines = [json.loads(text) for text in texts if text.startswith("{")]
        return [line for line in lines if line.get("event") == name]

    def wait_for_event(self, name: str, count: int = 1) -> dict[str, Any]:
        """The latest such line, once there are so many."""
        until(lambda: len(self.events(name)) >= count, PATIENCE, f"{count} log lines {name!r}")
        return self.events(name)[-1]

    # --- the sandbox

    def slow(self, *faults: str) -> None:
        """Requests METHOD PATH wait SECONDS before they are answered; none: all are quick again."""
        text = "".join(f"{fault}\n" for fault in faults)
        self.machine.write("/run/sandbox/slow", text)
        done = ("cat", "/run/sandbox/slow-set")
        until(lambda: self.machine.result(*done).stdout == text, PATIENCE, "the sandbox took the faults")

    def ask(self, method: str, url: str, body: object = None) -> Any:
        """One request to the sandbox, from inside."""
        text = "" if body is None else json.dumps(body)
        return json.loads(self.machine.run("python3", "-c", REQUEST, method, url, text) or "null")

    def pce(self, method: str, path: str, body: object = None) -> Any:
        """One request to the simulated PCE, with a key that may do everything."""
        return self.ask(method, f"http://127.0.0.1:8443/api/v2/orgs/1/{path}", body)

    def rules(self, server: str = "orders-sql") -> list[str]:
        """Names of the firewall rules that are live."""
        servers = self.ask("GET", "http://127.0.0.1:8444/sandbox/servers")["value"]
        return next(sorted(one["firewallRules"]) for one in servers if one["name"] == server)

    def requests(self) -> list[str]:
        """What was asked of ARM so far, answered or not: paths and queries."""
        return [one["target"] for one in self.ask("GET", "http://127.0.0.1:8444/sandbox/journal")["value"]]

    def meddle(self, name: str) -> None:
        """Somebody adds a rule by hand."""
        rule = {"server": "orders-sql", "name": name, "start": "192.0.2.77", "end": "192.0.2.77"}
        self.ask("POST", "http://127.0.0.1:8444/sandbox/rules", rule)


@pytest.fixture
def service(machine: Machine) -> Service:
    """The installed service, configured for a sandbox that runs beside it."""
    one = Service(machine)
    machine.run("mkdir", "--mode=0700", "/run/sandbox")
    machine.run("systemd-run", "--unit=sandbox", PYTHON, "/root/sandbox_program.py", "/run/sandbox")
    until(lambda: machine.result("test", "-e", "/run/sandbox/ready").returncode == 0, PATIENCE, "the sandbox is up")
    one.configure()
    machine.write(f"{ETC}/environment", machine.run("cat", "/run/sandbox/environment") + "\n", 0o600)
    return one
