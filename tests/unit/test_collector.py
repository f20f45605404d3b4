"""While modules are loaded nothing looks for garbage, and what they made is not looked at again."""

import gc
from collections.abc import Iterator

import pytest

from harmony_vds.memory import collector_at_rest


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    was_on = gc.isenabled()
    yield
    gc.unfreeze()
    (gc.enable if was_on else gc.disable)()


@pytest.mark.parametrize("on", [True, False])
def test_collector_rests_and_is_afterwards_as_it_was(on: bool) -> None:
    (gc.enable if on else gc.disable)()
    with collector_at_rest():
        assert not gc.isenabled()
        made = [[] for _ in range(1000)]
    assert gc.isenabled() is on
    assert gc.get_freeze_count() >= len(made)


def test_collector_runs_again_after_an_import_that_failed() -> None:
    gc.enable()
    with pytest.raises(ImportError), collector_at_rest():
        raise ImportError("no such module")
    assert gc.isenabled()
