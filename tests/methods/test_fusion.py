"""A fusion is the weighted sum of its members' scores, each on its own view of the class table."""

from dataclasses import replace

import numpy as np
import pytest

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.embeddings.grids import TokenGrids
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.errors import EncoderMismatchError, OptionError, UnknownNameError
from zeroscene.methods.contract import TrainingSet
from zeroscene.methods.fusion import spread
from zeroscene.methods.registry import create_method, load_method
from zeroscene.semantics.table import ClassTable
from zeroscene.semantics.views import join

IMAGE = EncoderIdentity("pair", "weights", "pixels", "projection")
TEXT = EncoderIdentity("pair", "weights", "tokens", "text-projection")
CLASSES = tuple(f"class {letter}" for letter in "abcdefghij")
SEEN = CLASSES[:7]
PROMPTS = {"method": "prompts", "view": "words"}
KERNEL = {"method": "kernel", "view": "attributes", "options": {"ridge": 0.1}}


def world() -> tuple[Embeddings, ClassTable, ClassTable]:
    """Pictures of an image-text model, attributes of the classes, and their texts."""
    rng = np.random.default_rng(3)
    phi = rng.random((len(CLASSES), 6)).astype(np.float32)
    means = rng.normal(size=(len(CLASSES), 12)) + phi @ rng.normal(size=(6, 12))
    y = np.repeat(np.arange(len(CLASSES)), 8)
    x = (means[y] + rng.normal(0, 0.4, (len(y), 12))).astype(np.float32)
    texts = (means + rng.normal(0, 0.5, means.shape)).astype(np.float32)
    columns = tuple(f"dim{i}" for i in range(12))
    told = {"source": "text", "space": "pair", "encoder": TEXT.to_json()}
    grids = TokenGrids.of(x[:, None, None, :])
    return (
        Embeddings(tuple(f"p{i}" for i in range(len(y))), x, IMAGE, tuple(CLASSES[i] for i in y), grids),
        ClassTable(CLASSES, phi, tuple(f"a{i}" for i in range(6)), "attributes", provenance={"source": "drawn"}),
        ClassTable(CLASSES, texts, columns, "embedding", provenance=told),
    )


PICTURES, ATTRIBUTES, WORDS = world()
BOTH = join({"attributes": ATTRIBUTES, "words": WORDS})
TRAIN = TrainingSet(PICTURES.of_classes(SEEN), SEEN)


def fitted(*members, table=BOTH, **options):
    return create_method("fusion", members=members, **options).fit(TRAIN, table)


def alone(name, table, **options):
    return create_method(name, **options).fit(TRAIN, table).scores(PICTURES, table).values


def test_scores_are_the_weighted_sum_of_the_members_own():
    found = fitted({**PROMPTS, "weight": 0.7, "scale": 0.05}, {**KERNEL, "weight": 0.3, "scale": 0.2})
    expected = 0.7 * alone("prompts", WORDS) / 0.05 + 0.3 * alone("kernel", ATTRIBUTES, ridge=0.1) / 0.2
    np.testing.assert_allclose(found.scores(PICTURES, BOTH).values, expected, rtol=1e-5, atol=1e-5)


def test_a_fusion_of_one_member_is_that_member():
    found = fitted(KERNEL).scores(PICTURES, BOTH).values
    assert found.tobytes() == alone("kernel", ATTRIBUTES, ridge=0.1).tobytes()


def test_a_member_of_weight_0_is_not_fitted_and_changes_nothing():
    with_both = fitted({**KERNEL, "weight": 1, "scale": 1}, {"method": "dsva", "view": "attributes", "weight": 0})
    assert with_both.scores(PICTURES, BOTH).values.tobytes() == fitted(KERNEL).scores(PICTURES, BOTH).values.tobytes()
    assert not any("net" in name for name in with_both.state_)
    assert "dsva on attributes: weight 0, scores divided by 1 (left out)" in with_both.card()


