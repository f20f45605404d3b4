"""The mean over a region, day by day for ten years: through the whole service, and by xarray.

``python -m bench.means JOB`` makes one measurement in a process of its own and prints it as JSON:
the service from the request to the written file, or plain xarray and dask over the same store and
the same granules to the series in memory. Times include opening the store and leave out imports.
"""

import datetime as dt
import json
import sys
import tempfile
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bench.archive import PRODUCTS, Archive, Product
from bench.methods import METHODS
from bench.server import ask
from bench.work import Item, items
from bench.worker import Stopwatch, peak_memory

NAME = "f"
TITLE = "mean over 10°x10°, day by day for ten years"
SERVICE = "ours, the whole service"
PEER = "fsspec + dask"
PEER_STEPS = 365
"""Steps that the peer is given; the rest is extrapolated."""
FIELD = "analysed_sst"
TOLERANCE = 2e-3
"""Kelvin between weights on the ellipsoid and the peer's cosines of latitude."""


def item(product: Product) -> Item:
    """The box of (a), for ten years."""
    box = items(product)["a"]
    first = product.steps // 2
    return Item(NAME, TITLE, (FIELD,), range(first, first + product.steps * 3_650 // 15_340),
                box.rows, box.columns)  # fmt: skip


def expected(archive: Archive, wanted: Item) -> np.ndarray:
    """By h5py from the granules, cells weighed by the cosine of their latitude."""
    import h5py

    found = []
    for number in range(archive.product.granules):
        with h5py.File(archive.granule(number)) as file:
            found.append(_mean(file[FIELD][(0, *wanted.box[1:])][None], archive, wanted)[0])
    return np.array(found)[np.array(wanted.steps) % archive.product.granules]


def _mean(raw: np.ndarray, archive: Archive, wanted: Item) -> np.ndarray:
    """Means of packed fields, shape (steps, rows, columns)."""
    field = next(own for own in archive.product.fields if own.name == FIELD)
    step = 180 / archive.product.rows
    latitudes = -90 + step * (np.array(wanted.rows) + 0.5)
    known = raw != field.fill
    weights = np.cos(np.radians(latitudes))[None, :, None] * known
    values = raw * field.attributes["scale_factor"] + field.attributes["add_offset"]
    return (values * weights).sum(axis=(1, 2)) / weights.sum(axis=(1, 2))


def _service(archive: Archive, wanted: Item) -> np.ndarray:
    import netCDF4

    from harmony_vds.access.credentials import Credentials
    from harmony_vds.memory import return_large_blocks
    from harmony_vds.model.extent import BoundingBox, TimeRange
    from harmony_vds.model.request import Request, Source
    from harmony_vds.pipeline import Services, fulfil, prepare
    from harmony_vds.settings import Settings

    return_large_blocks()
    product, step = archive.product, 180 / archive.product.rows
    south, north = (-90 + step * (row + 0.5) for row in (wanted.rows[0], wanted.rows[-1]))
    west, east = (-180 + step * (own + 0.5) for own in (wanted.columns[0], wanted.columns[-1]))
    start, end = (
        product.first + dt.timedelta(seconds=product.step_seconds * own)
        for own in (wanted.steps[0], wanted.steps[-1])
    )
    request = Request((Source("", "mean", variables=(FIELD,)),), average="area",
                      bbox=BoundingBox(west, south, east, north),
                      temporal=TimeRange(start, end))  # fmt: skip
    href = archive.manifest("kerchunk").as_uri()
    settings = Settings(
        trusted_prefixes=(href, archive.base), max_read_bytes=2**40, max_decoded_bytes=2**40,
        max_seconds=3600,
    )  # fmt: skip
    with (
        tempfile.TemporaryDirectory() as folder,
        Services.of(settings, Credentials.of_token(None)) as services,
    ):
        (output,) = fulfil(prepare(request, services, href), Path(folder), services)
        with netCDF4.Dataset(output.path) as nc:
            return np.asarray(nc[FIELD][:], float)


def _xarray(archive: Archive, wanted: Item) -> np.ndarray:
    method = METHODS[PEER]
    method.open(archive)
    steps, rows, columns = wanted.box
    field = next(own for own in archive.product.fields if own.name == FIELD)
    raw = method.dataset[FIELD].isel(time=steps, lat=rows, lon=columns)
    values = raw.where(raw != field.fill) * field.attributes["scale_factor"]
    weights = np.cos(np.radians(raw.lat))
    mean = (values + field.attributes["add_offset"]).weighted(weights).mean(("lat", "lon"))
    return np.asarray(mean.compute().values)


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """One method's numbers and its series."""
    archive = Archive(Path(job["folder"]), PRODUCTS[job["product"]], job["port"])
    wanted = item(archive.product)
    wanted = wanted.first(job["steps"]) if job.get("steps") else wanted
    work = _service if job["method"] == SERVICE else _xarray
    if work is _xarray:
        METHODS[PEER].imports()
    else:
        import harmony_vds.pipeline

        assert harmony_vds.pipeline
    ask(job["port"], reset=True)
    watch = Stopwatch()
    series = work(archive, wanted)
    told = watch.read() | asdict(ask(job["port"], reset=True)) | {"rss": peak_memory()}
    return {"mean": told, "series": series.tolist()}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(measure(json.loads(sys.argv[1]))))
