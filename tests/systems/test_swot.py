"""PO.DAAC SWOT and SCATSAT-1: swaths of level 2, one after another along granules."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr
from systems.granules import Field, write_fields
from systems.kits import raw
from systems.places import check_cut, inside, stored
from systems.published import CONCEPT, LAYOUTS, Publication, lengthened_dataset, publishing
from world import virtual_dataset, virtualizarr_references, write_stac

SWOT, SCATSAT = LAYOUTS["swot"], LAYOUTS["scatsat"]
GRANULES, FULL = 5, SWOT["dimensions"]["granule"]
LINES, PIXELS = 98, SWOT["dimensions"]["num_pixels"]  # a hundredth of a pass, in its whole width
PACKED = np.int32(2147483647)
FIRST = np.datetime64("2023-07-26T00:00", "ns")
HALF_ORBIT = np.timedelta64(51, "m")

SEGMENTS = 6
TRACK = (58, 38)  # a part of the 3248 by 152 cells of a segment
START = np.datetime64("2018-01-01T00:00", "s")


@pytest.fixture(scope="module")
def passes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("published") / "granules"
    return [write_pass(folder / f"SWOT_L2_LR_SSH_Basic_{n:03d}.nc", n) for n in range(GRANULES)]


def write_pass(path: Path, number: int) -> Path:
    rng = np.random.default_rng(number)
    lines, pixels = np.arange(LINES), np.arange(PIXELS)
    shape = (LINES, PIXELS)
    lat = np.linspace(-78e6, 78e6, LINES)[:, None] + 2e4 * pixels
    lon = (np.linspace(300e6, 420e6, LINES)[:, None] + 2e4 * pixels) % 360e6
    height = rng.integers(-3000, 3000, shape).astype("i4")
    height[:, :5] = PACKED
    flags = np.where(pixels % 3 == 0, 0, 1 << 31) + 0 * lines[:, None]
    seconds = 743_644_800.0 + 3060 * number + 31.0 * lines
    swath, names = ("num_lines", "num_pixels"), "longitude latitude"
    place = {"scale_factor": 1e-6}
    return write_fields(path, {
        "time": Field(("num_lines",), seconds, {
            "units": "seconds since 2000-01-01 00:00:00.0", "standard_name": "time",
            "calendar": "gregorian"}, (LINES,)),
        "latitude": Field(swath, lat.astype("i4"), {
            "units": "degrees_north", "standard_name": "latitude", **place}, shape, PACKED),
        "longitude": Field(swath, lon.astype("i4"), {
            "units": "degrees_east", "standard_name": "longitude", **place}, shape, PACKED),
        "ssha_karin": Field(swath, height, {
            "units": "m", "scale_factor": 1e-4, "coordinates": names}, shape, PACKED),
        "ssha_karin_qual": Field(swath, flags.astype("u4"), {
            "flag_masks": np.array([1, 1 << 31], "u4"), "flag_meanings": "suspect bad",
            "coordinates": names}, shape, np.uint32(4294967295)),
    }, title="SWOT pass")  # fmt: skip


def orbits(granules: int) -> np.ndarray:
    """When each begins, by CMR; the last ones are earlier passes, processed again."""
    number = np.arange(granules)
    again = max(granules * (FULL - SWOT["distinct_orbits"]) // FULL, 1)
    number[-again:] -= 2 * again
    return FIRST + HALF_ORBIT * number


def stacked(passes: Sequence[Path], granules: int) -> xr.Dataset:
    """As the publisher joins them: a new dimension, and what CMR tells along it."""
    parts = [virtual_dataset([path]) for path in passes]
    own = xr.concat(parts, dim="granule", data_vars="all", coords=["latitude", "longitude"],
                    compat="override", join="override", combine_attrs="drop_conflicts")  # fmt: skip
    index = xr.Variable(("granule",), np.arange(granules))
    longer = lengthened_dataset(own, {"granule": index}, dimension="granule")
    names = [passes[n % GRANULES].name for n in range(granules)]
    return longer.assign_coords(
        orbit=("granule", orbits(granules)), cycle=("granule", np.full(granules, 1)),
        ppass=("granule", np.arange(granules) % 584), filename=("granule", names),
    )  # fmt: skip


def with_defects(path: Path) -> None:
    """As published: unpacked fill values, and coordinates in which 0 seems to be missing."""
    document = json.loads(path.read_text())
    refs: dict[str, Any] = document["refs"]
    attributes = json.loads(refs["ssha_karin/.zattrs"])
    attributes["_FillValue"] = SWOT["wrong_fill_value"]
    refs["ssha_karin/.zattrs"] = json.dumps(attributes)
    for name in ("granule", "ppass", "orbit", "cycle", "ssha_karin"):
        array = json.loads(refs[f"{name}/.zarray"])
        refs[f"{name}/.zarray"] = json.dumps(array | {"fill_value": 0})
    path.write_text(json.dumps(document))


def publish(
    publication: Publication, dataset: xr.Dataset, files: Sequence[Path], href: str,
    spoil: Callable[[Path], None] = lambda _: None,
) -> None:  # fmt: skip
    here = {path.as_uri(): publication.url(path) for path in files}
    written = publication.root / href
    written.parent.mkdir(parents=True, exist_ok=True)
    virtualizarr_references(dataset, written, here.__getitem__)
    spoil(written)
    publication.publish(publication.url(written))


@pytest.fixture
def published(passes: list[Path]) -> Iterator[Publication]:
    with publishing(passes[0].parents[1], short_name=SWOT["short_name"]) as publication:
        yield publication


def test_all_passes_come_out_with_their_masks_flags_and_coordinates(
    published: Publication, passes: list[Path], tmp_path: Path
) -> None:
    publish(published, stacked(passes, GRANULES), passes, SWOT["href"], with_defects)
    outcome = published.invoke(tmp_path, short_name=SWOT["short_name"])
    assert outcome.status == 0, outcome.error
    with netCDF4.Dataset(outcome.data[0]) as nc:
        nc.set_auto_maskandscale(False)
        for name in ("time", "latitude", "longitude", "ssha_karin", "ssha_karin_qual"):
            expected = np.stack([raw(path, name) for path in passes])
            np.testing.assert_array_equal(nc[name][:], expected)
            assert nc[name].dtype == expected.dtype
        assert nc["ssha_karin"].getncattr("_FillValue") == PACKED
        assert nc["filename"][:].tolist() == [path.name for path in passes]
    with xr.open_dataset(outcome.data[0]) as ours:
        height = np.stack([raw(path, "ssha_karin") for path in passes])
        np.testing.assert_array_equal(np.isnan(ours["ssha_karin"].values), height == PACKED)
        for name in ("granule", "ppass"):
            np.testing.assert_array_equal(ours[name].values, np.arange(GRANULES))
            assert ours[name].dtype.kind == "i"
        np.testing.assert_array_equal(ours["cycle"].values, 1)
        np.testing.assert_array_equal(ours["orbit"].values, orbits(GRANULES))
        assert 0 <= float(ours["longitude"].min()) < float(ours["longitude"].max()) < 360
    assert "214748" in outcome.stderr  # what was repaired is told


@pytest.mark.parametrize("box", [(-10, 5, 12, 40), (350, -2.5, 20, 12)])
def test_box_keeps_the_cells_of_each_pass_whose_centres_lie_in_it(
    box: tuple[float, ...], published: Publication, passes: list[Path], tmp_path: Path
) -> None:
    publish(published, stacked(passes, GRANULES), passes, SWOT["href"], with_defects)
    outcome = published.invoke(tmp_path, ["ssha_karin"], short_name=SWOT["short_name"],
                               bbox=list(box))  # fmt: skip
    assert outcome.status == 0, outcome.error
    cells = inside(stored(passes[0], "longitude"), stored(passes[0], "latitude"), box)
    ours = raw(outcome.data[0], "ssha_karin")
    assert len(ours) == len(passes)
    for height, path in zip(ours, passes, strict=True):
        check_cut(height, raw(path, "ssha_karin"), cells, PACKED)


def check_passes(data: Path, passes: list[Path], kept: list[int]) -> None:
    """The output holds just these passes of the stack, in its order."""
    with netCDF4.Dataset(data) as nc:
        nc.set_auto_maskandscale(False)
        for name in ("ssha_karin", "time", "latitude"):
            expected = np.stack([raw(passes[number], name) for number in kept])
            np.testing.assert_array_equal(nc[name][:], expected)


def test_time_range_cuts_the_stack_by_the_orbits_of_passes(
    published: Publication, passes: list[Path], tmp_path: Path
) -> None:
    """Also variables that do not name the orbit among their coordinates."""
    publish(published, stacked(passes, GRANULES), passes, SWOT["href"], with_defects)
    start, end = FIRST, FIRST + 2 * HALF_ORBIT
    kept = np.flatnonzero((orbits(GRANULES) >= start) & (orbits(GRANULES) <= end)).tolist()
    assert kept == [0, 1, 2, 4]  # the last is the third, processed again
    outcome = published.invoke(
        tmp_path, ["ssha_karin", "time", "latitude"], short_name=SWOT["short_name"],
        temporal={"start": f"{start}Z", "end": f"{end}Z"},
    )  # fmt: skip
    assert outcome.status == 0, outcome.error
    check_passes(outcome.data[0], passes, kept)
    assert "The times of the steps along granule were taken from orbit" in outcome.stderr


def test_selected_passes_are_picked_from_the_stack_by_the_names_of_their_files(
    published: Publication, passes: list[Path], tmp_path: Path
) -> None:
    """Of two that began at one time, as CMR tells it, the one that was selected."""
    publish(published, stacked(passes, GRANULES), passes, SWOT["href"], with_defects)
    chosen = [4, 1]
    items = [
        {"concept_id": f"G{number}-TEST", "name": passes[number].stem,
         "times": (f"{orbits(GRANULES)[number]}"[:23] + "Z",) * 2,
         "assets": {"data": {"href": published.url(passes[number])}}}
        for number in chosen
    ]  # fmt: skip
    catalog = write_stac(tmp_path / "input", CONCEPT, items, published.cmr.url)
    outcome = published.invoke(tmp_path / "out", ["ssha_karin", "time", "latitude"],
                               stac=str(catalog), short_name=SWOT["short_name"])  # fmt: skip
    assert outcome.status == 0, outcome.error
    (data,) = outcome.data
    check_passes(data, passes, sorted(chosen))
    assert "picked by filename" in outcome.stderr


@pytest.mark.scale
def test_all_passes_are_priced_and_refused_from_a_full_size_manifest(
    published: Publication, passes: list[Path], tmp_path: Path
) -> None:
    publish(published, stacked(passes, FULL), passes, SWOT["href"], with_defects)
    published.environment["HARMONY_VDS_MAX_OUTPUT_BYTES"] = "1GiB"
    outcome = published.invoke(tmp_path / "a", short_name=SWOT["short_name"])
    assert outcome.status != 0
    assert "HARMONY_VDS_MAX_OUTPUT_BYTES" in outcome.error["error"]
    # Beside the chunks of passes those of four coordinates; orbits are read for the plan.
    assert f"{5 * FULL + 4:,} chunks" in outcome.error["error"]
    outcome = published.invoke(tmp_path / "b", ["orbit", "time"], short_name=SWOT["short_name"])
    assert outcome.status == 0, outcome.error
    with netCDF4.Dataset(outcome.data[0]) as nc:
        whole = np.stack([raw(path, "time") for path in passes])[np.arange(FULL) % GRANULES]
        np.testing.assert_array_equal(nc["time"][:], whole)
        began = netCDF4.num2date(nc["orbit"][:], nc["orbit"].units)
        assert len({str(own) for own in began}) == SWOT["distinct_orbits"]


# ---------------------------------------------------------------- SCATSAT-1


@pytest.fixture(scope="module")
def segments(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("published") / "granules"
    return [write_segment(folder / f"{n}.nc", n) for n in range(SEGMENTS)]


def write_segment(path: Path, number: int) -> Path:
    rng = np.random.default_rng(100 + number)
    along, across = np.meshgrid(*(np.arange(size) for size in TRACK), indexing="ij")
    wind = np.round(rng.gamma(2.0, 4.0, TRACK), 2).astype("f4")
    wind[0] = -9999.0
    swath = ("along_track", "cross_track")
    place = {
        "lat": (-60 + along + 0.1 * across, "north"),
        "lon": (20 + across + 0.2 * along, "east"),
    }
    fields = {
        name: Field(swath, values.astype("f4"), {
            "units": f"degrees_{toward}", "standard_name": f"{name}itude" if name == "lat"
            else "longitude"}, TRACK, np.float32(-9999.0))
        for name, (values, toward) in place.items()
    }  # fmt: skip
    fields["wind_speed"] = Field(swath, wind, {"units": "m s-1", "coordinates": "lat lon"}, TRACK,
                                 np.float32(-9999.0))  # fmt: skip
    return write_fields(path, fields, title="segment")


def chained(segments: Sequence[Path], count: int) -> xr.Dataset:
    """As the publisher joins them: along the times at which CMR says that segments begin."""
    parts = [virtual_dataset([path]) for path in segments]
    name = "orbit_segment_start_time"
    own = xr.concat(parts, dim=name, data_vars="all", coords=["lat", "lon"],
                    compat="override", join="override", combine_attrs="drop_conflicts")  # fmt: skip
    began = (START + np.timedelta64(50, "m") * np.arange(count)).astype("i8")
    axis = xr.Variable((name,), began, {"units": SCATSAT["epoch"], "calendar": "gregorian"})
    return lengthened_dataset(own, {name: axis}, dimension=name)


@pytest.mark.parametrize(
    "count",
    [SEGMENTS, pytest.param(SCATSAT["dimensions"]["orbit_segment_start_time"],
                            marks=pytest.mark.scale)],
)  # fmt: skip
def test_segments_that_begin_in_a_time_range_are_those_of_the_granules(
    count: int, segments: list[Path], tmp_path: Path
) -> None:
    with publishing(segments[0].parents[1], short_name=SCATSAT["short_name"]) as published:
        publish(published, chained(segments, count), segments, SCATSAT["href"])
        published.publish(f"s3://podaac-ops-cumulus-public/{SCATSAT['pair']}")
        outcome = published.invoke(
            tmp_path, ["wind_speed"], short_name=SCATSAT["short_name"],
            temporal={"start": "2018-01-01T00:50:00Z", "end": "2018-01-01T02:30:00Z"},
        )  # fmt: skip
        assert outcome.status == 0, outcome.error
        with netCDF4.Dataset(outcome.data[0]) as nc:
            nc.set_auto_maskandscale(False)
            for name in ("wind_speed", "lat", "lon"):
                expected = np.stack([raw(path, name) for path in segments[1:4]])
                np.testing.assert_array_equal(nc[name][:], expected)
            assert nc["wind_speed"].dimensions[0] == "orbit_segment_start_time"
