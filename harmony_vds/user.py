"""What a person at a terminal or in a notebook brings: a login, and trust in what they name."""

from collections.abc import Sequence
from pathlib import Path

from harmony_vds.access.credentials import Credentials
from harmony_vds.access.login import token_of_user
from harmony_vds.settings import Settings


def as_url(store: str) -> str:
    """The URL of a store, which people may name by its path. **Reads:** nothing."""
    return store if "://" in store else Path(store).resolve().as_uri()


def is_concept_id(text: str) -> bool:
    """Whether `text` looks like ``C1996881146-POCLOUD``. **Reads:** nothing."""
    number, _, provider = text.removeprefix("C").partition("-")
    return text.startswith("C") and number.isdigit() and provider.replace("_", "").isalnum()


def trusting(settings: Settings, store: str | None, trusted: Sequence[str]) -> Settings:
    """Settings of who runs the command: its operator, so a local store named on it is trusted.

    **Reads:** nothing.
    """
    url = as_url(store) if store else ""
    own = [url] if url.startswith("file:") else []
    prefixes = (*settings.trusted_prefixes, *own, *(as_url(prefix) for prefix in trusted))
    return settings.model_copy(update={"trusted_prefixes": prefixes})


def credentials_of_user(settings: Settings) -> Credentials:
    """The Earthdata token of ``EARTHDATA_TOKEN`` or ``.netrc``, looked up when first needed.

    **Reads:** nothing.
    """
    return Credentials.of_source(lambda: token_of_user(settings.oauth_host), settings.token_hosts)
