"""How long it takes to decode and translate a large estate, against `json.loads` of the same bytes.

    python -m benchmarks.policy [--workloads N] [--rules N] [--servers N] [--runs N] [FIGURE ...]

Prints a table for each figure and, last, one line `bench NAME VALUE` for each. Every run is a process of its own, so
that no run pays for the memory of another; ratios are medians over the runs.
"""

import argparse
import gc
import json
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any

from benchmarks import estate
from illumio_azsql_enforcer.addresses import LAST_ADDRESS, RangeSet
from illumio_azsql_enforcer.errors import PolicyUnresolvable
from illumio_azsql_enforcer.model import policy as model
from illumio_azsql_enforcer.model.firewall import Governed
from illumio_azsql_enforcer.model.settings import ServerSettings
from illumio_azsql_enforcer.pce.decoding import decode_list
from illumio_azsql_enforcer.policy.identity import identify
from illumio_azsql_enforcer.policy.translator import Translator

Times = dict[str, float]  # seconds by stage, MiB for memory, counts
COLLECTIONS: dict[str, type[Any]] = {
    "labels": model.Label,
    "label_groups": model.LabelGroup,
    "ip_lists": model.IpList,
    "services": model.Service,
    "virtual_services": model.VirtualService,
    "service_bindings": model.ServiceBinding,
    "rule_sets": model.RuleSet,
    "workloads": model.Workload,
}
UNION_RANGES = 1_000_000
MIB = 1 << 20


def decode_ratio(folder: Path, runs: int) -> float:
    """Decoding the workloads / `json.loads` of the same bytes."""
    bodies = [folder / "workloads"]
    plain = _median(_each(runs, _load_plain, bodies))
    typed = _median(_each(runs, _load_typed, bodies))
    _table("decoding the workloads, seconds", {"json.loads": plain, "typed": typed})
    return typed["seconds"] / plain["seconds"]


def policy_ratio(folder: Path, size: estate.Size, runs: int) -> float:
    """Decoding and translating everything / `json.loads` of the same bytes."""
    plain = _median(_each(runs, _load_plain, _bodies(folder)))
    whole = _median(_each(runs, _translate, folder, size))
    _table("decode and translate, seconds", {"json.loads": plain, "whole": whole})
    return whole["seconds"] / plain["seconds"]


def policy_memory_ratio(folder: Path, size: estate.Size, runs: int) -> float:
    """Peak resident memory of decoding and translating, less the bare program's / size of the payload."""
    bare = _median(_each(runs, _nothing))
    whole = _median(_each(runs, _translate, folder, size))
    payload = sum(body.stat().st_size for body in _bodies(folder)) / MIB
    _table(f"peak resident memory, MiB; payload {payload:.0f} MiB", {"bare": bare, "whole": whole})
    return (whole["peak_mib"] - bare["peak_mib"]) / payload


def union_ratio(runs: int) -> float:
    """Union of a million random ranges / sorting the same list of integers."""
    found = _median(_each(runs, _union))
    _table(f"{UNION_RANGES:,} random ranges, seconds", {"sort and union": found})
    return found["union"] / found["sort"]


# --- what a child process does


def _load_plain(bodies: Sequence[Path]) -> Times:
    read = [body.read_bytes() for body in bodies]
    start = time.perf_counter()
    kept = [json.loads(body) for body in read]
    return {"seconds": time.perf_counter() - start, "objects": sum(len(each) for each in kept)}


def _load_typed(bodies: Sequence[Path]) -> Times:
    read = [(body.name, body.read_bytes()) for body in bodies]
    start = time.perf_counter()
    kept = [decode_list(body, COLLECTIONS[name], name) for name, body in read]
    return {"seconds": time.perf_counter() - start, "objects": sum(len(each) for each in kept)}


def _translate(folder: Path, size: estate.Size) -> Times:
    """One collection after the other is read and decoded, as the program does it; then all servers are translated."""
    times: Times = {}
    with _timed(times, "decode"):
        decoded: dict[str, tuple[Any, ...]] = {}
        waiting = 0.0
        for body in _bodies(folder):
            before = time.perf_counter()
            read = body.read_bytes()
            waiting += time.perf_counter() - before
            decoded[body.name] = tuple(decode_list(read, COLLECTIONS[body.name], body.name))
            del read
    times["decode"] -= waiting
    snapshot = model.Snapshot(version=1, release=(25, 2, 20), **decoded)
    with _timed(times, "identify"):
        found = identify(estate.servers(size), snapshot, ServerSettings())
        governed = [each for each in found if isinstance(each, Governed)]
    with _timed(times, "read rules"):
        translator = Translator(snapshot, estate.settings(), governed)
    with _timed(times, "translate"):
        ranges, failed = _count(translator, governed)
    stages = sum(times.values())
    return {**times, "seconds": stages, "servers": len(governed), "ranges": ranges, "failed": failed}


