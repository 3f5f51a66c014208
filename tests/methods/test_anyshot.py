"""Any-shot helps the classes with examples, leaves the others alone, is nothing without examples, and can go back."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.errors import DataFormatError, DatasetNotFoundError, EncoderMismatchError, OptionError, UnknownNameError
from zeroscene.methods.anyshot import FILE, AnyShot, AnyShotOptions, Examples, most_probable, refine_with
from zeroscene.methods.contract import Scores, TrainingSet
from zeroscene.methods.registry import create_method
from zeroscene.methods.transduction.mixture import softmax
from zeroscene.semantics.table import ClassTable

ENCODER = EncoderIdentity("drawn", "w", "p", "o")
CLASSES = ("airport", "beach", "forest", "harbor", "river", "sea lake")
EACH, WIDTH = 60, 24


def world(seed=0, hint=1.1):
    """Return pictures of Gaussian classes with their labels, and scores that hint at the right class."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(CLASSES)), EACH)
    means = rng.normal(size=(len(CLASSES), WIDTH))
    x = means[y] + rng.normal(size=(len(y), WIDTH))
    ids = tuple(f"{CLASSES[c]}/{i}" for i, c in enumerate(y))
    values = hint * np.eye(len(CLASSES))[y] + rng.normal(size=(len(y), len(CLASSES)))
    pictures = Embeddings(ids, x.astype(np.float32), ENCODER, tuple(CLASSES[c] for c in y))
    return pictures, Scores(ids, CLASSES, values.astype(np.float32))


PICTURES, SCORES = world()
Y = PICTURES.label_indices(CLASSES)
FIRST = 16  # of each class may be examples; the others are tested
POOL = np.arange(len(Y)) % EACH < FIRST
TEST = ~POOL


def rows(scores, where):
    where = np.flatnonzero(where)
    return Scores(tuple(scores.ids[i] for i in where), scores.classes, scores.values[where])


def examples(count, classes=CLASSES, scores=SCORES):
    taken = (np.arange(len(Y)) % EACH < count) & np.isin(Y, [CLASSES.index(name) for name in classes])
    return Examples(PICTURES.take(taken), rows(scores, taken))


def adapted(count, classes=CLASSES, options=None):
    fitted = AnyShot.fit(examples(count, classes), PICTURES.take(POOL), rows(SCORES, POOL), options)
    return fitted.adapt(rows(SCORES, TEST), PICTURES.take(TEST))


def accuracy(scores, of=CLASSES):
    y = Y[TEST]
    chosen = np.isin(y, [CLASSES.index(name) for name in of])
    return float((scores.best() == y)[chosen].mean())


ZERO = rows(SCORES, TEST)


# What it is for


def test_more_examples_are_better_and_a_few_are_better_than_none():
    accuracies = [accuracy(ZERO), *(accuracy(adapted(count)) for count in (1, 4, 16))]
    assert accuracies == sorted(accuracies)
    assert accuracies[1] > accuracies[0] + 0.05
    assert accuracies[3] > 0.9


@pytest.mark.parametrize("count", [1, 4, 16])
def test_classes_with_examples_gain_and_classes_of_words_alone_are_not_drowned(count):
    given, alone = CLASSES[:3], CLASSES[3:]
    after = adapted(count, given)
    assert accuracy(after, given) > accuracy(ZERO, given) + 0.04
    assert accuracy(after, alone) > accuracy(ZERO, alone) - 0.02


def test_without_caution_they_would_lose():
    given, alone = CLASSES[:3], CLASSES[3:]
    careless = adapted(16, given, AnyShotOptions(caution=0))
    assert accuracy(careless, alone) < accuracy(adapted(16, given), alone)


def test_without_examples_the_scores_are_the_same_to_the_bit():
    same = adapted(0)
    np.testing.assert_array_equal(same.values, ZERO.values)
    assert same.classes == ZERO.classes


def test_an_example_that_the_words_had_right_changes_less_than_one_they_had_wrong():
    z, y = np.array([[1.0, 0.0]]), np.array([0])
    right, wrong = (most_probable(z, np.array([row]), y, 1.0) for row in ([5.0, 0.0], [0.0, 5.0]))
    assert np.abs(right).max() < 0.01
    assert np.abs(wrong).max() > 0.3


def test_examples_and_words_are_refined_together():
    few = examples(1)
    scores = adapted(1)
    refined = refine_with(few, PICTURES.take(TEST), scores)
    assert refined.values.shape == scores.values.shape
    assert (refined.values.argmax(axis=1) == Y[TEST]).mean() > accuracy(scores) + 0.02
    np.testing.assert_allclose(refined.priors.sum(), 1, atol=1e-6)