def test_without_a_choice_members_weigh_the_same_in_units_of_their_spread_over_the_training_pictures():
    found = fitted(PROMPTS, KERNEL).scores(PICTURES, BOTH).values
    parts = [("prompts", WORDS, {}), ("kernel", ATTRIBUTES, {"ridge": 0.1})]
    rows, columns = PICTURES.label_indices(SEEN) >= 0, range(len(SEEN))
    scores = [alone(name, table, **options) for name, table, options in parts]
    expected = sum(one / spread(one[rows][:, columns]) for one in scores)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_without_a_view_a_member_takes_the_whole_table():
    found = fitted({"method": "kernel"}, table=ATTRIBUTES).scores(PICTURES, ATTRIBUTES).values
    np.testing.assert_array_equal(found, alone("kernel", ATTRIBUTES))


def test_save_and_load_keep_the_members(tmp_path):
    before = fitted(PROMPTS, KERNEL, {"method": "mcfa", "view": "attributes", "options": {"epochs": 1}})
    before.save(tmp_path)
    loaded = load_method(tmp_path)
    assert loaded.options == before.options
    np.testing.assert_array_equal(loaded.scores(PICTURES, BOTH).values, before.scores(PICTURES, BOTH).values)
    card = (tmp_path / "card.md").read_text()
    assert "- kernel on attributes: weight 1" in card
    assert "  - ridge: 0.1" in card


def test_the_seed_of_the_fusion_is_that_of_its_members():
    member = {"method": "mcfa", "view": "attributes", "options": {"epochs": 1}}
    expected = alone("mcfa", ATTRIBUTES, epochs=1, seed=5)
    np.testing.assert_array_equal(fitted(member, seed=5).scores(PICTURES, BOTH).values, expected)
    with pytest.raises(OptionError, match="the seed is that of the fusion"):
        create_method("fusion", members=[{"method": "mcfa", "options": {"seed": 5}}])


def test_it_asks_for_token_grids_and_all_classes_at_once_where_a_member_does():
    assert (create_method("fusion").reads, create_method("fusion").apart) == ("vectors", True)
    assert create_method("fusion", members=[PROMPTS, {"method": "dsva"}]).reads == "grids"
    assert not create_method("fusion", members=[PROMPTS, {"method": "mcfa"}]).apart


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([], "members"),
        ([PROMPTS, {**KERNEL, "weight": 1}], "give every member a weight, or none"),
        ([{**KERNEL, "weight": 0}], "above 0"),
        ([{"method": "kernel", "options": {"ridges": 1}}], "kernel: unknown option 'ridges'; did you mean ridge"),
        ([{"method": "fusion"}], "'fusion' is a fusion itself"),
    ],
)
def test_members_that_cannot_be_are_refused_in_one_line(members, said):
    with pytest.raises(OptionError, match=said) as caught:
        create_method("fusion", members=members)
    assert "\n" not in str(caught.value)


def test_an_unknown_member_or_view_is_refused_with_those_there_are():
    with pytest.raises(UnknownNameError, match="nearest: kernel"):
        create_method("fusion", members=[{"method": "kernels"}])
    with pytest.raises(UnknownNameError, match="known: attributes, words"):
        fitted({"method": "kernel", "view": "texts"})


def test_pictures_of_another_model_are_refused():
    with pytest.raises(EncoderMismatchError):
        fitted(PROMPTS, KERNEL).scores(replace(PICTURES, encoder=replace(IMAGE, weights="other")), BOTH)


def test_dsva_on_vectors_of_whole_pictures_is_its_global_branch_alone():
    """A grid of one token is the vector itself; the options of benchmarks/vision_language.py."""
    options = {"weight_compatibility_local": 0, "weight_regression_local": 0, "weight_concentration": 0}
    member = {"method": "dsva", "view": "attributes", "options": {**options, "focus": "none"}}
    pictures = replace(PICTURES, grids=TokenGrids.of(PICTURES.x[:, None, None, None]))
    train = TrainingSet(pictures.of_classes(SEEN), SEEN)
    found = create_method("fusion", members=[member]).fit(train, BOTH)
    assert found.methods_[0].predicting == ("global",)
    assert found.methods_[0].net().branches == ("global",)
    right = found.scores(train.pictures, BOTH.select(SEEN)).best() == train.pictures.label_indices(SEEN)
    assert right.mean() > 0.9
