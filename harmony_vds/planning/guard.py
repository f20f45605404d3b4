"""Refuses what this service does not do, with a way on."""

from harmony_vds.errors import TooLargeError, UnsupportedError
from harmony_vds.model.average import AverageKind
from harmony_vds.model.formats import format_of
from harmony_vds.model.request import Request


def refuse_unsupported(request: Request) -> None:
    """Raise for what this service does not do, before any work.

    Raises
    ------
    UnsupportedError
        The text names the parameter and what to ask instead.

    **Reads:** nothing.
    """
    if request.average not in (None, *AverageKind):
        raise UnsupportedError(
            f"Averages are over time or area; average={request.average!r} is neither."
        )
    _refuse_for_format(request)
    _refuse_together(request)
    if request.extend:
        raise UnsupportedError(
            "Extending dimensions is not done by this service; ask without extend."
        )
    sources = len(request.sources)
    if request.synchronous and sources != 1:
        raise UnsupportedError(
            f"A synchronous request must have exactly one output, and this one asks for {sources} "
            "collections. Ask for one collection, or add forceAsync=true."
        )


def refuse_many_sources(request: Request, most: int) -> None:
    """Raise where each collection, of which all have a store at least, would be one too many.

    Raises
    ------
    TooLargeError
        The text says how many there are.

    **Reads:** nothing.
    """
    if len(request.sources) > most:
        raise TooLargeError(
            f"The message names {len(request.sources):,} collections in its sources, and one "
            f"request is answered from at most {most} stores (HARMONY_VDS_MAX_STORES). Ask for "
            "fewer at once."
        )


def _refuse_for_format(request: Request) -> None:
    """Raise for what the format cannot hold."""
    form = format_of(request.media_type)
    derived = request.average is not None or request.is_placed or request.target is not None
    if form.by_reference and derived:
        raise UnsupportedError(
            f"The format {form.name} points to the archive's own chunks, and what is averaged, "
            "reprojected or picked by place is in none of them. Ask for netCDF."
        )
    if form.per_variable and (request.is_placed or request.average == AverageKind.AREA):
        what = "series at places" if request.is_placed else "averages over an area"
        raise UnsupportedError(
            f"The format {form.name} shows rows and columns, and {what} have none. Ask for netCDF "
            "or CSV."
        )


def _refuse_together(request: Request) -> None:
    """Raise for what is asked for beside something that it does not go with."""
    others = {
        "a bounding box": request.bbox, "a shape": request.shape, "an average": request.average,
    }  # fmt: skip
    besides = [name for name, value in others.items() if value is not None]
    if request.places and request.line:
        besides.append("a line")
    if request.is_placed and besides:
        raise UnsupportedError(
            f"Points and {besides[0]} cannot be asked for together; ask for one of them."
        )
    over_area = request.average == AverageKind.AREA
    if request.target is not None and (request.is_placed or over_area):
        what = "Points" if request.is_placed else "Averages over an area"
        raise UnsupportedError(
            f"{what} have no rows and columns to be put on a target grid; ask for them without "
            "outputCrs, scaleExtent, scaleSize, width, height and grid, which changes none of "
            "their values."
        )


def refuse_several_outputs(request: Request, outputs: int) -> None:
    """Raise if someone waits for one file and there are more.

    Raises
    ------
    UnsupportedError
        The text says how many there are, and how to get them all, or one.

    **Reads:** nothing.
    """
    if request.synchronous and outputs > 1:
        raise UnsupportedError(
            f"A synchronous request must have exactly one output, and this one has {outputs}: each "
            "store of the collection (a frame, say) gives one, in some formats each variable. Ask "
            "for a smaller box or one variable, or add forceAsync=true."
        )
