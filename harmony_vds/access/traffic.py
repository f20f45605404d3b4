"""What was fetched, in numbers."""

from dataclasses import dataclass


@dataclass
class Traffic:
    """What was fetched so far; written only on the network loop."""

    requests: int = 0
    """Successful requests."""
    nbytes: int = 0
    """Bytes received and accepted."""
    retries: int = 0
    """Requests that had to be repeated."""
    hedged: int = 0
    """Requests made a second time while the first one was silent."""

    def __str__(self) -> str:
        text = f"{self.nbytes} bytes in {self.requests} requests, {self.retries} of them repeated"
        return f"{text}, {self.hedged} asked twice" if self.hedged else text

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(
            self.requests + other.requests, self.nbytes + other.nbytes,
            self.retries + other.retries, self.hedged + other.hedged,
        )  # fmt: skip

    def latest(self, other: "Traffic") -> "Traffic":
        """The later of two states of the same counters. **Reads:** nothing."""
        return Traffic(
            max(self.requests, other.requests), max(self.nbytes, other.nbytes),
            max(self.retries, other.retries), max(self.hedged, other.hedged),
        )  # fmt: skip

    def as_fields(self) -> dict[str, int]:
        """What was fetched, as fields of a log line. **Reads:** nothing."""
        return {
            "bytesRead": self.nbytes, "requests": self.requests, "requestsRepeated": self.retries,
            "requestsHedged": self.hedged,
        }  # fmt: skip
