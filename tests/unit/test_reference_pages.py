"""The pages that are looked things up in are written from the code, and all pages build."""

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import shapely
from conftest import REPOSITORY
from gridded import write_grid
from jsonschema import Draft7Validator
from pydantic import ByteSize
from world import kerchunk_references, write_references

from harmony_vds.access.credentials import Credentials
from harmony_vds.errors import VdsError
from harmony_vds.model.extent import BoundingBox, TimeRange
from harmony_vds.model.formats import FORMATS
from harmony_vds.model.grid import GridKind
from harmony_vds.model.places import Place
from harmony_vds.model.request import DimensionRange, Request, Source, TargetGrid
from harmony_vds.model.shape import Feature, Shape
from harmony_vds.pipeline import fulfil, prepare
from harmony_vds.services import Services
from harmony_vds.settings import Settings

PAGE = REPOSITORY / "docs" / "capabilities.md"
SETTINGS = REPOSITORY / "docs" / "settings.md"
SCHEMA = REPOSITORY.parent / "shared" / "schemas" / "umm" / "service" / "umm-s-json-schema.json"
WHOLE = Request((Source("C1", "DEMO", variables=("sst",)),))
BOX = BoundingBox(0, 0, 10, 10)
AREA = Shape((Feature("1", shapely.box(0, 0, 10, 10)),), BOX, 5, "0" * 64)
YEAR = TimeRange(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 12, 31, tzinfo=UTC))
ASKS: dict[str, Callable[[Request], Request]] = {
    "everything, or some variables": lambda r: r,
    "a bounding box": lambda r: replace(r, bbox=BOX),
    "a shape": lambda r: replace(r, shape=AREA),
    "a box and a shape": lambda r: replace(r, bbox=BOX, shape=AREA),
    "a time range, months": lambda r: replace(r, temporal=YEAR, months=(1, 2)),
    "ranges of other dimensions": lambda r: replace(r, dimensions=(DimensionRange("lev", 1, 2),)),
    "a point, or several": lambda r: replace(r, points=(Place(0, 0), Place(1, 1))),
    "a line": lambda r: replace(r, line=((0, 0), (1, 1))),
    "an average over time": lambda r: replace(r, average="time"),
    "an average over an area": lambda r: replace(r, average="area"),
    "an average over a shape": lambda r: replace(r, average="area", shape=AREA),
    "another grid or projection": lambda r: replace(r, target=TargetGrid("EPSG:3857")),
    "an average on another grid": lambda r: replace(
        r, average="time", target=TargetGrid("EPSG:3857")
    ),
    "points on another grid": lambda r: replace(
        r, points=(Place(0, 0),), target=TargetGrid("EPSG:3857")
    ),
    "points in a box": lambda r: replace(r, points=(Place(0, 0),), bbox=BOX),
}
HEAD = """# What can be asked, in which form

Written from the code by `pytest tests/unit/test_reference_pages.py --regenerate`,
which tries each request on a small store.
"""
NAMES = [own.name for own in FORMATS]
NORTH = BoundingBox(-60, 64, -50, 71)


def write_granule(folder: Path) -> Path:
    """One time and one level, as pictures show no more."""
    with netCDF4.Dataset(folder / "granule.nc", "w") as nc:
        for name, values, units in (
            ("time", [12], "hours since 2024-01-02"),
            ("lev", [1], "m"),
            ("lat", np.arange(-5, 20, 2.5), "degrees_north"),
            ("lon", np.arange(-5, 20, 2.5), "degrees_east"),
        ):
            nc.createDimension(name, len(values))
            axis = nc.createVariable(name, "f8", (name,))
            axis.units = units
            axis[:] = values
        sst = nc.createVariable("sst", "f4", ("time", "lev", "lat", "lon"), compression="zlib",
                                chunksizes=(1, 1, 5, 5))  # fmt: skip
        sst[:] = np.arange(100).reshape(1, 1, 10, 10)
    return folder / "granule.nc"


@dataclass
class Trial:
    """What comes of requests, tried on a store; refusals in their own words, with numbers."""

    folder: Path
    place: Path
    using: Services
    reasons: dict[str, int] = field(default_factory=dict)
    tried: int = 0

    def of(self, request: Request, form: str) -> str:
        self.tried += 1
        media_type = next(own.media_type for own in FORMATS if own.name == form)
        asked = replace(request, media_type=media_type)
        try:
            prepared = prepare(asked, self.using, self.place.as_uri())
            assert fulfil(prepared, self.folder / f"{self.tried}", self.using)
        except VdsError as error:
            told = str(error).replace(f"The format {form} ", "This form ")
            told = told.replace(f"{media_type} holds", "This form holds")
            return f"no ({self.reasons.setdefault(told, len(self.reasons) + 1)})"
        return "yes"

    def notes(self) -> list[str]:
        return ["", *(f"{number}. {told}" for told, number in self.reasons.items()), ""]


@contextlib.contextmanager
def trial(folder: Path, granule: Path) -> Iterator[Trial]:
    references = kerchunk_references([granule], inline=0)
    place = write_references(granule.with_suffix(".json"), references)
    trusted = (place.as_uri(), f"{granule.parent.as_uri()}/")
    with Services.of(Settings(trusted_prefixes=trusted), Credentials.of_token(None)) as using:
        yield Trial(folder, place, using)


