"""Which addresses do IP lists, workloads and virtual services stand for? Addresses are integers."""

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from illumio_azsql_enforcer.model.settings import AddressSource, NatEntry, PolicySettings
from illumio_azsql_enforcer.sandbox.oracle.world import Json, World, bound_service, listed

Block = tuple[int, int]  # first and last address, both included


@dataclass(frozen=True)
class Addresses:
    """What is in one of `inside` and in none of `outside`."""

    inside: tuple[Block, ...]
    outside: tuple[Block, ...] = ()

    def __contains__(self, address: int) -> bool:
        return within(address, self.inside) and not within(address, self.outside)


def within(address: int, blocks: Iterable[Block]) -> bool:
    """Whether the address is in one of the blocks."""
    for first, last in blocks:  # noqa: SIM110 - asked a million times by the random worlds, and twice as fast
        if first <= address <= last:
            return True
    return False


def single(address: int) -> Block:
    return address, address


# --- text


class Unreadable(Exception):
    """A text that is no address, block or range."""


def read_address(text: object) -> int | None:
    """The number of an IPv4 address; None for an IPv6 address. Raises Unreadable."""
    try:
        address = ipaddress.ip_address(text if isinstance(text, str) else "")
    except ValueError as error:
        raise Unreadable(repr(text)) from error
    return int(address) if address.version == 4 else None


def read_block(text: object) -> Block | None:
    """An IPv4 address or CIDR block, host bits allowed; None for IPv6. Raises Unreadable."""
    address, slash, prefix = text.partition("/") if isinstance(text, str) else ("", "", "")
    number = read_address(address)
    if not slash:
        return None if number is None else single(number)
    if not (prefix.isascii() and prefix.isdigit()) or int(prefix) > (128 if number is None else 32):
        raise Unreadable(repr(text))
    return None if number is None else block_of(number, int(prefix))


def block_of(address: int, prefix: int) -> Block:
    """The CIDR block of this prefix length around an address."""
    size = 2 ** (32 - prefix)
    first = address // size * size
    return first, first + size - 1


# --- IP lists


def ip_list_addresses(ip_list: Json) -> Addresses | None:
    """The IPv4 addresses of a list; None when one of its entries cannot be read. FQDNs stand for no source address."""
    inside: list[Block] = []
    outside: list[Block] = []
    try:
        for entry in listed(ip_list.get("ip_ranges")):
            block = _entry(entry)
            if block is not None:
                (outside if entry.get("exclusion") else inside).append(block)
    except Unreadable:
        return None
    return Addresses(tuple(inside), tuple(outside))


def _entry(entry: Json) -> Block | None:
    """One entry: an address, a block, or a range of two addresses; old data has a prefix length as the second."""
    exclusion = entry.get("exclusion")
    if not (exclusion is None or isinstance(exclusion, bool)):
        raise Unreadable(repr(exclusion))
    start, end = entry.get("from_ip"), entry.get("to_ip")
    if end is None or end == "":
        return read_block(start)
    if isinstance(end, str) and len(end.lstrip("/")) <= 2:
        return read_block(f"{start}/{end.lstrip('/')}")
    first, last = read_address(start), read_address(end)
    if (first is None) != (last is None) or (first is not None and last is not None and last < first):
        raise Unreadable(f"{start} to {end}")
    return None if first is None or last is None else (first, last)


def _quad(a: int, b: int = 0) -> int:
    return (a << 24) + (b << 16)


NEVER_A_SOURCE = (single(0), block_of(_quad(127), 8), block_of(_quad(169, 254), 16), block_of(_quad(224), 4))
PRIVATE = (
    block_of(_quad(0), 8),
    block_of(_quad(10), 8),
    block_of(_quad(100, 64), 10),
    block_of(_quad(127), 8),
    block_of(_quad(169, 254), 16),
    block_of(_quad(172, 16), 12),
    block_of(_quad(192, 168), 16),
    block_of(_quad(224), 3),
)


# --- workloads


def is_managed(workload: Json) -> bool:
    """Older releases have no `managed`: then a workload with a VEN is managed."""
    managed = workload.get("managed")
    if managed is not None:
        return bool(managed)
    return any((workload.get(name) or {}).get("href") for name in ("ven", "agent"))


