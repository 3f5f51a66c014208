"""Extraction: every picture once, bad ones listed, interruptions invisible in the result."""

import csv
import errno
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from small_world import data_set, save, scene
from zeroscene.embeddings.extract import extract
from zeroscene.embeddings.store import EmbeddingStore
from zeroscene.embeddings.views import view
from zeroscene.encoders.base import Encoded
from zeroscene.errors import EncoderError, EncoderMismatchError, OptionError, StoreError
from zeroscene.files import TEMPORARY_PREFIX
from zeroscene.scenes.decode import decode
from zeroscene.scenes.folder import SceneFolder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_vectors_are_those_of_the_encoder(scenes, encoder, tmp_path):
    store = extract(scenes, encoder, tmp_path / "store", batch=4, part=7, grid=True)
    found = store.read()
    assert found.ids == scenes.ids
    assert found.labels == scenes.labels
    assert found.encoder == encoder.identity
    pictures = torch.stack([encoder.prepare(decode(scenes.path(i))) for i in scenes.ids])
    expected = encoder.encode(pictures, grid=True)
    cosine = torch.cosine_similarity(torch.from_numpy(found.x), expected.pooled_BD)
    assert cosine.min() > 0.9999
    grids = store.read(grids=True).grids.read(range(24))
    assert grids.shape == (24, *encoder.grid)
    np.testing.assert_allclose(grids, expected.grid_BHWD, rtol=0.02, atol=0.02)


def test_every_view_is_encoded_and_the_vectors_are_those_of_the_first(scenes, encoder, tmp_path):
    plain = extract(scenes, encoder, tmp_path / "plain", batch=4, part=7, grid=True).read(grids=True)
    found = extract(scenes, encoder, tmp_path / "views", batch=4, part=7, grid=True, views=3).read(grids=True)
    assert (plain.grids.views, found.grids.views) == (1, 3)
    np.testing.assert_array_equal(found.x, plain.x)
    np.testing.assert_array_equal(found.grids.read(range(24)), plain.grids.read(range(24)))
    for number in (1, 2):
        pictures = [view(decode(scenes.path(i)), i, number) for i in scenes.ids]
        expected = encoder.encode(torch.stack([encoder.prepare(p) for p in pictures]), grid=True).grid_BHWD
        np.testing.assert_allclose(found.grids.read(range(24), number), expected, rtol=0.02, atol=0.02)


def test_pictures_without_classes_have_no_labels(root, encoder, tmp_path):
    found = extract(SceneFolder.open_flat(root), encoder, tmp_path / "store").read()
    assert found.labels is None
    assert len(found) == 24


def test_neither_threads_nor_time_change_a_byte(scenes, encoder, tmp_path):
    extract(scenes, encoder, tmp_path / "one", batch=3, part=7, grid=True, views=2, workers=1)
    extract(scenes, encoder, tmp_path / "four", batch=3, part=7, grid=True, views=2, workers=4)
    assert contents(tmp_path / "one") == contents(tmp_path / "four")


