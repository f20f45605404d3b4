"""The command finds granules in CMR, in STAC or by name, here or elsewhere, and publishes them."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import pytest
from building import contents, files_at
from dmrpp import write_dmrpp
from servers import Server, bucket_of, cmr_server, file_server
from systems.kits import ask, raw, request, services
from typer.testing import CliRunner
from world import umm_collection, umm_granule, write_days

from harmony_vds.building.choice import Choice
from harmony_vds.building.places import Place
from harmony_vds.building.virtualize import Crew, virtualize
from harmony_vds.cli.main import app


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_days(tmp_path_factory.mktemp("granules"), 4)


@pytest.fixture(scope="module")
def archive(days: list[Path]) -> Iterator[Server]:
    with file_server(days[0].parent) as server:
        yield server


def run(*arguments: object, status: int = 0, **environment: str) -> str:
    """What the command prints, or why it refuses."""
    done = CliRunner().invoke(app, ["virtualize", *map(str, arguments)], env=environment)
    assert done.exit_code == status, done.exception
    return done.output if status == 0 else str(done.exception)


def records(days: Sequence[Path], archive: Server) -> list[dict[str, Any]]:
    """A granule's record for each day: data, a browse image, and the same data in S3."""
    return [
        umm_granule(
            f"G{number}-TEST", "C1-TEST", path.stem,
            [{"URL": f"{archive.url}/{path.name}", "Type": "GET DATA"},
             {"URL": f"{archive.url}/{path.stem}.png", "Type": "GET RELATED VISUALIZATION"},
             {"URL": f"s3://bucket/{path.name}", "Type": "GET DATA VIA DIRECT ACCESS"}],
            times=(f"2024-01-0{number + 2}T00:00:00Z", f"2024-01-0{number + 2}T23:59:59Z"),
        )
        for number, path in enumerate(days)
    ]  # fmt: skip


def truth(days: Sequence[Path]) -> np.ndarray:
    return np.concatenate([raw(own, "analysed_sst") for own in days])


def read(store: Path, archive: Server, folder: Path) -> np.ndarray:
    using = services(trusted=(f"{archive.url}/", store.as_uri()))
    return ask(request(("analysed_sst",)), store.as_uri(), using, folder).read("analysed_sst")


def test_collection_is_published_then_grows_and_shrinks_with_cmr(
    days: list[Path], archive: Server, tmp_path: Path
) -> None:
    store, known = tmp_path / "store", records(days, archive)
    options = ("--collection", "C1-TEST", "--output", store, "--trust", f"{archive.url}/")
    collection = {"C1-TEST": umm_collection("C1-TEST", [])}
    with cmr_server(collection, *known[:2]) as cmr:
        told = run(*options, CMR_ENDPOINT=cmr.url)
    assert "2 granules" in told
    np.testing.assert_array_equal(read(store, archive, tmp_path / "a"), truth(days[:2]))
    with cmr_server(collection, *known[1:]) as cmr:
        told = run(*options, "--update", "--remove-deleted", CMR_ENDPOINT=cmr.url)
    assert "2 granules added, 1 removed" in told
    np.testing.assert_array_equal(read(store, archive, tmp_path / "b"), truth(days[1:]))


def test_granule_elsewhere_that_was_written_anew_is_described_anew(tmp_path: Path) -> None:
    own = write_days(tmp_path / "granules", 2)
    with file_server(own[0].parent) as server:
        hrefs = [f"{server.url}/{path.name}" for path in own]
        options = ("--output", tmp_path / "store", "--trust", f"{server.url}/")
        run(*hrefs, *options)
        assert "0 described anew" in run(*hrefs, *options, "--update")
        told = own[1].stat().st_mtime + 3_600  # as a later edition would have
        os.utime(own[1], (told, told))
        assert "1 described anew" in run(*hrefs, *options, "--update")
        os.utime(own[1], (told - 86_400, told - 86_400))  # or one from before
        assert "1 described anew" in run(*hrefs, *options, "--update")
        assert "0 described anew" in run(*hrefs, *options, "--update")


