"""What all tests share: where real granules lie, small stores, and servers."""

import logging
from collections.abc import Iterator
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from servers import s3_server
from world import virtual_dataset, write_days, write_icechunk

from harmony_vds.access.credentials import Credentials
from harmony_vds.access.gateway import Access
from harmony_vds.discovery.found import locate
from harmony_vds.model.store import VirtualStore
from harmony_vds.settings import Settings
from harmony_vds.stores.open import open_store

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = (REPOSITORY.parent / "shared").resolve()

settings.register_profile(
    "short", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
settings.register_profile("long", settings.get_profile("short"), max_examples=700)
settings.load_profile("short")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--scale", action="store_true", help="also run full-size and long tests")
    parser.addoption("--regenerate", action="store_true", help="write the golden files anew")


def pytest_configure(config: pytest.Config) -> None:
    """Try laws that name no number of examples on many more in long runs."""
    if config.getoption("--scale"):
        settings.load_profile("long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what this run cannot or should not do; nothing is skipped silently."""
    left_out = [
        item
        for item in items
        if (item.get_closest_marker("scale") and not config.getoption("--scale"))
        or (item.get_closest_marker("shared") and not SHARED.is_dir())
        or (item.get_closest_marker("checkout") and not (REPOSITORY / ".venv").is_dir())
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(autouse=True)
def heard() -> None:
    """Let every test hear the log: a command that ran in this process may have turned it down."""
    logging.getLogger("harmony_vds").setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def data() -> Path:
    """Real granules beside the checkout; only for tests marked `shared`."""
    return SHARED / "data"


@pytest.fixture(scope="session")
def regenerate(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--regenerate"))


@pytest.fixture(scope="session")
def days(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Five small daily granules."""
    return write_days(tmp_path_factory.mktemp("granules"), 5)


@pytest.fixture(scope="session")
def store(days: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A local icechunk repository over `days`."""
    folder = tmp_path_factory.mktemp("store") / "sst.icechunk"
    write_icechunk(folder, {None: virtual_dataset(days)}, container=f"{days[0].parent.as_uri()}/")
    return folder


@pytest.fixture(scope="session")
def truth(days: list[Path]) -> np.ndarray:
    """Packed temperatures of all days, by netCDF4 alone."""
    steps = []
    for path in days:
        with netCDF4.Dataset(path) as nc:
            nc["analysed_sst"].set_auto_maskandscale(False)
            steps.append(nc["analysed_sst"][:])
    return np.concatenate(steps)


@pytest.fixture(scope="session")
def opened(store: Path, days: list[Path]) -> VirtualStore:
    """`store`, lazy: five days of 36 by 72 cells of 5 degrees, in chunks of 12 by 24."""
    trusted = (f"{store.as_uri()}/", f"{days[0].parent.as_uri()}/")
    access = Access.of(Settings(trusted_prefixes=trusted), Credentials.of_token(None))
    found = locate(store.as_uri(), access)
    return open_store(found.locations, found.access)


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """Endpoint of an S3 server."""
    with s3_server() as endpoint:
        yield endpoint
