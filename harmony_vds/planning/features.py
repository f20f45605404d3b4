"""The cells of each feature of a shape, where each has an average of its own."""

from collections.abc import Iterable

from harmony_vds.model.average import FeatureCells, Features
from harmony_vds.model.grid import Grid
from harmony_vds.model.listing import listed
from harmony_vds.model.selection import AxisSelection
from harmony_vds.model.shape import Shape

type Window = tuple[Grid, AxisSelection, AxisSelection]
"""A grid, and the rows and columns of it that are kept."""


def features_of(shape: Shape, windows: Iterable[Window], taken: Iterable[str]) -> Features:
    """The cells of each feature of `shape` in each of `windows`, by the edge rules of shapes.

    A feature that is in none of the cells stays, with no cells. Features may share cells.

    Parameters
    ----------
    shape
        With several features.
    windows
        Where cells are kept.
    taken
        Full paths of variables and dimensions of the output, which the names of features avoid.

    **Reads:** nothing.
    """
    from harmony_vds.planning.within import inside

    cells = []
    for grid, down, across in windows:
        places = [
            inside(grid, down.positions, across.positions, own.geometry).places
            for own in shape.features
        ]
        rows, columns = zip(*places, strict=True)
        cells.append(FeatureCells((grid.dimensions[0], grid.dimensions[1]), rows, columns))
    used = {*taken}
    dimension = _free("/feature", used)
    names = tuple(own.name for own in shape.features)
    return Features(names, dimension, _free("/feature_name", used), tuple(cells))


def remarks(features: Features) -> Iterable[str]:
    """What the user should know of features without cells. **Reads:** nothing."""
    for own in features.cells:
        empty = [name for name, rows in zip(features.names, own.rows, strict=True) if not rows.size]
        if empty:
            yield f"No cell lies in {len(empty)} of the features: {listed(empty)}."


def _free(path: str, taken: set[str]) -> str:
    while path in taken:
        path += "_of_shape"
    return path
