"""Plots as SVG: lines over time with their one-sigma bands, gaps where nothing is known, warnings as shades.

Each is drawn twice, for a wide and for a narrow screen, because text in an SVG shrinks with it; the style shows one.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from app.report.gather import Line

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f")  # Okabe and Ito
_SIZES = {"wide": (920, 240), "narrow": (420, 230)}
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 66, 10, 26
_LETTER_PX = 7
_GAP_S = 0.5  # what is unknown for longer is not bridged
_MOST_POINTS = 600  # a line has no more than the plot has pixels to tell them apart


@dataclass(frozen=True)
class Shade:
    """A stretch of time to be marked."""

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True)
class Frame:
    """What plots of one run have in common: its time, and what is marked in it."""

    t_s: tuple[float, float]
    shades: tuple[Shade, ...] = ()


def plot(title: str, lines: Mapping[str, Line], frame: Frame, *, top: float = math.inf) -> str:
    """A titled plot as HTML; a line of text where nothing is known. Values above ``top`` are left out."""
    known = {}
    for name, (t_s, values, sigma) in lines.items():
        values = np.where(values <= top, values, np.nan)
        if np.isfinite(values).any():
            known[name] = (t_s, values, sigma)
    head = f"<h3>{html.escape(title)}</h3>"
    if not known:
        return f"{head}<p class=none>Nothing is known.</p>"
    axes = [_svg(name, _Axes.around(known, size, frame.t_s), known, frame.shades) for name, size in _SIZES.items()]
    return f"{head}<div class=plot>{''.join(axes)}</div>"


@dataclass(frozen=True)
class _Axes:
    size: tuple[int, int]
    t: tuple[float, float]
    y: tuple[float, float]

    @classmethod
    def around(cls, lines: Mapping[str, Line], size: tuple[int, int], t_s: tuple[float, float]) -> _Axes:
        values = np.concatenate([v[np.isfinite(v)] for _, v, _ in lines.values()])
        low, high = min(0.0, float(values.min())), float(values.max())
        room = 0.05 * max(high - low, 1e-6)
        return cls(size, t_s, (low - (room if low < 0 else 0.0), high + room))

    def x_px(self, t_s: np.ndarray | float) -> np.ndarray:
        width = self.size[0] - _LEFT - _RIGHT
        return _LEFT + (np.asarray(t_s) - self.t[0]) / max(self.t[1] - self.t[0], 1e-9) * width

    def y_px(self, values: np.ndarray | float) -> np.ndarray:
        height = self.size[1] - _TOP - _BOTTOM
        share = (np.asarray(values) - self.y[0]) / max(self.y[1] - self.y[0], 1e-9)
        return self.size[1] - _BOTTOM - np.clip(share, 0.0, 1.0) * height


def _svg(kind: str, axes: _Axes, lines: Mapping[str, Line], shades: Sequence[Shade]) -> str:
    width, height = axes.size
    t_low, t_high = axes.t
    parts = [_shade(axes, shade) for shade in shades if shade.end_s >= t_low and shade.start_s <= t_high]
    parts += _grid(axes)
    names: list[tuple[float, float, str, str]] = []
    for number, (name, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        t_s, values, sigma = _thinned(line)
        for part in _pieces(t_s, values):
            parts.append(_piece(axes, (t_s[part], values[part], sigma[part]), colour, name))
        last = int(np.flatnonzero(np.isfinite(values))[-1])
        names.append((float(axes.x_px(t_s[last])), float(axes.y_px(values[last])), name, colour))
    if len(lines) > 1:
        parts += _named(names, axes.size)
    box = f'viewBox="0 0 {width} {height}" data-left="{_LEFT}" data-right="{_RIGHT}"'
    time = f'data-from="{t_low:.3f}" data-to="{t_high:.3f}"'
    return f"<svg class={kind} {box} {time}>{''.join(parts)}</svg>"


def _shade(axes: _Axes, shade: Shade) -> str:
    left, right = float(axes.x_px(max(shade.start_s, axes.t[0]))), float(axes.x_px(min(shade.end_s, axes.t[1])))
    return (
        f'<rect class=shade x="{left:.1f}" y="{_TOP}" width="{max(right - left, 2.0):.1f}" '
        f'height="{axes.size[1] - _TOP - _BOTTOM}"><title>{html.escape(shade.text)}</title></rect>'
    )


def _grid(axes: _Axes) -> list[str]:
    width, height = axes.size
    parts = []
    for value in ticks(*axes.y, 6):
        y = float(axes.y_px(value))
        parts.append(f'<path class=grid d="M{_LEFT} {y:.1f}H{width - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    for value in ticks(*axes.t, max(4, width // 100)):
        x = float(axes.x_px(value))
        parts.append(f'<path class=grid d="M{x:.1f} {_TOP}V{height - _BOTTOM}"/>')
        parts.append(f'<text x="{x:.1f}" y="{height - 8}" text-anchor="middle">{value:g} s</text>')
    return parts


def ticks(low: float, high: float, count: int) -> list[float]:
    """Round numbers in a range, about so many: steps are 1, 2 or 5 times a power of ten."""
    raw = max(high - low, 1e-9) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * s for s in (1, 2, 5, 10) if power * s >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def _thinned(line: Line) -> Line:
    t_s, values, sigma = line
    every = max(1, len(t_s) // _MOST_POINTS)
    return t_s[::every], values[::every], sigma[::every]


def _pieces(t_s: np.ndarray, values: np.ndarray) -> list[np.ndarray]:
    """Rows of each stretch without a gap."""
    rows = np.flatnonzero(np.isfinite(values))
    usual_s = float(np.median(np.diff(t_s))) if len(t_s) > 1 else 0.0
    breaks = np.flatnonzero(np.diff(t_s[rows]) > max(_GAP_S, 2.5 * usual_s)) + 1
    return [part for part in np.split(rows, breaks) if len(part)]


def _piece(axes: _Axes, line: Line, colour: str, name: str) -> str:
    t_s, values, sigma = line
    x = axes.x_px(t_s)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, axes.y_px(values), strict=True))
    title = f"<title>{html.escape(name)}</title>"
    drawn = f'<polyline points="{points}" stroke="{colour}">{title}</polyline>'
    if len(t_s) == 1:
        drawn = f'<circle cx="{x[0]:.1f}" cy="{float(axes.y_px(values[0])):.1f}" r="2" fill="{colour}">{title}</circle>'
    if not np.isfinite(sigma).all():
        return drawn
    high, low = axes.y_px(values + sigma), axes.y_px(values - sigma)
    around = [f"{a:.1f},{b:.1f}" for a, b in [*zip(x, high, strict=True), *zip(x[::-1], low[::-1], strict=True)]]
    return f'<polygon class=band points="{" ".join(around)}" fill="{colour}"/>{drawn}'


def _named(ends: Sequence[tuple[float, float, str, str]], size: tuple[int, int]) -> list[str]:
    """Names at the ends of their lines, moved up or down where they would cover another; without room, left out."""
    parts: list[str] = []
    taken: list[tuple[float, float, float]] = []
    for x, y, name, colour in ends:
        left = min(x + 4, size[0] - 4 - _LETTER_PX * len(name))
        right = left + _LETTER_PX * len(name)
        for move in (0, -12, 12, -24, 24):
            at = y + 4 + move
            free = all(abs(at - other) >= 12 or left > end or right < start for start, end, other in taken)
            if free and _TOP + 8 <= at <= size[1] - _BOTTOM + 6:
                taken.append((left, right, at))
                place = f'class=name x="{left:.1f}" y="{at:.1f}" style="fill:{colour}"'
                parts.append(f"<text {place}>{html.escape(name)}</text>")
                break
    return parts
