"""Every store that is wrong ends in an error that says how, or in the right values."""

# ruff: noqa: E501  one case a line

import copy
import logging
import re
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from bad_stores import BUILDERS, CHANGES, LAT, LON, SST, metadata, write_bad_store
from invocation import CANARY
from templates import template_of
from world import kerchunk_references, write_days, write_references

from harmony_vds.access.credentials import Credentials
from harmony_vds.errors import (
    MissingSourceError,
    NoDataError,
    NoStoreError,
    StaleSourceError,
    StoreError,
    UncutBoxError,
    UnsupportedError,
    UntrustedError,
    VdsError,
)
from harmony_vds.model.extent import BoundingBox, TimeRange
from harmony_vds.model.output import Output
from harmony_vds.model.request import Request, Source, TargetGrid
from harmony_vds.pipeline import fulfil, prepare
from harmony_vds.services import Services
from harmony_vds.settings import Settings

SOURCE = Source("C1-DEMO", "DEMO", variables=(SST,))
REQUEST = Request(
    (SOURCE,),
    bbox=BoundingBox(-175, -85, -60, 20),
    temporal=TimeRange(datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)),
)
ROWS, COLUMNS = (LAT >= -85) & (LAT <= 20), (LON >= -175) & (LON <= -60)

SAID: dict[str, tuple[type[VdsError], tuple[str, ...]]] = {
    "not a kerchunk reference file: Input data was truncated":
        (StoreError, ("empty file", "truncated JSON")),
    "JSON is malformed: invalid character": (StoreError, ("a login page",)),
    "Expected `object`, got `array`": (StoreError, ("a list",)),
    "holds no kerchunk references":
        (StoreError, ("no refs", "refs that are a list", "empty refs")),
    "generates references by expressions": (StoreError, ("gen",)),
    "codec can't decode byte": (StoreError, ("bytes that are no text",)),
    "nested too deep": (StoreError, ("very deep JSON",)),
    "gzip data break off": (StoreError, ("gzip cut short",)),
    "expressions in braces are not run":
        (StoreError, ("template that is not defined", "template without end")),
    "The template … is more than a text": (StoreError, ("template with a program",)),
    "analysed_sst/.zarray is not JSON": (StoreError, ("metadata that is no JSON",)),
    "… cannot be read: the shapes of it and its chunks do not fit":
        (StoreError, ("no shape", "negative shape", "shape of other rank than chunks",
                      "chunk of no length")),
    "No Zarr data type found": (StoreError, ("unknown type",)),
    "which this service does not decode":
        (StoreError, ("object type", "unknown filter", "filter without a name")),
    "decodes to # bytes instead of #":
        (StoreError, ("wider type than stored", "filters left out")),
    "Decompression failed":
        (StoreError, ("narrower type than stored", "compressor twice", "length of nothing",
                      "reference to another chunk", "reference one byte off", "inline too short",
                      "bomb")),
    "Invalid type: blue": (StoreError, ("fill value of another type",)),
    "out of bounds for int#": (StoreError, ("fill value out of range",)),
    "… cannot be read: it has # chunks; at most":
        (StoreError, ("impossibly many chunks",)),
    "bytes in one chunk; at most": (StoreError, ("impossibly large chunk",)),
    r"metadata cannot be read \(Failed to parse input for …: expected Literal\[…": (StoreError, ("order that is none",)),
    r"metadata cannot be read \(Failed to parse input for …: expected Literal\[#": (StoreError, ("zarr 3 inside zarr 2",)),
    "… holds metadata that cannot be read: Failed to parse input":
        (StoreError, ("zarr 9",)),
    r"no time coordinate \(time cannot be read: it has":
        (UnsupportedError, ("dimension without end",)),
    "do not name its dimensions":
        (StoreError, ("no names of dimensions", "too few names of dimensions")),
    r"two of its dimensions \(time, lat, lat\) have one name":
        (StoreError, ("one name for two dimensions",)),
    "its dimension lat has # entries": (StoreError, ("dimensions of another length",)),
    "analysed_sst/# has an unusable offset or length":
        (StoreError, ("negative offset", "offset beyond 64 bits", "offset of text",
                      "negative length", "fractional offset", "offset that is true")),
    "filter shuffle has elements of # bytes": (StoreError, ("shuffled by no bytes",)),
    "by which no number can be unpacked": (StoreError, ("unpacked by a scale of nothing",)),
    "are encoded # times; at most": (StoreError, ("filters without end",)),
    "which netCDF cannot hold":
        (UnsupportedError, ("type of half precision", "fields in a field")),
    "An address of # characters is not read": (UntrustedError, ("address without end",)),
    "longitudes of /lon reach # degrees": (StoreError, ("longitudes beyond all turns",)),
    "of which scale_factor is …": (StoreError, ("longitudes scaled by words",)),
    "the store covers #": (NoDataError, ("times before all years",)),
    "ends before byte #": (StoreError, ("offset past the end", "length past the end")),
    "… does not exist": (MissingSourceError, ("file that is gone", "icechunk whose source has moved")),
    "file addresses are read only where": (UntrustedError, ("address without scheme",)),
    "http addresses are read only where": (UntrustedError, ("address of this machine",)),
    r"which is no complete address\.$": (StoreError, ("address of nothing",)),
    "analysed_sst/# names a file without offset and length":
        (StoreError, ("address that is a number", "reference of two parts",
                      "whole file as a chunk")),
    "analysed_sst/# is not valid base#": (StoreError, ("inline that is no base64",)),
    "cannot cut analysed_sst: the store has no latitudes": (UncutBoxError, ("latitudes missing",)),
    "# of the # chunks of the coordinate lat": (StoreError, ("latitudes without chunk",)),
    "/lat reach # degrees": (StoreError, ("latitudes past the pole",)),
    "latitudes of /lat are in no order": (StoreError, ("latitudes in no order",)),
    "holds missing values": (StoreError, ("latitudes not a number", "longitudes not a number", "longitudes infinite")),
    "longitudes of /lon are in no order": (StoreError, ("longitudes in no order",)),
    r"no time coordinate\. Ask": (UnsupportedError, ("times without units",)),
    "units must be one of": (StoreError, ("times in units of nothing",)),
    "calendar must be one of": (StoreError, ("times of an unknown calendar",)),
    "zero not allowed as a reference year": (StoreError, ("times of a year without days",)),
    "time values outside range": (StoreError, ("times beyond all dates",)),
    r"… holds more than # groups\.": (StoreError, ("groups without end",)),
    "… holds more than # groups and variables": (StoreError, ("variables without end",)),
    "metadata document analysed_sst/.zattrs has # bytes": (StoreError, ("attribute that is a mountain",)),
    "The path … is invalid": (StoreError, ("variable named by a path upward",)),
    "could not read zarr.json: object not found":
        (MissingSourceError, ("icechunk without its snapshots",)),
    "session error: object not found": (MissingSourceError, ("icechunk without its manifests",)),
    r"(?<!incorrect\.) The repository is damaged": (StoreError, ("icechunk whose snapshot is damaged",)),
    r"Src size is incorrect\. The repository is damaged": (StoreError, ("icechunk whose snapshot is cut short",)),
    "no icechunk repository": (NoStoreError, ("icechunk whose branch is gone",)),
    "byte offsets can no longer be trusted": (StaleSourceError, ("icechunk whose source was written anew",)),
    "manifest holds none of the # chunks": (NoDataError, ("Parquet without its records",)),
    "… has no column offset": (StoreError, ("Parquet whose records lack a column",)),
    "has # rows instead of #": (StoreError, ("Parquet whose records are longer than it says",)),
    "no column path, or one of lists": (StoreError, ("Parquet whose paths are lists",)),
    "holds `metadata` that are no JSON object": (StoreError, ("Parquet whose metadata are a list",)),
    "… cannot be read as Parquet": (StoreError, ("Parquet whose records are no Parquet",)),
    r"… holds metadata that cannot be read: No group$": (StoreError, ("Parquet without metadata",)),
    "records of # rows": (StoreError, ("Parquet whose records have no size",)),
    "is not readable XML": (StoreError, ("DMR++ that is no XML",)),
    "declares a document type": (StoreError, ("DMR++ with an entity",)),
    "offsets, lengths or places is no usable number": (StoreError, ("DMR++ whose chunks lie at no number",)),
    "some of its chunks have no place in it": (StoreError, ("DMR++ whose chunks share their places",)),
    "its chunks have another number of dimensions": (StoreError, ("DMR++ whose chunk sizes are of another rank",)),
    "Required key … is missing": (StoreError, ("Zarr without an array's metadata",)),
    "it claims # bytes instead of #": (StoreError, ("Zarr with a damaged chunk",)),
    "it claims # texts in # bytes": (StoreError, ("texts without end", "Zarr of texts without end")),
    "it breaks off after # of # bytes": (StoreError, ("Zarr with a Blosc chunk cut short",)),
    "it has # bytes, which are no checksum": (StoreError, ("Zarr with less than a checksum",)),
    "Stored and computed checksum do not match": (StoreError, ("Zarr shard whose index is damaged",)),
    "its chunk grid cannot be understood":
        (StoreError, ("Zarr whose chunk grid is a number",
                      "Zarr whose chunk grid is set by a list", "Zarr whose chunks vary by words")),
    "codecs in a form that is not known":
        (StoreError, ("Zarr whose codec is a word", "Zarr whose shards are set by a list",
                      "Zarr whose shards hold codecs by a word")),
    "its attributes are no JSON object": (StoreError, ("Zarr whose attributes are a list",)),
    "it has storage transformers": (StoreError, ("Zarr behind a transformer",)),
    "is no zip file that can be read": (StoreError, ("zip file cut short",)),
}  # fmt: skip
"""What the template of an error says, and of no other → its class, and the stores that get it."""

