"""Every output format through a whole invocation of Harmony's, staged on S3."""

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest
import rasterio
import xarray as xr
import zarr
from invocation import Outcome, invoke, make_message
from PIL import Image
from servers import bucket_of, cmr_server
from world import FILL, kerchunk_references, umm_collection, write_days, write_references

STAGING = "formats-staging"
BOX = [-60.0, -32.0, 65.0, 48.0]


@dataclass
class Chain:
    """A published collection, and where its answers go."""

    files: list[Path]
    environment: dict[str, str]
    client: Any

    def objects(self, prefix: str) -> dict[str, bytes]:
        found = self.client.list_objects_v2(Bucket=STAGING, Prefix=prefix).get("Contents", [])
        return {
            own["Key"]: self.client.get_object(Bucket=STAGING, Key=own["Key"])["Body"].read()
            for own in sorted(found, key=lambda own: own["LastModified"])
        }

    def values(self, name: str) -> np.ndarray:
        """Packed values in the box by netCDF4 alone."""
        parts = []
        for path in self.files:
            with netCDF4.Dataset(path) as nc:
                nc.set_auto_maskandscale(False)
                rows = (nc["lat"][:] >= BOX[1]) & (nc["lat"][:] <= BOX[3])
                columns = (nc["lon"][:] >= BOX[0]) & (nc["lon"][:] <= BOX[2])
                parts.append(nc[name][:][:, rows][:, :, columns])
        return np.concatenate(parts)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory, s3: str) -> Iterator[Chain]:
    root = tmp_path_factory.mktemp("formats")
    files = write_days(root / "granules", 3)
    store = write_references(root / "sst.json", kerchunk_references(files))
    client = bucket_of(s3, STAGING)
    with cmr_server({"C1-T": umm_collection("C1-T", [store.as_uri()])}) as cmr:
        environment = {
            "CMR_ENDPOINT": cmr.url, "HARMONY_VDS_TRUSTED_PREFIXES": f"{root.as_uri()}/",
            "AWS_ENDPOINT_URL_S3": s3, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
            "PYTHONWARNINGS": "ignore",
        }  # fmt: skip
        yield Chain(files, environment, client)


def order(
    chain: Chain,
    folder: Path,
    media_type: str,
    *variables: str,
    temporal: dict[str, str] | None = None,
    **environment: str,
) -> tuple[Outcome, str]:
    prefix = f"public/job/{folder.name}"
    message = make_message(
        "C1-T", variables=list(variables), bbox=BOX, staging=f"s3://{STAGING}/{prefix}/7/",
        format={"mime": media_type}, temporal=temporal,
    )  # fmt: skip
    told = {**chain.environment, **environment}
    return invoke(message, folder, environment=told, data_location=None), prefix


def assets(outcome: Outcome) -> list[dict[str, Any]]:
    assert outcome.status == 0, outcome.stderr
    assert all(list(item["assets"]) == ["data"] for item in outcome.items)
    return [item["assets"]["data"] for item in outcome.items]


def without_listing(objects: dict[str, bytes], folder: str) -> None:
    """Take from `objects` the one beside the folder: it lists what a later run finds complete."""
    (listing,) = (key for key in objects if not key.startswith(f"{folder}/"))
    assert listing.startswith(f"{folder}.")
    assert listing.endswith(".sha256")
    del objects[listing]


@pytest.mark.parametrize("spelling", ["application/x-zarr", "application/zarr"])
def test_zarr_is_staged_as_a_prefix_whose_root_comes_last(
    spelling: str, chain: Chain, tmp_path: Path
) -> None:
    outcome, prefix = order(chain, tmp_path, spelling, "analysed_sst")
    (asset,) = assets(outcome)
    name = "DEMO-SST-L4-GLOB-v1.0_1.0_analysed_sst_subsetted.zarr"
    assert asset["href"] == f"s3://{STAGING}/{prefix}/7/{name}"
    assert asset["type"] == "application/x-zarr"
    objects = chain.objects(f"{prefix}/7/")
    assert list(objects)[-1] == f"{prefix}/7/{name}/zarr.json"
    without_listing(objects, f"{prefix}/7/{name}")
    assert asset["file:size"] == sum(map(len, objects.values()))
    memory = {
        key.removeprefix(f"{prefix}/7/{name}/"): zarr.core.buffer.cpu.Buffer.from_bytes(body)
        for key, body in objects.items()
    }
    raw = {"mask_and_scale": False, "decode_times": False, "chunks": None}
    found = xr.open_zarr(zarr.storage.MemoryStore(memory), **raw)
    assert np.array_equal(found.analysed_sst.values, chain.values("analysed_sst"))


