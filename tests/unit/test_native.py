"""Native Zarr over files, http and S3: what xarray wrote is read, priced, and never made up."""

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from aiohttp import web
from servers import Asked, file_server, ranged, s3_client, serve, upload
from systems.kits import ask, raw, request, same_bits, services
from world import write_granule

from harmony_vds.access.fetch import RetryPolicy
from harmony_vds.errors import ForbiddenError, StoreError, UpstreamError
from harmony_vds.model.store import ManifestFormat, StoreLocation, VirtualStore
from harmony_vds.pipeline import Services, fulfil, prepare
from harmony_vds.stores.open import open_store

UNWRITTEN = {2: -32768, 3: 0}
"""What xarray lets chunks read as that were never written."""
BOX = (-30.0, -20.0, 40.0, 35.0)


@pytest.fixture(scope="module")
def granule(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_granule(tmp_path_factory.mktemp("granule") / "day.nc", 0)


def write_zarr(granule: Path, folder: Path, version: int = 3, *, consolidated: bool = True) -> Path:
    """The granule as xarray writes it, in chunks of 12 by 24, with a group below the root."""
    dataset = xr.open_dataset(granule, decode_cf=False, engine="netcdf4").load()
    for variable in dataset.variables.values():
        chunks = variable.encoding.get("chunksizes")
        variable.encoding = {"chunks": chunks} if chunks else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.to_zarr(folder, mode="w", zarr_format=version, consolidated=False)
        dataset[["analysed_sst"]].to_zarr(
            folder, mode="a", group="inner", zarr_format=version, consolidated=False
        )
        if consolidated:
            zarr.consolidate_metadata(folder, zarr_format=version)
    return folder


def opened(href: str, using: Services, group: str = "") -> VirtualStore:
    location = StoreLocation(href, ManifestFormat.ZARR, group=group)
    return open_store([location], using.access)


def quick(using: Services) -> Services:
    fetcher = replace(using.access.fetcher, policy=RetryPolicy(attempts=2, first_wait=0.01))
    return replace(using, access=replace(using.access, fetcher=fetcher))


def chunk_requests(asked: list[Asked]) -> list[Asked]:
    """Requests for chunks: not for metadata, and not for one byte to learn a length."""
    found = [own for own in asked if own.path.rpartition("/")[2][0] not in ".z"]
    return [own for own in found if own.headers.get("Range") != "bytes=0-0"]


def range_length(own: Asked) -> int:
    first, _, last = own.headers["Range"].removeprefix("bytes=").partition("-")
    return int(last) - int(first) + 1


def sst_chunks(folder: Path, version: int) -> list[Path]:
    if version == 3:
        return sorted(p for p in (folder / "analysed_sst" / "c").rglob("*") if p.is_file())
    return sorted(p for p in (folder / "analysed_sst").iterdir() if p.name[0] != ".")


@pytest.mark.parametrize("consolidated", [True, False])
@pytest.mark.parametrize("version", [2, 3])
def test_subset_equals_the_granule_whatever_the_version(
    version: int, consolidated: bool, granule: Path, tmp_path: Path
) -> None:
    store = write_zarr(granule, tmp_path / "store", version, consolidated=consolidated)
    using = services(trusted=("file:///",))
    answer = ask(request(["/analysed_sst", "mask"], BOX), store.as_uri(), using, tmp_path / "out")
    lat, lon = raw(granule, "lat"), raw(granule, "lon")
    rows = np.flatnonzero((lat >= BOX[1]) & (lat <= BOX[3]))
    columns = np.flatnonzero((lon >= BOX[0]) & (lon <= BOX[2]))
    for name in ("analysed_sst", "mask"):
        expected = raw(granule, name)[:, rows][:, :, columns]
        assert same_bits(answer.read(name), expected)


@pytest.mark.parametrize("version", [2, 3])
def test_every_value_attribute_and_group_is_as_written(
    version: int, granule: Path, tmp_path: Path
) -> None:
    store = write_zarr(granule, tmp_path / "store", version)
    with services(trusted=("file:///",)) as using:
        found = opened(store.as_uri(), using)
        assert same_bits(found.tree["inner/analysed_sst"].values, raw(granule, "analysed_sst"))
        for name, variable in found.tree.to_dataset().variables.items():
            assert same_bits(np.asarray(variable.values), raw(granule, str(name)))
        assert found.tree["analysed_sst"].attrs["_FillValue"] == -32768
        assert found.tree["mask"].attrs.get("_FillValue") is None
        part = opened(store.as_uri(), using, "inner")
        assert same_bits(part.tree["analysed_sst"].values, raw(granule, "analysed_sst"))


def test_price_over_http_is_what_is_then_fetched(granule: Path, tmp_path: Path) -> None:
    write_zarr(granule, tmp_path / "store")
    with file_server(tmp_path) as server, services(trusted=(server.url,)) as using:
        wanted = request(["/analysed_sst"], BOX)
        prepared = prepare(wanted, using, f"{server.url}/store")
        cost = prepared[0].plan.cost
        before = chunk_requests(server.asked)
        assert not any("analysed_sst" in own.path for own in before)
        fulfil(prepared, tmp_path / "out", using)
        sent = chunk_requests(server.asked)[len(before) :]
    assert cost.requests == len(sent)
    assert cost.bytes_read == sum((tmp_path / own.path[1:]).stat().st_size for own in sent)
    assert not any("upper bound" in note for note in prepared[0].plan.notes)


def test_web_server_without_consolidated_metadata_is_refused_with_what_to_publish(
    granule: Path, tmp_path: Path
) -> None:
    write_zarr(granule, tmp_path / "store", consolidated=False)
    with (
        file_server(tmp_path) as server,
        services(trusted=(server.url,)) as using,
        pytest.raises(StoreError, match="consolidate_metadata"),
    ):
        opened(f"{server.url}/store", using)


@pytest.mark.parametrize("consolidated", [True, False])
def test_store_in_a_bucket_is_read(
    consolidated: bool, granule: Path, s3: str, tmp_path: Path
) -> None:
    write_zarr(granule, tmp_path / "store", consolidated=consolidated)
    bucket = f"native-{str(consolidated).lower()}"
    upload(s3, bucket, tmp_path / "store", "some/store/")
    s3_client(s3).put_bucket_acl(Bucket=bucket, ACL="public-read")
    with services(trusted=(f"s3://{bucket}/",), s3=s3) as using:
        found = opened(f"s3://{bucket}/some/store", using)
        assert same_bits(found.tree["analysed_sst"].values, raw(granule, "analysed_sst"))


@pytest.mark.parametrize("version", [2, 3])
def test_chunk_that_does_not_exist_is_fill_and_counted(
    version: int, granule: Path, tmp_path: Path
) -> None:
    store = write_zarr(granule, tmp_path / "store", version)
    sst_chunks(store, version)[0].unlink()
    using = services(trusted=("file:///",))
    answer = ask(request(["/analysed_sst"]), store.as_uri(), using, tmp_path / "out")
    expected = raw(granule, "analysed_sst").copy()
    expected[0, :12, :24] = UNWRITTEN[version]
    assert same_bits(answer.read("analysed_sst"), expected)
    assert answer.prepared.plan.cost.missing == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [(403, ForbiddenError), (401, ForbiddenError), (500, UpstreamError), (503, UpstreamError)],
)
@pytest.mark.parametrize("when", ["priced", "read"])
def test_chunk_that_is_refused_or_fails_is_an_error_and_never_fill(
    status: int, error: type, when: str, granule: Path, tmp_path: Path
) -> None:
    write_zarr(granule, tmp_path / "store")
    failing = False

    async def answer(asked: web.Request) -> web.StreamResponse:
        path = tmp_path / asked.path.lstrip("/")
        if failing and "analysed_sst/c/0/1" in asked.path:
            return web.Response(status=status, text="no")
        return ranged(path.read_bytes(), asked) if path.is_file() else web.Response(status=404)

    with serve(answer) as server, services(trusted=(server.url,)) as patient:
        using, wanted = quick(patient), request(["/analysed_sst"])
        failing = when == "priced"
        if when == "priced":
            with pytest.raises(error):
                prepare(wanted, using, f"{server.url}/store")
            return
        prepared = prepare(wanted, using, f"{server.url}/store")
        failing = True
        with pytest.raises(error):
            fulfil(prepared, tmp_path / "out", using)


