"""Shapes against the outputs of SDS MaskFill, which Harmony's other services cut by shapes with.

MaskFill keeps every cell that a shape touches; this service keeps those whose centre is inside. So
all that we keep MaskFill kept, and every cell that it kept beyond lies on the edge of the shape.

Of the other files beside these, one output has no input (dimension_list), one pair differs in its
compression alone, and the rest are coordinates and shapes that MaskFill derived on its way.
"""

import json
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
import rasterio
import shapely
from pyproj import Transformer
from world import kerchunk_references, virtual_dataset, write_icechunk, write_references

from harmony_vds.access.credentials import Credentials
from harmony_vds.model.grid import Axis, AxisKind, Grid, GridKind
from harmony_vds.model.request import Request, Source
from harmony_vds.pipeline import fulfil, prepare
from harmony_vds.planning.shapes import cells_in_shape
from harmony_vds.services import Services
from harmony_vds.settings import Settings
from harmony_vds.shapes.geojson import parse_shape

pytestmark = pytest.mark.shared
FOLDER = "s36_maskfill_io"
# Name of the input and the output, name of the shape, what outside cells hold.
IMAGES = {
    "banded": ("SMAP_L3_FT_P_banded_input", "SMAP_L3_FT_P_banded_output", "WV", -9999),
    "float": ("SMAP_L3_FT_P_fill_float_input", "SMAP_L3_FT_P_fill_float_output", "USA", -9999),
    "uint": ("SMAP_L3_FT_P_fill_uint_input", "SMAP_L3_FT_P_fill_uint_output", "USA", 254),
    "resolved": ("SMAP_L4_SM_aup_input", "SMAP_L4_SM_aup_output", "USA_resolved", -9999),
    "utm": ("SMAP_L4_SM_aup_UTM_input", "SMAP_L4_SM_aup_UTM_output", "COL", -9999),
    "pole": ("SMAP_L3_FT_P_polar_3d_input", "SMAP_L3_FT_P_polar_3d_south_pole_output",
             "south_pole", -9999),
}  # fmt: skip


def grid_of(image: Any) -> Grid:
    step_x, _, left, _, step_y, top = image.transform[:6]
    x = left + step_x * (np.arange(image.width) + 0.5)
    y = top + step_y * (np.arange(image.height) + 0.5)
    axes = (Axis(f"/{n}", f"/{n}", k, v, "m", 0.0)
            for n, k, v in (("x", AxisKind.X, x), ("y", AxisKind.Y, y)))  # fmt: skip
    return Grid(GridKind.PROJECTED, *axes, ("/y", "/x"), image.crs.to_wkt())


def on_the_edge(own: Grid, shape: shapely.Geometry, cells: np.ndarray) -> np.ndarray:
    """Which of some cells the edge of a shape passes, drawn finely on the plane of the grid."""
    fine = shapely.segmentize(shapely.boundary(shape), 0.0005)
    transformer = Transformer.from_crs("EPSG:4326", own.crs, always_xy=True)
    x, y = transformer.transform(*shapely.get_coordinates(fine).T)
    left, top, step = own.x.values[0], own.y.values[0], own.x.values[1] - own.x.values[0]
    half = step / 2 * 1.02  # the edge is drawn to within a hundredth of a cell
    points = shapely.STRtree(shapely.points(x[np.isfinite(x)], y[np.isfinite(x)]))
    x, y = left + cells[:, 1] * step, top - cells[:, 0] * step
    met, _ = points.query(shapely.box(x - half, y - half, x + half, y + half), "intersects")
    return np.isin(np.arange(len(cells)), met)


@pytest.mark.parametrize("name", IMAGES)
def test_maskfill_keeps_what_we_keep_and_beyond_it_only_the_edge(name: str, data: Path) -> None:
    before, after, place, fill = IMAGES[name]
    shape = parse_shape((data / FOLDER / f"{place}.geo.json").read_bytes(), 10_000)
    with (
        rasterio.open(data / FOLDER / f"{before}.tif") as image,
        rasterio.open(data / FOLDER / f"{after}.tif") as cut,
    ):
        grid, stored, found = grid_of(image), image.read(), cut.read()
    kept = ((stored == found) & (stored != fill)).any(axis=0)
    blanked = (stored != found).any(axis=0)
    cells = cells_in_shape(grid, shape)
    own = np.zeros(grid.shape, bool)
    own[tuple(slice(a, a + n) for a, n in zip(cells.first, cells.inside.shape, strict=True))] = (
        cells.inside
    )
    assert own.any()
    assert not (own & blanked).any()
    beyond = np.argwhere(kept & ~own)
    whole = shapely.union_all([feature.geometry for feature in shape.features])
    assert on_the_edge(grid, whole, beyond).all()
    assert 0 < len(beyond) < 0.6 * kept.sum()


