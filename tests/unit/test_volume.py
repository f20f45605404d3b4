"""What is too large is refused with numbers, the limit, and smaller requests that were priced."""

import dataclasses
import re
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harmony_vds.cutting import Cutting
from harmony_vds.errors import TooLargeError
from harmony_vds.memory import allowed_memory
from harmony_vds.model.duration import expected
from harmony_vds.model.extent import BoundingBox, TimeRange
from harmony_vds.model.formats import CSV, KERCHUNK, Layout
from harmony_vds.model.limits import PROCESS_BYTES, Limits
from harmony_vds.model.plan import Cost
from harmony_vds.model.request import Request, Source, TargetGrid
from harmony_vds.model.store import VirtualStore
from harmony_vds.planning.narrowing import Narrowing
from harmony_vds.planning.planner import make_plan
from harmony_vds.planning.volume import check_total, total
from harmony_vds.services import limits_of
from harmony_vds.settings import Settings

SOURCE = Source("C1-DEMO", "DEMO")
# The number that the first granule holds, in seconds since 1981.
NOON = datetime(1981, 1, 1, tzinfo=UTC) + timedelta(seconds=1356998400 + 43200)
PLENTY = Limits(10**15, 10**15, 10**6)


def boxed(*edges: float) -> Request:
    return Request((SOURCE,), bbox=BoundingBox(*edges))


TIME = re.compile(
    r'subset=time\("(\S+)":"(\S+)"\) \[--temporal (\S+) (\S+)\] \((\d+) of (\d+) steps'
)
NAMES = re.compile(r"variable=(\S+) \[((?:--variable \S+ ?)+)\] \(")
BOX = re.compile(
    r"subset=lon\((\S+?):(\S+?)\)&subset=lat\((\S+?):(\S+?)\) \[--bbox (\S+) (\S+) (\S+) (\S+)\]"
)


AVERAGE = re.compile(r"average=(\w+) \[--average (\w+)\]")
COARSER = re.compile(
    r"scaleSize=(\S+),(\S+)&interpolation=average \[--cell (\S+) (\S+) --interpolation average\]"
)
POINTING = "on the command line [--format kerchunk]"


def refusal(opened: VirtualStore, limits: Limits, request: Request, source: Source) -> str:
    plan = make_plan(opened, request, source)
    with pytest.raises(TooLargeError) as caught:
        Cutting(opened, limits).parts(plan, request, source)
    return str(caught.value)


def offers(text: str, request: Request, source: Source) -> list[tuple[Request, Source]]:
    """The requests that a refusal offers, read from its text as a user would."""
    found = []
    if told := TIME.search(text):
        assert (told[1], told[2]) == (told[3], told[4])
        start, end = (datetime.fromisoformat(told[i]) for i in (1, 2))
        found.append((dataclasses.replace(request, temporal=TimeRange(start, end)), source))
    if told := NAMES.search(text):
        names = tuple(told[1].split(","))
        assert told[2].split() == [word for name in names for word in ("--variable", name)]
        found.append((request, dataclasses.replace(source, variables=names)))
    if told := BOX.search(text):
        west, east, south, north = map(float, told.groups()[:4])
        assert (west, south, east, north) == tuple(map(float, told.groups()[4:]))
        found.append(
            (dataclasses.replace(request, bbox=BoundingBox(west, south, east, north)), source)
        )
    if told := AVERAGE.search(text):
        assert told[1] == told[2]
        found.append((dataclasses.replace(request, average=told[1]), source))
    if told := COARSER.search(text):
        assert (told[1], told[2]) == (told[3], told[4])
        cell = TargetGrid(scale_size=(float(told[1]), float(told[2])), interpolation="average")
        found.append((dataclasses.replace(request, target=cell), source))
    if POINTING in text:
        found.append((dataclasses.replace(request, media_type=KERCHUNK), source))
    return found


