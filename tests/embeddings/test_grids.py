"""Token grids: chosen without reading, read without the rest, the same in memory and on disk."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroscene.embeddings.embeddings import Embeddings
from zeroscene.embeddings.grid_files import size_text, writing_grids
from zeroscene.embeddings.grids import TokenGrids
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.errors import DataFormatError, StoreError

COUNTS = (3, 0, 4, 1)
SHAPE = (2, 3, 2, 5)
ARRAY = np.random.default_rng(0).normal(size=(sum(COUNTS), *SHAPE)).astype(np.float16)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grids")
    start = 0
    for part, count in enumerate(COUNTS):
        with writing_grids(folder / f"{part}.npy", SHAPE) as writer:
            for row in range(start, start + count):
                writer.append(ARRAY[row : row + 1])
        start += count
    return [folder / f"{part}.npy" for part in range(len(COUNTS))]


@pytest.fixture(scope="module", params=["memory", "disk"])
def grids(request, files):
    return TokenGrids.of(ARRAY) if request.param == "memory" else TokenGrids.of_files(files, COUNTS, SHAPE)


def received(sent: bytes) -> TokenGrids:
    grids = pickle.loads(sent)  # noqa: S301 - of this test's own making
    assert isinstance(grids, TokenGrids)
    return grids


rows = st.lists(st.integers(-len(ARRAY), len(ARRAY) - 1), max_size=12)


def test_sizes(grids):
    assert len(grids) == 8
    assert grids.views == 2
    assert grids.shape == (3, 2, 5)


@given(chosen=rows, view=st.integers(0, 1))
def test_rows_come_in_the_order_asked_for(grids, chosen, view):
    found = grids.read(chosen, view)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, ARRAY[np.array(chosen, int), view].astype(np.float32))


@given(first=rows.filter(len), data=st.data())
def test_taking_and_reading_is_reading_what_was_taken(grids, first, data):
    second = data.draw(st.lists(st.integers(0, len(first) - 1), max_size=12))
    taken = grids.take(first).take(second)
    assert len(taken) == len(second)
    np.testing.assert_array_equal(taken.read(range(len(second)), 1), grids.read([first[i] for i in second], 1))


def test_a_mask_takes_what_it_marks(grids):
    mask = np.arange(8) % 3 == 1
    np.testing.assert_array_equal(grids.take(mask).read([0, 1, 2]), ARRAY[[1, 4, 7], 0])
    np.testing.assert_array_equal(grids.read(mask), ARRAY[[1, 4, 7], 0])


@pytest.mark.parametrize("block", [1, 70, 1 << 22])
def test_means_are_the_means_of_the_tokens_whatever_the_block(grids, monkeypatch, block):
    monkeypatch.setattr("zeroscene.embeddings.grids._BLOCK", block)
    chosen = [7, 0, 5, 5, 2]
    for view in range(2):
        expected = grids.read(chosen, view).mean((1, 2))
        np.testing.assert_array_equal(grids.take(chosen).means(view), expected)
    np.testing.assert_allclose(grids.means(), ARRAY[:, 0].astype(np.float64).mean((1, 2)), atol=1e-6)


def test_what_was_read_is_the_readers_own(grids):
    grids.read([0])[:] = 0
    grids.read([0, 1])[:] = 0
    np.testing.assert_array_equal(grids.read([0]), ARRAY[[0], 0])


@pytest.mark.parametrize("ask", [{"rows": [8]}, {"rows": [0], "view": 2}, {"rows": [0], "view": -1}])
def test_what_is_not_there_is_an_index_error(grids, ask):
    with pytest.raises(IndexError):
        grids.read(**ask)


def test_another_process_gets_the_paths_and_reads_for_itself(files):
    grids = TokenGrids.of_files(files, COUNTS, SHAPE).take([6, 1])
    before = len(pickle.dumps(grids))
    grids.read([0, 1])
    sent = pickle.dumps(grids)
    assert len(sent) == before
    np.testing.assert_array_equal(received(sent).read([0, 1], 1), ARRAY[[6, 1], 1])


def test_an_array_without_views_has_one():
    one = TokenGrids.of(ARRAY[:, 0])
    assert one.views == 1
    np.testing.assert_array_equal(one.read([3, 1]), ARRAY[[3, 1], 0])
    np.testing.assert_array_equal(received(pickle.dumps(one)).means(), one.means())


def test_an_array_in_memory_keeps_its_precision():
    exact = np.full((1, 1, 1, 1), 1 + 1e-5, np.float32)
    np.testing.assert_array_equal(TokenGrids.of(exact).read([0]), exact)


def test_an_array_of_vectors_is_refused():
    with pytest.raises(DataFormatError, match=r"array of shape \(8, 5\), not \(N, V, H, W, D\)"):
        TokenGrids.of(ARRAY[:, 0, 0, 0])


def test_no_pictures_have_no_means(grids):
    assert grids.take([]).means().shape == (0, 5)
    assert grids.take([]).read([]).shape == (0, 3, 2, 5)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: np.save(path, ARRAY[:2]),
        lambda path: np.save(path, ARRAY[:3].astype(np.float32)),
        lambda path: np.save(path, np.array([{}], object), allow_pickle=True),
    ],
    ids=["gone", "empty", "cut", "fewer", "wider", "objects"],
)
def test_a_file_that_is_not_what_was_written_is_named(tmp_path, spoil):
    path = tmp_path / "part.npy"
    with writing_grids(path, SHAPE) as writer:
        writer.append(ARRAY[:3])
    grids = TokenGrids.of_files([path], [3], SHAPE)
    spoil(path)
    with pytest.raises(StoreError, match=r"part\.npy is damaged; delete this one file") as caught:
        grids.read([0])
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_finished_is_not_there(tmp_path):
    def interrupted():
        with writing_grids(tmp_path / "part.npy", SHAPE) as writer:
            writer.append(ARRAY)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


class TestWithEmbeddings:
    @staticmethod
    def embeddings(grids: TokenGrids) -> Embeddings:
        encoder = EncoderIdentity("one", "weights", "32", "mean")
        ids = tuple(f"{i}.png" for i in range(8))
        labels = ("sea", "lake") * 4
        return Embeddings(ids, np.eye(8, dtype=np.float32), encoder, labels, grids)

    def test_grids_go_where_their_pictures_go(self):
        whole = self.embeddings(TokenGrids.of(ARRAY))
        np.testing.assert_array_equal(whole.take([5, 2]).grids.read([0, 1]), ARRAY[[5, 2], 0])
        np.testing.assert_array_equal(whole.take(np.arange(8) == 3).grids.read([0]), ARRAY[[3], 0])
        np.testing.assert_array_equal(whole.of_classes(["Lake"]).grids.means(), TokenGrids.of(ARRAY[1::2]).means())

    def test_grids_of_other_pictures_are_refused(self):
        with pytest.raises(DataFormatError, match=r"^embeddings: token grids of 3 for 8 pictures$"):
            self.embeddings(TokenGrids.of(ARRAY[:3]))


@pytest.mark.parametrize(
    ("size", "text"),
    [(999, "999 bytes"), (3_072, "3.1 kB"), (421_400_000, "421 MB"), (12_540_000_000, "12.5 GB"), (2e12, "2,000 GB")],
)
def test_sizes_are_said_for_people(size, text):
    assert size_text(size) == text


def test_what_is_worked_out_from_a_grid_is_worked_out_once_and_by_view():
    numbers = np.arange(3 * 2 * 2 * 2 * 4, dtype=np.float16).reshape(3, 2, 2, 2, 4)
    grids, asked = TokenGrids.of(numbers), []

    def mean(tokens):
        asked.append(len(tokens))
        return tokens.mean(1)

    some = grids.take([2, 0])
    for view in (0, 1):
        np.testing.assert_allclose(some.reduced("mean", mean, view), some.means(view), rtol=1e-3)
        np.testing.assert_allclose(grids.reduced("mean", mean, view), grids.means(view), rtol=1e-3)
        np.testing.assert_allclose(some.reduced("mean", mean, view), some.means(view), rtol=1e-3)
    # One grid to learn the width, the two that were taken, then the one that was left: in each view.
    assert asked == [1, 2, 1] * 2
    assert pickle.loads(pickle.dumps(grids)).reduced("other", mean).shape == (3, 4)  # noqa: S301
