"""Notebooks: executed, self-contained, small, and made of the public packages."""

import ast
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest

from tests.market import RATES, usual
from training.lists import ACCEPTED
from training.metrics import ndcg, paired_difference
from training.ranker import RankerParameters
from training.sensitivity import judge
from training.simulation.postings import DAY
from training.splits import holdout
from training.train import train

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
PACKAGES = {
    "features",
    "matching",
    "training",
    "service",
    "matplotlib",
    "mlflow",
    "numpy",
    "pandas",
} | sys.stdlib_module_names
LONGEST_HELPER = 3
LARGEST_OUTPUTS = 400_000
ABSOLUTE = re.compile(r"(?<![\w.:/<])/(home|root|Users|tmp|var|usr|opt|work|mnt)/|[A-Z]:\\\\")


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.name)
def notebook(request: pytest.FixtureRequest) -> Any:
    return nbformat.read(request.param, as_version=4)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def parsed(notebook: Any) -> ast.Module:
    lines = "\n".join(cell.source for cell in code_cells(notebook)).splitlines()
    return ast.parse("\n".join(line for line in lines if not line.startswith("%")))


def test_a_notebook_is_of_format_4_and_begins_with_a_title(notebook: Any) -> None:
    nbformat.validate(notebook)
    assert notebook.nbformat == 4
    assert notebook.cells[0].cell_type == "markdown"
    assert notebook.cells[0].source.startswith("# ")


def test_every_code_cell_was_executed_in_order_and_none_failed(notebook: Any) -> None:
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [output for cell in cells for output in cell.outputs if output.output_type == "error"]


def test_nothing_in_a_notebook_belongs_to_a_machine_or_a_moment(notebook: Any) -> None:
    assert not ABSOLUTE.search(json.dumps([{**cell, "outputs": images_left_out(cell)} for cell in notebook.cells]))
    assert not [cell.id for cell in notebook.cells if "execution" in cell.metadata]
    # A progress bar or a warning writes there.
    assert not [output for cell in code_cells(notebook) for output in cell.outputs if output.get("name") == "stderr"]


def images_left_out(cell: Any) -> list[Any]:
    return [
        {**output, "data": {kind: data for kind, data in output.get("data", {}).items() if kind != "image/png"}}
        for output in cell.get("outputs", [])
    ]


def test_outputs_are_small(notebook: Any) -> None:
    assert len(json.dumps([cell.outputs for cell in code_cells(notebook)])) < LARGEST_OUTPUTS


def test_a_notebook_calls_the_packages_and_does_not_redefine_them(notebook: Any) -> None:
    for node in ast.walk(parsed(notebook)):
        assert not isinstance(node, ast.ClassDef | ast.AsyncFunctionDef)
        if isinstance(node, ast.FunctionDef):
            assert node.body[-1].end_lineno - node.lineno <= LONGEST_HELPER, f"{node.name} belongs into a package"


def test_a_notebook_imports_the_public_packages_alone(notebook: Any) -> None:
    imported = {
        name
        for node in ast.walk(parsed(notebook))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [str(node.module)]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert {name.split(".")[0] for name in imported} <= PACKAGES
    assert not [name for name in imported if any(part.startswith("_") for part in name.split("."))]


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


def test_where_nothing_is_changed_the_second_notebook_shows_no_change() -> None:
    found = usual()[1]
    late = np.where((found.labels == 0) & (np.random.default_rng(0).random(len(found.labels)) < 0.05), ACCEPTED, 0)
    # What came late is judged too, and training waits longer for it than for labels.
    rows = replace(found, late=late.astype(np.int8), patience=2 * DAY)
    parameters = RankerParameters(min_trees=20, max_trees=25, folds=2, num_threads=1)
    trained = train(rows, RATES.fingerprint(), parameters)
    assert (trained.last.rows.relevance != trained.last.rows.labels).any()
    cells = nbformat.read(NOTEBOOKS[0].with_name("02_train_a_ranker.ipynb"), as_version=4).cells
    (variants,) = [cell.source.partition("\nchanges = ")[0] for cell in cells if cell.id == "variants"]
    names: dict[str, Any] = {"rows": rows, "trained": trained, "judged": trained.last.rows}
    names |= {each.__name__: each for each in (holdout, judge, ndcg, paired_difference, RankerParameters)}
    exec(variants, names)  # a cell of this repository
    assert names["changed"](rows, parameters) == {"value": 0.0, "low": 0.0, "high": 0.0}
    noise = {"noise": np.random.default_rng(0).normal(size=len(rows.labels))}
    shaken = names["changed"](rows.with_columns(noise), parameters)
    assert shaken["low"] < 0.0 < shaken["high"]
