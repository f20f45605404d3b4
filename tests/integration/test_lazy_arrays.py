"""Lazily opened variables behave in xarray as people expect, and travel to other processes."""

import asyncio
import copy
import gc
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import pytest
import xarray as xr
from aiohttp import web
from dask.base import tokenize
from servers import file_server, ranged, serve
from world import kerchunk_references, write_references

from harmony_vds.access.credentials import Credentials
from harmony_vds.access.gateway import Access
from harmony_vds.errors import StaleSourceError
from harmony_vds.model.store import ManifestFormat, StoreLocation
from harmony_vds.settings import Settings
from harmony_vds.stores.lazy import LazyArray, PlainArray, StoreArray, base_of
from harmony_vds.stores.open import open_store
from harmony_vds.stores.reading import Reading

type Opening = Callable[..., xr.Dataset]


def access_to(*folders: Path, **settings: Any) -> Access:
    prefixes = tuple(f"{folder.as_uri()}/" for folder in folders)
    return Access.of(Settings(trusted_prefixes=prefixes, **settings), Credentials.of_token(None))


def opened(place: Path, access: Access, reader: str = "planned") -> xr.Dataset:
    kind = ManifestFormat.KERCHUNK_JSON if place.suffix == ".json" else ManifestFormat.ICECHUNK
    location = StoreLocation(place.as_uri(), kind)
    return open_store([location], access, Reading(planned=reader == "planned")).tree.to_dataset()


@pytest.fixture(scope="module")
def references(days: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("references")
    return write_references(folder / "sst.json", kerchunk_references(days))


@pytest.fixture(params=["icechunk", "kerchunk"])
def place(request: pytest.FixtureRequest, store: Path, references: Path) -> Path:
    return store if request.param == "icechunk" else references


@pytest.fixture(params=["planned", "zarr"])
def dataset(
    request: pytest.FixtureRequest, place: Path, days: list[Path]
) -> Iterator[tuple[xr.Dataset, Access]]:
    with access_to(days[0].parent, place.parent) as access:
        yield opened(place, access, request.param), access


def array_of(dataset: xr.Dataset, name: str = "analysed_sst") -> StoreArray:
    base = base_of(dataset.variables[name])
    assert base is not None
    return base.array


SELECTIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "negative step": ({"lat": slice(None, None, -1), "lon": slice(60, 3, -7)},),
    "long step over chunks": ({"time": slice(0, 5, 3), "lat": slice(1, None, 17)},),
    "empty": ({"lat": slice(5, 5)},),
    "empty, backward": ({"lat": slice(5, 5, -1), "lon": slice(None, None, -2)},),
    "single": ({"time": -1, "lat": 35, "lon": 0},),
    "list, out of order and repeated": ({"lon": [70, 0, 0, 25]},),
    "mask": ({"lat": np.arange(36) % 5 == 0},),
    "points": ({"lat": xr.DataArray([0, 13, 35], dims="p"),
                "lon": xr.DataArray([71, 24, 23], dims="p")},),
    "points, then one of them": (
        {"lat": xr.DataArray([0, 13, 35], dims="p"), "time": xr.DataArray([4, 0, 2], dims="p")},
        {"p": 1, "lon": slice(20, 30)}),
    "chained": ({"lat": slice(4, 30)}, {"lat": slice(None, None, -3)}, {"time": [3, 1]},
                {"lat": 2, "lon": slice(10, None, 5)}),
    "wrapped": ({"lon": np.r_[60:72, 0:12]},),
}  # fmt: skip


@pytest.mark.parametrize("steps", SELECTIONS.values(), ids=SELECTIONS)
def test_selection_equals_that_of_the_source(
    steps: tuple[dict[str, Any], ...], dataset: tuple[xr.Dataset, Access], truth: np.ndarray
) -> None:
    lazy = dataset[0]["analysed_sst"]
    expected = xr.DataArray(truth, dims=("time", "lat", "lon"))
    for indexers in steps:
        lazy, expected = lazy.isel(indexers), expected.isel(indexers)
    assert lazy.dims == expected.dims
    assert lazy.shape == expected.shape
    assert lazy.dtype == expected.dtype
    assert lazy.values.tobytes() == expected.values.tobytes()


def test_labels_select_what_positions_do(
    dataset: tuple[xr.Dataset, Access], truth: np.ndarray
) -> None:
    chosen = dataset[0]["analysed_sst"].sel(lat=slice(-20, 20), lon=[-177.5, 12.5])
    rows = np.flatnonzero(np.abs(dataset[0].lat.values) <= 20)
    assert chosen.values.tobytes() == truth[:, rows][:, :, [0, 38]].tobytes()
    nearest = dataset[0]["analysed_sst"].sel(lat=1.9, lon=179, method="nearest")
    assert np.array_equal(nearest, truth[:, 18, 71])