def test_zipped_zarr_is_one_object_that_can_be_downloaded(chain: Chain, tmp_path: Path) -> None:
    outcome, prefix = order(chain, tmp_path, "application/x-zarr", HARMONY_VDS_ZARR="zip")
    (asset,) = assets(outcome)
    assert asset["type"] == "application/zip"
    ((key, body),) = chain.objects(f"{prefix}/7/").items()
    assert asset["href"] == f"s3://{STAGING}/{key}"
    assert key.endswith("_subsetted.zarr.zip")
    assert len(body) == asset["file:size"]
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.testzip() is None
        root = json.loads(archive.read("zarr.json"))
    assert {"analysed_sst", "mask"} <= set(root["consolidated_metadata"]["metadata"])


def test_geotiff_is_staged_with_one_item_for_each_variable(chain: Chain, tmp_path: Path) -> None:
    outcome, prefix = order(chain, tmp_path, "image/tiff", "analysed_sst", "mask")
    told = {own["href"]: own for own in assets(outcome)}
    objects = chain.objects(f"{prefix}/7/")
    assert {f"s3://{STAGING}/{key}" for key in objects} == set(told)
    for key, body in objects.items():
        asset = told[f"s3://{STAGING}/{key}"]
        assert (asset["type"], asset["file:size"]) == ("image/tiff", len(body))
        name = "mask" if "_mask_" in key else "analysed_sst"
        assert key.endswith(f"_{name}_subsetted.tif")
        with rasterio.MemoryFile(body) as memory, memory.open() as file:
            assert np.array_equal(file.read()[:, ::-1], chain.values(name))


def test_picture_is_staged_as_png(chain: Chain, tmp_path: Path) -> None:
    temporal = {"start": "2024-01-03T00:00:00.000Z", "end": "2024-01-03T23:59:59.999Z"}
    outcome, prefix = order(chain, tmp_path, "image/png", "analysed_sst", temporal=temporal)
    (asset,) = assets(outcome)
    ((key, body),) = chain.objects(f"{prefix}/7/").items()
    assert asset["type"] == "image/png"
    assert key.endswith("_analysed_sst_subsetted.png")
    assert body[:8] == b"\x89PNG\r\n\x1a\n"


def test_picture_of_several_times_is_refused_with_what_to_ask(chain: Chain, tmp_path: Path) -> None:
    outcome, _ = order(chain, tmp_path, "image/png", "analysed_sst")
    assert outcome.status == 1
    assert outcome.error["category"] == "NoRetry"
    assert "Ask for one instant" in outcome.error["error"]


@pytest.mark.scale
@pytest.mark.parametrize("media_type", ["text/csv", "application/vnd.apache.parquet"])
def test_table_is_staged_with_a_row_for_each_cell(
    media_type: str, chain: Chain, tmp_path: Path
) -> None:
    temporal = {"start": "2024-01-03T00:00:00.000Z", "end": "2024-01-03T23:59:59.999Z"}
    outcome, prefix = order(chain, tmp_path, media_type, "analysed_sst", temporal=temporal)
    (asset,) = assets(outcome)
    ((key, body),) = chain.objects(f"{prefix}/7/").items()
    assert (asset["type"], asset["file:size"]) == (media_type, len(body))
    if media_type == "text/csv":
        assert key.endswith("_analysed_sst_subsetted.csv")
        table = pyarrow.csv.read_csv(io.BytesIO(body))
    else:
        assert key.endswith("_analysed_sst_subsetted.parquet")
        table = pyarrow.parquet.read_table(io.BytesIO(body))
    packed = chain.values("analysed_sst")[1].ravel()
    missing = packed == FILL
    found = table["analysed_sst"].to_pandas().to_numpy(np.float64)
    assert np.array_equal(np.isnan(found), missing)
    np.testing.assert_allclose(found[~missing], packed[~missing] * 0.01 + 273.15, rtol=1e-6)


