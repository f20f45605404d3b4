"""Selections widened to whole chunks, for outputs that point to chunks instead of holding them.

A reference names all of a chunk, so what is kept of a dimension begins and ends where chunks of
every variable along it do. The last chunk of a dimension may be cut short by its end; such a piece
can only stand last in the output.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from harmony_vds.model.chunks import Cut, numbers_of, starts_of
from harmony_vds.model.selection import AxisSelection


def snapped(kept: AxisSelection, cuts: Sequence[Cut]) -> AxisSelection:
    """`kept` widened outward to chunk edges.

    Parameters
    ----------
    kept
        Positions along one dimension.
    cuts
        How each variable that has the dimension cuts it into chunks.

    Returns
    -------
    AxisSelection
        Every kept position and as few others as whole chunks allow, in the same order of pieces.
        The whole dimension where pieces would overlap, or where one that ends with the dimension's
        own short last chunk would not stand last.

    **Reads:** nothing.
    """
    pieces = _joined([_outward(piece, kept.size, cuts) for piece in kept.pieces])
    ordered = sorted(pieces, key=lambda piece: piece.start)
    overlap = any(a.stop > b.start for a, b in pairwise(ordered))
    short = any(kept.size % cut for cut in cuts if isinstance(cut, int))
    ends_early = any(piece.stop == kept.size for piece in pieces[:-1])
    if overlap or (short and ends_early):
        return AxisSelection.whole(kept.size)
    return AxisSelection(kept.size, tuple(pieces))


def snapped_turns(
    turns: npt.NDArray[np.float64] | None, before: AxisSelection, now: AxisSelection
) -> npt.NDArray[np.float64] | None:
    """Turns added to the longitudes of pieces, after these were widened.

    Parameters
    ----------
    turns
        Degrees added to each longitude of `before`; None for none.
    before
        Columns kept, in output order.
    now
        The same, `snapped`.

    Returns
    -------
    ndarray or None
        Of the length of `now`, each piece with the turn that it had; None where the pieces are not
        the same any more, so that longitudes come out as the store has them.

    **Reads:** nothing.
    """
    if turns is None or len(before.pieces) != len(now.pieces):
        return None
    ends = np.cumsum([len(piece) for piece in before.pieces])[:-1]
    own = [np.unique(part) for part in np.split(turns, ends)]
    if any(part.size != 1 for part in own):
        return None
    return np.repeat([part[0] for part in own], [len(piece) for piece in now.pieces])


def _outward(piece: range, size: int, cuts: Iterable[Cut]) -> range:
    """`piece` up to edges that all `cuts` share: widened by each in turn until none moves it."""
    start, stop = piece.start, piece.stop
    before = (-1, -1)
    while (start, stop) != before:
        before = (start, stop)
        for cut in cuts:
            first, last = numbers_of(np.array([start, stop - 1]), cut)
            start = int(starts_of(first, cut))
            stop = min(int(starts_of(last + 1, cut)), size)
    return range(start, stop)


def _joined(pieces: Sequence[range]) -> list[range]:
    """`pieces` with those that run on, or say the same again, made one."""
    joined: list[range] = []
    for piece in pieces:
        if joined and joined[-1].start <= piece.start <= joined[-1].stop <= piece.stop:
            joined[-1] = range(joined[-1].start, piece.stop)
        elif not joined or piece != joined[-1]:
            joined.append(piece)
    return joined
