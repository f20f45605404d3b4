"""The price is what the archive's server is asked for: nothing before `fulfil`, then exactly that.

A real HTTP server hands the granules out and remembers every request. zarr asks for each chunk by
itself; the planned reader asks for neighbours together, gaps between them included in the price.
"""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import shapely
from servers import Asked, Server
from systems.kits import (
    FORMS,
    Answer,
    place,
    raw,
    request,
    same_bits,
    services,
    write_store,
)
from world import write_days

from harmony_vds.errors import NoDataError, UnsupportedError
from harmony_vds.model.formats import CSV, GEOTIFF, KERCHUNK, PARQUET, ZARR
from harmony_vds.model.places import Place
from harmony_vds.model.request import Request, TargetGrid
from harmony_vds.pipeline import fulfil, prepare

type Range = tuple[str, int, int]


def moment(granule: Path) -> datetime:
    """The time of a granule."""
    return datetime(1981, 1, 1, tzinfo=UTC) + timedelta(seconds=int(raw(granule, "time")[0]))


def range_of(asked: Asked) -> Range:
    """(path, first byte, length) of a request for part of a file."""
    found = re.fullmatch(r"bytes=(\d+)-(\d+)", asked.headers["Range"])
    assert found
    first, last = int(found[1]), int(found[2])
    return asked.path, first, last - first + 1


