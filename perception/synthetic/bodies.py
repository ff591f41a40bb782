"""Paints bodies: faces shaded by sun, sky and lamps, drawn at several times the resolution, then averaged down."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from perception.synthetic.light import Light
from perception.synthetic.mesh import Lamp, Surface, centroids, normals
from perception.synthetic.truth import Placed
from perception.synthetic.view import View

_SHIFT = 4
_SHADOW_RANGE_M = 90.0
_SHOULDER = 180.0  # grey level
_CONTACT = ((0.38, 0.84), (0.24, 0.68), (0.10, 0.5))  # metres beyond the body, light that is left
_ONE = 1 << _SHIFT
_MAX_SPRITE_PX = 720.0  # of the enlarged drawing's longer side; nearer bodies are enlarged less
_LAMP_ON = {
    Lamp.TAIL: (40.0, 36.0, 235.0),
    Lamp.BRAKE: (60.0, 56.0, 255.0),
    Lamp.LEFT: (30.0, 160.0, 255.0),
    Lamp.RIGHT: (30.0, 160.0, 255.0),
    Lamp.HEAD: (250.0, 252.0, 255.0),
}


@dataclass(frozen=True)
class Signals:
    """Which lamps of a vehicle are on; ``dim`` ones burn by night only."""

    brake: bool = False
    left: bool = False
    right: bool = False
    driving: bool = False


@dataclass(frozen=True)
class Glow:
    """A lamp as a source of glare: vehicle point (3,), colour, strength."""

    point: np.ndarray
    colour: tuple[float, float, float]
    power: float


@dataclass(frozen=True, eq=False)
class Facing:
    """The faces of a body that look at the camera: which (K,), their unit normals, middles and cosines (vehicle)."""

    face: np.ndarray
    normal: np.ndarray
    middle: np.ndarray
    towards: np.ndarray
    view: np.ndarray

    @classmethod
    def of(cls, vertices: np.ndarray, surface: Surface, eye: np.ndarray) -> Facing:
        """Of vertices (V, 3) seen from eye (3,), farthest first as they must be painted."""
        normal, middle = normals(vertices, surface), centroids(vertices, surface)
        view = middle - eye
        reach = np.sqrt(np.einsum("ij,ij->i", view, view))
        view /= reach[:, None]
        towards = -np.einsum("ij,ij->i", view, normal)
        order = np.argsort(surface.lift - reach, kind="stable")
        face = order[towards[order] > 0]
        return cls(face, normal[face], middle[face], towards[face], view[face])


def shade(seen: Facing, surface: Surface, sun: np.ndarray, light: Light, open_sky: float) -> np.ndarray:
    """(K, 3) colours of faces: diffuse sky and sun, and a mirrored sky by gloss and angle.

    Args:
        sun: (3,) direction towards it. open_sky: share of daylight here (under a bridge less).
    """
    normal, middle, towards = seen.normal, seen.middle, seen.towards
    own, gloss = surface.colour[seen.face], surface.gloss[seen.face]
    if light.night:
        beam = light.beam(middle[:, 0], middle[:, 1]) * np.exp(-np.maximum(middle[:, 2] - 0.9, 0) / 0.9)
        power = light.sky * (0.7 + 0.5 * normal[:, 2]) + 1.1 * beam * towards
        mirror_light = 0.15
    else:
        sky = light.sky * (0.72 + 0.30 * normal[:, 2])
        power = (sky + light.sun * np.maximum(normal @ sun, 0)) * open_sky
        mirror_light = open_sky
    colour = own * power[:, None]
    if gloss.any():
        mirror = seen.view + 2 * towards[:, None] * normal
        up = np.clip(mirror[:, 2:] * 2.2 + 0.25, 0, 1)
        sky_seen = light.sky_colour * up + np.array([70.0, 72.0, 74.0]) * light.full * (1 - up)
        share = (gloss * (0.3 + 0.7 * (1 - towards) ** 3))[:, None]
        glint = gloss * light.sun * np.maximum(mirror @ sun, 0) ** 40 * open_sky
        colour = colour * (1 - share) + sky_seen * share * mirror_light + 200 * glint[:, None]
    if light.night:
        retro = surface.lamp[seen.face] == Lamp.RETRO
        back = np.minimum(1.0, 4.0 * light.beam(middle[:, 0], middle[:, 1]) * towards)
        colour[retro] += (own * back[:, None] * 0.8)[retro]
    # A camera's tone curve keeps some drawing in what is bright: white cars in the sun are not one flat patch.
    return np.where(colour > _SHOULDER, _SHOULDER + 0.45 * (colour - _SHOULDER), colour)


def light_lamps(colour: np.ndarray, seen: Facing, surface: Surface, signals: Signals, *, night: bool) -> list[Glow]:
    """Sets the colours of lamps that are on, in place, and returns them as sources of glare."""
    kinds = surface.lamp[seen.face]
    power = {
        Lamp.TAIL: 1.0 * signals.brake + 0.35 * (signals.driving and night),
        Lamp.BRAKE: 0.7 * signals.brake,
        Lamp.LEFT: 0.7 * signals.left,
        Lamp.RIGHT: 0.7 * signals.right,
        Lamp.HEAD: 3.0 * (signals.driving and night),
        Lamp.LIT: 1.0 if night else 0.25,
    }
    glows = []
    for row in np.flatnonzero(kinds):
        lamp = Lamp(int(kinds[row]))
        if power.get(lamp, 0.0) <= 0:
            continue
        own = surface.colour[seen.face[row]]
        dim = 0.75 if lamp == Lamp.TAIL and not signals.brake else 1.0
        colour[row] = np.array(_LAMP_ON.get(lamp, np.minimum(own * 1.08, 255))) * dim
        strength = power[lamp] * float(seen.towards[row])
        if strength > 0.02:
            glows.append(Glow(seen.middle[row], tuple(colour[row] / dim), strength))
    return glows


def draw(
    canvas: np.ndarray, view: View, body: Placed, seen: Facing, colour: np.ndarray, scale: int = 0
) -> np.ndarray | None:
    """Paints a body over canvas (H, W, 3) uint8, in place.

    Args:
        colour: (K, 3) of its facing faces. scale: enlargement of the drawing, 0 chosen by the body's size.

    Returns:
        (h, w) uint8 coverage in the window of ``body_window``, None where nothing is in the picture.
    """
    window = body_window(body, canvas.shape)
    top, left = window[0].start, window[1].start
    height, width = window[0].stop - top, window[1].stop - left
    if height <= 0 or width <= 0:
        return None
    if not scale:
        scale = int(np.clip(_MAX_SPRITE_PX / max(height, width), 2, 4))
    line = cv2.LINE_8 if scale > 1 else cv2.LINE_AA
    # Enlarging repeats each pixel and shrinking averages: what no face touches comes back as it was.
    size = width * scale, height * scale
    sprite = cv2.resize(canvas[window], size, interpolation=cv2.INTER_NEAREST)
    cover = np.zeros((height * scale, width * scale), np.uint8)
    tones = np.clip(colour, 0, 255).tolist()
    for row, points in _polygons(view, body, seen, (left, top), scale):
        cv2.fillConvexPoly(sprite, points, tones[row], line, _SHIFT)
        cv2.fillConvexPoly(cover, points, 255, line, _SHIFT)
    if scale > 1:
        sprite = cv2.resize(sprite, (width, height), interpolation=cv2.INTER_AREA)
        cover = cv2.resize(cover, (width, height), interpolation=cv2.INTER_AREA)
    canvas[window] = sprite
    return cover


def body_window(body: Placed, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of the picture that a body's box touches, with a pixel to spare."""
    x0, y0, x1, y1 = body.outline.xyxy_px
    rows = slice(max(0, math.floor(y0) - 1), min(shape[0], math.ceil(y1) + 2))
    return rows, slice(max(0, math.floor(x0) - 1), min(shape[1], math.ceil(x1) + 2))


