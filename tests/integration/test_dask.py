"""Stores as dask arrays: large blocks along chunks, and the same bytes by every scheduler."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import netCDF4
import numpy as np
import pytest
import xarray as xr
from aiohttp import web
from harmony_service_lib.util import config as harmony_config
from hypothesis import given, settings
from hypothesis import strategies as st
from integration.test_mosaics import FRAMES, published
from invocation import CANARY, SHARED_SECRET
from servers import Asked, Server, file_server, ranged, serve
from systems.test_memory import repeated
from world import kerchunk_references, write_granule, write_references

from harmony_vds.access.cluster import Cluster
from harmony_vds.access.credentials import Credentials
from harmony_vds.access.gateway import Access
from harmony_vds.errors import MissingSourceError, SettingsError, UpstreamError
from harmony_vds.handoff import part_catalogs, parts_of
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.formats import ZARR
from harmony_vds.model.output import Output
from harmony_vds.model.request import Request, Source, TargetGrid
from harmony_vds.model.store import ManifestFormat, StoreLocation, VirtualStore
from harmony_vds.pipeline import fulfil, prepare, prepare_part
from harmony_vds.services import Services
from harmony_vds.settings import Settings
from harmony_vds.stores.blocks import BLOCK_BYTES, preferred_blocks
from harmony_vds.stores.open import open_store
from harmony_vds.telemetry import Deadline

MIB = 2**20
SST = ("time", "lat", "lon")


def opened(href: str, *prefixes: str) -> tuple[VirtualStore, Access]:
    access = Access.of(Settings(trusted_prefixes=(href, *prefixes)), Credentials.of_token(None))
    kind = ManifestFormat.KERCHUNK_JSON if href.endswith(".json") else ManifestFormat.ICECHUNK
    return open_store([StoreLocation(href, kind)], access), access


def in_blocks(variable: xr.Variable, most: int = BLOCK_BYTES) -> xr.Variable:
    """A variable in the blocks that the engine prefers, as xarray makes them for ``chunks={}``."""
    return variable.chunk(preferred_blocks(variable, most), inline_array=True)


def all_in_blocks(dataset: xr.Dataset, most: int) -> xr.Dataset:
    return dataset.assign(
        {name: in_blocks(own.variable, most) for name, own in dataset.data_vars.items()}
    )


@pytest.fixture(scope="module")
def served(
    days: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[VirtualStore, Server]]:
    """A store of reference documents and granules behind an HTTP server."""
    shelf = tmp_path_factory.mktemp("shelf")
    for path in days:
        (shelf / path.name).write_bytes(path.read_bytes())
    with file_server(shelf) as server:
        here = days[0].parent.as_uri()
        document = kerchunk_references(days, lambda url: url.replace(here, server.url))
        write_references(shelf / "sst.json", document)
        store, access = opened(f"{server.url}/sst.json", f"{server.url}/")
        with access:
            yield store, server


def of_shape(
    folder: Path, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: str = "<f4"
) -> xr.Variable:
    """An array of which no chunk was ever written, of whatever size."""
    metadata = {"zarr_format": 2, "shape": shape, "chunks": chunks, "dtype": dtype, "order": "C",
                "fill_value": 0, "filters": None, "compressor": None}  # fmt: skip
    names = ["t", "y", "x"][: len(shape)]
    refs = {
        ".zgroup": '{"zarr_format": 2}', "data/.zarray": json.dumps(metadata),
        "data/.zattrs": json.dumps({"_ARRAY_DIMENSIONS": names}),
    }  # fmt: skip
    path = write_references(folder / "large.json", {"version": 1, "refs": refs})
    return opened(path.as_uri())[0].tree.to_dataset().variables["data"]


# ---------------------------------------------------------------- blocks


@pytest.mark.parametrize(
    "shape, chunks, dtype",
    [
        ((29200, 1624, 3856), (1, 406, 964), "<f4"),
        ((15340, 3600, 7200), (1, 1200, 2400), "<i2"),
        ((700, 17999, 36000), (1, 1023, 2047), "<i2"),
        ((100_000, 40, 50), (1000, 40, 50), "<f8"),
    ],
    ids=["SMAP", "OSTIA", "MUR", "one chunk across"],
)
def test_blocks_of_large_arrays_hold_32_to_64_mib_and_end_with_chunks(
    shape: tuple[int, ...], chunks: tuple[int, ...], dtype: str, tmp_path: Path
) -> None:
    blocked = in_blocks(of_shape(tmp_path, shape, chunks, dtype))
    sizes = [own[0] for own in blocked.data.chunks]
    assert 32 * MIB < np.prod(sizes) * np.dtype(dtype).itemsize <= 64 * MIB
    for lengths, chunk in zip(blocked.data.chunks, chunks, strict=True):
        assert all(length % chunk == 0 for length in lengths[:-1])


def test_chunk_larger_than_a_block_is_a_block(tmp_path: Path) -> None:
    blocked = in_blocks(of_shape(tmp_path, (4, 6000, 6000), (1, 6000, 3000)))
    assert blocked.data.chunks == ((1,) * 4, (6000,), (3000, 3000))


def test_half_a_million_chunks_cost_no_node_each(tmp_path: Path) -> None:
    blocked = in_blocks(of_shape(tmp_path, (29200, 1624, 3856), (1, 406, 964)))
    (layer,) = blocked.data.dask.layers.values()
    assert not layer.is_materialized()
    assert len(layer) == np.prod(blocked.data.numblocks) < 29200 * 16 / 30
    assert float(blocked[5000, 700, 2000].compute()) == 0.0


def test_cut_of_a_large_array_gets_blocks_for_what_it_touches(tmp_path: Path) -> None:
    large = of_shape(tmp_path, (15340, 3600, 7200), (1, 1200, 2400), "<i2")
    point = in_blocks(large[:, 1500, 3000])  # 5.76 MB a chunk, eleven to a block
    assert point.data.chunks[0][:2] == (11, 11)
    yearly = in_blocks(large[::365, 1500, 3000])
    assert yearly.data.chunks == ((11, 11, 11, 10),)
    wrapped = in_blocks(large[0, 0, np.r_[7000:7200, 0:100]], 6 * MIB)
    assert wrapped.data.chunks == ((200, 100),)
    scattered = in_blocks(large[0, 0, np.arange(7200).reshape(3, -1).T.ravel()], 6 * MIB)
    assert scattered.data.chunks == ((2400, 2400, 2400),)


@settings(max_examples=25)
@given(
    bounds=st.tuples(*(st.tuples(st.integers(0, n), st.integers(0, n)) for n in (5, 36, 72))),
    steps=st.tuples(*(st.sampled_from([1, 2, 5, -1, -3]) for _ in range(3))),
    most=st.sampled_from([1, 600, 1200, 5000, 10**6]),
)
def test_every_chunk_belongs_to_one_block_and_values_stay(
    bounds: tuple[tuple[int, int], ...],
    steps: tuple[int, ...],
    most: int,
    served: tuple[VirtualStore, Server],
    truth: np.ndarray,
) -> None:
    key = tuple(
        slice(*(b if step > 0 else b[::-1]), step) for b, step in zip(bounds, steps, strict=True)
    )
    lazy = served[0].tree.to_dataset().variables["analysed_sst"][key]
    blocked = in_blocks(lazy, most)
    for own, n, chunk, lengths in zip(
        key, truth.shape, (1, 12, 24), blocked.data.chunks, strict=True
    ):
        numbers = np.arange(n)[own] // chunk
        parts = np.split(numbers, np.cumsum(lengths)[:-1])
        assert sum(np.unique(part).size for part in parts) == np.unique(numbers).size
    computed = blocked.data.compute(scheduler="synchronous")
    assert computed.dtype == truth.dtype
    assert computed.tobytes() == np.ascontiguousarray(truth[key]).tobytes()


def test_blocks_read_nothing_before_they_are_computed_and_then_each_chunk_once(
    served: tuple[VirtualStore, Server], truth: np.ndarray
) -> None:
    store, server = served
    server.forget()
    tree = {"analysed_sst": in_blocks(store.tree["analysed_sst"].variable, 12 * 24 * 2 * 3)}
    plain = store.tree.to_dataset()["analysed_sst"].chunk(time=2)
    assert not server.asked
    assert tree["analysed_sst"].chunks == ((1,) * 5, (12,) * 3, (72,))
    assert np.array_equal(tree["analysed_sst"].sum(dtype="i8").compute(), truth.sum(dtype="i8"))
    index = store.chunk_index("/analysed_sst")
    ranges = [(own.path, *own.headers["Range"][6:].split("-")) for own in server.asked]
    for place in np.ndindex(index.kinds.shape):
        path = index.locations[index.sources[place]].removeprefix(server.url)
        start = index.offsets[place]
        asked = [own for own in ranges if own[0] == path and int(own[1]) <= start < int(own[2])]
        assert len(asked) == 1, place
    assert plain.data.name.startswith("xarray-")
    assert plain.values.tobytes() == truth.tobytes()


def test_equal_selections_of_equal_stores_get_equal_names(
    served: tuple[VirtualStore, Server],
) -> None:
    store, server = served
    other, access = opened(f"{server.url}/sst.json", f"{server.url}/")
    with access:

        def names(of: VirtualStore) -> list[str]:
            raw = of.tree.to_dataset()
            cut, decoded = raw.isel(time=slice(1, None)), xr.decode_cf(raw)
            pairs = [(raw, "analysed_sst"), (raw, "mask"), (cut, "analysed_sst"),
                     (decoded, "analysed_sst")]  # fmt: skip
            return [own.chunk(lat=12)[name].data.name for own, name in pairs]

        assert names(store) == names(other)
        assert len(set(names(store))) == 4


# ---------------------------------------------------------------- schedulers


@pytest.fixture(scope="module")
def work(served: tuple[VirtualStore, Server]) -> dict[str, Any]:
    """Lazy values of all sorts: packed, cut, decoded before and after they became blocks."""
    raw = served[0].tree.to_dataset()
    before = xr.decode_cf(all_in_blocks(raw, 4000))
    after = all_in_blocks(xr.decode_cf(raw), 4000)
    return {
        "packed": all_in_blocks(raw, 4000)["analysed_sst"].data,
        "cut": all_in_blocks(raw.isel(lat=slice(30, 2, -3)), 4000)["analysed_sst"].data,
        "decoded in blocks": before["analysed_sst"].data,
        "decoded, then blocks": after["analysed_sst"].data,
        "chunked by xarray": xr.decode_cf(raw)["analysed_sst"].chunk(time=2).data,
    }


@pytest.fixture(scope="module")
def expected(days: list[Path], truth: np.ndarray) -> dict[str, np.ndarray]:
    """The same by netCDF4 and numpy."""
    with netCDF4.Dataset(days[0]) as nc:
        variable = nc["analysed_sst"]
        scale, offset, fill = variable.scale_factor, variable.add_offset, variable._FillValue
    packed = np.where(truth == fill, np.nan, truth.astype("f8"))
    decoded = packed * float(scale) + float(offset)
    return {
        "packed": truth,
        "cut": truth[:, 30:2:-3],
        "decoded in blocks": decoded,
        "decoded, then blocks": decoded,
        "chunked by xarray": decoded,
    }


def check(computed: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    for name, values in expected.items():
        if values.dtype.kind == "i":
            assert computed[name].tobytes() == np.ascontiguousarray(values).tobytes(), name
        else:
            assert np.allclose(computed[name], values, rtol=1e-6, equal_nan=True), name


@pytest.mark.scale
def test_pool_of_processes_reads_the_same_bytes_as_threads(
    work: dict[str, Any], expected: dict[str, np.ndarray]
) -> None:
    (threads,) = dask.compute(work, scheduler="threads")
    check(threads, expected)
    (processes,) = dask.compute(work, scheduler="processes", num_workers=2)
    for name, values in threads.items():
        assert values.tobytes() == processes[name].tobytes(), name


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two workers in processes of their own, on loopback."""
    with local_cluster(2) as found:
        yield found


