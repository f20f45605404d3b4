"""PO.DAAC SASSIE: icechunk's first format, a curvilinear staggered grid, chunks elsewhere."""

from collections.abc import Iterator
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
from archive import Archive, archive
from servers import upload
from systems.granules import Field, times, weather, write_fields
from systems.kits import raw
from systems.places import check_cut, inside, stored, window
from systems.published import LAYOUTS, Publication, lengthened_dataset, protected, publishing
from world import virtual_dataset, write_icechunk

SASSIE = LAYOUTS["sassie"]
PUBLIC, PROTECTED = (SASSIE[name].split("/")[2] for name in ("repository", "container"))
KEY = SASSIE["repository"].split("/", 3)[3]
FOLDER = f"{SASSIE['container']}{SASSIE['short_name']}/"
DAYS = 3
FULL = SASSIE["steps"]
LEVELS, ROWS, COLUMNS = 4, 24, 30
UNITS = "seconds since 2020-01-01T12:00:00"
DAY = 86_400
MISSING = np.float32(9.96921e36)
PLACES = {"THETA": ("j", "i"), "UVEL": ("j", "i_g"), "VVEL": ("j_g", "i")}


@pytest.fixture(scope="module")
def granules(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("SASSIE")
    return [granule(folder / f"{day}.nc", day) for day in range(DAYS)]


def granule(path: Path, day: int) -> Path:
    """A grid that is turned against the meridians, its corners half a cell from its centres."""
    sizes = {"k": LEVELS, "j": ROWS, "i": COLUMNS, "j_g": ROWS, "i_g": COLUMNS}
    assert set(sizes) == set(SASSIE["staggered"])
    axes = {"k": "Z", "j": "Y", "i": "X"}
    fields = {name: Field((name,), np.arange(size, dtype="i4"), {"axis": axes[name[0]]} |
                          ({"c_grid_axis_shift": -0.5} if name.endswith("_g") else {}))
              for name, size in sizes.items()}  # fmt: skip
    fields["time"] = times(np.array([DAY * day], "i4"), UNITS)
    for (x, y), shift, dimensions in (
        (("XC", "YC"), 0.0, ("j", "i")), (("XG", "YG"), -0.5, ("j_g", "i_g"))
    ):  # fmt: skip
        j, i = np.meshgrid(np.arange(ROWS) + shift, np.arange(COLUMNS) + shift, indexing="ij")
        for name, values, told, toward in (
            (x, -150 + i - 0.5 * j, "longitude", "east"),
            (y, 70 + 0.3 * j + 0.1 * i, "latitude", "north"),
        ):
            attributes = {"standard_name": told, "units": f"degrees_{toward}"}
            fields[name] = Field(dimensions, values.astype("f4"), attributes, chunks=values.shape)
    for number, (name, place) in enumerate(PLACES.items()):
        values = weather((1, LEVELS, ROWS, COLUMNS), 10 * day + number)
        values[..., :3] = MISSING
        located = {"coordinates": "time XC YC"} if name == "THETA" else {}
        fields[name] = Field(("time", "k", *place), values, {"units": "1", **located},
                             chunks=(1, 2, ROWS, COLUMNS), fill=MISSING)  # fmt: skip
    return write_fields(path, fields, unlimited="time", title="Arctic ocean")


@pytest.fixture(scope="module")
def centre(s3: str, granules: list[Path]) -> Iterator[Archive]:
    upload(s3, PROTECTED, granules[0].parent, FOLDER.split("/", 3)[3])
    with archive(s3, public=(PUBLIC,)) as own:
        yield own


@pytest.fixture
def published(centre: Archive, tmp_path: Path) -> Iterator[Publication]:
    with publishing(tmp_path, short_name=SASSIE["short_name"]) as publication:
        protected(publication, centre, FOLDER)
        yield publication


def store(publication: Publication, granules: list[Path], moto: str, days: int) -> None:
    there = {path.as_uri(): f"{FOLDER}{path.name}" for path in granules}
    own = virtual_dataset(granules).vz.rename_paths(there.__getitem__)
    time = xr.Variable(("time",), DAY * np.arange(days, dtype="i4"), own["time"].attrs)
    folder = publication.root / "store.icechunk"
    write_icechunk(folder, {None: lengthened_dataset(own, {"time": time})},
                   container=SASSIE["container"], specification=1)  # fmt: skip
    assert (folder / "refs" / "branch.main" / "ref.json").exists()
    assert not (folder / "repo").exists()
    key = KEY.replace(".icechunk", f"-{days}.icechunk")
    upload(moto, PUBLIC, folder, f"{key}/")
    publication.publish(f"s3://{PUBLIC}/{key}/")


@pytest.mark.parametrize("days", [DAYS, pytest.param(FULL, marks=pytest.mark.scale)])
def test_variables_and_days_are_those_of_the_granules_with_the_grid_that_places_them(
    days: int, published: Publication, centre: Archive, granules: list[Path], tmp_path: Path
) -> None:
    store(published, granules, centre.moto, days)
    centre.s3.forget()
    centre.tea.forget()
    outcome = published.invoke(
        tmp_path, ["THETA", "UVEL"],
        temporal={"start": "2020-01-02T00:00:00Z", "end": "2020-02-29T23:59:59Z"},
    )  # fmt: skip
    assert outcome.status == 0, outcome.error
    steps = np.arange(1, min(days, 60))
    with netCDF4.Dataset(outcome.data[0]) as nc:
        nc.set_auto_maskandscale(False)
        assert {"THETA", "UVEL", "XC", "YC", "time", "k", "j", "i", "i_g"} == set(nc.variables)
        for name in ("THETA", "UVEL"):
            expected = np.concatenate([raw(path, name) for path in granules])[steps % DAYS]
            np.testing.assert_array_equal(nc[name][...], expected)
            assert nc[name].dimensions == ("time", "k", *PLACES[name])
        for name in ("XC", "YC", "k", "i_g"):
            np.testing.assert_array_equal(nc[name][...], raw(granules[0], name))
        np.testing.assert_array_equal(nc["time"][:], DAY * steps)
        assert nc["THETA"].coordinates == "time XC YC"
    assert centre.exchanges == 1
    signed = {own.path.split("/")[1] for own in centre.s3.asked if "Authorization" in own.headers}
    assert signed == {PROTECTED}


@pytest.mark.parametrize("box", [(-150, 71.05, -140, 75.05), (-180, 70, 180, 72.05)])
def test_box_on_the_curvilinear_grid_keeps_the_cells_whose_centres_lie_in_it(
    box: tuple[float, ...], published: Publication, centre: Archive, granules: list[Path],
    tmp_path: Path,
) -> None:  # fmt: skip
    store(published, granules, centre.moto, DAYS)
    outcome = published.invoke(tmp_path, ["THETA"], bbox=list(box))
    assert outcome.status == 0, outcome.error
    cells = inside(stored(granules[0], "XC"), stored(granules[0], "YC"), box)
    assert 0 < cells.sum() < cells[window(cells)].size  # the window holds others too
    (data,) = outcome.data
    for day, path in enumerate(granules):
        check_cut(raw(data, "THETA")[day : day + 1], raw(path, "THETA"), cells, MISSING)
    for name in ("XC", "YC"):  # where the cells are is told for all of the window
        np.testing.assert_array_equal(raw(data, name), raw(granules[0], name)[window(cells)])


def half_way(path: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes and latitudes between neighbouring centres; beyond the first, as far outside."""
    axis = {"UVEL": 1, "VVEL": 0}[name]
    parts = []
    for place in ("XC", "YC"):
        own = stored(path, place)
        first = 1.5 * own.take([0], axis) - 0.5 * own.take([1], axis)
        middle = (own.take(range(own.shape[axis] - 1), axis) + own.take(range(1, own.shape[axis]),
                  axis)) / 2  # fmt: skip
        parts.append(np.concatenate([first, middle], axis))
    return parts[0], parts[1]


@pytest.mark.parametrize("name", ["UVEL", "VVEL"])
def test_box_cuts_velocities_half_a_cell_beside_the_centres(
    name: str, published: Publication, centre: Archive, granules: list[Path], tmp_path: Path
) -> None:
    """By `c_grid_axis_shift`: their own dimensions have no latitudes and longitudes."""
    store(published, granules, centre.moto, DAYS)
    box = (-151.8, 71.33, -139.7, 75.17)
    outcome = published.invoke(tmp_path, [name], bbox=list(box))
    assert outcome.status == 0, outcome.error
    cells = inside(*half_way(granules[0], name), box)
    # In the service half-way is on the sphere, here in degrees; no edge lies between the two.
    assert (cells == inside(*half_way(granules[0], name), np.add(box, (-0.02, -0.02, 0.02, 0.02)))
            ).all()  # fmt: skip
    (data,) = outcome.data
    for day, path in enumerate(granules):
        check_cut(raw(data, name)[day : day + 1], raw(path, name), cells, MISSING)
    beside = cells | np.roll(cells, -1, {"UVEL": 1, "VVEL": 0}[name])
    for place in ("XC", "YC"):
        np.testing.assert_array_equal(raw(data, place), raw(granules[0], place)[window(beside)])
    with netCDF4.Dataset(data) as nc:
        assert f"{name}: it lies between the cells of YC and XC" in nc.virtual_store_notes


def test_box_on_centres_and_faces_cuts_each_by_its_own_places(
    published: Publication, centre: Archive, granules: list[Path], tmp_path: Path
) -> None:
    store(published, granules, centre.moto, DAYS)
    box = (-151.8, 71.33, -139.7, 75.17)
    outcome = published.invoke(tmp_path, ["THETA", "UVEL"], bbox=list(box))
    assert outcome.status == 0, outcome.error
    places = {"THETA": (stored(granules[0], "XC"), stored(granules[0], "YC")),
              "UVEL": half_way(granules[0], "UVEL")}  # fmt: skip
    (data,) = outcome.data
    for name, own in places.items():
        cells = inside(*own, box)
        with netCDF4.Dataset(data) as nc:
            at = np.ix_(*(nc[dimension][:] for dimension in PLACES[name]))
        expected = np.where(cells, raw(granules[0], name), MISSING)[0][(slice(None), *at)]
        np.testing.assert_array_equal(raw(data, name)[0], expected)
        assert (expected != MISSING).any()


def test_box_on_staggered_cells_without_places_is_refused_and_no_chunk_is_read(
    published: Publication, centre: Archive, granules: list[Path], tmp_path: Path
) -> None:
    bare = [granule(tmp_path / "bare" / "0.nc", 0)]
    with netCDF4.Dataset(bare[0], "a") as nc:
        nc["i_g"].delncattr("c_grid_axis_shift")
    store(published, bare, centre.moto, 1)
    centre.s3.forget()
    outcome = published.invoke(tmp_path, ["UVEL"], bbox=[-150, 70, -140, 75])
    assert outcome.status != 0
    assert outcome.error["category"] == "NoRetry"
    assert "A bounding box cannot cut UVEL" in outcome.error["error"]
    assert "no c_grid_axis_shift tells where it lies" in outcome.error["error"]
    assert "Ask without a box" in outcome.error["error"]
    assert not any(own.path.startswith(f"/{PROTECTED}/") for own in centre.s3.asked)
