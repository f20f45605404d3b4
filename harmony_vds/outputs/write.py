"""Chooses the writer for a format and describes what it wrote."""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path, PurePosixPath

from harmony_vds.model.extent import WORLD, TimeRange
from harmony_vds.model.formats import (
    CSV,
    GEOTIFF,
    ICECHUNK,
    KERCHUNK,
    NETCDF,
    PARQUET,
    PNG,
    ZARR,
    ZIP,
)
from harmony_vds.model.listing import listed
from harmony_vds.model.output import Output
from harmony_vds.model.plan import Plan
from harmony_vds.model.store import CollectionNotes
from harmony_vds.model.subset import Subset
from harmony_vds.outputs.columns import table_of
from harmony_vds.outputs.image import refuse_layers
from harmony_vds.outputs.pieces import Step
from harmony_vds.outputs.provenance import now
from harmony_vds.outputs.raster import Raster, rasters
from harmony_vds.telemetry import timed

type Writer = Callable[[Subset, Plan, Path, Step], None]
"""Writes a subset to a path."""
type RasterWriter = Callable[[Raster, Subset, Plan, Path, Step], None]
"""Writes one variable of a subset to a path."""

WRITERS = {
    NETCDF: ("harmony_vds.outputs.netcdf", "write_netcdf"),
    ZARR: ("harmony_vds.outputs.zarr", "write_zarr"),
    GEOTIFF: ("harmony_vds.outputs.geotiff", "write_geotiff"),
    PNG: ("harmony_vds.outputs.image", "write_png"),
    KERCHUNK: ("harmony_vds.outputs.references", "write_kerchunk"),
    ICECHUNK: ("harmony_vds.outputs.repository", "write_icechunk"),
    CSV: ("harmony_vds.outputs.table", "write_csv"),
    PARQUET: ("harmony_vds.outputs.table", "write_parquet"),
}
"""Media type → module and function, imported when needed: each brings a library of its own."""


def refuse_unwritable(subset: Subset, plan: Plan) -> None:
    """Raise for what the format of `plan` cannot hold, before any chunk is read.

    Raises
    ------
    UnsupportedError
        The variables have no common rows, and the format is a table; or no regular grid, and the
        format is a raster; or several layers, and it is a picture.

    **Reads:** nothing; coordinates for a raster.
    """
    found = rasters(subset, plan) if plan.format.per_variable else []
    if plan.format.media_type == PNG:
        for own in found:
            refuse_layers(own, plan)
    if plan.format.is_table:
        table_of(subset, plan)


def write(  # noqa: PLR0913, PLR0917  what is written, where, and what of it
    subset: Subset, plan: Plan, folder: Path, notes: CollectionNotes, step: Step,
    leaving_out: Collection[str] = (),
) -> Iterator[Output]:  # fmt: skip
    """Write `subset` into `folder` and describe the files, one or one for each variable.

    Of formats with a file for each variable those of `leaving_out`, full paths, are not written.

    Where the data have no time axis, the output's time is that of the records, and so is its box
    where they have no grid.

    Raises
    ------
    UnsupportedError
        There is no writer for what was asked, or it cannot hold a variable.

    **Reads:** chunks.
    """
    module, function = WRITERS[plan.format.media_type]
    if plan.format.per_variable:
        each: RasterWriter = getattr(import_module(module), function)
        yield from _write_each(each, subset, plan, folder, notes, step, leaving_out)
        return
    writer: Writer = getattr(import_module(module), function)
    name, media_type = file_of(plan)
    path = folder / name
    with timed("write"):
        writer(subset, plan, path, step)
        nbytes = sum(own.stat().st_size for own in files_of(path))
        output = described(path, media_type, nbytes, checksum(path), plan, notes)
        output = _with_companions(output, subset, plan, notes)
    yield output


