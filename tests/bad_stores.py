"""Stores that are wrong, each in its own way: what publishers, copies and time do to a good one.

Each is a good kerchunk document over two granules of ``world.write_days``, or an icechunk, Parquet,
DMR++ or Zarr store, with one thing changed.
"""

# ruff: noqa: E501  one case a line

import base64
import copy
import gzip
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from world import kerchunk_references, virtual_dataset, write_icechunk

type Document = dict[str, Any]
type Change = Callable[[Document], Document | str | bytes | None]
"""Changes a document in place, or gives what stands in its place."""

SST = "analysed_sst"
CHANGES: dict[str, Change] = {}


def change(name: str) -> Callable[[Change], Change]:
    def noted(function: Change) -> Change:
        CHANGES[name] = function
        return function

    return noted


def metadata(document: Document, key: str, **odd: Any) -> None:
    """Change a JSON document inside the document; None takes a member away."""
    held = json.loads(document["refs"][key]) | odd
    document["refs"][key] = json.dumps({k: v for k, v in held.items() if v is not ...})


def values(document: Document, name: str, array: np.ndarray) -> None:
    """Give a coordinate other values, held by the document itself."""
    for key in [own for own in document["refs"] if own.startswith(f"{name}/") and "/." not in own]:
        del document["refs"][key]
    metadata(document, f"{name}/.zarray", shape=list(array.shape), chunks=list(array.shape),
             dtype=array.dtype.str, filters=None, compressor=None)  # fmt: skip
    sealed = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    document["refs"][f"{name}/" + ".".join("0" * array.ndim)] = f"base64:{sealed}"


def first_chunk(document: Document) -> list[Any]:
    return document["refs"][f"{SST}/0.0.0"]


# -- the document itself --------------------------------------------------------------------------


def whole(text: Callable[[str], str | bytes]) -> Change:
    return lambda document: text(json.dumps(document))


