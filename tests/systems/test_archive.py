"""Whole requests to protected archives: a user brings a token, the rest is found."""

import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import pytest
import zarr
from archive import SECRET, SESSION, Archive, archive
from canaries import leaks
from integration.test_dask import local_cluster
from invocation import CANARY
from servers import upload
from systems.kits import Answer, ask, raw, request, same_bits, write_store
from world import write_days

from harmony_vds.access.buckets import learn_twins
from harmony_vds.access.credentials import Credentials
from harmony_vds.errors import ForbiddenError
from harmony_vds.model.formats import FORMATS, Format
from harmony_vds.model.store import ManifestFormat, StoreLocation
from harmony_vds.pipeline import Services, fulfil, prepare
from harmony_vds.settings import Settings
from harmony_vds.stores.open import open_store

PROTECTED, PUBLIC = "archive-protected", "nasa-eodc-public"
STORES = ("store.icechunk", "kerchunk.json")
BASE = f"s3://{PROTECTED}/SST/"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_days(tmp_path_factory.mktemp("SST"), 4)


@pytest.fixture(scope="module")
def published(files: list[Path], s3: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An S3 server with the granules in a protected bucket, and stores over them in both."""
    stores = tmp_path_factory.mktemp("stores")
    upload(s3, PROTECTED, files[0].parent, "SST/")  # before the stores, which must not be older
    for form in ("icechunk", "kerchunk"):
        write_store(form, files, stores, BASE)
    upload(s3, PROTECTED, stores, "stores/")
    upload(s3, PUBLIC, stores, "stores/")
    old = stores.parent / "old.icechunk"
    _format_one(old, files)
    upload(s3, PUBLIC, old, "stores/old.icechunk/")
    return s3


def _format_one(folder: Path, files: list[Path]) -> None:
    """A repository of format 1: one array of two uncompressed chunks, which lie in granules."""
    config = icechunk.RepositoryConfig.default()
    config.set_virtual_chunk_container(
        icechunk.VirtualChunkContainer(BASE, icechunk.s3_store(region="us-west-2"))
    )
    folder.mkdir()
    session = icechunk.Repository.create(
        icechunk.local_filesystem_storage(str(folder)), config=config, spec_version=1
    ).writable_session("main")
    zarr.group(session.store).create_array(
        "bytes", shape=(80,), chunks=(40,), dtype="u1", compressors=None, dimension_names=("x",)
    )
    for chunk in range(2):
        session.store.set_virtual_ref(
            f"bytes/c/{chunk}", f"{BASE}{files[chunk].name}", offset=8, length=40
        )
    session.commit("format 1")


@pytest.fixture
def centre(published: str) -> Iterator[Archive]:
    with archive(published, public=(PUBLIC,)) as own:
        yield own


@contextmanager
def services(centre: Archive, token: str | None = CANARY, **changed: Any) -> Iterator[Services]:
    """Services that have read the record and a granule's links of the protected collection."""
    settings = Settings(
        trusted_prefixes=(f"{centre.tea.url}/",), token_hosts=(centre.tea.url,),
        s3_endpoint_url=centre.s3.url, **changed,
    )  # fmt: skip
    own = Services.of(settings, Credentials.of_token(token, settings.token_hosts))
    twins = learn_twins([f"{centre.tea.url}/{PROTECTED}/SST/a.nc"], [f"{BASE}a.nc"])
    told = own.access.recording((f"s3://{PROTECTED}/",), None, centre.endpoint, twins)
    told.fetcher.s3.ring.clock = centre.now
    with own:
        yield replace(own, access=told)


def whole(centre: Archive, href: str, folder: Path, **changed: Any) -> Answer:
    with services(centre, **changed) as own:
        return ask(request(("analysed_sst",)), href, own, folder / "out")


def expected(files: list[Path]) -> np.ndarray:
    return np.concatenate([raw(path, "analysed_sst") for path in files])


def shows_no_secret(text: str) -> bool:
    return not any(secret in text for secret in (CANARY, SECRET, SESSION))


@pytest.mark.parametrize(
    "store",
    [f"{bucket}/stores/{name}" for bucket in (PUBLIC, PROTECTED) for name in STORES],
)
def test_token_alone_opens_a_store_and_its_protected_chunks(
    store: str, centre: Archive, files: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    answer = whole(centre, f"s3://{store}", tmp_path)
    assert same_bits(answer.read("analysed_sst"), expected(files))
    assert centre.exchanges == 1
    signed = {a.path.split("/")[1] for a in centre.s3.asked if "Authorization" in a.headers}
    assert signed == {PROTECTED}
    assert centre.objects(centre.tea) == 0
    assert shows_no_secret(caplog.text + str(answer.prepared.plan.as_json()))
    assert not any(secret.encode() in answer.path.read_bytes() for secret in (CANARY, SESSION))


@pytest.mark.parametrize("form", FORMATS, ids=[own.name for own in FORMATS])
def test_keys_of_a_bucket_are_in_no_form_of_output_and_in_nothing_kept(
    form: Format, centre: Archive, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    day = (datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 3, tzinfo=UTC))
    wanted = replace(request(("analysed_sst",), times=day), media_type=form.media_type)
    store = f"s3://{PROTECTED}/stores/kerchunk.json"
    with services(centre, cache_dir=str(tmp_path / "kept")) as own:
        prepared = ask(wanted, store, own, tmp_path / "out").prepared
        told = f"{own!r}{own.access!r}{prepared!r}{vars(prepared.store)}"
    assert centre.exchanges == 1
    assert SESSION in str([own.headers for own in centre.s3.asked])
    assert any((tmp_path / "kept").iterdir())
    assert shows_no_secret(caplog.text + told)
    assert leaks(tmp_path, (CANARY, SECRET, SESSION)) == []
    assert CANARY not in str([(own.headers, own.query) for own in centre.s3.asked])
    assert SESSION not in str([(own.headers, own.query) for own in centre.tea.asked])


@pytest.mark.parametrize("name", STORES)
@pytest.mark.parametrize("setting", ["auto", "https"])
def test_outside_the_archives_region_the_same_references_are_read_over_https(
    setting: str, name: str, centre: Archive, files: list[Path], tmp_path: Path
) -> None:
    centre.fault = "outside"
    answer = whole(centre, f"s3://{PROTECTED}/stores/{name}", tmp_path, s3=setting)
    assert same_bits(answer.read("analysed_sst"), expected(files))
    assert centre.exchanges == (setting == "auto")
    assert centre.objects(centre.s3) == 0


def test_repository_of_format_1_in_a_public_bucket_with_protected_chunks_is_read(
    centre: Archive, files: list[Path], tmp_path: Path
) -> None:
    with services(centre) as own:
        answer = ask(request(), f"s3://{PUBLIC}/stores/old.icechunk", own, tmp_path / "out")
    assert answer.read("bytes").tobytes() == b"".join(p.read_bytes()[8:48] for p in files[:2])
    assert centre.exchanges == 1


@pytest.mark.parametrize("early", [False, True])
def test_request_outlives_its_credentials(
    early: bool, centre: Archive, files: list[Path], tmp_path: Path
) -> None:
    """They end between the plan and the chunks: as promised, or long before."""
    centre.kept, centre.promised = 1000.0, 36_000.0 if early else 1000.0
    with services(centre) as own:
        prepared = prepare(
            request(("analysed_sst",)), own, f"s3://{PROTECTED}/stores/kerchunk.json"
        )
        centre.passed, centre.kept = 1100.0, 3600.0
        output = fulfil(prepared, tmp_path / "out", own)[0]
    assert same_bits(raw(output.path, "analysed_sst"), expected(files))
    assert centre.exchanges == 2
    assert (400 in {asked.status for asked in centre.s3.asked}) is early


MINUTE = 1.5
"""Seconds that stand for the sixty that credentials last."""


@pytest.mark.scale
@pytest.mark.parametrize("workers", [0, 2])
def test_credentials_of_a_minute_last_for_ten_with_two_exchanges_a_minute_and_process(
    workers: int, centre: Archive, files: list[Path], tmp_path: Path
) -> None:
    """One of the credentials ends after half of its time."""
    centre.kept = centre.promised = MINUTE
    centre.early = frozenset({3})
    href, count = f"s3://{PROTECTED}/stores/kerchunk.json", 0
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(local_cluster(workers)).scheduler_address if workers else ""
        own = stack.enter_context(services(centre, dask=address))
        end = time.monotonic() + 10 * MINUTE
        while time.monotonic() < end:
            prepared = prepare(request(("analysed_sst",)), own, href)
            (output,) = fulfil(prepared, tmp_path / str(count), own)
            assert same_bits(raw(output.path, "analysed_sst"), expected(files))
            count += 1
    assert count > 10
    assert 10 <= len(centre.when) <= (1 + workers) * 16
    for moment in centre.when:
        within = [own for own in centre.when if moment <= own < moment + MINUTE]
        assert len(within) <= 2 * (1 + workers)
    refused = [own for own in centre.s3.asked if own.status == 400]
    assert 0 < len(refused) < len(centre.s3.asked) / 10


def test_repository_that_was_never_looked_for_is_opened_by_the_way_that_is_open(
    centre: Archive,
) -> None:
    """As a worker does, which gets a location and no more."""
    centre.fault = "outside"
    location = StoreLocation(f"s3://{PROTECTED}/stores/store.icechunk", ManifestFormat.ICECHUNK)
    with services(centre) as own, own.access.for_worker().restore() as access:
        store = open_store([location], access)
        assert store.tree["analysed_sst"].shape == (4, 36, 72)
    assert centre.objects(centre.tea) > 0


def test_without_a_token_the_refusal_says_that_one_is_needed(
    centre: Archive, tmp_path: Path
) -> None:
    with (
        services(centre, token=None) as own,
        pytest.raises(ForbiddenError, match="asks for an Earthdata token"),
    ):
        ask(request(), f"s3://{PUBLIC}/stores/kerchunk.json", own, tmp_path / "out")
    assert centre.exchanges == 0
