"""Chunk numbers out of the names that reference documents give chunks, many at a time."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

_LONGEST_NUMBER = 9
"""Digits; more chunks along a dimension than that do not fit in a file."""


def by_folder(keys: Iterable[str]) -> list[tuple[str, bytes, Any]]:
    """Keys by array: its path, the joined names, and which of the keys they are."""
    keys = list(keys)
    path = keys[0].rpartition("/")[0]
    joined = "\n".join(keys)
    prefix = f"{path}/"
    # All of one array, as most pieces are: told by counting, without looking at each key.
    if (
        joined.count(f"\n{prefix}") == joined.count("\n") == len(keys) - 1
        and joined.count("/") == len(keys) * prefix.count("/")
        and path
    ):
        names = joined.replace(f"\n{prefix}", "\n").removeprefix(prefix)
        return [(path, names.encode(), slice(None))]
    parts = [key.rpartition("/") for key in keys]
    codes, paths = pd.factorize(np.array([part[0] for part in parts], dtype=object))
    found = []
    for number, path in enumerate(paths):
        chosen = np.flatnonzero(codes == number)
        names = "\n".join(parts[i][2].replace("\n", " ") for i in chosen)
        found.append((path, names.encode("utf-8", "replace"), chosen))
    return found


def places(names: bytes, grid: tuple[int, ...]) -> tuple[tuple[Any, ...], Any]:
    """Chunk numbers of `names` as an index into the grid, and which of the names they belong to."""
    if not grid:
        return (), -1  # every key of a scalar means its one chunk; the last one counts
    numbers = _parsed(names, len(grid))
    if numbers is not None:
        inside = (numbers < np.array(grid)).all(axis=1)
        return tuple(numbers[inside].T), inside
    each = [numbers_in(name, grid) for name in names.decode().split("\n")]
    kept = np.array([own is not None for own in each], np.bool_)
    places = np.array([own for own in each if own is not None], np.int64).reshape(-1, len(grid))
    return tuple(places.T), kept


def _parsed(names: bytes, ndim: int) -> npt.NDArray[np.int64] | None:
    """The numbers in names such as ``0.1.2``, a row for each; None if one of them is no such."""
    text = np.frombuffer(names + b"\n", np.uint8)
    ends = np.flatnonzero((text == ord(".")) | (text == ord("\n")))
    digits = np.diff(ends, prepend=-1) - 1
    if ends.size % ndim or digits.min() < 1 or digits.max() > _LONGEST_NUMBER:
        return None
    if ((text[ends - digits] == ord("0")) & (digits > 1)).any():
        return None
    lines = (text[ends] == ord("\n")).reshape(-1, ndim)
    if not lines[:, -1].all() or lines[:, :-1].any():
        return None
    if int(((text >= ord("0")) & (text <= ord("9"))).sum()) != int(digits.sum()):
        return None
    numbers = np.zeros(ends.size, np.int64)
    for place in range(int(digits.max())):
        has = digits > place
        numbers[has] += (text[ends[has] - 1 - place] - ord("0")).astype(np.int64) * 10**place
    return numbers.reshape(-1, ndim)


def numbers_in(name: str, grid: tuple[int, ...]) -> tuple[int, ...] | None:
    """The chunk that `name` means, or None if the array has none of that name."""
    if not grid:
        return ()
    parts = name.split(".")
    if len(parts) != len(grid) or not all(part.isascii() and part.isdigit() for part in parts):
        return None
    numbers = tuple(map(int, parts))
    if list(map(str, numbers)) != parts:
        return None  # 007 is another name than 7, by which nobody asks
    return numbers if all(n < m for n, m in zip(numbers, grid, strict=True)) else None
