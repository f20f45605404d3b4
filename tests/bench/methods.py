"""The ways to open and read a store that are compared; each hands out packed values.

Every method gets the same store on local disk and the same granules over HTTP, decodes no scale and
no time, and uses its library as its documentation advises.
"""

import os
import tempfile
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from bench.archive import Archive, Product
from bench.work import Item, sample

RAW = {"mask_and_scale": False, "decode_times": False}

type Values = dict[str, np.ndarray]


class Method(ABC):
    """One way to open and read."""

    form = "kerchunk"
    """The manifest it opens."""
    files: int | None = None
    """Most steps it is given, where the rest is extrapolated."""

    @abstractmethod
    def imports(self) -> None:
        """Import what it needs, so that this is not counted as work."""

    @abstractmethod
    def open(self, archive: Archive) -> None: ...

    @abstractmethod
    def read(self, item: Item) -> Values: ...

    def sample(self, archive: Archive, field: str) -> float:
        step, row, column = sample(archive.product)
        one = Item("", "", (field,), range(step, step + 1), range(row, row + 1),
                   range(column, column + 1))  # fmt: skip
        return float(self.read(one)[field].item())

    def write(self, item: Item, path: Path) -> None:
        """Read and write a netCDF-4 file, packed and deflated as in the archive."""
        raise NotImplementedError

    def close(self) -> None:  # noqa: B027  most have nothing to close
        """Release what was opened."""


class _XarrayMethod(Method):
    """Through an xarray dataset, with one dask chunk for each stored chunk or without dask."""

    def __init__(self, *, dask: bool, form: str = "kerchunk") -> None:
        self.form = form
        self.chunks: dict[str, int] | None = {} if dask else None
        self.dataset: Any = None

    def imports(self) -> None:
        import xarray
        import zarr

        assert xarray
        assert zarr
        if self.chunks is not None:
            import dask.array

            assert dask.array

    def write(self, item: Item, path: Path) -> None:
        _to_netcdf(self._cut(item), path)

    def _cut(self, item: Item) -> Any:
        steps, rows, columns = item.box
        return self.dataset[list(item.fields)].isel(time=steps, lat=rows, lon=columns)

    def read(self, item: Item) -> Values:
        cut = self._cut(item)
        loaded = cut.compute() if self.chunks is not None else cut.load()
        return {name: loaded[name].to_numpy() for name in item.fields}


def _to_netcdf(dataset: Any, path: Path) -> None:
    """By netCDF4, at the level that it has by default; what was unpacked is packed again."""
    encoding = {
        name: {"zlib": True, "complevel": 4, "shuffle": True,
               "chunksizes": tuple(map(min, (1, 1200, 2400), own.shape)),
               **{key: own.encoding[key] for key in ("dtype", "_FillValue")
                  if key in own.encoding}}
        for name, own in dataset.data_vars.items()
    }  # fmt: skip
    dataset.to_netcdf(path, engine="netcdf4", encoding=encoding)


class Fsspec(_XarrayMethod):
    """fsspec's reference filesystem in a zarr FsspecStore."""

    def imports(self) -> None:
        super().imports()
        import fsspec.implementations.http
        import fsspec.implementations.reference

        assert fsspec

    def open(self, archive: Archive) -> None:
        import fsspec
        import xarray as xr
        from zarr.storage import FsspecStore

        filesystem = fsspec.filesystem(
            "reference", fo=str(archive.manifest("kerchunk")), remote_protocol="http",
            remote_options={"asynchronous": True}, asynchronous=True, skip_instance_cache=True,
        )  # fmt: skip
        store = FsspecStore(filesystem, read_only=True, path="")
        self.dataset = xr.open_dataset(
            store, engine="zarr", consolidated=False, zarr_format=2, chunks=self.chunks, **RAW
        )


class KerchunkEngine(_XarrayMethod):
    """``engine="kerchunk"``: as documented, it makes dask chunks inside the array it hands out."""

    def imports(self) -> None:
        super().imports()
        import fsspec.implementations.http
        import kerchunk.xarray_backend

        assert fsspec
        assert kerchunk

    def open(self, archive: Archive) -> None:
        import xarray as xr

        inner: dict[str, Any] = dict(RAW)
        if self.chunks is None:
            inner["chunks"] = None
        self.dataset = xr.open_dataset(
            str(archive.manifest(self.form)), engine="kerchunk",
            storage_options={"remote_protocol": "http"}, open_dataset_options=inner, **RAW,
        )  # fmt: skip


