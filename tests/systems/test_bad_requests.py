"""A request that cannot be answered ends at once, in the right group, and says what to change."""

import logging
import re
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from bad_requests import NO_DATA, NO_RETRY
from harmony_service_lib.exceptions import HarmonyException
from harmony_service_lib.message import Message
from harmony_service_lib.util import config, create_decrypter
from invocation import CANARY, SHARED_SECRET, make_message
from servers import Server, cmr_server
from world import umm_collection

from harmony_vds.adapter import VirtualStoreAdapter

CASES = [(said, change, "NoRetry", "Error") for said, change in NO_RETRY.items()]
CASES += [(said, change, "NoData", "Warning") for said, change in NO_DATA.items()]


@pytest.fixture(scope="module")
def cmr(store: Path) -> Iterator[Server]:
    records = {"C1-DEMO": umm_collection("C1-DEMO", [store.as_uri()]),
               "C2-BARE": umm_collection("C2-BARE", [])}  # fmt: skip
    import harmony_vds.pipeline
    import harmony_vds.stores.icechunk  # noqa: F401

    with cmr_server(records) as server:
        yield server


@pytest.fixture(autouse=True)
def world(cmr: Server, store: Path, days: list[Path], tmp_path: Path, monkeypatch) -> None:
    trusted = (store, days[0].parent, tmp_path)
    monkeypatch.setenv(
        "HARMONY_VDS_TRUSTED_PREFIXES", ",".join(f"{own.as_uri()}/" for own in trusted)
    )
    monkeypatch.setenv("CMR_ENDPOINT", cmr.url)
    monkeypatch.setenv("SHARED_SECRET_KEY", SHARED_SECRET)


@pytest.mark.parametrize(
    ("said", "change", "category", "level"), CASES, ids=[own[0][:60] for own in CASES]
)
def test_request_that_cannot_be_answered_says_what_to_change(
    said, change, category, level, *, tmp_path, caplog
):
    caplog.set_level(logging.DEBUG)
    operation = make_message("C1-DEMO", variables=["analysed_sst"], staging=str(tmp_path / "out"))
    change(operation)
    text = operation.pop("shape_text", None)
    if text is not None:
        shape = tmp_path / "shape.json"
        shape.write_text(text)
        operation["subset"]["shape"] = {"href": shape.as_uri(), "type": "application/geo+json"}
    message = Message(operation, create_decrypter(SHARED_SECRET.encode()))
    started = time.process_time()
    with pytest.raises(HarmonyException) as caught:
        VirtualStoreAdapter(message, config=config(validate=False)).invoke()
    assert time.process_time() - started < 2
    error = caught.value
    assert (error.category, error.level) == (category, level)
    assert re.search(said, error.message)
    assert len(error.message) < 1000
    assert "\n" not in error.message
    assert "unknown error" not in error.message
    assert not (tmp_path / "out").exists()
    told = "".join(traceback.format_exception(error)) + repr(error)
    assert CANARY not in told + "".join(map(logging.Formatter().format, caplog.records))


def test_corpus_is_as_large_as_promised():
    assert len(CASES) >= 150
