"""What a plan costs, as people and programs read it."""

from collections.abc import Sequence

from harmony_vds.cli.console import print_json
from harmony_vds.model.plan import Plan, human_bytes


def tell_price(plans: Sequence[Plan], *, as_json: bool) -> None:
    """Print plans and their prices: lines for people, or one JSON document. **Reads:** nothing."""
    if as_json:
        print_json([own.as_json() for own in plans], indent=2)
        return
    for plan in plans:
        print(plan)
        for name, number in _rows(plan):
            print(f"  {name:<9} {number}")


def _rows(plan: Plan) -> list[tuple[str, str]]:
    cost = plan.cost
    missing = f", {cost.missing:,} of them not in the manifest" if cost.missing else ""
    return [
        ("chunks", f"{cost.chunks:,}{missing}"),
        ("requests", f"{cost.requests:,}"),
        ("read", human_bytes(cost.bytes_read)),
        ("decoded", human_bytes(cost.bytes_decoded)),
        ("written", f"{human_bytes(cost.bytes_written)} before compression"),
        ("memory", f"{human_bytes(cost.peak_memory)} at most, beside the process itself"),
        ("disk", f"{human_bytes(cost.peak_disk)} at most"),
        ("time", str(cost.duration)),
    ]
