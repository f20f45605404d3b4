"""Plans on a small real store: printable, comparable, priced, and refused with a way on."""

import dataclasses
import itertools
import json
import re
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from harmony_vds.errors import NoDataError, UnsupportedError
from harmony_vds.model.chunks import ChunkKind
from harmony_vds.model.extent import BoundingBox, TimeRange
from harmony_vds.model.plan import Plan
from harmony_vds.model.request import Request, Source, TargetGrid
from harmony_vds.model.store import VirtualStore
from harmony_vds.planning.guard import refuse_unsupported
from harmony_vds.planning.planner import make_plan

SOURCE = Source("C1-DEMO", "DEMO")
# The number that the first granule holds, in seconds since 1981.
NOON = datetime(1981, 1, 1, tzinfo=UTC) + timedelta(seconds=1356998400 + 43200)


def plan_of(opened: VirtualStore, request: Request | None = None, *variables: str) -> Plan:
    source = dataclasses.replace(SOURCE, variables=variables)
    return make_plan(opened, request or Request((source,)), source)


def boxed(*edges: float) -> Request:
    return Request((SOURCE,), bbox=BoundingBox(*edges))


def timed(first: int, last: int) -> Request:
    """From the first to the last of days that are counted from one."""
    start, end = (NOON + timedelta(days=day - 1) for day in (first, last))
    return Request((SOURCE,), temporal=TimeRange(start, end))


# -- the price ------------------------------------------------------------------------------------


