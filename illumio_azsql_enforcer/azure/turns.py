"""Who may write to a server now: everybody, until Azure minds; from then on one at a time."""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """The writes to one server. They run side by side until one is refused because of another (409)."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._under_way = 0
        self._minds = False

    @contextmanager
    def turn(self) -> Iterator[None]:
        """The time of one write; in a server that minds, it begins when all others have ended."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._minds and self._under_way))
            self._under_way += 1
        try:
            yield
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def one_at_a_time(self) -> None:
        """This server minds."""
        with self._changed:
            self._minds = True


class TurnsByServer:
    """The Turns of each server, by its id."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._turns: defaultdict[str, Turns] = defaultdict(Turns)

    def of(self, server_id: str) -> Turns:
        """The same object for the same server."""
        with self._mutex:
            return self._turns[server_id]