class VirtualiZarr(_XarrayMethod):
    """VirtualiZarr's kerchunk parser and its ManifestStore over obstore."""

    def imports(self) -> None:
        super().imports()
        import obspec_utils.registry
        import obstore.store
        import virtualizarr.parsers

        assert virtualizarr
        assert obstore
        assert obspec_utils

    def open(self, archive: Archive) -> None:
        import xarray as xr
        from obspec_utils.registry import ObjectStoreRegistry
        from obstore.store import HTTPStore, LocalStore
        from virtualizarr.parsers import KerchunkJSONParser

        base = archive.base.rstrip("/")
        registry = ObjectStoreRegistry({
            "file://": LocalStore(),
            base: HTTPStore.from_url(base, client_options={"allow_http": True}),
        })  # fmt: skip
        store = KerchunkJSONParser()(url=archive.manifest("kerchunk").as_uri(), registry=registry)
        self.dataset = xr.open_dataset(
            store, engine="zarr", consolidated=False, zarr_format=3, chunks=self.chunks, **RAW
        )


class Icechunk(_XarrayMethod):
    """icechunk's own store."""

    def imports(self) -> None:
        super().imports()
        import icechunk

        assert icechunk

    def open(self, archive: Archive) -> None:
        import icechunk
        import xarray as xr

        icechunk.set_logs_filter("error")
        config = icechunk.RepositoryConfig.default()
        config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(
            archive.base, icechunk.http_store(opts={"allow_http": "true"})))  # fmt: skip
        repository = icechunk.Repository.open(
            icechunk.local_filesystem_storage(str(archive.manifest("icechunk"))), config=config,
            authorize_virtual_chunk_access={archive.base: None},
        )  # fmt: skip
        self.dataset = xr.open_dataset(
            repository.readonly_session("main").store, engine="zarr", consolidated=False,
            zarr_format=3, chunks=self.chunks, **RAW,
        )  # fmt: skip


class Download(Method):
    """Whole files, four at a time, then xarray on each."""

    form = "files"
    files = 8

    def imports(self) -> None:
        import netCDF4
        import obstore.store
        import xarray

        assert xarray
        assert netCDF4
        assert obstore

    def open(self, archive: Archive) -> None:
        self.archive = archive

    def write(self, item: Item, path: Path) -> None:
        """As people do: all files as one dataset, unpacked; packed again as the files are."""
        import xarray as xr

        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            pool = ThreadPoolExecutor(4)
            files = list(pool.map(lambda step: self._fetch(step, Path(folder)), item.steps))
            with xr.open_mfdataset(
                files, engine="netcdf4", combine="nested", concat_dim="phony_dim_0"
            ) as dataset:
                names = dict(zip(dataset[item.fields[0]].dims[1:], item.box[1:], strict=True))
                _to_netcdf(dataset[list(item.fields)].isel(names), path)

    def _fetch(self, step: int, folder: Path) -> Path:
        from obstore.store import HTTPStore

        base = self.archive.base
        store = HTTPStore.from_url(base, client_options={"allow_http": True})
        target = folder / f"{step}.nc"
        with target.open("wb") as file:
            for piece in store.get(self.archive.url(step).removeprefix(base)).stream():
                file.write(piece)
        return target

    def read(self, item: Item) -> Values:
        import xarray as xr

        _, rows, columns = item.box
        cuts: list[Any] = []
        with tempfile.TemporaryDirectory(prefix="bench-") as folder, ThreadPoolExecutor(4) as pool:
            for path in pool.map(lambda step: self._fetch(step, Path(folder)), item.steps):
                with xr.open_dataset(path, engine="netcdf4", **RAW) as dataset:
                    names = dict(zip(dataset[item.fields[0]].dims[1:], (rows, columns),
                                     strict=True))  # fmt: skip
                    cuts.append(dataset[list(item.fields)].isel(names).load())
        return {name: np.concatenate([cut[name].to_numpy() for cut in cuts])
                for name in item.fields}  # fmt: skip


