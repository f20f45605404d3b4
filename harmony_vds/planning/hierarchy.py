"""The variables of a store by full path, with CF's rules for finding one from another.

Reading a coordinate keeps it in the tree, so that planning and writing share one read.
"""

import posixpath
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from harmony_vds.errors import StoreError
from harmony_vds.model.grid import AxisKind
from harmony_vds.model.paths import ancestors, group_of, join, name_of
from harmony_vds.model.store import VirtualStore
from harmony_vds.planning.recognition import is_coordinate


class Hierarchy:
    """All variables of an open store."""

    def __init__(self, store: VirtualStore) -> None:
        self.store = store
        self.held: set[str] = set()
        self._known: dict[str, tuple[str, ...]] = {}

    @cached_property
    def variables(self) -> Mapping[str, xr.Variable]:
        """Full path → raw variable, sorted within each group. **Reads:** nothing."""
        return {
            f"{node.path.rstrip('/')}/{name}": node.variables[name]
            for node in self.store.tree.subtree
            for name in sorted(map(str, node.to_dataset(inherit=False).variables))
        }

    @cached_property
    def auxiliary(self) -> frozenset[str]:
        """Full paths of all that any variable names among its ``coordinates``.

        **Reads:** nothing.
        """
        return frozenset(own for path in self.variables for own in self.coordinates(path))

    def coordinates(self, path: str) -> list[str]:
        """Full paths of what a variable's ``coordinates`` names, as far as the store has it.

        **Reads:** nothing.
        """
        listed = str(self.variables[path].attrs.get("coordinates", "")).split()
        found = (self.resolve(name, group_of(path)) for name in listed)
        return [own for own in found if own is not None]

    @cached_property
    def _dimensions(self) -> Mapping[str, frozenset[str]]:
        return {
            node.path: frozenset(map(str, node.to_dataset(inherit=False).sizes))
            for node in self.store.tree.subtree
        }

    def dimensions(self, path: str) -> tuple[str, ...]:
        """Full paths of a variable's dimensions: each lives in the highest group that has it.

        **Reads:** nothing.
        """
        if path not in self._known:
            groups = list(ancestors(group_of(path)))
            own = tuple(self._home(str(name), groups) for name in self.variables[path].dims)
            self._known[path] = own
        return self._known[path]

    def length(self, dimension: str) -> int:
        """How many positions a dimension, named by its full path, has. **Reads:** nothing."""
        group, _, name = dimension.rpartition("/")
        return int(self.store.tree[group or "/"].sizes[name])

    def _home(self, name: str, groups: list[str]) -> str:
        holders = [group for group in groups if name in self._dimensions.get(group, ())]
        return join(holders[-1], name)

    @cached_property
    def placing(self) -> Mapping[AxisKind, tuple[str, ...]]:
        """Full paths of all latitudes (Y) and longitudes (X) that are no scalars, by CF.

        **Reads:** nothing.
        """
        return {
            kind: tuple(
                path
                for path, variable in self.variables.items()
                if variable.ndim and is_coordinate(kind, path, variable)
            )
            for kind in (AxisKind.Y, AxisKind.X)
        }

    def resolve(self, name: str, group: str) -> str | None:
        """The variable that `name` means inside `group`, by CF's search by proximity.

        An absolute name is taken as it stands, one with ``..`` from the group itself; otherwise the
        group is searched, then its parents. (CF conventions, section 2.7.) **Reads:** nothing.
        """
        if name.startswith(("/", "../")):
            path = posixpath.normpath(posixpath.join(group, name))
            return path if path in self.variables else None
        for above in ancestors(group):
            if (path := join(above, name)) in self.variables:
                return path
        return None

    def along(self, dimension: str, group: str) -> Iterator[str]:
        """One-dimensional variables along `dimension` that are visible from `group`.

        The nearest group comes first, and in each the variable named like the dimension.
        **Reads:** nothing.
        """
        short = name_of(dimension)
        for above in ancestors(group):
            own = [p for p, v in self.variables.items() if group_of(p) == above and v.ndim == 1]
            for path in sorted(own, key=lambda p: name_of(p) != short):
                if self.dimensions(path) == (dimension,):
                    yield path

    def load(self, path: str) -> npt.NDArray[Any]:
        """The raw values of a coordinate, kept for later.

        Raises
        ------
        StoreError
            Some of them are not in the manifest, and nothing says that they are missing: the
            numbers that would be read in their place look like any others.

        **Reads:** coordinates.
        """
        variable = self.variables[path]
        if path not in self.held:
            self._refuse_gaps(path, variable)
            if not variable._in_memory:  # noqa: SLF001  another plan may have read it
                self._read(path, variable)
            self.held.add(path)
        return np.asarray(variable.values)

    def _read(self, path: str, variable: xr.Variable) -> None:
        shelf = self.store.coordinates
        kept = None if shelf is None else shelf.take(path)
        if kept is not None:
            variable._data = kept  # noqa: SLF001  its setter imports all of dask to look for it
            return
        variable.load()
        if shelf is not None:
            shelf.put(path, np.asarray(variable.values))

    def _refuse_gaps(self, path: str, variable: xr.Variable) -> None:
        if "_FillValue" in variable.attrs or not variable.size:
            return
        tally = self.store.chunk_index(path).tally([range(size) for size in variable.shape])
        if tally.missing:
            raise StoreError(
                f"The manifest does not hold {tally.missing:,} of the {tally.chunks:,} chunks of "
                f"the coordinate {path.lstrip('/')}, so its values are not known. The publisher "
                "must add them."
            )
