"""The live output of a sweep in a notebook."""

import re
import warnings

import nbformat
import pytest

from tests.present import present

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # raised by libraries that import each other by former paths
    from nbclient import NotebookClient

TRAIN = """
import time

import tuner
from ray import tune

def train(config):
    for step in range(1, 6):
        time.sleep(0.2)
        if config["kind"] == "<b>bad</b>" and step == 2:
            raise ValueError("<img src=x>")
        tune.report({"loss": config["x"] + 1 / step})
"""
RUN = """
sweep = tuner.Sweep(
    trainable=train,
    space={{"x": tuner.Float(0, 1), "kind": tuner.Choice(["good", "<b>bad</b>"])}},
    objective=tuner.Objective(metric="loss", mode="min"),
    budget=tuner.Budget(trials=6, iterations=5, retries=0),
    searcher="random",
    out={out!r},
)
report = tuner.run(sweep)
"""
COUNT = "print(len(report.trials), sorted({str(trial.cause) for trial in report.trials}))"


class WatchingClient(NotebookClient):
    """A notebook client that keeps every version of an updated output."""

    versions: list[str]

    def process_message(self, msg, cell, cell_index):
        if msg["msg_type"] == "update_display_data":
            self.versions.append(msg["content"]["data"]["text/html"])
        return super().process_message(msg, cell, cell_index)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_sweep_in_a_notebook_has_one_live_output(tmp_path):
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [
        nbformat.v4.new_code_cell(code) for code in (TRAIN, RUN.format(out=str(tmp_path)), COUNT)
    ]
    client = WatchingClient(notebook, timeout=150, kernel_name="python3")
    client.versions = []
    client.execute()
    _, run, count = notebook.cells
    shown = [output for output in run.outputs if "text/html" in output.get("data", {})]
    assert len(shown) == 1
    assert shown[0].data["text/html"] == client.versions[-1]
    done = [int(present(re.search(r'aria-valuenow="(\d+)"', version))[1]) for version in client.versions]
    assert len(done) >= 3
    assert done == sorted(done)
    assert done[0] < done[-1] == 100
    first, last = client.versions[0], client.versions[-1]
    assert "6 trials of" in first
    assert re.search(r"<dt>trials</dt><dd>6/6 · \d completed, \d failed</dd>", last)
    assert "ValueError: &lt;img src=x&gt;" in last
    assert not any(tag in version for version in client.versions for tag in ("<b>bad", "<img", "<script"))
    printed = "".join(output.get("text", "") for output in run.outputs)
    assert "\x1b" not in printed
    assert count.outputs[0].text == "6 ['None', 'ValueError: <img src=x>']\n"
