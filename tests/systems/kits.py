"""Real granules as virtual stores in every form, at every kind of place, and what they hold.

What a source file holds is read here with netCDF4 alone, and which of it a request means is worked
out from its coordinates with numpy alone.
"""

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from servers import Server, file_server, upload
from world import (
    kerchunk_references,
    virtual_dataset,
    virtualizarr_references,
    write_icechunk,
    write_references,
)

from harmony_vds.access.credentials import Credentials
from harmony_vds.model.extent import BoundingBox, TimeRange
from harmony_vds.model.output import Output
from harmony_vds.model.request import DimensionRange, Request, Source
from harmony_vds.pipeline import Prepared, Services, fulfil, prepare
from harmony_vds.settings import Settings

BUCKET = "archive"
FORMS = ("icechunk", "virtualizarr", "kerchunk")
PLACES = ("file", "http", "s3")


@dataclass(frozen=True)
class Kit:
    """A real product and a request that makes sense of it."""

    folder: str
    """Below the shared data."""
    pattern: str
    """Its granules."""
    variables: tuple[str, ...]
    """What is asked for, by full path."""
    box: tuple[float, float, float, float]
    """West, south, east, north; no edge on a cell centre."""
    times: tuple[datetime, datetime]
    """Asked for."""
    lat: str = "/lat"
    lon: str = "/lon"
    time: str = "/time"
    joined: bool = True
    """Whether granules are joined along time."""
    accompanying: tuple[str, ...] = ()
    """Coordinates and the like that must come along, beside lat, lon and time."""

    def files(self, data: Path) -> list[Path]:
        return sorted((data / self.folder).glob(self.pattern))


# ---------------------------------------------------------------- the truth, by netCDF4 and numpy


def raw(path: Path, name: str) -> np.ndarray:
    """A variable's stored values, nothing masked, scaled or joined to strings."""
    with netCDF4.Dataset(path) as nc:
        variable = nc[name]
        variable.set_auto_maskandscale(False)
        variable.set_auto_chartostring(False)
        return np.asarray(variable[...])


def described(path: Path, name: str) -> tuple[tuple[str, ...], np.dtype, dict[str, Any]]:
    """A variable's dimensions, type and attributes."""
    with netCDF4.Dataset(path) as nc:
        variable = nc[name]
        return (
            variable.dimensions,
            variable.dtype,
            {key: variable.getncattr(key) for key in variable.ncattrs()},
        )


def root_attributes(path: Path) -> dict[str, Any]:
    with netCDF4.Dataset(path) as nc:
        return {key: nc.getncattr(key) for key in nc.ncattrs()}


def paths_of(path: Path) -> set[str]:
    """Full paths of all variables of a file."""

    def below(group: Any) -> Iterator[str]:
        yield from (f"{group.path.rstrip('/')}/{name}" for name in group.variables)
        for child in group.groups.values():
            yield from below(child)

    with netCDF4.Dataset(path) as nc:
        return set(below(nc))


def joined(files: Sequence[Path], name: str, along: str | None) -> np.ndarray:
    """The stored values of all granules, joined along dimension `along`."""
    dimensions, _, _ = described(files[0], name)
    if along is None or along not in dimensions:
        return raw(files[0], name)
    return np.concatenate([raw(path, name) for path in files], dimensions.index(along))


@dataclass(frozen=True)
class Kept:
    """Positions that a request means, and the longitudes they get."""

    rows: np.ndarray
    columns: np.ndarray
    steps: np.ndarray
    longitudes: np.ndarray


def expected_positions(kit: Kit, files: Sequence[Path]) -> Kept:
    """By brute force: centres inside the box, eastward from its western edge; steps inside."""
    west, south, east, north = kit.box
    lat = raw(files[0], kit.lat).astype(np.float64)
    lon = raw(files[0], kit.lon).astype(np.float64)
    rows = np.flatnonzero((lat >= south) & (lat <= north))
    eastward = (lon - west) % 360
    inside = np.flatnonzero(eastward <= (east - west) % 360)
    columns = inside[np.argsort(eastward[inside])]
    stored = raw(files[0], kit.lon)[columns]
    if (np.diff(columns) == 1).all():
        longitudes = stored
    else:  # runs on across the edge of the data, numbered from the western edge of the box
        longitudes = (west + eastward[columns]).round(6).astype(stored.dtype)
    with netCDF4.Dataset(files[0]) as nc:
        units = nc[kit.time].units
        calendar = getattr(nc[kit.time], "calendar", "standard")
    numbers = np.atleast_1d(joined(files, kit.time, kit.time[1:] if kit.joined else None))
    moments = netCDF4.num2date(numbers, units, calendar.lower(), only_use_cftime_datetimes=False)
    first, last = (m.replace(tzinfo=None) for m in kit.times)
    naive = np.array([datetime(*m.timetuple()[:6]) for m in moments])
    return Kept(rows, columns, np.flatnonzero((naive >= first) & (naive <= last)), longitudes)


def expected_values(kit: Kit, files: Sequence[Path], name: str, kept: Kept) -> np.ndarray:
    """The stored values of a variable that the request means."""
    dimensions, _, _ = described(files[0], name)
    values = joined(files, name, kit.time[1:] if kit.joined else None)
    positions = {kit.lat[1:]: kept.rows, kit.lon[1:]: kept.columns, kit.time[1:]: kept.steps}
    for axis, dimension in enumerate(dimensions):
        if dimension in positions:
            values = np.take(values, positions[dimension], axis)
    return kept.longitudes if name == kit.lon else values


