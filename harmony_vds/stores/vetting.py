"""What an array may claim before anything is allocated for it.

Metadata come from outside: a line of JSON can ask for a grid of 10^15 chunks, a coordinate that
xarray would load whole, or a codec that unpickles code. Such an array is refused by name; the
others of its store still work.
"""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from zarr.core.metadata import ArrayV2Metadata, ArrayV3Metadata

from harmony_vds.errors import StoreError
from harmony_vds.model.chunks import refuse_excess
from harmony_vds.stores.cuts import cut_of
from harmony_vds.stores.declared_codecs import refuse_unknown_codecs
from harmony_vds.stores.zarr import ManifestStore

type Sizes = dict[str, int]
"""Dimension → length."""

LONGEST_COORDINATE = 10_000_000
"""Entries of a coordinate that names its own dimension, which is read whole."""
LARGEST_COORDINATE = 16 * LONGEST_COORDINATE
"""Bytes of such a coordinate; its entries may be long texts."""
LARGEST_ATTRIBUTE = 2**20
"""Bytes of one attribute as JSON."""

_ILLEGAL_NAME = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_DEEPEST = 64
_MOST_NODES = 10_000
"""Groups and variables of a store; real ones have some hundreds, and each takes a millisecond."""
_MOST_GROUPS = 1_000
"""Groups among them, each of which takes several."""
_UNREADABLE = (ValueError, RecursionError)


def defect_of(
    name: str, document: Mapping[str, Any], attributes: Mapping[str, Any], zarr_format: int
) -> str | None:
    """Why the array that `document` describes cannot be opened, if it cannot.

    Parameters
    ----------
    name
        Its name, without path.
    document
        Its ``.zarray`` or ``zarr.json``; ``dimension_names`` are added to the former.
    attributes
        Its attributes.
    zarr_format
        2 or 3.

    **Reads:** nothing.
    """
    if _ILLEGAL_NAME.search(name):
        return "its name holds control characters"
    try:
        refuse_unknown_codecs(document, zarr_format)
        shape, chunks = _shapes(document, zarr_format)
        refuse_excess(shape, chunks, 1)
        refuse_large_attributes(attributes)
        dtype = _readable_type(document, zarr_format)
        refuse_excess(shape, chunks, dtype.itemsize)
        if document.get("dimension_names") == [name]:
            _refuse_long(shape, dtype)
    except StoreError as error:
        return str(error)
    return None


async def vet(manifest: ManifestStore, where: str) -> None:
    """Find the arrays of a store that cannot be opened, and hide them with their reasons.

    Parameters
    ----------
    manifest
        The store; its `defects` are added to.
    where
        Its address, for errors.

    Raises
    ------
    StoreError
        Its hierarchy is deeper or wider than any real one.

    **Reads:** metadata.
    """
    level, seen, groups = [""], 0, 0
    sizes: dict[str, Sizes] = {}
    for _ in range(_DEEPEST):
        listed = await asyncio.gather(*(manifest.children(prefix) for prefix in level))
        keys = [
            f"{prefix}/{name}".lstrip("/")
            for prefix, names in zip(level, listed, strict=True)
            for name in names
        ]
        seen += len(keys)
        if seen > _MOST_NODES:
            raise StoreError(f"{where} holds more than {_MOST_NODES:,} groups and variables.")
        are_groups = await asyncio.gather(*(_vet_node(manifest, key, sizes) for key in keys))
        level = [key for key, is_group in zip(keys, are_groups, strict=True) if is_group]
        groups += len(level)
        if groups > _MOST_GROUPS:
            raise StoreError(f"{where} holds more than {_MOST_GROUPS:,} groups.")
        if not level:
            manifest.defects.update(_misfits(sizes))
            return
    raise StoreError(f"{where} holds groups more than {_DEEPEST} levels deep.")


async def _vet_node(manifest: ManifestStore, key: str, sizes: dict[str, Sizes]) -> bool:
    """Vet the array at `key`, and note the lengths of its dimensions; True if it is a group."""
    name = key.rpartition("/")[2]
    try:
        if manifest.zarr_format == 3:
            document = _parsed(await manifest.document(f"{key}/zarr.json"))
            if document is None or document.get("node_type") != "array":
                return document is not None
            attributes = document.get("attributes") or {}
            if not isinstance(attributes, dict):
                raise ValueError("its attributes are no JSON object")
        else:
            document = _parsed(await manifest.document(f"{key}/.zarray"))
            if document is None:
                return await manifest.document(f"{key}/.zgroup") is not None
            attributes = _parsed(await manifest.document(f"{key}/.zattrs")) or {}
            document["dimension_names"] = attributes.get("_ARRAY_DIMENSIONS")
        attributes = manifest.attributes(f"/{key}", attributes)
        defect = defect_of(name, document, attributes, manifest.zarr_format)
        defect = defect or _unnamed(document, manifest.zarr_format)
    except _UNREADABLE as error:
        defect = f"its metadata cannot be read ({error})"
    else:
        if not defect:
            names = document.get("dimension_names") or ()
            sizes[f"/{key}"] = dict(zip(names, document["shape"], strict=True))
    if defect:
        manifest.defects[f"/{key}"] = defect
    return False


