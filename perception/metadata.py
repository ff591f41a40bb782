"""What a network file tells of itself: parsed once, with ``json`` and never run as code."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from geometry.errors import InputError
from perception.consensus import Oversize, Support
from perception.preprocess import Preprocess

_NAME_PAIR = re.compile(r"""(\d+)\s*:\s*(?:'([^']*)'|"([^"]*)")""")


@dataclass(frozen=True)
class Metadata:
    """The keys of README.md, None where the file does not tell; ``preprocess`` holds the fields that differ."""

    head: str | None = None
    classes: tuple[str, ...] | None = None
    input_size: tuple[int, int] | None = None
    stride: int = 32
    preprocess: dict[str, Any] = field(default_factory=dict)
    score_threshold: float | dict[str, float] | None = None
    nms_iou: float | dict[str, float] | None = None
    support: Support | None = None
    oversize: Oversize | None = None
    version: str = ""


def read_metadata(raw: Mapping[str, str]) -> Metadata:
    """Parse the ``roadlens.*`` keys, and the class names as Ultralytics writes them.

    Raises:
        InputError: a value is not what its key asks for.
    """
    return Metadata(
        head=raw.get("roadlens.head"),
        classes=_classes(raw),
        input_size=_input_size(raw),
        stride=_stride(raw),
        preprocess=_preprocess(raw),
        score_threshold=_threshold(raw),
        nms_iou=_overlap(raw),
        support=_support(raw),
        oversize=_oversize(raw),
        version=raw.get("roadlens.version", ""),
    )


def _json(raw: Mapping[str, str], key: str) -> Any:
    if key not in raw:
        return None
    try:
        return json.loads(raw[key])
    except ValueError as error:
        raise _refused(raw, key, "JSON") from error


def _refused(raw: Mapping[str, str], key: str, wanted: str) -> InputError:
    return InputError(f"metadata {key} is {raw[key]!r}; must be {wanted}; export the model again")


def _classes(raw: Mapping[str, str]) -> tuple[str, ...] | None:
    told = _json(raw, "roadlens.classes")
    if isinstance(told, list) and told and all(isinstance(name, str) for name in told):
        return tuple(told)
    if told is not None:
        raise _refused(raw, "roadlens.classes", "a JSON list of names")
    # {0: 'person', 1: "driver's seat"}: a Python literal, so neither JSON nor anything to evaluate.
    pairs = {int(index): single or double for index, single, double in _NAME_PAIR.findall(raw.get("names", ""))}
    if sorted(pairs) != list(range(len(pairs))):
        raise _refused(raw, "names", "numbered from 0 without gaps")
    return tuple(pairs[index] for index in range(len(pairs))) or None


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _input_size(raw: Mapping[str, str]) -> tuple[int, int] | None:
    told = _json(raw, "roadlens.input_size")
    if told is None:
        return None
    if not isinstance(told, list) or len(told) != 2 or not all(_is_size(side) for side in told):
        raise _refused(raw, "roadlens.input_size", "[width, height]")
    return told[0], told[1]


def _stride(raw: Mapping[str, str]) -> int:
    told = _json(raw, "roadlens.stride")
    if told is None:
        return 32
    if not _is_size(told):
        raise _refused(raw, "roadlens.stride", "a positive whole number")
    return int(told)


def _preprocess(raw: Mapping[str, str]) -> dict[str, Any]:
    told = _json(raw, "roadlens.preprocess")
    if told is None:
        return {}
    known = {item.name for item in fields(Preprocess)}
    if not isinstance(told, dict) or not set(told) <= known:
        raise _refused(raw, "roadlens.preprocess", f"an object with keys of {', '.join(sorted(known))}")
    return {key: tuple(value) if isinstance(value, list) else value for key, value in told.items()}


def _threshold(raw: Mapping[str, str]) -> float | dict[str, float] | None:
    told = _json(raw, "roadlens.score_threshold")
    if told is None:
        return None
    values = list(told.values()) if isinstance(told, dict) else [told]
    if not all(isinstance(value, int | float) and 0 <= value < 1 for value in values):
        raise _refused(raw, "roadlens.score_threshold", "a number from 0 to below 1, or an object of them by class")
    return {key: float(value) for key, value in told.items()} if isinstance(told, dict) else float(told)


def _overlap(raw: Mapping[str, str]) -> float | dict[str, float] | None:
    told = _json(raw, "roadlens.nms_iou")
    if told is None:
        return None
    values = list(told.values()) if isinstance(told, dict) else [told]
    if not all(isinstance(value, int | float) and 0 < value <= 1 for value in values):
        raise _refused(raw, "roadlens.nms_iou", "a number over 0, up to 1, or an object of them by class")
    return {key: float(value) for key, value in told.items()} if isinstance(told, dict) else float(told)


def _support(raw: Mapping[str, str]) -> Support | None:
    wanted = (
        "a weight, ascending areas over 0 and as many logarithms of support, by the keys weight, area_px2, expected"
    )
    curve = _curve(raw, "roadlens.support", "expected", ("weight",), wanted)
    return curve and Support(curve[0][0], *curve[1:])


def _oversize(raw: Mapping[str, str]) -> Oversize | None:
    wanted = "ascending areas over 0 and as many logarithms of said over true side, by the keys area_px2, log_side"
    curve = _curve(raw, "roadlens.oversize", "log_side", (), wanted)
    return curve and Oversize(*curve[1:])


def _curve(
    raw: Mapping[str, str], key: str, values: str, single: tuple[str, ...], wanted: str
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]] | None:
    """The numbers ``single``, then areas and ``values`` at them, of an object of JSON; None where there is none."""
    told = _json(raw, key)
    if told is None:
        return None
    if not isinstance(told, dict) or set(told) != {*single, "area_px2", values}:
        raise _refused(raw, key, wanted)
    alone = [told[name] for name in single]
    area, at = (np.array(told[name], object).ravel().tolist() for name in ("area_px2", values))
    if not all(type(value) in (int, float) and np.isfinite(value) for value in (*alone, *area, *at)):
        raise _refused(raw, key, wanted)
    if not area or len(area) != len(at) or not (np.diff([0.0, *area]) > 0).all():
        raise _refused(raw, key, wanted)
    return tuple(map(float, alone)), tuple(map(float, area)), tuple(map(float, at))
