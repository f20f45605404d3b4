"""A collection as it is published: its record in CMR, its manifest and its granules on servers.

A system's test writes granules with netCDF4 or h5py, has VirtualiZarr, kerchunk or icechunk write
the store, and asks the service as Harmony does: a fresh process and a message. Figures come from
``layouts.toml``.
"""

import contextlib
import copy
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from archive import Archive
from invocation import Outcome, invoke, make_message
from servers import Server, cmr_server, file_server
from world import umm_collection

CONCEPT = "C1234567890-TEST"
LAYOUTS: dict[str, dict[str, Any]] = tomllib.loads(
    (Path(__file__).parent / "layouts.toml").read_text()
)


@dataclass
class Publication:
    """Everything that a request needs, and what the servers were asked."""

    cmr: Server
    archive: Server
    """Serves `root` by range."""
    root: Path
    records: dict[str, dict[str, Any]]
    """CMR's items by concept id; what is changed here is answered at once."""
    environment: dict[str, str] = field(default_factory=dict)

    def publish(self, *hrefs: str, **more: Any) -> None:
        """Name stores in the collection's record, in the form that real records use."""
        record = self.records[CONCEPT]["umm"]
        record.setdefault("RelatedUrls", []).extend(
            {"URL": f" {href} ", "URLContentType": "DistributionURL", "Type": "GET DATA",
             "Subtype": "VIRTUAL COLLECTION", "Description": "Virtual data set reference"}
            for href in hrefs
        )  # fmt: skip
        record.update(more)

    def url(self, path: Path) -> str:
        """Where a file below `root` is served."""
        return f"{self.archive.url}/{path.relative_to(self.root)}"

    def invoke(self, folder: Path, variables: Sequence[str] | None = None, **asked: Any) -> Outcome:
        """Ask the service as Harmony does; `asked` as in `make_message`."""
        sources = asked.pop("stac", "")
        names = None if variables is None else list(variables)
        message = make_message(CONCEPT, variables=names, **asked)
        folder.mkdir(parents=True, exist_ok=True)
        return invoke(message, folder, environment=self.environment, sources=sources)


@contextlib.contextmanager
def publishing(
    root: Path, record: Mapping[str, Any] | None = None, *,
    short_name: str = "DEMO", **settings: str,
) -> Iterator[Publication]:  # fmt: skip
    """Serve what lies below `root`, and `record` as the collection's.

    Stores are written while it runs, since their references name the server; then
    `Publication.publish` puts their addresses into the record.
    """
    records: dict[str, dict[str, Any]] = {}
    item = dict(record) if record else umm_collection(CONCEPT, [], short_name)
    records[CONCEPT] = copy.deepcopy(item)
    records[CONCEPT]["meta"]["concept-id"] = CONCEPT
    with cmr_server(records) as cmr, file_server(root) as archive:
        environment = {
            "CMR_ENDPOINT": cmr.url,
            "HARMONY_VDS_TRUSTED_PREFIXES": f"{archive.url}/",
            **settings,
        }
        yield Publication(cmr, archive, root, records, environment)


def lengthened(
    document: Mapping[str, Any], variables: Sequence[str], files: int, steps: int
) -> dict[str, Any]:
    """A kerchunk document of `files` granules, one step each, repeated to `steps`.

    Step n of `variables` has the references of step ``n % files``; their other dimensions stay.
    Coordinates along the lengthened axis are the caller's.
    """
    refs = {key: own for key, own in document["refs"].items()
            if key.partition("/")[0] not in variables}  # fmt: skip
    for name in variables:
        array = json.loads(document["refs"][f"{name}/.zarray"])
        array["shape"][0] = steps
        refs[f"{name}/.zarray"] = json.dumps(array)
        refs[f"{name}/.zattrs"] = document["refs"][f"{name}/.zattrs"]
        own: list[list[tuple[str, Any]]] = [[] for _ in range(files)]
        for key, place in document["refs"].items():
            head, _, numbers = key.partition("/")
            if head == name and not numbers.startswith("."):
                step, _, rest = numbers.partition(".")
                own[int(step)].append((rest, place))
        for step in range(steps):
            for rest, place in own[step % files]:
                refs[f"{name}/{step}.{rest}" if rest else f"{name}/{step}"] = place
    return {"version": 1, "refs": refs}


def lengthened_dataset(
    dataset: Any, replaced: Mapping[str, Any], *,
    dimension: str = "time", written: np.ndarray | None = None,
) -> Any:  # fmt: skip
    """A virtual dataset of VirtualiZarr with its steps repeated to the length of an axis.

    Step n has the references of step ``n % steps``.

    Parameters
    ----------
    dataset
        Its virtual variables have `dimension` first, in chunks of one step.
    replaced
        Loaded variables in place of its own, by name; `dimension` tells the new length.
    written
        Which steps have references; all, if None. The others stay slots of fill.
    """
    from virtualizarr.manifests import ChunkManifest, ManifestArray
    from virtualizarr.manifests.utils import copy_and_replace_metadata

    steps = replaced[dimension].size

    def longer(variable: Any) -> Any:
        array = variable.data
        chunks = array.metadata.chunk_grid.chunk_shape
        assert (variable.dims[0], chunks[0]) == (dimension, 1)
        own, rows = array.manifest, np.arange(steps) % array.shape[0]
        columns = [own._paths[rows], own._offsets[rows], own._lengths[rows]]
        if written is not None:
            for column, nothing in zip(columns, ("", 0, 0), strict=True):
                column[~written] = nothing
        metadata = copy_and_replace_metadata(
            array.metadata, new_shape=[steps, *array.shape[1:]], new_chunks=list(chunks)
        )
        paths, offsets, lengths = columns
        manifest = ChunkManifest.from_arrays(
            paths=paths, offsets=offsets, lengths=lengths, validate_paths=False
        )
        return variable._replace(data=ManifestArray(metadata, manifest))

    own = {
        name: longer(variable) if dimension in variable.dims else variable
        for name, variable in dataset.variables.items()
        if name not in replaced
    }
    return type(dataset)({**own, **replaced}, attrs=dataset.attrs)


def protected(publication: Publication, centre: Archive, *prefixes: str) -> None:
    """Let the record say that `prefixes` are protected, and where `centre` gives credentials."""
    publication.publish(DirectDistributionInformation={
        "Region": "us-west-2",
        "S3BucketAndObjectPrefixNames": [own.removeprefix("s3://") for own in prefixes],
        "S3CredentialsAPIEndpoint": centre.endpoint,
        "S3CredentialsAPIDocumentationURL": f"{centre.tea.url}/s3credentialsREADME",
    })  # fmt: skip
    publication.environment.update({
        "HARMONY_VDS_S3_ENDPOINT_URL": centre.s3.url,
        "HARMONY_VDS_TRUSTED_PREFIXES": f"{centre.tea.url}/,{publication.archive.url}/",
        "HARMONY_VDS_TOKEN_HOSTS": centre.tea.url,
    })  # fmt: skip