def test_chunk_that_vanishes_after_it_was_priced_is_an_error(granule: Path, tmp_path: Path) -> None:
    store = write_zarr(granule, tmp_path / "store")
    with services(trusted=("file:///",)) as using:
        prepared = prepare(request(["/analysed_sst"]), using, store.as_uri())
        sst_chunks(store, 3)[0].unlink()
        with pytest.raises(StoreError, match="lost its chunk"):
            fulfil(prepared, tmp_path / "out", using)


def test_beyond_many_chunks_the_price_is_a_bound_and_says_so(tmp_path: Path) -> None:
    array = zarr.create_group(tmp_path / "store", zarr_format=3).create_array(
        "field", shape=(30, 100), chunks=(1, 1), dtype="i2", dimension_names=("y", "x"),
        fill_value=-7,
    )  # fmt: skip
    array[3, 40:50] = np.arange(10)
    using = services(trusted=("file:///",))
    answer = ask(request(["field"]), (tmp_path / "store").as_uri(), using, tmp_path / "out")
    plan = answer.prepared.plan
    assert any("/field is an upper bound" in note for note in plan.notes)
    stored = [p.stat().st_size for p in (tmp_path / "store/field/c").rglob("*") if p.is_file()]
    assert len(stored) == 10
    assert plan.cost.chunks == 3000
    assert plan.cost.bytes_read >= sum(stored)
    expected = np.full((30, 100), -7, "<i2")
    expected[3, 40:50] = np.arange(10)
    assert same_bits(answer.read("field"), expected)


