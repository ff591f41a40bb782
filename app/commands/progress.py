"""A progress bar for work whose size is known: how far, how fast, how long still."""

from __future__ import annotations

from typing import Self


class Steps:
    """Several bars, one after the other, told by name how far they are."""

    def __init__(self) -> None:
        self._bar: Counting | None = None
        self._what = ""

    def update(self, what: str, done: int, total: int) -> None:
        """How much of what is done."""
        if what != self._what:
            self.__exit__()
            self._what, self._bar = what, Counting(what, total).__enter__()
        if self._bar is not None:
            self._bar.update(done)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.__exit__()
            self._bar = None


class Counting:
    """Shows ``done/total`` on the error output while it is a terminal; a context manager."""

    def __init__(self, what: str, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(what, total=total)

    def update(self, done: int) -> None:
        """How many are done."""
        self._bar.update(self._task, completed=done)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()
