"""Stores that attack whoever opens them, in every form that is read.

Each holds one variable ``sst`` of eleven bytes in one chunk without any filter: who follows its
manifest has the bytes at the address, whatever they are.
"""

import gzip
import io
import json
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dmrpp
import icechunk
import pyarrow as pa
import zarr
from pyarrow import parquet

from harmony_vds.model.store import ManifestFormat, StoreLocation

LENGTH = 11
ARRAY = {"shape": [LENGTH], "chunks": [LENGTH], "dtype": "|i1", "fill_value": 0, "order": "C",
         "filters": None, "compressor": None, "zarr_format": 2}  # fmt: skip
ROOT = '{"zarr_format":2}'


def metadata(**odd: Any) -> dict[str, str]:
    """The documents of version 2."""
    return {".zgroup": ROOT, "sst/.zarray": json.dumps(ARRAY | odd),
            "sst/.zattrs": json.dumps({"_ARRAY_DIMENSIONS": ["x"]})}  # fmt: skip


def json_store(folder: Path, address: str) -> StoreLocation:
    path = folder / "refs.json"
    path.write_text(json.dumps({"version": 1, "refs": {
        **metadata(), "sst/0": [address, 0, LENGTH]}}))  # fmt: skip
    return StoreLocation(path.as_uri(), ManifestFormat.KERCHUNK_JSON)


def gzip_store(folder: Path, address: str) -> StoreLocation:
    text = Path(json_store(folder, address).href.removeprefix("file://")).read_bytes()
    (folder / "refs.json.gz").write_bytes(gzip.compress(text))
    return StoreLocation((folder / "refs.json.gz").as_uri(), ManifestFormat.KERCHUNK_JSON)


def template_store(folder: Path, address: str) -> StoreLocation:
    scheme, _, rest = address.rpartition("/")
    path = folder / "templates.json"
    path.write_text(json.dumps({"version": 1, "templates": {"u": scheme}, "refs": {
        **metadata(), "sst/0": [f"{{{{u}}}}/{rest}", 0, LENGTH]}}))  # fmt: skip
    return StoreLocation(path.as_uri(), ManifestFormat.KERCHUNK_JSON)


def parquet_store(folder: Path, address: str) -> StoreLocation:
    root = folder / "refs.parq"
    (root / "sst").mkdir(parents=True)
    documents = {key: json.loads(own) for key, own in metadata().items()}
    (root / ".zmetadata").write_text(json.dumps({"record_size": 1, "metadata": documents}))
    table = pa.table({"path": [address], "offset": [0], "size": [LENGTH],
                      "raw": pa.array([None], pa.binary())})  # fmt: skip
    sink = io.BytesIO()
    parquet.write_table(table, sink)
    (root / "sst" / "refs.0.parq").write_bytes(sink.getvalue())
    return StoreLocation(root.as_uri(), ManifestFormat.KERCHUNK_PARQUET)


def zip_store(folder: Path, address: str) -> StoreLocation:
    """References in Parquet inside a zip file."""
    import zipfile

    root = Path(parquet_store(folder, address).href.removeprefix("file://"))
    with zipfile.ZipFile(folder / "refs.zip", "w") as packed:
        for path in sorted(own for own in root.rglob("*") if own.is_file()):
            packed.write(path, path.relative_to(root).as_posix())
    return StoreLocation((folder / "refs.zip").as_uri(), ManifestFormat.ZIP)


def dmrpp_store(folder: Path, address: str) -> StoreLocation:
    chunk = (
        f'<dmrpp:chunk offset="0" nBytes="{LENGTH}" chunkPositionInArray="[0]" href="{address}"/>'
    )
    body = (
        f'<Dimension name="x" size="{LENGTH}"/><Int8 name="sst"><Dim name="/x"/>'
        f'<dmrpp:chunks fillValue="0" byteOrder="LE"><dmrpp:chunkDimensionSizes>{LENGTH}'
        f"</dmrpp:chunkDimensionSizes>{chunk}</dmrpp:chunks></Int8>"
    )
    (folder / "granule.nc.dmrpp").write_text(dmrpp.document(body))
    return StoreLocation((folder / "granule.nc.dmrpp").as_uri(), ManifestFormat.DMRPP)


