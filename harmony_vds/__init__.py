"""Answers NASA Harmony requests from virtual Zarr stores."""

from importlib.metadata import version

__version__ = version("harmony-vds")
