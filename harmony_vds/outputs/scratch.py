"""Parts of unfinished chunks that wait on disk, in files that go once nothing in them is wanted."""

from pathlib import Path
from typing import IO

from harmony_vds.model.scratch import SEGMENT_BYTES


class Scratch:
    """Keeps bytes in files of about `segment` bytes each; a file is dropped with its last part.

    Parts are asked for about in the order in which they were kept, so that at any time little more
    lies on disk than what waits.
    """

    def __init__(self, path: Path, segment: int = SEGMENT_BYTES) -> None:
        self._path, self._segment = path, segment
        self._files: dict[int, IO[bytes]] = {}
        self._waiting: dict[int, int] = {}
        self._latest, self._size = -1, segment

    def keep(self, body: bytes) -> tuple[int, int]:
        """Keep `body`; the number of its file, and where it begins there. **Reads:** nothing."""
        if self._size >= self._segment:
            self._latest, self._size = self._latest + 1, 0
            self._files[self._latest] = self._path_of(self._latest).open("w+b")
            self._waiting[self._latest] = 0
        begin, file = self._size, self._files[self._latest]
        file.seek(begin)
        file.write(body)
        self._size += len(body)
        self._waiting[self._latest] += 1
        return self._latest, begin

    def take(self, number: int, begin: int, nbytes: int) -> bytes:
        """What was kept there; once only. **Reads:** nothing."""
        file = self._files[number]
        file.seek(begin)
        body = file.read(nbytes)
        self._waiting[number] -= 1
        if not self._waiting[number]:
            self._drop(number)
        return body

    def close(self) -> None:
        """Drop what is left. **Reads:** nothing."""
        for number in list(self._files):
            self._drop(number)

    def _drop(self, number: int) -> None:
        self._files.pop(number).close()
        self._path_of(number).unlink()
        if number == self._latest:
            self._size = self._segment  # the next part begins another file

    def _path_of(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}-{number}")
