"""Colours for values: a ramp that reads the same in grey and to colour-blind eyes, and classes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harmony_vds.model.decoding import Decoding

_ANCHORS = (
    (68, 1, 84), (72, 36, 117), (65, 68, 135), (53, 95, 141), (42, 120, 142), (33, 145, 140),
    (34, 168, 132), (68, 191, 112), (122, 209, 81), (189, 223, 38), (253, 231, 37),
)  # fmt: skip
"""The ramp viridis, which its authors gave to everybody (CC0), at every tenth of its way."""
_CLASSES = (
    (0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (213, 94, 0),
    (240, 228, 66), (110, 110, 110), (140, 81, 10), (1, 102, 94), (118, 42, 131), (191, 191, 191),
)  # fmt: skip
"""Okabe and Ito's colours first; they begin again where there are more classes."""
_OUTLYING = 2.0
"""Percent of the values on either side that get the colours of the ends."""
_MOST_OF_TYPE = 0.9
"""Share of a type's numbers: a valid range of more leaves out fill values and says nothing else."""
_BEYOND = 1e9
"""Limits of floating numbers that are further out were never meant as limits."""

type Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Ramp:
    """Colours that change with a value, from `low` to `high`; beyond, those of the ends."""

    low: float
    """Value of the first colour."""
    high: float
    """Value of the last one."""

    def pixels(self, values: npt.NDArray[np.floating[Any]]) -> Pixels:
        """Colours of values, shape (rows, columns, 4); clear where values are missing.

        **Reads:** nothing.
        """
        span = self.high - self.low or 1.0
        share = np.clip(np.nan_to_num((values - self.low) / span), 0.0, 1.0)
        places = np.linspace(0.0, 1.0, len(_ANCHORS))
        table = np.array(_ANCHORS, np.float64)
        shades = [np.interp(share, places, own) for own in table.T]
        clear = np.where(np.isfinite(values), 255.0, 0.0)
        return np.stack([*shades, clear], -1).round().astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Classes:
    """Colours that each stand for one value."""

    values: tuple[float, ...]
    """As stored."""
    names: tuple[str, ...]
    """What each means."""

    def colour(self, number: int) -> tuple[int, int, int]:
        """That of a class. **Reads:** nothing."""
        return _CLASSES[number % len(_CLASSES)]

    def pixels(self, values: npt.NDArray[np.floating[Any]]) -> Pixels:
        """Colours of values, as those of a ramp; clear where they are no class.

        **Reads:** nothing.
        """
        found = np.zeros((*values.shape, 4), np.uint8)
        for number, value in enumerate(self.values):
            found[values == value] = (*self.colour(number), 255)
        return found


def is_classified(attributes: Any) -> bool:
    """Whether all values are CF's flags: none is where others have a scale or a range of their own.

    **Reads:** nothing.
    """
    names = str(attributes.get("flag_meanings", "")).split()
    flags = np.ravel(np.asarray(attributes.get("flag_values", ())))
    measured = {"scale_factor", "add_offset", "valid_range", "valid_min", "valid_max"}
    return bool(names) and flags.size == len(names) and measured.isdisjoint(attributes)


def stated_ramp(dtype: np.dtype[Any], attributes: Any) -> Ramp | None:
    """A ramp over the valid range that a variable states; None where it says too little.

    Too little is what holds all numbers of a type of integers, or limits of floating numbers that
    no quantity reaches, and all that is classified.

    **Reads:** nothing.
    """
    if is_classified(attributes) or dtype.kind not in "iuf":
        return None
    decoding = Decoding.of(dtype, attributes)
    stated = decoding.lowest, decoding.highest
    if not np.isfinite(stated).all() or stated[0] >= stated[1]:
        return None
    if decoding.stored.kind == "f":
        says_little = max(map(abs, stated)) >= _BEYOND
    else:
        limits = np.iinfo(decoding.stored)
        says_little = stated[1] - stated[0] > _MOST_OF_TYPE * (int(limits.max) - int(limits.min))
    if says_little:
        return None
    ends = sorted(own * decoding.scale + decoding.offset for own in stated)
    return Ramp(ends[0], ends[1])


def colours_for(values: npt.NDArray[np.floating[Any]], attributes: Any) -> Ramp | Classes:
    """Classes where every value is a flag, else a ramp over all values but the outlying ones.

    **Reads:** nothing.
    """
    if is_classified(attributes):
        names = tuple(str(attributes["flag_meanings"]).split())
        flags = np.ravel(np.asarray(attributes["flag_values"]))
        return Classes(tuple(float(own) for own in flags), names)
    known = values[np.isfinite(values)]
    if not known.size:
        return Ramp(0.0, 1.0)
    low, high = np.percentile(known, [_OUTLYING, 100.0 - _OUTLYING])
    return Ramp(float(low), float(high))
