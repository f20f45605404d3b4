"""The shipped list: buckets and hosts of NASA's data centres and their partners."""

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files

import msgspec


class Shipped(msgspec.Struct, frozen=True):
    """The shipped list, ``trust.toml``."""

    public: tuple[str, ...]
    """Buckets that anyone may read."""
    archives: Mapping[str, str]
    """Bucket → host that serves it over https and hands out credentials at ``/s3credentials``."""
    folders: Mapping[str, str]
    """Bucket → folder that stands in its place in https paths, where that is not its own name."""
    buckets: tuple[str, ...]
    """Further buckets that may be read; where credentials come from, a record says."""
    hosts: tuple[str, ...]
    """Further hosts that may be read."""

    @property
    def prefixes(self) -> tuple[str, ...]:
        """Everything on the list, with the https forms of buckets. **Reads:** nothing."""
        buckets = dict.fromkeys((*self.public, *self.archives, *self.buckets))
        direct = [
            f"{bucket}.s3.{region}amazonaws.com"
            for bucket in buckets
            for region in ("", "us-west-2.", "us-east-1.")
        ]
        hosts = dict.fromkeys((*self.archives.values(), *self.hosts, *direct))
        return (*(f"s3://{bucket}/" for bucket in buckets), *(f"https://{h}/" for h in hosts))


@lru_cache
def shipped() -> Shipped:
    """The shipped list. **Reads:** nothing, but a file of this package."""
    text = files("harmony_vds.access").joinpath("trust.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), Shipped)
