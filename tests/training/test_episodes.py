"""Episodes: right classes, distinct pictures, few pictures, the published defect, seeds."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from zeroscene.training.episodes import Episodes


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=9),
    st.integers(2, 6),
    st.integers(2, 6),
    st.integers(0, 2**32 - 1),
)
def test_pictures_belong_to_their_class_and_repeat_only_in_small_classes(
    sizes: list[int], classes: int, shots: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    drawn, pictures = Episodes(y, classes, shots).epoch(rng)
    width = min(classes, len(sizes))
    assert drawn.shape == (-(-len(y) // (width * shots)), width)
    assert pictures.shape == (*drawn.shape, shots)
    assert (y[pictures] == drawn[..., None]).all()
    for episode, taken in zip(drawn, pictures, strict=True):
        assert len(set(episode)) == width
        for c, own in zip(episode, taken, strict=True):
            assert len(set(own)) == min(shots, sizes[c])


def test_every_picture_is_drawn_sooner_or_later_and_about_as_often() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(6), 20)
    counts = np.zeros(len(y))
    for _ in range(400):
        np.add.at(counts, Episodes(y, 3, 4).epoch(rng)[1].ravel(), 1)
    assert counts.min() > 0.8 * counts.mean()
    assert counts.max() < 1.2 * counts.mean()


def test_shared_positions_are_the_same_in_every_class_of_an_episode() -> None:
    y = np.repeat(np.arange(5), 10)
    _, shared = Episodes(y, 4, 3, shared_positions=True).epoch(np.random.default_rng(0))
    assert (shared % 10 == shared[:, :1] % 10).all()
    _, free = Episodes(y, 4, 3).epoch(np.random.default_rng(0))
    assert not (free % 10 == free[:, :1] % 10).all()


def test_steps_hand_out_the_epoch_in_order() -> None:
    y = np.repeat(np.arange(5), 11)
    episodes = Episodes(y, 2, 3)
    classes, pictures = episodes.epoch(np.random.default_rng(4))
    steps = list(episodes.steps(np.random.default_rng(4), per_step=4))
    assert [len(c) for c, _ in steps] == [4, 4, 2]
    assert np.array_equal(np.concatenate([c for c, _ in steps]), classes)
    assert np.array_equal(np.concatenate([p for _, p in steps]), pictures)
