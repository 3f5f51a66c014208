"""Folders that are removed are gone from their place at once, also when the run is killed meanwhile."""

import shutil
from pathlib import Path

import pytest

from zeroscene.files import remove_folder


def folder_of(path: Path, text: str = "one") -> Path:
    (path / "deep").mkdir(parents=True)
    (path / "deep" / "file.txt").write_text(text)
    return path


def test_a_folder_and_all_in_it_goes_and_its_neighbours_stay(tmp_path):
    gone, stays = folder_of(tmp_path / ".work"), folder_of(tmp_path / "other")
    remove_folder(gone)
    assert list(tmp_path.iterdir()) == [stays]
    assert (stays / "deep" / "file.txt").read_text() == "one"


def test_a_folder_that_is_not_there_is_no_matter(tmp_path):
    remove_folder(tmp_path / "none")
    assert not list(tmp_path.iterdir())


def test_killed_while_it_removes_nothing_is_left_at_the_place(tmp_path, monkeypatch):
    folder = folder_of(tmp_path / ".work")
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", _killed)
        with pytest.raises(KeyboardInterrupt):
            remove_folder(folder)
    assert not folder.exists()
    folder_of(folder, "again")
    remove_folder(folder)
    assert not list(tmp_path.iterdir())


def _killed(path: Path, ignore_errors: bool) -> None:
    (path / "deep" / "file.txt").unlink()
    raise KeyboardInterrupt
