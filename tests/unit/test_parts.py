"""A request cut into Parts: each below its limits, no chunk in two of them, together the whole."""

import dataclasses
import itertools
from datetime import UTC, datetime
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from world import virtual_dataset, write_days, write_icechunk

from harmony_vds.access.credentials import Credentials
from harmony_vds.access.gateway import Access
from harmony_vds.cutting import Cutting
from harmony_vds.discovery.found import locate
from harmony_vds.errors import RequestError, StaleSourceError, TooLargeError
from harmony_vds.handoff import sealed, unsealed
from harmony_vds.model.extent import BoundingBox, TimeRange
from harmony_vds.model.limits import Limits
from harmony_vds.model.part import Part, Recorded
from harmony_vds.model.plan import Plan
from harmony_vds.model.request import (
    DimensionRange,
    Granule,
    Request,
    Source,
    Stretch,
    TargetGrid,
)
from harmony_vds.model.store import CollectionNotes, StoreLocation, VirtualStore
from harmony_vds.opened import labelled
from harmony_vds.pipeline import Prepared, fulfil, prepare, prepare_part
from harmony_vds.planning.parts import divides, stretches_of
from harmony_vds.planning.planner import make_plan
from harmony_vds.services import Services
from harmony_vds.settings import Settings
from harmony_vds.stores.open import open_store

DAYS = 11
SOURCE = Source("", "DEMO")
PLENTY = Limits(10**15, 10**15, 10**6)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_days(tmp_path_factory.mktemp("granules"), DAYS)


