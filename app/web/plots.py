"""Plots of one object over time: a line with its band of one standard deviation, in colours of the palette."""

from __future__ import annotations

import math

import altair as alt
import pandas as pd

from app.palette import GREEN, ORANGE, SKY, VERMILLION

_MOST_POINTS = 800
_HEIGHT_PX = 220
_TTC_SHOWN_S = 10.0


def distance_plot(track: pd.DataFrame) -> alt.LayerChart:
    """Distance with one standard deviation to both sides."""
    points = pd.DataFrame(
        {
            "t": track["time, s"],
            "y": track["distance, m"],
            "low": (track["distance, m"] - track["sigma, m"]).clip(lower=0.0),
            "high": track["distance, m"] + track["sigma, m"],
        }
    )
    return _band(points, "Distance, m; band: one sigma", SKY)


def speed_plot(track: pd.DataFrame, frames: pd.DataFrame) -> alt.LayerChart:
    """The object's speed over ground beside one's own."""
    own = frames.loc[frames["time, s"].between(track["time, s"].min(), track["time, s"].max())]
    lines = {"object": track[["time, s", "speed, km/h"]], "own": own[["time, s", "own speed, km/h"]]}
    points = pd.concat(
        [_thinned(pd.DataFrame({"t": p.iloc[:, 0], "y": p.iloc[:, 1], "whose": name})) for name, p in lines.items()]
    ).dropna()
    colour = alt.Color(
        "whose:N",
        scale=alt.Scale(domain=list(lines), range=[ORANGE, GREEN]),
        legend=alt.Legend(title=None, orient="bottom"),
    )
    base = alt.Chart(points).encode(x=_time(), y=alt.Y("y:Q", title=None), color=colour)
    return alt.layer(base.mark_line(strokeWidth=2)).properties(height=_HEIGHT_PX, title="Speed over ground, km/h")


def collision_plot(track: pd.DataFrame, warn_below_s: float) -> alt.LayerChart | None:
    """Time to collision with its band, and the line under which is warned; None where the object never closes in."""
    points = pd.DataFrame(
        {
            "t": track["time, s"],
            "y": track["time to collision, s"],
            "low": track["at least, s"].fillna(track["time to collision, s"]),
            "high": track["at most, s"].fillna(_TTC_SHOWN_S),
        }
    )
    points = points[points["y"] < _TTC_SHOWN_S]
    if points.empty:
        return None
    limit = (
        alt.Chart(pd.DataFrame({"y": [warn_below_s]})).mark_rule(color=VERMILLION, strokeDash=[6, 4]).encode(y="y:Q")
    )
    points[["low", "high"]] = points[["low", "high"]].clip(0.0, _TTC_SHOWN_S)
    return _band(points, "Time to collision, s; warned below the dashes", VERMILLION, limit)


def _band(points: pd.DataFrame, title: str, colour: str, *more: alt.Chart) -> alt.LayerChart:
    base = alt.Chart(_thinned(points)).encode(x=_time())
    band = base.mark_area(opacity=0.3, color=colour).encode(y=alt.Y("low:Q", title=None), y2="high:Q")
    line = base.mark_line(color=colour, strokeWidth=2).encode(y="y:Q")
    return alt.layer(band, line, *more).properties(height=_HEIGHT_PX, title=title)


def _time() -> alt.X:
    return alt.X("t:Q", title="time, s", scale=alt.Scale(zero=False, nice=False))


def _thinned(points: pd.DataFrame) -> pd.DataFrame:
    return points.iloc[:: max(1, math.ceil(len(points) / _MOST_POINTS))].copy()
