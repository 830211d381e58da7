"""Handwritten digits, 8x8 pixels: a small convolutional network that reads over 97 % of those it has never seen.

    python sample_models/digits_cnn.py                                        train, and show the accuracy
    interchange export sample_models/digits_cnn.py:make digits.onnx           the trained model as a file

The data are scikit-learn's 1,797 digits; a quarter is held out, and only looked at after the training.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from interchange import eager as E
from interchange.eager import Tensor, nn, optim, random
from interchange.eager.data import DataLoader, TensorDataset


class DigitReader(nn.Module):
    """x: float32[batch, 1, 8, 8], ink from 0 to 1 -> float32[batch, 10], a score (logit) for each digit."""

    def __init__(self) -> None:
        self.features = nn.Sequential(
            *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),  # 16 maps of 4x4
            *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),  # 32 maps of 2x2
        )
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))


def load() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images to learn from and held-out images, float32[n, 1, 8, 8]; their digits, int64[n]."""
    digits = load_digits()
    images = (digits.images[:, None] / 16).astype(np.float32)
    parts = train_test_split(
        images, digits.target.astype(np.int64), test_size=0.25, random_state=0, stratify=digits.target
    )
    return parts[0], parts[1], parts[2], parts[3]


def train(epochs: int = 10, report: bool = False) -> DigitReader:
    """A trained model, in eval mode."""
    random.manual_seed(0)
    images, _, digits, _ = load()
    model, criterion = DigitReader(), nn.CrossEntropyLoss()
    optimiser = optim.Adam(model.parameters(), lr=3e-3)

    @E.compile  # forward, backward and update as one graph; without this line the same happens operation by operation
    def step(x: Tensor, y: Tensor) -> Tensor:
        optimiser.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimiser.step()
        return loss

    batches = DataLoader(TensorDataset(images, digits), batch_size=64, shuffle=True, drop_last=True)
    for epoch in range(epochs):
        losses = [step(x, y).item() for x, y in batches]
        if report:
            print(f"epoch {epoch + 1:2}   loss {np.mean(losses):.4f}")
    return model.eval()


def accuracy(scores: np.ndarray, digits: np.ndarray) -> float:
    """The share of rows whose highest score is the right digit's."""
    return float((scores.argmax(1) == digits).mean())


def make() -> tuple[DigitReader, dict[str, str]]:
    """The trained model and its inputs: what `interchange export` asks for."""
    return train(), {"x": "float32[batch, 1, 8, 8]"}


if __name__ == "__main__":
    model = train(report=True)
    _, images, _, digits = load()
    print(f"held-out images read right: {accuracy(model(Tensor(images)).numpy(), digits):.2%} of {len(digits)}")
