"""``roadlens ui``: the page, on this machine only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

PAGE = Path(__file__).resolve().parents[1] / "ui" / "page.py"


def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 8501,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")] = False,
) -> None:
    """Open the page in a browser; it listens on this machine only."""
    from geometry.errors import InputError

    if not PAGE.is_file():
        raise InputError(f"the page is not here ({PAGE}); is this installation whole?")
    options = {
        "server.address": "127.0.0.1",  # clips show where people live: nothing leaves this machine unasked
        "server.port": str(port),
        "server.headless": "true" if no_browser else "false",
        "browser.gatherUsageStats": "false",
    }
    command = [sys.executable, "-m", "streamlit", "run", str(PAGE)]
    command += [f"--{name}={value}" for name, value in options.items()]
    raise typer.Exit(subprocess.call(command))
