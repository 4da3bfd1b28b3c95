"""Read a program's results: from the lines that it prints, or from a file that it writes."""

from __future__ import annotations

import csv
import io
import json
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from trainables.configs.command import CommandSettings

Metrics = dict[str, Any]

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf|infinity)"
_PAIR = re.compile(
    rf"(?<![\w./-])([A-Za-z_][\w./-]*)\s*[=:]\s*(?:({_NUMBER})(?![\w.])|([^\s,;]+))", re.IGNORECASE
)
_CHECKPOINT = "checkpoint"
"""The key of a result with the folder of a checkpoint."""


class OutputReader:
    """Finds metrics in what a program writes. A subclass overrides the methods for its source."""

    def read_line(self, line: str) -> Iterator[Metrics]:
        """Yield the metrics in a line of the output."""
        return iter(())

    def read_files(self) -> Iterator[Metrics]:
        """Yield the metrics that were added to the files since the last call."""
        return iter(())

    def rest(self) -> Metrics:
        """Return the metrics that waited for the end of the program."""
        return {}


def reader_of(settings: CommandSettings, folder: Path) -> OutputReader | None:
    """Return the reader for the settings; ``None`` if the program reports them itself.

    ``folder`` is the one in which the program runs.
    """
    source = settings.results
    if isinstance(source, str):
        return None if source == "client" else JsonLines() if source == "json" else Pairs()
    if source.csv is not None:
        return CsvFile(folder / source.csv)
    if source.tensorboard is not None:
        return TensorboardFolder(folder / source.tensorboard)
    return Patterns(source.patterns())


class ResultCollector:
    """Collects metrics into results. A result is complete once it has every metric of the objective."""

    def __init__(self, objectives: Sequence[str]) -> None:
        self._objectives = objectives
        self.pending: Metrics = {}

    def add(self, metrics: Mapping[str, Any]) -> Metrics | None:
        """Add metrics, and return the result that they complete, if any."""
        self.pending.update(metrics)
        if not any(name in metrics for name in self._objectives):
            return None
        if not all(name in self.pending for name in self._objectives):
            return None
        result, self.pending = self.pending, {}
        return result


def take_checkpoint(result: Metrics, folder: Path) -> str | None:
    """Remove the checkpoint's folder from a result, and return its absolute path."""
    value = result.get(_CHECKPOINT)
    if not isinstance(value, str) or not value:
        return None
    del result[_CHECKPOINT]
    return str((folder / value).absolute())


def no_result(
    settings: CommandSettings, objectives: Sequence[str], *, found: Mapping[str, Any], last: Sequence[str]
) -> str:
    """Say that a program ended without a result, and name the remedy.

    - ``objectives``: the metrics that a result must have
    - ``found``: the metrics that were read
    - ``last``: the last lines of the output
    """
    what = "without reporting " + " and ".join(f"'{name}'" for name in objectives if name not in found)
    if settings.results == "client":
        for form, reader in (("json", JsonLines()), ("pairs", Pairs())):
            if any(
                name in metrics for line in last for metrics in reader.read_line(line) for name in objectives
            ):
                return f"{what} through tuner.client; its output has it: write results: {form}"
        return f"{what}; it must call tuner.client.report, or results must say how to read its output"
    if not found:
        return f"{what} or any other metric; see results under trainable"
    absent = next(name for name in objectives if name not in found)
    near = get_close_matches(absent, [str(name) for name in found], n=1)
    return f"{what}, only {', '.join(map(str, found))}" + (f"; did you mean '{near[0]}'?" if near else "")


class JsonLines(OutputReader):
    """Lines that are JSON objects."""

    def read_line(self, line: str) -> Iterator[Metrics]:
        """See ``OutputReader``."""
        if line.lstrip().startswith("{"):
            try:
                found = json.loads(line)
            except ValueError:
                return  # a line that only looks like JSON
            if isinstance(found, dict):
                yield found


class Pairs(OutputReader):
    """Pairs such as ``val_loss=0.3`` or ``accuracy: 0.9`` anywhere in a line. Other text is ignored."""

    def read_line(self, line: str) -> Iterator[Metrics]:
        """See ``OutputReader``."""
        found: Metrics = {}
        for name, number, word in _PAIR.findall(line):
            if number:
                found[name] = _number(number)
            elif name == _CHECKPOINT:
                found[name] = word
        if found:
            yield found


