"""Stores in zip files: what zarr's own ZipStore wrote is read, and nothing they say is believed."""

import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from kerchunk.df import refs_to_dataframe
from servers import file_server, upload
from systems.kits import ask, raw, request, same_bits, services
from world import kerchunk_references, write_days, write_granule
from zarr.storage import ZipStore

from harmony_vds.discovery.links import links_of
from harmony_vds.discovery.urls import StoreUrl
from harmony_vds.errors import StoreError
from harmony_vds.model.store import ManifestFormat, StoreLocation, VirtualStore
from harmony_vds.pipeline import Services
from harmony_vds.stores.open import open_store
from harmony_vds.stores.reading import Reading

BOX = (-30.0, -20.0, 40.0, 35.0)
VALUES = np.arange(60 * 50, dtype="<f4").reshape(60, 50)


def opened(href: str, using: Services | None = None, group: str = "") -> VirtualStore:
    access = (using or services(trusted=("file:///",))).access
    return open_store([StoreLocation(href, ManifestFormat.ZIP, group=group)], access)


def write_array(path: Path, version: int = 3, **more: Any) -> Path:
    """One array in chunks of 10 by 20, of which one was never written; a group below the root."""
    kinds = {"compression": more.pop("compression", zipfile.ZIP_STORED)}
    with warnings.catch_warnings(), ZipStore(path, mode="w", **kinds) as store:
        warnings.simplefilter("ignore")  # overwriting a member leaves the old one behind
        root = zarr.create_group(store, zarr_format=version, attributes={"title": "packed"})
        names = {"dimension_names": ("y", "x")} if version == 3 else {}
        made = {"shape": VALUES.shape, "dtype": VALUES.dtype, "chunks": (10, 20), **names, **more}
        for group in (root, root.create_group("inner")):
            array = group.create_array("data", **made, fill_value=-1.0)
            if version == 2:
                array.attrs["_ARRAY_DIMENSIONS"] = ["y", "x"]
            array[:20], array[20:, :40] = VALUES[:20], VALUES[20:, :40]
    return path


def expected() -> np.ndarray:
    return np.where(np.arange(50) < 40, VALUES, np.where(np.arange(60)[:, None] < 20, VALUES, -1))


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_array(tmp_path_factory.mktemp("packed") / "store.zarr.zip")


def refused(path: Path) -> str:
    with pytest.raises(StoreError) as caught:
        np.asarray(opened(path.as_uri()).tree["data"])
    return str(caught.value)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("planned", [True, False])
@pytest.mark.parametrize("version", [2, 3, "shards"])
def test_values_are_those_that_zarr_wrote(
    version: int | str, planned: bool, compression: int, tmp_path: Path
) -> None:
    more = {"shards": (20, 40)} if version == "shards" else {}
    path = write_array(
        tmp_path / "store.zip", 2 if version == 2 else 3, compression=compression, **more
    )
    location = StoreLocation(path.as_uri(), ManifestFormat.ZIP)
    access = services(trusted=("file:///",)).access
    store = open_store([location], access, Reading(planned=planned))
    with ZipStore(path, mode="r") as theirs:
        own = np.asarray(zarr.open_group(theirs, mode="r")["data"])
    for name in ("data", "inner/data"):
        found = np.asarray(store.tree[name])
        assert same_bits(found, expected())
        assert same_bits(found, own)
    assert store.tree.attrs["title"] == "packed"
    part = np.asarray(store.tree["data"].isel(y=slice(15, 33), x=[3, 45]))
    assert same_bits(part, expected()[15:33][:, [3, 45]])


def test_chunks_that_were_never_written_are_known_before_anything_is_read(packed: Path) -> None:
    index = opened(packed.as_uri()).chunk_index("/data")
    assert (index.kinds == 0).tolist() == [[False, False, n >= 2] for n in range(6)]
    assert index.locations == (packed.as_uri(),)


@pytest.mark.parametrize("consolidated", [True, False])
@pytest.mark.parametrize("version", [2, 3])
def test_subset_over_http_equals_the_granule_and_fetches_what_was_told(
    version: int, consolidated: bool, tmp_path: Path
) -> None:
    granule = write_granule(tmp_path / "day.nc", 0)
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    dataset = xr.open_dataset(granule, decode_cf=False, engine="netcdf4").load()
    for variable in dataset.variables.values():
        chunks = variable.encoding.get("chunksizes")
        variable.encoding = {"chunks": chunks} if chunks else {}
    with warnings.catch_warnings(), ZipStore(shelf / "day.zarr.zip", mode="w") as store:
        warnings.simplefilter("ignore")
        dataset.to_zarr(store, zarr_format=version, consolidated=consolidated)
    with file_server(shelf) as server, services(trusted=(f"{server.url}/",)) as using:
        href = f"{server.url}/day.zarr.zip"
        answer = ask(request(["/analysed_sst"], BOX), href, using, tmp_path / "out")
    lat, lon = raw(granule, "lat"), raw(granule, "lon")
    rows = np.flatnonzero((lat >= BOX[1]) & (lat <= BOX[3]))
    columns = np.flatnonzero((lon >= BOX[0]) & (lon <= BOX[2]))
    wanted = raw(granule, "analysed_sst")[:, rows][:, :, columns]
    assert same_bits(raw(answer.path, "analysed_sst"), wanted)


