"""What the fill values of zarr v2 metadata mean, by the habits of the libraries that write it."""

import json
import struct
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
from world import kerchunk_references, virtual_dataset, virtualizarr_references

from harmony_vds.stores.metadata import FillRole, decode_fill, fill_role, own_attributes

type Documents = dict[str, tuple[dict[str, Any], dict[str, Any]]]


def documents(references: Mapping[str, Any]) -> Documents:
    """Variable → its .zarray and .zattrs."""
    refs = references["refs"]
    names = [key.removesuffix("/.zarray") for key in refs if key.endswith("/.zarray")]
    return {
        name: (json.loads(refs[f"{name}/.zarray"]), json.loads(refs[f"{name}/.zattrs"]))
        for name in names
    }


def declared(written: Documents) -> dict[str, Any]:
    """Variable → the _FillValue that is recovered, or None."""
    role = fill_role(
        {name: array for name, (array, _) in written.items()},
        {name: own for name, (_, own) in written.items()},
    )
    found = {}
    for name, (array, attributes) in written.items():
        dtype = np.dtype(array["dtype"])
        fill = decode_fill(array["fill_value"], dtype)
        found[name] = own_attributes(name, attributes, dtype, fill, role).get("_FillValue")
    return found


def write_with_netcdf4(path: Path) -> None:
    """Fill values declared and not, zero and not, the library's defaults and not."""
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("time", None)
        nc.createDimension("x", 3)
        nc.createVariable("time", "i4", ("time",))[:] = [0]
        nc["time"].units = "days since 2000-01-01"
        nc.createVariable("x", "f4", ("x",))[:] = [1, 2, 3]
        nc.createVariable("crs", "i4", ())
        for name, dtype, fill in (
            ("rain", "i2", None), ("flag", "i1", None), ("quality", "u1", 0), ("sst", "i2", -9999),
            ("ice", "u1", 255), ("height", "f4", None), ("speed", "f4", np.nan),
            ("packed", "i2", -32767),
        ):  # fmt: skip
            variable = nc.createVariable(name, dtype, ("time", "x"), fill_value=fill)
            variable[0] = np.arange(3).astype(dtype)


def write_with_h5py(path: Path) -> None:
    """HDF5 without the netCDF library: every fill value that is not declared is 0."""
    with h5py.File(path, "w") as file:
        axes = {"time": np.array([0], "i4"), "x": np.array([1, 2, 3], "f4")}
        for name, values in axes.items():
            file[name] = values
            file[name].make_scale(name)
        file["time"].attrs["units"] = "days since 2000-01-01"
        for name, dtype, fill in (("rain", "i2", None), ("flag", "i1", None), ("sst", "i2", -9999)):
            variable = file.create_dataset(
                name, data=np.arange(3, dtype=dtype)[None], chunks=(1, 3)
            )
            variable.dims[0].attach_scale(file["time"])
            variable.dims[1].attach_scale(file["x"])
            if fill is not None:
                variable.attrs["_FillValue"] = np.array([fill], dtype)


def truth(path: Path) -> dict[str, Any]:
    """Variable → the _FillValue that its file declares, or None, told by HDF5 itself."""
    with h5py.File(path) as file:
        return {
            name: own.attrs["_FillValue"][0] if "_FillValue" in own.attrs else None
            for name, own in file.items()
        }


def same(ours: Any, theirs: Any) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    return ours.dtype == theirs.dtype and ours.tobytes() == theirs.tobytes()


WRITERS = {"netCDF4": write_with_netcdf4, "h5py": write_with_h5py}


@pytest.fixture(params=WRITERS)
def granules(request: pytest.FixtureRequest, tmp_path: Path) -> list[Path]:
    """Two files of the same shape by each library."""
    files = [tmp_path / "1.nc", tmp_path / "2.nc"]
    for number, path in enumerate(files):
        WRITERS[request.param](path)
        with h5py.File(path, "r+") as file:
            file["time"][:] = number
    return files


@pytest.mark.parametrize("count", [1, 2])
def test_kerchunk_documents_give_back_what_the_files_declare(
    count: int, granules: list[Path]
) -> None:
    """By SingleHdf5ToZarr for one file, by MultiZarrToZarr for two."""
    references = kerchunk_references(granules[:count], identical=["x", "crs"])
    found, expected = declared(documents(references)), truth(granules[0])
    assert {name: own for name, own in found.items() if not same(own, expected[name])} == {}


@pytest.mark.parametrize("count", [1, 2])
def test_virtualizarr_documents_give_back_what_the_files_declare(
    count: int, granules: list[Path], tmp_path: Path
) -> None:
    path = tmp_path / "references.json"
    virtualizarr_references(virtual_dataset(granules[:count]), path)
    found, expected = declared(documents(json.loads(path.read_text()))), truth(granules[0])
    assert {name: own for name, own in found.items() if not same(own, expected[name])} == {}


def array(fill: Any, dtype: str = "<i2", dims: int = 2, **more: Any) -> dict[str, Any]:
    return {"fill_value": fill, "dtype": dtype, "shape": [2] * dims, **more}


