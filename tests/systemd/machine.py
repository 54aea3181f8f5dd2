"""A Debian machine with a real systemd as PID 1, in namespaces of its own, made by debootstrap and systemd-nspawn.

Needs root. The disk of each suite is made once and kept in the cache; a machine starts from it with an empty overlay
in memory. Inside there is no network but loopback: what the service talks to must run inside as well.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

CACHE = Path(os.environ.get("SYSTEMD_TEST_CACHE", "/var/tmp/illumio-azsql-enforcer-systemd"))
PROJECT = Path(__file__).parents[2]
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", "build", "dist", ".*_cache", "__pycache__", ".hypothesis")
TOOLS = ("debootstrap", "systemd-nspawn", "nsenter")
PACKAGES = "systemd,systemd-sysv,dbus,python3,python3-venv,ca-certificates"
BUILD_PACKAGES = ("debhelper", "fakeroot", "lintian", "make")
NOT_STARTED = ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "console-getty.service")
NSPAWN = ("systemd-nspawn", "--quiet", "--register=no", "--keep-unit")
# What IPAddressDeny= needs, so that a unit that uses it is really held to it.
BOOT = ("--boot", "--private-network", "--link-journal=no", "--system-call-filter=bpf", "--capability=CAP_BPF")


def missing() -> str | None:
    """Why no machine can be had here; None when one can."""
    if os.geteuid() != 0:
        return "needs root"
    absent = [tool for tool in TOOLS if not shutil.which(tool)]
    return f"needs {', '.join(absent)}: apt-get install debootstrap systemd-container util-linux" if absent else None


class Machine:
    """A booted machine."""

    def __init__(self, container: "subprocess.Popen[bytes]") -> None:
        self._container = container

    def is_up(self) -> bool:
        """Whether the boot is over."""
        state = self.result("systemctl", "is-system-running").stdout.strip()
        return state in {"running", "degraded"}

    def run(self, *command: str, check: bool = True, timeout: float = 60) -> str:
        """What the command, run inside as root, printed. Raises AssertionError with its output when it fails."""
        done = self.result(*command, timeout=timeout)
        assert not check or done.returncode == 0, (
            f"{' '.join(command)} -> {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done.stdout.strip()

    def result(self, *command: str, timeout: float = 60) -> "subprocess.CompletedProcess[str]":
        """The same, with its exit code."""
        return subprocess.run(self._inside(*command), capture_output=True, text=True, timeout=timeout, check=False)

    def _inside(self, *command: str) -> list[str]:
        # Asked anew each time: what nspawn starts first is not yet PID 1 of the machine.
        return ["nsenter", "--target", str(_leader(self._container.pid) or 0), "--all", "--", *command]

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """A file inside, as the machine sees it now."""
        script = 'mkdir -p "$(dirname "$1")" && umask 077 && printf %s "$2" >"$1" && chmod "$3" "$1"'
        self.run("sh", "-c", script, "sh", path, text, f"{mode:o}")

    def copy(self, file: Path, path: str) -> None:
        """A file of this machine, there."""
        with file.open("rb") as content:
            inside = self._inside("sh", "-c", 'cat >"$1"', "sh", path)
            subprocess.run(inside, stdin=content, check=True, timeout=60)

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "--value", "--property", name, unit)


def until(condition: Callable[[], object], patience: float, what: str) -> None:
    """Waits for something that another machine does. Raises AssertionError when it does not happen in time."""
    give_up = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < give_up, f"not within {patience:g} s: {what}"
        time.sleep(0.05)


def disk(suite: str) -> Path:
    """The root of a minimal Debian, made at the first use."""
    root = CACHE / suite
    done = root.with_suffix(".complete")
    if done.exists():
        return root
    CACHE.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(root, ignore_errors=True)
    _call("debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, str(root), mirror())
    units = root / "etc/systemd/system"
    for unit in NOT_STARTED:
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    (units / "default.target").unlink(missing_ok=True)
    (units / "default.target").symlink_to("/lib/systemd/system/multi-user.target")
    (root / "var/log/journal").mkdir(exist_ok=True)
    done.touch()
    return root


def build_disk(suite: str) -> Path:
    """The same with what building the package needs, as its control file says."""
    root = CACHE / f"{suite}-build"
    done = root.with_suffix(".complete")
    if done.exists():
        return root
    shutil.rmtree(root, ignore_errors=True)
    _call("cp", "--archive", str(disk(suite)), str(root))
    install = ("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *BUILD_PACKAGES)
    in_disk(root, "sh", "-c", f"apt-get update --quiet && DEBIAN_FRONTEND=noninteractive {' '.join(install)}")
    done.touch()
    return root


def in_disk(root: Path, *command: str, binds: Sequence[str] = ()) -> str:
    """Runs a command in a disk that is not booted, with the network of this machine and its settings for pip."""
    pip = [f"--setenv={name}={value}" for name, value in os.environ.items() if name.startswith("PIP_")]
    certificates = ["--bind-ro=/etc/ssl/certs/ca-certificates.crt"]
    return _call(*NSPAWN, f"--directory={root}", *pip, *certificates, *binds, *command)


def copied_project(into: Path) -> Path:
    """The project as it is now, without what was made from it."""
    shutil.copytree(PROJECT, into, ignore=NOT_COPIED)
    return into


def mirror() -> str:
    """The Debian mirror that this machine uses itself."""
    sources = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    text = "\n".join(path.read_text() for path in sources if path.is_file())
    found = re.search(r"^(?:deb\s(?:\[.*?\]\s*)?|URIs:\s*)(https?://\S+/debian/?)\s*(?:\s|$)", text, re.MULTILINE)
    assert found, "no Debian mirror is named in /etc/apt"
    return found[1]


@contextmanager
def overlay(lower: Path, at: Path) -> Iterator[Path]:
    """A disk over another, whose changes are kept in memory and forgotten."""
    at.mkdir(parents=True, exist_ok=True)
    _call("mount", "-t", "tmpfs", "-o", "size=2g", "tmpfs", str(at))
    try:
        upper, work, merged = at / "upper", at / "work", at / "merged"
        for directory in (upper, work, merged):
            directory.mkdir()
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        _call("mount", "-t", "overlay", "overlay", "-o", options, str(merged))
        try:
            yield merged
        finally:
            _call("umount", "--lazy", str(merged))
    finally:
        _call("umount", "--lazy", str(at))


@contextmanager
def booted(root: Path) -> Iterator[Machine]:
    """A machine that runs inside the `with`."""
    with subprocess.Popen(
        [*NSPAWN, *BOOT, f"--directory={root}", "--machine=enforcer-test"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as container:
        try:
            machine = Machine(container)
            until(machine.is_up, 60, "the machine has booted")
            yield machine
        finally:
            _power_off(container)


def _leader(container: int) -> int | None:
    found = subprocess.run(["pgrep", "--parent", str(container)], capture_output=True, text=True, check=False)
    return int(found.stdout.split()[0]) if found.stdout.split() else None


def _power_off(container: "subprocess.Popen[bytes]") -> None:
    leader = _leader(container.pid)
    if leader is not None:
        os.kill(leader, signal.SIGRTMIN + 4)
    try:
        container.wait(20)
    except subprocess.TimeoutExpired:
        if leader is not None:
            os.kill(leader, signal.SIGKILL)  # PID 1 of its namespace: everything inside goes with it
        container.kill()


def _call(*command: str) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)} -> {done.returncode}\n{done.stdout[-4000:]}"
    return done.stdout
