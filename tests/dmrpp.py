"""Writes DMR++ documents of HDF5 files from what h5py says of their chunks, for tests alone."""

import base64
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import h5py
import numpy as np

NAMES = {
    "i1": "Int8", "u1": "UInt8", "i2": "Int16", "u2": "UInt16", "i4": "Int32", "u4": "UInt32",
    "i8": "Int64", "u8": "UInt64", "f4": "Float32", "f8": "Float64",
}  # fmt: skip
_FILTERS = {1: "deflate", 2: "shuffle", 3: "fletcher32"}
_HIDDEN = {"CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST", "_Netcdf4Dimid", "_NCProperties",
           "_Netcdf4Coordinates", "_nc3_strict"}  # fmt: skip


def document(body: str, href: str = "OPeNDAP_DMRpp_DATA_ACCESS_URL", version: str = "3.21") -> str:
    """A ``Dataset`` around `body`; an empty `version` is left out."""
    told = f" dmrpp:version={quoteattr(version)}" if version else ""
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n'
        '<Dataset xmlns="http://xml.opendap.org/ns/DAP/4.0#" '
        'xmlns:dmrpp="http://xml.opendap.org/dap/dmrpp/1.0.0#" dapVersion="4.0" '
        f'dmrVersion="1.0" name="granule" dmrpp:href={quoteattr(href)}{told}>{body}</Dataset>'
    )


def write_dmrpp(granule: Path, path: Path, href: str = "OPeNDAP_DMRpp_DATA_ACCESS_URL") -> Path:
    """The DMR++ of a netCDF-4 file, as a sidecar at `path`."""
    with h5py.File(granule) as file:
        path.write_text(document(_group(file), href), encoding="latin-1")
    return path


def _group(group: h5py.Group) -> str:
    scales = [v for v in group.values() if isinstance(v, h5py.Dataset) and v.is_scale]
    text = "".join(
        f"<Dimension name={quoteattr(_short(v))} size={quoteattr(str(v.shape[0]))}/>"
        for v in scales
    )
    for name, member in group.items():
        if isinstance(member, h5py.Group):
            text += f"<Group name={quoteattr(name)}>{_group(member)}</Group>"
        elif not str(member.attrs.get("NAME", b"")).find("not a netCDF variable") > 0:
            text += _variable(member)
    return text + _attributes(group)


def _short(dataset: h5py.Dataset) -> str:
    return dataset.name.rpartition("/")[2]


def _variable(dataset: h5py.Dataset) -> str:
    kind = NAMES[dataset.dtype.str[1:]]
    text = f"<{kind} name={quoteattr(_short(dataset))}>"
    for axis, size in enumerate(dataset.shape):
        scales = [dataset] if dataset.is_scale else list(dataset.dims[axis].values())
        named = f"name={quoteattr(scales[0].name)}" if scales else f'size="{size}"'
        text += f"<Dim {named}/>"
    return text + _attributes(dataset) + _storage(dataset) + f"</{kind}>"


def _attributes(owner: Any) -> str:
    text = ""
    for name, value in owner.attrs.items():
        if name in _HIDDEN:
            continue
        if isinstance(value, str | bytes | np.bytes_):
            plain = value if isinstance(value, str) else value.decode()
            kind, values = "String", [plain]
        else:
            numbers = np.atleast_1d(value)
            kind = NAMES[numbers.dtype.str[1:]]
            digits = 9 if numbers.dtype == "f4" else 17
            values = [f"{n:.{digits}g}" if numbers.dtype.kind == "f" else str(n) for n in numbers]
        inner = "".join(f"<Value>{escape(one)}</Value>" for one in values)
        text += f'<Attribute name={quoteattr(name)} type="{kind}">{inner}</Attribute>'
    return text


def _storage(dataset: h5py.Dataset) -> str:
    created = dataset.id.get_create_plist()
    order = "BE" if dataset.dtype.byteorder == ">" else "LE"
    digits = ".6g" if dataset.dtype.kind == "f" else ""
    around = f' fillValue="{dataset.fillvalue:{digits}}" byteOrder="{order}"'
    if dataset.chunks is None:
        if dataset.id.get_offset() is None:
            if created.get_layout() == h5py.h5d.COMPACT:
                body = base64.b64encode(dataset[()].tobytes()).decode()
                return f"<dmrpp:chunks{around}/><dmrpp:compact>{body}</dmrpp:compact>"
            return f"<dmrpp:chunks{around}/>"
        return (
            f'<dmrpp:chunks{around}><dmrpp:chunk offset="{dataset.id.get_offset()}" '
            f'nBytes="{dataset.id.get_storage_size()}"/></dmrpp:chunks>'
        )
    filters = [_FILTERS[created.get_filter(n)[0]] for n in range(created.get_nfilters())]
    used = f' compressionType="{" ".join(filters)}"' if filters else ""
    sizes = " ".join(map(str, dataset.chunks))
    text = f"<dmrpp:chunks{used}{around}><dmrpp:chunkDimensionSizes>{sizes}"
    text += "</dmrpp:chunkDimensionSizes>"
    for number in range(dataset.id.get_num_chunks()):
        info = dataset.id.get_chunk_info(number)
        place = ",".join(map(str, info.chunk_offset))
        text += (
            f'<dmrpp:chunk offset="{info.byte_offset}" nBytes="{info.size}" '
            f'chunkPositionInArray="[{place}]"/>'
        )
    return text + "</dmrpp:chunks>"
