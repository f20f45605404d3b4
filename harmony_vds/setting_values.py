"""What the value of a setting may look like, beyond its type: nothing is half understood."""

import re
from urllib.parse import urlsplit

_SIZE = re.compile(r"\s*\d*\.?\d+\s*([kmgtpe]i?)?b?\s*", re.IGNORECASE)
# A backslash or a full-width dot is read differently by every parser.
HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
"""A host in an address: names and numbers only."""


def as_size(value: object) -> object:
    """`value`, unless it is a text of which only the beginning is a size.

    Raises
    ------
    ValueError
        It is, such as ``1,000`` or ``8GiB/s``.

    **Reads:** nothing.
    """
    if isinstance(value, str) and not _SIZE.fullmatch(value):
        raise ValueError(f"{value!r} is no size; write it as 8GiB, 1.5MB or 8589934592")
    return value


def as_origin(value: str) -> str:
    """`value`, a root URL of a server, or empty.

    Raises
    ------
    ValueError
        It has no scheme, host or port that can be used.

    **Reads:** nothing.
    """
    if value and not _has_host(value, ("http", "https")):
        raise ValueError(f"{value!r} is no URL; write it as https://host or http://host:8080")
    return value


def as_token_host(value: str) -> str:
    """`value`, the name of a host, or a whole origin.

    Raises
    ------
    ValueError
        It is something else, which no request would ever be sent to.

    **Reads:** nothing.
    """
    if "://" not in value:
        usable = HOST.fullmatch(value) is not None
    else:
        usable = _has_host(value, ("http", "https")) and value.rstrip("/").count("/") == 2
    if not usable:
        raise ValueError(
            f"{value!r} is neither the name of a host, such as data.example.org, nor an origin, "
            "such as http://127.0.0.1:8080"
        )
    return value


def as_scheduler(value: str) -> str:
    """`value`, the address of a scheduler as distributed writes it, or empty.

    Whether what is sent there is safe is judged where it is used.

    Raises
    ------
    ValueError
        It has no host, or no port.

    **Reads:** nothing.
    """
    address = value if "://" in value else f"tcp://{value}"
    if value and not (_has_host(address, ("tls", "tcp")) and urlsplit(address).port):
        raise ValueError(
            f"{value!r} is no address of a dask scheduler; write it as tls://host:8786, or as "
            "tcp://127.0.0.1:8786 on this machine"
        )
    return value


def _has_host(url: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is no number, or too large
    except ValueError:
        return False
    host = parts.netloc.rpartition("]")[0] + "]" if parts.netloc.startswith("[") else parts.hostname
    return parts.scheme in schemes and HOST.fullmatch(host or "") is not None
