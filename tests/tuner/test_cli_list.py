"""``tuner list`` says what each part of a sweep file takes."""

import pytest

from tuner.cli import OK, main


@pytest.fixture
def printed(capsys, monkeypatch):
    """``printed(what)``: what ``tuner list what`` prints in a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")

    def call(what):
        assert main(["list", what]) == OK
        return capsys.readouterr().out

    return call


@pytest.fixture
def listed(printed):
    """``listed(what)``: the same with all blanks and line ends as one blank."""
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


def test_values_that_the_description_names_are_not_listed_again(listed):
    assert "sequence for qmc: the quasi-random sequence; none: sobol [one of sobol, halton; optional]" in (
        listed("searchers")
    )
    assert "rmsprop, adam, adamw [default adam]" in listed("trainables")


def test_settings_that_all_methods_have_are_listed_once(printed):
    assert printed("schedulers").count("    resource  ") == 1
    assert printed("searchers").count("    warm_start  ") == 1


def test_a_sweep_is_listed_with_the_settings_of_its_parts(listed):
    text = listed("sweep")
    assert "silence maximum seconds between two results of a trial" in text
    assert "[number, above 0, or text like 90s, 15min, 2h; optional]" in text
    assert "see tuner list searchers [default random]" in text
