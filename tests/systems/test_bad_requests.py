"""A request that cannot be answered ends at once, in the right group, and says what to change."""

import logging
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pystac
import pytest
from bad_requests import ALSO, NO_DATA, NO_RETRY, Change
from harmony_service_lib.exceptions import HarmonyException
from harmony_service_lib.message import Message
from harmony_service_lib.util import config, create_decrypter
from invocation import CANARY, SHARED_SECRET, make_message
from odd_stores import write_frame, write_odd_variables
from servers import Server, cmr_server
from templates import template_of, texts_in
from world import umm_collection, umm_granule, write_stac

from harmony_vds.adapter import VirtualStoreAdapter

# harmony-service-lib walks catalogues in pystac's old way.
pytestmark = pytest.mark.filterwarnings("ignore:get_all_items is deprecated")
WORDS = [said for said, _, _ in (*NO_RETRY, *NO_DATA)]
CASES = [(*own, "NoRetry", "Error") for own in NO_RETRY]
CASES += [(*own, "NoData", "Warning") for own in NO_DATA]
LINKS = {
    "C2-BARE": [], "C5-DENIED": [], "C6-PIPE": ["s3://bucket/store|tar:inner"],
    "C7-VERSION": ["s3://bucket/store|icechunk://newest/a"],
    "C8-NOTHING": ["{folder}/nothing-here"], "C9-HTTP": ["http://archive.example.com/a.icechunk"],
    "C10-PRIVATE": ["https://10.1.2.3/a.icechunk"],
    "C11-USER": ["https://me:secret@archive.podaac.earthdata.nasa.gov/a.icechunk"],
    "C12-FTP": ["ftp://archive.podaac.earthdata.nasa.gov/a.icechunk"],
    "C13-HOST": ["https://archive%2e.nasa.gov/a.icechunk"],
    "C14-FOLDER": ["{folder}"], "C15-GRANULES": [],
    "C16-BRANCH": ["icechunk+{store}@nowhere"],
    "C17-GROUP": ["{folder}/odd.zarr|zarr3:nowhere"],
}  # fmt: skip
"""What records of collections name, where that is no store that can be read."""
TABLE = """
["C3-ODD"]
stores = [{{ url = "{0}/odd.zarr", kind = "zarr" }}]
["C4-FRAMES"]
stores = [
  {{ url = "{0}/north.zarr", name = "NORTH", kind = "zarr" }},
  {{ url = "{0}/south.zarr", name = "SOUTH", kind = "zarr" }},
]
["C5-DENIED"]
deny = "the store is being rebuilt until March."
"""


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stores beside the common one, and the operator's table of them."""
    folder = tmp_path_factory.mktemp("stores")
    write_odd_variables(folder / "odd.zarr")
    for number, name in enumerate(("north", "south")):
        write_frame(folder / f"{name}.zarr", number)
    (folder / "collections.toml").write_text(TABLE.format(folder.as_uri()))
    return folder


@pytest.fixture(scope="module")
def cmr(store: Path, shelf: Path) -> Iterator[Server]:
    records = {"C1-DEMO": umm_collection("C1-DEMO", [store.as_uri()])}
    for concept, hrefs in {"C3-ODD": [], "C4-FRAMES": [], **LINKS}.items():
        links = [own.format(folder=shelf.as_uri(), store=store.as_uri()) for own in hrefs]
        records[concept] = umm_collection(concept, links)
    import harmony_vds.pipeline
    import harmony_vds.stores.icechunk  # noqa: F401

    granules = [
        umm_granule(
            f"G{number}-GRANULES", "C15-GRANULES", name,
            [{"URL": f"{shelf.as_uri()}/{name}.zarr", "Type": "GET DATA", "Format": "Zarr"}],
            box=(0, 0, 20, 20),
        )
        for number, name in enumerate(("north", "south"))
    ]  # fmt: skip
    with cmr_server(records, *granules, token=CANARY) as server:
        yield server


