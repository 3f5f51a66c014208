"""Columns: scores of a store equal those of the method, one file a class, and a class touches no other's file."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store_of import ENCODER, store_of
from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.errors import DataFormatError, EncoderMismatchError, NotFittedError, StoreError
from zeroscene.methods import columns as module
from zeroscene.methods.columns import ScoreColumns, score_store
from zeroscene.methods.contract import TrainingSet
from zeroscene.methods.registry import create_method
from zeroscene.methods.store_scores import PassingScores
from zeroscene.semantics.table import ClassTable

RNG = np.random.default_rng(4)
NAMES = tuple(f"class {i}" for i in range(12))
SEEN = NAMES[:8]
PHI = RNG.random((12, 6)).astype(np.float32)
Y = np.arange(400) % 12
X = (PHI[Y] @ RNG.normal(size=(6, 20)) + RNG.normal(0, 0.5, (400, 20))).astype(np.float32)
TABLE = ClassTable(NAMES, PHI, tuple(f"a{i}" for i in range(6)), "attributes")
PICTURES = Embeddings(tuple(f"p{i:03d}" for i in range(400)), X, ENCODER, tuple(NAMES[i] for i in Y))
TRAIN = TrainingSet(PICTURES.of_classes(SEEN), SEEN)
PRODUCTS = (
    ("eszsl", {}),
    ("ale", {"epochs": 2}),
    ("conse", {}),
    ("kernel", {}),
    ("kernel", {"distance": "euclidean"}),
    ("sae", {"direction": "to-visual"}),
    ("sae", {"direction": "to-semantic"}),
)


def fitted(name="eszsl", **options):
    return create_method(name, **options).fit(TRAIN, TABLE)


@pytest.fixture
def store(tmp_path):
    return store_of(tmp_path / "store", X, part=90)


def files(columns):
    return {p: (p.read_bytes(), p.stat().st_ino) for p in columns.flat.folder.rglob("*.npy") if p.name != "rows.npy"}


@pytest.mark.parametrize(("name", "options"), PRODUCTS)
def test_scores_are_those_of_the_method_to_the_bit(store, name, options):
    method = fitted(name, **options)
    kept = ScoreColumns(store, method).scores(TABLE).read()
    expected = method.scores(PICTURES, TABLE)
    assert kept.ids == tuple(f"pictures/{i:04d}.png" for i in range(400))
    assert kept.classes == NAMES
    np.testing.assert_array_equal(kept.values, expected.values)


def test_a_class_added_is_the_only_one_that_is_computed(store):
    columns = ScoreColumns(store, fitted())
    some = TABLE.select(NAMES[:9])
    assert columns.scores(some).computed == NAMES[:9]
    before = files(columns)
    added = TABLE.select((*NAMES[:4], NAMES[10], *NAMES[4:9]))
    assert columns.missing(added) == (NAMES[10],)
    assert columns.scores(added).computed == (NAMES[10],)
    assert columns.scores(added).computed == ()
    after = files(columns)
    assert len(after) == 10
    assert {path: after[path] for path in before} == before


def test_a_class_renamed_keeps_its_column_and_an_edited_one_gets_another(store):
    columns = ScoreColumns(store, fitted())
    columns.scores(TABLE)
    renamed = replace(TABLE, classes=("other name", *NAMES[1:]))
    assert columns.scores(renamed).computed == ()
    edited = TABLE.matrix.copy()
    edited[3] = 1 - edited[3]
    assert columns.scores(replace(TABLE, matrix=edited)).computed == (NAMES[3],)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.lists(st.lists(st.sampled_from(NAMES), min_size=1, unique=True), min_size=1, max_size=4))
def test_however_classes_come_and_go_their_scores_stay_the_same_to_the_bit(tmp_path_factory, order):
    columns = ScoreColumns(store_of(tmp_path_factory.mktemp("s") / "store", X[:50], part=20), METHOD)
    expected = METHOD.scores(PICTURES.take(range(50)), TABLE)
    for classes in order:
        found = columns.scores(TABLE.select(classes)).read()
        np.testing.assert_array_equal(found.values, expected.select(classes).values)


METHOD = fitted("kernel")


def test_many_classes_are_computed_in_groups(store, monkeypatch):
    monkeypatch.setattr(module, "_TOGETHER", 5)
    method = fitted()
    found = ScoreColumns(store, method).scores(TABLE).read()
    np.testing.assert_array_equal(found.values, method.scores(PICTURES, TABLE).values)


def test_a_method_fitted_otherwise_has_columns_of_its_own(store):
    ScoreColumns(store, fitted()).scores(TABLE)
    other = ScoreColumns(store, fitted(log_gamma=0.0))
    assert other.missing(TABLE) == NAMES
    assert ScoreColumns(store, fitted()).missing(TABLE) == ()


def test_a_changed_store_is_noticed_and_its_old_scores_go(store):
    method = fitted()
    old = ScoreColumns(store, method)
    old.scores(TABLE)
    changed = store_of(store.path, X[::-1].copy(), part=90)
    found = ScoreColumns(changed, method).scores(TABLE)
    assert found.computed == NAMES
    np.testing.assert_array_equal(found.read().values, method.scores(PICTURES, TABLE).values[::-1])
    assert not old.flat.folder.exists()


def test_a_column_cut_short_is_computed_again(store):
    columns = ScoreColumns(store, fitted())
    expected = columns.scores(TABLE).read().values
    for path, size in zip(sorted(files(columns)), (0, 100, 128, 600), strict=False):
        with path.open("r+b") as f:
            f.truncate(size)
    assert len(columns.missing(TABLE)) == 4
    np.testing.assert_array_equal(columns.scores(TABLE).read().values, expected)


KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import test_columns as t
from zeroscene.embeddings.store import EmbeddingStore
from zeroscene.methods import columns as module
columns = module.ScoreColumns(EmbeddingStore.open(sys.argv[1]), t.METHOD)
columns.scores(t.TABLE.select(t.NAMES[:3]))
write = module._write_at
def once(file, values, place):
    write(file, values, place)
    if os.fstat(file.fileno()).st_size > 128: os._exit(9)
module._write_at = once
columns.scores(t.TABLE)
"""


