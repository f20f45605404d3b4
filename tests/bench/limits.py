"""What this machine can do at best: inflating, receiving, and the ideal time of a read from both.

``python -m bench.limits FOLDER PRODUCT PORT`` measures and prints JSON.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from bench.archive import PRODUCTS, Archive
from bench.work import Expected
from bench.worker import cpu

CROP = 1.1
"""Copying the wanted cells out of inflated chunks, as a factor on inflating them."""


def ideal(limits: dict[str, Any], wanted: Expected, latency: float) -> float:
    """Seconds of wall time: all CPU work spread evenly over the cores, and two round trips."""
    inflating = sum(count * limits["inflate"][name] for name, count in wanted.per_field.items())
    receiving = wanted.chunks * limits["per_request"] + wanted.stored * limits["per_byte"]
    return float((receiving + CROP * inflating) / limits["cores"] + 2 * latency)


def inflating(archive: Archive) -> dict[str, float]:
    """CPU seconds to inflate one chunk, by variable: the mean over a step of the best of seven."""
    import deflate
    import numpy as np

    times = {}
    for field in archive.product.fields:
        size = int(np.prod(archive.product.chunk)) * np.dtype(field.dtype).itemsize
        content = archive.granule(0).read_bytes()
        chunks = [content[start : start + length] for start, length in archive.table(field.name)[0]]
        times[field.name] = sum(_inflate(deflate, chunk, size) for chunk in chunks) / len(chunks)
    return times


def _inflate(deflate: Any, chunk: bytes, size: int) -> float:
    best = float("inf")
    for _ in range(7):
        start = time.thread_time()
        deflate.zlib_decompress(chunk, size)
        best = min(best, time.thread_time() - start)
    return best


def receiving(archive: Archive, length: int, count: int) -> dict[str, float]:
    """Wall and CPU seconds of `count` ranges of `length` bytes, 64 at once, without latency."""
    import obstore
    from obstore.store import HTTPStore

    store = HTTPStore.from_url(archive.base, client_options={"allow_http": True})
    room = asyncio.Semaphore(64)

    async def one(number: int) -> None:
        path = archive.url(number % archive.product.steps).removeprefix(archive.base)
        async with room:
            await obstore.get_range_async(store, path, start=4096, length=length)

    async def all_of_them() -> dict[str, float]:
        for _ in range(2):  # the first opens connections and fills caches
            wall, used = time.perf_counter(), cpu()
            await asyncio.gather(*(one(number) for number in range(count)))
        return {"wall": time.perf_counter() - wall, "cpu": cpu() - used}

    return asyncio.run(all_of_them())


def measure(archive: Archive) -> dict[str, Any]:
    size = archive.granule(0).stat().st_size
    large = min(2_000_000, size // 2)
    small = min(8_000, size // 4)
    many, few = receiving(archive, small, 3_000), receiving(archive, large, 200)
    per_request = many["cpu"] / 3_000
    return {
        "cores": os.cpu_count() or 1,
        "inflate": inflating(archive),
        "per_request": per_request,
        "per_byte": max(few["cpu"] - 200 * per_request, 0.0) / (200 * large),
        "server_requests_per_second": 3_000 / many["wall"],
        "server_bytes_per_second": 200 * large / few["wall"],
    }


if __name__ == "__main__":
    folder, product, port = sys.argv[1:]
    print(json.dumps(measure(Archive(Path(folder), PRODUCTS[product], int(port)))))
