"""Whatever an archive does wrong, a read ends in an error of ours or in the bytes of the source."""

import asyncio
import contextlib
import itertools
import logging
import os
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pytest
from aiohttp import web
from faults import FAULTS, TRANSIENT, FaultyArchive, Mischief, faulty_archive
from invocation import CANARY
from servers import Server, file_server, ranged, serve
from systems.kits import raw, same_bits, write_store

from harmony_vds.access.credentials import Credentials
from harmony_vds.access.fetch import Fetcher, RetryPolicy
from harmony_vds.access.gateway import Access
from harmony_vds.access.http import HttpClient
from harmony_vds.access.loop import run
from harmony_vds.access.s3 import S3Client
from harmony_vds.access.trust import Trust
from harmony_vds.access.ways import S3Reader
from harmony_vds.errors import StoreError, VdsError
from harmony_vds.model.store import ManifestFormat, StoreLocation
from harmony_vds.stores.open import open_store
from harmony_vds.stores.reading import Reading

GRANULES = "/archive/granules/"
KINDS = ("kerchunk over http", "icechunk over http", "kerchunk over s3", "icechunk over s3")
VARIABLES = ("sst", "checked", "plain", "lat", "lon", "time")
RATES = (1.0, 0.5, 0.2, 0.05)
QUICK = RetryPolicy(attempts=4, budget=10.0, first_wait=0.002, longest_wait=0.01)
NOBODY = Credentials.of_token(None)
UNSEEN = {"lat", "lon", "plain"}
"""Variables whose chunks are neither compressed nor checked: a flipped bit cannot be seen there."""


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


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    root = tmp_path_factory.mktemp("faulty")
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
            name = write_store(form, files, folder, f"{base}/granules/", inline=0)
            manifest = (
                ManifestFormat.ICECHUNK if form == "icechunk" else ManifestFormat.KERCHUNK_JSON
            )
            stores[kind] = StoreLocation(f"{base}/{folder.name}/{name}", manifest)
        yield Shelf(archive, stores, truth)


@contextlib.contextmanager
def access_to(
    archive: FaultyArchive | Server,
    policy: RetryPolicy,
    stall: float,
    credentials: Credentials = NOBODY,
) -> Iterator[Access]:
    """Access with a test's patience to nothing but the archive."""
    trust = Trust.of_settings([f"{archive.url}/", "s3://archive/"])
    http = HttpClient(trust, credentials, stall_timeout=stall)
    s3 = S3Reader(http, S3Client(archive.url, stall_timeout=stall))
    with Access(Fetcher(trust, http, s3, policy), credentials) as access:
        yield access


def read(location: StoreLocation, access: Access, *, planned: bool = True) -> dict[str, np.ndarray]:
    """Every variable, in as many requests as there are chunks that do not touch."""
    store = open_store([location], access, Reading(planned=planned, gap=0))
    return {name: np.asarray(store.tree.dataset[name].values) for name in VARIABLES}


def one_run(shelf: Shelf, kind: str, mischief: Mischief, *, planned: bool) -> str | list[str]:
    """The name of the error that a read ended in, or the variables that came out wrong."""
    shelf.archive.begin(mischief)
    try:
        with access_to(shelf.archive, QUICK, 0.15) as access:
            found = read(shelf.stores[kind], access, planned=planned)
    except VdsError as error:
        return type(error).__name__
    finally:
        run(no_more_requests())
    return [name for name in VARIABLES if not same_bits(found[name], shelf.truth[name])]


