"""Execute notebooks in place, leaving nothing in them that another run or machine would change.

Usage: ``python notebooks/execute.py NOTEBOOK...``
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

SECONDS_FOR_A_CELL = 600


def execute(path: Path) -> None:
    """Run a notebook in its own folder and write it back; if a cell fails, the file stays as it was.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=SECONDS_FOR_A_CELL,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    # The rest of what the kernel tells of itself differs between patch releases of Python.
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f"Executing {name}", flush=True)
        execute(Path(name))