def _count(translator: Translator, governed: Sequence[Governed]) -> tuple[int, int]:
    ranges = failed = 0
    for server in governed:
        try:
            ranges += len(translator.translate(server).desired)
        except PolicyUnresolvable:
            failed += 1
    return ranges, failed


def _nothing() -> Times:
    return {"seconds": 0.0}


def _union() -> Times:
    random = Random(7)
    firsts = [random.randrange(LAST_ADDRESS) for _ in range(UNION_RANGES)]
    packed = [first << 32 | min(LAST_ADDRESS, first + random.randrange(4096)) for first in firsts]
    copies = list(packed)
    start = time.perf_counter()
    copies.sort()
    between = time.perf_counter()
    found = RangeSet.of_packed(packed)
    end = time.perf_counter()
    return {"sort": between - start, "union": end - between, "seconds": end - between, "ranges": len(found)}


@contextmanager
def _timed(times: Times, stage: str) -> Iterator[None]:
    gc.collect()
    start = time.perf_counter()
    yield
    times[stage] = time.perf_counter() - start


# --- running children, and showing what they say


def _bodies(folder: Path) -> list[Path]:
    return [folder / name for name in COLLECTIONS]


def _each(runs: int, work: Callable[..., Times], *arguments: object) -> list[Times]:
    return [_in_child(work, *arguments) for _ in range(runs)]


def _in_child(work: Callable[..., Times], *arguments: object) -> Times:
    """What `work` returns in a fresh process, with that process's peak resident memory."""
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(sending, work, arguments))
    child.start()
    sending.close()
    try:
        answer: Times = receiving.recv()
    finally:
        child.join()
    return answer


def _child(answer: Connection, work: Callable[..., Times], arguments: Sequence[object]) -> None:
    times = work(*arguments)
    answer.send({**times, "peak_mib": peak_mib()})


def peak_mib() -> float:
    """Peak resident memory of this process. Linux counts the parent's in `ru_maxrss`, so its own figure is taken."""
    status = Path("/proc/self/status")
    if status.exists():
        own = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(own.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (MIB if sys.platform == "darwin" else 1024)


def _median(runs: Sequence[Times]) -> Times:
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def _table(title: str, rows: dict[str, Times]) -> None:
    print(f"\n{title}")
    for name, times in rows.items():
        print(f"  {name:<16}" + "  ".join(f"{stage} {value:,.3f}" for stage, value in times.items()))


_DEFAULT = estate.Size()
FIGURES = ("decode_ratio", "policy_ratio", "policy_memory_ratio", "union_ratio")


def measure(figures: Sequence[str], size: estate.Size, runs: int) -> dict[str, float]:
    """The value of each of these figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if set(figures) - {"union_ratio"}:
            for collection, body in estate.collections(size):
                (folder / collection).write_bytes(body)
        takes: dict[str, Callable[[], float]] = {
            "decode_ratio": lambda: decode_ratio(folder, runs),
            "policy_ratio": lambda: policy_ratio(folder, size, runs),
            "policy_memory_ratio": lambda: policy_memory_ratio(folder, size, runs),
            "union_ratio": lambda: union_ratio(runs),
        }
        return {figure: takes[figure]() for figure in figures}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the figures that are named, or all."""
    parser = argparse.ArgumentParser(description="Measure decoding and translating a large estate.")
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=", ".join(FIGURES))
    parser.add_argument("--workloads", type=int, default=_DEFAULT.workloads)
    parser.add_argument("--rules", type=int, default=_DEFAULT.rules)
    parser.add_argument("--servers", type=int, default=_DEFAULT.servers)
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args(arguments)
    if unknown := set(asked.figures) - set(FIGURES):
        parser.error(f"no such figure: {', '.join(sorted(unknown))}")
    size = estate.Size(asked.workloads, asked.rules, asked.servers)
    values = measure(asked.figures or FIGURES, size, asked.runs)
    print()
    for name, value in values.items():
        print(f"bench {name} {value:.3f}")


if __name__ == "__main__":
    main()
