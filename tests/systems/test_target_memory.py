"""A target of 36,000 by 18,000 cells is made in blocks of bounded size, however it is made."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np, pyproj, xarray as xr
from harmony_vds.model.extent import BoundingBox
from harmony_vds.model.plan import PlannedVariable, Role
from harmony_vds.model.subset import SubsetVariable
from harmony_vds.model.target import Resampling, SourceAxis, SourceGrid, TargetPlan
from harmony_vds.transform.computed import computed
from harmony_vds.transform.reproject import Reprojection, reprojected

crs, method, extent = sys.argv[1], Resampling(sys.argv[2]), float(sys.argv[3])
rows, columns = 18_000, 36_000
source = SourceGrid(
    ("/lat", "/lon"), "", SourceAxis(-180 + 0.01 * (np.arange(columns) + 0.5), turns=True),
    SourceAxis(-90 + 0.01 * (np.arange(rows) + 0.5)),
)
transform = (2 * extent / columns, 0.0, -extent, 0.0, -extent / rows, extent / 2)
target = TargetPlan(
    pyproj.CRS(crs).to_wkt(), transform, (rows, columns), method, frozenset(), ("/y", "/x"),
    "/crs", BoundingBox(-180, -90, 180, 90), None, (source,),
)

def compute(block):
    sizes = [own.stop - own.start for own in block]
    assert 4 * sizes[0] * sizes[1] <= 2 ** 26, sizes
    return (np.arange(block[0].start, block[0].stop, dtype=np.float32)[:, None]
            + np.zeros(sizes[1], np.float32))

data = computed(("lat", "lon"), (rows, columns), np.float32, compute, {"units": "K"})
planned = PlannedVariable("/v", ("/lat", "/lon"), Role.REQUESTED)
variable = SubsetVariable(planned, data, (1023, 2047), ())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
positions = [np.arange(rows), np.arange(columns)]
made = reprojected(variable, positions, (1023, 2047), Reprojection(target))
cells = sum((b[0].stop - b[0].start) * (b[1].stop - b[1].start) for b in made.blocks)
assert cells == rows * columns
for block in made.blocks[:: max(1, len(made.blocks) // 40)]:
    made.data[block].values
print(len(made.blocks), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.scale
@pytest.mark.parametrize(
    ("crs", "method", "extent"),
    [("EPSG:3857", "near", 2e7), ("EPSG:3413", "bilinear", 1.2e7), ("EPSG:6933", "average", 1.7e7)],
)
def test_largest_grids_take_bounded_memory(crs: str, method: str, extent: float) -> None:
    command = [sys.executable, "-c", PROGRAM, crs, method, str(extent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    _, mebibytes = map(int, done.stdout.split())
    assert mebibytes < 400