@pytest.mark.parametrize("form", [pytest.param("kerchunk", marks=pytest.mark.scale), "icechunk"])
def test_virtual_subset_is_staged_and_reads_as_the_granules_do(
    form: str, chain: Chain, tmp_path: Path
) -> None:
    outcome, prefix = order(chain, tmp_path, f"application/x-zarr;profile={form}", "mask")
    (asset,) = assets(outcome)
    objects = chain.objects(f"{prefix}/7/")
    if form == "icechunk":
        without_listing(objects, asset["href"].removeprefix(f"s3://{STAGING}/"))
    assert asset["file:size"] == sum(map(len, objects.values()))
    if form == "kerchunk":
        ((key, _),) = objects.items()
        assert asset["href"] == f"s3://{STAGING}/{key}"
        assert key.endswith("_mask_subsetted.json")
        assert asset["type"] == "application/x-zarr;profile=kerchunk"
    else:  # Harmony leaves links to S3 for no other type
        assert asset["type"] == "application/x-zarr"
        assert asset["href"].endswith("_mask_subsetted.icechunk")
        assert all(f"s3://{STAGING}/{key}".startswith(asset["href"]) for key in objects)
    root = tmp_path / "fetched"
    for key, body in objects.items():
        path = root / key.removeprefix(f"{prefix}/7/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    (place,) = root.iterdir()
    trust = f"{chain.files[0].parent.as_uri()}/"
    with xr.open_dataset(place, engine="vds", trust=trust, mask_and_scale=False) as opened:
        rows = (opened.lat.values >= BOX[1]) & (opened.lat.values <= BOX[3])
        columns = (opened.lon.values >= BOX[0]) & (opened.lon.values <= BOX[2])
        found = opened["mask"].values[:, rows][:, :, columns]
    assert np.array_equal(found, chain.values("mask"))


@pytest.mark.scale
def test_map_is_staged_as_the_latest_time_in_exactly_the_pixels_asked(
    chain: Chain, tmp_path: Path
) -> None:
    prefix = f"public/job/{tmp_path.name}"
    form = {"mime": "image/png", "srs": {"epsg": "EPSG:4326", "wkt": "", "proj4": ""},
            "crs": "+proj=longlat", "width": 72, "height": 36, "isTransparent": True,
            "dpi": 96}  # fmt: skip
    message = make_message(
        "C1-T", variables=["analysed_sst"], staging=f"s3://{STAGING}/{prefix}/7/", format=form,
        isSynchronous=True, subset={"bbox": [-90, -180, 90, 180]},
    )  # fmt: skip
    outcome = invoke(message, tmp_path, environment=chain.environment, data_location=None)
    (asset,) = assets(outcome)
    ((_, body),) = chain.objects(f"{prefix}/7/").items()
    assert (asset["type"], asset["file:size"]) == ("image/png", len(body))
    with Image.open(io.BytesIO(body)) as image:
        assert (image.mode, image.size) == ("RGBA", (72, 36))
        assert image.text["Title"].endswith("time=2024-01-04T12:00:00")
        pixels = np.asarray(image).astype(float)
    with netCDF4.Dataset(chain.files[-1]) as nc:
        nc.set_auto_maskandscale(False)
        packed = nc["analysed_sst"][0][::-1]
    missing = packed == FILL
    assert np.array_equal(pixels[..., 3] == 0, missing)
    brightness = (pixels[..., :3] @ [0.2126, 0.7152, 0.0722])[~missing]
    in_order = brightness[np.argsort(packed[~missing], kind="stable")]
    assert (np.diff(in_order) > -1).all()  # colours are whole numbers
    assert in_order[-1] - in_order[0] > 60
    assert "the latest of the 3 steps of time" in outcome.stderr


@pytest.mark.scale
def test_files_beside_an_output_are_linked_and_found_again_by_a_second_run(
    chain: Chain, tmp_path: Path
) -> None:
    setting = {"HARMONY_VDS_BESIDE": "both", "SOURCE_DATE_EPOCH": "1700000000"}
    for run in range(2):
        outcome, prefix = order(chain, tmp_path, "application/netcdf", "mask", **setting)
        assert outcome.status == 0, outcome.stderr
        (item,) = outcome.items
        told = item["assets"]
        roles = {key: own["roles"] for key, own in told.items()}
        assert roles == {"data": ["data"], "metadata": ["metadata"], "browse": ["overview"]}
        # Harmony takes the role of a job's asset from its media type.
        assert told["metadata"]["type"] == "application/json"
        assert told["browse"]["type"] == "image/png"
        objects = chain.objects(f"{prefix}/7/")
        hrefs = {f"s3://{STAGING}/{key}" for key in objects}
        assert hrefs == {own["href"] for own in told.values()}
        assert ("is complete from an earlier run" in outcome.stderr) == bool(run)
    described = json.loads(next(own for key, own in objects.items() if key.endswith(".json")))
    names = {key.rpartition("/")[2] for key in objects}
    assert {own["href"].removeprefix("./") for own in described["assets"].values()} <= names
