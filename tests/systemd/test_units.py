"""The unit files, the man page and the completion as they are installed; no machine is booted."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from illumio_azsql_enforcer.cli.program import program
from tests.systemd.machine import PROJECT

NAME = "illumio-azsql-enforcer"
MOST_EXPOSED = 1.1
SERVICES = (
    f"{NAME}.service",
    f"{NAME}@test.service",
    f"{NAME}-once.service",
    f"{NAME}-accept@3f9c.service",
    f"{NAME}-accept-NAME@3f9c.service",
)
# What may differ between the units; all other lines must be the same in each.
OWN = re.compile(
    r"^(#|\[|$|Description=|Type=|NotifyAccess=|Exec|Restart|Timeout|WatchdogSec=|SuccessExitStatus=|Environment="
    r"|User=|StateDirectory=|LoadCredential=|WantedBy=)"
)


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the program in its bin/, as a virtual environment has it."""
    there = tmp_path_factory.mktemp("prefix")
    script = there / "bin" / NAME
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\ncd {PROJECT} && exec {sys.executable} -m illumio_azsql_enforcer "$@"\n')
    script.chmod(0o755)
    return there


@pytest.fixture(scope="module")
def installed(prefix: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `install.sh files` puts there."""
    there = tmp_path_factory.mktemp("installed")
    install(there, prefix)
    return there


def install(there: Path, prefix: Path) -> None:
    environ = os.environ | {"DESTDIR": str(there), "PREFIX": str(prefix)}
    subprocess.run([PROJECT / "systemd/install.sh", "files"], env=environ, check=True, capture_output=True)


@pytest.fixture(scope="module")
def units(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units in one directory, each template with an instance."""
    there = tmp_path_factory.mktemp("units")
    for unit in [*installed.rglob("*.service"), *installed.rglob("*.timer")]:
        shutil.copy(unit, there)
    for instance in SERVICES:
        template = re.sub("@.*\\.", "@.", instance)
        if template != instance:
            shutil.copy(there / template, there / instance)
    return there


def analyze(*arguments: str, units: Path) -> "subprocess.CompletedProcess[str]":
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze")
    environ = os.environ | {"SYSTEMD_LOG_LEVEL": "warning", "SYSTEMD_COLORS": "0"}
    command = ["systemd-analyze", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=units, env=environ, check=False)


@pytest.mark.parametrize("unit", [*SERVICES, f"{NAME}-once.timer"])
def test_systemd_finds_no_fault_in_the_unit(units: Path, unit: str) -> None:
    done = analyze("verify", "--recursive-errors=yes", "--man=no", f"./{unit}", units=units)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_systemd_would_find_a_fault(units: Path, tmp_path: Path) -> None:
    text = (units / f"{NAME}.service").read_text()
    (tmp_path / f"{NAME}.service").write_text(text.replace("PrivateTmp=yes", "PrivateTpm=yes"))
    done = analyze("verify", "--recursive-errors=yes", "--man=no", f"./{NAME}.service", units=tmp_path)
    assert done.returncode != 0


@pytest.mark.parametrize("unit", SERVICES)
def test_the_exposure_is_small(units: Path, unit: str) -> None:
    threshold = str(round(MOST_EXPOSED * 10))
    done = analyze("security", "--offline=true", f"--threshold={threshold}", f"./{unit}", units=units)
    assert done.returncode == 0, done.stdout


def test_all_services_are_hardened_alike(units: Path) -> None:
    said = [[line for line in (units / unit).read_text().splitlines() if not OWN.match(line)] for unit in SERVICES]
    assert len(said[0]) > 30
    for other in said[1:]:
        assert other == said[0]


def test_what_shares_the_state_is_the_same_user(units: Path) -> None:
    def identity(unit: str) -> list[str]:
        shared = ("User=", "StateDirectory=", "LoadCredential=", "EnvironmentFile=", "DynamicUser=")
        return [line for line in (units / unit).read_text().splitlines() if line.startswith(shared)]

    main = identity(SERVICES[0])
    assert len(main) == 5
    assert identity(f"{NAME}-once.service") == identity(f"{NAME}-accept@3f9c.service") == main
    further = [line.replace("%i", "%j") for line in identity(f"{NAME}@test.service")]
    assert identity(f"{NAME}-accept-NAME@3f9c.service") == further


def test_the_config_can_be_read_and_the_secret_cannot(installed: Path) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in (installed / "etc" / NAME).iterdir()}
    assert modes == {"config.yaml": 0o644, "pce-api-secret": 0o600}


def test_installing_again_keeps_the_config_and_the_secret(installed: Path, prefix: Path) -> None:
    etc = installed / "etc" / NAME
    before = {path: path.read_text() for path in etc.iterdir()}
    for path in before:
        path.write_text("mine")
    install(installed, prefix)
    assert {path.read_text() for path in etc.iterdir()} == {"mine"}
    for path, text in before.items():
        path.write_text(text)


def test_no_placeholder_is_left(installed: Path) -> None:
    files = [path for path in installed.rglob("*") if path.is_file()]
    assert len(files) >= 12
    assert [path for path in files if re.search("@[A-Z]+@", path.read_text())] == []


@pytest.mark.parametrize(
    ("shell", "path", "asks"),
    [
        ("bash", f"bash-completion/completions/{NAME}", ["bash", "-n"]),
        ("zsh", f"zsh/site-functions/_{NAME}", ["zsh", "-n"]),
        ("fish", f"fish/vendor_completions.d/{NAME}.fish", ["fish", "--no-execute"]),
    ],
)
def test_the_completion_is_a_script_of_that_shell(installed: Path, shell: str, path: str, asks: list[str]) -> None:
    script = installed / "usr/local/share" / path
    assert NAME in script.read_text()
    if not shutil.which(shell):
        pytest.skip(f"needs {shell}")
    subprocess.run([*asks, script], check=True)


def test_the_completion_completes(prefix: Path) -> None:
    environ = os.environ | {
        "_ILLUMIO_AZSQL_ENFORCER_COMPLETE": "bash_complete",
        "COMP_WORDS": f"{NAME} --dr",
        "COMP_CWORD": "1",
    }
    done = subprocess.run([prefix / "bin" / NAME], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == "plain,--dry-run\n"


def test_the_man_page_names_every_command_and_option() -> None:
    page = (PROJECT / f"docs/{NAME}.8").read_text()
    options = {name for command in [program, *program.commands.values()] for one in command.params for name in one.opts}
    missing = [name for name in sorted(options) if name.startswith("--") and f"Fl {name[1:]}" not in page]
    assert missing == []
    assert [name for name in program.commands if f".It Cm {name}" not in page] == []
    assert f"Dt {NAME.upper()} 8" in page


def test_the_man_page_is_well_formed() -> None:
    if not shutil.which("mandoc"):
        pytest.skip("needs mandoc")
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "style", PROJECT / f"docs/{NAME}.8"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