@pytest.mark.parametrize("share", [0.95, 0.5, 0.3, 0.1])
@pytest.mark.parametrize("kind", ["read", "write"])
@pytest.mark.parametrize("request_", [Request((SOURCE,)), boxed(150, -60, -150, 60)])
def test_a_refusal_offers_requests_that_fit(
    opened: VirtualStore, share: float, kind: str, request_: Request
) -> None:
    cost = make_plan(opened, request_, SOURCE).cost
    limits = Limits(
        int(cost.bytes_read * share) if kind == "read" else 10**15,
        int(cost.bytes_written * share) if kind == "write" else 10**15,
        100,
    )
    text = refusal(opened, limits, request_, SOURCE)
    assert f"HARMONY_VDS_MAX_{'READ' if kind == 'read' else 'OUTPUT'}_BYTES" in text
    assert f"{cost.chunks:,} chunks" in text
    assert len(text) < 1000
    assert len(text.splitlines()) == 1
    smaller = offers(text, request_, SOURCE)
    assert smaller
    assert len(smaller) == text.count(" [--")  # in Harmony's words and in those of the command line
    for request, source in smaller:
        plan = make_plan(opened, request, source)
        Cutting(opened, limits).parts(plan, request, source)
        assert str(plan.cost) in text
        if request.media_type == KERCHUNK or request.average or request.target:
            continue  # of the same cells
        for path, kept in make_plan(opened, request_, SOURCE).selection.items():
            assert set(plan.selection[path].positions) <= set(kept.positions)
    if told := TIME.search(text):
        end = NOON + timedelta(days=int(told[5]))
        more = dataclasses.replace(request_, temporal=TimeRange(NOON, end))
        cost = make_plan(opened, more, SOURCE).cost
        over = cost.bytes_read > limits.max_read_bytes
        assert over or cost.bytes_written > limits.max_output_bytes, "one more step fits"
        assert told[6] == "5"


def test_a_refusal_says_when_nothing_smaller_was_found(opened: VirtualStore) -> None:
    text = refusal(opened, Limits(1, 1, 100), Request((SOURCE,)), SOURCE)
    assert "may read 1 B (HARMONY_VDS_MAX_READ_BYTES)" in text
    assert "No smaller request was found to fit" in text


def test_a_refusal_offers_less_of_the_same_cells_where_fewer_cells_are_no_help(
    opened: VirtualStore,
) -> None:
    source = dataclasses.replace(SOURCE, variables=("analysed_sst",))
    noon = TimeRange(NOON, NOON)
    request = Request((source,), temporal=noon)  # one step, one variable: only the box is left
    cost = make_plan(opened, request, source).cost
    limits = Limits(10**15, cost.bytes_written - 1, 100)
    smaller = offers(refusal(opened, limits, request, source), request, source)
    kinds = [(own.bbox is not None, own.average, own.target is not None) for own, _ in smaller]
    assert kinds == [(True, None, False), (False, "area", False), (False, None, True)]
    for own, _ in smaller:
        assert make_plan(opened, own, source).cost.bytes_written < cost.bytes_written
    reading = Limits(cost.bytes_read - 1, 10**15, 100)
    text = refusal(opened, reading, request, source)
    assert POINTING in text
    assert "average=" not in text  # it would read as much


@pytest.mark.parametrize("kind", ["time", "area"])
def test_averages_take_the_time_to_add_their_cells_up(opened: VirtualStore, kind: str) -> None:
    source = dataclasses.replace(SOURCE, variables=("analysed_sst",))
    cost = make_plan(opened, Request((source,), average=kind), source).cost
    assert cost.computing == pytest.approx(5 * 36 * 72 / 5e7, abs=1e-6)
    assert make_plan(opened, Request((source,)), source).cost.computing == 0


def test_finer_methods_on_another_grid_take_longer(opened: VirtualStore) -> None:
    source = dataclasses.replace(SOURCE, variables=("analysed_sst",))

    def longest(method: str) -> float:
        target = TargetGrid("EPSG:4326", method, width=7200, height=3600)
        return make_plan(opened, Request((source,), target=target), source).cost.duration.most

    near, cubic, average = (longest(own) for own in ("near", "cubic", "average"))
    seconds = 5 * 3600 * 7200 / 5.0e6  # five days by the cubic method, whose rate this is
    assert near < seconds < cubic < average


def at_its_limits(cost: Cost) -> Limits:
    return Limits(
        cost.bytes_read, cost.bytes_written, cost.duration.least, max_chunks=cost.chunks,
        max_requests=cost.requests, max_decoded_bytes=cost.bytes_decoded,
        max_memory_bytes=cost.peak_memory + PROCESS_BYTES, max_disk_bytes=cost.peak_disk,
    )  # fmt: skip


