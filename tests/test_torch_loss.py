"""Lowerings of losses, with every reduction: tests/torch_same.py says what each case asserts."""

import math

import pytest
from torch_same import exported, same, torch

from interchange.errors import ConvertError

F = torch.nn.functional
torch.manual_seed(0)
randn, rand = torch.randn, torch.rand
PAIR = [{0: "b"}, {0: "b"}]
REDUCTIONS = ("none", "mean", "sum")


def signs(*shape):
    return torch.where(randn(*shape) > 0, 1.0, -1.0)


# name -> loss of (x, target, reduction), inputs, further inputs
PAIRS = {
    "mse": (lambda x, y, r: F.mse_loss(x, y, reduction=r), (randn(3, 4), randn(3, 4)), ()),
    "l1": (lambda x, y, r: F.l1_loss(x, y, reduction=r), (randn(3, 4), randn(3, 4)), ()),
    "smooth_l1": (lambda x, y, r: F.smooth_l1_loss(x, y, reduction=r, beta=0.5), (randn(3, 4), randn(3, 4)), ()),
    "smooth_l1 without a parabola": (
        lambda x, y, r: F.smooth_l1_loss(x, y, reduction=r, beta=0.0),
        (randn(3, 4), randn(3, 4)),
        (),
    ),
    "huber": (lambda x, y, r: F.huber_loss(x, y, reduction=r, delta=0.7), (randn(3, 4), randn(3, 4)), ()),
    "bce": (
        lambda x, y, r: F.binary_cross_entropy(x, y, reduction=r),
        (rand(3, 4), rand(3, 4)),
        ((torch.tensor([[0.0, 1.0, 0.5, 1.0]]), torch.tensor([[0.0, 0.0, 1.0, 1.0]])),),
    ),
    "bce weighted": (
        lambda x, y, r: F.binary_cross_entropy(x, y, torch.tensor([1.0, 2.0, 0.0, 0.5]), reduction=r),
        (rand(3, 4), rand(3, 4)),
        (),
    ),
    "bce of logits": (
        lambda x, y, r: F.binary_cross_entropy_with_logits(x, y, reduction=r),
        (randn(3, 4), rand(3, 4)),
        ((torch.tensor([[200.0, -200.0, 0.0, 20.0]]), torch.tensor([[0.0, 1.0, 1.0, 1.0]])),),
    ),
    "bce of logits weighted": (
        lambda x, y, r: F.binary_cross_entropy_with_logits(
            x, y, torch.tensor([1.0, 2.0, 0.0, 0.5]), reduction=r, pos_weight=torch.tensor([3.0, 1.0, 0.5, 2.0])
        ),
        (randn(3, 4), rand(3, 4)),
        (),
    ),
    "kl_div": (
        lambda x, y, r: F.kl_div(x, y, reduction=r),
        (randn(3, 4).log_softmax(1), randn(3, 4).softmax(1)),
        ((randn(2, 4), torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.5, 0.0, 0.0, 0.5]])),),
    ),
    "kl_div of a logarithm": (
        lambda x, y, r: F.kl_div(x, y, reduction=r, log_target=True),
        (randn(3, 4).log_softmax(1), randn(3, 4).log_softmax(1)),
        (),
    ),
    "poisson": (
        lambda x, y, r: F.poisson_nll_loss(x, y, full=True, reduction=r),
        (randn(3, 4), torch.tensor([0.0, 1.0, 2.0, 7.0]).expand(3, 4).clone()),
        (),
    ),
    "poisson of rates": (
        lambda x, y, r: F.poisson_nll_loss(x, y, log_input=False, reduction=r),
        (rand(3, 4), rand(3, 4)),
        (),
    ),
    "soft margin": (
        lambda x, y, r: F.soft_margin_loss(x, y, reduction=r),
        (randn(3, 4), signs(3, 4)),
        ((torch.tensor([[100.0, -20.0, 0.0, 88.0]]), torch.tensor([[-1.0, -1.0, 1.0, -1.0]])),),
    ),
    "hinge": (lambda x, y, r: F.hinge_embedding_loss(x, y, 0.7, reduction=r), (randn(3, 4), signs(3, 4)), ()),
    "nll": (
        lambda x, y, r: F.nll_loss(x, y, reduction=r),
        (randn(3, 4).log_softmax(1), torch.tensor([1, 3, 0])),
        ((randn(2, 4), torch.tensor([-100, -100])),),
    ),
    "nll of an image": (
        lambda x, y, r: F.nll_loss(x, y, torch.tensor([1.0, 2.0, 0.5]), ignore_index=1, reduction=r),
        (randn(2, 3, 4, 5), torch.randint(0, 3, (2, 4, 5))),
        (),
    ),
    "cross entropy": (
        lambda x, y, r: F.cross_entropy(x, y, reduction=r),
        (randn(3, 4), torch.tensor([1, 3, 0])),
        ((randn(2, 4), torch.tensor([2, -100])), (torch.full((1, 4), -math.inf), torch.tensor([2]))),
    ),
    "cross entropy, smoothed": (
        lambda x, y, r: F.cross_entropy(x, y, reduction=r, label_smoothing=0.3),
        (randn(3, 4), torch.tensor([1, 3, 0])),
        ((randn(2, 4), torch.tensor([2, -100])),),
    ),
    "cross entropy, smoothed and weighted": (
        lambda x, y, r: F.cross_entropy(
            x, y, torch.tensor([1.0, 2.0, 0.5]), ignore_index=2, reduction=r, label_smoothing=0.1
        ),
        (randn(2, 3, 5), torch.randint(0, 3, (2, 5))),
        (),
    ),
    "cross entropy of probabilities": (
        lambda x, y, r: F.cross_entropy(x, y, reduction=r),
        (randn(3, 4), randn(3, 4).softmax(1)),
        (),
    ),
    "cross entropy of probabilities, smoothed and weighted": (
        lambda x, y, r: F.cross_entropy(x, y, torch.tensor([1.0, 2.0, 0.5]), reduction=r, label_smoothing=0.2),
        (randn(2, 3, 5), randn(2, 3, 5).softmax(1)),
        (),
    ),
    "multi margin": (
        lambda x, y, r: F.multi_margin_loss(x, y, p=2, margin=0.5, weight=torch.tensor([1.0, 2.0, 0.5]), reduction=r),
        (randn(4, 3), torch.tensor([0, 2, 1, 1])),
        (),
    ),
    "multilabel margin": (
        lambda x, y, r: F.multilabel_margin_loss(x, y, reduction=r),
        (randn(3, 4), torch.tensor([[3, 0, -1, 1], [-1, 0, 1, 2], [1, 1, 2, 0]])),
        (),
    ),
    "multilabel soft margin": (
        lambda x, y, r: F.multilabel_soft_margin_loss(x, y, reduction=r),
        (randn(3, 4), rand(3, 4).round()),
        (),
    ),
}


