"""The process and its signals: the work runs in a thread, the main thread turns signals into requests that it reads."""

import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

GRACE = 4.0  # seconds that the step in hand has left after SIGTERM
_ENDED = 0  # no signal has this number


@dataclass(frozen=True, slots=True)
class Requests:
    """What the outside asked for: set by the main thread, read by the work between its steps."""

    stop: threading.Event = field(default_factory=threading.Event)
    reload: threading.Event = field(default_factory=threading.Event)
    wake: threading.Event = field(default_factory=threading.Event)  # set with either, to end a wait
    signals: list[int] = field(default_factory=list)  # that asked to stop, in order
    heard: Callable[[int], None] = lambda _number: None  # told of each signal, in the main thread


def supervise(work: Callable[[], int], requests: Requests) -> int | None:
    """Runs `work` in a thread and returns its exit code; None when it outlived SIGTERM or SIGINT by GRACE seconds.

    Handlers do nothing but wake this loop through a socket pair, so that no lock can be taken inside one. Raises what
    `work` raised. After None the caller must leave with `os._exit`: the thread is still there.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs, _wake_on_signals(theirs):
        pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="work")
        task = pool.submit(work)
        task.add_done_callback(lambda _: _tell_ended(theirs))
        pool.shutdown(wait=False)
        return task.result() if _ended(ours, requests) else None


def _tell_ended(theirs: socket.socket) -> None:
    with suppress(OSError):  # the work outlived its grace: nobody listens any more
        theirs.send(bytes([_ENDED]))


def _ended(ours: socket.socket, requests: Requests) -> bool:
    """True when the work ended by itself or in time, False when it did not."""
    leave_at: float | None = None
    while True:
        left = None if leave_at is None else max(0.0, leave_at - time.monotonic())
        if not select.select([ours], [], [], left)[0]:
            return False
        for number in ours.recv(64):
            if number == _ENDED:
                return True
            leave_at = _pass_on(number, requests, leave_at)


def _pass_on(number: int, requests: Requests, leave_at: float | None) -> float | None:
    if number == signal.SIGHUP:
        requests.reload.set()
    else:
        requests.signals.append(number)
        requests.stop.set()
        leave_at = leave_at or time.monotonic() + GRACE
    requests.wake.set()
    requests.heard(number)
    return leave_at


@contextmanager
def _wake_on_signals(waker: socket.socket) -> Iterator[None]:
    waker.settimeout(0)
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    previous = signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(previous)
        for number, handler in before.items():
            signal.signal(number, handler)