def sharded(folder: Path) -> np.ndarray:
    values = np.arange(64 * 64, dtype="<i4").reshape(64, 64)
    root = zarr.create_group(folder, zarr_format=3)
    root.create_array(
        "field", shape=(64, 64), chunks=(8, 8), shards=(32, 32), dtype="i4",
        dimension_names=("y", "x"),
    )[:] = values  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(folder)
    return values


def test_of_shards_only_the_wanted_parts_are_read(tmp_path: Path) -> None:
    values = sharded(tmp_path / "store")
    with file_server(tmp_path) as server, services(trusted=(server.url,)) as using:
        found = opened(f"{server.url}/store", using)
        cut = found.tree["field"][40:44, 3:6].values
        sent = sum(range_length(own) for own in server.asked if "/field/c/" in own.path)
        assert np.array_equal(cut, values[40:44, 3:6])
        shard = (tmp_path / "store/field/c/1/0").stat().st_size
        assert 0 < sent < shard / 4
        assert "shards" in str(found.doubt("/field"))
        assert np.array_equal(found.tree["field"].values, values)


def test_damaged_shard_is_an_error(tmp_path: Path) -> None:
    sharded(tmp_path / "store")
    path = tmp_path / "store/field/c/0/0"
    body = bytearray(path.read_bytes())
    body[-12:] = b"\xff" * 12
    path.write_bytes(body)
    with services(trusted=("file:///",)) as using:
        found = opened((tmp_path / "store").as_uri(), using)
        with pytest.raises(Exception, match=r"(?i)checksum|crc|points to"):
            found.tree["field"].load()


def test_chunks_of_varying_length_are_read(tmp_path: Path) -> None:
    root = zarr.create_group(tmp_path / "store", zarr_format=3)
    values = np.arange(35, dtype="i4").reshape(5, 7)
    with zarr.config.set({"array.rectilinear_chunks": True}):
        root.create_array(
            "field", shape=(5, 7), chunks=[[2, 3], [4, 3]], dtype="i4", dimension_names=("y", "x")
        )[:] = values
    with services(trusted=("file:///",)) as using:
        found = opened((tmp_path / "store").as_uri(), using)
        assert np.array_equal(found.tree["field"][1:4, 3:6].values, values[1:4, 3:6])
        whole = found.chunk_index("/field", [range(5), range(7)]).tally([range(5), range(7)])
        assert whole.chunks == whole.requests == 4


