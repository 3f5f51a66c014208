"""Pictures embedded on the way to answers: continued when interrupted, never taken for others, never lost silently."""

import fcntl
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zeroscene.embeddings.extract import extract
from zeroscene.embeddings.store import EmbeddingStore
from zeroscene.encoders.base import Encoded, EncoderIdentity
from zeroscene.errors import BusyError, DataFormatError, UnknownNameError
from zeroscene.methods.prompts import Prompts
from zeroscene.pixels import Geometry, resize_crop
from zeroscene.scenes.folder import SceneFolder
from zeroscene.semantics.table import ClassTable
from zeroscene.serving.asking import Asking
from zeroscene.serving.labeller import Labeller
from zeroscene.serving.stores import embedded, passing_store

COLOURS = {"forest": (20, 220, 30), "river": (30, 20, 220), "desert": (230, 40, 20)}
READER = EncoderIdentity("colours", "w", "t", "text-projection")


class Colours:
    """Mean colour: the smallest encoder that tells some pictures apart; counts what it encodes."""

    width, grid, geometry = 3, None, Geometry((8, 8))

    def __init__(self, weights: str = "w", stop_after: int | None = None) -> None:
        self.identity = EncoderIdentity("colours", weights, "p", "projection")
        self.stop_after = stop_after
        self.count = 0

    def prepare(self, picture_HWC: np.ndarray) -> torch.Tensor:
        return resize_crop(picture_HWC, self.geometry)

    def encode(self, pictures_BCHW: torch.Tensor, grid: bool = False) -> Encoded:
        if self.stop_after is not None and self.count >= self.stop_after:
            raise KeyboardInterrupt
        self.count += len(pictures_BCHW)
        return Encoded(pictures_BCHW.float().mean((2, 3)) / 255, None)


def table(*classes: str) -> ClassTable:
    rows = np.array([COLOURS[name] for name in classes], np.float32) / 255
    provenance = {"source": "text", "encoder": READER.to_json(), "space": "colours"}
    return ClassTable(classes, rows, ("red", "green", "blue"), "embedding", provenance=provenance)


def labeller(encoder: Colours | None = None, classes: tuple[str, ...] = ("forest", "river")) -> Labeller:
    eye = encoder or Colours()
    return Labeller(Prompts.untrained(eye.identity, table(*classes)), table(*classes), lambda: eye)


def draw(folder: Path, name: str, count: int = 2) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        Image.new("RGB", (8, 8), COLOURS[name]).save(folder / f"{index:03d}.bmp")
    return folder


def said(pictures: Path, out: Path, encoder: Colours | None = None) -> set[str]:
    return {row["class"] for row in labeller(encoder).label(pictures, Asking(), beside=out).rows()}


def interrupted(pictures: Path, out: Path, encoder: Colours) -> Path:
    with pytest.raises(KeyboardInterrupt):
        labeller(encoder).label(pictures, Asking(), beside=out)
    left = out.with_name(f".{out.name}.embeddings")
    assert left.is_dir()
    return left


def embed_and_interrupt(pictures: Path, out: Path) -> None:
    with passing_store(SceneFolder.open_flat(pictures), Colours(), out) as store:
        assert store.complete
        raise KeyboardInterrupt


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_nothing_is_left_of_pictures_when_the_question_fails_after_they_were_embedded(tmp_path: Path) -> None:
    pictures, examples = draw(tmp_path / "pictures", "forest"), tmp_path / "examples"
    draw(examples / "harbor", "desert")
    with pytest.raises(UnknownNameError, match="harbor"):
        labeller().label(pictures, Asking(), examples=examples, beside=tmp_path / "a.csv")
    assert hidden(tmp_path) == []


def test_pictures_that_were_replaced_by_others_of_the_same_size_are_embedded_anew(tmp_path: Path) -> None:
    pictures, out = draw(tmp_path / "pictures", "forest"), tmp_path / "a.csv"
    with pytest.raises(KeyboardInterrupt):
        embed_and_interrupt(pictures, out)
    assert hidden(tmp_path) == [".a.csv.embeddings"]
    before = {path: path.stat() for path in pictures.iterdir()}
    draw(pictures, "river")
    for path, old in before.items():
        assert path.stat().st_size == old.st_size
        os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert said(pictures, out) == {"river"}
    assert hidden(tmp_path) == []


def test_an_interrupted_embedding_goes_on_where_it_stopped(tmp_path: Path) -> None:
    pictures, out = draw(tmp_path / "pictures", "forest", count=530), tmp_path / "a.csv"
    interrupted(pictures, out, Colours(stop_after=512))
    again = Colours()
    assert said(pictures, out, again) == {"forest"}
    assert again.count == 530 - 512
    assert hidden(tmp_path) == []


