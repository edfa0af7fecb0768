"""Lists the commands: `python -m nam`."""

from importlib import import_module

COMMANDS = ("train", "evaluate", "predict", "export", "study", "report", "ship")

if __name__ == "__main__":
    for name in COMMANDS:
        print(f"nam.{name:10}{import_module(f'nam.{name}').__doc__}")
    print("Each tells its flags with --help.")
