"""Reading what a rule names: actor items, label items and scopes (PCE REST API guide, rule sets and rules).

Label items of one side form one conjunction: labels of one type are alternatives, types are all demanded (cases 18 to
25 of docs/policy-semantics.md). Every other item stands for itself, beside the conjunction.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from illumio_azsql_enforcer.model.firewall import ConsumerKind, NoteCode
from illumio_azsql_enforcer.model.policy import Item
from illumio_azsql_enforcer.policy.directory import Directory
from illumio_azsql_enforcer.policy.notes import Fault, missing
from illumio_azsql_enforcer.policy.population import Conjunction, Demand

VIRTUAL_SERVER = "virtual_server"  # a load balancer as a provider: never an Azure SQL server
_LABEL_KINDS = ("label", "label_group")
_SELECTORS = {*ConsumerKind, VIRTUAL_SERVER} - {ConsumerKind.ALL_WORKLOADS} | {"actors"}
_DESCRIPTIVE = {"exclusion", "key", "value", "name", "hostname", "deleted", "href"}


@dataclass(frozen=True, slots=True)
class Actor:
    """One item of a side or scope that could be read."""

    kind: str  # a ConsumerKind, or virtual_server
    href: str | None  # None for all workloads
    excluded: bool = False


@dataclass(frozen=True, slots=True)
class Labels:
    """The label items of a side or a scope."""

    actors: tuple[Actor, ...]
    conjunction: Conjunction | None  # None: something dangles, so nobody is selected
    widest: Conjunction  # whom it can select at most, whatever the things that dangle are
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class Side:
    """The providers or the consumers of a rule."""

    labels: Labels | None  # None: no label item, so the labels select nobody
    everyone: bool  # all workloads
    others: tuple[Actor, ...]  # workloads, IP lists, virtual services, virtual servers
    unknown: tuple[Fault, ...]  # items that could not be read

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What could not be read, or not be found among labels and groups."""
        return self.unknown + (self.labels.faults if self.labels else ())

    def of(self, kind: ConsumerKind) -> list[Actor]:
        """The items of this kind."""
        return [actor for actor in self.others if actor.kind == kind]


def read_side(items: Sequence[Item] | None, directory: Directory) -> Side:
    """The items of one side. An item that is not understood is a fault that drops an allow rule whole (case 51)."""
    actors, unknown = _read(items or ())
    labels = tuple(actor for actor in actors if actor.kind in _LABEL_KINDS)
    others = tuple(actor for actor in actors if actor.kind not in (*_LABEL_KINDS, ConsumerKind.ALL_WORKLOADS))
    everyone = any(actor.kind == ConsumerKind.ALL_WORKLOADS for actor in actors)
    return Side(read_labels(labels, directory) if labels else None, everyone, others, unknown)


def read_scope(items: Sequence[Item], directory: Directory) -> Labels:
    """One scope: label items only; without any it is All. Whatever else it holds makes it select nothing."""
    actors, unknown = _read(items)
    labels = tuple(actor for actor in actors if actor.kind in _LABEL_KINDS)
    read = read_labels(labels, directory)
    strange = [Fault(NoteCode.UNKNOWN_ACTOR, f"has a scope with a {a.kind}") for a in actors if a not in labels]
    if not unknown and not strange:
        return read
    return Labels(labels, None, read.widest, (*unknown, *strange, *read.faults))


def read_labels(actors: tuple[Actor, ...], directory: Directory) -> Labels:
    """Label and group items as one conjunction."""
    terms = [_Term.of(actor, directory) for actor in actors]
    faults = tuple(term.fault for term in terms if term.fault)
    known = _conjunction([term for term in terms if term.key])
    open_ended = any(term.open_ended for term in terms)
    lost = any(not term.key for term in terms) or any(fault.drops_rule for fault in faults)
    return Labels(actors, None if lost else known, _widened(known) if open_ended else known, faults)


@dataclass(frozen=True, slots=True)
class _Term:
    """One label item with the labels that it stands for."""

    key: str  # "": not known
    hrefs: frozenset[str]
    excluded: bool
    fault: Fault | None = None
    open_ended: bool = False  # could stand for labels that we do not know it to stand for

    @classmethod
    def of(cls, actor: Actor, directory: Directory) -> "_Term":
        href = actor.href or ""
        if actor.kind == ConsumerKind.LABEL:
            label = directory.labels.get(href)
            fault = None if label else missing("label", actor.href, drops_rule=actor.excluded)
            return cls(label.key if label else "", frozenset([href]), actor.excluded, fault)
        group = directory.group(href)
        if group is None:
            return cls("", frozenset(), actor.excluded, _unusable(actor), open_ended=True)
        fault = None if group.complete else _incomplete(actor, group.name)
        return cls(group.key, group.labels, actor.excluded, fault, open_ended=not group.complete)


def _unusable(actor: Actor) -> Fault:
    text = f"names label group {actor.href}, which the PCE does not have or whose labels are not of one type"
    return Fault(NoteCode.DANGLING_REFERENCE, text, drops_rule=actor.excluded)


def _incomplete(actor: Actor, name: str) -> Fault:
    text = f"names label group '{name}' ({actor.href}), of which a member is not known to the PCE"
    return Fault(NoteCode.DANGLING_REFERENCE, text, drops_rule=actor.excluded)


def _conjunction(terms: Iterable[_Term]) -> Conjunction:
    wanted: dict[str, frozenset[str]] = {}
    unwanted: dict[str, frozenset[str]] = {}
    for term in terms:
        side = unwanted if term.excluded else wanted
        side[term.key] = side.get(term.key, frozenset()) | term.hrefs
    keys = sorted(wanted.keys() | unwanted.keys())
    return Conjunction(tuple(Demand(key, wanted.get(key), unwanted.get(key, frozenset())) for key in keys))


def _widened(conjunction: Conjunction) -> Conjunction:
    """The conjunction with labels that are not known beside those of any type: a label of each type is needed still."""
    return Conjunction(tuple(Demand(demand.key, None, demand.unwanted) for demand in conjunction.demands))


def _read(items: Iterable[Item]) -> tuple[list[Actor], tuple[Fault, ...]]:
    actors, faults = [], []
    for item in items:
        actor = _actor(item)
        if actor:
            actors.append(actor)
        else:
            text = f"has an actor of a kind that is not known here: {_shape(item)}"
            faults.append(Fault(NoteCode.UNKNOWN_ACTOR, text, drops_rule=True))
    return actors, tuple(faults)


def _actor(item: object) -> Actor | None:
    """The one selector of an item; None when there is none, more than one, or a key that might change its meaning."""
    if not isinstance(item, dict):
        return None
    excluded = item.get("exclusion")
    named = [key for key in item if key in _SELECTORS and item[key] is not None]
    if len(named) != 1 or item.keys() - _SELECTORS - _DESCRIPTIVE or excluded not in (None, False, True):
        return None
    kind, value = named[0], item[named[0]]
    if excluded and kind not in _LABEL_KINDS:
        return None
    if kind == "actors":
        return Actor(ConsumerKind.ALL_WORKLOADS, None) if value == "ams" else None
    href = value.get("href") if isinstance(value, dict) else None
    return Actor(kind, href, bool(excluded)) if isinstance(href, str) else None


def _shape(item: object) -> str:
    """What an operator can search for, without copying a whole payload."""
    if not isinstance(item, dict):
        return type(item).__name__
    return ", ".join(f"{key}: {item[key]}" if isinstance(item[key], str) else str(key) for key in sorted(item, key=str))
