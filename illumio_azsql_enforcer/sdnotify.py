"""What the service manager is told: sd_notify(3) datagrams to $NOTIFY_SOCKET. Where it is not set, nothing happens."""

import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from illumio_azsql_enforcer.text import printable

LONGEST_STATUS = 400  # characters; systemctl status shows them in one line
PAUSE = 1.0  # seconds between two signs of life; a cycle has thousands of beats

Send = Callable[[str], None]


def sender(environ: Mapping[str, str] = os.environ) -> Send | None:
    """Sends one datagram to the service manager; None where there is none. A manager that went away is no error."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return None
    if address.startswith("@"):  # a name in the abstract namespace
        address = "\0" + address[1:]

    def send(text: str) -> None:
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.connect(address)
            channel.sendall(text.encode())

    return send


class ServiceManager:
    """Tells systemd how the daemon is: starting, ready, reloading, stopping, alive. May be used from several threads.

    Alive is what beats, and only that: the main thread, which goes on while a cycle hangs, never feeds the watchdog.
    """

    def __init__(
        self,
        send: Send | None,
        environ: Mapping[str, str] = os.environ,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._send = send or (lambda _text: None)
        self._watchdog = _watchdog(environ)  # seconds, as the unit says; None: nobody watches
        self._monotonic = monotonic
        self._patience = 0.0  # seconds without a beat that are no reason to worry
        self._ready = False  # after the first cycle
        self._awaited = True  # systemd waits for READY=1, of the start or of a reload
        self._stopping = False
        self._told_at = float("-inf")

    def loaded(self, longest_silence: float) -> None:
        """A config is in force, with which the longest healthy pause between two beats is so many seconds."""
        self._patience = 3 * longest_silence
        if self._watchdog is not None:
            self._patience = max(self._patience, self._watchdog)
            self._send(f"WATCHDOG_USEC={_microseconds(self._patience)}")
        self._answer("Config loaded; the next cycle begins.")

    def refused(self, problem: str) -> None:
        """The file as it is now cannot be used; in a reload, the running config stays."""
        told = "Reload refused, the running config stays" if self._ready else "Config refused"
        self._answer(f"{told}: {problem}")

    def told(self, status: str) -> None:
        """A cycle has ended, well or not, and was reported: after the first one the daemon is ready."""
        if self._ready:
            self._say(_status(status))
        else:
            self._ready = True
            self._answer(status)

    def heard(self, number: int) -> None:
        """A signal arrived: SIGHUP asks for a reload, all others for a stop."""
        if number != signal.SIGHUP:
            self._stopping = True
            self._send("STOPPING=1\n" + _status("Stopping after the step in hand."))
        elif self._ready:
            self._awaited = True
            self._say("RELOADING=1", f"MONOTONIC_USEC={_microseconds(self._monotonic())}")

    def beat(self) -> None:
        """The loop moves: feeds the watchdog, and lengthens a start, or a reload, that takes long."""
        now = self._monotonic()
        if now - self._told_at < PAUSE:
            return
        self._told_at = now
        if self._watchdog is not None:
            self._say("WATCHDOG=1")
        if self._awaited:
            self._say(f"EXTEND_TIMEOUT_USEC={_microseconds(self._patience)}")

    def _answer(self, status: str) -> None:
        """The end of what systemd waits for; before the first cycle there is nothing to answer yet."""
        if self._ready:
            self._awaited = False
            self._say("READY=1", _status(status))
        else:
            self._say(_status(status))

    def _say(self, *lines: str) -> None:
        if not self._stopping:  # systemd must not take a service that stops for one that runs
            self._send("\n".join(lines))


def _watchdog(environ: Mapping[str, str]) -> float | None:
    """The unit's WatchdogSec, in seconds; None where it has none, or where it is meant for another process."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    told = environ.get("WATCHDOG_USEC", "")
    return int(told) / 1e6 if told.isdecimal() and int(told) else None


def _microseconds(seconds: float) -> int:
    return int(seconds * 1_000_000)


def _status(text: str) -> str:
    return f"STATUS={printable(text, LONGEST_STATUS)}"
