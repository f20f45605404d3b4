"""How chunks are encoded, as far as it matters to those who decode them."""

from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr
from virtualizarr.manifests import ManifestArray

_EFFORT = ("level", "clevel", "acceleration")
"""What tells how hard an encoder tried, which no decoder needs."""


def decoding(codecs: Sequence[Any]) -> tuple[str, ...]:
    """What tells how chunks are decoded: equal where the same decoder reads both.

    **Reads:** nothing.
    """
    found = []
    for own in codecs:
        told = own.to_dict()
        kept = without_effort(told.get("configuration") or {})
        found.append(f"{told['name']} {sorted(kept.items())}")
    return tuple(found)


def without_effort(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of an encoder's settings that a decoder needs. **Reads:** nothing."""
    return {key: value for key, value in settings.items() if key not in _EFFORT}


def encoded_as(variable: xr.Variable, codecs: Sequence[Any]) -> xr.Variable:
    """`variable` described by `codecs`, where they decode its chunks as its own do.

    Series whose files were compressed with more effort from some day on are one series; the
    libraries that join them compare every setting. **Reads:** nothing.
    """
    data = variable.data
    if not isinstance(data, ManifestArray):
        return variable
    own = data.metadata
    if own.codecs == tuple(codecs) or decoding(own.codecs) != decoding(codecs):
        return variable
    told = {**own.to_dict(), "codecs": [one.to_dict() for one in codecs]}
    metadata = type(own).from_dict(told)
    mended = ManifestArray(metadata=metadata, chunkmanifest=data.manifest)
    return xr.Variable(variable.dims, mended, variable.attrs, variable.encoding)
