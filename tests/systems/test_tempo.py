"""ASDC TEMPO: an icechunk repository in an open bucket over a protected one, flat or in groups."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr
from archive import Archive, archive
from building import build, contents
from dmrpp import write_dmrpp
from invocation import Outcome
from servers import upload
from systems.granules import Field, centres, latitudes, longitudes, weather
from systems.kits import raw
from systems.published import CONCEPT, LAYOUTS, Publication, lengthened_dataset, publishing
from world import umm_granule, virtual_dataset, write_icechunk, write_stac

from harmony_vds.errors import StoreError

TEMPO = LAYOUTS["tempo"]
GROUPS = (None, *TEMPO["groups"])
BUCKET, PROTECTED = (TEMPO[name].split("/")[2] for name in ("repository", "container"))
KEY = TEMPO["repository"].split("/", 3)[3]
KEYS = "TEMPO/TEMPO_NO2_L3_V04/2026.01.01"
SCANS, FULL = 4, TEMPO["dimensions"]["time"]
SMALLER = 20  # than the published grid, in as many chunks
NLAT, NLON = (TEMPO["dimensions"][name] // SMALLER for name in ("latitude", "longitude"))
LAT, LON = centres(NLAT, 14, 73), centres(NLON, -168, -13)
EPOCH = np.datetime64("1980-01-06T00:00:00", "s")
FIRST = 1_451_304_018.0 + 0.25
HOUR = 3600.0
LEDGER = json.dumps({f"G{number}-LARC_CLOUD": "waits for its neighbour" for number in range(6000)})
MISSING = {"f8": -1e30, "f4": -1e30, "i2": -9999}


@pytest.fixture(scope="module")
def granules(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("published") / "granules"
    folder.mkdir()
    return [granule(folder / f"TEMPO_NO2_L3_V04_S{n:03d}.nc", n) for n in range(SCANS)]


def granule(
    path: Path, scan: int, rows: int = NLAT, columns: int = NLON, *, flat: bool = False
) -> Path:
    """One scan: coordinates in the root, everything else in groups, unless it is `flat`."""
    with netCDF4.Dataset(path, "w") as nc:
        for name, size in (("time", 1), ("latitude", rows), ("longitude", columns)):
            nc.createDimension(name, size)
        moment = {"units": TEMPO["epoch"], "standard_name": "time", "calendar": "gregorian"}
        put(nc, "time", Field(("time",), np.array([FIRST + HOUR * scan]), moment))
        put(nc, "latitude", latitudes("latitude", LAT[:rows]))
        put(nc, "longitude", longitudes("longitude", LON[:columns]))
        for number, (name, told) in enumerate(TEMPO["variables"].items()):
            where = nc.createGroup(told["group"]) if told["group"] and not flat else nc
            dimensions = ("time", "latitude", "longitude")
            chunks = (1, *(-(-n // SMALLER) for n in told["chunks"][1:]))
            if not told["group"]:
                dimensions, chunks = dimensions[1:], chunks[1:]
            shape = tuple(len(nc.dimensions[dimension]) for dimension in dimensions)
            values = weather(shape, 10 * scan + number).astype(told["dtype"])
            missing = np.dtype(told["dtype"]).type(MISSING[told["dtype"]])
            values[..., :20, :] = missing
            put(where, name, Field(dimensions, values, {
                "long_name": name.replace("_", " "), "coordinates": "time longitude latitude",
            }, chunks, missing))  # fmt: skip
    return path


def put(nc: Any, name: str, own: Field) -> None:
    variable = nc.createVariable(
        name, own.values.dtype, own.dimensions, fill_value=own.fill, chunksizes=own.chunks,
        zlib=own.chunks is not None, shuffle=own.chunks is not None,
    )  # fmt: skip
    variable.set_auto_maskandscale(False)
    variable.setncatts(dict(own.attributes))
    variable[...] = own.values


@pytest.fixture
def centre(s3: str, granules: list[Path]) -> Iterator[Archive]:
    upload(s3, PROTECTED, granules[0].parent, f"{KEYS}/")
    with archive(s3, public=(BUCKET,)) as own:
        yield own


@pytest.fixture
def published(centre: Archive, granules: list[Path], tmp_path: Path) -> Iterator[Publication]:
    settings = {"HARMONY_VDS_S3_ENDPOINT_URL": centre.s3.url,
                "HARMONY_VDS_TOKEN_HOSTS": centre.tea.url}  # fmt: skip
    with publishing(tmp_path, short_name=TEMPO["short_name"], **settings) as publication:
        publication.publish(DirectDistributionInformation={
            "Region": "us-west-2", "S3BucketAndObjectPrefixNames": [f"s3://{PROTECTED}/TEMPO/"],
            "S3CredentialsAPIEndpoint": centre.endpoint,
            "S3CredentialsAPIDocumentationURL": f"{centre.tea.url}/s3credentialsREADME",
        })  # fmt: skip
        yield publication


def joined(granules: Sequence[Path], group: str | None, steps: int) -> xr.Dataset:
    """One group of all granules; the weights, which have no time of their own, get it."""
    parts = []
    for path in granules:
        own = virtual_dataset([path], group=group)
        parts.append(own.assign({"weight": own["weight"].expand_dims("time")})
                     if "weight" in own else own)  # fmt: skip
    own = xr.concat(parts, dim="time", data_vars="minimal", coords="minimal", compat="override",
                    join="override", combine_attrs="drop_conflicts")  # fmt: skip
    axis = xr.Variable(("time",), FIRST + HOUR * np.arange(steps),
                       {"units": TEMPO["epoch"], "calendar": "gregorian"})  # fmt: skip
    longer = lengthened_dataset(own, {"time": axis})
    return longer if group is None else longer.drop_vars("time")


def store(
    publication: Publication, centre: Archive, granules: Sequence[Path], *, flat: bool,
    steps: int = SCANS,
) -> str:  # fmt: skip
    """The repository in the open bucket, without a suffix; every group in the root, or itself."""
    there = {path.as_uri(): f"s3://{PROTECTED}/{KEYS}/{path.name}" for path in granules}
    groups = {group: joined(granules, group, steps) for group in GROUPS}
    names = np.array([granules[n % SCANS].name for n in range(steps)], object)
    groups[None] = groups[None].assign(source=("time", names))
    if flat:
        merged = groups[None]
        for own in list(groups.values())[1:]:
            merged = merged.assign(own.variables)
        groups = {None: merged}
    groups[None] = groups[None].assign_attrs({TEMPO["ledger"]: LEDGER})
    folder = publication.root / "repository"
    write_icechunk(folder, groups, container=TEMPO["container"], rename=there.__getitem__)
    key = f"{KEY}-{publication.root.name}"
    upload(centre.moto, BUCKET, folder, f"{key}/")
    publication.publish(f"s3://{BUCKET}/{key}/")
    return f"s3://{BUCKET}/{key}"


def truth(granules: Sequence[Path], path: str) -> np.ndarray:
    """The values of all granules; shape (scan, latitude, longitude)."""
    fields = [raw(own, path) for own in granules]
    return np.stack([own[0] if own.ndim == 3 else own for own in fields])


BOX = [-100, 15, -80, 40]
ROWS, COLUMNS = (LAT >= 15) & (LAT <= 40), (LON >= -100) & (LON <= -80)


def cut(values: np.ndarray, steps: np.ndarray) -> np.ndarray:
    return values[steps][:, ROWS][:, :, COLUMNS]


@pytest.mark.parametrize("flat", [True, False], ids=["flat", "grouped"])
def test_scans_of_a_box_are_those_of_the_granules_in_every_type_and_group(
    flat: bool, published: Publication, centre: Archive, granules: list[Path], tmp_path: Path
) -> None:
    assert len(LEDGER) > 2**16  # more than HDF5 keeps in a header
    href = store(published, centre, granules, flat=flat)
    paths = [f"{own['group']}/{name}".lstrip("/") for name, own in TEMPO["variables"].items()]
    outcome = published.invoke(
        tmp_path, [*paths, "source"], bbox=BOX, short_name=TEMPO["short_name"],
        temporal={"start": "2026-01-01T13:00:00Z", "end": "2026-01-01T15:00:00Z"},
    )  # fmt: skip
    assert outcome.status == 0, outcome.error
    assert outcome.items[0]["properties"]["virtual_store:href"] == href
    kept = np.array([1, 2])
    with netCDF4.Dataset(outcome.data[0]) as nc:
        np.testing.assert_array_equal(nc["time"][:], FIRST + HOUR * kept)
        assert nc["time"].dtype == np.float64
        assert nc.getncattr(TEMPO["ledger"]) == LEDGER
        assert nc["source"][:].tolist() == [granules[n].name for n in kept]
        for path in paths:
            expected = cut(truth(granules, path), kept)
            variable = nc[path.rpartition("/")[2] if flat else path]
            missing = expected == np.asarray(variable.getncattr("_FillValue"))
            np.testing.assert_array_equal(np.ma.getmaskarray(variable[:]), missing)
            assert missing.any()
            variable.set_auto_maskandscale(False)
            np.testing.assert_array_equal(variable[:], expected)
            assert variable.dtype == expected.dtype
    assert centre.exchanges == 1
    signed = {own.path.split("/")[1] for own in centre.s3.asked if "Authorization" in own.headers}
    assert signed == {PROTECTED}


SHORTER = [(NLAT - 1, NLON), (NLAT, NLON - 1)]


@pytest.mark.parametrize("flat", [True, False], ids=["flat", "grouped"])
@pytest.mark.parametrize("size", SHORTER, ids=["row", "column"])
def test_granule_a_row_or_column_short_is_refused_when_a_store_is_built(
    size: tuple[int, int], flat: bool, tmp_path: Path
) -> None:
    files = [granule(tmp_path / "whole.nc", 0, flat=flat),
             granule(tmp_path / "short.nc", 1, *size, flat=flat)]  # fmt: skip
    with pytest.raises(StoreError, match=r"short\.nc is not of the first granule's size: its "):
        build(files, tmp_path / "store", dimension="time")
    assert not (tmp_path / "store").exists()


def announce(publication: Publication, files: Sequence[Path]) -> list[dict[str, Any]]:
    """Records of `files`, each with a sidecar, and their items as query-cmr leaves them."""
    items = []
    for number, path in enumerate(files):
        began = EPOCH + np.timedelta64(int(raw(path, "time")[0]), "s")
        times = f"{began}Z", f"{began + np.timedelta64(50, 'm')}Z"
        sidecar = write_dmrpp(path, publication.root / f"{path.name}.dmrpp")
        direct = f"s3://{PROTECTED}/{KEYS}/{path.name}"
        concept = f"G{number}-TEST"
        publication.records[concept] = umm_granule(concept, CONCEPT, path.stem, [
            {"URL": direct, "Type": "GET DATA VIA DIRECT ACCESS"},
            {"URL": publication.url(sidecar), "Type": "EXTENDED METADATA", "Subtype": "DMR++"},
        ], times=times)  # fmt: skip
        assets = {"data": {"href": f"https://archive.invalid/{path.name}"}}
        items.append({"concept_id": concept, "name": path.stem, "times": times, "assets": assets})
    return items


def select(publication: Publication, items: list[dict[str, Any]]) -> Outcome:
    """Ask for a box of `items`, as after query-cmr."""
    catalog = write_stac(publication.root / "in", CONCEPT, items, publication.cmr.url)
    return publication.invoke(
        publication.root / "out", ["product/vertical_column"], stac=str(catalog), bbox=BOX,
        short_name=TEMPO["short_name"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("size", "flat"), [(SHORTER[0], True), (SHORTER[1], False)], ids=["row-flat", "column-grouped"]
)
def test_selected_granule_a_row_or_column_short_is_answered_by_itself(
    size: tuple[int, int], flat: bool, published: Publication, centre: Archive, granules: list[Path]
) -> None:
    """The publisher's store lacks it, so that all of the selection come one by one."""
    store(published, centre, granules, flat=flat)
    folder = published.root / "upload"
    folder.mkdir()
    short = granule(folder / f"TEMPO_short_{size[0]}.nc", SCANS, *size)
    upload(centre.moto, PROTECTED, folder, f"{KEYS}/")
    files = [granules[1], short]
    outcome = select(published, announce(published, files))
    assert outcome.status == 0, outcome.error
    assert "has no step in 1 of the 2 times of the selected granules" in outcome.stderr
    assert len(outcome.data) == 2
    for data, path in zip(outcome.data, files, strict=True):
        whole = raw(path, "product/vertical_column")
        rows, columns = ROWS[: whole.shape[1]], COLUMNS[: whole.shape[2]]
        expected = whole[:, rows][:, :, columns]
        np.testing.assert_array_equal(raw(data, "product/vertical_column"), expected)


