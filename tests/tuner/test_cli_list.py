"""``tuner list`` says what each part of a sweep file takes."""

import pytest

from tuner.cli import OK, main


@pytest.fixture
def listed(capsys):
    """``listed(what)``: the lines of ``tuner list what``, blanks in a row as one."""

    def call(what):
        assert main(["list", what]) == OK
        return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]

    return call


def test_a_setting_is_listed_with_its_default_and_the_values_it_can_take(listed):
    lines = listed("searchers")
    assert (
        "sequence default None for qmc: the quasi-random sequence; none: sobol; one of sobol, halton" in lines
    )


def test_values_that_the_description_names_are_not_listed_again(listed):
    [line] = {line for line in listed("trainables") if line.startswith("optimizer default 'adam'")}
    assert line.endswith("sgd, momentum, nesterov, adagrad, adadelta, rmsprop, adam, adamw")
    assert "one of" not in line
