"""``CommandParser``: an argument parser whose errors are one line, with the nearest right spelling."""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any, NoReturn

from tuner.cli.options import WRONG_INPUT, complain


class CommandParser(argparse.ArgumentParser):
    """The parser of the command and of each verb."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Parse arguments and refuse unknown ones. Only the parser of the verb knows the right spellings."""
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(self._describe_unknown(unknown))
        return parsed, unknown

    def error(self, message: str) -> NoReturn:
        """Print what is wrong with the arguments, and exit."""
        complain(self._reword(message))
        print(f"{self.prog} --help lists the arguments", file=sys.stderr)
        self.exit(WRONG_INPUT)

    def _reword(self, message: str) -> str:
        """Turn argparse's message into one like those about a sweep file."""
        if found := re.fullmatch(r"argument (.+?): invalid choice: '(.*)' \(choose from (.*)\)", message):
            return _wrong_choice(found[1], found[2], re.findall(r"[\w-]+", found[3]))
        if found := re.fullmatch(r"the following arguments are required: (.*)", message):
            return f"{found[1]}: must be given"
        if found := re.fullmatch(r"argument (.+?): (.*)", message):
            return f"{found[1]}: {found[2]}"
        return message

    def _describe_unknown(self, arguments: list[str]) -> str:
        from tuner.spec import ALIKE, did_you_mean, nearest
        from tuner.synonyms import place_of

        name, _, value = arguments[0].partition("=")
        if not name.startswith("-"):
            return f"unknown argument '{name}'"
        value = value or next((each for each in arguments[1:2] if not each.startswith("-")), "VALUE")
        known = [option for action in self._actions for option in action.option_strings]
        place = place_of(name)
        if "--set" in known and nearest(name, known, likeness=ALIKE) is None and place is not None:
            key = place[1] if place[0] == "sweep" else ".".join(place)
            return f"unknown argument '{name}'; write --set {key}={value}"
        return f"unknown argument '{name}'{did_you_mean(name, known)}"


def _wrong_choice(argument: str, value: str, known: list[str]) -> str:
    from tuner.spec import did_you_mean, likely

    if argument != "VERB":
        return f"{argument}: unknown value '{value}'{did_you_mean(value, known)}"
    if likely(value, known) is None and value.endswith((".yaml", ".yml")):
        return f"'{value}' is no verb; write tuner run {value}"
    return f"unknown verb '{value}'{did_you_mean(value, known)}"
