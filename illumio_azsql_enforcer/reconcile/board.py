"""Moves, and where they lead: the tables that an order is sought on. All by index, so that looking ahead is cheap."""

from dataclasses import dataclass, field

from illumio_azsql_enforcer.addresses import Range
from illumio_azsql_enforcer.model.firewall import Action
from illumio_azsql_enforcer.reconcile.change import Change, cover_of
from illumio_azsql_enforcer.reconcile.ground import Ground, survey


@dataclass(frozen=True, slots=True)
class Move:
    """One write, by index: a rule that goes, a wanted range that comes, or the second in place of the first."""

    goes: int | None = None
    comes: int | None = None
    drops: tuple[int, ...] = ()  # pieces that are wanted and admitted by nothing after this move

    @property
    def action(self) -> Action:
        """What the write is."""
        if self.goes is None:
            return Action.ADD
        return Action.DELETE if self.comes is None else Action.UPDATE


@dataclass(frozen=True)
class Problem:
    """A change as tables: rules to go (also those to be put right), wanted ranges, pairs of them that are put right."""

    change: Change
    going: tuple[Range, ...]
    ours: tuple[bool, ...]  # whether the rule to go is ours: only then it can be replaced in place
    wanted: tuple[Range, ...]
    put_right: tuple[tuple[int, int], ...]  # (rule to go, wanted range)
    ground: Ground
    free: int  # slots; negative when the server holds more rules than it should

    @classmethod
    def of(cls, change: Change, max_rules: int) -> "Problem":
        """The tables of a change."""
        going = (*(rule.range for rule, _ in change.put_right), *(one.rule.range for one in change.going))
        ours = (*(True for _ in change.put_right), *(one.owned for one in change.going))
        wanted = tuple(sorted([*(right for _, right in change.put_right), *change.missing]))
        at = {one: index for index, one in enumerate(wanted)}
        return cls(
            change=change,
            going=going,
            ours=ours,
            wanted=wanted,
            put_right=tuple((index, at[right]) for index, (_, right) in enumerate(change.put_right)),
            ground=survey(cover_of(rule.range for rule in change.staying), wanted, going),
            free=max_rules - change.live_count,
        )

    @property
    def missing(self) -> frozenset[int]:
        """Wanted ranges that no rule is put right for."""
        return frozenset(range(len(self.wanted))) - {comes for _, comes in self.put_right}


@dataclass
class Board:
    """Where the moves so far have led."""

    problem: Problem
    free: int
    active: set[int]  # rules to go that are still there
    missing: set[int]
    cover: list[int]  # piece -> how many rules to go still hold it
    lost: set[int] = field(default_factory=set)  # pieces dropped and not yet covered again
    moves: list[Move] = field(default_factory=list)

    @classmethod
    def of(cls, problem: Problem) -> "Board":
        """Before the first move."""
        going, wanted = set(range(len(problem.going))), set(range(len(problem.wanted)))
        return cls(problem, problem.free, going, wanted, problem.ground.cover())

    def blockers(self, rule: int) -> set[int]:
        """The missing ranges without which addresses would be dropped if the rule went now."""
        ground = self.problem.ground
        alone = (ground.wanted_of[piece] for piece in ground.held_by[rule] if self.cover[piece] == 1)
        return {wanted for wanted in alone if wanted in self.missing}

    def add(self, wanted: int) -> None:
        """Put a wanted range into a free slot."""
        self._take(Move(comes=wanted))
        self.free -= 1

    def delete(self, rule: int) -> None:
        """Let a rule go."""
        self._take(Move(goes=rule, drops=self._dropped(rule, None)))
        self.free += 1

    def update(self, rule: int, wanted: int) -> None:
        """Put a wanted range in the place of a rule."""
        self._take(Move(goes=rule, comes=wanted, drops=self._dropped(rule, wanted)))

    def _dropped(self, rule: int, comes: int | None) -> tuple[int, ...]:
        ground = self.problem.ground
        bare = self.blockers(rule) - {comes}
        return tuple(p for p in ground.held_by[rule] if self.cover[p] == 1 and ground.wanted_of[p] in bare)

    def _take(self, move: Move) -> None:
        self.moves.append(move)
        self.lost.update(move.drops)
        if move.comes is not None:
            self.missing.discard(move.comes)
            self.lost = {piece for piece in self.lost if self.problem.ground.wanted_of[piece] != move.comes}
        if move.goes is not None:
            self.active.discard(move.goes)
            for piece in self.problem.ground.held_by[move.goes]:
                self.cover[piece] -= 1

    def prune(self, reserve: int) -> bool:
        """Delete each rule that nobody will miss, but keep `reserve` of ours; whether there was one.

        Foreign rules first, since ours can be replaced in place; then the narrowest, so that as many as possible go.
        """
        before = len(self.moves)
        ours = self.problem.ours
        for rule in sorted(self.active, key=lambda one: (ours[one], self.problem.going[one].size, one)):
            spared = ours[rule] and self.ours_active <= reserve
            if not spared and not self.blockers(rule):
                self.delete(rule)
        return len(self.moves) > before

    @property
    def ours_active(self) -> int:
        """How many rules of ours are still to go."""
        return sum(self.problem.ours[rule] for rule in self.active)
