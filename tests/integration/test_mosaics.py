"""Frames of several reference systems on one target grid, against pyproj cell by cell."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import netCDF4
import numpy as np
import pyproj
import pytest
from servers import Server, cmr_server, file_server
from systems.kits import raw, services
from systems.test_price import range_of
from typer.testing import CliRunner, Result
from world import kerchunk_references, umm_collection, umm_granule, write_references

from harmony_vds.cli.main import app
from harmony_vds.errors import TooLargeError, UnsupportedError
from harmony_vds.handoff import sealed, unsealed
from harmony_vds.model.extent import BoundingBox, TimeRange
from harmony_vds.model.formats import KERCHUNK, NETCDF, ZARR
from harmony_vds.model.request import Request, Source, TargetGrid
from harmony_vds.pipeline import fulfil, prepare, prepare_part
from harmony_vds.planning.volume import total

FRAMES, ODD = "C1-TEST", "C2-TEST"
FILL = -9999
SIZE, CELL = 24, 10_000.0
CORNERS = {"A": (32631, 640_000.0, 5_200_000.0), "B": (32632, 280_000.0, 5_170_000.0)}
"""Reference system, west and north edge; they overlap by some cells."""
DAYS = {"A": (0, 1), "B": (1, 2)}
WHOLE = TargetGrid("EPSG:4326", "near", (4.0, 44.0, 9.0, 48.0), (0.11, 0.09))


@dataclass
class World:
    files: dict[str, Path]
    http: Server
    cmr: Server


def values(frame: str, day: int) -> np.ndarray:
    """Tells frame, day and cell; the eastern third of A is partly missing."""
    cells = np.arange(SIZE * SIZE).reshape(SIZE, SIZE)
    found = (cells + {"A": 1000, "B": 2000}[frame] + 5000 * day).astype(np.int16)
    if frame == "A":
        found[::3, 2 * SIZE // 3 :] = FILL
    return found


def write_frame(path: Path, frame: str, *, scale: float = 0.5) -> Path:
    code, west, top = CORNERS[frame]
    with netCDF4.Dataset(path, "w") as nc:
        for name, size in (("time", None), ("y", SIZE), ("x", SIZE)):
            nc.createDimension(name, size)
        steps = nc.createVariable("time", "f8", ("time",), chunksizes=(1,))
        steps.setncatts({"units": "days since 2024-01-02", "standard_name": "time"})
        steps[:] = np.array(DAYS[frame], float)
        for name, first, step in (
            ("y", top - CELL / 2, -CELL),
            ("x", west + CELL / 2, CELL),
        ):
            axis = nc.createVariable(name, "f8", (name,))
            axis.setncatts({"standard_name": f"projection_{name}_coordinate", "units": "m"})
            axis[:] = first + step * np.arange(SIZE)
        mapping = nc.createVariable("spatial_ref", "i4", ())
        mapping.setncatts(pyproj.CRS.from_epsg(code).to_cf())
        height = nc.createVariable(
            "height", "i2", ("time", "y", "x"), zlib=True, chunksizes=(1, 12, 12), fill_value=FILL
        )
        height.setncatts({"grid_mapping": "spatial_ref", "units": "m"})
        height.scale_factor = np.float32(scale)
        height.set_auto_maskandscale(False)
        height[:] = np.stack([values(frame, day) for day in DAYS[frame]])
    return path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with published(tmp_path_factory.mktemp("mosaic")) as found:
        yield found


@contextmanager
def published(root: Path) -> Iterator[World]:
    """Frames on an HTTP server, and the records that name their stores."""
    files = {frame: write_frame(root / f"FRAME_{frame}.nc", frame) for frame in CORNERS}
    files["C"] = write_frame(root / "FRAME_C.nc", "B", scale=0.25)
    with file_server(root) as http:
        items = []
        for number, (frame, path) in enumerate(files.items()):
            document = kerchunk_references(
                [path], lambda url: url.replace(f"file://{root}", http.url)
            )
            write_references(root / f"{path.stem}.zarr.json", document)
            links = [{"URL": f"{http.url}/{path.name}", "Type": "GET DATA"},
                     {"URL": f"{http.url}/{path.stem}.zarr.json", "Type": "GET DATA",
                      "Format": "Zarr"}]  # fmt: skip
            for collection in {"A": (FRAMES, ODD), "B": (FRAMES,), "C": (ODD,)}[frame]:
                name = f"G{number}{collection[1]}-TEST"
                items.append(umm_granule(name, collection, path.stem, links, box=(3, 43, 10, 48)))
        records = {own: umm_collection(own, []) for own in (FRAMES, ODD)}
        with cmr_server(records, *items) as cmr:
            yield World(files, http, cmr)


def request(target: TargetGrid | None, collection: str = FRAMES, **more: bool) -> Request:
    return Request(
        (Source(collection, "FRAMES", variables=("height",)),),
        target=target, **more,
    )  # fmt: skip


def using(world: World, **more: object):
    return services(trusted=[f"{world.http.url}/"], cmr_endpoint=world.cmr.url, **more)


def answers(world: World, wanted: Request, folder: Path, **more: object):
    folder.mkdir(exist_ok=True)
    with using(world, **more) as own:
        prepared = prepare(wanted, own)
        return prepared, fulfil(prepared, folder, own)


def expected(
    frames: str, crs: str, xs: np.ndarray, ys: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The first frame's nearest cell with a value, for three days; and where that is sure."""
    found = np.full((3, ys.size, xs.size), FILL, np.int16)
    sure = np.ones((ys.size, xs.size), np.bool_)
    for frame in frames:
        code, west, top = CORNERS[frame]
        way = pyproj.Transformer.from_crs(crs, code, always_xy=True)
        x, y = way.transform(*np.meshgrid(xs, ys))
        columns, rows = (x - west) / CELL, (top - y) / CELL
        sure &= (np.abs(columns - np.rint(columns)) > 1e-6) & (np.abs(rows - np.rint(rows)) > 1e-6)
        inside = (columns >= 0) & (columns < SIZE) & (rows >= 0) & (rows < SIZE)
        at = np.where(inside, rows, 0).astype(int), np.where(inside, columns, 0).astype(int)
        for day in DAYS[frame]:
            own = np.where(inside, values(frame, day)[at], FILL)
            found[day] = np.where(found[day] == FILL, own, found[day])
    return found, sure