def test_what_is_within_its_limits_is_let_through(opened: VirtualStore) -> None:
    request = Request((SOURCE,))
    plan = make_plan(opened, request, SOURCE)
    ((stretch, let_through),) = Cutting(opened, at_its_limits(plan.cost)).parts(
        plan, request, SOURCE
    )
    assert stretch is None
    assert let_through is plan


@pytest.mark.parametrize(
    ("field", "less", "told"),
    [
        ("max_read_bytes", 1, r"read [\d,]+ bytes \(\d+ chunks\).*HARMONY_VDS_MAX_READ_BYTES"),
        ("max_output_bytes", 1, "would write .*HARMONY_VDS_MAX_OUTPUT_BYTES"),
        ("max_chunks", 1, r"touch 91 chunks .*touch 90 chunks \(HARMONY_VDS_MAX_CHUNKS"),
        ("max_requests", 1, "make .* requests to the archive .*HARMONY_VDS_MAX_REQUESTS"),
        ("max_decoded_bytes", 1, "decode .*HARMONY_VDS_MAX_DECODED_BYTES"),
        ("max_memory_bytes", 1, "hold .* of memory .*HARMONY_VDS_MAX_MEMORY_BYTES"),
        ("max_disk_bytes", 1, "put .* on local disk .*HARMONY_VDS_MAX_DISK_BYTES"),
        ("max_seconds", 0.5, "take [0-9.]+ s or more .*HARMONY_VDS_MAX_SECONDS"),
    ],
)
def test_each_limit_refuses_what_exceeds_it_by_one(
    field: str, less: float, told: str, opened: VirtualStore
) -> None:
    request = Request((SOURCE,), synchronous=True)  # or the disk would be spared by cutting it
    plan = make_plan(opened, request, SOURCE)
    exact = at_its_limits(plan.cost)
    limits = dataclasses.replace(exact, **{field: getattr(exact, field) - less})
    assert re.search(told, refusal(opened, limits, request, SOURCE))


def test_numbers_that_would_read_the_same_are_told_to_the_byte(opened: VirtualStore) -> None:
    request = Request((SOURCE,))
    plan = make_plan(opened, request, SOURCE)
    limits = dataclasses.replace(at_its_limits(plan.cost), max_read_bytes=plan.cost.bytes_read - 1)
    text = refusal(opened, limits, request, SOURCE)
    assert f"would read {plan.cost.bytes_read:,} bytes" in text
    assert f"may read {plan.cost.bytes_read - 1:,} bytes" in text


def test_outputs_that_are_small_alone_are_refused_together(opened: VirtualStore) -> None:
    cost = make_plan(opened, Request((SOURCE,)), SOURCE).cost
    limits = dataclasses.replace(PLENTY, max_read_bytes=2 * cost.bytes_read)
    request = Request((SOURCE,))

    def narrowed() -> Narrowing:
        plan = make_plan(opened, request, SOURCE)
        return Narrowing(
            opened, request, SOURCE, plan, lambda own, of: [make_plan(opened, own, of).cost] * 3
        )

    check_total([cost, cost], limits, narrowed)
    with pytest.raises(TooLargeError, match=r"3 outputs together would read .*READ_BYTES") as told:
        check_total([cost] * 3, limits, narrowed)
    smaller = offers(str(told.value), request, SOURCE)
    assert len(smaller) == 3
    for own, of in smaller:
        assert 3 * make_plan(opened, own, of).cost.bytes_read <= limits.max_read_bytes
    # One output is put away before the next begins.
    assert total([cost, cost]).peak_disk == cost.peak_disk
    assert total([cost, cost]).peak_memory == cost.peak_memory


def test_more_work_never_takes_less_time() -> None:
    base = {"requests": 100, "read": 10**8, "decoded": 10**9, "written": 10**9}
    before = expected(**base)
    assert before.least < before.most
    for name, value in base.items():
        more = expected(**{**base, name: value * 50})
        assert more.least >= before.least
        assert more.most > before.most


