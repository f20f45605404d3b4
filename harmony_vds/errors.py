"""What can go wrong, grouped by what the caller does about it.

::

    VdsError
    ├── RequestError          the user changes the request          → NoRetry
    │   ├── UnsupportedError      asks for something this service does not do
    │   ├── UnknownVariableError  names a variable the store does not hold
    │   ├── TooLargeError         would read or write more than the limits allow
    │   └── TimeLimitError        ran out of the time Harmony gives a work item
    ├── NoDataError           there is nothing in the requested region → NoData (a warning)
    ├── StoreError            the publisher mends the store or its record → NoRetry
    │   ├── NoStoreError          no usable store is published for the collection
    │   ├── MissingSourceError    an object that a manifest or record names does not exist
    │   ├── UntrustedError        a manifest points where nobody allowed reading
    │   └── StaleSourceError      a source file is newer than the manifest that describes it
    ├── ForbiddenError        the user's token or permissions        → NoRetry
    │   └── SpentKeysError        temporary S3 credentials that ended, also after renewal
    ├── SettingsError         the operator changes a setting         → NoRetry
    └── UpstreamError         a service elsewhere is in trouble      → may be retried

Harmony reruns a failed work item up to five times unless its category is ``NoRetry``, so only
`UpstreamError` is left to be retried.
"""

from enum import StrEnum


class ErrorGroup(StrEnum):
    """What the caller does about an error; append only, the names are part of the log format."""

    REQUEST = "request"
    NO_DATA = "no-data"
    STORE = "store"
    FORBIDDEN = "forbidden"
    SETTINGS = "settings"
    UPSTREAM = "upstream"


class VdsError(Exception):
    """Any error this package raises on purpose; its text is written for the person who asked."""

    group: ErrorGroup = ErrorGroup.STORE


class RequestError(VdsError):
    """The request cannot be answered as it is; the text says what to change."""

    group = ErrorGroup.REQUEST


class UnsupportedError(RequestError):
    """The request asks for something that this service does not do."""


class UnknownVariableError(RequestError):
    """The request names a variable that the store does not hold."""


class UncutBoxError(UnsupportedError):
    """A box in degrees cannot cut the grid of what was requested."""


class TooLargeError(RequestError):
    """The request would read or write more than the limits allow."""


class TimeLimitError(RequestError):
    """The work did not finish in the time that a work item may take."""


class NoDataError(VdsError):
    """Nothing in the store lies in the requested region or time."""

    group = ErrorGroup.NO_DATA


class StoreError(VdsError):
    """The store, its manifest or its sources are not usable as published."""

    group = ErrorGroup.STORE


class NoStoreError(StoreError):
    """No usable virtual store is published for the collection."""


class MissingSourceError(StoreError):
    """An object that a manifest or a record names does not exist."""


class UntrustedError(StoreError):
    """A manifest or record points to a place that nobody allowed reading."""


class StaleSourceError(StoreError):
    """A source file changed after the manifest that describes it was written."""


class DoubtfulSidecarError(StoreError):
    """A sidecar may not describe the file that is there; the file itself does."""


class ForbiddenError(VdsError):
    """The user's token is missing, expired, or lacks a permission or an accepted agreement."""

    group = ErrorGroup.FORBIDDEN


class SpentKeysError(ForbiddenError):
    """S3 takes the user's temporary credentials no longer."""


class SettingsError(VdsError):
    """A setting of this deployment is unusable."""

    group = ErrorGroup.SETTINGS


class UpstreamError(VdsError):
    """A service elsewhere failed in a way that may pass; asking again can help."""

    group = ErrorGroup.UPSTREAM

    def __init__(self, text: str, *, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after
        """Seconds that the service asked to wait before the next try, if it did."""
