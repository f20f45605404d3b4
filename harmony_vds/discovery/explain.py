"""Why what was tried did not serve, gathered and told within the length that Harmony shows."""

from dataclasses import dataclass, field

from harmony_vds.errors import (
    ForbiddenError,
    NoStoreError,
    UnknownVariableError,
    UpstreamError,
    VdsError,
)

LONGEST = 900
"""Characters of a whole text; Harmony shows less than 1,000."""
_MOST_TOLD = 8


@dataclass
class Rejected:
    """Candidates that did not serve, each with where it was named and why; grows while looking."""

    reasons: list[tuple[str, VdsError]] = field(default_factory=list)
    """(where it was named, why it does not serve), in the order tried."""

    def add(self, where: str, error: VdsError) -> None:
        """Note one more; an empty `where` is one whose text says where. **Reads:** nothing."""
        self.reasons.append((where, error))

    def failure(self, head: str, nothing: str) -> VdsError:
        """The error to raise when nothing serves.

        Parameters
        ----------
        head
            How the text begins when there were candidates.
        nothing
            The whole text when there was none.

        Returns
        -------
        Of the kind that fits: the user's where a store lacks what was asked, upstream's where one
        may serve later, of permission where only that is wanting. A single reason stands alone.

        **Reads:** nothing.
        """
        if not self.reasons:
            return NoStoreError(nothing)
        errors = [error for _, error in self.reasons]
        unknown = [own for own in errors if isinstance(own, UnknownVariableError)]
        if unknown:
            return unknown[0]
        if any(isinstance(error, UpstreamError) for error in errors):
            kind: type[VdsError] = UpstreamError
        elif all(isinstance(error, ForbiddenError) for error in errors):
            kind = ForbiddenError
        elif len(errors) == 1 and not self.reasons[0][0]:
            return errors[0]
        else:
            kind = NoStoreError
        return kind(self._told(head))

    def _told(self, head: str) -> str:
        told, left = self.reasons[:_MOST_TOLD], len(self.reasons) - _MOST_TOLD
        room = (LONGEST - len(head)) // len(told) - 2
        parts = [_shortened(f"{where}: {error}" if where else f"{error}", room)
                 for where, error in told]  # fmt: skip
        more = f"; and {left} more" if left > 0 else ""
        return f"{head}: {'; '.join(parts)}{more}"


def _shortened(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: max(room - 1, 20)]}…"
