"""Missing references are fill and told; a source that cannot be read, or changed, is an error."""

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import icechunk
import netCDF4
import numpy as np
import pytest
from aiohttp import web
from servers import file_server, s3_client, serve
from systems.kits import (
    BUCKET,
    FORMS,
    Place,
    ask,
    place,
    raw,
    request,
    root_attributes,
    same_bits,
    services,
    write_store,
)
from world import FILL, write_days

from harmony_vds.access.fetch import RetryPolicy
from harmony_vds.catalog import output_catalog
from harmony_vds.errors import (
    ForbiddenError,
    MissingSourceError,
    StaleSourceError,
    StoreError,
    UpstreamError,
    VdsError,
)
from harmony_vds.pipeline import Services, fulfil, prepare
from harmony_vds.staging import StagedOutput

pytestmark = pytest.mark.usefixtures("reader")

LOST = (1, 0, 2)
"""A chunk of analysed_sst: second day, southern row, eastern column of 12 x 24 cells."""


def lose_reference(form: str, store: Path) -> None:
    """Take one chunk out of a manifest, as a publisher's broken run would."""
    if form == "icechunk":
        session = icechunk.Repository.open(
            icechunk.local_filesystem_storage(str(store))
        ).writable_session("main")
        from zarr.core.sync import sync

        sync(session.store.delete(f"analysed_sst/c/{'/'.join(map(str, LOST))}"))
        session.commit("a chunk is lost")
        return
    document = json.loads(store.read_text())
    del document["refs"][f"analysed_sst/{'.'.join(map(str, LOST))}"]
    store.write_text(json.dumps(document))


