"""Granule files as virtual datasets: chunk references, with coordinates along their side.

VirtualiZarr reads the references. Coordinates are read raw and stored in the manifest itself, so
that opening a store of ten thousand granules does not fetch ten thousand time steps.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import virtualizarr.accessor  # noqa: F401  gives datasets their .vz
import xarray as xr
from virtualizarr.manifests import ManifestArray
from virtualizarr.parsers import HDFParser, NetCDF3Parser

from harmony_vds.access.traffic import Traffic
from harmony_vds.building.choice import Choice, chosen
from harmony_vds.building.files import UNSEEN, GranuleFile, OpenFile, Seen, opened
from harmony_vds.building.held import with_held_values
from harmony_vds.building.marks import (
    coordinates,
    is_json,
    time_dimension,
    without_odd_marks,
)
from harmony_vds.building.moments import with_moment
from harmony_vds.building.sidecars import Sidecar, SidecarValues, dataset_of, refuse_doubts
from harmony_vds.building.values import Values, digest, values_of
from harmony_vds.errors import ForbiddenError, StoreError, UpstreamError, VdsError
from harmony_vds.model.joined_times import is_time
from harmony_vds.model.paths import group_of, name_of

_FAILURES = (
    ValueError, TypeError, NotImplementedError, AttributeError, KeyError, OverflowError, OSError,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class VirtualGranule:
    """One file, every group of it."""

    name: str
    """What errors call it."""
    groups: dict[str, xr.Dataset]
    """Full path of each group → its virtual dataset."""
    along: str | None = None
    """The dimension along which it is one of many; None where it has none."""
    constants: Mapping[tuple[str, str], tuple[tuple[int, ...], str]] = field(default_factory=dict)
    """(Group, variable) → shape and fingerprint of what does not run along `along`."""
    notes: tuple[str, ...] = ()
    """What was put right, or will mislead other readers."""
    by_sidecar: bool = False
    """Whether its sidecar describes it, and not the file."""
    doubt: str = ""
    """Why its sidecar does not, where it has one."""
    nbytes: int = 0
    """Bytes that were fetched from elsewhere to describe it."""
    requests: int = 0
    """By how many requests."""
    seen: Seen = UNSEEN
    """Which edition of the file it describes."""
    url: str = ""
    """To which its references lead."""


@dataclass(frozen=True)
class Omitted:
    """A granule of which a store holds nothing."""

    name: str
    """Of its file."""
    is_empty: bool
    """Whether it has no step at all, and not merely none that was chosen."""
    nbytes: int = 0
    """Bytes that were fetched from elsewhere to find that out."""
    requests: int = 0
    """By how many requests."""


def read_granule(file: GranuleFile, choice: Choice) -> VirtualGranule | Omitted:
    """The references of a netCDF-3, netCDF-4, HDF5 or TIFF file, as far as they were chosen.

    Its sidecar describes it where it has one that raises no doubt, else the file itself.

    Raises
    ------
    RequestError
        There is no such file, or it has no time where one was to be taken from.
    StoreError
        The file cannot be described by references.
    ForbiddenError, UpstreamError
        It cannot be read.

    **Reads:** metadata and coordinates.
    """
    doubt = ""
    if file.sidecar is not None:
        try:
            return _by_sidecar(file, file.sidecar, choice)
        except (StoreError, ForbiddenError, UpstreamError) as error:
            doubt = str(error)
    try:
        found = _by_file(file, choice)
    except VdsError as error:
        told = str(error)
        raise type(error)(told if file.name in told else f"{file.name}: {told}") from None
    except OSError as error:  # of the libraries that read the formats
        raise StoreError(f"{file.name} cannot be read: {error}") from None
    return replace(found, doubt=doubt) if isinstance(found, VirtualGranule) else found


def _by_sidecar(
    file: GranuleFile, sidecar: Sidecar, choice: Choice
) -> VirtualGranule | Omitted:  # fmt: skip
    with sidecar.described() as told:
        refuse_doubts(told, choice.wants_group)
        values = SidecarValues(told)
        found = _of_groups(
            file, values, choice, lambda group, _: dataset_of(told, group, file.href)
        )
        found = _counted(found, told.traffic)
    if not isinstance(found, VirtualGranule):
        return found
    return replace(found, by_sidecar=True, seen=Seen(told.size, told.modified))


def _counted(found: VirtualGranule | Omitted, traffic: Traffic) -> VirtualGranule | Omitted:
    return replace(found, nbytes=traffic.nbytes, requests=traffic.requests)


def _by_file(file: GranuleFile, choice: Choice) -> VirtualGranule | Omitted:
    with opened(file) as own:
        if own.form == "tiff":
            from harmony_vds.building.tiff import read_tiff

            image, notes = read_tiff(file, own)
            found = _finished(file, {"/": image}, notes, choice, None)
        else:
            with values_of(own) as values:
                found = _of_groups(
                    file, values, choice, lambda group, below: _parsed(file, own, group, below)
                )
        counted = _counted(found, own.traffic)
    return replace(counted, seen=own.seen) if isinstance(counted, VirtualGranule) else counted


def _of_groups(
    file: GranuleFile, values: Values, choice: Choice, parse: Callable[[str, set[str]], xr.Dataset]
) -> VirtualGranule | Omitted:
    """The granule of virtual datasets that `parse` gives by a group and names of those below."""
    groups, notes, empty = {}, [], []
    for group in values.groups():
        if not choice.wants_group(group):
            continue
        below = {name_of(own) for own in values.groups() if own != "/" and group_of(own) == group}
        parsed, odd = without_odd_marks(_short_dimensions(parse(group, below)))
        dataset = with_held_values(parsed, values, group)
        for name in sorted(values.names(group) - set(map(str, dataset.variables))):
            is_empty = 0 in values.sizes(group, name).values()
            empty += [(group, name)] if is_empty else []
            reason = "it has no values" if is_empty else "no references can describe it"
            notes.append(f"{name} is left out: {reason}")
        groups[group] = dataset
        notes += [*odd, *_narrow_scales(values, group, dataset), *_no_json(dataset)]
    if choice.is_one_of_many and _has_no_step(groups, empty, values, choice):
        return Omitted(file.name, is_empty=True)
    return _finished(file, groups, notes, choice, values)


def _has_no_step(
    groups: Mapping[str, xr.Dataset],
    empty: Sequence[tuple[str, str]],
    values: Values,
    choice: Choice,
) -> bool:
    """Whether granules are joined along a dimension that has no length in this one.

    Parsers leave variables without values out, the times of an empty granule among them.
    """
    if choice.dimension is not None:
        return any(values.sizes(*own).get(choice.dimension) == 0 for own in empty)
    return time_dimension(groups) is None and any(
        is_time(_text(values.attribute(*own, "units"))) for own in empty
    )


def _text(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _parsed(file: GranuleFile, own: OpenFile, group: str, below: set[str]) -> xr.Dataset:
    """One group, without those `below` it, whose names are given."""
    parser: Any = NetCDF3Parser()
    if own.form != "classic":
        parser = HDFParser(group=group, drop_variables=below)
    try:
        # Not by open_virtual_dataset, which reads coordinates, and those through zarr.
        manifests = parser(file.href, own.registry)._group  # noqa: SLF001  has no public name
        dataset: xr.Dataset = manifests.to_virtual_dataset()
    except _FAILURES as error:
        raise StoreError(
            f"{file.name}{'' if group == '/' else f' group {group}'} cannot be described by "
            f"chunk references: {error}. Other groups may: name those to keep with --group."
        ) from None
    return dataset


def _finished(
    file: GranuleFile,
    groups: dict[str, xr.Dataset],
    notes: list[str],
    choice: Choice,
    values: Values | None,
) -> VirtualGranule | Omitted:
    """The granule cut to what was chosen, with its time and the fingerprints of its constants."""
    told = {
        key: value for group, dataset in groups.items()
        for key, value in _constants(groups, group, dataset, values, choice).items()
    } if choice.is_one_of_many else {}  # fmt: skip
    groups = with_moment(groups, file, choice)
    along = choice.dimension or time_dimension(groups)
    kept = chosen(groups, choice, along)
    if kept is None:
        has_steps = all(own.sizes.get(str(along)) != 0 for own in groups.values())
        return Omitted(file.name, is_empty=not has_steps)
    renamed = {group: _pointed(dataset, file) for group, dataset in kept.items()}
    alive = {
        (group, name): own for (group, name), own in told.items()
        if name in renamed[group].variables and along not in renamed[group].variables[name].dims
    }  # fmt: skip
    kept_notes = tuple(dict.fromkeys(notes))
    return VirtualGranule(file.name, renamed, along, alive, kept_notes, url=file.target)


def _constants(
    groups: Mapping[str, xr.Dataset],
    group: str,
    dataset: xr.Dataset,
    values: Values | None,
    choice: Choice,
) -> dict[tuple[str, str], tuple[tuple[int, ...], str]]:
    """Fingerprints of what is stored once for all granules, before anything is cut."""
    along = choice.dimension or time_dimension(groups)
    found = {}
    for name, variable in dataset.variables.items():
        single = along is None and str(name) not in coordinates(dataset)
        if along in variable.dims or "grid_mapping_name" in variable.attrs or single:
            continue
        if values is None or not isinstance(variable.data, ManifestArray):
            told = np.asarray(variable.data).tobytes().hex()
        else:
            told = digest(values, group, str(name), variable.shape, variable.dtype.itemsize)
        found[group, str(name)] = (variable.shape, told)
    return found


def _pointed(dataset: xr.Dataset, file: GranuleFile) -> xr.Dataset:
    """`dataset` whose references point where others read the file."""
    if file.target == file.href:
        return dataset
    # A chunk that was never written has no path, and must not get one.
    renamed: xr.Dataset = dataset.vz.rename_paths(lambda url: file.target if url else url)
    return renamed


def _short_dimensions(dataset: xr.Dataset) -> xr.Dataset:
    """Dimensions inherited from a parent group come with its path: ``data_01/time`` is ``time``."""
    longer = {name: str(name).rpartition("/")[2] for name in dataset.dims if "/" in str(name)}
    return dataset.rename_dims(longer) if longer else dataset


def _no_json(dataset: xr.Dataset) -> list[str]:
    places = {"the group": dataset.attrs, **{str(k): v.attrs for k, v in dataset.variables.items()}}
    return [
        f"the attribute {key} of {name} is left out: JSON holds no {value}"
        for name, attributes in places.items() for key, value in attributes.items()
        if not is_json(key, value)
    ]  # fmt: skip


def _narrow_scales(values: Values, group: str, dataset: xr.Dataset) -> list[str]:
    """Packed variables whose factors lose their type in JSON."""
    found = []
    for name, variable in dataset.variables.items():
        if variable.dtype.kind not in "iu":
            continue
        factors = [
            values.attribute(group, str(name), key) for key in ("scale_factor", "add_offset")
        ]
        if any(getattr(own, "dtype", None) == np.float32 for own in factors):
            found.append(
                f"{name} is scaled by float32 numbers, whose type JSON does not keep: other readers"
                " unpack it to float64, which differs in the last digits of float32"
            )
    return found
