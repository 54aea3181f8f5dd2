"""The difference between what is live and what is wanted, rule by rule, before any order is thought of."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from illumio_azsql_enforcer.addresses import Range, RangeSet
from illumio_azsql_enforcer.model.firewall import ALL_AZURE_SERVICES, FirewallRule, LiveRule
from illumio_azsql_enforcer.model.names import folded
from illumio_azsql_enforcer.reconcile.ownership import Ownership


@dataclass(frozen=True, slots=True)
class Change:
    """What has to become of each live rule and of each wanted range."""

    staying: tuple[FirewallRule, ...]  # not touched: in sync, foreign, protected
    put_right: tuple[tuple[FirewallRule, Range], ...]  # ours, and the missing range that its name tells
    missing: tuple[Range, ...]  # wanted, and no rule of ours holds it; not those of put_right
    going: tuple[LiveRule, ...]
    in_sync: frozenset[FirewallRule]  # ours, with a wanted range; they are in staying too
    left: tuple[FirewallRule, ...] = ()  # ours and superfluous, but the mode keeps them; they are in staying too

    @property
    def busy(self) -> bool:
        """Whether anything has to be written."""
        return bool(self.put_right or self.missing or self.going)

    @property
    def live_count(self) -> int:
        """Rules on the server before."""
        return len(self.staying) + len(self.put_right) + len(self.going)

    @property
    def final_count(self) -> int:
        """Rules on the server after."""
        return len(self.staying) + len(self.put_right) + len(self.missing)

    @property
    def final_cover(self) -> RangeSet:
        """The addresses admitted after."""
        wanted = [right for _, right in self.put_right]
        return cover_of(rule.range for rule in self.staying) | RangeSet([*wanted, *self.missing])


def cover_of(ranges: Iterable[Range]) -> RangeSet:
    """The addresses that rules of these ranges admit; 0.0.0.0-0.0.0.0 means Azure's own services, not an address."""
    return RangeSet(one for one in ranges if one != ALL_AZURE_SERVICES)


def compare(
    live: Sequence[LiveRule], wanted: Sequence[Range], ownership: Ownership, deletable: Callable[[LiveRule], bool]
) -> Change:
    """The change that makes exactly the wanted ranges ours and deletes every other rule that is deletable.

    A rule of ours whose range is wanted is in sync whatever its name. Of several with one range, one stays: a protected
    one first (it stays anyway), then the one with the plain name.
    """
    in_sync = _in_sync(live, frozenset(wanted), ownership)
    kept = set(in_sync.values())
    missing = [one for one in wanted if one not in in_sync]
    loose = [rule for rule in live if rule not in kept and deletable(rule)]
    put_right = _put_right([rule for rule in loose if rule.owned], missing, ownership)
    righted = set(put_right.values())
    return Change(
        staying=tuple(rule.rule for rule in live if rule not in loose),
        put_right=tuple((rule.rule, right) for right, rule in sorted(put_right.items())),
        missing=tuple(sorted(one for one in missing if one not in put_right)),
        going=tuple(rule for rule in loose if rule not in righted),
        in_sync=frozenset(rule.rule for rule in kept),
    )


def only_widening(live: Sequence[LiveRule], change: Change) -> Change:
    """The part of a change that takes nothing away from any rule: for upsert."""
    widened = tuple((rule, right) for rule, right in change.put_right if right.first <= rule.range.first)
    widened = tuple((rule, right) for rule, right in widened if rule.range.last <= right.last)
    narrowed = [pair for pair in change.put_right if pair not in widened]
    left = tuple(one.rule for one in change.going if one.owned) + tuple(rule for rule, _ in narrowed)
    touched = {rule for rule, _ in widened}
    return replace(
        change,
        staying=tuple(one.rule for one in live if one.rule not in touched),
        put_right=widened,
        missing=tuple(sorted([*change.missing, *(right for _, right in narrowed)])),
        going=(),
        left=left,
    )


def taken_apart(change: Change, pairs: Iterable[tuple[FirewallRule, Range]]) -> Change:
    """The same change, with these rules deleted and their ranges added anew instead of being put right."""
    apart = tuple(pairs)
    return replace(
        change,
        put_right=tuple(pair for pair in change.put_right if pair not in apart),
        missing=tuple(sorted([*change.missing, *(right for _, right in apart)])),
        going=(*change.going, *(LiveRule(rule, owned=True, protected=False) for rule, _ in apart)),
    )


def _in_sync(live: Sequence[LiveRule], wanted: frozenset[Range], ownership: Ownership) -> dict[Range, LiveRule]:
    holders: defaultdict[Range, list[LiveRule]] = defaultdict(list)
    for rule in live:
        if rule.owned and rule.rule.range in wanted:
            holders[rule.rule.range].append(rule)
    return {held: _the_one(rules, ownership) for held, rules in holders.items()}


def _the_one(rules: Sequence[LiveRule], ownership: Ownership) -> LiveRule:
    return rules[0] if len(rules) == 1 else min(rules, key=lambda rule: _rank(rule, ownership))


def _rank(rule: LiveRule, ownership: Ownership) -> tuple[bool, bool, int, str]:
    misnamed = ownership.named_range(rule.rule.name) != rule.rule.range
    return not rule.protected, misnamed, len(rule.rule.name), folded(rule.rule.name)


def _put_right(loose: Sequence[LiveRule], missing: Sequence[Range], ownership: Ownership) -> dict[Range, LiveRule]:
    wanted = set(missing)
    pairs: dict[Range, LiveRule] = {}
    for rule in sorted(loose, key=lambda one: (len(one.rule.name), folded(one.rule.name))):
        named = ownership.named_range(rule.rule.name)
        if named in wanted and named is not None:
            pairs.setdefault(named, rule)
    return pairs
