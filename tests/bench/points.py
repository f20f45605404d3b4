"""The series at a point over the whole record: through the whole service, and by xarray.

``python -m bench.points JOB`` makes one measurement in a process of its own and prints it as JSON:
the service from the request to the written file, or plain xarray and dask over the same store and
the same granules to the series in memory. Times include opening the store and leave out imports.
"""

import json
import sys
import tempfile
import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.archive import PRODUCTS, Archive, Product
from bench.means import FIELD, PEER, PEER_STEPS, SERVICE
from bench.methods import METHODS
from bench.server import ask
from bench.work import Item, items
from bench.worker import Stopwatch, peak_memory

TITLE = "a point, day by day for the whole record"
NAME = "g"
TOLERANCE = 1e-4
"""Kelvin: values are packed in steps of a hundredth, and decoded in single or double precision."""

__all__ = ["NAME", "PEER", "PEER_STEPS", "SERVICE", "TITLE", "TOLERANCE", "expected", "item"]


def item(product: Product) -> Item:
    """The point of (c), for all steps."""
    return replace(items(product)["c"], name=NAME, title=TITLE, steps=range(product.steps),
                   share=1.0)  # fmt: skip


def expected(archive: Archive, wanted: Item) -> np.ndarray:
    """By h5py from the granules; not-a-number where a value is missing."""
    import h5py

    found = []
    for number in range(archive.product.granules):
        with h5py.File(archive.granule(number)) as file:
            found.append(file[FIELD][(0, wanted.rows[0], wanted.columns[0])])
    return _decoded(archive, np.array(found))[np.array(wanted.steps) % archive.product.granules]


def _decoded(archive: Archive, raw: np.ndarray) -> np.ndarray:
    field = next(own for own in archive.product.fields if own.name == FIELD)
    values = raw * field.attributes["scale_factor"] + field.attributes["add_offset"]
    return np.where(raw != field.fill, values, np.nan)


def _service(archive: Archive, wanted: Item) -> np.ndarray:
    import netCDF4

    from harmony_vds.access.credentials import Credentials
    from harmony_vds.memory import return_large_blocks
    from harmony_vds.model.places import Place
    from harmony_vds.model.request import Request, Source
    from harmony_vds.pipeline import Services, fulfil, prepare
    from harmony_vds.settings import Settings

    return_large_blocks()
    step = 180 / archive.product.rows
    place = Place(-180 + step * (wanted.columns[0] + 0.5), -90 + step * (wanted.rows[0] + 0.5))
    request = Request((Source("", "series", variables=(FIELD,)),), points=(place,))
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
            return np.ma.filled(np.ma.asarray(nc[FIELD][:], float), np.nan).ravel()


def _xarray(archive: Archive, wanted: Item) -> np.ndarray:
    method = METHODS[PEER]
    method.open(archive)
    return _decoded(archive, method.read(wanted)[FIELD].ravel())


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
