"""Full-size stand-ins for published archives: a few real granules, and manifests of real length.

Every time step has a URL of its own; the server's folder holds a link for each, to one of the few
granules. So manifests, requests and chunks have their real number and size, and every value can be
read back from the granules.
"""

import base64
import datetime as dt
import gzip
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

FORM = 1
"""Raised when stand-ins of an earlier form must be made anew."""

type Table = list[list[tuple[int, int]]]
"""Offset and length of each chunk of a step, for each granule."""


@dataclass(frozen=True)
class Field:
    """One variable of a granule: how it is stored, and how rough it is (which sets its size)."""

    name: str
    dtype: str
    fill: float
    attributes: dict[str, Any]


def _packed(units: str, scale: float, offset: float) -> dict[str, Any]:
    return {"units": units, "scale_factor": scale, "add_offset": offset}


OSTIA_FIELDS = (
    Field("analysed_sst", "<i2", -32768, _packed("kelvin", 0.01, 273.15)),
    Field("analysis_error", "<i2", -32768, _packed("kelvin", 0.01, 0.0)),
    Field("sea_ice_fraction", "|i1", -128, _packed("1", 0.01, 0.0)),
    Field("mask", "|i1", -128, {"flag_meanings": "water land", "units": "1"}),
)


@dataclass(frozen=True)
class Product:
    """One archive: regular steps in time over a fixed grid."""

    name: str
    steps: int
    step_seconds: int
    first: dt.datetime
    rows: int
    columns: int
    chunk: tuple[int, int]
    granules: int
    fields: tuple[Field, ...]
    pattern: str
    forms: tuple[str, ...] = ("kerchunk",)

    @property
    def grid(self) -> tuple[int, int]:
        """Chunks of a step along rows and columns."""
        return -(-self.rows // self.chunk[0]), -(-self.columns // self.chunk[1])

    @property
    def references(self) -> int:
        return self.steps * self.grid[0] * self.grid[1] * len(self.fields)

    def file_name(self, step: int) -> str:
        moment = self.first + dt.timedelta(seconds=step * self.step_seconds)
        return moment.strftime(self.pattern)


def _floats(count: int) -> tuple[Field, ...]:
    return tuple(Field(f"surface_{n:02d}", "<f4", -9999.0, {"units": "1"}) for n in range(count))


_DAY = 86_400
_OSTIA_NAME = "%Y%m%d120000-UKMO-L4_GHRSST-SSTfnd-OSTIA-GLOB_REP-v02.0-fv02.0.nc"


def _ostia(name: str, steps: int, cell: int) -> Product:
    return Product(
        name, steps, _DAY, dt.datetime(1982, 1, 1, 12, tzinfo=dt.UTC),
        3600 // cell, 7200 // cell, (1200 // cell, 2400 // cell), 8, OSTIA_FIELDS, _OSTIA_NAME,
        ("kerchunk", "icechunk", "parquet"),
    )  # fmt: skip


PRODUCTS = {
    "ostia": _ostia("ostia", 15_340, 1),
    "ostia-tenth": _ostia("ostia-tenth", 1_534, 1),
    "small": _ostia("small", 1_534, 10),
    "small-tenth": _ostia("small-tenth", 153, 10),
    "tiny": replace(_ostia("tiny", 16, 50), forms=("kerchunk", "icechunk", "parquet", "gzip")),
    "smap": Product(
        "smap",
        29_200,
        10_800,
        dt.datetime(2015, 3, 31, 1, 30, tzinfo=dt.UTC),
        1624,
        3856,
        (406, 964),
        2,
        _floats(10),
        "SMAP_L4_SM_gph_%Y%m%dT%H%M%S_Vv8010_001.h5",
        ("kerchunk", "parquet"),
    ),
    "opera": Product(
        "opera",
        680,
        6 * _DAY,
        dt.datetime(2016, 7, 1, tzinfo=dt.UTC),
        7700,
        9600,
        (256, 256),
        1,
        _floats(2),
        "OPERA_L3_DISP-S1_IW_F11116_VV_20160701T000000Z_%Y%m%dT%H%M%SZ_v1.0.nc",
        ("kerchunk", "gzip"),
    ),
}


@dataclass(frozen=True)
class Archive:
    """One product on disk and on the server."""

    folder: Path
    product: Product
    port: int

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def shared_granules(self) -> str:
        """The record of a tenth shares the granules of the whole one."""
        return self.product.name.removesuffix("-tenth")

    def granule(self, number: int) -> Path:
        return self.folder / "www" / f"{self.shared_granules}-{number}.nc"

    def granule_of(self, step: int) -> Path:
        return self.granule(step % self.product.granules)

    def url(self, step: int) -> str:
        return f"{self.base}{self.shared_granules}/{self.product.file_name(step)}"

    def manifest(self, form: str) -> Path:
        suffix = {"kerchunk": "json", "gzip": "zarr.json.gz"}.get(form, form)
        return self.folder / "manifests" / f"{self.product.name}.{suffix}"

    def table(self, field: str) -> Table:
        """Where the chunks of a variable lie, in each granule."""
        import h5py  # here and below: a measurement should not carry what only its judge needs

        grid, chunk = self.product.grid, self.product.chunk
        table: Table = []
        for number in range(self.product.granules):
            with h5py.File(self.granule(number)) as file:
                stored = file[field].id
                places = []
                for i, j in itertools.product(range(grid[0]), range(grid[1])):
                    info = stored.get_chunk_info_by_coord((0, i * chunk[0], j * chunk[1]))
                    places.append((info.byte_offset, info.size))
                table.append(places)
        return table

    def make(self) -> None:
        """Write whatever is not there yet."""
        (self.folder / "manifests").mkdir(parents=True, exist_ok=True)
        self._make_granules()
        self._make_links()
        for form in self.product.forms:
            path = self.manifest(form)
            note = path.with_name(f"{path.name}.made")
            wanted = f"{FORM} {self.port}"
            if not note.exists() or note.read_text() != wanted:
                shutil.rmtree(path, ignore_errors=True)
                _WRITERS[form](self, path)
                note.write_text(wanted)

    def _make_granules(self) -> None:
        missing = [
            number
            for number in range(self.product.granules)
            if not self.granule(number).exists()
        ]  # fmt: skip
        if missing:
            self.granule(0).parent.mkdir(parents=True, exist_ok=True)
            with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
                list(pool.map(_write_granule, [self] * len(missing), missing))

    def _make_links(self) -> None:
        links = self.folder / "www" / self.shared_granules
        links.mkdir(exist_ok=True)
        there = {path.name for path in links.iterdir()}
        for step in range(self.product.steps):
            name = self.product.file_name(step)
            if name not in there:
                (links / name).symlink_to(f"../{self.granule_of(step).name}")


def _write_granule(archive: Archive, number: int) -> None:
    import h5py

    product, path = archive.product, archive.granule(number)
    partial = path.with_suffix(".partial")
    with h5py.File(partial, "w") as file:
        for place, field in enumerate(product.fields):
            values = _values(product, field, seed=number * 100 + place)
            stored = file.create_dataset(
                field.name, data=values[None], chunks=(1, *product.chunk), fillvalue=field.fill,
                shuffle=np.dtype(field.dtype).itemsize > 1, compression="gzip", compression_opts=4,
            )  # fmt: skip
            stored.attrs["_FillValue"] = np.array(field.fill, field.dtype)
    partial.rename(path)


def _values(product: Product, field: Field, seed: int) -> np.ndarray:
    """One field, rough enough to deflate to about the size of the real one."""
    from world import land

    rng = np.random.default_rng(seed)
    shape = (product.rows, product.columns)
    lat = np.linspace(-90, 90, product.rows)[:, None]
    lon = np.linspace(-180, 180, product.columns)[None, :]
    smooth = np.cos(np.radians(lat)) ** 2 + 0.05 * np.sin(np.radians(6 * lon + 5 * seed))
    masked = land(*shape)
    if field.name == "mask":
        coast = rng.random(shape) < 0.005
        return np.where(masked ^ coast, 2, 1).astype(field.dtype)
    if field.name == "sea_ice_fraction":
        cover = np.clip((np.abs(lat) - 65 + 4 * smooth) * 8, 0, 100)
        values = np.where(cover > 0, np.clip(cover + rng.normal(0, 2, shape), 0, 100), 0)
    elif field.name == "analysis_error":
        values = 40 + 60 * smooth + rng.normal(0, 0.35, shape)
    elif field.name == "analysed_sst":
        values = -100 + 2900 * smooth + rng.normal(0, 6, shape)
    else:
        values = np.round((smooth + rng.normal(0, 0.01, shape)) * 4096) / 4096
    return np.where(
        masked, field.fill, np.round(values) if field.dtype != "<f4" else values
    ).astype(field.dtype)


def _coordinates(product: Product) -> dict[str, tuple[np.ndarray, dict[str, str]]]:
    lat_step, lon_step = 180 / product.rows, 360 / product.columns
    start = int((product.first - dt.datetime(1981, 1, 1, tzinfo=dt.UTC)).total_seconds())
    return {
        "time": (
            (start + product.step_seconds * np.arange(product.steps)).astype("<i4"),
            {"units": "seconds since 1981-01-01", "standard_name": "time", "axis": "T"},
        ),
        "lat": (
            (-90 + lat_step * (np.arange(product.rows) + 0.5)).astype("<f4"),
            {"units": "degrees_north", "standard_name": "latitude", "axis": "Y"},
        ),
        "lon": (
            (-180 + lon_step * (np.arange(product.columns) + 0.5)).astype("<f4"),
            {"units": "degrees_east", "standard_name": "longitude", "axis": "X"},
        ),
    }


def _filters(field: Field) -> list[dict[str, Any]]:
    size = np.dtype(field.dtype).itemsize
    return [{"id": "shuffle", "elementsize": size}] if size > 1 else []


def _zarr3_filters(field: Field) -> list[dict[str, Any]]:
    """As VirtualiZarr writes them: numcodecs names, all of them bytes to bytes."""
    steps = [*_filters(field), {"id": "zlib", "level": 4}]
    return [
        {"name": f"numcodecs.{step['id']}",
         "configuration": {key: value for key, value in step.items() if key != "id"}}
        for step in steps
    ]  # fmt: skip


def _write_json(archive: Archive, path: Path) -> None:
    """As kerchunk writes it, without loading what it would hold in memory: key by key."""
    with path.open("w") as file:
        file.write('{"version":1,"refs":{')
        entries = itertools.chain(_json_metadata(archive.product), _json_references(archive))
        file.writelines(
            f"{',' if number else ''}{entry}" for number, entry in enumerate(entries)
        )  # fmt: skip
        file.write("}}")


def _json_metadata(product: Product) -> Iterator[str]:
    def entry(key: str, value: Any) -> str:
        text = value if isinstance(value, str) else json.dumps(value)
        return f"{json.dumps(key)}:{json.dumps(text)}"

    yield entry(".zgroup", {"zarr_format": 2})
    yield entry(".zattrs", {"title": f"{product.name} stand-in", "Conventions": "CF-1.7"})
    common = {"order": "C", "zarr_format": 2}
    for name, (values, attributes) in _coordinates(product).items():
        shape = list(values.shape)
        yield entry(f"{name}/.zarray", {"shape": shape, "chunks": shape, "dtype": values.dtype.str,
                                        "fill_value": None, "filters": None, "compressor": None,
                                        **common})  # fmt: skip
        yield entry(f"{name}/.zattrs", {"_ARRAY_DIMENSIONS": [name], **attributes})
        yield entry(f"{name}/0", f"base64:{base64.b64encode(values.tobytes()).decode()}")
    for field in product.fields:
        yield entry(f"{field.name}/.zarray", {
            "shape": [product.steps, product.rows, product.columns], "chunks": [1, *product.chunk],
            "dtype": field.dtype, "fill_value": field.fill, "filters": _filters(field) or None,
            "compressor": {"id": "zlib", "level": 4}, **common})  # fmt: skip
        yield entry(f"{field.name}/.zattrs",
                    {"_ARRAY_DIMENSIONS": ["time", "lat", "lon"], **field.attributes})  # fmt: skip


def _json_references(archive: Archive) -> Iterator[str]:
    product = archive.product
    keys = [f"{i}.{j}" for i, j in itertools.product(*map(range, product.grid))]
    urls = [archive.url(step) for step in range(product.steps)]
    for field in product.fields:
        table = archive.table(field.name)
        for step, url in enumerate(urls):
            for key, (offset, length) in zip(keys, table[step % product.granules], strict=True):
                yield f'"{field.name}/{step}.{key}":["{url}",{offset},{length}]'


def _write_icechunk(archive: Archive, path: Path) -> None:
    import icechunk
    import zarr

    icechunk.set_logs_filter("error")
    product = archive.product
    path.mkdir(parents=True)
    config = icechunk.RepositoryConfig.default()
    config.set_virtual_chunk_container(
        icechunk.VirtualChunkContainer(archive.base, icechunk.http_store())
    )
    storage = icechunk.local_filesystem_storage(str(path))
    session = icechunk.Repository.create(storage, config=config).writable_session("main")
    root = zarr.create_group(session.store, attributes={"title": f"{product.name} stand-in"})
    for name, (values, attributes) in _coordinates(product).items():
        own = root.create_array(name, data=values, chunks=values.shape, dimension_names=[name])
        own.attrs.update(attributes)
    for field in product.fields:
        own = root.create_array(
            field.name, shape=(product.steps, product.rows, product.columns),
            chunks=(1, *product.chunk), dtype=field.dtype, fill_value=field.fill,
            compressors=_zarr3_filters(field),
            dimension_names=["time", "lat", "lon"],
        )  # fmt: skip
        own.attrs.update({"_FillValue": field.fill, **field.attributes})
        table = archive.table(field.name)
        places = np.array([table[step % product.granules] for step in range(product.steps)])
        urls = [archive.url(step) for step in range(product.steps)]
        session.store.set_virtual_refs_arr(
            field.name, (product.steps, *product.grid),
            [url for url in urls for _ in range(product.grid[0] * product.grid[1])],
            places[..., 0].ravel().astype(np.uint64), places[..., 1].ravel().astype(np.uint64),
        )  # fmt: skip
    session.commit("stand-in")


def _write_parquet(archive: Archive, path: Path) -> None:
    """By kerchunk, in a process of its own: it holds millions of Python objects."""
    code = (
        "import sys; from kerchunk.df import refs_to_dataframe; "
        "refs_to_dataframe(sys.argv[1], sys.argv[2], record_size=100_000)"
    )
    path.mkdir(parents=True)
    command = [sys.executable, "-W", "ignore", "-c", code, str(archive.manifest("kerchunk"))]
    subprocess.run([*command, str(path)], check=True)


def _write_gzip(archive: Archive, path: Path) -> None:
    with archive.manifest("kerchunk").open("rb") as plain, gzip.open(path, "wb", 5) as packed:
        shutil.copyfileobj(plain, packed, 2**24)


_WRITERS = {
    "kerchunk": _write_json, "icechunk": _write_icechunk, "parquet": _write_parquet,
    "gzip": _write_gzip,
}  # fmt: skip