def test_a_killed_run_leaves_nothing_half_written(store):
    here = Path(__file__).parent
    paths = os.pathsep.join((str(here), str(here.parent)))
    run = [sys.executable, "-c", KILLED, str(store.path), str(here)]
    assert subprocess.run(run, env={**os.environ, "PYTHONPATH": paths}, check=False).returncode == 9
    columns = ScoreColumns(store, METHOD)
    assert list(columns.flat.folder.rglob(".writing-*"))
    assert columns.missing(TABLE) == NAMES[3:]
    found = columns.scores(TABLE).read()
    np.testing.assert_array_equal(found.values, METHOD.scores(PICTURES, TABLE).values)
    assert not list(columns.flat.folder.rglob(".writing-*"))


def test_the_least_recently_used_files_go_when_there_is_no_room(store):
    one = 128 + 4 * 400
    rows = 128 + 4 * 400 * 6
    columns = ScoreColumns(store, fitted(), limit=rows + 4 * one)
    for k, name in enumerate(NAMES[:4]):
        columns.scores(TABLE.select([name]))
        os.utime(columns._path(TABLE, k), (k, k))
    columns.scores(TABLE.select([NAMES[0], NAMES[4]]))
    assert columns.missing(TABLE) == (NAMES[1], *NAMES[5:])
    assert columns.scores(TABLE).computed == (NAMES[1], *NAMES[5:])
    assert columns.missing(TABLE) == ()


def test_what_the_pictures_of_another_method_gave_goes_as_well(store):
    first = ScoreColumns(store, fitted())
    first.scores(TABLE)
    os.utime(first.flat.folder / first._key / "rows.npy", (0, 0))
    ScoreColumns(store, fitted("kernel"), limit=1).scores(TABLE)
    assert not (first.flat.folder / first._key / "rows.npy").exists()
    assert first.scores(TABLE).computed == NAMES


def test_scores_may_be_kept_in_another_folder_and_stores_share_it(store, tmp_path):
    method = fitted()
    other = store_of(tmp_path / "elsewhere" / "store", X[:100], part=40)
    for _ in range(2):
        for one, count in ((store, 400), (other, 100)):
            found = ScoreColumns(one, method, folder=tmp_path / "kept").scores(TABLE)
            np.testing.assert_array_equal(found.read().values, method.scores(PICTURES, TABLE).values[:count])
    assert found.computed == ()
    assert not (store.path / "flat").exists()