def test_frames_of_two_zones_come_out_as_one_with_the_first_one_above(world, tmp_path):
    prepared, outputs = answers(world, request(WHOLE), tmp_path)
    (output,) = outputs
    found = raw(output.path, "height")
    wanted, sure = expected("AB", "OGC:CRS84", raw(output.path, "lon"), raw(output.path, "lat"))
    assert found.dtype == np.int16
    assert sure.mean() > 0.99
    assert np.array_equal(found[:, sure], wanted[:, sure])
    frames = {int(own) for own in np.unique(wanted[1] - 5000) // 1000}
    assert {1, 2} <= frames  # both, at the one step that both have
    assert raw(output.path, "time").tolist() == [0, 1, 2]
    with netCDF4.Dataset(output.path) as nc:
        assert "FRAME_A" in nc.virtual_store
        assert "FRAME_B" in nc.virtual_store
        assert "that of the first counts" in nc.virtual_store_notes
    (own,) = prepared
    assert own.plan.outputs == 1
    assert output.path.stat().st_size > 0
    assert (output.temporal.start.day, output.temporal.end.day) == (2, 4)


def test_averages_are_of_one_frame_each_and_say_so(world, tmp_path, caplog):
    prepared, outputs = answers(world, request(WHOLE, average="time"), tmp_path)
    assert [own.label for own in prepared] == ["FRAME_A", "FRAME_B"]
    assert "none is an average over several stores" in caplog.text
    for output, frame in zip(outputs, "AB", strict=True):
        lon, lat = raw(output.path, "lon"), raw(output.path, "lat")
        wanted, sure = expected(frame, "OGC:CRS84", lon, lat)
        days = np.where(wanted == FILL, np.nan, wanted * 0.5)[[*DAYS[frame]]]
        known = sure & np.isfinite(days).all(axis=0)
        assert known.sum() > 50
        found = np.squeeze(raw(output.path, "height"))
        np.testing.assert_allclose(found[known], days.mean(axis=0)[known], rtol=1e-6)


def test_without_an_extent_the_grid_continues_the_cells_of_the_first_frame(world, tmp_path):
    prepared, (output,) = answers(world, request(TargetGrid("")), tmp_path)
    target = prepared[0].plan.target
    assert pyproj.CRS.from_wkt(target.crs).to_epsg() == 32631
    xs, ys = raw(output.path, "x"), raw(output.path, "y")
    code, west, top = CORNERS["A"]
    assert (target.transform[0], target.transform[4]) == (CELL, -CELL)
    assert ((xs - CELL / 2 - west) % CELL == 0).all()
    alone, only_b = expected("B", f"EPSG:{code}", xs, ys)
    found = raw(output.path, "height")
    assert only_b.mean() > 0.99
    row, column = round((ys[0] + CELL / 2 - top) / CELL), round((west - xs[0] + CELL / 2) / CELL)
    for day in DAYS["A"]:
        own = found[day, row : row + SIZE, column : column + SIZE]
        stored = values("A", day)
        assert np.array_equal(own[stored != FILL], stored[stored != FILL])
    outside = np.ones(found.shape[1:], np.bool_)
    outside[row : row + SIZE, column : column + SIZE] = False
    outside &= only_b
    assert (alone[1][outside] != FILL).sum() > 100
    assert np.array_equal(found[:, outside], alone[:, outside])


def test_blended_values_of_one_frame_fill_what_the_first_one_lacks(world, tmp_path):
    target = replace(WHOLE, interpolation="bilinear")
    _, (whole,) = answers(world, request(target), tmp_path)
    found = raw(whole.path, "height")
    assert found.dtype == np.float32
    nearest, sure = expected("AB", "OGC:CRS84", raw(whole.path, "lon"), raw(whole.path, "lat"))
    assert np.array_equal(np.isfinite(found[:, sure]), nearest[:, sure] != FILL)


def test_price_of_combined_frames_is_what_is_read(world, tmp_path):
    with using(world) as own:
        prepared = prepare(request(WHOLE), own)
        before = own.access.fetcher.traffic.nbytes
        fulfil(prepared, tmp_path, own)
        assert own.access.fetcher.traffic.nbytes - before == prepared[0].plan.cost.bytes_read
        assert prepared[0].plan.cost.chunks == 16


def test_frames_that_are_packed_otherwise_are_refused_with_the_numbers(world, tmp_path):
    with using(world) as own, pytest.raises(
        UnsupportedError, match=r"scale_factor is 0\.5 in FRAME_A and 0\.25 in FRAME_C"
    ):  # fmt: skip
        prepare(request(WHOLE, ODD), own)
    prepared, outputs = answers(world, request(None, ODD), tmp_path)
    assert len(prepared) == len(outputs) == 2


def test_someone_who_waits_gets_the_one_output(world, tmp_path):
    _, outputs = answers(world, request(WHOLE, synchronous=True), tmp_path)
    assert len(outputs) == 1


@pytest.mark.parametrize(  # a frame's own grid takes 2.8 kB or more of two bytes a cell
    "method, part_bytes", [("near", 1_700), ("near", 4_500), ("cubic", 2_500)]
)
def test_combined_frames_are_cut_into_strips_that_joined_are_the_whole(
    method, part_bytes, world, tmp_path
):
    wanted = request(TargetGrid("EPSG:4326", method))
    _, (whole,) = answers(world, wanted, tmp_path / "whole")
    with using(world, part_bytes=part_bytes) as own:
        prepared = prepare(wanted, own)
        world.http.forget()
        outputs = fulfil(prepared, tmp_path / "cut", own)
        ranges = [range_of(asked) for asked in world.http.asked]
    for name, axis in (("height", 1), ("lat", 0)):
        joined = np.concatenate([raw(own.path, name) for own in outputs], axis)
        assert joined.tobytes() == raw(whole.path, name).tobytes()
    assert all(raw(own.path, "time").tolist() == [0, 1, 2] for own in outputs)
    costs = [own.plan.cost for own in prepared]
    assert max(cost.bytes_written for cost in costs) <= part_bytes
    assert sum(cost.requests for cost in costs) == len(ranges)
    assert sum(cost.bytes_read for cost in costs) == sum(length for _, _, length in ranges)
    assert len({own.plan.fingerprint for own in prepared}) == len(outputs) > 1
    labels = [own.label for own in prepared]
    assert labels == sorted(labels)


def offered(text: str, asked: Request) -> list[Request]:
    """The requests that a refusal offers, read from its text as a user would."""
    found = []
    if told := re.search(r'subset=time\("(\S+)":"(\S+)"\)', text):
        times = TimeRange(*(datetime.fromisoformat(own) for own in told.groups()))
        found.append(replace(asked, temporal=times))
    if told := re.search(r"--bbox (\S+) (\S+) (\S+) (\S+)\]", text):
        found.append(replace(asked, bbox=BoundingBox(*map(float, told.groups()))))
    if told := re.search(r"width=(\d+)&height=(\d+)", text):
        width, height = map(int, told.groups())
        found.append(replace(asked, target=replace(asked.target, width=width, height=height)))
    if told := re.search(r"average=(\w+) \[", text):
        found.append(replace(asked, average=told[1]))
    if "[--format kerchunk]" in text:
        found.append(replace(asked, media_type=KERCHUNK))
    assert len(found) == text.count(" [--")
    return found


@pytest.mark.parametrize("apart", [False, True])
def test_combined_frames_that_are_too_large_are_refused_with_requests_that_fit(apart, world):
    wanted = request(TargetGrid("EPSG:4326"))
    limits = {"part_bytes": 1_700, "max_output_bytes": 4_000, "max_parts": 3 if apart else 100}
    with using(world, **limits) as own:
        with pytest.raises(TooLargeError) as caught:
            prepare(wanted, own, apart=apart)
        text = str(caught.value)
        assert ("HARMONY_VDS_MAX_PARTS" if apart else "HARMONY_VDS_MAX_OUTPUT_BYTES") in text
        smaller = offered(text, wanted)
        assert len(smaller) == 3
        for asked in smaller:
            prepared = prepare(asked, own, apart=apart)
            cost = total([each.plan.cost for each in prepared])
            assert f"({cost})" in text or f", {cost})" in text
            assert cost.bytes_written <= 4_000 + 1_700 * apart


BOTH = Request((Source(FRAMES, "FRAMES", variables=("height",)), Source(ODD, "ODD")))


@pytest.mark.parametrize("wanted", [request(None), BOTH], ids=["frames", "collections"])
@pytest.mark.parametrize("share", [0.7, 0.2], ids=["each fits", "none fits"])
def test_outputs_that_are_too_large_together_are_refused_with_requests_that_fit_together(
    share, wanted, world
):
    with using(world) as own:
        before = total([each.plan.cost for each in prepare(wanted, own)])
    limits = {
        "max_output_bytes": round(share * before.bytes_written), "parts_service_id": "S2-TEST",
    }  # fmt: skip
    with using(world, **limits) as own:
        with pytest.raises(TooLargeError) as caught:
            prepare(wanted, own)
        text = str(caught.value)
        count = 2 if wanted is not BOTH else 4
        assert f"its {count} outputs together would write" in text
        assert "serviceId=S2-TEST" in text
        assert len(text) < 1000
        smaller = offered(text, wanted)
        assert smaller
        for asked in smaller:
            cost = total([each.plan.cost for each in prepare(asked, own)])
            assert f"({cost})" in text or f", {cost})" in text
            assert cost.bytes_written < before.bytes_written


def test_combined_parts_are_planned_once_and_written_by_work_items_of_their_own(
    world, tmp_path, monkeypatch
):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    wanted = request(TargetGrid("EPSG:4326"))
    _, here = answers(world, wanted, tmp_path / "here", part_bytes=1_700)
    with using(world, part_bytes=1_700) as own:
        parts = [each.part for each in prepare(wanted, own, apart=True)]
    assert [(each.index, each.of) for each in parts] == [(n, len(here)) for n in range(len(here))]
    world.cmr.forget()
    there = []
    for number, part in enumerate(parts):
        with using(world) as own:
            again = prepare_part(unsealed(sealed(part, "secret"), "secret"), own)
            assert again.label == part.label
            there += fulfil([again], tmp_path / f"there{number}", own)
    assert [own.checksum for own in there] == [own.checksum for own in here]
    assert world.cmr.asked == []


def test_combined_zarr_store_is_priced_with_what_waits_on_disk(world):
    cost = {}
    for form, layout in ((NETCDF, "store"), (ZARR, "store"), (NETCDF, "series")):
        with using(world, chunks_for=layout) as own:
            (prepared,) = prepare(replace(request(WHOLE), media_type=form), own)
            cost[form, layout] = prepared.plan.cost
    written = cost[NETCDF, "store"].bytes_written
    assert cost[NETCDF, "store"].peak_disk == written
    assert cost[ZARR, "store"].peak_disk == 2 * written
    assert cost[NETCDF, "series"].peak_disk == 2 * written
    assert cost[NETCDF, "series"].peak_memory > cost[NETCDF, "store"].peak_memory


def test_combined_output_is_planned_again_and_written_elsewhere(world, tmp_path):
    with using(world) as own:
        (prepared,) = prepare(request(WHOLE), own, apart=True)
        (here,) = fulfil([prepared], tmp_path / "here", own)
    part = unsealed(sealed(prepared.part, "secret"), "secret")
    with using(world) as own:
        again = prepare_part(part, own)
        assert again.plan.fingerprint == prepared.plan.fingerprint
        (there,) = fulfil([again], tmp_path / "there", own)
    assert np.array_equal(raw(here.path, "height"), raw(there.path, "height"))


def test_combined_output_is_given_again_as_long_as_all_of_its_stores_are_the_same(
    tmp_path, monkeypatch
):
    (tmp_path / "frames").mkdir()

    def run(*words: object) -> Result:
        return CliRunner().invoke(app, [str(own) for own in words])

    with published(tmp_path / "frames") as own:
        monkeypatch.setenv("CMR_ENDPOINT", own.cmr.url)
        monkeypatch.setenv("HARMONY_VDS_TRUSTED_PREFIXES", f"{own.http.url}/")
        target = ["--crs", WHOLE.crs, "--interpolation", "near", "--extent", *WHOLE.scale_extent,
                  "--cell", *WHOLE.scale_size]  # fmt: skip
        done = run("subset", "--collection", FRAMES, "--variable", "height", *target,
                   "--output", tmp_path / "first")  # fmt: skip
        first = Path(done.stdout.strip().splitlines()[-1])
        again = run("rerun", first, "--output", tmp_path / "again").stdout.strip()
        assert Path(again).read_bytes() == first.read_bytes()
        second = tmp_path / "frames" / "FRAME_B.zarr.json"
        second.write_text(second.read_text() + "\n")
        refused = run("rerun", first, "--output", tmp_path / "other")
        assert "was made from the state" in str(refused.exception)
