"""Notebooks: executed, self-contained, small, and made of the public packages."""

import ast
import json
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
PACKAGES = {"features", "matching", "training", "service", "matplotlib", "numpy", "pandas"} | sys.stdlib_module_names
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
