"""DMR++ sidecars of several granules as one store: each value is the granule's own, or none is."""

import pickle
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from dmrpp import write_dmrpp
from servers import file_server
from systems.kits import described, raw, same_bits, services

from harmony_vds.errors import StoreError
from harmony_vds.model.joined_times import joined_times
from harmony_vds.model.store import ManifestFormat, StoreLocation, VirtualStore
from harmony_vds.pipeline import Services
from harmony_vds.stores.open import open_store
from harmony_vds.stores.reading import Reading
from harmony_vds.stores.tickets import Ticket

HOURS = 4
SHAPE = (HOURS, 6, 8)


def write_merra(path: Path, day: int, **more: object) -> Path:
    """Four steps of a day, counted from that day's own first half hour, as MERRA-2 counts them."""
    values = np.random.default_rng(day).integers(0, 9_000, SHAPE).astype("i2")
    with netCDF4.Dataset(path, "w") as nc:
        for name, size in (("time", None), ("lat", SHAPE[1]), ("lon", SHAPE[2]), ("nv", 2)):
            nc.createDimension(name, size)
        time = nc.createVariable("time", "i4", ("time",))
        time[:] = np.arange(HOURS) * 60
        time.units = more.get("units", f"minutes since 2024-01-{day:02} 00:30:00")
        time.bounds = "time_bnds"
        bounds = nc.createVariable("time_bnds", "f8", ("time", "nv"))
        bounds[:] = np.arange(HOURS)[:, None] * 60 + np.array([-30, 30])
        for name, size, units in (
            ("lat", SHAPE[1], "degrees_north"),
            ("lon", SHAPE[2], "degrees_east"),
        ):
            axis = nc.createVariable(name, "f8", (name,))
            axis[:] = np.arange(size) * 10.0 + float(more.get(name, 0))  # type: ignore[arg-type]
            axis.units = units
        field = nc.createVariable(
            "T2M", str(more.get("dtype", "i2")), ("time", "lat", "lon"), fill_value=-9999,
            compression="zlib", shuffle=True,
            chunksizes=more.get("chunks", (1, 3, 8)),
        )  # fmt: skip
        field.set_auto_maskandscale(False)
        field.setncatts({"units": "K", "scale_factor": more.get("scale", 0.1)})
        field[:] = values
        plain = nc.createVariable("PS", "f4", ("time", "lat", "lon"), contiguous=False)
        plain[:] = values / 3
        nc.createVariable("flag", "i4", ())[...] = 7
        nc.day = day
    return path


def stack(paths: list[Path], using: Services | None = None, base: str = "") -> VirtualStore:
    members = []
    for path in paths:
        write_dmrpp(path, path.with_name(f"{path.name}.dmrpp"))
        href = f"{base}/{path.name}" if base else path.as_uri()
        members.append(StoreLocation(f"{href}.dmrpp", ManifestFormat.DMRPP, data_href=href))
    own = using or services(trusted=("file:///",))
    location = StoreLocation(
        members[0].href, ManifestFormat.DMRPP, data_href=members[0].data_href, members=(*members,)
    )
    return open_store([location], own.access)


@pytest.fixture
def days(tmp_path: Path) -> list[Path]:
    return [write_merra(tmp_path / f"merra_{day}.nc4", day) for day in (1, 2, 3)]


def joined(paths: list[Path], name: str) -> np.ndarray:
    return np.concatenate([raw(path, name) for path in paths])


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_granules_are_joined_in_the_order_of_their_times(
    order: list[int], days: list[Path]
) -> None:
    tree = stack([days[n] for n in order]).tree
    for name in ("T2M", "PS"):
        assert same_bits(np.asarray(tree[name]), joined(days, name))
    for name in ("lat", "lon", "flag"):
        assert same_bits(np.asarray(tree[name]), raw(days[0], name))
    assert tree.attrs["day"] == 1
    assert tree["T2M"].attrs["scale_factor"] == 0.1
    assert tree["T2M"].dims == ("time", "lat", "lon")


def test_times_that_count_from_another_day_in_each_file_are_one_axis(days: list[Path]) -> None:
    tree = stack(days).tree
    told = []
    for path in days:
        units = described(path, "time")[2]["units"]
        told += netCDF4.num2date(raw(path, "time"), units).tolist()
    ours = netCDF4.num2date(np.asarray(tree["time"]), tree["time"].attrs["units"])
    assert ours.tolist() == told
    assert tree["time"].attrs["units"] == "minutes since 2024-01-01 00:30:00"
    bounds = np.asarray(tree["time_bnds"])
    assert (bounds[:, 0] == np.asarray(tree["time"]) - 30).all()
    assert (bounds[:, 1] == np.asarray(tree["time"]) + 30).all()