@pytest.mark.parametrize(
    "arrays, attributes, role",
    [
        # VirtualiZarr: an attribute that it keeps, or the empty attributes in each array.
        ([array(0), array(0)], [{"_FillValue": -1}, {}], FillRole.UNWRITTEN),
        ([array(0, attributes={})], [{}], FillRole.UNWRITTEN),
        # kerchunk: null on data, or the netCDF library's default, tell that 0 was declared.
        ([array(None), array(0)], [{}, {}], FillRole.MASK),
        ([array(-2147483647, "<i4", 0), array(0)], [{}, {}], FillRole.MASK),
        # Null on a dimension's coordinate, on a time or on text tells nothing.
        (
            [array(None, dims=1), array(0)],
            [{"_ARRAY_DIMENSIONS": ["v0"]}, {}],
            FillRole.MASK_UNLESS_ZERO,
        ),
        ([array(None, "|O"), array(0)], [{}, {}], FillRole.MASK_UNLESS_ZERO),
        ([array(None), array(0)], [{"units": "days since 2000-01-01"}, {}],
         FillRole.MASK_UNLESS_ZERO),
        # netCDF-3: nothing compressed, big-endian throughout.
        ([array(0, ">i2"), array(None, ">f4", 1), array(0, "|i1")], [{}, {}, {}], FillRole.MASK),
        ([array(0, ">i2", compressor={"id": "zlib"})], [{}], FillRole.MASK_UNLESS_ZERO),
        ([array(0, ">i2"), array(0, "<i2")], [{}, {}], FillRole.MASK_UNLESS_ZERO),
        ([array(0, "|u1")], [{}], FillRole.MASK_UNLESS_ZERO),
        ([], [], FillRole.MASK_UNLESS_ZERO),
    ],
)  # fmt: skip
def test_role_of_fill_values_is_told_by_the_writers_habits(
    arrays: list[dict[str, Any]], attributes: list[dict[str, Any]], role: FillRole
) -> None:
    paths = [f"group/v{number}" for number in range(len(arrays))]
    told = dict(zip(paths, attributes, strict=True))
    assert fill_role(dict(zip(paths, arrays, strict=True)), told) is role


@pytest.mark.parametrize(
    "role, fill, expected",
    [
        (FillRole.UNWRITTEN, -9999, None),
        (FillRole.MASK, -9999, -9999),
        (FillRole.MASK, 0, 0),
        (FillRole.MASK, None, None),
        (FillRole.MASK_UNLESS_ZERO, 0, None),
        (FillRole.MASK_UNLESS_ZERO, -9999, -9999),
    ],
)
def test_fill_value_becomes_an_attribute_only_where_it_marks_missing_data(
    role: FillRole, fill: int | None, expected: int | None
) -> None:
    found = own_attributes("sst", {"_ARRAY_DIMENSIONS": ["y", "x"]}, np.dtype("i2"), fill, role)
    assert found.get("_FillValue") == expected
    assert "_ARRAY_DIMENSIONS" not in found


def test_attribute_that_is_kept_wins_over_the_fill_value() -> None:
    """HDF5's own fill is 0, the file declares -9999: zeros are data (kerchunk by VirtualiZarr)."""
    found = own_attributes("rain", {"_FillValue": -9999}, np.dtype("i2"), 0, FillRole.UNWRITTEN)
    assert found["_FillValue"] == np.int16(-9999)
    assert found["_FillValue"].dtype == np.int16


@pytest.mark.parametrize(
    "name, dimensions, expected",
    [("lat", ["lat"], None), ("crs", [], None), ("sst", ["lat", "lon"], -32767)],
)
def test_librarys_default_is_taken_as_declared_on_data_alone(
    name: str, dimensions: list[str], expected: int | None
) -> None:
    """-32767 is both the default of int16 and what many packed products declare."""
    attributes = {"_ARRAY_DIMENSIONS": dimensions}
    found = own_attributes(name, attributes, np.dtype("i2"), np.int16(-32767), FillRole.MASK)
    assert found.get("_FillValue") == expected


@pytest.mark.parametrize(
    "stored, dtype, expected",
    [
        (-9999, "i2", np.int16(-9999)),
        (-9999.0, "f4", np.float32(-9999)),
        ("NaN", "f4", np.float32("nan")),
        ("-Infinity", "f8", np.float64("-inf")),
        (b64encode(struct.pack("<d", -1e30)).decode(), "f4", np.float32(-1e30)),
        (b64encode(struct.pack("<d", float("nan"))).decode(), "f8", np.float64("nan")),
        (255, "u1", np.uint8(255)),
        (18446744073709551615, "u8", np.uint64(2**64 - 1)),
        ("x", "S1", b"x"),
        # What a variable's type cannot hold marks nothing in it.
        (999999, "i1", None),
        (-1, "u1", None),
        (0.5, "i2", None),
        ("not a number", "f4", None),
        (None, "f4", None),
        ("text", "O", None),
    ],
)
def test_fill_values_are_decoded_to_the_variables_own_type(
    stored: Any, dtype: str, expected: Any
) -> None:
    found = decode_fill(stored, np.dtype(dtype))
    if isinstance(expected, np.generic) and not isinstance(expected, bytes):
        assert same(found, expected)
    else:
        assert found == expected
