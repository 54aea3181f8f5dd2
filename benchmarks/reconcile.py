"""How many writes random changes cost: `python -m benchmarks.reconcile`.

Each change is a server with rules of ours and of others, and a policy that was edited since: ranges gone, come, moved,
split and merged. Counted are the writes of the plan, against the lower bound of `reconcile.order`, against the bound
that holds when names need not tell the range (any write puts one range and takes one rule away), and against deleting
all rules of ours and adding all wanted ranges anew.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from illumio_azsql_enforcer.addresses import Range, RangeSet
from illumio_azsql_enforcer.model.firewall import Desired, FirewallRule, Server
from illumio_azsql_enforcer.model.settings import EnforcementSettings, GuardSettings, Mode
from illumio_azsql_enforcer.reconcile.order import lower_bound
from illumio_azsql_enforcer.reconcile.ownership import ownership_of
from illumio_azsql_enforcer.reconcile.plan import change_of, make_plan

FIGURE = "converge_writes_ratio"
SERVER = Server("/subscriptions/s/resourceGroups/g/providers/Microsoft.Sql/servers/one", "one", "s", "g", "one.example")
GUARDS = GuardSettings(max_revoked=1000, max_revoked_percent=100, never_empty=False, widest_range=0)
ROUNDS = 60
LIMIT = 256


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of server, and how much of its policy is edited."""

    name: str
    mode: Mode
    ours: tuple[int, int]  # fewest, most
    others: tuple[int, int]
    edited: float  # share of the ranges
    limit: int | None = LIMIT  # None: exactly what the new policy needs


@dataclass(slots=True)
class Count:
    """Writes, summed over changes."""

    changes: int = 0
    writes: int = 0
    bound: int = 0
    nameless: int = 0
    anew: int = 0
    gaps: int = 0

    def add(self, other: "Count") -> None:
        """Take another count in."""
        for field in ("changes", "writes", "bound", "nameless", "anew", "gaps"):
            setattr(self, field, getattr(self, field) + getattr(other, field))


KINDS = (
    Kind("a few edits, slots to spare", Mode.SYNC, (5, 60), (0, 5), 0.1),
    Kind("half of the policy new", Mode.SYNC, (20, 120), (0, 20), 0.5),
    Kind("foreign rules to go", Mode.AUTHORITATIVE, (20, 100), (5, 60), 0.3),
    Kind("a nearly full server", Mode.SYNC, (150, 220), (0, 30), 0.3),
    Kind("full, some edits", Mode.SYNC, (100, 250), (0, 6), 0.1, None),
    Kind("full, everything new", Mode.SYNC, (256, 256), (0, 0), 1.0, None),
    Kind("full, foreign rules to go", Mode.AUTHORITATIVE, (60, 200), (5, 50), 0.4, None),
)


def main() -> None:
    """Print the table, and the figure last."""
    total = Count()
    print(f"{'':28}{'changes':>9}{'writes':>9}{'bound':>9}{'ratio':>9}{'nameless':>10}{'all anew':>10}{'gaps':>6}")
    for kind in KINDS:
        count = Count()
        dice = Random(kind.name)
        for _ in range(ROUNDS):
            count.add(measured(kind, dice))
        print(_line(kind.name, count))
        total.add(count)
    print(_line("all", total))
    print(f"bench {FIGURE} {total.writes / total.bound:.4f}")


def measured(kind: Kind, dice: Random) -> Count:
    """One random change."""
    before = list(_ranges(dice, dice.randint(*kind.ours)))
    foreign = [FirewallRule(f"other-{at}", one) for at, one in enumerate(_ranges(dice, dice.randint(*kind.others)))]
    wanted = _edited(dice, before, kind.edited)[: LIMIT - len(foreign)]
    settings = EnforcementSettings(kind.mode, guards=GUARDS)
    ownership = ownership_of(settings)
    live = [*(FirewallRule(ownership.name_for(one, ()), one) for one in before), *foreign][:LIMIT]
    change = change_of(ownership.of(live), wanted, kind.mode, settings)
    limit = kind.limit or max(change.final_count, len(live))
    desired = [Desired(one, ()) for one in wanted]
    plan = make_plan(SERVER, live, desired, mode=kind.mode, settings=settings, max_rules=limit)
    going, missing = len(change.going), len(change.missing)
    return Count(
        changes=1,
        writes=len(plan.steps),
        bound=lower_bound(change, limit),
        nameless=max(going, missing),
        anew=sum(one.owned for one in plan.live) + len(wanted) + sum(not one.owned for one in change.going),
        gaps=bool(plan.gap),
    )


def _line(name: str, count: Count) -> str:
    ratio = count.writes / count.bound
    numbers = f"{count.changes:>9}{count.writes:>9}{count.bound:>9}{ratio:>9.3f}{count.nameless:>10}{count.anew:>10}"
    return f"{name:28}{numbers}{count.gaps:>6}"


def _ranges(dice: Random, number: int) -> Iterator[Range]:
    """Disjoint ranges of mixed sizes, never adjacent."""
    for slot in dice.sample(range(4096), number):
        first = (1 << 24) + slot * 1024 + dice.randrange(256)
        yield Range(first, first + dice.choice((0, 0, 3, 15, 255, 511)))


def _edited(dice: Random, ranges: list[Range], share: float) -> list[Range]:
    """The policy after an edit of about this share of its ranges."""
    kept = [one for one in ranges if dice.random() >= share]
    edits = [one for one in ranges if one not in kept]
    pieces = [piece for one in edits for piece in _edit(dice, one)]
    return list(RangeSet([*kept, *pieces]))


def _edit(dice: Random, one: Range) -> list[Range]:
    far = one.first + (1 << 23)
    middle = (one.first + one.last) // 2
    split = [Range(one.first, middle - 1), Range(middle + 1, one.last)] if one.size > 2 else [Range(far, far)]
    moved = Range(one.first + one.size // 2, one.last + one.size // 2)
    wider, narrower = Range(one.first, one.last + 9), Range(middle, one.last)
    return dice.choice(([], [Range(far, far + 7)], [moved], [wider], [narrower], split, [one, Range(far, far)]))


if __name__ == "__main__":
    main()
