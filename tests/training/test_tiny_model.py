"""The tiny encoder as a folder: the layout of CLIP, a vocabulary without class names, a card."""

import hashlib
import json
import re

import numpy as np
import pytest
import tiny_world
import torch
import transformers as hf

from zeroscene.encoders.huggingface import load_image_encoder
from zeroscene.encoders.text import load_text_encoder
from zeroscene.errors import DataFormatError, EncoderError
from zeroscene.scenes.synthetic import world
from zeroscene.scenes.synthetic.captions import FACTS, phrases, words
from zeroscene.scenes.synthetic.stream import lesson
from zeroscene.training.tiny.card import sparkline
from zeroscene.training.tiny.model import build_model, build_tokenizer, look, pad, read, save_encoder
from zeroscene.training.tiny.pool import shrink
from zeroscene.training.tiny.scores import average_precision, fact_vectors, picture_vectors, score_facts

SHAPE = tiny_world.SHAPE


@pytest.fixture(scope="module")
def model():
    return build_model(SHAPE, len(words()) + 4, 0).eval()


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder") / "small"
    model.half().float()
    save_encoder(folder, model, build_tokenizer(words(), SHAPE.longest), SHAPE)
    return folder


def test_the_folder_is_a_clip_that_transformers_loads_without_a_network(folder, model):
    loaded = hf.AutoModel.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    assert type(loaded).__name__ == "CLIPModel"
    torch.testing.assert_close(loaded.state_dict(), model.state_dict(), rtol=1e-3, atol=1e-4)
    tokens = hf.AutoTokenizer.from_pretrained(folder, local_files_only=True)("boats, sand")["input_ids"]
    assert len(tokens) == 5
    assert hf.AutoImageProcessor.from_pretrained(folder, backend="pil", local_files_only=True).size


def test_the_encoders_see_and_read_what_training_saw_and_read(folder):
    eyes, reader = load_image_encoder(folder, precision="fp32"), load_text_encoder(folder)
    assert eyes.grid == (4, 4, SHAPE.space)
    assert eyes.width == reader.width == SHAPE.space
    pixels = lesson(0, 0, 128).pixels
    texts = ["boats, sand", "an aerial photo of winding curves with trees"]
    model = hf.AutoModel.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()
    with torch.no_grad():
        pictures, tokens = look(model, torch.from_numpy(shrink(pixels, 32).transpose(2, 0, 1).copy())[None])
        vectors = read(model, pad(build_tokenizer(words(), 96)(texts)["input_ids"]))
    assert tokens.shape == (1, 16, SHAPE.space)
    np.testing.assert_allclose(picture_vectors(eyes, [pixels]), pictures, atol=1e-5)
    grid = eyes.encode(eyes.prepare(pixels)[None], grid=True).grid_BHWD
    assert grid is not None
    np.testing.assert_allclose(torch.nn.functional.normalize(grid.flatten(1, 2), dim=-1), tokens, atol=1e-5)
    np.testing.assert_allclose(reader.encode_texts(texts), vectors, atol=1e-5)


def test_case_and_punctuation_do_not_count_but_commas_do(folder):
    reader = load_text_encoder(folder)
    plain, shouted, listed = reader.encode_texts(["trees and sand", "Trees and (SAND)!", "trees and, sand"])
    np.testing.assert_array_equal(plain, shouted)
    assert not np.allclose(plain, listed)


def test_everything_that_captions_say_can_be_read(folder):
    assert fact_vectors(load_text_encoder(folder), FACTS).shape == (len(FACTS), SHAPE.space)


def test_unknown_words_are_refused_and_all_named(folder):
    reader = load_text_encoder(folder)
    with pytest.raises(EncoderError, match=r"small does not know the words 'freeway', 'zebras'; it reads \d+ words"):
        reader.encode_texts(["trees", "a Freeway in sand", "zebras, trees, freeway"])
    with pytest.raises(EncoderError, match="does not know the word 'lagoon'"):
        reader.encode_texts(["a lagoon"])


@pytest.mark.parametrize("name", world.CLASSES)
def test_no_text_with_the_name_of_a_class_can_be_read(folder, name):
    vocabulary = hf.AutoTokenizer.from_pretrained(folder, local_files_only=True).get_vocab()
    spoken = re.findall(r"[a-z]+", name.lower().replace("_", " "))
    missing = [word for word in spoken if not _forms(word) & vocabulary.keys()]
    assert missing, f"every word of {name} is in the vocabulary"


def _forms(word: str) -> set[str]:
    singular = {word, *(word.removesuffix(end) + put for end, put in (("ies", "y"), ("es", ""), ("s", "")))}
    return singular | {one + "s" for one in singular} | {one + "es" for one in singular} | {word[:-1] + "ies"}


def test_the_card_holds_the_hash_of_the_weights_and_how_they_were_made(tmp_path):
    making = tiny_world.small_pretrain(tmp_path)
    card = json.loads((tmp_path / "encoder" / "card.json").read_text())
    weights = (tmp_path / "encoder" / card["weights"]["file"]).read_bytes()
    assert card["weights"]["sha256"] == hashlib.sha256(weights).hexdigest()
    assert card["data"]["pictures_seen"] == 8 * 40
    assert card["recipe"]["shape"]["picture"] == 32
    assert card["scores"]["mean_average_precision"] == round(making.scores.mean, 4)
    assert (tmp_path / "curve.csv").read_text().splitlines()[-1].startswith("8,")
    page = (tmp_path / "encoder" / "card.md").read_text()
    assert f"{making.scores.mean:.3f}" in page
    assert "zeroscene pretrain tiny (miniature)" in page


def test_average_precision_counts_true_ones_among_those_ranked_as_high():
    truth = np.array([True, False, True, False])
    assert average_precision(np.array([4.0, 3.0, 2.0, 1.0]), truth) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(np.zeros(4), truth) == average_precision(np.zeros(4), truth[::-1]) == 0.5
    with pytest.raises(DataFormatError):
        average_precision(np.zeros(4), np.zeros(4, bool))


def test_facts_are_found_by_cosine_and_those_true_of_nothing_left_out():
    pictures, truth = np.eye(3, dtype=np.float32), np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0]], bool)
    scores = score_facts(pictures, ("a", "b", "c"), truth, pictures)
    assert scores.facts == ("a", "b")
    assert scores.mean == 1.0
    assert scores.chance == pytest.approx(1 / 3)


def test_a_line_of_bars_shows_a_falling_loss():
    assert sparkline([4, 3, 2, 1, 0, 0, 0, 0], 4) == "█▄▁▁"
    assert sparkline([]) == ""
    assert len(sparkline(list(range(1000)))) == 60


def test_phrases_of_a_fact_are_averaged(folder):
    reader = load_text_encoder(folder)
    own = reader.encode_texts(list(phrases("cars"))).mean(axis=0)
    np.testing.assert_allclose(fact_vectors(reader, ["cars"])[0], own / np.linalg.norm(own), atol=1e-6)
