"""What makes other programs show a map with its legend: QGIS styles, and the names and colours that GDAL reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from zeroscene.maps.colours import rgb

_DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
_QGIS = '<qgis version="3.28.0" styleCategories="Symbology">\n'
_OUTLINE = "255,255,255,160"

# GDAL's numbers for what a field of an attribute table is and means.
_INTEGER, _STRING = 0, 2
_NAME, _VALUE, _RED, _GREEN, _BLUE, _ALPHA = 2, 5, 6, 7, 8, 9


@dataclass(frozen=True)
class Entry:
    """One line of a legend.

    Attributes:
        code: value of the class band.
        name: the class.
        colour: like `#2b7dda`.
    """

    code: int
    name: str
    colour: str


def raster_style(legend: Sequence[Entry]) -> str:
    """Return the QGIS style of a raster whose first band holds codes, with this legend."""
    entries = "".join(
        f'    <paletteEntry value="{e.code}" color="{e.colour}" alpha="255" label={quoteattr(e.name)}/>\n'
        for e in legend
    )
    return (
        f"{_DOCTYPE}{_QGIS}<pipe>\n"
        '<provider><resampling enabled="false" maxOversampling="2" zoomedInResamplingMethod="nearestNeighbour" '
        'zoomedOutResamplingMethod="nearestNeighbour"/></provider>\n'
        '<rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1" nodataColor="">\n'
        "  <rasterTransparency/>\n"
        "  <minMaxOrigin><limits>None</limits><extent>WholeRaster</extent><statAccuracy>Estimated</statAccuracy>"
        "</minMaxOrigin>\n"
        f"  <colorPalette>\n{entries}  </colorPalette>\n"
        "</rasterrenderer>\n"
        '<brightnesscontrast brightness="0" contrast="0" gamma="1"/>\n'
        '<huesaturation saturation="0" grayscaleMode="0" colorizeOn="0"/>\n'
        '<rasterresampler maxOversampling="2"/>\n'
        "</pipe>\n<blendMode>0</blendMode>\n</qgis>\n"
    )


def area_style(legend: Sequence[Entry]) -> str:
    """Return the QGIS style of polygons with an attribute `class`, with this legend."""
    categories = "".join(
        f'  <category type="string" value={quoteattr(e.name)} label={quoteattr(e.name)} symbol="{i}" render="true"/>\n'
        for i, e in enumerate(legend)
    )
    symbols = "".join(_fill(i, e.colour) for i, e in enumerate(legend))
    return (
        f'{_DOCTYPE}{_QGIS}<renderer-v2 type="categorizedSymbol" attr="class" symbollevels="0" forceraster="0" '
        'enableorderby="0">\n'
        f"<categories>\n{categories}</categories>\n<symbols>\n{symbols}</symbols>\n</renderer-v2>\n"
        "<blendMode>0</blendMode>\n<featureBlendMode>0</featureBlendMode>\n<layerOpacity>1</layerOpacity>\n</qgis>\n"
    )


def _fill(name: int, colour: str) -> str:
    options = {
        "color": ",".join(str(channel) for channel in (*rgb(colour), 255)),
        "outline_color": _OUTLINE,
        "outline_style": "solid",
        "outline_width": "0.1",
        "outline_width_unit": "MM",
        "style": "solid",
    }
    said = "".join(f'<Option type="QString" name="{key}" value="{value}"/>' for key, value in options.items())
    return (
        f'  <symbol type="fill" name="{name}" alpha="1" clip_to_extent="1" force_rhr="0">'
        f'<layer class="SimpleFill" enabled="1" locked="0" pass="0"><Option type="Map">{said}</Option>'
        "</layer></symbol>\n"
    )


def raster_attributes(legend: Sequence[Entry]) -> str:
    """Return what GDAL keeps beside a raster (`.aux.xml`): names, colours and attribute table of its first band.

    Args:
        legend: of every code from 0 on.
    """
    names = "".join(f"<Category>{escape(e.name)}</Category>\n" for e in legend)
    colours = "".join(
        '<Entry c1="{}" c2="{}" c3="{}" c4="255"/>\n'.format(*rgb(e.colour)) for e in legend
    )  # fmt: skip
    fields = (
        ("Value", _INTEGER, _VALUE), ("Class", _STRING, _NAME), ("Red", _INTEGER, _RED), ("Green", _INTEGER, _GREEN),
        ("Blue", _INTEGER, _BLUE), ("Alpha", _INTEGER, _ALPHA),
    )  # fmt: skip
    table = "".join(
        f'<FieldDefn index="{i}"><Name>{name}</Name><Type>{kind}</Type><Usage>{usage}</Usage></FieldDefn>\n'
        for i, (name, kind, usage) in enumerate(fields)
    )
    for row, e in enumerate(legend):
        values = (e.code, escape(e.name), *rgb(e.colour), 255)
        table += f'<Row index="{row}">' + "".join(f"<F>{value}</F>" for value in values) + "</Row>\n"
    return (
        '<PAMDataset>\n<PAMRasterBand band="1">\n<ColorInterp>Palette</ColorInterp>\n'
        f"<CategoryNames>\n{names}</CategoryNames>\n<ColorTable>\n{colours}</ColorTable>\n"
        f'<GDALRasterAttributeTable tableType="thematic">\n{table}</GDALRasterAttributeTable>\n'
        "</PAMRasterBand>\n</PAMDataset>\n"
    )
