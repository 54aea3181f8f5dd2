"""All that looks on: health, metrics, the HTTP server, notices. Fed by the loop after each cycle, never in its way."""

from pathlib import Path

import structlog

from illumio_azsql_enforcer.clock import Clock
from illumio_azsql_enforcer.errors import ListenFailed
from illumio_azsql_enforcer.health import Health
from illumio_azsql_enforcer.http import Server, Site, shown
from illumio_azsql_enforcer.metrics import Metrics
from illumio_azsql_enforcer.metrics_file import MetricsFile
from illumio_azsql_enforcer.model.settings import Config
from illumio_azsql_enforcer.notices import Watch, to_json
from illumio_azsql_enforcer.notify import Webhook
from illumio_azsql_enforcer.report import Report
from illumio_azsql_enforcer.secret import Secret

Address = tuple[str, int]

log = structlog.get_logger()


class Monitor:
    """Of one daemon, through all its configs."""

    def __init__(self, clock: Clock, metrics_file: Path | None = None) -> None:
        """`clock` also does the waiting of the notices: when it stops, they do."""
        self._clock = clock
        self._metrics = Metrics()
        self._file = MetricsFile(metrics_file, self._metrics) if metrics_file else None
        self._health = Health(clock, interval=0)
        self._site = Site(self._health, self._metrics.render)
        self._watch = Watch()
        self._server: Server | None = None
        self._webhook: Webhook | None = None

    def follow(self, config: Config) -> None:
        """Go by this config from now on. Raises ListenFailed; then everything is as it was."""
        self._listen(config.http.listen)
        self._health.interval = config.enforcement.interval
        self._post_to(config.notify.webhook)

    def beat(self) -> None:
        """The loop moved."""
        self._health.beat()

    def tell(self, report: Report) -> None:
        """A cycle ended."""
        self._metrics.tell(report)
        self._health.tell(report)
        self._site.show(report)
        if self._file:
            self._file.write()
        notices = self._watch.tell(report)
        if self._webhook:
            for notice in notices:
                self._webhook.send(to_json(notice))

    def close(self) -> None:
        """End what runs beside the loop."""
        if self._server:
            self._server.close()
        if self._webhook:
            self._webhook.close()

    def _listen(self, address: Address | None) -> None:
        old = self._server
        if address == (old.address if old else None):
            return
        self._server = self._moved(old, address) if address else None
        if old:
            old.close()
        log.info("listening" if address else "not listening any more", address=address and shown(address))

    def _moved(self, old: Server | None, address: Address) -> Server:
        """A server on the new address; on the port of the old one, that has to go first, and may have to come back."""
        if old is None or old.address[1] != address[1]:
            return Server(address, self._site)
        old.close()
        self._server = None
        try:
            return Server(address, self._site)
        except ListenFailed:
            self._server = Server(old.address, self._site)
            raise

    def _post_to(self, url: Secret | None) -> None:
        if url == (self._webhook.url if self._webhook else None):
            return
        if self._webhook:
            self._webhook.close()
        self._webhook = Webhook(url, self._clock) if url else None