@pytest.mark.filterwarnings("ignore:reduction. .mean. divides")
@pytest.mark.parametrize("name", PAIRS)
def test_loss(name):
    """All reductions of one loss in one model."""
    loss, inputs, more = PAIRS[name]
    same(lambda x, y: [loss(x, y, r) for r in REDUCTIONS], *inputs, dynamic=PAIR, more=more)


THREE = [{0: "b"}, {0: "b"}, {0: "b"}]
OTHERS = {
    "cosine": (
        lambda x, y, t: [F.cosine_embedding_loss(x, y, t, 0.2, reduction=r) for r in REDUCTIONS],
        (randn(3, 4), randn(3, 4), signs(3)),
    ),
    "ranking": (
        lambda x, y, t: [F.margin_ranking_loss(x, y, t, 0.2, reduction=r) for r in REDUCTIONS],
        (randn(3), randn(3), signs(3)),
    ),
    "triplet": (
        lambda x, y, t: [F.triplet_margin_loss(x, y, t, 0.8, p, swap=s) for p, s in ((2, False), (1, True))],
        (randn(3, 4), randn(3, 4), randn(3, 4)),
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_loss_of_three(name):
    loss, inputs = OTHERS[name]
    same(loss, *inputs, dynamic=THREE)


def test_losses_of_one_item():
    same(lambda x, y: [F.cross_entropy(x, y, reduction=r) for r in REDUCTIONS], randn(4), torch.tensor(2))
    same(lambda x, y: F.multilabel_margin_loss(x, y), randn(4), torch.tensor([1, -1, 2, 0]))


def test_a_training_loss_beside_the_model():
    class Classifier(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.body = torch.nn.Linear(6, 5)

        def forward(self, x, labels=None):
            logits = self.body(x)
            return {"logits": logits, "loss": F.cross_entropy(logits, labels, label_smoothing=0.1)}

    model = same(Classifier(), randn(3, 6), torch.tensor([1, 4, 0]), dynamic=PAIR)
    assert list(model.outputs) == ["logits", "loss"]


def test_ctc_is_refused():
    def loss(x):
        return torch.ops.aten.ctc_loss.IntList(x.log_softmax(2), torch.ones(2, 3, dtype=torch.long), [5, 5], [3, 3])

    with pytest.raises(ConvertError, match="_ctc_loss"):
        exported(loss, randn(5, 2, 4))