def test_killed_at_any_moment_the_same_command_ends_with_the_same_bytes(tmp_path):
    root = data_set(tmp_path / "scenes", ("beach", "freeway"), each=45)
    (root / "freeway" / "freeway 03.png").write_bytes(b"not a picture")
    job = [sys.executable, str(Path(__file__).with_name("extract_job.py")), str(root)]
    subprocess.run([*job, str(tmp_path / "whole")], check=True, capture_output=True)
    kills = 0
    for moment in (0.0, 0.06, 0.12, 0.18):
        with subprocess.Popen([*job, str(tmp_path / "killed")], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "ready\n"
            time.sleep(moment + random.uniform(0, 0.06))
            process.send_signal(signal.SIGKILL)
            kills += process.wait() == -signal.SIGKILL
    assert kills > 0
    subprocess.run([*job, str(tmp_path / "killed")], check=True, capture_output=True)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


@pytest.mark.parametrize("part", range(3))
def test_a_run_that_ends_within_a_part_goes_on_there(scenes, encoder, tmp_path, part):
    options = {"batch": 4, "part": 7, "grid": True, "views": 2}
    extract(scenes, encoder, tmp_path / "whole", **options)

    class Interrupted:
        def __init__(self, calls):
            self.calls = calls

        def __getattr__(self, name):
            return getattr(encoder, name)

        def encode(self, pictures, grid=False):
            self.calls -= 1
            if self.calls < 0:
                raise KeyboardInterrupt
            return encoder.encode(pictures, grid)

    with pytest.raises(KeyboardInterrupt):
        extract(scenes, Interrupted(4 * part + 3), tmp_path / "broken", **options)
    (tmp_path / "broken" / f"{TEMPORARY_PREFIX}left.parquet").write_bytes(b"half")
    written = {p: p.stat().st_mtime_ns for p in (tmp_path / "broken").glob("part-*")}
    assert len(written) == 2 * part
    extract(scenes, encoder, tmp_path / "broken", **options)
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")
    assert all(p.stat().st_mtime_ns == when for p, when in written.items())


def test_grids_without_their_part_are_written_again(scenes, encoder, tmp_path):
    store = extract(scenes, encoder, tmp_path / "store", batch=4, part=7, grid=True)
    before = contents(store.path)
    store.part_path(1).unlink()
    store.grid_path(1).write_bytes(b"of a run that was killed between the two files")
    extract(scenes, encoder, store.path, batch=4, part=7, grid=True)
    assert contents(store.path) == before


def test_bad_pictures_are_listed_with_the_reason_and_stop_nothing(root, encoder, tmp_path):
    whole = (root / "beach" / "beach 01.png").read_bytes()
    (root / "beach" / "beach 01.png").write_bytes(whole[:100])
    (root / "beach" / "beach 02.png").write_bytes(b"")
    (root / "freeway" / "freeway 00.jpg").write_text("a text")
    save(root / "freeway" / "freeway 99.jpg", Image.fromarray(scene("freeway", 9)).convert("CMYK"))
    store = extract(SceneFolder.open(root), encoder, tmp_path / "store", batch=4, part=6)
    assert len(store) == len(store.read()) == 23
    with (tmp_path / "store" / "skipped.csv").open(newline="") as f:
        rows = list(csv.DictReader(f))
    assert [row["id"] for row in rows] == ["beach/beach 01.png", "beach/beach 02.png", "freeway/freeway 00.jpg"]
    assert all(row["reason"] and str(root) not in row["reason"] for row in rows)
    assert "empty" in rows[1]["reason"]
    assert [(s.id, s.reason) for s in store.skipped] == [(row["id"], row["reason"]) for row in rows]


def test_a_vector_that_is_not_finite_is_a_skipped_picture(scenes, encoder, tmp_path):
    class Overflowing:
        def __getattr__(self, name):
            return getattr(encoder, name)

        def encode(self, pictures, grid=False):
            encoded = encoder.encode(pictures, grid)
            encoded.pooled_BD[1] = torch.inf
            return Encoded(encoded.pooled_BD, encoded.grid_BHWD)

    store = extract(scenes, Overflowing(), tmp_path / "store", batch=8, part=12)
    assert len(store.read()) == 24 - 4
    assert {s.reason for s in store.skipped} == {"the encoder gives values for it that are not finite"}


def test_a_grid_that_float16_cannot_hold_is_a_skipped_picture(scenes, encoder, tmp_path):
    class Large:
        def __getattr__(self, name):
            return getattr(encoder, name)

        def encode(self, pictures, grid=False):
            encoded = encoder.encode(pictures, grid)
            encoded.grid_BHWD[0, 0, 0, 0] = 1e5
            return encoded

    store = extract(scenes, Large(), tmp_path / "store", batch=8, part=12, grid=True)
    found = store.read(grids=True)
    assert len(found) == len(found.grids) == 24 - 4
    assert scenes.ids[0] not in found.ids
    assert np.isfinite(found.grids.read(range(20))).all()


def test_grids_that_do_not_fit_on_the_disk_are_refused_before_a_byte_is_written(scenes, encoder, tmp_path, monkeypatch):
    each = 24 * 2 * int(np.prod(encoder.grid))  # bytes of one view: 12.3 kB
    place = tmp_path / "new" / "store"

    def embed(free, views):
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
        return extract(scenes, encoder, place, part=7, grid=True, views=views)

    with pytest.raises(
        StoreError, match=r"need 49\.2 kB and 36\.9 kB are free on that disk; keep fewer views"
    ) as caught:
        embed(free=3 * each, views=4)
    assert "\n" not in str(caught.value)
    assert not place.parent.exists()
    store = embed(free=3 * each, views=3)
    for path in (store.part_path(1), store.grid_path(1)):
        path.unlink()
    with pytest.raises(StoreError, match=r"need 10\.4 kB and 9\.0 kB are free"):
        embed(free=9_000, views=3)
    assert embed(free=each, views=3).complete
    assert embed(free=0, views=3).complete  # nothing is left to be written
    extract(scenes, encoder, tmp_path / "vectors")  # vectors alone are small


def test_a_data_set_of_bad_pictures_is_an_error(root, encoder, tmp_path):
    for path in root.rglob("*.png"):
        path.write_bytes(b"nothing")
    with pytest.raises(StoreError, match=r"none of the 24 pictures .* \(beach/beach 00.png: "):
        extract(SceneFolder.open(root), encoder, tmp_path / "store")


def test_a_finished_store_is_left_alone(scenes, encoder, tmp_path):
    class Silent:
        def __getattr__(self, name):
            return getattr(encoder, name)

        def encode(self, pictures, grid=False):
            raise AssertionError("encoded twice")

    extract(scenes, encoder, tmp_path / "store", part=7)
    before = contents(tmp_path / "store")
    extract(scenes, Silent(), tmp_path / "store", part=7)
    assert contents(tmp_path / "store") == before


def test_another_encoder_is_refused(scenes, encoder, other_encoder, tmp_path):
    extract(scenes, encoder, tmp_path / "store")
    with pytest.raises(EncoderMismatchError, match=r"\(weights differ from .*; embed into another folder"):
        extract(scenes, other_encoder, tmp_path / "store")


def test_other_pictures_are_refused(scenes, root, encoder, tmp_path):
    extract(scenes, encoder, tmp_path / "store", part=7)
    fewer = replace(scenes, ids=scenes.ids[1:], labels=scenes.labels[1:])
    with pytest.raises(StoreError, match=r"made from other pictures \(24, now 23"):
        extract(fewer, encoder, tmp_path / "store", part=7)
    save(scenes.path(scenes.ids[3]), scene("beach", 9))
    with pytest.raises(StoreError, match="file sizes differ"):
        extract(SceneFolder.open(root), encoder, tmp_path / "store", part=7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 5}, "begun with batch = 4, now it is 5"),
        ({"part": 9}, "begun with part = 7, now it is 9"),
        ({"grid": True}, r"begun with grid = None, now it is \(4, 4, 16\)"),
    ],
)
def test_other_options_are_refused(scenes, encoder, tmp_path, options, message):
    first = {"batch": 4, "part": 7, "grid": False}
    extract(scenes, encoder, tmp_path / "store", **first)
    with pytest.raises(StoreError, match=message):
        extract(scenes, encoder, tmp_path / "store", **(first | options))


