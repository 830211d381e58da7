"""What the namespace offers (``__array_namespace_info__``)."""

from __future__ import annotations

from typing import Any

from interchange.dtypes import BY_NAME, DType, float32, int64
from interchange.eager.array_api.arguments import check_device
from interchange.eager.array_api.dtypes import isdtype

ARRAY_API_VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12")  # what is in one is in the next
_NAMES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")


class Info:
    """Capabilities, devices and dtypes, as the Array API asks for them."""

    def capabilities(self) -> dict[str, Any]:
        """Boolean indexing and shapes that depend on data are there; NumPy's kernels take at most 64 axes."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> str:
        """``cpu``."""
        return "cpu"

    def devices(self) -> list[str]:
        """``["cpu"]``."""
        return ["cpu"]

    def default_dtypes(self, *, device: Any = None) -> dict[str, DType]:
        """What Python numbers and indices become."""
        check_device(device)
        return {"real floating": float32, "integral": int64, "indexing": int64}

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, DType]:
        """The standard's dtypes that ONNX computes with, all or of a kind; complex ones are not among them."""
        check_device(device)
        return {n: BY_NAME[n] for n in _NAMES if kind is None or isdtype(BY_NAME[n], kind)}


def __array_namespace_info__() -> Info:  # noqa: N807  the standard's name
    """What the namespace offers: capabilities, devices, dtypes."""
    return Info()


__array_api_version__ = ARRAY_API_VERSIONS[-1]

__all__ = ["ARRAY_API_VERSIONS", "__array_api_version__", "__array_namespace_info__"]