@pytest.mark.parametrize(
    "indexers",
    [
        {"lat": 36},
        {"lat": [0, 36]},
        {"lat": xr.DataArray([36, 1], dims="p")},
    ],
    ids=["single", "list", "points"],
)
def test_position_outside_is_an_error_not_another_cell(
    indexers: dict[str, Any], dataset: tuple[xr.Dataset, Access]
) -> None:
    with pytest.raises(IndexError):
        dataset[0]["analysed_sst"].isel(indexers).load()


def test_load_keeps_values_and_copies_stay_lazy(
    dataset: tuple[xr.Dataset, Access], truth: np.ndarray
) -> None:
    own, access = dataset
    before = access.fetcher.traffic.requests
    deep, shallow = own.copy(deep=True), own.copy()
    duplicate = copy.deepcopy(own["analysed_sst"])
    assert access.fetcher.traffic.requests == before
    deep.load()
    for values in (deep["analysed_sst"], shallow["analysed_sst"], duplicate):
        assert values.values.tobytes() == truth.tobytes()
    spent = access.fetcher.traffic.requests
    assert deep["analysed_sst"].values.tobytes() == truth.tobytes()  # loaded: not read again
    assert access.fetcher.traffic.requests == spent


def test_asynchronous_load_leaves_the_loop_free_and_equals_the_source(
    dataset: tuple[xr.Dataset, Access], truth: np.ndarray
) -> None:
    async def load() -> xr.Dataset:
        await (tree := own.isel(lat=slice(3, 20))).load_async()
        return tree

    own = xr.decode_cf(dataset[0], mask_and_scale=False, decode_times=False)
    loop = asyncio.new_event_loop()
    try:
        loaded = loop.run_until_complete(load())
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
    assert loaded["analysed_sst"].values.tobytes() == truth[:, 3:20].tobytes()


def test_tree_of_groups_travels_and_reads(place: Path, days: list[Path], truth: np.ndarray) -> None:
    with access_to(days[0].parent, place.parent) as access:
        kind = ManifestFormat.KERCHUNK_JSON if place.suffix == ".json" else ManifestFormat.ICECHUNK
        tree = open_store([StoreLocation(place.as_uri(), kind)], access).tree
        again = pickle.loads(pickle.dumps(tree.isel(time=slice(1, 4))))
        assert again["analysed_sst"].values.tobytes() == truth[1:4].tobytes()


# ---------------------------------------------------------------- travelling


def test_pickle_is_small_and_finds_the_open_store(dataset: tuple[xr.Dataset, Access]) -> None:
    for name in ("analysed_sst", "crs"):
        array = array_of(dataset[0], name)
        packed = pickle.dumps(array)
        assert len(packed) < 2_000
        again = pickle.loads(packed)
        assert again.opened is array.opened
        assert type(again) is type(array)
        assert (again.shape, again.dtype) == (array.shape, array.dtype)


def test_readers_are_those_that_were_asked_for(store: Path, days: list[Path]) -> None:
    with access_to(days[0].parent, store.parent) as access:
        assert isinstance(array_of(opened(store, access)), LazyArray)
        plain = array_of(opened(store, access, "zarr"))
        assert isinstance(plain, PlainArray)
        assert isinstance(pickle.loads(pickle.dumps(plain)), PlainArray)


def let_go(place: Path, access: Access) -> bytes:
    """A pickled array whose store is no longer open in this process."""
    packed = pickle.dumps(array_of(opened(place, access)))
    gc.collect()
    return packed


def read(array: StoreArray) -> bytes:
    return xr.Variable(("t", "y", "x"), array)[:2].values.tobytes()


def test_store_is_opened_once_however_many_threads_unpack_it(
    place: Path, days: list[Path], truth: np.ndarray
) -> None:
    with access_to(days[0].parent, place.parent) as access:
        packed = let_go(place, access)
    found: list[StoreArray] = []
    start = threading.Barrier(6)

    def unpack() -> None:
        start.wait()
        found.append(pickle.loads(packed))

    threads = [threading.Thread(target=unpack) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(array.opened) for array in found}) == 1
    assert read(found[0]) == truth[:2].tobytes()


IN_ANOTHER_PROCESS = """
import pickle, sys
from dask.base import tokenize
dataset, lazy = pickle.load(sys.stdin.buffer)
from harmony_vds.stores.lazy import base_of
assert base_of(dataset.variables["mask"]).array.opened is lazy.opened
values = dataset["analysed_sst"].variable[:2].values
print(tokenize(lazy), tokenize(dataset["analysed_sst"].variable._data), values.tobytes().hex())
"""


def in_another_process(dataset: xr.Dataset) -> tuple[str, str, bytes]:
    """Tokens of an array and of a selection, and the first two steps, as told by a new process."""
    done = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS],
        input=pickle.dumps((dataset, array_of(dataset))), capture_output=True, timeout=300,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert not done.stderr
    token, selected, values = done.stdout.decode().split()
    return token, selected, bytes.fromhex(values)