def test_a_method_that_weighs_classes_against_each_other_is_scored_anew_and_not_kept(store):
    method = fitted("cada-vae", epochs=1)
    scores = score_store(store, method, TABLE)
    assert isinstance(scores, PassingScores)
    assert scores.computed == NAMES
    np.testing.assert_allclose(scores.read().values, method.scores(PICTURES, TABLE).values, rtol=1e-5)
    assert not list(store.path.rglob("*.npy"))


def test_a_method_apart_that_is_no_product_keeps_columns_too(store):
    method = fitted("fusion")
    columns = ScoreColumns(store, method)
    columns.scores(TABLE.select(NAMES[:5]))
    found = columns.scores(TABLE)
    assert found.computed == NAMES[5:]
    np.testing.assert_allclose(found.read().values, method.scores(PICTURES, TABLE).values, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("minus", [None, np.linspace(-0.3, 0.3, 12)])
def test_the_best_class_is_that_of_all_scores(store, minus):
    method = fitted()
    found = ScoreColumns(store, method).scores(TABLE).best(minus, temperature=0.1)
    values = method.scores(PICTURES, TABLE).values - (0 if minus is None else minus.astype(np.float32))
    order = np.argsort(-values, axis=1, kind="stable")
    ranked = np.take_along_axis(values, order, axis=1)
    np.testing.assert_array_equal(found.best, order[:, 0])
    np.testing.assert_array_equal(found.second, order[:, 1])
    np.testing.assert_array_equal(found.score, ranked[:, 0])
    np.testing.assert_array_equal(found.margin, ranked[:, 0] - ranked[:, 1])
    weights = np.exp((values - ranked[:, :1]).astype(np.float64) / 0.1)
    np.testing.assert_allclose(found.probability, 1 / weights.sum(axis=1), rtol=1e-5)


@given(st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=30))
def test_equal_scores_are_ranked_by_the_order_of_the_classes(rows):
    values = np.array(rows, np.float32)
    found = module_best(values)
    order = np.argsort(-values, axis=1, kind="stable")
    np.testing.assert_array_equal(found.best, order[:, 0])
    np.testing.assert_array_equal(found.second, order[:, 1])


def module_best(values):
    from zeroscene.methods.store_scores import best_of

    return best_of(tuple("abcd"), values.T, np.zeros(4, np.float32), None)


def test_of_one_class_there_is_no_runner_up(store):
    found = ScoreColumns(store, fitted()).scores(TABLE.select(NAMES[:1])).best(temperature=1.0)
    assert set(found.best) == {0}
    assert set(found.second) == {-1}
    assert np.isnan(found.margin).all()
    np.testing.assert_array_equal(found.probability, np.ones(400, np.float32))


def test_a_store_without_pictures_has_scores_of_none(tmp_path):
    empty = store_of(tmp_path / "store", X[:0], part=5)
    scores = ScoreColumns(empty, fitted()).scores(TABLE)
    assert scores.read().values.shape == (0, 12)
    assert len(scores.best().best) == 0


def test_what_does_not_fit_is_refused(store, tmp_path):
    method = fitted()
    with pytest.raises(NotFittedError):
        ScoreColumns(store, create_method("eszsl"))
    other = store_of(tmp_path / "other", X, part=90, encoder=replace(ENCODER, weights="others"))
    with pytest.raises(EncoderMismatchError, match="the fitted eszsl was made with encoder"):
        ScoreColumns(other, method)
    with pytest.raises(EncoderMismatchError, match="make both alike"):
        ScoreColumns(store, method).scores(replace(TABLE, columns=tuple("uvwxyz")))
    with pytest.raises(DataFormatError, match="empty"):
        ScoreColumns(store, method).scores(TABLE.select([]))
    with pytest.raises(DataFormatError, match=r"\(3,\) values to subtract for 12 classes"):
        ScoreColumns(store, method).scores(TABLE).best([1, 2, 3])
    store.part_path(1).unlink()
    with pytest.raises(StoreError, match="not finished"):
        ScoreColumns(store, method)
