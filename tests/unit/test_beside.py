"""What is put beside an output: a STAC item that says what it is, and a picture of it."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import rasterio
from jsonschema import Draft7Validator
from PIL import Image
from pystac.validation.local_validator import get_local_schema_cache
from referencing import Registry, Resource
from systems.kits import request, services
from world import FILL, virtual_dataset, write_days, write_granule, write_icechunk

from harmony_vds.delivery import deliver
from harmony_vds.discovery.umm import notes
from harmony_vds.model.formats import AS_STORED, Layout
from harmony_vds.model.request import TargetGrid
from harmony_vds.model.store import CollectionNotes
from harmony_vds.pipeline import prepare

SCHEMAS = Path(__file__).parents[3] / "shared" / "schemas" / "stac"
NOTED = CollectionNotes(
    title="Demonstration", doi="10.5067/DEMO", citation="Somebody (2024). Demonstration.",
    licence="Open", licence_url="https://example.org/licence",
)  # fmt: skip


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """A store over three days, and their granules."""
    folder = tmp_path_factory.mktemp("days")
    files = write_days(folder, 3)
    write_icechunk(folder / "store", {None: virtual_dataset(files)},
                   container=f"{folder.as_uri()}/")  # fmt: skip
    return folder / "store", files


def ordered(
    store: Path, folder: Path, *variables: str, beside="both", layout=AS_STORED, **change: Any
) -> list[Path]:
    """Names of all that an order leaves in a folder."""
    wanted = replace(request(variables), **change)
    using = replace(services(trusted=("file:///",)), layout=replace(layout, beside=beside))
    with using:
        prepared = [replace(own, notes=NOTED) for own in prepare(wanted, using, store.as_uri())]
        staged = deliver(prepared, using, str(folder), None)
    assert [len(own.beside) for own in staged] == [
        len(list(folder.glob(f"{own.name}.*"))) for own in staged
    ]
    return sorted(folder.iterdir())


def item_of(paths: list[Path]) -> dict[str, Any]:
    (path,) = [own for own in paths if own.name.endswith(".stac.json")]
    item = json.loads(path.read_text())
    schemas = get_local_schema_cache()
    registry = Registry().with_resources(
        [(name, Resource.from_contents(own)) for name, own in schemas.items()]
    )
    schema = next(own for name, own in schemas.items() if name.endswith("/item.json"))
    Draft7Validator(schema, registry=registry).validate(item)
    return item


@pytest.fixture(scope="module")
def described(days, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A netCDF file, and its item."""
    return ordered(days[0], tmp_path_factory.mktemp("out"), "analysed_sst", beside="stac")


def test_item_says_what_the_file_holds(described):
    paths, item = described, item_of(described)
    (data,) = [own for own in paths if own.suffix == ".nc4"]
    asset = item["assets"]["data"]
    assert list(item["assets"]) == ["data"]
    assert (asset["href"], asset["roles"]) == (f"./{data.name}", ["data"])
    assert asset["file:size"] == data.stat().st_size
    assert asset["file:checksum"] == "1220" + hashlib.sha256(data.read_bytes()).hexdigest()
    told = item["properties"]
    cube, variables = told["cube:dimensions"], told["cube:variables"]
    with netCDF4.Dataset(data) as nc:
        for name in ("lat", "lon"):
            assert cube[name]["extent"] == [float(nc[name][:].min()), float(nc[name][:].max())]
        assert variables["analysed_sst"]["dimensions"] == list(nc["analysed_sst"].dimensions)
    assert (cube["lon"]["axis"], cube["lat"]["axis"]) == ("x", "y")
    assert cube["time"] == {
        "type": "temporal", "extent": ["2024-01-02T12:00:00Z", "2024-01-04T12:00:00Z"],
        "description": "reference time",
    }  # fmt: skip
    sst = variables["analysed_sst"]
    assert (sst["unit"], sst["nodata"], sst["data_type"]) == ("kelvin", -32768, "int16")
    with rasterio.open(f"netcdf:{data}:analysed_sst") as file:
        assert told["proj:shape"] == [file.height, file.width]
        assert np.allclose(told["proj:bbox"], file.bounds)
    assert told["proj:code"] == "EPSG:4326"
    assert told["proj:transform"] == [5.0, 0.0, -180.0, 0.0, 5.0, -90.0]  # rows as they are stored


def test_item_tells_how_the_file_was_made_and_how_to_cite_it(described):
    item = item_of(described)
    told = item["properties"]
    assert "harmony-vds" in told["processing:software"]
    assert "xarray" in told["processing:expression"]["expression"]
    assert told["virtual_store:snapshot"] in told["processing:lineage"]
    assert told["virtual_store:request"]["sources"][0]["variables"] == ["analysed_sst"]
    assert told["virtual_store:missing_chunks"] == 0
    assert (told["sci:doi"], told["sci:citation"]) == (NOTED.doi, NOTED.citation)
    assert told["license"] == "other"
    links = {own["rel"]: own["href"] for own in item["links"]}
    assert links["license"] == NOTED.licence_url
    assert links["cite-as"] == "https://doi.org/10.5067/DEMO"
    assert links["derived_from"].endswith("/store")