def test_an_example_gives_a_cluster_its_name_where_the_words_have_swapped_two():
    swapped = SCORES.values[:, [1, 0, 2, 3, 4, 5]]
    scores = Scores(SCORES.ids, CLASSES, swapped)
    few = examples(8, CLASSES[:2], scores)
    fitted = AnyShot.fit(few, PICTURES.take(POOL), rows(scores, POOL))
    after = refine_with(few, PICTURES.take(TEST), fitted.adapt(rows(scores, TEST), PICTURES.take(TEST)))
    assert accuracy(rows(scores, TEST), CLASSES[:2]) < 0.2
    assert accuracy(Scores(ZERO.ids, CLASSES, after.values), CLASSES[:2]) > 0.75


# What it keeps to


def test_the_weights_are_the_most_probable_ones():
    rng = np.random.default_rng(1)
    z, offset, y = rng.normal(size=(12, 5)), rng.normal(size=(12, 4)), rng.integers(0, 3, 12)
    weights = most_probable(z, offset, y, 7.0)
    slope = z.T @ (np.eye(4)[y] - softmax(offset + z @ weights)) - weights / 7.0
    np.testing.assert_allclose(slope, 0, atol=1e-6)


@given(st.permutations(range(len(CLASSES))), st.integers(1, len(CLASSES)))
@settings(max_examples=20, deadline=None)
def test_a_class_more_or_less_changes_no_other_column(order, kept):
    fitted = AnyShot.fit(examples(2, CLASSES[:3]), PICTURES.take(POOL), rows(SCORES, POOL))
    chosen = [CLASSES[i] for i in order[:kept]]
    whole = fitted.adapt(ZERO, PICTURES.take(TEST))
    part = fitted.adapt(ZERO.select(chosen), PICTURES.take(TEST))
    np.testing.assert_array_equal(part.values, whole.select(chosen).values)


def test_a_class_that_came_later_is_scored_in_the_same_scale():
    fitted = AnyShot.fit(examples(2), PICTURES.take(POOL), rows(SCORES, POOL))
    more = Scores(ZERO.ids, (*CLASSES, "solar farm"), np.concatenate([ZERO.values, ZERO.values[:, :1]], axis=1))
    values = fitted.adapt(more, PICTURES.take(TEST)).values
    np.testing.assert_array_equal(values[:, -1], np.float32(fitted.state["scale"][0] * ZERO.values[:, 0].astype(float)))


@given(st.floats(0.01, 100), st.floats(-5, 5), st.integers(0, 5))
@settings(max_examples=10, deadline=None)
def test_scale_of_the_scores_and_order_of_the_examples_do_not_matter(scale, shift, seed):
    few = examples(3)
    order = np.random.default_rng(seed).permutation(len(few.pictures))
    values = SCORES.values * np.float32(scale) + np.float32(shift)
    other = Scores(SCORES.ids, CLASSES, values)
    mixed = Examples(few.pictures.take(order), _ordered(examples(3, scores=other).scores, order))
    fitted = AnyShot.fit(mixed, PICTURES.take(POOL), rows(other, POOL))
    after = fitted.adapt(rows(other, TEST), PICTURES.take(TEST)).values
    before = adapted(3).values
    centred = [v - v.mean(axis=1, keepdims=True) for v in (after, before)]
    np.testing.assert_allclose(*centred, atol=2e-2)


def _ordered(scores, order):
    return Scores(tuple(scores.ids[i] for i in order), scores.classes, scores.values[order])


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_tiny_reference_is_enough_to_answer(count):
    few = examples(1, CLASSES[:2])
    start = np.flatnonzero(TEST)[:count]
    fitted = AnyShot.fit(few, PICTURES.take(start), _ordered(SCORES, start))
    after = fitted.adapt(ZERO, PICTURES.take(TEST))
    assert np.isfinite(after.values).all()
    assert accuracy(after) > accuracy(ZERO) - 0.05


def test_pictures_that_are_all_alike_leave_the_words_alone():
    alike = dataclasses.replace(PICTURES, x=np.ones_like(PICTURES.x))
    few = Examples(alike.take(POOL), rows(SCORES, POOL))
    after = AnyShot.fit(few, alike, SCORES).adapt(SCORES, alike)
    np.testing.assert_array_equal(after.best(), SCORES.best())


