"""Pictures: each pixel has the colour of its cell's value, and what is missing has none."""

from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from PIL import Image
from systems.kits import raw, request, services
from world import FILL, virtual_dataset, write_granule, write_icechunk

from harmony_vds.errors import UnsupportedError
from harmony_vds.model.formats import PNG, Layout
from harmony_vds.model.request import TargetGrid
from harmony_vds.outputs.palette import Classes, Ramp, colours_for, stated_ramp
from harmony_vds.pipeline import fulfil, prepare


def drawn(store: Path, folder: Path, *variables: str, picture="legend", **change) -> list[Path]:
    wanted = replace(request(variables), media_type=PNG, **change)
    using = replace(services(trusted=("file:///",)), layout=Layout(picture=picture))
    with using:
        return [own.path for own in fulfil(prepare(wanted, using, store.as_uri()), folder, using)]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A store over one granule whose rows run north, and the granule."""
    folder = tmp_path_factory.mktemp("day")
    source = write_granule(folder / "a.nc", 0)
    write_icechunk(folder / "store", {None: virtual_dataset([source])},
                   container=f"{folder.as_uri()}/")  # fmt: skip
    return folder / "store", source


def test_map_has_one_pixel_for_each_cell_north_up_and_is_clear_where_missing(day, tmp_path):
    store, source = day
    (path,) = drawn(store, tmp_path, "analysed_sst", picture="transparent")
    packed = raw(source, "analysed_sst")[0][::-1]
    with Image.open(path) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGBA", (72, 36))
        pixels = np.asarray(image)
    assert np.array_equal(pixels[..., 3] == 0, packed == FILL)
    kelvin = packed * 0.01 + 273.15
    brightness = pixels[..., :3].astype(float) @ [0.2126, 0.7152, 0.0722]
    warm, cold = kelvin > 298, (kelvin < 275) & (packed != FILL)
    assert brightness[warm].min() > brightness[cold].max()


def test_map_that_is_not_to_be_clear_is_white_where_values_are_missing(day, tmp_path):
    store, source = day
    (path,) = drawn(store, tmp_path, "analysed_sst", picture="opaque")
    with Image.open(path) as image:
        assert image.mode == "RGB"
        missing = raw(source, "analysed_sst")[0][::-1] == FILL
        assert (np.asarray(image)[missing] == 255).all()


def test_map_request_is_drawn_without_legend_as_it_asks(day, tmp_path):
    from harmony_vds.cutting import Cutting

    wanted = replace(request(("mask",)), media_type=PNG, is_map_image=True, transparent=True)
    with services(trusted=("file:///",)) as using:
        store = prepare(replace(wanted, is_map_image=False), using, day[0].as_uri())[0].store
        plan = Cutting(store, using.limits).plan(wanted, wanted.sources[0])
        opaque = Cutting(store, using.limits).plan(
            replace(wanted, transparent=False), wanted.sources[0]
        )
    assert (plan.layout.picture, opaque.layout.picture) == ("transparent", "opaque")
    assert plan.fingerprint != opaque.fingerprint


def test_picture_for_people_is_larger_than_the_grid_and_says_what_it_shows(
    day, tmp_path, monkeypatch
):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    found = drawn(day[0], tmp_path, "analysed_sst", "mask")
    for path in found:
        with Image.open(path) as image:
            assert image.width >= 480
            pixels = np.asarray(image.convert("RGB"))
            assert image.text["Software"].startswith("harmony-vds")
        dark = (pixels < 60).all(-1)
        assert dark[:40].any()  # a title
        assert dark[-90:].any()  # what colours mean
    assert (
        found[0].read_bytes()
        == drawn(day[0], tmp_path / "b", "analysed_sst", "mask")[0].read_bytes()
    )


def test_large_grids_are_thinned_out_for_people_and_whole_for_maps(tmp_path):
    source = write_granule(tmp_path / "a.nc", 0, nlat=1100, nlon=2200, chunks=(500, 900))
    write_icechunk(tmp_path / "store", {None: virtual_dataset([source])},
                   container=f"{tmp_path.as_uri()}/")  # fmt: skip
    (path,) = drawn(tmp_path / "store", tmp_path / "a", "mask")
    with Image.open(path) as image:
        assert image.width == 1100 + 32  # every second cell, and margins
        pixels = np.asarray(image.convert("RGB"))
    mask = raw(source, "mask")[0][::-1]
    colour = {tuple(pixels[64 + r, 16 + c]) for r, c in np.argwhere(mask[0::2, 1::2] == 1)[::97]}
    assert len(colour) == 1
    (path,) = drawn(tmp_path / "store", tmp_path / "b", "mask", picture="opaque")
    with Image.open(path) as image:
        assert image.size == (2200, 1100)


def test_several_layers_are_refused_before_anything_is_read(store, tmp_path):
    with (
        services(trusted=("file:///",)) as using,
        pytest.raises(UnsupportedError, match="one time and level, and analysed_sst has 5 of them"),
    ):
        prepare(replace(request(("analysed_sst",)), media_type=PNG), using, store.as_uri())


def test_flags_have_a_colour_each_and_other_values_none():
    attributes = {"flag_values": np.array([1, 2], np.int8), "flag_meanings": "water land"}
    colours = colours_for(np.array([[1.0, 2.0, 7.0, np.nan]]), attributes)
    assert isinstance(colours, Classes)
    pixels = colours.pixels(np.array([[1.0, 2.0, 7.0, np.nan]]))[0]
    assert pixels[:, 3].tolist() == [255, 255, 0, 0]
    assert len({tuple(own) for own in pixels[:2]}) == 2


def test_flags_among_measured_values_are_not_taken_for_measurements(tmp_path):
    values = np.tile(np.arange(0, 3600, 100, dtype=np.int16)[:, None], (1, 72))
    values[:, :9] = 32000
    source = write_granule(tmp_path / "a.nc", 0, values=values)
    with netCDF4.Dataset(source, "a") as nc:
        nc["analysed_sst"].flag_values = np.array([32000], np.int16)
        nc["analysed_sst"].flag_meanings = "land"
    write_icechunk(tmp_path / "store", {None: virtual_dataset([source])},
                   container=f"{tmp_path.as_uri()}/")  # fmt: skip
    (path,) = drawn(tmp_path / "store", tmp_path / "out", "analysed_sst", picture="transparent")
    with Image.open(path) as image:
        pixels = np.asarray(image)
    assert (pixels[:, :9, 3] == 0).all()
    assert (pixels[:, 9:, 3] == 255).all()
    assert len({tuple(own) for own in pixels[:, 20]}) > 30  # a ramp over the measured ones


def test_ramp_leaves_outlying_values_to_the_colours_of_its_ends():
    values = np.append(np.linspace(0, 1, 1000), [1e9, -1e9, np.nan])
    ramp = colours_for(values, {})
    assert isinstance(ramp, Ramp)
    assert 0 <= ramp.low < 0.05
    assert 0.95 < ramp.high <= 1
    ends = ramp.pixels(np.array([[-1e9, 1e9]]))[0, :, :3].tolist()
    assert ends == [[68, 1, 84], [253, 231, 37]]
    flat = colours_for(np.full((2, 2), 5.0), {}).pixels(np.full((2, 2), 5.0))
    assert (flat[..., 3] == 255).all()
    nothing = np.full((2, 2), np.nan)
    assert (colours_for(nothing, {}).pixels(nothing)[..., 3] == 0).all()


@pytest.mark.parametrize(
    ("dtype", "attributes", "ends"),
    [
        ("i2", {"valid_min": np.int16(-300), "valid_max": np.int16(4500), "scale_factor": 0.01,
                "add_offset": 273.15}, (270.15, 318.15)),
        ("f4", {"valid_range": np.array([-5, 40], "f4")}, (-5, 40)),
        ("i1", {"valid_range": np.array([0, 100], "i2"), "_Unsigned": "true"}, (0, 100)),
        ("i2", {"valid_range": np.array([0, 9], "i2"), "scale_factor": -1.0}, (-9, 0)),
        # What says nothing of the quantity: all numbers of a type, limits beyond any quantity.
        ("i2", {"valid_min": np.int16(-32767), "valid_max": np.int16(32767)}, None),
        ("f4", {"valid_range": np.array([-1e15, 1e15], "f4")}, None),
        ("f4", {"valid_min": np.float32(0)}, None),
        ("f4", {}, None),
    ],
)  # fmt: skip
def test_ramp_of_a_map_is_that_of_the_range_a_variable_states(dtype, attributes, ends):
    ramp = stated_ramp(np.dtype(dtype), attributes)
    assert (None if ramp is None else pytest.approx((ramp.low, ramp.high))) == ends


def test_signed_bytes_that_mean_unsigned_ones_and_invalid_values_are_drawn_so(tmp_path):
    source = write_granule(tmp_path / "a.nc", 0)
    with netCDF4.Dataset(source, "a") as nc:
        cloud = nc.createVariable("cloud", "i1", ("time", "lat", "lon"), chunksizes=(1, 36, 72))
        cloud.set_auto_maskandscale(False)
        cloud.setncatts({"_Unsigned": "true", "valid_range": np.array([0, 200], np.int16)})
        values = np.tile(np.linspace(0, 210, 72).round(), (36, 1))
        cloud[0] = values.astype(np.uint8).view(np.int8)
    write_icechunk(tmp_path / "store", {None: virtual_dataset([source])},
                   container=f"{tmp_path.as_uri()}/")  # fmt: skip
    (path,) = drawn(tmp_path / "store", tmp_path / "out", "cloud", picture="transparent")
    with Image.open(path) as image:
        row = np.asarray(image)[0]
    assert np.array_equal(row[:, 3] == 0, values[0] > 200)
    brightness = row[row[:, 3] > 0][:, :3].astype(float) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(brightness) >= 0).all()


def test_map_of_several_levels_is_refused_with_the_way_to_ask_for_one(tmp_path, store):
    from harmony_vds.outputs.image import refuse_layers
    from harmony_vds.outputs.raster import rasters
    from harmony_vds.transform.apply import apply_plan

    wanted = replace(request(("analysed_sst",)), media_type="image/tiff")
    with services(trusted=("file:///",)) as using:
        (prepared,) = prepare(wanted, using, store.as_uri())
        plan = replace(prepared.plan, layout=Layout(picture="opaque"))
        (raster,) = rasters(apply_plan(prepared.store, plan), plan)
    with pytest.raises(UnsupportedError, match=r"map \(WMS\) cannot name one; ask for a coverage"):
        refuse_layers(raster, plan)


def test_tiles_of_a_map_put_together_are_the_map(day, tmp_path):
    def tile(*box: float, width: int) -> np.ndarray:
        wanted = {
            "target": TargetGrid("EPSG:4326", width=width, height=30), "is_map_image": True,
            "transparent": True, "map_box": box,
        }  # fmt: skip
        folder = tmp_path / f"{box[1]}-{width}"
        with Image.open(drawn(day[0], folder, "analysed_sst", **wanted)[0]) as image:
            assert image.size == (width, 30)
            return np.asarray(image)

    west, east = tile(-60, -90, 0, 0, width=45), tile(-60, 0, 0, 90, width=45)
    assert np.array_equal(np.hstack([west, east]), tile(-60, -90, 0, 90, width=90))


def test_resolution_that_was_asked_for_is_told_and_changes_no_pixel(day, tmp_path):
    wanted = {
        "target": TargetGrid("CRS:84", width=20, height=10), "is_map_image": True,
        "map_box": (-20.0, -10.0, 20.0, 10.0),
    }  # fmt: skip
    (plain,) = drawn(day[0], tmp_path / "a", "mask", **wanted)
    (fine,) = drawn(day[0], tmp_path / "b", "mask", dpi=300, **wanted)
    with Image.open(plain) as one, Image.open(fine) as other:
        assert "dpi" not in one.info
        assert other.info["dpi"] == pytest.approx((300, 300), abs=0.02)
        assert np.array_equal(np.asarray(one), np.asarray(other))
