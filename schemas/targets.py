"""Where a model will run: from ``onnxruntime>=1.18`` to the opset and IR version that every such release loads.

The limits were measured by loading models in each release (its own tables promise more than its loader accepts:
1.28 to 1.31 hold schemas of opset 27 and refuse models of it). All patch releases of a minor release share them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from interchange.errors import SchemaError

OLDEST_OPSET, DEFAULT_OPSET, DEFAULT_IR = 17, 21, 10
"""The oldest opset that is written; the one written when nothing is asked for, with its IR version."""


class Release(NamedTuple):
    """What the loader of a runtime release accepts: the highest opset of ai.onnx and ai.onnx.ml, and IR version."""

    name: str
    opset: int
    ir_version: int
    ml_opset: int


RELEASES: Mapping[str, tuple[Release, ...]] = MappingProxyType(
    {
        "onnxruntime": (
            Release("1.17", 20, 9, 4),
            Release("1.18", 21, 10, 5),
            Release("1.19", 21, 10, 5),
            Release("1.20", 21, 10, 5),
            Release("1.21", 22, 10, 5),
            Release("1.22", 22, 10, 5),
            Release("1.23", 23, 11, 5),
            Release("1.24", 25, 13, 5),
            Release("1.25", 26, 13, 5),
            Release("1.26", 26, 13, 5),
            Release("1.27", 26, 13, 5),
            Release("1.28", 26, 13, 5),
            Release("1.29", 26, 13, 5),
            Release("1.30", 26, 13, 5),
            Release("1.31", 26, 13, 5),
            Release("1.32", 28, 14, 5),
        )
    }
)

# first opset -> (IR version, ai.onnx.ml opset) of the ONNX releases from there on (onnx.helper.VERSION_TABLE)
_ONNX_RELEASES = (
    (1, 3, 1),
    (9, 4, 1),
    (10, 5, 1),
    (11, 6, 2),
    (12, 7, 2),
    (15, 8, 2),
    (16, 8, 3),
    (19, 9, 3),
    (20, 9, 4),
    (21, 10, 5),
    (23, 11, 5),
    (24, 12, 5),
    (25, 13, 5),
    (28, 14, 5),
)
LATEST_OPSET = 28


@dataclass(frozen=True, slots=True)
class Target:
    """What to write: opset of ai.onnx, IR version, and the opsets of all domains whose limit is known.

    releases: the runtime's releases that load it, ``("1.18", ...)``; empty if no runtime was named.
    text: the whole in one line for a reader.
    """

    opset: int
    ir_version: int
    opsets: Mapping[str, int]
    releases: tuple[str, ...]
    text: str


def ir_for_opset(opset: int) -> int:
    """The IR version of the first ONNX release with that opset: the least that a model of it should have.

    Raises SchemaError IX403 for an opset this release does not know.
    """
    return _onnx_release(opset)[0]


def _onnx_release(opset: int) -> tuple[int, int]:
    if not 1 <= opset <= LATEST_OPSET:
        raise SchemaError(
            "IX403",
            f"there is no opset {opset} of ai.onnx in the registry",
            found=f"opset {opset}",
            expected=f"1 to {LATEST_OPSET}",
            fix=f"ask for an opset from 1 to {LATEST_OPSET}",
        )
    _, ir_version, ml_opset = next(row for row in reversed(_ONNX_RELEASES) if row[0] <= opset)
    return ir_version, ml_opset


def resolve(target: str | None = None, opset: int | None = None) -> Target:
    """The opset and IR version to write for a runtime (``onnxruntime==1.20``, ``onnxruntime>=1.18,<1.25``).

    Nothing given: opset 21, IR 10. A target alone: the highest opset up to 21 which each release it admits loads,
    with the highest IR version up to 10 they load. A target without a version admits all known releases.
    An opset is the one written, or refused.

    Raises SchemaError: IX420 a target that cannot be read, IX421 it admits no known release, IX422 the opset is
    beyond the target, IX423 an opset that is not written at all.
    """
    if opset is not None:
        _check_opset(opset)
    if target is None:
        opset = DEFAULT_OPSET if opset is None else opset
        ir_version, ml_opset = _onnx_release(opset)
        return _target(opset, ir_version, ml_opset, (), "")
    runtime, admitted = _admitted(target)
    highest = min(release.opset for release in admitted)
    if opset is None:
        opset = min(DEFAULT_OPSET, highest)
    elif opset > highest:
        raise _beyond(target, runtime, opset, admitted)
    ir_version = max(ir_for_opset(opset), min(DEFAULT_IR, *(release.ir_version for release in admitted)))
    ml_opset = min(release.ml_opset for release in admitted)
    names = tuple(release.name for release in admitted)
    span = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
    return _target(opset, ir_version, ml_opset, names, f"{runtime} {span}: ")


def _target(opset: int, ir_version: int, ml_opset: int, releases: tuple[str, ...], start: str) -> Target:
    opsets = MappingProxyType({"": opset, "ai.onnx.ml": ml_opset, "com.microsoft": 1})
    return Target(opset, ir_version, opsets, releases, f"{start}opset {opset}, IR {ir_version}")


def _check_opset(opset: int) -> None:
    if not isinstance(opset, int) or not OLDEST_OPSET <= opset <= LATEST_OPSET:
        raise SchemaError(
            "IX423",
            f"models of opset {opset} are not written",
            found=f"opset {opset!r}",
            expected=f"an int from {OLDEST_OPSET} to {LATEST_OPSET}",
            fix=f"leave the opset out ({DEFAULT_OPSET} is written then), or name one of them",
        )


def _admitted(target: str) -> tuple[str, list[Release]]:
    """The runtime a target names, and its releases that the target admits."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    target = str(target)  # whatever a caller hands over
    match = re.fullmatch(r"\s*([A-Za-z][\w.-]*)\s*(.*?)\s*", target)
    runtime = match[1].lower() if match else ""
    if match is None or runtime not in RELEASES:
        near = difflib.get_close_matches(runtime, RELEASES, 1)
        raise SchemaError(
            "IX420",
            f"{target!r} names no runtime that is known here" if runtime else f"{target!r} is not a target",
            found=target,
            expected=f"a runtime ({', '.join(RELEASES)}) and its versions, e.g. onnxruntime>=1.18",
            fix=f"did you mean {near[0]}{match[2] if match else ''}?" if near else "write e.g. onnxruntime>=1.18",
        )
    versions = match[2]
    try:
        allowed = SpecifierSet(versions)
    except InvalidSpecifier:
        bare = re.sub(r"^[=~<>!\s]*", "", versions)
        fix = f"write {runtime}=={bare}" if re.fullmatch(r"[\d.]+", bare) else "write e.g. onnxruntime>=1.18,<1.25"
        raise SchemaError(
            "IX420",
            f"the versions in {target!r} cannot be read",
            found=versions,
            expected="a version specifier: ==1.20, >=1.18, >=1.18,<1.25, ~=1.20",
            fix=fix,
        ) from None
    releases = RELEASES[runtime]
    # a minor release is admitted with any of its patch releases: ==1.20 and ==1.20.1 both mean 1.20
    admitted = [r for r in releases if any(allowed.contains(f"{r.name}.{patch}") for patch in range(10))]
    if not admitted:
        raise SchemaError(
            "IX421",
            f"no release of {runtime} that is known here fits {target!r}",
            found=versions,
            expected=f"at least one of {releases[0].name} to {releases[-1].name}",
            fix=f"name a range that holds one of them, e.g. {runtime}>={releases[1].name}",
        )
    return runtime, admitted


def _beyond(target: str, runtime: str, opset: int, admitted: list[Release]) -> SchemaError:
    lowest = min(admitted, key=lambda release: release.opset)
    since = next((r.name for r in RELEASES[runtime] if r.opset >= opset), None)
    return SchemaError(
        "IX422",
        f"{runtime} {lowest.name} does not load models of opset {opset}",
        found=f"opset {opset} for {target}",
        expected=f"opset {lowest.opset} or lower: {runtime} {lowest.name} accepts no higher one",
        fix=f"ask for opset {lowest.opset}" + (f", or for {runtime}>={since}" if since else ""),
    )
