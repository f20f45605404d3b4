"""The user's Earthdata token: who may receive it, and nothing else ever shows it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import Lock
from urllib.parse import urlsplit

from harmony_vds.access.trust import is_earthdata
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
        """Credentials of a token at hand. **Reads:** nothing."""
        keep_secret(token)
        return cls(lambda: token, frozenset(host.lower() for host in token_hosts))

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
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        origin = f"{parts.scheme}://{parts.netloc}".lower()
        listed = parts.scheme == "https" and (is_earthdata(host) or host in self.token_hosts)
        if not (listed or origin in self.operator_roots):
            return {}
        token = self._obtain()
        return {"Authorization": f"Bearer {token}"} if token else {}

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
        raise TypeError("Credentials are not written anywhere; derive them anew.")
