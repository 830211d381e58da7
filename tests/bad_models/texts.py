"""Names and texts that are meant for the terminal, the file system or another reader than they are shown to."""

from __future__ import annotations

from typing import Any

from .building import F, const, model, node, relu, value
from .kind import family

kind = family("texts")


def named(name: str) -> Any:
    """A valid model but for the name of an inner value."""
    return model([node("Relu", ["x"], [name], "one"), node("Neg", [name], ["y"], "two")])


@kind("a name with an ANSI escape", "IX528", "\\x1b", "printed, it colours, moves or erases what a terminal shows")
def _() -> Any:
    return named("\x1b[2J\x1b[31mfine")


@kind("a name with a newline", "IX528", "'h\\n", "printed, it adds a line of its own to a report or log")
def _() -> Any:
    return named("h\nerror: everything is fine")


@kind("a name with a NUL", "IX528", "\\x00", "readers in C see the name up to the NUL: another value")
def _() -> Any:
    return named("x\0y")


@kind("a name that changes the direction of text", "IX528", "\\u202e", "shown, its letters stand in another order")
def _() -> Any:
    return named("h\u202etxt.exe")


@kind("a name with an invisible character", "IX528", "\\u200b", "shown, it looks like the name of another value")
def _() -> Any:
    return model(
        [
            node("Relu", ["x"], ["h"], "one"),
            node("Neg", ["h"], ["h\u200b"], "two"),
            node("Add", ["h", "h\u200b"], ["y"], "three"),
        ]
    )


@kind("an operator with a control character", "IX540", "Relu\\x08", "printed, the backspace hides the letter before it")
def _() -> Any:
    m = relu()
    m.graph.node[0].op_type = "Relu\x08"
    return m


@kind("an input name with an ANSI escape", "IX528", "\\x1b", "a caller's tools print the signature")
def _() -> Any:
    return model([node("Relu", ["\x1b[8mx"], ["y"])], [value("\x1b[8mx")])


@kind("a node name that is a path", "IX528", "../", "tools that write a file for each node write elsewhere")
def _() -> Any:
    return model([node("Relu", ["x"], ["y"], "../../etc/cron.d/x")])


@kind("a name of 70,000 letters", "IX528", "70000", "no format of a report or database takes it")
def _() -> Any:
    return named("h" * 70_000)


@kind("a name that is not UTF-8", "IX500", "UTF-8", "readers refuse it, or see different names")
def _() -> Any:
    return relu().SerializeToString().replace(b"ok", b"\xff\xfe")


@kind("a text that is not UTF-8", "IX500", "UTF-8", "a doc string that readers refuse, or show differently")
def _() -> Any:
    m = relu()
    m.graph.node[0].doc_string = "docs"
    return m.SerializeToString().replace(b"docs", b"\xc3\x28\xa0\xa1")


@kind("a metadata key twice", "IX535", "'author'", "readers differ in the value they take")
def _() -> Any:
    m = relu()
    m.metadata_props.add(key="author", value="a")
    m.metadata_props.add(key="author", value="b")
    return m


@kind("a constant with a control character in its name", "IX528", "\\r", "printed, it overwrites the line it stands in")
def _() -> Any:
    w = const("w\rok", [1.0])
    return model([node("Add", ["x", "w\rok"], ["y"])], initializers=[w])


@kind("a size with a control character in its name", "IX528", "\\x1b", "shapes are printed in every report")
def _() -> Any:
    return relu(inputs=[value("x", F, ["\x1b[2J", 3])], outputs=[value("y", F, ["\x1b[2J", 3])])
