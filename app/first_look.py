"""The camera that a run starts with: the profile's, or, where nobody has described it, one found by a look at the clip.

The generic profile is a guess that may be five degrees off; tracks and lanes would be lost until the calibration while
driving has found that out, and a short clip is over by then. Some pictures from all over the clip show the mount at
once (``perception.lanes.mount``): horizon, direction of travel, and the height if its lanes are as wide as most. The
field of view stays a guess: distances ahead scale with it.
"""

from __future__ import annotations

import math
from functools import lru_cache

from app.batch_plan import fingerprint
from app.camera_choice import GENERIC, StartCamera
from app.config import Settings
from app.video import ClipInfo, glimpses
from geometry.errors import InputError
from geometry.profiles import load_profile
from perception.lanes.mount import LANE_WIDTH_M, find_mount

_PICTURES = 16
_LEAST_SHARE = 0.5  # of the pictures must show a lane


def wants_look(info: ClipInfo, settings: Settings) -> bool:
    """Whether the camera is a guess, may be corrected, and the clip can be looked at before it is run."""
    camera = settings.camera
    guessed = camera.profile == GENERIC and camera.calibrate and camera.mount_file is None
    return guessed and settings.lanes.enabled and info.kind in ("file", "folder")


def start_camera(info: ClipInfo, settings: Settings) -> StartCamera:
    """The camera to begin a run of this clip with.

    The look is at the whole clip whatever part of it is run, so that all parts begin with the same camera.

    Raises:
        InputError: the profile cannot be used.
    """
    if not wants_look(info, settings):
        return StartCamera(load_profile(settings.camera.profile).for_size(*info.size_px))
    return _look(info, fingerprint(info.source), settings.camera.lane_width_m or LANE_WIDTH_M)


@lru_cache(maxsize=1)  # a worker runs segments of one clip one after the other
def _look(info: ClipInfo, mark: str, width_m: float) -> StartCamera:
    """What a look at the clip tells of a camera that is a guess; ``mark`` changes with what is in the clip."""
    profile = load_profile(GENERIC).for_size(*info.size_px)
    try:
        pictures = [frame.bgr for frame in glimpses(info, _PICTURES)]
        found = find_mount(pictures, lane_width_m=width_m, camera=profile)
    except InputError:  # no marked road, or a clip that breaks: the run will say which
        return StartCamera(profile)
    if found.pictures < _LEAST_SHARE * len(pictures) or not found.steady:
        return StartCamera(profile)
    camera = found.camera
    pitch_deg, fov_deg = math.degrees(camera.pitch_rad), math.degrees(2 * math.atan(0.5 * info.width_px / camera.fx_px))
    note = (
        f"camera found from the road: {camera.height_m:.2f} m high if lanes are {width_m:g} m wide, "
        f"nose {abs(pitch_deg):.1f} degrees {'down' if pitch_deg >= 0 else 'up'}; its field of view is a guess "
        f"({fov_deg:.0f} degrees), and distances ahead scale with it"
    )
    return StartCamera(camera, True, note)
