"""What is put beside an output by setting: a description in STAC, a picture for whoever browses."""

from dataclasses import replace

from harmony_vds.model.output import Output
from harmony_vds.model.plan import Plan
from harmony_vds.model.store import CollectionNotes
from harmony_vds.model.subset import Subset
from harmony_vds.outputs.browse import browse_image
from harmony_vds.outputs.stac import stac_properties


def with_companions(output: Output, subset: Subset, plan: Plan, notes: CollectionNotes) -> Output:
    """`output` with what the layout of `plan` wants beside it. **Reads:** coordinates."""
    wanted = plan.layout.beside
    if wanted in ("stac", "both"):
        described = stac_properties(subset, plan, notes, output.variable)
        output = replace(output, described=described, licence=notes.licence_url)
    if wanted in ("browse", "both"):
        path = output.path.parent / f"{output.path.name}.browse.png"
        drawn = browse_image(output.path, subset, plan, path, output.variable)
        output = replace(output, browse=drawn)
    return output
