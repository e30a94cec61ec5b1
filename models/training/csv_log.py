"""The table of a run's training and validation results, `log.csv`."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from lvm_probe.models.io.files import reporting_write_errors, write_atomically

LOG = "log.csv"


class CsvLog:
    """A CSV file with one row for each logged or validated update. Raises InputError where it cannot be written.

    Args:
        folder: of the run.
        layers: number of layers of latents.
    """

    def __init__(self, folder: Path, layers: int) -> None:
        self.path = folder / LOG
        names = [f"z{layer + 1}" for layer in range(layers)]
        self.columns = ["update", "seconds", "bits_per_frame", "reconstruction", *(f"kl_{name}" for name in names)]
        self.columns += ["learning_rate", "validation", *(f"active_{name}" for name in names)]

    def append(self, update: int, seconds: float, values: Mapping[str, float]) -> None:
        """Add a row; columns without a value stay empty."""
        with reporting_write_errors(self.path), self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, self.columns, restval="", lineterminator="\n")
            rounded = {key: f"{value:.6g}" for key, value in values.items()}
            writer.writerow({"update": update, "seconds": f"{seconds:.1f}", **rounded})

    def drop_after(self, update: int) -> None:
        """Start the file, or drop truncated rows and rows of later updates, which a resumed run writes again."""
        head = ",".join(self.columns) + "\n"
        with reporting_write_errors(self.path):
            text = self.path.read_bytes().decode(errors="replace") if self.path.exists() else ""
        rows = [
            row for row in text.splitlines(keepends=True) if row.endswith("\n") and row.count(",") == head.count(",")
        ]
        numbers = [row.partition(",")[0] for row in rows]
        kept = [row for row, number in zip(rows, numbers, strict=True) if number.isdecimal() and int(number) <= update]
        with write_atomically(self.path) as temporary:
            temporary.write_text("".join([head, *kept]))
