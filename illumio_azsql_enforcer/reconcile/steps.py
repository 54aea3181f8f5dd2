"""Moves become steps: names, phases, what each step needs, and why it is there in words."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from illumio_azsql_enforcer.addresses import Range, RangeSet
from illumio_azsql_enforcer.model.firewall import ALL_AZURE_SERVICES, Action, FirewallRule, LiveRule, Step
from illumio_azsql_enforcer.model.names import folded
from illumio_azsql_enforcer.reconcile.board import Move, Problem
from illumio_azsql_enforcer.reconcile.order import Ordered
from illumio_azsql_enforcer.reconcile.ownership import Ownership


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps in order, and the wanted addresses that they drop for a moment."""

    steps: tuple[Step, ...]
    gap: tuple[Range, ...]


def steps_of(order: Ordered, ownership: Ownership) -> Steps:
    """The steps of an order of moves; those of one phase, which may be done in any order, by range."""
    problem = order.problem
    moves = [move for stage in order.stages for move in stage]
    phases = _phases(order)
    names = _names(problem, moves, ownership)
    needs = _needs(problem, moves, names, phases)
    writer = _Words(problem)
    steps = tuple(
        writer.step(move, name, phase, need)
        for move, name, phase, need in zip(moves, names, phases, needs, strict=True)
    )
    dropped = RangeSet(problem.ground.pieces[piece] for move in moves for piece in move.drops)
    return Steps(tuple(sorted(steps, key=lambda step: (step.phase, step.range, step.name))), tuple(dropped))


def _rules_to_go(problem: Problem) -> tuple[LiveRule, ...]:
    put_right = (LiveRule(rule, owned=True, protected=False) for rule, _ in problem.change.put_right)
    return (*put_right, *problem.change.going)


def _names(problem: Problem, moves: Iterable[Move], ownership: Ownership) -> list[str]:
    """The name of each move's rule; a new rule takes no name that any rule has before, so that one name is one step."""
    rules = _rules_to_go(problem)
    taken = {folded(rule.name) for rule in problem.change.staying} | {folded(one.rule.name) for one in rules}
    names = []
    for move in moves:
        if move.goes is not None:
            name = rules[move.goes].rule.name
        else:
            name = ownership.name_for(_coming(problem, move), taken)
            taken.add(folded(name))
        names.append(name)
    return names


def _coming(problem: Problem, move: Move) -> Range:
    if move.comes is None:
        raise ValueError("a delete puts no range")
    return problem.wanted[move.comes]


# --- what each step needs


def _needs(problem: Problem, moves: list[Move], names: list[str], phases: list[int]) -> list[frozenset[str]]:
    """For each move the names of those of earlier phases that it relies on: cover of what goes, a slot to come into.

    One of the same phase is not relied on: there is other cover, else the phase would not have borne both.
    """
    placed: dict[int, str] = {}  # wanted range -> name of the step that put it
    phase_of = dict(zip(names, phases, strict=True))
    slots = _Slots(problem.free)
    needs = []
    for move, name in zip(moves, names, strict=True):
        if move.goes is None:
            needs.append(slots.take())
        else:
            needs.append(frozenset(n for n in _cover(problem, move, placed) if phase_of[n] < phase_of[name]))
            if move.comes is None:
                slots.give(name)
        if move.comes is not None:
            placed[move.comes] = name
    return needs


def _cover(problem: Problem, move: Move, placed: Mapping[int, str]) -> frozenset[str]:
    """Pieces that are not placed yet are still held by another rule to go, which will need them in its turn."""
    held = problem.ground.held_by[move.goes] if move.goes is not None else range(0)
    wanted = {problem.ground.wanted_of[piece] for piece in held} - {move.comes}
    return frozenset(placed[one] for one in wanted if one in placed)


@dataclass
class _Slots:
    """Which delete each add takes its slot from, so that adds never outrun the deletes that make room."""

    free: int
    debt: set[str] = field(default_factory=set)  # deletes that only bring the server back to the limit
    given: deque[str] = field(default_factory=deque)

    def give(self, name: str) -> None:
        if self.free < 0:
            self.free += 1
            self.debt.add(name)
        else:
            self.given.append(name)

    def take(self) -> frozenset[str]:
        if self.free > 0:
            self.free -= 1
            return frozenset()
        return frozenset({self.given.popleft(), *self.debt})


