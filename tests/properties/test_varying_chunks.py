"""Chunks of varying length: granules of unequal size in one array, read as if they were one file.

VirtualiZarr cannot write such stores, so icechunk itself is told where each granule's chunks lie.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import icechunk
import netCDF4
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from systems.kits import ask, request, services
from zarr.codecs.numcodecs import Shuffle, Zlib

from harmony_vds.access.credentials import Credentials
from harmony_vds.discovery.found import locate
from harmony_vds.model.spans import merged_spans
from harmony_vds.model.store import VirtualStore
from harmony_vds.pipeline import Services
from harmony_vds.settings import Settings
from harmony_vds.stores.open import open_store

ROWS = (132, 131, 132, 7)
COLUMNS = (64, 40)


@pytest.fixture(scope="module")
def granules(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Files of one field each, some a row short, in chunks of their full size by 64 columns."""
    folder = tmp_path_factory.mktemp("granules")
    rng = np.random.default_rng(7)
    made = []
    for number, rows in enumerate(ROWS):
        path = folder / f"{number}.nc"
        with netCDF4.Dataset(path, "w") as nc:
            nc.createDimension("y", rows)
            nc.createDimension("x", COLUMNS[0])
            field = nc.createVariable(
                "no2", "f8", ("y", "x"), zlib=True, shuffle=True, chunksizes=(rows, COLUMNS[0])
            )
            field[:] = rng.normal(size=(rows, COLUMNS[0])).round(2)
        made.append(path)
    return made


@pytest.fixture(scope="module")
def truth(granules: list[Path]) -> np.ndarray:
    fields = []
    for path in granules:
        with netCDF4.Dataset(path) as nc:
            fields.append(np.asarray(nc["no2"][:]))
    return np.concatenate(fields)


@pytest.fixture(scope="module")
def repository(granules: list[Path]) -> Path:
    folder = granules[0].parent / "store"
    config = icechunk.RepositoryConfig.default()
    prefix = f"{folder.parent.as_uri()}/"
    config.set_virtual_chunk_container(
        icechunk.VirtualChunkContainer(prefix, icechunk.local_filesystem_store(str(folder.parent)))
    )
    storage = icechunk.local_filesystem_storage(str(folder))
    session = icechunk.Repository.create(storage, config=config).writable_session("main")
    with zarr.config.set({"array.rectilinear_chunks": True}), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root = zarr.group(session.store)
        root.create_array(
            "no2", shape=(sum(ROWS), COLUMNS[0]), chunks=[list(ROWS), [COLUMNS[0]]], dtype="f8",
            filters=None, compressors=[Shuffle(elementsize=8), Zlib(level=4)],
            dimension_names=("y", "x"),
        )  # fmt: skip
        for name, size in (("y", sum(ROWS)), ("x", COLUMNS[0])):
            root.create_array(name, data=np.arange(size, dtype="f8"), dimension_names=(name,))
    for number, path in enumerate(granules):
        with h5py.File(path) as file:
            chunk = file["no2"].id.get_chunk_info(0)
        session.store.set_virtual_ref(
            f"no2/c/{number}/0", path.as_uri(), offset=chunk.byte_offset, length=chunk.size
        )
    session.commit("granules of unequal length")
    return folder


@pytest.fixture(scope="module")
def opened(repository: Path) -> Iterator[dict[str, VirtualStore]]:
    """By each reader."""
    stores: dict[str, VirtualStore] = {}
    using: list[Services] = []
    for reader in ("planned", "zarr"):
        own = Settings(trusted_prefixes=(f"{repository.parent.as_uri()}/",), reader=reader)
        services = Services.of(own, Credentials.of_token(None))
        found = locate(repository.as_uri(), services.access)
        stores[reader] = open_store(found.locations, found.access, services.reading)
        using.append(services)
    yield stores
    for services in using:
        services.__exit__(None, None, None)


def parts(size: int) -> st.SearchStrategy[Any]:
    slices = st.slices(size).filter(lambda own: own.step is None or own.step > 0)
    return slices | st.lists(st.integers(0, size - 1), max_size=8).map(np.array)


@settings(max_examples=60, deadline=None)
@given(y=parts(sum(ROWS)), x=parts(COLUMNS[0]))
def test_any_selection_is_what_the_granules_hold(
    y: Any, x: Any, opened: dict[str, VirtualStore], truth: np.ndarray
) -> None:
    rows = np.arange(sum(ROWS))[y if isinstance(y, slice) else y.astype(int)]
    columns = np.arange(COLUMNS[0])[x if isinstance(x, slice) else x.astype(int)]
    expected = truth[np.ix_(rows, columns)]
    for store in opened.values():
        field = store.tree["/no2"].variable
        got = field.isel(y=rows, x=columns).values
        np.testing.assert_array_equal(got, expected)
        assert got.dtype == np.float64


@settings(max_examples=60, deadline=None)
@given(first=st.integers(0, sum(ROWS) - 1), length=st.integers(1, 300))
def test_price_counts_chunks_by_their_own_lengths(
    first: int, length: int, opened: dict[str, VirtualStore]
) -> None:
    rows = range(first, min(first + length, sum(ROWS)))
    index = opened["planned"].chunk_index("/no2", None)
    edges = np.concatenate([[0], np.cumsum(ROWS)])
    touched = [n for n in range(len(ROWS)) if edges[n] < rows.stop and edges[n + 1] > rows.start]
    tally = index.tally([rows, range(COLUMNS[0])])
    assert tally.chunks == len(touched)
    assert tally.decoded == sum(ROWS[n] for n in touched) * COLUMNS[0] * 8
    spans = merged_spans(index, [np.array(touched), np.array([0])], 0)
    assert spans.nbytes == tally.stored


def test_subset_of_unequal_granules_is_written_whole(
    repository: Path, truth: np.ndarray, tmp_path: Path
) -> None:
    answer = ask(request(), repository.as_uri(), services(trusted=("file:///",)), tmp_path / "out")
    np.testing.assert_array_equal(answer.read("no2"), truth)
    assert answer.prepared.plan.cost.missing == 0


def test_dask_blocks_end_where_granules_end(
    opened: dict[str, VirtualStore], truth: np.ndarray
) -> None:
    from harmony_vds.stores.blocks import preferred_blocks

    lazy = opened["planned"].tree["/no2"].variable
    field = lazy.chunk(preferred_blocks(lazy, most=ROWS[0] * COLUMNS[0] * 8))
    ends = set(np.cumsum(field.chunks[0]).tolist())
    assert ends <= set(np.cumsum(ROWS).tolist())
    np.testing.assert_array_equal(field.compute().values, truth)
