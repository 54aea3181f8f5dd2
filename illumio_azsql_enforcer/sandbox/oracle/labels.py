"""Does a set of label items, a scope or one side of a rule, select what carries certain labels?"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from illumio_azsql_enforcer.sandbox.oracle.answers import Answer
from illumio_azsql_enforcer.sandbox.oracle.world import Json, World, listed, plain


@dataclass(frozen=True)
class Choice:
    """One label item, resolved: these labels of this key. Not whole: a member of the group dangles."""

    key: str
    labels: frozenset[str]
    exclusion: bool
    whole: bool


def is_label_item(item: Json) -> bool:
    """Labels and label groups form one conjunction; every other item stands for itself."""
    return bool(item.get("label") or item.get("label_group"))


def choice_of(world: World, item: Json) -> Choice | None:
    """What a label item stands for; None when it dangles, or when it is a group of labels of several types."""
    thing = world.find(item.get("label") or item.get("label_group"))
    if thing is None:
        return None
    exclusion = bool(item.get("exclusion"))
    if item.get("label"):
        return Choice(thing["key"], frozenset({plain(thing["href"])}), exclusion, whole=True)
    members = list(group_members(world, thing, set()))
    labels = {plain(label["href"]) for label in members if label is not None and "value" in label}
    keys = {member["key"] for member in members if member is not None and member.get("key")}
    return Choice(keys.pop(), frozenset(labels), exclusion, None not in members) if len(keys) == 1 else None


def group_members(world: World, group: Json, seen: set[str]) -> Iterator[Json | None]:
    """The group, its sub-groups and all their labels, however deep; None for what dangles."""
    if plain(group["href"]) in seen:
        return
    seen.add(plain(group["href"]))
    yield group
    yield from (world.find(reference) for reference in listed(group.get("labels")))
    for reference in listed(group.get("sub_groups")):
        sub_group = world.find(reference)
        if sub_group is None:
            yield None
        else:
            yield from group_members(world, sub_group, seen)


def selects(world: World, items: Iterable[Json], labels: object) -> Answer:
    """Whether all these items together select what carries `labels` (references). No items: YES, which is All.

    A label that dangles is carried by nothing that we know; a group that dangles may hold any label of some key; a
    label that is carried but dangles may be of any key.
    """
    carried = world.label_keys(labels)
    stray = any(world.find(reference) is None for reference in listed(labels))
    found = [(item, choice_of(world, item)) for item in items]
    known = [choice for _, choice in found if choice is not None]
    lost_groups = [item for item, choice in found if choice is None and item.get("label_group")]
    more_possible = any(not item.get("exclusion") for item in lost_groups)
    answers = [Answer.YES] if len(known) == len(found) else [Answer.UNKNOWN]
    for key in {choice.key for choice in known}:
        mine = carried.get(key, set())
        included = [choice for choice in known if choice.key == key and not choice.exclusion]
        answers.append(_included(included, mine, more_possible=more_possible))
        excluded = [choice for choice in known if choice.key == key and choice.exclusion]
        asked_for = {label for choice in included for label in choice.labels}
        answers.append(_excluded(excluded, mine, asked_for, stray=stray and not included))
    return min(answers)


def _included(choices: list[Choice], mine: set[str], *, more_possible: bool) -> Answer:
    """One of the labels named for a key must be carried."""
    if not choices or any(mine & choice.labels for choice in choices):
        return Answer.YES
    whole = all(choice.whole for choice in choices) and not more_possible
    return Answer.NO if whole or not mine else Answer.UNKNOWN


def _excluded(choices: list[Choice], mine: set[str], asked_for: set[str], *, stray: bool) -> Answer:
    """Some label of the key must be carried, of those asked for if any are, and none of those that are excluded.

    Nothing carries two labels of a key. If something does, and one of them is excluded, it cannot be told.
    """
    if not choices:
        return Answer.YES
    if not mine:
        return Answer.UNKNOWN if stray else Answer.NO
    excluded = {label for choice in choices for label in choice.labels}
    if not (mine & asked_for or mine) - excluded:
        return Answer.NO
    return Answer.YES if all(choice.whole for choice in choices) and not mine & excluded else Answer.UNKNOWN


def dangling_exclusion(world: World, items: Iterable[Json]) -> bool:
    """Whether an excluded label or group, or a member of such a group, is not there: who is left out cannot be told."""
    excluded = [choice_of(world, item) for item in items if is_label_item(item) and item.get("exclusion")]
    return any(choice is None or not choice.whole for choice in excluded)