def test_sidecars_that_records_name_describe_their_granules(
    days: list[Path], archive: Server, tmp_path: Path
) -> None:
    known = records(days[:2], archive)
    public = days[0].parent / "public"
    public.mkdir(exist_ok=True)
    for own, path in zip(known, days, strict=False):
        write_dmrpp(path, public / f"{path.name}.dmrpp")
        link = {"URL": f"{archive.url}/public/{path.name}.dmrpp", "Type": "EXTENDED METADATA",
                "Subtype": "DMR++"}  # fmt: skip
        own["umm"]["RelatedUrls"].append(link)
    options = ("--collection", "C1-TEST", "--output", tmp_path / "store")
    with cmr_server({"C1-TEST": umm_collection("C1-TEST", [])}, *known) as cmr:
        told = run(*options, "--trust", f"{archive.url}/", CMR_ENDPOINT=cmr.url)
    assert "note: 2 of 2 granules are described by their DMR++ sidecars" in told
    np.testing.assert_array_equal(read(tmp_path / "store", archive, tmp_path), truth(days[:2]))


def test_only_granules_created_since_are_asked_for(
    days: list[Path], archive: Server, tmp_path: Path
) -> None:
    store, known = tmp_path / "store", records(days, archive)
    options = ("--collection", "C1-TEST", "--output", store, "--trust", f"{archive.url}/")
    collection = {"C1-TEST": umm_collection("C1-TEST", [])}
    known[2]["umm"]["ProviderDates"][0]["Date"] = "2024-03-01T00:00:00.000Z"
    with cmr_server(collection, *known) as cmr:
        run(*options, "--temporal", "2024-01-01", "2024-01-03", CMR_ENDPOINT=cmr.url)
        since = ("--update", "--created-since", "2024-02-15")
        assert "1 granules added" in run(*options, *since, CMR_ENDPOINT=cmr.url)
        known[1]["umm"]["ProviderDates"].append(
            {"Date": "2024-03-02T00:00:00.000Z", "Type": "Update"}
        )
        then = days[0].stat().st_mtime - 60
        for own in days[:2]:  # both were replaced, and the record of one says so
            os.utime(own, (then, then))
        since = ("--update", "--revised-since", "2024-02-15")
        told = run(*options, *since, CMR_ENDPOINT=cmr.url)
        assert "0 granules added, 0 removed, 1 described anew" in told
    assert read(store, archive, tmp_path / "a").shape[0] == 3


def test_stac_catalogue_is_published_with_the_names_that_are_asked_for(
    days: list[Path], tmp_path: Path
) -> None:
    items = []
    for number, path in enumerate(days[:2]):
        told = {
            "type": "Feature", "id": path.stem, "properties": {"datetime": "2024-01-02T00:00:00Z"},
            "assets": {"data": {"href": path.as_uri()}, "browse": {"href": "./browse.png"},
                       "s3": {"href": f"s3://bucket/{path.name}"}},
        }  # fmt: skip
        (tmp_path / f"item{number}.json").write_text(json.dumps(told))
        items.append({"rel": "item", "href": f"./item{number}.json"})
    catalogue = tmp_path / "catalog.json"
    catalogue.write_text(json.dumps({"type": "Catalog", "links": items}))
    trusted = ("--trust", f"{tmp_path}/")
    run("--stac", catalogue, "--output", tmp_path / "here", *trusted)
    found = contents(tmp_path / "here")
    np.testing.assert_array_equal(found["/analysed_sst"][0], truth(days[:2]))
    run("--stac", catalogue, "--output", tmp_path / "there", "--links", "s3", *trusted)
    storage = icechunk.local_filesystem_storage(str(tmp_path / "there"))
    assert "s3://bucket/" in icechunk.Repository.open(storage).config.virtual_chunk_containers


