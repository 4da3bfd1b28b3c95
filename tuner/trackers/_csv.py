"""``CsvLogger``: a CSV file per trial that keeps metrics whenever they come first."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ray.tune.logger import LoggerCallback

from tuner.report.phrases import cell

FILE_NAME = "progress.csv"

# What a result carries beside figures.
_LEFT_OUT = ("config",)


class CsvLogger(LoggerCallback):
    """Writes ``progress.csv`` in each trial's folder, one row per result.

    A metric that comes for the first time in a later result adds a column; the rows before have it empty.
    Ray's own CSV logger leaves such metrics out.
    """

    def __init__(self) -> None:
        self._files: dict[Any, _File] = {}  # by trial, while it runs

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
    """A CSV file that is appended to, and written anew when a column is added."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._columns: list[str] = []
        if path.exists():  # of a trial that is started again
            rows = self._whole_rows()
            self._columns = rows[0] if rows else []
            self._write(rows)
        self._file = path.open("a", newline="", encoding="utf-8")

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a row, which is in the file when this returns."""
        row = {str(cell(name)): value for name, value in row.items()}
        new = [name for name in row if name not in self._columns]
        if new:
            self._file.close()
            width = len(self._columns) + len(new)
            rows = [old + [""] * (width - len(old)) for old in self._whole_rows()[1:]]
            self._columns += new
            self._write([self._columns, *rows])
            self._file = self._path.open("a", newline="", encoding="utf-8")
        csv.writer(self._file, lineterminator="\n").writerow(cell(row.get(name)) for name in self._columns)
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def _whole_rows(self) -> list[list[str]]:
        """The rows of the file as it is; a last one that a killed process left unfinished is left out."""
        text = self._path.read_text(encoding="utf-8", errors="replace")
        rows = list(csv.reader(text.splitlines(keepends=True)))
        return rows if text.endswith("\n") else rows[:-1]

    def _write(self, rows: Iterable[Iterable[str]]) -> None:
        unfinished = self._path.with_name(f".{FILE_NAME}.part")
        with unfinished.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
        unfinished.replace(self._path)
