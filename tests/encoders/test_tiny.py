"""The encoder that ships with the package: there without a network, whole or refused, a folder like any other."""

import json
import shutil
import socket

import numpy as np
import pytest

from zeroscene.encoders import tiny
from zeroscene.encoders.huggingface import load_image_encoder
from zeroscene.encoders.source import locate
from zeroscene.encoders.text import load_text_encoder
from zeroscene.errors import EncoderError
from zeroscene.scenes.synthetic.captions import words
from zeroscene.scenes.synthetic.stream import lesson
from zeroscene.scenes.synthetic.vocabulary import ATTRIBUTES
from zeroscene.training.tiny.scores import fact_vectors, picture_vectors, score_facts

TEXTS = ["trees", "a paved road, cars, lined up in rows"]


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(tiny.WEIGHTS, tmp_path / "mine")


def test_it_is_called_tiny_and_is_small():
    assert locate("tiny").name == "tiny"
    assert sum(file.stat().st_size for file in tiny.WEIGHTS.iterdir()) < 8_000_000


def test_it_loads_without_a_network_and_both_towers_share_a_space(monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a connection was tried"))
    eyes, reader = load_image_encoder("tiny"), load_text_encoder("tiny")
    assert eyes.identity.name == reader.identity.name == "tiny"
    assert eyes.identity.weights == reader.identity.weights
    assert eyes.identity.output == "projection"
    assert eyes.width == reader.width
    assert eyes.grid is not None
    assert eyes.prepare(np.zeros((50, 70, 3), np.uint8)).shape == (3, *eyes.geometry.size)


def test_a_copy_of_the_folder_is_the_same_encoder(copy):
    shipped, copied = load_text_encoder("tiny"), load_text_encoder(copy)
    assert copied.identity.name == "mine"
    assert copied.identity.fingerprint == shipped.identity.fingerprint
    np.testing.assert_array_equal(copied.encode_texts(TEXTS), shipped.encode_texts(TEXTS))
    assert load_image_encoder(copy).identity.fingerprint == load_image_encoder("tiny").identity.fingerprint


def test_its_weights_are_those_of_its_card():
    assert tiny.shipped() == tiny.WEIGHTS
    card = json.loads((tiny.WEIGHTS / tiny.CARD).read_text())
    assert card["scores"]["mean_average_precision"] > card["scores"]["random_weights"]


def test_damaged_weights_are_found_before_use(copy, monkeypatch):
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(weights)
    monkeypatch.setattr(tiny.shipped, "__defaults__", (copy,))
    for load in (load_image_encoder, load_text_encoder, locate):
        with pytest.raises(EncoderError, match=r"'tiny' is damaged: .*model\.safetensors.* hash.*install .* again"):
            load("tiny")


def test_a_missing_or_unreadable_card_is_damage_too(copy):
    (copy / tiny.CARD).write_text("{")
    with pytest.raises(EncoderError, match="'tiny' is damaged"):
        tiny.shipped(copy)
    (copy / tiny.CARD).unlink()
    with pytest.raises(EncoderError, match="'tiny' is incomplete"):
        tiny.shipped(copy)


def test_it_reads_the_words_of_captions_and_no_others():
    vocabulary = json.loads((tiny.WEIGHTS / "tokenizer.json").read_text())["model"]["vocab"]
    assert {word for word in vocabulary if not word.startswith("<")} == set(words())


def test_it_finds_attributes_of_pictures_it_never_saw_by_their_phrases_alone():
    eyes, reader = load_image_encoder("tiny", precision="fp32"), load_text_encoder("tiny")
    lessons = [lesson(31, index, 128) for index in range(250)]
    names = [attribute.name for attribute in ATTRIBUTES]
    pictures = picture_vectors(eyes, [one.pixels for one in lessons])
    scores = score_facts(pictures, names, np.array([one.attributes for one in lessons]), fact_vectors(reader, names))
    assert scores.mean > 0.75 > 5 * scores.chance


def test_words_it_never_read_are_refused():
    with pytest.raises(EncoderError, match="tiny does not know the word 'runway'"):
        load_text_encoder("tiny").encode_texts(["a runway"])