class Patterns(OutputReader):
    """The groups of regular expressions. The empty metric has a pattern with named groups."""

    def __init__(self, patterns: Mapping[str, str]) -> None:
        self._patterns = {name: re.compile(pattern) for name, pattern in patterns.items()}

    def read_line(self, line: str) -> Iterator[Metrics]:
        """See ``OutputReader``."""
        found: Metrics = {}
        for name, pattern in self._patterns.items():
            for match in pattern.finditer(line):
                groups = match.groupdict() if not name else {name: match[1]}
                found.update({key: _number(value) for key, value in groups.items() if value is not None})
        if found:
            yield found


class CsvFile(OutputReader):
    """Rows that are added to a CSV file with a header. An empty field is no metric."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._header: list[str] | None = None
        # A program that continues may append to the file of its earlier run.
        self._position = path.stat().st_size if path.exists() else 0
        if self._position:
            with path.open(newline="", encoding="utf-8") as file:
                self._header = next(csv.reader(file), None)

    def read_files(self) -> Iterator[Metrics]:
        """See ``OutputReader``."""
        if not self._path.exists():
            return
        if self._path.stat().st_size < self._position:  # the program started the file again
            self._position, self._header = 0, None
        with self._path.open("rb") as file:
            file.seek(self._position)
            whole = file.read().rpartition(b"\n")[0]
        if not whole:
            return
        self._position += len(whole) + 1
        for row in csv.reader(io.StringIO(whole.decode("utf-8", "replace"))):
            if self._header is None:
                self._header = row
            elif row:
                yield {
                    name.strip(): _number(value.strip())
                    for name, value in zip(self._header, row, strict=False)
                    if value.strip()
                }


class TensorboardFolder(OutputReader):
    """Scalars of event files in a folder and below. The scalars of one step are one result.

    A step is complete when a later one begins, or when the program ends.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._positions = {path: path.stat().st_size for path in self._files()}
        self._step: int | None = None
        self._scalars: Metrics = {}

    def read_files(self) -> Iterator[Metrics]:
        """See ``OutputReader``."""
        for path in self._files():
            for step, tag, value in self._read(path):
                if self._step is not None and step != self._step and self._scalars:
                    yield self.rest()
                self._step = step
                self._scalars[tag] = value

    def rest(self) -> Metrics:
        """Return the scalars of the last step."""
        scalars, self._scalars = self._scalars, {}
        return {**scalars, "step": self._step} if scalars else {}

    def _files(self) -> list[Path]:
        return sorted(self._folder.rglob("*tfevents*")) if self._folder.is_dir() else []

    def _read(self, path: Path) -> Iterator[tuple[int, str, float]]:
        """Yield step, tag and value of the whole records after the last position."""
        from tensorboardX.proto.event_pb2 import Event  # a part of ray[tune]

        with path.open("rb") as file:
            file.seek(self._positions.get(path, 0))
            while len(header := file.read(12)) == 12:  # length, checksum
                (length,) = struct.unpack("<Q", header[:8])
                record = file.read(length + 4)
                if len(record) < length + 4:
                    break  # the rest is not written yet
                self._positions[path] = file.tell()
                event = Event.FromString(record[:length])
                for value in event.summary.value:
                    if (scalar := _scalar(value)) is not None:
                        yield event.step, value.tag, scalar


def _scalar(value: Any) -> float | None:
    """Return the number in a value of an event, which TensorFlow and PyTorch write in two ways."""
    if value.HasField("simple_value"):
        return float(value.simple_value)
    if value.HasField("tensor") and not value.tensor.tensor_shape.dim:
        numbers = [*value.tensor.float_val, *value.tensor.double_val]
        content = value.tensor.tensor_content
        if not numbers and len(content) in (4, 8):
            numbers = list(struct.unpack("<f" if len(content) == 4 else "<d", content))
        return float(numbers[0]) if numbers else None
    return None


def _number(text: str) -> float | int | str:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = float(text)
    except ValueError:
        return text
    return value