def test_another_process_reads_the_same_and_knows_it_by_the_same_token(
    store: Path, days: list[Path], truth: np.ndarray
) -> None:
    with access_to(days[0].parent, store.parent) as access:
        dataset = opened(store, access)
        selected = tokenize(dataset["analysed_sst"].variable._data)
        expected = (tokenize(array_of(dataset)), selected, truth[:2].tobytes())
        assert in_another_process(dataset) == expected


def test_another_process_opens_references_once_and_leaves_no_connection_behind(
    days: list[Path], truth: np.ndarray, tmp_path: Path
) -> None:
    for path in days:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with file_server(tmp_path) as server:
        here = days[0].parent.as_uri()
        document = kerchunk_references(days, lambda url: url.replace(here, server.url))
        write_references(tmp_path / "sst.json", document)
        location = StoreLocation(f"{server.url}/sst.json", ManifestFormat.KERCHUNK_JSON)
        settings = Settings(trusted_prefixes=(f"{server.url}/",))
        with Access.of(settings, Credentials.of_token(None)) as access:
            dataset = open_store([location], access).tree.to_dataset()
            server.forget()
            assert in_another_process(dataset)[2] == truth[:2].tobytes()
        assert server.paths().count("/sst.json") == 1


def test_tokens_tell_stores_arrays_selections_and_snapshots_apart(
    days: list[Path], store: Path, references: Path, tmp_path: Path
) -> None:
    import shutil

    own = tmp_path / "own.icechunk"
    shutil.copytree(store, own)
    with access_to(days[0].parent, store.parent, references.parent, tmp_path) as access:

        def token(place: Path) -> str:
            return str(tokenize(opened(place, access).variables["analysed_sst"]._data))

        first = opened(store, access)
        assert token(store) == token(store)
        before = token(own)
        others = {
            token(store), before, token(references), tokenize(first.variables["mask"]._data),
            tokenize(first.variables["analysed_sst"][1:]._data),
            tokenize(first.variables["analysed_sst"][::-1]._data),
            tokenize(first.variables["analysed_sst"][:, [1, 2]]._data),
        }  # fmt: skip
        assert len(others) == 7
        commit_a_change(own)
        assert token(own) not in others


def commit_a_change(store: Path) -> None:
    """A new snapshot in which every temperature of the first chunk is overwritten."""
    import zarr

    config = icechunk.RepositoryConfig.default()
    repository = icechunk.Repository.open(
        icechunk.local_filesystem_storage(str(store)), config=config
    )
    session = repository.writable_session("main")
    zarr.open_group(session.store, mode="r+")["analysed_sst"][0, :12, :24] = 99
    session.commit("changed")


def test_ticket_reads_the_snapshot_it_was_written_for(
    store: Path, days: list[Path], truth: np.ndarray, tmp_path: Path
) -> None:
    import shutil

    own = tmp_path / "own.icechunk"
    shutil.copytree(store, own)
    with access_to(days[0].parent, tmp_path) as access:
        packed = let_go(own, access)
        commit_a_change(own)
        assert read(array_of(opened(own, access))) != truth[:2].tobytes()
        assert read(pickle.loads(packed)) == truth[:2].tobytes()


def test_reference_file_that_changed_meanwhile_is_an_error(
    days: list[Path], references: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.json"
    own.write_bytes(references.read_bytes())
    with access_to(days[0].parent, tmp_path) as access:
        packed = let_go(own, access)
        document = json.loads(own.read_text())
        document["refs"]["analysed_sst/0.0.0"][1] += 7
        own.write_text(json.dumps(document))
        with pytest.raises(StaleSourceError, match="has changed since it was opened"):
            pickle.loads(packed)


def test_token_travels_beside_the_ticket_and_authorises_the_same_hosts(
    days: list[Path], truth: np.ndarray, tmp_path: Path
) -> None:
    secret = "canary-that-travels-only-on-purpose"
    refused: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {secret}":
            refused.append(request.path)
            return web.Response(status=401)
        return ranged((tmp_path / request.path.strip("/")).read_bytes(), request)

    for path in days:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with serve(answer) as server:
        here = days[0].parent.as_uri()
        document = kerchunk_references(days, lambda url: url.replace(here, server.url))
        write_references(tmp_path / "sst.json", document)
        settings = Settings(trusted_prefixes=(f"{server.url}/",))
        credentials = Credentials.of_token(secret, (server.url,))
        location = StoreLocation(f"{server.url}/sst.json", ManifestFormat.KERCHUNK_JSON)

        def leave() -> bytes:
            with Access.of(settings, credentials) as access:
                array = array_of(open_store([location], access).tree.to_dataset())
                assert array.opened is not None
                assert secret not in array.opened.ticket.packed().decode()
                assert secret not in repr(array.opened.travelling())
                return pickle.dumps(array)

        packed = leave()
        gc.collect()
        assert read(pickle.loads(packed)) == truth[:2].tobytes()
        assert not refused
