"""Outputs on a target grid cut into strips of its rows: joined again they are the whole."""

import re
import warnings
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import rasterio
from servers import file_server
from systems.kits import raw, request, services
from systems.test_price import range_of
from world import sst_like, virtual_dataset, write_granule, write_icechunk

from harmony_vds.errors import TooLargeError
from harmony_vds.handoff import sealed, unsealed
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.formats import CSV, GEOTIFF, PNG
from harmony_vds.model.request import Request, TargetGrid
from harmony_vds.pipeline import Prepared, fulfil, prepare, prepare_part

ROWS, COLUMNS = 90, 180
GRIDS = {
    "mercator": TargetGrid("EPSG:3857", "", (-15e6, -12e6, 19e6, 16e6), None, 151, 147),
    "degrees": TargetGrid("EPSG:4326", "", (-33.3, -77.1, 400.2, 88.8), None, 133, 91),
    "polar": TargetGrid("EPSG:3413", "", (-4e6, -4.5e6, 3e6, 4e6), None, 99, 141),
}
SHORT = {("polar", "near"), ("polar", "cubic"), ("mercator", "average"), ("degrees", "mode")}
METHODS = ("near", "bilinear", "cubic", "average", "mode", "min", "max")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One day of 2 by 2 degrees."""
    folder = tmp_path_factory.mktemp("strips")
    path = write_granule(folder / "day.nc", 0, nlat=ROWS, nlon=COLUMNS, chunks=(30, 45),
                         values=sst_like(0, ROWS, COLUMNS))  # fmt: skip
    write_icechunk(
        folder / "s.icechunk", {None: virtual_dataset([path])}, container=f"{folder.as_uri()}/"
    )
    return (folder / "s.icechunk").as_uri()


def of(grid: str, method: str = "near", **more: object) -> Request:
    target = replace(GRIDS[grid], interpolation=method)
    return replace(request(("analysed_sst",)), target=target, **more)


def using(store: str, **more: object):
    return services(trusted=[f"{store.rpartition('/')[0]}/"], **more)


def written(
    store: str, wanted: Request, folder: Path, **more: object
) -> tuple[list[Prepared], list[Path]]:
    with warnings.catch_warnings(), using(store, **more) as own:
        warnings.simplefilter("ignore", UserWarning)
        prepared = prepare(wanted, own, store)
        return prepared, [output.path for output in fulfil(prepared, folder, own)]


@pytest.mark.parametrize(
    "grid, method",
    [
        pytest.param(grid, method, marks=[] if (grid, method) in SHORT else [pytest.mark.scale])
        for grid in GRIDS
        for method in METHODS
    ],
)
def test_strips_joined_are_the_whole_bit_for_bit(
    grid: str, method: str, store: str, tmp_path: Path
) -> None:
    _, (whole,) = written(store, of(grid, method), tmp_path / "whole")
    size = raw(whole, "analysed_sst").nbytes
    prepared, strips = written(store, of(grid, method), tmp_path / "cut", part_bytes=size // 5)
    assert len(strips) > 5
    assert all(own.plan.cost.bytes_written <= size // 5 for own in prepared)
    y, x = (own.lstrip("/") for own in prepared[0].plan.target.dimensions)
    for name, axis in (("analysed_sst", 1), (y, 0)):
        joined = np.concatenate([raw(own, name) for own in strips], axis)
        assert joined.tobytes() == raw(whole, name).tobytes()
    assert all(np.array_equal(raw(own, x), raw(whole, x)) for own in strips)


@pytest.mark.parametrize("grid", GRIDS)
def test_each_strip_says_where_it_lies(grid: str, store: str, tmp_path: Path) -> None:
    wanted = of(grid, media_type=GEOTIFF)
    _, (whole,) = written(store, wanted, tmp_path / "whole")
    with rasterio.open(whole) as file:
        values, transform = file.read(), file.transform
    prepared, strips = written(store, wanted, tmp_path / "cut", part_bytes=values.nbytes // 3)
    first = 0
    for own, path in zip(prepared, strips, strict=True):
        with rasterio.open(path) as file:
            assert np.array_equal(file.read(), values[:, first : first + file.height])
            at = transform @ (0, first)
            assert np.allclose(file.transform @ (0, 0), at)
            assert np.allclose((file.transform.a, file.transform.e), (transform.a, transform.e))
            first += file.height
        assert own.label == f"part{own.part.index + 1:0{len(str(own.part.of))}d}of{own.part.of}"
    assert first == values.shape[1]
    norths = [own.plan.bbox().north for own in prepared]
    assert grid == "polar" or norths == sorted(norths, reverse=True)


def test_attributes_name_the_corner_of_the_strip(store: str, tmp_path: Path) -> None:
    prepared, strips = written(store, of("degrees"), tmp_path, part_bytes=9_000)
    for own, path in zip(prepared, strips, strict=True):
        with netCDF4.Dataset(path) as nc:
            corner = [float(number) for number in nc["crs"].GeoTransform.split()]
            lat = nc["lat"][:]
        assert corner[3] + corner[5] / 2 == pytest.approx(float(lat[0]))
        box: BoundingBox = own.plan.bbox()
        assert (box.south, box.north) == pytest.approx(
            (lat[-1] + corner[5] / 2, min(lat[0] - corner[5] / 2, 90.0))
        )


def test_strip_is_planned_again_and_written_elsewhere(store: str, tmp_path: Path) -> None:
    with using(store, part_bytes=9_000) as own:
        prepared = prepare(of("polar", "cubic"), own, store, apart=True)
        here = fulfil(prepared, tmp_path / "here", own)
    part = unsealed(sealed(prepared[2].part, "secret"), "secret")
    with using(store) as own:
        again = prepare_part(part, own)
        assert again.plan.fingerprint == prepared[2].plan.fingerprint
        (there,) = fulfil([again], tmp_path / "there", own)
    same = [raw(own, "analysed_sst").tobytes() for own in (here[2].path, there.path)]
    assert same[0] == same[1]
    prints = [own.plan.fingerprint for own in prepared]
    assert len({*prints}) == len(prints) > 3


def test_price_of_strips_is_what_is_read_for_them(store: str, tmp_path: Path) -> None:
    with file_server(Path(store.removeprefix("file://")).parent) as http:
        source = Path(store.removeprefix("file://")).parent / "day.nc"
        write_icechunk(
            tmp_path / "far.icechunk", {None: virtual_dataset([source])},
            container=f"{http.url}/", rename=lambda url: f"{http.url}/day.nc" if url else url,
        )  # fmt: skip
        href = (tmp_path / "far.icechunk").as_uri()
        with services(trusted=[f"{http.url}/", f"{tmp_path.as_uri()}/"], part_bytes=9_000) as own:
            for grid, method in (("mercator", "near"), ("polar", "average"), ("degrees", "mode")):
                prepared = prepare(of(grid, method), own, href)
                http.forget()
                fulfil(prepared, tmp_path / f"{grid}-{method}", own)
                ranges = [range_of(asked) for asked in http.asked]
                costs = [strip.plan.cost for strip in prepared]
                assert len(costs) > 3
                assert sum(cost.requests for cost in costs) == len(ranges)
                assert sum(cost.bytes_read for cost in costs) == sum(n for _, _, n in ranges)


def test_table_of_target_cells_is_cut_too(store: str, tmp_path: Path) -> None:
    wanted = of("degrees", media_type=CSV)
    _, (whole,) = written(store, wanted, tmp_path / "whole")
    rows = whole.read_text().splitlines()
    _, strips = written(store, wanted, tmp_path / "cut", part_bytes=200_000)
    assert len(strips) > 1
    joined = [own.read_text().splitlines() for own in strips]
    assert [line for own in joined for line in own[1:]] == rows[1:]
    assert {own[0] for own in joined} == {rows[0]}


def test_who_waits_and_who_wants_a_picture_gets_one_file(store: str, tmp_path: Path) -> None:
    _, waited = written(store, of("degrees", synchronous=True), tmp_path / "a", part_bytes=9_000)
    _, shown = written(store, of("degrees", media_type=PNG), tmp_path / "b", part_bytes=9_000)
    assert (len(waited), len(shown)) == (1, 1)


def test_grid_that_is_too_large_even_in_strips_is_refused_with_what_fits(store: str) -> None:
    limits = {"part_bytes": 9_000, "max_output_bytes": 20_000}
    with using(store, **limits) as own, pytest.raises(TooLargeError) as caught:
        prepare(of("degrees"), own, store)
    text = str(caught.value)
    assert "HARMONY_VDS_MAX_OUTPUT_BYTES" in text
    told = re.search(r"width=(\d+)&height=(\d+) \[--width (\d+) --height (\d+)\]", text)
    assert told[1] == told[3]
    assert told[2] == told[4]
    coarser = replace(GRIDS["degrees"], width=int(told[1]), height=int(told[2]))
    with using(store, **limits) as own:
        prepared = prepare(replace(of("degrees"), target=coarser), own, store)
    assert sum(strip.plan.cost.bytes_written for strip in prepared) <= 20_000