@pytest.mark.parametrize("form", FORMS)
def test_missing_reference_is_counted_told_everywhere_and_reads_as_fill(
    form: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = write_days(tmp_path / "granules", 2)
    shelf = tmp_path / "stores"
    shelf.mkdir()
    with place("file", files[0].parent, shelf) as there:
        store = write_store(form, files, shelf, there.granules, inline=0)
        lose_reference(form, shelf / store)
        caplog.set_level(logging.INFO, logger="harmony_vds")
        answer = ask(
            request(("analysed_sst",)), there.stores + store, services(there), tmp_path / "out"
        )
    expected = np.concatenate([raw(own, "analysed_sst") for own in files])
    assert (expected[1, :12, 48:] != FILL).any(), "the lost chunk must have held data"
    expected[1, :12, 48:] = FILL
    assert same_bits(answer.read("analysed_sst"), expected)

    # Two days of nine chunks of two variables, and the grid mapping's.
    plan = answer.prepared.plan
    assert plan.cost.missing == 1
    assert "1 of them not in the manifest" in str(plan)
    assert plan.as_json()["cost"]["missing"] == 1  # type: ignore[index]
    assert any(
        own.levelno == logging.WARNING
        and "1 of 37 chunks are not in the manifest" in own.getMessage()
        for own in caplog.records
    )
    told = root_attributes(answer.path)
    assert told["virtual_store_missing_chunks"] == 1
    assert "1 of the 37 chunks read are not in the manifest" in told["virtual_store_notes"]
    staged = StagedOutput("out.nc4", "s3://staging/out.nc4", answer.output)
    item = next(output_catalog([staged], [plan], "r").get_items())
    assert item.properties["virtual_store:missing_chunks"] == 1


@pytest.mark.parametrize("form", FORMS)
def test_complete_manifest_reports_nothing_missing(form: str, tmp_path: Path) -> None:
    """A grid mapping's value, which no file holds, is not missing data."""
    files = write_days(tmp_path / "granules", 2)
    with place("file", files[0].parent, tmp_path) as there:
        store = write_store(form, files, tmp_path, there.granules)
        answer = ask(request(), there.stores + store, services(there), tmp_path / "out")
    assert answer.prepared.plan.cost.missing == answer.output.missing == 0
    assert root_attributes(answer.path)["virtual_store_missing_chunks"] == 0


@pytest.mark.parametrize("form", FORMS)
def test_chunk_that_the_source_never_wrote_reads_as_in_the_source(
    form: str, tmp_path: Path
) -> None:
    """A sparse file: only the first of two chunks was ever written."""
    granule = tmp_path / "granules" / "sparse.nc"
    granule.parent.mkdir()
    with netCDF4.Dataset(granule, "w") as nc:
        nc.createDimension("x", 8)
        field = nc.createVariable("field", "f4", ("x",), fill_value=-9999.0, chunksizes=(4,))
        field[:4] = np.arange(4)
    with place("file", granule.parent, tmp_path) as there:
        store = write_store(form, [granule], tmp_path, there.granules, along=None)
        answer = ask(request(("field",)), there.stores + store, services(there), tmp_path / "out")
    truth = raw(granule, "field")
    assert truth.tolist() == [0, 1, 2, 3, -9999, -9999, -9999, -9999]
    assert same_bits(answer.read("field"), truth)
    assert answer.output.missing == 1


# ---------------------------------------------------------------- sources that cannot be read


def impatient(using: Services) -> Services:
    """Services that try twice and hardly wait."""
    fetcher = replace(using.access.fetcher, policy=RetryPolicy(2, 2.0, 0.01, 0.01))
    return replace(using, access=replace(using.access, fetcher=fetcher))


def remove(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    os.truncate(path, 7_000)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scheme", ["file", "http"])
@pytest.mark.parametrize("harm, expected", [(remove, MissingSourceError), (truncate, StoreError)])
def test_harmed_source_file_is_an_error_and_never_fill(
    harm: Callable[[Path], None], expected: type[VdsError], scheme: str, form: str, tmp_path: Path
) -> None:
    files = write_days(tmp_path / "granules", 2)
    shelf = tmp_path / "stores"
    shelf.mkdir()
    with place(scheme, files[0].parent, shelf) as there:
        store = write_store(form, files, shelf, there.granules, inline=0)
        stamp = files[1].stat().st_mtime_ns
        harm(files[1])
        if files[1].exists():
            os.utime(files[1], ns=(stamp, stamp))  # only its length gives it away
        with impatient(services(there)) as using:
            prepared = prepare(request(("analysed_sst",)), using, there.stores + store)
            with pytest.raises(expected, match=r"sst_002\.nc"):
                fulfil(prepared, tmp_path / "out", using)


def test_object_removed_from_s3_is_an_error(s3: str, tmp_path: Path) -> None:
    files = write_days(tmp_path / "removed", 2)
    shelf = tmp_path / "stores"
    shelf.mkdir()
    with place("s3", files[0].parent, shelf, s3) as there:
        store = write_store("kerchunk", files, shelf, there.granules, inline=0)
        there.publish()
        s3_client(s3).delete_object(Bucket=BUCKET, Key="removed/sst_002.nc")
        with impatient(services(there)) as using:
            prepared = prepare(request(("analysed_sst",)), using, there.stores + store)
            with pytest.raises(MissingSourceError, match=r"sst_002\.nc"):
                fulfil(prepared, tmp_path / "out", using)


@pytest.mark.parametrize(
    "fault, expected",
    [
        ("404", MissingSourceError),
        ("403", ForbiddenError),
        ("500", UpstreamError),
        ("short", UpstreamError),
        ("whole", StoreError),
        ("login", ForbiddenError),
    ],
)
def test_archive_that_answers_wrongly_is_an_error_and_never_fill(
    fault: str, expected: type[VdsError], tmp_path: Path
) -> None:
    files = write_days(tmp_path / "granules", 1)

    async def answer(asked: web.Request) -> web.StreamResponse:
        body = (files[0].parent / asked.path.lstrip("/")).read_bytes()
        wanted = asked.http_range
        part = body[wanted]
        headers = {"Content-Range": f"bytes {wanted.start}-{wanted.stop - 1}/{len(body)}"}
        if wanted.start < 6_500:  # coordinates arrive
            return web.Response(status=206, body=part, headers=headers)
        return {
            "404": lambda: web.Response(status=404),
            "403": lambda: web.Response(status=403),
            "500": lambda: web.Response(status=500),
            "short": lambda: web.Response(status=206, body=part[:-1], headers=headers),
            "whole": lambda: web.Response(status=200, body=body),
            "login": lambda: web.Response(text="<html>login</html>", content_type="text/html"),
        }[fault]()

    with serve(answer) as archive:
        base = f"{archive.url}/"
        store = write_store("kerchunk", files, tmp_path, base, inline=0)
        href = (tmp_path / store).as_uri()
        with impatient(services(trusted=(base, href))) as using:
            prepared = prepare(request(("analysed_sst",)), using, href)
            with pytest.raises(expected, match=r"sst_001\.nc"):
                fulfil(prepared, tmp_path / "out", using)


# ---------------------------------------------------------------- sources that have changed


def touch(files: list[Path], seconds: float) -> None:
    moment = time.time() + seconds
    os.utime(files[0], (moment, moment))


@pytest.mark.parametrize("scheme", ["file", "http"])
def test_source_changed_after_the_snapshot_is_stale(scheme: str, tmp_path: Path) -> None:
    """The bytes are the same: that they were written again is enough to distrust their places."""
    files = write_days(tmp_path / "granules", 1)
    shelf = tmp_path / "stores"
    shelf.mkdir()
    with place(scheme, files[0].parent, shelf) as there:
        store = write_store("icechunk", files, shelf, there.granules)
        touch(files, 60)
        with services(there) as using:
            prepared = prepare(request(("analysed_sst",)), using, there.stores + store)
            with pytest.raises(StaleSourceError, match=r"sst_001\.nc changed at"):
                fulfil(prepared, tmp_path / "out", using)


@pytest.mark.parametrize("scheme", ["file", "http"])
def test_source_older_than_the_snapshot_is_read(scheme: str, tmp_path: Path) -> None:
    files = write_days(tmp_path / "granules", 1)
    shelf = tmp_path / "stores"
    shelf.mkdir()
    with place(scheme, files[0].parent, shelf) as there:
        store = write_store("icechunk", files, shelf, there.granules)
        touch(files, -60)
        wanted = request(("analysed_sst",))
        answer = ask(wanted, there.stores + store, services(there), tmp_path / "out")
    assert same_bits(answer.read("analysed_sst"), raw(files[0], "analysed_sst"))


def test_store_published_elsewhere_than_its_granules_reads_both(tmp_path: Path) -> None:
    """A repository on one server whose references point to another one and to files."""
    files = write_days(tmp_path / "granules", 1)
    shelf = tmp_path / "stores"
    shelf.mkdir()
    store = write_store("icechunk", files, shelf, f"{files[0].parent.as_uri()}/")
    with file_server(shelf) as server:
        base = f"{server.url}/"
        elsewhere = Place("http", "", base, lambda: None, (base, files[0].parent.as_uri() + "/"))
        wanted = request(("mask",))
        answer = ask(wanted, base + store, services(elsewhere), tmp_path / "out")
    assert same_bits(answer.read("mask"), raw(files[0], "mask"))
