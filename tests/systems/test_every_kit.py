"""Planned reader, zarr and the HDF5 or netCDF library give the same bits of every real granule.

Stores are written by VirtualiZarr and by kerchunk with every variable as references. The truth is
h5py's, or netCDF4's for classic netCDF. What cannot be described, opened or decoded is listed with
its reason and seen to be refused. Where a writer loses what nothing in its manifest tells any more,
both readers must still agree.
"""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from systems.kits import raw, same_bits
from world import kerchunk_references, write_icechunk, write_references

from harmony_vds.access.credentials import Credentials
from harmony_vds.access.gateway import Access
from harmony_vds.errors import StoreError
from harmony_vds.model.store import ManifestFormat, StoreLocation, VirtualStore
from harmony_vds.settings import Settings
from harmony_vds.stores.open import open_store
from harmony_vds.stores.reading import Reading

pytestmark = pytest.mark.shared

GRANULES = (
    "s01_*/*01_7f00ff*", "s02_*/20241011*", "s03_*/20170605*", "s04_*/*20110901*", "s04_*/*240101*",
    "s05_*/*.nc", "s06_*/*18500101*", "s07_*/*T000000Z*", "s08_*/*_aup_input.h5", "s09_*/*.nc4",
    "s10_*/*.nc",
    "s11_*/*.h5", "s12_*/*.h5", "s16_*/*daily_nh*", "s18_*/*.nc", "s19_*/*.nc", "s20_*/*084200*",
    "s21_*/*G01*", "s22_*/*_191_*", "s23_*/*_02801_*", "s24_*/*.nc", "s25_*/*.nc", "s26_*/*.h5",
    "s27_*/*20200102v7.nc", "s28_*/ABoVE*bbox.nc4", "s28_*/GPM*bounds.nc4", "s29_*/SPL3FTP*.nc4",
    "s29_*/empty-ATL14.nc", "s29_*/empty-IMERG.nc", "s36_*/*corners_input.h5",
    "s30_*/FletcherShuffle.nc4", "s30_*/SDS_fle_def.h5", "s30_*/SDS_shuf_def_fle.h5",
    "s30_*/SDS_fle_shuf_2def.h5", "s30_*/SDS_shuf_2def_fle.h5", "s30_*/compact_example.h5",
    "s30_*/Scalar_compact.h5", "s30_*/chunked_shufzip_fourD.h5", "s30_*/chunked_twoD_uneven.h5",
    "s30_*/nc4_group_atomic.h5", "s30_*/nc4_unlimited_0.h5", "s30_*/t_float.h5", "s30_*/vlen.h5",
    "s35_*/*zstd.h5", "s35_*/*lz4.h5", "s35_*/hdf5_mini_blosc.h5", "s35_*/*mini_shuffle_blosc.h5",
    "s35_*/*_bitshuffle.h5", "s35_*/ref_szip.h5", "s35_*/ref_groups.h5", "s35_*/tdset.h5",
    "s35_*/vlen.h5", "s35_*/coads*.nc4", "s35_*/air_linked.nc",
)  # fmt: skip
# Slow to describe, or many variables of one sort.
LONG = ("s12", "s22", "s23", "s25", "s29/empty-ATL14")

# (form, beginning of the granule's name) -> what the writer says when it refuses.
UNWRITABLE = {
    ("kerchunk", "s03"): "signature not found",  # netCDF-3, for which kerchunk needs SciPy
    ("kerchunk", "s04/IMOS_OceanCurrent_HV_2011"): "signature not found",
    ("kerchunk", "s06"): "signature not found",
    ("kerchunk", "s20"): "signature not found",
    ("kerchunk", "s25"): "signature not found",
    ("icechunk", "s10"): "bad metadata",  # NaN among the attributes
    ("icechunk", "s11"): "conflicting sizes",  # no dimension scales
    ("icechunk", "s12"): "conflicting sizes",
    ("icechunk", "s26"): "Unsupported dtype",  # fixed strings with a fill value
    ("icechunk", "s30/vlen"): "not a variable-length string",
    ("icechunk", "s35/hdf5_"): "get_filters",  # filters of plugins that are not installed
    ("icechunk", "s35/ref_szip"): "szip",
    ("icechunk", "s35/tdset"): "conflicting sizes",
}
# Groups whose dimensions contradict each other: refused by name, the rest is read.
DEFECTIVE = {("kerchunk", "s11"), ("kerchunk", "s12"), ("kerchunk", "s35/tdset"),
             ("kerchunk", "s35/ref_groups"), ("icechunk", "s35/ref_groups")}  # fmt: skip