def test_it_is_saved_beside_a_method_and_deleting_it_goes_back(tmp_path):
    fitted = AnyShot.fit(examples(2, CLASSES[:3]), PICTURES.take(POOL), rows(SCORES, POOL))
    again = AnyShot.load(fitted.save(tmp_path).parent)
    assert (tmp_path / FILE).is_file()
    assert (
        again.summary()
        == fitted.summary()
        == ("6 examples (airport 2, beach 2, forest 2); 3 of 6 classes by words alone")
    )
    np.testing.assert_array_equal(
        again.adapt(ZERO, PICTURES.take(TEST)).values, fitted.adapt(ZERO, PICTURES.take(TEST)).values
    )
    (tmp_path / FILE).unlink()
    with pytest.raises(DatasetNotFoundError, match="holds no examples"):
        AnyShot.load(tmp_path)


def test_any_method_of_vectors_can_be_improved():
    table = ClassTable(CLASSES, np.eye(len(CLASSES), dtype=np.float32), CLASSES, "attributes")
    seen = PICTURES.of_classes(CLASSES[:4])
    method = create_method("kernel").fit(TrainingSet(seen, CLASSES[:4]), table)
    few = Examples.of(method, PICTURES.take(POOL).of_classes(CLASSES[4:]), table)
    pictures = PICTURES.take(TEST)
    before = method.scores(pictures, table)
    after = AnyShot.fit(few, pictures, before).adapt(before, pictures)
    assert accuracy(after, CLASSES[4:]) > accuracy(before, CLASSES[4:]) + 0.3


# Figures


def test_examples_among_the_pictures_are_left_out_and_named_whatever_their_folder():
    fitted = AnyShot.fit(examples(2, CLASSES[:1]), PICTURES.take(POOL), rows(SCORES, POOL))
    renamed = dataclasses.replace(PICTURES, ids=tuple(f"copy/{i}" for i in PICTURES.ids))
    rest, left_out = fitted.apart(dataclasses.replace(renamed, x=PICTURES.x * np.float32(1 + 1e-6)))
    assert left_out == ("copy/airport/0", "copy/airport/1")
    assert len(rest) == len(PICTURES) - 2


# What a user can get wrong


def test_an_example_of_a_class_that_is_not_asked_about_is_refused_with_the_nearest_names():
    labels = ("harbour", *PICTURES.labels[1:2])
    with pytest.raises(UnknownNameError, match=r"class of examples: .harbour. \(nearest: harbor"):
        Examples(dataclasses.replace(PICTURES.take([0, 1]), labels=labels), _ordered(SCORES, np.arange(2)))


def test_examples_of_one_class_without_another_are_refused():
    one = CLASSES[:1]
    with pytest.raises(DataFormatError, match="alone do not tell it from anything; score it with other classes"):
        AnyShot.fit(examples(2, one, SCORES.select(one)), PICTURES, SCORES.select(one))


def test_examples_of_another_encoder_are_refused():
    other = dataclasses.replace(PICTURES.take(POOL), encoder=EncoderIdentity("other", "v", "p", "o"))
    with pytest.raises(EncoderMismatchError, match="'other'"):
        AnyShot.fit(Examples(other, rows(SCORES, POOL)), PICTURES, SCORES)
    fitted = AnyShot.fit(examples(1), PICTURES, SCORES)
    for refused in (lambda: fitted.adapt(rows(SCORES, POOL), other), lambda: fitted.apart(other)):
        with pytest.raises(EncoderMismatchError, match="the set of examples was made with encoder 'drawn'"):
            refused()


def test_no_examples_no_labels_and_scores_of_other_pictures_are_refused():
    table = ClassTable(CLASSES, np.eye(len(CLASSES), dtype=np.float32), CLASSES, "attributes")
    method = create_method("kernel").fit(TrainingSet(PICTURES, CLASSES), table)
    with pytest.raises(DataFormatError, match="there are no examples; give one labelled picture at least"):
        Examples.of(method, PICTURES.take(np.zeros(len(PICTURES), bool)), table)
    with pytest.raises(DataFormatError, match="examples need labels"):
        Examples(dataclasses.replace(PICTURES, labels=None), SCORES)
    with pytest.raises(DataFormatError, match="scores of 360 pictures for 2"):
        Examples(PICTURES.take([0, 1]), SCORES)
    with pytest.raises(DataFormatError, match="row 0 of the scores is 'airport/1', of the pictures 'airport/0'"):
        Examples(PICTURES.take([0, 1]), _ordered(SCORES, np.array([1, 0])))
    with pytest.raises(DataFormatError, match="different classes"):
        AnyShot.fit(examples(1), PICTURES, SCORES.select(CLASSES[:3]))
    with pytest.raises(OptionError, match="caution"):
        AnyShotOptions.of({"caution": -1}, "any-shot")


def test_a_damaged_file_is_refused_in_one_line(tmp_path):
    (tmp_path / FILE).write_bytes(b"no tensors")
    with pytest.raises(DataFormatError, match="learn from the examples again"):
        AnyShot.load(tmp_path)
