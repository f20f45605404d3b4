"""The goals of opening, reading and writing, and whether a run met them."""

from collections.abc import Iterator
from dataclasses import dataclass

from bench import means
from bench.archive import PRODUCTS
from bench.limits import ideal
from bench.runs import LATENCY, Bench, Key
from bench.work import Expected, items
from harmony_vds.model.blocks import AHEAD_BYTES, WINDOW_BYTES

MIB = 2**20
_READS = {"a": (3.5, 2.0), "c": (7.0, 1.4), "d": (10.0, 1.5)}
"""Times faster than the peers, and times the ideal."""
_WRITES = {"w": 12.0, "d": 10.0}
"""Times faster than the peers."""
_LARGE = {"smap": (8.0, 4.0), "opera": (8.0, 4.0)}


@dataclass(frozen=True)
class Verdict:
    """One goal and what was measured of it."""

    goal: str
    measured: float | None
    """None where a measurement it needs is missing or failed."""
    limit: float
    at_least: bool = True

    @property
    def met(self) -> bool:
        if self.measured is None:
            return False
        rounded = round(self.measured, 3)
        return rounded >= self.limit if self.at_least else rounded <= self.limit

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        measured = "not measured" if self.measured is None else f"{self.measured:.2f}"
        return (
            f"{'met   ' if self.met else 'MISSED'} {measured} ({sign} {self.limit:g})  {self.goal}"
        )


@dataclass(frozen=True)
class _Judge:
    """Medians of a run, looked up and divided."""

    bench: Bench
    medians: dict[Key, dict[str, float]]

    def value(self, part: str, product: str, item: str, method: str, name: str) -> float | None:
        return self.medians.get((part, product, item, method), {}).get(name)

    def ratio(  # noqa: PLR0917  as above
        self, part: str, product: str, item: str, peer: str, own: str, name: str
    ) -> float | None:
        above = self.value(part, product, item, peer, name)
        below = self.value(part, product, item, own, name)
        return None if above is None or not below else above / below


def verdicts(bench: Bench, parts: tuple[str, ...]) -> list[Verdict]:
    """All goals of the parts that were run."""
    judge = _Judge(bench, bench.results.medians())
    found: list[Verdict] = []
    if "open" in parts:
        found += _opening(judge)
        found += _starting(judge)
    if "read" in parts:
        found += _reading(judge)
    if "series" in parts:
        found += _averaging(judge)
    if "flat" in parts:
        found += _flat(judge)
    for part in ("write", "end-to-end"):
        if part in parts:
            found += _writing(judge, part)
    return found


def _opening(judge: _Judge) -> Iterator[Verdict]:
    products = {judge.bench.main_product: (6.0, 3.0)}
    products |= _LARGE if judge.bench.scale == "all" else {}
    for product, limits in products.items():
        for peer, limit in zip(("virtualizarr", "engine=kerchunk"), limits, strict=True):
            measured = judge.ratio("open", product, "cold", peer, "ours, kerchunk", "cpu")
            yield Verdict(
                f"open {product} JSON, cold: CPU, times less than {peer}", measured, limit
            )
        rss = judge.value("open", product, "cold", "ours, kerchunk", "rss")
        if product in _LARGE:
            yield Verdict(f"open {product} JSON, cold: peak memory in GB",
                          rss and rss / 1e9, 1.5, at_least=False)  # fmt: skip
        else:
            share = judge.ratio("open", product, "cold", "ours, kerchunk", "engine=kerchunk", "rss")
            yield Verdict(f"open {product} JSON, cold: peak memory, share of engine=kerchunk's",
                          share, 0.5, at_least=False)  # fmt: skip
    product = judge.bench.main_product
    for method in ("ours, kerchunk", "ours, icechunk"):
        cpu = judge.value("open", product, "again", method, "cpu")
        yield Verdict(f"open {product} again ({method}): CPU seconds", cpu, 0.15, at_least=False)
        rss = judge.value("open", product, "again", method, "rss")
        yield Verdict(f"open {product} again ({method}): peak memory in MB",
                      rss and rss / 1e6, 250, at_least=False)  # fmt: skip


def _starting(judge: _Judge) -> Iterator[Verdict]:
    product = judge.bench.main_product
    for form in ("kerchunk", "icechunk"):
        cpu = judge.value("start", product, form, "plan printed", "cpu")
        share = judge.ratio("start", product, form, "plan printed", "imports", "cpu")
        yield Verdict(f"start → plan printed ({form}): CPU, times the imports alone",
                      share, 1.7, at_least=False)  # fmt: skip
        yield Verdict(f"start → plan printed ({form}): CPU seconds", cpu, 2.0, at_least=False)


