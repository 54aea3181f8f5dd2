"""How many writes of one server are under way at once, and who carries them."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import Protocol

from illumio_azsql_enforcer.errors import ArmError, Stopped, UnsafeName

WIDTH = 8  # writes of one server that are under way at once

Trouble = ArmError | UnsafeName | Stopped
Write = Callable[[], Trouble | None]  # returns what went wrong
Ended = tuple[int, Future[Trouble | None]]


class Lanes(Protocol):
    """Carries writes of one server; used by one thread."""

    @property
    def width(self) -> int:
        """How many writes may be under way."""
        ...

    def start(self, number: int, write: Write) -> None:
        """Begin a write."""
        ...

    def finished(self) -> Ended:
        """Wait until one that was begun has ended: its number, and its end."""
        ...


class OneLane:
    """One write after the other, in the thread that asks."""

    width = 1

    def __init__(self) -> None:
        self._ended: list[Ended] = []

    def start(self, number: int, write: Write) -> None:
        """Do it. Raises what it raises."""
        done: Future[Trouble | None] = Future()
        self._ended.append((number, done))
        done.set_result(write())

    def finished(self) -> Ended:
        """The oldest that was begun."""
        return self._ended.pop(0)


class ManyLanes:
    """Several writes side by side, in the threads of a pool that servers share."""

    def __init__(self, pool: Executor, width: int = WIDTH) -> None:
        self.width = width
        self._pool = pool
        self._ended: SimpleQueue[Ended] = SimpleQueue()

    def start(self, number: int, write: Write) -> None:
        """Hand it to the pool."""
        self._pool.submit(write).add_done_callback(lambda done: self._ended.put((number, done)))

    def finished(self) -> Ended:
        """The first that has ended."""
        return self._ended.get()
