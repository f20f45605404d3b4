"""Turns a request and an open store into a plan: labels become positions once, and are priced."""

from harmony_vds.errors import StoreError
from harmony_vds.model.formats import format_of
from harmony_vds.model.plan import UNPRICED, Plan
from harmony_vds.model.record import recorded
from harmony_vds.model.request import Request, Source
from harmony_vds.model.store import VirtualStore
from harmony_vds.planning.cost import Course, doubts, price
from harmony_vds.planning.draft import Draft
from harmony_vds.planning.georeferences import georeferences
from harmony_vds.planning.grids import footing
from harmony_vds.planning.hierarchy import Hierarchy
from harmony_vds.planning.parts import of_stretch
from harmony_vds.planning.pointing import pointed
from harmony_vds.planning.presence import refuse_nothing
from harmony_vds.planning.rows import for_columns, in_rows
from harmony_vds.planning.slivers import with_places
from harmony_vds.planning.variables import requested_paths, with_required


def make_plan(store: VirtualStore, request: Request, source: Source) -> Plan:
    """The plan that answers `request` for `source` from `store`.

    Raises
    ------
    RequestError
        A variable is unknown, or a box or time range cannot be applied; the text says which.
    NoDataError
        Nothing lies in the box or time range; the text says what the store covers, or that its
        manifest holds no data there.
    StoreError
        Coordinates are unusable.

    **Reads:** coordinates.
    """
    draft = _begun(store, request, source)
    _cut(draft, request, named=bool(source.variables))
    hierarchy, form = draft.hierarchy, format_of(request.media_type)
    variables = with_required(tuple(draft.footings), hierarchy, draft.axes())
    if form.is_table and request.average is None:
        variables = for_columns(variables, draft.axes())
    variables, average = draft.averaged(variables)
    course = Course(average, tuple(draft.placements), draft.masks(variables))
    target = None
    if form.by_reference:
        cost = UNPRICED  # until it is known which whole chunks are pointed to
    elif request.target is None:
        cost = price(variables, draft.selection, hierarchy, course)
    else:
        target, variables, cost = draft.put_on_target(request.target, variables, course)
    if (cost.missing or form.by_reference) and request.stretch is None:
        refuse_nothing(variables, draft.selection, hierarchy, course.masks)
    draft.notes += doubts(variables, hierarchy)
    plan = Plan(
        location=store.location,
        variables=variables,
        selection=draft.selection,
        grids=draft.grids.plans_of(draft.selection),
        time_axes=tuple(draft.times.axes),
        coverage=draft.times.coverage(draft.selection),
        asked=request.parameters(source),
        record=recorded(request, source),
        notes=tuple(draft.notes),
        cost=cost,
        average=average,
        masks=course.masks,
        georeferences=georeferences(variables, draft.footings, draft.selection, hierarchy),
        placements=course.placements,
        target=target,
        product="_".join(part for part in (source.short_name, source.version) if part),
    )
    plan = in_rows(plan, hierarchy) if plan.format.is_table else plan
    return pointed(plan, draft.grids, hierarchy) if form.by_reference else plan


def _begun(store: VirtualStore, request: Request, source: Source) -> Draft:
    """The plan before anything is cut: the requested variables, and what is to be told of them."""
    hierarchy = Hierarchy(store)
    requested = requested_paths(source.variables, hierarchy)
    left_out = {
        path: f"{path} cannot be read and is left out: {reason}."
        for path, reason in store.defects.items()
    }
    if not requested:
        reasons = " ".join(left_out.values()) or "It is empty."
        raise StoreError(f"{store.location.shown} holds no variable that can be read. {reasons}")
    footings = {path: footing(path, hierarchy) for path in requested}
    draft = Draft(hierarchy, footings, with_places(request))
    lost = {own for path in requested for own in hierarchy.dimensions(path)}
    draft.notes += [text for path, text in left_out.items() if path in lost or not source.variables]
    draft.notes += [
        f"{path.lstrip('/')}: {store.repairs[path]}." for path in requested if path in store.repairs
    ]
    return draft


def _cut(draft: Draft, request: Request, *, named: bool) -> None:
    """Cut the draft by all that a request cuts by: space, times, other dimensions."""
    if draft.request.is_placed:
        draft.cut_places(named=named)
    else:
        draft.cut_boxes(named=named)
    draft.cut_times()
    draft.cut_levels(tuple(draft.footings))
    draft.settle_cells()
    draft.selection |= of_stretch(request.stretch, draft.selection, draft.hierarchy)
