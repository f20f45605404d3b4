"""Lines of Python that make values of a target cell from several of the store's, by a kernel."""

import math

from harmony_vds.model.paths import name_of
from harmony_vds.model.target import Resampling, TargetPlan
from harmony_vds.model.warp import Warp
from harmony_vds.outputs.decoded_recipe import DECODED, FLOATING

_LINEAR = "np.maximum(1 - abs(d), 0)"
_CUBIC = [
    "def cubic(d):",
    "    d = abs(d)",
    "    far = ((-0.5 * d + 2.5) * d - 4) * d + 2",
    "    return xr.where(d <= 1, (1.5 * d - 2.5) * d * d + 1, xr.where(d < 2, far, 0))",
    "",
]


def by_kernel(target: TargetPlan, way: Warp) -> list[str]:
    """Lines that define ``blended``, which takes a variable as it is stored.

    They take ``row``, ``column``, ``inside`` and ``cells`` of `harmony_vds.outputs.target_recipe`.
    **Reads:** nothing.
    """
    (rows, columns), (tall, wide) = way.source.shape, way.scale
    y, x = map(name_of, target.dimensions)
    row, column = map(name_of, way.source.dimensions)
    known = [f"(r >= 0) & (r < {rows})"]
    across = f"c % {columns}"
    if not way.is_round:
        known.append(f"(c >= 0) & (c < {columns})")
        across = f"c.clip(0, {columns - 1})"
    is_cubic = target.resampling is Resampling.CUBIC
    return [
        *DECODED,
        *FLOATING,
        *(_CUBIC if is_cubic else []),
        "def kernel(own, weigh, down, over):",
        "    total, weight, whole = 0, 0, inside",
        "    for i, j in np.ndindex(2 * down, 2 * over):",
        "        r, c = np.floor(row - 0.5) + i + 1 - down, np.floor(column - 0.5) + j + 1 - over",
        f"        each = weigh((r + 0.5 - row) / {tall!r}) * weigh((c + 0.5 - column) / {wide!r})",
        f"        near = own.isel({{{row!r}: r.clip(0, {rows - 1}).astype(int),",
        f"            {column!r}: ({across}).astype(int)}})",
        f"        whole = whole & near.notnull() & {' & '.join(known)}",
        "        total, weight = total + (each * near).fillna(0), weight + each * near.notnull()",
        "    return total / weight, whole",
        "",
        "def blended(own):  # missing where the nearest cell is; to a thousandth of a cell",
        "    own, made = decoded(own.load()), floating(own)",
        f"    found = kernel(own, lambda d: {_LINEAR}, {_taps(1, way)})[0]",
        *(_smoother(way) if is_cubic else []),
        "    found = found.where(inside & own.isel(cells).notnull())",
        f"    return found.astype(made).transpose(..., {y!r}, {x!r})",
    ]


def _smoother(way: Warp) -> list[str]:
    return [
        f"    smooth, whole = kernel(own, cubic, {_taps(2, way)})",
        "    found = smooth.where(whole, found)",
    ]


def _taps(radius: int, way: Warp) -> str:
    down, over = (math.ceil(radius * own - 1e-9) for own in way.scale)
    return f"{down}, {over}"
