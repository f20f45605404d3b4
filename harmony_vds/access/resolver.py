"""Names of hosts and their addresses: none of a private network unless the operator named it."""

import socket

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from harmony_vds.access.trust import is_private
from harmony_vds.errors import UntrustedError


class PublicResolver(AbstractResolver):
    """Looks names up and refuses private addresses, at the moment of connecting."""

    def __init__(self) -> None:
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of `host`. **Reads:** nothing.

        Raises
        ------
        UntrustedError
            The name leads into a private network.
        """
        found = await self._inner.resolve(host, port, family)
        if any(is_private(r["host"]) for r in found):
            raise UntrustedError(f"{host} is not read: its name leads to a private address.")
        return found

    async def close(self) -> None:
        """Release the inner resolver. **Reads:** nothing."""
        await self._inner.close()
