"""Manifests as others have published them: each opens, or says exactly what is missing."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from systems.kits import ask, raw, request

from harmony_vds.access.credentials import Credentials
from harmony_vds.discovery.found import locate
from harmony_vds.errors import StaleSourceError, StoreError, UncutBoxError, UntrustedError
from harmony_vds.model.store import VirtualStore
from harmony_vds.pipeline import Services
from harmony_vds.settings import Settings
from harmony_vds.stores.open import open_store

pytestmark = pytest.mark.shared

KERCHUNK, ICECHUNK = "s32_kerchunk_refs", "s33_icechunk_stores"
MODEL = "s34_virtual_icechunk_omcat/access-om2"
ELSEWHERE = "file:///Users/u1166368/catalog/intake-virtual-icechunk/tests/data/access-om2/"
OCEAN = "ocean.1mon.nv:2.xt_ocean:1.yt_ocean:1.mean"
ICE = "seaIce.1mon.d2:2.ni:1.nj:1.mean"


@contextmanager
def services(data: Path, *trusted: str, **more: Any) -> Iterator[Services]:
    settings = Settings(trusted_prefixes=(f"{data.as_uri()}/", *trusted), **more)
    with Services.of(settings, Credentials.of_token(None)) as own:
        yield own


def opened(data: Path, name: str, own: Services, version: str = "") -> VirtualStore:
    found = locate(f"{(data / name).as_uri()}{version}", own.access)
    return open_store(found.locations, found.access, own.reading)


def names(store: VirtualStore) -> set[str]:
    return {str(name) for node in store.tree.subtree for name in node.variables}


def references(data: Path, name: str) -> dict[str, Any]:
    document = json.loads((data / KERCHUNK / name).read_text())
    return dict(document["refs"])


@pytest.mark.parametrize(
    "name", ["reference.json", "its_live_catalog.json", "mur_sst.json", "ARG_combined.json"]
)
def test_every_variable_of_a_reference_file_is_there_with_its_shape(name: str, data: Path) -> None:
    arrays = {
        key.removesuffix("/.zarray"): json.loads(own)["shape"]
        for key, own in references(data, name).items()
        if key.endswith("/.zarray")
    }
    with services(data) as own:
        store = opened(data, f"{KERCHUNK}/{name}", own)
        assert store.defects == {}
        assert {key: list(var.shape) for key, var in store.tree.variables.items()} == arrays


def test_records_in_parquet_hold_the_chunks_that_their_json_twin_has_for_the_same_hours(
    data: Path,
) -> None:
    with services(data) as own:
        twin = opened(data, f"{KERCHUNK}/ARG_combined.json", own)
        store = opened(data, f"{KERCHUNK}/combined.parq", own)
        assert names(store) == names(twin)
        for path in ("/T2", "/PP", "/HR2"):
            one, other = store.chunk_index(path), twin.chunk_index(path)
            for hour in range(2):
                place = (hour, 0, 0)
                assert one.locations[one.sources[place]] == other.locations[other.sources[place]]
                assert one.offsets[place] == other.offsets[place]
                assert one.lengths[place] == other.lengths[place] > 0


def test_templates_name_the_source_and_it_is_refused_where_nobody_named_it(
    data: Path, tmp_path: Path
) -> None:
    with services(data) as own, pytest.raises(UntrustedError) as refused:
        ask(request(("SST",)), (data / KERCHUNK / "mur_sst.json").as_uri(), own, tmp_path / "out")
    assert "s3://noaa-goes16/ABI-L2-SSTF/2020/210/00/OR_ABI-L2-SSTF-M6" in str(refused.value)
    assert "HARMONY_VDS_TRUSTED_PREFIXES" in str(refused.value)


def test_inline_coordinates_by_delta_and_blosc_are_those_of_their_grid(data: Path) -> None:
    with services(data) as own:
        store = opened(data, f"{KERCHUNK}/its_live_catalog.json", own)
        x, y = store.tree["x"].values, store.tree["y"].values
    assert np.unique(np.diff(x)).tolist() == [120.0]
    assert np.unique(np.diff(y)).tolist() == [-120.0]
    assert (x.size, y.size) == (552, 1328)


def test_grib_is_refused_by_name_and_its_coordinates_are_read(data: Path, tmp_path: Path) -> None:
    href = (data / KERCHUNK / "HRRR_combined.json").as_uri()
    with services(data) as own:
        store = opened(data, f"{KERCHUNK}/HRRR_combined.json", own)
        assert names(store) == {"heightAboveGround", "step", "time", "valid_time"}
        assert len(store.defects) == 11
        assert all("'grib'" in why for why in store.defects.values())
        with pytest.raises(StoreError, match=r"'t2m' cannot be read: .* 'grib'"):
            ask(request(("t2m",)), href, own, tmp_path / "out")


def test_values_that_stand_in_the_references_are_those_of_their_granules(
    data: Path, tmp_path: Path
) -> None:
    href = (data / KERCHUNK / "reference.json").as_uri()
    with services(data) as own:
        answer = ask(request(("value",)), href, own, tmp_path / "out")
    # It was joined over time, which both granules number 0 and 1, and holds a third step beyond the
    # shape that it gives: what it stands for is the first step of each.
    files = [data / KERCHUNK / f"observation_{n}.nc" for n in (1, 2)]
    expected = np.stack([raw(path, "value")[0] for path in files])
    np.testing.assert_array_equal(answer.read("value"), expected)


def test_projected_grid_whose_reference_system_is_not_stated_refuses_a_box_and_says_so(
    data: Path, tmp_path: Path
) -> None:
    """It names a grid mapping that the store does not hold."""
    boxed = request(("v",), box=(-60, 0, -50, 10))
    href = (data / KERCHUNK / "its_live_catalog.json").as_uri()
    with services(data) as own, pytest.raises(UncutBoxError, match=r"cannot cut v: .* reference"):
        ask(boxed, href, own, tmp_path / "out")


@pytest.mark.parametrize("name", ["test-repo-v1", "test-repo-v2"])
def test_repository_without_names_of_dimensions_says_that_they_are_missing(
    name: str, data: Path, tmp_path: Path
) -> None:
    with services(data) as own:
        store = opened(data, f"{ICECHUNK}/{name}", own)
        assert sorted(store.defects) == ["/group1/big_chunks", "/group1/small_chunks"]
        assert all("do not name its dimensions" in why for why in store.defects.values())
        with pytest.raises(StoreError, match="dimension_names"):
            ask(request(), (data / ICECHUNK / name).as_uri(), own, tmp_path / "out")


@pytest.mark.parametrize("name", ["test-repo-v1", "test-repo-v2"])
@pytest.mark.parametrize("version", ["branch.my-branch", "tag.it works!"])
def test_branches_and_tags_of_others_repositories_open(version: str, name: str, data: Path) -> None:
    with services(data) as own:
        tip = opened(data, f"{ICECHUNK}/{name}", own)
        other = opened(data, f"{ICECHUNK}/{name}", own, f"|icechunk://{version}")
    assert other.location.snapshot != tip.location.snapshot


def test_sources_on_another_machine_are_refused_by_their_address(
    data: Path, tmp_path: Path
) -> None:
    href = (data / MODEL / "icecat.icechunk").as_uri()
    with services(data) as own, pytest.raises(UntrustedError) as refused:
        ask(request((f"{OCEAN}/mld",)), href, own, tmp_path / "out")
    assert f"{ELSEWHERE}output00" in str(refused.value)


@pytest.fixture
def copies(data: Path, tmp_path: Path) -> Path:
    """The sources of the model's catalogue in another place, as old as they were."""
    for path in (data / MODEL).rglob("output*/**/*.nc"):
        copied = tmp_path / "copies" / path.relative_to(data / MODEL)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copied)
        os.utime(copied, (0, 0))
    return tmp_path / "copies"