def test_item_of_a_projected_geotiff_has_the_transform_of_the_file(days, tmp_path):
    target = TargetGrid("EPSG:3413", width=30, height=20, scale_extent=(-3e6, -2e6, 3e6, 2e6))
    paths = ordered(days[0], tmp_path, "mask", media_type="image/tiff", target=target)
    told = item_of(paths)["properties"]
    with rasterio.open(next(own for own in paths if own.suffix == ".tif")) as file:
        assert told["proj:transform"] == list(file.transform)[:6]
        assert told["proj:shape"] == list(file.shape)
        assert told["proj:code"] == "EPSG:3413"
        assert rasterio.crs.CRS.from_wkt(told["proj:wkt2"]) == file.crs
    assert set(told["cube:variables"]) == {"mask"}


@pytest.mark.shared
@pytest.mark.parametrize("media_type", ["application/netcdf", "text/csv"])
def test_item_is_valid_by_the_schemas_of_stac_and_its_extensions(
    media_type, described, days, tmp_path
):
    is_table = media_type == "text/csv"
    item = item_of(
        ordered(days[0], tmp_path, "mask", media_type=media_type) if is_table else described
    )
    used = {own.split("/")[3]: own for own in item["stac_extensions"]}
    assert {"datacube", "processing", "file"} <= set(used)
    assert ("projection" in used) != is_table
    for name in set(used) - {"scientific"}:  # whose schema is not there
        schema = json.loads((SCHEMAS / f"{name}.json").read_text())
        assert used[name] == schema["$id"].removesuffix("#")
        Draft7Validator(schema).validate(item)


@pytest.mark.parametrize(
    ("media_type", "layout"),
    [
        ("application/netcdf", Layout()),
        ("application/x-zarr", Layout(zarr="zip")),
        ("image/tiff", Layout()),
    ],
)
def test_picture_shows_the_first_layer_of_what_was_delivered(media_type, layout, days, tmp_path):
    form = {"media_type": media_type, "layout": layout}
    paths = ordered(days[0], tmp_path, "analysed_sst", beside="browse", **form)
    (path,) = [own for own in paths if own.name.endswith(".browse.png")]
    with netCDF4.Dataset(days[1][0]) as nc:
        nc.set_auto_maskandscale(False)
        packed = nc["analysed_sst"][0][::-1]
    with Image.open(path) as image:
        assert image.text["Title"] == "analysed_sst time=2024-01-02T12:00:00"
        pixels = np.asarray(image.convert("RGB")).astype(float)
    high, wide = 7 * packed.shape[0], 7 * packed.shape[1]  # small grids are enlarged
    cells = pixels[64 : 64 + high : 7, 16 : 16 + wide : 7]
    grey = (cells == 225).all(-1)
    assert np.array_equal(grey, packed == FILL)
    brightness = (cells @ [0.2126, 0.7152, 0.0722])[~grey]
    assert (np.diff(brightness[np.argsort(packed[~grey], kind="stable")]) > -1).all()


@pytest.mark.scale
def test_picture_of_a_large_grid_is_small_and_of_the_whole_grid(tmp_path):
    source = write_granule(tmp_path / "a.nc", 0, nlat=600, nlon=1201, chunks=(250, 400))
    write_icechunk(tmp_path / "store", {None: virtual_dataset([source])},
                   container=f"{tmp_path.as_uri()}/")  # fmt: skip
    paths = ordered(tmp_path / "store", tmp_path / "out", "analysed_sst", beside="browse",
                    media_type="image/tiff")  # fmt: skip
    (path,) = [own for own in paths if own.name.endswith(".browse.png")]
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    grey = (pixels[64:464:2, 16:816:2] == 225).all(-1)  # enlarged again
    with netCDF4.Dataset(source) as nc:
        nc.set_auto_maskandscale(False)
        wanted = nc["analysed_sst"][0][::-1][1::3, 1::3] == FILL
    assert np.array_equal(grey, wanted)


@pytest.mark.parametrize("media_type", ["text/csv", "application/x-zarr;profile=kerchunk"])
def test_what_holds_no_grid_of_values_has_an_item_and_no_picture(media_type, days, tmp_path):
    names = [own.name for own in ordered(days[0], tmp_path, "mask", media_type=media_type)]
    assert sum(own.endswith(".stac.json") for own in names) == 1
    assert not any(own.endswith(".png") for own in names)


def test_nothing_lies_beside_the_one_file_that_somebody_waits_for(days, tmp_path):
    assert len(ordered(days[0], tmp_path, "mask", synchronous=True)) == 1


@pytest.mark.parametrize(
    ("record", "citation", "licence"),
    [
        ({"CollectionCitations": [{"OtherCitationDetails": "A B,\n 2015", "Title": "T"}]},
         "A B, 2015", ("", "")),
        ({"CollectionCitations": [{"Creator": "JPL", "Title": "T", "Version": "4.1",
                                   "ReleaseDate": "2015-03-11T00:00:00.000Z"}]},
         "JPL (2015). T. Version 4.1.", ("", "")),
        ({"UseConstraints": {"LicenseURL": {"Linkage": "https://h.example.com/l", "Name": "CC0"}}},
         "", ("CC0", "https://h.example.com/l")),
        ({"UseConstraints": {"LicenseURL": {"Linkage": "javascript:1"}, "LicenseText": "Free"}},
         "", ("Free", "")),
        ({"UseConstraints": "see web site", "CollectionCitations": [{}]}, "", ("", "")),
    ],
)  # fmt: skip
def test_citation_and_licence_are_those_of_the_record(record, citation, licence):
    found = notes(record)
    assert (found.citation, (found.licence, found.licence_url)) == (citation, licence)
