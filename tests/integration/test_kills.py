"""Runs that are ended in the middle: nothing unfinished is left, and another run finishes them."""

import asyncio
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from invocation import SHARED_SECRET, make_message, publishing_days
from servers import Server, bucket_of, serve
from world import write_days

STAGING = "kills-staging"
DAYS = 12


@dataclass
class Slow:
    """An archive that takes its time over each chunk, and where its collection is found."""

    archive: Server
    cmr: Server
    environment: dict[str, str]


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory, s3: str) -> Iterator[Slow]:
    root = tmp_path_factory.mktemp("archive")
    files = write_days(root / "granules", DAYS)

    async def answer(request: web.Request) -> web.StreamResponse:
        if "Range" in request.headers:
            await asyncio.sleep(0.05)
        return web.FileResponse(root / request.path.lstrip("/"))

    with (
        serve(answer) as archive,
        publishing_days(root, files, archive.url, s3) as (cmr, environment),
    ):
        environment |= {
            "ENV": "", "SHARED_SECRET_KEY": SHARED_SECRET, "HARMONY_VDS_PART_BYTES": "17000",
            **{k: v for k, v in os.environ.items() if k in ("PATH", "LD_LIBRARY_PATH")},
        }  # fmt: skip
        yield Slow(archive, cmr, environment)


@pytest.fixture(scope="module")
def bucket(s3: str) -> Any:
    return bucket_of(s3, STAGING)


def start(slow: Slow, folder: Path, prefix: str, **more: Any) -> subprocess.Popen[str]:
    """A work item, as Harmony's runner starts it."""
    folder.mkdir(parents=True)
    message = make_message("C1-T", staging=f"s3://{STAGING}/{prefix}/", **more)
    command = [sys.executable, "-m", "harmony_vds", "--harmony-action", "invoke",
               "--harmony-input", json.dumps(message), "--harmony-sources", "",
               "--harmony-metadata-dir", str(folder / "metadata")]  # fmt: skip
    environment = {**slow.environment, "HOME": str(folder), "TMPDIR": str(folder)}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def objects(bucket: Any, prefix: str) -> dict[str, bytes]:
    listed = bucket.list_objects_v2(Bucket=STAGING, Prefix=f"{prefix}/").get("Contents", [])
    return {
        own["Key"].removeprefix(f"{prefix}/"):
            bucket.get_object(Bucket=STAGING, Key=own["Key"])["Body"].read()
        for own in listed
    }  # fmt: skip


def finished(run: subprocess.Popen[str]) -> str:
    told, _ = run.communicate(timeout=120)
    assert run.returncode == 0, told
    return told


@pytest.fixture(scope="module")
def undisturbed(
    slow: Slow, bucket: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, bytes], float]:
    """What a run writes that nobody disturbs, and how long it takes."""
    begun = time.monotonic()
    finished(start(slow, tmp_path_factory.mktemp("calm") / "run", "calm"))
    written = objects(bucket, "calm")
    assert len(written) > 4
    return written, time.monotonic() - begun


@pytest.mark.parametrize("seed", [1, *(pytest.param(n, marks=pytest.mark.scale)
                                       for n in range(2, 51))])  # fmt: skip
def test_a_run_killed_at_any_moment_is_finished_by_the_next_with_equal_bytes(
    seed: int, slow: Slow, bucket: Any, undisturbed: tuple[dict[str, bytes], float], tmp_path: Path
) -> None:
    expected, seconds = undisturbed
    prefix = f"killed{seed}"
    share = 0.75 if seed == 1 else random.Random(seed).random()
    first = start(slow, tmp_path / "first", prefix)
    time.sleep(share * seconds)
    overlapping = seed % 10 == 5  # Harmony may start another run while the first one goes on
    if not overlapping:
        first.kill()
        first.communicate()
    before = objects(bucket, prefix)
    for name, content in before.items():
        assert content == expected[name]  # whole or not there
    told = finished(start(slow, tmp_path / "second", prefix))
    if overlapping:
        finished(first)
    assert objects(bucket, prefix) == expected
    reused = told.count("is complete from an earlier run")
    assert reused == len(before) if not overlapping else reused >= len(before)
    uploads = bucket.list_multipart_uploads(Bucket=STAGING, Prefix=prefix).get("Uploads", [])
    assert uploads == []


def listed(found: dict[str, bytes]) -> list[str]:
    """Names of the folders that are as their listings say, with nothing beside them."""
    listings = {name: body for name, body in found.items() if name.endswith(".sha256")}
    known = set(listings)
    for name, body in listings.items():
        folder = name.rsplit(".", 2)[0]
        for line in body.decode().splitlines():
            sha256, path = line.split("  ")
            assert hashlib.sha256(found[f"{folder}/{path}"]).hexdigest() == sha256
            known.add(f"{folder}/{path}")
    assert known == set(found)
    return sorted(name.rsplit(".", 2)[0] for name in listings)


