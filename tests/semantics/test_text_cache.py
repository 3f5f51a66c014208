"""Text vectors between runs: the same numbers, one call for what is new, and nothing that stops work."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from text_cache_job import Drawn

from zeroscene.encoders.text import load_text_encoder
from zeroscene.errors import EncoderError
from zeroscene.semantics.prompts import default_templates, prompt_warnings
from zeroscene.semantics.text import text_table
from zeroscene.semantics.text_cache import CachedTextEncoder, cache_folder

JOB = Path(__file__).with_name("text_cache_job.py")
FILE = "texts-1.sqlite"


def test_what_is_known_is_not_encoded_again_and_the_rest_in_one_call(tmp_path):
    encoder = Drawn()
    cached = CachedTextEncoder(encoder, tmp_path)
    first = cached.encode_texts(["a", "b", "a"])
    again = CachedTextEncoder(encoder, tmp_path).encode_texts(["c", "b", "d", "a", "c"])
    assert encoder.asked == [["a", "b"], ["c", "d"]]
    np.testing.assert_array_equal(first, encoder.encode_texts(["a", "b", "a"]))
    np.testing.assert_array_equal(again, encoder.encode_texts(["c", "b", "d", "a", "c"]))
    assert again.dtype == np.float32


def test_more_texts_than_a_question_to_the_file_holds(tmp_path):
    texts = [f"text {i}" for i in range(2014)]
    encoder = Drawn()
    expected = CachedTextEncoder(encoder, tmp_path).encode_texts(texts)
    np.testing.assert_array_equal(CachedTextEncoder(encoder, tmp_path).encode_texts(texts), expected)
    assert [len(asked) for asked in encoder.asked] == [2014]


def test_another_encoder_never_gives_an_old_answer(tmp_path):
    CachedTextEncoder(Drawn("w"), tmp_path).encode_texts(["a"])
    other = Drawn("v")
    np.testing.assert_array_equal(
        CachedTextEncoder(other, tmp_path).encode_texts(["a"]), Drawn("v").encode_texts(["a"])
    )
    assert other.asked == [["a"]]


def test_it_stands_for_its_encoder_and_a_class_table_is_the_same(tmp_path):
    tiny = load_text_encoder("tiny")
    cached = CachedTextEncoder(tiny, tmp_path)
    assert (cached.identity, cached.width) == (tiny.identity, tiny.width)
    assert cached.read(["boats"]) == tiny.read(["boats"])
    assert CachedTextEncoder(Drawn(), tmp_path).read(["boats"]) is None
    assert default_templates(cached) == default_templates(tiny)
    texts = {"lake": "clear water", "harbor": "boats"}
    tables = [text_table(["lake", "harbor"], e, texts=texts, templates=default_templates(e)) for e in (tiny, cached)]
    assert tables[0].fingerprint == tables[1].fingerprint
    assert prompt_warnings(tables[1], cached) == []


def test_no_texts_give_no_vectors_and_a_refused_text_keeps_nothing(tmp_path):
    cached = CachedTextEncoder(load_text_encoder("tiny"), tmp_path)
    assert cached.encode_texts([]).shape == (0, cached.width)
    with pytest.raises(EncoderError, match="'frobnicator'"):
        cached.encode_texts(["boats", "frobnicator"])
    with sqlite3.connect(tmp_path / FILE) as file:
        assert file.execute("SELECT count(*) FROM vectors").fetchone() == (0,)


@pytest.mark.parametrize("damage", [b"no database at all" * 300, b""])
def test_a_damaged_file_is_begun_anew(tmp_path, damage):
    (tmp_path / FILE).write_bytes(damage)
    encoder = Drawn()
    for _ in range(2):
        CachedTextEncoder(encoder, tmp_path).encode_texts(["a"])
    assert encoder.asked == [["a"]]


def test_a_vector_damaged_on_the_disk_is_made_again(tmp_path):
    CachedTextEncoder(Drawn(), tmp_path).encode_texts(["a", "b"])
    with sqlite3.connect(tmp_path / FILE) as file:
        file.execute("UPDATE vectors SET vector = zeroblob(length(vector))")
    encoder = Drawn()
    vectors = CachedTextEncoder(encoder, tmp_path).encode_texts(["a", "b"])
    np.testing.assert_array_equal(vectors, Drawn().encode_texts(["a", "b"]))
    assert encoder.asked == [["a", "b"]]


def test_a_place_that_cannot_be_written_does_not_stop_work(tmp_path):
    (tmp_path / "file").write_text("in the way")
    cached = CachedTextEncoder(Drawn(), tmp_path / "file" / "cache")
    np.testing.assert_array_equal(cached.encode_texts(["a"]), Drawn().encode_texts(["a"]))


def test_a_killed_process_and_two_at_once_leave_a_whole_file(tmp_path):
    def start(first: int, count: int) -> subprocess.Popen:
        words = [sys.executable, str(JOB), str(tmp_path), str(first), str(count)]
        job = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert job.stdout.readline() == "ready\n"
        return job

    endless, two = start(0, 1_000_000), [start(0, 20), start(10, 20)]
    assert [job.wait(120) for job in two] == [0, 0]
    endless.kill()
    endless.wait()
    with sqlite3.connect(tmp_path / FILE) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    encoder = Drawn()
    texts = [f"text {i}" for i in range(30)]
    np.testing.assert_array_equal(CachedTextEncoder(encoder, tmp_path).encode_texts(texts), Drawn().encode_texts(texts))
    assert encoder.asked == []


def test_the_folder_is_the_variable_or_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("ZEROSCENE_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    CachedTextEncoder(Drawn()).encode_texts(["a"])
    assert [path.name for path in (tmp_path / "mine").iterdir()] == [FILE]
    monkeypatch.delenv("ZEROSCENE_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "zeroscene"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "zeroscene"
