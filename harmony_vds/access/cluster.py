"""Workers of a running dask cluster, which read pieces of an output in place of this process.

However the scheduler was started, only its address is known here. What travels to workers holds the
user's token, and what comes back is unpickled, so connections are encrypted and proven by
certificates, or stay on this machine. Distributed's own configuration names the certificates.
"""

import ipaddress
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import uuid4

from harmony_vds.access.traffic import Traffic
from harmony_vds.errors import SettingsError, UpstreamError, VdsError
from harmony_vds.model.plan import Role
from harmony_vds.model.subset import Subset, SubsetVariable, Turn, Wanted
from harmony_vds.telemetry import Deadline

_PATIENCE = 30.0
"""Most seconds to wait for the scheduler, or for its first worker."""
_AHEAD = 2
"""Turns begun for each thread of the workers: one that is read, and one that waits for it."""
_MOST_AHEAD = 256
"""Turns begun at once, however many threads there are."""
_SMALL = 2**20
"""Bytes of a variable that are read sooner than asked for elsewhere."""

type Read = Callable[[Any, Sequence[Wanted]], "Delivered"]
"""What a worker does with an assignment and a turn; a function of a module that it can import."""


@dataclass(frozen=True, eq=False)
class Delivered:
    """What a worker read."""

    values: tuple[Any, ...]
    """For each piece of the turn, as `SubsetVariable.read` gives it."""
    worker: str
    """Name of the process, and of its connections for this run."""
    traffic: Traffic
    """What has been fetched so far by these connections, whichever store and output it was for."""
    failure: tuple[type[VdsError], str] | None = None
    """Why it could not, where it could not: kind and text of the error."""


