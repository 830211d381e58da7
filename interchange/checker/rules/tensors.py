"""Data: that each constant holds the bytes its type and shape need, in the file or beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from interchange.checker.context import Context
from interchange.checker.report import Where
from interchange.checker.rule import Problem, Problems, rule
from interchange.errors import FileError
from interchange.graph.reading import Reader

# TensorProto or SparseTensorProto, place, name for messages, its raw data if left out
Place = tuple[Any, Where, str, memoryview | None]


def _tensors(ctx: Context) -> Iterator[Place]:
    for scope in ctx.scopes:
        if not scope.is_function:
            for i, tensor in enumerate(scope.proto.initializer):
                window = ctx.windows.get(i) if scope is ctx.main else None
                yield tensor, scope.place(tensor.name), f"initializer {tensor.name!r}", window
            for sparse in scope.proto.sparse_initializer:
                yield sparse, scope.place(sparse.values.name), f"sparse initializer {sparse.values.name!r}", None
        for node in scope.nodes:
            for attribute in node.proto.attribute:
                what = f"attribute {attribute.name} of node {node.label}"
                single = [getattr(attribute, f) for f in ("t", "sparse_tensor") if attribute.HasField(f)]
                for tensor in (*single, *attribute.tensors, *attribute.sparse_tensors):
                    yield tensor, node.where(), what, None


def _problems(ctx: Context, codes: tuple[str, ...]) -> Problems:
    for error, where in ctx.data_errors:
        if error.code in codes:
            yield Problem(
                error.message if error.where is None else f"{error.where}: {error.message}",
                where,
                found=error.found or "",
                expected=error.expected or "",
                why="the weight cannot be read",
                fix=error.fix or "",
            )


def data_errors(ctx: Context) -> list[tuple[FileError, Where]]:
    """What the reader of model files says of each tensor: one look for all rules below."""
    found = []
    for tensor, where, what, window in _tensors(ctx):
        sparse = tensor.DESCRIPTOR.name == "SparseTensorProto"
        parts = (tensor.values, tensor.indices) if sparse else (tensor,)
        if ctx.folder is None and any(p.data_location == 1 for p in parts):
            continue
        reader = Reader(ctx.folder.window if ctx.folder is not None else _nowhere, {})
        try:
            if sparse:
                reader.sparse(tensor, what).positions(what)
            else:
                reader.tensor(tensor, what, window)
        except FileError as error:
            found.append((error, where))
    return found


def _nowhere(entries: Any, need: int, where: str) -> memoryview:
    raise AssertionError("external data is not looked at without a folder")


@rule("IX530", "error", "Data that does not fit its shape")
def payload(ctx: Context) -> Problems:
    yield from _problems(ctx, ("IX302", "IX313"))


@rule("IX531", "error", "An unknown element type")
def element_type(ctx: Context) -> Problems:
    yield from _problems(ctx, ("IX312",))


@rule("IX532", "error", "A data file outside the folder")
def outside(ctx: Context) -> Problems:
    yield from _problems(ctx, ("IX304",))


@rule("IX533", "error", "A data file is missing")
def missing_file(ctx: Context) -> Problems:
    yield from _problems(ctx, ("IX305",))


@rule("IX534", "error", "A data file that does not fit")
def external_range(ctx: Context) -> Problems:
    yield from _problems(ctx, ("IX306",))
