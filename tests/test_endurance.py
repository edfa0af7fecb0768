"""A long run: memory, open files and compiling stay as they are."""

import functools
import gc

import numpy as np
import psutil
import pytest

from nam import callbacks
from nam.models import RecurrentAttention
from tests.small import run

EPOCHS = 300


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_long_run_takes_no_more_as_it_goes(tmp_path, monkeypatch):
    process, memory, files, traces, traced = psutil.Process(), [], [], [], []
    call, ended = RecurrentAttention.call, callbacks.Obey.on_epoch_end

    @functools.wraps(call)  # Keras looks at its arguments
    def counted(self, *args, **kwargs):
        traced.append(1)  # Python runs it only while it is traced
        return call(self, *args, **kwargs)

    def watched(self, epoch, logs=None):
        gc.collect()
        memory.append(process.memory_info().rss)
        files.append(process.num_fds())
        traces.append(len(traced))
        ended(self, epoch, logs)

    monkeypatch.setattr(RecurrentAttention, "call", counted)
    monkeypatch.setattr(callbacks.Obey, "on_epoch_end", watched)
    result = run(tmp_path, epochs=EPOCHS, train_size=256, execution={"jit": "on", "no_pictures": False})
    assert result["epochs"] == EPOCHS == len(memory)
    assert np.median(memory[-20:]) < 1.05 * np.median(memory[10:30])
    assert max(files[10:]) <= files[10]
    assert traces[-1] == traces[0]
    print(f"memory {memory[10] / 2**20:.0f} to {memory[-1] / 2**20:.0f} MiB, {files[-1]} files, {traces[-1]} traces")
