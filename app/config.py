"""Settings of a run: frozen, checked once, from TOML or from the command line; written beside every result.

[clip]
start_s = 2.0
[camera]
profile = "kitti"
[detector]
every = 2
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.events import EventConfig
from geometry.errors import InputError

_STRICT = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
_Events = pydantic.dataclasses.dataclass(frozen=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))(
    EventConfig
)


class _Section(BaseModel):
    model_config = _STRICT


class ClipSettings(_Section):
    """Which frames: ``start_s <= t < end_s``, each ``every``-th; ``rate_hz`` for folders without time stamps.

    ``lead_s``: so much before ``start_s`` is run, too, and left out of the results: tracks, lanes and own motion are
    then known from the first frame on. ``split_s``: a batch runs longer clips in segments of this length (0: whole).
    """

    start_s: Annotated[float, Field(ge=0)] = 0.0
    end_s: Annotated[float, Field(gt=0)] | None = None
    every: Annotated[int, Field(ge=1)] = 1
    rate_hz: Annotated[float, Field(gt=0, le=1000)] | None = None
    lead_s: Annotated[float, Field(ge=0, le=60)] = 0.0
    split_s: Annotated[float, Field(ge=0)] = 0.0

    @model_validator(mode="after")
    def _ordered(self) -> ClipSettings:
        if self.end_s is not None and self.end_s <= self.start_s:
            raise ValueError(f"end_s is {self.end_s}, must be after start_s, {self.start_s}")
        return self


class CameraSettings(_Section):
    """``profile``: a package profile's name or a TOML file; ``calibrate``: follow the mount while driving;
    ``mount_file``: where the mount found is kept from drive to drive; ``lane_width_m``: known width of the lanes driven
    in, from which the camera's height follows."""

    profile: str = "generic"
    calibrate: bool = True
    mount_file: str | None = None
    lane_width_m: Annotated[float, Field(gt=1.5, lt=6)] | None = None

    @property
    def named(self) -> str | None:
        """The profile if somebody has named one."""
        return self.profile if "profile" in self.model_fields_set else None


class DetectorSettings(_Section):
    """``file``: a model file or a name of ``roadlens models``, None for the default; ``every``: detect on each n-th
    frame that is used, tracks carry on between."""

    file: str | None = None
    device: str = "auto"
    input_size: tuple[Annotated[int, Field(ge=32)], Annotated[int, Field(ge=32)]] | None = None
    head: str | None = None
    score_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    every: Annotated[int, Field(ge=1)] = 1
    threads: Annotated[int, Field(ge=0)] = 0


class TrackerSettings(_Section):
    """``reid``: file of a re-identification network, by which objects that cross are told apart by their looks; None:
    by place and motion alone."""

    reid: str | None = None


class EgoSettings(_Section):
    """``speed``: metres a second, or a CSV file with the columns t_s and speed_mps (and yaw_rate_radps)."""

    speed: Annotated[float, Field(ge=0, le=120)] | str | None = None


class StereoSettings(_Section):
    """``right``: clip of the right camera of a rectified pair, None for one camera alone; ``baseline_m``: from the left
    to the right lens."""

    right: str | None = None
    baseline_m: Annotated[float, Field(gt=0, le=5)] = 0.5


class LaneSettings(_Section):
    """``enabled``: whether lanes are looked for."""

    enabled: bool = True


class VideoSettings(_Section):
    """The annotated video: x264's constant rate factor and preset; ``birdseye``: the road from above beside it."""

    write: bool = True
    crf: Annotated[int, Field(ge=0, le=51)] = 25
    preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow"] = "ultrafast"
    birdseye: bool = True
    threads: Annotated[int, Field(ge=1, le=64)] = 1


class Settings(_Section):
    """All that decides what a run writes, given the clip and the files it names."""

    clip: ClipSettings = ClipSettings()
    camera: CameraSettings = CameraSettings()
    detector: DetectorSettings = DetectorSettings()
    tracker: TrackerSettings = TrackerSettings()
    ego: EgoSettings = EgoSettings()
    stereo: StereoSettings = StereoSettings()
    lanes: LaneSettings = LaneSettings()
    events: _Events = _Events()  # type: ignore[valid-type]
    video: VideoSettings = VideoSettings()

    @classmethod
    def from_toml(cls, path: str | Path) -> Settings:
        """Settings of a file; what it does not say keeps its default.

        Raises:
            InputError: no such file, no TOML, an unknown key or a value that cannot be used.
        """
        try:
            data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"settings {path} cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"settings {path} is no TOML: {error}") from error
        return cls.checked(data, what=str(path))

    @classmethod
    def checked(cls, data: Mapping[str, Any], *, what: str = "settings") -> Settings:
        """Settings from nested values.

        Raises:
            InputError: one line that names the key, what was got and what was wanted.
        """
        try:
            return cls.model_validate(data)
        except pydantic.ValidationError as error:
            raise InputError(f"{what}: {_one_line(error)}") from error

    def changed(self, **sections: Mapping[str, Any]) -> Settings:
        """A copy with some values replaced: ``settings.changed(clip={"every": 2})``; None values are left out.

        What nobody has set stays unset (``model_fields_set``): a camera that nobody named may lie beside the clip.

        Raises:
            InputError: as ``checked``.
        """
        data = self.model_dump(exclude_unset=True)
        for section, values in sections.items():
            data[section] = data.get(section, {}) | {key: value for key, value in values.items() if value is not None}
        return self.checked(data, what="options")

    def toml(self) -> str:
        """The settings as TOML; ``from_toml`` reads them back."""
        return to_toml(self.model_dump(mode="json"))


def _one_line(error: pydantic.ValidationError) -> str:
    faults = []
    for fault in error.errors():
        place = ".".join(
            str(part) for part in fault["loc"] if not str(part).startswith(("float", "str", "constrained"))
        )
        if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            faults.append(f"{place} is no known key")
        else:
            reason = fault["msg"].removeprefix("Value error, ")
            faults.append(
                f"{place}: {reason}" + ("" if fault["type"] == "value_error" else f", got {fault['input']!r}")
            )
    return "; ".join(dict.fromkeys(faults)).replace("\n", " ")


def to_toml(data: Mapping[str, Any]) -> str:
    """Nested mappings of texts, numbers, truths and lists as TOML; None values are left out, as TOML has no null."""
    plain = {key: value for key, value in data.items() if not isinstance(value, Mapping) and value is not None}
    lines = [f"{key} = {_toml_value(value)}" for key, value in plain.items()]
    for key, value in data.items():
        if isinstance(value, Mapping):
            lines += ["", f"[{key}]", to_toml(value).strip("\n")]
    return "\n".join(lines).strip("\n") + "\n"


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped) + '"'
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    return repr(value)
