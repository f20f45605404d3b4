"""Reads from an archive that fails on purpose, one after another, and how each of them ended."""

import asyncio
import contextlib
import json
import os
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import netCDF4
import numpy as np
from dmrpp import write_dmrpp
from faults import TRANSIENT, FaultyArchive, Mischief, faulty_archive
from servers import Server
from systems.kits import raw, same_bits, write_store

from harmony_vds.access.credentials import Credentials
from harmony_vds.access.fetch import Fetcher, RetryPolicy
from harmony_vds.access.gateway import Access
from harmony_vds.access.hedge import Hedges
from harmony_vds.access.http import HttpClient
from harmony_vds.access.loop import run
from harmony_vds.access.s3 import S3Client
from harmony_vds.access.trust import Trust
from harmony_vds.access.ways import S3Reader
from harmony_vds.errors import VdsError
from harmony_vds.model.chunks import ChunkKind
from harmony_vds.model.store import ManifestFormat, StoreLocation
from harmony_vds.stores.open import open_store
from harmony_vds.stores.reading import Reading

GRANULES = "/archive/granules/"
FAST = ("kerchunk over http", "icechunk over http", "kerchunk over s3", "dmrpp over http")
RECORDS = "parquet over http"
KINDS = (*FAST, RECORDS, "icechunk over s3")
MANIFESTS = {
    "icechunk": ManifestFormat.ICECHUNK,
    "kerchunk": ManifestFormat.KERCHUNK_JSON,
    "parquet": ManifestFormat.KERCHUNK_PARQUET,
}
VARIABLES = ("sst", "checked", "plain", "lat", "lon", "time")
RATES = (1.0, 0.5, 0.2, 0.05)
QUICK = RetryPolicy(attempts=4, budget=10.0, first_wait=0.002, longest_wait=0.01)
NOBODY = Credentials.of_token(None)
UNSEEN = {"lat", "lon", "plain"}
"""Variables whose chunks are neither compressed nor checked: a flipped bit cannot be seen there."""


def unseen(kind: str) -> set[str]:
    """Those of one kind of store: granules are stacked by their times, whatever these are."""
    return UNSEEN | {"time"} if kind.startswith("dmrpp") else UNSEEN


def write_tiny(path: Path, day: int) -> Path:
    """A granule of 4 x 6 cells: compressed, with a checksum only, and with neither."""
    packed = np.random.default_rng(day).integers(-3000, 3000, (4, 6), np.int16)
    with netCDF4.Dataset(path, "w") as nc:
        for name, size in (("time", None), ("lat", 4), ("lon", 6)):
            nc.createDimension(name, size)
        nc.createVariable("time", "i4", ("time",), chunksizes=(1,))[:] = [day]
        nc["time"].units = "days since 2024-01-01"
        nc.createVariable("lat", "f4", ("lat",))[:] = [-60, -20, 20, 60]
        nc.createVariable("lon", "f4", ("lon",))[:] = [-150, -90, -30, 30, 90, 150]
        for name, chunks, filters in (
            ("sst", (1, 2, 3), {"compression": "zlib", "shuffle": True}),
            ("checked", (1, 4, 6), {"fletcher32": True}),
            ("plain", (1, 4, 6), {}),
        ):
            variable = nc.createVariable(
                name, "i2", ("time", "lat", "lon"), chunksizes=chunks, fill_value=-9999, **filters
            )
            variable[0] = packed + len(name)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return path


@dataclass(frozen=True)
class Shelf:
    """The archive, the stores over its granules, and what the granules hold."""

    archive: FaultyArchive
    stores: dict[str, StoreLocation]
    truth: dict[str, np.ndarray]
    usual: dict[tuple[str, bool], Counter[str]] = field(default_factory=dict)
    """Requests of a read without faults."""


