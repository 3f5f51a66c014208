"""Template sets and their choice by encoder, names withheld from descriptions, and warnings about texts."""

from dataclasses import replace

import numpy as np
import pytest

from tiny_models import save_sentence_encoder, save_vision
from zeroscene.encoders.text import load_text_encoder
from zeroscene.errors import DuplicateNameError, EncoderError, OptionError
from zeroscene.semantics import knowledge
from zeroscene.semantics.prompts import (
    DEFAULT,
    NEAR,
    PLAIN,
    TEMPLATE_SETS,
    default_templates,
    prompt_warnings,
    read_templates,
)
from zeroscene.semantics.table import ClassTable
from zeroscene.semantics.text import encode_prompts, text_table


@pytest.fixture(scope="module")
def tiny():
    return load_text_encoder("tiny")


# Template sets


@pytest.mark.parametrize("name", TEMPLATE_SETS)
def test_a_set_holds_distinct_templates_with_one_place_each(name):
    chosen = TEMPLATE_SETS[name]
    assert len(set(chosen)) == len(chosen)
    assert all(template.count("{}") == 1 for template in chosen)
    assert read_templates([name]) == chosen


def test_the_default_set_has_some_twenty_templates_and_the_plain_one_is_the_text_itself():
    assert 20 <= len(TEMPLATE_SETS[DEFAULT]) <= 30
    assert read_templates(None) == PLAIN == ("{}",)


def test_sets_and_templates_of_ones_own_are_joined_each_template_once():
    own = "a drone picture of {}"
    assert read_templates(["aerial", own, "satellite"]) == tuple(
        dict.fromkeys([*TEMPLATE_SETS["aerial"], own, *TEMPLATE_SETS["satellite"]])
    )


def test_a_word_that_is_no_set_and_no_template_is_refused_with_the_sets():
    with pytest.raises(OptionError, match=r"'areal' must hold \{\} exactly once, or be one of plain, aerial"):
        read_templates(["areal"])
    with pytest.raises(OptionError, match="exactly once"):
        read_templates(["{} and {}"])


def test_an_encoder_of_whole_words_gets_the_templates_in_its_words(tiny):
    chosen = default_templates(tiny)
    assert set(chosen) < set(TEMPLATE_SETS[DEFAULT])
    assert "an aerial photo of {}." in chosen
    assert not any("remote sensing" in template for template in chosen)
    text_table(["x"], tiny, texts={"x": "boats, clear water"}, templates=chosen)


def test_one_that_knows_no_word_of_any_template_gets_the_text_itself(tmp_path):
    folder = save_vision("clip", tmp_path / "clip")
    assert default_templates(load_text_encoder(folder)) == PLAIN


def test_other_caption_models_get_the_whole_set_and_sentence_encoders_the_text_itself(tmp_path):
    sentences = load_text_encoder(save_sentence_encoder(tmp_path / "bert"))
    assert default_templates(sentences) == PLAIN

    class Captions:
        identity, width, read = replace(sentences.identity, output="text-projection"), 16, sentences.read

    assert default_templates(Captions()) == TEMPLATE_SETS[DEFAULT]


# One call


class Counted:
    def __init__(self, inner):
        self.identity, self.width, self.calls, self.inner = inner.identity, inner.width, [], inner

    def encode_texts(self, texts):
        self.calls.append(len(texts))
        return self.inner.encode_texts(texts)


def test_all_texts_of_all_classes_and_templates_are_encoded_in_one_call(tiny):
    encoder = Counted(tiny)
    classes = [f"class {i}" for i in range(19)]
    templates = [f"a {word} view of {{}}" for word in ("red", "blue")] + ["{}"] * 104
    encode_prompts(classes, encoder, texts=dict.fromkeys(classes, "boats"), templates=templates)
    assert encoder.calls == [19 * 106]


def test_an_ensemble_holds_a_vector_a_template_and_class_and_its_table_is_their_mean(tiny):
    texts = {"lake": ["clear water", "water and a shoreline"], "harbor": "boats"}
    templates = ("{}", "an aerial photo of {}.", "{} seen from above.")
    made = encode_prompts(["lake", "harbor"], tiny, texts=texts, templates=templates)
    assert made.vectors_TCD.shape == (3, 2, tiny.width)
    for t, template in enumerate(templates):
        lake = tiny.encode_texts([template.replace("{}", text) for text in texts["lake"]]).mean(axis=0)
        np.testing.assert_allclose(made.vectors_TCD[t, 0], lake, atol=1e-6)
    mean = made.vectors_TCD.mean(axis=0)
    np.testing.assert_allclose(made.table().matrix, mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-6)


