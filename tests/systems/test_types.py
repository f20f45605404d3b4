"""Every type, shape and place of a variable survives the way from source to output."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr
from systems.kits import (
    FORMS,
    Answer,
    ask,
    described,
    paths_of,
    place,
    raw,
    request,
    same_bits,
    services,
    write_store,
)
from world import write_days

NUMBERS = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", ">i2", ">u4", ">f4", ">f8")


def extremes(dtype: str) -> np.ndarray:
    """Zero, one, the smallest, the largest, and for floats what is no number; native order."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        edges = [0.0, -0.0, 1.5, np.finfo(kind).max, np.nan, -np.inf]
    else:
        edges = [0, 1, np.iinfo(kind).min, np.iinfo(kind).max, 2, 3]
    return np.array(edges, kind.newbyteorder("="))


@pytest.fixture(scope="module")
def granule(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A group of numbers of every type, one of text, scalars, a time of any length."""
    path = tmp_path_factory.mktemp("types") / "types.nc"
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("time", None)
        nc.createDimension("x", 6)
        nc.createDimension("n", 5)
        time = nc.createVariable("time", "f8", ("time",), chunksizes=(1,))
        time.units = "days since 2000-01-01"
        time[:] = [0.5, 1.5]
        nc.createVariable("x", "i4", ("x",))[:] = np.arange(6)
        numbers = nc.createGroup("numbers")
        for dtype in NUMBERS:
            variable = numbers.createVariable(
                dtype.replace(">", "big_"), dtype, ("time", "x"), compression="zlib",
                endian="big" if ">" in dtype else "native", chunksizes=(1, 3),
            )  # fmt: skip
            variable.set_auto_maskandscale(False)
            variable[:] = np.stack([extremes(dtype), extremes(dtype)[::-1]])
        scalars = nc.createGroup("scalars")
        scalars.createVariable("count", "i8", ())[...] = 7
        scalars.createVariable("offset", "f4", ())[...] = -0.5
        scalars.createVariable("letter", "S1", ())[...] = "K"
        text = nc.createGroup("deep").createGroup("text")
        letters = text.createVariable("letters", "S1", ("x", "n"), chunksizes=(6, 5))
        words = np.array([b"ab", b"", b"abcde", b"z", "yé".encode(),
                          b" x"], "S5")  # fmt: skip
        letters[:] = words.view("S1").reshape(6, 5)
        text.note = "three levels down"
    return path


@pytest.fixture(params=FORMS)
def answer(request: pytest.FixtureRequest, granule: Path, reader: str, tmp_path: Path) -> Answer:
    return whole(request.param, granule, tmp_path)


def whole(form: str, granule: Path, folder: Path) -> Answer:
    with place("file", granule.parent, folder) as there:
        store = write_store(form, [granule], folder, there.granules, along=None)
        wanted = request()
        return ask(wanted, there.stores + store, services(there), folder / "out")


def test_every_type_comes_out_bit_for_bit(answer: Answer, granule: Path) -> None:
    assert paths_of(answer.path) == paths_of(granule)
    for path in sorted(paths_of(granule)):
        assert same_bits(answer.read(path), raw(granule, path)), path
        ours, theirs = described(answer.path, path), described(granule, path)
        assert ours[0] == theirs[0], path
        assert ours[1] == np.dtype(theirs[1]).newbyteorder("="), path


def test_dimensions_stay_in_their_group_and_time_stays_unlimited(answer: Answer) -> None:
    with netCDF4.Dataset(answer.path) as nc:
        # "n" moves to the group that alone uses it: a store names dimensions only on arrays.
        assert {name: len(own) for name, own in nc.dimensions.items()} == {"time": 2, "x": 6}
        assert set(nc["deep/text"].dimensions) == {"n"}
        assert nc.dimensions["time"].isunlimited()
        assert not nc.dimensions["x"].isunlimited()
        assert not nc["numbers"].dimensions
        assert nc["deep/text"].note == "three levels down"


def test_output_opens_with_h5netcdf_and_as_a_tree(answer: Answer, granule: Path) -> None:
    with h5netcdf.File(answer.path) as ours:
        assert ours["numbers/u8"][0, 3] == 2**64 - 1
    with (
        xr.open_datatree(answer.path, engine="h5netcdf", decode_cf=False) as ours,
        xr.open_datatree(granule, engine="h5netcdf", decode_cf=False) as theirs,
    ):
        assert set(ours.groups) == set(theirs.groups)
        for path in ("numbers/i2", "numbers/f8", "scalars/count"):
            assert np.array_equal(ours[path].values, theirs[path].values, equal_nan=True)


def test_chunks_of_a_few_bytes_are_joined_and_stay_compressed(answer: Answer) -> None:
    with netCDF4.Dataset(answer.path) as nc:
        assert nc["numbers/i4"].chunking() == [2, 6]  # of [1, 3]
        assert nc["numbers/i4"].filters()["zlib"]


# ---------------------------------------------------------------- text by HDF5's own types


WORDS = np.array([b"one", "été".encode(), b""], "S5")


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fixed-length text and numbers by h5py, as HDF5 products without netCDF have them."""
    path = tmp_path_factory.mktemp("words") / "words.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(3, dtype="i4")
        file["x"].make_scale("x")
        for name, values in (
            ("fixed", WORDS),
            ("number", np.array([0, 5, -9999], "i4")),
        ):
            file[name] = values
            file[name].dims[0].attach_scale(file["x"])
        file["number"].attrs["_FillValue"] = np.array([-9999], "i4")
    return path


@pytest.mark.parametrize("form", ["icechunk", "kerchunk"])
def test_fixed_length_text_becomes_characters_with_a_dimension(
    form: str, reader: str, words: Path, tmp_path: Path
) -> None:
    answer = whole(form, words, tmp_path)
    with netCDF4.Dataset(answer.path) as nc:
        nc["fixed"].set_auto_chartostring(False)
        assert nc["fixed"].dimensions == ("x", "string5")
        assert nc["fixed"][:].data.view("S5").ravel().tolist() == WORDS.tolist()
    assert answer.read("number").tolist() == [0, 5, -9999]


@pytest.mark.parametrize("form", ["icechunk", "kerchunk"])
def test_variable_length_text_in_a_store_comes_out_as_strings(
    form: str, reader: str, tmp_path: Path
) -> None:
    """Text of any length lies in the store itself: HDF5 keeps it in heaps no reference reaches."""
    files = write_days(tmp_path / "granules", 1)
    values = ["", "été", "a longer text than the others"]
    shelf = tmp_path / "stores"
    shelf.mkdir()
    with place("file", files[0].parent, shelf) as there:
        store = write_store(form, files, shelf, there.granules)
        if form == "icechunk":
            _add_text_natively(shelf / store, values)
        else:
            _add_text_inline(shelf / store, values)
        wanted = request(("station",))
        answer = ask(wanted, there.stores + store, services(there), tmp_path / "out")
    with netCDF4.Dataset(answer.path) as nc:
        assert nc["station"].dtype is str
        assert nc["station"][:].tolist() == values


def _add_text_natively(store: Path, values: list[str]) -> None:
    import icechunk
    import zarr

    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(str(store)))
    session = repository.writable_session("main")
    station = zarr.open_group(session.store).create_array(
        "station", shape=(3,), dtype="str", dimension_names=("station_number",)
    )
    station[:] = np.array(values)
    session.commit("stations")


