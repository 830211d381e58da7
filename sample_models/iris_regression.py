"""How wide is an iris petal, given the other three measurements? One linear layer, from the data to a trained model.

    python sample_models/iris_regression.py                                   train, and show what was learned
    interchange export sample_models/iris_regression.py:make iris.onnx        the trained model as a file

The cost is the mean squared error over all 150 flowers, in cm²: mean((w·x + b - y)²), the measurements as they are, in
cm. With weights of ones and a bias of zero it is 134.29327.
"""

import numpy as np
from sklearn.datasets import load_iris

from interchange.eager import Tensor, nn, optim


class PetalWidth(nn.Module):
    """x: float32[batch, 3], sepal length, sepal width, petal length -> float32[batch, 1], petal width; all in cm."""

    def __init__(self) -> None:
        self.linear = nn.Linear(3, 1)
        nn.init.ones_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


def load() -> tuple[np.ndarray, np.ndarray]:
    """The measurements that are given, float32[150, 3], and the one to predict, float32[150, 1]."""
    flowers = load_iris().data.astype(np.float32)
    return flowers[:, :3], flowers[:, 3:]


def cost(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The mean squared error, in cm²."""
    return ((model(x) - y) ** 2).mean()


def train(steps: int = 400, report: int = 0) -> tuple[PetalWidth, list[float]]:
    """A trained model, and its cost before each step. report: print every so many steps; 0 prints nothing."""
    x, y = (Tensor(a) for a in load())
    model = PetalWidth()
    optimiser = optim.SGD(model.parameters(), lr=0.01, momentum=0.95)
    costs = []
    for step in range(steps):
        optimiser.zero_grad()
        loss = cost(model, x, y)
        loss.backward()
        optimiser.step()
        costs.append(loss.item())
        if report and step % report == 0:
            print(f"step {step:5}   cost {costs[-1]:.5f}")
    return model, costs


def make() -> tuple[PetalWidth, dict[str, str]]:
    """The trained model and its inputs: what `interchange export` asks for."""
    model, _ = train()
    return model, {"x": "float32[batch, 3]"}


if __name__ == "__main__":
    model, costs = train(report=100)
    x, y = load()
    best = np.linalg.lstsq(np.c_[x, np.ones(len(x))], y, rcond=None)[1].item() / len(x)
    final = cost(model, Tensor(x), Tensor(y)).item()
    print(f"after {len(costs)} steps cost {final:.5f}; least squares reaches {best:.5f}")
    weights = ", ".join(f"{w:.4f}" for w in model.linear.weight.tolist()[0])
    print(f"petal width = [{weights}] · x {model.linear.bias.item():+.4f}")