def test_metadata_that_lead_out_of_the_store_are_refused(granule: Path, tmp_path: Path) -> None:
    store = write_zarr(granule, tmp_path / "store")
    document = json.loads((store / "zarr.json").read_text())
    members = document["consolidated_metadata"]["metadata"]
    members["../other/field"] = members["lat"]
    (store / "zarr.json").write_text(json.dumps(document))
    with services(trusted=("file:///",)) as using, pytest.raises(StoreError, match="no path"):
        opened(store.as_uri(), using)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({}, "no Zarr group"),
        ({"zarr.json": "{"}, "not JSON"),
        ({"zarr.json": "[]"}, "no JSON object"),
        ({"zarr.json": '{"node_type":"array"}'}, "single array"),
        ({"zarr.json": '{"node_type":"group","consolidated_metadata":{"metadata":3}}'},
         "cannot be used"),
        ({".zmetadata": '{"metadata":[]}'}, "cannot be used"),
        ({"zarr.json": '{"node_type":' * 9_000 + "1" + "}" * 9_000}, "not JSON"),
    ],
)  # fmt: skip
def test_folder_that_is_no_store_is_refused(
    files: dict[str, str], told: str, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with services(trusted=("file:///",)) as using, pytest.raises(StoreError, match=told):
        opened(tmp_path.as_uri(), using)


def test_array_with_an_unknown_codec_leaves_the_others_readable(
    granule: Path, tmp_path: Path
) -> None:
    store = write_zarr(granule, tmp_path / "store", consolidated=False)
    document: dict[str, Any] = json.loads((store / "mask" / "zarr.json").read_text())
    document["codecs"].append({"name": "evil"})
    (store / "mask" / "zarr.json").write_text(json.dumps(document))
    with services(trusted=("file:///",)) as using:
        found = opened(store.as_uri(), using)
        assert "'evil'" in found.defects["/mask"]
        assert same_bits(found.tree["analysed_sst"].values, raw(granule, "analysed_sst"))
        with pytest.raises(StoreError, match="evil"):
            prepare(request(["mask"]), using, store.as_uri())


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("names", [None, ("x",), ("x", None), ("x", "x")])
def test_array_whose_dimensions_have_no_names_of_their_own_is_refused_alone(
    version: int, names: Any, tmp_path: Path
) -> None:
    root = zarr.create_group(tmp_path / "store", zarr_format=version)
    root.create_array("scalar", shape=(), dtype="i2", fill_value=4)
    field = root.create_array("field", shape=(2, 3), chunks=(2, 3), dtype="i2")
    document = tmp_path / "store" / "field" / ("zarr.json" if version == 3 else ".zattrs")
    described = json.loads(document.read_text()) if document.is_file() else {}
    if names is not None:
        described["dimension_names" if version == 3 else "_ARRAY_DIMENSIONS"] = names
        document.write_text(json.dumps(described))
    if version == 2:
        (tmp_path / "store" / "scalar" / ".zattrs").write_text('{"_ARRAY_DIMENSIONS":[]}')
    assert field.shape == (2, 3)
    with services(trusted=("file:///",)) as using:
        found = opened((tmp_path / "store").as_uri(), using)
        assert "dimensions" in found.defects["/field"]
        assert found.tree["scalar"].values == 4


def test_store_is_pinned_by_its_metadata(granule: Path, tmp_path: Path) -> None:
    store = write_zarr(granule, tmp_path / "store", 2)
    with services(trusted=("file:///",)) as using:
        first = opened(store.as_uri(), using).location.snapshot
        assert opened(store.as_uri(), using).location.snapshot == first
        shutil.rmtree(store / "inner")
        zarr.consolidate_metadata(store, zarr_format=2)
        assert opened(store.as_uri(), using).location.snapshot != first
