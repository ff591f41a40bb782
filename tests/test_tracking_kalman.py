"""The batched filter against filterpy, on torch, and against its own closed form."""

import numpy as np
import pytest
from filterpy.kalman import KalmanFilter

from tracking.kalman import mahalanobis2, predict, predict_axes, update, update_axes


def random_spd(rng: np.random.Generator, count: int, n: int) -> np.ndarray:
    a = rng.normal(size=(count, n, n))
    return a @ a.transpose(0, 2, 1) + 0.1 * np.eye(n)


def stable(F: np.ndarray) -> np.ndarray:
    """Scaled until nothing grows: 30 unstable steps would compare the rounding of huge numbers."""
    radius = np.abs(np.linalg.eigvals(F)).max(axis=-1)
    return F / np.maximum(radius, 1.0)[:, None, None]


def random_model(seed: int, count: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(1, 9)), int(rng.integers(1, 5))
    return {
        "x": rng.normal(size=(count, n)),
        "P": random_spd(rng, count, n),
        "F": stable(np.eye(n) + 0.1 * rng.normal(size=(count, n, n))),
        "Q": random_spd(rng, count, n),
        "H": rng.normal(size=(count, m, n)),
        "R": random_spd(rng, count, m),
        "z": rng.normal(size=(30, count, m)),
    }


@pytest.mark.parametrize("seed", range(8))
def test_equals_filterpy_step_by_step(seed: int) -> None:
    model = random_model(seed)
    n, m = model["x"].shape[1], model["R"].shape[1]
    references = []
    for k in range(len(model["x"])):
        kf = KalmanFilter(dim_x=n, dim_z=m)
        kf.x, kf.P = model["x"][k][:, None].copy(), model["P"][k].copy()
        kf.F, kf.Q, kf.H, kf.R = (model[name][k] for name in "FQHR")
        references.append(kf)
    x, P = model["x"], model["P"]
    for z in model["z"]:
        x, P = predict(x, P, model["F"], model["Q"])
        x, P = update(x, P, z, model["H"], model["R"])
        for k, kf in enumerate(references):
            kf.predict()
            kf.update(z[k])
            np.testing.assert_allclose(x[k], kf.x[:, 0], rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(P[k], kf.P, rtol=1e-9, atol=1e-9)


def test_torch_gives_the_same_numbers() -> None:
    torch = pytest.importorskip("torch")
    model = random_model(3)
    tensors = {name: torch.from_numpy(array) for name, array in model.items()}
    for source in (model, tensors):
        x, P = predict(source["x"], source["P"], source["F"], source["Q"])
        x, P = update(x, P, source["z"][0], source["H"], source["R"])
        source["x1"], source["P1"] = x, P
        source["d2"] = mahalanobis2(x, P, source["z"][1], source["H"], source["R"])
    for name in ("x1", "P1", "d2"):
        assert isinstance(tensors[name], torch.Tensor)
        np.testing.assert_allclose(tensors[name].numpy(), model[name], rtol=1e-12, atol=1e-12)


def test_torch_filter_is_differentiable() -> None:
    torch = pytest.importorskip("torch")
    model = {name: torch.from_numpy(array) for name, array in random_model(1).items()}
    x = model["x"].requires_grad_()
    new, _ = update(x, model["P"], model["z"][0], model["H"], model["R"])
    new.sum().backward()
    assert torch.isfinite(x.grad).all() and x.grad.abs().sum() > 0


def axes_state(seed: int, count: int = 6, axes: int = 4) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    P = random_spd(rng, count * axes, 2).reshape(count, axes, 2, 2)
    cov = [P[..., 0, 0].copy(), P[..., 0, 1].copy(), P[..., 1, 1].copy()]
    return rng.normal(size=(count, axes)), rng.normal(size=(count, axes)), cov


def test_axes_equal_the_general_filter() -> None:
    rng = np.random.default_rng(0)
    p, v, (pp, pv, vv) = axes_state(1)
    x = np.stack([p, v], axis=-1).reshape(-1, 2)
    P = np.stack([np.stack([pp, pv], -1), np.stack([pv, vv], -1)], -2).reshape(-1, 2, 2)
    H = np.array([[1.0, 0.0]])
    for _ in range(40):
        dt, q = rng.uniform(0.01, 0.5), rng.uniform(0.1, 3.0, p.shape)
        z, r = rng.normal(size=p.shape), rng.uniform(0.1, 2.0, p.shape)
        F = np.array([[1.0, dt], [0.0, 1.0]])
        shape = np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
        x, P = predict(x, P, F, q.reshape(-1, 1, 1) * shape)
        x, P = update(x, P, z.reshape(-1, 1), H, r.reshape(-1, 1, 1))
        predict_axes(p, v, (pp, pv, vv), dt, q)
        p, v, (pp, pv, vv) = update_axes(p, v, (pp, pv, vv), z, r)
        np.testing.assert_allclose(np.stack([p, v], -1).reshape(-1, 2), x, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(pp.ravel(), P[:, 0, 0], rtol=1e-9)
        np.testing.assert_allclose(pv.ravel(), P[:, 0, 1], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(vv.ravel(), P[:, 1, 1], rtol=1e-9)


def test_two_half_steps_equal_one() -> None:
    q = np.full((6, 4), 0.7)
    p1, v1, cov1 = axes_state(5)
    p2, v2, cov2 = axes_state(5)
    predict_axes(p1, v1, tuple(cov1), 0.4, q)
    for _ in range(2):
        predict_axes(p2, v2, tuple(cov2), 0.2, q)
    for one, two in zip((p1, v1, *cov1), (p2, v2, *cov2), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-12)


def test_mahalanobis_of_a_known_case() -> None:
    x, P = np.array([[1.0, 0.0]]), np.diag([3.0, 1.0])[None]
    d2 = mahalanobis2(x, P, np.array([[5.0]]), np.array([[1.0, 0.0]]), np.array([[1.0]]))
    assert d2 == pytest.approx([4.0])  # 4 px off, variance 3 + 1
