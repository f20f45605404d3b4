"""A work item run again takes what is complete, and writes what is not, as if nothing had been."""

import asyncio
import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import icechunk
import numpy as np
import pytest
import zarr
from aiohttp import web
from harmony_service_lib.util import config
from servers import bucket_of, serve

from harmony_vds.access.credentials import Credentials
from harmony_vds.delivery import deliver
from harmony_vds.errors import UpstreamError
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.formats import GEOTIFF, ICECHUNK, ZARR
from harmony_vds.model.request import Request, Source
from harmony_vds.pipeline import prepare
from harmony_vds.services import Services
from harmony_vds.settings import Settings
from harmony_vds.staging import StagedOutput

BUCKET = "retries-staging"
BOX = BoundingBox(-60.0, -30.0, 60.0, 30.0)
MASK = Request((Source("C1-T", "SST", "1", ("mask",)),), bbox=BOX)
BOTH = Request((Source("C1-T", "SST", "1", ("analysed_sst", "mask")),), bbox=BOX)


@dataclass
class Gate:
    """What stands before the bucket: it counts what is put, and can end or hold a run."""

    puts: list[str] = field(default_factory=list)
    """Keys of the objects that were put."""
    most: int | None = None
    """How many more objects may be put, before nothing is answered as if the run were dead."""
    hold: str = ""
    """Ending of the key whose first put waits for `released`."""
    arrived: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def reset(self, most: int | None = None) -> None:
        self.puts, self.most = [], most


@pytest.fixture(scope="module")
def gate(s3: str) -> Iterator[tuple[Gate, str]]:
    own, dead = Gate(), web.Response
    lock = threading.Lock()

    async def answer(request: web.Request) -> web.StreamResponse:
        body, is_put = await request.read(), request.method == "PUT"
        with lock:
            if own.most is not None:
                if own.most == 0 and is_put:
                    own.most = -1
                if own.most < 0:
                    return dead(status=403, text="<Error><Code>AccessDenied</Code></Error>")
                own.most -= is_put
        if is_put and own.hold and request.path.endswith(own.hold):
            own.hold = ""
            own.arrived.set()
            await asyncio.to_thread(own.released.wait, 60)
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(
                request.method, f"{s3}{request.raw_path}", data=body,
                headers={k: v for k, v in request.headers.items() if k != "Content-Length"},
            ) as found,
        ):  # fmt: skip
            content = await found.read()
            if is_put and found.status == 200:
                own.puts.append(request.path.removeprefix(f"/{BUCKET}/"))
            kept = {k: v for k, v in found.headers.items() if k not in ("Date", "Server")}
            if request.method != "HEAD":
                kept.pop("Content-Length", None)
                kept.pop("Transfer-Encoding", None)
            return web.Response(status=found.status, body=content, headers=kept)

    with serve(answer) as server:
        yield own, server.url


@pytest.fixture(scope="module")
def bucket(s3: str) -> Any:
    return bucket_of(s3, BUCKET)


