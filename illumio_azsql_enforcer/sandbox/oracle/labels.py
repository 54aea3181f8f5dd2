"""Does a set of label items, a scope or one side of a rule, select what carries certain labels?"""

from collections.abc import Iterable
from dataclasses import dataclass

from illumio_azsql_enforcer.sandbox.oracle.answers import Answer
from illumio_azsql_enforcer.sandbox.oracle.world import Json, World, href_of, listed, plain


@dataclass(frozen=True)
class Choice:
    """One label item, resolved: these labels of this key. Not whole: a member of the group dangles."""

    key: str
    labels: frozenset[str]
    exclusion: bool
    whole: bool


def is_label_item(item: Json) -> bool:
    """Labels and label groups form one conjunction; every other item stands for itself."""
    return "label" in item or "label_group" in item


def choice_of(world: World, item: Json) -> Choice | None:
    """What a label item stands for; None when it dangles."""
    thing = world.find(item.get("label") or item.get("label_group"))
    if thing is None:
        return None
    exclusion = item.get("exclusion") is True
    if "label" in item:
        return Choice(thing["key"], frozenset({plain(thing["href"])}), exclusion, whole=True)
    labels, whole = group_members(world, thing, set())
    keys = {label["key"] for label in world.labels if plain(label["href"]) in labels}
    key = thing.get("key") or (keys.pop() if len(keys) == 1 else None)
    return Choice(key, frozenset(labels), exclusion, whole) if key else None


def group_members(world: World, group: Json, seen: set[str]) -> tuple[set[str], bool]:
    """All labels of a group and its sub-groups, however deep, and whether all of them were found."""
    if plain(group["href"]) in seen:
        return set(), True
    seen.add(plain(group["href"]))
    labels = {href_of(reference) for reference in listed(group.get("labels")) if world.find(reference)}
    whole = len(labels) == len({href_of(reference) for reference in listed(group.get("labels"))})
    for reference in listed(group.get("sub_groups")):
        sub_group = world.find(reference)
        if sub_group is None:
            whole = False
            continue
        more, all_found = group_members(world, sub_group, seen)
        labels, whole = labels | more, whole and all_found
    return labels, whole


def selects(world: World, items: Iterable[Json], labels: object) -> Answer:
    """Whether all these items together select what carries `labels` (references). No items: YES, which is All."""
    carried = world.label_keys(labels)
    choices = [choice_of(world, item) for item in items]
    answers = [Answer.YES]
    if None in choices:
        answers.append(Answer.UNKNOWN)
    known = [choice for choice in choices if choice is not None]
    for key in {choice.key for choice in known}:
        mine = carried.get(key, set())
        answers.append(_included([c for c in known if c.key == key and not c.exclusion], mine))
        answers.append(_excluded([c for c in known if c.key == key and c.exclusion], mine))
    return min(answers)


def _included(choices: list[Choice], mine: set[str]) -> Answer:
    """One of the labels named for a key must be carried."""
    if not choices or any(mine & choice.labels for choice in choices):
        return Answer.YES
    return Answer.NO if all(choice.whole for choice in choices) else Answer.UNKNOWN


def _excluded(choices: list[Choice], mine: set[str]) -> Answer:
    """Some label of the key must be carried, and none of those that are excluded."""
    if not choices:
        return Answer.YES
    if not mine or any(mine & choice.labels for choice in choices):
        return Answer.NO
    return Answer.YES if all(choice.whole for choice in choices) else Answer.UNKNOWN


def dangling_exclusion(world: World, items: Iterable[Json]) -> bool:
    """Whether an excluded label or group, or a member of such a group, is not there: who is left out cannot be told."""
    excluded = [choice_of(world, item) for item in items if is_label_item(item) and item.get("exclusion") is True]
    return any(choice is None or not choice.whole for choice in excluded)
