"""Stages of one clip at the same time: each iterator works ahead of its consumer in a thread of its own.

Decoding, the network, drawing and encoding leave Python's lock while they work, so threads are enough and no picture
is ever copied between processes. Results stay in order because each stage is one thread.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

T = TypeVar("T")

DEPTH = 4  # evens out frames that take longer: 2 cost a tenth of the speed on two cores; more only holds more pictures


def ahead(items: Iterable[T], *, name: str, depth: int = DEPTH) -> Generator[T, None, None]:
    """The same items in the same order, made by a thread that runs up to ``depth`` items ahead.

    What the iterator raises is raised here, after the items before it. Closing this generator ends the thread and
    closes the iterator in it; so does an exception of the consumer.
    """
    waiting: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(depth)
    stopped = threading.Event()
    thread = threading.Thread(target=_work, args=(items, waiting, stopped), name=f"roadlens-{name}", daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if error is not None:
                if isinstance(error, StopIteration):
                    return
                raise error
            yield item  # type: ignore[misc]  # only an error comes without an item
            item = None  # a picture is free for reuse when nobody holds it
    finally:
        stopped.set()
        while thread.is_alive():
            _drain(waiting)  # makes room for a thread that waits for it
            thread.join(timeout=0.02)


def _drain(waiting: queue.Queue) -> None:
    while True:
        try:
            waiting.get_nowait()
        except queue.Empty:
            return


def _work(items: Iterable[T], waiting: queue.Queue, stopped: threading.Event) -> None:
    iterator = iter(items)
    try:
        for item in iterator:
            if stopped.is_set():
                return
            waiting.put((item, None))
            del item
        waiting.put((None, StopIteration()))
    except BaseException as error:  # raised again in the consumer's thread
        waiting.put((None, error))
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            close()
