"""Giovanni's cache: native Zarr of one variable each, with an archive of its own behind them."""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
from archive import Archive, archive
from invocation import CANARY
from servers import upload
from systems.granules import Field, centres, latitudes, longitudes, times, weather, write_fields
from systems.kits import raw
from systems.published import CONCEPT, LAYOUTS, Publication, publishing
from world import kerchunk_references, umm_variable, write_references

GIOVANNI = LAYOUTS["giovanni"]
NAME = GIOVANNI["variable"].rpartition("/")[2]
BUCKET, HREF = GIOVANNI["bucket"], GIOVANNI["href"]
KEY = HREF.split("/", 3)[3]
STEPS, FULL = 8, 17_568  # four hours, and a year
NLAT, NLON = 36, 72
CHUNKS = {"time": 200, "lat": 18, "lon": 36}  # half a megabyte
MISSING = np.float32(GIOVANNI["missing"])
UNITS = "seconds since 1970-01-01 00:00:00"
FIRST = np.datetime64("2020-06-01T00:00", "s")
LONGER = np.timedelta64(GIOVANNI["minutes"], "m").astype("timedelta64[s]").astype(int)


@pytest.fixture(scope="module")
def granules(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("published") / "granules"
    return [granule(folder / f"{step}.nc", step) for step in range(STEPS)]


def seconds(step: int | np.ndarray) -> np.ndarray:
    return np.atleast_1d(FIRST.astype("i8") + LONGER * step).astype("i4")


def granule(path: Path, step: int) -> Path:
    rain = np.abs(weather((1, NLAT, NLON), step))
    rain[:, :3] = MISSING
    rain[:, 10:20] = 0
    return write_fields(path, {
        "time": times(seconds(step), UNITS),
        "lat": latitudes("lat", centres(NLAT, -90, 90)),
        "lon": longitudes("lon", centres(NLON, -180, 180)),
        NAME: Field(("time", "lat", "lon"), rain, {"units": "mm/hr"}, (1, NLAT, NLON), MISSING),
    }, unlimited="time")  # fmt: skip


def cached(granules: Sequence[Path], folder: Path, steps: int, version: int = 2) -> Path:
    """The granules as xarray writes them for time series; step n is that of ``n % STEPS``."""
    days = [xr.open_dataset(path, decode_cf=False).load() for path in granules]
    whole = xr.concat(days, dim="time", data_vars="minimal", coords="minimal", compat="override",
                      join="override").isel(time=np.arange(steps) % STEPS)  # fmt: skip
    whole["time"] = ("time", seconds(np.arange(steps)), whole["time"].attrs)
    for variable in whole.variables.values():
        variable.encoding = {}
    chunks = [min(CHUNKS[name], size) for name, size in whole[NAME].sizes.items()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole.to_zarr(folder, zarr_format=version, consolidated=True,
                      encoding={NAME: {"chunks": chunks}})  # fmt: skip
    return folder


@pytest.fixture
def steps(request: pytest.FixtureRequest) -> int:
    return FULL if request.node.get_closest_marker("scale") else STEPS


@pytest.fixture
def centre(s3: str, granules: list[Path], steps: int, tmp_path: Path) -> Iterator[Archive]:
    upload(s3, BUCKET, cached(granules, tmp_path / "cache", steps), f"{KEY}/")
    with archive(s3) as own:
        yield own


@pytest.fixture
def published(centre: Archive, granules: list[Path]) -> Iterator[Publication]:
    """The collection names its archive's bucket; the variable its cache and who opens it."""
    settings = {"HARMONY_VDS_S3_ENDPOINT_URL": centre.s3.url,
                "HARMONY_VDS_TOKEN_HOSTS": centre.tea.url}  # fmt: skip
    root = granules[0].parents[1]
    with publishing(root, short_name=GIOVANNI["short_name"], **settings) as publication:
        publication.publish(DirectDistributionInformation={
            "Region": "us-west-2",
            "S3BucketAndObjectPrefixNames": ["s3://gesdisc-cumulus-prod-protected/GPM_L3/"],
            "S3CredentialsAPIEndpoint": "https://data.gesdisc.earthdata.nasa.gov/s3credentials",
            "S3CredentialsAPIDocumentationURL": "https://data.gesdisc.earthdata.nasa.gov/README",
        })  # fmt: skip
        instance = {
            "URL": HREF, "Format": "Zarr", "Description": "Cached for Giovanni",
            "DirectDistributionInformation": {
                "Region": "us-west-2", "S3BucketAndObjectPrefixNames": [BUCKET, KEY],
                "S3CredentialsAPIEndpoint": centre.endpoint,
                "S3CredentialsAPIDocumentationURL": f"{centre.tea.url}/s3credentialsREADME",
            },
            "ChunkingInformation": "Optimized for time series.",
        }  # fmt: skip
        variable = umm_variable("V1-TEST", GIOVANNI["variable"], InstanceInformation=instance)
        publication.records[CONCEPT]["meta"]["associations"] = {"variables": ["V1-TEST"]}
        publication.records["V1-TEST"] = variable
        yield publication


def truth(granules: Sequence[Path], steps: np.ndarray) -> np.ndarray:
    """Northern columns of the box that the tests ask for."""
    whole = np.concatenate([raw(path, NAME) for path in granules])
    return whole[steps % STEPS, 0:12, 36:48]


BOX = [0, -90, 60, -30]


def test_variable_is_found_in_its_cache_and_read_with_the_caches_own_credentials(
    published: Publication, centre: Archive, granules: list[Path], tmp_path: Path
) -> None:
    outcome = published.invoke(
        tmp_path, [GIOVANNI["variable"]], bbox=BOX, short_name=GIOVANNI["short_name"],
        temporal={"start": "2020-06-01T01:00:00Z", "end": "2020-06-01T02:30:00Z"},
    )  # fmt: skip
    assert outcome.status == 0, outcome.error
    assert outcome.items[0]["properties"]["virtual_store:href"] == f"s3://{BUCKET}/{KEY}"
    expected = truth(granules, np.arange(2, 6))
    with netCDF4.Dataset(outcome.data[0]) as nc:
        rain = nc[NAME]
        np.testing.assert_array_equal(nc["time"][:], seconds(np.arange(2, 6)))
        np.testing.assert_array_equal(np.ma.getmaskarray(rain[:]), expected == MISSING)
        assert (expected == MISSING).any()
        rain.set_auto_maskandscale(False)
        np.testing.assert_array_equal(rain[:], expected)
        assert (expected == 0).any()
    assert centre.exchanges == 1
    signed = {own.path.split("/")[1] for own in centre.s3.asked if "Authorization" in own.headers}
    assert signed == {BUCKET}
    assert CANARY not in outcome.stderr


def test_where_the_cache_is_closed_the_collections_own_store_answers(
    published: Publication, centre: Archive, granules: list[Path], tmp_path: Path
) -> None:
    here = {path.as_uri(): published.url(path) for path in granules}
    document = kerchunk_references(granules, here.__getitem__, identical=("lat", "lon"))
    written = write_references(published.root / "collection.json", document)
    published.publish(published.url(written))
    centre.fault = "outside"
    outcome = published.invoke(tmp_path, [GIOVANNI["variable"]], bbox=BOX,
                               short_name=GIOVANNI["short_name"])  # fmt: skip
    assert outcome.status == 0, outcome.error
    assert outcome.items[0]["properties"]["virtual_store:href"] == published.url(written)
    with netCDF4.Dataset(outcome.data[0]) as nc:
        nc.set_auto_maskandscale(False)
        np.testing.assert_array_equal(nc[NAME][:], truth(granules, np.arange(STEPS)))
    assert "UMM-Var" in outcome.stderr


def test_closed_cache_without_another_store_is_refused_with_the_reason(
    published: Publication, centre: Archive, tmp_path: Path
) -> None:
    centre.fault = "outside"
    outcome = published.invoke(tmp_path, [GIOVANNI["variable"]],
                               short_name=GIOVANNI["short_name"])  # fmt: skip
    assert outcome.status != 0
    assert f"{centre.endpoint} refused access" in outcome.error["error"]
    assert "InstanceInformation" in outcome.error["error"]


@pytest.mark.scale
def test_year_of_half_hours_at_a_place_takes_the_chunks_of_that_place(
    published: Publication, centre: Archive, granules: list[Path], tmp_path: Path
) -> None:
    outcome = published.invoke(tmp_path, [GIOVANNI["variable"]], bbox=[2, -88, 3, -87],
                               short_name=GIOVANNI["short_name"])  # fmt: skip
    assert outcome.status == 0, outcome.error
    whole = np.concatenate([raw(path, NAME) for path in granules])
    with netCDF4.Dataset(outcome.data[0]) as nc:
        nc.set_auto_maskandscale(False)
        np.testing.assert_array_equal(nc[NAME][:, 0, 0], whole[np.arange(FULL) % STEPS, 0, 36])
    chunks = {own.path for own in centre.s3.asked if f"/{NAME}/" in own.path}
    assert len([path for path in chunks if path.rpartition("/")[2][0].isdigit()]) == 88
