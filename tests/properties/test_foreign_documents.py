"""Whatever others write is answered, or refused in the group that fits; no token is repeated.

Cases that once broke are kept as examples beside the strategies that found them.
"""

import json
import random
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dmrpp import write_dmrpp
from harmony_service_lib.message import Message
from harmony_service_lib.util import create_decrypter
from hypothesis import example, given, settings
from hypothesis import strategies as st
from invocation import CANARY, SHARED_SECRET
from strategies import (
    GEOMETRIES,
    ODD,
    SHAPES,
    addresses,
    harmed,
    harmed_dmrpp,
    messages,
    spoilt,
)
from world import kerchunk_references, umm_collection, write_days

from harmony_vds.access.credentials import Credentials
from harmony_vds.access.gateway import Access
from harmony_vds.access.trust import Address, Trust
from harmony_vds.discovery import umm
from harmony_vds.discovery.candidates import candidates_of, ranked
from harmony_vds.discovery.placements.collection import collection_links
from harmony_vds.discovery.urls import StoreUrl
from harmony_vds.errors import (
    ErrorGroup,
    NoStoreError,
    UntrustedError,
    VdsError,
)
from harmony_vds.message import request_from_message
from harmony_vds.model.store import ManifestFormat, StoreLocation
from harmony_vds.settings import Settings
from harmony_vds.shapes.geojson import parse_shape
from harmony_vds.stores.open import open_store

DECRYPTER = create_decrypter(SHARED_SECRET.encode())
LONG = 3000
"""Cases of each strategy in long runs."""
STORE_GROUPS = {ErrorGroup.STORE, ErrorGroup.FORBIDDEN, ErrorGroup.UPSTREAM, ErrorGroup.REQUEST}


def failure[E: Exception](work: Callable[[], object], kind: type[E]) -> E | None:
    """The error of a kind that it ends in, if it does."""
    try:
        work()
    except kind as error:
        return error
    return None


def ends_well(work: Callable[[], object], groups: set[ErrorGroup]) -> VdsError | None:
    """Do it: nothing, or the error of one of the groups, whose text holds no secret."""
    error = failure(work, VdsError)
    if error is not None:
        assert error.group in groups, error
        assert CANARY not in f"{error}{error!r}"
        assert str(error).strip()
    return error


# ---------------------------------------------------------------- messages


def read_message(operation: Any) -> None:
    try:
        message = Message(operation, DECRYPTER)
    except Exception:  # noqa: BLE001  Harmony's library, before this service is asked
        return
    request = request_from_message(message)
    for source in request.sources:
        json.dumps(request.parameters(source))


def check_message(operation: Any) -> None:
    ends_well(lambda: read_message(operation), {ErrorGroup.REQUEST})


@given(messages())
@settings(max_examples=20)
def test_message_as_harmony_writes_it_is_read(operation: dict[str, Any]) -> None:
    read_message(operation)


@given(messages().flatmap(harmed))
@settings(max_examples=40)
def test_harmed_message_is_read_or_refused_as_a_request(operation: dict[str, Any]) -> None:
    check_message(operation)


@pytest.mark.scale
@given(messages().flatmap(harmed))
@settings(max_examples=LONG)
def test_many_harmed_messages_are_read_or_refused(operation: dict[str, Any]) -> None:
    check_message(operation)


# ---------------------------------------------------------------- records

RECORD = umm_collection("C1-DEMO", ["https://example.com/a.json", "s3://bucket/b.icechunk"])["umm"]


def check_record(record: Any) -> None:
    """All that is made of a record by itself."""
    umm.notes(record)
    umm.region(record)
    umm.credentials_endpoint(record)
    for prefix in umm.distribution_prefixes(record):
        assert prefix.startswith("s3://")
        assert prefix.endswith("/")
    ranked(candidates_of(collection_links(record)))


