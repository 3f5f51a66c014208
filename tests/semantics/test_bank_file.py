"""The file of a bank and its history: every version for ever, whatever is done at once, killed, or done by hand."""

import json
import random
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zeroscene.errors import DataFormatError, DatasetNotFoundError, EncoderMismatchError, UnknownNameError
from zeroscene.semantics.bank import ClassBank
from zeroscene.semantics.bank_file import BankFile
from zeroscene.semantics.bank_parts import Entry
from zeroscene.semantics.table import ClassTable


def start() -> ClassBank:
    return ClassBank.of(ClassTable(("sea", "lake"), np.eye(2, 3), ("wet", "dry", "green"), "attributes"))


def entry(name: str, value: float = 1.0) -> Entry:
    return Entry.of(name, np.full(3, value, np.float32))


@pytest.fixture
def file(tmp_path: Path) -> BankFile:
    made = BankFile(tmp_path / "classes.bank")
    made.write(start(), "made", "test")
    return made


def add(file: BankFile, name: str) -> ClassBank:
    return file.edit(lambda bank: bank.added(entry(name)), f"added {name}", "test")


def test_an_edit_is_in_the_file_and_in_the_history(file):
    before = file.read().version
    after = add(file, "Dünen, sandig")
    assert file.read() == after
    first, second = file.history()
    assert (first.what, first.before, first.after) == ("made", "", before)
    assert (second.what, second.by, second.before, second.after) == (
        "added Dünen, sandig",
        "test",
        before,
        after.version,
    )
    told = json.loads(file.history_path.read_bytes().splitlines()[1])
    assert [one["class"] for one in told["changes"]["is"]] == ["Dünen, sandig"]


def test_adding_and_removing_leaves_the_file_as_it_was_and_both_in_the_history(file):
    data = file.path.read_bytes()
    add(file, "dunes")
    file.edit(lambda bank: bank.removed("dunes"), "removed dunes", "test")
    assert file.path.read_bytes() == data
    assert [edit.what for edit in file.history()] == ["made", "added dunes", "removed dunes"]


def test_an_edit_that_changes_nothing_or_fails_is_none(file):
    data = file.path.read_bytes(), file.history_path.read_bytes()
    file.edit(lambda bank: bank.renamed("sea", "sea"), "renamed", "test")
    with pytest.raises(UnknownNameError):
        file.edit(lambda bank: bank.removed("pond"), "removed", "test")
    assert (file.path.read_bytes(), file.history_path.read_bytes()) == data


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_version_can_be_had_back_and_a_restored_one_is_one_more(tmp_path_factory, data):
    file = BankFile(tmp_path_factory.mktemp("versions") / "classes.bank")
    file.write(start(), "made", "test")
    seen = {file.read().version: file.path.read_bytes()}
    for _ in range(data.draw(st.integers(1, 12))):
        what = data.draw(st.sampled_from(["add", "remove", "rename", "describe", "restore", "replace"]))
        name = data.draw(st.sampled_from(["sea", "lake", "dunes", "moor", "ice"]))
        now = file.read()
        if what == "restore":
            file.restore(data.draw(st.sampled_from(sorted(seen))), "test")
        elif what == "replace":
            columns = ("wet", "dry", data.draw(st.sampled_from(["green", "red"])))
            file.write(ClassBank.of(ClassTable((name,), np.ones((1, 3)), columns, "attributes")), "anew", "test")
        elif what == "add" and name not in now:
            add(file, name)
        elif what == "remove" and name in now:
            file.edit(lambda bank, name=name: bank.removed(name), "removed", "test")
        elif what == "rename" and name in now and f"old {name}" not in now:
            file.edit(lambda bank, name=name: bank.renamed(name, f"old {name}"), "renamed", "test")
        elif what == "describe" and name in now:
            value = data.draw(st.floats(0, 1, width=32))
            file.edit(lambda bank, n=name, v=value: bank.described(entry(n, v)), "described", "test")
        seen[file.read().version] = file.path.read_bytes()
    for version, content in seen.items():
        file.restore(version, "test")
        assert file.path.read_bytes() == content
    chain = file.history()
    assert all(one.after == other.before for one, other in pairwise(chain))


def test_a_bank_that_was_empty_for_a_while_keeps_its_history(tmp_path):
    file = BankFile(tmp_path / "classes.bank")
    file.write(start(), "made", "test")
    first = file.read().version
    for name in start().classes:
        file.edit(lambda bank, name=name: bank.removed(name), "removed", "test")
    add(file, "dunes")
    assert file.restore(first, "test").version == first


def test_a_version_is_named_by_its_beginning_and_an_unknown_one_is_told(file):
    first = file.read().version
    add(file, "dunes")
    assert file.restore(first[:6], "test") == start()
    for wanted in ("zzz", ""):
        with pytest.raises(UnknownNameError, match=f"no version '{wanted}' in .*history; list them"):
            file.restore(wanted, "test")


def test_a_version_that_does_not_fit_is_not_restored(file):
    def never(bank: ClassBank) -> None:
        raise EncoderMismatchError("of another fit")

    with pytest.raises(EncoderMismatchError):
        file.restore(file.read().version, "test", never)
    assert len(file.history()) == 1