def test_each_variable_has_one_chunk_index_over_all_granules(days: list[Path]) -> None:
    index = stack(days).chunk_index("/T2M")
    assert index.shape == (12, 6, 8)
    assert index.kinds.shape == (12, 2, 1)
    assert (index.kinds == 2).all()
    assert index.locations == tuple(path.as_uri() for path in days)
    assert index.sources[:, 0, 0].tolist() == [n // HOURS for n in range(12)]


def test_each_sidecar_is_fetched_once_and_data_only_where_asked(days: list[Path]) -> None:
    root = days[0].parent
    with file_server(root) as server, services(trusted=(f"{server.url}/",)) as using:
        store = stack(days, using, server.url)
        sidecars = [path for path in server.paths() if path.endswith(".dmrpp")]
        assert sorted(sidecars) == sorted(f"/{path.name}.dmrpp" for path in days)
        server.forget()
        np.asarray(store.tree["T2M"].isel(time=[5]))
        assert set(server.paths()) == {f"/{days[1].name}"}


def test_stack_opens_again_in_the_same_state(days: list[Path]) -> None:
    using = services(trusted=("file:///",))
    store = stack(days, using)
    assert store.location.snapshot
    assert len(store.location.members) == 3
    assert open_store([store.location], using.access).location == store.location
    ticket = Ticket(store.location, Reading())
    assert Ticket.unpacked(ticket.packed()) == ticket
    travelled = pickle.loads(pickle.dumps(store.tree["T2M"].variable))
    assert same_bits(np.asarray(travelled), joined(days, "T2M"))


def test_stack_of_very_many_granules_names_the_first_and_the_last() -> None:
    members = tuple(
        StoreLocation(f"https://h/{n}.dmrpp?A=1", ManifestFormat.DMRPP) for n in range(50)
    )
    few, many = (replace(members[0], members=members[:n]) for n in (20, 50))
    assert few.origins == tuple(f"https://h/{n}.dmrpp" for n in range(20))
    assert many.origins[:2] == ("https://h/0.dmrpp", "https://h/1.dmrpp")
    assert many.origins[-2:] == ("and 30 more granules until", "https://h/49.dmrpp")
    assert len(many.origins) == 21
    assert members[0].origins == ("https://h/0.dmrpp",)


def write_swath(path: Path, n: int, *, rows: int = 5) -> Path:
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("y", rows)
        nc.createDimension("x", 3)
        for name in ("latitude", "longitude", "no2"):
            own = nc.createVariable(name, "f4", ("y", "x"))
            own[:] = np.arange(rows * 3).reshape(rows, 3) + 100 * n
        nc.createVariable("orbit", "i4", ())[...] = n
    return path


def test_granules_without_times_are_joined_along_a_new_dimension(tmp_path: Path) -> None:
    paths = [write_swath(tmp_path / f"orbit_{n}.nc", n) for n in (4, 5)]
    tree = stack(paths).tree
    for name in ("no2", "latitude"):
        assert tree[name].dims == ("granule", "y", "x")
        assert same_bits(np.asarray(tree[name]), np.stack([raw(p, name) for p in paths]))
    assert np.asarray(tree["orbit"]).tolist() == [4, 5]


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"lat": 5}, "/lat: merra_2.nc4 has other values than merra_1.nc4"),
        ({"scale": 0.2}, "/T2M: merra_2.nc4 has scale_factor .*0.2.*, merra_1.nc4 .*0.1"),
        ({"chunks": (2, 3, 8)}, r"/T2M: merra_2.nc4 has the chunk shape \(2, 3, 8\)"),
        ({"dtype": "i4"}, "/T2M: merra_2.nc4 has _FillValue"),
        ({"units": "months since 2024-01-01"}, "units 'months since 2024-01-01' of merra_2.nc4"),
        ({"units": "minutes since 2024-01-01 01:30:00"}, "merra_2.nc4 begins before merra_1.nc4"),
        ({"units": "K"}, "merra_2.nc4 has no times"),
    ],
)
def test_granule_that_does_not_fit_is_named(
    other: dict[str, object], told: str, tmp_path: Path
) -> None:
    first = write_merra(tmp_path / "merra_1.nc4", 1)
    second = write_merra(tmp_path / "merra_2.nc4", 2, **other)
    with pytest.raises(StoreError, match=told):
        stack([first, second])


