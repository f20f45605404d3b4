"""Builds an icechunk store from granule files, and refuses what would come out silently wrong."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import icechunk
import numpy as np
import virtualizarr.accessor  # noqa: F401  gives datasets their .vz
import xarray as xr

from harmony_vds.building.granules import VirtualGranule, read_granule, stored_values
from harmony_vds.errors import RequestError, StoreError

# Attributes that decide what stored numbers mean: one array can have only one set of them.
_MEANING = ("scale_factor", "add_offset", "_FillValue", "missing_value", "units", "calendar")

type Tell = Callable[[int, int], None]
"""Called with (granules read, granules in all)."""


def virtualize(
    files: Sequence[Path],
    store: Path,
    *,
    dimension: str | None = None,
    source_prefix: str | None = None,
    tell: Tell | None = None,
) -> str:
    """Write an icechunk repository that presents `files` as one dataset.

    Parameters
    ----------
    files
        Granules, in the order in which they are joined.
    store
        Folder of the new repository.
    dimension
        The dimension along which granules are joined; found by its time coordinate if not given.
    source_prefix
        URL prefix under which the files' folder is published; references then point there.
    tell
        Told how many granules were read.

    Returns
    -------
    str
        Id of the snapshot.

    Raises
    ------
    RequestError
        A file is missing, the store exists, or the dimension cannot be told.
    StoreError
        The granules cannot be described by references, or joining them would give wrong values.

    **Reads:** metadata and coordinates of the granules.
    """
    if not files:
        raise RequestError("There are no files to virtualise; name at least one.")
    if store.exists() and any(store.iterdir()):
        raise RequestError(f"{store} exists and is not empty; choose another place for the store.")
    granules = []
    for number, path in enumerate(files, start=1):
        granules.append(read_granule(path))
        if tell is not None:
            tell(number, len(files))
    joined = join(granules, dimension)
    folder = _common_folder(granules)
    renamed = _renamed(folder, source_prefix)
    session = _new_repository(store, source_prefix or f"{folder.as_uri()}/")
    for group, dataset in joined.items():
        _sanitised(dataset).vz.rename_paths(renamed).vz.to_icechunk(
            session.store, group=None if group == "/" else group
        )
    snapshot: str = session.commit(f"{len(files)} granules")
    return snapshot


def join(granules: Sequence[VirtualGranule], dimension: str | None) -> dict[str, xr.Dataset]:
    """The granules as one virtual dataset per group. **Reads:** nothing."""
    first = granules[0].groups
    if len(granules) == 1:
        return first
    along = dimension or _joining_dimension(first)
    joined = {}
    for group, dataset in first.items():
        parts = [own.groups[group] for own in granules if group in own.groups]
        if len(parts) != len(granules):
            raise StoreError(f"The group {group} is not in every granule; they cannot be joined.")
        for granule, part in zip(granules[1:], parts[1:], strict=True):
            _refuse_difference(dataset, part, granule.path.name)
            _refuse_other_constants(granules[0], granule, group, along)
        joined[group] = _concatenated(parts, along) if along in dataset.dims else dataset
    return joined


def _joining_dimension(groups: dict[str, xr.Dataset]) -> str:
    for dataset in groups.values():
        for variable in dataset.variables.values():
            if variable.ndim == 1 and " since " in str(variable.attrs.get("units", "")):
                return str(variable.dims[0])
    raise RequestError(
        "The granules have no time coordinate along a dimension; name the dimension to join them "
        "along with --dimension."
    )


def _refuse_difference(first: xr.Dataset, other: xr.Dataset, name: str) -> None:
    """Raise where one array cannot stand for both granules without changing values."""
    if set(first.variables) != set(other.variables):
        odd = sorted(map(str, set(first.variables) ^ set(other.variables)))
        raise StoreError(
            f"{name} differs from the first granule in its variables: {', '.join(odd)}."
        )
    for key, variable in first.variables.items():
        twin = other.variables[key]
        for attribute in _MEANING:
            ours, theirs = variable.attrs.get(attribute), twin.attrs.get(attribute)
            if not _same(ours, theirs):
                raise StoreError(
                    f"{name} gives {key} {attribute}={theirs!r} where the first granule has "
                    f"{ours!r}; joined, its values would be read wrongly."
                )


def _refuse_other_constants(
    first: VirtualGranule, other: VirtualGranule, group: str, along: str
) -> None:
    """Raise where a variable that is stored once for all granules differs between two of them."""
    for key, variable in first.groups[group].variables.items():
        if along in variable.dims or "grid_mapping_name" in variable.attrs:
            continue
        ours, theirs = (stored_values(own.path, group, str(key)) for own in (first, other))
        if ours.shape != theirs.shape:
            size, first_size = (" x ".join(map(str, own.shape)) for own in (theirs, ours))
            raise StoreError(
                f"{other.path.name} is not of the first granule's size: its {key} has {size} "
                f"values instead of {first_size}; granules may differ in size along {along} only."
            )
        if ours.tobytes() != theirs.tobytes():
            raise StoreError(
                f"{other.path.name} holds other values of {key} than the first granule, and {key} "
                f"does not run along {along}; joined, only one of them could be kept."
            )


def _same(ours: Any, theirs: Any) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    try:
        return bool(np.array_equal(ours, theirs, equal_nan=True))
    except TypeError:
        return bool(np.array_equal(ours, theirs))


def _concatenated(parts: list[xr.Dataset], along: str) -> xr.Dataset:
    try:
        return xr.concat(
            parts, dim=along, data_vars="minimal", coords="minimal", compat="override",
            join="override", combine_attrs="drop_conflicts",
        )  # fmt: skip
    except (ValueError, NotImplementedError) as error:
        raise StoreError(f"The granules cannot be joined along {along}: {error}") from None


def _sanitised(dataset: xr.Dataset) -> xr.Dataset:
    """`dataset` without what icechunk's JSON cannot hold: attributes that are NaN or infinite."""

    def kept(attributes: dict[Any, Any]) -> dict[Any, Any]:
        return {k: v for k, v in attributes.items() if k == "_FillValue" or _is_json(v)}

    clean = dataset.copy()
    clean.attrs = kept(dataset.attrs)
    for variable in clean.variables.values():
        variable.attrs = kept(variable.attrs)
    return clean