def icechunk_store(folder: Path, address: str, version: int = 2) -> StoreLocation:
    """A repository whose stored configuration names a container for the address, too."""
    root = folder / "store.icechunk"
    root.mkdir()
    config = icechunk.RepositoryConfig.default()
    scheme = address.partition(":")[0]
    place: Any = icechunk.http_store()
    container = f"{address.rpartition('/')[0]}/"
    if scheme == "file":  # the folder above all, from which nothing need climb
        container = f"file://{folder.parent}/"
        place = icechunk.local_filesystem_store(str(folder.parent))
    config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(container, place))
    repository = icechunk.Repository.create(
        icechunk.local_filesystem_storage(str(root)), config=config, spec_version=version
    )
    repository.save_config()
    session = repository.writable_session("main")
    array(session.store)
    session.store.set_virtual_ref(
        "sst/c/0", address, offset=0, length=LENGTH, validate_container=False
    )
    session.commit("written for a test")
    return StoreLocation(root.as_uri(), ManifestFormat.ICECHUNK)


def array(store: Any, version: int = 3, **odd: Any) -> Any:
    """The array in a zarr store, unwritten."""
    given = {"shape": (LENGTH,), "chunks": (LENGTH,), "dtype": "i1", "fill_value": 0,
             "compressors": None, "filters": None, **odd}  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        group = zarr.open_group(store, mode="a", zarr_format=version)  # type: ignore[arg-type]
        if version == 3:
            return group.create_array("sst", dimension_names=("x",), **given)
        return group.create_array("sst", attributes={"_ARRAY_DIMENSIONS": ["x"]}, **given)


def icechunk1_store(folder: Path, address: str) -> StoreLocation:
    return icechunk_store(folder, address, 1)


MANIFESTS: dict[str, Callable[[Path, str], StoreLocation]] = {
    "kerchunk JSON": json_store,
    "kerchunk JSON, gzip": gzip_store,
    "kerchunk JSON, templates": template_store,
    "kerchunk Parquet": parquet_store,
    "kerchunk Parquet, zipped": zip_store,
    "DMR++": dmrpp_store,
    "icechunk 1": icechunk1_store,
    "icechunk 2": icechunk_store,
}
"""Every form of manifest, by its name: writes a store over one address into a folder."""


def linked_zarr(folder: Path, target: Path, version: int = 3) -> StoreLocation:
    """Native Zarr whose chunk is a symbolic link."""
    root = folder / "store.zarr"
    array(str(root), version)
    chunk = root / "sst" / ("c/0" if version == 3 else "0")
    chunk.parent.mkdir(exist_ok=True)
    chunk.symlink_to(target)
    return StoreLocation(root.as_uri(), ManifestFormat.ZARR)


def linked_icechunk(folder: Path, target: Path) -> StoreLocation:
    """A repository whose only native chunk is a symbolic link."""
    root = folder / "store.icechunk"
    root.mkdir()
    config = icechunk.RepositoryConfig.default()
    config.inline_chunk_threshold_bytes = 0
    repository = icechunk.Repository.create(
        icechunk.local_filesystem_storage(str(root)), config=config
    )
    session = repository.writable_session("main")
    array(session.store)[:] = 1
    session.commit("written for a test")
    (chunk,) = (root / "chunks").iterdir()
    chunk.unlink()
    chunk.symlink_to(target)
    return StoreLocation(root.as_uri(), ManifestFormat.ICECHUNK)


SIZE = 2**31
"""Bytes that each bomb unpacks to, from less than three megabytes."""


def _deflated(wbits: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    head = packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + block * (SIZE // 2**20) + packer.flush()


def _zstandard() -> bytes:
    """A frame that does not tell its size, of blocks that repeat one byte."""
    block = struct.pack("<I", (2**17 << 3) | 2)[:3] + b"\0"
    last = struct.pack("<I", (2**17 << 3) | 3)[:3] + b"\0"
    return b"\x28\xb5\x2f\xfd\x00\x38" + block * (SIZE // 2**17 - 1) + last


def bombs() -> dict[str, bytes]:
    """By compressor."""
    import bz2
    import lzma

    return {
        "zlib": _deflated(15),
        "gzip": _deflated(31),
        "bz2": bz2.compress(bytes(2**20)) * (SIZE // 2**20),
        "lzma": lzma.compress(bytes(2**20)) * (SIZE // 2**20),
        "zstd": _zstandard(),
        "lz4": struct.pack("<I", SIZE - 1) + bytes(50),
        "blosc": struct.pack("<BBBBIII", 2, 1, 0x33, 1, SIZE - 20, 2**20, 200) + bytes(200),
    }
