"""Compiled parts of the fits of ``geometry.flow``: medians, robust weights, small systems of equations, rotations.

Signatures are given, so everything is compiled, or read from the cache on disk, when the module is imported. Nothing is
checked here: arrays are C-contiguous float64. Loops are written out: array expressions compile slowly.
"""

from __future__ import annotations

import math

import numpy as np

from geometry.compiled import compiled


@compiled("float64(float64[::1], int64, int64)")
def nth(values, count, middle):  # type: ignore[no-untyped-def]
    """The n-th smallest, from 0, of the first numbers, which it puts into another order: Hoare's quickselect."""
    low, high = 0, count - 1
    while low < high:
        pivot, i, j = values[(low + high) // 2], low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if middle <= j:
            high = j
        elif middle >= i:
            low = i
        else:
            break
    return values[middle]


@compiled("float64(float64[::1], int64)")
def upper_median(values, count):  # type: ignore[no-untyped-def]
    """The upper median of the first numbers, which it puts into another order."""
    return nth(values, count, count // 2)


@compiled("float64(float64, float64)")
def geman_mcclure(error, scale):  # type: ignore[no-untyped-def]
    """Weight of a residual: outliers lose all influence."""
    falloff = 1.0 + (error / scale) ** 2
    return 1.0 / (falloff * falloff)


@compiled("void(float64[:, ::1], float64[::1], float64[::1], float64[:, ::1], float64[::1])")
def normal_equations(design, error, weight, matrix, vector):  # type: ignore[no-untyped-def]
    """Adds weighted products of the rows of ``design`` (N, n) to (n, n), and their products with the errors to (n,)."""
    n = len(vector)
    for i in range(len(design)):
        for a in range(n):
            part = weight[i] * design[i, a]
            vector[a] += part * error[i]
            for b in range(n):
                matrix[a, b] += part * design[i, b]


@compiled("void(float64[:, ::1])")
def factor_positive(matrix):  # type: ignore[no-untyped-def]
    """Cholesky's factor of a positive definite matrix (n, n), into its lower triangle."""
    for i in range(len(matrix)):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= matrix[i, k] * matrix[j, k]
            matrix[i, j] = math.sqrt(total) if i == j else total / matrix[j, j]


@compiled("void(float64[:, ::1], float64[::1])")
def substitute(factor, vector):  # type: ignore[no-untyped-def]
    """``vector`` (n,) becomes the solution of the system whose matrix ``factor_positive`` has factored."""
    n = len(vector)
    for i in range(n):
        for k in range(i):
            vector[i] -= factor[i, k] * vector[k]
        vector[i] /= factor[i, i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            vector[i] -= factor[k, i] * vector[k]
        vector[i] /= factor[i, i]


@compiled("void(float64[:, ::1], float64[::1])")
def solve_positive(matrix, vector):  # type: ignore[no-untyped-def]
    """Solves a positive definite system (n, n), which is factored in place; ``vector`` (n,) becomes the solution."""
    factor_positive(matrix)
    substitute(matrix, vector)


@compiled("void(float64[:, ::1], float64[:, ::1])")
def inverse(matrix, out):  # type: ignore[no-untyped-def]
    """Fills the inverse of a positive definite matrix (n, n)."""
    n = len(matrix)
    factor, column = matrix.copy(), np.empty(n)
    factor_positive(factor)
    for j in range(n):
        for a in range(n):
            column[a] = 1.0 if a == j else 0.0
        substitute(factor, column)
        for a in range(n):
            out[a, j] = column[a]


@compiled("void(float64[::1], float64[:, ::1])")
def rotation_of(omega, turn):  # type: ignore[no-untyped-def]
    """Fills the rotation (3, 3) of a vector (3,): Rodrigues' formula."""
    square = omega[0] ** 2 + omega[1] ** 2 + omega[2] ** 2
    angle = math.sqrt(square)
    sine = math.sin(angle) / angle if angle > 1e-9 else 1.0
    rest = 2.0 * (math.sin(angle / 2) / angle) ** 2 if angle > 1e-9 else 0.5
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        turn[i, i] = 1.0 - rest * (omega[j] ** 2 + omega[k] ** 2)
        turn[i, j] = rest * omega[i] * omega[j] - sine * omega[k]
        turn[j, i] = rest * omega[i] * omega[j] + sine * omega[k]