def expected(plan: Plan, notes: CollectionNotes, subset: Callable[[], Subset]) -> list[Output]:
    """What `write` gives, in order, described without size and checksum.

    The subset is made only where what is in it tells how many files there are. Errors as in
    `refuse_unwritable`. **Reads:** nothing; coordinates for a raster.
    """
    name, media_type = file_of(plan)
    output = described(Path(name), media_type, 0, "", plan, notes)
    if not plan.format.per_variable:
        return [output]
    return [replace(output, variable=own.variable.planned.path) for own in rasters(subset(), plan)]


def _with_companions(output: Output, subset: Subset, plan: Plan, notes: CollectionNotes) -> Output:
    if plan.layout.beside == "none":
        return output
    from harmony_vds.outputs.companions import with_companions

    return with_companions(output, subset, plan, notes)


def _write_each(  # noqa: PLR0913, PLR0917  as `write`
    writer: RasterWriter, subset: Subset, plan: Plan, folder: Path, notes: CollectionNotes,
    step: Step, leaving_out: Collection[str],
) -> Iterator[Output]:  # fmt: skip
    """One file for each requested variable that lies on a grid; others have no place in any."""
    for number, own in enumerate(rasters(subset, plan)):
        if own.variable.planned.path in leaving_out:
            step(own.variable.data.nbytes)
            continue
        path = folder / str(number) / f"subset{plan.format.extension}"
        path.parent.mkdir()
        with timed("write"):
            writer(own, subset, plan, path, step)
            nbytes, sha256 = path.stat().st_size, checksum(path)
            output = described(path, plan.format.media_type, nbytes, sha256, plan, notes)
            output = replace(output, variable=own.variable.planned.path)
            output = _with_companions(output, subset, plan, notes)
        yield output


def file_of(plan: Plan) -> tuple[str, str]:
    """Name and media type of the file that `plan` is written into. **Reads:** nothing."""
    name, media_type = f"subset{plan.format.extension}", plan.format.media_type
    if media_type == ZARR and plan.layout.zarr == "zip":
        return f"{name}.zip", ZIP
    if media_type == ICECHUNK:  # the one type whose links Harmony leaves to S3
        return name, ZARR
    return name, media_type


def described(  # noqa: PLR0913, PLR0917  what a file is, and what it is of
    path: Path, media_type: str, nbytes: int, sha256: str, plan: Plan, notes: CollectionNotes
) -> Output:
    """A file that `plan` was written into, described. **Reads:** nothing."""
    return Output(
        path=path,
        media_type=media_type,
        bbox=plan.bbox() or notes.bbox or WORLD,
        temporal=_time_of(plan, notes),
        nbytes=nbytes,
        checksum=sha256,
        missing=plan.cost.missing,
        title=_title(plan),
    )


def files_of(path: Path) -> list[Path]:
    """The file itself, or all files in a folder, sorted. **Reads:** nothing from outside."""
    return sorted(own for own in path.rglob("*") if own.is_file()) if path.is_dir() else [path]


def checksum(path: Path) -> str:
    """SHA-256, hexadecimal, of a file; of a folder as `Output.checksum` says.

    **Reads:** nothing from outside.
    """
    if not path.is_dir():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    sums = {own.relative_to(path).as_posix(): checksum(own) for own in files_of(path)}
    return hashlib.sha256(listing_of(sums).encode()).hexdigest()


def listing_of(sums: Mapping[str, str]) -> str:
    """Path → SHA-256 of the files in a folder, as ``sha256sum`` lists them. **Reads:** nothing.

    >>> print(listing_of({"b": "12", "a/c": "34"}), end="")
    34  a/c
    12  b
    """
    names = sorted(sums, key=PurePosixPath)
    return "".join(f"{sums[name]}  {name}\n" for name in names)


def _time_of(plan: Plan, notes: CollectionNotes) -> TimeRange:
    covered = plan.coverage
    if covered is not None and covered.start is not None and covered.end is not None:
        return covered
    start, end = notes.start, notes.end or now()
    return TimeRange(start or end, end)


def _title(plan: Plan) -> str:
    names = listed([path.lstrip("/") for path in plan.requested], 4)
    return f"{names}; answered from the collection's virtual store"
