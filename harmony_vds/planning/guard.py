"""Refuses what cannot be done or is too large, with numbers and a way on."""

from collections.abc import Sequence

from harmony_vds.errors import TooLargeError, UnsupportedError
from harmony_vds.model.limits import Limits
from harmony_vds.model.plan import Cost, Plan, human_bytes
from harmony_vds.model.request import NETCDF, Request, Source
from harmony_vds.model.store import VirtualStore
from harmony_vds.planning.narrowing import Narrowing


def refuse_unsupported(request: Request) -> None:
    """Raise for what this service does not do, before any work.

    Raises
    ------
    UnsupportedError
        The text names the parameter and what to ask instead.

    **Reads:** nothing.
    """
    if request.is_map_image:
        raise UnsupportedError(
            "Map images (WMS) are not made by this service; order netCDF instead."
        )
    if request.media_type != NETCDF:
        raise UnsupportedError(
            f"The format {request.media_type!r} is not written by this service; ask for {NETCDF}."
        )
    if request.average is not None:
        raise UnsupportedError(
            f"Averages (average={request.average}) are not computed by this service; ask without."
        )
    if request.point is not None:
        longitude, latitude = request.point
        raise UnsupportedError(
            "Points are not answered by this service; ask for a box around the place, as thin as "
            f"you like: lon({longitude:g}:{longitude:g}), lat({latitude:g}:{latitude:g})."
        )
    if request.shape is not None:
        raise UnsupportedError("Shapes are not cut by this service; ask for a bounding box.")
    if request.target is not None:
        raise UnsupportedError(
            "Reprojection and regridding (outputCrs, scaleExtent, scaleSize, width, height, grid) "
            "are not done by this service; ask for the store's own grid."
        )
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
            "store of the collection (a frame, say) gives one. Ask for a smaller box, or add "
            "forceAsync=true."
        )


def check_total(costs: Sequence[Cost], limits: Limits) -> None:
    """Raise if several plans, each of them allowed, are too much together.

    Raises
    ------
    TooLargeError
        The text gives what was asked, the limit and its setting.

    **Reads:** nothing.
    """
    for verb, total, allowed, setting in (
        ("read", sum(own.bytes_read for own in costs), limits.max_read_bytes,
         "HARMONY_VDS_MAX_READ_BYTES"),
        ("write", sum(own.bytes_written for own in costs), limits.max_output_bytes,
         "HARMONY_VDS_MAX_OUTPUT_BYTES"),
    ):  # fmt: skip
        if total > allowed:
            raise TooLargeError(
                f"The request is too large: its {len(costs)} outputs would {verb} "
                f"{human_bytes(total)} together, and one request may {verb} {human_bytes(allowed)} "
                f"({setting}). Ask for a smaller box, a shorter time range or fewer collections."
            )


def check_volume(
    plan: Plan, limits: Limits, store: VirtualStore, request: Request, source: Source
) -> None:
    """Raise if `plan` would read or write more than `limits` allow.

    Parameters
    ----------
    plan
        The plan that answers `request` for `source` from `store`.
    limits
        What one request may do.
    store, request, source
        Where the plan came from; smaller requests are planned in the same way.

    Raises
    ------
    TooLargeError
        The text gives what was asked, the limit, its setting, and requests that fit.

    **Reads:** nothing; coordinates for a request that is too large.
    """

    def fits(cost: Cost) -> bool:
        return not _excess(cost, limits)

    excess = _excess(plan.cost, limits)
    if not excess:
        return
    found = Narrowing(store, request, source, plan, fits).suggestions()
    way_on = f"Ask for {', or '.join(found)}" if found else "No smaller request was found to fit"
    raise TooLargeError(
        f"The request is too large: it would {excess[0]}. {way_on}; or ask the operator for more."
    )


def _excess(cost: Cost, limits: Limits) -> list[str]:
    """What exceeds its limit, in words."""
    checks = (
        ("read", cost.bytes_read, limits.max_read_bytes, "HARMONY_VDS_MAX_READ_BYTES"),
        ("write", cost.bytes_written, limits.max_output_bytes, "HARMONY_VDS_MAX_OUTPUT_BYTES"),
    )
    return [
        f"{verb} {human_bytes(wanted)} ({cost.chunks:,} chunks), and one request may {verb} "
        f"{human_bytes(allowed)} ({setting})"
        for verb, wanted, allowed, setting in checks
        if wanted > allowed
    ]
