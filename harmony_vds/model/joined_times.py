"""Times of several granules in one unit: exactly, or not at all."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from harmony_vds.errors import StoreError
from harmony_vds.model.arrays import Values

_SECONDS: dict[str, int | Fraction] = {
    "week": 604_800, "day": 86_400, "d": 86_400, "hour": 3_600, "hr": 3_600, "h": 3_600,
    "minute": 60, "min": 60, "second": 1, "sec": 1, "s": 1, "millisecond": Fraction(1, 1_000),
    "msec": Fraction(1, 1_000), "microsecond": Fraction(1, 1_000_000),
}  # fmt: skip
_FINER = ("seconds", "milliseconds", "microseconds")


def is_time(units: object) -> bool:
    """Whether `units` are those of times: ``hours since 1980-01-01``. **Reads:** nothing."""
    return isinstance(units, str) and " since " in units


def joined_times(
    parts: Sequence[Values], units: Sequence[str], calendar: str, names: Sequence[str]
) -> tuple[list[Values], str]:
    """The times of several granules in one unit, and that unit.

    Parameters
    ----------
    parts
        The times of each granule as stored, of any shape.
    units
        Their units, e.g. ``minutes since 1980-01-01 00:30:00``.
    calendar
        The calendar of all.
    names
        What each granule is called in errors.

    Raises
    ------
    StoreError
        A time has no exact value in the unit of the first granule nor in a finer one of fixed
        length, or one is missing.

    **Reads:** nothing.
    """
    if len(set(units)) == 1:
        return list(parts), units[0]
    import cftime

    epochs, steps = [], []
    for own, name in zip(units, names, strict=True):
        word, _, since = own.partition(" since ")
        step = _step(word)
        try:
            epochs.append(cftime.num2date(0, f"days since {since}", calendar))
        except ValueError:
            step = None
        if step is None:
            raise StoreError(f"the units {own!r} of {name} are not of fixed length")
        steps.append(Fraction(step))
    exact = [
        _seconds(part, step, _apart(epoch, epochs[0]), name)
        for part, step, epoch, name in zip(parts, steps, epochs, names, strict=True)
    ]
    first, _, since = units[0].partition(" since ")
    for word in (first, *_FINER):
        step = Fraction(_step(word) or 1)
        found = [_in_units(own, step, part) for own, part in zip(exact, parts, strict=True)]
        if all(own is not None for own in found):
            whole = np.result_type(*(own for own in found if own is not None))
            return [own.astype(whole) for own in found if own is not None], f"{word} since {since}"
    raise StoreError("no common unit holds the times of all granules exactly")


def _step(word: str) -> int | Fraction | None:
    """Seconds of one unit, written in the singular or the plural."""
    return _SECONDS.get(word.strip().lower().rstrip("s") or "s")


def _apart(epoch: Any, first: Any) -> Fraction:
    """Seconds from one moment to another, exactly."""
    apart = epoch - first
    return Fraction(apart.days * 86_400 + apart.seconds) + Fraction(apart.microseconds, 1_000_000)


def _seconds(part: Values, step: Fraction, shift: Fraction, name: str) -> list[Fraction]:
    if part.dtype.kind not in "iuf" or not np.isfinite(part).all():
        raise StoreError(f"{name} has a time that is missing or no number")
    return [Fraction(value) * step + shift for value in part.ravel().tolist()]


def _in_units(exact: Sequence[Fraction], step: Fraction, part: Values) -> Values | None:
    """`exact` seconds counted in `step`; None where that is not exact."""
    counted = [own / step for own in exact]
    if part.dtype.kind == "f":
        try:
            plain = [float(own) for own in counted]
        except OverflowError:
            return None
        same = all(Fraction(a) == b for a, b in zip(plain, counted, strict=True))
        return np.array(plain, "f8").reshape(part.shape) if same else None
    if any(own.denominator != 1 or abs(own) >= 2**63 for own in counted):
        return None
    return np.array([int(own) for own in counted], "i8").reshape(part.shape)