def test_memory_limit_is_that_of_the_innermost_group_that_has_one(tmp_path: Path) -> None:
    groups, membership = tmp_path / "cgroup", tmp_path / "self"
    (groups / "pods" / "one").mkdir(parents=True)
    (groups / "pods" / "memory.max").write_text("700000000\n")
    (groups / "pods" / "one" / "memory.max").write_text("max\n")
    membership.write_text("0::/pods/one\n")
    assert allowed_memory(groups, membership) == 700_000_000
    (groups / "pods" / "one" / "memory.max").write_text("600000000\n")
    assert allowed_memory(groups, membership) == 600_000_000
    # As a container sees it: the path is that of the host, the mount is the group itself.
    (groups / "memory.max").write_text("500000000\n")
    membership.write_text("0::/kubepods/elsewhere\n")
    assert allowed_memory(groups, membership) == 500_000_000


def test_memory_limit_of_version_one_is_found(tmp_path: Path) -> None:
    groups, membership = tmp_path / "cgroup", tmp_path / "self"
    (groups / "memory" / "pod").mkdir(parents=True)
    (groups / "memory" / "memory.limit_in_bytes").write_text(f"{2**63 - 4096}\n")
    (groups / "memory" / "pod" / "memory.limit_in_bytes").write_text("400000000\n")
    membership.write_text("5:cpu,cpuacct:/other\n4:memory:/pod\n")
    assert allowed_memory(groups, membership) == 400_000_000


def test_memory_without_control_groups_is_the_machines(tmp_path: Path) -> None:
    assert allowed_memory(tmp_path, tmp_path / "absent") > 2**28


def test_disk_limit_is_what_is_free_unless_the_operator_allows_less() -> None:
    free = limits_of(Settings())
    assert 0 < free.max_disk_bytes < 2**60
    assert tempfile.gettempdir() in free.max_disk_setting
    set_ = limits_of(Settings(max_disk_bytes=1000))
    assert (set_.max_disk_bytes, set_.max_disk_setting) == (1000, "HARMONY_VDS_MAX_DISK_BYTES")
    assert limits_of(Settings(max_memory_bytes=10**9)).max_memory_bytes == 10**9


def test_price_counts_what_waits_on_disk_for_chunks_that_are_not_the_stores(
    opened: VirtualStore,
) -> None:
    request = Request((SOURCE,))
    straight = Cutting(opened, PLENTY).plan(request, SOURCE).cost
    assert straight.peak_disk == straight.bytes_written  # whole chunks, copied as they come
    relaid = Cutting(opened, PLENTY, layout=Layout(chunks_for="series")).plan(request, SOURCE).cost
    assert relaid.peak_disk == 2 * straight.bytes_written
    assert relaid.peak_memory > straight.peak_memory
    request = dataclasses.replace(request, media_type=CSV)
    assert (
        Cutting(opened, PLENTY, layout=Layout(chunks_for="series")).plan(request, SOURCE).cost
        == Cutting(opened, PLENTY).plan(request, SOURCE).cost
    )
    request = Request((SOURCE,), bbox=BoundingBox(-20, -20, 20, 20))
    cost = Cutting(opened, PLENTY).plan(request, SOURCE).cost
    assert cost.bytes_written < cost.peak_disk <= 2 * cost.bytes_written


def test_what_is_too_large_in_a_step_and_too_long_in_a_cell_is_offered_in_both(
    opened: VirtualStore,
) -> None:
    request = Request((SOURCE,), media_type=CSV)
    step = dataclasses.replace(request, temporal=TimeRange(NOON, NOON))
    one = make_plan(opened, step, SOURCE).cost
    corner = dataclasses.replace(request, bbox=BoundingBox(1, 1, 2, 2))
    series = make_plan(opened, corner, SOURCE).cost
    limits = dataclasses.replace(
        PLENTY, max_rows=one.rows // 5, max_read_bytes=series.bytes_read * 3 // 4
    )
    text = refusal(opened, limits, request, SOURCE)
    (asked,) = re.findall(r"\[--bbox (\S+) (\S+) (\S+) (\S+) --temporal (\S+) (\S+)\]", text)
    assert "subset=lon(" in text
    assert "&subset=time(" in text
    box = BoundingBox(*map(float, asked[:4]))
    times = TimeRange(*map(datetime.fromisoformat, asked[4:]))
    offered = dataclasses.replace(request, bbox=box, temporal=times)
    plan = make_plan(opened, offered, SOURCE)
    Cutting(opened, limits).parts(plan, offered, SOURCE)
    assert str(plan.cost) in text
