"""Writes the STAC item that lies beside an output, and names what else lies there.

Harmony makes a link of whatever its own catalogue lists and takes the role from the media type, so
the item is told there as ``application/json``, for which that is ``metadata``, and a picture is an
``overview``. Its data asset is the output, by a relative link, so that a copied folder stays whole.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pystac import Asset, Link

from harmony_vds.catalog import output_item
from harmony_vds.model.output import Output
from harmony_vds.model.plan import Plan
from harmony_vds.outputs.stac import CUBE, PROCESSING, PROJECTION, SCIENTIFIC
from harmony_vds.staging import StagedOutput

ITEM, BROWSE = ".stac.json", ".browse.png"
"""What the names of what lies beside an output end in."""
MEDIA_TYPES = {ITEM: "application/json", BROWSE: "image/png"}
_EXTENSIONS = {"cube:": CUBE, "processing:": PROCESSING, "proj:": PROJECTION, "sci:": SCIENTIFIC}


def names_beside(name: str) -> Mapping[str, str]:
    """Ending → name of what may lie beside the output `name`. **Reads:** nothing."""
    return {ending: f"{name}{ending}" for ending in (BROWSE, ITEM)}


def files_beside(output: Output, name: str, plan: Plan) -> list[tuple[Output, str]]:
    """The files that go beside `output`, written where it lies, and their names.

    The picture comes first, since the item names it. **Reads:** nothing.
    """
    named, found = names_beside(name), []
    if output.browse is not None:
        found.append((_as_file(output, output.browse, MEDIA_TYPES[BROWSE]), named[BROWSE]))
    if output.described:
        path = output.path.parent / f"{output.path.name}{ITEM}"
        document = item_document(output, name, plan, found)
        path.write_text(json.dumps(document, indent=2, sort_keys=True, allow_nan=False))
        found.append((_as_file(output, path, MEDIA_TYPES[ITEM]), named[ITEM]))
    return found


def item_document(
    output: Output, name: str, plan: Plan, pictures: Sequence[tuple[Output, str]] = ()
) -> dict[str, Any]:
    """The STAC item of `output` in full. **Reads:** nothing."""
    item = output_item(StagedOutput(name, f"./{name}", output), plan)
    item.properties.update(output.described)
    item.stac_extensions += [
        schema
        for prefix, schema in _EXTENSIONS.items()
        if any(own.startswith(prefix) for own in item.properties)
    ]
    for own, beside in pictures:
        extra = {"file:size": own.nbytes, "file:checksum": f"1220{own.checksum}"}
        item.add_asset(
            "browse",
            Asset(f"./{beside}", beside, media_type=own.media_type, roles=["overview"],
                  extra_fields=extra),
        )  # fmt: skip
    item.add_link(Link("derived_from", plan.location.shown, title="The virtual store"))
    if output.licence:
        item.add_link(Link("license", output.licence))
    if doi := output.described.get("sci:doi"):
        item.add_link(Link("cite-as", f"https://doi.org/{doi}"))
    return item.to_dict(include_self_link=False, transform_hrefs=False)


def _as_file(output: Output, path: Path, media_type: str) -> Output:
    body = path.read_bytes()
    return replace(
        output, path=path, media_type=media_type, nbytes=len(body),
        checksum=hashlib.sha256(body).hexdigest(), missing=0,
    )  # fmt: skip
