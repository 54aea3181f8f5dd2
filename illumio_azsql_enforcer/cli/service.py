"""The daemon as a systemd service: the line that `systemctl status` shows, and how long a silence is healthy."""

from collections.abc import Callable

from illumio_azsql_enforcer.enforcer import Enforcer
from illumio_azsql_enforcer.errors import EnforcerError
from illumio_azsql_enforcer.model.settings import Config
from illumio_azsql_enforcer.report import Outcome, Report
from illumio_azsql_enforcer.sdnotify import ServiceManager


def announced(load: Callable[[], Enforcer], manager: ServiceManager) -> Callable[[], Enforcer]:
    """`load`, whose end the service manager learns of: at the start, and as the answer to a reload."""

    def announce() -> Enforcer:
        try:
            enforcer = load()
        except EnforcerError as error:
            manager.refused(str(error))
            raise
        manager.loaded(longest_silence(enforcer.config))
        return enforcer

    return announce


def longest_silence(config: Config) -> float:
    """Seconds between two beats of a loop that is well: a wait between cycles, or a request without an answer."""
    return max(config.enforcement.interval, config.pce.timeout, config.azure.timeout)


def standing(report: Report) -> str:
    """One line about a cycle."""
    at = f"{report.finished_at:%Y-%m-%dT%H:%M:%SZ}"
    if report.error:
        return f"{report.outcome.value} at {at}: {report.error}"
    counts = [(outcome, sum(s.outcome is outcome for s in report.servers)) for outcome in Outcome]
    servers = ", ".join(f"{count} {outcome.value}" for outcome, count in counts if count) or "none"
    return f"{report.outcome.value} at {at}: policy version {report.policy_version}; servers: {servers}"
