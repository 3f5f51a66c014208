"""A store laid out flat: the same rows and ids, mapped and not read, and made anew when the store changes."""

import os

import numpy as np
import pytest

from store_of import store_of
from zeroscene.embeddings.flat import FlatStore, mapped
from zeroscene.embeddings.store import EmbeddingStore
from zeroscene.errors import DataFormatError, StoreError

X = np.random.default_rng(0).standard_normal((50, 7)).astype(np.float32)


@pytest.fixture
def store(tmp_path):
    return store_of(tmp_path / "store", X, part=20)


def test_rows_and_ids_are_those_of_the_parts_in_order(store):
    flat, whole = FlatStore(store), store.read()
    np.testing.assert_array_equal(flat.rows(), whole.x)
    assert tuple(flat.ids.to_pylist()) == whole.ids


def test_rows_can_be_what_a_function_makes_of_the_vectors(store):
    flat = FlatStore(store)
    np.testing.assert_array_equal(flat.rows("sums", lambda x: x.sum(axis=1, keepdims=True)), X.sum(1, keepdims=True))
    np.testing.assert_array_equal(flat.rows(), X)


def test_what_is_there_is_not_made_again(store):
    calls = []
    for _ in range(2):
        FlatStore(store).rows("halves", lambda x: calls.append(len(x)) or x / 2)
    assert calls == [20, 20, 10]


def test_rows_are_mapped_and_changing_them_changes_no_file(store):
    rows = FlatStore(store).rows()
    assert isinstance(rows, np.memmap)
    rows[:] = 0
    np.testing.assert_array_equal(FlatStore(store).rows(), X)


def test_any_numpy_reads_the_file(store):
    flat = FlatStore(store)
    flat.rows()
    np.testing.assert_array_equal(np.load(flat.folder / "vectors" / "rows.npy"), X)


def test_a_changed_part_makes_all_anew_and_removes_the_old(store):
    before = FlatStore(store)
    before.rows()
    changed = store_of(store.path, 2 * X, part=20)
    after = FlatStore(changed)
    np.testing.assert_array_equal(after.rows(), 2 * X)
    assert not before.folder.exists()


def test_a_file_cut_short_is_made_again(store):
    flat = FlatStore(store)
    flat.rows()
    path = flat.folder / "vectors" / "rows.npy"
    for size in (0, 60, 128, path.stat().st_size - 4):
        os.truncate(path, size)
        np.testing.assert_array_equal(FlatStore(store).rows(), X)


def test_a_failure_half_way_leaves_no_file_and_the_next_run_makes_it(store):
    flat = FlatStore(store)

    def failing(x):
        if len(x) == 10:
            raise KeyboardInterrupt
        return x

    with pytest.raises(KeyboardInterrupt):
        flat.rows("vectors", failing)
    assert not list(flat.folder.rglob("*.npy"))
    np.testing.assert_array_equal(flat.rows(), X)


def test_what_a_killed_run_left_is_removed(store):
    flat = FlatStore(store)
    flat.rows()
    leftover = flat.folder / "vectors" / ".writing-killed.npy"
    leftover.write_bytes(b"half")
    FlatStore(store).rows()
    assert not leftover.exists()


def test_an_unfinished_store_is_refused(store):
    store.part_path(1).unlink()
    with pytest.raises(StoreError, match=r"not finished; run the same embedding again"):
        FlatStore(EmbeddingStore.open(store.path))


def test_a_vector_that_is_not_finite_is_told_with_its_part(tmp_path):
    broken = X.copy()
    broken[23, 4] = np.nan
    with pytest.raises(DataFormatError, match=r"part-00001.parquet: the vector of row 3 is not finite"):
        FlatStore(store_of(tmp_path / "store", broken, part=20)).rows()


def test_a_damaged_part_is_told_by_name(store):
    content = store.part_path(2).read_bytes()
    store.part_path(2).write_bytes(content.replace(X[45].tobytes(), (X[45] + 1).tobytes()))
    with pytest.raises(StoreError, match=r"part-00002.parquet is damaged"):
        FlatStore(store).rows()


def test_a_folder_that_cannot_be_written_is_told(store, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="name another folder"):
        FlatStore(store, folder=tmp_path / "file").rows()


def test_a_store_without_pictures_has_no_rows(tmp_path):
    flat = FlatStore(store_of(tmp_path / "store", X[:0], part=20))
    assert flat.rows().shape == (0, 7)
    assert flat.ids.to_pylist() == []


def test_nothing_is_mapped_where_there_is_no_array(tmp_path):
    assert mapped(tmp_path / "absent.npy") is None
    (tmp_path / "text.npy").write_text("not an array, but long enough to be one, if only it were")
    assert mapped(tmp_path / "text.npy") is None
