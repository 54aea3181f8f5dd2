"""Which addresses a consumer workload connects from (cases 52 to 63 of docs/policy-semantics.md).

For allow rules: just the addresses that `policy.addresses` asks for, after `policy.nat`. For an override-deny: every
address that is known. Each text is parsed once; what is kept are machine integers and bitmaps of workload ordinals.
"""

import socket
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from pyroaring import BitMap

from illumio_azsql_enforcer.addresses import LAST_ADDRESS, RangeSet, cidr, parse_address
from illumio_azsql_enforcer.model.policy import Interface, Workload, name_of
from illumio_azsql_enforcer.model.settings import AddressSource, PolicySettings
from illumio_azsql_enforcer.policy.ip_lists import is_private
from illumio_azsql_enforcer.policy.nat import Nat

CACHED_UNIONS = 32
WIDELY_SHARED = 64  # holders from which on an address range is looked at as one, not once for each holder


def is_managed(workload: Workload) -> bool:
    """Whether the workload has an agent; older releases tell it by the agent's href alone."""
    if workload.managed is not None:
        return workload.managed
    return any(each is not None and each.href for each in (workload.ven, workload.agent))


def parse_any(text: str) -> int | None:
    """An IPv4 address, or None for an IPv6 address. Raises ValueError for anything else."""
    if ":" not in text:
        return parse_address(text)
    try:
        socket.inet_pton(socket.AF_INET6, text.partition("%")[0])
    except (OSError, ValueError) as error:
        raise ValueError(f"{text!r} is not an IP address") from error
    return None


def known_addresses(workload: Workload, nat: Nat) -> list[int]:
    """Every range that the workload may be seen from, packed. Raises ValueError when an address cannot be read."""
    texts = [each.address for each in workload.interfaces or ()] + [workload.public_ip]
    known: list[int] = []
    for text in texts:
        address = parse_any(text) if text else None
        if address is not None:
            single = address << 32 | address
            known += [single, *nat.translated(single)]
    return known


@dataclass(slots=True)
class _Read:
    """What one workload has."""

    packed: list[int] = field(default_factory=list)
    ipv6: int = 0
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class Counts:
    """What was found at a set of workloads, for the notes."""

    offline: int  # workloads
    private: int  # addresses
    private_only: int  # workloads that have nothing but private addresses
    ipv6: int  # addresses
    unreadable: int  # addresses
    without: int  # workloads that have no address at all


class AddressBook:
    """The source addresses of all workloads, by ordinal."""

    def __init__(self, workloads: Sequence[Workload], settings: PolicySettings, nat: Nat, *, subnets: bool) -> None:
        """`subnets`: the subnet of each interface in place of its address (`use_workload_subnets`, case 58)."""
        self._settings, self._nat, self._subnets = settings, nat, subnets
        self._open, self._private = _Slots(), _Slots()
        layers: defaultdict[str, list[list[int]]] = defaultdict(list)
        for ordinal, workload in enumerate(workloads):
            self._take(ordinal, workload, layers)
        self._layers = {name: [BitMap(layer) for layer in each] for name, each in layers.items()}
        self._open.close()
        self._private.close()

    def open_ranges(self, ordinals: BitMap) -> list[int]:
        """The ranges of these workloads that can arrive at a public endpoint, packed."""
        return self._open.of(ordinals)

    def private_ranges(self, ordinals: BitMap) -> list[int]:
        """The ranges of these workloads that lie wholly in a private block, packed."""
        return self._private.of(ordinals)

    def owned(self, ordinals: BitMap) -> Iterator[tuple[int, BitMap]]:
        """The ranges of these workloads, packed, with those of them that have each; a range may come in parts."""
        yield from self._open.owned(ordinals)
        yield from self._private.owned(ordinals)

    def holders(self, address: int) -> BitMap:
        """The workloads that connect from this address. Looks at every range: for explanations."""
        return self._open.holders(address) | self._private.holders(address)

    def counts(self, ordinals: BitMap) -> Counts:
        """What there is to say about these workloads."""
        private = self._private.owners & ordinals
        return Counts(
            offline=self._count("offline", ordinals),
            private=self._count("private", ordinals),
            private_only=private.difference_cardinality(self._open.owners),
            ipv6=self._count("ipv6", ordinals),
            unreadable=self._count("unreadable", ordinals),
            without=self._count("without", ordinals),
        )

    def _count(self, name: str, ordinals: BitMap) -> int:
        return sum(ordinals.intersection_cardinality(layer) for layer in self._layers.get(name, ()))

    def _take(self, ordinal: int, workload: Workload, layers: defaultdict[str, list[list[int]]]) -> None:
        if self._settings.skip_offline and workload.online is False and is_managed(workload):
            return _raise_layers(layers["offline"], ordinal, 1)
        read = self._read(workload)
        open_ones, private = _parted(read.packed)
        self._open.add(ordinal, open_ones)
        self._private.add(ordinal, private)
        _raise_layers(layers["private"], ordinal, len(private))
        _raise_layers(layers["ipv6"], ordinal, read.ipv6)
        _raise_layers(layers["unreadable"], ordinal, read.unreadable)
        _raise_layers(layers["without"], ordinal, int(not (read.packed or read.ipv6 or read.unreadable)))
        return None

    def _read(self, workload: Workload) -> _Read:
        read = _Read()
        if AddressSource.INTERFACES in self._settings.addresses:
            ignored = workload.ignored_interface_names or ()
            for interface in workload.interfaces or ():
                if interface.name not in ignored:
                    self._add(read, interface.address, interface)
        if AddressSource.PUBLIC_IP in self._settings.addresses:
            self._add(read, workload.public_ip, None)
        return read

    def _add(self, read: _Read, text: str | None, interface: Interface | None) -> None:
        if not text:
            return
        try:
            address = parse_any(text)
        except ValueError:
            read.unreadable += 1
            return
        if address is None:
            read.ipv6 += not _stays_home_ipv6(text)
            return
        if _stays_home(address):
            return
        packed = self._subnet(address, interface, read) if self._subnets and interface else address << 32 | address
        read.packed += self._nat.translated(packed) if self._nat else (packed,)

    def _subnet(self, address: int, interface: Interface, read: _Read) -> int:
        """The network of the interface; without a mask length that can be read, the address alone (case 59)."""
        length = interface.cidr_block
        if isinstance(length, int) and not isinstance(length, bool) and 0 <= length <= 32:
            network = cidr(address, length)
            return network.first << 32 | network.last
        read.unreadable += length is not None
        return address << 32 | address


