"""Pictures a second in training, turn by turn: over-parameterisations and precisions.

    python tests/benchmarks/bench_training.py [--threads 2] [--rounds 5] [--batch 16]

Every variant takes one step per round on the same random batch, so that a busy machine slows all of them alike; the
smallest time of the rounds counts. Prints one line a variant: pictures a second, and its time over that of ``folded
bfloat16``.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
import torch

from perception.training.augment import View
from perception.training.batches import Batch, collate
from perception.training.data import Labels
from perception.training.model import CONFIGS
from perception.training.train import TrainConfig, Trainer

VARIANTS = (("folded", True), ("branches", True), ("none", True), ("folded", False))


def random_batch(size: int) -> Batch:
    """Noise with twelve boxes a picture: time does not depend on what is seen."""
    rng = np.random.default_rng(0)
    views = []
    for _ in range(size):
        corner, side = rng.uniform(0, (420, 230), (12, 2)), rng.uniform(8, 60, (12, 2))
        image = rng.integers(0, 255, (288, 512, 3), np.uint8)
        views.append(View(image, Labels.of(np.hstack((corner, corner + side)), rng.integers(0, 10, 12))))
    return collate(views)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=16)
    options = parser.parse_args()
    batch, cpu = random_batch(options.batch), torch.device("cpu")
    trainers = {}
    for rep, amp in VARIANTS:
        plan = TrainConfig(steps=10_000, batch=options.batch, amp=amp, threads=options.threads)
        trainers[f"{rep} {'bfloat16' if amp else 'float32'}"] = Trainer(replace(CONFIGS["n"], rep=rep), plan, cpu)
    best = dict.fromkeys(trainers, float("inf"))
    for round_number in range(options.rounds + 1):
        for name, trainer in trainers.items():
            began = time.perf_counter()
            trainer.step(batch)
            if round_number:  # the first one compiles kernels
                best[name] = min(best[name], time.perf_counter() - began)
    reference = best["folded bfloat16"]
    print(f"torch {torch.__version__}, {options.threads} threads, batch {options.batch} of 512x288, network n")
    for name, seconds in best.items():
        print(f"{name:20s} {options.batch / seconds:6.1f} pictures/s   {seconds / reference:5.2f}")


if __name__ == "__main__":
    main()
