"""Lessons drawn ahead: those of the stream, drawn once, whole files only."""

import numpy as np
import pytest

from zeroscene.errors import OptionError, StoreError
from zeroscene.scenes.synthetic.captions import FACTS
from zeroscene.scenes.synthetic.stream import lesson
from zeroscene.training.tiny import pool as pools
from zeroscene.training.tiny.pool import draw_pool, shrink


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(pools, "PART", 5)


def test_lessons_are_those_of_the_stream_shrunk_as_an_encoder_shrinks_pictures(tmp_path):
    pool = draw_pool(tmp_path, 4, 7, 32, 1)
    assert pool.pixels.shape == (7, 32, 32, 3)
    for index in (0, 6):
        own = lesson(4, index, 128)
        np.testing.assert_array_equal(pool.pixels[index], shrink(own.pixels, 32))
        assert {FACTS[i] for i in np.flatnonzero(pool.facts[index])} == own.facts


def test_a_larger_pool_begins_with_the_smaller_one_and_keeps_its_files(tmp_path):
    small = draw_pool(tmp_path, 0, 5, 16, 1)
    drawn = {file: file.stat().st_mtime_ns for file in tmp_path.glob("lessons-*")}
    large = draw_pool(tmp_path, 0, 12, 16, 1)
    np.testing.assert_array_equal(large.pixels[:5], small.pixels)
    np.testing.assert_array_equal(large.facts[:5], small.facts)
    assert all(file.stat().st_mtime_ns == then for file, then in drawn.items())


def test_processes_draw_the_same_as_one(tmp_path):
    alone, together = draw_pool(tmp_path / "a", 2, 10, 16, 1), draw_pool(tmp_path / "b", 2, 10, 16, 2)
    np.testing.assert_array_equal(alone.pixels, together.pixels)
    np.testing.assert_array_equal(alone.facts, together.facts)


def test_a_lost_or_half_written_file_is_drawn_again(tmp_path):
    whole = draw_pool(tmp_path, 0, 10, 16, 1)
    (tmp_path / "lessons-000005-000010.safetensors").unlink()
    (tmp_path / ".writing-abc.safetensors").write_bytes(b"half")
    again = draw_pool(tmp_path, 0, 10, 16, 1)
    np.testing.assert_array_equal(again.pixels, whole.pixels)
    assert not list(tmp_path.glob(".writing-*"))


def test_a_damaged_file_is_named(tmp_path):
    draw_pool(tmp_path, 0, 10, 16, 1)
    file = tmp_path / "lessons-000000-000005.safetensors"
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(StoreError, match=r"lessons-000000-000005\.safetensors is damaged"):
        draw_pool(tmp_path, 0, 10, 16, 1)


def test_lessons_of_another_seed_are_not_mixed_in(tmp_path):
    draw_pool(tmp_path, 0, 5, 16, 1)
    with pytest.raises(StoreError, match="another seed"):
        draw_pool(tmp_path, 1, 5, 16, 1)
    with pytest.raises(StoreError, match="another side"):
        draw_pool(tmp_path, 0, 5, 24, 1)
    with pytest.raises(OptionError, match="at least 1 lesson"):
        draw_pool(tmp_path, 0, 0, 16, 1)