# One deflation of two is forgotten by VirtualiZarr: no chunk can be decoded, so none is handed on.
UNDECODABLE = {("icechunk", "s30/SDS_fle_shuf_2def"), ("icechunk", "s30/SDS_shuf_2def_fle")}
# What the manifest holds is not what the file holds, and nothing in the manifest tells.
WRITTEN_WRONG = {
    ("icechunk", "s30/compact_example"): r".*",  # compact storage becomes chunks never written
    ("kerchunk", "s30/compact_example"): r".*",
    ("icechunk", "s30/Scalar_compact"): r".*",
    ("kerchunk", "s30/vlen"): r"/DS1",  # ragged rows become their own Python text
    ("kerchunk", "s29/empty-ATL14"): r"/quality_assessment/.*",  # fill value becomes null
    ("kerchunk", "s12"): r".*(runconfig|_files|_time|_burst|_date|_epoch|_version|_type|_id).*",
}


def granules(data: Path) -> dict[str, Path]:
    found = (path for pattern in GRANULES for path in sorted(data.glob(pattern)))
    return {f"{path.parent.name[:3]}/{path.stem}": path for path in found}


def listed(table: Any, form: str, name: str) -> Any:
    """The entry of a table for a granule, or None."""
    for own in table:
        if own[0] == form and name.startswith(own[1]):
            return table[own] if isinstance(table, dict) else True
    return None


def is_classic(path: Path) -> bool:
    return path.read_bytes()[:3] == b"CDF"


def write(form: str, path: Path, folder: Path) -> StoreLocation:
    """A store over one granule, nothing of it loaded."""
    if form == "kerchunk":
        document = write_references(folder / "store.json", kerchunk_references([path]))
        return StoreLocation(document.as_uri(), ManifestFormat.KERCHUNK_JSON)
    import virtualizarr
    from obspec_utils.registry import ObjectStoreRegistry
    from obstore.store import LocalStore
    from virtualizarr.parsers import HDFParser, NetCDF3Parser

    registry = ObjectStoreRegistry({"file://": LocalStore()})
    groups: list[str | None] = [None]
    if not is_classic(path):
        with h5py.File(path) as file:
            file.visititems(
                lambda name, node: groups.append(name) if isinstance(node, h5py.Group) else None
            )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        datasets = {
            group: virtualizarr.open_virtual_dataset(
                path.resolve().as_uri(), registry,
                NetCDF3Parser() if is_classic(path) else HDFParser(group=group),
                loadable_variables=[], decode_times=False,
            )
            for group in groups
        }  # fmt: skip
    store = folder / "store.icechunk"
    write_icechunk(store, datasets, container=f"{path.resolve().parent.as_uri()}/")
    return StoreLocation(store.as_uri(), ManifestFormat.ICECHUNK)


@contextmanager
def both_readers(form: str, path: Path, folder: Path) -> Iterator[list[VirtualStore]]:
    location = write(form, path, folder)
    prefixes = (f"{path.resolve().parent.as_uri()}/", f"{folder.as_uri()}/")
    access = Access.of(Settings(trusted_prefixes=prefixes), Credentials.of_token(None))
    with access:
        yield [open_store([location], access, Reading(planned=own)) for own in (True, False)]


def variables(store: VirtualStore) -> dict[str, xr.Variable]:
    return {
        f"{node.path.rstrip('/')}/{name}": variable
        for node in store.tree.subtree
        for name, variable in node.to_dataset(inherit=False).variables.items()
    }


def truth(path: Path, name: str, key: tuple[Any, ...]) -> np.ndarray:
    """The cells at `key` by h5py, or by netCDF4 for classic netCDF."""
    if is_classic(path):
        values = raw(path, name)
        spans = [np.arange(n)[own] for n, own in zip(values.shape, key, strict=True)]
    else:
        with h5py.File(path) as file:
            node = file[name]
            spans = [np.arange(n)[own] for n, own in zip(node.shape, key, strict=True)]
            low = [int(own.min()) if own.size else 0 for own in spans]
            high = [int(own.max()) + 1 if own.size else 0 for own in spans]
            values = np.asarray(node[tuple(map(slice, low, high))])
            spans = [own - first for own, first in zip(spans, low, strict=True)]
    for axis in reversed(range(len(key))):  # outer, not pointwise
        values = values[(*([slice(None)] * axis), spans[axis])]
    return np.asarray(values)


