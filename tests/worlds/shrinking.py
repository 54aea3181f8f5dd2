"""Makes a failing case small enough to read."""

import copy
import json
from collections.abc import Callable, Iterator

from tests.worlds.generator import Case

KEPT = {"href", "key", "value", "enabled"}  # what names an object, or would turn a case into another one


def smallest(case: Case, fails: Callable[[Case], bool]) -> Case:
    """A case that still fails, and from which nothing can be left out any more."""
    shrunk = True
    while shrunk:
        shrunk = False
        for path in list(_paths(case.collections)):
            tried = copy.deepcopy(case)
            if _leave_out(tried.collections, path) and fails(tried):
                case, shrunk = tried, True
                break
    return case


def _paths(thing: object, above: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The place of every element of a list and every key of an object, the largest parts first."""
    inside: list[tuple[str | int, object]] = []
    if isinstance(thing, dict):
        inside = list(thing.items())
    elif isinstance(thing, list):
        inside = list(enumerate(thing))
    yield from ((*above, place) for place, _ in inside if above)
    for place, value in inside:
        yield from _paths(value, (*above, place))


def _leave_out(thing: object, path: tuple[str | int, ...]) -> bool:
    """Drop what is at the path; what names an object stays."""
    for place in path[:-1]:
        thing = thing[place]  # type: ignore[index]
    if path[-1] in KEPT:
        return False
    del thing[path[-1]]  # type: ignore[attr-defined]
    return True


def told(case: Case, found: list[str]) -> str:
    """The case and what is wrong with it, to be read by people."""
    world = {name: things for name, things in case.collections.items() if things}
    return "\n".join([*found[:10], json.dumps(world, indent=1), repr(case.policy), repr(case.naming)])
