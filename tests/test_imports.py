"""The rooms of the package import one way, and TensorFlow only where a file of its own is read."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import nam

ROOT = Path(nam.__file__).parent
# The table "Where things live" tells the rooms in the order in which they may import each other.
TABLE = re.findall(r"^\| .* \| ((?:`\w+` ?)+) \|$", (ROOT.parent / "CONTRIBUTING.md").read_text(), re.MULTILINE)
ORDER = [room for rooms in TABLE for room in rooms.replace("`", "").split()]


def imports(path):
    """Modules imported anywhere in a file, and those at its top level."""
    tree = ast.parse(path.read_text())
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node in tree.body) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [
                (f"{node.module}.{alias.name}" if node.module == "nam" else node.module, node in tree.body)
                for alias in node.names
            ]
    return found


def test_imports_go_one_way():
    assert len(ORDER) == len({*ORDER}) > 30
    for path in ROOT.rglob("*.py"):
        room = path.relative_to(ROOT).with_suffix("").parts[0]
        if room == "__init__":
            continue
        for module, _ in imports(path):
            parts = module.split(".")
            if parts[0] == "nam" and len(parts) > 1:
                assert ORDER.index(parts[1]) <= ORDER.index(room), f"{path.name} imports {module}"


@pytest.mark.parametrize("name", [path.stem for path in ROOT.parent.glob("benchmarks/*.py")])
def test_benchmarks_import_what_there_is(name):
    if name == "peer":
        pytest.importorskip("torch")
    importlib.import_module(f"benchmarks.{name}")


def test_tensorflow_is_imported_only_where_it_is_needed():
    users = {
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*.py")
        for module, _ in imports(path)
        if module.split(".")[0].startswith("tensorflow")
    }
    assert users == {"data/sources.py", "models/ram.py"}
    for path in ROOT.rglob("*.py"):
        assert not [module for module, top in imports(path) if top and module.startswith("tensorflow")]


def test_the_package_lists_its_commands_without_loading_them():
    told = subprocess.run([sys.executable, "-m", "nam"], capture_output=True, text=True, check=True).stdout
    commands = {path.stem for path in ROOT.glob("*.py") if "command.run(" in path.read_text()} - {"command"}
    assert commands == {line[4:].split()[0] for line in told.splitlines()[:-1]}


def test_a_misspelt_flag_is_told_without_loading_keras():
    light = ("train", "evaluate", "predict", "export", "study")
    code = f"import sys, {', '.join(f'nam.{name}' for name in light)}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "nam.train" in loaded and not {"keras", "tensorflow", "jax", "matplotlib"} & {*loaded}
