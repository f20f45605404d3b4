"""Earthdata Login: from a user name and password to a bearer token."""

import base64
import netrc
import os
from urllib.parse import urlsplit

import aiohttp
import msgspec

from harmony_vds.access.loop import run
from harmony_vds.errors import ForbiddenError, SettingsError, UpstreamError
from harmony_vds.telemetry import keep_secret


class _Token(msgspec.Struct):
    access_token: str


def token_of_user(oauth_host: str) -> str | None:
    """The user's Earthdata token; None if there is neither of its two sources.

    These are ``EARTHDATA_TOKEN`` and the login in ``.netrc``, for which Earthdata Login issues one.

    Parameters
    ----------
    oauth_host
        Root URL of Earthdata Login; the password goes nowhere else.

    Raises
    ------
    ForbiddenError
        Earthdata Login refuses the login.
    SettingsError
        ``.netrc`` cannot be understood.
    UpstreamError
        It does not answer.

    **Reads:** metadata.
    """
    if token := os.environ.get("EARTHDATA_TOKEN"):
        return token
    login = _netrc_login(urlsplit(oauth_host).hostname or "")
    return None if login is None else run(_issue(oauth_host.rstrip("/"), *login))


def _netrc_login(host: str) -> tuple[str, str] | None:
    try:
        found = netrc.netrc(os.environ.get("NETRC")).authenticators(host)
    except OSError:
        return None
    except netrc.NetrcParseError as error:  # its own text may quote a password
        raise SettingsError(
            f"The file {error.filename} cannot be used as .netrc: line {error.lineno} is not "
            "understood, or others may read the file."
        ) from None
    if found is None or not found[2]:
        return None
    keep_secret(found[2])
    return found[0], found[2]


async def _issue(root: str, user: str, password: str) -> str:
    """The token that Earthdata Login gives for a name and a password."""
    url = f"{root}/api/users/find_or_create_token"
    sealed = base64.b64encode(f"{user}:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {sealed}"}
    timeout = aiohttp.ClientTimeout(total=30)
    try:
        async with (
            aiohttp.ClientSession(headers=headers, timeout=timeout) as session,
            session.post(url, allow_redirects=False) as answer,
        ):
            if answer.status in (401, 403):
                raise ForbiddenError(f"{root} refuses the login of {user!r} in .netrc.")
            if answer.status != 200:
                raise UpstreamError(f"{root} answered with status {answer.status}.")
            return msgspec.json.decode(await answer.read(), type=_Token).access_token
    except (
        aiohttp.ClientError, TimeoutError, msgspec.DecodeError, UnicodeDecodeError,
    ) as error:  # fmt: skip
        raise UpstreamError(f"{root} gave no token ({type(error).__name__}).") from None
