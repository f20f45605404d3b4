"""Two real tiles of one overpass on one grid, against GDAL's own mosaic by rasterio."""

from pathlib import Path

import netCDF4
import numpy as np
import pyproj
import pytest
import rasterio
import rasterio.warp
from rasterio.enums import Resampling
from rasterio.merge import merge
from rasterio.transform import Affine
from servers import cmr_server, file_server
from systems.kits import raw, services
from world import kerchunk_references, umm_collection, umm_granule, write_references

from harmony_vds.model.request import Request, Source, TargetGrid
from harmony_vds.pipeline import fulfil, prepare

DATA = Path(__file__).parents[3] / "shared" / "data" / "s15_hls_cog"
TILES = "C1-TEST"
NOTHING = 255

pytestmark = pytest.mark.shared


def thinned(source: Path, folder: Path) -> tuple[Path, Path]:
    """Every other pixel of a tile's north, as netCDF with CF coordinates and as GeoTIFF."""
    with rasterio.open(source) as tile:
        values, crs = tile.read(1)[:1200:2, ::2], tile.crs
        a, _, x0, _, e, y0 = tuple(tile.transform)[:6]
    grid = Affine(2 * a, 0, x0, 0, 2 * e, y0)
    path = folder / f"{source.stem}.nc"
    with netCDF4.Dataset(path, "w") as nc:
        for name, size, first, step in (
            ("y", values.shape[0], y0, 2 * e), ("x", values.shape[1], x0, 2 * a),
        ):  # fmt: skip
            nc.createDimension(name, size)
            axis = nc.createVariable(name, "f8", (name,))
            axis.setncatts({"standard_name": f"projection_{name}_coordinate", "units": "m"})
            axis[:] = first + step * (np.arange(size) + 0.5)
        mapping = nc.createVariable("spatial_ref", "i4", ())
        mapping.setncatts(pyproj.CRS.from_wkt(crs.to_wkt()).to_cf())
        mask = nc.createVariable(
            "Fmask", "u1", ("y", "x"), zlib=True, chunksizes=(128, 128), fill_value=NOTHING
        )
        mask.grid_mapping = "spatial_ref"
        mask[:] = values
    beside = path.with_suffix(".tif")
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "crs": crs, "transform": grid,
               "height": values.shape[0], "width": values.shape[1], "nodata": NOTHING}  # fmt: skip
    with rasterio.open(beside, "w", **profile) as tiff:
        tiff.write(values, 1)
    return path, beside


@pytest.mark.parametrize(
    "target", [TargetGrid(""), TargetGrid("EPSG:4326", scale_size=(0.003, 0.002))],
    ids=["own system", "degrees"],
)  # fmt: skip
def test_two_tiles_come_out_as_gdal_puts_them_together(target: TargetGrid, tmp_path: Path) -> None:
    root = tmp_path / "tiles"
    root.mkdir()
    pairs = [thinned(own, root) for own in sorted(DATA.glob("*.tif"))]
    assert len(pairs) == 2
    with file_server(root) as http:
        items = []
        for number, (path, _) in enumerate(pairs):
            document = kerchunk_references(
                [path], lambda url: url.replace(f"file://{root}", http.url)
            )
            write_references(root / f"{path.stem}.zarr.json", document)
            link = {
                "URL": f"{http.url}/{path.stem}.zarr.json",
                "Type": "GET DATA",
                "Format": "Zarr",
            }
            items.append(umm_granule(f"G{number}-TEST", TILES, path.stem, [link]))
        with (
            cmr_server({TILES: umm_collection(TILES, [])}, *items) as cmr,
            services(trusted=[f"{http.url}/"], cmr_endpoint=cmr.url) as using,
        ):
            wanted = Request((Source(TILES, "HLS", variables=("Fmask",)),), target=target)
            prepared = prepare(wanted, using)
            (output,) = fulfil(prepared, tmp_path, using)
    plan = prepared[0].plan.target
    found = raw(output.path, "Fmask")
    with rasterio.open(pairs[0][1]) as first:
        crs = first.crs
    whole, transform = merge([own for _, own in pairs])
    theirs = np.full(plan.shape, NOTHING, np.uint8)
    rasterio.warp.reproject(
        whole[0], theirs, src_transform=transform, src_crs=crs, src_nodata=NOTHING,
        dst_transform=Affine(*plan.transform), dst_crs=plan.crs, dst_nodata=NOTHING,
        resampling=Resampling.nearest, tolerance=0,
    )  # fmt: skip
    assert (found != NOTHING).mean() > 0.5
    if not target.crs:
        assert plan.shape == whole.shape[1:]
        assert np.array_equal(found, whole[0])
    # Centres on the edge between two cells may go either way.
    assert (found == theirs).mean() > 0.9999
