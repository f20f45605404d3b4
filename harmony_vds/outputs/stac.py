"""What an output is in STAC's words: its cube, its projection, how it was made, how to cite it.

The words are those of STAC's extensions; the item that carries them is put together where outputs
are staged, since only then their names are known.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from harmony_vds import __version__
from harmony_vds.errors import UnsupportedError
from harmony_vds.model.formats import GEOTIFF
from harmony_vds.model.paths import name_of
from harmony_vds.model.plan import Plan, Role
from harmony_vds.model.store import CollectionNotes
from harmony_vds.model.subset import Subset, SubsetVariable
from harmony_vds.outputs.geotiff import file_dtype, nodata_of
from harmony_vds.outputs.provenance import PROGRAM, now
from harmony_vds.outputs.raster import Raster, direction_of, raster_of
from harmony_vds.outputs.recipe import recipe

_EXTENSIONS = "https://stac-extensions.github.io"
CUBE = f"{_EXTENSIONS}/datacube/v2.3.0/schema.json"
PROJECTION = f"{_EXTENSIONS}/projection/v2.0.0/schema.json"
PROCESSING = f"{_EXTENSIONS}/processing/v1.2.0/schema.json"
SCIENTIFIC = f"{_EXTENSIONS}/scientific/v1.0.0/schema.json"
_MOST_LISTED = 100
"""Texts along a dimension that are listed; of more only their number is told."""
_TYPES = {f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)} | {
    "float16", "float32", "float64",
}  # fmt: skip


def stac_properties(
    subset: Subset, plan: Plan, notes: CollectionNotes, variable: str = ""
) -> dict[str, Any]:
    """Properties of the STAC item of an output, by STAC's extensions.

    Parameters
    ----------
    subset, plan
        What was written.
    notes
        What the collection's record adds.
    variable
        Full path of the one requested variable that is in it; empty where all are.

    **Reads:** coordinates.
    """
    shown = [own for own in subset.variables if _is_in(own, subset, variable)]
    return {
        **_cube(shown, plan),
        **_projection(shown, subset, plan),
        **_processing(plan),
        **_citation(notes),
    }


def _is_in(variable: SubsetVariable, subset: Subset, alone: str) -> bool:
    """Whether a variable is in the output: of a raster's, one and the coordinates along it."""
    if not alone or variable.planned.path == alone:
        return True
    own = next(v for v in subset.variables if v.planned.path == alone)
    return variable.planned.path in own.planned.dimensions


def _processing(plan: Plan) -> dict[str, Any]:
    location = plan.location
    state = f" as of {location.snapshot}" if location.snapshot else ""
    return {
        "processing:software": {PROGRAM: __version__},
        "processing:datetime": now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "processing:lineage": f"Cut from the virtual store {location.shown} ({location.kind})"
        f"{state}.",
        "processing:expression": {"format": "python", "expression": recipe(plan)},
        "virtual_store:kind": str(location.kind),
        "virtual_store:asked": dict(plan.asked),
        "virtual_store:request": dict(plan.record),
        "virtual_store:notes": list(plan.notes),
    }


def _citation(notes: CollectionNotes) -> dict[str, Any]:
    told = {"sci:doi": notes.doi, "sci:citation": notes.citation, "description": notes.title}
    licence = {"license": "other"} if notes.licence_url or notes.licence else {}
    return {key: own for key, own in told.items() if own} | licence


def _projection(shown: list[SubsetVariable], subset: Subset, plan: Plan) -> dict[str, Any]:
    """Where the cells lie, if all rasters of an output lie on the same ones."""
    found = []
    for own in () if plan.format.is_table else shown:
        if own.planned.role is Role.REQUESTED:
            try:
                raster = raster_of(own, subset, plan)
            except UnsupportedError:  # uneven steps, which a transform cannot say
                return {}
            found += [raster] if raster is not None else []
    told = [_placed(own, north_up=plan.format.media_type == GEOTIFF) for own in found]
    return told[0] if told and all(own == told[0] for own in told) else {}