def counted_addresses(workload: Json, settings: PolicySettings, *, subnets: bool = False) -> list[Addresses]:
    """The addresses of a consumer of an allow rule: those that are in the policy of its peers, as Azure sees them."""
    if settings.skip_offline and is_managed(workload) and workload.get("online") is False:
        return []
    blocks: list[Block] = []
    if AddressSource.INTERFACES in settings.addresses:
        ignored = listed(workload.get("ignored_interface_names"))
        interfaces = [i for i in listed(workload.get("interfaces")) if i.get("name") not in ignored]
        blocks += [_interface_block(i, subnets=subnets) for i in interfaces if _is_source(i.get("address"))]
    if AddressSource.PUBLIC_IP in settings.addresses and _is_source(workload.get("public_ip")):
        blocks += [_block(workload["public_ip"])]
    return [after_nat for block in blocks for after_nat in translated(block, settings.nat)]


def _is_source(text: object) -> bool:
    """Whether this is an IPv4 address that traffic can come from."""
    number = _number(text)
    return number is not None and not within(number, NEVER_A_SOURCE)


def _number(text: object) -> int | None:
    try:
        return read_address(text)
    except Unreadable:
        return None


def _block(text: str) -> Block:
    number = _number(text)
    if number is None:
        raise Unreadable(text)
    return single(number)


def _interface_block(interface: Json, *, subnets: bool) -> Block:
    prefix = interface.get("cidr_block")
    first, last = _block(interface["address"])
    if subnets and isinstance(prefix, int) and not isinstance(prefix, bool) and 0 <= prefix <= 32:
        return block_of(first, prefix)
    return first, last


def translated(block: Block, nat: Sequence[NatEntry]) -> Iterator[Addresses]:
    """What arrives at Azure: the block without what lies behind a NAT, and for that the NAT's public addresses."""
    yield Addresses((block,), tuple((entry.private.first, entry.private.last) for entry in nat))
    for entry in nat:
        if any(within(address, [block]) and _nat_of(address, nat) is entry for address in _turning_points(block, nat)):
            yield Addresses(tuple((public.first, public.last) for public in entry.public))


def _nat_of(address: int, nat: Sequence[NatEntry]) -> NatEntry | None:
    """The narrowest NAT entry that the address lies behind."""
    holding = [entry for entry in nat if entry.private.first <= address <= entry.private.last]
    return min(holding, key=lambda entry: entry.private.last - entry.private.first, default=None)


def _turning_points(block: Block, nat: Sequence[NatEntry]) -> Iterator[int]:
    """The addresses at which another NAT entry may begin to hold."""
    yield block[0]
    for entry in nat:
        yield from (entry.private.first, entry.private.last + 1)


def known_addresses(workload: Json, settings: PolicySettings) -> list[Addresses]:
    """Every address that is known of a workload, offline, ignored, private and public alike: for override-denies."""
    texts = [interface.get("address") for interface in listed(workload.get("interfaces"))]
    numbers = [_number(text) for text in [*texts, workload.get("public_ip")]]
    known = [single(number) for number in numbers if number is not None]
    return [addresses for block in known for addresses in (Addresses((block,)), *translated(block, settings.nat))]


def all_readable(workload: Json) -> bool:
    """Whether every address of the workload is one, of IPv4 or IPv6."""
    texts = [interface.get("address") for interface in listed(workload.get("interfaces"))]
    return all(not text or _is_address(text) for text in [*texts, workload.get("public_ip")])


def _is_address(text: object) -> bool:
    try:
        read_address(text)
    except Unreadable:
        return False
    return True


# --- virtual services


def virtual_service_addresses(service: Json, bound: Iterable[list[Addresses]]) -> list[Addresses]:
    """Its `ip_overrides` if it has some, else the addresses of the workloads that it is bound to."""
    if not listed(service.get("ip_overrides")):
        return [addresses for workload in bound for addresses in workload]
    overrides = override_addresses(service)
    return [] if overrides is None else [overrides]


def override_addresses(service: Json) -> Addresses | None:
    """The `ip_overrides` of a virtual service; None when one cannot be read."""
    try:
        blocks = [read_block(text) for text in listed(service.get("ip_overrides"))]
    except Unreadable:
        return None
    return Addresses(tuple(block for block in blocks if block is not None))


def bound_workloads(world: World, service: Json) -> Iterator[Json]:
    """The workloads that a virtual service is bound to."""
    for binding in world.service_bindings:
        bound, workload = bound_service(world, binding), world.find(binding.get("workload"))
        if bound is not None and workload is not None and bound is service:
            yield workload
