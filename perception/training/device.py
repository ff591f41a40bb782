"""Views rendered where the network is: the decoded set lies on the card, the CPU only plans geometry and labels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from perception.training.augment import PAD, Augmenter, Plan
from perception.training.batches import Batch, BatchMaker, truth_of
from perception.training.photometric import LUMA


class DeviceBatchMaker(BatchMaker):
    """``BatchMaker`` whose pixels never leave ``device``; all frames of the set must have one size.

    Light, contrast, white balance, saturation and noise change as on the CPU; blur, night, fog and rain are the CPU
    path's alone.
    """

    def __init__(
        self, augmenter: Augmenter, weights: np.ndarray, batch: int, seed: int, *, device: torch.device
    ) -> None:
        super().__init__(augmenter, weights, batch, seed)
        self.device = device
        frames = augmenter.frames
        first = frames.image(0)
        self.pixels = torch.empty((len(frames), 3, *first.shape[:2]), dtype=torch.uint8, device=device)
        for index in range(len(frames)):
            self.pixels[index] = torch.from_numpy(np.array(frames.image(index))).permute(2, 0, 1).to(device)

    def make(self, step: int, calm: bool = False) -> Batch:
        rng = np.random.default_rng((self.seed, step))
        plans = [self.augmenter.plan(index, rng, calm) for index in self.choose(rng)]
        images = torch.cat([self.render(plan) for plan in plans])
        generator = torch.Generator(self.device).manual_seed(int(rng.integers(2**62)))
        return Batch(distort(images, self.augmenter.config.photometric.colour, generator), truth_of(plans))

    def render(self, plan: Plan) -> Tensor:
        """(1, 3, H, W) uint8 of a plan: bilinear, as the CPU's."""
        layers = [self._layer(plan, number) for number in range(len(plan.layers))]
        blended = layers[0] if len(layers) == 1 else plan.share * layers[0] + (1.0 - plan.share) * layers[1]
        return blended.round().clamp(0, 255).to(torch.uint8)

    def _layer(self, plan: Plan, number: int) -> Tensor:
        width, height = self.augmenter.config.size_px
        canvas = torch.empty(1, 3, height, width, device=self.device)
        for part in plan.layers[number]:
            x0, y0, x1, y1 = part.window_px
            source = self.pixels[part.index : part.index + 1].float() - PAD  # what lies outside becomes the padding
            grid = sampling_grid(part.matrix, (x0, y0, x1, y1), tuple(source.shape[-2:]), self.device)
            seen = functional.grid_sample(source, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
            canvas[:, :, y0:y1, x0:x1] = seen + PAD
        return canvas


def sampling_grid(
    matrix: np.ndarray, window_px: tuple[int, int, int, int], source_hw: tuple[int, ...], device: torch.device
) -> Tensor:
    """(1, h, w, 2) places in -1..1 of the source for the pixels of a window, of a view-from-source matrix (2, 3)."""
    x0, y0, x1, y1 = window_px
    inverse = torch.from_numpy(np.linalg.inv(np.vstack((matrix, [0.0, 0.0, 1.0])))[:2].astype(np.float32)).to(device)
    y, x = torch.meshgrid(
        torch.arange(y0, y1, device=device, dtype=torch.float32),
        torch.arange(x0, x1, device=device, dtype=torch.float32),
        indexing="ij",
    )
    places = torch.stack((x, y, torch.ones_like(x)), -1) @ inverse.T
    extent = torch.tensor([source_hw[1], source_hw[0]], dtype=torch.float32, device=device)
    return ((places + 0.5) / extent * 2.0 - 1.0)[None]


def distort(images: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """(B, 3, H, W) uint8 after random gamma, gain, contrast, brightness, saturation and noise, picture by picture."""
    batch, device = len(images), images.device

    def uniform(low: float, high: float, channels: int = 1) -> Tensor:
        return torch.rand(batch, channels, 1, 1, device=device, generator=generator) * (high - low) + low

    x = images.float() / 255.0
    gamma, contrast = uniform(-0.35, 0.35).exp(), uniform(-0.2, 0.2).exp()
    gain = (uniform(-0.25, 0.25) + uniform(-0.08, 0.08, 3)).exp()
    changed = (x**gamma * gain - 0.5) * contrast + 0.5 + uniform(-0.06, 0.06)
    grey = (changed * torch.from_numpy(LUMA).to(device)[:, None, None]).sum(1, keepdim=True)
    changed = grey + (changed - grey) * uniform(0.3, 1.5)
    sigma = uniform(0.0, 0.05) * (uniform(0.0, 1.0) < 0.12)
    changed = changed + sigma * torch.randn(x.shape, device=device, generator=generator)
    kept = uniform(0.0, 1.0) >= probability
    return (torch.where(kept, x, changed) * 255.0).round().clamp(0, 255).to(torch.uint8)
