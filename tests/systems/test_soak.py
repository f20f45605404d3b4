"""A thousand requests in one process leave neither memory nor files behind."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from invocation import SHARED_SECRET
from servers import cmr_server, file_server
from systems import soak
from world import (
    kerchunk_references,
    umm_collection,
    virtual_dataset,
    write_icechunk,
    write_references,
)


@pytest.fixture(scope="module")
def environment(
    days: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """Of who asks for two collections over one archive: by icechunk and by kerchunk, over http."""
    folder = tmp_path_factory.mktemp("soak")
    with file_server(days[0].parent) as archive:

        def moved(url: str) -> str:
            return f"{archive.url}/{url.rpartition('/')[2]}"

        write_icechunk(folder / "sst.icechunk", {None: virtual_dataset(days)},
                       container=f"{archive.url}/", rename=moved)  # fmt: skip
        write_references(folder / "sst.json", kerchunk_references(days, moved))
        stores = ("sst.icechunk", "sst.json")
        records = {
            concept: umm_collection(concept, [(folder / store).as_uri()])
            for concept, store in zip(soak.COLLECTIONS, stores, strict=True)
        }
        with cmr_server(records) as server:
            yield {
                "HARMONY_VDS_TRUSTED_PREFIXES": f"{folder.as_uri()}/,{archive.url}/",
                "CMR_ENDPOINT": server.url,
                "SHARED_SECRET_KEY": SHARED_SECRET,
                "PYTHONPATH": str(Path(__file__).parents[1]),
            }


@pytest.mark.scale
def test_thousand_requests_leave_no_memory_and_no_files(
    environment: dict[str, str], tmp_path: Path
) -> None:
    work, told = tmp_path / "work", tmp_path / "told.json"
    work.mkdir()
    subprocess.run(
        [sys.executable, soak.__file__, str(tmp_path / "out"), str(told)],
        env={**os.environ, **environment, "TMPDIR": str(work)}, check=True,
    )  # fmt: skip
    found = json.loads(told.read_text())
    outcomes, held = found["outcomes"], found["held"]
    assert set(outcomes) == {"", "NoRetry", "NoData"}
    assert outcomes.count("") / len(outcomes) == pytest.approx(8 / 12, abs=0.02)
    assert list(work.iterdir()) == []
    slope = np.polyfit(20 * np.arange(len(held)), held, 1)[0]
    assert slope * 100 < 1e6, [f"{own / 2**20:.0f}" for own in itertools.islice(held, 0, None, 4)]