def _is_json(value: Any) -> bool:
    array = np.asarray(value)
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _common_folder(granules: Sequence[VirtualGranule]) -> Path:
    folders = [granule.path.parent for granule in granules]
    common = folders[0]
    while not all(folder.is_relative_to(common) for folder in folders):
        common = common.parent
    return common


def _renamed(folder: Path, source_prefix: str | None) -> Callable[[str], str]:
    if source_prefix is None:
        return lambda url: url
    here, there = f"{folder.as_uri()}/", source_prefix.rstrip("/") + "/"
    # A chunk that was never written has no path, and must not get one.
    return lambda url: there + url.removeprefix(here) if url else url


def _new_repository(store: Path, prefix: str) -> icechunk.Session:
    icechunk.set_logs_filter("error")
    prefix = prefix.rstrip("/") + "/"
    scheme = urlsplit(prefix).scheme
    if scheme == "file":
        place: Any = icechunk.local_filesystem_store(urlsplit(prefix).path)
    elif scheme == "s3":
        place = icechunk.s3_store(region="us-west-2")
    elif scheme in ("http", "https"):
        place = icechunk.http_store()
    else:
        raise RequestError(f"The prefix {prefix!r} is no file, s3 or https URL.")
    config = icechunk.RepositoryConfig.default()
    config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(prefix, place))
    store.mkdir(parents=True, exist_ok=True)
    storage = icechunk.local_filesystem_storage(str(store))
    return icechunk.Repository.create(storage, config=config).writable_session("main")
