"""``roadlens stereo``: depth from a rectified pair, and depth in the boxes of what the detector sees."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from geometry.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from geometry.stereo import StereoDepth


def stereo(
    left: Annotated[Path, typer.Argument(help="The left picture of a rectified pair.")],
    right: Annotated[Path, typer.Argument(help="The right one.")],
    baseline: Annotated[float, typer.Option(help="From the left to the right lens, metres.")],
    camera: Annotated[str, typer.Option(help="Profile of the left camera: a name or a TOML file.")] = "generic",
    detector: Annotated[str | None, typer.Option(help="Model file or name; default the embedded one.")] = None,
    no_boxes: Annotated[bool, typer.Option("--no-boxes", help="Depth only, no detector.")] = False,
    nearest: Annotated[float, typer.Option(help="What is nearer than this, metres, need not be found.")] = 3.0,
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("out/stereo"),
) -> None:
    """Depth from two cameras by semi-global matching: a depth map, and the distance of every object in it."""

    from geometry.profiles import load_profile
    from geometry.stereo import range_in_boxes, stereo_depth

    console = Console()
    bgr, other = read(left), read(right)
    lens = load_profile(camera).for_size(bgr.shape[1], bgr.shape[0])
    if lens.distortion.model != "none":
        raise InputError(f"camera {camera!r} has a distorting lens: rectify the pair, and give the rectified camera")
    with console.status("matching"):
        depth = stereo_depth(bgr, other, lens.fx_px, baseline, nearest_m=nearest)
    out.mkdir(parents=True, exist_ok=True)
    picture = coloured(bgr, depth)
    if not no_boxes:
        from perception.detector import load_detector
        from perception.types import CLASSES

        found = load_detector(detector).detect(bgr)
        points = range_in_boxes(depth, lens, found.xyxy_px)
        table = Table("object", "score", "ahead", "left", "sigma")
        for k in range(len(found)):
            if points.valid[k]:
                x, y = points.xy_m[k]
                name, sigma = CLASSES[found.class_id[k]], points.cov_m2[k, 0, 0] ** 0.5
                table.add_row(name, f"{found.score[k]:.2f}", f"{x:.1f} m", f"{y:+.1f} m", f"{sigma:.2f} m")
                mark(picture, found.xyxy_px[k], f"{name} {x:.1f} m")
        console.print(table)
    write(out, picture, depth)
    console.print(f"{out / 'stereo.png'} (near is red), {out / 'depth_cm.png'} (16 bit, centimetres, 0 is unknown)")


def read(path: Path) -> np.ndarray:
    """A picture (H, W, 3). Raises InputError where it is none."""
    import cv2

    picture = cv2.imread(str(path)) if path.is_file() else None
    if picture is None:
        raise InputError(f"{path}: cannot be read as a picture, wanted the two pictures of a rectified pair")
    return picture


def coloured(bgr: np.ndarray, depth: StereoDepth) -> np.ndarray:
    """The left picture above its depth in colours, near red and far blue, by the inverse of depth."""
    import cv2
    import numpy as np

    with np.errstate(invalid="ignore"):
        nearness = np.clip(4.0 / depth.depth_m, 0.0, 1.0)
    shade = np.nan_to_num(np.sqrt(nearness) * 255).astype(np.uint8)
    colours = cv2.applyColorMap(shade, cv2.COLORMAP_TURBO)
    colours[~np.isfinite(depth.depth_m)] = 0
    return np.vstack([bgr, colours])


def mark(picture: np.ndarray, xyxy_px: np.ndarray, text: str) -> None:
    """A box with its distance, drawn in place."""
    import cv2

    x1, y1, x2, y2 = (round(float(v)) for v in xyxy_px)
    cv2.rectangle(picture, (x1, y1), (x2, y2), (60, 220, 60), 1, cv2.LINE_AA)
    cv2.putText(picture, text, (x1, max(y1 - 4, 10)), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(picture, text, (x1, max(y1 - 4, 10)), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA)


def write(out: Path, picture: np.ndarray, depth: StereoDepth) -> None:
    """Both pictures into the folder. Raises InputError where that fails."""
    import cv2
    import numpy as np

    centimetres = np.nan_to_num(np.clip(depth.depth_m * 100.0, 0, 65535)).astype(np.uint16)
    for name, data in (("stereo.png", picture), ("depth_cm.png", centimetres)):
        if not cv2.imwrite(str(out / name), data):
            raise InputError(f"{out / name}: cannot be written there")