def table(first: str, columns: Iterable[str], rows: Mapping[str, list[str]]) -> list[str]:
    names = [first, *columns]
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    return lines + [f"| {' | '.join([name, *row])} |" for name, row in rows.items()]


def capabilities(folder: Path) -> list[str]:
    with trial(folder / "a", write_granule(folder)) as tried:
        rows = {
            asked: [tried.of(put(WHOLE), form) for form in NAMES] for asked, put in ASKS.items()
        }
        return table("asked", NAMES, rows) + tried.notes()


def grids(folder: Path) -> list[str]:
    """A box on each kind of grid in each form, and what else can be asked of it as netCDF."""
    asks = ("a shape", "a point, or several", "a line", "an average over an area",
            "another grid or projection")  # fmt: skip
    whole = Request((Source("C1", "DEMO", variables=("field",)),))
    area = Shape((Feature("1", shapely.box(-60, 64, -50, 71)),), NORTH, 5, "0" * 64)
    boxes, others, notes = {}, {}, {}
    for kind in GridKind:
        granule = folder / f"{kind}.nc"
        write_grid(granule, kind)
        with trial(folder / str(kind), granule) as tried:
            tried.reasons = notes
            boxes[str(kind)] = [tried.of(replace(whole, bbox=NORTH), form) for form in NAMES]
            put = {
                "a shape": replace(whole, shape=area),
                "a point, or several": replace(whole, points=(Place(-55.6, 69.7),)),
                "a line": replace(whole, line=((-58, 65), (-52, 70))),
            }
            others[str(kind)] = [
                tried.of(put.get(asked) or ASKS[asked](replace(whole, bbox=NORTH)), "netcdf")
                for asked in asks
            ]
    told = ["A box, in each form:", "", *table("grid", NAMES, boxes), ""]
    told += ["Other requests, as netCDF:", "", *table("grid", asks, others)]
    return told + tried.notes()


def forms() -> list[str]:
    """What is written, by which names."""
    lines = [
        "| form | in Harmony | media type | file | also written | |",
        "|---|---|---|---|---|---|",
    ]
    for own in FORMATS:
        others = ", ".join(f"`{s}`" for s in sorted(own.spellings) if s not in ("", own.name))
        remark = "points to the archive" if own.by_reference else ""
        remark = "one file for each variable" if own.per_variable else remark
        remark = "a row for each cell" if own.is_table else remark
        lines.append(
            f"| {own.name} | {own.harmony_name or 'not known'} | `{own.media_type}` "
            f"| `{own.extension}` | {others} | {remark} |"
        )
    return lines


def settings(name: str = "") -> list[str]:
    """Settings whose variables have `name` in them."""
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for own in Settings.model_fields.values():
        variable, default = str(own.validation_alias), own.default
        if isinstance(default, ByteSize):
            default = ByteSize(default).human_readable().replace(".0", "")
        shown = f"`{default}`" if default not in (None, "", ()) else "unset"
        if name in variable:
            lines.append(f"| `{variable}` | {shown} | {own.description} |")
    return lines


ABOUT_SETTINGS = """# Settings

All by environment variable. Written from the code by
`pytest tests/unit/test_reference_pages.py --regenerate`. Sizes are written as `8GiB`, or as a
number of bytes; `harmony-vds doctor` prints the settings that are in force.
"""
OTHER_SETTINGS = """
The library beneath adds its own: `SHARED_SECRET_KEY`, `AWS_DEFAULT_REGION`, `TEXT_LOGGER` and
others that Harmony sets. `SOURCE_DATE_EPOCH` pins the time written into outputs, so that the same
request on the same snapshot gives the same bytes.
"""


def test_page_of_settings_is_that_of_the_code(*, regenerate: bool) -> None:
    wanted = "\n".join([ABOUT_SETTINGS, *settings(), OTHER_SETTINGS])
    if regenerate:
        SETTINGS.write_text(wanted)
    assert SETTINGS.read_text() == wanted, "run this test with --regenerate"


def test_page_of_capabilities_is_what_the_code_does(tmp_path: Path, *, regenerate: bool) -> None:
    wanted = "\n".join([
        HEAD, "## Requests and forms", "", *capabilities(tmp_path),
        "## Grids", "", *grids(tmp_path),
        "## Forms", "", *forms(), "",
        "## Limits", "", *settings("_MAX_"), "",
        "What exceeds a limit is refused with the amount, the limit and smaller requests.", "",
    ])  # fmt: skip
    if regenerate:
        PAGE.write_text(wanted)
    assert PAGE.read_text() == wanted, "run this test with --regenerate"


def test_pages_build_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-j", "1"]
    done = subprocess.run(
        [*command, REPOSITORY / "docs", tmp_path / "pages"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "pages" / "tutorial.html").stat().st_size > 10_000


@pytest.mark.shared
def test_service_record_of_the_operators_page_is_one_that_cmr_would_take() -> None:
    page = (REPOSITORY / "docs" / "operate.md").read_text()
    (block,) = re.findall(r"^```json\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    schema = json.loads(SCHEMA.read_text())
    assert [error.message for error in Draft7Validator(schema).iter_errors(json.loads(block))] == []