@given(harmed(RECORD))
@example({**RECORD, "DOI": -437})
@example({**RECORD, "TemporalExtents": [""]})
@example({**RECORD, "TemporalExtents": [{"RangeDateTimes": 1180591620717411303424}]})
@example({**RECORD, "TemporalExtents": [{"RangeDateTimes": [0.5], "SingleDateTimes": 1}]})
@example({**RECORD, "DirectDistributionInformation": {"S3BucketAndObjectPrefixNames": 7}})
@settings(max_examples=60)
def test_harmed_record_names_stores_or_none(record: Any) -> None:
    check_record(record)


@pytest.mark.scale
@given(harmed(RECORD, 6))
@settings(max_examples=LONG)
def test_many_harmed_records_name_stores_or_none(record: Any) -> None:
    check_record(record)


# ---------------------------------------------------------------- manifests


@dataclass(frozen=True, repr=False)
class Shelf:
    """Two granules, and right manifests of them."""

    folder: Path
    references: dict[str, Any]
    dmrpp: str
    access: Access

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text("Shelf()")  # every field of it would fill pages


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    folder = tmp_path_factory.mktemp("shelf")
    days = write_days(folder / "granules", 2)
    write_dmrpp(days[0], folder / "right.dmrpp")
    text = (folder / "right.dmrpp").read_text("latin-1")
    parquet(folder / "right.parq", kerchunk_references(days, inline=0))
    settings = Settings(trusted_prefixes=(f"{folder.as_uri()}/",))
    with Access.of(settings, Credentials.of_token(CANARY)) as access:
        yield Shelf(folder, kerchunk_references(days), text.replace(
            "OPeNDAP_DMRpp_DATA_ACCESS_URL", days[0].as_uri()), access)  # fmt: skip


def parquet(place: Path, document: dict[str, Any]) -> None:
    from kerchunk.df import refs_to_dataframe

    place.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refs_to_dataframe(document, str(place), record_size=10)


