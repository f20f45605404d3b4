"""The front door: a Harmony work item in, staged outputs and their STAC catalogue out.

Harmony calls without an input catalogue where the service's chain has no query-cmr step: one work
item asks for one or more whole collections, and the service finds their stores in CMR itself. After
query-cmr the catalogue's items are the granules to answer for.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pystac
from harmony_service_lib.adapter import BaseHarmonyAdapter
from harmony_service_lib.exceptions import (
    HarmonyException,
    NoDataException,
    NoRetryException,
    ServerException,
)
from harmony_service_lib.message import Message

from harmony_vds.errors import ErrorGroup, VdsError
from harmony_vds.items import granules_of, items_below, read_catalog
from harmony_vds.message import request_from_message
from harmony_vds.model.request import Request
from harmony_vds.stopping import work_folder
from harmony_vds.telemetry import redact

if TYPE_CHECKING:
    from harmony_vds.prepared import Prepared
    from harmony_vds.services import Services

logger = logging.getLogger(__name__)

_LONGEST_MESSAGE = 990


class VirtualStoreAdapter(BaseHarmonyAdapter):  # type: ignore[misc]
    """Answers Harmony's invocations; all work happens in `invoke`, where errors reach the user."""

    def __init__(
        self, message: Message, catalog: pystac.Catalog | None = None, config: Any = None,
        sources: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message, catalog, config)
        self._sources = sources
        """Where the catalogue of inputs is to be read from, if there is one."""

    def invoke(self) -> tuple[Message, pystac.Catalog | list[pystac.Catalog]]:
        """The message and a catalogue with one item per output, or one per Part.

        **Reads:** chunks, or coordinates in a step that only plans.
        """
        with as_harmony_exceptions():
            request = request_from_message(self.message)
            # Imported here: a message without work must fail fast, and these imports are heavy.
            from harmony_vds.access.credentials import Credentials
            from harmony_vds.catalog import output_catalog
            from harmony_vds.delivery import deliver
            from harmony_vds.handoff import only_plans, part_catalogs
            from harmony_vds.services import Services
            from harmony_vds.settings import settings_from_environment
            from harmony_vds.staging import check_location
            from harmony_vds.uploads import upload_reader

            settings = settings_from_environment()
            check_location(self.message.stagingLocation)
            credentials = Credentials.of_token(self.message.accessToken, settings.token_hosts)
            location, request_id = self.message.stagingLocation, str(self.message.requestId)
            uploads = upload_reader(self.config)
            with Services.of(settings, credentials, uploads) as services, work_folder() as workdir:
                apart = only_plans(self.message)
                prepared = self._prepared(request, services, workdir, apart=apart)
                if apart:
                    return self.message, part_catalogs(
                        prepared, workdir, location, self.config, request_id
                    )
                staged = deliver(prepared, services, location, self.config)
            plans = [prepared[own.output.plan_number].plan for own in staged]
            return self.message, output_catalog(staged, plans, request_id)

    def _prepared(
        self, request: Request, services: "Services", workdir: Path, *, apart: bool
    ) -> "list[Prepared]":
        """The plans, made now or by the step before. **Reads:** coordinates."""
        from harmony_vds.handoff import parts_of, pin_clock
        from harmony_vds.pipeline import prepare, prepare_part

        catalog = read_catalog(self._sources) if self._sources else self.catalog
        if catalog is None:
            logger.info(
                "Answering for whole collections: granule ids, granule names and maxResults "
                "do not reach this service"
            )
            return prepare(request, services, apart=apart)
        items = list(items_below(catalog))
        parts = parts_of(items, workdir, self.config)
        if parts:
            pin_clock(parts)
            return [prepare_part(own, services) for own in parts]
        granules = granules_of(items, [own.collection for own in request.sources])
        logger.info("Answering for %d selected granules", len(granules))
        return prepare(replace(request, granules=granules), services, apart=apart)


@contextmanager
def as_harmony_exceptions() -> Iterator[None]:
    """Turn any exception of the body into one that Harmony shows and treats as it should.

    Raises
    ------
    HarmonyException
        Category ``NoRetry`` for what will fail again, ``NoData`` (a warning) for an empty region,
        ``Server`` for trouble elsewhere, ``Service`` for a defect of this service. One line under
        1,000 characters, without secrets.

    **Reads:** nothing.
    """
    try:
        yield
    except HarmonyException:
        raise
    except VdsError as error:
        text = one_line(str(error))
        if error.group is ErrorGroup.NO_DATA:
            raise NoDataException(text) from error
        if error.group is ErrorGroup.UPSTREAM:
            raise ServerException(text) from error
        raise NoRetryException(text) from error
    except Exception as error:  # Harmony must hear of a defect, too, and of which
        logger.exception("Unexpected error")
        raise HarmonyException(
            one_line(
                f"The virtual store service failed unexpectedly ({type(error).__name__}: {error}). "
                "This is a defect of the service, not of the request; report it with the job id."
            )
        ) from error


def one_line(text: str) -> str:
    """`text` on one line, redacted, under 1,000 characters. **Reads:** nothing."""
    line = " ".join(redact(text).split())
    return line if len(line) <= _LONGEST_MESSAGE else f"{line[: _LONGEST_MESSAGE - 1]}…"
