"""The order of moves when there are fewer free slots than missing ranges."""

from illumio_azsql_enforcer.reconcile.board import Board, Move, Problem


def interleave(problem: Problem) -> tuple[Move, ...]:
    """All moves of a change whose final number of rules fits; those to be put right must not have to wait.

    As many missing ranges as find no free slot take the place of a rule of ours. A rule goes when nobody will miss it;
    where none is like that, the one with the fewest missing ranges is helped first. For rules of ours there is always
    one that the free slots suffice for (docs/reconciling.md has the proof).
    """
    board = Board.of(problem)
    for rule, comes in problem.put_right:
        board.update(rule, comes)
    short = max(0, len(board.missing) - problem.free)
    search = _Search(board, replacements=min(short, board.ours_active))
    while board.active or board.missing:
        search.advance()
    return tuple(board.moves)


class _Search:
    """A board, and how many missing ranges should still replace a rule of ours."""

    def __init__(self, board: Board, replacements: int) -> None:
        self._board = board
        self._replacements = replacements

    def advance(self) -> None:
        """Make the next moves."""
        board = self._board
        self._replacements = min(self._replacements, len(board.missing))
        if self._restore() or board.prune(reserve=self._replacements) or self._finish():
            return
        ours = board.problem.ours
        if (all(ours[rule] for rule in board.active) and self._narrow()) or self._carry() or self._narrow():
            return
        choice = self._cheapest()
        if choice is not None:
            self._help(choice)
        elif board.free > 0:
            board.add(min(board.missing))
        else:
            self._drop()

    def _restore(self) -> bool:
        """Cover again what was dropped, before anything else."""
        board = self._board
        lost = sorted({board.problem.ground.wanted_of[piece] for piece in board.lost})[: max(0, board.free)]
        for wanted in lost:
            board.add(wanted)
        return bool(lost)

    def _finish(self) -> bool:
        """Add everything when it fits and no write can be saved any more."""
        board = self._board
        if self._replacements or not board.missing or len(board.missing) > board.free:
            return False
        for wanted in sorted(board.missing):
            board.add(wanted)
        return True

    def _narrow(self) -> bool:
        """Replace a rule of ours by the only range that it waits for: the wanted part stays covered by itself."""
        ours = self._board.problem.ours
        ready = ((rule, one) for rule, (one, *more) in self._blocked() if ours[rule] and not more)
        rule, wanted = next(ready, (None, None)) if self._replacements else (None, None)
        if rule is None or wanted is None:
            return False
        self._replace(rule, wanted)
        return True

    def _carry(self) -> bool:
        """Replace a rule of ours that nobody will miss by the range that is waited for most."""
        board = self._board
        idle = (rule for rule in sorted(board.active) if board.problem.ours[rule] and not board.blockers(rule))
        carrier = next(idle, None)
        if carrier is None:
            return False
        self._replace(carrier, self._most_awaited())
        return True

    def _most_awaited(self) -> int:
        board = self._board
        blocked = [(board.problem.ours[rule], len(blockers), min(blockers)) for rule, blockers in self._blocked()]
        return min(blocked)[2] if blocked else min(board.missing)

    def _blocked(self) -> list[tuple[int, set[int]]]:
        rules = [(rule, self._board.blockers(rule)) for rule in sorted(self._board.active)]
        return [(rule, blockers) for rule, blockers in rules if blockers]

    def _cheapest(self) -> int | None:
        """The rule with the fewest missing ranges before it, if the free slots suffice for them."""
        fitting = [(len(blockers), rule) for rule, blockers in self._blocked() if len(blockers) <= self._room(rule)]
        return min(fitting)[1] if fitting else None

    def _room(self, rule: int) -> int:
        """How many missing ranges can be placed to let the rule go: its own slot counts when it is ours."""
        return max(0, self._board.free) + self._board.problem.ours[rule]

    def _help(self, rule: int) -> None:
        """Place what the rule waits for, the last in its own place if that saves a write or a slot."""
        board = self._board
        *first, last = sorted(board.blockers(rule))
        for wanted in first:
            board.add(wanted)
        if board.problem.ours[rule] and (self._replacements or board.free < 1):
            self._replace(rule, last)
        else:
            board.add(last)

    def _replace(self, rule: int, wanted: int) -> None:
        self._board.update(rule, wanted)
        self._replacements = max(0, self._replacements - 1)

    def _drop(self) -> None:
        """No order is left: let the rule go that drops the fewest wanted ranges, then the fewest addresses."""
        board = self._board
        rule, blockers = min(self._blocked(), key=lambda one: (len(one[1]) - self._room(one[0]), self._alone(one[0])))
        ranked = sorted(blockers, key=lambda wanted: (-self._alone(rule, wanted), wanted))
        room = max(0, board.free)
        for wanted in ranked[:room]:
            board.add(wanted)
        if board.problem.ours[rule]:
            self._replace(rule, ranked[room])
        else:
            board.delete(rule)

    def _alone(self, rule: int, wanted: int | None = None) -> int:
        """How many wanted addresses the rule alone admits, in one wanted range or in all."""
        board, ground = self._board, self._board.problem.ground
        pieces = (p for p in ground.held_by[rule] if board.cover[p] == 1 and ground.wanted_of[p] in board.missing)
        return sum(ground.pieces[p].size for p in pieces if wanted in (None, ground.wanted_of[p]))