def equal(ours: np.ndarray, theirs: np.ndarray) -> bool:
    if ours.dtype.kind in "SUTO" or theirs.dtype.kind in "SUTO":
        texts = [[_text(own) for own in np.ravel(values)] for values in (ours, theirs)]
        return ours.shape == theirs.shape and texts[0] == texts[1]
    return same_bits(ours, theirs)


def _text(value: Any) -> bytes:
    """Text without the blank that kerchunk makes of an empty one."""
    text = value.encode() if isinstance(value, str) else bytes(value)
    return b"" if text == b" " else text.rstrip(b"\0")


def along(size: int) -> st.SearchStrategy[Any]:
    """Keys of a dimension: steps either way, empty, single, the last chunk, wrapped, repeated."""
    if size == 0:
        return st.just(slice(None))
    start, most = st.integers(0, size - 1), min(size, 300)
    window = st.builds(
        lambda low, length, step: slice(low, low + length, step),
        start, st.integers(0, most), st.sampled_from([1, 1, 2, 7]),
    )  # fmt: skip
    backward = window.map(
        lambda own: slice(own.stop, own.start or None, -own.step) if own.stop else own
    )
    wrapped = st.integers(1, min(size, 9)).map(lambda n: np.r_[size - n : size, 0 : min(n, size)])
    some = st.lists(start, max_size=5).map(lambda own: np.array(own, np.int64))
    return st.one_of(start, window, backward, wrapped, some, st.just(slice(size - 1, None)))


def check_examples(
    form: str, name: str, path: Path, stores: list[VirtualStore], examples: int
) -> None:
    planned, plain = map(variables, stores)
    assert planned.keys() == plain.keys()
    wrong = listed(WRITTEN_WRONG, form, name)
    undecodable = listed(UNDECODABLE, form, name)
    if not planned:
        return

    @settings(max_examples=examples)
    @given(choice=st.data())
    def agree(choice: st.DataObject) -> None:
        own = choice.draw(st.sampled_from(sorted(planned)))
        key = choice.draw(st.tuples(*map(along, planned[own].shape)))
        if undecodable:
            for reader in (planned, plain):
                with pytest.raises((StoreError, ValueError)):
                    np.asarray(reader[own].values)
            return
        indexers = dict(enumerate(key))
        ours, zarrs = (_cut(reader[own], indexers) for reader in (planned, plain))
        assert (ours.dtype.kind, ours.dtype.itemsize) == (zarrs.dtype.kind, zarrs.dtype.itemsize)
        assert equal(ours, zarrs), own
        if not (wrong and re.fullmatch(wrong, own)):
            assert equal(ours, truth(path, own, key)), own

    agree()


def _cut(variable: xr.Variable, indexers: dict[int, Any]) -> np.ndarray:
    names = [f"d{axis}" for axis in range(variable.ndim)]  # HDF5 may name two dimensions alike
    cut = xr.Variable(names, variable._data).isel({f"d{a}": key for a, key in indexers.items()})
    return np.asarray(cut.values)


FORMS = ("icechunk", "kerchunk")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pattern", GRANULES)
def test_every_reader_gives_the_bits_of_the_granule(
    pattern: str, form: str, data: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    thorough = request.config.getoption("--scale")
    chosen = {n: p for n, p in granules(data).items() if p.match(pattern)}
    assert chosen
    for number, (name, path) in enumerate(chosen.items()):
        if name.startswith(LONG) and not thorough:
            continue
        folder = tmp_path / str(number)
        folder.mkdir()
        reason = listed(UNWRITABLE, form, name)
        if reason is not None:
            with pytest.raises(Exception, match=reason):
                write(form, path, folder)
            continue
        with both_readers(form, path, folder) as stores:
            assert all(bool(own.defects) == bool(listed(DEFECTIVE, form, name)) for own in stores)
            check_examples(form, name, path, stores, 80 if thorough else 4)
