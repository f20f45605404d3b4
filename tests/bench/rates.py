"""``bin/bench rates``: how fast one core of this machine inflates and writes, beside the constants.

`harmony_vds.model.duration` estimates with two places to work; this prints what this one does.
"""

import tempfile
import time
from pathlib import Path

import deflate
import netCDF4
import numpy as np
from world import kerchunk_references, write_references

from harmony_vds.access.credentials import Credentials
from harmony_vds.model.duration import FAST, SLOW
from harmony_vds.model.request import Request, Source, TargetGrid
from harmony_vds.pipeline import Services, fulfil, prepare
from harmony_vds.planning.cost import AVERAGED
from harmony_vds.planning.target_cost import RESAMPLED
from harmony_vds.settings import Settings

_SHAPE = (10, 1200, 2400)


def field() -> np.ndarray:
    """Packed values that deflate to about a third, as sea surface temperatures do."""
    random = np.random.default_rng(1)
    smooth = np.cumsum(random.integers(-3, 4, _SHAPE, dtype=np.int16), axis=2, dtype=np.int16)
    return smooth + random.integers(0, 8, _SHAPE, dtype=np.int16)


def inflating(values: np.ndarray) -> float:
    """Bytes a second that one core inflates, shuffled chunks as HDF5 stores them."""
    chunks = []
    for chunk in values:
        shuffled = chunk.view(np.uint8).reshape(-1, 2).T.tobytes()
        chunks.append(bytes(deflate.zlib_compress(shuffled, 4)))
    start = time.perf_counter()
    for chunk in chunks:
        deflate.zlib_decompress(chunk, values[0].nbytes)
    return values.nbytes / (time.perf_counter() - start)


def writing(values: np.ndarray, **options: object) -> float:
    """Bytes a second that netCDF4 writes to local disk on one core."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        start = time.perf_counter()
        with netCDF4.Dataset(Path(folder) / "x.nc", "w") as nc:
            for name, size in zip("tyx", values.shape, strict=True):
                nc.createDimension(name, size)
            nc.createVariable("v", "i2", ("t", "y", "x"), chunksizes=(1, *values.shape[1:]),
                              **options)[:] = values  # fmt: skip
        return values.nbytes / (time.perf_counter() - start)


def computing(folder: Path, **asked: object) -> float:
    """Values a second that one core averages, or makes on another grid, all else included."""
    request = Request((Source("", "rates", variables=("v",)),), **asked)  # type: ignore[arg-type]
    settings = Settings(trusted_prefixes=(f"{folder.as_uri()}/",))
    with Services.of(settings, Credentials.of_token(None)) as services:
        prepared = prepare(request, services, (folder / "rates.json").as_uri())
        start = time.process_time()
        fulfil(prepared, folder / str(len(list(folder.iterdir()))), services)
        seconds = time.process_time() - start
        cost = prepared[0].plan.cost
    cells = cost.bytes_decoded / 2 if "average" in asked else cost.bytes_written / 4
    return cells / seconds


def global_store(folder: Path, values: np.ndarray) -> None:
    """A granule of `values` on a global grid, and references to it."""
    path = folder / "rates.nc"
    with netCDF4.Dataset(path, "w") as nc:
        sizes = zip(("time", "lat", "lon"), values.shape, strict=True)
        for (name, size), units in zip(
            sizes, ("days since 2000-01-01", "degrees_north", "degrees_east"), strict=True
        ):
            nc.createDimension(name, size)
            nc.createVariable(name, "f8", (name,))
            nc[name].units = units
            extent = {"lat": 180.0, "lon": 360.0}.get(name, 2.0 * size)
            nc[name][:] = (np.arange(size) + 0.5) * extent / size - extent / 2
        chunks = (1, *values.shape[1:])
        nc.createVariable("v", "i2", ("time", "lat", "lon"), compression="zlib", chunksizes=chunks)[
            :
        ] = values
        nc["v"].scale_factor = 0.01
    write_references(folder / "rates.json", kerchunk_references([path]))


def main() -> None:
    """Measure and print."""
    values = field()
    rows = [
        ("inflate, one core", inflating(values), SLOW.decoded, FAST.decoded),
        ("write, deflated by one core", writing(values, compression="zlib", complevel=1,
                                                shuffle=True), SLOW.written, FAST.written),
        ("write, as it is", writing(values), SLOW.written, FAST.written),
    ]  # fmt: skip
    print(f"{'MB a second':<30}{'here':>8}{'slow':>8}{'fast':>8}")
    for name, *numbers in rows:
        print(f"{name:<30}" + "".join(f"{number / 1e6:8.0f}" for number in numbers))
    print(f"{'million cells a second, a core':<38}{'slow':>8}")
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        global_store(folder, values)
        for kind in ("time", "area"):
            rate = computing(folder, average=kind)
            print(f"average over {kind:<17}{rate / 1e6:8.1f}{AVERAGED / 1e6:8.1f}")
        for method, known in RESAMPLED.items():
            rate = computing(folder, target=TargetGrid("EPSG:6933", str(method)))
            print(f"on another grid, {method!s:<13}{rate / 1e6:8.1f}{known / 1e6:8.1f}")


if __name__ == "__main__":
    main()
