"""Boxes in a plane: conversions, areas and the family of overlaps, written once for NumPy and torch.

Boxes are (..., 4) arrays ``xyxy``: left, top, right, bottom; rotated ones (..., 5): centre x, centre y, length along
the heading, width across it, heading in radians from the x axis towards the y axis. Overlaps compare every row of ``a``
(N, 4) with every row of ``b`` (M, 4) and give (N, M), or with ``aligned=True`` row by row (broadcast) and give (...).
The same functions associate tracks and train the detector: with torch they are differentiable, and no degenerate box
gives a NaN or a NaN gradient. A box without area overlaps nothing; a box with a coordinate that is not finite has the
least value there is: 0 for ``iou`` and ``ioa``, -1 for ``giou`` and ``diou``, -1.5 for ``ciou``.
"""

from __future__ import annotations

import math
from typing import Any

from array_api_compat import array_namespace

Array = Any


# -- conversions ----------------------------------------------------------------------------------------------------


def xywh_from_xyxy(xyxy: Array) -> Array:
    """Left, top, width, height."""
    xp = array_namespace(xyxy)
    return xp.concat([xyxy[..., :2], xyxy[..., 2:] - xyxy[..., :2]], axis=-1)


def xyxy_from_xywh(xywh: Array) -> Array:
    """The inverse of ``xywh_from_xyxy``."""
    xp = array_namespace(xywh)
    return xp.concat([xywh[..., :2], xywh[..., :2] + xywh[..., 2:]], axis=-1)


def cxcywh_from_xyxy(xyxy: Array) -> Array:
    """Centre x, centre y, width, height."""
    xp = array_namespace(xyxy)
    return xp.concat([(xyxy[..., :2] + xyxy[..., 2:]) / 2, xyxy[..., 2:] - xyxy[..., :2]], axis=-1)


def xyxy_from_cxcywh(cxcywh: Array) -> Array:
    """The inverse of ``cxcywh_from_xyxy``."""
    xp = array_namespace(cxcywh)
    half = cxcywh[..., 2:] / 2
    return xp.concat([cxcywh[..., :2] - half, cxcywh[..., :2] + half], axis=-1)


def clipped(xyxy: Array, width: float, height: float) -> Array:
    """Boxes cut to a picture, whose outer edges are at -0.5 and width - 0.5, height - 0.5 (pixel centres are whole)."""
    xp = array_namespace(xyxy)
    x, y = (xp.clip(xyxy[..., i::2], -0.5, size - 0.5) for i, size in ((0, width), (1, height)))
    return xp.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], axis=-1)


def area(xyxy: Array) -> Array:
    """Areas (...); 0 for a box whose edges are swapped."""
    size = _size(_floating(xyxy))
    return size[..., 0] * size[..., 1]


# -- overlaps of upright boxes --------------------------------------------------------------------------------------


def iou(a: Array, b: Array, *, aligned: bool = False) -> Array:
    """Intersection over union, between 0 and 1."""
    a, b, finite = _pairs(a, b, aligned)
    return _where(finite, _iou(a, b)[0], 0.0)


def ioa(a: Array, b: Array, *, aligned: bool = False) -> Array:
    """Intersection over the area of ``a``: how much of ``a`` is covered by ``b``, between 0 and 1."""
    a, b, finite = _pairs(a, b, aligned)
    return _where(finite, _ratio(_intersection(a, b), area(a)), 0.0)


def giou(a: Array, b: Array, *, aligned: bool = False) -> Array:
    """Generalised IoU, above -1 to 1 (H. Rezatofighi et al., CVPR 2019): minus the share of the hull neither fills."""
    a, b, finite = _pairs(a, b, aligned)
    overlap, union = _iou(a, b)
    hull = area(_hull(a, b))
    return _where(finite, overlap - _ratio(hull - union, hull), -1.0)


def diou(a: Array, b: Array, *, aligned: bool = False) -> Array:
    """Distance IoU, above -1 to 1 (Z. Zheng et al., AAAI 2020): minus (centre distance / hull diagonal) squared."""
    a, b, finite = _pairs(a, b, aligned)
    return _where(finite, _iou(a, b)[0] - _centre_penalty(a, b), -1.0)


