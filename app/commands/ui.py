"""``roadlens ui``: the page, on this machine only unless told otherwise."""

from __future__ import annotations

from typing import Annotated, Any

import typer

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
# Okabe and Ito's palette, darkened or lightened until it reads on its ground: at least 4.5 to 1, WCAG 2.2, 1.4.3.
_LIGHT = {"primaryColor": "#0072B2", "backgroundColor": "#FFFFFF", "secondaryBackgroundColor": "#EEF2F5",
          "textColor": "#1B2024", "linkColor": "#0063A0", "borderColor": "#C6CFD6"}  # fmt: skip
_DARK = {"primaryColor": "#3AA0DC", "backgroundColor": "#101316", "secondaryBackgroundColor": "#1C2126",
         "textColor": "#F2F4F6", "linkColor": "#7CC4EE", "borderColor": "#39424A"}  # fmt: skip
_SERIES = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"]


def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 8501,
    address: Annotated[
        str,
        typer.Option(
            help="Address to listen on. Anything but this machine's own needs a login before it: docs/page.md."
        ),
    ] = "127.0.0.1",
    live: Annotated[
        bool | None,
        typer.Option(help="Let visitors open this machine's webcams and streams; on where only it can be reached."),
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")] = False,
) -> None:
    """Open the page in a browser; it listens on this machine only."""
    import os

    alone = address in LOOPBACK
    os.environ["ROADLENS_LIVE"] = "1" if (alone if live is None else live) else "0"
    if not alone:
        typer.echo(
            f"roadlens: listening on {address}: everybody who reaches this machine can use the page. "
            "Put a login before it, docs/page.md says how.",
            err=True,
        )
    from app.web.server import build

    build().run(config=server_options(address, port, no_browser=no_browser))


def server_options(address: str, port: int, *, no_browser: bool) -> dict[str, Any]:
    """Streamlit's settings: nothing leaves this machine unasked, nothing for developers on the screen, our colours."""
    options: dict[str, Any] = {
        "server.address": address,  # clips show where people live
        "server.port": port,
        "server.headless": no_browser,
        "server.fileWatcherType": "none",
        "server.maxUploadSize": 1,  # MB; clips come by a route of our own
        "server.disconnectedSessionTTL": 30,
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,
        "theme.chartCategoricalColors": _SERIES,
        "theme.paddingTop": "2rem",
    }
    for name, colours in (("light", _LIGHT), ("dark", _DARK)):
        options |= {f"theme.{name}.{key}": value for key, value in colours.items()}
    return options