CHANGES |= {
    "empty file": whole(lambda _: ""),
    "truncated JSON": whole(lambda text: text[: len(text) // 2]),
    "a login page": whole(lambda _: "<!DOCTYPE html><html><body>Earthdata Login</body></html>"),
    "a list": whole(lambda _: "[1, 2, 3]"),
    "no refs": whole(lambda _: '{"version": 1}'),
    "refs that are a list": whole(lambda _: '{"version": 1, "refs": []}'),
    "empty refs": whole(lambda _: '{"version": 1, "refs": {}}'),
    "another version": lambda d: d.update(version=7),
    "gen": lambda d: d.update(gen=[{"key": "x", "url": "y", "dimensions": {"i": {"stop": 9}}}]),
    "bytes that are no text": whole(lambda text: text.encode()[:900] + b"\xff\xfe" + text.encode()[900:]),
    "very deep JSON": whole(lambda _: '{"version":1,"refs":{".zgroup":' + "[" * 5000 + "]" * 5000 + "}}"),
    "gzip cut short": whole(lambda text: gzip.compress(text.encode())[:-40]),
    "template that is not defined": lambda d: first_chunk(d).__setitem__(0, "{{nowhere}}/x.nc"),
    "template with a program": lambda d: d.update(templates={"u": "{% for x in y %}"}) or first_chunk(d).__setitem__(0, "{{u}}/x.nc"),
}  # fmt: skip


# -- arrays ---------------------------------------------------------------------------------------

CHANGES |= {
    "metadata that is no JSON": lambda d: d["refs"].__setitem__(f"{SST}/.zarray", "{nothing"),
    "no shape": lambda d: metadata(d, f"{SST}/.zarray", shape=...),
    "negative shape": lambda d: metadata(d, f"{SST}/.zarray", shape=[2, -36, 72]),
    "shape of other rank than chunks": lambda d: metadata(d, f"{SST}/.zarray", shape=[2, 36]),
    "chunk of no length": lambda d: metadata(d, f"{SST}/.zarray", chunks=[1, 0, 24]),
    "unknown type": lambda d: metadata(d, f"{SST}/.zarray", dtype="<q9"),
    "object type": lambda d: metadata(d, f"{SST}/.zarray", dtype="|O", filters=[{"id": "pickle"}]),
    "wider type than stored": lambda d: metadata(d, f"{SST}/.zarray", dtype="<i4"),
    "narrower type than stored": lambda d: metadata(d, f"{SST}/.zarray", dtype="|i1", fill_value=None),
    "unknown filter": lambda d: metadata(d, f"{SST}/.zarray", filters=[{"id": "rot13"}]),
    "filter without a name": lambda d: metadata(d, f"{SST}/.zarray", filters=[{"level": 4}]),
    "filters left out": lambda d: metadata(d, f"{SST}/.zarray", filters=None),
    "compressor twice": lambda d: metadata(d, f"{SST}/.zarray", compressor={"id": "zlib", "level": 4}),
    "fill value of another type": lambda d: metadata(d, f"{SST}/.zarray", fill_value="blue"),
    "fill value out of range": lambda d: metadata(d, f"{SST}/.zarray", fill_value=99999),
    "impossibly many chunks": lambda d: metadata(d, f"{SST}/.zarray", shape=[2**30, 36, 72]),
    "impossibly large chunk": lambda d: metadata(d, f"{SST}/.zarray", chunks=[2**20, 2**12, 2**12], shape=[2**20, 2**12, 2**12]),
    "shuffled by no bytes": lambda d: metadata(d, f"{SST}/.zarray", filters=[{"id": "shuffle", "elementsize": 0}, {"id": "zlib"}]),
    "unpacked by a scale of nothing": lambda d: metadata(d, f"{SST}/.zarray", filters=[{"id": "fixedscaleoffset", "scale": 0, "offset": 0, "dtype": "<f8"}]),
    "filters without end": lambda d: metadata(d, f"{SST}/.zarray", filters=[{"id": "zlib"}] * 5000),
    "type of half precision": lambda d: metadata(d, f"{SST}/.zarray", dtype="<f2", fill_value=None),
    "fields in a field": lambda d: metadata(d, f"{SST}/.zarray", dtype=[["a", [["b", "|i1"], ["c", "|i1"]]]], fill_value=None),
    "order of Fortran": lambda d: metadata(d, f"{SST}/.zarray", order="F"),
    "order that is none": lambda d: metadata(d, f"{SST}/.zarray", order="Z"),
    "zarr 3 inside zarr 2": lambda d: metadata(d, f"{SST}/.zarray", zarr_format=3),
    "zarr 9": lambda d: metadata(d, ".zgroup", zarr_format=9),
    "dimension without end": lambda d: metadata(d, "time/.zarray", shape=[300_000_000]),
    "no names of dimensions": lambda d: metadata(d, f"{SST}/.zattrs", _ARRAY_DIMENSIONS=...),
    "too few names of dimensions": lambda d: metadata(d, f"{SST}/.zattrs", _ARRAY_DIMENSIONS=["time", "lat"]),
    "one name for two dimensions": lambda d: metadata(d, f"{SST}/.zattrs", _ARRAY_DIMENSIONS=["time", "lat", "lat"]),
    "dimensions of another length": lambda d: metadata(d, f"{SST}/.zarray", shape=[2, 35, 72]),
}  # fmt: skip


# -- references -----------------------------------------------------------------------------------


def moved(**odd: Any) -> Change:
    def changed(document: Document) -> None:
        reference = first_chunk(document)
        for place, value in odd.items():
            reference[{"url": 0, "offset": 1, "length": 2}[place]] = value

    return changed


def texts_without_end(document: Document) -> None:
    odd = {"dtype": "|O", "filters": [{"id": "vlen-utf8"}], "compressor": None, "fill_value": None}
    metadata(document, f"{SST}/.zarray", **odd)
    document["refs"][f"{SST}/0.0.0"] = "base64:////fwAAAAA="


CHANGES |= {
    "texts without end": texts_without_end,
    "negative offset": moved(offset=-5),
    "offset past the end": moved(offset=10**9),
    "offset beyond 64 bits": moved(offset=2**70),
    "offset of text": moved(offset="many"),
    "offset that is true": moved(offset=True),
    "address without end": moved(url="https://example.com/" + "x" * 10_000_000),
    "template without end": lambda d: d.update(templates={"u": "x" * 10_000_000}) or first_chunk(d).__setitem__(0, "{{u}}"),
    "length of nothing": moved(length=0),
    "negative length": moved(length=-276),
    "length past the end": moved(length=10**9),
    "fractional offset": moved(offset=6506.5),
    "reference to another chunk": lambda d: d["refs"].__setitem__(f"{SST}/0.0.0", d["refs"]["lat/0"]),
    "reference one byte off": lambda d: first_chunk(d).__setitem__(1, first_chunk(d)[1] + 1),
    "file that is gone": lambda d: first_chunk(d).__setitem__(0, first_chunk(d)[0] + ".gone"),
    "address without scheme": moved(url="/etc/hostname"),
    "address of this machine": moved(url="http://127.0.0.1:9/x"),
    "address of nothing": moved(url=""),
    "address that is a number": moved(url=17),
    "reference of two parts": lambda d: d["refs"].__setitem__(f"{SST}/0.0.0", first_chunk(d)[:2]),
    "whole file as a chunk": lambda d: d["refs"].__setitem__(f"{SST}/0.0.0", first_chunk(d)[:1]),
    "inline that is no base64": lambda d: d["refs"].__setitem__(f"{SST}/0.0.0", "base64:@@@"),
    "inline too short": lambda d: d["refs"].__setitem__(f"{SST}/0.0.0", "base64:eF5jYg=="),
    "bomb": lambda d: d["refs"].__setitem__(f"{SST}/0.0.0", "base64:" + base64.b64encode(__import__("zlib").compress(bytes(10**7))).decode()),
    "chunk missing": lambda d: d["refs"].__delitem__(f"{SST}/0.0.0"),
    "chunk numbers out of the grid": lambda d: d["refs"].__setitem__(f"{SST}/9.9.9", first_chunk(d)),
    "chunk numbers of another rank": lambda d: d["refs"].__setitem__(f"{SST}/0.0", first_chunk(d)),
    "chunk that is called by a word": lambda d: d["refs"].__setitem__(f"{SST}/first", first_chunk(d)),
    "overlapping references": lambda d: d["refs"].__setitem__(f"{SST}/0.0.1", first_chunk(d)),
}  # fmt: skip


# -- coordinates ----------------------------------------------------------------------------------

LAT = (np.arange(36) * 5 - 87.5).astype("f4")
LON = (np.arange(72) * 5 - 177.5).astype("f4")


def blanked(array: np.ndarray, at: int, value: float = np.nan) -> np.ndarray:
    odd = array.copy()
    odd[at] = value
    return odd


CHANGES |= {
    "latitudes missing": lambda d: [d["refs"].pop(k) for k in list(d["refs"]) if k.startswith("lat/")] and None,
    "latitudes without chunk": lambda d: d["refs"].__delitem__("lat/0"),
    "latitudes not a number": lambda d: values(d, "lat", blanked(LAT, 7)),
    "latitudes past the pole": lambda d: values(d, "lat", LAT * 2),
    "latitudes in no order": lambda d: values(d, "lat", np.random.default_rng(1).permutation(LAT)),
    "latitudes twice": lambda d: values(d, "lat", blanked(LAT, 20, LAT[19])),
    "longitudes not a number": lambda d: values(d, "lon", blanked(LON, 7)),
    "longitudes in no order": lambda d: values(d, "lon", np.random.default_rng(1).permutation(LON)),
    "longitudes infinite": lambda d: values(d, "lon", blanked(LON, 3, np.inf)),
    "longitudes beyond all turns": lambda d: values(d, "lon", LON * 1e30),
    "longitudes scaled by words": lambda d: metadata(d, "lon/.zattrs", scale_factor="twice"),
    "latitudes as text": lambda d: values(d, "lat", LAT.astype("S6")),
    "times out of order": lambda d: values(d, "time", np.array([1357041600 + 86400, 1357041600], "i8")),
    "times twice": lambda d: values(d, "time", np.array([1357041600, 1357041600], "i8")),
    "times without units": lambda d: metadata(d, "time/.zattrs", units=...),
    "times in units of nothing": lambda d: metadata(d, "time/.zattrs", units="fortnights since the flood"),
    "times of an unknown calendar": lambda d: metadata(d, "time/.zattrs", calendar="mayan"),
    "times of a year without days": lambda d: metadata(d, "time/.zattrs", units="hours since 0000-00-00"),
    "times not a number": lambda d: values(d, "time", np.array([1357041600.0, np.nan])),
    "times before all years": lambda d: values(d, "time", np.array([-1e12, -1e11])),
    "times not finite": lambda d: values(d, "time", np.array([1357041600.0, np.inf])),
    "times beyond all dates": lambda d: values(d, "time", np.array([1.0e30, 2.0e30])),
    "scale factor of text": lambda d: metadata(d, f"{SST}/.zattrs", scale_factor="0.01"),
    "fill value that is a list": lambda d: metadata(d, f"{SST}/.zattrs", _FillValue=[1, 2, 3]),
    "fill value beyond its type": lambda d: metadata(d, f"{SST}/.zattrs", _FillValue=1e30),
    "missing values in uneven lists": lambda d: metadata(d, f"{SST}/.zattrs", missing_value=[[1], [2, 3]]),
    "offset of a list": lambda d: metadata(d, f"{SST}/.zattrs", add_offset=[1], _FillValue=0.5),
    "attributes that are null": lambda d: d["refs"].__setitem__("mask/.zattrs", "null"),
    "scale factor of nothing": lambda d: metadata(d, f"{SST}/.zattrs", scale_factor=0),
    "grid mapping that is not there": lambda d: metadata(d, f"{SST}/.zattrs", grid_mapping="nowhere"),
    "coordinates that are not there": lambda d: metadata(d, f"{SST}/.zattrs", coordinates="here there"),
    "groups without end": lambda d: d["refs"].update({f"g{n}/.zgroup": d["refs"][".zgroup"] for n in range(1001)}),
    "variables without end": lambda d: d["refs"].update({f"g{n}/.zgroup": d["refs"][".zgroup"] for n in range(10_001)}),
    "attribute that is a mountain": lambda d: metadata(d, f"{SST}/.zattrs", comment="x" * 20_000_000),
    "variable named by a path upward": lambda d: [d["refs"].__setitem__(k.replace("mask/", "../mask/"), d["refs"].pop(k)) for k in list(d["refs"]) if k.startswith("mask/")] and None,
}  # fmt: skip


def write_bad_store(folder: Path, name: str, document: Document) -> Path:
    """The store of `document` with the change that is called `name`."""
    changed = copy.deepcopy(document)
    instead = CHANGES[name](changed)
    path = folder / "sst.json"
    if isinstance(instead, bytes):
        path.write_bytes(instead)
    else:
        path.write_text(instead if isinstance(instead, str) else json.dumps(changed))
    return path


# -- stores of other kinds ------------------------------------------------------------------------

type Builder = Callable[[Path, Path], Path]
"""Builds a bad store in a folder, over granules in another one; gives its path."""
BUILDERS: dict[str, Builder] = {}


def builder(name: str) -> Callable[[Builder], Builder]:
    def noted(function: Builder) -> Builder:
        BUILDERS[name] = function
        return function

    return noted


def _icechunk(folder: Path, granules: list[Path], **more: Any) -> Path:
    place = folder / "sst.icechunk"
    container = more.pop("container", f"{granules[0].parent.as_uri()}/")
    write_icechunk(place, {None: virtual_dataset(granules)}, container=container, **more)
    return place


def _copies(folder: Path, granules: Path) -> list[Path]:
    """Granules of the store's own, which may be harmed."""
    (folder / "granules").mkdir()
    return [Path(shutil.copy2(own, folder / "granules")) for own in sorted(granules.glob("*.nc"))]


@builder("icechunk without its snapshots")
def _without_snapshots(folder: Path, granules: Path) -> Path:
    place = _icechunk(folder, sorted(granules.glob("*.nc")))
    for own in (place / "snapshots").iterdir():
        own.unlink()
    return place


@builder("icechunk without its manifests")
def _without_manifests(folder: Path, granules: Path) -> Path:
    place = _icechunk(folder, sorted(granules.glob("*.nc")))
    for own in (place / "manifests").iterdir():
        own.unlink()
    return place


@builder("icechunk whose snapshot is damaged")
def _damaged_snapshot(folder: Path, granules: Path) -> Path:
    place = _icechunk(folder, sorted(granules.glob("*.nc")))
    for own in (place / "snapshots").iterdir():
        own.write_bytes(own.read_bytes()[:40] + bytes(60))
    return place


@builder("icechunk whose snapshot is cut short")
def _short_snapshot(folder: Path, granules: Path) -> Path:
    place = _icechunk(folder, sorted(granules.glob("*.nc")))
    for own in (place / "snapshots").iterdir():
        own.write_bytes(own.read_bytes()[:-1])
    return place


@builder("icechunk whose branch is gone")
def _without_branch(folder: Path, granules: Path) -> Path:
    place = _icechunk(folder, sorted(granules.glob("*.nc")), specification=1)
    shutil.rmtree(place / "refs" / "branch.main")
    return place


@builder("icechunk whose container does not cover its references")
def _uncovered(folder: Path, granules: Path) -> Path:
    elsewhere = f"{(folder / 'elsewhere').as_uri()}/"
    return _icechunk(folder, sorted(granules.glob("*.nc")), container=elsewhere, covered=False)


@builder("icechunk whose source has moved")
def _moved_source(folder: Path, granules: Path) -> Path:
    own = _copies(folder, granules)
    place = _icechunk(folder, own)
    own[0].rename(own[0].with_suffix(".moved"))
    return place


@builder("icechunk whose source was written anew")
def _new_source(folder: Path, granules: Path) -> Path:
    import os
    import time

    own = _copies(folder, granules)
    place = _icechunk(folder, own)
    later = time.time() + 60
    os.utime(own[0], (later, later))
    return place


@builder("Parquet without its records")
def _without_records(folder: Path, granules: Path) -> Path:
    place = _parquet(folder, granules)
    shutil.rmtree(place / SST)
    return place


@builder("Parquet whose records lack a column")
def _without_column(folder: Path, granules: Path) -> Path:
    import pyarrow.parquet as pq

    place = _parquet(folder, granules)
    for own in (place / SST).glob("*.parq"):
        pq.write_table(pq.read_table(own).drop_columns(["offset"]), own)
    return place


@builder("Parquet whose records are longer than it says")
def _long_records(folder: Path, granules: Path) -> Path:
    place = _parquet(folder, granules)
    told = json.loads((place / ".zmetadata").read_text()) | {"record_size": 9}
    (place / ".zmetadata").write_text(json.dumps(told))
    return place


@builder("Parquet whose paths are lists")
def _listed_paths(folder: Path, granules: Path) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    place = _parquet(folder, granules)
    for own in (place / SST).glob("*.parq"):
        told = pq.read_table(own)
        pq.write_table(told.set_column(0, "path", pa.array([["x"]] * told.num_rows)), own)
    return place


@builder("Parquet whose metadata are a list")
def _listed_metadata(folder: Path, granules: Path) -> Path:
    place = _parquet(folder, granules)
    (place / ".zmetadata").write_text('{"metadata": [], "record_size": 10}')
    return place


@builder("Parquet whose records are no Parquet")
def _no_parquet(folder: Path, granules: Path) -> Path:
    place = _parquet(folder, granules)
    for own in (place / SST).glob("*.parq"):
        own.write_bytes(b"PAR1 and nothing more")
    return place


@builder("Parquet without metadata")
def _without_metadata(folder: Path, granules: Path) -> Path:
    place = _parquet(folder, granules)
    (place / ".zmetadata").write_text('{"metadata": {}, "record_size": 10}')
    return place


@builder("Parquet whose records have no size")
def _no_record_size(folder: Path, granules: Path) -> Path:
    place = _parquet(folder, granules)
    told = json.loads((place / ".zmetadata").read_text()) | {"record_size": 0}
    (place / ".zmetadata").write_text(json.dumps(told))
    return place


def _parquet(folder: Path, granules: Path) -> Path:
    from kerchunk.df import refs_to_dataframe

    place = folder / "sst.parq"
    place.mkdir()
    document = kerchunk_references(sorted(granules.glob("*.nc")), inline=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refs_to_dataframe(document, str(place), record_size=10)
    return place


@builder("DMR++ that is no XML")
def _no_xml(folder: Path, granules: Path) -> Path:
    return _dmrpp(folder, granules, lambda text: text[: len(text) // 2])


@builder("DMR++ with an entity")
def _entity(folder: Path, granules: Path) -> Path:
    declared = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]>\n'
    return _dmrpp(folder, granules, lambda text: text.replace("<Dataset", f"{declared}<Dataset", 1))


@builder("DMR++ whose chunks lie at no number")
def _odd_offsets(folder: Path, granules: Path) -> Path:
    return _dmrpp(folder, granules, lambda text: text.replace('offset="', 'offset="x'))


@builder("DMR++ whose chunk sizes are of another rank")
def _odd_rank(folder: Path, granules: Path) -> Path:
    import re

    sizes = re.compile(r"<(\w*:?)chunkDimensionSizes>[^<]*<")
    return _dmrpp(folder, granules, lambda text: sizes.sub(r"<\1chunkDimensionSizes>7<", text))


@builder("DMR++ whose chunks share their places")
def _shared_places(folder: Path, granules: Path) -> Path:
    def harm(text: str) -> str:
        return text.replace('"[0,0,0]"', '"[0,0]"').replace('"[0,0,24]"', '"[0,0,0,24]"')

    return _dmrpp(folder, granules, harm)


def _dmrpp(folder: Path, granules: Path, harm: Callable[[str], str]) -> Path:
    from dmrpp import write_dmrpp

    granule = _copies(folder, granules)[0]
    path = write_dmrpp(granule, granule.with_name(f"{granule.name}.dmrpp"))
    path.write_text(harm(path.read_text()))
    return path


@builder("Zarr without an array's metadata")
def _half_zarr(folder: Path, granules: Path) -> Path:
    place = _zarr(folder, 3)
    (place / SST / "zarr.json").write_text("{}")
    (place / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    return place


def _odd_array(**odd: Any) -> Builder:
    def build(folder: Path, granules: Path) -> Path:
        place = _zarr(folder, 3)
        (place / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
        own = place / SST / "zarr.json"
        own.write_text(json.dumps(json.loads(own.read_text()) | odd))
        return place

    return build


BUILDERS |= {
    "Zarr whose chunk grid is a number": _odd_array(chunk_grid=5),
    "Zarr whose chunk grid is set by a list": _odd_array(chunk_grid={"name": "regular", "configuration": [1]}),
    "Zarr whose chunks vary by words": _odd_array(chunk_grid={"name": "rectilinear", "configuration": {"chunk_shapes": ["a", "b", "c"]}}),
    "Zarr whose codec is a word": _odd_array(codecs=["bytes"]),
    "Zarr whose shards are set by a list": _odd_array(codecs=[{"name": "sharding_indexed", "configuration": [1]}]),
    "Zarr whose shards hold codecs by a word": _odd_array(codecs=[{"name": "sharding_indexed", "configuration": {"codecs": "bytes"}}]),
    "Zarr whose attributes are a list": _odd_array(attributes=[1]),
    "Zarr behind a transformer": _odd_array(storage_transformers=[{"name": "turned around"}]),
}  # fmt: skip


@builder("Zarr with a damaged chunk")
def _damaged_chunk(folder: Path, granules: Path) -> Path:
    place = _zarr(folder, 2)
    chunk = place / SST / "0.0.0"
    chunk.write_bytes(chunk.read_bytes()[::-1])
    return place


@builder("Zarr with a Blosc chunk cut short")
def _short_blosc(folder: Path, granules: Path) -> Path:
    from numcodecs import Blosc

    place = _zarr(folder, 2, compressors=Blosc("lz4"))
    chunk = place / SST / "0.0.0"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    return place


@builder("Zarr with less than a checksum")
def _no_checksum(folder: Path, granules: Path) -> Path:
    from numcodecs import Fletcher32

    place = _zarr(folder, 2, compressors=None, filters=[Fletcher32()])
    (place / SST / "0.0.0").write_bytes(b"x")
    return place


@builder("Zarr of texts without end")
def _endless_texts(folder: Path, granules: Path) -> Path:
    import zarr

    place = _zarr(folder, 3)
    shutil.rmtree(place / SST)
    made = zarr.open_group(place, mode="a", use_consolidated=False).create_array(
        SST, shape=(2, 36, 72), chunks=(1, 12, 24), dtype=str, compressors=None,
        dimension_names=["time", "lat", "lon"],
    )  # fmt: skip
    made[0, :12, :24] = "x"
    chunk = place / SST / "c" / "0" / "0" / "0"
    chunk.write_bytes(b"\xff\xff\xff\x7f" + chunk.read_bytes()[4:])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(place)
    return place


@builder("Zarr shard whose index is damaged")
def _damaged_shard(folder: Path, granules: Path) -> Path:
    place = _zarr(folder, 3, shards=(2, 36, 72))
    shard = place / SST / "c" / "0" / "0" / "0"
    shard.write_bytes(shard.read_bytes()[:-8] + bytes(8))
    return place


def _zarr(folder: Path, version: int, **more: Any) -> Path:
    import zarr

    place = folder / "sst.zarr"
    root = zarr.open_group(place, mode="w", zarr_format=version)
    axes = {"time": np.array([1357041600, 1357128000]), "lat": LAT, "lon": LON}
    units = {"time": "seconds since 1981-01-01", "lat": "degrees_north", "lon": "degrees_east"}
    for name, own in {**axes, SST: np.ones((2, 36, 72), "i2")}.items():
        names = [name] if name in axes else list(axes)
        chunks = own.shape if name in axes else (1, 12, 24)
        extra = more if name == SST else {}
        told = {"dimension_names": names} if version == 3 else {}
        made = root.create_array(
            name, shape=own.shape, chunks=chunks, dtype=own.dtype, **told, **extra
        )
        made[...] = own
        made.attrs.update({"units": units[name]} if name in axes else {})
        if version == 2:
            made.attrs["_ARRAY_DIMENSIONS"] = names
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(place)
    return place


@builder("zip file cut short")
def _short_zip(folder: Path, granules: Path) -> Path:
    packed = shutil.make_archive(str(folder / "sst.zarr"), "zip", _zarr(folder, 2))
    Path(packed).write_bytes(Path(packed).read_bytes()[:-30])
    return Path(packed)
