"""NOAA's OISST: sources in an open bucket, and a stored container that fits none of them."""

from collections.abc import Iterator
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
from archive import Archive, archive
from servers import upload
from systems.granules import Field, centres, latitudes, longitudes, times, weather, write_fields
from systems.kits import raw
from systems.published import LAYOUTS, Publication, lengthened_dataset, publishing
from world import virtual_dataset, write_icechunk

OISST = LAYOUTS["oisst"]
BUCKET = OISST["bucket"].removeprefix("s3://").rstrip("/")
PREFIX = "data/v2.1/avhrr/202408/"
DAYS, MONTH = 3, OISST["dimensions"]["time"]
NLAT, NLON = 72, 144  # a tenth of the published grid, in as many chunks
FILL = np.int16(-999)
UNITS = "days since 2024-08-01 12:00:00"


@pytest.fixture(scope="module")
def granules(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("avhrr")
    return [granule(folder / f"{n}.nc", n) for n in range(DAYS)]


def granule(path: Path, day: int) -> Path:
    packing = OISST["variables"]["sst"]
    values = np.round(weather((1, 1, NLAT, NLON), day) * 100).astype("i2")
    values[:, :, 30:40, 4:20] = FILL
    fields = {
        "time": times(np.array([day], "f4"), UNITS),
        "zlev": Field(("zlev",), np.zeros(1, "f4"), {"units": "meters", "positive": "down"}),
        "lat": latitudes("lat", centres(NLAT, -90, 90)),
        "lon": longitudes("lon", centres(NLON, 0, 360)),
        "sst": Field(
            ("time", "zlev", "lat", "lon"), values,
            {"units": "Celsius", "scale_factor": np.float32(packing["scale_factor"]),
             "add_offset": np.float32(packing["add_offset"])},
            chunks=(1, 1, NLAT, NLON), fill=FILL,
        ),
    }  # fmt: skip
    return write_fields(path, fields, unlimited="time", title="sea surface temperature")


@pytest.fixture
def bucket(s3: str, granules: list[Path]) -> Iterator[Archive]:
    upload(s3, BUCKET, granules[0].parent, PREFIX)
    with archive(s3, public=(BUCKET,)) as own:
        yield own


@pytest.fixture
def published(bucket: Archive, granules: list[Path], tmp_path: Path) -> Iterator[Publication]:
    there = {path.as_uri(): f"s3://{BUCKET}/{PREFIX}{path.name}" for path in granules}
    own = virtual_dataset(granules).vz.rename_paths(there.__getitem__)
    time = xr.Variable(("time",), np.arange(MONTH, dtype="f4"), own["time"].attrs)
    dataset = lengthened_dataset(own, {"time": time})
    settings = {"HARMONY_VDS_S3_ENDPOINT_URL": bucket.s3.url}
    with publishing(tmp_path / "served", short_name="OISST", **settings) as publication:
        folder = publication.root / "oisst"
        write_icechunk(folder, {None: dataset}, container="s3://mur-sst/zarr-v1/", covered=False)
        publication.publish(publication.url(folder))
        yield publication


def test_box_across_greenwich_is_read_without_credentials_or_the_stored_container(
    published: Publication, bucket: Archive, granules: list[Path], tmp_path: Path
) -> None:
    outcome = published.invoke(
        tmp_path, ["sst"], bbox=[-30, -30, 30, 30],
        temporal={"start": "2024-08-05T00:00:00Z", "end": "2024-08-31T23:59:59Z"},
    )  # fmt: skip
    assert outcome.status == 0, outcome.error
    steps, columns = np.arange(4, MONTH), [*range(132, 144), *range(12)]
    own = np.concatenate([raw(path, "sst") for path in granules])
    expected = own[steps % DAYS][:, :, 24:48][..., columns]
    with netCDF4.Dataset(outcome.data[0]) as nc:
        sst = nc["sst"]
        assert (sst.dtype, sst.dimensions) == (np.int16, ("time", "zlev", "lat", "lon"))
        assert sst.scale_factor == np.float32(0.01)
        np.testing.assert_array_equal(np.ma.getmaskarray(sst[:]), expected == FILL)
        nc.set_auto_maskandscale(False)
        np.testing.assert_array_equal(sst[:], expected)
        np.testing.assert_array_equal(nc["lon"][:], np.arange(-28.75, 30, 2.5))
    assert outcome.items[0]["bbox"] == [-30, -30, 30, 30]
    chunks = [asked for asked in bucket.s3.asked if asked.path.startswith(f"/{BUCKET}/{PREFIX}")]
    assert chunks
    assert not any({"Authorization", "x-amz-security-token"} & set(own.headers) for own in chunks)
    assert bucket.exchanges == 0
