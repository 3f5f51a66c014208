"""The attributes of the synthetic world: names as in the attribute knowledge base, words for captions, thresholds.

The words avoid the names of classes: of every class, at least one word of its name is in no caption, so that an
encoder trained on captions has never read what a class is called (`captions.words` and its test).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True)
class Attribute:
    """One attribute that the renderer knows the truth of.

    Attributes:
        name: as in the attribute knowledge base.
        group: objects, materials, surface or layout.
        phrases: ways to say it in a caption.
        least: share of the picture's pixels from which on the attribute counts as present.
    """

    name: str
    group: str
    phrases: tuple[str, ...]
    least: float


_TEXT: Final[Mapping[str, Mapping[str, tuple[float, str]]]] = {
    "objects": {
        "cars": (0.0015, "cars|parked cars|small vehicles"),
        "large_vehicles": (0.002, "trucks|long vehicles"),
        "aircraft": (0.006, "aircraft|winged aircraft with fuselage"),
        "small_boats": (0.002, "boats|small boats|yachts"),
        "large_ships": (0.01, "large vessels|long hulls"),
        "rail_vehicles": (0.004, "trains|rail waggons"),
        "single_trees": (0.004, "trees|single trees|separate crowns"),
        "shrubs": (0.003, "shrubs|bushes"),
        "detached_houses": (0.008, "houses|detached houses|small gabled houses"),
        "apartment_blocks": (0.02, "apartment blocks|long housing blocks"),
        "large_flat_roofs": (0.03, "large flat roofs|halls with flat roofs"),
        "trailer_homes": (0.008, "trailers|narrow trailer homes"),
        "tanks": (0.008, "tanks|round tanks|cylindrical tanks"),
        "basins": (0.008, "basins|round basins of liquid"),
        "containers": (0.004, "containers|stacked containers"),
        "cranes": (0.003, "cranes|gantry cranes"),
        "solar_modules": (0.01, "solar modules|tilted modules of dark cells"),
        "pools": (0.004, "pools|turquoise pools"),
        "tennis_courts": (0.015, "courts with a net|net courts"),
        "basketball_courts": (0.015, "courts with key and arc|hoop courts"),
        "sports_pitch": (0.04, "a marked pitch|a pitch with goals"),
        "running_track": (0.03, "an oval track|a running oval"),
        "baseball_infield": (0.02, "an infield diamond|a diamond of clay"),
        "sand_bunkers": (0.004, "bunkers|pale bunkers"),
        "grandstand": (0.03, "tiers of seats|stands for spectators"),
        "paved_road": (0.012, "a paved road|paved roads|a street"),
        "multi_lane_road": (0.04, "a wide road with many lanes|a multi lane road"),
        "elevated_deck": (0.01, "a raised deck|a deck carried above"),
        "rail_tracks": (0.01, "rail tracks|rails in ballast"),
        "piers": (0.006, "piers|jetties"),
        "footpaths": (0.005, "footways|walking trails"),
        "dirt_tracks": (0.008, "dirt tracks|wheel ruts"),
        "lane_markings": (0.001, "painted lane lines|lane markings"),
        "zebra_stripes": (0.003, "zebra bars|white bars across the street"),
        "bay_markings": (0.004, "painted bays|bay lines"),
        "runway_markings": (0.004, "threshold bars|landing strip paint"),
        "grave_markers": (0.004, "gravestones|small stone slabs"),
        "surf": (0.004, "surf|white breakers"),
        "ice_floes": (0.02, "ice plates|floating plates of ice"),
        "clouds": (0.04, "white vapour|white veils in the air"),
    },
    "materials": {
        "asphalt": (0.06, "asphalt|dark pavement"),
        "concrete": (0.06, "concrete|pale slabs of concrete"),
        "metal_roof": (0.02, "metal roofs|sheet metal"),
        "tile_roof": (0.008, "red tiles|red tiled roofs"),
        "shingle_roof": (0.008, "shingles|brown shingled roofs"),
        "gravel": (0.04, "gravel|loose stones"),
        "bare_soil": (0.05, "soil|bare soil|brown earth"),
        "sand": (0.04, "sand|pale sand"),
        "rock": (0.05, "rock|cliffs of rock"),
        "lawn": (0.06, "lawn|mown turf"),
        "rough_grass": (0.06, "meadow|rough unmown meadow"),
        "crops": (0.06, "crops|growing crops"),
        "broadleaf_foliage": (0.03, "broadleaf crowns|leafy canopy"),
        "needle_foliage": (0.03, "conifers|dark needle crowns"),
        "clear_water": (0.03, "clear water|blue water"),
        "murky_water": (0.03, "murky water|muddy water"),
        "snow_ice": (0.04, "snow|snow and ice"),
        "court_coating": (0.01, "painted sports surface|synthetic sports surface"),
    },
    "surface": {
        "mostly_green": (0.45, "mostly green|green everywhere"),
        "mostly_brown": (0.4, "mostly brown|brown everywhere"),
        "mostly_tan": (0.4, "mostly tan|beige everywhere"),
        "mostly_grey": (0.45, "mostly grey|grey everywhere"),
        "mostly_blue": (0.4, "mostly blue|blue everywhere"),
        "mostly_white": (0.35, "mostly white|white everywhere"),
        "mostly_dark": (0.4, "mostly dark|dark everywhere"),
        "red_accents": (0.006, "red parts|red accents"),
        "coarse_grained": (0.3, "coarse lumps|coarse grain"),
        "stripes": (0.12, "stripes|regular stripes"),
        "cast_shadows": (0.03, "shadows|cast shadows"),
        "relief": (0.2, "slopes and ridges|shaded relief"),
    },
    "layout": {
        "building_cover": (0.18, "much ground under roofs|covered by buildings"),
        "tree_cover": (0.3, "dense tree cover|closed canopy"),
        "paved_cover": (0.3, "large paved surface|paved ground"),
        "water_cover": (0.3, "a wide water surface|covered by water"),
        "central_object": (0.06, "one thing in the middle|a single thing at the centre"),
        "single_band": (0.03, "one long band|a band through the picture"),
        "parallel_lines": (0.02, "parallel lines|side by side lines"),
        "crossing_lines": (0.03, "crossing lines|lines that cross"),
        "street_grid": (0.05, "a net of streets|blocks between streets"),
        "curved_lines": (0.02, "winding curves|a winding line"),
        "loops": (0.02, "a circle of carriageway|a looping lane"),
        "round_shapes": (0.02, "round shapes|circles"),
        "rectangles": (0.04, "rectangles|rectangular shapes"),
        "rows": (0.008, "in rows|lined up in rows"),
        "repetition": (0.02, "many alike|the same thing many times"),
        "dense_packing": (0.06, "closely packed|packed tightly"),
        "scattered": (0.004, "scattered|spread out without order"),
        "patchwork": (0.3, "a patchwork of plots|a mosaic of plots"),
        "empty_expanse": (0.7, "wide empty ground|mostly empty"),
        "shore_edge": (0.05, "a shoreline|water meets dry ground"),
        "irregular_borders": (0.05, "ragged borders|irregular borders"),
        "encircled_by_water": (0.04, "surrounded by water|water on all sides"),
        "contour_steps": (0.15, "steps along the slope|contour steps"),
        "multi_level": (0.01, "one road above another|several levels"),
    },
}

ATTRIBUTES: Final = tuple(
    Attribute(name, group, tuple(phrases.split("|")), least)
    for group, members in _TEXT.items()
    for name, (least, phrases) in members.items()
)
"""All attributes; attribute vectors of pictures have this order."""

INDEX: Final = MappingProxyType({attribute.name: i for i, attribute in enumerate(ATTRIBUTES)})
"""Column of each attribute."""
