"""The names of resampling methods that requests use.

Harmony passes whatever was written. Accepted, in any case and with spaces, hyphens or underscores:

============ ======================================================================================
near         near, nearest, nearest neighbour, nearest neighbor, nn, ewa-nn, nearest_s2d
bilinear     bilinear, linear, bil
cubic        cubic, bicubic, cubic convolution, patch
average      average, avg, mean, area, area average, conservative, bucket avg
mode         mode, majority, most common
min          min, minimum
max          max, maximum
============ ======================================================================================

``ewa`` (elliptical weighted averaging, for swaths) is no method of this service and is refused, as
are ``lanczos`` and ``cubicspline``: no method is silently taken for another. Without a name the
method is ``near``, which invents no value.
"""

import difflib
import re

from harmony_vds.errors import RequestError
from harmony_vds.model.target import Resampling

NAMES = {
    Resampling.NEAREST: ("near", "nearest", "nearestneighbour", "nearestneighbor", "nn", "ewann",
                         "nearests2d", "nearestd2s"),
    Resampling.BILINEAR: ("bilinear", "linear", "bil"),
    Resampling.CUBIC: ("cubic", "bicubic", "cubicconvolution", "patch"),
    Resampling.AVERAGE: ("average", "avg", "mean", "area", "areaaverage", "conservative",
                         "bucketavg"),
    Resampling.MODE: ("mode", "majority", "mostcommon"),
    Resampling.MINIMUM: ("min", "minimum"),
    Resampling.MAXIMUM: ("max", "maximum"),
}  # fmt: skip


def resampling_of(name: str) -> Resampling:
    """The method that `name` means; nearest for an empty one.

    Raises
    ------
    RequestError
        No method is called so; the text lists those that are.

    **Reads:** nothing.

    >>> resampling_of("Nearest-Neighbor")
    <Resampling.NEAREST: 'near'>
    """
    plain = re.sub(r"[\s_\-]+", "", name).lower()
    if not plain:
        return Resampling.NEAREST
    for method, names in NAMES.items():
        if plain in names:
            return method
    every = [own for names in NAMES.values() for own in names]
    near = difflib.get_close_matches(plain, every, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise RequestError(
        f"interpolation={name[:60]!r} is no resampling method of this service. Its methods are "
        f"{', '.join(own.value for own in Resampling)}.{hint}"
    )
