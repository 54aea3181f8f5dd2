"""IP lists as sets of IPv4 addresses (cases 30 to 44 of docs/policy-semantics.md)."""

import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from illumio_azsql_enforcer.addresses import LAST_ADDRESS, Range, RangeSet, cidr, parse_address
from illumio_azsql_enforcer.model.policy import IpList, IpRange

T = TypeVar("T")

MASK_LENGTH_DIGITS = 2  # an end this short is the mask length that old releases kept there


@dataclass(frozen=True, slots=True)
class Listed:
    """What a list, or the overrides of a virtual service, hold."""

    ranges: RangeSet
    ipv6: int = 0  # entries
    fqdns: int = 0  # entries; learnt for outbound rules, they admit nothing (case 38)
    unreadable: tuple[str, ...] = ()  # why entries could not be read: then the whole list is not to be used


def parse_block(text: object) -> Range | None:
    """An address or a CIDR block, host bits allowed (case 39); None for IPv6. Raises ValueError."""
    address, slash, length = text.partition("/") if isinstance(text, str) else (repr(text), "", "")
    if ":" in address:
        _check_ipv6(address, length if slash else "128")
        return None
    return cidr(parse_address(address), _mask(length, 32) if slash else 32)


def parse_entry(entry: IpRange) -> Range | None:
    """One entry of an IP list; None for IPv6. Raises ValueError, also for a range that is upside down."""
    if entry.exclusion not in (None, True, False):
        raise ValueError(f"exclusion {entry.exclusion!r} is not true or false")
    start = parse_block(entry.from_ip)
    if entry.to_ip is None or entry.to_ip == "":
        return start
    if isinstance(entry.to_ip, str) and len(entry.to_ip.lstrip("/")) <= MASK_LENGTH_DIGITS:
        return parse_block(f"{entry.from_ip}/{entry.to_ip.lstrip('/')}")
    end = parse_block(entry.to_ip)
    upside_down = start is not None and end is not None and start.first > end.last
    if "/" in f"{entry.from_ip}{entry.to_ip}" or (start is None) != (end is None) or upside_down:
        raise ValueError(f"{entry.from_ip} to {entry.to_ip} is not a range")
    return Range(start.first, end.last) if start and end else None


def read_ip_list(ip_list: IpList) -> Listed:
    """The inclusions less the exclusions of this list alone (cases 35 to 37)."""
    spans, ipv6, unreadable = _parsed(ip_list.ip_ranges or (), parse_entry)
    included = RangeSet(span for entry, span in spans if not entry.exclusion)
    excluded = RangeSet(span for entry, span in spans if entry.exclusion)
    return Listed(included - excluded, ipv6, len(ip_list.fqdns or ()), unreadable)


def read_overrides(overrides: Iterable[object]) -> Listed:
    """The addresses that a virtual service has in place of its workloads' (case 84)."""
    spans, ipv6, unreadable = _parsed(overrides, parse_block)
    return Listed(RangeSet(span for _, span in spans), ipv6, 0, unreadable)


def _parsed(
    entries: Iterable[T], parse: Callable[[T], Range | None]
) -> tuple[list[tuple[T, Range]], int, tuple[str, ...]]:
    """The entries of IPv4 with their ranges, the number of those of IPv6, and why others cannot be read."""
    spans: list[tuple[T, Range]] = []
    ipv6, unreadable = 0, []
    for entry in entries:
        try:
            span = parse(entry)
        except ValueError as error:
            unreadable.append(str(error))
            continue
        if span is None:
            ipv6 += 1
        else:
            spans.append((entry, span))
    return spans, ipv6, tuple(unreadable)


def _mask(text: str, longest: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= longest):
        raise ValueError(f"/{text} is not a mask length")
    return int(text)


def _check_ipv6(address: str, length: str) -> None:
    _mask(length, 128)
    try:
        socket.inet_pton(socket.AF_INET6, address)
    except (OSError, ValueError) as error:
        raise ValueError(f"{address!r} is not an IP address") from error


PRIVATE = RangeSet(
    [
        cidr(parse_address(block.partition("/")[0]), int(block.partition("/")[2]))
        for block in (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "224.0.0.0/3",
        )
    ]
)  # blocks that can never arrive at a public endpoint; no two of them touch


_PARTLY_PRIVATE = frozenset(octet for block in PRIVATE for octet in range(block.first >> 24, (block.last >> 24) + 1))


def is_private(packed: int) -> bool:
    """Whether a packed range lies wholly in one block that can never arrive at a public endpoint."""
    if packed >> 56 not in _PARTLY_PRIVATE:
        return False
    first, last = packed >> 32, packed & LAST_ADDRESS
    return any(block.first <= first and last <= block.last for block in PRIVATE)


def outside_edges() -> list[int]:
    """The addresses right before and right after each private block."""
    edges = [edge for block in PRIVATE for edge in (block.first - 1, block.last + 1)]
    return [edge for edge in edges if 0 <= edge <= LAST_ADDRESS]
