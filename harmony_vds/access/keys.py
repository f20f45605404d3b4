"""Temporary S3 credentials: exchanged for the user's token, kept while they are good.

A data centre's endpoint gives them for about an hour. They are asked for once however many chunks
wait for them, renewed well before they end, and once more where S3 refuses them before that.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import uuid4
from weakref import WeakValueDictionary

import msgspec

from harmony_vds.access.answers import host_path
from harmony_vds.access.http import HttpClient
from harmony_vds.access.loop import run
from harmony_vds.access.turns import Turns
from harmony_vds.errors import ForbiddenError, UpstreamError
from harmony_vds.telemetry import keep_secret

logger = logging.getLogger(__name__)

_ANSWER_LIMIT = 2**16
_LONGEST_MARGIN = timedelta(minutes=5)
_DISTRUSTED = timedelta(minutes=1)
"""How long keys are used that, by this machine's clock, had ended when they were given."""


@dataclass(frozen=True, repr=False)
class S3Keys:
    """Temporary credentials for S3; never printed or pickled."""

    access_key_id: str
    """Names the keys."""
    secret_access_key: str
    """Signs requests; never sent."""
    session_token: str
    """Goes with every request."""
    expires: datetime
    """When they end, UTC."""
    renew: datetime
    """When to ask for new ones, UTC."""

    def __repr__(self) -> str:
        return "S3Keys(<redacted>)"

    def __reduce__(self) -> str:
        raise TypeError("S3 credentials are not written anywhere; a worker asks for its own.")


class _Answer(msgspec.Struct, rename="camel"):
    access_key_id: str
    secret_access_key: str
    session_token: str
    expiration: str


def keys_of_answer(body: bytes, endpoint: str, now: datetime) -> S3Keys:
    """The keys in the answer of a credentials endpoint.

    Parameters
    ----------
    body
        JSON with `accessKeyId`, `secretAccessKey`, `sessionToken` and `expiration`, the last as
        ``2025-12-15T14:30:45.123456Z`` or ``2025-12-15 14:30:45+00:00``.
    endpoint
        Who answered, for the error.
    now
        The moment it was asked, UTC.

    Raises
    ------
    UpstreamError
        The answer has another form; nothing of it is told.

    **Reads:** nothing.
    """
    try:
        answer = msgspec.json.decode(body, type=_Answer)
        told = datetime.fromisoformat(answer.expiration)
    except (msgspec.DecodeError, ValueError):
        raise UpstreamError(
            f"{host_path(endpoint)} answered with something other than temporary S3 credentials."
        ) from None
    expires = told.replace(tzinfo=UTC) if told.tzinfo is None else told.astimezone(UTC)
    if expires <= now:
        expires = now + _DISTRUSTED
    renew = expires - min(_LONGEST_MARGIN, (expires - now) / 3)
    keep_secret(answer.secret_access_key)
    keep_secret(answer.session_token)
    return S3Keys(
        answer.access_key_id, answer.secret_access_key, answer.session_token, expires, renew
    )


@dataclass
class KeyRing:
    """The keys of one user, by the endpoint that gave them; used on the network loop."""

    http: HttpClient
    """Asks the endpoints; knows the user's token and who may have it."""
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC), repr=False)
    """Tells the moment, UTC."""
    _held: dict[str, S3Keys] = field(default_factory=dict, repr=False)
    _spared: dict[str, datetime] = field(default_factory=dict, repr=False)
    """Endpoints that could not renew keys, and until when those held serve without asking again."""
    _asking: Turns = field(
        default_factory=lambda: Turns((UpstreamError, ForbiddenError)), repr=False
    )
    _name: str = field(default_factory=lambda: uuid4().hex, repr=False)

    def __post_init__(self) -> None:
        _rings[self._name] = self

    def serves(self, endpoint: str | None) -> bool:
        """Whether `endpoint` may be asked: whether it may have the token. **Reads:** nothing."""
        return endpoint is not None and self.http.credentials.may_go_to(endpoint)

    async def keys(self, endpoint: str, spent: S3Keys | None = None) -> S3Keys:
        """Good keys from `endpoint`, others than `spent`.

        Parameters
        ----------
        endpoint
            URL of a credentials endpoint.
        spent
            Keys that S3 refused although their time is not over.

        Raises
        ------
        ForbiddenError
            The endpoint refuses the token, or there is none; the text carries the place where an
            agreement is accepted.
        UpstreamError
            The endpoint is in trouble.

        **Reads:** metadata.
        """
        while True:
            held = self._held.get(endpoint)
            if held is spent:
                held = None
            if held is not None and self._serves_on(endpoint, held):
                return held
            given = await self._asking.first(endpoint, partial(self._renewed, endpoint, held))
            if given is not None:
                return given

    def _serves_on(self, endpoint: str, held: S3Keys) -> bool:
        now = self.clock()
        return now < held.renew or now < self._spared.get(endpoint, now)

    async def _renewed(self, endpoint: str, held: S3Keys | None) -> S3Keys:
        """New keys; those that are `held` while the endpoint is in trouble and they still serve."""
        now = self.clock()
        try:
            body = await self.http.exchange(endpoint, _ANSWER_LIMIT)
            fresh = keys_of_answer(body, endpoint, now)
        except UpstreamError as error:
            if held is None or now >= held.expires:
                raise
            logger.warning("S3 credentials are not renewed yet: %s", error)
            # Each further read would wait for the endpoint, too, though the keys still serve.
            self._spared[endpoint] = now + (held.expires - now) / 4
            return held
        logger.info(
            "%s gave S3 credentials until %s", host_path(endpoint), f"{fresh.expires:%H:%M:%SZ}"
        )
        self._held[endpoint] = fresh
        return fresh

    def source(self, endpoint: str) -> Callable[[], S3Keys]:
        """A function that gives good keys to readers on other threads.

        It may be pickled, as icechunk demands: what is written is a name that means something in
        this process only. **Reads:** nothing.
        """
        return KeySource(self._name, endpoint)


@dataclass(frozen=True)
class KeySource:
    """Gives keys of a ring of this process, which it names."""

    ring: str
    """Name of the ring."""
    endpoint: str
    """Who gives the keys."""

    def __call__(self) -> S3Keys:
        """Good keys; errors as `KeyRing.keys`. **Reads:** metadata."""
        ring = _rings.get(self.ring)
        if ring is None:
            raise ForbiddenError("The credentials of this store are closed; open it anew.")
        return run(ring.keys(self.endpoint))


_rings: WeakValueDictionary[str, KeyRing] = WeakValueDictionary()
