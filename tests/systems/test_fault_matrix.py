"""Whatever an archive does wrong, a read ends in an error of ours or in the bytes of the source."""

import asyncio
import itertools
import logging
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from aiohttp import web
from faults import FAULTS, TRANSIENT, Mischief
from invocation import CANARY
from servers import file_server, ranged, serve
from systems.fault_runs import (
    FAST,
    GRANULES,
    KINDS,
    QUICK,
    RATES,
    RECORDS,
    UNSEEN,
    VARIABLES,
    Shelf,
    Tally,
    access_to,
    hunt,
    no_more_requests,
    read,
    reads_that_succeed,
    share_of_success,
    shelved,
    unseen,
)
from systems.kits import same_bits

from harmony_vds.access.credentials import Credentials
from harmony_vds.access.fetch import Fetcher, RetryPolicy
from harmony_vds.access.loop import run
from harmony_vds.errors import StoreError, VdsError
from harmony_vds.stores.open import open_store
from harmony_vds.stores.reading import Reading


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    with shelved(tmp_path_factory.mktemp("faulty")) as own:
        yield own


def judge(tally: Tally, fault: str, kind: str, seeds: range) -> None:
    """What must hold of any number of runs whose rates are those of `RATES` in turn."""
    assert set(tally.wrong) <= (unseen(kind) if fault == "flipped" else set()), tally
    assert tally.committed > 0
    assert sum(tally.sure.values()) == len(seeds[:: len(RATES)]), tally
    if fault in TRANSIENT:
        assert tally.right > 0, tally


AT_ONCE = [
    *itertools.product(FAULTS, FAST),
    *itertools.product(("404", "500", "short", "elsewhere", "retagged"), [RECORDS]),
]
"""Of records there is no more than documents, which have all faults in another kind."""


@pytest.mark.parametrize(("fault", "kind"), AT_ONCE)
def test_any_fault_ends_in_an_error_or_in_right_bytes(fault: str, kind: str, shelf: Shelf) -> None:
    seeds = range(4)
    judge(hunt(shelf, fault, kind, seeds), fault, kind, seeds)


@pytest.mark.scale
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", FAULTS)
def test_any_fault_of_any_seed_ends_in_an_error_or_in_right_bytes(
    fault: str, kind: str, shelf: Shelf
) -> None:
    # icechunk cuts a stalled transfer from S3 after a whole second, not before.
    seeds = range(4 if (fault, kind) == ("stall", KINDS[-1]) else 200)
    judge(hunt(shelf, fault, kind, seeds), fault, kind, seeds)


@pytest.mark.parametrize("planned", [True, False])
def test_flipped_bit_hides_only_where_nothing_is_compressed_or_checked(
    planned: bool, shelf: Shelf
) -> None:
    """The named exception, counted: of each variable, the runs in which a flip went unseen."""
    kind, archive, unseen = FAST[0], shelf.archive, Counter[str]()
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


def test_nearly_all_requests_to_a_busy_archive_succeed(tmp_path: Path) -> None:
    assert share_of_success(tmp_path, 0.05, 1500) >= 0.999


@pytest.mark.scale
def test_requests_to_a_busy_archive_succeed_by_the_ten_thousands(tmp_path: Path) -> None:
    assert share_of_success(tmp_path, 0.05, 20_000) >= 0.999
    assert share_of_success(tmp_path, 0.01, 20_000) == 1


@pytest.mark.parametrize("kind", FAST)
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