def test_bucket_serves_a_zip_file_like_any_other(s3: str, packed: Path) -> None:
    upload(s3, "zipped", packed.parent, "")
    using = services(trusted=("s3://zipped/",), s3=s3)
    store = opened("s3://zipped/store.zarr.zip", using)
    assert same_bits(np.asarray(store.tree["data"]), expected())


def test_neighbouring_chunks_come_with_one_request(packed: Path) -> None:
    with file_server(packed.parent) as server, services(trusted=(f"{server.url}/",)) as using:
        store = opened(f"{server.url}/{packed.name}", using)
        server.forget()
        np.asarray(store.tree["data"].isel(y=slice(0, 20)))
        assert len(server.asked) == 1


def test_path_inside_names_a_store_or_one_of_its_groups(packed: Path, tmp_path: Path) -> None:
    assert set(opened(packed.as_uri(), group="inner").tree.data_vars) == {"data"}
    with zipfile.ZipFile(packed) as inside, zipfile.ZipFile(tmp_path / "two.zip", "w") as outside:
        for name in inside.namelist():
            if name not in outside.namelist():
                for folder in ("one", "a/b"):
                    outside.writestr(f"{folder}/{name}", inside.read(name))
    two = (tmp_path / "two.zip").as_uri()
    assert same_bits(np.asarray(opened(two, group="a/b").tree["data"]), expected())
    assert same_bits(np.asarray(opened(two, group="a/b/inner").tree["data"]), expected())
    with pytest.raises(StoreError, match=r"a/, one/.*\|zip:FOLDER"):
        opened(two)


def test_only_folder_at_the_top_is_the_store(packed: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(packed) as inside, zipfile.ZipFile(tmp_path / "x.zip", "w") as outside:
        for name in dict.fromkeys(inside.namelist()):
            outside.writestr(f"store.zarr/{name}", inside.read(name))
    tree = opened((tmp_path / "x.zip").as_uri()).tree
    assert same_bits(np.asarray(tree["data"]), expected())


def test_extra_fields_and_something_before_the_first_member_are_allowed_for(
    packed: Path, tmp_path: Path
) -> None:
    path = tmp_path / "store.zip"
    path.write_bytes(b"#!a program\n" * 9)
    with zipfile.ZipFile(packed) as inside, zipfile.ZipFile(path, "a") as outside:
        for name in dict.fromkeys(inside.namelist()):
            own = zipfile.ZipInfo(name)
            own.extra = struct.pack("<HH20s", 0x7875, 20, b"x" * 20)
            with outside.open(own, "w", force_zip64=True) as member:
                member.write(inside.read(name))
    assert same_bits(np.asarray(opened(path.as_uri()).tree["data"]), expected())


def as_zip64(body: bytes) -> bytes:
    """A zip file whose end leads to a record of 64-bit numbers, as where there are very many."""
    end = body.rindex(b"PK\x05\x06")
    count, size, start = struct.unpack_from("<HII", body, end + 10)
    record = struct.pack(
        "<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, start
    )  # fmt: skip
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1)
    full, longer = 2**16 - 1, 2**32 - 1
    closing = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, full, full, longer, longer, 0)
    return body[:end] + record + locator + closing


def test_zip64_table_is_read(packed: Path, tmp_path: Path) -> None:
    path = tmp_path / "store.zip"
    path.write_bytes(as_zip64(packed.read_bytes()))
    with zipfile.ZipFile(packed) as short, zipfile.ZipFile(path) as long:
        assert long.namelist() == short.namelist()
    assert same_bits(np.asarray(opened(path.as_uri()).tree["data"]), expected())


@pytest.mark.parametrize("inside", ["", "refs.parq/"])
def test_parquet_references_in_a_zip_file_read_as_the_granules(inside: str, tmp_path: Path) -> None:
    days = write_days(tmp_path / "days", 2)
    folder = tmp_path / "refs.parq"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refs_to_dataframe(kerchunk_references(days), str(folder), record_size=7)
    path = tmp_path / "refs.parq.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packing:
        for own in sorted(p for p in folder.rglob("*") if p.is_file()):
            packing.write(own, f"{inside}{own.relative_to(folder)}")
    found = np.asarray(opened(path.as_uri()).tree["analysed_sst"])
    assert same_bits(found, np.concatenate([raw(day, "analysed_sst") for day in days]))


# ---------------------------------------------------------------- attacks


def edited(packed: Path, path: Path, change: Callable[[bytearray], None]) -> Path:
    body = bytearray(packed.read_bytes())
    change(body)
    path.write_bytes(body)
    return path


