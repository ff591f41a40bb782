"""The command line: ``roadlens COMMAND``. One module of ``app.commands`` a command; errors end in one clear line.

Exit codes: 0 all done; 1 part of the work failed (named in the output); 2 the input or the options cannot be used;
130 interrupted (what was written is whole and named).
"""

from __future__ import annotations

import logging
import sys
from importlib import import_module

import typer
from rich.console import Console
from rich.markup import escape

from app import __version__
from app.signals import EXIT_INTERRUPTED
from geometry.errors import InputError

EXIT_INPUT = 2

# "group command" -> module:function. The modules are light: what is heavy is imported inside the functions.
COMMANDS: dict[str, str] = {
    "run": "app.commands.run:run",
    "batch": "app.commands.batch:batch",
    "replay": "app.commands.replay:replay",
    "report": "app.commands.report:report",
    "mine": "app.commands.mine:mine",
    "ui": "app.commands.ui:ui",
    "bench": "app.commands.bench:bench",
    "calibrate chessboard": "app.commands.calibrate_chessboard:calibrate_chessboard",
    "calibrate road": "app.commands.calibrate_road:calibrate_road",
    "stereo": "app.commands.stereo:stereo",
    "calibrate fov": "app.commands.calibrate_fov:calibrate_fov",
    "eval detect": "app.commands.eval_detect:eval_detect",
    "eval distance": "app.commands.eval_distance:eval_distance",
    "eval lane": "app.commands.eval_lane:eval_lane",
    "eval track": "app.commands.eval_track:eval_track",
    "eval follow": "app.commands.eval_follow:eval_follow",
    "eval tune-track": "app.commands.eval_track:tune_track",
    "quantize": "app.commands.quantize:quantize",
    "models": "app.commands.models:models",
    "train": "app.commands.train:train",
    "train-lanes": "app.commands.train_lanes:train_lanes",
    "export": "app.commands.export:export",
    "scene": "app.commands.scene:scene",
}
GROUPS = {
    "eval": "Measure against truth: detection, tracking, distance, lanes.",
    "calibrate": "Find your camera's intrinsics and mount.",
}

EXAMPLES: dict[str, str] = {
    "run": "drive.mp4 --camera mycar.toml --end 10",
    "batch": "clips/ --out results --jobs 2",
    "replay": "results/drive --out again",
    "report": "results/drive",
    "mine": "results/drive --count 30",
    "ui": "--port 8502",
    "bench": "drive.mp4 --frames 200",
    "calibrate chessboard": "photos/ --out mycar.toml",
    "calibrate road": "drive.mp4 --fov 65 --lane-width 3.5 --out mycar.toml",
    "calibrate fov": "90 --height 1.3 --out mycar.toml",
    "stereo": "left.png right.png --baseline 0.54 --camera kitti",
    "eval distance": "kitti/0005 --detector auto",
    "models": "mine.onnx",
    "export": "results/drive --format csv,mcap",
    "scene": "city --camera kitti --out scene",
}
"""What follows the command in the example at the end of its help."""

app = typer.Typer(
    name="roadlens",
    help="What is on the road ahead, in metres: objects, distances, lanes, tracks and warnings from a dashcam clip.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"roadlens {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Print the version."),
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Say which choices were made, such as the device."),
) -> None:
    """Options of every command."""
    if verbose:
        logging.basicConfig(format="%(message)s")
        logging.getLogger("roadlens").setLevel(logging.INFO)


def _register() -> None:
    groups: dict[str, typer.Typer] = {}
    for words, target in COMMANDS.items():
        module, function = target.split(":")
        *group, name = words.split()
        parent = app
        if group:
            if group[0] not in groups:
                groups[group[0]] = typer.Typer(no_args_is_help=True)
                app.add_typer(groups[group[0]], name=group[0], help=GROUPS[group[0]])
            parent = groups[group[0]]
        command = getattr(import_module(module), function)
        told = " ".join((command.__doc__ or "").split())  # line breaks of the source are none of the list's
        example = f"Example: roadlens {words} {EXAMPLES[words]}" if words in EXAMPLES else None
        parent.command(name, short_help=told, epilog=example)(command)


_register()


def main() -> None:
    """Entry point of the ``roadlens`` script."""
    stderr = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        app()
    except InputError as error:
        stderr.print("[bold red]roadlens:[/]", escape(str(error)))
        sys.exit(EXIT_INPUT)
    except KeyboardInterrupt:
        stderr.print("[bold yellow]roadlens:[/] interrupted")
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