def test_service_cuts_the_utm_granule_as_maskfill_did_but_for_the_edge(
    data: Path, tmp_path: Path
) -> None:
    source, expected = (data / FOLDER / f"SMAP_L4_SM_aup_UTM_{n}put.h5" for n in ("in", "out"))
    store = tmp_path / "smap.icechunk"
    groups = {None: virtual_dataset([source]),
              **{g: virtual_dataset([source], group=g) for g in ("Analysis_Data",)}}  # fmt: skip
    write_icechunk(store, groups, container=f"{source.parent.as_uri()}/")
    shape = (data / FOLDER / "COL.geo.json").read_text()
    trusted = (f"{store.as_uri()}/", f"{source.parent.as_uri()}/")
    asked = Request((Source("", "SMAP", variables=("/Analysis_Data/sm_profile_analysis",)),),
                    shape=json.dumps(json.loads(shape)))  # fmt: skip
    with Services.of(Settings(trusted_prefixes=trusted), Credentials.of_token(None)) as services:
        prepared = prepare(asked, services, store.as_uri())
        (output,) = fulfil(prepared, tmp_path / "out", services)
    with netCDF4.Dataset(output.path) as nc, h5py.File(source) as raw, h5py.File(expected) as cut:
        nc.set_auto_maskandscale(False)
        name = "Analysis_Data/sm_profile_analysis"
        rows = np.searchsorted(-raw["y"][:], -nc["y"][:])
        columns = np.searchsorted(raw["x"][:], nc["x"][:])
        window = np.ix_(rows, columns)
        stored, theirs, ours = raw[name][:][window], cut[name][:][window], nc[name][:]
        ours_kept, theirs_kept = ours != -9999, theirs != -9999
        assert ours_kept.sum() > 5000
        assert not (ours_kept & ~theirs_kept).any()
        np.testing.assert_array_equal(ours[ours_kept], stored[ours_kept])
        assert (theirs_kept & ~ours_kept).sum() < 0.05 * theirs_kept.sum()
        np.testing.assert_array_equal(nc["cell_lat"][:], raw["cell_lat"][:][window])


CORNERS = "Freeze_Thaw_Retrieval_Data_Global"


@pytest.mark.parametrize("band", ["Bands_01", "Bands_02"])
def test_service_cuts_by_stored_places_as_maskfill_did_but_for_the_edge(
    band: str, data: Path, tmp_path: Path
) -> None:
    """Corners of the granule have no place, neither in its latitudes nor in its longitudes."""
    source, expected = (data / FOLDER / f"SMAP_L3_FT_P_corners_{n}put.h5" for n in ("in", "out"))
    name = f"{CORNERS}/altitude_dem.{band}"
    answer = cut_by(source, name, data / FOLDER / "USA.geo.json", tmp_path)
    with h5py.File(source) as raw, h5py.File(expected) as cut, h5py.File(answer) as nc:
        before, theirs = raw[name][:], cut[name][:]
        lon, lat = (raw[f"{CORNERS}/{own}.{band}"][:] for own in ("longitude", "latitude"))
        whole = states(data)
        with np.errstate(invalid="ignore"):
            cells = shapely.contains_xy(whole, lon, lat)
        rows, columns = (np.flatnonzero(cells.any(axis=own)) for own in (1, 0))
        own = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        ours = nc[name][:]
        np.testing.assert_array_equal(ours, np.where(cells, before, -9999)[own])
        np.testing.assert_array_equal(nc[f"{CORNERS}/latitude.{band}"][:], lat[own])
    assert not (cells & (theirs == -9999) & (before != -9999)).any()
    beyond = ~cells & (theirs != -9999)
    near = shapely.distance(shapely.points(lon[beyond], lat[beyond]), shapely.boundary(whole))
    assert 0 < beyond.sum() < 0.1 * cells.sum()
    assert near.max() < 0.4  # half the diagonal of a cell of 36 km, in degrees


def states(data: Path) -> shapely.Geometry:
    document = json.loads((data / FOLDER / "USA.geo.json").read_text())
    return shapely.union_all(
        [shapely.from_geojson(json.dumps(own["geometry"])) for own in document["features"]]
    )


def test_shape_around_all_cells_changes_none_but_at_its_edge(data: Path, tmp_path: Path) -> None:
    ends = ("without_maskfill", "with_maskfill_mf")
    source, expected = (data / FOLDER / f"SC_SPL3SMP_subsetted_{end}.nc4" for end in ends)
    group = "Soil_Moisture_Retrieval_Data_AM"
    name = f"{group}/landcover_class_fraction"
    answer = cut_by(source, name, data / FOLDER / "bbox.geo.json", tmp_path)
    with h5py.File(expected) as cut, h5py.File(answer) as nc:
        lon, lat = (cut[f"{group}/{own}"][:] for own in ("longitude", "latitude"))
        cells = (lon >= -70) & (lon <= -10) & (lat >= 60) & (lat <= 85)
        # The outermost columns lie a hundredth of a degree outside, and touch the shape.
        assert (~cells.any(axis=0)).nonzero()[0].tolist() == [0, 161]
        for own, theirs in (("longitude", lon), ("latitude", lat)):
            np.testing.assert_array_equal(nc[f"{group}/{own}"][:], theirs[:, 1:-1])
        kept = np.where(cells[..., None], cut[name][:], np.float32(-9999))
        np.testing.assert_array_equal(nc[name][:], kept[:, 1:-1])


def cut_by(source: Path, name: str, shape: Path, folder: Path) -> Path:
    """The output of the whole service for a variable of a granule."""
    store = write_references(folder / "store.json", kerchunk_references([source], inline=0))
    trusted = (f"{store.as_uri()}", f"{source.resolve().parent.as_uri()}/")
    asked = Request((Source("", "SMAP", variables=(f"/{name}",)),), shape=shape.read_text())
    with Services.of(Settings(trusted_prefixes=trusted), Credentials.of_token(None)) as services:
        prepared = prepare(asked, services, store.as_uri())
        (output,) = fulfil(prepared, folder / "out", services)
    return output.path