def same_bits(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Whether two arrays hold the same numbers bit for bit, whatever their byte order."""
    native = [np.ascontiguousarray(a.astype(a.dtype.newbyteorder("="))) for a in (ours, theirs)]
    return (
        native[0].dtype == native[1].dtype
        and native[0].shape == native[1].shape
        and native[0].tobytes() == native[1].tobytes()
    )


# ---------------------------------------------------------------- stores over them


@dataclass(frozen=True)
class Place:
    """Where granules and stores are published, and how they are reached."""

    scheme: str
    granules: str
    """URL of the granules' folder, with trailing slash."""
    stores: str
    """URL of the stores' folder, with trailing slash."""
    publish: Callable[[], None]
    """Makes what lies in the local stores' folder reachable."""
    trusted: tuple[str, ...]
    s3: str = ""
    servers: tuple[Server, ...] = field(default=())


@contextmanager
def place(scheme: str, granules: Path, stores: Path, s3: str = "") -> Iterator[Place]:
    """The folders, published by `scheme`."""
    if scheme == "file":
        urls = (f"{granules.resolve().as_uri()}/", f"{stores.resolve().as_uri()}/")
        yield Place("file", *urls, lambda: None, urls)
    elif scheme == "http":
        with file_server(granules) as archive, file_server(stores) as shelf:
            urls = (f"{archive.url}/", f"{shelf.url}/")
            yield Place("http", *urls, lambda: None, urls, servers=(archive, shelf))
    else:
        prefix = f"{stores.parent.name}-{stores.name}/"
        upload(s3, BUCKET, granules, f"{granules.name}/")
        yield Place(
            "s3", f"s3://{BUCKET}/{granules.name}/", f"s3://{BUCKET}/{prefix}",
            lambda: upload(s3, BUCKET, stores, prefix), (f"s3://{BUCKET}/",), s3,
        )  # fmt: skip


def write_store(
    form: str,
    files: Sequence[Path],
    folder: Path,
    base: str,
    *,
    along: str | None = "time",
    inline: int = 100,
) -> str:
    """A store over `files`, whose folder is published at `base`; gives its name in `folder`.

    kerchunk puts chunks below `inline` bytes into the document.
    """
    here = f"{files[0].resolve().parent.as_uri()}/"

    def moved(url: str) -> str:
        if not url:
            return url  # a chunk that was never written lies nowhere
        return base + url.removeprefix(here).removeprefix(here.removeprefix("file://"))

    if form == "kerchunk":
        constant = [name[1:] for name in paths_of(files[0])
                    if along not in described(files[0], name)[0]]  # fmt: skip
        document = kerchunk_references(files, moved, along or "time", inline, constant)
        return write_references(folder / "kerchunk.json", document).name
    groups = _groups(files[0])
    datasets = {
        group: virtual_dataset(files, group=group, dimension=along or "time") for group in groups
    }
    if form == "icechunk":
        write_icechunk(folder / "store.icechunk", datasets, container=base, rename=moved)
        return "store.icechunk"
    path = folder / "virtualizarr.json"
    virtualizarr_references(datasets.pop(None), path, moved)
    document = json.loads(path.read_text())
    for group, dataset in datasets.items():  # VirtualiZarr writes one group to a document
        part = folder / "part"
        virtualizarr_references(dataset, part, moved)
        refs = json.loads(part.read_text())["refs"]
        document["refs"] |= {f"{group}/{key}": reference for key, reference in refs.items()}
        part.unlink()
    return write_references(path, document).name


def _groups(path: Path) -> list[str | None]:
    def below(group: Any) -> Iterator[str]:
        for child in group.groups.values():
            yield child.path.strip("/")
            yield from below(child)

    with netCDF4.Dataset(path) as nc:
        return [None, *below(nc)]


# ---------------------------------------------------------------- asking


@dataclass
class Answer:
    """What came back."""

    prepared: Prepared
    output: Output

    @property
    def path(self) -> Path:
        return self.output.path

    def read(self, name: str) -> np.ndarray:
        return raw(self.path, name)


def services(
    place: Place | None = None, trusted: Sequence[str] = (), s3: str = "", **more: Any
) -> Services:
    """Services of an operator who trusts a place; what they ask for is the price and no more."""
    more.setdefault("spot_check", "off")
    prefixes = (*trusted, *(place.trusted if place else ()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        settings = Settings(
            trusted_prefixes=prefixes, s3_endpoint_url=place.s3 if place else s3, **more
        )
    return Services.of(settings, Credentials.of_token(None))


def request(
    variables: Sequence[str] = (),
    box: Sequence[float] | None = None,
    times: Sequence[datetime | None] | None = None,
    name: str = "KIT",
    dimensions: Sequence[DimensionRange] = (),
) -> Request:
    return Request(
        sources=(Source("", name, variables=tuple(variables)),),
        bbox=BoundingBox(*box) if box is not None else None,
        temporal=TimeRange(*times) if times is not None else None,
        dimensions=tuple(dimensions),
    )


def ask(wanted: Request, href: str, using: Services, workdir: Path) -> Answer:
    """The answer to a request from the store at `href`."""
    with using:
        prepared = prepare(wanted, using, href)
        return Answer(prepared[0], fulfil(prepared, workdir, using)[0])
