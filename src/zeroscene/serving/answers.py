"""Answers: what a model says of each picture of a set, and the files that keep it."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TextIO

import numpy as np
import numpy.typing as npt

from zeroscene import names
from zeroscene.errors import OptionError
from zeroscene.files import replacing, write_json, write_text
from zeroscene.methods.contract import Indices, Matrix, Scores

if TYPE_CHECKING:
    import pyarrow

NONE = names.NONE
SUFFIXES = (".csv", ".json", ".parquet")
_DIGITS = 6

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Answers:
    """The best class of each of N pictures.

    Attributes:
        ids: picture ids.
        classes: the C classes that could be chosen.
        best: (N,) column of the best class.
        second: (N,) column of the runner-up, -1 where there is but one class.
        score: (N,) score of the best class.
        margin: (N,) its lead over the runner-up; NaN where there is none.
        probability: (N,) probability of the best class, or None where nothing turns scores into probabilities.
        answered: (N,) whether the answer stands; the others are `none of these`.
        skipped: pictures and examples that could not be read, with the reason.
        notes: what a user should know, a sentence each.
        made: how the answers were made, a JSON value.
    """

    ids: Sequence[str]
    classes: tuple[str, ...]
    best: Indices
    second: Indices
    score: Vector
    margin: Vector
    probability: Vector | None
    answered: npt.NDArray[np.bool_]
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    made: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        scores: Scores,
        probabilities: Matrix | None = None,
        answered: npt.NDArray[np.bool_] | None = None,
        **known: Any,
    ) -> Self:
        """Return the answers of (N, C) scores.

        Args:
            scores: what decides.
            probabilities: (N, C), where there are any.
            answered: (N,) which answers stand; all where None.
            known: skipped, notes, made.
        """
        rows = np.arange(len(scores.ids))
        best = scores.best()
        second = np.full(len(rows), -1, np.int64)
        margin = np.full(len(rows), np.nan, np.float32)
        if len(scores.classes) > 1:
            others = scores.values.copy()
            others[rows, best] = -np.inf
            second = np.asarray(others.argmax(axis=1), np.int64)
            margin = scores.values[rows, best] - scores.values[rows, second]
        return cls(
            scores.ids,
            scores.classes,
            best,
            second,
            scores.values[rows, best],
            margin,
            None if probabilities is None else np.asarray(probabilities[rows, best], np.float32),
            np.ones(len(rows), np.bool_) if answered is None else answered,
            **known,
        )

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield `id`, `class`, `probability`, `score`, `margin` and `runner_up` of each picture, None where unknown.

        Where no class is sure enough, the class is `none of these` and the runner-up is the class that came first.
        """
        columns = self._columns()
        names = tuple(columns)
        for values in zip(*columns.values(), strict=True):
            yield dict(zip(names, values, strict=True))

    def counts(self) -> dict[str, int]:
        """Return the number of pictures of each class, in the order of the classes; `none of these` last."""
        found = Counter(self._names(np.where(self.answered, self.best, -1)))
        return {name: found[name] for name in (*self.classes, *((NONE,) if found[NONE] else ()))}

    def to_json(self) -> dict[str, Any]:
        """Return all of it as a JSON value."""
        return {
            **self.made,
            "classes": list(self.classes),
            "predictions": list(self.rows()),
            "skipped": [{"id": picture, "reason": reason} for picture, reason in self.skipped],
            "notes": list(self.notes),
        }

    def csv(self) -> str:
        """Return a line a picture, with a header."""
        text = io.StringIO()
        self._write_csv(text)
        return text.getvalue()

    def write(self, path: Path) -> None:
        """Write `.csv`, `.json` or `.parquet`; what was skipped is listed beside a table, as `NAME.skipped.csv`.

        Raises:
            OptionError: another suffix.
            StoreError: the place cannot be written.
        """
        check_suffix(path)
        if path.suffix == ".json":
            write_json(path, self.to_json())
            return
        with replacing(path) as temporary:
            if path.suffix == ".csv":
                with temporary.open("w", encoding="utf-8", newline="") as file:
                    self._write_csv(file)
            else:
                from pyarrow import parquet

                parquet.write_table(self._table(), temporary)
        listed = path.with_suffix(".skipped.csv")
        listed.unlink(missing_ok=True)
        if self.skipped:
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows([("id", "reason"), *self.skipped])
            write_text(listed, text.getvalue())

    def _write_csv(self, file: TextIO) -> None:
        columns = self._columns()
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(columns)
        lines.writerows(zip(*columns.values(), strict=True))

    def _table(self) -> "pyarrow.Table":
        import pyarrow

        columns = self._columns()
        text = pyarrow.string()
        number = pyarrow.float64()
        types = (text, text, number, number, number, text)
        return pyarrow.table(
            {name: pyarrow.array(values, kind) for (name, values), kind in zip(columns.items(), types, strict=True)}
        )

    def _columns(self) -> dict[str, Sequence[Any]]:
        unsure = ~self.answered
        unknown = [None] * len(self)
        return {
            "id": self.ids,
            "class": self._names(np.where(unsure, -1, self.best)),
            "probability": unknown if self.probability is None else _short(self.probability),
            "score": _short(self.score),
            "margin": _short(self.margin),
            "runner_up": self._names(np.where(unsure, self.best, self.second), nobody=None),
        }

    def _names(self, columns: Indices, nobody: str | None = NONE) -> list[Any]:
        named: list[Any] = np.array([*self.classes, nobody], object)[columns].tolist()
        return named


def check_suffix(path: Path) -> None:
    """Refuse a file that answers cannot be written to.

    Raises:
        OptionError: its suffix is none of `SUFFIXES`.
    """
    if path.suffix not in SUFFIXES:
        raise OptionError(f"cannot write {path.name}: answers are {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")


def _short(values: Vector) -> list[float | None]:
    """Return numbers with six significant digits; None for NaN."""
    return [None if number != number else float(f"{number:.{_DIGITS}g}") for number in values.tolist()]
