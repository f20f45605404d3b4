"""Values of a granule as stored, by the libraries that wrote it: what references cannot tell."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import h5py
import numpy as np
import numpy.typing as npt

from harmony_vds.building.files import OpenFile
from harmony_vds.errors import StoreError
from harmony_vds.model.paths import name_of

_PURE_DIMENSION = b"This is a netCDF dimension but not a netCDF variable"
_HASHED = 2**24
"""Most bytes of a variable that are held at once to compare it."""


class Values(Protocol):
    """An open file's variables, by group and name."""

    def groups(self) -> list[str]:
        """Full path of every group, parents before children. **Reads:** metadata."""

    def names(self, group: str) -> set[str]:
        """The variables of a group. **Reads:** metadata."""

    def is_held_inside(self, group: str, name: str) -> bool:
        """Whether a variable lies among the metadata, where no reference leads. **Reads:** nothing.

        Raises StoreError where references cannot say how it is stored.
        """

    def sizes(self, group: str, name: str) -> dict[str, int]:
        """Dimension → length of a variable. **Reads:** metadata."""

    def read(self, group: str, name: str, rows: slice | None = None) -> npt.NDArray[Any]:
        """Values as stored, all or some rows of them. **Reads:** chunks of the granule."""

    def attribute(self, group: str, name: str, attribute: str) -> Any:
        """An attribute of a variable with its type, or None. **Reads:** metadata."""


@contextmanager
def values_of(file: OpenFile) -> Iterator[Values]:
    """The variables of an open netCDF or HDF5 file. **Reads:** metadata."""
    if file.form == "classic":
        import netCDF4

        path = getattr(file.reader, "name", None)
        read = None if path else file.reader.read()
        with netCDF4.Dataset(path or "granule", memory=read) as root:
            root.set_auto_maskandscale(False)
            root.set_auto_chartostring(False)
            yield ClassicValues(root)
    else:
        with h5py.File(file.reader, "r") as root:
            yield Hdf5Values(root)


class ClassicValues:
    """A netCDF-3 file."""

    def __init__(self, root: Any) -> None:
        self._root = root

    def groups(self) -> list[str]:
        """There is but one. **Reads:** nothing."""
        return ["/"]

    def names(self, _: str) -> set[str]:
        """The variables. **Reads:** nothing."""
        return set(self._root.variables)

    def is_held_inside(self, _group: str, _name: str) -> bool:
        """Nothing is. **Reads:** nothing."""
        return False

    def sizes(self, _: str, name: str) -> dict[str, int]:
        """Dimension → length of a variable. **Reads:** nothing."""
        own = self._root[name]
        return dict(zip(own.dimensions, own.shape, strict=True))

    def read(self, _: str, name: str, rows: slice | None = None) -> npt.NDArray[Any]:
        """Values as stored. **Reads:** chunks of the granule."""
        return np.asarray(self._root[name][... if rows is None else rows])

    def attribute(self, _: str, name: str, attribute: str) -> Any:
        """An attribute, or None. **Reads:** nothing."""
        return getattr(self._root[name], attribute, None)


class Hdf5Values:
    """A netCDF-4 or HDF5 file."""

    def __init__(self, root: Any) -> None:
        self._root = root

    def groups(self) -> list[str]:
        """Full path of every group, parents before children. **Reads:** metadata."""
        found = ["/"]
        self._root.visititems(
            lambda name, node: found.append(f"/{name}") if isinstance(node, h5py.Group) else None
        )
        return found

    def names(self, group: str) -> set[str]:
        """The variables of a group, without dimensions that are none. **Reads:** metadata."""
        return {
            name for name, node in self._root[group].items()
            if isinstance(node, h5py.Dataset)
            and not bytes(node.attrs.get("NAME", b"")).startswith(_PURE_DIMENSION)
        }  # fmt: skip

    def is_held_inside(self, group: str, name: str) -> bool:
        """Whether a variable has compact layout; raises where it was deflated twice.

        **Reads:** metadata.
        """
        plan = self._root[group][name].id.get_create_plist()
        filters = [plan.get_filter(number)[0] for number in range(plan.get_nfilters())]
        if filters.count(h5py.h5z.FILTER_DEFLATE) > 1:
            raise StoreError(
                f"{name} was deflated twice, which chunk references cannot say; write the file "
                "again with one compression (h5repack)."
            )
        return bool(plan.get_layout() == h5py.h5d.COMPACT)

    def sizes(self, group: str, name: str) -> dict[str, int]:
        """Dimension → length of a variable, a number for what has no name. **Reads:** metadata."""
        node = self._root[group][name]
        found = {}
        for axis, size in enumerate(node.shape or ()):
            scales = [name_of(str(own.name)) for own in node.dims[axis].values()]
            found[scales[0] if scales else name if node.is_scale else str(axis)] = size
        return found

    def read(self, group: str, name: str, rows: slice | None = None) -> npt.NDArray[Any]:
        """Values as stored. **Reads:** chunks of the granule."""
        return np.asarray(self._root[group][name][() if rows is None else rows])

    def attribute(self, group: str, name: str, attribute: str) -> Any:
        """An attribute, or None. **Reads:** metadata."""
        return self._root[group][name].attrs.get(attribute)


def digest(values: Values, group: str, name: str, shape: tuple[int, ...], itemsize: int) -> str:
    """A fingerprint of a variable's values, taken piece by piece.

    **Reads:** chunks of the granule.
    """
    told = hashlib.sha256()
    step = shape[0] if shape else 1
    if shape and int(np.prod(shape)) * itemsize > _HASHED:
        step = max(1, _HASHED // max(1, int(np.prod(shape[1:])) * itemsize))
    pieces = [slice(n, n + step) for n in range(0, shape[0], max(step, 1))] if shape else [None]
    for rows in pieces:
        part = values.read(group, name, rows)
        told.update(repr(part.tolist()).encode() if part.dtype.hasobject else part.tobytes())
    return told.hexdigest()
