"""MUR in a public repository, with its chunks in PO.DAAC's protected bucket."""

from collections.abc import Iterator
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
from archive import Archive, archive
from invocation import CANARY
from servers import upload
from systems.kits import raw
from systems.published import LAYOUTS, Publication, lengthened_dataset, protected, publishing
from world import FILL, FIRST_NOON, virtual_dataset, write_days, write_icechunk

MUR = LAYOUTS["mur"]
PUBLIC, PROTECTED = (MUR[name].split("/")[2] for name in ("repository", "container"))
FOLDER = f"{MUR['container']}MUR-JPL-L4-GLOB-v4.1/"
DAYS, FULL = 3, MUR["dimensions"]["time"]
NLAT, NLON = 359, 720  # a fiftieth of the published grid, in as many chunks
CHUNKS = (21, 41)


@pytest.fixture(scope="module")
def granules(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_days(tmp_path_factory.mktemp("MUR"), DAYS, nlat=NLAT, nlon=NLON, chunks=CHUNKS)


@pytest.fixture(scope="module")
def centre(s3: str, granules: list[Path]) -> Iterator[Archive]:
    upload(s3, PROTECTED, granules[0].parent, FOLDER.split("/", 3)[3])
    with archive(s3, public=(PUBLIC,)) as own:
        yield own


@pytest.fixture
def published(centre: Archive, tmp_path: Path) -> Iterator[Publication]:
    with publishing(tmp_path, short_name=MUR["short_name"]) as publication:
        protected(publication, centre, FOLDER)
        yield publication


def store(publication: Publication, granules: list[Path], moto: str, days: int) -> None:
    there = {path.as_uri(): f"{FOLDER}{path.name}" for path in granules}
    own = virtual_dataset(granules).vz.rename_paths(lambda url: there.get(url, url))
    noons = FIRST_NOON + 86_400 * np.arange(days, dtype="i4")
    dataset = lengthened_dataset(own, {"time": xr.Variable(("time",), noons, own["time"].attrs)})
    folder = publication.root / "repository"
    write_icechunk(folder, {None: dataset}, container=MUR["container"])
    key = f"{MUR['repository'].split('/', 3)[3]}-{days}"
    upload(moto, PUBLIC, folder, f"{key}/")
    publication.publish(f"s3://{PUBLIC}/{key}")


@pytest.mark.parametrize("days", [DAYS, pytest.param(FULL, marks=pytest.mark.scale)])
def test_open_repository_is_read_freely_and_its_protected_chunks_with_the_users_token(
    days: int, published: Publication, centre: Archive, granules: list[Path], tmp_path: Path
) -> None:
    store(published, granules, centre.moto, days)
    centre.s3.forget()
    centre.tea.forget()
    outcome = published.invoke(
        tmp_path, ["analysed_sst"], bbox=[0, -20, 30, 20],
        temporal={"start": "2024-01-03T00:00:00Z", "end": "2024-01-31T23:59:59Z"},
    )  # fmt: skip
    assert outcome.status == 0, outcome.error
    lat, lon = raw(granules[0], "lat"), raw(granules[0], "lon")
    rows = np.flatnonzero((lat >= -20) & (lat <= 20))
    columns = np.flatnonzero((lon >= 0) & (lon <= 30))
    steps = np.arange(1, min(days, 30))
    expected = np.concatenate([raw(path, "analysed_sst") for path in granules])[steps % DAYS]
    expected = expected[:, rows][:, :, columns]
    with netCDF4.Dataset(outcome.data[0]) as nc:
        sst = nc["analysed_sst"]
        np.testing.assert_array_equal(np.ma.getmaskarray(sst[:]), expected == FILL)
        sst.set_auto_maskandscale(False)
        np.testing.assert_array_equal(sst[:], expected)
    assert centre.exchanges == 1
    signed = {own.path.split("/")[1] for own in centre.s3.asked if "Authorization" in own.headers}
    assert signed == {PROTECTED}
    assert CANARY not in outcome.stderr


def test_without_permission_the_error_names_the_agreement_to_accept(
    published: Publication, centre: Archive, granules: list[Path], tmp_path: Path
) -> None:
    store(published, granules, centre.moto, DAYS)
    centre.fault = "eula"
    try:
        outcome = published.invoke(tmp_path, ["analysed_sst"])
    finally:
        centre.fault = ""
    assert outcome.status != 0
    assert "https://urs.earthdata.nasa.gov/approve_app?client_id=" in outcome.error["error"]
