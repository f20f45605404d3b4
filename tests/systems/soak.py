"""A thousand requests in one process; the process of `test_soak`."""

import gc
import json
import os
import sys
from pathlib import Path
from typing import Any

from harmony_service_lib.exceptions import HarmonyException
from harmony_service_lib.message import Message
from harmony_service_lib.util import config, create_decrypter
from invocation import SHARED_SECRET, make_message

from harmony_vds.adapter import VirtualStoreAdapter

COLLECTIONS = ("C1-ICE", "C2-JSON")
REQUESTS: list[dict[str, Any]] = [
    {"variables": ["analysed_sst"], "bbox": [170, -12, -165, 8]},
    {"variables": ["mask"], "temporal": {"start": "2024-01-03T00:00:00Z"}},
    {},
    {"variables": ["analysed_sst"], "average": "area"},
    {"variables": ["analysed_sst"], "average": "time", "bbox": [0, 0, 40, 40]},
    {"variables": ["analysed_sst"], "format": {"mime": "application/x-zarr"}},
    {"variables": ["mask"], "format": {"mime": "application/x-zarr;profile=kerchunk"}},
    {"variables": ["analysed_sst"], "subset": {"point": [10, 20]}, "format": {"mime": "text/csv"}},
    {"variables": ["nothing"]},
    {"variables": ["mask"], "temporal": {"end": "1999-01-01T00:00:00Z"}},
    {"bbox": [0, 50, 10, 40]},
    {"average": "median"},
]


def resident() -> int:
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def answered(number: int, folder: Path) -> str:
    """Ask the request of a number: the category of the refusal, or nothing for an answer."""
    asked = dict(REQUESTS[number % len(REQUESTS)])
    collection = COLLECTIONS[number // len(REQUESTS) % 2]
    operation = make_message(collection, staging=str(folder / str(number)), **asked)
    message = Message(operation, create_decrypter(SHARED_SECRET.encode()))
    try:
        VirtualStoreAdapter(message, config=config(validate=False)).invoke()
    except HarmonyException as error:
        return str(error.category)
    return ""


def main(folder: Path, told: Path) -> None:
    """Ask all; what came of each, and the memory held by then, go into the file `told`."""
    outcomes, held = [], []
    for number in range(1000):
        outcomes.append(answered(number, folder))
        if number >= 200 and number % 20 == 0:  # what is loaded once is loaded by then
            gc.collect()
            held.append(resident())
    told.write_text(json.dumps({"outcomes": outcomes, "held": held}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
