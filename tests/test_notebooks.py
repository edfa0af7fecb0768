"""The notebooks run, and are committed as they ran."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
QUICK = ("01_glimpses", "04_std", "08_summary")


@pytest.mark.parametrize(
    "path", [pytest.param(p, id=p.stem, marks=() if p.stem in QUICK else pytest.mark.slow) for p in NOTEBOOKS]
)
def test_a_notebook_runs(path):
    book = nbformat.read(path, 4)
    before = texts(book)
    NotebookClient(book, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}).execute()
    assert any("image/png" in output.get("data", {}) for cell in book.cells for output in cell.get("outputs", ()))
    if path.stem != "00_quickstart":  # which trains, and tells how fast
        assert texts(book) == before, "logs/ or nam say something else now: run the notebook and commit it anew"


def texts(book):
    """All tables and sentences that a notebook shows."""
    outputs = [output for cell in book.cells for output in cell.get("outputs", ())]
    return [output["data"]["text/markdown"] for output in outputs if "text/markdown" in output.get("data", {})]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_as_it_ran(path):
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {"display_data", "execute_result", "stream"}
    assert all(output.get("name") != "stderr" for output in outputs)
    texts = [str(output.get("text", output.get("data", {}).get("text/markdown", ""))) for output in outputs]
    assert not [text for text in texts if re.search(r"(^|[\s'\"])/\w+/\w+", text)]  # no path of a machine
