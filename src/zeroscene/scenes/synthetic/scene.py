"""The scene that parts are drawn into: the canvas, the source of chance, and what later parts refer to."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

from zeroscene.scenes.synthetic.canvas import Canvas, Role
from zeroscene.scenes.synthetic.shapes import Shape, walk


@dataclass(frozen=True)
class Track:
    """A line that things can stand on or along.

    Attributes:
        path: its middle.
        width: metres.
        lanes: offsets from the middle at which vehicles go, metres.
    """

    path: Shape
    width: float
    lanes: tuple[float, ...]


@dataclass
class Scene:
    """A scene being drawn.

    Attributes:
        canvas: what it is drawn on.
        random: the picture's source of chance.
        ground: material under everything.
        tracks: lines of the last linear part.
        middle: where the scene's main thing stands.
        heading: direction of that thing.
        reach: radius of that thing in metres.
        mixed: there are both land and water.
        saying: attributes that everything drawn now carries, from the part's layout.
    """

    canvas: Canvas
    random: Random
    ground: str
    tracks: list[Track] = field(default_factory=list)
    middle: complex = 0j
    heading: complex = 1 + 0j
    reach: float = 0.0
    mixed: bool = False
    saying: frozenset[str] = frozenset()

    @property
    def metres(self) -> float:
        """Side of the scene."""
        return self.canvas.metres

    @contextmanager
    def carrying(self, attributes: Iterable[str]) -> Iterator[None]:
        """Let everything drawn inside carry attributes besides its own."""
        before = self.saying
        self.saying = before | frozenset(attributes)
        try:
            yield
        finally:
            self.saying = before

    def ink(self, material: str, *attributes: str, role: Role = "thing", tone: int = 0, direction: float = 0.0) -> int:
        """Return the entry of a material with attributes, and those that the part's layout adds."""
        return self.canvas.entry(material, role, self.saying.union(attributes), tone, direction)

    def around(self, share: float) -> complex:
        """Return a point around the middle, at most `share` of half the picture away in each direction."""
        half = self.metres / 2 * share
        return complex(self.random.uniform(-half, half), self.random.uniform(-half, half))

    def spots(self, gap: float) -> list[tuple[complex, complex, Track]]:
        """Return (position, heading, track) every `gap` metres along all tracks, inside the picture only."""
        found = []
        for track in self.tracks:
            for at, heading in walk(track.path, gap, self.random.uniform(0, gap)):
                if self.canvas.inside(at, -8):
                    found.append((at, heading, track))
        return found
