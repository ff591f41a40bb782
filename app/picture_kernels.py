"""Compiled loops over pictures: areas and small pictures blended in, what the encoder wants.

Signatures are given, so everything is compiled, or read from the cache on disk, when the module is imported. Nothing is
checked here.
"""

from __future__ import annotations

import math

import numpy as np

from geometry.compiled import compiled

_BLACK = np.uint16((16 << 8) + 128)  # the least luma and one half, in 256ths
_1, _2 = np.uintp(1), np.uintp(2)  # without a sign: then nothing looks for indices from the end


@compiled("void(uint8[:, ::1], int64, uint8[:, ::1], uint8[:, ::1], uint8[:, ::1])")
def planes_420(rows, left, luma, cb, cr):  # type: ignore[no-untyped-def]
    """Fills columns of a 4:2:0 picture's planes in ITU-R BT.709's colours and limited range.

    Luma is 16 to 235, chroma 16 to 240, each the mean of 2 x 2 pixels: BT.709-6, items 3.3 to 3.5, in whole numbers of
    256ths, so at most one level from the exact value. Row by row, so that a row is read from memory once; sums stay in
    16 bits, so that many are done at once.

    Args:
        rows: (H, 3 W) blue, green, red of a picture, H and W even.
        left: the column, even, at which it begins in the planes, which may be larger than it is.
    """
    height, width = rows.shape[0], rows.shape[1] // 3
    half, at = width // 2, left // 2
    blue, green, red = np.empty(width, np.int16), np.empty(width, np.int16), np.empty(width, np.int16)
    for i in range(height // 2):
        upper, lower = rows[2 * i], rows[2 * i + 1]
        for row, to in ((upper, luma[2 * i, left : left + width]), (lower, luma[2 * i + 1, left : left + width])):
            for j in range(width):
                b, g, r = np.uint16(row[3 * j]), np.uint16(row[3 * j + 1]), np.uint16(row[3 * j + 2])
                to[j] = np.uint8(np.uint16(np.uint16(47) * r + np.uint16(157) * g + np.uint16(16) * b + _BLACK) >> 8)
        for j in range(width):
            blue[j] = np.int16(upper[3 * j]) + np.int16(lower[3 * j])
            green[j] = np.int16(upper[3 * j + 1]) + np.int16(lower[3 * j + 1])
            red[j] = np.int16(upper[3 * j + 2]) + np.int16(lower[3 * j + 2])
        to_cb, to_cr = cb[i, at : at + half], cr[i, at : at + half]
        for j in range(half):
            blues = np.int32(blue[2 * j]) + np.int32(blue[2 * j + 1])
            greens = np.int32(green[2 * j]) + np.int32(green[2 * j + 1])
            reds = np.int32(red[2 * j]) + np.int32(red[2 * j + 1])
            to_cb[j] = (112 * blues - 86 * greens - 26 * reds + (128 << 10) + 512) >> 10
            to_cr[j] = (-10 * blues - 102 * greens + 112 * reds + (128 << 10) + 512) >> 10


@compiled("void(uint8[:, :], float64[:, ::1], int64[::1], int64[:, ::1], int64)")
def tint(rows, points, ends, colours, share):  # type: ignore[no-untyped-def]
    """Blends filled polygons over a picture in place, one after the other, by the even-odd rule.

    Args:
        rows: (H, 3 W) the picture's rows.
        points: (K, 2) corners x, y of all polygons in pixels, one polygon after the other.
        ends: (N,) where each ends.
        colours: (N, 3) blue, green, red.
        share: of the colour, in 256ths.
    """
    height, width = rows.shape[0], rows.shape[1] // 3
    crossing, more, keep = np.empty(len(points)), np.empty(rows.shape[1], np.uint16), np.uint16(256 - share)
    start = 0
    for k in range(len(ends)):
        end = ends[k]
        left, right, top, bottom = math.inf, -math.inf, math.inf, -math.inf
        for i in range(start, end):
            left, right = min(left, points[i, 0]), max(right, points[i, 0])
            top, bottom = min(top, points[i, 1]), max(bottom, points[i, 1])
        for x in range(int(min(max(left, 0.0), width)), int(min(max(right + 1.0, 0.0), width))):
            for c in range(3):
                more[3 * x + c] = colours[k, c] * share + 128
        for y in range(math.ceil(max(top, 0.0)), math.floor(min(bottom, height - 1.0)) + 1):
            count = 0
            for i in range(start, end):
                j = i + 1 if i + 1 < end else start
                if (points[i, 1] <= y) == (points[j, 1] <= y):
                    continue
                slope = (points[j, 0] - points[i, 0]) / (points[j, 1] - points[i, 1])
                x, at = points[i, 0] + (y - points[i, 1]) * slope, count
                while at > 0 and crossing[at - 1] > x:
                    crossing[at] = crossing[at - 1]
                    at -= 1
                crossing[at] = x
                count += 1
            for c in range(0, count - 1, 2):
                first, last = math.ceil(max(crossing[c], 0.0)), math.floor(min(crossing[c + 1], width - 1.0))
                if first <= last:
                    # Slices begin at 0 and sums stay in 16 bits, so that many are done at once.
                    row, colour = rows[y, 3 * first : 3 * last + 3], more[3 * first : 3 * last + 3]
                    for x in range(len(row)):
                        row[x] = np.uint8(np.uint16(np.uint16(row[x] * keep) + colour[x]) >> 8)
        start = end


@compiled("void(uint8[:, :], int64[::1], int64[::1], int64)")
def shade(rows, box, colour, share):  # type: ignore[no-untyped-def]
    """Blends a colour (3,) over a box (4,) left, top, right, bottom of (H, 3 W) rows in place, clipped to them.

    ``share``: of the colour, in 256ths. The right column and the lower row of the box stay as they are.
    """
    height, width = rows.shape[0], rows.shape[1] // 3
    left, right = min(max(box[0], 0), width), min(max(box[2], 0), width)
    keep, more = np.uint16(256 - share), np.empty(max(3 * (right - left), 0), np.uint16)
    for x in range(len(more)):
        more[x] = colour[x % 3] * share + 128
    for y in range(max(box[1], 0), min(box[3], height)):
        row = rows[y, 3 * left : 3 * left + len(more)]
        for x in range(len(row)):
            row[x] = np.uint8(np.uint16(np.uint16(row[x] * keep) + more[x]) >> 8)


@compiled("void(uint8[:, :], uint16[:, ::1], uint8[:, ::1])")
def lay_over(rows, keep, add):  # type: ignore[no-untyped-def]
    """Lays a small picture over (h, 3 w) rows in place: what is there times ``keep`` in 256ths, and ``add`` to it."""
    for y in range(len(rows)):
        row, kept, added = rows[y], keep[y], add[y]
        for x in range(len(row)):
            row[x] = np.uint8(np.uint16(np.uint16(row[x] * kept[x]) + np.uint16(128)) >> 8) + added[x]


@compiled("void(uint8[:, :], int64[:, ::1], uint8[::1])")
def brighten(rows, at, least):  # type: ignore[no-untyped-def]
    """Makes some values of (H, 3 W) rows at least as bright as said: (K,) at row and column (K, 2)."""
    for k in range(len(at)):
        rows[at[k, 0], at[k, 1]] = max(rows[at[k, 0], at[k, 1]], least[k])


@compiled("void(uint8[:, :], float64[:, ::1], int64[::1], float64[::1], int64[:, ::1])")
def strokes(rows, points, ends, width, colours):  # type: ignore[no-untyped-def]
    """Draws lines with soft edges and round ends: each pixel takes of the colour what its distance leaves it.

    Args:
        rows: (H, 3 W) the picture's rows.
        points: (K, 2) corners x, y of all lines in pixels, one line after the other; such as are not finite break it.
        ends: (N,) where each line ends.
        width: (N,) in pixels.
        colours: (N, 3) blue, green, red.
    """
    size_x, size_y = rows.shape[1] // 3 - 1.0, rows.shape[0] - 1.0
    start = 0
    for k in range(len(ends)):
        reach = 0.5 * width[k] + 0.5
        blue, green, red = colours[k, 0], colours[k, 1], colours[k, 2]
        for i in range(start, ends[k] - 1):
            ax, ay = points[i, 0], points[i, 1]
            dx, dy = points[i + 1, 0] - ax, points[i + 1, 1] - ay
            length = math.sqrt(dx * dx + dy * dy)
            if not length < math.inf:
                continue
            ux, uy = (dx / length, dy / length) if length > 0.0 else (1.0, 0.0)
            steep = abs(uy) > abs(ux)
            # Along the axis that the line follows more; across it, as far as a pixel can be touched.
            a, d, u, sides, lengths = (ay, dy, uy, size_x, size_y) if steep else (ax, dx, ux, size_y, size_x)
            b, v = (ax, ux) if steep else (ay, uy)
            half, ratio = reach / abs(u), v / u
            least, most = max(min(a, a + d) - reach, 0.0), min(max(a, a + d) + reach, lengths)
            for p in range(math.ceil(least), math.floor(most) + 1):
                middle = b + min(max(p - a, min(d, 0.0)), max(d, 0.0)) * ratio
                for q in range(math.ceil(max(middle - half, 0.0)), math.floor(min(middle + half, sides)) + 1):
                    along, across = (p - a) * u + (q - b) * v, (q - b) * u - (p - a) * v
                    share = reach - abs(across)
                    if along < 0.0 or along > length:
                        past = -along if along < 0.0 else along - length
                        share = reach - math.sqrt(across * across + past * past)
                    if share > 0.0:
                        y, x = (np.uintp(p), np.uintp(3 * q)) if steep else (np.uintp(q), np.uintp(3 * p))
                        new = int(min(share, 1.0) * 256.0)
                        old = 256 - new
                        rows[y, x] = (rows[y, x] * old + blue * new + 128) >> 8
                        rows[y, x + _1] = (rows[y, x + _1] * old + green * new + 128) >> 8
                        rows[y, x + _2] = (rows[y, x + _2] * old + red * new + 128) >> 8
        start = ends[k]


@compiled("void(uint8[:, :], int64[:, ::1], int64[:, ::1], int64)")
def frame_boxes(rows, boxes, colours, thickness):  # type: ignore[no-untyped-def]
    """Draws boxes (N, 4), left, top, right, bottom in whole pixels, with edges that grow inwards from there."""
    height, width = rows.shape[0], rows.shape[1] // 3
    for k in range(len(boxes)):
        left, top, right, bottom = boxes[k, 0], boxes[k, 1], boxes[k, 2], boxes[k, 3]
        for y in range(max(top, 0), min(bottom + 1, height)):
            edge = y < top + thickness or y > bottom - thickness
            x, end = max(left, 0), min(right + 1, width)
            while x < end:
                if not edge and left + thickness <= x <= right - thickness:
                    x = right - thickness + 1
                    continue
                rows[y, 3 * x], rows[y, 3 * x + 1], rows[y, 3 * x + 2] = colours[k, 0], colours[k, 1], colours[k, 2]
                x += 1
