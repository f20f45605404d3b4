"""Names of dimensions, from what manifests make of dimensions that a group inherits."""

from collections import Counter

import xarray as xr

from harmony_vds.model.paths import name_of


def with_short_names(dataset: xr.Dataset) -> xr.Dataset:
    """`dataset` with dimensions named as they are in their group, without the path to it.

    kerchunk and VirtualiZarr name an HDF5 dimension by the path of its scale: ``data_01/time`` in
    the group ``/data_01/ku``. Where two would come to one name, both stay. **Reads:** nothing.
    """
    names = {str(own): name_of(str(own)) for own in dataset.sizes}
    counts = Counter(names.values())
    renamed = {
        own: short for own, short in names.items() if own != short and short and counts[short] == 1
    }
    if not renamed:
        return dataset
    variables = {name: own.copy(deep=False) for name, own in dataset.variables.items()}
    for own in variables.values():
        own.dims = tuple(renamed.get(str(dimension), dimension) for dimension in own.dims)
    along = {name: own for name, own in variables.items() if own.dims == (name,)}
    others = {name: own for name, own in variables.items() if name not in along}
    # Coordinates without indexes: those would read the values.
    return xr.Dataset(others, xr.Coordinates(along, indexes={}), dataset.attrs)