def entry(body: bytearray, name: str) -> int:
    """Where the last entry of the table of contents for `name` begins."""
    at = body.rindex(name.encode()) - 46
    while body[at : at + 4] != b"PK\x01\x02":
        at = body.rindex(name.encode(), 0, at + 46) - 46
    return at


def lying_size(body: bytearray) -> None:
    struct.pack_into("<I", body, entry(body, "data/c/0/0") + 24, 2**31)


def lying_length(body: bytearray) -> None:
    struct.pack_into("<I", body, entry(body, "data/c/0/0") + 20, 2**30)


def shorter_length(body: bytearray) -> None:
    at = entry(body, "data/c/0/0") + 20
    struct.pack_into("<I", body, at, struct.unpack_from("<I", body, at)[0] - 4)


def overlapping(body: bytearray) -> None:
    first, second = entry(body, "inner/data/c/0/0"), entry(body, "inner/data/c/0/1")
    body[second + 42 : second + 46] = body[first + 42 : first + 46]


def other_member(body: bytearray) -> None:
    """The headers of two members name each other's data."""
    one, two = entry(body, "inner/data/c/0/0"), entry(body, "inner/data/c/1/0")
    for place in (16, 20, 24, 42):
        a, b = (
            bytes(body[one + place : one + place + 4]),
            bytes(body[two + place : two + place + 4]),
        )
        body[one + place : one + place + 4], body[two + place : two + place + 4] = b, a


def climbing(body: bytearray) -> None:
    at = entry(body, "inner/data/c/0/0") + 46
    body[at : at + 8] = b"inne/../"


def flipped(body: bytearray) -> None:
    """One bit of a chunk."""
    body[body.index(b"data/c/0/0") + 30] ^= 1


def encrypted(body: bytearray) -> None:
    body[entry(body, "data/c/0/0") + 8] |= 1


def without_end(body: bytearray) -> None:
    del body[-30:]


def distant(body: bytearray) -> None:
    struct.pack_into("<I", body, entry(body, "data/c/0/0") + 42, 2**31)


def endless(body: bytearray) -> None:
    struct.pack_into("<I", body, len(body) - 10, 2**30)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lying_size, "2,147,483,648 bytes unpacked, more than"),
        (lying_length, "overlap"),
        (overlapping, "overlap"),
        (distant, "overlap, or reach out of it"),
        (climbing, "leads out of it"),
        (without_end, "no zip file"),
        (endless, "no zip file"),
    ],
)
def test_table_of_contents_that_lies_is_refused(
    change: Callable[[bytearray], None], told: str, packed: Path, tmp_path: Path
) -> None:
    assert told in refused(edited(packed, tmp_path / "x.zip", change))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (flipped, "data/c/0/0 is not what its table of contents says"),
        (shorter_length, "data/c/0/0 is not what its table of contents says"),
        (other_member, "wrong about its member inner/data/c/[01]/0"),
        (encrypted, "data/c/0/0 is encrypted"),
    ],
)
@pytest.mark.parametrize("planned", [True, False])
def test_chunk_that_is_not_what_the_table_says_is_an_error(
    change: Callable[[bytearray], None], told: str, planned: bool, packed: Path, tmp_path: Path
) -> None:
    path = edited(packed, tmp_path / "x.zip", change)
    access = services(trusted=("file:///",)).access
    location = StoreLocation(path.as_uri(), ManifestFormat.ZIP)
    store = open_store([location], access, Reading(planned=planned))
    name = "inner/data" if change is other_member else "data"
    with pytest.raises(StoreError, match=told):
        np.asarray(store.tree[name])


def test_bomb_is_unpacked_no_further_than_its_chunk(packed: Path, tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with (
        zipfile.ZipFile(packed) as inside,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as outside,
    ):
        for name in dict.fromkeys(inside.namelist()):
            body = bytes(2**24) if name == "data/c/0/0" else inside.read(name)
            outside.writestr(name, body)
    assert "16,777,216 bytes unpacked, more than" in refused(path)
    body = bytearray(path.read_bytes())
    struct.pack_into("<I", body, entry(body, "data/c/0/0") + 24, 800)
    path.write_bytes(body)
    assert "data/c/0/0 is not what its table of contents says" in refused(path)


def test_table_beyond_all_bounds_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with path.open("wb") as file:
        file.truncate(2**28)
        file.seek(2**28)
        file.write(struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 9, 9, 2**27, 2**26, 0))
    with pytest.raises(StoreError, match="134,217,728 bytes; at most"):
        opened(path.as_uri())


def test_address_of_a_folder_in_a_zip_file_is_taken_for_a_store() -> None:
    url = "https://h.nasa.gov/data/store.zip|zip:inner/path"
    (link,) = links_of([{"URL": url, "Type": "GET DATA"}], "x")
    assert link.is_store
    own = StoreUrl.of(link.url)
    assert (own.kind, own.group) == (str(ManifestFormat.ZIP), "inner/path")
