"""Both ways of reading chunks: the planned one, and zarr's as its plain counterpart."""

import pytest


@pytest.fixture(params=["planned", "zarr"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The reader that the operator has set."""
    monkeypatch.setenv("HARMONY_VDS_READER", request.param)
    return request.param