@pytest.fixture
def run(
    gate: tuple[Gate, str], bucket: Any, store: Path, days: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Any:  # fmt: skip
    """A work item in this process: what it hands to Harmony's catalogue."""
    for name, value in {
        "SOURCE_DATE_EPOCH": "1700000000", "AWS_ENDPOINT_URL_S3": gate[1],
        "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_MAX_ATTEMPTS": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    prefixes = (store.as_uri(), f"{days[0].parent.as_uri()}/")

    def start(request: Request, prefix: str, most: int | None = None) -> list[StagedOutput]:
        gate[0].reset(most)
        settings = Settings(trusted_prefixes=prefixes, part_bytes="1MB")
        with Services.of(settings, Credentials.of_token(None)) as services:
            prepared = prepare(request, services, store.as_uri())
            there = f"s3://{BUCKET}/{prefix}/"
            return deliver(prepared, services, there, config(validate=False))

    return start


@pytest.fixture
def calm(run: Any, bucket: Any) -> Any:
    """What a run writes that nobody disturbs, what it tells of it, and where it lies."""

    def found(form: str) -> tuple[dict[str, bytes], list[tuple[Any, ...]], str]:
        prefix = f"calm-{form}"
        answer = told(run(FOLDERS[form], prefix), prefix)  # the first time; then taken as it is
        return objects(bucket, prefix), answer, prefix

    return found


def objects(bucket: Any, prefix: str) -> dict[str, bytes]:
    listed = bucket.list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}/").get("Contents", [])
    return {
        own["Key"].removeprefix(f"{prefix}/"):
            bucket.get_object(Bucket=BUCKET, Key=own["Key"])["Body"].read()
        for own in listed
    }  # fmt: skip


FOLDERS = {"zarr": replace(MASK, media_type=ZARR), "icechunk": replace(MASK, media_type=ICECHUNK)}
WHOLE = 12
"""Objects of the Zarr store, its listing among them."""


def told(outputs: list[StagedOutput], prefix: str) -> list[tuple[Any, ...]]:
    """What Harmony's catalogue says of outputs."""
    return [
        (own.name, own.href.replace(f"/{prefix}/", "/"), own.output.nbytes, own.output.checksum,
         own.output.media_type, own.output.bbox, own.output.temporal, own.output.variable)
        for own in outputs
    ]  # fmt: skip


def as_listed(found: dict[str, bytes], outputs: list[StagedOutput]) -> None:
    """The prefix holds one folder, as its listing and the catalogue say, and nothing else."""
    (output,) = outputs
    ((listing, body),) = [own for own in found.items() if own[0].endswith(".sha256")]
    assert hashlib.sha256(body).hexdigest() == output.output.checksum
    lines = dict(reversed(own.split("  ")) for own in body.decode().splitlines())
    assert {f"{output.name}/{name}" for name in lines} == found.keys() - {listing}
    for name, sha256 in lines.items():
        assert hashlib.sha256(found[f"{output.name}/{name}"]).hexdigest() == sha256
    held = sum(len(own) for name, own in found.items() if name != listing)
    assert held == output.output.nbytes


def content(found: dict[str, bytes], folder: Path) -> dict[str, Any]:
    """All that an icechunk repository holds on its branch."""
    for name, body in found.items():
        path = folder / name.partition("/")[2]
        if "/" in name:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
    session = icechunk.Repository.open(
        icechunk.local_filesystem_storage(str(folder))
    ).readonly_session("main")  # fmt: skip
    group = zarr.open_group(session.store, mode="r")
    held = {name: np.asarray(group[name][...]).tobytes() for name in ("lat", "lon", "time")}
    references = sorted(session.all_virtual_chunk_locations())
    assert references
    return {"": dict(group.attrs), "references": references, **held}


@pytest.mark.parametrize(
    "most",
    [*(pytest.param(n, marks=pytest.mark.scale) for n in range(WHOLE - 2)), WHOLE - 2, WHOLE - 1],
)
def test_zarr_store_is_finished_by_a_retry_that_puts_only_what_is_not_there(
    most: int, run: Any, gate: tuple[Gate, str], bucket: Any, calm: Any
) -> None:
    expected, answer, _ = calm("zarr")
    prefix = f"zarr-{most}"
    with pytest.raises(UpstreamError):
        run(FOLDERS["zarr"], prefix, most)
    there = objects(bucket, prefix)
    assert len(there) == most
    assert there.items() <= expected.items()
    assert told(run(FOLDERS["zarr"], prefix), prefix) == answer
    assert objects(bucket, prefix) == expected
    assert len(gate[0].puts) == WHOLE - most


@pytest.mark.parametrize(
    "most", [*(pytest.param(n, marks=pytest.mark.scale) for n in range(1, 8)), 8]
)
def test_repository_is_written_anew_by_a_retry_and_nothing_of_the_first_run_stays(
    most: int, run: Any, bucket: Any, calm: Any, tmp_path: Path
) -> None:
    prefix = f"icechunk-{most}"
    with pytest.raises(UpstreamError):
        run(FOLDERS["icechunk"], prefix, most)
    assert len(objects(bucket, prefix)) == most
    outputs = run(FOLDERS["icechunk"], prefix)
    found = objects(bucket, prefix)
    as_listed(found, outputs)
    assert content(found, tmp_path / "again") == content(calm("icechunk")[0], tmp_path / "calm")


@pytest.mark.parametrize("form", FOLDERS)
def test_folder_that_is_complete_is_taken_as_it_is(
    form: str, run: Any, gate: tuple[Gate, str], bucket: Any, calm: Any
) -> None:
    expected, answer, prefix = calm(form)
    assert told(run(FOLDERS[form], prefix), prefix) == answer
    assert gate[0].puts == []
    assert objects(bucket, prefix) == expected


@pytest.mark.parametrize("form", FOLDERS)
def test_run_that_is_overtaken_at_its_last_object_tells_of_what_the_other_has_put(
    form: str, *, run: Any, gate: tuple[Gate, str], bucket: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    prefix, own = f"overtaken-{form}", gate[0]
    own.arrived.clear()
    own.released.clear()
    own.hold = {"zarr": ".zarr/zarr.json", "icechunk": ".icechunk/repo"}[form]
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(run, FOLDERS[form], prefix)
        try:
            assert own.arrived.wait(60), slow.result(0)
            monkeypatch.setenv("SOURCE_DATE_EPOCH", "1800000000")  # later, as another run is
            fast = run(FOLDERS[form], prefix)
        finally:
            own.released.set()
        assert told(slow.result(60), prefix) == told(fast, prefix)
    found = objects(bucket, prefix)
    as_listed(found, fast)
    if form == "icechunk":
        assert content(found, tmp_path)["references"]
    else:
        assert b"2027-01-15" in found[f"{fast[0].name}/zarr.json"]


def test_run_whose_objects_another_request_replaces_meanwhile_ends_in_an_error(
    run: Any, gate: tuple[Gate, str], bucket: Any
) -> None:
    other, own = replace(FOLDERS["zarr"], bbox=replace(BOX, east=20.0)), gate[0]
    own.arrived.clear()
    own.released.clear()
    own.hold = ".zarr/zarr.json"
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(run, FOLDERS["zarr"], "disputed")
        try:
            assert own.arrived.wait(60), slow.result(0)
            fast = run(other, "disputed")
        finally:
            own.released.set()
        with pytest.raises(UpstreamError, match="something else into"):
            slow.result(60)
    as_listed(objects(bucket, "disputed"), fast)


def test_folder_of_another_request_is_replaced_to_the_last_object(
    run: Any, bucket: Any, calm: Any
) -> None:
    expected, answer, _ = calm("zarr")
    run(replace(FOLDERS["zarr"], sources=BOTH.sources, bbox=None), "replaced")
    name = answer[0][0]
    before = objects(bucket, "replaced")
    for own, body in before.items():  # as if that one had had the same name
        renamed = f"replaced/{name}/" + own.partition("/")[2]
        bucket.put_object(Bucket=BUCKET, Key=renamed, Body=body)
        bucket.delete_object(Bucket=BUCKET, Key=f"replaced/{own}")
    bucket.put_object(Bucket=BUCKET, Key=f"replaced/{name}/no/part/of/it", Body=b"left")
    assert told(run(FOLDERS["zarr"], "replaced"), "replaced") == answer
    assert objects(bucket, "replaced") == expected


def test_object_that_was_changed_since_is_not_taken_for_what_it_was(
    run: Any, gate: tuple[Gate, str], bucket: Any, calm: Any
) -> None:
    expected, answer, _ = calm("zarr")
    run(FOLDERS["zarr"], "changed")
    key = f"changed/{answer[0][0]}/mask/c/0/0/0"
    metadata = bucket.head_object(Bucket=BUCKET, Key=key)["Metadata"]
    bucket.put_object(Bucket=BUCKET, Key=key, Body=b"else", Metadata={**metadata, "sha256": "0"})
    assert told(run(FOLDERS["zarr"], "changed"), "changed") == answer
    assert objects(bucket, "changed") == expected
    assert [own.rpartition(".zarr/")[2] for own in gate[0].puts] == ["mask/c/0/0/0", "zarr.json"]


@pytest.mark.parametrize("most", [1, 2])
def test_file_for_each_variable_is_written_where_none_is_and_in_the_same_order(
    most: int, run: Any, gate: tuple[Gate, str], bucket: Any
) -> None:
    wanted = replace(BOTH, media_type=GEOTIFF)
    outputs = run(wanted, "rasters")
    expected = objects(bucket, "rasters")
    assert len(expected) == 2
    prefix = f"rasters-{most}"
    if most == 1:
        with pytest.raises(UpstreamError):
            run(wanted, prefix, most)
    else:
        run(wanted, prefix)
        (first, _) = outputs  # the second alone is there
        bucket.delete_object(Bucket=BUCKET, Key=f"{prefix}/{first.name}")
    assert told(run(wanted, prefix), prefix) == told(outputs, "rasters")
    assert objects(bucket, prefix) == expected
    assert gate[0].puts == [f"{prefix}/{outputs[2 - most].name}"]
    run(wanted, prefix)
    assert gate[0].puts == []
