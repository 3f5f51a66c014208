"""The option `--ray`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from zeroscene.maps.cluster import Cluster

Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Work on a Ray cluster: its address; auto for the one that runs here, or one of this machine.",
        rich_help_panel="Past one machine",
    ),
]


@contextmanager
def on_ray(address: str | None) -> "Iterator[Cluster | None]":
    """Yield the cluster at an address, or None where none was given."""
    if address is None:
        yield None
        return
    from zeroscene.maps.cluster import cluster

    with cluster(address) as workers:
        yield workers
