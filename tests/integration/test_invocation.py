"""Whole invocations, as Harmony's runner makes them, against servers over the wire.

Stores lie in a folder, on an HTTP server and on S3; outputs and metadata go to folders or to S3.
Every value is compared with the source granules as netCDF4 reads them.
"""

import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import icechunk
import netCDF4
import numpy as np
import pytest
import xarray as xr
from invocation import CANARY, SHARED_SECRET, Outcome, invoke, make_message
from jsonschema import Draft7Validator
from servers import Server, bucket_of, cmr_server, failing_server, file_server, s3_client, upload
from world import (
    kerchunk_references,
    umm_collection,
    virtual_dataset,
    write_days,
    write_icechunk,
    write_references,
)

ARCHIVE, STAGING = "invocation-archive", "invocation-staging"
BOX = [170.0, -12.0, -165.0, 8.0]
TIMES = {"start": "2024-01-02T00:00:00.000Z", "end": "2024-01-04T12:00:00.000Z"}
FILE_SCHEMA = Path(__file__).parents[3] / "shared" / "schemas" / "stac" / "file.json"


@dataclass
class Archive:
    """Five days of granules, published five ways, and the CMR that says so."""

    files: list[Path]
    http: Server
    cmr: Server
    s3: str
    trusted: str
    collections: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "CMR_ENDPOINT": self.cmr.url, "HARMONY_VDS_TRUSTED_PREFIXES": self.trusted,
            "HARMONY_VDS_S3_ENDPOINT_URL": self.s3, "AWS_ENDPOINT_URL_S3": self.s3,
            "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
            "PYTHONWARNINGS": "ignore",
        }  # fmt: skip

    def forget(self) -> None:
        self.http.forget()
        self.cmr.forget()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, s3: str) -> Iterator[Archive]:
    root = tmp_path_factory.mktemp("archive")
    files = write_days(root / "granules", 5)
    local = f"{(root / 'granules').as_uri()}/"
    dataset = virtual_dataset(files)
    upload(s3, ARCHIVE, root)  # before the stores, which must not be older than what they name
    with file_server(root) as http:
        places = {"file": local, "http": f"{http.url}/granules/", "s3": f"s3://{ARCHIVE}/granules/"}
        records: dict[str, dict[str, Any]] = {}
        for place, prefix in places.items():

            def moved(url: str, prefix: str = prefix) -> str:
                return url.replace(local, prefix)

            write_icechunk(
                root / f"{place}.icechunk", {None: dataset}, container=prefix, rename=moved
            )
            write_references(root / f"{place}.json", kerchunk_references(files, moved))
            base = {"file": root.as_uri(), "http": http.url, "s3": f"s3://{ARCHIVE}"}[place]
            for form in ("icechunk", "json"):
                concept = f"C{len(records)}-{form.upper()}"
                records[f"{form} {place}"] = umm_collection(concept, [f" {base}/{place}.{form}"])
            upload(s3, ARCHIVE, root / f"{place}.icechunk", f"{place}.icechunk/")
            references = (root / f"{place}.json").read_bytes()
            s3_client(s3).put_object(
                Bucket=ARCHIVE, Key=f"{place}.json", Body=references, ACL="public-read"
            )
        bucket_of(s3, STAGING)
        known = {own["meta"]["concept-id"]: own for own in records.values()}
        trusted = f"{root.as_uri()}/,{http.url}/,s3://{ARCHIVE}/"
        with cmr_server(known, token=CANARY) as cmr:
            concepts = {name: own["meta"]["concept-id"] for name, own in records.items()}
            yield Archive(files, http, cmr, s3, trusted, concepts)


def day_of(path: Path) -> datetime:
    """The instant that a granule says it is of."""
    with netCDF4.Dataset(path) as nc:
        (moment,) = netCDF4.num2date(nc["time"][:], nc["time"].units, nc["time"].calendar)
    return datetime.fromisoformat(moment.isoformat()).replace(tzinfo=UTC)


def expected(files: list[Path], name: str, box: list[float]) -> np.ndarray:
    """Packed values of the time range in a box across the antimeridian, by netCDF4 alone."""
    parts = []
    start, end = (datetime.fromisoformat(TIMES[side]) for side in ("start", "end"))
    for path in (own for own in files if start <= day_of(own) <= end):
        with netCDF4.Dataset(path) as nc:
            nc.set_auto_maskandscale(False)
            lat, lon = nc["lat"][:], nc["lon"][:]
            rows = (lat >= box[1]) & (lat <= box[3])
            values = nc[name][0][rows]
            parts.append(
                np.concatenate([values[:, lon >= box[0]], values[:, lon <= box[2]]], axis=1)
            )
    return np.stack(parts)


