"""What is said of classes: as asked for, or as the encoder can read it, and never more than that."""

import pytest

from tiny_models import save_sentence_encoder
from zeroscene.encoders.text import load_text_encoder
from zeroscene.errors import DatasetNotFoundError, OptionError, UnknownNameError
from zeroscene.evaluation.annotation import read_vocabulary
from zeroscene.semantics import knowledge
from zeroscene.semantics.knowledge import knowledge_table
from zeroscene.semantics.prompts import PLAIN, default_templates
from zeroscene.semantics.text import attribute_texts, class_texts
from zeroscene.semantics.vocabulary import Vocabulary
from zeroscene.semantics.withheld import names_in
from zeroscene.serving.words import suiting_vocabulary, words_for


@pytest.fixture(scope="module")
def tiny():
    return load_text_encoder("tiny")


@pytest.fixture(scope="module")
def sentences(tmp_path_factory):
    return load_text_encoder(save_sentence_encoder(tmp_path_factory.mktemp("bert")))


def test_names_are_said_to_an_encoder_that_reads_any_word(sentences):
    words = words_for(["lake", "Frobnicator"], sentences)
    assert (words.texts, words.templates, words.notes) == ("names", PLAIN, ())


def test_an_encoder_of_whole_words_is_told_the_attributes_of_what_it_cannot_read_with_a_note(tiny):
    classes = ["lake", "meadow"]
    words = words_for(classes, tiny)
    assert words.texts == attribute_texts(knowledge_table(classes), read_vocabulary("synthetic"))
    assert words.templates == default_templates(tiny)
    assert len(words.notes) == 1
    assert words.notes[0].startswith("tiny does not know what 'lake' means")
    assert words.texts["lake"][0] in words.notes[0]
    assert not any(names_in(text, name) for name, own in words.texts.items() for text in own if name == "lake")


def test_names_that_it_can_read_are_names_to_it_too(tiny):
    words = words_for(["meadow", "buildings"], tiny)
    assert (words.texts, words.notes) == ("names", ())


def test_a_class_that_nobody_knows_is_refused_with_both_reasons(tiny):
    with pytest.raises(UnknownNameError, match=r"tiny reads no names like 'frobnicator', and: unknown classes"):
        words_for(["frobnicator"], tiny)


def test_what_is_asked_for_is_what_is_said(tiny, sentences):
    assert words_for(["lake"], sentences, texts="descriptions").texts == "descriptions"
    assert words_for(["lake"], sentences, texts="synonyms", templates=["aerial"]).templates[0] == (
        "a satellite photo of {}."
    )
    assert words_for(["lake"], tiny, texts="names").texts == "names"
    own = {"lake": "clear water"}
    assert words_for(["lake"], tiny, texts=own).texts == own
    said = words_for(["airport"], sentences, texts="attributes").texts
    assert said == attribute_texts(knowledge_table(["airport"]), Vocabulary.of_knowledge(), withheld=True)
    assert not names_in(said["airport"][0], "airport")
    assert suiting_vocabulary(sentences).fingerprint == Vocabulary.of_knowledge().fingerprint
    assert suiting_vocabulary(tiny) == read_vocabulary("synthetic")


def test_a_slip_is_told_all_that_can_be_said(sentences):
    with pytest.raises(
        DatasetNotFoundError, match="texts attribute: not one of names, synonyms, descriptions, attributes, and no such"
    ):
        words_for(["lake"], sentences, texts="attribute")


def test_names_are_masked_in_descriptions_or_refused(sentences):
    said = words_for(["tennis court", "lake"], sentences, texts="descriptions", withhold="mask").texts
    assert names_in(knowledge.description("tennis court"), "tennis court")
    assert not names_in(said["tennis court"][0], "tennis court")
    assert "scene" in said["tennis court"][0]
    with pytest.raises(OptionError, match="texts say what their class is called: 'tennis court'"):
        words_for(["tennis court"], sentences, texts="descriptions", withhold="refuse")
    kept = words_for(["lake"], sentences, texts={"lake": "smooth water"}, withhold="refuse").texts
    assert class_texts(["lake"], kept) == (("smooth water",),)


@pytest.mark.parametrize("texts", ["names", "synonyms", "auto"])
@pytest.mark.parametrize("withhold", ["mask", "refuse"])
def test_names_that_are_all_that_is_said_cannot_be_withheld(sentences, texts, withhold):
    with pytest.raises(OptionError, match="are the names that are to be withheld"):
        words_for(["lake"], sentences, texts=texts, withhold=withhold)
