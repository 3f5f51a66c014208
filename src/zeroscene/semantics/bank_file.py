"""A class bank in its file, with its history beside it: edits that are whole or absent, and every version for ever.

`classes.bank.history` is JSON lines, one an edit: what was done, when, by which command, the versions before and after,
and what became what. A line is only ever appended, and it is on the disk before the bank is replaced: whatever a kill
or a full disk interrupts, the bank is a whole version, and every version that ever was can be had back.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Final, Self

from zeroscene.errors import DataFormatError, DatasetNotFoundError, StoreError, UnknownNameError
from zeroscene.files import replacing
from zeroscene.provenance import now
from zeroscene.semantics.bank import ClassBank
from zeroscene.semantics.bank_parts import Entry, line

HISTORY: Final = ".history"
_FOUND: Final = "found as it is, changed by no command"


@dataclass(frozen=True)
class Edit:
    """One line of a history.

    Attributes:
        when: UTC, ISO 8601.
        what: in words.
        by: the command.
        before: version before, or empty for a new bank.
        after: version after.
        content: what makes the one of the other: `changes`, `bank` (all of it), or nothing for a version that was.
    """

    when: str
    what: str
    by: str
    before: str
    after: str
    content: dict[str, Any]

    @classmethod
    def of(cls, before: ClassBank | None, after: ClassBank, what: str, by: str) -> Self:
        """Return the edit that makes `after` of `before`."""
        if before is None or before.recipe.lines != after.recipe.lines:
            content: dict[str, Any] = {"bank": after.to_bytes().decode()}
        else:
            content = {"changes": _changes(before, after)}
        return cls(now(), what, by, before.version if before is not None else "", after.version, content)

    def to_line(self) -> bytes:
        """Return the line."""
        told = {"when": self.when, "what": self.what, "by": self.by, "before": self.before, "after": self.after}
        return line({**told, **self.content}).encode()

    @classmethod
    def from_line(cls, data: bytes) -> Self:
        """Return the edit of a line."""
        value = json.loads(data)
        when, what, by, before, after = (str(value.pop(key)) for key in ("when", "what", "by", "before", "after"))
        return cls(when, what, by, before, after, value)

    def apply(self, known: dict[str, ClassBank]) -> ClassBank:
        """Return the bank after the edit.

        Args:
            known: banks of the versions before.
        """
        if "bank" in self.content:
            return ClassBank.from_bytes(self.content["bank"].encode(), "a version in the history")
        if "changes" not in self.content:
            return known[self.after]
        before, changes = known[self.before], self.content["changes"]
        columns = before.recipe.named
        was, entries = changes["was"], [Entry.from_json(one, columns) for one in changes["is"]]
        at = changes["at"]
        return replace(before, entries=(*before.entries[:at], *entries, *before.entries[at + len(was) :]))


@dataclass(frozen=True)
class BankFile:
    """The file of a bank.

    Attributes:
        path: where it is.
    """

    path: Path

    @property
    def history_path(self) -> Path:
        """Where the history is."""
        return self.path.with_name(self.path.name + HISTORY)

    def read(self) -> ClassBank:
        """Return the bank.

        Raises:
            DatasetNotFoundError: there is no such file.
            DataFormatError: it is no bank, is damaged, or was changed by hand.
        """
        return ClassBank.read(self.path)

    def write(self, bank: ClassBank, what: str, by: str) -> None:
        """Write a bank, also over another one, which stays in the history (a damaged one as `NAME.damaged`).

        Args:
            bank: what to write.
            what: what was done, in words.
            by: the command.

        Raises:
            DataFormatError: the history is damaged.
            StoreError: the place cannot be written.
        """
        with self._locked() as history:
            self._put(history, self._set_aside(history), bank, what, by)

    def begin(self, bank: ClassBank, what: str, by: str) -> bool:
        """Write a bank where there is none yet, and return whether it was written; of several who begin one does.

        Args:
            bank: what to write.
            what: what was done, in words.
            by: the command.

        Raises:
            DataFormatError: the history is damaged.
            StoreError: the place cannot be written.
        """
        with self._locked() as history:
            if self.path.exists():
                return False
            self._put(history, None, bank, what, by)
            return True

    def edit(self, change: Callable[[ClassBank], ClassBank], what: str, by: str) -> ClassBank:
        """Change the bank and return the new one; others who edit wait, and an edit that changes nothing is none.

        Args:
            change: returns the bank that is to be; what it raises leaves everything as it was.
            what: what is done, in words.
            by: the command.

        Raises:
            DatasetNotFoundError: there is no such bank.
            DataFormatError: it, or its history, is damaged.
            StoreError: the place cannot be written.
        """
        self.read()
        with self._locked() as history:
            before = self._current(history)
            after = change(before)
            self._put(history, before, after, what, by)
            return after

    def history(self) -> list[Edit]:
        """Return all edits, oldest first.

        Raises:
            DatasetNotFoundError: there is no history.
            DataFormatError: it is damaged; the line is named.
        """
        try:
            data = self.history_path.read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise DatasetNotFoundError(
                f"{self.path} has no history ({self.history_path.name} is missing); the next edit begins one"
            ) from error
        return self._edits(data)

    def restore(self, version: str, by: str, fits: Callable[[ClassBank], None] = lambda bank: None) -> ClassBank:
        """Bring a version back, as one more edit, and return it.

        A bank that is damaged or was changed by hand is kept as `NAME.damaged`.

        Args:
            version: as the history names it, or the beginning of it.
            by: the command.
            fits: raises where the version is of no use here.

        Raises:
            UnknownNameError: the history does not have the version, or several begin so.
            DatasetNotFoundError: there is no history.
            DataFormatError: the history is damaged.
        """
        self.history()
        with self._locked() as history:
            known = self._versions(history)
            bank = self._version(version, known)
            fits(bank)
            self._put(history, self._set_aside(history), bank, f"restored {bank.version}", by, known=True)
            return bank

    @contextmanager
    def _locked(self) -> Iterator[IO[bytes]]:
        """Yield the history, which nobody else may write meanwhile."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            history = self.history_path.open("a+b")
        except OSError as error:
            raise StoreError(f"cannot write {self.history_path}: {error.strerror or error}") from error
        with history:
            try:
                import fcntl

                fcntl.flock(history, fcntl.LOCK_EX)
            except ImportError:  # no such locks on this system: of two edits at one moment the later one counts
                pass
            yield history

    def _current(self, history: IO[bytes]) -> ClassBank:
        """Return the bank as it is, and note it where the history ends with another version.

        That is so after a kill between the two writes of an edit, and after the file was copied from elsewhere.
        """
        bank, edits = self.read(), self._edits(_all(history))
        last = edits[-1].after if edits else ""
        if last != bank.version:
            self._append(history, replace(Edit.of(None, bank, _FOUND, ""), before=last))
        return bank

    def _set_aside(self, history: IO[bytes]) -> ClassBank | None:
        """Return the bank that is to be written over; one that cannot be read is moved away."""
        try:
            self.read()
        except DatasetNotFoundError:
            return None
        except DataFormatError:
            self.path.replace(self.path.with_name(self.path.name + ".damaged"))
            return None
        return self._current(history)

    def _put(
        self, history: IO[bytes], before: ClassBank | None, after: ClassBank, what: str, by: str, known: bool = False
    ) -> None:
        data = after.to_bytes()
        if before is not None and before.to_bytes() == data:
            return
        edit = Edit.of(before, after, what, by)
        self._append(history, replace(edit, content={}) if known else edit)
        with replacing(self.path) as temporary:
            temporary.write_bytes(data)

    def _append(self, history: IO[bytes], edit: Edit) -> None:
        try:
            whole = _all(history).rpartition(b"\n")
            history.truncate(len(whole[0]) + len(whole[1]))  # a line that a kill cut off
            history.write(edit.to_line())
            history.flush()
            os.fsync(history.fileno())
        except OSError as error:
            raise StoreError(f"cannot write {self.history_path}: {error.strerror or error}; nothing changed") from error

    def _edits(self, data: bytes) -> list[Edit]:
        edits = []
        for number, one in enumerate(data.split(b"\n")[:-1], 1):
            try:
                edits.append(Edit.from_line(one))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise DataFormatError(
                    f"{self.history_path}, line {number} is damaged; move the file away, and the next edit begins anew"
                ) from error
        return edits

    def _versions(self, history: IO[bytes]) -> dict[str, ClassBank]:
        known: dict[str, ClassBank] = {}
        for number, edit in enumerate(self._edits(_all(history)), 1):
            try:
                known[edit.after] = edit.apply(known)
            except (ValueError, KeyError, TypeError, LookupError) as error:
                raise DataFormatError(
                    f"{self.history_path}, line {number} does not follow from those before"
                ) from error
        return known

    def _version(self, wanted: str, known: dict[str, ClassBank]) -> ClassBank:
        found = [version for version in known if version.startswith(wanted)]
        if len(found) != 1 or not wanted:
            told = f"several versions begin with {wanted!r}" if found and wanted else f"no version {wanted!r}"
            raise UnknownNameError(f"{told} in {self.history_path}; list them with `zeroscene classes history`")
        bank = known[found[0]]
        if bank.version != found[0]:
            raise DataFormatError(f"{self.history_path}: version {found[0]} is damaged; take another one")
        return bank


def _all(history: IO[bytes]) -> bytes:
    history.seek(0)
    return history.read()


def _changes(before: ClassBank, after: ClassBank) -> dict[str, Any]:
    """Return where the classes of two banks begin to differ, and what stands there until they agree again."""
    one, other = before.entries, after.entries
    least = min(len(one), len(other))
    at = next((i for i in range(least) if one[i] != other[i]), least)
    tail = next((i for i in range(least - at) if one[-1 - i] != other[-1 - i]), least - at)
    columns = after.recipe.named
    return {
        "at": at,
        "was": [entry.to_json(columns) for entry in one[at : len(one) - tail]],
        "is": [entry.to_json(columns) for entry in other[at : len(other) - tail]],
    }