def _polygons(
    view: View, body: Placed, seen: Facing, corner: tuple[int, int], scale: int
) -> Iterator[tuple[int, np.ndarray]]:
    """(row of ``seen``, fixed-point pixels (K, 2) int32 in the enlarged window) of what is to be filled."""
    points = view.in_camera(body.vertices)
    faces = body.surface.faces
    inside: np.ndarray = np.all(view.sides(points) >= 0, axis=1)
    whole = bool(inside.all())
    px = np.zeros((len(points), 2))
    px[inside] = view.px(points[inside])

    def fixed(pixels: np.ndarray) -> np.ndarray:
        return np.rint((((pixels - corner) + 0.5) * scale - 0.5) * _ONE).astype(np.int32)

    grid = fixed(px)
    for row, face in enumerate(seen.face.tolist()):
        index = faces[face]
        if whole or inside[index].all():
            yield row, grid[index]
            continue
        cut = view.clip_polygon(points[index])
        if len(cut) >= 3:
            yield row, fixed(view.px(cut))


def cast_shadows(mask: np.ndarray, view: View, bodies: list[Placed], sun: np.ndarray, depth: float) -> None:
    """Darkens mask (H, W) uint8 where bodies keep sun (by ``depth``, 0 to 1) and sky off the ground, in place."""
    near = [b for b in bodies if b.actor.grounded and b.occlusion < 0.97 and b.centre_m[0] < _SHADOW_RANGE_M]
    if depth > 0.05 and sun[2] > 0.05:
        for body in near:
            flat = body.vertices[:, :2] - body.vertices[:, 2:] * (sun[:2] / sun[2])
            hull = cv2.convexHull(flat.astype(np.float32))[:, 0]
            _fill_ground(mask, view, hull, 255 * (1 - depth), None)
    for body in near:
        middle = body.footprint.mean(axis=0)
        arm = body.footprint - middle
        length = np.maximum(np.sqrt((arm * arm).sum(axis=1, keepdims=True)), 0.2)
        rings = _CONTACT if body.centre_m[0] < 30 else ((0.2, 0.45),)
        if body.actor.size_m[1] < 1.0:  # what stands on feet or two wheels keeps little sky off
            rings = ((0.08, 0.72),)
        for grow, keep in rings:
            _fill_ground(mask, view, middle + arm * (1 + grow / length), 0, keep)


