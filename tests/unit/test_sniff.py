"""Telling the form of a store by its ending, by what lies below it, and by how it begins."""

import contextlib
import gzip
from pathlib import Path

import pytest
from servers import failing_server, file_server, s3_client, upload
from systems.kits import services

from harmony_vds.discovery.sniff import sniff
from harmony_vds.errors import ForbiddenError, NoStoreError, UpstreamError
from harmony_vds.model.store import ManifestFormat


def form(href: str, s3: str = "") -> ManifestFormat:
    with services(trusted=("file:///", "s3://shelf/", "http://127.0.0.1/"), s3=s3) as using:
        return sniff(href, using.access.fetcher)


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({"repo": b"x"}, ManifestFormat.ICECHUNK),
        ({"refs/branch.main/ref.json": b"{}", "config.yaml": b"x"}, ManifestFormat.ICECHUNK),
        ({"zarr.json": b'{"zarr_format":3}'}, ManifestFormat.ZARR),
        ({".zmetadata": b'{"zarr_consolidated_format":1}', ".zgroup": b"{}"}, ManifestFormat.ZARR),
        (
            {".zmetadata": b'{"metadata":{},"record_size":1000}'},
            ManifestFormat.KERCHUNK_PARQUET,
        ),
        ({".zgroup": b"{}"}, ManifestFormat.ZARR),
        ({".zarray": b"{}"}, ManifestFormat.ZARR),
    ],
)
def test_folder_is_told_by_what_lies_in_it(
    files: dict[str, bytes], kind: ManifestFormat, tmp_path: Path
) -> None:
    for name, body in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(body)
    assert form(tmp_path.as_uri()) is kind


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (gzip.compress(b'{"refs":{}}', mtime=0), ManifestFormat.KERCHUNK_JSON),
        (b'{"version":1,"refs":{}}', ManifestFormat.KERCHUNK_JSON),
        (b"<?xml version='1.0'?><Dataset/>", ManifestFormat.DMRPP),
    ],
)
def test_file_without_ending_is_told_by_how_it_begins(
    body: bytes, kind: ManifestFormat, tmp_path: Path
) -> None:
    (tmp_path / "manifest").write_bytes(body)
    assert form((tmp_path / "manifest").as_uri()) is kind


@pytest.mark.parametrize("name", ["store.zarr.zip", "refs.parq.zip", "store"])
def test_zip_file_is_told_by_its_ending_or_how_it_begins(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04rest")
    assert form((tmp_path / name).as_uri()) is ManifestFormat.ZIP


def test_folder_of_several_stores_is_listed_and_tells_how_to_choose(tmp_path: Path) -> None:
    for name in ("HISTORICAL", "SSP245", "SSP585"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "repo").write_bytes(b"x")
    with pytest.raises(NoStoreError) as refused:
        form(tmp_path.as_uri())
    told = str(refused.value)
    assert "HISTORICAL/, SSP245/, SSP585/" in told
    assert f"ask for {tmp_path.as_uri()}/HISTORICAL" in told


def test_folder_of_several_stores_in_a_bucket_is_listed(s3: str, tmp_path: Path) -> None:
    for name in ("HISTORICAL", "SSP245"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "repo").write_bytes(b"x")
    upload(s3, "shelf", tmp_path, "icechunk/RASI/")
    s3_client(s3).put_bucket_acl(Bucket="shelf", ACL="public-read")
    with pytest.raises(NoStoreError, match=r"HISTORICAL/, SSP245/"):
        form("s3://shelf/icechunk/RASI", s3)


def test_web_server_cannot_be_listed_and_the_refusal_says_what_was_looked_for(
    tmp_path: Path,
) -> None:
    with (
        file_server(tmp_path) as server,
        services(trusted=(server.url,)) as using,
        pytest.raises(NoStoreError) as refused,
    ):
        sniff(f"{server.url}/parent", using.access.fetcher)
    assert "`repo`" in str(refused.value)
    assert "Below it" not in str(refused.value)


@pytest.mark.parametrize(("status", "error"), [(403, ForbiddenError), (503, UpstreamError)])
def test_refusal_or_trouble_is_not_taken_for_another_form(status: int, error: type) -> None:
    with (
        failing_server(status, "no") as server,
        services(trusted=(server.url,)) as using,
        contextlib.ExitStack() as stack,
    ):
        stack.enter_context(pytest.raises(error))
        from dataclasses import replace

        from harmony_vds.access.fetch import RetryPolicy

        quick = replace(using.access.fetcher, policy=RetryPolicy(attempts=1))
        sniff(f"{server.url}/store", quick)
