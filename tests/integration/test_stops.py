"""Work items that are told to stop at every moment of theirs: they end, say so and leave nothing.

A server keeps one answer back, so that the moment is certain; then the signal is sent. Work items
run as Harmony's runner starts them.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import forks
import numpy as np
import pytest
from aiohttp import web
from gates import Gate, Wanted, passing_on
from invocation import CANARY, Outcome, invoke, make_message
from servers import bucket_of, cmr_server, serve
from world import (
    kerchunk_references,
    umm_collection,
    virtual_dataset,
    write_granule,
    write_icechunk,
    write_references,
)

STAGING = "stops-staging"
ROWS, COLUMNS = 1500, 3000  # nine million bytes that nothing compresses: uploaded in two parts


@dataclass
class Held:
    """Everything that a work item asks, each behind a gate."""

    archive: Gate
    staging: Gate
    bucket: Any
    references: dict[str, Any]
    environment: dict[str, str]

    @contextlib.contextmanager
    def waiting(self, name: str, wanted: Wanted, *, is_late: bool) -> Iterator[Gate]:
        """One of the gates, closed to what is `wanted`."""
        gate: Gate = getattr(self, name)
        gate.close(wanted, is_late=is_late)
        try:
            yield gate
        finally:
            gate.open()

    def stored(self, name: str) -> tuple[int, int]:
        """Where the first chunk of an array begins and ends in the granule."""
        _, start, length = self.references[name]
        return start, start + length

    def found(self, prefix: str) -> dict[str, bytes]:
        listed = self.bucket.list_objects_v2(Bucket=STAGING, Prefix=f"{prefix}/")
        return {
            own["Key"].removeprefix(f"{prefix}/"):
                self.bucket.get_object(Bucket=STAGING, Key=own["Key"])["Body"].read()
            for own in listed.get("Contents", [])
        }  # fmt: skip

    def unfinished(self, prefix: str) -> list[str]:
        listed = self.bucket.list_multipart_uploads(Bucket=STAGING, Prefix=f"{prefix}/")
        return [own["Key"] for own in listed.get("Uploads", [])]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, s3: str) -> Iterator[Held]:
    root = tmp_path_factory.mktemp("archive")
    noise = np.random.default_rng(1).integers(-30000, 30000, (ROWS, COLUMNS)).astype(np.int16)
    granule = write_granule(root / "g.nc", 0, nlat=ROWS, nlon=COLUMNS, chunks=(500, 1000),
                            values=noise)  # fmt: skip
    archive, staging = Gate(), Gate()

    async def answer(request: web.Request) -> web.StreamResponse:
        path = root / request.path.lstrip("/")
        return web.FileResponse(path) if path.is_file() else web.Response(status=404)

    with serve(archive.before(answer)) as http, passing_on(s3, staging) as objects:

        def moved(url: str) -> str:
            return url.replace(f"{root.as_uri()}/", f"{http.url}/")

        references = kerchunk_references([granule], moved)
        write_references(root / "refs.json", references)
        write_icechunk(root / "repo.icechunk", {None: virtual_dataset([granule])},
                       container=f"{http.url}/", rename=moved)  # fmt: skip
        records = {"C1-T": umm_collection("C1-T", [f"{http.url}/refs.json"]),
                   "C2-T": umm_collection("C2-T", [f"{http.url}/repo.icechunk"])}  # fmt: skip
        with cmr_server(records, token=CANARY) as cmr:
            yield Held(archive, staging, bucket_of(s3, STAGING), references["refs"], {
                "CMR_ENDPOINT": cmr.url, "HARMONY_VDS_TRUSTED_PREFIXES": f"{http.url}/",
                "SOURCE_DATE_EPOCH": "1700000000", "PYTHONWARNINGS": "ignore",
                "HARMONY_VDS_SPOT_CHECK": "off",  # asks for bytes beside the chunks
                "AWS_ENDPOINT_URL_S3": objects.url, "AWS_ACCESS_KEY_ID": "x",
                "AWS_SECRET_ACCESS_KEY": "x"})  # fmt: skip


def stopping(gate: Gate, folder: Path, *, has_file: bool = False) -> Callable[[int], None]:
    """What tells a process to stop when it waits at a gate, and has a file below a folder."""

    def stop(number: int) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            while not (gate.came.is_set() and (not has_file or [*folder.rglob("subset.nc4")])):
                os.kill(number, 0)
                time.sleep(0.01)
            os.kill(number, signal.SIGTERM)

    return stop


def run(
    world: Held,
    folder: Path,
    prefix: str,
    gate: Gate | None = None,
    *,
    has_file: bool = False,
    **more: Any,
) -> Outcome:
    """A work item; where there is a gate it is told to stop when it waits there, and has a file."""

    (folder / "tmp").mkdir(parents=True)
    message = make_message(staging=f"s3://{STAGING}/{prefix}/", **{"collection": "C1-T", **more})
    environment = {**world.environment, "TMPDIR": str(folder / "tmp")}
    stop = stopping(gate, folder, has_file=has_file) if gate else None
    return invoke(message, folder, environment=environment, data_location=None, meanwhile=stop)


def asks(world: Held, name: str) -> Wanted:
    """Whether a request is for bytes of the first chunk of an array."""
    start, stop = world.stored(name)

    def wanted(request: web.Request) -> bool:
        asked = request.http_range
        return request.path == "/g.nc" and asked.start < stop and start < (asked.stop or 0)

    return wanted


def check_stopped(outcome: Outcome, folder: Path) -> None:
    assert outcome.status == 143, outcome.stderr
    assert "Stopped by SIGTERM" in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert "told to stop" in outcome.error["error"]
    assert outcome.error["category"] == "Service"
    assert list((folder / "tmp").iterdir()) == []


@dataclass(frozen=True)
class Moment:
    """Where a work item waits, and what it is asked."""

    gate: str
    waits: Callable[[Held], Wanted]
    asked: Mapping[str, Any] = field(default_factory=dict)
    is_late: bool = False
    has_file: bool = False


def part_of_upload(number: int) -> Callable[[Held], Wanted]:
    return lambda _: lambda own: own.query.get("partNumber") == str(number)


def named(*ends: str, method: str = "GET") -> Callable[[Held], Wanted]:
    return lambda _: lambda own: own.method == method and own.path.endswith(ends)


def completes(request: web.Request) -> bool:
    return request.method == "POST" and "uploadId" in request.query


SMALL = {"bbox": [0.0, 0.0, 2.0, 2.0]}
ZARR, ROOT = {"format": {"mime": "application/x-zarr"}, **SMALL}, ".zarr/zarr.json"
PLAN = {"extraArgs": {"virtual_store_step": "plan"}, **SMALL}
REPOSITORY = {"collection": "C2-T"}

OFTEN = {
    "opening references": Moment("archive", named("/refs.json"), SMALL),
    "planning": Moment("archive", lambda world: asks(world, "lat/0"), SMALL),
    "writing": Moment("archive", lambda world: asks(world, "mask/0.1.1"), SMALL, has_file=True),
    "uploading": Moment("staging", part_of_upload(2), has_file=True),
}
SELDOM = {
    "opening a repository": Moment("archive", named("/repo.icechunk/repo"), REPOSITORY),
    "finding a snapshot": Moment(
        "archive", lambda _: lambda own: "/snapshots/" in own.path, REPOSITORY
    ),
    "reading": Moment("archive", lambda world: asks(world, "analysed_sst/0.0.0")),
    "looking for outputs": Moment("staging", lambda _: lambda own: own.query.get("list-type")),
    "completing an upload": Moment("staging", lambda _: completes),
    "uploading at once": Moment("staging", named(".nc4", method="PUT"), SMALL),
    "having uploaded a part": Moment("staging", part_of_upload(1), is_late=True),
    "uploading a chunk": Moment("staging", named("/c/0/0/0", method="PUT"), ZARR),
    "uploading a root": Moment("staging", named(ROOT, method="PUT"), ZARR),
    "handing on a Part": Moment("staging", named(".json", method="PUT"), PLAN),
}


@pytest.fixture(scope="module")
def undisturbed(
    world: Held, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Mapping[str, Any]], dict[str, bytes]]:
    """What a work item leaves that is not told to stop."""
    known: dict[str, dict[str, bytes]] = {}

    def written(asked: Mapping[str, Any]) -> dict[str, bytes]:
        if repr(asked) not in known:
            prefix = f"calm{len(known)}"
            outcome = run(world, tmp_path_factory.mktemp(prefix), prefix, **asked)
            assert outcome.status == 0, outcome.stderr
            known[repr(asked)] = world.found(prefix)
        return known[repr(asked)]

    return written


@pytest.mark.parametrize(
    "moment", [*OFTEN, *(pytest.param(own, marks=pytest.mark.scale) for own in SELDOM)]
)
def test_work_item_told_to_stop_says_so_and_leaves_nothing_but_what_the_next_one_takes(
    moment: str,
    world: Held,
    undisturbed: Callable[[Mapping[str, Any]], dict[str, bytes]],
    tmp_path: Path,
) -> None:
    told, prefix = (OFTEN | SELDOM)[moment], moment.replace(" ", "-")
    expected = undisturbed(told.asked)
    with world.waiting(told.gate, told.waits(world), is_late=told.is_late) as gate:
        stopped = run(world, tmp_path / "first", prefix, gate, has_file=told.has_file, **told.asked)
    check_stopped(stopped, tmp_path / "first")
    left = world.found(prefix)
    assert left == {} or (told.asked == ZARR and not any(own.endswith(ROOT) for own in left))
    assert world.unfinished(prefix) == []
    outcome = run(world, tmp_path / "second", prefix, **told.asked)
    assert outcome.status == 0, outcome.stderr
    found = world.found(prefix)
    if told.asked is PLAN:  # sealed anew each time
        assert found.keys() == expected.keys()
    else:
        assert found == expected


def test_output_that_is_complete_when_its_run_is_stopped_is_taken_by_the_next(
    world: Held, undisturbed: Callable[[Mapping[str, Any]], dict[str, bytes]], tmp_path: Path
) -> None:
    expected = undisturbed({})
    with world.waiting("staging", completes, is_late=True) as gate:
        stopped = run(world, tmp_path / "first", "complete", gate)
    check_stopped(stopped, tmp_path / "first")
    assert world.found("complete") == expected
    assert world.unfinished("complete") == []
    outcome = run(world, tmp_path / "second", "complete")
    assert outcome.status == 0, outcome.stderr
    assert "is complete from an earlier run" in outcome.stderr
    assert world.found("complete") == expected


@pytest.mark.scale
@pytest.mark.parametrize("moment", ["opening references", "planning", "reading", "writing"])
def test_command_line_told_to_stop_says_so_and_leaves_nothing(
    moment: str, world: Held, tmp_path: Path
) -> None:
    told = (OFTEN | SELDOM)[moment]
    (tmp_path / "tmp").mkdir()
    source = world.environment["HARMONY_VDS_TRUSTED_PREFIXES"]
    environment = {**world.environment, "HOME": str(tmp_path), "TMPDIR": str(tmp_path / "tmp"),
                   "PATH": os.environ["PATH"]}  # fmt: skip
    arguments = ["subset", "--store", f"{source}refs.json", "--output", str(tmp_path / "out")]
    with world.waiting(told.gate, told.waits(world), is_late=False) as gate:
        done = forks.run(
            forks.COMMAND_LINE, arguments, environment,
            meanwhile=stopping(gate, tmp_path, has_file=told.has_file),
        )  # fmt: skip
    assert done.returncode == 143, done.stderr
    assert "Stopped by SIGTERM" in done.stderr
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not [*(tmp_path / "out").glob("**/*")]
