"""``bin/bench plan``: from the start of a process to a price, or to a refusal with other requests.

The stores are those of full size, their manifests opened before by another process (a warm cache).
"""

import sys
from pathlib import Path

from bench.goals import Verdict
from bench.runs import Bench, resources

_MOST_SECONDS = 2.0
_SMALL = ("--bbox", "10", "20", "20", "30")
_YEAR = {"ostia": ("--temporal", "1983-01-01T00:00:00Z", "1983-12-31T23:59:59Z")}


def run_plan(bench: Bench) -> list[Verdict]:
    """Measure, tell, and judge."""
    products = ["small"] if bench.scale == "small" else ["ostia", "opera"]
    bench.make(products)
    found = []
    for product in products:
        archive = bench.archive(product)
        command = [
            str(Path(sys.executable).parent / "harmony-vds"), "estimate", "--store",
            str(archive.manifest("kerchunk")), "--trust", archive.base,
        ]  # fmt: skip
        asked = {
            "estimate": [*command, *_SMALL, *_YEAR.get(product, ())],
            "refusal": command,
        }
        environment = {"HARMONY_VDS_CACHE_DIR": str(bench.folder / "cache"),
                       "PYTHONWARNINGS": "ignore",
                       "HARMONY_VDS_MAX_READ_BYTES": "8GiB"}  # fmt: skip
        for name, own in asked.items():
            refused = 1 if name == "refusal" else 0
            runs = [resources(own, environment, refused) for _ in range(bench.repeats + 1)][1:]
            told = [run["all"] for run in runs if "all" in run]
            for run in runs:
                bench.tell(f"{name} {product}: {run.get('failed') or run['all']}")
            for number in ("wall", "cpu"):
                best = min((run[number] for run in told), default=None)
                goal = f"{name}, {product}, process start to the last line: {number} seconds"
                found.append(Verdict(goal, best, _MOST_SECONDS, at_least=False))
    return found
