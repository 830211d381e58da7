"""Answer with an exported model. Only the runtime is needed: this imports no training code, and production needs none.

python sample_models/serve_script.py iris.onnx                  the petal width of three flowers
python sample_models/serve_script.py iris.onnx 6.3 3.3 6.0      of your own: sepal length, sepal width, petal length
"""

import sys

import numpy as np

from interchange import runtime

FLOWERS = [[5.1, 3.5, 1.4], [7.0, 3.2, 4.7], [6.3, 3.3, 6.0]]  # one of each species, in cm


def main(path: str, *numbers: str) -> None:
    """Load the model once, then answer."""
    model = runtime.load(path)
    flowers = np.array([numbers] if numbers else FLOWERS, np.float32)
    widths = model.run(x=flowers)["output"]
    for flower, width in zip(flowers, widths, strict=True):
        print("sepal {:.1f} x {:.1f} cm, petal {:.1f} cm long".format(*flower), f"-> {width.item():.2f} cm wide")


if __name__ == "__main__":
    main(*sys.argv[1:])
