"""The pointing game on masks made by hand."""

import numpy as np
import pytest

from zeroscene.errors import DataFormatError
from zeroscene.explain.maps import Box, Frame
from zeroscene.explain.pointing import FIGURES, Pointed, PointingTable, point

FRAME = Frame(Box(0, 0, 8, 8), 8, 8)


def mask(*rectangles: tuple[slice, slice]) -> np.ndarray:
    made = np.zeros((8, 8), bool)
    for rectangle in rectangles:
        made[rectangle] = True
    return made


def peaked(row: int, column: int) -> np.ndarray:
    made = np.zeros((4, 4), np.float32)
    made[row, column] = 1
    return made


def figures(pointed: Pointed | None, kind: str) -> dict[str, float]:
    assert pointed is not None
    return dict(zip(FIGURES, pointed.figures[kind], strict=True))


def test_a_peak_on_the_mask_hits_and_one_beside_it_misses() -> None:
    corner = mask((slice(0, 2), slice(0, 2)))
    assert figures(point("a", peaked(0, 0), corner, FRAME), "map")["hit"] == 1
    assert figures(point("a", peaked(0, 1), corner, FRAME), "map")["hit"] == 0


def test_the_tolerance_is_the_peak_s_own_cell_and_a_strict_hit_has_none() -> None:
    # One pixel in the corner of cell (0, 0), whose middle is the pixel (1, 1).
    one = mask((slice(0, 1), slice(0, 1)))
    assert point("a", peaked(0, 0), one, FRAME).figures["map"][:2] == (1, 0)
    middle = mask((slice(1, 2), slice(1, 2)))
    assert point("a", peaked(0, 0), middle, FRAME).figures["map"][:2] == (1, 1)


def test_iou_is_that_of_the_pixels_above_half_way() -> None:
    # Linear between middles 1, 3, 5, 7: from 1 at x = 3 to 0 at x = 5, so above a half for the pixels below 4.
    left = np.repeat(np.array([[1, 1, 0, 0]], np.float32), 4, axis=0)
    assert figures(point("a", left, mask((slice(0, 8), slice(0, 3))), FRAME), "map")["iou"] == pytest.approx(3 / 4)
    assert figures(point("a", left, mask((slice(0, 8), slice(5, 8))), FRAME), "map")["iou"] == 0


def test_the_baselines_play_the_same_game() -> None:
    # The cell at the middle is 3 ... 5; a random cell is one of 16.
    centre = point("a", peaked(0, 0), mask((slice(4, 5), slice(4, 5))), FRAME)
    assert centre.figures["centre"][:2] == (1, 1)
    assert centre.figures["random"][:2] == (1 / 16, 0)
    corner = point("a", peaked(0, 0), mask((slice(0, 2), slice(0, 4))), FRAME)
    assert corner.figures["centre"][:2] == (0, 0)
    assert corner.figures["random"][:2] == (2 / 16, 2 / 16)


def test_noise_is_the_same_each_time() -> None:
    corner = mask((slice(0, 2), slice(0, 4)))
    assert point("a", peaked(0, 0), corner, FRAME) == point("a", peaked(0, 0), corner, FRAME)


@pytest.mark.parametrize("area", [mask(), mask((slice(0, 4), slice(0, 8)))])
def test_empty_masks_and_half_the_picture_are_left_out(area: np.ndarray) -> None:
    assert point("a", peaked(0, 0), area, FRAME) is None


def test_masks_count_where_the_encoder_saw_only() -> None:
    inner = Frame(Box(2, 2, 6, 6), 8, 8)
    assert point("a", peaked(0, 0), mask((slice(0, 2), slice(0, 2))), inner) is None
    one = point("a", peaked(0, 0), mask((slice(0, 3), slice(0, 3))), inner)
    assert one.figures["map"][0] == 1
    assert one.figures["random"][0] == 1 / 16


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(DataFormatError, match=r"\(4, 4\) for a picture of \(8, 8\)"):
        point("a", peaked(0, 0), np.zeros((4, 4), bool), FRAME)


def test_means_over_masks_and_over_attributes() -> None:
    def pointed(name: str, hit: float) -> Pointed:
        return Pointed(name, {"map": (hit, 0.0, 0.5), "centre": (0.0, 0.0, 0.0), "random": (0.1, 0.0, 0.0)})

    table = PointingTable.of([pointed("a", 1), pointed("a", 1), pointed("a", 0), pointed("b", 0)])
    assert table.all.figures["map"] == (0.5, 0, 0.5)
    assert table.mean.figures["map"][0] == pytest.approx(1 / 3)
    value = table.to_json()
    assert value["by_attribute"]["a"] == {
        "masks": 3,
        "map": {"hit": 0.6667, "strict": 0.0, "iou": 0.5},
        "centre": {"hit": 0.0, "strict": 0.0, "iou": 0.0},
        "random": {"hit": 0.1, "strict": 0.0, "iou": 0.0},
    }
    with pytest.raises(DataFormatError, match="needs a mask"):
        PointingTable.of([])
