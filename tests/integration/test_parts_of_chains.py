"""Parts as Harmony makes them: in one work item, and in a work item each, behind one that plans.

Every step is a process of its own. Values are compared with the granules as netCDF4 reads them.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from invocation import (
    CANARY,
    SHARED_SECRET,
    Outcome,
    invoke,
    items_of,
    make_message,
    publishing_days,
)
from servers import Server, bucket_of, file_server
from world import write_days

STAGING = "parts-staging"
DAYS = 7
BOX = [160.0, -40.0, -140.0, 30.0]
PLAN = {"virtual_store_step": "plan"}


@dataclass
class Published:
    """Granules and references on an HTTP server that the collection's record names."""

    files: list[Path]
    http: Server
    cmr: Server
    environment: dict[str, str]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, s3: str) -> Iterator[Published]:
    root = tmp_path_factory.mktemp("archive")
    files = write_days(root / "granules", DAYS)
    with file_server(root) as http, publishing_days(root, files, http.url, s3) as (cmr, given):
        # 16 bytes a day below the box of 14 by 12 cells of three bytes, and the axes
        yield Published(files, http, cmr, given | {"HARMONY_VDS_PART_BYTES": "1400"})


@pytest.fixture(scope="module")
def bucket(s3: str) -> Any:
    return bucket_of(s3, STAGING)


def values(path: Path, name: str) -> np.ndarray:
    with netCDF4.Dataset(path) as nc:
        nc.set_auto_maskandscale(False)
        return np.asarray(nc[name][...])


def expected(files: list[Path], name: str) -> np.ndarray:
    """Packed values in a box across the antimeridian, by netCDF4 alone."""
    days = []
    for path in files:
        lat, lon = values(path, "lat"), values(path, "lon")
        rows = values(path, name)[0][(lat >= BOX[1]) & (lat <= BOX[3])]
        days.append(np.concatenate([rows[:, lon >= BOX[0]], rows[:, lon <= BOX[2]]], axis=1))
    return np.stack(days)


def message(**more: Any) -> dict[str, Any]:
    return make_message("C1-T", bbox=BOX, **more)


def checked(outcome: Outcome) -> Outcome:
    assert outcome.status == 0, outcome.stderr
    assert CANARY not in outcome.stderr
    return outcome


