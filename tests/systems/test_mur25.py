"""PO.DAAC MUR25: kerchunk JSON whose packed temperatures have a fill value in kelvin."""

import json
from collections.abc import Iterator
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
from systems.kits import raw
from systems.published import LAYOUTS, Publication, lengthened_dataset, publishing
from world import FILL, FIRST_NOON, virtual_dataset, virtualizarr_references, write_days

MUR25 = LAYOUTS["mur25"]
DAYS, FULL = 3, MUR25["dimensions"]["time"]
NLAT, NLON = 72, 144  # a tenth of the published grid, in as many chunks


@pytest.fixture(scope="module")
def granules(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("published") / "granules"
    return write_days(folder, DAYS, nlat=NLAT, nlon=NLON, chunks=(NLAT, NLON))


@pytest.fixture
def published(granules: list[Path]) -> Iterator[Publication]:
    with publishing(granules[0].parent.parent, short_name=MUR25["short_name"]) as publication:
        yield publication


def store(publication: Publication, granules: list[Path], days: int) -> None:
    own = virtual_dataset(granules)
    noons = FIRST_NOON + 86_400 * np.arange(days, dtype="i4")
    dataset = lengthened_dataset(own, {"time": xr.Variable(("time",), noons, own["time"].attrs)})
    here = {path.as_uri(): publication.url(path) for path in granules}
    path = publication.root / f"{days}_virtual_https.json"
    virtualizarr_references(dataset, path, lambda url: here.get(url, url))
    document = json.loads(path.read_text())
    attributes = json.loads(document["refs"]["analysed_sst/.zattrs"])
    attributes["_FillValue"] = MUR25["wrong_fill_value"]
    document["refs"]["analysed_sst/.zattrs"] = json.dumps(attributes)
    path.write_text(json.dumps(document))
    publication.publish(publication.url(path))


@pytest.mark.parametrize("days", [DAYS, pytest.param(FULL, marks=pytest.mark.scale)])
def test_land_is_missing_although_its_fill_value_was_published_unpacked(
    days: int, published: Publication, granules: list[Path], tmp_path: Path
) -> None:
    store(published, granules, days)
    outcome = published.invoke(
        tmp_path, ["analysed_sst"], bbox=[0, -20, 30, 20],
        temporal={"start": "2024-01-03T00:00:00Z", "end": "2024-12-31T23:59:59Z"},
    )  # fmt: skip
    assert outcome.status == 0, outcome.error
    steps = np.arange(1, min(days, 365))
    expected = np.concatenate([raw(path, "analysed_sst") for path in granules])[steps % DAYS]
    expected = expected[:, 28:44, 72:84]
    with netCDF4.Dataset(outcome.data[0]) as nc:
        sst = nc["analysed_sst"]
        assert sst.getncattr("_FillValue") == FILL
        np.testing.assert_array_equal(np.ma.getmaskarray(sst[:]), expected == FILL)
        assert (expected == FILL).any()
        assert sst[:].max() < 310
        sst.set_auto_maskandscale(False)
        np.testing.assert_array_equal(sst[:], expected)
    assert "-54.53" in outcome.stderr
    with netCDF4.Dataset(outcome.data[0]) as nc:
        assert "-54.53" in nc.getncattr("virtual_store_notes")
