"""What is wrong with a pipeline is told at once, with its line, before it is served."""

import asyncio
import json

import pytest
from onnx import helper
from pipelining import DIAMOND, FLOAT, TWO, models, op, rows, served
from serving import node_model

from interchange.errors import InterchangeError
from interchange.serving.settings import ModelSettings
from interchange.serving.trial import open_served
from interchange.serving.wiring import PipelineError, check, read


# -- what is wrong with a file ----------------------------------------------------------------------------------------
def problems(tmp_path, text):
    """[(code, line, what the message contains)] of a file, over all the models."""

    async def test(engine, pipelines):
        error = pipelines.problems.get("p")
        return [] if error is None else error.problems

    return served(test, tmp_path, {"p": text}, only=tuple(models(tmp_path)))


GOOD = TWO.format("double", "half")
WRONG = {
    "toml": ("inputs = [", [("IX690", "p.toml", "cannot be read")]),
    "keys": (
        'input = ["x"]',
        [
            ("IX690", "p.toml:1", "input has no place"),
            ("IX690", "p.toml", "steps is not"),
            ("IX690", "p.toml", "outputs is not"),
        ],
    ),
    "twice": ('inputs = ["x", "x"]\noutputs = {}\nsteps = {}', [("IX690", "p.toml:1", "inputs is not of its form")]),
    "type": (GOOD.replace('"half"', "3"), [("IX690", "p.toml:7", "steps.b.model")]),
    "name": (GOOD.replace("[steps.b]", '[steps."b.c"]'), [("IX690", "p.toml:6", "steps.b.c")]),
    "model": (TWO.format("dubble", "ints"), [("IX691", "p.toml:4", "step a: there is no model 'dubble'")]),
    "version": (GOOD.replace('"half"', '"half"\nversion = 2'), [("IX691", "p.toml:8", "has no version '2'")]),
    "dtype": (TWO.format("double", "ints"), [("IX693", "p.toml:8", "step b: input x gets another dtype")]),
    "size": (TWO.format("double", "wide"), [("IX693", "p.toml:8", "axis 1 is 3 there and 5 here")]),
    "axes": (TWO.format("double", "flat"), [("IX693", "p.toml:8", "another number of axes")]),
    "first axis": (TWO.format("four", "six"), [("IX693", "p.toml:8", "axis 0 is 4 there and 6 here")]),
    "output": (
        GOOD.replace("a.y", "a.z"),
        [("IX692", "p.toml:8", "has no output 'z'")],
    ),
    "step": (
        GOOD.replace('"b.y"', '"c.y"'),
        [("IX692", "p.toml:2", "no step 'c'"), ("IX699", "p.toml:3", "no output of the pipeline needs step a")],
    ),
    "input": (
        GOOD.replace('{x = "x"}', '{x = "z"}'),
        [("IX692", "p.toml:5", "no input 'z'"), ("IX699", "p.toml:1", "nothing reads input x")],
    ),
    "input of the model": (
        GOOD.replace('{x = "x"}', '{z = "x"}'),
        [("IX692", "p.toml:5", "double has no input 'z'"), ("IX699", "p.toml:5", "input x of model double")],
    ),
    "cycle": (
        GOOD.replace('{x = "x"}', '{x = "b.y"}'),
        [("IX694", "p.toml:5", "wait for each other"), ("IX699", "p.toml:1", "nothing reads input x")],
    ),
    "passed on": (
        GOOD.replace('"b.y"', '"x"'),
        [("IX692", "p.toml:2", "output y comes from no step"), ("IX699", "p.toml:3", "needs step a")],
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_everything_that_is_wrong_is_told_at_once_with_its_line(tmp_path, kind):
    text, expected = WRONG[kind]
    found = problems(tmp_path, text)
    codes = [(p.code, p.where, p.message) for p in found]
    for code, where, part in expected:
        assert any(p.code == code and p.where.startswith(where) and part in p.message for p in found), (codes, part)
    assert {p.code for p in found} == {code for code, _, _ in expected}
    assert all(p.found and p.expected and p.fix for p in found)


def test_inputs_that_go_to_several_steps_have_to_agree(tmp_path):
    text = TWO.format("double", "ints").replace('"a.y"', '"x"').replace('y = "b.y"', 'y = "b.y", z = "a.y"')
    (found,) = problems(tmp_path, text)
    assert (found.code, found.where) == ("IX693", "p.toml:1")
    assert found.found == "a.x: float32[batch, 3]; b.x: int64[batch, 3]"


def test_a_chain_of_open_sizes_cannot_join_two_fixed_ones(tmp_path):
    text = TWO.format("four", "open") + '[steps.c]\nmodel = "six"\ninputs = {x = "b.y"}\n'
    (found,) = problems(tmp_path, text.replace('y = "b.y"', 'y = "c.y"'))
    assert (found.code, found.where) == ("IX693", "p.toml:11")
    assert "axis 0 is 4 there and 6 here" in found.message


def test_a_suggestion_is_made_for_a_misspelled_name(tmp_path):
    (found, *_) = problems(tmp_path, TWO.format("double", "halve"))
    assert found.fix == "did you mean half?"
    (found, *_) = problems(tmp_path, TWO.format("double", "half").replace("outputs", "output"))
    assert found.fix == "did you mean outputs?"


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(PipelineError) as error:
        read(tmp_path / "none.toml", "p")
    assert (error.value.code, error.value.found) == ("IX690", "No such file or directory")
    assert json.dumps(error.value.to_dict())


def test_check_needs_only_what_answers(tmp_path):
    """What `--check` and an editor use: no engine, no loop."""
    path = tmp_path / "p.toml"
    path.write_text(DIAMOND)
    opened = {n: open_served(n, "1", p, ModelSettings()) for n, p in models(tmp_path).items() if n in DIAMOND}
    signature = check(read(path, "p"), lambda model, version: opened[model])
    assert [str(s) for s in (*signature.inputs.values(), *signature.outputs.values())] == [
        "image: float32[batch, 3]",
        "sum: float32[batch, 3]",
        "first: float32[batch, 3]",
    ]


# -- sizes -----------------------------------------------------------------------------------------------------------
def bounded(path, name, low, high):
    """-x, for sizes from low to high of the first axis."""
    return node_model(
        [helper.make_node("Neg", ["x"], ["y"])],
        [("x", FLOAT, [name, 3])],
        [("y", FLOAT, [name, 3])],
        path,
        metadata={"interchange.dims": json.dumps({name: [low, high]})},
    )


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (("a", 1, 10), ("b", 4, 20), {"a": (4, 10)}),
        (("a", 4, None), ("b", 1, 9), {"a": (4, 9)}),
        (("a", 1, 3), ("b", 4, 20), "axis 0 is 1 to 3 there and 4 to 20 here"),
        (("a", 5, 9), 4, "axis 0 is 5 to 9 there and 4 here"),
        (("a", 1, 3), 4, "axis 0 is 1 to 3 there and 4 here"),
        (4, ("a", 1, 3), "axis 0 is 4 there and 1 to 3 here"),
    ],
)
def test_the_bounds_of_a_pipeline_are_those_of_all_its_steps(tmp_path, first, second, expected):
    async def test(engine, pipelines):
        for name, form in (("first", first), ("second", second)):
            path = tmp_path / f"{name}.onnx"
            path = bounded(path, *form) if isinstance(form, tuple) else op(path, "Neg", ("x",), shape=(form, 3))
            engine.replace(name, [await asyncio.to_thread(open_served, name, "1", path, ModelSettings())])
        if isinstance(expected, str):
            return pipelines.problems["p"].message
        with pytest.raises(InterchangeError) as error:
            await engine.infer("p", {"x": rows(11)})
        assert error.value.code == "IX606"
        return engine.find("p").model.dims

    found = served(test, tmp_path, {"p": TWO.format("first", "second")}, only=())
    assert found == expected if isinstance(expected, dict) else expected in found