def test_chunks_that_do_not_end_where_granules_do_are_held_only_where_small(
    tmp_path: Path,
) -> None:
    paths = [write_merra(tmp_path / f"merra_{n}.nc4", n, chunks=(3, 3, 8)) for n in (1, 2)]
    assert same_bits(np.asarray(stack(paths).tree["T2M"]), joined(paths, "T2M"))
    large = []
    for day in (1, 2):
        with netCDF4.Dataset(tmp_path / f"large_{day}.nc4", "w") as nc:
            nc.createDimension("time", 4)
            nc.createDimension("x", 2**16)
            nc.createVariable("time", "i4", ("time",))[:] = np.arange(4) + 10 * day
            nc["time"].units = "days since 2024-01-01"
            field = nc.createVariable("f", "f4", ("time", "x"), chunksizes=(3, 2**16))
            field[:] = day
        large.append(tmp_path / f"large_{day}.nc4")
    with pytest.raises(StoreError, match="/f: it has 2,097,152 bytes that must be read"):
        stack(large)


def test_swaths_of_other_lengths_are_no_stack(tmp_path: Path) -> None:
    paths = [write_swath(tmp_path / f"orbit_{n}.nc", n, rows=n) for n in (4, 5)]
    with pytest.raises(StoreError, match=r"shapes are \(4, 3\), \(5, 3\)"):
        stack(paths)


def test_granule_that_lacks_a_variable_is_named(days: list[Path]) -> None:
    short = write_swath(days[0].parent / "short.nc", 1)
    with pytest.raises(StoreError, match=r"short\.nc has no times at /time"):
        stack([*days, short])


@pytest.mark.parametrize(
    ("units", "parts", "common", "expected"),
    [
        (("hours since 2024-01-01", "hours since 2024-01-02"), ([1], [2]),
         "hours since 2024-01-01", [1, 26]),
        (("days since 2024-01-01", "minutes since 2024-01-02"), ([0], [30]),
         "seconds since 2024-01-01", [0, 88_200]),
        (("days since 2024-01-01", "hours since 2024-01-01"), ([0.5], [18.0]),
         "days since 2024-01-01", [0.5, 0.75]),
        (("days since 2024-01-01", "seconds since 2024-01-01"), ([0.5], [0.1]),
         "seconds since 2024-01-01", [43_200.0, 0.1]),
    ],
)  # fmt: skip
def test_times_are_rebased_exactly(
    units: tuple[str, str], parts: tuple[list[float], list[float]], common: str,
    expected: list[float],
) -> None:  # fmt: skip
    found, told = joined_times([np.array(p) for p in parts], units, "standard", ("a", "b"))
    assert told == common
    assert np.concatenate(found).tolist() == expected


def test_times_that_no_unit_holds_exactly_are_refused() -> None:
    units = ("days since 2024-01-01", "hours since 2024-01-01")
    with pytest.raises(StoreError, match="no common unit"):
        joined_times([np.array([0.1]), np.array([0.1])], units, "standard", ("a", "b"))


@pytest.mark.shared
def test_real_documents_of_two_months_are_one_axis_of_time(data: Path, tmp_path: Path) -> None:
    members = []
    for month in ("201606", "201607"):
        name = f"MERRA2_400.tavgM_2d_slv_Nx.{month}.nc4"
        with (tmp_path / name).open("wb") as granule:
            granule.truncate(2**27)  # the archive's bytes are not here: every coordinate is 0
        sidecar = (data / "s31_dmrpp_real" / f"{name}.dmrpp").as_uri()
        own = (tmp_path / name).as_uri()
        members.append(StoreLocation(sidecar, ManifestFormat.DMRPP, data_href=own))
    location = replace(members[0], members=tuple(members))
    with services(trusted=("file:///",)) as using:
        store = open_store([location], using.access)
        assert store.tree["T2M"].shape == (2, 361, 576)
        assert np.asarray(store.tree["time"]).tolist() == [0, 30 * 24 * 60]
        assert store.tree["time"].attrs["units"] == "minutes since 2016-06-01 00:30:00"
        index = store.chunk_index("/T2M")
        assert index.sources.ravel().tolist() == [0, 1]
        assert index.locations == tuple(own.data_href for own in members)
