"""An encoder that was fine-tuned is measured under the split it was fine-tuned under, and under no other."""

from dataclasses import replace

import pytest
from evaluation_world import pictures, split, table, write_store
from test_table_sources import IMAGE, VOCABULARY, WORDS, Reader, image_text

from zeroscene.embeddings.store import EmbeddingStore
from zeroscene.encoders.base import EncoderIdentity, FineTuned
from zeroscene.errors import SplitError
from zeroscene.evaluation.evaluate import evaluate
from zeroscene.evaluation.protocol import carve
from zeroscene.evaluation.tables import AnnotatedTable, FixedTable
from zeroscene.methods.registry import method_class
from zeroscene.semantics.annotate import Pictures, annotate_pictures, blend

BOUND = carve(pictures(), split()).split
NOTE = FineTuned("tiny", BOUND.fingerprint, BOUND.seen)


def tuned(note: FineTuned | None = NOTE):
    x = pictures()
    return replace(x, encoder=replace(x.encoder, fine_tuned=note))


@pytest.mark.parametrize("own", [BOUND, split()], ids=["bound", "bound again in the same way"])
def test_its_own_split_is_taken(own):
    assert carve(tuned(), own).split == BOUND


def test_a_split_whose_unseen_classes_it_was_shown_is_refused():
    with pytest.raises(SplitError, match="and has seen pictures of airport; use the split"):
        carve(tuned(), split(unseen=("airport", "forest")))


def test_another_hold_out_is_another_split():
    with pytest.raises(SplitError, match="may have seen pictures of this test"):
        carve(tuned(), split(), seed=1)


def test_an_encoder_without_a_note_is_taken_under_any_split():
    assert carve(tuned(None), split(unseen=("airport", "forest")))


def test_the_note_is_part_of_the_identity_and_not_of_its_fingerprint():
    plain, noted = pictures().encoder, tuned().encoder
    assert noted.fingerprint == plain.fingerprint
    assert noted == plain
    assert EncoderIdentity.from_json(noted.to_json()).fine_tuned == NOTE
    assert plain.to_json() == {
        "name": "tiny", "weights": "weights", "preprocessing": "preprocessing", "output": "pooled"
    }  # fmt: skip


def test_the_note_travels_through_a_store(tmp_path):
    write_store(tmp_path, tuned())
    read = EmbeddingStore.open(tmp_path).read()
    assert read.encoder.fine_tuned == NOTE
    assert read.take([0]).encoder.fine_tuned == NOTE


def annotated_by(note: FineTuned | None) -> AnnotatedTable:
    return AnnotatedTable.make(replace(image_text(), encoder=replace(IMAGE, fine_tuned=note)), WORDS)


def test_attributes_that_it_annotates_are_refused_like_its_pictures():
    trial, other = carve(pictures(), split()), carve(pictures(), split(unseen=("airport", "forest")))
    method = method_class("eszsl")
    assert evaluate(method, trial, annotated_by(NOTE), selection="defaults")
    assert evaluate(method, other, annotated_by(None), selection="defaults")
    with pytest.raises(SplitError, match="encoder 'pair' was fine-tuned on 'tiny' under another split"):
        evaluate(method, other, annotated_by(NOTE), selection="defaults")
    with pytest.raises(SplitError, match="under another split"):
        annotated_by(NOTE).within(trial.train_all).check(other.split)


class TunedReader(Reader):
    identity = replace(Reader.identity, fine_tuned=NOTE)


def test_a_table_that_it_annotated_once_and_for_all_is_refused_too():
    train, other = carve(pictures(), split()).train_generalised, carve(pictures(), split(unseen=("airport", "forest")))
    shown = image_text().take([i for i, one in enumerate(image_text().ids) if one in set(train.pictures.ids)])
    made = annotate_pictures(
        [*train.seen], VOCABULARY, TunedReader(), Pictures(shown.x, shown.labels, IMAGE), templates=("{}",)
    )
    FixedTable(made).check(BOUND)
    for one in (made, blend([made, made], [1, 1])):
        with pytest.raises(SplitError, match="under another split"):
            FixedTable(one).check(other.split)
    FixedTable(table()).check(other.split)


def test_results_say_what_the_encoder_was_fine_tuned_on():
    from zeroscene.evaluation.results import EncoderRecord

    encoder = tuned().encoder
    record = EncoderRecord(label="eye", fingerprint=encoder.fingerprint, **encoder.to_json())
    assert EncoderRecord(**record.to_json()) == record
    assert record.to_json()["fine_tuned"]["split"] == BOUND.fingerprint
