"""The recipe of variables whose places lie in another group gives what the output holds."""

import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import xarray as xr
from typer.testing import CliRunner

from harmony_vds.cli.main import app


def output_of(place: Path, folder: Path, *options: str) -> Path:
    """The output of the command ``subset`` for a store, whose folder is trusted."""
    trust = ["--trust", str(place.parent)]
    done = CliRunner().invoke(
        app, ["subset", "--store", str(place), "--output", str(folder), *options, *trust]
    )
    assert done.exit_code == 0, done.output or done.exception
    return Path(done.stdout.strip().splitlines()[-1])


def recipe_of(path: Path) -> str:
    """The recipe in an output."""
    with netCDF4.Dataset(path) as nc:
        return str(nc.virtual_store_recipe)


def cooked(path: Path) -> xr.Dataset:
    """What the recipe in an output gives."""
    return followed(recipe_of(path))


def followed(source: str) -> xr.Dataset:
    """What a recipe gives."""
    names: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(source, "recipe", "exec"), names)
        return names["subset"].load()


def assert_told(
    path: Path, *, rtol: float = 0.0, atol: float = 0.0, beside: Collection[str] = ()
) -> xr.Dataset:
    """What the recipe in an output gives: all that the output holds, by name, place and value.

    Text is compared as text, numbers by their bits unless a tolerance is given; of what the output
    holds `beside` there is nothing.
    """
    made = cooked(path)
    with netCDF4.Dataset(path) as nc:
        nc.set_auto_maskandscale(False)
        assert {*nc.variables} == {*map(str, made.variables), *beside}
        for name, own in ((own, nc[own]) for own in map(str, made.variables)):
            found, given = np.asarray(own[...]), made[name].values
            assert ("scale_factor" in made[name].attrs) == ("scale_factor" in own.ncattrs())
            if given.dtype.kind == "U":  # whose letters have a dimension in files
                assert found.tolist() == given.tolist()
                continue
            assert made[name].dims == own.dimensions
            assert given.dtype == found.dtype.newbyteorder("=")
            if found.dtype.kind == "f" and (rtol or atol):
                np.testing.assert_allclose(given, found, rtol=rtol, atol=atol)
            else:
                np.testing.assert_array_equal(given, found)
    return made