def ciou(a: Array, b: Array, *, aligned: bool = False) -> Array:
    """Complete IoU, above -1.5 to 1 (Z. Zheng et al., AAAI 2020): ``diou`` minus the difference of aspect ratios.

    As in the paper the weight of the aspect term is held constant in gradients.
    """
    a, b, finite = _pairs(a, b, aligned)
    overlap = _iou(a, b)[0]
    aspect = (4.0 / math.pi**2) * (_aspect_angle(a) - _aspect_angle(b)) ** 2
    weight = _constant(_ratio(aspect, 1.0 - overlap + aspect))
    return _where(finite, overlap - _centre_penalty(a, b) - weight * aspect, -1.5)


def aligned_iou(a: Array, b: Array) -> Array:
    """``iou`` row by row."""
    return iou(a, b, aligned=True)


def aligned_giou(a: Array, b: Array) -> Array:
    """``giou`` row by row."""
    return giou(a, b, aligned=True)


def aligned_diou(a: Array, b: Array) -> Array:
    """``diou`` row by row."""
    return diou(a, b, aligned=True)


def aligned_ciou(a: Array, b: Array) -> Array:
    """``ciou`` row by row."""
    return ciou(a, b, aligned=True)


def _pairs(a: Array, b: Array, aligned: bool) -> tuple[Array, Array, Array]:
    """Both made floating and broadcastable, what is not finite replaced by the unit box, and where all was finite."""
    xp = array_namespace(a, b)
    a, b = _floating(a), _floating(b)
    if not aligned:
        a, b = a[..., :, None, :], b[..., None, :, :]
    finite_a, finite_b = xp.all(xp.isfinite(a), axis=-1), xp.all(xp.isfinite(b), axis=-1)
    a = xp.where(finite_a[..., None], a, xp.zeros_like(a))
    b = xp.where(finite_b[..., None], b, xp.zeros_like(b))
    return a, b, finite_a & finite_b


def _floating(boxes: Array) -> Array:
    xp = array_namespace(boxes)
    return boxes if xp.isdtype(boxes.dtype, "real floating") else xp.astype(boxes, xp.float64)


def _where(keep: Array, value: Array, otherwise: float) -> Array:
    xp = array_namespace(value)
    return xp.where(keep, value, xp.full_like(value, otherwise))


def _ratio(numerator: Array, denominator: Array) -> Array:
    """The quotient, 0 where the denominator is not positive."""
    xp = array_namespace(numerator)
    positive = denominator > 0
    quotient = numerator / xp.where(positive, denominator, xp.ones_like(denominator))
    return xp.where(positive, quotient, xp.zeros_like(quotient))


def _constant(value: Array) -> Array:
    """The value without its history of derivatives."""
    return value.detach() if hasattr(value, "detach") else value


def _size(xyxy: Array) -> Array:
    xp = array_namespace(xyxy)
    size = xyxy[..., 2:] - xyxy[..., :2]
    return xp.maximum(size, xp.zeros_like(size))


def _intersection(a: Array, b: Array) -> Array:
    xp = array_namespace(a, b)
    return area(xp.concat([xp.maximum(a[..., :2], b[..., :2]), xp.minimum(a[..., 2:], b[..., 2:])], axis=-1))


def _iou(a: Array, b: Array) -> tuple[Array, Array]:
    inside = _intersection(a, b)
    union = area(a) + area(b) - inside
    return _ratio(inside, union), union


def _hull(a: Array, b: Array) -> Array:
    """The smallest upright box around both."""
    xp = array_namespace(a, b)
    return xp.concat([xp.minimum(a[..., :2], b[..., :2]), xp.maximum(a[..., 2:], b[..., 2:])], axis=-1)


def _centre_penalty(a: Array, b: Array) -> Array:
    xp = array_namespace(a, b)
    apart = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    diagonal = _size(_hull(a, b))
    return _ratio(xp.sum(apart * apart, axis=-1), xp.sum(diagonal * diagonal, axis=-1))


def _aspect_angle(xyxy: Array) -> Array:
    """atan(width / height), 0 for a box without height or width."""
    xp = array_namespace(xyxy)
    size = _size(xyxy)
    solid = (size[..., 0] > 0) & (size[..., 1] > 0)
    return xp.where(solid, xp.atan(_ratio(size[..., 0], size[..., 1])), xp.zeros_like(size[..., 0]))


# -- overlap of rotated boxes ---------------------------------------------------------------------------------------

_TOUCH = 16.0  # rounding errors of a box's size: an edge nearer than that to the other's edge counts as lying on it