@contextlib.contextmanager
def shelved(root: Path) -> Iterator[Shelf]:
    """The archive over a folder, with a store of each kind."""
    (root / GRANULES.strip("/")).mkdir(parents=True)
    files = [write_tiny(root / GRANULES.strip("/") / f"{day}.nc", day) for day in (1, 2)]
    truth = {
        name: raw(files[0], name)
        if name in ("lat", "lon")
        else np.concatenate([raw(path, name) for path in files])
        for name in VARIABLES
    }
    with faulty_archive(root) as archive:
        stores = {}
        for kind in KINDS:
            form, _, scheme = kind.split()
            base = f"{archive.url}/archive" if scheme == "http" else "s3://archive"
            folder = root / "archive" / kind.replace(" ", "-")
            folder.mkdir()
            if form == "dmrpp":
                stores[kind] = _stacked(files, folder, base)
                continue
            if form == "parquet":
                name = _recorded(files, folder, f"{base}/granules/")
            else:
                name = write_store(form, files, folder, f"{base}/granules/", inline=0)
            stores[kind] = StoreLocation(f"{base}/{folder.name}/{name}", MANIFESTS[form])
        yield Shelf(archive, stores, truth)


def _recorded(files: list[Path], folder: Path, base: str) -> str:
    """The granules as Parquet references of three rows a record; gives the name in `folder`."""
    from kerchunk.df import refs_to_dataframe

    document = json.loads(
        (folder / write_store("kerchunk", files, folder, base, inline=0)).read_text()
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refs_to_dataframe(document, str(folder / "store.parq"), record_size=3)
    return "store.parq"


def _stacked(files: list[Path], folder: Path, base: str) -> StoreLocation:
    """The granules as one store, by a sidecar of each."""
    sidecars = [write_dmrpp(own, folder / f"{own.name}.dmrpp") for own in files]
    members = tuple(
        StoreLocation(f"{base}/{folder.name}/{sidecar.name}", ManifestFormat.DMRPP,
                      data_href=f"{base}/granules/{own.name}")
        for own, sidecar in zip(files, sidecars, strict=True)
    )  # fmt: skip
    return replace(members[0], members=members)


@contextlib.contextmanager
def access_to(
    archive: FaultyArchive | Server,
    policy: RetryPolicy,
    stall: float,
    credentials: Credentials = NOBODY,
) -> Iterator[Access]:
    """Access with a test's patience to nothing but the archive."""
    trust = Trust.of_settings([f"{archive.url}/", "s3://archive/"])
    hedges = Hedges()
    http = HttpClient(trust, credentials, stall_timeout=stall, hedges=hedges)
    s3 = S3Reader(http, S3Client(archive.url, stall_timeout=stall, hedges=hedges))
    with Access(Fetcher(trust, http, s3, policy, traffic=hedges.traffic), credentials) as access:
        yield access


def read(location: StoreLocation, access: Access, *, planned: bool = True) -> dict[str, np.ndarray]:
    """Every variable, in as many requests as there are chunks that do not touch.

    A variable of which the store says that it lacks chunks is not given: who reads it is told so.
    """
    store = open_store([location], access, Reading(planned=planned, gap=0))
    found = {name: np.asarray(store.tree.dataset[name].values) for name in VARIABLES}
    told = {
        name for name in VARIABLES
        if (store.chunk_index(f"/{name}").kinds == ChunkKind.ABSENT).any()
    }  # fmt: skip
    return {name: values for name, values in found.items() if name not in told}


def one_run(shelf: Shelf, kind: str, mischief: Mischief, *, planned: bool) -> str | list[str]:
    """The name of the error that a read ended in, or the variables that came out wrong."""
    shelf.archive.begin(mischief)
    # What answers at all may be late on a loaded machine.
    stall = 0.15 if "stall" in mischief.faults else 5.0
    try:
        with access_to(shelf.archive, QUICK, stall) as access:
            found = read(shelf.stores[kind], access, planned=planned)
    except VdsError as error:
        return type(error).__name__
    finally:
        run(no_more_requests())
    lacking = {*VARIABLES} - found.keys()
    if lacking:  # by Parquet's rules a record that is not there refers to nothing
        assert (kind, mischief.faults) == (RECORDS, ("404",)), lacking
    wrong = [name for name in found if not same_bits(found[name], shelf.truth[name])]
    if kind.startswith("dmrpp") and "time" in wrong:
        # Granules are stacked in the order of their times, so another time may be another order.
        turned = {name: own if name in ("lat", "lon") else own[::-1] for name, own in found.items()}
        wrong = [name for name in wrong if not same_bits(turned[name], shelf.truth[name])]
    return wrong


async def no_more_requests() -> None:
    """Wait for what a failed read by zarr leaves under way."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        ended, stuck = await asyncio.wait(others, timeout=120)
        assert ended, f"nothing cuts {stuck}"


@dataclass
class Tally:
    """How the runs under one fault ended."""

    right: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    """Runs by the error that they ended in."""
    sure: Counter[str] = field(default_factory=Counter)
    """The same, of runs in which every request went wrong."""
    wrong: Counter[str] = field(default_factory=Counter)
    """Variables that came out wrong without an error."""
    committed: int = 0
    """Faults."""


def hunt(shelf: Shelf, fault: str, kind: str, seeds: range) -> Tally:
    """Read under a fault, once for each seed, at rates from every request to one of twenty."""
    tally = Tally()
    for seed in seeds:
        planned, rate = seed % 8 < 4, RATES[seed % 4]
        usual = healthy(shelf, kind, planned=planned)
        within = GRANULES if fault == "flipped" else "/"
        ended = one_run(shelf, kind, Mischief((fault,), rate, seed, within), planned=planned)
        tally.committed += shelf.archive.faults()[fault]
        tally.right += ended == []
        if isinstance(ended, str):
            tally.errors[ended] += 1
            tally.sure[ended] += rate == 1
        else:
            tally.wrong.update(ended)
        check_tries(shelf.archive.counts(), usual, late=fault == "stall")
        if rate == 1 and fault in TRANSIENT:
            check_tries_of_one_question(shelf.archive.counts(), late=fault == "stall")
    return tally


def check_tries(counts: Counter[str], usual: Counter[str], *, late: bool = False) -> None:
    """No layer's tries multiply those of the policy, whoever asks.

    icechunk fetches snapshots and small manifests ahead, once for each try at a session. A request
    that was cut off for its silence may arrive `late`, and be counted with those of the next run.
    """
    for what, count in counts.items():
        ahead = QUICK.attempts if "/store.icechunk/" in what else 0
        most = QUICK.attempts * max(usual[what], 1) + ahead + late
        assert count <= most, (what, counts, usual)


def check_tries_of_one_question(counts: Counter[str], *, late: bool) -> None:
    """Where all fails the first question is the last, and is asked as often as the policy says."""
    asked = [count for what, count in counts.items() if what.startswith("GET ")]
    assert QUICK.attempts <= max(asked) <= QUICK.attempts + late, counts


def healthy(shelf: Shelf, kind: str, *, planned: bool) -> Counter[str]:
    """How often each request is made when nothing goes wrong."""
    key = (kind, planned)
    if key not in shelf.usual:
        assert one_run(shelf, kind, Mischief(), planned=planned) == []
        shelf.usual[key] = shelf.archive.counts()
    return shelf.usual[key]


TRIES = RetryPolicy(first_wait=0.005, longest_wait=0.05)
"""The policy's attempts, without its waits."""


def share_of_success(root: Path, rate: float, requests: int) -> float:
    """How many of many ranges, 64 at once, come right from an archive with passing faults."""
    body = np.random.default_rng(0).bytes(20_000)
    (root / "file").write_bytes(body)

    async def one(fetcher: Fetcher, url: str, room: asyncio.Semaphore, number: int) -> bool:
        start = number % 19_000
        async with room:
            try:
                received = await fetcher.fetch_range(url, start, 1000)
            except VdsError:
                return False
        assert received.body == body[start : start + 1000]
        return True

    async def many(fetcher: Fetcher, url: str) -> int:
        room = asyncio.Semaphore(64)
        return sum(await asyncio.gather(*(one(fetcher, url, room, n) for n in range(requests))))

    with faulty_archive(root) as archive, access_to(archive, TRIES, 2.0) as access:
        archive.begin(Mischief(TRANSIENT, rate, 1))
        succeeded = run(many(access.fetcher, f"{archive.url}/file"))
        committed = archive.faults()
    assert rate / 2 < committed.total() / requests < rate * 2
    assert set(committed) == set(TRANSIENT)
    return succeeded / requests


def reads_that_succeed(shelf: Shelf, kind: str, seeds: range) -> int:
    """How many whole reads, from opening on, come right at one passing fault in twenty requests."""
    succeeded = 0
    for seed in seeds:
        shelf.archive.begin(Mischief(TRANSIENT, 0.05, seed))
        with access_to(shelf.archive, TRIES, 1.0) as access, contextlib.suppress(VdsError):
            found = read(shelf.stores[kind], access)
            assert all(same_bits(found[name], shelf.truth[name]) for name in VARIABLES)
            succeeded += 1
    return succeeded