def log_lines(outcome: Outcome, message: dict[str, Any]) -> list[dict[str, Any]]:
    """The log: JSON and nothing else, each line labelled, no secret in it."""
    lines = [json.loads(line) for line in outcome.stderr.splitlines()]
    assert lines
    for line in lines:
        assert (line["requestId"], line["user"]) == (message["requestId"], message["user"])
        assert {"message", "level", "timestamp", "application"} <= set(line)
    for secret in (CANARY, SHARED_SECRET, message["accessToken"]):
        assert secret not in outcome.stderr
    return lines


def staged_objects(archive: Archive, prefix: str) -> dict[str, bytes]:
    client = s3_client(archive.s3)
    listed = client.list_objects_v2(Bucket=STAGING, Prefix=prefix).get("Contents", [])
    return {own["Key"]: client.get_object(Bucket=STAGING, Key=own["Key"])["Body"].read()
            for own in listed}  # fmt: skip


def check_values(data: bytes, archive: Archive) -> netCDF4.Dataset:
    nc = netCDF4.Dataset("memory", memory=data)
    nc.set_auto_maskandscale(False)
    wanted = expected(archive.files, "analysed_sst", BOX)
    assert wanted.shape == (3, 4, 5)
    np.testing.assert_array_equal(nc["analysed_sst"][:], wanted)
    assert nc["analysed_sst"].dtype == np.int16
    np.testing.assert_array_equal(nc["mask"][:], expected(archive.files, "mask", BOX))
    return nc


def check_item(item: dict[str, Any], size: int) -> None:
    assert "/" not in item["id"]
    assert not item["id"].lower().endswith("catalog")
    # Cells of 5 degrees: centres from 172.5 to -167.5, edges half a cell further out.
    assert item["bbox"] == [170.0, -10.0, -165.0, 10.0]
    assert item["geometry"]["type"] == "MultiPolygon"
    assert item["properties"]["start_datetime"] == "2024-01-02T12:00:00Z"
    assert item["properties"]["end_datetime"] == "2024-01-04T12:00:00Z"
    assert list(item["assets"]) == ["data"]
    asset = item["assets"]["data"]
    assert (asset["roles"], asset["type"]) == (["data"], "application/netcdf")
    assert asset["file:size"] == size


ROUTES = ["icechunk file", "json file", "icechunk http", "json http", "icechunk s3", "json s3"]


@pytest.mark.parametrize("route", ROUTES)
def test_request_is_answered_into_local_folders(
    route: str, archive: Archive, tmp_path: Path
) -> None:
    message = make_message(archive.collections[route], variables=["analysed_sst"], bbox=BOX,
                           temporal=TIMES)  # fmt: skip
    archive.forget()
    outcome = invoke(message, tmp_path, environment=archive.environment, anew=True)
    assert outcome.status == 0, outcome.stderr
    log_lines(outcome, message)
    (data,) = outcome.data
    check_values(data.read_bytes(), archive).close()
    check_item(outcome.items[0], data.stat().st_size)
    assert data.name == "DEMO-SST-L4-GLOB-v1.0_1.0_analysed_sst_subsetted.nc4"
    assert sorted(path.name for path in tmp_path.rglob("*catalog*.json")) == ["catalog.json"]
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert CANARY.encode() not in path.read_bytes()
    assert any(CANARY in str(asked.headers) for asked in archive.cmr.asked)
    assert not any(CANARY in f"{asked.headers}{asked.path}" for asked in archive.http.asked)


