"""The life of the Debian package on a machine: install, upgrade, remove, purge; and `make install` beside it."""

import subprocess
from pathlib import Path

import pytest

from tests.systemd import machine as machines
from tests.systemd.conftest import ETC, NAME, PATIENCE, Service
from tests.systemd.machine import Machine, until

pytestmark = pytest.mark.systemd

FURTHER = f"{NAME}@test.service"


def dpkg(machine: Machine, *arguments: str) -> str:
    """dpkg, answering no questions: a conffile that was changed stays."""
    return machine.run("dpkg", "--force-confdef", "--force-confold", *arguments, timeout=300)


def left(machine: Machine) -> list[str]:
    """Paths of the program that exist."""
    found = machine.run("find", "/etc", "/usr", "/lib/systemd", "/var/lib", "-name", f"*{NAME}*", check=False)
    return [path for path in found.splitlines() if not path.startswith("/var/lib/dpkg/")]


@pytest.fixture(scope="session")
def next_package(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same package as a later version, with another example config."""
    there = tmp_path_factory.mktemp("next")
    subprocess.run(["dpkg-deb", "--raw-extract", package, there / "tree"], check=True)
    control, config = there / "tree/DEBIAN/control", there / f"tree{ETC}/config.yaml"
    control.write_text(control.read_text().replace("\nVersion: ", "\nVersion: 99."))
    config.write_text(config.read_text() + "# a new key\n")
    built = there / "next.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "--build", there / "tree", built], check=True, capture_output=True
    )
    return built


@pytest.fixture
def upgraded(service: Service, next_package: Path) -> Service:
    """The service, which ran while the package was upgraded."""
    service.control("enable", "--now")
    service.configure(directory=f"{ETC}/test")
    Service(service.machine, FURTHER).control("start")
    service.machine.copy(next_package, "/root/next.deb")
    dpkg(service.machine, "--install", "/root/next.deb")
    return service


def test_after_the_installation_nothing_runs_yet(machine: Machine) -> None:
    assert machine.show(f"{NAME}.service", "ActiveState") == "inactive"
    assert machine.show(f"{NAME}.service", "UnitFileState") == "disabled"
    assert machine.run("stat", "--format=%a %U", f"{ETC}/config.yaml", f"{ETC}/pce-api-secret") == "644 root\n600 root"
    assert machine.run(NAME, "--version").startswith(NAME)
    assert machine.result(NAME, "--once").returncode == 78  # the example config has no secret yet


def test_an_upgrade_keeps_config_and_secret_and_restarts_what_runs(upgraded: Service) -> None:
    machine = upgraded.machine
    assert "127.0.0.1:8443" in machine.run("cat", f"{ETC}/config.yaml")
    assert machine.run("cat", f"{ETC}/pce-api-secret")
    assert "# a new key" in machine.run("cat", f"{ETC}/config.yaml.dpkg-dist")
    assert "99." in machine.run("dpkg-query", "--show", NAME)
    until(lambda: len(upgraded.events("started")) == 2, PATIENCE, "the service runs again")
    assert upgraded.show("ActiveState") == "active"
    assert upgraded.show("UnitFileState") == "enabled"
    further = Service(machine, FURTHER)
    until(lambda: len(further.events("started")) == 2, PATIENCE, "the service of the further config runs again")


def test_remove_keeps_what_is_ours_and_purge_does_not(service: Service) -> None:
    machine = service.machine
    service.control("enable", "--now")
    dpkg(machine, "--remove", NAME)
    assert service.show("ActiveState") == "inactive"
    assert [event["signals"] for event in service.events("stopped")] == [["SIGTERM"]]
    assert machine.result("test", "-e", f"/usr/lib/{NAME}").returncode == 1
    assert "127.0.0.1:8443" in machine.run("cat", f"{ETC}/config.yaml")
    machine.run("test", "-s", f"{ETC}/pce-api-secret")
    machine.run("test", "-s", f"/var/lib/{NAME}/journal.jsonl")
    dpkg(machine, "--purge", NAME)
    assert left(machine) == []


def test_lintian_finds_no_error(suite: str, package: Path) -> None:
    command = ("lintian", "--fail-on", "error", "--allow-root", "/package.deb")
    machines.in_disk(machines.build_disk(suite), *command, binds=[f"--bind-ro={package}:/package.deb"])


def test_make_install_twice_then_uninstall(suite: str, tmp_path: Path) -> None:
    source = machines.copied_project(tmp_path / "source")
    with machines.overlay(machines.build_disk(suite), tmp_path / "machine") as disk:

        def make(target: str) -> str:
            return machines.in_disk(disk, "make", "--directory=/src", target, binds=[f"--bind={source}:/src"])

        make("install")
        assert NAME in machines.in_disk(disk, f"/usr/local/bin/{NAME}", "--version")
        config, secret = disk / f"etc/{NAME}/config.yaml", disk / f"etc/{NAME}/pce-api-secret"
        assert (config.stat().st_mode & 0o777, secret.stat().st_mode & 0o777) == (0o644, 0o600)
        config.write_text("# mine\n")
        secret.write_text("s3cret\n")
        make("install")
        assert (config.read_text(), secret.read_text()) == ("# mine\n", "s3cret\n")
        assert secret.stat().st_mode & 0o777 == 0o600
        make("uninstall")
        kept = sorted(str(path.relative_to(disk)) for path in disk.glob(f"**/*{NAME}*") if "src" not in path.parts)
        assert kept == [f"etc/{NAME}"]
