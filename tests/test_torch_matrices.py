"""Special functions and matrix factorisations of PyTorch, which ONNX does not have, over their whole range.

That each is right on ordinary numbers PyTorch's own database says: tests/test_torch_opinfo.py.
"""

import pytest
from torch_same import exported, same, torch

from interchange.errors import ConvertError

S, L = torch.special, torch.linalg
nan, inf = float("nan"), float("inf")
line = torch.cat([torch.linspace(-12, 12, 97), torch.linspace(-60, 60, 41)])
edges = torch.tensor([0.0, -0.0, inf, -inf, nan, 1.0, -1.0, 0.5, -0.5, 1e-8, -1e-8, 8.0, 10.0, 1e5])
unit = torch.cat([torch.linspace(-1, 1, 41), torch.tensor([1.1, -1.1, nan, 1 - 1e-7, 1e-12])])
ROWS = {0: "n"}

FUNCTIONS = {
    "gamma": lambda x: (torch.lgamma(x), torch.digamma(x)),
    "polygamma": lambda x: (torch.polygamma(2, x), torch.polygamma(3, x)),
    "error": lambda x: (torch.erfc(x), S.erfcx(x.clamp(-5)), S.ndtr(x), S.log_ndtr(x)),
    "entropy": lambda x: (S.entr(x), torch.xlogy(x, x.abs()), torch.xlogy(0.0, x), S.xlog1py(x, x.abs())),
    "scaled": lambda x: (S.i0e(x), S.i1e(x), S.scaled_modified_bessel_k0(x), S.scaled_modified_bessel_k1(x)),
    "modified": lambda x: (torch.i0(x), S.i1(x), S.modified_bessel_k0(x), S.modified_bessel_k1(x)),
    "waves": lambda x: (S.bessel_j0(x), S.bessel_j1(x), S.bessel_y0(x), S.bessel_y1(x), S.spherical_bessel_j0(x)),
    "airy": lambda x: S.airy_ai(x.clamp(-60, 60)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_functions_over_their_range(name):
    same(FUNCTIONS[name], line, dynamic=[ROWS], more=[(edges[:-1] if name == "waves" else edges,)])


@pytest.mark.parametrize("name", ["gamma", "polygamma", "error", "scaled"])
def test_special_functions_in_double_precision(name):
    same(FUNCTIONS[name], line.double(), more=[])


def test_inverses_of_the_error_function():
    same(lambda x: (torch.erfinv(x), S.ndtri(x.abs())), unit, dynamic=[ROWS])


@pytest.mark.parametrize("dtype", [torch.float16, torch.int32, torch.bool])
def test_special_functions_of_other_dtypes(dtype):
    same(lambda x: (torch.lgamma(x), torch.erfc(x), torch.i0(x), S.entr(x)), torch.tensor([0, 1, 2, 3]).to(dtype))


@pytest.mark.parametrize("kind", ["t", "u", "v", "w"])
def test_chebyshev_polynomials(kind):
    polynomial = getattr(S, f"chebyshev_polynomial_{kind}")
    x = torch.tensor([-2.0, -1.0, -0.7, 0.0, 0.3, 0.99, 1.0, 1.5])[:, None]
    same(lambda x, n: polynomial(x, n), x, torch.tensor([-1.0, 0.0, 1.0, 2.0, 5.0, 8.0, 2.9]))


def positive(x):
    return x @ x.mT + torch.eye(x.shape[-1], dtype=x.dtype)


torch.manual_seed(0)
squares, sides, points = torch.randn(3, 4, 4), torch.randn(3, 4, 2), torch.randn(3, 5, 4)

MATRICES = {
    "lu": lambda a: (*L.lu(a), *L.lu_factor_ex(a)),
    "determinants": lambda a: (L.det(a), *L.slogdet(a), torch.logdet(a)),
    "inverse": lambda a: (L.inv(a), *L.inv_ex(a), L.matrix_power(a, -2)),
    "cholesky": lambda a: (L.cholesky(positive(a)), L.cholesky(positive(a), upper=True)),
    "qr": lambda a: (*L.qr(a), *L.qr(a[..., :2], mode="complete")),
    "exponential": lambda a: torch.matrix_exp(a * 3),
    "norms": lambda a: (L.matrix_norm(a), L.vector_norm(a, 3, 1), L.norm(a)),
}


@pytest.mark.parametrize("name", MATRICES)
def test_matrices_of_any_batch(name):
    same(MATRICES[name], squares, dynamic=[ROWS], more=[(squares[:1].transpose(1, 2),)])


def test_equations_of_any_batch():
    same(lambda a, b: L.solve(a, b), squares, sides, dynamic=[ROWS, ROWS])
    same(lambda a, b: L.solve(a, b, left=False), squares, sides.mT.contiguous())
    same(lambda a, b: L.solve_triangular(a.tril(), b, upper=False), squares, sides, dynamic=[ROWS, ROWS])
    same(lambda a, b: torch.cholesky_solve(b, L.cholesky(positive(a))), squares, sides, dynamic=[ROWS, ROWS])


def test_a_singular_matrix():
    flat = torch.tensor([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [0.0, 0.0, 0.0]])
    same(lambda a: (L.det(a), *L.slogdet(a), torch.logdet(a), L.inv_ex(a)[1]), flat, more=[(torch.zeros(3, 3),)])


def test_a_pivot_of_zero_swaps_rows():
    swapped = torch.tensor([[0.0, 2.0, 1.0], [1.0, 0.0, 0.0], [4.0, 1.0, 0.0]])
    same(lambda a: (*L.lu(a), L.det(a), L.inv(a), *L.lu_factor(a)), swapped)


def test_matrices_of_no_rows():
    none = torch.zeros(2, 0, 0)
    same(lambda a: (L.det(a), L.inv(a), *L.slogdet(a), L.cholesky(a)), none)


def test_norms_of_nan_and_infinity():
    spoilt = torch.tensor([[1.0, nan, -3.0], [inf, 2.0, 0.0], [0.0, 0.0, 0.0]])
    same(lambda x: tuple(L.vector_norm(x, p, 1) for p in (inf, -inf, 0, 1, 2, 3.0)), spoilt)
    same(
        lambda x: (L.norm(x, 3, 1), L.norm(x, "fro"), L.norm(x, -1), L.norm(x, inf), L.cond(x[:2, :2] + 1, 1)),
        points[0],
    )


def test_distances():
    sizes = [{0: "n", 1: "rows"}, {0: "n", 1: "others"}]
    same(lambda x, y: (torch.cdist(x, y), torch.cdist(x, y, p=1.0)), points, points[:, :3], dynamic=sizes)
    same(lambda x, y: torch.cdist(x, y), torch.randn(30, 3), torch.randn(28, 3))  # by a product, as PyTorch
    same(torch.pdist, points[0])


def test_products():
    same(lambda x, y: torch.tensordot(x, y, dims=([1], [0])), points[:, :, 0], torch.randn(5, 2, 3), dynamic=[ROWS])
    same(lambda x, y: (torch.kron(x, y), torch.inner(x, y)), points[0], points[1])
    same(lambda x, y: (L.cross(x, y), L.vecdot(x, y)), points[0, :, :3], points[1, :, :3], dynamic=[ROWS, ROWS])


def test_a_matrix_of_a_dynamic_size_is_refused():
    with pytest.raises(ConvertError, match="size of a matrix is dynamic"):
        exported(lambda x: L.inv(x @ x.t()), torch.randn(4, 3), dynamic=[{0: "n"}])


def test_singular_values_are_refused():
    with pytest.raises(ConvertError, match="singular values"):
        exported(lambda a: L.matrix_norm(a, 2), squares)
