"""A search among all orders of moves, for the rare servers where the straight way ends in a gap."""

from collections.abc import Iterator
from heapq import heappop, heappush

from illumio_azsql_enforcer.reconcile.board import Move, Problem

LARGEST_SEARCH = 20_000  # situations looked at, about a second; small servers are searched through

# A situation: rules to go that are still there, and wanted ranges that are in place, each as bits.
_Situation = tuple[int, int]


def gapless(problem: Problem) -> tuple[Move, ...] | None:
    """Moves in an order that drops nothing, or None when there is none, or none was found in time."""
    terrain = _Terrain(problem)
    start: _Situation = ((1 << len(problem.going)) - 1, 0)
    came: dict[_Situation, tuple[_Situation, Move] | None] = {start: None}
    ahead = [(terrain.distance(start), start)]
    while ahead and len(came) < LARGEST_SEARCH:
        left, here = heappop(ahead)
        if left == 0:
            return _path(came, here)
        for move, there in terrain.moves(here):
            if there not in came:
                came[there] = (here, move)
                heappush(ahead, (terrain.distance(there), there))
    return None


class _Terrain:
    """Which situations can be reached from one without dropping anything or passing the limit."""

    def __init__(self, problem: Problem) -> None:
        ground = problem.ground
        self._problem = problem
        self._every = (1 << len(ground.pieces)) - 1
        self._held = [sum(1 << piece for piece in pieces) for pieces in ground.held_by]
        self._placed = [0] * len(problem.wanted)
        for piece, wanted in enumerate(ground.wanted_of):
            self._placed[wanted] |= 1 << piece
        self._slots = problem.free + len(problem.going)

    def distance(self, here: _Situation) -> int:
        """Rules still to go and ranges still to come."""
        active, placed = here
        return active.bit_count() + len(self._problem.wanted) - placed.bit_count()

    def moves(self, here: _Situation) -> Iterator[tuple[Move, _Situation]]:
        """Every safe move."""
        active, placed = here
        going = [rule for rule in range(len(self._held)) if active >> rule & 1]
        coming = [wanted for wanted in range(len(self._placed)) if not placed >> wanted & 1]
        if len(going) + placed.bit_count() < self._slots:
            yield from ((Move(comes=wanted), (active, placed | 1 << wanted)) for wanted in coming)
        for rule in going:
            rest = active & ~(1 << rule)
            bare = self._every & ~self._cover(rest, placed)
            if not bare:
                yield Move(goes=rule), (rest, placed)
            if self._problem.ours[rule]:
                fitting = (wanted for wanted in coming if not bare & ~self._placed[wanted])
                yield from ((Move(rule, wanted), (rest, placed | 1 << wanted)) for wanted in fitting)

    def _cover(self, active: int, placed: int) -> int:
        cover = 0
        for rule, held in enumerate(self._held):
            cover |= held if active >> rule & 1 else 0
        for wanted, held in enumerate(self._placed):
            cover |= held if placed >> wanted & 1 else 0
        return cover


def _path(came: dict[_Situation, tuple[_Situation, Move] | None], end: _Situation) -> tuple[Move, ...]:
    moves: list[Move] = []
    step = came[end]
    while step is not None:
        before, move = step
        moves.append(move)
        step = came[before]
    return tuple(reversed(moves))
