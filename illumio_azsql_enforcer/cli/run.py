"""The daemon and `--once`."""

import json
import os
import shlex
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

import click
import structlog

from illumio_azsql_enforcer import logs
from illumio_azsql_enforcer.cli.service import announced, standing
from illumio_azsql_enforcer.cli.words import Words
from illumio_azsql_enforcer.clock import SystemClock
from illumio_azsql_enforcer.config import load
from illumio_azsql_enforcer.enforcer import Enforcer
from illumio_azsql_enforcer.model.settings import Config
from illumio_azsql_enforcer.narration import Narrator
from illumio_azsql_enforcer.process import Requests, supervise
from illumio_azsql_enforcer.report import Report, exit_code, to_json
from illumio_azsql_enforcer.report_text import Paint, plain, render
from illumio_azsql_enforcer.scheduler import Scheduler
from illumio_azsql_enforcer.sdnotify import ServiceManager, sender
from illumio_azsql_enforcer.server_cycle import Options

if TYPE_CHECKING:
    from illumio_azsql_enforcer.monitoring import Monitor

log = structlog.get_logger()


def run(words: Words) -> int:
    """One cycle or many; returns the exit code. Raises ConfigError before anything is contacted."""
    start_logging(words)
    if not words.once:
        manager = ServiceManager(sender())
        requests = Requests(heard=manager.heard)
        return _leave(supervise(lambda: _daemon(words, requests, manager), requests), interrupted=0)
    requests = Requests()
    config = load(words.config, os.environ)
    code = supervise(lambda: _once(words, config, requests), requests)
    interrupted = 128 + requests.signals[0] if requests.signals else 0
    return _leave(interrupted or code if code is not None else None, interrupted)


def _leave(code: int | None, interrupted: int) -> int:
    """Out by the front door, or, where the step in hand did not end in time, at once and without waiting."""
    if code is not None:
        return code
    log.error("the step in hand did not end in time; its outcome is re-read in the next cycle")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(interrupted)


def _once(words: Words, config: Config, requests: Requests) -> int:
    with closing(make_enforcer(words, config, requests)) as enforcer:
        report = enforcer.cycle()
    Narrator().tell(report)
    if words.metrics_file:
        _write_metrics(words.metrics_file, report)
    for stale in sorted(set(words.accept) - {server.plan_id for server in report.servers}):
        log.warning(f"--accept {stale} fits no plan of this cycle: the world has moved, and the guards decide")
    show(report, words.output)
    return exit_code(report, detailed=words.detailed_exitcode)


def _write_metrics(path: Path, report: Report) -> None:
    from illumio_azsql_enforcer.metrics import Metrics  # noqa: PLC0415 - a cycle without metrics need not load them
    from illumio_azsql_enforcer.metrics_file import MetricsFile  # noqa: PLC0415 - as above

    metrics = Metrics()
    file = MetricsFile(path, metrics)
    metrics.tell(report)
    file.write()


def _daemon(words: Words, requests: Requests, manager: ServiceManager) -> int:
    from illumio_azsql_enforcer.monitoring import Monitor  # noqa: PLC0415 - --once need not load it

    with closing(Monitor(SystemClock(requests.stop), words.metrics_file)) as monitor:
        return _watched_daemon(words, requests, manager, monitor)


def _watched_daemon(words: Words, requests: Requests, manager: ServiceManager, monitor: "Monitor") -> int:
    narrator = Narrator()

    def beat() -> None:
        manager.beat()
        monitor.beat()

    def fresh() -> Enforcer:
        config = load(words.config, os.environ)
        with ExitStack() as undo:
            enforcer = make_enforcer(words, config, requests, beat)
            undo.callback(enforcer.close)
            monitor.follow(config)
            undo.pop_all()
        return enforcer

    def tell(report: Report) -> None:
        narrator.tell(report)
        manager.told(standing(report))
        monitor.tell(report)

    scheduler = Scheduler(
        announced(fresh, manager),
        tell,
        clock=SystemClock(requests.stop),
        requests=requests,
        wait=requests.wake.wait,
        beat=beat,
    )
    log.info("started", config=str(words.config), dry_run=words.dry_run)
    scheduler.run()
    log.info("stopped", signals=[signal.Signals(number).name for number in requests.signals])
    return 0


def make_enforcer(
    words: Words, config: Config, requests: Requests, beat: Callable[[], None] = lambda: None
) -> Enforcer:
    """An Enforcer for these words, whose waits end when a stop is requested."""
    options = Options(
        dry_run=words.dry_run,
        watch=not words.once,
        only=words.server,
        accepted=frozenset(words.accept),
        accept_command=accept_command(words),
    )
    if config.state_dir is None and not words.dry_run:
        log.info("no state_dir is set: no journal is kept, and two writers at once do not notice each other")
    return Enforcer(config, options, SystemClock(requests.stop), requests.stop.is_set, beat)


def accept_command(words: Words) -> str:
    """The command that lets one plan through where this program runs; `{plan_id}` stands for the plan."""
    if "CREDENTIALS_DIRECTORY" in os.environ:
        # The units of a further config say by which unit its plans are accepted.
        unit = os.environ.get("ILLUMIO_AZSQL_ACCEPT_UNIT", "illumio-azsql-enforcer-accept")
        return f"systemctl start {unit}@{{plan_id}}.service"
    path = shlex.quote(str(words.config)).replace("{", "{{").replace("}", "}}")
    return f"illumio-azsql-enforcer --config {path} --once --accept {{plan_id}}"


def start_logging(words: Words) -> None:
    """Logs go to stderr, always."""
    chosen = words.log_format or ("console" if sys.stderr.isatty() else "json")
    logs.configure(chosen, words.log_level)


def show(report: Report, output: str) -> None:
    """Print the report on stdout."""
    if output == "json":
        click.echo(json.dumps(to_json(report), indent=2))
    else:
        click.echo(render(report, paint()))


def paint() -> Paint:
    """Colour on a terminal, unless NO_COLOR is set."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return plain
    return lambda text, colour: click.style(text, bold=True) if colour == "bold" else click.style(text, fg=colour)
