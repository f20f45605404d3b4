"""Which editions of its granules a repository described, on a branch that readers never open.

In the commits of the branch that they do open, it would make every opening slower.
"""

from typing import Any

import icechunk
import zarr

from harmony_vds.building.replaced import SEEN, Editions

_BRANCH = "harmony-vds-described"


def editions_of(repository: icechunk.Repository) -> Editions:
    """The editions that are known, by what stands for their URLs. **Reads:** metadata."""
    if _BRANCH not in repository.list_branches():
        return {}
    root = zarr.open_group(repository.readonly_session(_BRANCH).store, mode="r", zarr_format=3)
    told: Any = root.attrs.get(SEEN, {})
    return told if isinstance(told, dict) else {}


def keep_editions(repository: icechunk.Repository, seen: Editions) -> None:
    """Add to the editions that are known, in a commit of their own.

    It comes before the commit that describes them: where that fails, nothing refers to them.

    **Reads:** metadata.
    """
    known = editions_of(repository)
    if _BRANCH not in repository.list_branches():
        *_, empty = repository.ancestry(branch="main")
        repository.create_branch(_BRANCH, empty.id)
    session = repository.writable_session(_BRANCH)
    root = zarr.open_group(session.store, mode="a", zarr_format=3)
    root.attrs[SEEN] = {**known, **seen}
    if session.has_uncommitted_changes:
        session.commit("Editions of granules")
