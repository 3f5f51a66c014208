"""Options of the commands that read rasters: windows, bands, and who does the work."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from zeroscene.errors import OptionError

if TYPE_CHECKING:
    from zeroscene.maps.cluster import Cluster

WINDOWS = "Windows"

Window = Annotated[
    str | None, typer.Option("--window", help="Side of a window: '110 m', or pixels.", rich_help_panel=WINDOWS)
]
Gsd = Annotated[
    float | None,
    typer.Option("--gsd", help="Metres a pixel, where a raster does not say.", rich_help_panel=WINDOWS),
]
Bands = Annotated[
    str | None,
    typer.Option("--bands", help="Red, green and blue, such as 4,3,2; or one.", rich_help_panel=WINDOWS),
]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Work on a Ray cluster: its address; auto for the one that runs here, or one of this machine.",
        rich_help_panel="Past one machine",
    ),
]


def bands_of(given: str | None) -> tuple[int, ...] | None:
    """Return the bands that a user named, or None where none were.

    Raises:
        OptionError: they are no numbers.
    """
    if given is None:
        return None
    try:
        return tuple(int(band) for band in given.split(","))
    except ValueError:
        raise OptionError(f"--bands {given!r} are no numbers of bands; give them like 4,3,2") from None


@contextmanager
def on_ray(address: str | None) -> "Iterator[Cluster | None]":
    """Yield the cluster at an address, or None where none was given."""
    if address is None:
        yield None
        return
    from zeroscene.maps.cluster import cluster

    with cluster(address) as workers:
        yield workers
