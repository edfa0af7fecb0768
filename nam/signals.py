"""Ctrl-C and SIGTERM while a run is computed."""

import os
import signal
import threading
from collections.abc import Callable
from typing import Any


class Stopped(BaseException):
    """The process was asked to end (SIGTERM); like KeyboardInterrupt, not an error."""


STOPS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Stopped}
NOTICE = "\nstopping at the end of this step; once more stops at once\n"


class Signals:
    """SIGINT and SIGTERM are answered at once, and obeyed at the next `check`, or when they come a second time.

    Left to Python, KeyboardInterrupt is raised anywhere: inside TensorFlow it has been seen to get lost. A `handler`,
    of the number and the frame, does otherwise with them.
    """

    def __init__(self, handler: Callable[[int, Any], None] | None = None):
        self._handler = handler or self._receive
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Signals":
        if threading.current_thread() is threading.main_thread():  # no other thread may set them
            for number in STOPS:
                if signal.getsignal(number) != signal.SIG_IGN:  # as in the background of a script
                    self._before[number] = signal.signal(number, self._handler)
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, _frame) -> None:
        if self.received is not None:
            raise STOPS[number]
        self.received = number
        os.write(2, NOTICE.encode())  # print is not safe in a handler

    def check(self) -> None:
        """Raises `KeyboardInterrupt` or `Stopped` if a signal has come."""
        if self.received is not None:
            raise STOPS[self.received]