def local_cluster(workers: int, **more: Any) -> Any:
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=workers, threads_per_worker=2, processes=True, dashboard_address="127.0.0.1:0",
        host="127.0.0.1", **more,
    )  # fmt: skip


def test_cluster_of_two_processes_reads_the_same_bytes_and_no_process_opens_the_store_twice(
    work: dict[str, Any],
    expected: dict[str, np.ndarray],
    served: tuple[VirtualStore, Server],
    cluster: Any,
) -> None:
    from distributed import Client

    (threads,) = dask.compute(work, scheduler="threads")
    check(threads, expected)
    served[1].forget()
    with Client(cluster) as client:
        (computed,) = client.gather(client.compute([work]))
    for name, values in threads.items():
        assert values.tobytes() == computed[name].tobytes(), name
    assert 1 <= served[1].paths().count("/sst.json") <= 2


# ---------------------------------------------------------------- outputs by workers


def outputs(
    href: str, wanted: Request, folder: Path, address: str = "", token: str | None = None,
    **more: Any,
) -> tuple[list[Output], str]:  # fmt: skip
    """What a request is answered with, and what the service said of its traffic."""
    root = href.rpartition("/")[0]
    settings = Settings(
        trusted_prefixes=(f"{root}/",), token_hosts=(root,), dask=address, **more
    )  # fmt: skip
    with Services.of(settings, Credentials.of_token(token, settings.token_hosts)) as services:
        prepared = prepare(wanted, services, href)
        written = fulfil(prepared, folder, services)
        workers = "" if services.cluster is None else str(services.cluster.traffic)
        return written, f"{services.access.fetcher.traffic}; {workers}"


