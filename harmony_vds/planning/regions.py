"""The cells of a grid that a request's region holds: its box, its shape, or what both hold."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from functools import reduce

from harmony_vds.model.cell_set import CellSet
from harmony_vds.model.grid import Grid
from harmony_vds.model.plan import Mask, PlannedVariable
from harmony_vds.model.request import Request
from harmony_vds.model.shape import Shape
from harmony_vds.planning.boxes import cells_in_box
from harmony_vds.planning.cells import Cells
from harmony_vds.planning.spatial import HorizontalSelection, select_box


def select_region(
    grid: Grid, request: Request, whole: HorizontalSelection
) -> tuple[HorizontalSelection, CellSet | None, str]:
    """The window of a request's region, which cells of it are in, None if all are, and a remark.

    Raises
    ------
    StoreError
        An axis is in no order, or holds missing values.

    **Reads:** nothing.
    """
    if isinstance(request.shape, Shape):
        from harmony_vds.planning.shapes import select_shape

        found = select_shape(grid, request.shape, request.bbox)
        exact = request.pixel_subset or found.inside.is_full
        return found.kept, None if exact else found.inside, found.note
    return (whole if request.bbox is None else select_box(grid, request.bbox)), None, ""


def select_cells(grid: Grid, request: Request) -> Cells:
    """The cells of any but a rectilinear grid in a request's region, of which there is one.

    **Reads:** nothing.
    """
    found = [] if request.bbox is None else [cells_in_box(grid, request.bbox)]
    if isinstance(request.shape, Shape):
        from harmony_vds.planning.shapes import cells_in_shape

        found.append(cells_in_shape(grid, request.shape))
    return reduce(Cells.intersection, found)


def region_words(request: Request) -> str:
    """The region of a request, for people. **Reads:** nothing."""
    words = [f"the box {request.bbox}"] if request.bbox is not None else []
    if isinstance(request.shape, Shape):
        words.append(f"the shape, which lies within {request.shape.bbox},")
    return " and ".join(words)


def masks_of(
    cells: Mapping[tuple[str, ...], CellSet],
    variables: Iterable[PlannedVariable],
    places: AbstractSet[str],
) -> tuple[Mask, ...]:
    """Masks for the `variables` laid out over `cells`, those aside that say where cells are.

    Parameters
    ----------
    cells
        Dimensions of a grid → which cells of its window are in.
    variables
        Of the output.
    places
        Paths of coordinates.

    **Reads:** nothing.
    """
    laid = list(variables)
    found = []
    for dimensions, inside in cells.items():
        own = (v.path for v in laid if set(dimensions) <= set(v.dimensions))
        found.append(Mask(dimensions, inside, frozenset(own) - places))
    return tuple(found)