@pytest.fixture(scope="module")
def in_one(published: Published, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The items of one work item that writes Parts one after another."""
    folder = tmp_path_factory.mktemp("one")
    return checked(invoke(message(), folder, environment=published.environment)).items


def test_one_work_item_gives_one_item_for_each_part_and_together_the_granules(
    in_one: list[dict[str, Any]], published: Published
) -> None:
    assert len(in_one) >= 3
    names = [item["assets"]["data"]["title"] for item in in_one]
    assert names == sorted(names)
    assert len(set(names)) == len(names)
    paths = [Path(item["assets"]["data"]["href"]) for item in in_one]
    for name in ("analysed_sst", "mask"):
        joined = np.concatenate([values(path, name) for path in paths])
        np.testing.assert_array_equal(joined, expected(published.files, name))
    times = [(item["properties"]["start_datetime"], item["properties"]["end_datetime"])
             for item in in_one]  # fmt: skip
    assert times == sorted(times)
    assert all(end < start for (_, end), (start, _) in pairwise(times))


def test_who_waits_gets_one_file(published: Published, tmp_path: Path) -> None:
    outcome = checked(
        invoke(message(isSynchronous=True), tmp_path, environment=published.environment)
    )
    (path,) = outcome.data
    np.testing.assert_array_equal(
        values(path, "analysed_sst"), expected(published.files, "analysed_sst")
    )


def test_a_planning_step_and_a_work_item_for_each_part_write_the_same_files(
    in_one: list[dict[str, Any]], published: Published, tmp_path: Path
) -> None:
    planned = checked(invoke(message(extraArgs=PLAN), tmp_path, environment=published.environment))
    assert len(planned.batch) == len(in_one)
    for own in published.http.asked:
        assert CANARY not in str(own.headers)
    published.cmr.forget()
    for number, catalog in enumerate(planned.batch):
        (item,) = items_of(catalog)
        assert {link["rel"] for link in json.loads(catalog.read_text())["links"]} <= {
            "root", "item", "self"
        }  # fmt: skip
        assert item["bbox"]
        assert (
            item["properties"]["start_datetime"] == in_one[number]["properties"]["start_datetime"]
        )
        (asset,) = item["assets"].values()
        assert CANARY not in Path(asset["href"]).read_text()
        assert SHARED_SECRET not in Path(asset["href"]).read_text()
        folder = tmp_path / f"part{number}"
        folder.mkdir()
        outcome = checked(
            invoke(message(), folder, environment=published.environment, sources=str(catalog))
        )
        (written,) = outcome.items
        whole = in_one[number]["assets"]["data"]
        assert written["assets"]["data"]["title"] == whole["title"]
        assert written["assets"]["data"]["file:checksum"] == whole["file:checksum"]
        assert written["bbox"] == in_one[number]["bbox"]
    assert published.cmr.asked == []  # planned once
    published.http.forget()
    elsewhere = {"HARMONY_VDS_TRUSTED_PREFIXES": "https://elsewhere.example.com/"}
    refused = invoke(
        message(), tmp_path / "part0" / "again", sources=str(planned.batch[0]),
        environment=published.environment | elsewhere,
    )  # fmt: skip
    assert refused.status == 1  # a Part says what is to be read, and not what may be
    assert refused.error["category"] == "NoRetry"
    assert "trust" in refused.error["error"].lower()
    assert published.http.asked == []


def test_plan_of_one_part_is_one_work_item_that_writes_all_under_a_plain_name(
    published: Published, tmp_path: Path
) -> None:
    environment = {**published.environment, "HARMONY_VDS_PART_BYTES": "1GiB"}
    asked = message(extraArgs=PLAN)
    (catalog,) = checked(invoke(asked, tmp_path, environment=environment)).batch
    folder = tmp_path / "part"
    folder.mkdir()
    outcome = checked(invoke(message(), folder, environment=environment, sources=str(catalog)))
    (path,) = outcome.data
    assert "part1of" not in path.name
    found = values(path, "analysed_sst")
    np.testing.assert_array_equal(found, expected(published.files, "analysed_sst"))


def test_planning_step_that_finds_nothing_says_so_and_makes_no_work_item(
    published: Published, tmp_path: Path
) -> None:
    asked = message(
        extraArgs=PLAN,
        temporal={"start": "2030-01-01T00:00:00Z", "end": "2030-01-02T00:00:00Z"},
    )
    outcome = invoke(asked, tmp_path, environment=published.environment)
    assert outcome.error["category"].lower() == "nodata", outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert not (outcome.metadata / "batch-catalogs.json").exists()
    assert not list((tmp_path / "data").rglob("*"))


@pytest.mark.scale
def test_work_items_that_have_a_cluster_write_the_same_files_alone_and_in_a_chain(
    in_one: list[dict[str, Any]], published: Published, tmp_path: Path
) -> None:
    from distributed import LocalCluster

    sums = [item["assets"]["data"]["file:checksum"] for item in in_one]
    planned = checked(invoke(message(extraArgs=PLAN), tmp_path, environment=published.environment))
    with LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as cluster:
        own = {**published.environment, "HARMONY_VDS_DASK": cluster.scheduler_address}
        (tmp_path / "alone").mkdir()
        alone = checked(invoke(message(), tmp_path / "alone", environment=own))
        assert [item["assets"]["data"]["file:checksum"] for item in alone.items] == sums
        assert "Workers read" in alone.stderr
        for number, catalog in enumerate(planned.batch):
            folder = tmp_path / f"part{number}"
            folder.mkdir()
            outcome = checked(invoke(message(), folder, environment=own, sources=str(catalog)))
            (written,) = outcome.items
            assert written["assets"]["data"]["file:checksum"] == sums[number]
            assert "Workers read" in outcome.stderr


def test_parts_travel_over_s3_as_harmony_hands_them_on(
    in_one: list[dict[str, Any]], published: Published, bucket: Any, tmp_path: Path
) -> None:
    metadata = f"s3://{STAGING}/job/1/outputs/"
    planned = invoke(
        message(extraArgs=PLAN, staging=f"s3://{STAGING}/public/x/1/"), tmp_path,
        environment=published.environment, data_location=None, metadata=metadata,
    )  # fmt: skip
    assert planned.status == 0, planned.stderr
    keys = [own["Key"] for own in bucket.list_objects_v2(Bucket=STAGING)["Contents"]]
    assert sum(key.startswith("public/x/1/") for key in keys) == len(in_one)
    names = json.loads(
        bucket.get_object(Bucket=STAGING, Key="job/1/outputs/batch-catalogs.json")["Body"].read()
    )
    last = f"s3://{STAGING}/job/1/outputs/{names[-1]}"
    outcome = checked(invoke(message(), tmp_path, environment=published.environment, sources=last))
    data = outcome.items[0]["assets"]["data"]
    assert data["file:checksum"] == in_one[-1]["assets"]["data"]["file:checksum"]


def test_a_part_that_was_changed_on_the_way_is_refused_for_good(
    published: Published, tmp_path: Path
) -> None:
    planned = checked(invoke(message(extraArgs=PLAN), tmp_path, environment=published.environment))
    catalog = planned.batch[0]
    (item,) = items_of(catalog)
    document = Path(item["assets"]["data"]["href"])
    document.write_text(document.read_text().replace(published.http.url, "http://169.254.169.254"))
    folder = tmp_path / "second"
    folder.mkdir()
    outcome = invoke(message(), folder, environment=published.environment, sources=str(catalog))
    assert outcome.status == 1
    assert outcome.error["category"].lower() == "noretry"
    assert "none that the step before it planned" in outcome.error["error"]


def test_a_refusal_of_the_first_chain_names_the_service_of_the_third(
    published: Published, tmp_path: Path
) -> None:
    environment = {**published.environment, "HARMONY_VDS_MAX_OUTPUT_BYTES": "2000",
                   "HARMONY_VDS_PARTS_SERVICE_ID": "S0000000002-PROVIDER"}  # fmt: skip
    refused = invoke(message(), tmp_path, environment=environment)
    assert refused.error["category"].lower() == "noretry"
    assert "serviceId=S0000000002-PROVIDER" in refused.error["error"]
    assert len(refused.error["error"]) < 1000
    again = tmp_path / "again"
    again.mkdir()
    planned = checked(invoke(message(extraArgs=PLAN), again, environment=environment))
    assert len(planned.batch) > 1