def refuse_open(address: str, whose: str) -> None:
    """Raise unless what is sent to `address` can be read and changed by nobody on the way.

    Parameters
    ----------
    address
        As distributed writes it, e.g. ``tls://10.0.0.7:8786``.
    whose
        Who listens there, for the error.

    Raises
    ------
    SettingsError
        It is neither ``tls://`` nor ``tcp://`` on this machine.

    **Reads:** nothing.
    """
    scheme, _, rest = address.partition("://") if "://" in address else ("tcp", "", address)
    host = urlsplit(f"//{rest}").hostname or ""
    if scheme == "tls" or (scheme == "tcp" and _is_loopback(host)):
        return
    raise SettingsError(
        f"{whose} at {address} is not used: the user's token would travel there unprotected. Start "
        "the cluster with tls:// addresses, or on this machine's loopback; HARMONY_VDS_DASK names "
        "its scheduler."
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass
class Cluster:
    """A running cluster; connected to when it is first needed."""

    address: str
    """Of its scheduler."""
    deadline: Deadline
    """When the request must be done."""
    run: str = field(default_factory=lambda: uuid4().hex)
    """Tells this run from all others: nothing that it leaves on workers serves anybody else."""
    _client: Any = field(default=None, repr=False)
    _fetched: dict[str, Traffic] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def at(cls, address: str, deadline: Deadline) -> Self | None:
        """The cluster at an address; None where there is no address.

        Raises
        ------
        SettingsError
            The address is open to others.

        **Reads:** nothing.
        """
        if not address:
            return None
        refuse_open(address, "The dask scheduler")
        return cls(address, deadline)

    def sharing(self, subset: Subset, assignment: object, read: Read) -> Subset:
        """`subset`, whose large variables are read by the workers.

        Parameters
        ----------
        subset
            The variables of an output.
        assignment
            What a worker needs to make the same variables; it is pickled.
        read
            What a worker does with it.

        Raises
        ------
        SettingsError
            The address of a worker is open to others.
        UpstreamError
            The scheduler does not answer, or has no workers.

        **Reads:** nothing.
        """
        team = Team(self, assignment, read, min(_AHEAD * self._threads(), _MOST_AHEAD))
        return replace(
            subset,
            variables=tuple(
                replace(own, elsewhere=team) if _is_large(own) else own for own in subset.variables
            ),
        )

    def _threads(self) -> int:
        """How many threads the workers have, each of which has been looked at."""
        client = self.client()
        try:
            client.wait_for_workers(1, timeout=self._patience)
            threads: dict[str, int] = client.nthreads()
        except (TimeoutError, OSError):
            self.deadline.check()
            raise UpstreamError(
                f"The dask scheduler at {self.address} has no workers (HARMONY_VDS_DASK)."
            ) from None
        for address in threads:
            refuse_open(address, "A dask worker")
        return sum(threads.values())

    def client(self) -> Any:
        """The connection to the scheduler; errors as `sharing`. **Reads:** nothing."""
        if self._client is None:
            from distributed import Client

            try:
                self._client = Client(  # type: ignore[no-untyped-call]
                    self.address, timeout=self._patience, set_as_default=False,
                    direct_to_workers=True,
                )  # fmt: skip
            except (TimeoutError, OSError):  # also where the request's time is over by then
                raise UpstreamError(
                    f"The dask scheduler at {self.address} does not answer (HARMONY_VDS_DASK)."
                ) from None
        return self._client

    @property
    def _patience(self) -> float:
        return max(min(_PATIENCE, self.deadline.remaining / 2), 0.1)

    def taken(self, future: Any) -> tuple[Any, ...]:
        """What a worker delivered.

        Raises
        ------
        TimeLimitError
            The request's time is over.
        UpstreamError
            The cluster went away, or workers die of this piece.
        SettingsError
            Workers do not have this package.
        VdsError
            As reading it here.

        **Reads:** chunks.
        """
        from distributed import CancelledError, KilledWorker

        remaining = self.deadline.remaining
        try:
            delivered: Delivered = future.result(None if math.isinf(remaining) else remaining)
        except TimeoutError:
            self.deadline.check()
            raise
        except KilledWorker as error:
            raise UpstreamError(
                f"Several workers of the dask cluster at {self.address} died of one piece "
                f"({error.task}), perhaps for want of memory."
            ) from None
        except CancelledError:
            raise UpstreamError(
                f"The dask cluster at {self.address} was lost while it read."
            ) from None
        except ImportError as error:
            raise SettingsError(
                f"Workers of the dask cluster at {self.address} lack {error.name}: start them from "
                "the image of this service."
            ) from None
        if delivered.failure is not None:
            kind, text = delivered.failure
            raise kind(text)
        self._count(delivered)
        return delivered.values

    def _count(self, delivered: Delivered) -> None:
        """Keep what was fetched in all: of two turns, the later taken may be the earlier told."""
        with self._lock:
            known = self._fetched.get(delivered.worker, Traffic())
            self._fetched[delivered.worker] = known.latest(delivered.traffic)

    @property
    def traffic(self) -> Traffic:
        """What the workers have fetched so far. **Reads:** nothing."""
        return sum(self._fetched.values(), Traffic())

    def close(self) -> None:
        """Leave the cluster, which goes on. **Reads:** nothing."""
        client, self._client = self._client, None
        if client is not None:
            client.close()


def _is_large(variable: SubsetVariable) -> bool:
    """Whether chunks may have to be read for it that are worth the way."""
    is_asked = variable.planned.role is Role.REQUESTED or bool(variable.together)
    return is_asked or variable.data.nbytes > _SMALL


@dataclass(eq=False)
class Team:
    """The workers while they read one output."""

    cluster: Cluster
    """Where they are."""
    assignment: object
    """What each needs to know."""
    read: Read
    """What each does."""
    at_once: int
    """Turns that may be begun before the first of them is taken."""
    _told: Any = field(default=None, repr=False)

    def begin(self, wanted: Sequence[Wanted]) -> Turn:
        """Have a worker read some pieces. **Reads:** chunks, elsewhere."""
        client = self.cluster.client()
        if self._told is None:
            # A task of its own, so that it is sent to each worker once, and again if it is lost.
            self._told = client.submit(_as_it_is, self.assignment, key=self._key(), pure=False)
        future = client.submit(self.read, self._told, tuple(wanted), key=self._key(), pure=False)
        return TeamTurn(self.cluster, future, len(wanted))

    def _key(self) -> str:
        return f"vds-{self.cluster.run}-{uuid4().hex}"


def _as_it_is(assignment: object) -> object:
    return assignment


class TeamTurn:
    """A turn that a worker has been given."""

    def __init__(self, cluster: Cluster, future: Any, count: int) -> None:
        self._cluster = cluster
        self._future = future
        self._left = count
        self._values: list[Any] = []
        self._lock = threading.Lock()

    def take(self, number: int) -> Any:
        """The values of a piece, once each; errors as `Cluster.taken`. **Reads:** chunks."""
        with self._lock:
            if not self._values:
                self._values = list(self._cluster.taken(self._future))
                self._future.release()  # the worker may forget them
            self._left -= 1
            found, self._values[number] = self._values[number], None
            return found

    @property
    def is_over(self) -> bool:
        """Whether all has been taken. **Reads:** nothing."""
        return self._left == 0

    def give_up(self) -> None:
        """Have it no longer read. **Reads:** nothing."""
        if not self._values:
            self._future.cancel()
