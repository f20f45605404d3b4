"""A thousand requests in one process leave neither memory nor files behind."""

import gc
import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harmony_service_lib.exceptions import HarmonyException
from harmony_service_lib.message import Message
from harmony_service_lib.util import config, create_decrypter
from invocation import SHARED_SECRET, make_message
from servers import Server, cmr_server, file_server
from world import (
    kerchunk_references,
    umm_collection,
    virtual_dataset,
    write_icechunk,
    write_references,
)

from harmony_vds.adapter import VirtualStoreAdapter

REQUESTS: list[dict[str, Any]] = [
    {"variables": ["analysed_sst"], "bbox": [170, -12, -165, 8]},
    {"variables": ["mask"], "temporal": {"start": "2024-01-03T00:00:00Z"}},
    {},
    {"variables": ["analysed_sst"], "average": "area"},
    {"variables": ["analysed_sst"], "average": "time", "bbox": [0, 0, 40, 40]},
    {"variables": ["analysed_sst"], "format": {"mime": "application/x-zarr"}},
    {"variables": ["mask"], "format": {"mime": "application/x-zarr;profile=kerchunk"}},
    {"variables": ["analysed_sst"], "subset": {"point": [10, 20]}, "format": {"mime": "text/csv"}},
    {"variables": ["nothing"]},
    {"variables": ["mask"], "temporal": {"end": "1999-01-01T00:00:00Z"}},
    {"bbox": [0, 50, 10, 40]},
    {"average": "median"},
]


@pytest.fixture(scope="module")
def cmr(days: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two collections over one archive: by icechunk and by kerchunk, over http."""
    folder = tmp_path_factory.mktemp("soak")
    with file_server(days[0].parent) as archive:

        def moved(url: str) -> str:
            return f"{archive.url}/{url.rpartition('/')[2]}"

        write_icechunk(folder / "sst.icechunk", {None: virtual_dataset(days)},
                       container=f"{archive.url}/", rename=moved)  # fmt: skip
        write_references(folder / "sst.json", kerchunk_references(days, moved))
        records = {
            "C1-ICE": umm_collection("C1-ICE", [(folder / "sst.icechunk").as_uri()]),
            "C2-JSON": umm_collection("C2-JSON", [(folder / "sst.json").as_uri()]),
        }
        with cmr_server(records) as server, pytest.MonkeyPatch.context() as patch:
            trusted = f"{folder.as_uri()}/,{archive.url}/"
            patch.setenv("HARMONY_VDS_TRUSTED_PREFIXES", trusted)
            patch.setenv("CMR_ENDPOINT", server.url)
            patch.setenv("SHARED_SECRET_KEY", SHARED_SECRET)
            yield server


def resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def answered(number: int, folder: Path) -> str:
    """Ask the request of a number: the category of the refusal, or nothing for an answer."""
    asked = dict(REQUESTS[number % len(REQUESTS)])
    collection = ("C1-ICE", "C2-JSON")[number // len(REQUESTS) % 2]
    operation = make_message(collection, staging=str(folder / str(number)), **asked)
    message = Message(operation, create_decrypter(SHARED_SECRET.encode()))
    try:
        VirtualStoreAdapter(message, config=config(validate=False)).invoke()
    except HarmonyException as error:
        return str(error.category)
    return ""


@pytest.mark.scale
def test_thousand_requests_leave_no_memory_and_no_files(
    cmr: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(work))
    outcomes, held = [], []
    for number in range(1000):
        outcomes.append(answered(number, tmp_path / "out"))
        cmr.forget()
        if number >= 200 and number % 20 == 0:  # what is loaded once is loaded by then
            gc.collect()
            held.append(resident())
    assert set(outcomes) == {"", "NoRetry", "NoData"}
    assert outcomes.count("") / len(outcomes) == pytest.approx(8 / 12, abs=0.02)
    assert list(work.iterdir()) == []
    slope = np.polyfit(20 * np.arange(len(held)), held, 1)[0]
    assert slope * 100 < 1e6, [f"{own / 2**20:.0f}" for own in itertools.islice(held, 0, None, 4)]