def _fill_ground(mask: np.ndarray, view: View, polygon_m: np.ndarray, value: float, factor: float | None) -> None:
    """Fills a road polygon (K, 2) in the mask with the lower of what is there and a value, or scales what is there."""
    points = view.in_camera(np.column_stack([polygon_m, np.zeros(len(polygon_m))]))
    if not (view.sides(points) >= 0).all():
        points = view.clip_polygon(points)
        if len(points) < 3:
            return
    px = view.px(points)
    low, high = np.floor(px.min(axis=0)).astype(int) - 1, np.ceil(px.max(axis=0)).astype(int) + 2
    low, high = np.maximum(low, 0), np.minimum(high, mask.shape[1::-1])
    if (low >= high).any():
        return
    stamp = np.zeros((high - low)[::-1], np.uint8)
    cv2.fillPoly(stamp, [np.rint((px - low) * _ONE).astype(np.int32)], 255, cv2.LINE_AA, _SHIFT)
    part = mask[low[1] : high[1], low[0] : high[0]]
    if factor is None:
        np.minimum(part, 255 - cv2.convertScaleAbs(stamp, alpha=1 - value / 255), out=part)
    else:
        cv2.multiply(part, 255 - cv2.convertScaleAbs(stamp, alpha=1 - factor), dst=part, scale=1 / 255)