def test_another_number_of_views_is_refused(scenes, encoder, tmp_path):
    extract(scenes, encoder, tmp_path / "store", grid=True, views=2)
    with pytest.raises(StoreError, match="begun with views = 2, now it is 3"):
        extract(scenes, encoder, tmp_path / "store", grid=True, views=3)


def test_an_unfinished_store_of_other_package_versions_is_refused(scenes, encoder, tmp_path, monkeypatch):
    extract(scenes, encoder, tmp_path / "store", part=7)
    monkeypatch.setattr("zeroscene.embeddings.extract.environment", lambda: {"zeroscene": "another"})
    extract(scenes, encoder, tmp_path / "store", part=7)
    (tmp_path / "store" / "part-00001.parquet").unlink()
    with pytest.raises(StoreError, match="other package versions"):
        extract(scenes, encoder, tmp_path / "store", part=7)


def test_a_folder_of_other_things_is_not_written_into(scenes, root, encoder):
    with pytest.raises(StoreError, match="holds other things"):
        extract(scenes, encoder, root)


def test_two_runs_do_not_write_one_store_at_once(scenes, encoder, tmp_path):
    store = extract(scenes, encoder, tmp_path / "store", part=7)
    with store.writing(), pytest.raises(StoreError, match="another run is writing"):
        extract(scenes, encoder, tmp_path / "store", part=7)


def test_a_full_disk_is_an_error_that_leaves_whole_parts_only(scenes, encoder, tmp_path, monkeypatch):
    import pyarrow.parquet as pq

    extract(scenes, encoder, tmp_path / "whole", part=7)
    real, calls = pq.write_table, []

    def full(table, where, **settings):
        calls.append(where)
        if len(calls) == 3:
            Path(where).write_bytes(b"PAR1")
            raise OSError(errno.ENOSPC, "No space left on device")
        real(table, where, **settings)

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(StoreError, match=r"part-00002\.parquet: No space left on device; nothing was changed"):
        extract(scenes, encoder, tmp_path / "store", part=7)
    left = contents(tmp_path / "store")
    assert sorted(left) == ["part-00000.parquet", "part-00001.parquet", "store.json"]
    extract(scenes, encoder, tmp_path / "store", part=7)
    assert contents(tmp_path / "store") == contents(tmp_path / "whole")
    assert EmbeddingStore.open(tmp_path / "store").complete


@pytest.mark.parametrize("name", ["batch", "part", "views", "workers"])
def test_numbers_must_be_positive(scenes, encoder, tmp_path, name):
    with pytest.raises(OptionError, match=f"{name} must be at least 1, not 0"):
        extract(scenes, encoder, tmp_path / "store", **{name: 0})


def test_views_without_grids_are_refused(scenes, encoder, tmp_path):
    with pytest.raises(OptionError, match=r"2 views need the token grids to be kept"):
        extract(scenes, encoder, tmp_path / "store", views=2)


def test_grids_of_an_encoder_without_are_refused(scenes, encoder, tmp_path):
    class Flat:
        grid = None

        def __getattr__(self, name):
            return getattr(encoder, name)

    with pytest.raises(EncoderError, match=r"no token grid; .* take an encoder that has one: .*ResNet"):
        extract(scenes, Flat(), tmp_path / "store", grid=True)