def _misfits(sizes: Mapping[str, Sizes]) -> dict[str, str]:
    """The arrays whose dimensions have other lengths than in the rest of their group, and why.

    The coordinate that is named like a dimension decides its length, or else the most arrays, and
    of as many for as against the first by name: documents arrive in any order, and the same store
    must give the same answer each time.
    """
    wrong = {}
    grouped: dict[str, dict[str, Sizes]] = {}
    for path in sorted(sizes):
        grouped.setdefault(path.rpartition("/")[0], {})[path] = sizes[path]
    for group, own in grouped.items():
        votes: dict[str, list[int]] = {}
        for told in own.values():
            for name, size in told.items():
                votes.setdefault(name, []).append(size)
        agreed = {
            name: own.get(f"{group}/{name}", {}).get(name, max(given, key=given.count))
            for name, given in votes.items()
        }
        for path, told in own.items():
            odd = next((name for name, size in told.items() if size != agreed[name]), None)
            if odd is not None:
                wrong[path] = (
                    f"its dimension {odd} has {told[odd]:,} entries, and that of the variables "
                    f"around it {agreed[odd]:,}"
                )
    return wrong


def _unnamed(document: Mapping[str, Any], zarr_format: int) -> str | None:
    """What is wrong with the names of an array's dimensions; xarray needs one for each.

    In version 2 also of an array that has none: their list is then empty, and not absent.
    """
    told = document.get("dimension_names")
    names = [] if zarr_format == 3 and told is None else told
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if names is None or not is_list or len(names) != len(document["shape"]):
        return (
            "its metadata do not name its dimensions (`dimension_names`, or `_ARRAY_DIMENSIONS` in "
            "version 2); the publisher can add them"
        )
    if len(set(names)) < len(names):
        return f"two of its dimensions ({', '.join(names)}) have one name"
    return None


def _parsed(body: bytes | None) -> dict[str, Any] | None:
    """A metadata document; Python writers put NaN into it, so the lenient parser reads it."""
    found = None if body is None else json.loads(body)
    if found is not None and not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    return found


def _shapes(document: Mapping[str, Any], zarr_format: int) -> tuple[list[int], list[int]]:
    shape: Any = document.get("shape")
    chunks: Any = document.get("chunks")
    if zarr_format == 3:
        chunks = list(cut_of(document.get("chunk_grid") or {}, shape)[0])
    if not _are_lengths(shape, 0) or not _are_lengths(chunks, 1) or len(shape) != len(chunks):
        raise StoreError("the shapes of it and its chunks do not fit each other")
    return shape, chunks


def _are_lengths(given: Any, least: int) -> bool:
    return (
        isinstance(given, list)
        and len(given) <= 32
        and all(type(n) is int and least <= n < 2**63 for n in given)
    )


def _refuse_long(shape: Sequence[int], dtype: np.dtype[Any]) -> None:
    if shape and shape[0] > LONGEST_COORDINATE:
        raise StoreError(
            f"it is a coordinate of {shape[0]:,} entries, more than the {LONGEST_COORDINATE:,} "
            "that are read"
        )
    nbytes = shape[0] * dtype.itemsize if shape else 0
    if nbytes > LARGEST_COORDINATE:
        raise StoreError(
            f"it is a coordinate of {nbytes:,} bytes, more than the {LARGEST_COORDINATE:,} that "
            "are read"
        )


def refuse_large_attributes(attributes: Mapping[str, Any]) -> None:
    """Raise for an attribute larger than what is carried.

    Raises
    ------
    StoreError
        There is one; the text is the end of a sentence about its variable.

    **Reads:** nothing.
    """
    for name, value in attributes.items():
        size = len(json.dumps(value, default=_as_text))
        if size > LARGEST_ATTRIBUTE:
            raise StoreError(
                f"its attribute {name[:80]} has {size:,} bytes, more than the "
                f"{LARGEST_ATTRIBUTE:,} that are carried"
            )


def _as_text(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def _readable_type(document: Mapping[str, Any], zarr_format: int) -> np.dtype[Any]:
    """The type of an array that zarr itself can make sense of; raise where it cannot."""
    plain = {key: value for key, value in document.items() if key != "attributes"}
    if zarr_format == 2:
        plain.pop("dimension_names", None)
    try:
        if zarr_format == 3:
            return np.dtype(ArrayV3Metadata.from_dict(plain).data_type.to_native_dtype())
        return np.dtype(ArrayV2Metadata.from_dict(plain).dtype.to_native_dtype())
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        told = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise StoreError(f"its metadata cannot be read ({told[:200]})") from None
