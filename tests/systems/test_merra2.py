"""GES DISC MERRA-2: kerchunk Parquet over S3, whose bucket has another name over https."""

import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import virtualizarr.accessor  # noqa: F401  gives datasets their .vz
import xarray as xr
from archive import Archive, archive
from invocation import CANARY
from servers import upload
from systems.granules import Field, latitudes, longitudes, times, weather, write_fields
from systems.kits import raw
from systems.published import CONCEPT, LAYOUTS, Publication, publishing
from world import umm_granule, virtual_dataset

MERRA = LAYOUTS["merra2"]
BUCKET, FOLDER = MERRA["bucket"], MERRA["folder"]
KEYS = f"MERRA2/{MERRA['short_name']}.5.12.4"
HOURS = MERRA["hours_per_file"]
DAYS, FULL = 3, 366
MISSING = np.float32(1e15)
FIELDS = tuple(MERRA["variables"])
SIZES = {True: MERRA["dimensions"], False: {"lat": 37, "lon": 58}}  # whole, and small
UNITS = "minutes since 2024-01-{:02d} 00:30:00"


def granules(folder: Path, *, whole: bool) -> list[Path]:
    sizes = SIZES[whole]
    return [granule(folder / f"{day}.nc4", day, **sizes) for day in range(DAYS)]


def granule(path: Path, day: int, lat: int, lon: int) -> Path:
    """A day, whose times count from its own first half hour."""
    hours = np.arange(0, HOURS * 60, 60, dtype="i4")
    axes = {
        "time": times(hours, UNITS.format(day + 1), begin_time=np.int32(3000)),
        "lat": latitudes("lat", np.linspace(-90, 90, lat)),
        "lon": longitudes("lon", -180 + 360 / lon * np.arange(lon)),
    }
    fields = {}
    for number, name in enumerate(FIELDS):
        values = weather((HOURS, lat, lon), 10 * day + number)
        values[0, 0] = MISSING
        fields[name] = Field(("time", "lat", "lon"), values, {
            "units": "1", "missing_value": MISSING, "fmissing_value": MISSING,
            "vmax": MISSING, "vmin": -MISSING, "valid_range": np.array([-MISSING, MISSING]),
        }, chunks=(1, lat, lon), fill=MISSING)  # fmt: skip
    return write_fields(path, axes | fields, unlimited="time")


@pytest.fixture
def files(tmp_path: Path, request: pytest.FixtureRequest) -> list[Path]:
    whole = request.node.get_closest_marker("scale") is not None
    return granules(tmp_path / "published" / "granules", whole=whole)


@pytest.fixture
def centre(s3: str, files: list[Path]) -> Iterator[Archive]:
    upload(s3, BUCKET, files[0].parent, f"{KEYS}/")
    with archive(s3, folders={FOLDER: BUCKET}) as own:
        yield own


@pytest.fixture
def published(centre: Archive, files: list[Path]) -> Iterator[Publication]:
    settings = {"HARMONY_VDS_S3_ENDPOINT_URL": centre.s3.url,
                "HARMONY_VDS_TOKEN_HOSTS": centre.tea.url}  # fmt: skip
    root = files[0].parents[1]
    with publishing(root, short_name=MERRA["short_name"], **settings) as publication:
        publication.environment["HARMONY_VDS_TRUSTED_PREFIXES"] += f",{centre.tea.url}/"
        publication.publish(DirectDistributionInformation={
            "Region": "us-west-2", "S3BucketAndObjectPrefixNames": [f"s3://{BUCKET}/{KEYS}/"],
            "S3CredentialsAPIEndpoint": centre.endpoint,
            "S3CredentialsAPIDocumentationURL": f"{centre.tea.url}/s3credentialsREADME",
        })  # fmt: skip
        links = [
            {"URL": f"{centre.tea.url}/{FOLDER}/{KEYS}/0.nc4", "Type": "GET DATA"},
            {"URL": f"s3://{BUCKET}/{KEYS}/0.nc4", "Type": "GET DATA VIA DIRECT ACCESS"},
        ]
        publication.records["G1-TEST"] = umm_granule("G1-TEST", CONCEPT, "0.nc4", links)
        yield publication