type Expected = Callable[[np.ndarray], np.ndarray]


def as_it_is(truth: np.ndarray) -> np.ndarray:
    return truth[:, ROWS][:, :, COLUMNS]


def columns_first(truth: np.ndarray) -> np.ndarray:
    """Every chunk read as its metadata order it."""
    odd = truth.copy()
    for t in range(2):
        for i in range(0, 36, 12):
            for j in range(0, 72, 24):
                chunk = truth[t, i : i + 12, j : j + 24]
                odd[t, i : i + 12, j : j + 24] = chunk.ravel().reshape(12, 24, order="F")
    return as_it_is(odd)


def filled(truth: np.ndarray) -> np.ndarray:
    odd = truth.copy()
    odd[0, :12, :24] = -32768
    return as_it_is(odd)


def second_step_alone(truth: np.ndarray) -> np.ndarray:
    return as_it_is(truth)[:1]


ANSWERED: dict[str, Expected] = {
    "another version": as_it_is,
    "order of Fortran": columns_first,
    "chunk missing": filled,
    "chunk numbers out of the grid": as_it_is,
    "chunk numbers of another rank": as_it_is,
    "chunk that is called by a word": as_it_is,
    "overlapping references": as_it_is,
    "latitudes as text": as_it_is,  # numbers in words
    "latitudes twice": as_it_is,
    "times out of order": as_it_is,
    "times twice": as_it_is,
    "times not a number": second_step_alone,
    "times not finite": second_step_alone,
    "scale factor of text": as_it_is,
    "fill value that is a list": as_it_is,
    "fill value beyond its type": as_it_is,
    "missing values in uneven lists": as_it_is,
    "offset of a list": as_it_is,
    "attributes that are null": as_it_is,
    "scale factor of nothing": as_it_is,
    "grid mapping that is not there": as_it_is,
    "coordinates that are not there": as_it_is,
    "icechunk whose container does not cover its references": as_it_is,
}
"""Stores whose odd part is none of the request's business, or means what it says."""


