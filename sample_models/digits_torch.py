"""Handwritten digits once more, read by a network that is written and trained in PyTorch.

    python sample_models/digits_torch.py                                        train, and show the accuracy
    interchange export sample_models/digits_torch.py:make digits_torch.onnx     the trained model as a file

A LeNet for 8x8 pixels; the data and the held-out quarter are those of digits_cnn.py.
"""

import numpy as np
import torch
from digits_cnn import accuracy, load
from torch import nn
from torch.nn import functional as F


class LeNet(nn.Module):
    """x: float32[batch, 1, 8, 8], ink from 0 to 1 -> {"scores": float32[batch, 10]}, a score (logit) for each digit."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)
        self.hidden, self.out = nn.Linear(32 * 2 * 2, 64), nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)  # 16 maps of 4x4
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)  # 32 maps of 2x2
        return {"scores": self.out(F.relu(self.hidden(x.flatten(1))))}


def train(epochs: int = 20, report: bool = False) -> LeNet:
    """A trained model, in eval mode."""
    images, _, digits, _ = (torch.from_numpy(part) for part in load())
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LeNet()
        optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
        for epoch in range(epochs):
            losses = []
            for batch in torch.randperm(len(images)).split(64):
                optimiser.zero_grad()
                loss = F.cross_entropy(model(images[batch])["scores"], digits[batch])
                loss.backward()
                optimiser.step()
                losses.append(loss.item())
            if report:
                print(f"epoch {epoch + 1:2}   loss {np.mean(losses):.4f}")
    return model.eval()


def make() -> tuple[LeNet, dict[str, str]]:
    """The trained model and its inputs: what `interchange export` asks for."""
    return train(), {"x": "float32[batch, 1, 8, 8]"}


if __name__ == "__main__":
    model = train(report=True)
    _, images, _, digits = load()
    with torch.no_grad():
        scores = model(torch.from_numpy(images))["scores"].numpy()
    print(f"held-out images read right: {accuracy(scores, digits):.2%} of {len(digits)}")