# --- phases


def _phases(order: Ordered) -> list[int]:
    """The phase of each move, from 1: a new one begins where the next move would lean on one of the same phase."""
    floor = _Floor(order.problem)
    phases: list[int] = []
    phase = 0
    for stage in order.stages:
        for at, move in enumerate(stage):
            if at == 0 or not floor.bears(move):
                floor.settle()
                phase += 1
            floor.lay(move)
            phases.append(phase)
    return phases


class _Floor:
    """What holds whichever moves of the present phase have been made: the cover of each piece, and the free slots."""

    def __init__(self, problem: Problem) -> None:
        self._ground = problem.ground
        self._pieces_of: dict[int, list[int]] = {}
        for piece, wanted in enumerate(problem.ground.wanted_of):
            self._pieces_of.setdefault(wanted, []).append(piece)
        self._cover = problem.ground.cover()  # rules that hold the piece, whatever is done in this phase
        self._free = problem.free
        self._rising: list[int] = []  # pieces that are held by one more when the phase is done
        self._slots = 0  # slots that are free when the phase is done

    def settle(self) -> None:
        """The phase is over: all its moves have been made."""
        for piece in self._rising:
            self._cover[piece] += 1
        self._free += self._slots
        self._rising, self._slots = [], 0

    def bears(self, move: Move) -> bool:
        """Whether the move may join the phase: safe whichever of the phase's moves were made before it."""
        if move.drops or (move.goes is None and self._free < 1):
            return False
        return all(self._cover[piece] > 1 for piece in self._uncovered(move))

    def lay(self, move: Move) -> None:
        """Let the move join."""
        uncovered = self._uncovered(move)
        for piece in uncovered:
            self._cover[piece] -= 1
        if move.comes is not None:
            kept = set(self._held(move)) - set(uncovered)
            self._rising += [piece for piece in self._pieces_of.get(move.comes, []) if piece not in kept]
        self._free -= move.action is Action.ADD
        self._slots += move.action is Action.DELETE

    def _held(self, move: Move) -> range:
        return self._ground.held_by[move.goes] if move.goes is not None else range(0)

    def _uncovered(self, move: Move) -> list[int]:
        """Pieces that the rule holds before and not after."""
        return [piece for piece in self._held(move) if self._ground.wanted_of[piece] != move.comes]


# --- words


class _Words:
    """Says why."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._rules = _rules_to_go(problem)
        self._put_right = set(problem.put_right)
        self._final = problem.change.final_cover

    def step(self, move: Move, name: str, phase: int, needs: frozenset[str]) -> Step:
        rule = self._rules[move.goes].rule if move.goes is not None else None
        return Step(
            action=move.action,
            name=name,
            range=_coming(self._problem, move) if move.comes is not None or rule is None else rule.range,
            phase=phase,
            reason=self._reason(move, rule) + (_DROPS if move.drops else ""),
            previous=rule.range if rule and move.comes is not None else None,
            needs=needs,
        )

    def _reason(self, move: Move, rule: FirewallRule | None) -> str:
        if move.goes is None or rule is None:
            return "the policy admits these addresses, and no rule of ours has this range"
        if move.comes is not None:
            right = (move.goes, move.comes) in self._put_right
            return _PUT_RIGHT if right else f"no slot is free: takes the place of {rule.range}, which the policy lacks"
        return self._why_deleted(self._rules[move.goes])

    def _why_deleted(self, rule: LiveRule) -> str:
        if rule.rule.range == ALL_AZURE_SERVICES:
            return "admits every Azure tenant, which no policy asks for"
        if RangeSet([rule.rule.range]) <= self._final:
            return "its addresses are admitted by other rules"
        return "the policy does not admit all of its addresses" if rule.owned else "not a rule of the policy"


_PUT_RIGHT = "its range is not the one in its name, which the policy admits: somebody edited it"
_DROPS = "; wanted addresses are not admitted until the next add, because the rule limit leaves no other order"
