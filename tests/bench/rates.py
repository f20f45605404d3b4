"""``bin/bench rates``: how fast one core of this machine inflates and writes, beside the constants.

`harmony_vds.model.duration` estimates with two places to work; this prints what this one does.
"""

import tempfile
import time
from pathlib import Path

import deflate
import netCDF4
import numpy as np

from harmony_vds.model.duration import FAST, SLOW

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


if __name__ == "__main__":
    main()