def chunks_in_file(path: Path, name: str) -> dict[tuple[int, ...], Range]:
    """Chunk number → where it lies, told by HDF5 itself."""
    import h5py

    with h5py.File(path) as file:
        variable = file[name]
        if variable.chunks is None:
            length = variable.id.get_storage_size()
            return {(0,) * variable.ndim: (f"/{path.name}", variable.id.get_offset(), length)}
        found = [variable.id.get_chunk_info(n) for n in range(variable.id.get_num_chunks())]
        return {
            tuple(o // c for o, c in zip(own.chunk_offset, variable.chunks, strict=True)):
                (f"/{path.name}", own.byte_offset, own.size)
            for own in found
        }  # fmt: skip


GAP = 4096
"""Most bytes between two chunks that the planned reader fetches together, by default."""


def assert_covers_once(asked: list[Range], touched: set[Range], reader: str) -> None:
    """Every chunk is asked for once, whole, and nothing that is not between two of them."""
    if reader == "zarr":
        assert Counter(asked) == Counter(touched)
        return
    held = set()
    for path, start, length in asked:
        inside = sorted(
            own for own in touched
            if own[0] == path and own[1] >= start and own[1] + own[2] <= start + length
        )  # fmt: skip
        assert inside, "a range without a chunk"
        assert not held & set(inside), "a chunk asked for twice"
        held |= set(inside)
        ends = [first + size for _, first, size in inside]
        assert (inside[0][1], ends[-1]) == (start, start + length)
        gaps = [after[1] - end for end, after in zip(ends, inside[1:], strict=False)]
        assert all(0 <= gap <= GAP for gap in gaps)
    assert held == touched


def assert_price_is_what_was_asked(seen: "Seen") -> None:
    cost = seen.answer.prepared.plan.cost
    assert cost.requests == len(seen.during)
    assert cost.bytes_read == sum(length for _, _, length in seen.during)


@dataclass
class Seen:
    """What the archive was asked for in the two moments."""

    before: list[Range]
    during: list[Range]
    answer: Answer


@contextmanager
def published(form: str, files: list[Path], folder: Path) -> Iterator[tuple[str, Server, object]]:
    folder.mkdir()
    with place("http", files[0].parent, folder) as there:
        store = write_store(form, files, folder, there.granules, inline=0)
        yield there.stores + store, there.servers[0], there


def watch(wanted: Request, form: str, files: list[Path], folder: Path) -> Seen:
    with published(form, files, folder / "stores") as (href, archive, there):
        with services(there) as using:  # type: ignore[arg-type]
            prepared = prepare(wanted, using, href)
            before = [range_of(own) for own in archive.asked]
            archive.forget()
            output = fulfil(prepared, folder / "out", using)[0]
            during = [range_of(own) for own in archive.asked]
        return Seen(before, during, Answer(prepared[0], output))


# 36 x 72 cells of 5 degrees in chunks of 12 x 24: three by three chunks to a day.
BOXES = {
    "inside": ((-60.0, -30.0, 60.0, 30.0), slice(12, 24), [*range(24, 48)]),
    "one cell": ((2.0, 2.0, 3.0, 3.0), slice(18, 19), [36]),
    "wrapped": ((170.0, -90.0, -150.0, -60.0), slice(0, 6), [70, 71, *range(6)]),
    "world": ((-180.0, -90.0, 180.0, 90.0), slice(0, 36), [*range(72)]),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("box", BOXES)
def test_archive_is_asked_for_exactly_what_was_priced(
    box: str, form: str, reader: str, tmp_path: Path
) -> None:
    files = write_days(tmp_path / "granules", 4)
    edges, rows, columns = BOXES[box]
    days = [moment(own) for own in files[1:3]]  # the range is closed
    seen = watch(request(("analysed_sst",), edges, days), form, files, tmp_path)

    touched = {
        chunk
        for path in files[1:3]
        for name in ("analysed_sst", "mask")  # an ancillary variable comes along
        for number, chunk in chunks_in_file(path, name).items()
        if number[1] in {row // 12 for row in range(*rows.indices(36))}
        and number[2] in {column // 24 for column in columns}
    }
    assert_covers_once(seen.during, touched, reader)
    assert_price_is_what_was_asked(seen)
    # Before, coordinates at most: VirtualiZarr's stores hold them, kerchunk's refer to them.
    coordinates = {
        chunk for name in ("lat", "lon") for chunk in chunks_in_file(files[0], name).values()
    }
    assert Counter(seen.before) == Counter(coordinates if form == "kerchunk" else ())
    expected = np.concatenate([raw(own, "analysed_sst") for own in files[1:3]])
    assert same_bits(seen.answer.read("analysed_sst"), expected[:, rows][:, :, columns])


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One granule whose 48 MiB are read in several blocks; a longitude row is one chunk wide."""
    path = tmp_path_factory.mktemp("large") / "large.nc"
    with netCDF4.Dataset(path, "w") as nc:
        for name, size in (("time", 12), ("lat", 1024), ("lon", 2048)):
            nc.createDimension(name, size)
            axis = nc.createVariable(name, "f8", (name,))
            axis[:] = {"time": np.arange(12), "lat": np.linspace(-89, 89, 1024),
                       "lon": -180 + (np.arange(2048) + 0.5) * 360 / 2048}[name]  # fmt: skip
        nc["time"].units = "hours since 2024-01-01"
        nc["lat"].units, nc["lon"].units = "degrees_north", "degrees_east"
        field = nc.createVariable("field", "i2", ("time", "lat", "lon"), compression="zlib",
                                  complevel=1, chunksizes=(4, 256, 2048))  # fmt: skip
        ramp = np.arange(2048, dtype=np.int16)
        for step in range(12):
            field[step] = ramp + np.arange(1024, dtype=np.int16)[:, None] + np.int16(step)
    return path


@pytest.mark.parametrize("form", ["icechunk", "kerchunk"])
def test_each_chunk_is_fetched_once_though_blocks_and_box_edges_share_it(
    form: str, reader: str, large: Path, tmp_path: Path
) -> None:
    """The box wraps around the edge of the data, and both its ends lie in the same chunks."""
    seen = watch(request(("field",), (1.0, -89.5, -1.0, 89.5)), form, [large], tmp_path)
    chunks = chunks_in_file(large, "field")
    assert_covers_once(seen.during, set(chunks.values()), reader)
    assert_price_is_what_was_asked(seen)
    cost = seen.answer.prepared.plan.cost
    assert cost.chunks == len(chunks)
    assert cost.bytes_written > 32 * 2**20  # more than one block
    lon = raw(large, "lon")
    columns = np.concatenate([np.flatnonzero(lon >= 1), np.flatnonzero(lon <= -1)])
    ours = seen.answer.read("field")
    assert same_bits(ours, raw(large, "field")[:, :, columns])


@pytest.mark.parametrize("form", FORMS)
def test_whole_store_costs_every_chunk_once(form: str, reader: str, tmp_path: Path) -> None:
    files = write_days(tmp_path / "granules", 3)
    seen = watch(request(), form, files, tmp_path)
    data = {
        chunk
        for path in files
        for name in ("analysed_sst", "mask")
        for chunk in chunks_in_file(path, name).values()
    }
    # crs was never written: its value is no chunk of anything.
    assert_covers_once(seen.during, data, reader)
    assert_price_is_what_was_asked(seen)


def test_native_chunks_of_a_repository_are_priced_and_fetched_once(
    reader: str, tmp_path: Path
) -> None:
    """A variable written into the repository itself lies in chunk objects of the store."""
    import icechunk
    import zarr

    shelf = tmp_path / "stores"
    shelf.mkdir()
    files = write_days(tmp_path / "granules", 1)
    with place("http", files[0].parent, shelf) as there:
        store = write_store("icechunk", files, shelf, there.granules)
        repository = icechunk.Repository.open(icechunk.local_filesystem_storage(str(shelf / store)))
        session = repository.writable_session("main")
        values = np.random.default_rng(1).integers(0, 30_000, (1, 36, 72)).astype("i2")
        native = zarr.open_group(session.store).create_array(
            "native", shape=values.shape, chunks=(1, 18, 72), dtype="i2", compressors=None,
            dimension_names=("time", "lat", "lon"),
        )  # fmt: skip
        native[:] = values
        session.commit("a variable of its own")
        archive, published_store = there.servers
        with services(there) as using:
            prepared = prepare(
                request(("native",), (-180, 0, 180, 90)), using, there.stores + store
            )
            published_store.forget()
            output = fulfil(prepared, tmp_path / "out", using)[0]
        chunks = [own for own in published_store.asked if "/chunks/" in own.path]
        assert prepared[0].plan.cost.requests == len(chunks) == 1
        assert prepared[0].plan.cost.bytes_read == 18 * 72 * 2 == range_of(chunks[0])[2]
        assert archive.asked == []
    assert same_bits(raw(output.path, "native"), values[:, 18:])


GRIDS = (
    TargetGrid("EPSG:4326", scale_size=(3.0, 3.0)),
    TargetGrid("EPSG:3857", scale_size=(400_000.0, 400_000.0)),
    TargetGrid("EPSG:3413", scale_extent=(-3e6, -3e6, 3e6, 3e6), width=50, height=50),
)
METHODS = ("near", "bilinear", "cubic", "average", "mode", "min", "max")
KINDS = ("cells", "cells", "form", "target", "average", "average on a target", "places", "line")


def random_request(random: np.random.Generator, days: list[datetime]) -> Request:
    """Cells in any form, on any grid, averaged, or at places."""
    wanted, kind = random_cells(random, days), str(random.choice(KINDS))
    anywhere = np.column_stack([random.uniform(-170, 170, 4), random.uniform(-80, 80, 4)]).tolist()
    if kind == "form":
        forms = (ZARR, GEOTIFF, CSV, PARQUET, KERCHUNK)
        return replace(wanted, media_type=forms[random.integers(len(forms))])
    if "target" in kind:
        grid, method = GRIDS[random.integers(len(GRIDS))], str(random.choice(METHODS))
        wanted = replace(wanted, target=replace(grid, interpolation=method))
    if kind == "average":
        return replace(wanted, average=str(random.choice(["time", "area"])))
    if kind == "average on a target":
        return replace(wanted, average="time")
    if kind == "places":
        blended = str(random.choice(["", "bilinear"]))
        points = tuple(Place(*own) for own in anywhere)
        return replace(wanted, bbox=None, shape=None, points=points, interpolation=blended)
    if kind == "line":
        line = tuple((x, y) for x, y in anywhere)
        return replace(wanted, bbox=None, shape=None, line=line)
    return wanted


def random_cells(random: np.random.Generator, days: list[datetime]) -> Request:
    """Any box or triangle, times and variables that meet the data."""
    west, east = random.uniform(-180, 180, 2)
    south, north = np.sort(random.uniform(-87, 87, 2))
    first, last = np.sort(random.integers(0, len(days), 2))
    names = [("analysed_sst",), ("mask",), ("analysed_sst", "mask"), ()][random.integers(4)]
    box = None if random.random() < 0.1 else (west, south, east, max(north, south + 5))
    times = None if random.random() < 0.2 else (days[first], days[last])
    corners = np.column_stack([random.uniform(-180, 180, 3), random.uniform(-87, 87, 3)])
    place = shapely.to_geojson(shapely.Polygon(corners)) if random.random() < 0.3 else None
    return replace(request(names, None if place else box, times), shape=place)


@pytest.mark.parametrize("count", [6, pytest.param(200, marks=pytest.mark.scale)])
def test_price_of_random_requests_is_what_the_archive_is_asked_for(
    count: int, tmp_path: Path
) -> None:
    """In one output and in Parts, of each form in turn."""
    answered = 0
    random = np.random.default_rng(20)
    files = write_days(tmp_path / "granules", 6)
    days = [moment(own) for own in files]
    for form in FORMS:
        with published(form, files, tmp_path / form) as (href, archive, there):
            for number in range(count // len(FORMS) + 1):
                cut = {"part_bytes": int(random.integers(2_000, 40_000))} if number % 2 else {}
                with services(there, **cut) as using:  # type: ignore[arg-type]
                    try:
                        prepared = prepare(random_request(random, days), using, href)
                    except (NoDataError, UnsupportedError):  # beside the data, or flags averaged
                        continue
                    answered += 1
                    archive.forget()
                    fulfil(prepared, tmp_path / f"{form}-{number}", using)
                asked = [range_of(own) for own in archive.asked if "Range" in own.headers]
                costs = [own.plan.cost for own in prepared]
                assert sum(own.requests for own in costs) == len(asked)
                assert sum(own.bytes_read for own in costs) == sum(n for _, _, n in asked)
    assert answered > count // 2
