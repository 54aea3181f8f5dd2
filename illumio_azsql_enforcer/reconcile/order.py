"""The order in which every prefix of the writes is safe. Pure; docs/reconciling.md has the proof.

Safe means: nothing outside the old and the new rule set is admitted, what both admit stays admitted, and the number of
rules never passes the limit. The first holds in any order, since every write puts a wanted range or takes one away. The
others are what this module is about.

With a free slot for every missing range: first the adds, then the deletes. With too few slots, the missing ranges that
find none take the place of a rule of ours (one write instead of two), in an order in which the wanted part of that rule
is already covered; the others go into free slots. For rules of ours such an order always exists. A foreign rule cannot
be replaced in place, so that with none of ours to help there may be no order: only then wanted addresses are dropped,
until the next add.
"""

from dataclasses import dataclass

from illumio_azsql_enforcer.reconcile.board import Board, Move, Problem
from illumio_azsql_enforcer.reconcile.change import Change, taken_apart
from illumio_azsql_enforcer.reconcile.search import gapless
from illumio_azsql_enforcer.reconcile.shortage import interleave

Stages = tuple[tuple[Move, ...], ...]  # a stage is a phase, or several


@dataclass(frozen=True)
class Ordered:
    """The moves, and the tables that their indexes are of."""

    problem: Problem
    stages: Stages


def ordered(change: Change, max_rules: int) -> Ordered:
    """The moves of a change that fits (`change.final_count` within the limit, or nothing to add)."""
    problem = Problem.of(change, max_rules)
    if not change.busy:
        return Ordered(problem, ())
    while tangled := _tangled(problem):
        problem = Problem.of(taken_apart(problem.change, [problem.change.put_right[tangled[0]]]), max_rules)
    if len(problem.missing) <= max(0, problem.free):
        return Ordered(problem, _adds_first(problem))
    waiting = [problem.change.put_right[rule] for rule, comes in problem.put_right if _waits(problem, rule, comes)]
    problem = Problem.of(taken_apart(problem.change, waiting), max_rules)
    moves = interleave(problem)
    if any(move.drops for move in moves):
        moves = gapless(problem) or moves
    return Ordered(problem, (moves,))


def ordered_without_limit(change: Change) -> Ordered:
    """The moves of a change that does not fit: first the deletes that only revoke, which may be done all the same."""
    apart = taken_apart(change, change.put_right)
    problem = Problem.of(apart, apart.live_count + len(apart.missing))
    board = Board.of(problem)
    board.prune(reserve=0)
    revoking = tuple(board.moves)
    adds = tuple(Move(comes=wanted) for wanted in sorted(board.missing))
    return Ordered(problem, (revoking, adds, tuple(Move(goes=rule) for rule in sorted(board.active))))


def lower_bound(change: Change, max_rules: int) -> int:
    """The fewest writes for a change when a rule's name shall tell its range unless the limit forces otherwise.

    One write puts one range and takes one rule away at most, so every missing range and every rule to go costs a write
    of its own, but for a rule that is put right and for a replacement in place. A replacement leaves a name that tells
    an old range, so it is made only for a missing range that finds no free slot, and only of a rule of ours.
    """
    going, missing = len(change.going), len(change.missing)
    short = max(0, change.live_count + missing - max_rules)
    forced = min(short, missing, sum(one.owned for one in change.going))
    return len(change.put_right) + missing + going - forced


def _waits(problem: Problem, rule: int, comes: int) -> bool:
    """Whether putting this rule right has to wait until another wanted range is in place."""
    ground = problem.ground
    return any(ground.wanted_of[piece] != comes for piece in ground.held_by[rule])


def _tangled(problem: Problem) -> list[int]:
    """Rules to be put right that wait for one another in a circle."""
    waiting = dict(problem.put_right)
    ground = problem.ground
    while True:
        coming = set(waiting.values())
        awaited = {
            rule: {ground.wanted_of[piece] for piece in ground.held_by[rule]} & coming - {comes}
            for rule, comes in waiting.items()
        }
        settled = [rule for rule, others in awaited.items() if not others]
        if not settled:
            return sorted(waiting)
        for rule in settled:
            del waiting[rule]


def _adds_first(problem: Problem) -> Stages:
    board = Board.of(problem)
    for rule, comes in problem.put_right:
        if not _waits(problem, rule, comes):
            board.update(rule, comes)
    for wanted in sorted(problem.missing):
        board.add(wanted)
    done = len(board.moves)
    late = dict(pair for pair in problem.put_right if pair[0] in board.active)
    while late:
        for rule in [rule for rule, comes in late.items() if not board.blockers(rule) - {comes}]:
            board.update(rule, late.pop(rule))
    board.prune(reserve=0)
    return tuple(board.moves[:done]), tuple(board.moves[done:])