def read_store(shelf: Shelf, path: Path, kind: ManifestFormat) -> None:
    """Open a store, and read the first cells of everything in it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr's, on odd metadata
        store = open_store([StoreLocation(path.as_uri(), kind)], shelf.access)
        for node in store.tree.subtree:
            for name, own in node.variables.items():
                store.chunk_index(f"{node.path.rstrip('/')}/{name}")
                np.asarray(own[tuple(slice(0, 2) for _ in own.dims)].values)


def check_manifest(shelf: Shelf, body: bytes, kind: ManifestFormat) -> None:
    path = shelf.folder / ("x.dmrpp" if kind is ManifestFormat.DMRPP else "x.json")
    path.write_bytes(body)
    ends_well(lambda: read_store(shelf, path, kind), STORE_GROUPS)


@st.composite
def documents(draw: st.DrawFn, right: dict[str, Any]) -> bytes:
    """Reference documents with harm inside, in their metadata, or in their bytes."""
    how = draw(st.sampled_from(["refs", "metadata", "bytes"]))
    if how == "bytes":
        return draw(spoilt(json.dumps(right).encode()))
    changed = json.loads(json.dumps(right))
    if how == "refs":
        return json.dumps(draw(harmed(changed))).encode()
    keys = [key for key in changed["refs"] if key.rpartition("/")[2].startswith(".z")]
    key = draw(st.sampled_from(keys))
    changed["refs"][key] = json.dumps(draw(harmed(json.loads(changed["refs"][key]))))
    return json.dumps(changed).encode()


@given(st.data())
@settings(max_examples=30)
def test_harmed_reference_file_is_read_or_refused(shelf: Shelf, data: st.DataObject) -> None:
    body = data.draw(documents(shelf.references))
    check_manifest(shelf, body, ManifestFormat.KERCHUNK_JSON)


@pytest.mark.scale
@given(st.data())
@settings(max_examples=LONG)
def test_many_harmed_reference_files_are_read_or_refused(shelf: Shelf, data: st.DataObject) -> None:
    body = data.draw(documents(shelf.references))
    check_manifest(shelf, body, ManifestFormat.KERCHUNK_JSON)


@given(st.data())
@settings(max_examples=30)
def test_harmed_dmrpp_is_read_or_refused(shelf: Shelf, data: st.DataObject) -> None:
    check_manifest(shelf, data.draw(harmed_dmrpp(shelf.dmrpp)), ManifestFormat.DMRPP)


@pytest.mark.scale
@given(st.data())
@settings(max_examples=LONG)
def test_many_harmed_dmrpp_are_read_or_refused(shelf: Shelf, data: st.DataObject) -> None:
    check_manifest(shelf, data.draw(harmed_dmrpp(shelf.dmrpp)), ManifestFormat.DMRPP)


FOUND: dict[str, dict[str, Any]] = {
    "names of dimensions that are none": {"lat/.zattrs": {"_ARRAY_DIMENSIONS": None}},
    "names of dimensions that are a number": {"lat/.zattrs": {"_ARRAY_DIMENSIONS": 3}},
    "names of dimensions that are a text": {"lat/.zattrs": {"_ARRAY_DIMENSIONS": "l"}},
    "no names where there are no dimensions": {"crs/.zattrs": {}},
    "filters that are a number": {"lat/.zarray": {"filters": 5}},
    "a codec with settings that are a number": {"lat/.zarray": {"compressor": {
        "name": "zlib", "configuration": 4}}},
    "a separator that is a number": {"lat/.zarray": {"dimension_separator": 5}},
    "attributes of a group that are a number": {".zattrs": 0.5},
}  # fmt: skip


@pytest.mark.parametrize("case", FOUND)
def test_metadata_that_once_broke_are_read_or_refused(shelf: Shelf, case: str) -> None:
    refs = dict(shelf.references["refs"])
    for key, odd in FOUND[case].items():
        told = json.loads(refs.get(key, "{}"))
        keeps = isinstance(odd, dict) and odd and isinstance(told, dict)
        refs[key] = json.dumps({**told, **odd} if keeps else odd)
    body = json.dumps({"version": 1, "refs": refs}).encode()
    check_manifest(shelf, body, ManifestFormat.KERCHUNK_JSON)


def test_chunk_of_petabytes_in_a_local_file_takes_no_memory(shelf: Shelf) -> None:
    refs = dict(shelf.references["refs"])
    key = next(own for own, told in refs.items() if isinstance(told, list))
    refs[key] = [refs[key][0], 0, 2**62]
    body = json.dumps({"version": 1, "refs": refs}).encode()
    check_manifest(shelf, body, ManifestFormat.KERCHUNK_JSON)


@pytest.mark.parametrize(("column", "value"), [("path", b"\xff"), ("raw", -1), ("size", 2**62)])
def test_records_that_once_broke_are_read_or_refused(
    shelf: Shelf, column: str, value: object
) -> None:
    place = shelf.folder / "found.parq"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(shelf.folder / "right.parq", place)
    own = min(place.rglob("refs.*.parq"))
    table = pq.read_table(own)
    at = table.column_names.index(column)
    pq.write_table(table.set_column(at, column, [[value] * len(table)]), own)
    ends_well(lambda: read_store(shelf, place, ManifestFormat.KERCHUNK_PARQUET), STORE_GROUPS)


HARMS = st.tuples(st.sampled_from(["column", "bytes"]), st.integers(0, 2**32))
"""What is done to the records, and what its details are drawn from."""


def check_parquet(shelf: Shelf, harm: tuple[str, int]) -> None:
    """A folder of records of which one was harmed."""
    place, chance = shelf.folder / "harmed.parq", random.Random(harm[1])
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(shelf.folder / "right.parq", place)
    own = chance.choice(sorted(place.rglob("refs.*.parq")))
    if harm[0] == "column":
        pq.write_table(harmed_table(pq.read_table(own), chance), own)
    else:
        body = bytearray(own.read_bytes())
        for _ in range(chance.randrange(1, 4)):
            body[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
        own.write_bytes(body[: chance.choice([len(body), len(body), chance.randrange(len(body))])])
    ends_well(lambda: read_store(shelf, place, ManifestFormat.KERCHUNK_PARQUET), STORE_GROUPS)


def harmed_table(table: pa.Table, chance: random.Random) -> pa.Table:
    """A table with one column of other values, of another type, or without it."""
    name = chance.choice(table.column_names)
    value = chance.choice([-1, 2**62, None, "x", b"\xff", 0.5, "file:///etc/hostname", ...])
    at = table.column_names.index(name)
    if value is ...:
        return table.remove_column(at)
    return table.set_column(at, name, [[value] * len(table)])


@given(HARMS)
@example(("bytes", 947))  # the name of a column is no text
@example(("bytes", 8388608))  # a column is called otherwise in one of the two places that name it
@settings(max_examples=20)
def test_harmed_parquet_references_are_read_or_refused(shelf: Shelf, harm: tuple[str, int]) -> None:
    check_parquet(shelf, harm)


@pytest.mark.scale
@given(HARMS)
@settings(max_examples=1000)
def test_many_harmed_parquet_references_are_read_or_refused(
    shelf: Shelf, harm: tuple[str, int]
) -> None:
    check_parquet(shelf, harm)


# ---------------------------------------------------------------- shapes


@given(SHAPES)
@settings(max_examples=40)
def test_shape_of_any_kind_is_read(document: Any) -> None:
    def read() -> None:
        shape = parse_shape(json.dumps(document).encode(), 10_000)
        assert shape.features

    error = ends_well(read, {ErrorGroup.REQUEST})
    # Lines whose positions fall together, the only flaw that these can have.
    assert error is None or "LineString" in json.dumps(document)


def check_shape(body: bytes) -> None:
    ends_well(lambda: parse_shape(body, 10_000), {ErrorGroup.REQUEST})


@given(SHAPES.flatmap(harmed).map(lambda own: json.dumps(own).encode()))
@settings(max_examples=40)
def test_harmed_shape_is_read_or_refused_as_a_request(body: bytes) -> None:
    check_shape(body)


@pytest.mark.scale
@given(
    st.one_of(
        SHAPES.flatmap(harmed).map(lambda own: json.dumps(own).encode()),
        GEOMETRIES.flatmap(lambda own: spoilt(json.dumps(own).encode())),
        st.binary(max_size=50),
        ODD.map(lambda own: json.dumps(own).encode()),
    )
)
@settings(max_examples=LONG)
def test_many_harmed_shapes_are_read_or_refused(body: bytes) -> None:
    check_shape(body)


# ---------------------------------------------------------------- addresses

TRUST = Trust.of_settings(["https://example.com/data/", "s3://bucket/here/"])
NEVER = ("127.", "169.254", "localhost", "[::", "10.0.", "0x7f", "2130706433")


def check_address(text: str) -> None:
    """An address has one form, is read only where allowed, and gets no token elsewhere."""
    address = None
    if failure(lambda: Address.of(text), UntrustedError) is None:
        address = Address.of(text)
        assert Address.of(address.url) == address
        assert ".." not in address.path.split("/")
    if failure(lambda: TRUST.check(text), UntrustedError) is None:
        allowed = TRUST.check(text)
        assert allowed.scheme in {"https", "s3"}
        assert not allowed.host.startswith(NEVER)
    failure(lambda: StoreUrl.of(text), NoStoreError)
    user = Credentials.of_token(CANARY)
    refused = failure(lambda: user.authorization(text), VdsError)
    if refused is None and user.authorization(text):
        assert address is not None
        assert address.scheme == "https"
        assert address.hostname.endswith((".earthdata.nasa.gov", ".earthdatacloud.nasa.gov"))


@given(addresses())
@example("//[")
@settings(max_examples=80)
def test_address_of_any_form_is_trusted_or_refused(text: str) -> None:
    check_address(text)


@pytest.mark.scale
@given(st.one_of(addresses(), st.text(max_size=40)))
@settings(max_examples=10 * LONG)
def test_many_addresses_of_any_form_are_trusted_or_refused(text: str) -> None:
    check_address(text)