def asked(variables: tuple[str, ...] = ("analysed_sst", "mask"), **more: Any) -> Request:
    return Request((Source("C1-T", "sst", variables=variables),), **more)


BOX = BoundingBox(160.0, -40.0, -140.0, 30.0)
SHAPE = json.dumps({
    "type": "Polygon", "coordinates": [[[-20, -20], [40, -10], [30, 40], [-20, -20]]],
})  # fmt: skip
REQUESTS = {
    "whole, chunks copied": asked(),
    "mean over time": asked(bbox=BOX, average="time"),
    "inside a shape": asked(shape=SHAPE),
    "on another grid": asked(target=TargetGrid(crs="EPSG:3857")),
    "as Zarr": asked(media_type=ZARR),
}


@pytest.mark.parametrize("named", REQUESTS)
def test_workers_and_threads_write_the_same_bytes(
    named: str, cluster: Any, served: tuple[VirtualStore, Server], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    server = served[1]
    href = f"{server.url}/sst.json"
    (here,), _ = outputs(href, REQUESTS[named], tmp_path / "threads")
    server.forget()
    (there,), told = outputs(
        href, REQUESTS[named], tmp_path / "cluster", cluster.scheduler_address, token=CANARY
    )
    assert there.checksum == here.checksum
    chunks = [own for own in server.asked if own.path.endswith(".nc")]
    read = [own for own in chunks if own.headers["Authorization"] == f"Bearer {CANARY}"]
    assert len(read) == len(chunks) > 0
    local, _, workers = told.partition("; ")
    assert int(workers.split()[0]) > 0
    assert int(local.split()[0]) < int(workers.split()[0])


def chained(
    href: str, wanted: Request, folder: Path, address: str = "", **more: Any
) -> tuple[list[Output], int]:
    """What a step that plans and a work item for each Part make of a request, and how many bytes
    workers read for it."""
    root, config = href.rpartition("/")[0], harmony_config(validate=False)
    settings = Settings(trusted_prefixes=(f"{root}/",), dask=address, **more)
    written, read = [], 0
    folder.mkdir()
    (folder / "documents").mkdir()
    with Services.of(settings, Credentials.of_token(None)) as services:
        prepared = prepare(wanted, services, href, apart=True)
        catalogs = part_catalogs(
            prepared, folder / "documents", str(folder / "handed on"), config, "request"
        )
    for number, catalog in enumerate(catalogs):
        (part,) = parts_of(catalog.get_items(), folder, config)
        with Services.of(settings, Credentials.of_token(None)) as services:
            prepared = [prepare_part(part, services)]
            written += fulfil(prepared, folder / f"part {number}", services)
            read += 0 if services.cluster is None else services.cluster.traffic.nbytes
    return written, read


@pytest.mark.parametrize(
    "named",
    ["inside a shape", *(pytest.param(own, marks=pytest.mark.scale)
                         for own in ("whole, chunks copied", "on another grid", "as Zarr"))],
)  # fmt: skip
def test_parts_are_the_same_bytes_of_threads_of_workers_and_through_a_chain_with_either(
    named: str, cluster: Any, served: tuple[VirtualStore, Server], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setenv("SHARED_SECRET_KEY", SHARED_SECRET)
    href, wanted = f"{served[1].url}/sst.json", REQUESTS[named]
    more = {"part_bytes": "1kB" if named == "inside a shape" else "20kB"}
    address = cluster.scheduler_address
    here, _ = outputs(href, wanted, tmp_path / "threads", **more)
    assert len(here) > 1
    there, told = outputs(href, wanted, tmp_path / "workers", address, **more)
    assert int(told.partition("; ")[2].split()[0]) > 0
    in_steps, none = chained(href, wanted, tmp_path / "steps", **more)
    by_both, read = chained(href, wanted, tmp_path / "steps of workers", address, **more)
    assert read > none == 0
    sums = [own.checksum for own in here]
    assert len(set(sums)) == len(sums)
    for others in (there, in_steps, by_both):
        assert [own.checksum for own in others] == sums


def sent_for(own: Asked, root: Path) -> int:
    """Bytes that answer a request for part of a file, or for all of it."""
    size = (root / own.path.lstrip("/")).stat().st_size
    if "Range" not in own.headers:
        return size
    first, last = own.headers["Range"].removeprefix("bytes=").split("-")
    return min(int(last), size - 1) - int(first) + 1


@pytest.mark.parametrize("part_bytes", ["100MB", "2kB"], ids=["in one", "in strips"])
def test_workers_combine_frames_to_the_same_bytes_and_tell_what_they_read_of_all_stores(
    part_bytes: str, cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    wanted = Request((Source(FRAMES, "FRAMES", variables=("height",)),),
                     target=TargetGrid("EPSG:4326", "bilinear"))  # fmt: skip
    with published(tmp_path) as frames:

        def written(name: str, address: str = "") -> tuple[list[str], int, int]:
            settings = Settings(
                trusted_prefixes=(f"{frames.http.url}/",), cmr_endpoint=frames.cmr.url,
                spot_check="off", part_bytes=part_bytes, dask=address,
            )  # fmt: skip
            frames.http.forget()
            with Services.of(settings, Credentials.of_token(None)) as services:
                made = fulfil(prepare(wanted, services), tmp_path / name, services)
                away = 0 if services.cluster is None else services.cluster.traffic.nbytes
                here = services.access.fetcher.traffic.nbytes
                return [own.checksum for own in made], here, away

        sums, _, _ = written("threads")
        there, here, away = written("workers", cluster.scheduler_address)
        sent = sum(sent_for(own, tmp_path) for own in frames.http.asked)
    assert there == sums
    assert len(sums) == 1 if part_bytes == "100MB" else len(sums) > 3
    assert away > 0
    assert here + away == sent


def test_what_a_worker_cannot_read_is_the_same_error_and_shows_no_token(
    cluster: Any, days: list[Path], tmp_path: Path
) -> None:
    from distributed import Client

    here, gone = days[0].parent.as_uri(), days[2].name
    for path in days:
        if path.name != gone:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with file_server(tmp_path) as server:
        document = kerchunk_references(days, lambda url: url.replace(here, server.url))
        write_references(tmp_path / "sst.json", document)
        with pytest.raises(MissingSourceError, match=gone):
            outputs(
                f"{server.url}/sst.json", asked(), tmp_path / "out", cluster.scheduler_address,
                token=CANARY,
            )  # fmt: skip
    with Client(cluster) as client:
        logs = f"{client.get_worker_logs()} {client.get_scheduler_logs()}"
    assert CANARY not in logs


@pytest.mark.parametrize(
    "address",
    ["tcp://10.0.0.7:8786", "10.0.0.7:8786", "tcp://scheduler:8786",
     "tcp://127.0.0.1.example.org:8786", "tcp://user@10.0.0.7:1"],
)  # fmt: skip
def test_schedulers_that_others_could_listen_to_are_refused(address: str) -> None:
    with pytest.raises(SettingsError, match="tls:// addresses"):
        Services.of(Settings(dask=address), Credentials.of_token(CANARY))


@pytest.mark.parametrize(
    "address",
    ["tls://scheduler:8786", "tcp://127.0.0.1:8786", "127.0.0.1:8786", "tcp://[::1]:8786",
     "tcp://localhost:8786"],
)  # fmt: skip
def test_encrypted_schedulers_and_those_on_loopback_serve(address: str) -> None:
    services = Services.of(Settings(dask=address), Credentials.of_token(None))
    assert services.cluster is not None


@pytest.mark.parametrize("seconds", [0.5, 0.0])
def test_a_scheduler_that_is_not_there_may_be_there_later(seconds: float) -> None:
    cluster = Cluster.at("tcp://127.0.0.1:1", Deadline(seconds))
    assert cluster is not None
    with pytest.raises(UpstreamError, match="does not answer"):
        cluster.client()


MANY_DAYS = 240  # of 5.76 MB: 48 pieces


@pytest.fixture
def encrypted() -> Iterator[Any]:
    """Certificates for the workers, and for this process as distributed's configuration names them.

    They are made for the occasion and proven by their own authority.
    """
    from distributed.security import Security

    made = Security.temporary()
    named = {
        f"distributed.comm.tls.{key}": getattr(made, f"tls_{attribute}")
        for key, attribute in [
            ("ca-file", "ca_file"), ("client.cert", "client_cert"), ("client.key", "client_key"),
        ]
    }  # fmt: skip
    with dask.config.set(named):
        yield made


@pytest.mark.scale
def test_four_workers_behind_tls_write_the_same_bytes_though_one_of_them_is_killed(
    encrypted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import Client

    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    rows, columns = np.indices((1200, 2400))
    values = ((rows // 8) * 7 + (columns // 16) % 50).astype(np.int16)
    granule = write_granule(
        tmp_path / "0.nc", 0, nlat=1200, nlon=2400, chunks=(1200, 2400), values=values
    )
    body, killed = granule.read_bytes(), []
    workers: list[int] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path.endswith(".json"):
            return web.FileResponse(tmp_path / "sst.json")
        if workers and len(server.asked) > MANY_DAYS // 3 and not killed:
            killed.append(workers[0])
            os.kill(workers[0], signal.SIGKILL)
        return ranged(body, request)

    with (
        serve(answer) as server,
        local_cluster(4, protocol="tls://", security=encrypted) as cluster,
    ):
        url = f"{server.url}/{granule.name}"
        one = kerchunk_references([granule], rename=lambda _: url)
        write_references(tmp_path / "sst.json", repeated(one, MANY_DAYS, url))
        href, wanted = f"{server.url}/sst.json", asked(variables=("analysed_sst",))
        (here,), _ = outputs(href, wanted, tmp_path / "threads")
        assert cluster.scheduler_address.startswith("tls://")
        with Client(cluster) as client:
            workers += client.run(os.getpid).values()
        server.forget()
        (there,), _ = outputs(href, wanted, tmp_path / "cluster", cluster.scheduler_address)
    assert killed
    assert there.checksum == here.checksum
    assert len([own for own in server.asked if own.path.endswith(".nc")]) >= MANY_DAYS
    with netCDF4.Dataset(there.path) as nc:
        nc.set_auto_maskandscale(False)
        for day in (0, MANY_DAYS // 2, MANY_DAYS - 1):
            assert np.array_equal(nc["analysed_sst"][day], values)
