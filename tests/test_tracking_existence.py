"""What scores are worth, and the probability that an object is there."""

import numpy as np
import pytest

from tracking import kernels
from tracking.existence import Presence, ScoreModel
from tracking.frame import D_ODDS


def log_odds(score: np.ndarray) -> np.ndarray:
    """As the tracker reads them off detections."""
    box = np.tile([0.0, 0.0, 10.0, 10.0], (len(score), 1))
    return kernels.read_detections(box, score, np.zeros(len(score), np.int64))[0][:, D_ODDS]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def taught(share_real: float, real_mean: float, *, seed: int = 0) -> tuple[ScoreModel, float]:
    """A model that saw a stream of known make, and the true log-odds of a detection of middling score."""
    rng = np.random.default_rng(seed)
    model = ScoreModel()
    decay, cut, at = 2.0, -0.85, 2.25
    for _ in range(300):
        real = rng.random(30) < share_real
        odds = np.where(real, rng.normal(real_mean, 1.0, 30), cut + rng.exponential(decay, 30))
        model.read(odds[odds > cut])
    density_real = share_real * np.exp(-0.5 * (at - real_mean) ** 2) / np.sqrt(2 * np.pi)
    density_false = (1 - share_real) * np.exp(-(at - cut) / decay) / decay
    return model, float(np.log(density_real / density_false))


@pytest.mark.parametrize(("share_real", "real_mean"), [(0.3, 3.0), (0.6, 2.0), (0.8, 2.5)])
def test_the_worth_of_a_score_is_found_from_the_stream(share_real: float, real_mean: float) -> None:
    model, truth = taught(share_real, real_mean)
    assert model.read(np.array([2.25]))[0] == pytest.approx(truth, abs=0.6)


def test_the_same_score_is_worth_more_from_a_cleaner_detector() -> None:
    clean, _ = taught(0.95, 2.0)
    dirty, _ = taught(0.2, 4.5)
    assert clean.read(np.array([1.0]))[0] > dirty.read(np.array([1.0]))[0] + 2.0


def test_a_better_score_is_never_worth_less_and_all_is_finite() -> None:
    rng = np.random.default_rng(2)
    model = ScoreModel()
    grid = np.linspace(-12, 12, 200)
    for _ in range(50):
        model.read(log_odds(rng.beta(0.5, 0.5, 40)))
        worth = np.array([model.read(np.array([g]))[0] for g in grid[::20]])
        assert np.isfinite(worth).all()
    assert (np.diff(model.read(grid)) >= -1e-12).all()


def test_log_odds_are_finite_at_the_ends() -> None:
    odds = log_odds(np.array([0.0, 0.5, 1.0]))
    assert np.isfinite(odds).all() and odds[1] == 0.0 and odds[0] == pytest.approx(-odds[2])


def test_presence_is_bayes_rule_on_three_states() -> None:
    presence = Presence(hide_s=2.0, return_s=1.0, stay_s=5.0, seen_share=0.9)
    state = np.array([0.6, 0.3, 0.1])  # in view, hidden, gone
    dt, ratio = 0.1, 0.1
    hide, back, leave = (1 - np.exp(-dt / mean) for mean in (2.0, 1.0, 5.0))
    view = state[0] * (1 - hide) * (1 - leave) + state[1] * back
    hidden = state[1] * (1 - leave) + state[0] * hide - state[1] * back
    gone = 1.0 - view - hidden
    total = view * ratio + hidden + gone
    p, h = state[:1].copy(), state[1:2].copy()
    presence.step(p, h, np.array([ratio]), dt)
    assert p[0] == pytest.approx(view * ratio / total)
    assert h[0] == pytest.approx(hidden / total)


def test_probabilities_stay_probabilities() -> None:
    rng = np.random.default_rng(3)
    presence = Presence(2.0, 1.0, 5.0, 0.9)
    p, h = rng.uniform(0, 1, 50), np.zeros(50)
    for _ in range(2000):
        presence.step(p, h, np.exp(rng.normal(0, 3, 50)), float(rng.choice([0.0, 0.03, 0.1, 1.0])))
        assert (p >= 0).all() and (h >= -1e-12).all() and (p + h <= 1 + 1e-9).all()


def test_detection_rate_is_learned_from_bridged_gaps() -> None:
    rng = np.random.default_rng(4)
    presence = Presence(2.0, 1.0, 5.0, 0.9)
    for _ in range(400):
        looks = rng.geometric(0.7, 20)  # seen 7 times in 10
        presence.count(looks - 1.0, 0.1 * looks, 0.1)
    assert presence.seen_share == pytest.approx(0.7, abs=0.03)
    assert presence.missed_again == pytest.approx(0.3, abs=0.03)


def test_bursts_of_misses_are_learned_from_the_length_of_gaps() -> None:
    """One look in ten begins a burst, which goes on with probability 0.6; the longest gaps count as occlusions."""
    rng = np.random.default_rng(6)
    presence = Presence(2.0, 1.0, 5.0, 0.9)
    for _ in range(400):
        missed = np.where(rng.random(20) < 0.1, rng.geometric(0.4, 20), 0)
        presence.count(missed.astype(float), 0.1 * (1 + missed), 0.1)
    assert presence.seen_share == pytest.approx(0.9, abs=0.01)
    assert presence.missed_again == pytest.approx(0.6, abs=0.04)


@pytest.mark.parametrize(("share", "trust"), [(0.1, 0.0), (0.35, 0.0), (0.8, 1.0)])
def test_trust_follows_the_share_of_middling_scores_that_continue_tracks(share: float, trust: float) -> None:
    rng = np.random.default_rng(5)
    model = ScoreModel()
    assert model.trust == 1.0  # at first a detector is taken at its word
    for _ in range(200):
        odds = np.concatenate([rng.uniform(-0.4, 0.4, 20), [5.0, 6.0]])
        model.learn(odds, np.append(np.flatnonzero(rng.random(20) < share), [20, 21]))
    assert model.trust == trust


def test_sure_and_poor_scores_say_nothing_of_trust() -> None:
    model = ScoreModel()
    for _ in range(100):
        model.learn(np.array([3.0, -2.0, 5.0]), np.array([], np.int64))
    assert model.trust == 1.0


def test_fewer_objects_are_found_again_after_a_longer_time() -> None:
    slow, fast = ScoreModel(), ScoreModel()
    for _ in range(100):
        for model, stretch in ((slow, 3.0), (fast, 1.0)):
            model.learn(np.append(np.zeros(100), np.full(10, 6.0)), np.arange(58), stretch)
    assert slow.trust > fast.trust


def test_a_detector_that_is_never_sure_is_taken_at_its_word() -> None:
    model = ScoreModel()
    for _ in range(100):
        model.learn(np.array([0.0, 0.1, 0.2, 2.9]), np.array([3]))
    assert model.trust == 1.0