def _add_text_inline(store: Path, values: list[str]) -> None:
    """As the kerchunk library embeds it (vlen_encode="embed")."""
    from base64 import b64encode

    from numcodecs import VLenUTF8

    encoded = bytes(VLenUTF8().encode(np.array(values, dtype=object)))
    document = json.loads(store.read_text())
    document["refs"] |= {
        "station/.zarray": json.dumps(
            {"shape": [3], "chunks": [3], "dtype": "|O", "fill_value": None, "order": "C",
             "filters": [{"id": "vlen-utf8"}], "compressor": None, "zarr_format": 2}),
        "station/.zattrs": json.dumps({"_ARRAY_DIMENSIONS": ["station_number"]}),
        "station/0": f"base64:{b64encode(encoded).decode()}",
    }  # fmt: skip
    store.write_text(json.dumps(document))


# ---------------------------------------------------------------- packed values (F2)


def packed(path: Path, kind: Any, scale: float, offset: float | None) -> Path:
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("x", 7)
        variable = nc.createVariable("sst", "i2", ("x",), fill_value=-32768)
        variable.set_auto_maskandscale(False)
        variable[:] = [0, 1, -1, 2731, 32767, -32768, -9999]
        variable.scale_factor = kind(scale)
        if offset is not None:
            variable.add_offset = kind(offset)
    return path


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "kind, scale, offset",
    [
        (np.float32, 0.01, 273.15), (np.float32, 0.01, 0.0), (np.float32, 0.2, None),
        (np.float32, 1 / 3, -0.05), (np.float64, 0.01, 273.15), (np.float64, 0.1, None),
        (np.float64, 1 / 3, 0.0), (np.float64, 5e-5, 0.0), (np.float64, 0.5, 1.0),
    ],
)  # fmt: skip
def test_packed_values_decode_to_the_same_numbers_and_type_as_the_source(
    form: str, kind: Any, scale: float, offset: float | None, tmp_path: Path
) -> None:
    (tmp_path / "granules").mkdir()
    source = packed(tmp_path / "granules" / "packed.nc", kind, scale, offset)
    answer = whole(form, source, tmp_path)
    with xr.open_dataset(source) as theirs, xr.open_dataset(answer.path) as ours:
        assert same_bits(ours["sst"].values, theirs["sst"].values)
    with netCDF4.Dataset(source) as theirs, netCDF4.Dataset(answer.path) as ours:
        one, other = ours["sst"][:], theirs["sst"][:]
        assert same_bits(np.ma.getdata(one), np.ma.getdata(other))
        assert np.array_equal(np.ma.getmaskarray(one), np.ma.getmaskarray(other))


