"""Arrays of a kerchunk document, whose chunks move, come and go, and are not read."""

import base64
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from harmony_vds.building.encodings import without_effort
from harmony_vds.building.reference_files import References
from harmony_vds.errors import StoreError
from harmony_vds.model.paths import name_of


@dataclass(frozen=True, eq=False)
class KerchunkArray:
    """One array by its documents and references."""

    path: str
    """Without a slash before it."""
    layout: dict[str, Any]
    """Its ``.zarray`` document."""
    attributes: dict[str, Any]
    """Its ``.zattrs`` document."""
    chunks: dict[tuple[int, ...], Any]
    """References by chunk numbers."""

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Names of its dimensions. **Reads:** nothing."""
        return tuple(self.attributes.get("_ARRAY_DIMENSIONS", ()))

    @property
    def is_held(self) -> bool:
        """Whether its values stand in the document itself. **Reads:** nothing."""
        return all(isinstance(own, str) for own in self.chunks.values())

    def urls(self) -> Iterator[tuple[tuple[int, ...], str]]:
        """Chunk numbers and the URL of each reference. **Reads:** nothing."""
        return ((n, own[0]) for n, own in self.chunks.items() if not isinstance(own, str))

    def lengths(self, axis: int) -> list[int]:
        """Length of each chunk along `axis`, the last as long as the others. **Reads:** nothing."""
        size, step = self.layout["shape"][axis], self.layout["chunks"][axis]
        return [step] * -(-size // step)

    def values(self) -> npt.NDArray[Any]:
        """The values of a held array.

        Raises
        ------
        StoreError
            They stand there otherwise than `virtualize` writes them.

        **Reads:** nothing.
        """
        shape, dtype = self.layout["shape"], np.dtype(self.layout["dtype"])
        text = self.chunks.get((0,) * len(shape))
        packed = self.layout.get("filters") or self.layout.get("compressor") or dtype.hasobject
        if packed or not isinstance(text, str) or len(self.chunks) != 1:
            raise StoreError(f"{self.path} is not held as a plain array; build the store anew.")
        body = text.removeprefix("base64:")
        raw = base64.b64decode(body) if body != text else text.encode()
        return np.frombuffer(raw, dtype).reshape(shape)

    def holding(self, values: npt.NDArray[Any]) -> "KerchunkArray":
        """This array with other values, held in one chunk. **Reads:** nothing."""
        shape = list(values.shape)
        raw = np.ascontiguousarray(values, np.dtype(self.layout["dtype"])).tobytes()
        text = f"base64:{base64.b64encode(raw).decode()}"
        layout = {**self.layout, "shape": shape, "chunks": [max(n, 1) for n in shape]}
        return replace(self, layout=layout, chunks={(0,) * len(shape): text})

    def arranged(self, axis: int, kept: Sequence[int], size: int) -> "KerchunkArray":
        """The chunks `kept` along `axis`, in that order, `size` steps. **Reads:** nothing."""
        places: dict[int, int] = {number: place for place, number in enumerate(kept)}
        shape = list(self.layout["shape"])
        shape[axis] = size
        chunks = {
            (*n[:axis], places[n[axis]], *n[axis + 1 :]): own
            for n, own in self.chunks.items() if n[axis] in places
        }  # fmt: skip
        return replace(self, layout={**self.layout, "shape": shape}, chunks=chunks)

    def followed(self, other: "KerchunkArray", axis: int) -> "KerchunkArray":
        """This array and the chunks of `other` behind its own.

        Raises
        ------
        StoreError
            They are stored in another way, or this one's last chunk is not full.

        **Reads:** nothing.
        """
        size, step = self.layout["shape"][axis], self.layout["chunks"][axis]
        if size % step:
            raise StoreError(
                f"The store's last chunk of {name_of(self.path)} is not full, and no new granule "
                "can follow it; build the store anew."
            )
        self.refuse_other_storage(other, axis)
        shape = list(self.layout["shape"])
        shape[axis] += other.layout["shape"][axis]
        first = size // step
        moved = {
            (*n[:axis], n[axis] + first, *n[axis + 1 :]): own for n, own in other.chunks.items()
        }
        return replace(
            self, layout={**self.layout, "shape": shape}, chunks={**self.chunks, **moved}
        )

    def refuse_other_storage(self, other: "KerchunkArray", axis: int | None) -> None:
        """Raise StoreError unless chunks of `other` are decoded alike. **Reads:** nothing."""
        ours, theirs = (_decoding(own.layout, axis) for own in (self, other))
        odd = sorted(k for k in ours.keys() | theirs.keys() if ours.get(k) != theirs.get(k))
        if odd:
            raise StoreError(
                f"The new granules do not fit to the store: their {name_of(self.path)} differs in "
                f"{' and '.join(odd)}; build a store of their own of them."
            )


def _decoding(layout: Mapping[str, Any], axis: int | None) -> dict[str, Any]:
    told = {**layout, "shape": [n for own, n in enumerate(layout["shape"]) if own != axis]}
    told["filters"] = [without_effort(own) for own in layout.get("filters") or ()]
    told["compressor"] = without_effort(layout.get("compressor") or {})
    return told


def arrays_in(refs: References) -> dict[str, KerchunkArray]:
    """The arrays of a document by their paths. **Reads:** nothing."""
    chunks: dict[str, dict[tuple[int, ...], Any]] = {
        key.removesuffix("/.zarray"): {} for key in refs if key.endswith("/.zarray")
    }
    for key, own in refs.items():
        path, _, name = key.rpartition("/")
        if path in chunks and not name.startswith("."):
            rank = len(json.loads(refs[f"{path}/.zarray"])["shape"]) if name == "0" else 1
            chunks[path][tuple(map(int, name.split("."))) if rank else ()] = own
    return {
        path: KerchunkArray(
            path, json.loads(refs[f"{path}/.zarray"]),
            json.loads(refs.get(f"{path}/.zattrs", "{}")), own,
        )
        for path, own in chunks.items()
    }  # fmt: skip


def references_in(arrays: Collection[KerchunkArray]) -> References:
    """The documents and references of `arrays`. **Reads:** nothing."""
    refs: References = {}
    for own in arrays:
        refs[f"{own.path}/.zarray"] = json.dumps(own.layout)
        refs[f"{own.path}/.zattrs"] = json.dumps(own.attributes)
        for numbers in sorted(own.chunks):
            refs[f"{own.path}/{'.'.join(map(str, numbers)) or '0'}"] = own.chunks[numbers]
    return refs
