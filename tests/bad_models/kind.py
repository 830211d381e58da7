"""What a kind of bad model is, and the list of them all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Kind:
    """One way in which a model can be bad.

    family: the group, a module of this package.  title: short and unique.  wrong: what is wrong, in one sentence.
    codes: what the checker has to report; other findings may be warnings and notes only.
    mentions: what the finding of the first code has to say.
    target: the runtime it is checked for.  secret: bytes of a file outside of the model's folder that it is after.
    make: makes the model: a ModelProto, bytes, or the path of what it wrote into an empty folder.
    """

    family: str
    title: str
    codes: tuple[str, ...]
    mentions: str
    wrong: str
    make: Callable[[Path], Any]
    target: str | None = None
    secret: bytes = b""

    @property
    def slug(self) -> str:
        """Its name as part of a path."""
        words = "".join(c if c.isalnum() else " " for c in self.title.lower()).split()
        return f"{self.family}/{'-'.join(words)}"

    def write(self, folder: Path) -> Path:
        """The model as a file in a folder, which is made."""
        folder.mkdir(parents=True, exist_ok=True)
        made = self.make(folder)
        if isinstance(made, Path):
            return made
        path = folder / "model.onnx"
        path.write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
        return path


KINDS: list[Kind] = []
"""All kinds, family by family."""

Make = Callable[..., Any]


def family(name: str) -> Callable[..., Callable[[Make], Make]]:
    """The decorator with which a module adds its kinds; it takes the fields of `Kind` in their order."""

    def kind(
        title: str, codes: str, mentions: str, wrong: str, *, target: str | None = None, secret: bytes = b""
    ) -> Callable[[Make], Make]:
        def add(make: Make) -> Make:
            in_folder = make if make.__code__.co_argcount else lambda _: make()
            KINDS.append(Kind(name, title, tuple(codes.split()), mentions, wrong, in_folder, target, secret))
            return make

        return add

    return kind
