"""Lines of Python that average what a recipe has cut, over time or over an area."""

from collections.abc import Mapping, Sequence

from harmony_vds.model.average import AveragedVariable, AverageKind, AveragePlan, Features, Measure
from harmony_vds.model.paths import group_of, name_of
from harmony_vds.model.plan import Plan
from harmony_vds.outputs.decoded_recipe import DECODED
from harmony_vds.outputs.weight_recipe import weights_of

_MOST_FEATURES = 100
"""Features whose names and numbers of cells a recipe lists."""
_OVER_TIME = {
    Measure.MEAN: "values.mean({0!r}, keepdims=True)",
    Measure.COUNT: "values.notnull().sum({0!r}, keepdims=True).astype('i4')",
}
_OVER_AREA = {
    Measure.MEAN: "mean",
    Measure.COUNT: "there.sum({0!r}).astype('i4')",
    Measure.FRACTION: "(known / weights.sum({0!r})).clip(max=1)",
    Measure.MIN: "values.where(there).min({0!r})",
    Measure.MAX: "values.where(there).max({0!r})",
    Measure.STD: "np.sqrt(((values - mean) ** 2 * weights).sum({0!r}) / known)",
}


def averaged(plan: Plan, group: str) -> list[str]:
    """Lines that put averages in the place of ``subset``; none where they were long.

    Where a plan has masks, they take ``inside`` of `harmony_vds.outputs.region_recipe`.
    **Reads:** nothing.
    """
    assert plan.average is not None
    if not _by_dimensions(plan.average, group):
        return []
    if plan.average.kind is AverageKind.TIME:
        return _over_time(plan, group)
    return _over_area(plan, group)


def _over_time(plan: Plan, group: str) -> list[str]:
    assert plan.average is not None
    lines = [*_begun(), "# Every step counts the same. Means agree to about twelve digits."]
    for along, own in _by_dimensions(plan.average, group).items():
        lines += _each(
            own,
            ["values = decoded(subset.variables[name].load())"],
            {key: text.format(name_of(along[0])) for key, text in _OVER_TIME.items()},
        )
    for time in plan.average.times:
        if group_of(time.path) != group:
            continue
        dimension = name_of(time.dimension)
        sides = (dimension, name_of(time.bounds_dimension))
        middle, bounds = [(time.first + time.last) / 2], [[time.first, time.last]]
        lines += [
            f"made[{name_of(time.path)!r}] = xr.Variable({dimension!r}, {middle!r})",
            f"made[{name_of(time.bounds_path)!r}] = xr.Variable({sides!r}, {bounds!r})",
        ]
    return [*lines, *_left(plan.average)]


def _over_area(plan: Plan, group: str) -> list[str]:
    assert plan.average is not None
    kinds = _by_dimensions(plan.average, group)
    features = plan.average.features
    if len(kinds) != 1 or (features is not None and not plan.masks):
        return []
    if features is not None and len(features.names) > _MOST_FEATURES:
        return []
    along, own = next(iter(kinds.items()))
    weights = weights_of(plan, plan.average.areas_along(along))
    if not weights:
        return []
    both = tuple(map(name_of, along))
    lines = [*_begun(), *weights]
    lines += ["weights = weights.where(inside, 0)"] if plan.masks else []
    if features is not None:
        lines += _of_features(features, both)
    said = [
        "values = decoded(subset.variables[name].load())",
        "there = values.notnull() & (weights > 0)",
        f"known = weights.where(there, 0).sum({both!r})",
        f"mean = (values * weights).sum({both!r}) / known.where(known > 0)",
    ]
    end = "" if features is None else f".transpose({name_of(features.dimension)!r}, ...)"
    lines += _each(own, said, {key: text.format(both) + end for key, text in _OVER_AREA.items()})
    return [*lines, *_left(plan.average)]


def _begun() -> list[str]:
    return [*DECODED, "made = {}"]


def _of_features(features: Features, both: tuple[str, ...]) -> list[str]:
    """Lines that give each feature weights of its own, with what lies ``asked`` in any of them."""
    feature = name_of(features.dimension)
    name = name_of(features.name_path)
    counts = [int(own.size) for own in features.cells[0].rows]
    return [
        "parts = shapely.get_parts(shape)",
        "held = [asked & shapely.intersects_xy(own, lon, lat) for own in parts]",
        f"assert np.sum(held, axis=(1, 2)).tolist() == {counts!r}, 'features count other cells'",
        f"weights = weights.where(xr.Variable({(feature, *both)!r}, held), 0)",
        f"made[{name!r}] = xr.Variable({feature!r}, {list(features.names)!r})",
    ]


def _by_dimensions(
    average: AveragePlan, group: str
) -> Mapping[tuple[str, ...], list[AveragedVariable]]:
    """The averaged variables of a group, by the dimensions that are averaged over."""
    found: dict[tuple[str, ...], list[AveragedVariable]] = {}
    for own in average.variables:
        if group_of(own.path) == group:
            found.setdefault(own.along, []).append(own)
    return found


def _each(
    variables: Sequence[AveragedVariable], said: Sequence[str], measures: Mapping[Measure, str]
) -> list[str]:
    """Lines that make all measures of some variables."""
    names = [name_of(own.path) for own in variables]
    lines = [f"for name in {names!r}:", *(f"    {own}" for own in said)]
    for number, (measure, _) in enumerate(variables[0].measures):
        ends = {name_of(own.measures[number][1]).removeprefix(name_of(own.path))
                for own in variables}  # fmt: skip
        end = ends.pop() if len(ends) == 1 else f"_{measure}"
        key = f"f'{{name}}{end}'" if end else "name"
        lines.append(f"    made[{key}] = {measures[measure]}")
    return lines


def _left(average: AveragePlan) -> list[str]:
    """Lines that put the averages together with what has not the dimensions averaged over."""
    gone = sorted({name_of(path) for own in average.variables for path in own.along})
    return [
        "kept = {name: own for name, own in subset.variables.items()",
        f"    if not {{*own.dims}} & {{{', '.join(map(repr, gone))}}}}}",
        "subset = xr.Dataset({**kept, **made})",
    ]
