"""When a raster was taken, and spans of time to ask about: UTC, written as ISO 8601 from the year to the second."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self

from zeroscene.errors import OptionError, PictureError
from zeroscene.scenes.geo_source import opened

TAG: Final = "tag"
_ISO = re.compile(
    r"(\d{4})(?:-(\d{2})(?:-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?)?)?"
)
_ALONE: Final = r"(?<!\d)", r"(?!\d)"  # a time is no part of a longer number
_DIGITS: Final = {"Y": r"\d{4}", "j": r"\d{3}", **dict.fromkeys("mdHMS", r"\d{2}")}
_YEARS: Final = range(1850, 2100)
"""Years that a number in a file name can mean: of pictures from above, not of tiles or versions."""
_FORMATS: Final = "YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDTHH:MM"


@dataclass(frozen=True)
class Period:
    """A span of time: from `first` on, to before `end`; None is open.

    Attributes:
        first: the first moment.
        end: the first moment after it.
    """

    first: datetime | None = None
    end: datetime | None = None

    @classmethod
    def of(cls, text: str) -> Self:
        """Return the span that a text means: a year, month, day or minute as a whole, or FROM/TO, either may be empty.

        Raises:
            OptionError: it is no time, or ends before it begins.
        """
        first, separator, last = text.strip().partition("/")
        if not separator:
            return cls(*_span(first))
        if not first.strip() and not last.strip():
            raise OptionError(f"time {text!r} names no time; write FROM/TO, each as {_FORMATS}")
        begin = _span(first)[0] if first.strip() else None
        end = _span(last)[1] if last.strip() else None
        if begin is not None and end is not None and end <= begin:
            raise OptionError(f"time {text!r} ends before it begins; write the earlier one first")
        return cls(begin, end)

    def __contains__(self, moment: datetime | None) -> bool:
        if moment is None:
            return self.first is None and self.end is None
        return (self.first is None or moment >= self.first) and (self.end is None or moment < self.end)

    def __str__(self) -> str:
        if self.first is None and self.end is None:
            return "any time"
        last = None if self.end is None else self.end - timedelta(seconds=1)
        return f"{iso(self.first) or ''}/{iso(last) or ''}"


@dataclass(frozen=True)
class TimeRule:
    """How the time of rasters is found.

    Attributes:
        moment: the time of all of them.
        pattern: what to look for in file names, with the names of its groups. No digit stands beside what it finds.
        tag: take the file's TIFF date too, which may be that of the file only.
    """

    moment: datetime | None = None
    pattern: re.Pattern[str] | None = None
    tag: bool = False

    @classmethod
    def of(cls, text: str | None) -> Self:
        """Return the rule that a user means: a time, `tag`, or a pattern such as `%Y%m%d` for file names.

        Raises:
            OptionError: none of these.
        """
        if text is None:
            return cls()
        if text == TAG:
            return cls(tag=True)
        if "%" in text:
            return cls(pattern=_pattern(text))
        return cls(moment=_span(text)[0])

    def time(self, path: Path) -> datetime | None:
        """Return when a raster was taken, or None where nothing says so.

        Without a wish, this is what the file's metadata call its acquisition (GDAL domain IMAGERY).

        Raises:
            OptionError: the file name holds no such time, or several, or the file no tag, where these were asked for.
        """
        if self.moment is not None:
            return self.moment
        if self.pattern is not None:
            return self._named(path)
        acquired, written = _tags(path)
        if not self.tag:
            return acquired
        found = acquired or written
        if found is None:
            raise OptionError(f"{path} has no tag that says when it was taken; say it: --time {_FORMATS}")
        return found

    def _named(self, path: Path) -> datetime:
        assert self.pattern is not None
        every = (_moment({k: int(v) for k, v in m.groupdict().items()}) for m in self.pattern.finditer(path.name))
        found = sorted({moment for moment in every if moment is not None})
        if not found:
            raise OptionError(
                f"{path.name}: no time like the pattern in its name; mend --time, or name the time itself"
            )
        if len(found) > 1:
            raise OptionError(
                f"{path.name}: several times in its name ({iso(found[0])}, {iso(found[1])}); write what stands beside "
                "the right one into the pattern too, such as %Y%m%d_20 or A%Y%j"
            )
        return found[0]


def _moment(parts: Mapping[str, int]) -> datetime | None:
    """Return the moment that the groups of a pattern name, or None where it is not in the calendar or no such year."""
    if parts["Y"] not in _YEARS:
        return None
    try:
        day = (1, 1) if "j" in parts else (parts.get("m", 1), parts.get("d", 1))
        hour, minute, second = (parts.get(name, 0) for name in "HMS")
        moment = datetime(parts["Y"], *day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    later = moment + timedelta(days=parts.get("j", 1) - 1)
    return later if later.year == moment.year else None


def iso(moment: datetime | None) -> str | None:
    """Return a moment as ISO 8601 in UTC, a date alone at midnight; None as it is."""
    if moment is None:
        return None
    if moment.time() == datetime.min.time():
        return moment.date().isoformat()
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _span(text: str) -> tuple[datetime, datetime]:
    found = _ISO.fullmatch(text.strip())
    if found is None:
        raise OptionError(f"time {text!r} is not known; write {_FORMATS}")
    year, month, day, hour, minute, second = (int(part) if part else None for part in found.groups()[:6])
    assert year is not None
    try:
        first = datetime(year, month or 1, day or 1, hour or 0, minute or 0, second or 0, tzinfo=UTC)
        if zone := (found[7] or "").replace(":", "").replace("Z", ""):
            first -= (1 if zone[0] == "+" else -1) * timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5]))
        if month is None:
            return first, first.replace(year=year + 1)
        if day is None:
            return first, first.replace(year=year + month // 12, month=month % 12 + 1)
        step = timedelta(seconds=1) if second is not None else timedelta(minutes=1)
        return first, first + (timedelta(days=1) if hour is None else step)
    except (ValueError, OverflowError) as error:
        raise OptionError(f"time {text!r} is not in the calendar; write {_FORMATS}") from error


def _pattern(text: str) -> re.Pattern[str]:
    parts: list[str] = []
    used: set[str] = set()
    pieces = [piece for piece in re.split(r"(%.)", text) if piece]
    for piece in pieces:
        if not piece.startswith("%") or len(piece) < 2:
            parts.append(re.escape(piece))
            continue
        name = piece[1]
        if name not in _DIGITS or name in used:
            raise OptionError(f"time pattern {text!r}: {piece} is not one of %Y %m %d %H %M %S %j, once each")
        used.add(name)
        parts.append(f"(?P<{name}>{_DIGITS[name]})")
    if "Y" not in used or ("d" in used and "m" not in used):
        raise OptionError(f"time pattern {text!r} needs %Y, and %m where there is %d; such as %Y%m%d")
    before, after = (_ALONE[k] if pieces[-k].startswith("%") else "" for k in (0, 1))
    return re.compile(before + "".join(parts) + after, re.ASCII)


def _tags(path: Path) -> tuple[datetime | None, datetime | None]:
    """Return when a raster was acquired and when its file was written, as far as its tags say so."""
    try:
        with opened(path) as source:
            imagery: dict[str, Any] = source.tags(ns="IMAGERY")
            return _parsed(imagery.get("ACQUISITIONDATETIME")), _parsed(source.tags().get("TIFFTAG_DATETIME"))
    except PictureError:
        return None, None


def _parsed(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        return _span(re.sub(r"^(\d{4}):(\d{2}):(\d{2})", r"\1-\2-\3", text.strip()))[0]
    except OptionError:
        return None