def store(publication: Publication, files: Sequence[Path], days: int = DAYS) -> None:
    """One store of `days` days; day n has the references of file ``n % DAYS``."""
    there = {path.as_uri(): f"s3://{BUCKET}/{KEYS}/{path.name}" for path in files}
    own = [virtual_dataset([path]).vz.rename_paths(there.__getitem__) for path in files]
    parts = []
    for day in range(days):
        minutes = (24 * 60 * day + 60 * np.arange(HOURS)).astype("i4")
        axis = xr.Variable(("time",), minutes, own[0]["time"].attrs)
        parts.append(own[day % DAYS].assign({"time": axis}))
    joined = xr.concat(parts, dim="time", data_vars="minimal", coords="minimal",
                       compat="override", join="override")  # fmt: skip
    folder = publication.root / "M2T1NXAER.parquet"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        joined.vz.to_kerchunk(str(folder), format="parquet", record_size=100)
    publication.publish(publication.url(folder))


@pytest.mark.parametrize("fault", ["", "outside"])
def test_hours_of_a_box_are_those_of_the_granules_in_the_region_and_outside_of_it(
    fault: str, published: Publication, centre: Archive, files: list[Path], tmp_path: Path
) -> None:
    """Outside, S3 refuses: the links of a granule tell where its bucket is over https."""
    store(published, files)
    centre.fault = fault
    outcome = published.invoke(
        tmp_path, ["TOTEXTTAU"], bbox=[-20, -91, 40, -50], short_name=MERRA["short_name"],
        temporal={"start": "2024-01-01T22:00:00Z", "end": "2024-01-02T03:00:00Z"},
    )  # fmt: skip
    assert outcome.status == 0, outcome.error
    lat, lon = raw(files[0], "lat"), raw(files[0], "lon")
    rows = np.flatnonzero(lat <= -50)
    columns = np.flatnonzero((lon >= -20) & (lon <= 40))
    whole = np.concatenate([raw(path, "TOTEXTTAU") for path in files])
    expected = whole[22:27][:, rows][:, :, columns]
    with netCDF4.Dataset(outcome.data[0]) as nc:
        depth = nc["TOTEXTTAU"]
        np.testing.assert_array_equal(nc["time"][:], 60 * np.arange(22, 27))
        assert nc["time"].units == UNITS.format(1)
        np.testing.assert_array_equal(np.ma.getmaskarray(depth[:]), expected == MISSING)
        assert (expected == MISSING).any()
        depth.set_auto_maskandscale(False)
        np.testing.assert_array_equal(depth[:], expected)
    read = {own.path.rpartition("/")[0] for own in centre.tea.asked if "Range" in own.headers}
    assert read == ({f"/{FOLDER}/{KEYS}"} if fault else set())
    assert (centre.objects(centre.s3) == 0) is bool(fault)
    assert CANARY not in json.dumps(outcome.catalog) + outcome.stderr


def test_without_links_of_granules_the_refusal_names_the_credentials_endpoint(
    published: Publication, centre: Archive, files: list[Path], tmp_path: Path
) -> None:
    store(published, files)
    del published.records["G1-TEST"]
    centre.fault = "outside"
    outcome = published.invoke(tmp_path, ["TOTEXTTAU"], short_name=MERRA["short_name"])
    assert outcome.status != 0
    assert outcome.error["category"] == "NoRetry"
    assert f"{centre.endpoint} refused access" in outcome.error["error"]
    assert not list((tmp_path / "data").glob("*"))


@pytest.mark.scale
def test_a_month_out_of_a_year_of_hours_is_that_of_the_granules(
    published: Publication, centre: Archive, files: list[Path], tmp_path: Path
) -> None:
    store(published, files, FULL)
    outcome = published.invoke(
        tmp_path, ["DUEXTTAU"], bbox=[0, 0, 10, 10], short_name=MERRA["short_name"],
        temporal={"start": "2024-03-01T00:00:00Z", "end": "2024-03-31T23:59:59Z"},
    )  # fmt: skip
    assert outcome.status == 0, outcome.error
    lat, lon = raw(files[0], "lat"), raw(files[0], "lon")
    rows = np.flatnonzero((lat >= 0) & (lat <= 10))
    columns = np.flatnonzero((lon >= 0) & (lon <= 10))
    days = [raw(path, "DUEXTTAU")[:, rows][:, :, columns] for path in files]
    expected = np.concatenate([days[day % DAYS] for day in range(60, 91)])
    with netCDF4.Dataset(outcome.data[0]) as nc:
        nc.set_auto_maskandscale(False)
        np.testing.assert_array_equal(nc["DUEXTTAU"][:], expected)
    touched = [path for path in published.archive.paths() if "/DUEXTTAU/refs" in path]
    # Hours 1440 to 2183, in records of a hundred.
    assert len(set(touched)) == len(touched) == 8
