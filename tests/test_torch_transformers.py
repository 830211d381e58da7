"""`transformers` through the PyTorch frontend: exported, proven, loaded from the file, run at other sizes.

All of them take minutes, so that the whole zoo is a `conformance` suite; a few, one a family, stand here as a sample.
"""

import numpy as np
import pytest

import interchange as ix

torch = pytest.importorskip("torch", reason="PyTorch is not installed (the extra interchange[torch])")
pytest.importorskip("transformers", reason="transformers is not installed")
from torch_zoo import SIZES, ZOO, leaf_names  # noqa: E402

from interchange.errors import ConvertError  # noqa: E402
from interchange.frontends.torch.weights import to_numpy  # noqa: E402
from interchange.parity import compare  # noqa: E402

SAMPLE = ("bert", "mixtral", "bart", "vit", "resnet", "wav2vec2")  # and below a decoder with its cache
LEAST = dict.fromkeys(SIZES, 1) | {"samples": 60}
OTHERS = {"batch": 3, "time": 11, "past": 4, "target": 13, "samples": 1229, "texts": 5, "images": 4}

# what is not exported, and why
REFUSED: dict[str, tuple[str, str]] = {
    "funnel": ("IX923", "get_position_embeds"),  # makes its table of positions with Python numbers: one length only
    "levit": ("IX924", "attention_bias_cache"),  # keeps what it computes in an attribute, to find it the next time
}
# what is refused at size 1: the guard also bounds large sizes in one expression, so that it cannot be tried out as one
# that excludes nothing but 1 (a table of 64 positions that is cut by cached and new steps; blocks of four steps)
FROM_TWO = {"gpt_neo cached": {"time": 2}, "longt5": {"time": 2}}


def tensors(values):
    return [v for v in torch.utils._pytree.tree_leaves(values) if isinstance(v, torch.Tensor)]


def works(name, folder):
    """Export, load, and compare with the model at its least sizes and at others, by inputs of the test's own."""
    architecture = ZOO[name]
    model, inputs, dynamic = architecture.build()
    ix.export(model, inputs, folder / "model.onnx", dynamic=dynamic)
    loaded = ix.load(folder / "model.onnx")
    for sizes in (LEAST | FROM_TWO.get(name, {}), OTHERS):
        given = architecture.inputs(model.config, sizes)
        arrays = dict(zip(leaf_names(given), map(to_numpy, tensors(given)), strict=True))
        found = loaded.run(arrays)
        with torch.no_grad():
            wanted = tensors(model(**given))
        assert len(found) == len(wanted)
        for (output, ours), theirs in zip(found.items(), wanted, strict=True):
            assert compare(output, ours, to_numpy(theirs), None).problem is None, (sizes, output)
    return loaded


@pytest.mark.parametrize("name", SAMPLE)
def test_a_model_of_each_family(name, tmp_path):
    works(name, tmp_path)


@pytest.mark.conformance
@pytest.mark.parametrize("name", [n for n in ZOO if n not in REFUSED])
def test_every_architecture(name, tmp_path):
    works(name, tmp_path)


@pytest.mark.conformance
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_exported_is_refused_with_the_reason(name):
    code, reason = REFUSED[name]
    model, inputs, dynamic = ZOO[name].build()
    with pytest.raises(ConvertError, match=code) as failure:
        ix.export(model, inputs, dynamic=dynamic)
    assert reason in str(failure.value)


def test_a_cache_is_carried_from_step_to_step():
    """Inputs are named by the path in the cache, outputs are their next values: what decoding by tokens needs."""
    architecture = ZOO["gpt2 cached"]
    model, inputs, dynamic = architecture.build()
    loaded = ix.export(model, inputs, dynamic=dynamic)
    caches = [n for n in loaded.inputs if n.startswith("past_key_values")]
    assert caches == [f"past_key_values.{kind}_cache.{layer}" for kind in ("key", "value") for layer in (0, 1)]
    assert [str(d) for d in loaded.inputs["attention_mask"].shape] == ["batch", "past + time"]

    given = architecture.inputs(model.config, SIZES | {"past": 1, "time": 8})
    tokens, mask, *cached = map(to_numpy, tensors(given))
    state = dict(zip(caches, cached, strict=True))
    for step in range(8):
        one = {"input_ids": tokens[:, step : step + 1], "attention_mask": mask[:, : step + 2]}
        found = loaded.run({**one, **state})
        state = {n: found[f"{n}.next"] for n in caches}
    with torch.no_grad():
        whole = model(**given)
    np.testing.assert_allclose(found["logits"][:, -1], whole.logits[:, -1].numpy(), rtol=1e-4, atol=1e-5)
