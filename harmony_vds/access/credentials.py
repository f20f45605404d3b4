"""The user's Earthdata token: who may receive it, and nothing else ever shows it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import Lock
from urllib.parse import urlsplit

from harmony_vds.access.trust import is_earthdata
from harmony_vds.errors import ForbiddenError
from harmony_vds.telemetry import keep_secret


@dataclass
class Credentials:
    """An Earthdata Login token and the hosts that may receive it; never printed or pickled."""

    source: Callable[[], str | None]
    """Gives the token, or None; called once, when a request first needs it."""
    token_hosts: frozenset[str] = frozenset()
    """Hosts beyond Earthdata's that may receive the token over https."""
    operator_roots: frozenset[str] = frozenset()
    """Exact origins set by the operator, such as CMR's, that may receive it by any scheme."""
    _token: str | None = field(default=None, repr=False)
    _asked: bool = field(default=False, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    @classmethod
    def of_token(
        cls,
        token: str | None,
        token_hosts: Iterable[str] = (),
    ) -> "Credentials":
        """Credentials of a token at hand. **Reads:** nothing.

        Raises
        ------
        ForbiddenError
            It holds what no header may.
        """
        keep_secret(token)
        if token and not token.isprintable():
            raise ForbiddenError("The Earthdata token (accessToken) holds control characters.")
        return cls.of_source(lambda: token, token_hosts)

    @classmethod
    def of_source(
        cls,
        source: Callable[[], str | None],
        token_hosts: Iterable[str] = (),
    ) -> "Credentials":
        """Credentials of a token that is obtained when first needed.

        Parameters
        ----------
        source
            Gives the token, or None.
        token_hosts
            What the operator lists: names of hosts that may receive it over https, or whole
            origins such as ``http://127.0.0.1:8080`` that may receive it as they stand.

        **Reads:** nothing.
        """
        listed = {host.strip().rstrip("/").lower() for host in token_hosts}
        origins = frozenset(host for host in listed if "://" in host)
        return cls(source, frozenset(listed) - origins, origins)

    def also_for(self, root: str) -> "Credentials":
        """The same token, which may also go to the origin of `root`, set by the operator.

        **Reads:** nothing.
        """
        parts = urlsplit(root)
        origin = f"{parts.scheme}://{parts.netloc}".lower()
        return Credentials(self._obtain, self.token_hosts, self.operator_roots | {origin})

    def authorization(self, url: str) -> dict[str, str]:
        """The headers that authorise a request to `url`; empty where the token must not go.

        **Reads:** nothing, or metadata when the token must first be obtained.
        """
        if not self.may_go_to(url):
            return {}
        token = self._obtain()
        return {"Authorization": f"Bearer {token}"} if token else {}

    def may_go_to(self, url: str) -> bool:
        """Whether the token may be sent with a request to `url`. **Reads:** nothing."""
        try:
            parts = urlsplit(url)
        except ValueError:  # such as half of an IPv6 address
            return False
        origin = f"{parts.scheme}://{parts.netloc}".lower()
        # With a port or a user name in it, it is no host that anybody listed.
        host = parts.netloc.lower().removesuffix(":443")
        is_plain = "@" not in host and parts.scheme == "https"
        listed = is_plain and (is_earthdata(host) or host in self.token_hosts)
        return listed or origin in self.operator_roots

    def for_worker(self) -> "WorkerCredentials":
        """These credentials as a value that may be pickled: the one way into another process.

        For workers of the same user and operator, over connections as private as the token is.

        **Reads:** nothing, or metadata when the token must first be obtained.
        """
        return WorkerCredentials(self._obtain(), self.token_hosts, self.operator_roots)

    @property
    def is_obtained(self) -> bool:
        """Whether the source has been asked, so that nothing need be waited for.

        **Reads:** nothing.
        """
        return self._asked

    def _obtain(self) -> str | None:
        with self._lock:
            if not self._asked:
                self._token = self.source() or None
                self._asked = True
                keep_secret(self._token)
            return self._token

    def __repr__(self) -> str:
        return "Credentials(<redacted>)"

    def __reduce__(self) -> str:
        raise TypeError("Credentials are not written anywhere; a worker gets for_worker().")


@dataclass(frozen=True, repr=False)
class WorkerCredentials:
    """A token on its way to a worker process; equal where token and receivers are equal.

    Its pickle holds the token in plain, and nothing else of it does.
    """

    token: str | None
    """The token, or None."""
    token_hosts: frozenset[str]
    """As in `Credentials`."""
    operator_roots: frozenset[str]
    """As in `Credentials`."""

    def __post_init__(self) -> None:
        keep_secret(self.token)

    def restore(self) -> Credentials:
        """The credentials, in this process. **Reads:** nothing."""
        token = self.token
        return Credentials(lambda: token, self.token_hosts, self.operator_roots)

    def __repr__(self) -> str:
        return "WorkerCredentials(<redacted>)"

    def __reduce__(self) -> tuple[object, ...]:
        # By way of the constructor, so that the worker's log masks the token, too.
        return WorkerCredentials, (self.token, self.token_hosts, self.operator_roots)
