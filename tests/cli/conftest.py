"""The program as a user runs it: a process of its own, against the embedded sandbox."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from illumio_azsql_enforcer.sandbox.box import IN_THE_WAY, Sandbox, open_sandbox

PROGRAM = (sys.executable, "-m", "illumio_azsql_enforcer")


@dataclass(frozen=True)
class Run:
    """What one run of the program gave."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """stdout as JSON: it must hold the report and nothing else."""
        told: dict[str, Any] = json.loads(self.out)
        return told

    def server(self, name: str) -> dict[str, Any]:
        """One server of the report."""
        return next(server for server in self.report["servers"] if server["name"] == name)


Program = Callable[..., Run]


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with open_sandbox(tmp_path) as opened:
        yield opened


@pytest.fixture
def environ(sandbox: Sandbox) -> dict[str, str]:
    """The environment of a process that gets its tokens from the sandbox."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith((*IN_THE_WAY, "ILLUMIO_"))}
    return kept | sandbox.environ


@pytest.fixture
def program(sandbox: Sandbox, environ: dict[str, str]) -> Program:
    """Runs the program with the sandbox's config and these arguments."""

    def run(*arguments: str, **extra: str) -> Run:
        done = subprocess.run(
            [*PROGRAM, "--config", str(sandbox.config), *arguments],
            env=environ | extra,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stdout + done.stderr
        assert sandbox.pce.api_secret not in done.stdout + done.stderr
        return Run(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def configure(sandbox: Sandbox) -> Callable[[dict[str, Any]], None]:
    """Merges changes into the sandbox's config file, section by section."""

    def change(changes: dict[str, Any]) -> None:
        config = yaml.safe_load(sandbox.config.read_text())
        for section, keys in changes.items():
            config[section] = config.get(section, {}) | keys if isinstance(keys, dict) else keys
        sandbox.config.write_text(yaml.safe_dump(config))

    return change


def writes(sandbox: Sandbox) -> list[str]:
    """The writes that reached ARM, as METHOD NAME."""
    return [
        f"{request.method} {request.decoded.rsplit('/', 1)[-1]}"
        for request in sandbox.arm.requests("PUT", "DELETE", "POST", "PATCH")
    ]
