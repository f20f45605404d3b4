"""What is read: five shapes of request, and what each must give according to the granules."""

import hashlib
import itertools
from dataclasses import dataclass, replace

import numpy as np

from bench.archive import Archive, Product


@dataclass(frozen=True)
class Item:
    """A box of some variables."""

    name: str
    title: str
    fields: tuple[str, ...]
    steps: range
    rows: range
    columns: range
    share: float = 1.0
    """Part of the whole that is measured; what the whole would take is extrapolated."""

    @property
    def box(self) -> tuple[slice, slice, slice]:
        return tuple(slice(own.start, own.stop) for own in (self.steps, self.rows, self.columns))  # type: ignore[return-value]

    def first(self, steps: int) -> "Item":
        """The same over fewer steps."""
        kept = self.steps[:steps]
        return replace(self, steps=kept, share=self.share * len(kept) / len(self.steps))


def items(product: Product) -> dict[str, Item]:
    """Places are those of a 0.05° grid with chunks of 60° x 120° and of a record of 15,340 days.

    In a coarser stand-in there are fewer cells and days; a shorter record has the same sizes.
    """
    cell = 3600 // product.rows
    shorter = 15_340 // product.steps

    def cells(start: int, stop: int) -> range:
        return range(start // cell, max(stop // cell, start // cell + 1))

    def days(start: int, count: int) -> range:
        return range(start // shorter, start // shorter + max(count // cell, 1))

    point = cells(1730, 1731), cells(3900, 3901)
    made = (
        Item("a", "10°x10° x a year", ("analysed_sst",), days(10_000, 365),
             cells(1300, 1500), cells(3000, 3200)),
        Item("b", "a global day", ("analysed_sst",), days(7_777, 1), cells(0, 3600),
             cells(0, 7200)),
        Item("c", "a point x 41 years", ("analysed_sst",), days(5_000, 767), *point, share=0.05),
        Item("d", "3 variables x 30°x40° x 30 d",
             ("analysed_sst", "analysis_error", "sea_ice_fraction"), days(12_000, 30),
             cells(900, 1500), cells(2000, 2800)),
        Item("e", "a point x 4,000 small chunks", ("mask",), days(9_000, 4_000), *point),
    )  # fmt: skip
    return {item.name: item for item in made}


def write_items(product: Product) -> dict[str, Item]:
    """What is written: global days, whose chunks may be copied, and a box that cuts them."""
    known = items(product)
    first = known["b"].steps.start
    days = replace(known["b"], name="w", title="10 global days", steps=range(first, first + 10))
    return {"w": days, "d": known["d"]}


@dataclass(frozen=True)
class Expected:
    """What a right answer holds, and the least that must be fetched for it."""

    digests: dict[str, str]
    chunks: int
    stored: int
    """Bytes of the chunks touched, as stored."""
    inflated: int
    window: int
    """Bytes of the result."""
    per_field: dict[str, int]
    """Chunks by variable."""


def digest(values: np.ndarray) -> str:
    """Of type, shape and every value."""
    values = np.ascontiguousarray(values)
    told = f"{values.dtype.kind}{values.dtype.itemsize}{values.shape}".encode()
    return hashlib.sha256(told + values.view(np.uint8).data).hexdigest()


def expected(archive: Archive, item: Item) -> Expected:
    """From the granules themselves, by h5py."""
    import h5py

    product = archive.product
    digests, per_field, stored, inflated, window = {}, {}, 0, 0, 0
    chunk_rows = range(item.rows.start // product.chunk[0],
                       (item.rows.stop - 1) // product.chunk[0] + 1)  # fmt: skip
    chunk_columns = range(item.columns.start // product.chunk[1],
                          (item.columns.stop - 1) // product.chunk[1] + 1)  # fmt: skip
    touched = [i * product.grid[1] + j for i, j in itertools.product(chunk_rows, chunk_columns)]
    for field in item.fields:
        boxes = []
        for number in range(product.granules):
            with h5py.File(archive.granule(number)) as file:
                boxes.append(file[field][(0, *item.box[1:])])
        values = np.stack(boxes)[np.array(item.steps) % product.granules]
        digests[field] = digest(values)
        table = archive.table(field)
        per_field[field] = len(item.steps) * len(touched)
        stored += sum(table[step % product.granules][k][1] for step in item.steps for k in touched)
        inflated += per_field[field] * int(np.prod(product.chunk)) * values.itemsize
        window += values.nbytes
    return Expected(digests, sum(per_field.values()), stored, inflated, window, per_field)


def sample(product: Product) -> tuple[int, int, int]:
    """The one cell whose value ends an opening: in the last step, so that all must be known."""
    return product.steps - 1, product.rows * 12 // 25, product.columns * 13 // 24


def true_sample(archive: Archive, field: str) -> float:
    import h5py

    step, row, column = sample(archive.product)
    with h5py.File(archive.granule_of(step)) as file:
        return float(file[field][0, row, column])
