"""ASDC PREFIRE monthly maps: kerchunk JSON without a coordinate variable, and without any time."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
from systems.granules import Field, centres, weather, write_fields
from systems.kits import raw
from systems.places import check_cut, inside, stored
from systems.published import LAYOUTS, Publication, publishing
from world import virtual_dataset, virtualizarr_references

PREFIRE = LAYOUTS["prefire"]
SIZES = PREFIRE["dimensions"] | {"lat": 14, "lon": 30, "spectral": 7}  # the rest whole
CHUNKS = (*PREFIRE["chunks"][:2], 5, 10, 7)  # in as many chunks as published
MONTHS = SIZES["time"]
GROUP = "Sfc-Sorted"
EMISSIVITY = ("xtrack", "sfc_type", "lat", "lon", "spectral")


@pytest.fixture(scope="module")
def granules(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("published")
    return [granule(folder / "granules" / f"2024{n + 1:02d}.nc", n) for n in range(MONTHS)]


def granule(path: Path, month: int, names: Sequence[str] = ("emis_mean",)) -> Path:
    place = np.meshgrid(centres(SIZES["lat"], -84, 84), centres(SIZES["lon"], -180, 180),
                        indexing="ij")  # fmt: skip
    shape = tuple(SIZES[name] for name in EMISSIVITY)
    emissivity = weather(shape, month)
    emissivity[:, :, :3] = -9999.0
    missing = np.float32(-9999.0)
    fields = {
        name: Field(
            ("lat", "lon"), values,
            {"standard_name": name, "long_name": name, "units": f"degrees_{toward}"},
            chunks=values.shape, fill=missing,
        )
        for name, toward, values in zip(
            ("latitude", "longitude"), ("north", "east"), place, strict=True
        )
    }  # fmt: skip
    for name in names:
        fields[name] = Field(EMISSIVITY, emissivity, {"long_name": name.replace("_", " ")},
                             chunks=CHUNKS, fill=missing)  # fmt: skip
    fields["count"] = Field(EMISSIVITY, (emissivity * 0 + month).astype("i4"), {},
                            chunks=shape, fill=np.int32(-9999))  # fmt: skip
    return write_fields(path, fields, group=GROUP)


@pytest.fixture(scope="module")
def published(granules: list[Path]) -> Iterator[Publication]:
    with publishing(granules[0].parent.parent) as publication:
        publish(publication, granules)
        yield publication


def publish(publication: Publication, granules: list[Path]) -> Path:
    months = [virtual_dataset([path], group=GROUP) for path in granules]
    joined = xr.concat(months, dim="time", data_vars="all", coords="minimal",
                       compat="override", join="override")  # fmt: skip
    here = {path.as_uri(): publication.url(path) for path in granules}
    path = publication.root / "prefire-monthly-kerchunk_created20250819.json"
    virtualizarr_references(joined, path, here.__getitem__)
    publication.publish(publication.url(path))
    return path


def test_variables_come_whole_with_the_maps_that_place_them(
    published: Publication, granules: list[Path], tmp_path: Path
) -> None:
    outcome = published.invoke(tmp_path)
    assert outcome.status == 0, outcome.error
    with netCDF4.Dataset(outcome.data[0]) as nc:
        nc.set_auto_maskandscale(False)
        assert set(nc.variables) == {"latitude", "longitude", "emis_mean", "count"}
        assert {name: own.size for name, own in nc.dimensions.items()} == SIZES
        for name in nc.variables:
            expected = np.stack([raw(path, f"{GROUP}/{name}") for path in granules])
            np.testing.assert_array_equal(nc[name][...], expected)
            assert nc[name].dimensions[0] == "time"
        assert nc["emis_mean"].getncattr("_FillValue") == -9999
    # Without times of its own, the answer has those of the collection's record.
    assert outcome.items[0]["properties"]["start_datetime"] == "2024-01-01T00:00:00Z"
    assert np.allclose(outcome.items[0]["bbox"], [-180, -84, 180, 84], atol=0.2)


def test_box_keeps_the_cells_whose_centres_lie_in_it(
    published: Publication, granules: list[Path], tmp_path: Path
) -> None:
    """The maps that place them are repeated for each month."""
    box = (-20, 10.5, 100, 60)
    outcome = published.invoke(tmp_path, ["emis_mean"], bbox=list(box))
    assert outcome.status == 0, outcome.error
    places = [stored(granules[0], f"{GROUP}/{name}") for name in ("longitude", "latitude")]
    cells = inside(*places, box)
    ours = raw(outcome.data[0], "emis_mean")
    for month, path in enumerate(granules):
        theirs = np.moveaxis(raw(path, f"{GROUP}/emis_mean"), -1, 0)
        check_cut(np.ascontiguousarray(np.moveaxis(ours[month], -1, 0)), theirs, cells,
                  np.float32(-9999))  # fmt: skip


def test_time_range_without_times_is_refused_and_nothing_is_guessed(
    published: Publication, tmp_path: Path
) -> None:
    asked = {"start": "2024-03-01T00:00:00Z", "end": "2024-03-31T00:00:00Z"}
    outcome = published.invoke(tmp_path, ["emis_mean"], temporal=asked)
    assert outcome.status != 0
    assert outcome.error["category"] == "NoRetry"
    for words in ("have no time coordinate", "Ask without"):
        assert words in outcome.error["error"]


@pytest.mark.scale
def test_variable_is_read_from_all_references_of_the_publication(tmp_path: Path) -> None:
    names = ("emis_mean", *PREFIRE["others"])
    granules = [granule(tmp_path / "granules" / f"{n}.nc", n, names) for n in range(MONTHS)]
    with publishing(tmp_path) as publication:
        references = json.loads(publish(publication, granules).read_text())["refs"]
        for name in names:
            own = [key for key in references if key.startswith(f"{name}/") and "/." not in key]
            assert len(own) == 108 * MONTHS
        outcome = publication.invoke(tmp_path / "out", ["desc_emis_sumsquares"])
    assert outcome.status == 0, outcome.error
    expected = np.stack([raw(path, f"{GROUP}/desc_emis_sumsquares") for path in granules])
    np.testing.assert_array_equal(raw(outcome.data[0], "desc_emis_sumsquares"), expected)
