"""Class tables that depend on the split: each fit and each fold has the table of its own training pictures."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pytest
from evaluation_world import CLASSES, pictures, split, table

from choices import choose
from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.errors import DataFormatError, EncoderMismatchError, OptionError, SplitError, UnknownNameError
from zeroscene.evaluation.evaluate import evaluate
from zeroscene.evaluation.protocol import Trial, carve
from zeroscene.evaluation.selection import validation_folds
from zeroscene.evaluation.tables import AnnotatedTable, FixedTable, exemplars_of, refuse_shown
from zeroscene.methods.contract import TrainingSet
from zeroscene.methods.registry import method_class
from zeroscene.semantics.annotate import Pictures, Words, annotate_pictures, blend
from zeroscene.semantics.table import ClassTable
from zeroscene.semantics.vocabulary import Vocabulary

IMAGE = EncoderIdentity("pair", "weights", "pixels", "projection")
ATTRIBUTES = tuple(f"trait {letter}" for letter in "abcdefghijkl")
VOCABULARY = Vocabulary(ATTRIBUTES, ("traits",) * len(ATTRIBUTES), tuple((name,) for name in ATTRIBUTES))
HAS = np.random.default_rng(5).random((len(CLASSES), len(ATTRIBUTES))) > 0.5
TEXTS = {
    name: " and ".join(a for a, there in zip(ATTRIBUTES, own, strict=True) if there)
    for name, own in zip(CLASSES, HAS, strict=True)
}


class Reader:
    """A text tower that counts traits; its texts lie in the space of `image_text` pictures."""

    identity = EncoderIdentity("pair", "weights", "tokenizer", "text-projection")
    width = len(ATTRIBUTES) + 1

    def encode_texts(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        rows = np.array([[*(float(a in text) for a in ATTRIBUTES), 0.3] for text in texts], np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def image_text(seed: int = 0, of: Embeddings | None = None) -> Embeddings:
    """The pictures of the small world through the image tower: the traits of their class, noisily."""
    shown = of or pictures()
    rng = np.random.default_rng(seed + 7)
    of_class = dict(zip(CLASSES, Reader().encode_texts([TEXTS[name] for name in CLASSES]), strict=True))
    x = np.array([of_class[label] for label in shown.labels or ()]) + rng.normal(0, 0.08, (len(shown), Reader.width))
    return Embeddings(shown.ids, x.astype(np.float32), IMAGE, shown.labels)


WORDS = Words.of(CLASSES, VOCABULARY, Reader(), texts=TEXTS)


@pytest.fixture
def trial() -> Trial:
    return carve(pictures(noise=0.6), split())


@pytest.fixture
def source() -> AnnotatedTable:
    return AnnotatedTable.make(image_text(), WORDS)


def test_a_table_is_that_of_annotate_for_the_same_pictures(trial, source):
    train = trial.train_generalised
    shown = image_text().take(np.isin(image_text().ids, train.pictures.ids))
    expected = annotate_pictures(
        [*train.seen, *trial.split.unseen], VOCABULARY, Reader(), Pictures(shown.x, shown.labels, IMAGE), texts=TEXTS
    )
    made = source.of(train, trial.split.classes)
    assert made.classes == trial.split.classes
    assert made.provenance["from_pictures"] == list(train.seen)
    assert made.provenance["from_description"] == list(trial.split.unseen)
    np.testing.assert_allclose(made.matrix, expected.select(made.classes).matrix, atol=1e-6)


def test_each_training_set_has_its_own_table_and_space(trial, source):
    plain, generalised = (source.of(t, trial.split.classes) for t in (trial.train_all, trial.train_generalised))
    assert plain.space != generalised.space
    assert plain.space == source.of(trial.train_all, trial.split.classes).space
    few = source.of(trial.train_all, trial.split.unseen)
    np.testing.assert_array_equal(few.matrix, plain.select(trial.split.unseen).matrix)
    assert few.space == plain.space


def test_a_fold_annotates_its_pseudo_unseen_classes_from_their_descriptions(trial, source):
    train = trial.train_generalised
    for fold in validation_folds(train):
        made = source.of(fold.train, train.seen)
        assert set(made.provenance["from_description"]) == set(fold.unseen)


def test_labels_and_pictures_come_from_the_training_set(trial, source):
    """What the source itself says of labels is not read: without exemplars they can be anything."""
    wrong = replace(image_text(), labels=tuple("sea" for _ in pictures().ids))
    other = AnnotatedTable.make(wrong, WORDS)
    assert other.of(trial.train_all, CLASSES).fingerprint == source.of(trial.train_all, CLASSES).fingerprint


def nan_at(source: AnnotatedTable, ids: Sequence[str]) -> AnnotatedTable:
    similarities = source.similarities.copy()
    similarities[np.isin(source.ids, ids)] = np.nan
    return replace(source, similarities=similarities)


@pytest.mark.parametrize("name", ["eszsl", "sae"])
@pytest.mark.parametrize("selection", ["honest", "defaults", "test-oracle"])
def test_poisoned_test_pictures_change_no_figure(name, selection, trial, source):
    """Unseen pictures are replaced by NaN: all figures, and the choice, stay the same to the last bit."""
    poison = nan_at(source, trial.test.unseen_pictures.ids)
    clean, poisoned = (evaluate(method_class(name), trial, s, selection=selection) for s in (source, poison))
    assert (clean.choice, clean.zsl, clean.gzsl) == (poisoned.choice, poisoned.zsl, poisoned.gzsl)
    assert clean.table.fingerprint == poisoned.table.fingerprint


def test_poisoned_held_out_pictures_change_neither_the_choice_nor_a_generalised_figure(trial, source):
    """Held-out pictures are training pictures of plain zero-shot, and test pictures of all else."""
    ids = (*trial.test.unseen_pictures.ids, *trial.test.seen_pictures.ids)
    wild = image_text().x.copy()
    wild[np.isin(source.ids, ids)] = np.random.default_rng(3).normal(0, 1e6, (len(ids), wild.shape[1]))
    poison = AnnotatedTable.make(replace(image_text(), x=wild), WORDS)
    clean, poisoned = (evaluate(method_class("eszsl"), trial, s) for s in (source, poison))
    assert (clean.choice, clean.gzsl) == (poisoned.choice, poisoned.gzsl)
    assert clean.zsl != poisoned.zsl


def test_selection_is_given_no_picture_but_those_it_may_see(trial, source):
    marked = AnnotatedTable.make(image_text(), WORDS, exemplars=CLASSES)
    within = marked.within(trial.train_generalised)
    assert set(within.ids) == set(trial.train_generalised.pictures.ids)
    assert len(within.similarities) == len(within.ids)
    assert within.exemplars == within.exemplar_rows == ()
    chosen = [choose(method_class("eszsl"), trial.train_generalised, s) for s in (source, marked)]
    assert chosen[0] == chosen[1]


@dataclass
class Listening:
    """A source that notes which pictures each table was made of, after being cut to those of a training set."""

    inner: AnnotatedTable
    asked: list[tuple[set[str], set[str], bool]] = field(default_factory=list)
    cut: bool = False

    fingerprint = "listening"
    provenance: ClassVar[dict[str, str]] = {"source": "images"}

    def of(self, train, classes):
        self.asked.append((set(train.pictures.ids), set(classes), self.cut))
        return self.inner.of(train, classes)

    def within(self, train):
        return Listening(self.inner.within(train), self.asked, True)

    def check(self, split):
        self.inner.check(split)


@pytest.mark.parametrize("selection", ["honest", "test-oracle"])
def test_every_table_is_made_of_the_pictures_of_its_fit(selection, trial, source):
    listening = Listening(source)
    evaluate(method_class("eszsl"), trial, listening, selection=selection)
    train, every = trial.train_generalised, set(trial.split.classes)
    fits = [(set(t.pictures.ids), every, False) for t in (trial.train_all, train)]
    folds = [(set(fold.train.pictures.ids), set(train.seen), True) for fold in validation_folds(train)]
    assert listening.asked == fits + (folds if selection == "honest" else fits)


def test_figures_come_from_the_table_of_the_fit(trial, source):
    found = evaluate(method_class("eszsl"), trial, source, selection="defaults")
    own = source.of(trial.train_all, trial.split.classes)
    assert found.table.fingerprint == own.fingerprint
    fixed = evaluate(method_class("eszsl"), trial, own, selection="defaults")
    assert found.zsl == fixed.zsl
    assert found.gzsl != fixed.gzsl


def test_exemplars_are_shown_and_mark_the_table(trial):
    named = trial.split.unseen[0]
    marked = AnnotatedTable.make(image_text(), WORDS, exemplars=(named.upper(),))
    found = evaluate(method_class("eszsl"), trial, marked, selection="defaults")
    assert exemplars_of(found.table.provenance) == (named.upper(),)
    assert named.upper() in found.table.provenance["from_pictures"]
    assert named not in found.table.provenance["from_description"]


def test_an_exemplar_that_is_seen_in_this_split_is_a_seen_class(trial, source):
    marked = AnnotatedTable.make(image_text(), WORDS, exemplars=(trial.split.seen[0],))
    made = marked.of(trial.train_generalised, trial.split.classes)
    assert exemplars_of(made.provenance) == ()
    assert made.fingerprint == source.of(trial.train_generalised, trial.split.classes).fingerprint


def test_the_mark_stays_in_whatever_is_made_of_a_table(trial):
    marked = AnnotatedTable.make(image_text(), WORDS, exemplars=("forest",)).of(trial.train_all, CLASSES)
    plain = AnnotatedTable.make(image_text(), WORDS).of(trial.train_all, CLASSES)
    for made in (blend([plain, marked], [1, 1]), plain.beside(marked), table().beside(plain.beside(marked))):
        assert exemplars_of(made.provenance) == ("forest",)
    assert exemplars_of(plain.provenance) == ()


def test_a_table_annotated_for_another_split_is_refused(trial, source):
    other = carve(pictures(), split(("airport", "meadow"), name="2"))
    foreign = source.of(other.train_all, CLASSES)
    with pytest.raises(SplitError, match=r"unseen in this split: beach, forest, stadium; .*annotate: images"):
        evaluate(method_class("eszsl"), trial, foreign)
    with pytest.raises(SplitError, match="beach"):
        refuse_shown(blend([table(columns=12), replace(foreign, columns=table(columns=12).columns)], [1, 1]), ["beach"])
    refuse_shown(foreign, ["airport", "meadow"])


def test_the_fingerprint_follows_pictures_words_and_exemplars(source):
    said = Words.of(CLASSES, VOCABULARY, Reader(), texts={**TEXTS, "beach": "trait a"})
    asked = Vocabulary(VOCABULARY.attributes, VOCABULARY.groups, (("trait b",), *VOCABULARY.prompts[1:]))
    others = [
        AnnotatedTable.make(image_text(1), WORDS),
        AnnotatedTable.make(image_text(), said),
        AnnotatedTable.make(image_text(), Words.of(CLASSES, asked, Reader(), texts=TEXTS)),
        AnnotatedTable.make(image_text(), WORDS, exemplars=("beach",)),
    ]
    assert AnnotatedTable.make(image_text(), WORDS).fingerprint == source.fingerprint
    assert len({source.fingerprint, *(other.fingerprint for other in others)}) == 5
    json.dumps(dict(source.provenance))


def test_what_cannot_be_annotated_is_one_line(trial, source):
    train = trial.train_all
    some = AnnotatedTable.make(image_text().take(np.arange(100)), WORDS)
    with pytest.raises(DataFormatError, match=r"^attributes from pictures: \d+ of 84 training pictures, such as '"):
        some.of(train, CLASSES)
    one = TrainingSet(pictures().of_classes(("beach",)), ("beach",))
    with pytest.raises(OptionError, match="two seen classes or more, in each validation fold too; there is 1"):
        source.of(one, CLASSES)
    with pytest.raises(UnknownNameError, match="volcano"):
        source.of(train, ("volcano", *CLASSES))
    with pytest.raises(SplitError, match="exemplars without a picture: volcano"):
        AnnotatedTable.make(image_text(), WORDS, exemplars=("volcano",))
    with pytest.raises(EncoderMismatchError, match="two towers"):
        AnnotatedTable.make(replace(image_text(), encoder=replace(IMAGE, weights="others")), WORDS)


def test_a_fixed_table_is_the_same_for_every_training_set(trial):
    fixed = FixedTable(table())
    assert fixed.within(trial.train_all) is fixed
    assert fixed.fingerprint == table().fingerprint
    assert fixed.of(trial.train_all, CLASSES[:2]).fingerprint == table().select(CLASSES[:2]).fingerprint


def test_a_table_whose_columns_are_all_constant_is_refused_in_one_line(trial):
    flat = ClassTable(CLASSES, np.full((len(CLASSES), 3), 0.5, np.float32), ("a", "b", "c"), "attributes")
    with pytest.raises(OptionError, match="each of its 3 columns is the same for all 10 classes") as refused:
        evaluate(method_class("eszsl"), trial, flat)
    assert "\n" not in str(refused.value)