def _placed(raster: Raster, *, north_up: bool) -> dict[str, Any]:
    from pyproj import CRS

    crs = CRS.from_user_input(raster.crs)
    authority = crs.to_authority(min_confidence=100)
    low_x, low_y, high_x, high_y = raster.bounds
    transform = raster.transform
    if north_up:
        transform = (abs(raster.step[0]), 0.0, low_x, 0.0, -abs(raster.step[1]), high_y)
    return {
        "proj:code": None if authority is None else ":".join(authority),
        "proj:wkt2": crs.to_wkt(),
        "proj:bbox": [low_x, low_y, high_x, high_y],
        "proj:shape": [raster.height, raster.width],
        "proj:transform": list(transform),
    }


def _cube(shown: list[SubsetVariable], plan: Plan) -> dict[str, Any]:
    by_path = {own.planned.path: own for own in shown}
    sizes = {
        path: size
        for own in shown
        for path, size in zip(own.planned.dimensions, own.data.shape, strict=True)
    }
    dimensions = {
        _key(path): _dimension(by_path.get(path), size, plan) for path, size in sizes.items()
    }
    variables = {
        _key(own.planned.path): _variable(own) for own in shown if own.planned.path not in sizes
    }
    return {"cube:dimensions": dimensions, "cube:variables": variables}


def _key(path: str) -> str:
    return path.lstrip("/")


def _dimension(along: SubsetVariable | None, size: int, plan: Plan) -> dict[str, Any]:
    """A dimension by the variable of its name; by its length where there is none."""
    if along is None or along.data.ndim != 1 or along.data.dtype.kind not in "biuf":
        told: dict[str, Any] = {"type": "index", "extent": [0, max(size - 1, 0)]}
        if along is not None and along.data.ndim == 1 and 0 < size <= _MOST_LISTED:
            told = {"type": "text", "values": [str(own) for own in along.data.values.tolist()]}
        return told
    attributes = along.data.attrs
    described = dict(_words(attributes))
    units = str(attributes.get("units", ""))
    if " since " in units and plan.coverage is not None:
        sides = (plan.coverage.start, plan.coverage.end)
        return {
            "type": "temporal",
            "extent": [own and own.strftime("%Y-%m-%dT%H:%M:%SZ") for own in sides],
            **({"description": described["description"]} if "description" in described else {}),
        }
    values = np.asarray(along.data.values, np.float64)
    known = values[np.isfinite(values)]
    if not known.size:
        return {"type": "index", "extent": [0, size - 1]}
    extent = [float(known.min()), float(known.max())]
    direction = direction_of(along)
    if direction:
        return {"type": "spatial", "axis": direction, "extent": extent, **described}
    if str(attributes.get("axis", "")).upper() == "Z" or "positive" in attributes:
        return {"type": "spatial", "axis": "z", "extent": extent, **described}
    return {"type": name_of(along.planned.path), "extent": extent, **described}


def _variable(variable: SubsetVariable) -> dict[str, Any]:
    data, dtype = variable.data, variable.data.dtype
    requested = variable.planned.role is Role.REQUESTED
    told: dict[str, Any] = {
        "dimensions": [_key(own) for own in variable.planned.dimensions],
        "variable_type": "data" if requested else "auxiliary",
        "data_type": dtype.name if dtype.name in _TYPES else "other",
        **dict(_words(data.attrs)),
    }
    if dtype.kind in "iuf":
        nodata = nodata_of(data.attrs, file_dtype(dtype))
        if nodata is not None:
            told["nodata"] = _finite(nodata)
    return told


def _finite(value: float) -> float | str:
    """A number as JSON has it, which knows no infinity and no not-a-number."""
    if np.isfinite(value):
        return value
    return "nan" if np.isnan(value) else ("inf" if value > 0 else "-inf")


def _words(attributes: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    named = attributes.get("long_name") or attributes.get("standard_name")
    if named:
        yield "description", str(named)
    if attributes.get("units"):
        yield "unit", str(attributes["units"])
