"""Whether a store holds data where a request looks, or only has room for them.

Stores are laid out ahead of their data: hours yet to come have their slots, and frames reach beyond
what was seen. A chunk that is not there reads as fill, and an answer of fill alone is none.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from harmony_vds.errors import NoDataError
from harmony_vds.model.masking import asked_chunks
from harmony_vds.model.plan import Mask, PlannedVariable, Role
from harmony_vds.model.selection import AxisSelection
from harmony_vds.planning.cost import kept_positions
from harmony_vds.planning.hierarchy import Hierarchy

_MOST_NAMED = 6


def refuse_nothing(
    variables: Sequence[PlannedVariable],
    selection: Mapping[str, AxisSelection],
    hierarchy: Hierarchy,
    masks: Sequence[Mask] = (),
) -> None:
    """Raise if none of the requested variables that `selection` cuts has a chunk where it cuts.

    Of those under `masks` only chunks with a cell inside count.

    Variables that are kept whole do not count, neither for nor against.

    Raises
    ------
    NoDataError
        The text counts the chunks that are not there and says that they may come.

    **Reads:** metadata.
    """
    names, chunks = [], 0
    for variable in variables:
        if variable.role is not Role.REQUESTED or variable.path in hierarchy.held:
            continue
        cuts = (selection.get(dimension) for dimension in variable.dimensions)
        if all(own is None or own.is_whole for own in cuts):
            continue
        shape = hierarchy.variables[variable.path].shape
        kept = kept_positions(variable, shape, selection)
        index = hierarchy.store.chunk_index(variable.path, kept)
        asked = asked_chunks(masks, variable.path, variable.dimensions, kept, index.cuts)
        tally = index.sparing(asked).tally([np.sort(own) for own in kept])
        if tally.missing < tally.chunks:
            return
        names.append(variable.path.lstrip("/"))
        chunks += tally.chunks
    if chunks:
        named = ", ".join(names[:_MOST_NAMED]) + " and others" * (len(names) > _MOST_NAMED)
        raise NoDataError(
            f"The store has room for {named} where the request looks, and no data yet: its "
            f"manifest holds none of the {chunks:,} chunks. They may be published later; ask for "
            "another time or place."
        )
