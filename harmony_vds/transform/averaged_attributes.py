"""What an average says of itself: CF attributes of means, of their counts, and of their time."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from harmony_vds.model.average import AveragedTime, AveragedVariable, AverageKind, Measure
from harmony_vds.model.decoding import MARKS, PACKING
from harmony_vds.model.paths import name_of
from harmony_vds.model.plan import Plan

_OF_STORED_NUMBERS = {
    *MARKS, *PACKING, "actual_range", "bounds", "climatology", "flag_values", "flag_masks",
    "flag_meanings", "DIMENSION_LABELS", "_ChunkSizes", "ancillary_variables",
}  # fmt: skip
"""Attributes that an average does not inherit."""
_NAMES = ("coordinates", "grid_mapping")
_PAIRS = ("cell_measures", "formula_terms")
_METHODS = {
    Measure.MEAN: "mean",
    Measure.MIN: "minimum",
    Measure.MAX: "maximum",
    Measure.STD: "standard_deviation",
}
"""Of the quantity itself, by CF's words."""
_WORDS = {
    Measure.COUNT: "number of values in the average of {}",
    Measure.FRACTION: "fraction of the area that has values of {}",
}


def measure_attributes(
    measure: Measure, own: AveragedVariable, source: Mapping[Any, Any], plan: Plan
) -> dict[Any, Any]:
    """The attributes of one measure of a variable whose attributes were `source`.

    **Reads:** nothing.
    """
    if measure in _METHODS:
        return _of_quantity(measure, own, source, plan)
    called = str(source.get("long_name") or name_of(own.path))
    told: dict[Any, Any] = {"long_name": _WORDS[measure].format(called), "units": "1"}
    if measure is Measure.COUNT and source.get("standard_name"):
        told["standard_name"] = f"{source['standard_name']} number_of_observations"
    if measure is Measure.FRACTION:
        told["_FillValue"] = np.nan
    return told


def _of_quantity(
    measure: Measure, own: AveragedVariable, source: Mapping[Any, Any], plan: Plan
) -> dict[Any, Any]:
    """The attributes of the source that still hold of a mean, and what makes it one."""
    kept = {key: value for key, value in source.items() if key not in _OF_STORED_NUMBERS}
    there = _names_in_output(plan)
    for name in _NAMES:
        if name in kept:
            kept[name] = " ".join(n for n in str(kept[name]).split() if _is_there(n, there))
    for name in _PAIRS:
        if name in kept:
            pairs = re.findall(r"(\S+):\s*(\S+)", str(kept[name]))
            kept[name] = " ".join(f"{k}: {v}" for k, v in pairs if _is_there(v, there))
    assert plan.average is not None
    over_area = plan.average.kind is AverageKind.AREA
    if over_area:
        kept.pop("grid_mapping", None)
    kept = {k: v for k, v in kept.items() if k not in {*_NAMES, *_PAIRS} or v}
    methods = f"area: {_METHODS[measure]}" if over_area else _time_methods(own, plan)
    kept["cell_methods"] = f"{kept.get('cell_methods', '')} {methods}".strip()
    if measure is Measure.MEAN:
        kept["ancillary_variables"] = " ".join(name_of(path) for _, path in own.measures[1:])
    if plan.average.features is not None:
        names = str(kept.get("coordinates", "")).split()
        kept["coordinates"] = " ".join([*names, name_of(plan.average.features.name_path)])
    kept["_FillValue"] = np.nan
    return kept


def _time_methods(own: AveragedVariable, plan: Plan) -> str:
    assert plan.average is not None
    along = name_of(own.along[0])
    climatological = any(
        time.dimension == own.along[0] and time.is_climatology for time in plan.average.times
    )
    if climatological:
        return f"{along}: mean within years {along}: mean over years"
    return f"{along}: mean"


def _names_in_output(plan: Plan) -> set[str]:
    assert plan.average is not None
    return {name_of(own.path) for own in plan.variables}


def _is_there(name: str, there: set[str]) -> bool:
    return name_of(name.rstrip(":")) in there


def time_attributes(
    source: Mapping[Any, Any], time: AveragedTime
) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """Attributes of the time that stands for all steps, and of its bounds. **Reads:** nothing."""
    kept = {key: value for key, value in source.items() if key not in _OF_STORED_NUMBERS}
    relation = "climatology" if time.is_climatology else "bounds"
    kept[relation] = name_of(time.bounds_path)
    shared = {key: kept[key] for key in ("units", "calendar") if key in kept}
    return kept, shared