def test_an_empty_class_list_names_that_are_the_same_and_a_text_that_is_too_long_are_refused(tiny):
    with pytest.raises(OptionError, match="no class is named"):
        encode_prompts([], tiny)
    with pytest.raises(DuplicateNameError, match="'boats' and 'Boats' are the same name"):
        encode_prompts(["boats", "Boats"], tiny)
    with pytest.raises(EncoderError, match=r"tiny reads 96 tokens.*has 102; shorten it"):
        encode_prompts(["x"], tiny, texts={"x": "boats " * 100})
    with pytest.raises(EncoderError, match="does not know the word 'harbor'"):
        encode_prompts(["harbor"], tiny)


def test_synonyms_are_the_words_of_the_knowledge_base_with_the_given_one_first(tmp_path):
    assert knowledge.synonyms("airfield")[0] == "airfield"
    assert set(knowledge.synonyms("airfield")) == set(knowledge.synonyms("airport")) >= {"airport", "aerodrome"}
    assert len({s.lower() for s in knowledge.synonyms("airport")}) == len(knowledge.synonyms("airport"))
    encoder = load_text_encoder(save_sentence_encoder(tmp_path / "bert"))
    made = encode_prompts(["airport", "some word of mine"], encoder, texts="synonyms")
    assert made.texts == (knowledge.synonyms("airport"), ("some word of mine",))


# Warnings


def warnings_of(texts, encoder):
    return prompt_warnings(text_table(list(texts), encoder, texts=texts), encoder)


def test_all_is_well_with_different_texts_in_the_encoders_words(tiny):
    assert warnings_of({"lake": "clear water", "harbor": "boats, piers"}, tiny) == []


def test_classes_with_the_same_text_are_named(tiny):
    assert warnings_of({"lake": ["water", "Clear  water"], "sea": "clear water", "sand": "sand"}, tiny) == [
        "'lake' and 'sea' have the same text 'clear water': it counts for both, and tells neither from the other"
    ]


def test_classes_that_are_nearly_the_same_are_named_with_their_cosine():
    a, b = np.eye(4, dtype=np.float32)[:2]
    near = a + np.tan(np.arccos(NEAR + 0.005)) * b
    table = ClassTable(("lake", "pond", "sand"), np.stack([a, near, b]), tuple("wxyz"), "embedding")
    assert prompt_warnings(table) == [
        f"'lake' and 'pond' are nearly the same to the encoder (cosine {NEAR + 0.005:.3f}); describe what sets them "
        "apart, or make one class of them"
    ]
    assert prompt_warnings(table.select(["lake", "sand"])) == []


@pytest.fixture(scope="module")
def english(shared):
    return load_text_encoder(shared / "real" / "encoders" / "all-minilm-l6-v2")


@pytest.mark.real
@pytest.mark.parametrize("texts", ["names", "descriptions"])
def test_english_gets_no_warning_of_its_language(english, texts):
    assert prompt_warnings(text_table(knowledge.known_classes(), english, texts=texts), english) == []


@pytest.mark.real
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["аэропорт"], "'аэропорт' out (1.0 letters a token; English 5.9)"),
        (["机场", "lake"], "2 of 2 tokens of its text '机场' are unknown to all-minilm-l6-v2"),
        (["aeropuerto", "playa", "bosque", "aparcamiento"], "in a language that it hardly knows; say them in English"),
        (["lotnisko", "plaża", "osiedle mieszkaniowe", "las"], "in a language that it hardly knows"),
    ],
)
def test_a_script_or_language_that_the_encoder_hardly_knows_is_told_with_the_text(english, words, told):
    warnings = warnings_of({word: word for word in words}, english)
    assert len(warnings) == 1
    assert told in warnings[0]


@pytest.mark.real
def test_many_foreign_texts_are_counted_and_not_all_listed(english):
    words = ("аэропорт", "пляж", "лес", "река", "озеро")
    warnings = warnings_of({word: word for word in words}, english)
    assert len(warnings) == 4
    assert warnings[-1] == "2 more texts are as foreign to all-minilm-l6-v2"
