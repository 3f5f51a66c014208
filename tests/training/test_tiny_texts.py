"""What is said in a training step: true of whom, of all facts, and the same for the same seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from zeroscene.scenes.synthetic.captions import FACTS, phrases
from zeroscene.scenes.synthetic.stream import lesson
from zeroscene.scenes.synthetic.vocabulary import ATTRIBUTES
from zeroscene.training.tiny.pool import fact_matrix
from zeroscene.training.tiny.texts import Speech, Texts, draw_texts, orient

SPEECH = Speech(captions=12, lists=7, longest=5, pairs=20)
SINGLE = len(ATTRIBUTES) + SPEECH.pairs


@pytest.fixture(scope="module")
def facts() -> np.ndarray:
    return fact_matrix([lesson(3, index, 32).facts for index in range(12)])


def test_every_caption_and_list_is_true_of_the_picture_it_was_written_for(facts):
    texts = draw_texts(facts, SPEECH, "0/0")
    assert len(texts.texts) == 12 + 7 + SINGLE
    assert texts.truth(facts)[:, :-SINGLE].any(axis=0).all()


@given(arrays(bool, (4, 6)), arrays(bool, (5, 6)))
def test_a_text_is_true_exactly_of_pictures_that_have_all_it_claims(facts_BF, claims_LF):
    truth = Texts(("",) * 5, claims_LF, 0).truth(facts_BF)
    for picture, own in enumerate(facts_BF):
        for text, claims in enumerate(claims_LF):
            assert truth[picture, text] == set(np.flatnonzero(claims)).issubset(np.flatnonzero(own))


def test_the_last_texts_say_one_fact_each_every_attribute_among_them(facts):
    texts = draw_texts(facts, SPEECH, "0/2")
    assert texts.phrases == SINGLE
    said = []
    for text, claims in zip(texts.texts[-SINGLE:], texts.claims[-SINGLE:], strict=True):
        (fact,) = (FACTS[i] for i in np.flatnonzero(claims))
        assert text in phrases(fact)
        said.append(fact)
    assert len(set(said)) == SINGLE
    assert {attribute.name for attribute in ATTRIBUTES} < set(said)


def test_things_in_layouts_that_pictures_show_are_said_first(facts):
    texts = draw_texts(facts, SPEECH, "0/3")
    shown = {i for i in np.flatnonzero(facts.any(axis=0)) if i >= len(ATTRIBUTES)}
    said = set(np.flatnonzero(texts.claims[-SPEECH.pairs :].any(axis=0)))
    assert shown <= said or said <= shown


def test_lists_claim_as_many_facts_as_they_have_parts(facts):
    texts = draw_texts(facts, SPEECH, "0/1")
    for text, claims in zip(texts.texts[12:19], texts.claims[12:19], strict=True):
        assert claims.sum() == len(text.split(", ")) <= 5


def test_the_seed_decides_the_texts(facts):
    first, again, other = (draw_texts(facts, SPEECH, seed).texts for seed in ("1/7", "1/7", "1/8"))
    assert first == again != other


def test_a_picture_is_seen_in_its_eight_orientations_and_no_other_way():
    picture = np.arange(27, dtype=np.uint8).reshape(1, 3, 3, 3)
    seen = {orient(picture, [0], [0, step]).tobytes() for step in range(100)}
    turns = [np.rot90(picture[0], k) for k in range(4)]
    turns += [turn[:, ::-1] for turn in turns]
    assert seen == {np.ascontiguousarray(turn.transpose(2, 0, 1)).tobytes() for turn in turns}
