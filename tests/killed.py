"""A command that kills itself, as `kill -9` does: `python -m tests.killed MOMENT MODULE WORDS…`.

MOMENT is a name of `MOMENTS`, or a number of seconds after training began.
"""

import os
import runpy
import signal
import sys
import threading
from pathlib import Path

import keras
import numpy as np

from nam import callbacks, files, runs, study


def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner, name, count=1):
    """Kills at the beginning of the `count`th call."""
    call, calls = getattr(owner, name), []

    def counted(*args, **kwargs):
        calls.append(name)
        return die() if len(calls) == count else call(*args, **kwargs)

    setattr(owner, name, counted)


def half_a_model():
    def save(self, path, **how):
        saved.append(path)
        if len(saved) == 2:
            Path(path).write_bytes(b"half")
            die()
        whole(self, path, **how)

    saved, whole, keras.Model.save = [], keras.Model.save, save


def half_a_state():
    def savez(file, **arrays):
        if len(arrays["meta"].item().split("val_loss")) > 2:  # the second epoch's
            file.write(b"half")
            file.flush()
            die()
        whole(file, **arrays)

    whole, np.savez = np.savez, savez


def half_a_result():
    def write(self, name, values):
        if name != "result.json":
            return whole(self, name, values)
        with files.replacing(self.path / name) as temporary:
            temporary.write_text('{"epochs": 3, ')
            return die()

    whole, runs.Run.write = runs.Run.write, write


MOMENTS = {
    "before the first batch": lambda: before(callbacks.Epochs, "on_epoch_begin"),
    "in an epoch": lambda: before(callbacks.Epochs, "on_train_batch_end", 20),
    "before the model is saved": lambda: before(callbacks.Resume, "_save_model", 2),
    "while the model is saved": half_a_model,
    "while the state is saved": half_a_state,
    "while the result is written": half_a_result,
    "before the state is removed": lambda: before(callbacks.Resume, "finish"),
    "between two runs of a study": lambda: before(study, "_told"),
}


def main():
    moment, module, *words = sys.argv[1:]
    if moment in MOMENTS:
        MOMENTS[moment]()
    else:
        begin = callbacks.Epochs.on_train_begin

        def on_train_begin(self, logs=None):
            timer = threading.Timer(float(moment), die)
            timer.daemon = True  # or a run that has ended would wait for it
            timer.start()
            begin(self, logs)

        callbacks.Epochs.on_train_begin = on_train_begin
    sys.argv = [module, *words]
    if module == "nam.study":
        sys.exit(study.main(words))
    runpy.run_module(module, run_name="__main__")


if __name__ == "__main__":
    main()
