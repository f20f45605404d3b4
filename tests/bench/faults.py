"""``bin/bench faults``: reads from an archive that fails on purpose, and what became of them."""

import argparse
import asyncio
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from faults import FAULTS, TRANSIENT, Mischief, faulty_archive
from rich.console import Console
from rich.table import Table
from systems.fault_runs import (
    FAST,
    RATES,
    Tally,
    access_to,
    hunt,
    reads_that_succeed,
    share_of_success,
    shelved,
    unseen,
)

from bench.goals import Verdict
from harmony_vds.access.fetch import RetryPolicy
from harmony_vds.access.gateway import Access
from harmony_vds.access.http import STALL_TIMEOUT
from harmony_vds.access.loop import run as on_loop

_LATENCY = 0.1
"""Seconds that the archive takes for each range, as for a chunk of a megabyte."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bin/bench faults", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="runs for each fault and store")
    parser.add_argument("--requests", type=int, default=20_000, help="ranges at each rate")
    parser.add_argument("--reads", type=int, default=300, help="whole reads of each store")
    parser.add_argument("--ranges", type=int, default=4_000, help="ranges that are timed")
    parser.add_argument("--repeats", type=int, default=3, help="pairs of which the time is taken")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a goal is missed")
    options = parser.parse_args(arguments)
    console = Console(highlight=False, width=130)
    with tempfile.TemporaryDirectory() as folder:
        verdicts = [
            *_silent(Path(folder) / "matrix", options.seeds, options.reads, console),
            *_successes(Path(folder), options.requests),
            *_times(Path(folder), options.repeats, options.ranges, console),
        ]
    for verdict in verdicts:
        console.print(str(verdict))
    return int(options.check and not all(own.met for own in verdicts))


def _silent(root: Path, seeds: int, reads: int, console: Console) -> list[Verdict]:
    """Wrong values without an error, over all faults, kinds of store and seeds."""
    root.mkdir()
    kinds = FAST
    with shelved(root) as shelf:
        tallies = {
            (fault, kind): hunt(shelf, fault, kind, range(seeds))
            for fault in FAULTS
            for kind in kinds
        }
        whole = sum(reads_that_succeed(shelf, kind, range(reads)) for kind in kinds)
    _show(tallies, seeds, console)
    wrong = Counter[str]()
    for (fault, kind), tally in tallies.items():
        named = unseen(kind) if fault == "flipped" else set()
        wrong.update({name: n for name, n in tally.wrong.items() if name not in named})
    runs = len(tallies) * seeds
    committed = sum(own.committed for own in tallies.values())
    return [
        Verdict(f"silent wrong values in {runs:,} reads with {committed:,} faults of "
                f"{len(FAULTS)} sorts", float(wrong.total()), 0, at_least=False),
        Verdict(f"whole reads that succeed at 5 % passing faults, per cent of "
                f"{reads * len(kinds):,}", 100 * whole / (reads * len(kinds)), 99.9),
    ]  # fmt: skip


def _show(tallies: dict[tuple[str, str], Tally], seeds: int, console: Console) -> None:
    rates = ", ".join(f"{own:.0%}" for own in RATES)
    table = Table(title=f"{seeds} reads for each fault and kind of store, at {rates} in turn")
    for name in ("fault", "store", "faults", "right", "errors", "unseen flips in"):
        table.add_column(name, justify="right" if name in ("faults", "right") else "left")
    for (fault, kind), own in tallies.items():
        errors = ", ".join(f"{count} {name}" for name, count in own.errors.most_common())
        unseen = ", ".join(f"{name} {count}" for name, count in sorted(own.wrong.items()))
        table.add_row(fault, kind, f"{own.committed:,}", str(own.right), errors, unseen)
    console.print(table)


def _successes(root: Path, requests: int) -> list[Verdict]:
    found = []
    for rate, goal in ((0.05, 99.9), (0.01, 100.0)):
        folder = root / f"at-{rate}"
        folder.mkdir()
        share = share_of_success(folder, rate, requests)
        found.append(Verdict(f"of {requests:,} ranges at {rate:.0%} passing faults succeed, "
                             "per cent", 100 * share, goal))  # fmt: skip
    return found


def _times(root: Path, repeats: int, ranges: int, console: Console) -> list[Verdict]:
    """Time at 5 % of faults against none, measured in pairs, with the service's own patience."""
    (root / "times" / "archive").mkdir(parents=True)
    (root / "times" / "archive" / "file").write_bytes(bytes(20_000))
    found = []
    for place in ("http", "s3"):
        pairs = [_pair(root / "times", place, ranges, seed) for seed in range(repeats)]
        ratio = float(np.median([own.late / own.healthy for own in pairs]))
        console.print(
            f"{ranges:,} ranges over {place}, {_LATENCY:g} s each, 5 % passing faults with stalls: "
            f"{', '.join(map(str, pairs))}"
        )
        found += [
            Verdict(f"time over {place} at 5 % passing faults, times that of none",
                    ratio, 1.5, at_least=False),
            Verdict(f"ranges over {place} asked twice of a healthy archive",
                    sum(own.needless for own in pairs), 0, at_least=False),
        ]  # fmt: skip
    return found


@dataclass(frozen=True)
class _Pair:
    """Seconds without and with faults, and requests made twice."""

    healthy: float
    late: float
    needless: int
    hedged: int
    stalls: int

    def __str__(self) -> str:
        return (
            f"{self.late:.1f} s for {self.healthy:.1f} s with {self.stalls} stalls and "
            f"{self.hedged} second requests"
        )


def _pair(root: Path, place: str, ranges: int, seed: int) -> _Pair:
    spent, hedged = [], []
    with faulty_archive(root) as archive:
        archive.latency = _LATENCY
        url = f"{archive.url}/archive" if place == "http" else "s3://archive"
        for mischief in (Mischief(), Mischief(TRANSIENT, 0.05, seed)):
            archive.begin(mischief)
            with access_to(archive, RetryPolicy(), STALL_TIMEOUT) as access:
                started = time.perf_counter()
                on_loop(_many(access, f"{url}/file", ranges))
                spent.append(time.perf_counter() - started)
                hedged.append(access.fetcher.traffic.hedged)
        return _Pair(*spent, *hedged, archive.faults()["stall"])


async def _many(access: Access, url: str, count: int) -> None:
    """Ranges, as many at once as the reader asks for."""
    room = asyncio.Semaphore(64)

    async def one(number: int) -> None:
        async with room:
            await access.fetcher.fetch_range(url, number % 19_000, 1000)

    await asyncio.gather(*map(one, range(count)))
