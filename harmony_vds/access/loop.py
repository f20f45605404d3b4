"""One event loop on one daemon thread, on which all network traffic runs.

``asyncio.run`` would start and stop a loop per call, which loses open connections and makes
icechunk crash at interpreter exit.
"""

import asyncio
import threading
from collections.abc import Coroutine
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=1)
def network_loop() -> asyncio.AbstractEventLoop:
    """The process's loop, started on first use. **Reads:** nothing."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="harmony-vds-network", daemon=True).start()
    return loop


def run[T](work: Coroutine[Any, Any, T]) -> T:
    """Run `work` on the network loop and wait for it; not to be called from that loop.

    **Reads:** what `work` reads.
    """
    return asyncio.run_coroutine_threadsafe(work, network_loop()).result()


async def bridge[T](work: Coroutine[Any, Any, T]) -> T:
    """Await `work` on the network loop from another loop, such as zarr's.

    **Reads:** what `work` reads.
    """
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, network_loop()))