@pytest.mark.scale
@pytest.mark.parametrize("profile", ["", ";profile=icechunk"])
def test_folders_of_runs_killed_at_random_moments_are_finished_with_nothing_beside_them(
    profile: str, slow: Slow, bucket: Any, tmp_path: Path
) -> None:
    wanted, kind = {"format": {"mime": f"application/x-zarr{profile}"}}, profile[-4:] or "zarr"
    begun = time.monotonic()
    finished(start(slow, tmp_path / "calm", f"calm-{kind}", **wanted))
    seconds, expected = time.monotonic() - begun, objects(bucket, f"calm-{kind}")
    names = listed(expected)
    assert names
    for seed in range(5):
        prefix = f"folders-{kind}-{seed}"
        first = start(slow, tmp_path / f"first{seed}", prefix, **wanted)
        time.sleep((0.5 + random.Random(seed).random() / 2) * seconds)
        overlapping = seed == 4
        if not overlapping:
            first.kill()
            first.communicate()
        finished(start(slow, tmp_path / f"second{seed}", prefix, **wanted))
        if overlapping:
            finished(first)
        found = objects(bucket, prefix)
        assert listed(found) == names
        if not profile:
            assert found == expected


def test_objects_of_another_request_are_not_taken_for_this_one(
    slow: Slow, bucket: Any, undisturbed: tuple[dict[str, bytes], float], tmp_path: Path
) -> None:
    expected, _ = undisturbed
    for name in expected:
        bucket.put_object(Bucket=STAGING, Key=f"other/{name}", Body=b"something else")
    told = finished(start(slow, tmp_path / "run", "other"))
    assert "is complete from an earlier run" not in told
    assert objects(bucket, "other") == expected


def test_unfinished_uploads_of_dead_runs_are_given_up_and_those_elsewhere_are_not(
    slow: Slow, bucket: Any, tmp_path: Path
) -> None:
    for key in ("dead/a.nc4", "living/a.nc4"):
        bucket.create_multipart_upload(Bucket=STAGING, Key=key)
    finished(start(slow, tmp_path / "run", "dead"))
    left = bucket.list_multipart_uploads(Bucket=STAGING).get("Uploads", [])
    assert [own["Key"] for own in left] == ["living/a.nc4"]
    bucket.abort_multipart_upload(Bucket=STAGING, Key="living/a.nc4", UploadId=left[0]["UploadId"])


def test_told_to_stop_the_command_line_ends_within_seconds_and_leaves_nothing(
    slow: Slow, tmp_path: Path
) -> None:
    (tmp_path / "tmp").mkdir()
    slow.archive.forget()
    command = [str(Path(sys.executable).with_name("harmony-vds")), "subset",
               "--store", f"{slow.archive.url}/refs.json", "--output", str(tmp_path / "out"),
               "--verbose"]  # fmt: skip
    environment = {**slow.environment, "HOME": str(tmp_path), "TMPDIR": str(tmp_path / "tmp"),
                   "HARMONY_VDS_PART_BYTES": "10GiB"}  # fmt: skip
    run = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 30
    while not list((tmp_path / "tmp").rglob("subset.nc4")):
        assert time.monotonic() < deadline, run.poll()
        time.sleep(0.01)
    run.send_signal(signal.SIGTERM)
    _, stderr = run.communicate(timeout=100)
    assert run.returncode == 143, stderr
    assert "Stopped by SIGTERM" in stderr
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_the_log_tells_how_far_a_run_got(slow: Slow, bucket: Any, tmp_path: Path) -> None:
    told = finished(start(slow, tmp_path / "run", "told"))
    lines = [json.loads(line) for line in told.splitlines()]
    steps = [line for line in lines if "partsDone" in line]
    assert [line["partsDone"] for line in steps] == list(range(1, len(steps) + 1))
    assert all(line["parts"] == len(steps) for line in steps)
    assert steps[-1]["percent"] == 100
    assert steps[-1]["bytesDone"] == steps[-1]["bytes"]
    assert steps[-1]["remainingSeconds"] == 0
    assert len(objects(bucket, "told")) == len(steps)


def test_work_item_told_to_stop_says_so_and_leaves_nothing(
    slow: Slow, bucket: Any, tmp_path: Path
) -> None:
    async def hold(_: web.Request) -> web.StreamResponse:
        asked.set()
        await asyncio.sleep(600)
        return web.Response(status=503)

    asked = threading.Event()
    with serve(hold) as cmr:
        held = replace(slow, environment={**slow.environment, "CMR_ENDPOINT": cmr.url})
        run = start(held, tmp_path / "run", "stopped")
        assert asked.wait(100)
        run.send_signal(signal.SIGTERM)
        told, _ = run.communicate(timeout=100)
    assert run.returncode == 143, told
    assert "Stopped by SIGTERM" in told
    assert "Traceback" not in told
    error = json.loads((tmp_path / "run" / "metadata" / "error.json").read_bytes())
    assert "told to stop" in error["error"]
    assert error["category"] == "Service"
    assert objects(bucket, "stopped") == {}
    assert [own.name for own in (tmp_path / "run").iterdir()] == ["metadata"]