def _reading(judge: _Judge) -> Iterator[Verdict]:
    bench = judge.bench
    product = bench.main_product
    pairs = {"kerchunk": "fsspec + dask", "icechunk": "icechunk + dask"}
    for item, (faster, slack) in _READS.items():
        for form, peer in pairs.items():
            own = f"ours, {form}"
            measured = judge.ratio("read", product, item, peer, own, "wall")
            yield Verdict(f"({item}) {own}: wall, times faster than {peer}", measured, faster)
            wanted = bench.results.wanted.get((product, item, own))
            wall = judge.value("read", product, item, own, "wall")
            best = ideal(bench.results.limits, wanted, LATENCY) if wanted else None
            yield Verdict(f"({item}) {own}: wall, times the ideal",
                          wall and best and wall / best, slack, at_least=False)  # fmt: skip
    for form, peer in (("kerchunk", "virtualizarr"), ("icechunk", "icechunk")):
        own = f"ours, {form}"
        measured = judge.ratio("read", product, "e", peer, own, "wall")
        yield Verdict(f"(e) {own}: wall, times faster than {peer}", measured, 8.0)
    for item in items(PRODUCTS[product]):
        for form in pairs:
            own = f"ours, {form}"
            wanted = bench.results.wanted.get((product, item, own))
            if wanted is not None:
                yield from _thrift(judge, item, own, wanted)


def _writing(judge: _Judge, part: str) -> Iterator[Verdict]:
    product = judge.bench.main_product
    for item, faster in _WRITES.items():
        for own, peer in (
            ("ours, kerchunk", "fsspec + dask"), ("ours, icechunk", "icechunk + dask"),
            ("ours, kerchunk", "download"), ("ours, icechunk", "download"),
        ):  # fmt: skip
            measured = judge.ratio(part, product, item, peer, own, "wall")
            yield Verdict(
                f"{part} ({item}) {own}: wall, times faster than {peer}", measured, faster
            )
    for own in ("ours, kerchunk", "ours, icechunk"):
        share = judge.ratio(part, product, "d", own, "download", "rss")
        yield Verdict(f"{part} (d) {own}: peak memory, share of download's", share, 0.25,
                      at_least=False)  # fmt: skip
        for item in _WRITES:
            rss = judge.value(part, product, item, own, "rss")
            yield Verdict(f"{part} ({item}) {own}: peak memory beside the window, in MB",
                          rss and (rss - WINDOW_BYTES - AHEAD_BYTES) / 1e6, 250,
                          at_least=False)  # fmt: skip


def _thrift(judge: _Judge, item: str, own: str, wanted: Expected) -> Iterator[Verdict]:
    """Bytes, requests and memory of one read."""
    product = judge.bench.main_product
    nbytes = judge.value("read", product, item, own, "nbytes")
    requests = judge.value("read", product, item, own, "requests")
    rss = judge.value("read", product, item, own, "rss")
    yield Verdict(f"({item}) {own}: bytes fetched, share of the chunks' own",
                  nbytes and nbytes / wanted.stored, 1.02, at_least=False)  # fmt: skip
    yield Verdict(f"({item}) {own}: requests for each chunk",
                  requests and requests / wanted.chunks, 1.0, at_least=False)  # fmt: skip
    yield Verdict(f"({item}) {own}: peak memory beyond the result, in MiB",
                  rss and (rss - wanted.window) / MIB, 250, at_least=False)  # fmt: skip


def _flat(judge: _Judge) -> Iterator[Verdict]:
    """The same selection from a record ten times as long."""
    long, short = judge.bench.main_product, f"{judge.bench.main_product}-tenth"
    for method in ("ours, kerchunk", "ours, icechunk"):
        above = judge.value("flat", long, "d", method, "cpu")
        below = judge.value("flat", short, "d", method, "cpu")
        yield Verdict(f"(d) {method}: CPU, times that of a record of a tenth",
                      above and below and above / below, 1.1, at_least=False)  # fmt: skip


def _averaging(judge: _Judge) -> Iterator[Verdict]:
    """The regional mean, from the request to the written file."""
    product = judge.bench.main_product
    shares = [judge.value("mean", product, "f", m, "share") for m in (means.PEER, means.SERVICE)]
    faster = judge.ratio("mean", product, "f", means.PEER, means.SERVICE, "wall")
    if faster is not None and shares[0] and shares[1]:
        faster *= shares[1] / shares[0]
    yield Verdict(f"(f) {means.SERVICE}: wall, times faster than {means.PEER}", faster, 2.5)
    share = judge.ratio("mean", product, "f", means.SERVICE, means.PEER, "rss")
    yield Verdict(f"(f) {means.SERVICE}: peak memory, share of {means.PEER}'s",
                  share, 0.5, at_least=False)  # fmt: skip