def test_what_another_encoder_left_is_no_obstacle(tmp_path: Path) -> None:
    pictures, out = draw(tmp_path / "pictures", "forest", count=530), tmp_path / "a.csv"
    with (
        pytest.raises(KeyboardInterrupt),
        passing_store(SceneFolder.open_flat(pictures), Colours("others", stop_after=512), out),
    ):
        pass
    assert hidden(tmp_path) == [".a.csv.embeddings"]
    again = Colours()
    assert said(pictures, out, again) == {"forest"}
    assert again.count == 530


def test_what_is_damaged_is_no_obstacle(tmp_path: Path) -> None:
    pictures, out = draw(tmp_path / "pictures", "forest", count=530), tmp_path / "a.csv"
    left = interrupted(pictures, out, Colours(stop_after=512))
    next(left.rglob("part-*.parquet")).write_bytes(b"cut off")
    assert said(pictures, out) == {"forest"}


def test_a_second_run_for_the_same_file_leaves_the_first_alone(tmp_path: Path) -> None:
    pictures, others = draw(tmp_path / "pictures", "forest"), draw(tmp_path / "others", "river")
    out = tmp_path / "a.csv"
    with passing_store(SceneFolder.open_flat(pictures), Colours(), out) as store:
        for second in (pictures, others):
            with pytest.raises(BusyError, match=r"another run is writing .*a\.csv; wait for it to end"):
                said(second, out)
        assert len(store.read()) == 2
    assert said(others, out) == {"river"}


def test_a_store_that_another_run_is_writing_says_so_by_its_own_error(tmp_path: Path) -> None:
    scenes = SceneFolder.open_flat(draw(tmp_path / "pictures", "forest"))
    store = extract(scenes, Colours(), tmp_path / "store")
    handle = os.open(store.path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(BusyError, match="another run is writing"):
            extract(scenes, Colours(), tmp_path / "store")
    finally:
        os.close(handle)


def test_a_store_that_is_kept_still_fits_a_copy_of_its_pictures(tmp_path: Path) -> None:
    pictures = draw(tmp_path / "pictures", "forest")
    extract(SceneFolder.open_flat(pictures), Colours(), tmp_path / "store")
    copy, again = tmp_path / "copy", Colours()
    shutil.copytree(pictures, copy, copy_function=shutil.copyfile)
    extract(SceneFolder.open_flat(copy), again, tmp_path / "store")
    assert again.count == 0


def test_a_picture_whose_name_is_no_unicode_is_listed_as_skipped(tmp_path: Path) -> None:
    pictures = draw(tmp_path / "pictures", "forest")
    try:
        shutil.copy(pictures / "000.bmp", pictures / os.fsdecode(b"caf\xe9.bmp"))
        (pictures / os.fsdecode(b"caf\xe9.txt")).write_text("no picture")
    except (OSError, UnicodeError):
        pytest.skip("this file system refuses such names")
    (pictures / "gone.bmp").symlink_to(tmp_path / "nowhere.bmp")
    (pictures / "notes.txt").write_text("no picture either")
    answers = labeller().label(pictures, Asking())
    assert len(answers) == 2
    assert answers.skipped == (
        ("caf\\udce9.bmp", "the name is not valid Unicode; rename it"),
        ("gone.bmp", "the link is broken"),
    )


@pytest.mark.parametrize("kept", [False, True])
def test_an_example_that_cannot_be_read_is_listed_as_skipped(tmp_path: Path, kept: bool) -> None:
    pictures, examples = draw(tmp_path / "pictures", "forest"), tmp_path / "examples"
    for name in ("forest", "river"):
        draw(examples / name, name)
    (examples / "river" / "bad.bmp").write_bytes(b"not a picture")
    if kept:
        examples = extract(SceneFolder.open(examples), Colours(), tmp_path / "store").path
    answers = labeller().label(pictures, Asking(), examples=examples)
    ((picture, reason),) = answers.skipped
    assert picture == "river/bad.bmp"
    assert reason.startswith("among the examples: ")


@pytest.mark.parametrize("beside", [None, "a.csv"])
def test_where_no_picture_can_be_read_the_first_reason_is_told_and_no_folder_of_ours(
    tmp_path: Path, beside: str | None
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in ("a.bmp", "b.bmp"):
        (pictures / name).write_bytes(b"not a picture")
    out = None if beside is None else tmp_path / beside
    with pytest.raises(DataFormatError, match=r"none of the pictures in .*pictures could be read \(a\.bmp: ") as told:
        labeller().label(pictures, Asking(), beside=out)
    for ours in ("zeroscene-", ".embeddings", "delete"):
        assert ours not in str(told.value)
    assert hidden(tmp_path) == []


def test_a_store_of_pictures_is_read_as_it_is(tmp_path: Path) -> None:
    store = extract(SceneFolder.open_flat(draw(tmp_path / "pictures", "forest")), Colours(), tmp_path / "store")
    with embedded(store.path, Colours, None) as (x, skipped):
        assert x.ids == EmbeddingStore.open(store.path).read().ids
        assert skipped == ()
