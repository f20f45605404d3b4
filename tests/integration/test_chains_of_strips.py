"""Strips of a target grid through both chains of Harmony, each step a process of its own.

One chain writes all strips in one work item; the other plans in one and writes each in its own.
Both give the same files, and joined these are what is written where nothing is cut.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from integration.test_mosaics import FRAMES, published
from invocation import CANARY, Outcome, invoke, make_message
from servers import Server
from systems.kits import raw

PLAN = {"virtual_store_step": "plan"}
TALL = {"scaleExtent": {"x": {"min": 4, "max": 9}, "y": {"min": 40, "max": 52}},
        "scaleSize": {"x": 0.2, "y": 0.2}}  # fmt: skip
"""A grid on which nothing lies in the north and the south."""
CUBIC = {"interpolation": "cubic"}
FIRST = {"temporal": {"start": "2024-01-02T00:00:00Z", "end": "2024-01-02T12:00:00Z"}}
"""A time at which one of the two frames has values, so that outputs are of one store."""


@dataclass
class Frames:
    """Two frames with stores of their own, and where their collection is found."""

    http: Server
    cmr: Server
    environment: dict[str, str]


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Frames]:
    with published(tmp_path_factory.mktemp("frames")) as own:
        yield Frames(own.http, own.cmr, {
            "CMR_ENDPOINT": own.cmr.url, "HARMONY_VDS_TRUSTED_PREFIXES": f"{own.http.url}/",
            "SOURCE_DATE_EPOCH": "1700000000", "PYTHONWARNINGS": "ignore",
        })  # fmt: skip


def message(grid: dict[str, Any], **more: Any) -> dict[str, Any]:
    form = {"mime": "application/netcdf", "crs": "EPSG:4326", "interpolation": "near", **grid}
    return make_message(FRAMES, short_name="FRAMES", variables=["height"], format=form, **more)


def run(
    frames: Frames, folder: Path, asked: dict[str, Any], part_bytes: int = 2**30,
    sources: Path | str = "",
) -> Outcome:  # fmt: skip
    folder.mkdir()
    given = frames.environment | {"HARMONY_VDS_PART_BYTES": str(part_bytes)}
    outcome = invoke(asked, folder, environment=given, sources=str(sources))
    assert CANARY not in outcome.stderr
    return outcome


def written(*given: Any) -> list[dict[str, Any]]:
    """The data assets of a work item that must end well."""
    outcome = run(*given)
    assert outcome.status == 0, outcome.stderr
    return [item["assets"]["data"] for item in outcome.items]


def joined(assets: list[dict[str, Any]], name: str, axis: int) -> bytes:
    return np.concatenate([raw(Path(own["href"]), name) for own in assets], axis).tobytes()


@pytest.mark.parametrize(
    ("grid", "part_bytes", "more", "count"),
    [
        pytest.param(TALL, 3_700, {}, 3, id="combined"),
        pytest.param(CUBIC, 2_500, {}, 7, id="blended", marks=pytest.mark.scale),
        pytest.param({}, 800, FIRST, 4, id="of one store", marks=pytest.mark.scale),
    ],
)
def test_strips_of_both_chains_are_the_same_and_joined_the_whole(  # noqa: PLR0917
    grid: dict[str, Any], part_bytes: int, more: dict[str, Any], count: int, frames: Frames,
    tmp_path: Path,
) -> None:  # fmt: skip
    asked = message(grid, **more)
    (whole,) = written(frames, tmp_path / "whole", asked)
    strips = written(frames, tmp_path / "one", asked, part_bytes)
    assert len(strips) == count
    for name, axis in (("height", 1), ("lat", 0)):
        assert joined(strips, name, axis) == raw(Path(whole["href"]), name).tobytes()
    assert len(np.unique(raw(Path(whole["href"]), "height"))) > 100

    planned = run(frames, tmp_path / "plan", message(grid, extraArgs=PLAN, **more), part_bytes)
    assert planned.status == 0, planned.stderr
    frames.cmr.forget()
    again = []
    for number, catalog in enumerate(planned.batch):
        again += written(frames, tmp_path / f"strip{number}", asked, part_bytes, catalog)
    assert frames.cmr.asked == []  # planned once
    told = [(own["title"], own["file:checksum"]) for own in strips]
    assert [(own["title"], own["file:checksum"]) for own in again] == told
    assert told == sorted(set(told))
