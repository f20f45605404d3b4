"""Writes PNG: for people with a title, a scale and the edges of the map; for maps the cells alone.

A picture shows one layer of one variable. For people large grids are thinned out as they are read
and small ones enlarged; a map server's picture has exactly one pixel for each cell.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from harmony_vds import __version__
from harmony_vds.errors import UnsupportedError
from harmony_vds.model.decoding import Decoding
from harmony_vds.model.paths import name_of
from harmony_vds.model.plan import Plan
from harmony_vds.model.subset import Subset
from harmony_vds.outputs.geotiff import band_descriptions
from harmony_vds.outputs.palette import Classes, Ramp, colours_for, is_classified, stated_ramp
from harmony_vds.outputs.pieces import Step, read_ahead
from harmony_vds.outputs.provenance import PROGRAM, global_attributes
from harmony_vds.outputs.raster import DEGREES, Raster

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

_WIDEST, _HIGHEST, _NARROWEST = 1600, 1000, 480
_MARGIN, _LINE, _BAR = 16, 24, 16
_INK, _FAINT, _PAPER = (30, 30, 30), (110, 110, 110), (255, 255, 255)

type Field = npt.NDArray[np.float32]


def write_png(raster: Raster, subset: Subset, plan: Plan, path: Path, step: Step) -> None:
    """Draw one variable into `path`.

    Raises
    ------
    UnsupportedError
        It has more than one layer.
    StoreError, UpstreamError, TimeLimitError
        A chunk cannot be read.

    **Reads:** chunks.
    """
    from PIL.PngImagePlugin import PngInfo

    refuse_layers(raster, plan)
    for_people = plan.layout.picture == "legend"
    every = _thinning(raster) if for_people else 1
    field = _field(raster, every, step)
    attributes = raster.variable.data.attrs
    (title,) = band_descriptions(raster, subset)
    if for_people:
        image = _with_legend(field, colours_for(field, attributes), title, raster)
    else:
        # Maps are put together of many: colours must mean the same in each.
        colours = stated_ramp(raster.variable.data.dtype, attributes) or colours_for(
            field, attributes
        )
        image = plain_image(field, colours, transparent=plan.layout.picture == "transparent")
    told = PngInfo()
    told.add_text("Software", f"{PROGRAM} {__version__}")
    told.add_text("Source", plan.location.shown)
    told.add_text("Title", title)
    if for_people:  # a tile of a map is small and asked for often
        about = global_attributes(subset.groups.get("/", {}), plan)
        told.add_itxt("history_json", str(about["history_json"]), zip=True)
    dots = {} if plan.layout.dpi is None else {"dpi": (plan.layout.dpi,) * 2}
    image.save(path, "PNG", pnginfo=told, optimize=False, compress_level=6, **dots)


def refuse_layers(raster: Raster, plan: Plan) -> None:
    """Raise for what is more than a picture.

    Raises
    ------
    UnsupportedError
        There are several times or levels; the text says how many and what to ask instead.

    **Reads:** nothing.
    """
    if raster.bands != 1:
        advice = "Ask for one instant (and level), for an average over time, or for GeoTIFF, netCDF"
        if plan.layout.picture != "legend":
            advice = (
                "A request for a map (WMS) cannot name one; ask for a coverage as image/png with "
                "outputCrs, scaleExtent, width and height, and subset the dimension, or for netCDF"
            )
        raise UnsupportedError(
            f"A picture shows one time and level, and {raster.variable.planned.path.lstrip('/')} "
            f"has {raster.bands:,} of them here. {advice} or Zarr."
        )


def plain_image(field: Field, colours: Ramp | Classes, *, transparent: bool) -> "Image":
    """The cells alone, one pixel each; missing ones clear, or white where not `transparent`.

    **Reads:** nothing.
    """
    from PIL import Image

    image = Image.fromarray(colours.pixels(field))
    if transparent:
        return image
    paper = Image.new("RGB", image.size, _PAPER)
    paper.paste(image, mask=image.getchannel("A"))
    return paper


def _thinning(raster: Raster) -> int:
    """Every how many cells are drawn."""
    return max(1, -(-raster.width // _WIDEST), -(-raster.height // _HIGHEST))


def _field(raster: Raster, every: int, step: Step) -> Field:
    """Unpacked values, north up and west left, not-a-number where missing; shape (rows, columns).

    Of a thinned grid the middle one of `every` cells along rows and columns stands for them.
    """
    first = every // 2 if every > 1 else 0
    size = [max(1, -(-(own - first) // every)) for own in (raster.height, raster.width)]
    out = np.full(size, np.nan, np.float32)
    attributes = raster.variable.data.attrs
    dtype = raster.variable.data.dtype
    decoding = None if dtype.kind == "b" else Decoding.of(dtype, attributes)
    flags = () if is_classified(attributes) else np.ravel(attributes.get("flag_values", ()))
    for _, block, values in read_ahead([raster.variable]):
        cells = np.moveaxis(values, (raster.y_axis, raster.x_axis), (-2, -1))
        cells = cells.reshape(cells.shape[-2:])
        spans = block[raster.y_axis], block[raster.x_axis]
        picked = [np.arange(first, own, every) for own in (raster.height, raster.width)]
        inside = [p[(p >= s.start) & (p < s.stop)] for p, s in zip(picked, spans, strict=True)]
        rows, columns = (p - s.start for p, s in zip(inside, spans, strict=True))
        wanted = cells[np.ix_(rows, columns)]
        unpacked = wanted.astype(np.float64) if decoding is None else decoding.decode(wanted)
        unpacked[np.isin(wanted, flags)] = np.nan  # among measured values they say why none is
        places = [(p - first) // every for p in inside]
        out[np.ix_(*places)] = unpacked
        step(values.nbytes)
    out = out[::-1] if raster.step[1] > 0 else out
    return out[:, ::-1] if raster.step[0] < 0 else out


def _with_legend(field: Field, colours: Ramp | Classes, title: str, raster: Raster) -> "Image":
    """The map below its title, with its edges, above what the colours mean."""
    from PIL import Image, ImageDraw

    attributes = raster.variable.data.attrs
    name = str(attributes.get("long_name", name_of(raster.variable.planned.path)))
    cells = plain_image(field, colours, transparent=True)
    times = max(1, -(-_NARROWEST // cells.width))
    cells = cells.resize((cells.width * times, cells.height * times), Image.Resampling.NEAREST)
    entries = len(colours.names) if isinstance(colours, Classes) else 0
    legend = _LINE * -(-entries // 3) if entries else _BAR + _LINE
    width = max(cells.width, _NARROWEST) + 2 * _MARGIN
    top = _MARGIN + 2 * _LINE
    page = Image.new("RGB", (width, top + cells.height + 3 * _MARGIN + _LINE + legend), _PAPER)
    left = (width - cells.width) // 2
    # Missing cells are grey, so that nobody takes them for values.
    page.paste((225, 225, 225), (left, top, left + cells.width, top + cells.height))
    page.paste(cells, (left, top), cells)
    pen = ImageDraw.Draw(page)
    _write(pen, (_MARGIN, _MARGIN), name, 17, width=width - 2 * _MARGIN)
    _write(pen, (_MARGIN, _MARGIN + _LINE), title, 13, _FAINT, width - 2 * _MARGIN)
    pen.rectangle((left - 1, top - 1, left + cells.width, top + cells.height), outline=_FAINT)
    below = top + cells.height + 4
    _write(pen, (left, below), _edges(raster), 12, _FAINT, width - 2 * _MARGIN)
    below += _LINE
    if isinstance(colours, Classes):
        _draw_classes(pen, colours, below, width)
    else:
        page.paste(_bar(colours, width - 2 * _MARGIN), (_MARGIN, below))
        _draw_scale(pen, colours, below + _BAR + 2, width, str(attributes.get("units", "")))
    return page


def _edges(raster: Raster) -> str:
    """Where the map lies, in the words and units of its reference system."""
    from pyproj import CRS

    crs = CRS.from_user_input(raster.crs)
    low_x, low_y, high_x, high_y = raster.bounds
    if crs.is_geographic and raster.crs == DEGREES:
        return f"longitude {low_x:.6g}° to {high_x:.6g}°, latitude {low_y:.6g}° to {high_y:.6g}°"
    units = {"metre": "m", "degree": "°"}.get(crs.axis_info[0].unit_name, "")
    named = "" if crs.name.lower() in ("unknown", "undefined") else f" ({crs.name})"
    return (
        f"x {low_x:,.7g} to {high_x:,.7g} {units}, y {low_y:,.7g} to {high_y:,.7g} {units}{named}"
    )


def _bar(colours: Ramp, width: int) -> "Image":
    along = np.linspace(colours.low, colours.high, width, dtype=np.float32)
    row: Field = np.broadcast_to(along, (_BAR, width)).copy()
    return plain_image(row, colours, transparent=False)


def _draw_scale(pen: "ImageDraw", colours: Ramp, top: int, width: int, units: str) -> None:
    middle = (colours.low + colours.high) / 2
    texts = (f"{colours.low:.5g} or less", f"{middle:.5g} {units}", f"{colours.high:.5g} or more")
    for text, anchor, x in zip(
        texts, ("la", "ma", "ra"), (_MARGIN, width // 2, width - _MARGIN), strict=True
    ):
        pen.text((x, top), text, _INK, _font(13), anchor=anchor)


def _draw_classes(pen: "ImageDraw", colours: Classes, top: int, width: int) -> None:
    column = (width - 2 * _MARGIN) // 3
    for number, name in enumerate(colours.names):
        x, y = _MARGIN + number % 3 * column, top + number // 3 * _LINE
        pen.rectangle((x, y + 2, x + 12, y + 14), fill=colours.colour(number))
        _write(pen, (x + 18, y), name.replace("_", " "), 13, width=column - 24)


def _write(  # noqa: PLR0913, PLR0917  where, what and how
    pen: "ImageDraw", place: tuple[int, int], text: str, size: int,
    ink: tuple[int, int, int] = _INK, width: int = _WIDEST,
) -> None:  # fmt: skip
    """Write a line, cut off where it would leave its place."""
    font = _font(size)
    while len(text) > 4 and pen.textlength(text, font) > width:
        text = f"{text.removesuffix('...')[:-1]}..."
    pen.text(place, text, ink, font)


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)