@pytest.fixture(scope="module")
def granules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("granules")
    write_days(folder, 2)
    return folder


@pytest.fixture(scope="module")
def document(granules: Path) -> dict[str, Any]:
    return kerchunk_references(sorted(granules.glob("*.nc")))


@pytest.fixture(scope="module")
def truth(granules: Path) -> np.ndarray:
    steps = []
    for path in sorted(granules.glob("*.nc")):
        with netCDF4.Dataset(path) as nc:
            nc[SST].set_auto_maskandscale(False)
            steps.append(nc[SST][:])
    return np.concatenate(steps)


def read(request: Request, place: Path, granules: Path) -> Output:
    trusted = (f"{place.parent.as_uri()}/", f"{granules.parent.as_uri()}/")
    with Services.of(Settings(trusted_prefixes=trusted), Credentials.of_token(CANARY)) as services:
        prepared = prepare(request, services, place.as_uri())
        (output,) = fulfil(prepared, place.parent / "work", services)
    return output


def answer(name: str, folder: Path, granules: Path, document: dict[str, Any]) -> np.ndarray:
    """What a request for temperatures is answered with, from the store called `name`."""
    if name in BUILDERS:
        place = BUILDERS[name](folder, granules)
    else:
        place = write_bad_store(folder, name, document)
    output = read(REQUEST, place, granules)
    with netCDF4.Dataset(output.path) as nc:
        nc[SST].set_auto_maskandscale(False)
        return nc[SST][:]


