"""overlap.csv: the pairs of an audit, one a line, for people and for `zeroscene benchmark`."""

import csv
import io
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from zeroscene.embeddings.overlap import KINDS, Overlap
from zeroscene.errors import DataFormatError, DatasetNotFoundError
from zeroscene.files import json_digest, write_text

_COLUMNS: Final = ("id", "other", "place", "kind", "similarity", "shared")


@dataclass(frozen=True)
class OverlapFile:
    """Pairs, and where their second pictures are.

    Attributes:
        place: of the second pictures; empty where they are of the same data set as the first ones.
        pairs: the pairs.
    """

    place: str
    pairs: tuple[Overlap, ...]

    @property
    def fingerprint(self) -> str:
        """Digest of all that figures without the overlap depend on."""
        return json_digest([self.place == "", sorted([pair.id, pair.other] for pair in self.pairs)])

    def to_json(self) -> dict[str, Any]:
        """Return what a result says of the pairs: whether they are within the data set, how many, their digest."""
        return {"within": not self.place, "pairs": len(self.pairs), "fingerprint": self.fingerprint}

    def check(self, ids: Collection[str], what: str) -> None:
        """Refuse pairs of other pictures.

        Raises:
            DataFormatError: not one of the pictures is among the ids.
        """
        known = set(ids)
        if self.pairs and not any(pair.id in known for pair in self.pairs):
            raise DataFormatError(
                f"none of the {len(self.pairs)} overlapping pictures ({self.pairs[0].id!r}, ...) is in {what}; audit "
                "the place that these were made of: zeroscene audit STORE ..."
            )

    def write(self, path: Path) -> None:
        """Write the pairs as CSV, whole or not at all.

        Raises:
            StoreError: it cannot be written.
        """
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(_COLUMNS)
        rows.writerows((p.id, p.other, self.place, p.kind, f"{p.similarity:g}", f"{p.shared:g}") for p in self.pairs)
        write_text(path, text.getvalue())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the pairs of `zeroscene audit`.

        Raises:
            DatasetNotFoundError: there is no such file.
            DataFormatError: it is of another format; the line is named.
        """
        try:
            text = path.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise DatasetNotFoundError(f"no such file of overlaps: {path}; `zeroscene audit` writes one") from error
        except UnicodeDecodeError as error:
            raise DataFormatError(f"{path} is not a text file; `zeroscene audit` writes one") from error
        rows = csv.DictReader(io.StringIO(text))
        if tuple(rows.fieldnames or ()) != _COLUMNS:
            raise DataFormatError(
                f"{path}: the first line must be {','.join(_COLUMNS)}, as `zeroscene audit` writes it"
            )
        pairs, places = [], set()
        for number, row in enumerate(rows, start=2):
            try:
                kind = next(kind for kind in KINDS if kind == row["kind"])
                pairs.append(Overlap(row["id"], row["other"], kind, float(row["similarity"]), float(row["shared"])))
            except (TypeError, ValueError, StopIteration) as error:
                raise DataFormatError(f"{path}, line {number}: not a pair as `zeroscene audit` writes it") from error
            places.add(row["place"])
        if len(places) > 1:
            raise DataFormatError(
                f"{path}: pairs of several places ({', '.join(sorted(places))}); keep a file for each"
            )
        return cls(next(iter(places), ""), tuple(pairs))
