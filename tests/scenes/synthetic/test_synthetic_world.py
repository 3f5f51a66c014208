"""Pictures of classes: the same everywhere, at any size, and never at odds with what is said to be in them."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from zeroscene.errors import OptionError, StoreError, UnknownNameError
from zeroscene.scenes.synthetic.classes import RULES
from zeroscene.scenes.synthetic.vocabulary import ATTRIBUTES, INDEX
from zeroscene.scenes.synthetic.world import CLASSES, SMALLEST, class_attributes, draw, write_folder
from zeroscene.semantics.knowledge import canonical, vocabulary

# Pixels (sha256), and attributes (its first 16 digits), of class, seed, index, size. They change with the grammar only,
# and then the tiny encoder and every recorded figure of this world must be made again.
GOLDEN = {
    ("harbor", 0, 0, 128): ("0d64f47f4e2f3a8bde55c873e6ffa2f9ffe5edac48f10bdba877bb9f4184421a", "b153db3b22447488"),
    ("dense_residential", 0, 7, 96): (
        "699777a7aadb9b83b64b4694ce980c63801de27354625b7ed26a36bfe8c222c4", "e19bb123ec117957",
    ),
    ("snow_mountain", 5, 123, 64): (
        "0e861749876f6528ba8ef5c937bd1872f4ee6e2332a735fbdc23d960c3b86405", "9670bc7339e6c679",
    ),
    ("golf_course", 0, 1, 255): (
        "6f263c1da16c01d0e244a3027975d9476511d189dc83771d2236b7d9794bc2b7", "4271fae376d76c9b",
    ),
    ("airplane", 0, 0, 16): ("7fdab53147943d7f6593e9569d063c4cff5f66e270a072da1aa996b7fe8c06db", "a2e8613e50f933e5"),
    ("stadium", -3, 2, 128): ("8868b4d844f46a2710a8bb1ead630eafabb19f16e14c1964a8c3fc54e495c5f8", "e11ed01cb97bd309"),
}  # fmt: skip
CLEAR_COLOUR = {
    # Attribute -> class that shows it, and what its pixels are in the mean: (red, green, blue) compared.
    "pools": ("swimming_pool", lambda r, g, b: b > r + 30 and g > r + 20),
    "lawn": ("golf_course", lambda r, g, b: g > r and g > b),
    "clear_water": ("sea", lambda r, g, b: b > g > r),
    "sand": ("desert", lambda r, g, b: r > g > b and r > 130),
    "snow_ice": ("snow_mountain", lambda r, g, b: min(r, g, b) > 140),
    "solar_modules": ("solar_panel", lambda r, g, b: b > r and r + g + b < 360),
    "broadleaf_foliage": ("sclerophyllous_forest", lambda r, g, b: max(r, g) > b),
    "tile_roof": ("dense_residential", lambda r, g, b: r > g and r > b),
}

scene = st.tuples(st.sampled_from(CLASSES), st.integers(-5, 5), st.integers(0, 10_000), st.integers(16, 80))


def hashes(picture) -> tuple[str, str]:
    attributes = hashlib.sha256(picture.attributes.tobytes()).hexdigest()
    return hashlib.sha256(picture.pixels.tobytes()).hexdigest(), attributes[:16]


class TestTheSameEverywhere:
    @pytest.mark.parametrize("arguments", GOLDEN, ids=str)
    def test_pictures_are_the_recorded_ones(self, arguments: tuple) -> None:
        assert hashes(draw(*arguments)) == GOLDEN[arguments]

    @pytest.mark.parametrize("hash_seed", ["0", "4711"])
    def test_another_process_draws_the_same(self, hash_seed: str) -> None:
        code = (
            "import hashlib; from zeroscene.scenes.synthetic.world import CLASSES, draw\n"
            "whole = hashlib.sha256()\n"
            "for name in CLASSES: whole.update(draw(name, 2, 3, 32).pixels.tobytes())\n"
            "print(whole.hexdigest())"
        )
        run = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        )  # fmt: skip
        whole = hashlib.sha256()
        for name in CLASSES:
            whole.update(draw(name, 2, 3, 32).pixels.tobytes())
        assert run.stdout.strip() == whole.hexdigest()

    def test_a_picture_does_not_depend_on_what_was_drawn_before(self) -> None:
        first = draw("harbor", 0, 0, 48).pixels
        draw("sea_ice", 1, 1, 48)
        assert np.array_equal(draw("Harbor", 0, 0, 48).pixels, first)

    @given(scene)
    @settings(max_examples=25, deadline=None)
    def test_seed_and_index_matter(self, at: tuple[str, int, int, int]) -> None:
        name, seed, index, size = at
        drawn = draw(*at)
        assert drawn.label == name
        for other in (draw(name, seed + 1, index, size), draw(name, seed, index + 1, size)):
            assert not np.array_equal(drawn.pixels, other.pixels)


class TestSizes:
    @pytest.mark.parametrize("size", [16, 17, 45, 96, 128, 211, 300])
    def test_every_class_draws_at_every_size(self, size: int) -> None:
        for name in CLASSES if size < 200 else CLASSES[:: 1 + size // 100]:
            drawn = draw(name, 0, 11, size)
            assert drawn.pixels.shape == (size, size, 3)
            assert drawn.pixels.dtype == np.uint8
            assert drawn.pixels.std() > 1
            least, most = RULES[name].metres
            assert least <= drawn.gsd * size <= most

    def test_another_size_shows_the_same_scene(self) -> None:
        """As wide, in the same light, of the same attributes but for those at their threshold."""
        for name in CLASSES:
            small, large = draw(name, 0, 0, 64), draw(name, 0, 0, 192)
            assert small.gsd * 64 == pytest.approx(large.gsd * 192)
            assert (small.attributes == large.attributes).mean() > 0.97, name

    @pytest.mark.parametrize(
        ("name", "attribute"),
        [
            ("beach", "sand"), ("beach", "clear_water"), ("bridge", "elevated_deck"), ("freeway", "multi_lane_road"),
            ("golf_course", "sand_bunkers"), ("lake", "water_cover"), ("river", "irregular_borders"),
            ("circular_farmland", "crops"), ("football_field", "sports_pitch"), ("airplane", "aircraft"),
            ("stadium", "grandstand"), ("railway", "rail_tracks"), ("rectangular_farmland", "patchwork"),
        ],
    )  # fmt: skip
    def test_masks_shrink_with_the_picture(self, name: str, attribute: str) -> None:
        """Everything that carries a scene stands in the same place, to a pixel of the smaller picture."""
        for index in range(3):
            fine = draw(name, 0, index, 192).mask(attribute)
            coarse = draw(name, 0, index, 64).mask(attribute)
            share = fine.reshape(64, 3, 64, 3).mean(axis=(1, 3))
            inside, outside = _worn(share == 1), _worn(share == 0)
            assert not inside.any() or coarse[inside].mean() > 0.97
            assert not outside.any() or coarse[outside].mean() < 0.03


def _worn(mask: np.ndarray) -> np.ndarray:
    """Return the pixels of a mask that lie inside it with all their neighbours."""
    padded = np.pad(mask, 1, mode="edge")
    parts = [padded[i : i + mask.shape[0], j : j + mask.shape[1]] for i in range(3) for j in range(3)]
    return np.logical_and.reduce(parts)


class TestTruth:
    @given(scene)
    @settings(max_examples=40, deadline=None)
    def test_an_attribute_is_present_where_its_mask_covers_enough(self, at: tuple[str, int, int, int]) -> None:
        drawn = draw(*at)
        for attribute, there in zip(ATTRIBUTES, drawn.attributes, strict=True):
            mask = drawn.mask(attribute.name)
            assert mask.shape == drawn.pixels.shape[:2]
            assert there == (mask.mean() >= attribute.least), attribute.name

    def test_masks_are_those_of_the_present_attributes(self) -> None:
        drawn = draw("tennis court", 0, 0, 64)
        masks = drawn.masks()
        assert list(masks) == [a.name for a, there in zip(ATTRIBUTES, drawn.attributes, strict=True) if there]
        assert all(np.array_equal(masks[name], drawn.mask(name)) for name in masks)

    @pytest.mark.parametrize("attribute", CLEAR_COLOUR)
    def test_pixels_of_a_mask_have_the_colour_of_what_it_says(self, attribute: str) -> None:
        name, fits = CLEAR_COLOUR[attribute]
        shown = 0
        for index in range(12):
            drawn = draw(name, 0, index, 96)
            lit = drawn.mask(attribute) & ~drawn.mask("cast_shadows")
            if lit.mean() > 0.01:
                shown += 1
                assert fits(*drawn.pixels[lit].mean(axis=0)), (index, drawn.pixels[lit].mean(axis=0))
        assert shown >= 4

    def test_shadows_are_darker_than_what_they_fall_on(self) -> None:
        for index in range(5):
            drawn = draw("industrial_area", 0, index, 128)
            shadow = drawn.mask("cast_shadows")
            for ground in ("concrete", "asphalt", "gravel"):
                inside, outside = drawn.mask(ground) & shadow, drawn.mask(ground) & ~shadow
                if min(inside.sum(), outside.sum()) > 100:
                    assert drawn.pixels[inside].mean() < 0.75 * drawn.pixels[outside].mean()

    def test_every_class_shows_what_it_is_named_after(self) -> None:
        named = {
            "airplane": "aircraft", "airport_runway_marking": "runway_markings", "baseball_field": "baseball_infield",
            "basketball_court": "basketball_courts", "bridge": "elevated_deck", "cloud": "clouds",
            "dense_residential": "detached_houses", "football_field": "sports_pitch", "freeway": "multi_lane_road",
            "golf_course": "sand_bunkers", "harbor": "small_boats", "industrial_area": "large_flat_roofs",
            "lake": "shore_edge", "mobile_home_park": "trailer_homes", "parking_lot": "bay_markings",
            "railway": "rail_tracks", "roundabout": "loops", "sea_ice": "ice_floes", "sea_island": "encircled_by_water",
            "ship": "large_ships", "shipping_yard": "containers", "snow_mountain": "snow_ice",
            "solar_panel": "solar_modules", "stadium": "grandstand", "storage_tank": "tanks",
            "swimming_pool": "pools", "tennis_court": "tennis_courts", "terrace": "contour_steps",
            "waste_water_plant": "basins", "desert": "sand", "beach": "sand", "intersection": "crossing_lines",
        }  # fmt: skip
        for name, attribute in named.items():
            shares = class_attributes([name], seed=3, count=12, size=64)[0]
            assert shares[INDEX[attribute]] > 0.7, (name, attribute, shares[INDEX[attribute]])

    def test_class_attributes_are_means_of_pictures(self) -> None:
        pictures = [draw("lake", 4, index, 32).attributes for index in range(5)]
        (row,) = class_attributes(["lake"], seed=4, count=5, size=32)
        assert row == pytest.approx(np.mean(pictures, axis=0))


class TestVariety:
    @pytest.mark.parametrize("name", CLASSES)
    def test_pictures_of_a_class_differ(self, name: str) -> None:
        pictures = [draw(name, 0, index, 48) for index in range(12)]
        assert len({one.pixels.tobytes() for one in pictures}) == 12
        # Open sea is all that a picture of open sea has.
        assert len({one.attributes.tobytes() for one in pictures}) >= (1 if name == "sea" else 2)

    def test_no_two_classes_have_the_same_attributes(self) -> None:
        shares = class_attributes(CLASSES, seed=1, count=12, size=48)
        apart = np.abs(shares[:, None] - shares[None]).max(axis=2) + np.eye(len(CLASSES))
        assert apart.min() > 0.3

    def test_classes_that_are_hard_to_tell_apart_share_most_attributes(self) -> None:
        alike = [
            ("dense_residential", "sparse_residential"), ("lake", "river"), ("beach", "sea_island"),
            ("airport_runway_marking", "freeway"), ("circular_farmland", "rectangular_farmland"),
        ]  # fmt: skip
        shares = class_attributes(CLASSES, seed=1, count=12, size=48)
        unit = shares / np.linalg.norm(shares, axis=1, keepdims=True)
        cosine = unit @ unit.T
        for one, other in alike:
            i, j = CLASSES.index(one), CLASSES.index(other)
            assert cosine[i, j] > np.median(cosine[i]), (one, other)


class TestNames:
    def test_classes_are_those_of_the_knowledge_base(self) -> None:
        assert len(CLASSES) == 40
        assert len({canonical(name) for name in CLASSES}) == 40

    def test_attributes_and_groups_are_those_of_the_knowledge_base(self) -> None:
        known = {attribute.name: attribute.group for attribute in vocabulary()}
        assert {attribute.name: attribute.group for attribute in ATTRIBUTES}.items() <= known.items()


class TestBadInput:
    def test_an_unknown_class_is_told_the_nearest(self) -> None:
        with pytest.raises(UnknownNameError, match=r"'baseball feild' \(nearest: baseball_field"):
            draw("baseball feild", 0, 0)

    def test_an_unknown_attribute_is_told_the_nearest(self) -> None:
        with pytest.raises(UnknownNameError, match=r"'pool' \(nearest: pools"):
            draw("lake", 0, 0, 16).mask("pool")

    @pytest.mark.parametrize("size", [SMALLEST - 1, 0, -20])
    def test_a_size_under_16_is_refused(self, size: int) -> None:
        with pytest.raises(OptionError, match=f"size {size} is too small to draw a scene; give 16 pixels or more"):
            draw("lake", 0, 0, size)

    @pytest.mark.parametrize("wrong", [0.5, "1", None, True, 2.0])
    def test_what_is_no_integer_is_refused(self, wrong: object) -> None:
        for arguments in ((wrong, 0, 32), (0, wrong, 32), (0, 0, wrong)):
            with pytest.raises(OptionError, match="is not an integer"):
                draw("lake", *arguments)  # type: ignore[arg-type]

    def test_integers_of_numpy_are_integers(self) -> None:
        assert hashes(draw("lake", np.int64(1), np.int32(2), np.int64(16))) == hashes(draw("lake", 1, 2, 16))


class TestFolder:
    def test_files_are_the_pictures(self, tmp_path: Path) -> None:
        write_folder(tmp_path, ("Golf Course", "sea"), seed=2, first=3, count=2, size=24)
        files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.png"))
        assert files == [f"{name}/{name}_0000{i}.png" for name in ("golf_course", "sea") for i in (3, 4)]
        with Image.open(tmp_path / "sea" / "sea_00004.png") as picture:
            assert np.array_equal(np.asarray(picture), draw("sea", 2, 4, 24).pixels)

    def test_what_is_there_is_kept_and_what_is_missing_is_added(self, tmp_path: Path) -> None:
        write_folder(tmp_path, ("sea",), count=2, size=24)
        before = (tmp_path / "sea" / "sea_00000.png").stat().st_mtime_ns
        write_folder(tmp_path, ("sea", "lake"), count=3, size=24)
        assert (tmp_path / "sea" / "sea_00000.png").stat().st_mtime_ns == before
        assert len(list(tmp_path.rglob("*.png"))) == 6

    @pytest.mark.parametrize("other", [{"seed": 1}, {"size": 32}])
    def test_pictures_of_two_worlds_do_not_get_into_one_folder(self, tmp_path: Path, other: dict) -> None:
        write_folder(tmp_path, ("sea",), count=2, size=24)
        with pytest.raises(StoreError, match=r"sea_00000.png is a picture of another seed or size"):
            write_folder(tmp_path, ("sea",), **{"count": 3, "size": 24, **other})
        assert len(list(tmp_path.rglob("*.png"))) == 2

    def test_a_damaged_picture_is_named(self, tmp_path: Path) -> None:
        write_folder(tmp_path, ("sea",), count=1, size=24)
        (tmp_path / "sea" / "sea_00000.png").write_bytes(b"cut off")
        with pytest.raises(StoreError, match=r"sea_00000.png is no picture; remove it"):
            write_folder(tmp_path, ("sea",), count=1, size=24)

    def test_nothing_is_written_for_an_unknown_class(self, tmp_path: Path) -> None:
        with pytest.raises(UnknownNameError, match="'see'"):
            write_folder(tmp_path, ("sea", "see"), count=1, size=24)
        assert not list(tmp_path.iterdir())
