"""``tuner list`` describes the settings of each part of a sweep file."""

import pytest

from tuner.cli import OK, main


@pytest.fixture
def printed(capsys, monkeypatch):
    """Return a function that gives the output of ``tuner list`` in a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")

    def call(what):
        assert main(["list", what]) == OK
        return capsys.readouterr().out

    return call


@pytest.fixture
def listed(printed):
    """Return the same function with every run of white space replaced by one space."""
    return lambda what: " ".join(printed(what).split())


@pytest.mark.parametrize("what", ["sweep", "searchers", "schedulers", "trainables"])
def test_no_line_is_wider_than_the_terminal(printed, what):
    assert max(map(len, printed(what).splitlines())) <= 80


def test_a_setting_is_listed_with_its_meaning_its_values_and_its_default(printed):
    assert (
        "    size               number of trials that are halved together before the next\n"
        "                       ones start; none: all trials of the sweep [whole number,\n"
        "                       at least 1; optional]\n"
    ) in printed("schedulers")


def test_values_named_in_the_description_are_not_listed_twice(listed):
    assert "sequence for qmc: the quasi-random sequence; none: sobol [one of sobol, halton; optional]" in (
        listed("searchers")
    )
    assert "rmsprop, adam, adamw [default adam]" in listed("trainables")


def test_settings_common_to_all_methods_are_listed_once(printed):
    assert printed("schedulers").count("    resource  ") == 1
    assert printed("searchers").count("    warm_start  ") == 1


def test_a_sweep_is_listed_with_the_settings_of_its_parts(listed):
    text = listed("sweep")
    assert "silence maximum seconds between two results of a trial" in text
    assert "[number, above 0, or text like 90s, 15min, 2h; optional]" in text
    assert "see tuner list searchers [default random]" in text
