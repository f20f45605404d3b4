"""VEDA's RASI: one published address for three repositories over netCDF-3 files."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
from archive import Archive, archive
from servers import s3_client, upload
from systems.granules import Field, latitudes, longitudes, times, weather, write_fields
from systems.kits import raw
from systems.published import CONCEPT, LAYOUTS, Publication, lengthened_dataset, publishing
from world import virtual_dataset, write_icechunk

RASI = LAYOUTS["rasi"]
SCENARIOS = RASI["scenarios"]
PARENT = RASI["parent"]
BUCKET = PARENT.split("/")[2]
(NAME,) = RASI["variables"]
PERCENTILES, NLAT, NLON = 5, 38, 33  # a quarter of the published grid
MONTHS = 6
MISSING = np.float32(-9999.0)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Two files for each scenario."""
    folder = tmp_path_factory.mktemp("RASI")
    return {
        scenario: [
            granule(folder / scenario / f"{start}.nc", start, 100 * number)
            for start in (0, MONTHS // 2)
        ]
        for number, scenario in enumerate(SCENARIOS)
    }


def granule(path: Path, start: int, seed: int, names: Sequence[str] = (NAME,)) -> Path:
    count = MONTHS // 2
    days = 15.0 + 30 * np.arange(start, start + count)
    fields = {
        "time": Field(("time",), days, times(days, "days since 1950-01-01").attributes),
        "percentile": Field(("percentile",), np.array([5, 25, 50, 75, 95], "f4")),
        "lat": latitudes("lat", np.linspace(30, 48.5, NLAT, dtype="f4")),
        "lon": longitudes("lon", np.linspace(-124, -108, NLON, dtype="f4")),
    }
    for number, name in enumerate(names):
        values = weather((count, PERCENTILES, NLAT, NLON), seed + start + 1000 * number)
        values[:, :, :5, :5] = MISSING
        place = ("time", "percentile", "lat", "lon")
        fields[name] = Field(place, values, {"units": "mm"}, fill=MISSING)
    return write_fields(path, fields, form="NETCDF3_CLASSIC", unlimited="time", title="scenarios")


@pytest.fixture(scope="module")
def bucket(
    s3: str, sources: dict[str, list[Path]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Archive]:
    """The open bucket with sources and repositories, which may be listed, too."""
    folder = tmp_path_factory.mktemp("repositories")
    root = next(iter(sources.values()))[0].parents[1]
    upload(s3, BUCKET, root, "RASI/")  # before the repositories, which must not be older
    for scenario, files in sources.items():
        there = {path.as_uri(): f"{RASI['container']}{scenario}/{path.name}" for path in files}
        dataset = virtual_dataset(files).vz.rename_paths(there.__getitem__)
        write_icechunk(folder / scenario, {None: dataset}, container=RASI["container"],
                       specification=RASI["specification"])  # fmt: skip
    upload(s3, BUCKET, folder, f"{PARENT.split('/', 3)[3]}/")
    s3_client(s3).put_bucket_acl(Bucket=BUCKET, ACL="public-read")
    with archive(s3, public=(BUCKET,)) as own:
        yield own


@pytest.fixture
def published(bucket: Archive, tmp_path: Path) -> Iterator[Publication]:
    settings = {"HARMONY_VDS_S3_ENDPOINT_URL": bucket.s3.url}
    with publishing(tmp_path, short_name="RASI", **settings) as publication:
        publication.publish(f"{PARENT}/")
        yield publication


def values_of(path: Path) -> np.ndarray:
    with netCDF4.Dataset(path) as nc:
        nc.set_auto_maskandscale(False)
        return np.asarray(nc[NAME][...])


def truth(files: list[Path]) -> np.ndarray:
    return np.concatenate([raw(path, NAME) for path in files])


def test_parent_of_three_repositories_is_no_store_and_the_error_lists_them(
    published: Publication, tmp_path: Path
) -> None:
    outcome = published.invoke(tmp_path, [NAME])
    assert outcome.status != 0
    assert outcome.error["category"] == "NoRetry"
    assert ", ".join(f"{scenario}/" for scenario in SCENARIOS) in outcome.error["error"]
    assert f"{PARENT}/{SCENARIOS[0]}" in outcome.error["error"]


def named(folder: Path) -> dict[str, str]:
    """The operator's file that gives each repository the name of its scenario."""
    stores = "".join(
        f'  {{ url = "{PARENT}/{name}", name = "{name}", kind = "icechunk" }},\n'
        for name in SCENARIOS
    )
    path = folder / "collections.toml"
    path.write_text(f"[RASI]\nstores = [\n{stores}]\n")
    return {"HARMONY_VDS_COLLECTIONS_FILE": str(path)}


def test_scenario_is_chosen_by_its_name(
    published: Publication, sources: dict[str, list[Path]], tmp_path: Path
) -> None:
    published.environment.update(named(tmp_path))
    outcome = published.invoke(
        tmp_path, [f"SSP245/{NAME}"], short_name="RASI", bbox=[-120, 35, -115, 40],
        temporal={"start": "1950-03-01T00:00:00Z", "end": "1950-05-31T23:59:59Z"},
    )  # fmt: skip
    assert outcome.status == 0, outcome.error
    (path,) = outcome.data
    lat, lon = raw(sources["SSP245"][0], "lat"), raw(sources["SSP245"][0], "lon")
    rows = np.flatnonzero((lat >= 35) & (lat <= 40))
    columns = np.flatnonzero((lon >= -120) & (lon <= -115))
    expected = truth(sources["SSP245"])[2:5][:, :, rows][..., columns]
    np.testing.assert_array_equal(values_of(path), expected)
    with netCDF4.Dataset(path) as nc:
        assert nc[NAME].dimensions == ("time", "percentile", "lat", "lon")
        assert nc[NAME].getncattr("_FillValue") == MISSING
        np.testing.assert_array_equal(nc["percentile"][:], [5, 25, 50, 75, 95])
        assert nc.virtual_store == f"{PARENT}/SSP245"


def test_without_a_name_each_scenario_gives_an_output_of_its_own(
    published: Publication, sources: dict[str, list[Path]], tmp_path: Path
) -> None:
    published.environment.update(named(tmp_path))
    outcome = published.invoke(tmp_path, [NAME], short_name="RASI")
    assert outcome.status == 0, outcome.error
    found = {
        item["properties"]["virtual_store:href"].rpartition("/")[2]: values_of(path)
        for item, path in zip(outcome.items, outcome.data, strict=True)
    }
    assert sorted(found) == SCENARIOS
    for scenario, files in sources.items():
        np.testing.assert_array_equal(found[scenario], truth(files))


@pytest.mark.scale
def test_decade_is_read_from_all_months_and_fields_of_the_publication(
    published: Publication, s3: str, tmp_path: Path
) -> None:
    names, months = (NAME, *RASI["others"]), RASI["dimensions"]["time"]
    files = [granule(tmp_path / "FULL" / f"{start}.nc", start, 7, names) for start in (0, 3)]
    upload(s3, BUCKET, files[0].parent, "RASI/FULL/")
    there = {path.as_uri(): f"{RASI['container']}FULL/{path.name}" for path in files}
    own = virtual_dataset(files).vz.rename_paths(there.__getitem__)
    days = xr.Variable(("time",), 15.0 + 30 * np.arange(months), own["time"].attrs)
    write_icechunk(tmp_path / "repository", {None: lengthened_dataset(own, {"time": days})},
                   container=RASI["container"], specification=RASI["specification"])  # fmt: skip
    key = f"{PARENT.split('/', 3)[3]}-full"
    upload(s3, BUCKET, tmp_path / "repository", f"{key}/")
    published.records[CONCEPT]["umm"]["RelatedUrls"].clear()
    published.publish(f"s3://{BUCKET}/{key}")
    outcome = published.invoke(
        tmp_path / "out", ["RZSM_Percentiles"], bbox=[-120, 35, -115, 40],
        temporal={"start": "1990-01-01T00:00:00Z", "end": "1999-12-31T23:59:59Z"},
    )  # fmt: skip
    assert outcome.status == 0, outcome.error
    began = np.datetime64("1950-01-01") + (15 + 30 * np.arange(months)).astype("m8[D]")
    steps = np.flatnonzero((began >= np.datetime64("1990-01-01")) & (began < np.datetime64("2000")))
    rows = np.flatnonzero((raw(files[0], "lat") >= 35) & (raw(files[0], "lat") <= 40))
    columns = np.flatnonzero((raw(files[0], "lon") >= -120) & (raw(files[0], "lon") <= -115))
    whole = np.concatenate([raw(path, "RZSM_Percentiles") for path in files])
    expected = whole[steps % MONTHS][:, :, rows][..., columns]
    assert expected.shape[0] > 100
    np.testing.assert_array_equal(raw(outcome.data[0], "RZSM_Percentiles"), expected)
