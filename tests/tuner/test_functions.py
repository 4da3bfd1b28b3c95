"""Objects that ``check`` refuses as trainables: the fault, and what to write instead."""

import functools
import importlib.util
import sys
import textwrap
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.present import present
from tuner.code.functions import misfit

HYDRA = """
import functools


def main(config_path=None, config_name=None, version_base=None):
    def main_decorator(task_function):
        @functools.wraps(task_function)
        def decorated_main(cfg_passthrough=None):
            return config_path, config_name, task_function

        return decorated_main

    return main_decorator
"""
"""As Hydra 1.3 does it."""

REFUSED = {
    """
    def run(lr: float = 0.1, epochs: int = 3): ...
    """: "must take one argument, the configuration, got (lr: float = 0.1, epochs: int = 3); "
    "write def train(config): return run(lr=config['lr'], epochs=config['epochs'])",
    """
    def run(lr=0.1): ...
    """: "must take one argument, the configuration, got (lr=0.1); "
    "write def train(config): return run(lr=config['lr'])",
    """
    def run(lr: "float"): ...
    """: "must take one argument, the configuration, got (lr: 'float'); "
    "write def train(config): return run(lr=config['lr'])",
    """
    def run(lr, epochs): ...
    """: "must take one argument, the configuration, got (lr, epochs); "
    "write def train(config): return run(lr=config['lr'], epochs=config['epochs'])",
    """
    def run(a=1, b=2, c=3, d=4, e=5): ...
    """: "must take one argument, the configuration, got (a=1, b=2, c=3, d=4, e=5); "
    "write def train(config): return run(a=config['a'], b=config['b'], c=config['c'], d=config['d'], ...)",
    """
    def run(config, data, labels): ...
    """: "must take one argument, the configuration, got (config, data, labels); "
    "bind 'data' and 'labels' with ray.tune.with_parameters",
    """
    def run(): ...
    """: "must take one argument, the configuration, got ()",
    """
    import argparse
    def run():
        parser = argparse.ArgumentParser()
        return parser.parse_args()
    """: "reads its arguments from the command line (argparse); "
    "write a function that takes the trial's configuration instead",
    """
    def run(argv=None):
        return parser.parse_args(argv)
    """: "reads its arguments from the command line (argparse); "
    "write a function that takes the trial's configuration instead",
    """
    import sys
    def run():
        return float(sys.argv[1])
    """: "reads its arguments from the command line (sys.argv); "
    "write a function that takes the trial's configuration instead",
    """
    import fire
    def run():
        fire.Fire(print)
    """: "reads its arguments from the command line (fire); "
    "write a function that takes the trial's configuration instead",
    """
    async def run(config):
        return 0.0
    """: "is asynchronous, so a call only returns a coroutine; "
    "write def train(config): return asyncio.run(run(config))",
    """
    def run(trial):
        return trial.suggest_float("lr", 0.0, 1.0)
    """: "gets its hyperparameters from an Optuna trial; "
    "write {kind: optuna_objective, objective: train.py:run}",
}

TAKEN = [
    "def run(config): ...",
    "def run(lr): ...",
    "def run(config=None): ...",
    "def run(config, epochs=3): ...",
    "def run(*arguments): ...",
    "def run(*args, **kwargs): ...",
    "def run(args): ...",
    "def run(config): return parser.parse_args([])",
    "def run(config): return FixedTrial(config).suggest_float('lr', 0, 1)",
    "def run(trial): return trial['lr']",
]


def function_of(text: str):
    names: dict = {}
    exec(textwrap.dedent(text).replace("import fire\n", ""), names)
    return names["run"]


@pytest.fixture
def hydra(tmp_path) -> Iterator[types.ModuleType]:
    path: Path = tmp_path / "main.py"
    path.write_text(HYDRA)
    spec = importlib.util.spec_from_file_location("hydra.main", path)
    module = importlib.util.module_from_spec(present(spec))
    sys.modules["hydra.main"] = module
    present(present(spec).loader).exec_module(module)
    yield module
    del sys.modules["hydra.main"]


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text.split("def ")[1].splitlines()[0])
def test_an_unsuitable_function_is_refused_with_the_way_to_write_it(text):
    assert misfit(function_of(text), "train.py:run") == f"the function 'train.py:run' {REFUSED[text]}"


@pytest.mark.parametrize("text", TAKEN)
def test_a_function_of_the_configuration_is_accepted(text):
    assert misfit(function_of(text), "train.py:run") is None


def test_a_bound_or_wrapped_function_is_judged_by_how_it_is_called():
    assert misfit(functools.partial(function_of("def run(config, data): ..."), data=3), "x:run") is None
    assert misfit(print, "builtins:print") is None
    wrapped = functools.wraps(function_of("def run(lr=0.1): ..."))(lambda *given: None)
    assert "got (lr=0.1)" in present(misfit(wrapped, "x:run"))


def test_a_hydra_program_is_refused_with_the_way_to_compose_its_configuration(hydra):
    @hydra.main(config_path="conf", config_name="train", version_base=None)
    def run(cfg): ...

    assert misfit(run, "train.py:run") == (
        "'train.py:run' is decorated with @hydra.main, which reads its arguments from the command line; "
        "write a function that takes the trial's configuration, calls "
        "hydra.initialize(config_path='conf', version_base=None), then "
        "cfg = hydra.compose('train', [f'++{key}={value}' for key, value in config.items()]), "
        "and returns run.__wrapped__(cfg)"
    )


def test_a_click_command_is_refused_with_the_way_to_call_it():
    click = pytest.importorskip("click")

    @click.command()
    @click.option("--lr", default=0.1)
    @click.option("--batch-size", default=3)
    def run(lr, batch_size): ...

    assert misfit(run, "train.py:run") == (
        "'train.py:run' is a click command, which reads its arguments from the command line; "
        "write def train(config): return run.callback(lr=config['lr'], batch_size=config['batch_size'])"
    )