@pytest.mark.parametrize("form", FORMS)
def test_single_precision_that_looks_like_double_decodes_to_the_same_numbers(
    form: str, tmp_path: Path
) -> None:
    """0.5 has the same digits in both precisions and JSON does not tell which it was.

    It then counts as double: the numbers are the same, exactly, in a wider type.
    """
    (tmp_path / "granules").mkdir()
    source = packed(tmp_path / "granules" / "packed.nc", np.float32, 0.5, 0.0)
    answer = whole(form, source, tmp_path)
    with xr.open_dataset(source) as theirs, xr.open_dataset(answer.path) as ours:
        assert theirs["sst"].dtype == np.float32
        assert ours["sst"].dtype == np.float64
        assert np.array_equal(ours["sst"], theirs["sst"], equal_nan=True)


# ---------------------------------------------------------------- repeatable bytes

ONE_RUN = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from systems.kits import ask, request, services
answer = ask(request(("analysed_sst",), (170, -40, -170, 40)), {href!r},
             services(trusted=("file:///",)), Path({out!r}))
print(answer.output.checksum)
"""


def run_once(href: str, out: Path, epoch: str) -> str:
    program = ONE_RUN.format(tests=str(Path(__file__).parents[1]), href=href, out=str(out))
    environment = {**os.environ, "SOURCE_DATE_EPOCH": epoch}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True,
                          text=True, check=True)  # fmt: skip
    return done.stdout.strip()


def test_two_processes_write_the_same_bytes_when_the_clock_is_pinned(
    store: Path, tmp_path: Path
) -> None:
    first = run_once(store.as_uri(), tmp_path / "1", "1700000000")
    second = run_once(store.as_uri(), tmp_path / "2", "1700000000")
    later = run_once(store.as_uri(), tmp_path / "3", "1700000001")
    assert first == second
    assert later != first, "the moment is written into the output"