class _Slots:
    """Packed ranges with their owners, both ways."""

    def __init__(self) -> None:
        self._packed = array("Q")
        self._slot_owners = array("I")
        self._offsets: dict[int, tuple[int, int]] = {}
        self.owners = BitMap()
        self._shared: list[tuple[int, BitMap]] = []
        self._alone = BitMap()  # owners with a range that is not widely shared

    def add(self, ordinal: int, packed: list[int]) -> None:
        if packed:
            start = len(self._packed)
            self._packed.extend(packed)
            self._slot_owners.extend([ordinal] * len(packed))
            self._offsets[ordinal] = (start, len(self._packed))

    def close(self) -> None:
        """Find out which ranges are widely shared; nothing is added after that."""
        self.owners = BitMap(self._offsets)
        holders: dict[int, int] = {}
        for packed in self._packed:
            holders[packed] = holders.get(packed, 0) + 1
        shared: dict[int, list[int]] = {packed: [] for packed, count in holders.items() if count >= WIDELY_SHARED}
        alone: list[int] = []
        for packed, owner in zip(self._packed, self._slot_owners, strict=True):
            shared.get(packed, alone).append(owner)
        self._shared = [(packed, BitMap(owners)) for packed, owners in shared.items()]
        self._alone = BitMap(alone)

    def of(self, ordinals: BitMap) -> list[int]:
        found = [packed for packed, holders in self._shared if ordinals.intersect(holders)]
        slots, offsets = self._packed, self._offsets
        for ordinal in ordinals & self._alone:
            start, end = offsets[ordinal]
            found.extend(slots[start:end])
        return found

    def owned(self, ordinals: BitMap) -> Iterator[tuple[int, BitMap]]:
        for packed, holders in self._shared:
            if holding := ordinals & holders:
                yield packed, holding
        for ordinal in ordinals & self._alone:
            start, end = self._offsets[ordinal]
            alone = BitMap([ordinal])
            yield from ((packed, alone) for packed in self._packed[start:end])

    def holders(self, address: int) -> BitMap:
        slots = zip(self._packed, self._slot_owners, strict=True)
        return BitMap(owner for packed, owner in slots if packed >> 32 <= address <= packed & LAST_ADDRESS)


def _raise_layers(layers: list[list[int]], ordinal: int, height: int) -> None:
    """Put the ordinal into as many layers as its count is high: a sum of counts is then a sum of intersections."""
    while len(layers) < height:
        layers.append([])
    for layer in layers[:height]:
        layer.append(ordinal)


def _parted(packed: Iterable[int]) -> tuple[list[int], list[int]]:
    """The ranges that can arrive at a public endpoint, and those that cannot."""
    parts: tuple[list[int], list[int]] = ([], [])
    for each in packed:
        parts[is_private(each)].append(each)
    return parts


def _stays_home(address: int) -> bool:
    """Loopback, link-local, multicast and the unspecified address never leave the host or its link (case 60)."""
    return address >> 24 == 127 or address >> 16 == 0xA9FE or address >> 28 == 0xE or address == 0


def _stays_home_ipv6(text: str) -> bool:
    head = text.lower()
    return head in ("::1", "::") or head.startswith(("fe8", "fe9", "fea", "feb", "ff"))


class KnownAddresses:
    """Every known address of any workloads, for override-denies. Each workload is read once."""

    def __init__(self, workloads: Sequence[Workload], nat: Nat) -> None:
        self._workloads, self._nat = workloads, nat
        self._read: dict[int, list[int]] = {}
        self._united = lru_cache(maxsize=CACHED_UNIONS)(self._union)

    def of(self, ordinals: BitMap) -> RangeSet:
        """The addresses of these workloads. Raises ValueError, naming the workload with one that cannot be read."""
        return self._united(ordinals.serialize())

    def _union(self, ordinals: bytes) -> RangeSet:
        return RangeSet.of_packed([packed for at in BitMap.deserialize(ordinals) for packed in self._of_workload(at)])

    def _of_workload(self, ordinal: int) -> list[int]:
        found = self._read.get(ordinal)
        if found is None:
            workload = self._workloads[ordinal]
            try:
                found = self._read[ordinal] = known_addresses(workload, self._nat)
            except ValueError as error:
                raise ValueError(f"workload '{name_of(workload)}' ({workload.href}): {error}") from error
        return found
