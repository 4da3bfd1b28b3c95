"""``CsvLogger``: a CSV file per trial that keeps all metrics, including late ones."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ray.tune.logger import LoggerCallback

from tuner.report.phrases import cell

FILE_NAME = "progress.csv"

# Entries of a result that are not metrics.
_LEFT_OUT = ("config",)


class CsvLogger(LoggerCallback):
    """Writes ``progress.csv`` in each trial's folder, one row per result.

    A metric that first appears in a later result adds a column, which is empty in earlier rows. Ray's own CSV
    logger drops such metrics.
    """

    def __init__(self) -> None:
        self._files: dict[Any, _File] = {}  # files of running trials

    def log_trial_start(self, trial: Any) -> None:
        self.log_trial_end(trial)
        trial.init_local_path()
        self._files[trial] = _File(Path(trial.local_path, FILE_NAME))

    def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
        if trial not in self._files:
            self.log_trial_start(trial)
        self._files[trial].add({name: value for name, value in result.items() if name not in _LEFT_OUT})

    def log_trial_end(self, trial: Any, failed: bool = False) -> None:
        if trial in self._files:
            self._files.pop(trial).close()


class _File:
    """An append-only CSV file that is rewritten when a column is added."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._columns: list[str] = []
        if path.exists():  # the trial was restarted
            rows = self._complete_rows()
            self._columns = rows[0] if rows else []
            self._write(rows)
        self._file = path.open("a", newline="", encoding="utf-8")

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a row and flush it."""
        row = {str(cell(name)): value for name, value in row.items()}
        new = [name for name in row if name not in self._columns]
        if new:
            self._file.close()
            width = len(self._columns) + len(new)
            rows = [old + [""] * (width - len(old)) for old in self._complete_rows()[1:]]
            self._columns += new
            self._write([self._columns, *rows])
            self._file = self._path.open("a", newline="", encoding="utf-8")
        csv.writer(self._file, lineterminator="\n").writerow(cell(row.get(name)) for name in self._columns)
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def _complete_rows(self) -> list[list[str]]:
        """Return the file's rows, without an unfinished last row that a killed process left."""
        text = self._path.read_text(encoding="utf-8", errors="replace")
        rows = list(csv.reader(text.splitlines(keepends=True)))
        return rows if text.endswith("\n") else rows[:-1]

    def _write(self, rows: Iterable[Iterable[str]]) -> None:
        unfinished = self._path.with_name(f".{FILE_NAME}.part")
        with unfinished.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
        unfinished.replace(self._path)
