"""`demo`: the whole job against the embedded sandbox."""

import os
import shlex
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import click

from illumio_azsql_enforcer import logs
from illumio_azsql_enforcer.cli.run import accept_command, paint
from illumio_azsql_enforcer.cli.words import Words
from illumio_azsql_enforcer.clock import SystemClock
from illumio_azsql_enforcer.config import load
from illumio_azsql_enforcer.enforcer import Enforcer
from illumio_azsql_enforcer.process import Requests, supervise
from illumio_azsql_enforcer.report import Outcome
from illumio_azsql_enforcer.report_text import render
from illumio_azsql_enforcer.sandbox.box import Sandbox, environment_of, open_sandbox
from illumio_azsql_enforcer.sandbox.scenes import Scene, scenes
from illumio_azsql_enforcer.server_cycle import Options


def run_demo(words: Words, *, serve: bool, port: int) -> int:
    """Plays the story, or keeps the sandbox up until it is interrupted. Raises SandboxError."""
    logs.configure("console", "error")
    with (
        tempfile.TemporaryDirectory(prefix="illumio-azsql-sandbox-") as directory,
        open_sandbox(Path(directory), port=port if serve else 0) as sandbox,
        environment_of(sandbox),
    ):
        return _serve(sandbox) if serve else _play(words, sandbox)


def _play(words: Words, sandbox: Sandbox) -> int:
    click.echo(
        "A PCE and an Azure Resource Manager now run on this machine, on loopback only, with the set-up of Illumio's\n"
        "2020 article on Azure SQL. Everything below happens over HTTP, with the real Azure SDK."
    )
    story = scenes(sandbox)
    dry, real = (_enforcer(words, sandbox, dry_run=dry_run) for dry_run in (True, False))
    with closing(dry), closing(real):
        for number, scene in enumerate(story, start=1):
            _tell(number, scene)
            scene.happens()
            report = (dry if scene.dry_run else real).cycle()
            click.echo(render(report, paint(), news_only=number > 1))
            if report.outcome is Outcome.FAILED:
                return 1
    click.echo("\nThat was the demo. 'illumio-azsql-enforcer demo --serve' keeps the sandbox up for the real commands.")
    return 0


def _enforcer(words: Words, sandbox: Sandbox, *, dry_run: bool) -> Enforcer:
    command = accept_command(replace(words, config=sandbox.config))
    options = Options(dry_run=dry_run, accept_command=command)
    return Enforcer(load(sandbox.config, os.environ), options, SystemClock())


def _tell(number: int, scene: Scene) -> None:
    colour = paint()
    command = "illumio-azsql-enforcer --once" + (" --dry-run" if scene.dry_run else "")
    click.echo(f"\n{colour(f'{number}. {scene.title}', 'bold')}\n{scene.told}\n\n{colour(f'$ {command}', 'cyan')}")


def _serve(sandbox: Sandbox) -> int:
    exports = "\n".join(f"  export {name}={shlex.quote(value)}" for name, value in sandbox.environ.items())
    command = f"illumio-azsql-enforcer --config {shlex.quote(str(sandbox.config))}"
    click.echo(
        f"The sandbox is up until you press Ctrl-C.\n"
        f"  PCE    {sandbox.pce.url}  (key {sandbox.pce.api_key}, its secret is in {sandbox.config.parent})\n"
        f"  Azure  {sandbox.arm.url}\n\n"
        f"In another terminal:\n{exports}\n  {command} --once --dry-run\n  {command} --once\n  {command}\n"
    )
    requests = Requests()
    return supervise(_until_stopped(requests), requests) or 0


def _until_stopped(requests: Requests) -> Callable[[], int]:
    def work() -> int:
        requests.stop.wait()
        return 0

    return work
