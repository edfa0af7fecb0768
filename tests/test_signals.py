"""Signals while a run is computed."""

import os
import signal

import pytest

from nam.signals import Signals, Stopped


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Stopped)])
def test_a_signal_waits_for_a_safe_place(number, kind, capfd):
    before = signal.signal(number, signal.SIG_DFL)  # a script's background jobs start with SIGINT ignored
    with Signals() as signals:
        signals.check()
        os.kill(os.getpid(), number)
        assert "stopping at the end of this step" in capfd.readouterr().err
        with pytest.raises(kind):
            signals.check()
        with pytest.raises(kind):  # the second time it does not wait
            os.kill(os.getpid(), number)
    assert signal.signal(number, before) == signal.SIG_DFL


def test_what_the_shell_ignores_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Signals() as signals:
            os.kill(os.getpid(), signal.SIGINT)
            signals.check()
    finally:
        signal.signal(signal.SIGINT, before)