@pytest.mark.filterwarnings("ignore:this date/calendar/year zero convention")
@pytest.mark.parametrize(
    ("said", "name"), [(said, name) for said, (_, names) in SAID.items() for name in names]
)
def test_store_that_cannot_be_read_says_why(said, name, tmp_path, *, granules, document, caplog):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(VdsError) as caught:
        answer(name, tmp_path, granules, document)
    assert type(caught.value) is SAID[said][0]
    template = template_of(str(caught.value))
    assert [own for own in SAID if re.search(own, template)] == [said], template
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert CANARY not in told + "".join(map(logging.Formatter().format, caplog.records))


@pytest.mark.parametrize(
    "asked",
    [
        {"average": "time"},
        {"media_type": "text/csv"},
        {"media_type": "image/tiff"},
        {"target": TargetGrid(crs="EPSG:3857", interpolation="bilinear")},
    ],
)
@pytest.mark.parametrize("scale", [0, float("nan"), {"by": 2}])
def test_quantities_that_the_packing_cannot_tell_are_refused(
    scale: object, asked: dict[str, Any], tmp_path: Path, granules: Path, document: dict[str, Any]
):
    odd = copy.deepcopy(document)
    metadata(odd, f"{SST}/.zattrs", scale_factor=scale)
    write_references(tmp_path / "sst.json", odd)
    with pytest.raises(StoreError, match=f"scale_factor is {re.escape(repr(scale))}"):
        read(replace(REQUEST, **asked), tmp_path / "sst.json", granules)


def test_coordinate_that_is_left_out_is_told(
    tmp_path: Path, granules: Path, document: dict[str, Any], truth: np.ndarray
):
    odd = copy.deepcopy(document)
    metadata(odd, "lat/.zarray", filters=[{"id": "rot13"}])
    write_references(tmp_path / "sst.json", odd)
    trusted = (f"{tmp_path.as_uri()}/", f"{granules.parent.as_uri()}/")
    with Services.of(Settings(trusted_prefixes=trusted), Credentials.of_token(CANARY)) as services:
        (prepared,) = prepare(Request((SOURCE,)), services, (tmp_path / "sst.json").as_uri())
        (output,) = fulfil([prepared], tmp_path / "work", services)
    assert any(note.startswith("/lat cannot be read and is left") for note in prepared.plan.notes)
    with netCDF4.Dataset(output.path) as nc:
        nc[SST].set_auto_maskandscale(False)
        np.testing.assert_array_equal(nc[SST][:], truth)
        assert "lat" not in nc.variables


@pytest.mark.parametrize("name", ANSWERED)
def test_store_that_is_odd_elsewhere_gives_right_values(name, tmp_path, granules, document, truth):
    found = answer(name, tmp_path, granules, document)
    np.testing.assert_array_equal(found, ANSWERED[name](truth))


def test_every_bad_store_is_expected_to_do_something():
    listed = [name for _, names in SAID.values() for name in names] + [*ANSWERED]
    assert sorted(listed) == sorted([*CHANGES, *BUILDERS])
    assert len(SAID) >= 60
