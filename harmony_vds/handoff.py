"""Hands Parts from one step of a Harmony chain to the next: Part ↔ STAC item.

The first step only plans. It returns one flat catalogue per Part, so that Harmony makes a work item
of each for the next step; each item's data asset is the Part as a JSON document. A document is
sealed with the secret that both steps share, since it says where bytes may be read, as the records
of the collection said it before: what was not written by this service is not obeyed.
"""

import hashlib
import hmac
import logging
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import pystac
from harmony_service_lib.message import Message
from harmony_service_lib.util import download

from harmony_vds.bucket import TROUBLE
from harmony_vds.catalog import output_catalog
from harmony_vds.errors import RequestError, StoreError, UpstreamError
from harmony_vds.model.extent import WORLD, TimeRange
from harmony_vds.model.output import Output
from harmony_vds.model.part import Part
from harmony_vds.model.record import unsigned, without_queries
from harmony_vds.model.store import without_query
from harmony_vds.outputs.provenance import now
from harmony_vds.prepared import Prepared
from harmony_vds.staging import output_name, stage

logger = logging.getLogger(__name__)

PART_TYPE = "application/vnd.harmony-vds.part+json"
ROLE = "virtual_store_step"
"""The entry of a step's ``extra_args`` that tells what the step is for."""
_AT_ONCE = 8


class _Sealed(msgspec.Struct):
    part: msgspec.Raw
    seal: str


def only_plans(message: Message) -> bool:
    """Whether `message` is for the first step of the chain that cuts into Parts.

    Raises
    ------
    RequestError
        The step's ``extra_args`` name another role.

    **Reads:** nothing.
    """
    role = (message.data.get("extraArgs") or {}).get(ROLE)
    if role not in (None, "plan"):
        raise RequestError(
            f"The step's extra_args have {ROLE}: {role!r}; it should be 'plan', or not be there."
        )
    return role == "plan"


def part_catalogs(
    prepared: Sequence[Prepared], workdir: Path, location: str, config: Any, request_id: str
) -> list[pystac.Catalog]:
    """One flat catalogue per Part, whose one item leads to its document at `location`.

    Raises
    ------
    StoreError, RequestError
        The store's or the shape's address has a query: what may be a signature is not written down.
    SettingsError, UpstreamError
        As `stage`.

    **Reads:** nothing.
    """
    for own in prepared:
        _refuse_queries(_part_of(own))
    documents = [_written(own, workdir, config.shared_secret_key) for own in prepared]
    names: list[str] = []
    for own, document in zip(prepared, documents, strict=True):
        names.append(output_name(own.source, own.plan, document, names, own.label))

    def put(number: int) -> pystac.Catalog:
        staged = stage([documents[number]], [names[number]], location, config)
        return output_catalog(staged, [prepared[number].plan], f"{request_id}-{number}")

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="harmony-vds-parts") as pool:
        return list(pool.map(put, range(len(prepared))))


def _refuse_queries(part: Part) -> None:
    if any(own.location.carries_query for own in (part, *part.members)):
        raise StoreError(
            f"Parts of {part.location.shown} are not handed on: the address of the store has a "
            "query, which may be a signature, and would stand in their documents. Ask the service "
            "whose one step plans and writes, or name the store by an address without a query, in "
            "the collection's record or in HARMONY_VDS_COLLECTIONS_FILE."
        )
    shape = part.request.shape
    is_address = isinstance(shape, str) and not shape.lstrip().startswith("{")
    if is_address and without_query(str(shape)) != shape:
        raise RequestError(
            f"Parts cut by the shape {without_query(str(shape))} are not handed on: its address "
            "has a query, which may be a signature, and would stand in their documents. Upload "
            "the shape with the request, or give its address without a query."
        )


def _part_of(prepared: Prepared) -> Part:
    assert prepared.part is not None
    return _unsigned(replace(prepared.part, moment=int(now().timestamp())))


def _unsigned(part: Part) -> Part:
    """Without the queries of addresses that nothing is read from any more."""
    return replace(
        part, request=without_queries(part.request), source=unsigned(part.source),
        members=tuple(map(_unsigned, part.members)),
    )  # fmt: skip


def pin_clock(parts: Sequence[Part]) -> None:
    """Have outputs tell the moment at which `parts` were planned: each attempt writes equal bytes.

    **Reads:** nothing.
    """
    if parts:
        os.environ.setdefault("SOURCE_DATE_EPOCH", str(parts[0].moment))


def _written(prepared: Prepared, workdir: Path, secret: str) -> Output:
    plan, part = prepared.plan, _part_of(prepared)
    content = sealed(part, secret)
    folder = workdir / str(len(list(workdir.iterdir())))
    folder.mkdir()
    (folder / "part.json").write_bytes(content)
    return Output(
        folder / "part.json", PART_TYPE, plan.bbox() or prepared.notes.bbox or WORLD,
        plan.coverage or TimeRange(prepared.notes.start, prepared.notes.end), len(content),
        hashlib.sha256(content).hexdigest(), plan.cost.missing,
        f"Part {part.index + 1} of {part.of}",
    )  # fmt: skip


def parts_of(items: Iterable[pystac.Item], workdir: Path, config: Any) -> tuple[Part, ...]:
    """The Parts among `items`; none where the items are granules.

    Raises
    ------
    RequestError
        A document is none of this service's.
    UpstreamError
        A document cannot be fetched.

    **Reads:** nothing of any archive.
    """
    found = []
    for item in items:
        asset = item.assets.get("data")
        if asset is not None and asset.media_type == PART_TYPE:
            content = _content(asset.get_absolute_href() or asset.href, workdir, config)
            found.append(unsealed(content, config.shared_secret_key))
    return tuple(found)


def _content(href: str, workdir: Path, config: Any) -> bytes:
    """What one step put for the next: in S3, or in a folder where a chain is run by hand."""
    try:
        if not href.startswith("s3://"):
            path = unquote(urlsplit(href).path) if href.startswith("file:") else href
            return Path(path).read_bytes()
        return Path(download(href, str(workdir), logger=logger, cfg=config)).read_bytes()
    except TROUBLE as error:
        raise UpstreamError(
            "A part could not be fetched from where the step before put it "
            f"({type(error).__name__})."
        ) from error


def sealed(part: Part, secret: str) -> bytes:
    """`part` as a JSON document: the same bytes for equal Parts. **Reads:** nothing."""
    content = msgspec.json.encode(part)
    return msgspec.json.encode(_Sealed(msgspec.Raw(content), _seal(content, secret)))


def unsealed(document: bytes, secret: str) -> Part:
    """The Part of a document that was `sealed` with `secret`.

    Raises
    ------
    RequestError
        It was not, or has another form.

    **Reads:** nothing.
    """
    try:
        held = msgspec.json.decode(document, type=_Sealed)
        content = bytes(held.part)
        if hmac.compare_digest(held.seal, _seal(content, secret)):
            return msgspec.json.decode(content, type=Part)
    except msgspec.DecodeError as error:
        logger.info("A part was not understood: %s", error)
    raise RequestError(
        "The part that this step was given is none that the step before it planned, or was planned "
        "by another version of this service. Order again."
    )


def _seal(content: bytes, secret: str) -> str:
    return hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()
