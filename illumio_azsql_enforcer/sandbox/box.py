"""The embedded sandbox as one thing: a PCE and an Azure on loopback, the 2020 article's estate, a config for both."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from illumio_azsql_enforcer.errors import EnforcerError
from illumio_azsql_enforcer.sandbox.arm import ArmSimulator
from illumio_azsql_enforcer.sandbox.estate import SUBSCRIPTION, Estate, blog_estate
from illumio_azsql_enforcer.sandbox.pce import PceSimulator

RELEASE = "25.2.20"  # of the PCE, unless another one is asked for
# Settings of the machine that would send the token request, or any request, somewhere else than here.
IN_THE_WAY = ("AZURE_", "IDENTITY_", "MSI_")

CONFIG = """\
# A config for the embedded sandbox. Every key is explained in config.example.yaml.
pce:
  url: {pce_url}
  org_id: {org_id}
  api_key: {api_key}
  api_secret: ${{file:{secret_file}}}

azure:
  cloud:
    resource_manager: {arm_url}
    audience: https://management.azure.com
  subscriptions: [{subscription}]
  credential: managed_identity

servers:
  overrides:
    orders-sql: {{mode: authoritative}}

enforcement:
  mode: sync
  interval: 10s
"""


S = TypeVar("S")


class SandboxError(EnforcerError):
    """The sandbox cannot be started here."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A running sandbox."""

    pce: PceSimulator
    arm: ArmSimulator
    estate: Estate
    config: Path

    @property
    def environ(self) -> dict[str, str]:
        """What a process needs in its environment to get its tokens here."""
        return self.arm.environ


@contextmanager
def open_sandbox(directory: Path, *, port: int = 0, release: str = RELEASE) -> Iterator[Sandbox]:
    """A sandbox that runs inside the `with`; its config is written into `directory`.

    The PCE listens on `port` and ARM on the next one; 0 takes free ports. Raises SandboxError when a port is in use.
    """
    arm_port = port + 1 if port else 0
    with (
        _listening(port, lambda: PceSimulator(port=port, release=release)) as pce,
        _listening(arm_port, lambda: ArmSimulator(port=arm_port)) as arm,
    ):
        yield Sandbox(pce, arm, blog_estate(pce, arm), _write_config(directory, pce, arm))


@contextmanager
def _listening(port: int, make: Callable[[], AbstractContextManager[S]]) -> Iterator[S]:
    with ExitStack() as stack:
        try:
            simulator = stack.enter_context(make())
        except OSError as error:
            raise SandboxError(
                f"The sandbox cannot listen on 127.0.0.1:{port}: {error.strerror}; choose other ports with --port."
            ) from error
        yield simulator


def _write_config(directory: Path, pce: PceSimulator, arm: ArmSimulator) -> Path:
    secret_file, config = directory / "pce-api-secret", directory / "config.yaml"
    secret_file.write_text(pce.api_secret + "\n")
    secret_file.chmod(0o600)
    text = CONFIG.format(
        pce_url=pce.url,
        org_id=pce.org_id,
        api_key=pce.api_key,
        secret_file=secret_file,
        arm_url=arm.url,
        subscription=SUBSCRIPTION,
    )
    config.write_text(text)
    return config


@contextmanager
def environment_of(sandbox: Sandbox) -> Iterator[None]:
    """This process gets its tokens from the sandbox inside the `with`."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(IN_THE_WAY) or name.lower().endswith("_proxy"):
            del os.environ[name]
    os.environ.update(sandbox.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