@pytest.mark.parametrize("route", ["icechunk s3", "json http"])
def test_request_is_answered_into_s3(route: str, archive: Archive, tmp_path: Path) -> None:
    prefix = f"public/job/{route.replace(' ', '-')}"
    message = make_message(archive.collections[route], bbox=BOX, temporal=TIMES,
                           staging=f"s3://{STAGING}/{prefix}/7/")  # fmt: skip
    outcome = invoke(message, tmp_path, environment=archive.environment, data_location=None,
                     metadata=f"s3://{STAGING}/{prefix}/outputs/")  # fmt: skip
    assert outcome.status == 0, outcome.stderr
    log_lines(outcome, message)
    objects = staged_objects(archive, prefix)
    # Harmony collects every key of this form, and follows their item links only.
    found = [key for key in objects if re.search(r"catalog\d*.json$", key)]
    assert found == [f"{prefix}/outputs/catalog.json"]
    links = json.loads(objects[found[0]])["links"]
    assert {link["rel"] for link in links} <= {"root", "self", "item"}
    (link,) = [link for link in links if link["rel"] == "item"]
    item = json.loads(objects[f"{prefix}/outputs/{link['href'].removeprefix('./')}"])
    href = item["assets"]["data"]["href"]
    assert href == f"s3://{STAGING}/{prefix}/7/DEMO-SST-L4-GLOB-v1.0_1.0_subsetted.nc4"
    data = objects[href.removeprefix(f"s3://{STAGING}/")]
    check_values(data, archive).close()
    check_item(item, len(data))
    assert not any(CANARY.encode() in body for body in objects.values())


@pytest.mark.shared
def test_item_of_an_invocation_is_valid_against_the_file_extension(
    archive: Archive, tmp_path: Path
) -> None:
    message = make_message(archive.collections["json file"], variables=["mask"])
    outcome = invoke(message, tmp_path, environment=archive.environment)
    validator = Draft7Validator(json.loads(FILE_SCHEMA.read_text()))
    assert list(validator.iter_errors(outcome.items[0])) == []


def test_several_collections_each_have_an_output_of_their_own_name(
    archive: Archive, tmp_path: Path
) -> None:
    first = make_message(archive.collections["json file"], bbox=BOX, temporal=TIMES)
    second = make_message(archive.collections["icechunk http"])["sources"]
    message = {**first, "sources": [*first["sources"], *second]}
    outcome = invoke(message, tmp_path, environment=archive.environment)
    assert outcome.status == 0, outcome.stderr
    assert len(outcome.items) == 2
    assert len({item["id"] for item in outcome.items}) == 2
    assert len(set(outcome.data)) == 2
    for data in outcome.data:
        check_values(data.read_bytes(), archive).close()


def test_start_without_end_is_taken_to_the_end_and_told(archive: Archive, tmp_path: Path) -> None:
    message = make_message(archive.collections["json file"], variables=["analysed_sst"],
                           temporal={"start": "2024-01-04T00:00:00.000Z"})  # fmt: skip
    outcome = invoke(message, tmp_path, environment=archive.environment)
    told = "The time range has no end"
    assert [line for line in log_lines(outcome, message) if told in line["message"]]
    with netCDF4.Dataset(outcome.data[0]) as nc:
        assert told in nc.virtual_store_notes
        assert "whole collection" in nc.virtual_store_notes
        found = netCDF4.num2date(nc["time"][:], nc["time"].units, nc["time"].calendar)
    start = datetime(2024, 1, 4, tzinfo=UTC)
    wanted = [day_of(path) for path in archive.files if day_of(path) >= start]
    assert [own.isoformat() for own in found] == [f"{own:%Y-%m-%dT%H:%M:%S}" for own in wanted]
    assert 0 < len(wanted) < len(archive.files)


def test_message_in_a_file_is_answered_like_one_on_the_command_line(
    archive: Archive, tmp_path: Path
) -> None:
    message = make_message(archive.collections["json file"], variables=["analysed_sst"],
                           bbox=BOX, temporal=TIMES)  # fmt: skip
    outcome = invoke(message, tmp_path, environment=archive.environment, input_file=True,
                     anew=True)  # fmt: skip
    assert outcome.status == 0, outcome.stderr
    check_item(outcome.items[0], outcome.data[0].stat().st_size)
    log_lines(outcome, message)


