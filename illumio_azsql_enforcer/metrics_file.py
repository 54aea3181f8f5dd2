"""The metrics as a textfile for node-exporter: replaced as a whole after each cycle."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

import structlog

from illumio_azsql_enforcer.metrics import Metrics

EVERYBODY = 0o644  # node-exporter runs as another user

log = structlog.get_logger()


class MetricsFile:
    """Goes on counting from what an earlier run left in the file. What goes wrong here is logged, and harms nothing."""

    def __init__(self, path: Path, metrics: Metrics) -> None:
        self._path = path
        self._metrics = metrics
        self._silent = False  # a failure was logged, and nothing could be written since
        self._resume()

    def _resume(self) -> None:
        try:
            self._metrics.resume(self._path.read_text())
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            log.warning("the old metrics file cannot be read; counting begins anew", reason=_reason(error))

    def write(self) -> None:
        """Replace the file; a reader sees the old one or the new one, whole."""
        try:
            _replace(self._path, self._metrics.render())
        except OSError as error:
            if not self._silent:
                log.error("the metrics file cannot be written", path=str(self._path), reason=_reason(error))
            self._silent = True
        else:
            self._silent = False


def _replace(path: Path, content: bytes) -> None:
    number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # not *.prom, which node-exporter reads
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content)
            os.fchmod(number, EVERYBODY)
        Path(name).replace(path)
    except OSError:
        with suppress(OSError):
            Path(name).unlink()
        raise


def _reason(error: OSError | ValueError) -> str:
    return (isinstance(error, OSError) and error.strerror) or f"no metrics in it ({type(error).__name__})"