def test_a_history_that_is_missing_is_told_and_begun_anew_by_the_next_edit(file):
    file.history_path.unlink()
    with pytest.raises(
        DatasetNotFoundError, match=r"has no history \(classes.bank.history is missing\); the next edit"
    ):
        file.history()
    with pytest.raises(DatasetNotFoundError, match="has no history"):
        file.restore("abc", "test")
    assert not file.history_path.exists()
    before = file.read()
    add(file, "dunes")
    assert [edit.what for edit in file.history()] == ["found as it is, changed by no command", "added dunes"]
    assert file.restore(before.version, "test") == before


def test_a_bank_that_was_copied_over_this_one_becomes_a_version(file):
    add(file, "dunes")
    other = ClassBank.of(ClassTable(("moor",), np.ones((1, 3)), ("wet", "dry", "green"), "attributes"))
    file.path.write_bytes(other.to_bytes())
    add(file, "ice")
    assert [edit.what for edit in file.history()][2:] == ["found as it is, changed by no command", "added ice"]
    assert file.restore(other.version, "test") == other


def test_a_bank_that_was_changed_by_hand_is_refused_and_kept_aside_when_a_version_is_restored(file):
    good = file.read().version
    changed = file.path.read_bytes().replace(b'"sea"', b'"see"')
    file.path.write_bytes(changed)
    with pytest.raises(DataFormatError, match=r"classes.bank is damaged or was changed by hand .* classes restore"):
        add(file, "dunes")
    assert file.restore(good, "test") == start()
    assert (file.path.parent / "classes.bank.damaged").read_bytes() == changed


def test_a_bank_that_was_deleted_comes_back(file):
    version = file.read().version
    file.path.unlink()
    with pytest.raises(DatasetNotFoundError, match="no such class bank"):
        add(file, "dunes")
    file.restore(version, "test")
    assert file.read() == start()


def test_a_history_line_that_a_kill_cut_off_is_dropped_by_the_next_edit(file):
    whole = file.history_path.read_bytes()
    file.history_path.write_bytes(whole + b'{"when": "2026')
    assert len(file.history()) == 1
    add(file, "dunes")
    assert len(file.history()) == 2
    assert file.history_path.read_bytes().startswith(whole)


def test_a_kill_between_history_and_bank_loses_nothing(file):
    old = file.path.read_bytes()
    planned = add(file, "dunes")
    file.path.write_bytes(old)
    add(file, "ice")
    assert file.read().classes == ("sea", "lake", "ice")
    assert file.restore(planned.version, "test") == planned


def test_a_damaged_history_names_the_line(file):
    add(file, "dunes")
    first, second = file.history_path.read_bytes().splitlines(keepends=True)
    file.history_path.write_bytes(first + b"nonsense\n")
    with pytest.raises(DataFormatError, match="history, line 2 is damaged"):
        file.history()
    file.history_path.write_bytes(second)
    with pytest.raises(DataFormatError, match="history, line 1 does not follow"):
        file.restore(start().version, "test")


EDITOR = """
import sys
from pathlib import Path
import numpy as np
from zeroscene.semantics.bank_file import BankFile
from zeroscene.semantics.bank_parts import Entry
file, who = BankFile(Path(sys.argv[1])), sys.argv[2]
for i in range(int(sys.argv[3])):
    one = Entry.of(f"{who} {i}", np.full(3, i, np.float32))
    file.edit(lambda bank: bank.added(one), f"added {one.name}", who)
    print(i, flush=True)
"""


def editor(file: BankFile, who: str, count: int) -> subprocess.Popen:
    words = [sys.executable, "-c", EDITOR, str(file.path), who, str(count)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def test_edits_at_once_are_all_there(file):
    running = [editor(file, who, 15) for who in "abc"]
    assert [one.wait() for one in running] == [0, 0, 0]
    assert set(file.read().classes) == {"sea", "lake"} | {f"{who} {i}" for who in "abc" for i in range(15)}
    assert len(file.history()) == 46


def test_a_bank_is_begun_once_and_whoever_comes_later_is_told_so(tmp_path):
    file = BankFile(tmp_path / "new" / "classes.bank")
    assert file.begin(start(), "made", "first")
    assert not file.begin(start().removed("sea"), "made", "second")
    assert file.read() == start()
    assert [edit.by for edit in file.history()] == ["first"]


def test_a_killed_edit_leaves_a_whole_bank_with_every_edit_that_was_reported(file):
    draw = random.Random(0)
    for turn in range(6):
        who = f"turn {turn}"
        running = editor(file, who, 10_000)
        assert running.stdout is not None
        running.stdout.readline()
        time.sleep(draw.random() / 10)
        running.send_signal(signal.SIGKILL)
        reported = running.stdout.read().splitlines()
        running.wait()
        now = file.read()
        assert all(f"{who} {i}" in now for i in [0, *reported])
        add(file, f"after {turn}")
        assert file.restore(now.version, "test") == now
        add(file, f"after {turn}")
    assert [name for name in file.read().classes if name.startswith("after")] == [f"after {i}" for i in range(6)]
