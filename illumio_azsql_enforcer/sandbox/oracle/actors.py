"""The items of one side of a rule."""

from collections.abc import Iterable, Iterator

from illumio_azsql_enforcer.sandbox.oracle.answers import Answer, yes_if
from illumio_azsql_enforcer.sandbox.oracle.labels import is_label_item, selects
from illumio_azsql_enforcer.sandbox.oracle.world import Json, World, href_of

LABEL_KINDS = frozenset({"label", "label_group"})
ACTOR_KINDS = LABEL_KINDS | {"actors", "workload", "ip_list", "virtual_service"}
PROVIDER_KINDS = EVERY_KIND = ACTOR_KINDS | {"virtual_server"}
WORDS = frozenset({"exclusion", "key", "value", "name", "hostname", "deleted", "href"})


def is_understood(item: Json, kinds: frozenset[str] = ACTOR_KINDS) -> bool:
    """Exactly one selector that we know, nothing else but words, and `exclusion` only where it means something."""
    selectors = [key for key in item if key in EVERY_KIND and item[key] is not None]
    if len(selectors) != 1 or set(item) - EVERY_KIND - WORDS or selectors[0] not in kinds:
        return False
    exclusion = item.get("exclusion")
    if not (exclusion is None or isinstance(exclusion, bool)) or (exclusion and selectors[0] not in LABEL_KINDS):
        return False
    return item["actors"] == "ams" if selectors[0] == "actors" else bool(href_of(item[selectors[0]]))


def is_all_workloads(item: Json) -> bool:
    return item.get("actors") == "ams"


def references(items: Iterable[Json], selector: str) -> Iterator[Json]:
    """The references of all items of one kind."""
    return (item[selector] for item in items if item.get(selector) is not None)


def scope_selects(world: World, scope: Iterable[Json], labels: object) -> Answer:
    """Whether what carries these labels is in the scope. A scope item that we do not understand: cannot be told."""
    items = list(scope)
    understood = [item for item in items if is_understood(item, LABEL_KINDS)]
    answer = selects(world, understood, labels)
    return answer if len(understood) == len(items) else min(answer, Answer.UNKNOWN)


def labels_select(world: World, items: Iterable[Json], labels: object) -> Answer:
    """Whether the label term of a side, or its `ams`, selects what carries these labels. No such item: nobody."""
    everything = yes_if(any(is_all_workloads(item) for item in items))
    label_items = [item for item in items if is_label_item(item)]
    return max(everything, selects(world, label_items, labels)) if label_items else everything


def resolves_as(rule: Json, side: str, kind: str) -> bool:
    """Whether labels on this side stand for `workloads`, or for `virtual_services`. Not told: for workloads."""
    told = (rule.get("resolve_labels_as") or {}).get(side)
    return kind == "workloads" if told is None else kind in told
