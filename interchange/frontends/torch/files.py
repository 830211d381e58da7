"""Reading what PyTorch's users keep in files: captured programs, and weights that run no code when they are read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from interchange.errors import ConvertError, FileError
from interchange.frontends.torch.program import quiet


def load_program(path: str | os.PathLike[str]) -> Any:
    """The ExportedProgram in a ``.pt2`` file. Raises FileError IX301, IX302."""
    _exists(path)
    try:
        with quiet():
            return torch.export.load(os.fspath(path))
    except Exception as error:  # whatever torch raises on what is no program
        raise _unreadable(
            path,
            error,
            "this is no program of torch.export",
            expected="a file that torch.export.save wrote",
            fix="save the model with torch.export.save(program, path)",
        ) from error


def _exists(path: str | os.PathLike[str]) -> None:
    if not Path(path).is_file():
        raise FileError(
            "IX301",
            "there is no such file",
            where=str(path),
            found="nothing at this path",
            expected="a file",
            fix="check the path",
        )


def _unreadable(path: str | os.PathLike[str], error: Exception, message: str, *, expected: str, fix: str) -> FileError:
    found = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return FileError("IX302", message, where=str(path), found=found, expected=expected, fix=fix)


def load_weights(model: Any, path: str | os.PathLike[str]) -> None:
    """Put the tensors of a ``.safetensors`` file or of a checkpoint into a module (which may be on the meta device).

    A checkpoint is read as weights only: no code in it runs. Raises FileError IX301, IX302, ConvertError IX930 with all
    keys that are missing, unexpected or of another shape.
    """
    _exists(path)
    if not isinstance(model, torch.nn.Module):
        raise _misfit(path, f"a {type(model).__name__}", "a torch.nn.Module to put weights into")
    tensors = _tensors(path)
    wanted = model.state_dict(keep_vars=True)
    given = {id(t) for k, t in wanted.items() if k in tensors}  # a tied weight may be there under its other name
    problems = [f"missing {k}" for k, t in wanted.items() if k not in tensors and id(t) not in given]
    problems += [f"unexpected {k}" for k in tensors if k not in wanted]
    problems += [
        f"{k} is {list(tensors[k].shape)}, the model's {list(t.shape)}"
        for k, t in wanted.items()
        if k in tensors and tensors[k].shape != t.shape
    ]
    if problems:
        raise _misfit(path, "; ".join(problems[:20]) + (" ..." if len(problems) > 20 else ""), "the model's own keys")
    names = {id(t): k for k, t in wanted.items() if k in tensors}
    model.load_state_dict({k: tensors[names[id(t)]] for k, t in wanted.items()}, strict=True, assign=True)


def _tensors(path: str | os.PathLike[str]) -> dict[str, Any]:
    place = os.fspath(path)
    try:
        if place.endswith(".safetensors"):
            from safetensors.torch import load_file

            found: Any = load_file(place)
        else:
            found = torch.load(place, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # whatever the readers raise: they share no base
        raise _unreadable(
            path,
            error,
            "the weights cannot be read",
            expected="a .safetensors file, or a checkpoint that holds tensors only",
            fix="save the weights with safetensors.torch.save_model, or torch.save(model.state_dict(), path)",
        ) from error
    held = found.get("state_dict", found) if isinstance(found, dict) else None
    if not isinstance(held, dict) or not all(isinstance(t, torch.Tensor) for t in held.values()):
        raise _misfit(path, f"a {type(found).__name__}", "a state_dict: names and tensors")
    return held


def _misfit(path: str | os.PathLike[str], found: str, expected: str) -> ConvertError:
    return ConvertError(
        "IX930",
        "the weights do not fit the model",
        where=str(path),
        found=found,
        expected=expected,
        fix="build the model with the configuration that the weights were saved with",
    )
