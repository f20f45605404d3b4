"""An output far larger than memory and disk: Part by Part through a process of 512 MB.

A server like S3's counts what it is sent and keeps nothing.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web
from invocation import CANARY, SHARED_SECRET, items_of, make_message
from servers import cmr_server, file_server, serve
from systems.test_memory import NLAT, NLON, repeated
from world import kerchunk_references, umm_collection, write_granule, write_references

LIMIT = 512 * 10**6
"""Bytes that the process may hold."""
PART = 640 * 10**6
"""Bytes of a Part: more than the process may hold."""
SERVICE = """
import atexit, json, runpy, sys
from pathlib import Path

def tell():
    status = Path("/proc/self/status").read_text()
    Path(told).write_text(str(1024 * int(status.partition("VmHWM:")[2].split()[0])))

told = sys.argv.pop(1)
atexit.register(tell)
runpy.run_module("harmony_vds", run_name="__main__", alter_sys=True)
"""


@dataclass
class Sink:
    """What takes objects as S3 does, and forgets them."""

    scratch: Path
    """Where the service writes before it uploads."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Bytes of each object, once it is complete."""
    local: list[int] = field(default_factory=list)
    """How many outputs were on local disk whenever an upload began."""
    under_way: dict[str, int] = field(default_factory=dict)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        key, asked = request.path, request.query
        if request.method == "HEAD":
            return web.Response(status=404)
        if request.method == "POST" and "uploads" in asked:
            self.local.append(len(list(self.scratch.rglob("subset.nc4"))))
            self.under_way[key] = 0
            return _xml("InitiateMultipartUploadResult", "<UploadId>one</UploadId>")
        if request.method == "PUT":
            count = 0
            async for piece in request.content.iter_any():
                count += len(piece)
            count = int(request.headers.get("x-amz-decoded-content-length", count))
            if "partNumber" in asked:
                self.under_way[key] += count
            else:
                self.sizes[key] = count
            return web.Response(headers={"ETag": '"0"'})
        if request.method == "POST":
            await request.read()
            self.sizes[key] = self.under_way.pop(key)
            return _xml("CompleteMultipartUploadResult", '<ETag>"0"</ETag>')
        return _xml("ListMultipartUploadsResult", "<IsTruncated>false</IsTruncated>")


def _xml(name: str, inside: str) -> web.Response:
    return web.Response(text=f"<{name}>{inside}</{name}>", content_type="application/xml")


@pytest.mark.scale
def test_twenty_gigabytes_pass_through_half_a_gigabyte_of_memory_one_part_on_disk(
    tmp_path: Path,
) -> None:
    days = int(os.environ.get("CEILING_DAYS", "3600"))  # of 5.76 MB that do not deflate
    values = np.random.default_rng(7).integers(-9999, 9999, (NLAT, NLON), np.int16)
    granule = write_granule(
        tmp_path / "0.nc", 0, nlat=NLAT, nlon=NLON, chunks=(NLAT, NLON), values=values
    )
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    sink = Sink(scratch)
    with file_server(tmp_path) as archive, serve(sink.answer) as s3:
        url = f"{archive.url}/{granule.name}"
        one = kerchunk_references([granule], rename=lambda _: url)
        write_references(tmp_path / "store.json", repeated(one, days, url))
        record = umm_collection("C1-T", [f"{archive.url}/store.json"])
        with cmr_server({"C1-T": record}, token=CANARY) as cmr:
            message = make_message(
                "C1-T", variables=["analysed_sst"], staging="s3://staging/public/1/"
            )
            command = [sys.executable, "-c", SERVICE, str(tmp_path / "peak"),
                       "--harmony-action", "invoke", "--harmony-input", json.dumps(message),
                       "--harmony-sources", "", "--harmony-metadata-dir",
                       str(tmp_path / "metadata")]  # fmt: skip
            environment = {
                "CMR_ENDPOINT": cmr.url, "HARMONY_VDS_TRUSTED_PREFIXES": f"{archive.url}/",
                "HARMONY_VDS_MAX_MEMORY_BYTES": str(LIMIT), "HARMONY_VDS_PART_BYTES": str(PART),
                "HARMONY_VDS_MAX_READ_BYTES": "100GB", "HARMONY_VDS_MAX_OUTPUT_BYTES": "100GB",
                "HARMONY_VDS_MAX_SECONDS": "3000", "SHARED_SECRET_KEY": SHARED_SECRET, "ENV": "",
                "AWS_ENDPOINT_URL_S3": s3.url, "AWS_ACCESS_KEY_ID": "x",
                "AWS_SECRET_ACCESS_KEY": "x", "TMPDIR": str(scratch), "HOME": str(tmp_path),
                **{k: v for k, v in os.environ.items() if k in ("PATH", "LD_LIBRARY_PATH")},
            }  # fmt: skip
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=3000
            )
    assert done.returncode == 0, done.stderr[-3000:]
    items = items_of(tmp_path / "metadata" / "catalog.json")
    assert len(items) >= days * values.nbytes / PART
    told = {item["assets"]["data"]["title"]: item["assets"]["data"]["file:size"] for item in items}
    assert {key.rpartition("/")[2]: size for key, size in sink.sizes.items()} == told
    assert sum(told.values()) > 0.7 * days * values.nbytes
    assert set(sink.local) == {1}
    assert list(scratch.rglob("subset*")) == []
    assert int((tmp_path / "peak").read_text()) <= 1.1 * LIMIT
    print("peak", (tmp_path / "peak").read_text(), "of", sum(told.values()), "bytes")
