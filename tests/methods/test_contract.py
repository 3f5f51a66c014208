"""The contract of every method in the registry, as its users meet it: fit, scores, save, load, and clear errors."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
from pydantic import ValidationError

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.embeddings.grids import TokenGrids
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.errors import (
    DataFormatError,
    DatasetNotFoundError,
    EncoderMismatchError,
    NotFittedError,
    OptionError,
    SplitError,
    UnknownNameError,
)
from zeroscene.methods.contract import TrainingSet
from zeroscene.methods.registry import create_method, load_method, method_class, method_names
from zeroscene.semantics.table import ClassTable

ENCODER = EncoderIdentity("synthetic", "w0", "p0", "pooled")
SEEN = tuple(f"seen {i}" for i in range(16))
UNSEEN = tuple(f"unseen {i}" for i in range(4))
PROJECTION = EncoderIdentity("synthetic", "w0", "p0", "projection")
TEXTS = EncoderIdentity("synthetic", "w0", "t0", "text-projection")
# Methods that compare pictures with the texts of the same model.
OF_TEXTS = ("prompts",)

every_method = pytest.mark.parametrize("name", method_names())


@dataclass(frozen=True)
class World:
    """Gaussian pictures around prototypes that are a linear image of yes/no attributes."""

    table: ClassTable
    pictures: Embeddings

    @property
    def train(self) -> TrainingSet:
        return TrainingSet(self.pictures.of_classes(SEEN), SEEN)

    @property
    def test(self) -> Embeddings:
        return self.pictures.of_classes(UNSEEN)


@cache
def world(name="eszsl") -> World:
    """Return attributes of the classes, or, for a method that needs them, texts in the space of the pictures."""
    return texts_world() if name in OF_TEXTS else attributes_world()


@cache
def texts_world() -> World:
    """Gaussian pictures around prototypes, and a text a class that lies near its prototype."""
    rng, plain = np.random.default_rng(6), attributes_world()
    of_class = (plain.pictures.of_classes([name]).x for name in plain.table.classes)
    means = np.array([x.mean(axis=0) for x in of_class])
    texts = (means + rng.normal(0, 0.5, means.shape)).astype(np.float32)
    columns = tuple(f"dim{i}" for i in range(texts.shape[1]))
    provenance = {"source": "drawn", "encoder": TEXTS.to_json()}
    return World(
        ClassTable(plain.table.classes, texts, columns, "embedding", provenance=provenance),
        replace(plain.pictures, encoder=PROJECTION),
    )


@cache
def attributes_world() -> World:
    rng = np.random.default_rng(5)
    classes = SEEN + UNSEEN
    phi = (rng.random((len(classes), 8)) < 0.5).astype(np.float32)
    prototypes = 3 + phi @ rng.normal(0, 1, (8, 24))
    y = np.repeat(np.arange(len(classes)), 15)
    x = (prototypes[y] + rng.normal(0, 0.3, (len(y), 24))).astype(np.float32)
    columns = tuple(f"attribute {i}" for i in range(8))
    tokens = x[:, None, None] + rng.normal(0, 0.3, (len(y), 2, 2, 24)).astype(np.float32)
    return World(
        ClassTable(classes, phi, columns, "attributes", provenance={"source": "drawn"}),
        Embeddings(
            tuple(f"p{i}" for i in range(len(y))), x, ENCODER, tuple(classes[i] for i in y), TokenGrids.of(tokens)
        ),
    )


@cache
def fitted(name):
    return create_method(name).fit(world(name).train, world(name).table)


def mean_class_accuracy(scores, labels):
    right = np.array(scores.classes)[scores.best()] == np.array(labels)
    return np.mean([right[np.array(labels) == c].mean() for c in set(labels)])


@every_method
def test_options_are_keyword_only_frozen_and_hold_what_was_given(name):
    method = method_class(name)()
    with pytest.raises(TypeError):
        method_class(name)(1)
    for option in type(method.options).model_fields:
        with pytest.raises(ValidationError):
            setattr(method.options, option, 1)


@every_method
def test_an_unknown_option_is_refused_with_the_nearest_known_one(name):
    option = next(iter(method_class(name).Options.model_fields), "")
    told = f"did you mean .*{option}" if option else "known: none"
    with pytest.raises(OptionError, match=rf"{name}.*'{option}s'.*{told}"):
        create_method(name, **{f"{option}s": 1})


@every_method
def test_candidates_are_distinct_valid_few_and_begin_with_the_default(name):
    sets = [create_method(name, **options).options for options in method_class(name).candidates()]
    assert sets[0] == create_method(name).options
    assert len({s.model_dump_json() for s in sets}) == len(sets) <= 16


@every_method
def test_fit_returns_the_method_itself_and_remembers_the_seen_classes(name):
    method = create_method(name)
    assert method.fit(world(name).train, world(name).table) is method
    assert method.require_fitted().seen == SEEN
    assert method.require_fitted().encoder == world(name).pictures.encoder


@every_method
def test_scores_have_a_row_a_picture_and_a_column_a_class(name):
    scores = fitted(name).scores(world(name).test, world(name).table)
    assert scores.ids == world(name).test.ids
    assert scores.classes == SEEN + UNSEEN
    assert scores.values.shape == (60, 20)
    assert scores.values.dtype == np.float32
    assert np.isfinite(scores.values).all()


@every_method
def test_learns_unseen_classes_are_recognised_at_twice_chance(name):
    scores = fitted(name).scores(world(name).test, world(name).table.select(UNSEEN))
    assert mean_class_accuracy(scores, world(name).test.labels) >= 2 / len(UNSEEN)


@every_method
def test_learns_seen_classes_are_recognised_at_thrice_chance(name):
    pictures = world(name).train.pictures
    scores = fitted(name).scores(pictures, world(name).table.select(SEEN))
    assert mean_class_accuracy(scores, pictures.labels) >= 3 / len(SEEN)


@every_method
def test_a_table_may_hold_classes_that_did_not_exist_at_fit_time(name):
    table = world(name).table
    new = ClassTable(("new a", "new b"), table.matrix[:2] / 2, table.columns, table.kind, provenance=table.provenance)
    scores = fitted(name).scores(world(name).test, table.union(new))
    assert scores.classes[-2:] == ("new a", "new b")
    assert np.isfinite(scores.values).all()


@every_method
def test_a_table_of_one_class_gives_one_column(name):
    assert fitted(name).scores(world(name).test, world(name).table.select(["unseen 2"])).values.shape == (60, 1)


@every_method
def test_the_order_of_classes_decides_the_order_of_columns_and_nothing_else(name):
    order = np.random.default_rng(0).permutation(len(world(name).table))
    shuffled = world(name).table.select([world(name).table.classes[i] for i in order])
    before = fitted(name).scores(world(name).test, world(name).table)
    after = fitted(name).scores(world(name).test, shuffled)
    np.testing.assert_allclose(after.values, before.values[:, order], rtol=1e-4, atol=1e-5)


@every_method
def test_the_score_of_a_picture_does_not_depend_on_the_other_pictures(name):
    rows = np.random.default_rng(0).permutation(60)[:25]
    together = fitted(name).scores(world(name).test, world(name).table)
    apart = fitted(name).scores(world(name).test.take(rows), world(name).table)
    assert apart.ids == tuple(together.ids[i] for i in rows)
    np.testing.assert_allclose(apart.values, together.values[rows], rtol=1e-4, atol=1e-5)


def test_only_methods_that_train_a_classifier_of_all_asked_classes_weigh_classes_against_each_other():
    assert [name for name in method_names() if not method_class(name).apart] == ["cada-vae", "mcfa"]


@pytest.mark.parametrize("name", [name for name in method_names() if method_class(name).apart])
@pytest.mark.parametrize("pictures", [1, 7, 60])
def test_a_class_more_or_less_leaves_the_scores_of_the_others_equal_to_the_bit(name, pictures):
    """Sets of 1 to 36 classes, which are more than one block of a product, in their order and in another."""
    table, x = world(name).table, world(name).test.take(range(pictures))
    halves = replace(table, classes=tuple(f"half {c}" for c in table.classes[:16]), matrix=table.matrix[:16] / 2)
    table = table.union(halves)
    among_all = fitted(name).scores(x, table)
    for count in (1, 2, 3, 5, 8, 16, 31, 32, 33, 35):
        some = table.classes[:count]
        np.testing.assert_array_equal(fitted(name).scores(x, table.select(some)).values, among_all.select(some).values)
    others = table.classes[::-3]
    np.testing.assert_array_equal(fitted(name).scores(x, table.select(others)).values, among_all.select(others).values)


@every_method
def test_scoring_twice_and_fitting_twice_give_identical_numbers(name):
    again = create_method(name).fit(world(name).train, world(name).table)
    first = fitted(name).scores(world(name).test, world(name).table).values
    np.testing.assert_array_equal(fitted(name).scores(world(name).test, world(name).table).values, first)
    np.testing.assert_array_equal(again.scores(world(name).test, world(name).table).values, first)


@every_method
def test_a_fit_leaves_the_random_state_of_the_program_alone(name):
    import torch

    states = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    create_method(name).fit(world(name).train, world(name).table).scores(world(name).test, world(name).table)
    np.testing.assert_array_equal(np.random.get_state()[1], states[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[1])


@every_method
def test_save_and_load_give_identical_scores_and_the_same_options(name, tmp_path):
    fitted(name).save(tmp_path / "method")
    loaded = load_method(tmp_path / "method")
    assert type(loaded) is method_class(name)
    assert loaded.options == fitted(name).options
    np.testing.assert_array_equal(
        loaded.scores(world(name).test, world(name).table).values,
        fitted(name).scores(world(name).test, world(name).table).values,
    )


@every_method
def test_a_saved_method_is_safetensors_json_and_a_card_that_names_what_it_needs(name, tmp_path):
    fitted(name).save(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"method.safetensors", "method.json", "card.md"}
    card = (tmp_path / "card.md").read_text()
    assert all(part in card for part in (fitted(name).title, fitted(name).reference, "synthetic", "seen 15", "drawn"))


@every_method
def test_a_saved_method_that_was_cut_off_is_refused(name, tmp_path):
    fitted(name).save(tmp_path)
    arrays = tmp_path / "method.safetensors"
    arrays.write_bytes(arrays.read_bytes()[:-20])
    with pytest.raises(DataFormatError, match="cut off"):
        load_method(tmp_path)


@every_method
def test_an_unfitted_method_says_what_comes_first(name, tmp_path):
    with pytest.raises(NotFittedError, match=f"{name} is not fitted; call fit"):
        create_method(name).scores(world(name).test, world(name).table)
    with pytest.raises(NotFittedError):
        create_method(name).save(tmp_path)


@every_method
def test_pictures_of_another_encoder_are_refused_with_both_names(name):
    other = replace(world(name).test, encoder=replace(world(name).pictures.encoder, name="resnet-50", weights="w1"))
    with pytest.raises(EncoderMismatchError, match=r"synthetic.*resnet-50"):
        fitted(name).scores(other, world(name).table)


@every_method
def test_an_encoder_that_only_moved_is_accepted(name):
    moved = replace(world(name).test, encoder=replace(world(name).pictures.encoder, name="elsewhere/synthetic"))
    assert fitted(name).scores(moved, world(name).table).values.shape == (60, 20)


@every_method
def test_class_vectors_of_another_space_are_refused_with_both_sources(name):
    table = world(name).table
    other = ClassTable(table.classes, table.matrix, table.columns, "embedding", provenance={"source": "sentences"})
    told = "'synthetic'.*'sentences'" if name in OF_TEXTS else "'drawn'.*'sentences'"
    with pytest.raises(EncoderMismatchError, match=told):
        fitted(name).scores(world(name).test, other)


@every_method
def test_a_seen_class_absent_from_the_table_is_named(name):
    table = world(name).table.select([c for c in world(name).table.classes if c != "seen 7"])
    with pytest.raises(UnknownNameError, match="'seen 7'"):
        create_method(name).fit(world(name).train, table)


@every_method
def test_an_empty_class_table_is_refused(name):
    with pytest.raises(DataFormatError, match="empty"):
        fitted(name).scores(world(name).test, world(name).table.select([]))


def test_a_training_set_refuses_pictures_of_other_classes_and_classes_without_pictures():
    with pytest.raises(SplitError, match="'unseen 0', which is not a seen class"):
        TrainingSet(world().pictures, SEEN)
    with pytest.raises(SplitError, match="no pictures of the seen classes lake"):
        TrainingSet(world().train.pictures, (*SEEN, "lake"))


def test_a_folder_without_a_method_and_an_unknown_method_are_refused(tmp_path):
    with pytest.raises(DatasetNotFoundError, match="no fitted method"):
        load_method(tmp_path)
    with pytest.raises(UnknownNameError, match="eszsl"):
        create_method("eszls")