class Ours(Method):
    """This project: what `prepare` opens and `fulfil` reads."""

    def __init__(self, form: str, *, planned: bool) -> None:
        self.form = form
        self.reader = "planned" if planned else "zarr"

    def imports(self) -> None:
        import harmony_vds.pipeline
        from harmony_vds.memory import return_large_blocks

        assert harmony_vds.pipeline
        return_large_blocks()  # as the service and the command line do

    def open(self, archive: Archive) -> None:
        self.product = archive.product
        from harmony_vds.access.credentials import Credentials
        from harmony_vds.discovery.found import locate
        from harmony_vds.pipeline import Services
        from harmony_vds.settings import settings_from_environment
        from harmony_vds.stores.open import open_store

        os.environ["HARMONY_VDS_READER"] = self.reader
        manifest = archive.manifest(self.form).as_uri()
        os.environ["HARMONY_VDS_TRUSTED_PREFIXES"] = f"{manifest},{archive.base}"
        self.services = Services.of(settings_from_environment(), Credentials.of_token(None))
        found = locate(manifest, self.services.access)
        self.store = open_store(found.locations, found.access, self.services.reading)

    def read(self, item: Item) -> Values:
        from harmony_vds.model.blocks import blocks
        from harmony_vds.model.plan import PlannedVariable, Role
        from harmony_vds.model.subset import SubsetVariable
        from harmony_vds.outputs.pieces import read_ahead

        cut = []
        for name in item.fields:
            data = self.store.tree.to_dataset().variables[name][item.box]
            chunk_shape = self.store.chunk_index(f"/{name}").chunk_shape
            kept = [np.arange(own.start, own.stop) for own in item.box]
            planned = PlannedVariable(f"/{name}", tuple(map(str, data.dims)), Role.REQUESTED)
            pieces = blocks(kept, chunk_shape, data.dtype.itemsize)
            cut.append(SubsetVariable(planned, data, chunk_shape, pieces))
        found: Values = {}
        for number, block, values in read_ahead(cut):
            name, own = item.fields[number], cut[number]
            if values.shape == own.data.shape:
                found[name] = values  # in one piece
                continue
            found.setdefault(name, np.empty(own.data.shape, own.data.dtype))[block] = values
        return found

    def write(self, item: Item, path: Path) -> None:
        from harmony_vds.model.store import CollectionNotes
        from harmony_vds.outputs.write import write
        from harmony_vds.planning.planner import make_plan
        from harmony_vds.transform.apply import apply_plan

        request = _request(self.product, item)
        plan = make_plan(self.store, request, request.sources[0])
        subset = apply_plan(self.store, plan)
        (output,) = write(subset, plan, path.parent, CollectionNotes(), lambda _: None)
        output.path.rename(path)

    def close(self) -> None:
        self.services.__exit__(None, None, None)


def _request(product: Product, item: Item) -> Any:
    """As a user asks for an item: by degrees and instants, no edge on a centre."""
    from harmony_vds.model.extent import BoundingBox, TimeRange
    from harmony_vds.model.request import Request, Source

    cell = 180 / product.rows
    west, east = (cell * edge - 180 for edge in (item.columns.start, item.columns.stop))
    south, north = (cell * edge - 90 for edge in (item.rows.start, item.rows.stop))
    whole = (len(item.rows), len(item.columns)) == (product.rows, product.columns)
    inner = cell / 4
    box = BoundingBox(west + inner, south + inner, east - inner, north - inner)
    first, last = (product.first + step * timedelta(seconds=product.step_seconds)
                   for step in (item.steps[0], item.steps[-1]))  # fmt: skip
    source = Source("", product.name, variables=item.fields)
    return Request((source,), bbox=None if whole else box, temporal=TimeRange(first, last))


METHODS: dict[str, Method] = {
    "fsspec + dask": Fsspec(dask=True),
    "fsspec": Fsspec(dask=False),
    "engine=kerchunk": KerchunkEngine(dask=True),
    "engine=kerchunk, no dask": KerchunkEngine(dask=False),
    "virtualizarr": VirtualiZarr(dask=False),
    "engine=kerchunk, parquet": KerchunkEngine(dask=False, form="parquet"),
    "icechunk + dask": Icechunk(dask=True, form="icechunk"),
    "icechunk": Icechunk(dask=False, form="icechunk"),
    "download": Download(),
    "ours/zarr, kerchunk": Ours("kerchunk", planned=False),
    "ours/zarr, icechunk": Ours("icechunk", planned=False),
    "ours, kerchunk": Ours("kerchunk", planned=True),
    "ours, icechunk": Ours("icechunk", planned=True),
    "ours, parquet": Ours("parquet", planned=True),
    "ours, gzip": Ours("gzip", planned=True),
}
OPENED = ("engine=kerchunk", "engine=kerchunk, no dask", "fsspec", "virtualizarr", "icechunk",
          "engine=kerchunk, parquet", "ours, kerchunk", "ours, icechunk",
          "ours, parquet")  # fmt: skip
READ = ("fsspec + dask", "icechunk + dask", "icechunk", "virtualizarr", "download",
        "ours/zarr, kerchunk", "ours/zarr, icechunk",
        "ours, kerchunk", "ours, icechunk")  # fmt: skip
WRITTEN = ("fsspec + dask", "icechunk + dask", "download", "ours, kerchunk", "ours, icechunk")