@pytest.mark.parametrize("flat", [True, False], ids=["flat", "grouped"])
def test_selected_scans_are_picked_from_the_store_by_the_names_of_their_files(
    flat: bool, published: Publication, centre: Archive, granules: list[Path]
) -> None:
    """Although CMR gives them other times than the files do."""
    store(published, centre, granules, flat=flat)
    items = announce(published, [granules[3], granules[0]])
    for own in items:
        own["times"] = ("2025-12-31T00:00:00Z", "2025-12-31T00:10:00Z")
    outcome = select(published, items)
    assert outcome.status == 0, outcome.error
    (data,) = outcome.data
    name = "vertical_column" if flat else "product/vertical_column"
    expected = cut(truth(granules, "product/vertical_column"), np.array([0, 3]))
    np.testing.assert_array_equal(raw(data, name), expected)


def test_swaths_of_unequal_length_are_joined_with_chunks_of_unequal_length(tmp_path: Path) -> None:
    files = []
    for number, rows in enumerate((132, 131, 132)):
        with netCDF4.Dataset(tmp_path / f"{number}.nc", "w") as nc:
            nc.createDimension("mirror_step", rows)
            nc.createDimension("xtrack", 64)
            column = weather((rows, 64), number, "f8")
            put(nc, "column", Field(("mirror_step", "xtrack"), column, {}, column.shape, -1e30))
        files.append(tmp_path / f"{number}.nc")
    build(files, tmp_path / "store", dimension="mirror_step")
    values, _ = contents(tmp_path / "store")["/column"]
    np.testing.assert_array_equal(values, np.concatenate([raw(own, "column") for own in files]))


@pytest.mark.scale
def test_month_of_scans_is_read_from_all_references_of_the_publication(
    published: Publication, centre: Archive, granules: list[Path], tmp_path: Path
) -> None:
    store(published, centre, granules, flat=True, steps=FULL)
    outcome = published.invoke(
        tmp_path, ["vertical_column", "weight"], bbox=BOX, short_name=TEMPO["short_name"]
    )
    assert outcome.status == 0, outcome.error
    steps = np.arange(FULL) % SCANS
    with netCDF4.Dataset(outcome.data[0]) as nc:
        nc.set_auto_maskandscale(False)
        for path in ("product/vertical_column", "weight"):
            got = nc[path.rpartition("/")[2]][:]
            np.testing.assert_array_equal(got, cut(truth(granules, path), steps))
