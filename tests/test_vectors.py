"""Products of float32: right, and each the same to the bit whatever else is multiplied with it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroscene import vectors
from zeroscene.vectors import class_products, products, row_blocks

RNG = np.random.default_rng(2)
WIDTHS = (1, 3, 64, 85, 512, 514)
X = {k: RNG.standard_normal((1300, k), dtype=np.float32) for k in WIDTHS}
CLASSES = {k: RNG.standard_normal((70, k), dtype=np.float32) for k in WIDTHS}


@pytest.mark.parametrize("width", WIDTHS)
def test_products_are_those_of_the_formula(width):
    expected = X[width].astype(np.float64) @ CLASSES[width].T.astype(np.float64)
    np.testing.assert_allclose(products(X[width], CLASSES[width]), expected, rtol=1e-4, atol=2e-5 * width**0.5)


@settings(max_examples=80, deadline=None)
@given(
    width=st.sampled_from(WIDTHS),
    rows=st.one_of(
        st.lists(st.integers(0, 1299), min_size=1, max_size=70),
        st.tuples(st.integers(0, 100), st.integers(101, 1300)).map(lambda ends: list(range(*ends))),
    ),
    classes=st.lists(st.integers(0, 69), min_size=1, max_size=40),
    threads=st.sampled_from([1, 2]),
)
def test_a_product_depends_on_its_picture_and_its_class_alone(width, rows, classes, threads):
    whole = products(X[width], CLASSES[width])
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        some = products(X[width][rows], CLASSES[width][classes])
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(some, whole[np.ix_(rows, classes)])


def test_blocks_of_rows_change_nothing(monkeypatch):
    whole = products(X[512][:400], CLASSES[512])
    monkeypatch.setattr(vectors, "_BLOCK", 150_000)
    blocks = row_blocks(400, 512)
    assert [b.start for b in blocks] == list(range(0, 400, 64))
    assert blocks[-1].stop == 400
    np.testing.assert_array_equal(products(X[512][:400], CLASSES[512]), whole)


def test_products_by_class_are_the_same_turned():
    turned = class_products(X[85], CLASSES[85])
    assert turned.flags.c_contiguous
    np.testing.assert_array_equal(turned, products(X[85], CLASSES[85]).T)


def test_read_only_and_strided_rows_are_multiplied_as_they_are():
    locked = X[64].copy()
    locked.flags.writeable = False
    strided = np.asfortranarray(X[64])
    for rows in (locked, strided):
        np.testing.assert_array_equal(products(rows, CLASSES[64]), products(X[64], CLASSES[64]))


@pytest.mark.parametrize(("n", "c", "k"), [(0, 3, 4), (5, 0, 4), (5, 3, 0)])
def test_nothing_gives_nothing(n, c, k):
    found = products(np.ones((n, k), np.float32), np.ones((c, k), np.float32))
    np.testing.assert_array_equal(found, np.zeros((n, c), np.float32))


def test_without_the_kernel_classes_are_still_kept_apart(monkeypatch):
    expected = products(X[64], CLASSES[64])
    monkeypatch.setattr(vectors, "_has_kernel", lambda: False)
    whole = products(X[64], CLASSES[64])
    np.testing.assert_allclose(whole, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(products(X[64], CLASSES[64][:5]), whole[:, :5])
    np.testing.assert_array_equal(class_products(X[64], CLASSES[64]), whole.T)