@pytest.fixture(autouse=True)
def world(cmr: Server, store: Path, days: list[Path], shelf: Path, *, tmp_path, monkeypatch):
    trusted = (store, days[0].parent, shelf, tmp_path)
    monkeypatch.setenv(
        "HARMONY_VDS_TRUSTED_PREFIXES", ",".join(f"{own.as_uri()}/" for own in trusted)
    )
    monkeypatch.setenv("HARMONY_VDS_COLLECTIONS_FILE", str(shelf / "collections.toml"))
    monkeypatch.setenv("CMR_ENDPOINT", cmr.url)
    monkeypatch.setenv("SHARED_SECRET_KEY", SHARED_SECRET)
    for name in ("STAGING_PATH", "STAGING_BUCKET"):
        monkeypatch.setenv(name, "unused")


def inputs(items: list[dict[str, Any]], folder: Path) -> pystac.Catalog:
    """A catalogue as a step before leaves it, of granules or of one Part."""
    listed = []
    for number, own in enumerate(items):
        day = own.get("day", "")
        assets = {"data": {"href": "https://example.com/a.nc", "type": "application/x-netcdf4"}}
        if "part" in own:
            (folder / "part.json").write_text(own["part"])
            assets["data"] = {"href": str(folder / "part.json"),
                              "type": "application/vnd.harmony-vds.part+json"}  # fmt: skip
        told = {"concept_id": f"G{number}-DEMO", "name": f"granule {number}", "assets": assets}
        if day:
            told["times"] = (f"{day}T00:00:00Z", f"{day}T23:59:59Z")
        listed.append(told)
    collection = next((own["collection"] for own in items if "collection" in own), "C1-DEMO")
    return pystac.Catalog.from_file(str(write_stac(folder / "inputs", collection, listed)))


def refusal(change: Change, folder: Path, monkeypatch) -> tuple[HarmonyException, set[str]]:
    """The error that a changed message ends in, and the texts that the message gives."""
    operation = make_message("C1-DEMO", variables=["analysed_sst"], staging=str(folder / "out"))
    before = {*texts_in(operation)}
    change(operation)
    text, items = operation.pop("shape_text", None), operation.pop("inputs", None)
    for name, value in operation.pop("settings", {}).items():
        monkeypatch.setenv(name, value)
    if text is not None:
        shape = folder / "shape.json"
        shape.write_bytes(text if isinstance(text, bytes) else text.encode())
        operation["subset"]["shape"] = {"href": shape.as_uri(), "type": "application/geo+json"}
    given = {*texts_in(operation)} - before
    message = Message(operation, create_decrypter(SHARED_SECRET.encode()))
    catalog = None if items is None else inputs(items, folder)
    started = time.process_time()
    with pytest.raises(HarmonyException) as caught:
        VirtualStoreAdapter(message, catalog=catalog, config=config(validate=False)).invoke()
    assert time.process_time() - started < 2
    return caught.value, given


@pytest.mark.parametrize(
    ("said", "named", "change", "category", "level"), CASES, ids=[own[0][:60] for own in CASES]
)
def test_request_that_cannot_be_answered_says_what_to_change(
    said, named, change, category, level, *, tmp_path, caplog, monkeypatch
):
    caplog.set_level(logging.DEBUG)
    error, given = refusal(change, tmp_path, monkeypatch)
    template = template_of(error.message, given)
    assert (error.category, error.level) == (category, level), error.message
    assert [own for own in WORDS if own in template] == [said], template
    assert named in error.message
    assert len(error.message) < 1000
    assert "\n" not in error.message
    assert "unknown error" not in error.message
    assert not (tmp_path / "out").exists()
    told = "".join(traceback.format_exception(error)) + repr(error)
    assert CANARY not in told + "".join(map(logging.Formatter().format, caplog.records))


@pytest.mark.parametrize(("said", "named", "change"), ALSO, ids=[own[1][:60] for own in ALSO])
def test_request_of_a_kind_that_is_refused_is_told_of_its_own_values(
    said, named, change, *, tmp_path, monkeypatch
):
    error, given = refusal(change, tmp_path, monkeypatch)
    assert [own for own in WORDS if own in template_of(error.message, given)] == [said]
    assert named in error.message


def test_corpus_has_as_many_kinds_of_refusals_as_promised():
    assert len(WORDS) == len(set(WORDS)) >= 150