def test_settings_stored_inside_a_repository_are_not_obeyed(
    archive: Archive, tmp_path: Path
) -> None:
    local = f"{archive.files[0].parent.as_uri()}/"
    dataset = virtual_dataset(archive.files)
    moved = dataset.vz.rename_paths(lambda url: url.replace(local, f"s3://{ARCHIVE}/granules/"))
    with failing_server(200, "not the archive") as elsewhere:
        config = icechunk.RepositoryConfig.default()
        place = icechunk.s3_store(
            region="us-west-2", endpoint_url=elsewhere.url, allow_http=True, anonymous=True,
            force_path_style=True,
        )  # fmt: skip
        container = icechunk.VirtualChunkContainer(f"s3://{ARCHIVE}/granules/", place)
        config.set_virtual_chunk_container(container)
        folder = tmp_path / "hostile"
        folder.mkdir()
        repository = icechunk.Repository.create(
            icechunk.local_filesystem_storage(str(folder)), config=config
        )
        repository.save_config()
        session = repository.writable_session("main")
        moved.vz.to_icechunk(session.store)
        session.commit("written for a test")
        stored = icechunk.Repository.fetch_config(icechunk.local_filesystem_storage(str(folder)))
        assert elsewhere.url in repr(stored)
        record = umm_collection("C9-T", [folder.as_uri()])
        trusted = f"{archive.trusted},{folder.as_uri()}/"
        with cmr_server({"C9-T": record}) as cmr:
            environment = {**archive.environment, "CMR_ENDPOINT": cmr.url,
                           "HARMONY_VDS_TRUSTED_PREFIXES": trusted}  # fmt: skip
            message = make_message("C9-T", bbox=BOX, temporal=TIMES)
            outcome = invoke(message, tmp_path, environment=environment)
        assert outcome.status == 0, outcome.stderr
        check_values(outcome.data[0].read_bytes(), archive).close()
        assert elsewhere.asked == []


def test_catalogue_can_be_read_back_by_pystac_with_all_its_items(
    archive: Archive, tmp_path: Path
) -> None:
    import pystac

    outcome = invoke(make_message(archive.collections["json file"], variables=["mask"]), tmp_path,
                     environment=archive.environment)  # fmt: skip
    # Harmony's library, once imported, makes pystac read by way of its own settings.
    plain = pystac.stac_io.DefaultStacIO()
    catalog = pystac.Catalog.from_file(str(outcome.metadata / "catalog.json"), stac_io=plain)
    (item,) = catalog.get_items()
    href = item.assets["data"].get_absolute_href()
    assert href is not None
    assert io.BytesIO(Path(href).read_bytes()).read(8) == b"\x89HDF\r\n\x1a\n"


@pytest.mark.parametrize("form", ["kerchunk", "icechunk"])
def test_virtual_subset_is_staged_and_points_to_the_archive(
    archive: Archive, tmp_path: Path, form: str
) -> None:
    message = make_message(
        archive.collections["icechunk http"], variables=["analysed_sst"], bbox=BOX, temporal=TIMES,
        staging=f"s3://{STAGING}/public/{form}/1/",
        format={"mime": f"application/x-zarr;profile={form}"},
    )  # fmt: skip
    outcome = invoke(message, tmp_path, environment=archive.environment, data_location=None)
    assert outcome.status == 0, outcome.stderr
    (item,) = outcome.items
    asset = item["assets"]["data"]
    bucket, _, key = asset["href"].removeprefix("s3://").partition("/")
    assert key.startswith(f"public/{form}/1/DEMO-SST")
    if form == "kerchunk":
        assert asset["type"] == "application/x-zarr;profile=kerchunk"
        path = tmp_path / "subset.json"
        s3_client(archive.s3).download_file(bucket, key, str(path))
        with xr.open_dataset(path, engine="vds", trust=f"{archive.http.url}/") as opened:
            sst = opened.analysed_sst.load()
    else:
        assert asset["type"] == "application/x-zarr"
        storage = icechunk.s3_storage(
            bucket=bucket, prefix=key, endpoint_url=archive.s3, allow_http=True,
            force_path_style=True, region="us-west-2", access_key_id="x", secret_access_key="x",
        )  # fmt: skip
        allowed = icechunk.containers_credentials(
            {f"{archive.http.url}/": icechunk.Credentials.HttpAccess()}
        )
        repository = icechunk.Repository.open(storage, authorize_virtual_chunk_access=allowed)
        session = repository.readonly_session("main")
        sst = xr.open_zarr(session.store, consolidated=False, chunks=None).analysed_sst.load()
    kept = sst.sel(lat=slice(BOX[1], BOX[3]), lon=slice(BOX[0], BOX[2] + 360))
    packed = expected(archive.files, "analysed_sst", BOX)
    decoded = np.where(packed == -32768, np.nan, packed * 0.01 + 273.15)
    np.testing.assert_allclose(kept.values, decoded, rtol=1e-6)
