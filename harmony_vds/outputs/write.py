"""Chooses the writer for a media type and describes what it wrote."""

from collections.abc import Callable
from pathlib import Path

from harmony_vds.errors import UnsupportedError
from harmony_vds.model.extent import BoundingBox, TimeRange
from harmony_vds.model.output import Output
from harmony_vds.model.plan import Plan
from harmony_vds.model.request import NETCDF
from harmony_vds.model.store import CollectionNotes
from harmony_vds.model.subset import Subset
from harmony_vds.outputs.netcdf import EXTENSION, Step, checksum, write_netcdf
from harmony_vds.outputs.provenance import now

type Writer = Callable[[Subset, Plan, Path, Step], None]

_WRITERS: dict[str, tuple[str, Writer]] = {NETCDF: (EXTENSION, write_netcdf)}
WORLD = BoundingBox(-180.0, -90.0, 180.0, 90.0)


def write(subset: Subset, plan: Plan, folder: Path, notes: CollectionNotes, step: Step) -> Output:
    """Write `subset` into `folder` and describe the file.

    Where the data have no time axis, the output's time is that of the records, and so is its box
    where they have no grid.

    Raises
    ------
    UnsupportedError
        There is no writer for what was asked.

    **Reads:** chunks.
    """
    media_type = str(plan.asked.get("format", NETCDF))
    if media_type not in _WRITERS:
        raise UnsupportedError(f"The format {media_type!r} is not written by this service.")
    extension, writer = _WRITERS[media_type]
    path = folder / f"subset{extension}"
    writer(subset, plan, path, step)
    return Output(
        path=path,
        media_type=media_type,
        bbox=plan.bbox() or notes.bbox or WORLD,
        temporal=_time_of(plan, notes),
        nbytes=path.stat().st_size,
        checksum=checksum(path),
        missing=plan.cost.missing,
        title=_title(plan),
    )


def _time_of(plan: Plan, notes: CollectionNotes) -> TimeRange:
    covered = plan.coverage
    if covered is not None and covered.start is not None and covered.end is not None:
        return covered
    start, end = notes.start, notes.end or now()
    return TimeRange(start or end, end)


def _title(plan: Plan) -> str:
    names = ", ".join(path.lstrip("/") for path in plan.requested[:4])
    more = f" and {len(plan.requested) - 4} more" if len(plan.requested) > 4 else ""
    return f"{names}{more}; answered from the collection's virtual store"
