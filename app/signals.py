"""Ctrl-C and termination end work in order: the first asks it to stop, the second interrupts it where it is."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

EXIT_INTERRUPTED = 130
"""Exit code of a command that a signal ended in good order: 128 and SIGINT's number, as shells have it."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_on_signals(tell: Callable[[str], Any] = lambda text: None) -> Iterator[Callable[[], bool]]:
    """Within the block SIGINT and SIGTERM only set a flag; yields the function that reads it.

    Args:
        tell: shows a person what was understood.
    """
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        tell("stopping: the files are being closed (once more to give up at once)")

    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set  # only the main thread may handle signals
        return
    before = {number: signal.signal(number, ask) for number in _SIGNALS}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
