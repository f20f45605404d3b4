"""Builds stores from granules for tests, and reads them by icechunk and zarr alone."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import icechunk
import numpy as np
import xarray as xr
import zarr

from harmony_vds.building.choice import Choice
from harmony_vds.building.files import GranuleFile
from harmony_vds.building.places import Place
from harmony_vds.building.updating import Updated, update
from harmony_vds.building.virtualize import Built, Crew, virtualize

ALONE = Crew(workers=1)


def files_at(paths: Sequence[Path], prefix: str = "") -> list[GranuleFile]:
    """Local granules, published below `prefix` or where they lie."""
    return [GranuleFile.of_path(own, f"{prefix}{own.name}" if prefix else "") for own in paths]


def build(
    paths: Sequence[Path], store: Path, prefix: str = "", crew: Crew = ALONE, **choice: Any
) -> Built:
    """A store of local granules."""
    told = Choice(**{"is_one_of_many": len(paths) > 1, **choice})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr warns of what Zarr v3 has not standardised
        return virtualize(files_at(paths, prefix), Place.of(str(store)), told, crew)


def bring_up_to_date(paths: Sequence[Path], store: Path, *, removing: bool = False) -> Updated:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return update(files_at(paths), Place.of(str(store)), removing=removing, crew=ALONE)


def contents(store: Path) -> dict[str, tuple[np.ndarray, dict[str, Any]]]:
    """Every array of an icechunk repository over local files: stored values and attributes."""
    storage = icechunk.local_filesystem_storage(str(store))
    containers = icechunk.Repository.open(storage).config.virtual_chunk_containers or {}
    allowed = icechunk.containers_credentials(
        {
            prefix: icechunk.Credentials.LocalFileSystemAccess()
            for prefix in containers if urlsplit(prefix).scheme == "file"
        }
    )  # fmt: skip
    repository = icechunk.Repository.open(storage, authorize_virtual_chunk_access=allowed)
    with warnings.catch_warnings(), zarr.config.set({"array.rectilinear_chunks": True}):
        warnings.simplefilter("ignore")
        root = zarr.open_group(repository.readonly_session("main").store, mode="r")
        return {
            f"/{path}": (np.asarray(own[...]), dict(own.attrs))
            for path, own in root.members(max_depth=None) if isinstance(own, zarr.Array)
        }  # fmt: skip


def commits(store: Path) -> int:
    """How often something was committed to a repository."""
    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(str(store)))
    return sum(1 for _ in repository.ancestry(branch="main")) - 1


def stored(store: Path) -> dict[str, np.ndarray]:
    """Every array of a store of one group, icechunk or kerchunk, as other libraries read it."""
    if store.suffix not in (".json", ".parquet"):
        return {path.strip("/"): values for path, (values, _) in contents(store).items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = {"decode_cf": False}
        opened = xr.open_dataset(str(store), engine="kerchunk", open_dataset_options=raw).load()
    return {str(name): own.values for name, own in opened.variables.items()}


def states(store: Path) -> int:
    """How often a store was built or brought up to date by new or renewed granules."""
    if store.suffix == ".json":
        return len(json.loads(store.read_text())["harmony_vds"])
    if store.suffix == ".parquet":
        return len(json.loads((store / ".zmetadata").read_text())["harmony_vds"])
    return commits(store)


def by_engine(store: Path, granules: Path) -> xr.Dataset:
    """A store of granules below a folder as the project's own reader opens it, decoded."""
    with xr.open_dataset(store, engine="vds", trust=str(granules)) as opened:
        return opened.load()


def by_kerchunk(store: Path) -> xr.Dataset:
    """A reference store as xarray and fsspec open it, decoded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return xr.open_dataset(str(store), engine="kerchunk").load()
