"""Many virtual granules as one dataset; what would come out silently wrong is refused or mended."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from virtualizarr.manifests import ManifestArray

from harmony_vds.building.encodings import encoded_as
from harmony_vds.building.granules import VirtualGranule
from harmony_vds.building.irregular import Irregular, as_irregular
from harmony_vds.building.marks import MEANING, bounded_units, is_time_like, same_attribute
from harmony_vds.errors import RequestError, StoreError
from harmony_vds.model.joined_times import is_time, joined_times


@dataclass(frozen=True, eq=False)
class Joined:
    """All granules as one."""

    groups: dict[str, xr.Dataset]
    """Full path of each group → its virtual dataset."""
    along: str | None = None
    """The dimension along which they were joined."""
    irregular: dict[tuple[str, str], Irregular] = field(default_factory=dict)
    """(Group, variable) → its pieces, where its chunks differ in length."""
    notes: tuple[str, ...] = ()
    """What was put right on the way."""


def join(granules: Sequence[VirtualGranule], dimension: str | None = None) -> Joined:
    """The granules as one virtual dataset per group, in the order of their times.

    Raises
    ------
    RequestError
        Nothing tells along which dimension they follow each other.
    StoreError
        Joined, some of their values would be read wrongly; the text names the granule.

    **Reads:** nothing.
    """
    first = granules[0]
    if len(granules) == 1:
        return Joined(first.groups, first.along, notes=first.notes)
    along = dimension or first.along
    if along is None:
        raise RequestError(
            "The granules have no time coordinate along a dimension; name the dimension to join "
            "them along with --dimension, or where their time is with --time-from."
        )
    refuse_differences(granules, along)
    rebased, notes = _with_common_times(granules, along)
    ordered, told = _in_order(rebased, along)
    groups, irregular = {}, {}
    for group, dataset in ordered[0].groups.items():
        parts = [_encoded_as(dataset, own.groups[group]) for own in ordered]
        if along in dataset.dims:
            uneven = as_irregular(parts, along, [own.name for own in ordered])
            irregular.update({(group, name): own for name, own in uneven.items()})
            parts = [own.drop_vars(list(uneven)) for own in parts]
            groups[group] = _concatenated(parts, along) if along in parts[0].dims else parts[0]
        else:
            groups[group] = dataset
    own_notes = (note for granule in granules for note in granule.notes)
    return Joined(groups, along, irregular, tuple(dict.fromkeys([*own_notes, *notes, *told])))


def refuse_differences(granules: Sequence[VirtualGranule], along: str) -> None:
    """Raise where one array cannot stand for all granules without changing values.

    **Reads:** nothing.
    """
    first = granules[0]
    for other in granules[1:]:
        if set(first.groups) != set(other.groups):
            odd = ", ".join(sorted(set(first.groups) ^ set(other.groups)))
            raise StoreError(
                f"{other.name} differs from the first granule in its groups: {odd}. The group is "
                "not in every granule; they cannot be joined."
            )
        for group, dataset in first.groups.items():
            _refuse_difference(dataset, other.groups[group], other.name)
        _refuse_other_constants(first, other, along)


def _refuse_difference(first: xr.Dataset, other: xr.Dataset, name: str) -> None:
    """Raise if a group of a granule means something else than that of the first."""
    if set(first.variables) != set(other.variables):
        odd = sorted(map(str, set(first.variables) ^ set(other.variables)))
        raise StoreError(
            f"{name} differs from the first granule in its variables: {', '.join(odd)}. Name the "
            "variables that all have with --variable."
        )
    ours, theirs = bounded_units(first), bounded_units(other)
    for key, variable in first.variables.items():
        twin = other.variables[key]
        held = not isinstance(variable.data, ManifestArray)
        for attribute in MEANING:
            one, two = variable.attrs.get(attribute), twin.attrs.get(attribute)
            if attribute == "units" and held and str(key) in ours and str(key) in theirs:
                continue  # times held by value are counted anew
            if not same_attribute(one, two):
                raise StoreError(
                    f"{name} gives {key} {attribute}={two!r} where the first granule has "
                    f"{one!r}; joined, its values would be read wrongly."
                )
        if variable.dims != twin.dims:
            raise StoreError(
                f"{name} has {key} along {twin.dims}, the first granule along {variable.dims}."
            )


def _refuse_other_constants(first: VirtualGranule, other: VirtualGranule, along: str) -> None:
    """Raise where a variable that is stored once for all granules differs between two of them."""
    for (group, key), (shape, told) in first.constants.items():
        if (group, key) not in other.constants:
            continue
        other_shape, other_told = other.constants[group, key]
        variable = first.groups[group].variables[key]
        if along in variable.dims or "grid_mapping_name" in variable.attrs:
            continue
        if shape != other_shape:
            size, first_size = (" x ".join(map(str, own)) for own in (other_shape, shape))
            raise StoreError(
                f"{other.name} is not of the first granule's size: its {key} has {size} "
                f"values instead of {first_size}; granules may differ in size along {along} only."
            )
        if told != other_told:
            raise StoreError(
                f"{other.name} holds other values of {key} than the first granule, and {key} "
                f"does not run along {along}; joined, only one of them could be kept."
            )


def _with_common_times(
    granules: Sequence[VirtualGranule], along: str
) -> tuple[list[VirtualGranule], list[str]]:
    """The granules with all times along `along` counted from one instant."""
    notes = []
    found = [dict(own.groups) for own in granules]
    for group, dataset in granules[0].groups.items():
        told = [bounded_units(own.groups[group]) for own in granules]
        families: dict[tuple[str, ...], list[str]] = {}
        for name in told[0]:
            units = tuple(own.get(name, "") for own in told)
            if len(set(units)) > 1 and along in dataset.variables[name].dims:
                families.setdefault(units, []).append(name)
        # Bounds count as their times do, so that all of one family are counted anew together.
        for units, names in families.items():
            notes += _count_anew(found, group, names, units, [own.name for own in granules])
    return [replace(own, groups=groups) for own, groups in zip(granules, found, strict=True)], notes


def _count_anew(
    found: list[dict[str, xr.Dataset]],
    group: str,
    names: Sequence[str],
    units: Sequence[str],
    granules: Sequence[str],
) -> list[str]:
    """Put times that count from one instant into `found`, and tell of it."""
    for name in names:
        _refuse_uncountable(name, [own[group].variables[name] for own in found], units, granules)
    parts = [
        np.concatenate([np.ravel(own[group].variables[name].data) for name in names])
        for own in found
    ]
    calendars = [found[0][group].variables[name].attrs.get("calendar") for name in names]
    calendar = str(next(filter(None, calendars), "standard"))
    try:
        counted, common = joined_times(parts, units, calendar, granules)
    except StoreError as error:
        raise StoreError(f"The granules cannot be joined: {names[0]}: {error}") from None
    for own, values in zip(found, counted, strict=True):
        start = 0
        for name in names:
            variable = own[group].variables[name]
            part = values[start : start + variable.size].reshape(variable.shape)
            start += variable.size
            attributes = dict(variable.attrs)
            if is_time(attributes.get("units")):
                attributes["units"] = common
            mended = xr.Variable(variable.dims, part, attributes, variable.encoding)
            own[group] = own[group].assign({name: mended})
    return [f"{name} counts from another instant in each granule: now {common}" for name in names]


def _refuse_uncountable(
    name: str, variables: Sequence[xr.Variable], units: Sequence[str], granules: Sequence[str]
) -> None:
    """Raise if a variable whose units differ is none that can be counted anew."""
    attributes = variables[0].attrs
    held = all(not isinstance(own.data, ManifestArray) for own in variables)
    packed = "scale_factor" in attributes or "add_offset" in attributes
    fill = attributes.get("_FillValue")
    filled = (
        held and fill is not None and any((np.asarray(v.data) == fill).any() for v in variables)
    )
    if not held or packed or filled or not all(units):
        odd = next(own for own, unit in zip(granules, units, strict=True) if unit != units[0])
        raise StoreError(
            f"{odd} gives {name} in other units than the first granule ({units[0]}); joined, its "
            "values would be read wrongly, and they are too large or too odd to be counted anew. "
            "Leave it out by naming the others with --variable."
        )


def _in_order(
    granules: Sequence[VirtualGranule], along: str
) -> tuple[list[VirtualGranule], list[str]]:
    """The granules by their first times, then names; as they came where they have no times."""
    series = [_times(own, along) for own in granules]
    if any(own is None or not own.size for own in series):
        return list(granules), []
    known = [own for own in series if own is not None]
    order = sorted(range(len(known)), key=lambda own: (known[own].flat[0], granules[own].name))
    ordered = [granules[number] for number in order]
    overlapping = [
        (before, after) for before, after in pairwise(order)
        if known[after].flat[0] <= known[before].max()
    ]  # fmt: skip
    if not overlapping:
        return ordered, []
    before, after = (granules[number].name for number in overlapping[0])
    note = (
        f"{len(overlapping)} of {len(granules)} granules have times that those before them have "
        f"too, such as {after} after {before}; all steps are kept"
    )
    return ordered, [note]


def _times(granule: VirtualGranule, along: str) -> Any:
    for dataset in granule.groups.values():
        for variable in dataset.variables.values():
            held = not isinstance(variable.data, ManifestArray)
            if variable.dims == (along,) and is_time_like(variable) and held:
                return np.asarray(variable.data)
    return None


def _encoded_as(first: xr.Dataset, other: xr.Dataset) -> xr.Dataset:
    """`other` with the settings of `first` where both are decoded alike."""
    told = {
        name: encoded_as(own, first.variables[name].data.metadata.codecs)
        for name, own in other.variables.items()
        if isinstance(first.variables[name].data, ManifestArray)
    }
    changed = {name: own for name, own in told.items() if own is not other.variables[name]}
    return other.assign(changed) if changed else other


def _concatenated(parts: list[xr.Dataset], along: str) -> xr.Dataset:
    try:
        return xr.concat(
            parts, dim=along, data_vars="minimal", coords="minimal", compat="override",
            join="override", combine_attrs="drop_conflicts",
        )  # fmt: skip
    except (ValueError, NotImplementedError, TypeError) as error:
        raise StoreError(
            f"The granules cannot be joined along {along}: {error} Granules of one format, "
            "compression and chunk shape can."
        ) from None