def corners_of_rotated(boxes: Array) -> Array:
    """(..., 4, 2) corners of rotated boxes (..., 5), from front left on, turning from the x axis towards y."""
    xp = array_namespace(boxes)
    half_length, half_width = boxes[..., 2] / 2, boxes[..., 3] / 2
    along = xp.stack([half_length, -half_length, -half_length, half_length], axis=-1)
    across = xp.stack([half_width, half_width, -half_width, -half_width], axis=-1)
    cos, sin = xp.cos(boxes[..., 4:5]), xp.sin(boxes[..., 4:5])
    x = boxes[..., 0:1] + along * cos - across * sin
    y = boxes[..., 1:2] + along * sin + across * cos
    return xp.stack([x, y], axis=-1)


def rotated_iou(a: Array, b: Array, *, aligned: bool = False) -> Array:
    """Intersection over union of rotated boxes (..., 5), also called skew IoU, between 0 and 1.

    The intersection is convex; its outline is what lies of each box's edges inside the other box, and its area half
    the sum of the cross products along that outline (Green's theorem). No polygon is sorted, so that all pairs are
    computed at once and the gradient is exact wherever no edges coincide.
    """
    xp = array_namespace(a, b)
    a, b, finite = _pairs(a, b, aligned)
    a, b = xp.broadcast_arrays(a, b)
    solid = (a[..., 2] > 0) & (a[..., 3] > 0) & (b[..., 2] > 0) & (b[..., 3] > 0)
    unit = xp.ones_like(a)
    a, b = xp.where(solid[..., None], a, unit), xp.where(solid[..., None], b, unit)
    # Everything relative to the centre of a: small numbers, and the gaps that tolerance leaves weigh nothing.
    shift = xp.concat([a[..., :2], xp.zeros_like(a[..., 2:])], axis=-1)
    slack = _TOUCH * float(xp.finfo(a.dtype).eps)
    outline = _outline(a - shift, b - shift, slack) + _outline(b - shift, a - shift, -slack)
    area_a, area_b = a[..., 2] * a[..., 3], b[..., 2] * b[..., 3]
    inside = xp.minimum(xp.maximum(outline / 2, xp.zeros_like(outline)), xp.minimum(area_a, area_b))
    return _where(finite & solid, _ratio(inside, area_a + area_b - inside), 0.0)


def _outline(a: Array, b: Array, slack: float) -> Array:
    """Sum of cross(p, q) over the parts p to q of a's edges that lie inside b.

    Where an edge of a lies on a side of b it must count once in both outlines together if the boxes lie on the same
    side of it, else not at all. So b is grown by a positive slack at the sides that face as the edge does, and shrunk
    at the others and by a negative slack.
    """
    xp = array_namespace(a)
    start = corners_of_rotated(a)
    step = xp.concat([start[..., 1:, :], start[..., :1, :]], axis=-2) - start
    place = _turned(start - b[..., None, :2], b[..., 4])
    speed = _turned(step, b[..., 4])
    enter, leave = xp.zeros_like(start[..., 0]), xp.ones_like(start[..., 0])
    size = (b[..., 2] + b[..., 3])[..., None]
    for axis, outward in enumerate((speed[..., 1], -speed[..., 0])):
        near, far = (xp.where(outward * side > 0, slack * size, -abs(slack) * size) for side in (-1, 1))
        half, at, by = b[..., 2 + axis, None] / 2, place[..., axis], speed[..., axis]
        moving = xp.abs(by) > 1e-12 * size
        safe = xp.where(moving, by, xp.ones_like(by))
        first, second = (-half - near - at) / safe, (half + far - at) / safe
        always = xp.where((at >= -half - near) & (at <= half + far), xp.ones_like(by), -xp.ones_like(by))
        enter = xp.maximum(enter, xp.where(moving, xp.minimum(first, second), -2.0 * always))
        leave = xp.minimum(leave, xp.where(moving, xp.maximum(first, second), 2.0 * always))
    # cross(start + enter step, start + leave step) = (leave - enter) cross(start, step)
    cross = start[..., 0] * step[..., 1] - start[..., 1] * step[..., 0]
    share = leave - enter
    return xp.sum(xp.where(share > 0, share * cross, xp.zeros_like(cross)), axis=-1)


def _turned(points: Array, angle: Array) -> Array:
    """Points (..., 4, 2) in axes turned by the angle (...)."""
    xp = array_namespace(points)
    cos, sin = xp.cos(angle)[..., None], xp.sin(angle)[..., None]
    x, y = points[..., 0], points[..., 1]
    return xp.stack([x * cos + y * sin, y * cos - x * sin], axis=-1)
