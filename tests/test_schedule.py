import numpy as np
import pytest

from nam import events, schedule
from nam.callbacks import STATE, Resume
from nam.config import Config
from nam.runs import Run
from tests.small import run


def rates(values=(), **fields):
    config = Config(**{"epochs": 4, "learning_rate": 1e-3, "schedule": "exponential", **fields})
    return [schedule.learning_rate(config, epoch, values[:epoch]) for epoch in range(max(4, len(values) + 1))]


def test_schedules():
    np.testing.assert_allclose(rates(), [1e-3 * 0.97**e for e in range(4)])
    np.testing.assert_allclose(rates(decay=0.1, learning_rate_min=1e-4), [1e-3, 1e-4, 1e-4, 1e-4])
    np.testing.assert_allclose(rates(schedule="constant"), 1e-3)
    cosine = [1e-3, 1e-3 * (0.5 + 0.5**1.5), 0.5e-3, 1e-3 * (0.5 - 0.5**1.5)]
    np.testing.assert_allclose(rates(schedule="cosine", learning_rate_min=0), cosine)


def test_the_rate_rises_to_its_schedule():
    np.testing.assert_allclose(rates(schedule="constant", warmup=2), [1e-3 / 3, 2e-3 / 3, 1e-3, 1e-3])
    np.testing.assert_allclose(rates(warmup=1), [0.5e-3, *(1e-3 * 0.97**e for e in (1, 2, 3))])


def test_the_deviation_is_annealed_along_a_line():
    config = Config(exploration="annealed", std=0.3, std_end=0.1, epochs=5)
    stds = [schedule.std(config, epoch) for epoch in range(5)]
    np.testing.assert_allclose(stds, [0.3, 0.3 - 0.2 / 3, 0.1 + 0.2 / 3, 0.1, 0.1])
    assert schedule.std(config.model_copy(update={"epochs": 1}), 0) == 0.3


def test_a_plateau_lowers_the_rate_and_must_last_as_long_again():
    values = [0.5, 0.6, 0.6, 0.59, 0.5, 0.61, 0.6]
    halved = rates(values, schedule="plateau", decay=0.5, plateau=2, learning_rate=1, learning_rate_min=0.3)
    np.testing.assert_allclose(halved, [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5])
    every = rates(values, schedule="plateau", decay=0.5, plateau=1, learning_rate=1, learning_rate_min=0.3)
    np.testing.assert_allclose(every, [1, 1, 1, 0.5, 0.3, 0.3, 0.3, 0.3])


@pytest.mark.parametrize(("patience", "ends"), [(1, 3), (2, 4), (3, None), (None, None)])
def test_training_is_over_when_patience_is(patience, ends):
    values = [0.5, 0.6, 0.6, 0.59, 0.7]
    over = [schedule.is_over(Config(patience=patience), values[:n]) for n in range(len(values) + 1)]
    assert over.index(True) == ends if ends else not any(over)


def test_early_stopping_and_the_plateau_go_on_alike_after_an_interruption(tmp_path, monkeypatch):
    fields = dict(model="fc", learning_rate=0.03, schedule="plateau", decay=0.3, patience=2, epochs=40)
    whole = run(tmp_path / "whole", **fields)
    assert whole["best_epoch"] + 2 == whole["epochs"] < 40
    accuracies = events.history(Run(tmp_path / "whole" / "runs" / "run"))["val_accuracy"]
    assert whole["validation"]["deterministic"] == pytest.approx(max(accuracies)) and accuracies[-1] < max(accuracies)
    stop_at = whole["epochs"] - 1  # the rate has been lowered, and one more epoch without a better one will end it

    kept = Resume.on_epoch_end

    def breaks(self, epoch, logs=None):
        kept(self, epoch, logs)
        if epoch + 1 >= stop_at:
            raise RuntimeError("no more")

    histories = []
    monkeypatch.setattr(Resume, "finish", lambda self: histories.append(self.history))
    for stops in (stop_at, whole["epochs"]):  # also between the last epoch and the final test
        stop_at = stops
        with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="no more"):
            patch.setattr(Resume, "on_epoch_end", breaks)
            run(tmp_path / "broken", **fields)
        assert (tmp_path / "broken" / "runs" / "run" / STATE).exists()
    again = run(tmp_path / "broken", **fields)
    run(tmp_path / "other", **fields)
    assert {name: again[name] for name in ("test", "epochs", "best_epoch")} == {
        name: whole[name] for name in ("test", "epochs", "best_epoch")
    }
    assert len({epoch["learning_rate"] for epoch in histories[0]}) > 1
    timeless = [[{k: v for k, v in e.items() if "second" not in k} for e in history] for history in histories]
    assert timeless[0] == timeless[1]
