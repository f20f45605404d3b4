"""Files of kerchunk references, JSON and Parquet, with what `virtualize` must know to update them.

Each is written beside its place and then put there, so that no reader meets half of one.
"""

import base64
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harmony_vds.errors import RequestError, StoreError

_RECORD_SIZE = 100_000
"""References in one Parquet file."""
_HISTORY = "harmony_vds"
"""Under which a file keeps how it was built; other readers pass over it."""

type References = dict[str, Any]
"""Key → text, or [URL, offset, length]."""


@dataclass(eq=False)
class ReferenceFile:
    """References, and the story of how they came together."""

    refs: References
    """All of them, metadata documents included."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """What was remembered of each build and update, with its time under ``at``; the first first."""


def write_file(told: ReferenceFile, path: Path) -> None:
    """Write ``….json`` or ``….parquet``, in place of what is there.

    Raises
    ------
    RequestError
        The path names no form.

    **Reads:** nothing.
    """
    if path.suffix not in (".json", ".parquet", ".parq"):
        raise RequestError(f"{path.name} ends neither with .json nor with .parquet.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        fresh, former = Path(folder) / "fresh", Path(folder) / "former"
        if path.suffix == ".json":
            text = json.dumps({"version": 1, "refs": told.refs, _HISTORY: told.history})
            fresh.write_text(text)
        else:
            _write_parquet(told, fresh)
        if path.is_dir():  # a folder is put in the place of none but an empty one
            path.rename(former)
        fresh.replace(path)


def read_file(path: Path) -> ReferenceFile:
    """What `write_file` wrote.

    Raises
    ------
    RequestError
        There is no such file.
    StoreError
        Something else wrote it, or it is damaged.

    **Reads:** metadata.
    """
    if not path.exists():
        raise RequestError(f"There are no references at {path}; build them first.")
    try:
        if path.is_dir():
            told = json.loads((path / ".zmetadata").read_text())
            refs = _read_parquet(told["metadata"], int(told["record_size"]), path)
        else:
            told = json.loads(path.read_text())
            refs = told["refs"]
        history = told[_HISTORY]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"The references at {path} do not say how they were built ({error!r}), so that new "
            "granules could not be cut alike; build them anew."
        ) from None
    return ReferenceFile(refs, history)


def _write_parquet(told: ReferenceFile, path: Path) -> None:
    """A folder with the metadata in one file, and the references of each array in order."""
    refs = told.refs
    metadata = {key: json.loads(own) for key, own in refs.items() if _is_metadata(key)}
    path.mkdir()
    for name in _arrays(metadata):
        grid = _grid(metadata[f"{name}/.zarray"])
        count = int(np.prod(grid, dtype=np.int64))
        (path / name).mkdir(parents=True)
        for number, first in enumerate(range(0, count, _RECORD_SIZE)):
            wanted = range(first, min(first + _RECORD_SIZE, count))
            rows = [_row(refs.get(f"{name}/{_key(own, grid)}")) for own in wanted]
            _write_records(rows, path / name / f"refs.{number}.parq")
    kept = {"metadata": metadata, "record_size": _RECORD_SIZE, _HISTORY: told.history}
    (path / ".zmetadata").write_text(json.dumps(kept))


def _read_parquet(metadata: dict[str, Any], size: int, path: Path) -> References:
    """All references of a Parquet folder, keyed as those of a JSON file are."""
    from pyarrow import parquet

    refs: References = {key: json.dumps(own) for key, own in metadata.items()}
    for name in _arrays(metadata):
        grid = _grid(metadata[f"{name}/.zarray"])
        count = int(np.prod(grid, dtype=np.int64))
        for number, first in enumerate(range(0, count, size)):
            table = parquet.read_table(path / name / f"refs.{number}.parq").to_pydict()
            rows = zip(table["path"], table["offset"], table["size"], table["raw"], strict=True)
            for row, (url, offset, length, raw) in enumerate(rows):
                key = f"{name}/{_key(first + row, grid)}"
                if raw is not None:
                    refs[key] = f"base64:{base64.b64encode(raw).decode()}"
                elif url is not None:
                    refs[key] = [url, offset, length]
    return refs


def _arrays(metadata: dict[str, Any]) -> list[str]:
    return [key.removesuffix("/.zarray") for key in metadata if key.endswith("/.zarray")]


def _grid(layout: dict[str, Any]) -> list[int]:
    return [-(-size // step) for size, step in zip(layout["shape"], layout["chunks"], strict=True)]


def _key(number: int, grid: list[int]) -> str:
    return ".".join(map(str, np.unravel_index(number, grid))) or "0"


def _is_metadata(key: str) -> bool:
    return key.rpartition("/")[2] in (".zarray", ".zattrs", ".zgroup")


def _row(reference: Any) -> tuple[str | None, int, int, bytes | None]:
    if reference is None:
        return None, 0, 0, None
    if isinstance(reference, str):
        text = reference.removeprefix("base64:")
        return None, 0, 0, base64.b64decode(text) if text != reference else text.encode()
    return (*reference, None)


def _write_records(rows: list[tuple[str | None, int, int, bytes | None]], path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    types = {"path": pa.string(), "offset": pa.int64(), "size": pa.int64(), "raw": pa.binary()}
    columns = zip(*rows, strict=True) if rows else ((),) * len(types)
    arrays = [pa.array(own, kind) for own, kind in zip(columns, types.values(), strict=True)]
    parquet.write_table(pa.table(arrays, names=list(types)), path, compression="zstd")