def test_stac_item_whose_time_is_none_is_refused_by_its_name(
    days: list[Path], tmp_path: Path
) -> None:
    item = tmp_path / "item.json"
    item.write_text(json.dumps({
        "type": "Feature", "id": "one-day", "properties": {"datetime": "02.01.2024"},
        "assets": {"data": {"href": days[0].as_uri()}},
    }))  # fmt: skip
    told = run("--stac", item, "--output", tmp_path / "store", "--trust", f"{tmp_path}/", status=1)
    assert "The datetime of the item one-day is '02.01.2024'" in told


def test_repository_is_written_directly_to_a_bucket_and_updated_there(
    days: list[Path], archive: Server, s3: str, tmp_path: Path
) -> None:
    bucket_of(s3, "stores")
    given = {"HARMONY_VDS_S3_ENDPOINT_URL": s3, "AWS_ACCESS_KEY_ID": "x",
             "AWS_SECRET_ACCESS_KEY": "x"}  # fmt: skip
    options = ("--output", "s3://stores/sst.icechunk", "--source-prefix", f"{archive.url}/")
    pattern = str(days[0].parent / "*_00[12].nc")
    assert "2 granules" in run(pattern, *options, **given)
    assert "exists and is not empty" in run(pattern, *options, status=1, **given)
    assert "1 granules added" in run(*days[:3], *options, "--update", **given)
    storage = icechunk.s3_storage(
        bucket="stores", prefix="sst.icechunk", region="us-west-2", endpoint_url=s3,
        allow_http=True, force_path_style=True, access_key_id="x", secret_access_key="x",
    )  # fmt: skip
    import zarr

    session = icechunk.Repository.open(storage).readonly_session("main")
    assert zarr.open_group(session.store, mode="r")["time"].shape == (3,)


def test_granules_elsewhere_are_read_by_ranges_and_not_as_a_whole(
    archive: Server, days: list[Path], tmp_path: Path
) -> None:
    archive.forget()
    hrefs = [f"{archive.url}/{own.name}" for own in days[:2]]
    run(*hrefs, "--output", tmp_path / "store", "--trust", f"{archive.url}/")
    assert all("Range" in own.headers for own in archive.asked)
    np.testing.assert_array_equal(
        read(tmp_path / "store", archive, tmp_path / "a"), truth(days[:2])
    )


def test_granule_that_is_gone_is_named(archive: Server, days: list[Path], tmp_path: Path) -> None:
    hrefs = [f"{archive.url}/{days[0].name}", f"{archive.url}/absent.nc"]
    told = run(*hrefs, "--output", tmp_path / "store", "--trust", f"{archive.url}/", status=1)
    assert "absent.nc" in told
    assert not (tmp_path / "store").exists()


@pytest.mark.scale
def test_processes_and_dask_read_what_one_alone_reads(days: list[Path], tmp_path: Path) -> None:
    from distributed import Client, LocalCluster

    run(*days, "--output", tmp_path / "two", "--workers", "2")
    with (
        LocalCluster(processes=False, n_workers=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        crew = Crew(client.get_executor(pure=False))
        place = Place.of(str(tmp_path / "dask"))
        virtualize(files_at(days), place, Choice(), crew)
    for name in ("two", "dask"):
        np.testing.assert_array_equal(contents(tmp_path / name)["/analysed_sst"][0], truth(days))


@pytest.mark.parametrize(
    "options, told",
    [
        ((), "Name either files"),
        (("a.nc", "--collection", "C1-TEST"), "Name either files"),
        (("a.nc", "--remove-deleted"), "go with --update"),
        (
            ("a.nc", "--update", "--remove-deleted", "--created-since", "2024-01-01"),
            "one of the two",
        ),
        (("nothing*.nc",), "No file fits the pattern"),
        (("a.nc", "--links", "ftp"), "https or s3"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    options: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    assert told in run("--output", tmp_path / "s", *options, status=1)
