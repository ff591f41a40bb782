"""Compiled loops over pictures: colours as the encoder wants them.

Signatures are given, so everything is compiled, or read from the cache on disk, when the module is imported. Nothing is
checked here.
"""

from __future__ import annotations

from geometry.compiled import compiled


@compiled("void(uint8[:, ::1], uint8[:, ::1], uint8[:, ::1], uint8[:, ::1], uint8[:, ::1], uint8[:, ::1])")
def planes_420(blue, green, red, luma, cb, cr):  # type: ignore[no-untyped-def]
    """Fills the planes of a 4:2:0 picture in ITU-R BT.709's colours and limited range from (H, W) planes, H and W even.

    Luma is 16 to 235, chroma 16 to 240, each the mean of 2 x 2 pixels: BT.709-6, items 3.3 to 3.5, in whole numbers of
    256ths, so at most one level from the exact value. Rows of what is filled may be longer than needed.
    """
    height, width = blue.shape
    for i in range(height):
        for j in range(width):
            luma[i, j] = (47 * red[i, j] + 157 * green[i, j] + 16 * blue[i, j] + (16 << 8) + 128) >> 8
    for i in range(height // 2):
        t = 2 * i
        for j in range(width // 2):
            k = 2 * j
            b = blue[t, k] + blue[t, k + 1] + blue[t + 1, k] + blue[t + 1, k + 1]
            g = green[t, k] + green[t, k + 1] + green[t + 1, k] + green[t + 1, k + 1]
            r = red[t, k] + red[t, k + 1] + red[t + 1, k] + red[t + 1, k + 1]
            cb[i, j] = (112 * b - 86 * g - 26 * r + (128 << 10) + 512) >> 10
            cr[i, j] = (-10 * b - 102 * g + 112 * r + (128 << 10) + 512) >> 10
