"""Lists the commands: `python -m nam`."""

import ast
from importlib import resources

COMMANDS = ("train", "evaluate", "predict", "export", "study", "report", "ship")

if __name__ == "__main__":
    for name in COMMANDS:
        code = resources.files("nam").joinpath(f"{name}.py").read_text()  # importing it would take seconds
        print(f"nam.{name:10}{ast.get_docstring(ast.parse(code))}")
    print("Each tells its flags with --help.")
