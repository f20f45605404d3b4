"""Full paths of groups, variables and dimensions: ``/``, ``/product``, ``/product/no2``."""

from collections.abc import Iterator


def group_of(path: str) -> str:
    """The group that holds what lies at `path`: ``/`` for the root. **Reads:** nothing."""
    return path.rpartition("/")[0] or "/"


def name_of(path: str) -> str:
    """The last part of `path`. **Reads:** nothing."""
    return path.rpartition("/")[2]


def join(group: str, name: str) -> str:
    """The full path of `name` in `group`. **Reads:** nothing."""
    return f"{group.rstrip('/')}/{name}"


def ancestors(group: str) -> Iterator[str]:
    """`group` and its parents up to the root. **Reads:** nothing.

    >>> list(ancestors("/a/b"))
    ['/a/b', '/a', '/']
    """
    while group != "/":
        yield group
        group = group_of(group)
    yield "/"
