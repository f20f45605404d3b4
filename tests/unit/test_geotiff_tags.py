"""GeoTIFF tags become coordinates where they tell for certain where cells are, and only there."""

from typing import Any

import numpy as np
import pytest
import xarray as xr

from harmony_vds.stores.geotiff import place_by_tags

ZONE = {"model_type": 1, "projected_type": 32611, "raster_type": 1, "citation": "UTM 11"}
DEGREES = {"model_type": 2, "geographic_type": 4326, "raster_type": 1, "geog_citation": "WGS 84"}
SCALE = {"model_pixel_scale": [30.0, 20.0, 0.0]}
TIE = {"model_tiepoint": [0.0, 0.0, 0.0, 1000.0, 9000.0, 0.0]}
SOUTH_UP = {"model_transformation": [0.5, 0, 0, -10, 0, 0.25, 0, 40, *[0] * 7, 1]}


def image(*told: dict[str, Any], dimensions: tuple[str, ...] = ("y", "x")) -> xr.Variable:
    sizes = {"y": 3, "x": 4, "band": 2, "time": 2}
    attributes = {key: value for own in told for key, value in own.items()}
    return xr.Variable(dimensions, np.zeros([sizes[own] for own in dimensions]), attributes)


def opened(**images: xr.Variable) -> tuple[xr.Dataset, dict[str, str]]:
    dataset = xr.Dataset(images)
    return dataset, place_by_tags({"/": dataset})


@pytest.mark.parametrize(
    ("told", "x", "y"),
    [
        ((ZONE, SCALE, TIE), [1015.0, 1045.0, 1075.0, 1105.0], [8990.0, 8970.0, 8950.0]),
        ((ZONE, SCALE, TIE, {"raster_type": 2}), [1000.0, 1030.0, 1060.0, 1090.0],
         [9000.0, 8980.0, 8960.0]),
        ((ZONE, SCALE, {"model_tiepoint": [2.0, 1.0, 0.0, 1000.0, 9000.0, 0.0]}),
         [955.0, 985.0, 1015.0, 1045.0], [9010.0, 8990.0, 8970.0]),
        ((DEGREES, SOUTH_UP), [-9.75, -9.25, -8.75, -8.25], [40.125, 40.375, 40.625]),
    ],
    ids=["corners", "centres", "tied elsewhere", "south up"],
)  # fmt: skip
def test_tags_become_coordinates_of_the_centres(
    told: tuple[dict[str, Any], ...], x: list[float], y: list[float]
) -> None:
    dataset, repairs = opened(image=image(*told, {"photometric": 1, "model_version": "7"}))
    assert dataset["x"].values.tolist() == x
    assert dataset["y"].values.tolist() == y
    assert set(dataset["image"].attrs) == {"photometric", "model_version", "grid_mapping"}
    code = "EPSG:4326" if told[0] is DEGREES else "EPSG:32611"
    assert repairs == {
        "/image": f"the GeoTIFF tags that place it on {code} became y, x, spatial_ref"
    }
    names = {own: dataset[own].attrs["standard_name"] for own in ("x", "y")}
    assert names == (
        {"x": "longitude", "y": "latitude"}
        if told[0] is DEGREES
        else {"x": "projection_x_coordinate", "y": "projection_y_coordinate"}
    )


def test_images_that_share_a_grid_share_its_coordinates_along_bands_and_times() -> None:
    told = (ZONE, SCALE, TIE)
    dataset, repairs = opened(
        one=image(*told, dimensions=("time", "y", "x")),
        two=image(*told, dimensions=("band", "y", "x")),
        three=image(*told, dimensions=("y", "x", "band")),
    )
    assert set(repairs) == {"/one", "/two", "/three"}
    assert dataset["y"].dims == ("y",)
    assert {own.attrs.get("grid_mapping") for own in dataset.data_vars.values()} == {
        "spatial_ref", None  # the mapping itself has none
    }  # fmt: skip


@pytest.mark.parametrize(
    "told",
    [
        (DEGREES, {"model_tiepoint": [0.0, 0.0, 0.0, 1.0, 2.0, 0.0] * 4}),
        (ZONE, {"model_transformation": [0.5, 0.1, 0, 0, 0.1, 0.5, 0, 0, *[0] * 7, 1]}),
        (ZONE | {"projected_type": 32767}, SCALE, TIE),
        (ZONE | {"projected_type": 4}, SCALE, TIE),
        ({"model_type": 1, "geographic_type": 4326}, SCALE, TIE),
        (ZONE, TIE),
        (ZONE, SCALE, {"model_tiepoint": "0 0 0 a b c"}),
    ],
    ids=["control points", "turned", "own system", "no such system", "projected, of no code",
         "no scale", "no numbers"],
)  # fmt: skip
def test_tags_that_do_not_tell_for_certain_stay_as_they_are(
    told: tuple[dict[str, Any], ...],
) -> None:
    dataset, repairs = opened(image=image(*told))
    assert repairs == {}
    xr.testing.assert_identical(dataset, xr.Dataset({"image": image(*told)}))


def test_images_of_one_size_that_lie_apart_stay_as_they_are() -> None:
    apart = {"model_tiepoint": [0.0, 0.0, 0.0, 2000.0, 9000.0, 0.0]}
    dataset, repairs = opened(one=image(ZONE, SCALE, TIE), two=image(ZONE, SCALE, apart))
    assert repairs == {}
    assert not dataset.coords


def test_coordinates_that_the_publisher_added_stay_and_the_tags_go() -> None:
    own = {"standard_name": "projection_x_coordinate"}
    dataset = xr.Dataset(
        {"image": image(ZONE, SCALE, TIE, {"grid_mapping": "utm"}), "utm": ((), 0)},
        {"x": ("x", [1.0, 2.0, 3.0, 4.0], own), "y": ("y", [3.0, 2.0, 1.0])},
    )
    told = place_by_tags({"/group": dataset})
    assert told == {
        "/group/image": "the GeoTIFF tags that place it on EPSG:32611 are told by its coordinates"
    }
    assert dataset["x"].values.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert dataset["image"].attrs == {"grid_mapping": "utm"}


def test_scale_and_offset_become_numbers_of_an_image_and_not_of_bands() -> None:
    told = (ZONE, SCALE, TIE, {"SCALE": "0.5", "OFFSET": "-3"})
    dataset, repairs = opened(
        one=image(*told), two=image(*told, dimensions=("band", "y", "x")),
        three=image(ZONE, SCALE, TIE, {"scale_factor": "0.1", "SCALE": "wide"}),
    )  # fmt: skip
    packing = {"scale_factor": 0.5, "add_offset": -3.0, "grid_mapping": "spatial_ref"}
    assert dataset["one"].attrs == packing
    assert dataset["two"].attrs["SCALE"] == "0.5"
    assert "those of one of its bands" in repairs["/two"]
    assert dataset["three"].attrs["scale_factor"] == 0.1
    assert dataset["three"].attrs["SCALE"] == "wide"
