"""A collection read whole. A synchronous GET is cut at 500 objects, and only `X-Total-Count` shows it."""

from collections.abc import Callable, Mapping
from typing import Generic, NamedTuple, TypeVar

from illumio_azsql_enforcer.errors import SnapshotIncomplete
from illumio_azsql_enforcer.pce.answer import Answer, Fetcher
from illumio_azsql_enforcer.pce.decoding import decode_list
from illumio_azsql_enforcer.pce.jobs import read_asynchronously
from illumio_azsql_enforcer.retrying import Deadline

T = TypeVar("T")

CAP = 500  # objects in a synchronous answer
READS = 3  # of a collection that changes while it is read


class Collection(NamedTuple, Generic[T]):
    """All objects of a collection, and the count that the PCE gives for it (None: it gives none)."""

    items: list[T]
    total: int | None


def read_collection(
    client: Fetcher, path: str, type_: type[T], deadline: Deadline, params: Mapping[str, str] | None = None
) -> Collection[T]:
    """Every object at `path` that `params` ask for. Raises SnapshotIncomplete rather than return a truncated list.

    A read is complete when its length lies between the counts that the PCE gave before and after it.
    """

    def read(answer: Answer) -> Collection[T]:
        return Collection(decode_list(answer.body, type_, path), answer.total)

    for _ in range(READS):
        first = client.fetch(path, read, deadline, params=params)
        if _is_whole(first):
            return first
        found = read_asynchronously(client, path, read, deadline, params).items
        if _proven(len(found), first, lambda: count_objects(client, path, deadline, params)):
            return Collection(found, first.total)
    raise SnapshotIncomplete(
        f"The PCE gave {len(found)} objects of {path} where it counts {first.total}, {READS} times over: the list is "
        "truncated, or changes faster than it can be read."
    )


def _is_whole(read: Collection[T]) -> bool:
    return len(read.items) < CAP if read.total is None else len(read.items) >= read.total


def count_objects(
    client: Fetcher, path: str, deadline: Deadline, params: Mapping[str, str] | None = None
) -> int | None:
    """How many objects `read_collection` would find, as the PCE counts them; None when it does not tell."""
    asked = {**(params or {}), "max_results": "1"}
    return client.fetch(path, lambda answer: answer.total, deadline, params=asked)


def _proven(length: int, first: Collection[T], count_again: Callable[[], int | None]) -> bool:
    """Whether `length` is complete: equal to the count before, or between it and the count after."""
    if first.total is None:
        return length >= len(first.items)
    if length == first.total:
        return True
    after = count_again()
    return after is not None and min(first.total, after) <= length <= max(first.total, after)
