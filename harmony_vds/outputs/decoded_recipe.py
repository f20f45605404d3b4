"""Lines of Python that tell the quantities that stored numbers mean."""

DECODED = [
    "",
    "def decoded(own):  # in double precision; missing is what the netCDF library masks",
    "    told, size = own.attrs, own.dtype.itemsize",
    "    if str(told.get('_Unsigned')).lower() == 'true':",
    "        own = own.astype(f'u{size}')",
    "    usual = netCDF4.default_fillvals.get(own.dtype.str[1:], []) if size > 1 else []",
    "    marks = np.hstack([told.get('_FillValue', usual), told.get('missing_value', [])])",
    "    scale, raw = told.get('scale_factor', 1), own.astype(float)",
    "    number = raw * scale + told.get('add_offset', 0)",
    "    good = ~np.isin(own, marks.astype(own.dtype)) & np.isfinite(number)",
    "    ends = told.get('valid_min', -np.inf), told.get('valid_max', np.inf)",
    "    for side, limit in zip((1, -1), told.get('valid_range', ends)):",
    "        if own.dtype.kind != 'f' and np.result_type(limit).kind == 'f':",
    "            good &= side * (number - limit) >= -1e-6 * abs(scale)  # stated unpacked",
    "        else:",
    "            good &= side * (raw - limit) >= 0",
    "    found = number.where(good)",
    "    found.attrs = {}  # which speak of stored numbers",
    "    return found",
    "",
]
"""They need ``netCDF4`` and ``np``."""

FLOATING = [
    "def floating(own):  # single precision holds what integers of 16 bits are packed from",
    "    return 'f4' if own.dtype.itemsize <= (4 if own.dtype.kind == 'f' else 2) else 'f8'",
    "",
]
"""They define the type of what is made of stored numbers."""
