"""The focus crop: components, boxes and the cut, for a whole batch at once."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from zeroscene.embeddings.crops import cut
from zeroscene.methods.dsva.focus import boxes, group_numbers, largest_component


def flood(mask):
    """Return the sizes and the label image of 4-connected components, place by place."""
    labels, sizes = np.zeros(mask.shape, int), [0]
    for start in zip(*np.nonzero(mask), strict=True):
        if labels[start]:
            continue
        sizes.append(0)
        stack = [start]
        while stack:
            row, column = stack.pop()
            inside = 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]
            if not inside or not mask[row, column] or labels[row, column]:
                continue
            labels[row, column] = len(sizes) - 1
            sizes[-1] += 1
            stack += [(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)]
    return labels, sizes


@settings(max_examples=60, deadline=None)
@given(arrays(np.bool_, (3, 5, 6)))
def test_largest_component_is_one_component_and_none_is_larger(masks):
    found = largest_component(torch.from_numpy(masks)).numpy()
    for mask, kept in zip(masks, found, strict=True):
        if not mask.any():
            assert kept.all()
            continue
        labels, sizes = flood(mask)
        inside = set(labels[kept])
        assert len(inside) == 1
        assert kept.sum() == max(sizes) == sizes[inside.pop()]


def test_a_box_lies_around_what_the_strongest_attribute_of_each_group_shows():
    maps = torch.zeros(2, 4, 4, 3)
    maps[0, 1:3, 1:3, 0] = 1  # picture 0: the middle, by attribute 0
    maps[1, 0, 0:2, 1] = 1  # picture 1: the north-west, by attribute 1 of the same group
    maps[..., 2] = torch.arange(16).view(4, 4) * 1e-3  # another group, which sees nothing much but in the south-east
    found = boxes(maps.flatten(1, 2), maps.amax((1, 2)), group_numbers(["a", "a", "a"], 3), (4, 4), 1.0)
    torch.testing.assert_close(found, torch.tensor([[0.25, 0.25, 0.75, 0.75], [0.0, 0.0, 0.5, 0.25]]))


def test_a_map_without_a_peak_gives_the_whole_picture():
    found = boxes(torch.ones(1, 9, 2), torch.ones(1, 2), group_numbers([], 2), (3, 3), 1.0)
    torch.testing.assert_close(found, torch.tensor([[0.0, 0.0, 1.0, 1.0]]))


@given(st.lists(st.sampled_from("xyz"), min_size=1, max_size=8))
def test_groups_are_numbered_in_order_of_first_appearance(groups):
    numbers = group_numbers(groups, len(groups)).tolist()
    assert sorted(set(numbers)) == list(range(len(set(groups))))
    assert all((numbers[i] == numbers[j]) == (groups[i] == groups[j]) for i in range(len(groups)) for j in range(i))


def test_the_cut_of_the_whole_picture_is_the_picture_and_a_quarter_is_enlarged():
    picture = torch.arange(3 * 8 * 8, dtype=torch.uint8).view(1, 3, 8, 8)
    whole = cut(picture, torch.tensor([[0.0, 0.0, 1.0, 1.0]]))
    assert whole.dtype == torch.uint8
    torch.testing.assert_close(whole, picture)
    plain = torch.zeros(1, 1, 8, 8)
    plain[..., 3:, :5] = 5.0  # half a pixel beyond the box counts at its edge
    torch.testing.assert_close(cut(plain, torch.tensor([[0.0, 0.5, 0.5, 1.0]])), torch.full((1, 1, 8, 8), 5.0))