@pytest.mark.parametrize("reader", ["planned", "zarr"])
def test_sources_on_another_machine_are_read_where_the_operator_says_they_lie(
    reader: str, copies: Path, data: Path, tmp_path: Path
) -> None:
    there = f"{copies.as_uri()}/"
    wanted = (f"{OCEAN}/mld", f"{OCEAN}/time_bounds", f"{ICE}/aice_m")
    with services(data, there, rewrite_prefixes=(f"{ELSEWHERE}={there}",), reader=reader) as own:
        href = (data / MODEL / "icecat.icechunk").as_uri()
        answer = ask(request(wanted), href, own, tmp_path / "out")
    months = [data / MODEL / f"output00{n}/ocean/ocean_month.nc" for n in (0, 1)]
    ice = [data / MODEL / f"output00{n}/ice/OUTPUT/iceh.19{n}0-01.nc" for n in (0, 1)]
    for path, files, name in (
        (f"/{OCEAN}/mld", months, "mld"),
        (f"/{OCEAN}/time_bounds", months, "time_bounds"),
        (f"/{ICE}/aice_m", ice, "aice_m"),
    ):
        expected = np.concatenate([raw(own, name) for own in files])
        with netCDF4.Dataset(answer.path) as nc:
            nc.set_auto_maskandscale(False)
            np.testing.assert_array_equal(nc[path][...], expected)


def test_copy_that_is_younger_than_the_snapshot_is_refused_as_changed(
    copies: Path, data: Path, tmp_path: Path
) -> None:
    there = f"{copies.as_uri()}/"
    for path in copies.rglob("ocean_month.nc"):
        path.touch()
    href = (data / MODEL / "icecat.icechunk").as_uri()
    with (
        services(data, there, rewrite_prefixes=(f"{ELSEWHERE}={there}",)) as own,
        pytest.raises(StaleSourceError, match="after the store was written"),
    ):
        ask(request((f"{OCEAN}/mld",)), href, own, tmp_path / "out")


def test_moving_sources_to_a_place_that_is_not_trusted_does_not_open_it(
    data: Path, tmp_path: Path
) -> None:
    moved = (f"{ELSEWHERE}=file:///srv/elsewhere/",)
    href = (data / MODEL / "icecat.icechunk").as_uri()
    with (
        services(data, rewrite_prefixes=moved) as own,
        pytest.raises(UntrustedError, match="file:///srv/elsewhere/output00"),
    ):
        ask(request((f"{OCEAN}/mld",)), href, own, tmp_path / "out")