async def no_more_requests() -> None:
    """Wait for what a failed read by zarr leaves under way."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        ended, stuck = await asyncio.wait(others, timeout=20)
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
        check_tries(shelf.archive.counts(), usual)
        if rate == 1 and fault in TRANSIENT:
            check_tries_of_one_question(shelf.archive.counts())
    return tally


def check_tries(counts: Counter[str], usual: Counter[str]) -> None:
    """No layer's tries multiply those of the policy, whoever asks.

    icechunk fetches snapshots and small manifests ahead, once for each try at a session.
    """
    for what, count in counts.items():
        ahead = QUICK.attempts if "/store.icechunk/" in what else 0
        assert count <= QUICK.attempts * max(usual[what], 1) + ahead, (what, counts, usual)


def check_tries_of_one_question(counts: Counter[str]) -> None:
    """Where all fails the first question is the last, and is asked as often as the policy says."""
    asked = [count for what, count in counts.items() if what.startswith("GET ")]
    assert max(asked) == QUICK.attempts, counts


def healthy(shelf: Shelf, kind: str, *, planned: bool) -> Counter[str]:
    """How often each request is made when nothing goes wrong."""
    key = (kind, planned)
    if key not in shelf.usual:
        assert one_run(shelf, kind, Mischief(), planned=planned) == []
        shelf.usual[key] = shelf.archive.counts()
    return shelf.usual[key]


def judge(tally: Tally, fault: str, seeds: range) -> None:
    """What must hold of any number of runs whose rates are those of `RATES` in turn."""
    assert set(tally.wrong) <= (UNSEEN if fault == "flipped" else set()), tally
    assert tally.committed > 0
    assert sum(tally.sure.values()) == len(seeds[:: len(RATES)]), tally
    if fault in TRANSIENT:
        assert tally.right > 0, tally


@pytest.mark.parametrize("kind", KINDS[:3])
@pytest.mark.parametrize("fault", FAULTS)
def test_any_fault_ends_in_an_error_or_in_right_bytes(fault: str, kind: str, shelf: Shelf) -> None:
    seeds = range(4)
    judge(hunt(shelf, fault, kind, seeds), fault, seeds)


@pytest.mark.scale
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", FAULTS)
def test_any_fault_of_any_seed_ends_in_an_error_or_in_right_bytes(
    fault: str, kind: str, shelf: Shelf
) -> None:
    # icechunk cuts a stalled transfer from S3 after a whole second, not before.
    seeds = range(4 if (fault, kind) == ("stall", KINDS[3]) else 200)
    judge(hunt(shelf, fault, kind, seeds), fault, seeds)


@pytest.mark.parametrize("planned", [True, False])
def test_flipped_bit_hides_only_where_nothing_is_compressed_or_checked(
    planned: bool, shelf: Shelf
) -> None:
    """The named exception, counted: of each variable, the runs in which a flip went unseen."""
    kind, archive, unseen = KINDS[0], shelf.archive, Counter[str]()
    for seed in range(5):
        mischief = Mischief(("flipped",), 1.0, seed, GRANULES)
        for name in VARIABLES:
            # Coordinates are read as the store is opened, all else when it is asked for.
            early = name in ("lat", "lon", "time")
            archive.begin(mischief if early else Mischief())
            with access_to(archive, QUICK, 5.0) as access:
                store = open_store([shelf.stores[kind]], access, Reading(planned=planned, gap=0))
                archive.begin(mischief)
                try:
                    found = np.asarray(store.tree.dataset[name].values)
                except StoreError as error:
                    assert "decode" in str(error)  # noqa: PT017
                    continue
            # A few bits of a compressed chunk mean nothing: those that fill up its last byte.
            unseen[name] += not same_bits(found, shelf.truth[name])
    with h5py.File(next((archive.root / GRANULES.strip("/")).iterdir())) as granule:
        bare = {n for n in VARIABLES if not (granule[n].compression or granule[n].fletcher32)}
    bare -= {"time"}  # the stores hold its values themselves
    assert bare == UNSEEN
    assert +unseen == dict.fromkeys(bare, 5)


def test_signatures_that_end_again_and_again_are_renewed_and_bytes_stay_right() -> None:
    """Signed addresses good for twenty ranges, then refused in turn as S3 and CloudFront do."""
    body, refusals = bytes(range(256)) * 40, itertools.cycle((400, 401, 403))
    issued, used = Counter[str](), Counter[str]()

    async def answer(request: web.Request) -> web.StreamResponse:
        name, _, number = request.path.partition("/signed/")
        if not number:
            issued[name] += 1
            target = f"{name}/signed/{issued[name]}?Signature=x"
            return web.Response(status=307, headers={"Location": target})
        if used[request.path] == 20:
            return web.Response(status=next(refusals), text="<Code>ExpiredToken</Code>")
        used[request.path] += 1
        return ranged(body, request)

    async def many(fetcher: Fetcher, base: str) -> list[bytes]:
        room = asyncio.Semaphore(8)

        async def one(number: int) -> bytes:
            async with room:
                url = f"{base}/{number % 3}.nc"
                return (await fetcher.fetch_range(url, number, 50)).body

        return list(await asyncio.gather(*map(one, range(300))))

    with serve(answer) as server, access_to(server, QUICK, 5.0) as access:
        assert run(many(access.fetcher, server.url)) == [body[n : n + 50] for n in range(300)]
    assert set(issued.values()) == {5}


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

    with faulty_archive(root) as archive, access_to(archive, TRIES, 0.5) as access:
        archive.begin(Mischief(TRANSIENT, rate, 1))
        succeeded = run(many(access.fetcher, f"{archive.url}/file"))
        committed = archive.faults()
    assert rate / 2 < committed.total() / requests < rate * 2
    assert set(committed) == set(TRANSIENT)
    return succeeded / requests


def test_nearly_all_requests_to_a_busy_archive_succeed(tmp_path: Path) -> None:
    assert share_of_success(tmp_path, 0.05, 1500) >= 0.999


@pytest.mark.scale
def test_requests_to_a_busy_archive_succeed_by_the_ten_thousands(tmp_path: Path) -> None:
    assert share_of_success(tmp_path, 0.05, 20_000) >= 0.999
    assert share_of_success(tmp_path, 0.01, 20_000) == 1


def reads_that_succeed(shelf: Shelf, kind: str, seeds: range) -> int:
    """How many whole reads, from opening on, come right at one passing fault in twenty requests."""
    succeeded = 0
    for seed in seeds:
        shelf.archive.begin(Mischief(TRANSIENT, 0.05, seed))
        with access_to(shelf.archive, TRIES, 0.3) as access, contextlib.suppress(VdsError):
            found = read(shelf.stores[kind], access)
            assert all(same_bits(found[name], shelf.truth[name]) for name in VARIABLES)
            succeeded += 1
    return succeeded


@pytest.mark.parametrize("kind", KINDS[:3])
def test_whole_reads_from_a_busy_archive_succeed(kind: str, shelf: Shelf) -> None:
    assert reads_that_succeed(shelf, kind, range(15)) == 15


@pytest.mark.scale
@pytest.mark.parametrize("kind", KINDS)
def test_whole_reads_from_a_busy_archive_succeed_by_the_hundreds(kind: str, shelf: Shelf) -> None:
    assert reads_that_succeed(shelf, kind, range(300)) == 300


@pytest.mark.parametrize("kind", ["kerchunk over http", "icechunk over http", "icechunk over s3"])
@pytest.mark.parametrize("fault", [*FAULTS, "astray"])
def test_token_is_told_in_no_failure_and_to_no_stranger(
    fault: str,
    kind: str,
    shelf: Shelf,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The archive repeats the token in what it says of its failures, as some do."""
    caplog.set_level(logging.DEBUG)
    archive = shelf.archive
    token = Credentials.of_token(CANARY).also_for(archive.url)
    once = RetryPolicy(2, 5.0, 0.002, 0.002)
    with file_server(archive.root) as stranger:
        archive.begin(Mischief((fault,), 1.0, within=GRANULES if fault == "flipped" else "/"))
        archive.echoed, archive.stranger = CANARY, stranger.url
        try:
            with access_to(archive, once, 0.15, token) as access:
                read(shelf.stores[kind], access)
            told = ""
        except VdsError as error:
            told = "".join(traceback.format_exception(error)) + repr(error)
        finally:
            archive.echoed = archive.stranger = ""
            run(no_more_requests())
    assert told, "the fault must have been noticed"
    seen = [own for own in archive.asked if CANARY in own.headers]
    assert bool(seen) == ("http" in kind), "the archive itself may have the token over http"
    assert not [own for own in stranger.asked if CANARY in str(own.headers) + str(own.query)]
    written = "".join(map(logging.Formatter().format, caplog.records)) + "".join(capfd.readouterr())
    assert CANARY not in told + written
