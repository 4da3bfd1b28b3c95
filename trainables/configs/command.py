"""Typed settings of the ``command`` trainable. Needs no heavy library."""

import re
from typing import Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from trainables.configs.strict import StrictModel

Results = Literal["client", "json", "pairs"]

Word = str | list[str]
"""One word of a command line, or a group that is left out if one of its placeholders has no value."""


class ResultsSource(StrictModel):
    """The place of a program's results. Exactly one field is given."""

    tensorboard: str | None = Field(None, description="a folder with event files of TensorBoard")
    csv: str | None = Field(None, description="a CSV file with a header, to which the program adds rows")
    regex: str | dict[str, str] | None = Field(
        None,
        description="a pattern with named groups, or metric: pattern with one group, for lines of the output",
    )

    @model_validator(mode="after")
    def _one_is_given(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"results: must have one of tensorboard, csv and regex, got {given or 'none'}")
        for name, pattern in self.patterns().items():
            try:
                groups = re.compile(pattern).groups
            except re.error as error:
                raise ValueError(
                    f"results: regex is no regular expression: {error}, got {pattern!r}"
                ) from None
            if (name and groups != 1) or not (name or re.compile(pattern).groupindex):
                wanted = "one group" if name else "named groups, such as (?P<loss>[0-9.]+)"
                raise ValueError(f"results: regex must have {wanted}, got {pattern!r}")
        return self

    def patterns(self) -> dict[str, str]:
        """Return metric -> pattern. An empty metric means that the pattern's groups name the metrics."""
        if isinstance(self.regex, str):
            return {"": self.regex}
        return dict(self.regex or {})


class CommandSettings(StrictModel):
    """The command line, and how its results are read."""

    command: list[Word] | str = Field(
        description="the program and its arguments. {args} gives --name value of all hyperparameters, "
        "{overrides} for name=value of all, {name} for the value of one; {config} is the path of a JSON file "
        "with all; {trial}, {seed}, {folder} (for files of the trial) and {checkpoint} (to continue from). "
        "An inner list is left out if a placeholder in it has no value",
        json_schema_extra={"lookup": "file"},
    )
    results: Results | ResultsSource = Field(
        "client",
        description="client: the program calls tuner.client; json: lines of its output with JSON objects; "
        "pairs: name=value or name: value in lines of its output; or {tensorboard: DIR}, {csv: FILE}, "
        "{regex: PATTERN}",
    )
    shell: bool = Field(False, description="whether the command is one text for /bin/sh")
    booleans: Literal["values", "flags", "no-flags"] = Field(
        "values",
        description="form of true and false in {args}: --name true and --name false (values); --name and "
        "nothing (flags); --name and --no-name (no-flags)",
    )
    nested: bool = Field(
        False, description="whether a name such as optimizer.lr is nested in {config} and tuner.client.config"
    )
    cwd: str | None = Field(
        None,
        description="folder in which the program runs; default: the current one",
        json_schema_extra={"lookup": "file"},
    )
    env: dict[str, str | int | float] = Field(
        default_factory=dict, description="environment variables, in addition to those of tuner"
    )
    grace: float = Field(
        10.0, ge=0, le=3600, description="seconds between SIGTERM and SIGKILL when a trial is stopped"
    )

    @field_validator("command")
    @classmethod
    def _is_not_empty(cls, command: list[Word] | str) -> list[Word] | str:
        if not command or (isinstance(command, list) and not command[0]):
            raise ValueError(f"must name a program, got {command!r}")
        return command

    @model_validator(mode="after")
    def _form_fits_the_shell(self) -> Self:
        if self.shell != isinstance(self.command, str):
            wanted = "one text" if self.shell else "a list of words; for one text, add shell: true"
            raise ValueError(f"command: must be {wanted}, got {self.command!r}")
        return self


class CommandConfig(StrictModel):
    """Any hyperparameters. The command line must use each."""

    model_config = ConfigDict(extra="allow")