@pytest.fixture(scope="module")
def store(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store") / "sst.icechunk"
    write_icechunk(folder, {None: virtual_dataset(files)}, container=f"{files[0].parent.as_uri()}/")
    return folder


def settings(store: Path, files: list[Path], **more: object) -> Settings:
    return Settings(trusted_prefixes=(f"{store.as_uri()}/", f"{files[0].parent.as_uri()}/"), **more)


@pytest.fixture(scope="module")
def opened(store: Path, files: list[Path]) -> VirtualStore:
    access = Access.of(settings(store, files), Credentials.of_token(None))
    found = locate(store.as_uri(), access)
    return open_store(found.locations, found.access)


def day(number: int) -> datetime:
    """Noon of a day, counted from 0, as the first granule's number has it."""
    return datetime(2024, 1, 2 + number, 12, tzinfo=UTC)


def cut(
    opened: VirtualStore, limits: Limits, request: Request, *, apart: bool = False
) -> list[tuple[Stretch | None, Plan]]:
    cutting = Cutting(opened, limits, apart)
    return cutting.parts(cutting.plan(request, SOURCE), request, SOURCE)


def chunks_of(opened: VirtualStore, plan: Plan, path: str) -> set[tuple[int, ...]]:
    index = opened.chunk_index(path)
    planned = next(own for own in plan.variables if own.path == path)
    sides = [
        {int(p) // c for p in plan.selection[d].positions}
        for d, c in zip(planned.dimensions, index.chunk_shape, strict=True)
    ]
    return set(itertools.product(*sides))


@given(
    edges=st.tuples(*[st.integers(-17, 17)] * 4),
    steps=st.tuples(st.integers(0, DAYS - 1), st.integers(0, DAYS - 1)),
    share=st.floats(0.05, 1.2),
    apart=st.booleans(),
)
def test_parts_are_small_and_hold_each_chunk_and_step_once(
    opened: VirtualStore,
    edges: tuple[int, int, int, int],
    steps: tuple[int, int],
    share: float,
    apart: bool,
) -> None:
    west, south, east, north = (5.0 * own for own in edges)
    box = BoundingBox(west, min(south, north) - 3, east, max(south, north) + 3)
    times = TimeRange(day(min(steps)), day(max(steps)))
    request = Request((SOURCE,), bbox=box, temporal=times)
    whole = make_plan(opened, request, SOURCE)
    most = int(whole.cost.bytes_written * share)
    limits = dataclasses.replace(PLENTY, part_bytes=most, part_seconds=1e6)
    parts = cut(opened, limits, request, apart=apart)
    together = [own.selection["/time"].positions for _, own in parts]
    np.testing.assert_array_equal(np.concatenate(together), whole.selection["/time"].positions)
    for path in ("/analysed_sst", "/mask"):
        seen = [chunks_of(opened, own, path) for _, own in parts]
        assert sum(map(len, seen)) == len(set().union(*seen))
        assert set().union(*seen) == chunks_of(opened, whole, path)
    for (stretch, own), kept in zip(parts, together, strict=True):
        assert own.cost.bytes_written <= most or len(kept) == 1
        assert (stretch is None) == (len(parts) == 1)
        for dimension in ("/lat", "/lon"):
            assert own.selection[dimension] == whole.selection[dimension]
    if share >= 1:
        assert len(parts) == 1
    assert divides(whole, opened, 1 / share) is (len(stretches_of(whole, opened, 1 / share)) > 1)
    assert len({own.fingerprint for _, own in parts}) == len(parts)


def test_a_part_keeps_within_every_limit_of_its_work_item(opened: VirtualStore) -> None:
    request = Request((SOURCE,))
    cost = make_plan(opened, request, SOURCE).cost
    for name, whole in (
        ("max_read_bytes", cost.bytes_read), ("max_output_bytes", cost.bytes_written),
        ("max_chunks", cost.chunks), ("max_requests", cost.requests),
        ("max_decoded_bytes", cost.bytes_decoded), ("max_disk_bytes", cost.peak_disk),
    ):  # fmt: skip
        limits = dataclasses.replace(PLENTY, **{name: whole // 3}, part_seconds=1e6)
        parts = cut(opened, limits, request, apart=True)
        assert 4 <= len(parts) <= 6
    slow = dataclasses.replace(PLENTY, part_seconds=cost.duration.most - 0.01)
    parts = cut(opened, slow, request, apart=True)
    assert all(own.cost.duration.most <= slow.part_seconds for _, own in parts)
    assert len(parts) == 2


def test_more_parts_than_allowed_are_refused_with_their_number_before_they_are_cut(
    opened: VirtualStore,
) -> None:
    request = Request((SOURCE,))
    cost = make_plan(opened, request, SOURCE).cost
    limits = dataclasses.replace(PLENTY, part_bytes=cost.bytes_written // 8, max_parts=4)
    with pytest.raises(TooLargeError, match=r"take [89] work items.* 4 \(HARMONY_VDS_MAX_PARTS\)"):
        cut(opened, limits, request, apart=True)


def test_who_waits_gets_one_file_or_a_refusal(opened: VirtualStore) -> None:
    request = Request((SOURCE,), synchronous=True)
    cost = make_plan(opened, request, SOURCE).cost
    small = dataclasses.replace(PLENTY, part_bytes=cost.bytes_written // 3)
    assert len(cut(opened, small, request)) == 1
    full = dataclasses.replace(small, max_disk_bytes=cost.bytes_written // 3)
    with pytest.raises(TooLargeError, match="on local disk"):
        cut(opened, full, request)
    assert len(cut(opened, full, Request((SOURCE,)))) > 3


def test_a_refusal_names_the_service_that_cuts_into_parts(opened: VirtualStore) -> None:
    limits = dataclasses.replace(PLENTY, max_read_bytes=1000, parts_service="S17-PROV")
    with pytest.raises(TooLargeError) as caught:
        cut(opened, limits, Request((SOURCE,)))
    assert "Order all of it in parts with serviceId=S17-PROV, or ask for" in str(caught.value)
    assert len(str(caught.value)) < 1000
    with pytest.raises(TooLargeError) as caught:
        cut(opened, limits, Request((SOURCE,), synchronous=True))
    assert "serviceId" not in str(caught.value)


def test_names_of_parts_sort_as_they_follow_each_other(opened: VirtualStore) -> None:
    request = Request((SOURCE,))
    cost = make_plan(opened, request, SOURCE).cost
    parts = cut(opened, dataclasses.replace(PLENTY, part_bytes=cost.bytes_written // 4), request)
    names = [labelled("F1", own, index, len(parts)) for index, (_, own) in enumerate(parts)]
    assert names == sorted(names)
    assert len(set(names)) == len(parts)
    assert names[0] == "F1_20240102T120000-20240103T120000"
    timeless = [dataclasses.replace(own, coverage=None) for _, own in parts]
    names = [labelled("", own, index, 12) for index, own in enumerate(timeless)]
    assert names[0] == "part01of12"
    assert names == sorted(names)


# -- a Part by itself -----------------------------------------------------------------------------


def prepared_parts(
    store: Path, files: list[Path], **more: object
) -> tuple[list[Prepared], Services]:
    services = Services.of(
        settings(store, files, part_bytes=2_500, **more), Credentials.of_token("secret-token-1")
    )
    request = Request((SOURCE,), bbox=BoundingBox(150.0, -40.0, -150.0, 40.0))
    return prepare(request, services, store.as_uri(), apart=True), services


def read(path: Path, name: str) -> np.ndarray:
    with netCDF4.Dataset(path) as nc:
        nc.set_auto_maskandscale(False)
        return np.asarray(nc[name][...])


def test_parts_written_elsewhere_are_the_parts_written_here_and_together_the_whole(
    store: Path, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    prepared, services = prepared_parts(store, files)
    assert len(prepared) > 2
    with services:
        here = fulfil(prepared, tmp_path / "here", services)
    elsewhere = []
    for own in prepared:
        assert own.part
        part = unsealed(sealed(own.part, "key"), "key")
        with Services.of(settings(store, files), Credentials.of_token(None)) as other:
            again = prepare_part(part, other)
            assert again.plan.fingerprint == own.plan.fingerprint
            assert again.label == own.label
            folder = tmp_path / f"elsewhere{part.index}"
            elsewhere += fulfil([again], folder, other)
    assert [own.checksum for own in elsewhere] == [own.checksum for own in here]
    with Services.of(settings(store, files), Credentials.of_token(None)) as other:
        asked = dataclasses.replace(prepared[0].part.request, stretch=None)
        (whole,) = fulfil(prepare(asked, other, store.as_uri()), tmp_path / "whole", other)
    for name in ("analysed_sst", "mask", "time"):
        joined = np.concatenate([read(own.path, name) for own in here])
        np.testing.assert_array_equal(joined, read(whole.path, name))
    for name in ("lat", "lon"):
        assert all((read(own.path, name) == read(whole.path, name)).all() for own in here)


@pytest.mark.parametrize(
    ("derived", "part_bytes"),
    [
        ({"target": TargetGrid(crs="EPSG:3857", width=30, height=30)}, 4_000),
        ({"point": (10.0, 20.0)}, 60),
    ],
)
def test_parts_of_what_is_computed_are_together_the_whole(
    derived: dict[str, object],
    part_bytes: int,
    store: Path,
    files: list[Path],
    tmp_path: Path,
) -> None:
    asked = Request((SOURCE,), **derived)  # type: ignore[arg-type]
    outputs = []
    for name, more in (("whole", {}), ("parts", {"part_bytes": part_bytes})):
        own = settings(store, files, **more)
        with Services.of(own, Credentials.of_token(None)) as services:
            prepared = prepare(asked, services, store.as_uri())
            outputs.append(fulfil(prepared, tmp_path / name, services))
    (whole,), parts = outputs
    assert len(parts) > 1
    axis = 1 if asked.places else 0  # series of places have time last
    joined = np.concatenate([read(own.path, "analysed_sst") for own in parts], axis)
    np.testing.assert_array_equal(joined, read(whole.path, "analysed_sst"))


def test_a_part_travels_as_json_without_secrets_and_is_not_obeyed_when_changed(
    store: Path, files: list[Path]
) -> None:
    prepared, services = prepared_parts(store, files)
    services.access.credentials.authorization("https://data.earthdata.nasa.gov/x")
    part = prepared[1].part
    assert part
    document = sealed(part, "key")
    assert b"secret-token-1" not in document
    assert unsealed(document, "key") == part
    for changed in (
        document.replace(b"sst.icechunk", b"elsewhere.ice"),
        document.replace(b'"start":', b'"stop":', 1),
        document[:-3], b"{}", b"", b"[1]", b"\xff",
    ):  # fmt: skip
        assert changed != document
        with pytest.raises(RequestError, match="none that the step before it planned"):
            unsealed(changed, "key")
    with pytest.raises(RequestError):
        unsealed(document, "another key")


def test_every_field_of_a_part_survives_the_way() -> None:
    granule = Granule("C1-T", "G1-T", "name", bbox=BoundingBox(1, 2, 3, 4),
                      temporal=TimeRange(day(0), None))  # fmt: skip
    source = Source("C1-T", "SHORT", "1.0", ("/a/b", "c"))
    request = Request(
        (source,), BoundingBox(170.123456789, -5, -170, 5.5), TimeRange(None, day(3)),
        dimensions=(DimensionRange("lev", 1.5, None),), granules=(granule,), pixel_subset=True,
        periods=(TimeRange(day(1), day(2)),), stretch=Stretch("/time", 3, 9),
    )  # fmt: skip
    location = StoreLocation("s3://b/x", "icechunk", "SNAP", "us-west-2", members=())
    recorded = Recorded(("s3://b/",), "us-west-2", (("s3://b/", "https://e/s3credentials"),),
                        (("s3://b/", "https://h/b/"),))  # fmt: skip
    part = Part(2, 7, location, source, request, CollectionNotes(day(0), None, "T", "10.1/x"),
                "label", True, recorded, 1_700_000_000, "f" * 64)  # fmt: skip
    assert unsealed(sealed(part, "key"), "key") == part


def test_what_records_said_of_places_is_said_again() -> None:
    access = Access.of(Settings(), Credentials.of_token(None)).recording(
        ("s3://archive-of-one/data/", "https://archive.example.nasa.gov/data/"), "us-east-1",
        "https://archive.example.nasa.gov/s3credentials",
    )  # fmt: skip
    again = Access.of(Settings(), Credentials.of_token(None)).recalling(access.recorded())
    assert again.fetcher.trust == access.fetcher.trust
    assert again.fetcher.buckets == access.fetcher.buckets
    assert again.recorded() == access.recorded()


def test_a_part_of_a_store_that_has_changed_is_refused(files: list[Path], tmp_path: Path) -> None:
    from world import kerchunk_references, write_references

    shelf = tmp_path / "shelf"
    shelf.mkdir()
    written = write_references(shelf / "refs.json", kerchunk_references(files))
    services = Services.of(
        Settings(trusted_prefixes=(f"{shelf.as_uri()}/", f"{files[0].parent.as_uri()}/"),
                 part_bytes=40_000),
        Credentials.of_token(None),
    )  # fmt: skip
    with services:
        prepared = prepare(Request((SOURCE,)), services, written.as_uri(), apart=True)
        write_references(shelf / "refs.json", kerchunk_references(files[:-1]))
        assert prepared[0].part
        with pytest.raises(StaleSourceError, match="has changed since part 1 of"):
            prepare_part(prepared[0].part, services)
