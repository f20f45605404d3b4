"""VEDA's NLDAS-3: an icechunk repository in an open bucket, whose stored container misleads."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
from archive import Archive, archive
from servers import upload
from systems.granules import Field, latitudes, longitudes, times, weather, write_fields
from systems.kits import raw
from systems.published import LAYOUTS, Publication, lengthened_dataset, publishing
from world import virtual_dataset, write_icechunk

NLDAS = LAYOUTS["nldas"]
BUCKET = NLDAS["repository"].split("/")[2]
DAILY = NLDAS["container"]
ELSEWHERE = "s3://forcing-mirror/NLDAS3/forcing/daily/"
MONTHS, FULL = ("202401", "202402", "202403", "202404"), NLDAS["dimensions"]["time"]
NLAT, NLON = 65, 117  # a hundredth of the published grid, in as many chunks
CHUNKS = tuple(n // 100 for n in NLDAS["variables"]["Tair"]["chunks"][1:])
MISSING = np.float32(NLDAS["global_missing_value"])
UNITS = "days since 2001-01-02 00:00:00"
FIRST = np.datetime64("2001-01-02", "D")


def axis(name: str, size: int) -> np.ndarray:
    return np.linspace(*NLDAS[name], size, dtype="f4")


@pytest.fixture(scope="module")
def granules(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("daily")
    return [granule(folder / month / f"{month}.nc", n) for n, month in enumerate(MONTHS)]


def granule(path: Path, step: int) -> Path:
    values = weather((1, NLAT, NLON), 250 + step)
    values[:, :30, :60] = MISSING
    fields = {
        "time": times(np.array([step], "i4"), UNITS),
        "lat": latitudes("lat", axis("latitudes", NLAT)),
        "lon": longitudes("lon", axis("longitudes", NLON)),
        "Tair": Field(("time", "lat", "lon"), values, {"units": "K"}, chunks=(1, *CHUNKS)),
    }
    return write_fields(path, fields, unlimited="time", missing_value=MISSING)


@pytest.fixture(scope="module")
def buckets(s3: str, granules: Sequence[Path]) -> Iterator[Archive]:
    both = (BUCKET, ELSEWHERE.split("/")[2])
    for bucket in both:
        upload(s3, bucket, granules[0].parents[1], DAILY.split("/", 3)[3])
    with archive(s3, public=both) as own:
        yield own


@pytest.fixture
def published(buckets: Archive, tmp_path: Path) -> Iterator[Publication]:
    settings = {"HARMONY_VDS_S3_ENDPOINT_URL": buckets.s3.url, "HARMONY_VDS_TRUSTED_PREFIXES": ""}
    with publishing(tmp_path, short_name="NLDAS_FOR0010_D", **settings) as publication:
        yield publication


def store(
    publication: Publication, granules: Sequence[Path], s3: str, *,
    prefixes: Sequence[str] = (DAILY,) * 4, container: str = DAILY, steps: int = 4,
) -> None:  # fmt: skip
    """A repository in the bucket; each month's granule lies below one of `prefixes`."""
    there = {
        path.as_uri(): f"{prefix}{path.relative_to(path.parents[1])}"
        for path, prefix in zip(granules, prefixes, strict=True)
    }
    own = virtual_dataset(granules).vz.rename_paths(there.__getitem__)
    time = xr.Variable(("time",), np.arange(steps, dtype="i4"), own["time"].attrs)
    dataset = lengthened_dataset(own, {"time": time})
    folder = publication.root / "repository"
    write_icechunk(folder, {None: dataset}, container=container, covered=False)
    key = f"{NLDAS['repository'].split('/', 3)[3]}-{publication.root.name}"
    upload(s3, BUCKET, folder, f"{key}/")
    publication.publish(f"s3://{BUCKET}/{key}/")


@pytest.mark.parametrize("steps", [4, pytest.param(FULL, marks=pytest.mark.scale)])
def test_every_month_is_read_although_the_stored_container_names_one(
    steps: int, published: Publication, buckets: Archive, granules: list[Path], tmp_path: Path
) -> None:  # fmt: skip
    """Readers that go by the container find fill, or an error, in all other months."""
    store(published, granules, buckets.moto, container=f"{DAILY}202401/", steps=steps)
    first = max(steps - 31, 0)
    outcome = published.invoke(
        tmp_path, ["Tair"], bbox=[-120, 20, -100, 40],
        temporal={"start": f"{FIRST + np.timedelta64(first, 'D')}T00:00:00Z"},
    )  # fmt: skip
    assert outcome.status == 0, outcome.error
    lat, lon = axis("latitudes", NLAT), axis("longitudes", NLON)
    rows = np.flatnonzero((lat >= 20) & (lat <= 40))
    columns = np.flatnonzero((lon >= -120) & (lon <= -100))
    own = np.concatenate([raw(path, "Tair") for path in granules])
    expected = own[np.arange(first, steps) % 4][:, rows][:, :, columns]
    with netCDF4.Dataset(outcome.data[0]) as nc:
        tair = nc["Tair"]
        np.testing.assert_array_equal(np.ma.getmaskarray(tair[:]), expected == MISSING)
        assert (expected == MISSING).any()
        tair.set_auto_maskandscale(False)
        np.testing.assert_array_equal(tair[:], expected)
        assert tair.getncattr("_FillValue") == MISSING
    assert outcome.items[0]["properties"]["virtual_store:missing_chunks"] == 0
    assert "its group's missing_value -9999" in outcome.stderr
    assert not any("Authorization" in asked.headers for asked in buckets.s3.asked)


MOVED = (DAILY, DAILY, ELSEWHERE, DAILY)


def test_month_below_an_untrusted_prefix_is_an_error_that_names_it_and_never_zeros(
    published: Publication, granules: list[Path], s3: str, tmp_path: Path
) -> None:
    store(published, granules, s3, prefixes=MOVED)
    outcome = published.invoke(tmp_path, ["Tair"])
    assert outcome.status != 0
    assert outcome.error["category"] == "NoRetry"
    assert f"{ELSEWHERE}202403/202403.nc is not read" in outcome.error["error"]
    assert "DirectDistributionInformation" in outcome.error["error"]
    assert not list((tmp_path / "data").glob("*"))


def test_month_below_another_prefix_is_read_where_the_record_names_it(
    published: Publication, granules: list[Path], s3: str, tmp_path: Path
) -> None:
    store(published, granules, s3, prefixes=MOVED)
    published.publish(DirectDistributionInformation={
        "Region": "us-west-2", "S3BucketAndObjectPrefixNames": [ELSEWHERE.removeprefix("s3://")],
        "S3CredentialsAPIEndpoint": "https://data.example.earthdata.nasa.gov/s3credentials",
        "S3CredentialsAPIDocumentationURL": "https://data.example.earthdata.nasa.gov/README",
    })  # fmt: skip
    outcome = published.invoke(tmp_path, ["Tair"])
    assert outcome.status == 0, outcome.error
    with netCDF4.Dataset(outcome.data[0]) as nc:
        nc.set_auto_maskandscale(False)
        expected = np.concatenate([raw(path, "Tair") for path in granules])
        np.testing.assert_array_equal(nc["Tair"][:], expected)
