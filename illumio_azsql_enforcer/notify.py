"""Posts notices to a webhook, from a thread of its own: what happens there never holds the loop up."""

import queue
import threading
from contextlib import suppress
from typing import Any

import requests
import structlog
from requests.utils import get_environ_proxies
from urllib3.exceptions import HTTPError

from illumio_azsql_enforcer import __version__
from illumio_azsql_enforcer.clock import Clock
from illumio_azsql_enforcer.connections import trusted
from illumio_azsql_enforcer.errors import EnforcerError, Stopped
from illumio_azsql_enforcer.retrying import Again, Deadline, with_retries
from illumio_azsql_enforcer.secret import Secret

MOST_WAITING = 16  # notices; one more is dropped
CONNECT, READ = 5.0, 10.0  # seconds
PATIENCE = 60.0  # seconds for one notice, tries and waits together
TRIES = 4
PASSING = {408, 425, 429, 500, 502, 503, 504}  # worth another try

log = structlog.get_logger()


class NotTaken(EnforcerError):
    """The webhook did not take a notice. The text names no part of its address, which is a secret."""

    def __init__(self, reason: str, again: Again | None) -> None:
        super().__init__(reason)
        self.again = again


class Webhook:
    """Posts JSON to one address. Redirects are not followed: they would carry the notice elsewhere."""

    def __init__(self, url: Secret, clock: Clock) -> None:
        """The address is checked already: https, or http on a loopback address. `clock` does the waiting."""
        self.url = url
        self._clock = clock
        self._waiting: queue.Queue[dict[str, Any] | None] = queue.Queue(MOST_WAITING)
        self._closing = threading.Event()
        self._silent = False  # a failure was logged, and nothing has arrived since
        self._thread = threading.Thread(target=self._work, name="notify", daemon=True)
        self._thread.start()

    def send(self, body: dict[str, Any]) -> None:
        """Returns at once; a failure is logged, once until a notice arrives again."""
        try:
            self._waiting.put_nowait(body)
        except queue.Full:
            self._complain(f"{MOST_WAITING} notices are waiting already")

    def close(self, patience: float = 1.0) -> None:
        """Take no more notices; those that wait have `patience` seconds, and may go on beside whatever comes next."""
        self._closing.set()
        with suppress(queue.Full):  # then the thread is awake, and sees the event
            self._waiting.put_nowait(None)
        self._thread.join(patience)

    def _work(self) -> None:
        with suppress(Stopped), _session(self.url) as session:
            while (body := self._waiting.get()) is not None:
                self._deliver(session, body)
                if self._closing.is_set() and self._waiting.empty():
                    return

    def _deliver(self, session: requests.Session, body: dict[str, Any]) -> None:
        deadline = Deadline.after(self._clock, PATIENCE)
        try:
            with_retries(lambda: _post(session, self.url, body), deadline=deadline, judge=_judge)
        except NotTaken as failure:
            self._complain(str(failure))
        else:
            if self._silent:
                log.info("notices arrive again")
            self._silent = False

    def _complain(self, reason: str) -> None:
        if not self._silent:
            log.warning("a notice was not delivered; this is not said again until one arrives", reason=reason)
        self._silent = True


def _session(url: Secret) -> requests.Session:
    """The environment is asked for proxies and CA certificates, never for a .netrc."""
    session = requests.Session()
    session.trust_env = False
    session.headers["User-Agent"] = f"illumio-azsql-enforcer/{__version__}"
    if url.reveal().lower().startswith("https:"):  # plain http stays on this machine
        session.proxies = get_environ_proxies(url.reveal())
    session.verify = trusted()
    return session


def _post(session: requests.Session, url: Secret, body: dict[str, Any]) -> None:
    """Raises NotTaken: nothing of what requests says, since that holds the address."""
    try:
        answer = session.post(url.reveal(), json=body, timeout=(CONNECT, READ), allow_redirects=False, stream=True)
        answer.close()
    except (OSError, ValueError, HTTPError) as error:
        raise NotTaken(f"no answer ({type(error).__name__})", Again(TRIES)) from None
    status = answer.status_code
    if 300 <= status < 400:
        raise NotTaken(f"HTTP status {status}: a redirect, which is not followed", None)
    if not 200 <= status < 300:
        raise NotTaken(f"HTTP status {status}", Again(TRIES) if status in PASSING else None)


def _judge(raised: BaseException) -> Again | None:
    return raised.again if isinstance(raised, NotTaken) else None
