"""Refuses what cannot be done or is too large, with numbers and a way on."""

from collections.abc import Mapping

from harmony_vds.errors import TooLargeError, UnsupportedError
from harmony_vds.model.limits import Limits
from harmony_vds.model.plan import Plan, human_bytes
from harmony_vds.model.request import NETCDF, Request

_DEFAULT_FORMATS = (
    "",
    "*/*",
    "application/netcdf4",
    "application/x-netcdf",
    "application/x-netcdf4",
)


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
    if request.media_type not in (NETCDF, *_DEFAULT_FORMATS):
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
    if request.dimensions:
        named = ", ".join(sorted(d.name for d in request.dimensions))
        raise UnsupportedError(
            f"Ranges of dimensions other than lat, lon and time ({named}) are not cut by this "
            "service; ask without them."
        )
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


def check_volume(plan: Plan, limits: Limits) -> None:
    """Raise if `plan` would read or write more than `limits` allow.

    Raises
    ------
    TooLargeError
        The text gives what was asked, the limit and requests that would fit.

    **Reads:** nothing.
    """
    cost = plan.cost
    checks = (
        ("read", cost.bytes_read, limits.max_read_bytes, "HARMONY_VDS_MAX_READ_BYTES"),
        ("write", cost.bytes_written, limits.max_output_bytes, "HARMONY_VDS_MAX_OUTPUT_BYTES"),
    )
    for verb, wanted, allowed, setting in checks:
        if wanted > allowed:
            raise TooLargeError(
                f"The request is too large: it would {verb} {human_bytes(wanted)} ({cost.chunks:,} "
                f"chunks), and one request may {verb} {human_bytes(allowed)} ({setting}). "
                f"{_way_on(plan, wanted / allowed)}"
            )


def _way_on(plan: Plan, excess: float) -> str:
    """Smaller requests, in the plan's own numbers."""
    advice = []
    sizes: Mapping[str, int] = _steps(plan)
    for dimension, steps in sizes.items():
        if fitting := int(steps / excess):
            advice.append(f"at most {fitting:,} of the {steps:,} steps of {dimension}")
    if len(plan.requested) > 1 and (fitting := int(len(plan.requested) / excess)):
        advice.append(f"{fitting} of the {len(plan.requested)} variables")
    if plan.grids:
        advice.append(f"a box of 1/{excess:.1f} of the area")
    return f"Ask for {', or '.join(advice) or 'less'}; or send several requests."


def _steps(plan: Plan) -> Mapping[str, int]:
    axes = {path.rpartition("/")[2] for path in plan.time_axes}
    return {
        path.rpartition("/")[2]: len(kept)
        for path, kept in plan.selection.items()
        if path.rpartition("/")[2] in axes
    }