def price_by_hand(opened: VirtualStore, plan: Plan, variable: str) -> tuple[int, int, int]:
    """Chunks, requests and bytes of a variable, chunk by chunk."""
    index = opened.chunk_index(variable)
    planned = next(v for v in plan.variables if v.path == variable)
    sides = [
        sorted({p // c for p in plan.selection[d].positions.tolist()})
        for d, c in zip(planned.dimensions, index.chunk_shape, strict=True)
    ]
    numbers = list(itertools.product(*sides))
    assert all(index.kinds[n] == ChunkKind.VIRTUAL for n in numbers)
    wanted = sorted(
        (int(index.sources[n]), int(index.offsets[n]), int(index.lengths[n])) for n in numbers
    )
    spans: list[list[int]] = []  # source, first byte, end
    for source, start, length in wanted:
        near = spans and spans[-1][0] == source
        if near and start - spans[-1][2] <= opened.merge_gap(variable):
            spans[-1][2] = start + length
        else:
            spans.append([source, start, start + length])
    return len(numbers), len(spans), sum(end - start for _, start, end in spans)


@pytest.mark.parametrize(
    "request_",
    [None, boxed(-10, -10, 10, 10), boxed(170, 0, -170, 5), boxed(0, 0, 0, 0), timed(2, 3)],
)
def test_the_price_counts_each_chunk_once(opened: VirtualStore, request_: Request | None) -> None:
    plan = plan_of(opened, request_, "analysed_sst")
    # Its ancillary variable comes with it; crs is a scalar that was never written.
    parts = [price_by_hand(opened, plan, path) for path in ("/analysed_sst", "/mask")]
    scalar = opened.chunk_index("/crs").tally([])
    chunks, requests, nbytes = (sum(own) for own in zip(*parts, strict=True))
    assert plan.cost.chunks == chunks + scalar.chunks
    assert plan.cost.requests == requests + scalar.requests
    assert plan.cost.bytes_read == nbytes + scalar.stored
    assert plan.cost.missing == 0
    steps, rows, columns = (len(plan.selection[d]) for d in ("/time", "/lat", "/lon"))
    data = steps * rows * columns * (2 + 1)  # int16 and int8
    assert plan.cost.bytes_written == data + 4 * (steps + rows + columns) + 4  # axes and crs


# Not the number of requests: what lies between two chunks may be what made them one range.
COSTS = ("chunks", "bytes_read", "bytes_decoded", "bytes_written", "peak_memory", "peak_disk")


def test_narrowing_a_request_never_costs_more(opened: VirtualStore) -> None:
    random = np.random.default_rng(7)
    for _ in range(60):
        edges = np.sort(random.integers(-34, 35, 4)) * 5.0
        outer = BoundingBox(edges[0], edges[0] / 2, edges[3], edges[3] / 2)
        inner = BoundingBox(edges[1], edges[1] / 2, edges[2], edges[2] / 2)
        if inner.width < 5 or inner.north - inner.south < 5:
            continue  # a box that holds no centre may take a cell outside of itself
        steps = sorted(random.choice(np.arange(1, 6), 4).tolist())
        wide = dataclasses.replace(timed(steps[0], steps[3]), bbox=outer)
        narrow = dataclasses.replace(timed(steps[1], steps[2]), bbox=inner)
        prices = [
            plan_of(opened, wide).cost,
            plan_of(opened, dataclasses.replace(wide, bbox=inner)).cost,
            plan_of(opened, narrow).cost,
            plan_of(opened, narrow, "analysed_sst").cost,
            plan_of(opened, narrow, "mask").cost,
        ]
        for more, less in itertools.pairwise(prices):
            for name in COSTS:
                assert getattr(less, name) <= getattr(more, name), name


# -- the plan as a value --------------------------------------------------------------------------


def test_a_plan_is_printable_and_json(opened: VirtualStore) -> None:
    plan = plan_of(opened, dataclasses.replace(timed(2, 3), bbox=BoundingBox(170, 0, -170, 9)))
    text = str(plan)
    assert "time 2 of 5" in text
    assert "lon 4 of 72" in text  # 172.5, 177.5, -177.5, -172.5
    assert opened.location.href in text
    assert len(text.splitlines()) == 1
    told = json.loads(json.dumps(plan.as_json(), allow_nan=False))
    assert told["selection"]["/lon"] == [[70, 72], [0, 2]]
    assert told["selection"]["/time"] == [[1, 3]]
    assert told["bbox"] == [170, 0, 190, 10]
    assert told["temporal"] == str(timed(2, 3).temporal)
    assert told["cost"]["chunks"] == plan.cost.chunks


def test_equal_requests_have_equal_fingerprints(opened: VirtualStore) -> None:
    first, second = (plan_of(opened, boxed(-10, -10, 10, 10), "mask") for _ in range(2))
    assert first.fingerprint == second.fingerprint
    assert re.fullmatch(r"[0-9a-f]{64}", first.fingerprint)


def test_the_fingerprint_tells_selection_variables_and_snapshot_apart(opened: VirtualStore) -> None:
    moved = dataclasses.replace(opened.location, snapshot="another")
    elsewhere = dataclasses.replace(opened, location=moved)
    plans = [
        plan_of(opened),
        plan_of(opened, None, "mask"),
        plan_of(opened, boxed(-10, -10, 10, 10)),
        plan_of(opened, boxed(-10, -10, 10, 20)),
        plan_of(opened, timed(2, 3)),
        plan_of(opened, timed(2, 4)),
        plan_of(elsewhere),
    ]
    assert len({own.fingerprint for own in plans}) == len(plans)


def test_a_box_or_time_without_data_is_refused_with_what_there_is(opened: VirtualStore) -> None:
    with pytest.raises(NoDataError, match=f"store covers {timed(1, 5).temporal}"):
        plan_of(opened, timed(6, 7))


# -- the guard ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, told",
    [
        ({"media_type": "image/gif"}, "'image/gif'.*application/netcdf"),
        ({"average": "depth"}, "over time or area"),
        ({"point": (10.5, -3.0), "average": "area"}, "together"),
        ({"point": (10.5, -3.0), "bbox": BoundingBox(0, 0, 1, 1)}, "together"),
        ({"target": TargetGrid(crs="EPSG:3857"), "average": "area"}, "outputCrs"),
        ({"extend": ("time",)}, "extend"),
        ({"synchronous": True, "sources": (SOURCE, SOURCE)}, "2 collections.*forceAsync=true"),
    ],
)
def test_what_is_not_done_is_refused_by_its_name(change: dict, told: str) -> None:
    with pytest.raises(UnsupportedError, match=told):
        refuse_unsupported(dataclasses.replace(Request((SOURCE,)), **change))


def test_netcdf_is_done_even_while_the_user_waits() -> None:
    refuse_unsupported(Request((SOURCE,), media_type="application/netcdf", synchronous=True))
