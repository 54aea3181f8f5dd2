"""The options of the command line, accepted before and after a subcommand alike."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

DEFAULT_CONFIG = Path("/etc/illumio-azsql-enforcer/config.yaml")
LEVELS = ("debug", "info", "warning", "error")

Command = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Words:
    """What the user asked for."""

    config: Path = DEFAULT_CONFIG
    once: bool = False
    dry_run: bool = False
    server: tuple[str, ...] = ()
    output: str = "text"
    detailed_exitcode: bool = False
    accept: tuple[str, ...] = ()
    metrics_file: Path | None = None
    log_format: str | None = None
    log_level: str = "info"


OPTIONS = (
    click.option(
        "-c",
        "--config",
        type=click.Path(path_type=Path),
        envvar="ILLUMIO_AZSQL_CONFIG",
        default=DEFAULT_CONFIG,
        show_default=True,
        help="The config file; $ILLUMIO_AZSQL_CONFIG names another default.",
    ),
    click.option("--once", is_flag=True, help="One cycle, then exit."),
    click.option("--dry-run", is_flag=True, help="Show what would change; nothing that can write is ever built."),
    click.option(
        "--server", multiple=True, metavar="NAME", help="In a cycle, only these logical servers (shell patterns)."
    ),
    click.option(
        "--output",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="How the report is printed with --once, explain and check.",
    ),
    click.option(
        "--detailed-exitcode",
        is_flag=True,
        help="With --once --dry-run: exit 2 when changes are pending, 3 when a guard refuses.",
    ),
    click.option("--accept", multiple=True, metavar="PLAN_ID", help="With --once: let this plan pass the guards."),
    click.option(
        "--metrics-file",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="PATH",
        help="Write metrics there after each cycle, as a textfile for node-exporter.",
    ),
    click.option(
        "--log-format", type=click.Choice(["console", "json"]), help="Default: console on a terminal, else json."
    ),
    click.option(
        "--log-level",
        type=click.Choice(LEVELS, case_sensitive=False),
        default="info",
        show_default=True,
        help="The least severe log lines that are shown.",
    ),
)


def with_options(command: Command) -> Command:
    """Adds every option to a command."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def words_of(context: click.Context) -> Words:
    """The options of the command and of the program above it, the command's own first. Raises click.UsageError."""
    said = _said(context)
    if context.parent:
        said = _said(context.parent) | {name: said[name] for name in said if _typed(context, name)}
    words = Words(**said)
    if words.accept and not words.once:
        raise click.UsageError("--accept works with --once only.", context)
    if words.detailed_exitcode and not (words.once and words.dry_run):
        raise click.UsageError("--detailed-exitcode works with --once --dry-run only.", context)
    return words


def _typed(context: click.Context, name: str) -> bool:
    """Whether the user typed it: the environment never beats what stands before the command."""
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def _said(context: click.Context) -> dict[str, Any]:
    unsaid = {ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP, None}
    return {
        name: value
        for name, value in context.params.items()
        if name in Words.__slots__ and context.get_parameter_source(name) not in unsaid
    }
