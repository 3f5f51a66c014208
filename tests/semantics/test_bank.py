"""The class bank as a value: what operations do and undo, the file, and how new classes get their vectors."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroscene import names
from zeroscene.encoders.base import EncoderIdentity
from zeroscene.errors import (
    DataFormatError,
    DatasetNotFoundError,
    DuplicateNameError,
    EncoderMismatchError,
    OptionError,
    UnknownNameError,
)
from zeroscene.semantics import bank_entries as entries
from zeroscene.semantics.annotate import annotate_texts
from zeroscene.semantics.bank import ClassBank
from zeroscene.semantics.bank_parts import Entry
from zeroscene.semantics.knowledge import description, knowledge_table
from zeroscene.semantics.reading import read_table
from zeroscene.semantics.table import ClassTable
from zeroscene.semantics.text import text_table
from zeroscene.semantics.views import join, view
from zeroscene.semantics.vocabulary import Vocabulary, with_prompts


class Words:
    """A text is the counts of its words in 24 bins, to unit length."""

    width = 24

    def __init__(self, weights: str = "w") -> None:
        self.identity = EncoderIdentity("words", weights, "t", "text-projection")

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        x = np.full((len(texts), self.width), 0.01, np.float32)
        for row, text in zip(x, texts, strict=True):
            for word in text.lower().replace(",", "").replace(".", "").split():
                row[sum(map(ord, word)) % self.width] += 1
        return x / np.linalg.norm(x, axis=1, keepdims=True)


CLASSES = ("beach", "forest", "harbor", "runway", "river", "desert")


@cache
def bank(kind: str) -> ClassBank:
    """Return one of the banks that exist: of words, of attributes from different places, and of two views."""
    vocabulary = Vocabulary.of_knowledge()
    tables = {
        "text": lambda: text_table(CLASSES, Words(), templates=("{}", "a photo of {}")),
        "knowledge": lambda: knowledge_table(("Beach", *CLASSES[1:])),
        "annotated": lambda: annotate_texts(CLASSES, vocabulary, Words()),
        "prompted": lambda: with_prompts(knowledge_table(CLASSES), vocabulary, Words()),
        "user file": lambda: ClassTable(CLASSES, np.eye(6, 3) / 3, ("wet", "dry", "green"), "attributes"),
        "views": lambda: join({"words": text_table(CLASSES, Words()), "attributes": knowledge_table(CLASSES)}),
    }  # fmt: skip
    return ClassBank.of(tables[kind]())


every_kind = pytest.mark.parametrize("kind", ["text", "knowledge", "annotated", "prompted", "user file", "views"])


@every_kind
def test_the_table_of_a_bank_is_the_table_it_was_made_of(kind):
    table = bank(kind).table
    again = ClassBank.of(table)
    assert again == bank(kind)
    assert again.table.fingerprint == table.fingerprint
    assert again.table.provenance == table.provenance
    assert again.space == table.space


def test_a_table_of_text_keeps_its_texts_and_one_of_the_knowledge_base_what_was_meant():
    assert bank("text").entry("harbor").texts == ("harbor",)
    table = knowledge_table(("crossroads", "forest"))
    assert ClassBank.of(table).entry("Crossroads").meant == "intersection"
    assert ClassBank.of(table).table.provenance == {**table.provenance}


@every_kind
def test_a_written_bank_is_read_as_it_was_and_is_a_class_table_wherever_one_is_read(kind, tmp_path):
    (tmp_path / "classes.bank").write_bytes(bank(kind).to_bytes())
    read = ClassBank.read(tmp_path / "classes.bank")
    assert read == bank(kind)
    table = read_table(tmp_path / "classes.bank")
    assert (table.fingerprint, table.provenance) == (read.table.fingerprint, read.table.provenance)


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=3, max_size=3), st.booleans())
def test_every_float32_comes_back_to_the_bit(values, dense):
    columns = tuple(f"dim{i}" for i in range(3)) if dense else ("wet", "dry", "green")
    kind = "embedding" if dense else "attributes"
    table = ClassTable(("a",), np.array([values], np.float32), columns, kind)
    read = ClassBank.from_bytes(ClassBank.of(table).to_bytes(), "it")
    np.testing.assert_array_equal(read.table.matrix, table.matrix)


NAMES = st.sampled_from(
    ["forest", "Solar Farm", "solar_farm", "harbour", "RIVER", "wind park", "beach", "Ville d'été 🏖"]
)


@every_kind
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_operations_and_their_inverses_in_reverse_order_restore_the_file_byte_for_byte(kind, data):
    start = bank(kind)
    now, undo = start, []
    for _ in range(data.draw(st.integers(1, 8))):
        what = data.draw(st.sampled_from(["add", "remove", "rename", "describe"]))
        name, new = data.draw(NAMES), data.draw(NAMES)
        vector = np.full(len(start.recipe.columns), data.draw(st.floats(0, 1, width=32)), np.float32)
        if what == "add" and name not in now:
            at = data.draw(st.none() | st.integers(0, len(now)))
            now = now.added(Entry.of(name, vector, ("some words",)), at)
            undo.append(lambda b, name=name: b.removed(name))
        elif name not in now:
            continue
        elif what == "remove":
            entry, at = now.entry(name), now.position(name)
            now = now.removed(name)
            undo.append(lambda b, entry=entry, at=at: b.added(entry, at))
        elif what == "rename" and (new not in now or names.key(new) == names.key(name)):
            old = now.entry(name).name
            now = now.renamed(name, new)
            undo.append(lambda b, old=old, new=new: b.renamed(new, old))
        elif what == "describe":
            entry = now.entry(name)
            now = now.described(replace(Entry.of(entry.name, vector), texts=("other words",)))
            undo.append(lambda b, entry=entry: b.described(entry))
        assert ClassBank.from_bytes(now.to_bytes(), "it") == now
        assert now.space == start.space
    for inverse in reversed(undo):
        now = inverse(now)
    assert now.to_bytes() == start.to_bytes()
    assert now.version == start.version


def test_an_added_class_leaves_the_rows_of_the_others_and_stands_behind_them():
    more = bank("text").added(entries.from_words(bank("text"), ["solar farm"], Words())[0])
    assert more.classes == (*CLASSES, "solar farm")
    np.testing.assert_array_equal(more.table.matrix[:-1], bank("text").table.matrix)
    assert more.version != bank("text").version


def test_a_class_of_another_spelling_is_the_same_class():
    entry = Entry.of("FOREST", np.ones(len(bank("knowledge").recipe.columns)))
    with pytest.raises(DuplicateNameError, match="'FOREST' is in the bank already, spelled 'forest'"):
        bank("knowledge").added(entry)
    with pytest.raises(DuplicateNameError, match="'River' is in the bank already"):
        bank("knowledge").renamed("forest", "River")
    assert bank("knowledge").renamed("forest", "FOREST").classes[1] == "FOREST"


def test_an_unknown_class_is_named_with_its_nearest():
    for change in (
        lambda b: b.removed("harbour"),
        lambda b: b.renamed("harbour", "port"),
        lambda b: b.entry("harbour"),
    ):
        with pytest.raises(UnknownNameError, match=r"'harbour' \(nearest: harbor\)"):
            change(bank("text"))


@pytest.mark.parametrize("name", ["none of these", "None_of_These"])
def test_no_class_has_the_name_of_pictures_that_show_none(name):
    row = np.ones(len(bank("knowledge").recipe.columns))
    for change in (
        lambda b: b.added(Entry.of(name, row)),
        lambda b: b.renamed("forest", name),
        lambda b: ClassBank.of(ClassTable((name,), row[None], b.recipe.columns, "attributes")),
    ):
        with pytest.raises(DuplicateNameError, match=f"class '{name}' has the name of pictures that show no class"):
            change(bank("knowledge"))


def test_the_last_class_can_be_removed_and_the_bank_still_says_how_classes_are_made():
    empty = bank("text")
    for name in CLASSES:
        empty = empty.removed(name)
    assert len(empty) == len(empty.table) == 0
    (forest,) = entries.from_words(ClassBank.from_bytes(empty.to_bytes(), "it"), ["forest"], Words())
    np.testing.assert_allclose(forest.vector, bank("text").entry("forest").vector, rtol=1e-6)


@pytest.mark.parametrize("kind", ["text", "prompted"])
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_a_file_with_any_byte_changed_or_cut_off_is_refused(kind, data):
    good = bank(kind).to_bytes()
    at = data.draw(st.integers(0, len(good) - 1))
    other = bytes([good[at] ^ data.draw(st.integers(1, 255))])
    for bad in (good[:at] + other + good[at + 1 :], good[:at]):
        with pytest.raises(DataFormatError, match=r"^classes\.bank (is damaged or was changed by hand|is not a class)"):
            ClassBank.from_bytes(bad, "classes.bank")


def test_what_is_no_bank(tmp_path):
    with pytest.raises(DatasetNotFoundError, match="no such class bank"):
        ClassBank.read(tmp_path / "absent.bank")
    (tmp_path / "x.bank").write_text("class,wet\nsea,1\n")
    with pytest.raises(DataFormatError, match="is not a class bank; make one with `zeroscene classes bank`"):
        ClassBank.read(tmp_path / "x.bank")


@pytest.mark.parametrize(
    ("name", "texts"), [("", ()), (" ", ()), ("--", ()), ("a", ("",)), ("a", (" \n",)), ("\udcff", ())]
)
def test_a_class_needs_a_name_and_its_texts_say_something(name, texts):
    with pytest.raises(DataFormatError, match=r"^class "):
        Entry.of(name, np.zeros(3, np.float32), texts)


def test_the_file_shows_a_person_what_a_class_is(tmp_path):
    more = bank("user file").added(entries.from_attributes(bank("user file"), "solar farm", {"dry": 0.1, "wet": 1}))
    lines = more.to_bytes().decode().splitlines()
    assert lines[-2] == '{"class": "solar farm", "values": {"wet": 1.0, "dry": 0.1}, "made": "attributes"}'
    assert lines[-1] == f'{{"version": "{more.version}"}}'


class TestAttributes:
    def test_attributes_that_are_not_named_are_0(self):
        entry = entries.from_attributes(bank("knowledge"), "solar farm", {"Solar Modules": 1, "bare_soil": 0.5})
        row = dict(zip(bank("knowledge").recipe.columns, entry.vector, strict=True))
        assert (row.pop("solar_modules"), row.pop("bare_soil")) == (1, 0.5)
        assert set(row.values()) == {0}
        made = bank("knowledge").added(entry).table.provenance
        assert made["composed"] == ["solar farm"]

    def test_those_of_a_class_that_is_described_anew_keep_their_values(self):
        old = bank("knowledge").entry("forest")
        entry = entries.from_attributes(bank("knowledge"), "forest", {"cars": 0.25}, base=old)
        changed = np.flatnonzero(entry.vector != old.vector)
        assert [bank("knowledge").recipe.columns[i] for i in changed] == ["cars"]

    @pytest.mark.parametrize(
        ("values", "told"),
        [
            ({"solar_module": 1}, r"unknown attributes of 'x': 'solar_module' \(nearest: solar_modules"),
            ({"cars": 1.5}, "'cars' of class 'x' is 1.5; give a number from 0 to 1"),
            ({"cars": float("nan")}, "'cars' of class 'x' is nan; give a number from 0 to 1"),
            ({"cars": 0}, "no attribute above 0"),
            ({"cars": 1, "CARS": 1}, "'cars' and 'CARS' are the same name"),
        ],
    )
    def test_bad_values_are_told(self, values, told):
        with pytest.raises((UnknownNameError, OptionError, DuplicateNameError), match=told):
            entries.from_attributes(bank("knowledge"), "x", values)

    def test_a_bank_of_text_vectors_has_none(self):
        with pytest.raises(OptionError, match=r"without named attributes; describe it in words \(--describe\)"):
            entries.from_attributes(bank("text"), "x", {"cars": 1})


class TestKnowledge:
    def test_names_and_synonyms_are_looked_up(self):
        (found,) = entries.from_knowledge(bank("knowledge"), ["solar farm"])
        np.testing.assert_array_equal(found.vector, knowledge_table(["solar farm"]).matrix[0])

    def test_another_bank_says_what_it_takes(self):
        with pytest.raises(OptionError, match=r"not of the knowledge base; give its attributes \(--attributes"):
            entries.from_knowledge(bank("user file"), ["solar farm"])


class TestTable:
    def test_a_row_of_a_spreadsheet_whose_attributes_the_bank_has(self, tmp_path):
        (tmp_path / "mine.csv").write_text("class,Solar Modules,bare soil\nsolar farm,1,0.4\nmeadow,0,1\n")
        found = entries.from_table(bank("knowledge"), ClassTable.read(tmp_path / "mine.csv"))
        assert [one.name for one in found] == ["solar farm", "meadow"]
        values = {"solar_modules": 1, "bare_soil": 0.4}
        assert found[0] == entries.from_attributes(bank("knowledge"), "solar farm", values)

    def test_a_row_of_the_same_space_as_it_is(self):
        table = text_table(["solar farm", "meadow"], Words(), templates=("{}", "a photo of {}"))
        (found,) = entries.from_table(bank("text"), table, ["Meadow"])
        assert (found.name, found.texts) == ("Meadow", ("meadow",))
        np.testing.assert_array_equal(found.vector, table.row("meadow"))

    def test_another_space_is_refused_with_both_sources(self):
        with pytest.raises(DataFormatError, match="'text' does not fit a bank of source 'knowledge'"):
            entries.from_table(bank("knowledge"), bank("text").table)
        with pytest.raises(UnknownNameError, match="'wet'"):
            entries.from_table(bank("knowledge"), bank("user file").table)


class TestWords:
    def test_a_class_is_encoded_as_the_table_was(self):
        texts = {"solar farm": ["rows of dark panels", "a field of glass"]}
        (found,) = entries.from_words(bank("text"), ["solar farm"], Words(), texts)
        expected = text_table(["solar farm"], Words(), texts=texts, templates=("{}", "a photo of {}"))
        np.testing.assert_array_equal(found.vector, expected.matrix[0])
        assert found.texts == ("rows of dark panels", "a field of glass")

    def test_a_bare_name_is_a_text_and_for_attributes_its_description(self):
        assert entries.from_words(bank("text"), ["DenseAirport"], Words())[0].texts == ("dense airport",)
        assert entries.from_words(bank("annotated"), ["airport"], Words())[0].texts == (description("airport"),)

    def test_what_is_said_of_bare_names_can_be_chosen(self):
        (found,) = entries.make(bank("text"), ["airport"], lambda _: Words(), said=lambda *_: "descriptions")
        assert found.texts == (description("airport"),)

    @pytest.mark.parametrize("kind", ["text", "annotated", "prompted"])
    def test_the_vector_of_a_class_does_not_depend_on_what_else_is_added(self, kind):
        wanted = ["airport", "meadow", "lake"]
        together = entries.from_words(bank(kind), wanted, Words())
        assert together == [entries.from_words(bank(kind), [name], Words())[0] for name in wanted]

    def test_another_encoder_is_refused_and_both_are_named(self):
        with pytest.raises(EncoderMismatchError, match=r"made for text encoder 'words' \(weights w.*weights other"):
            entries.from_words(bank("text"), ["lake"], Words("other"))

    def test_a_bank_without_words_says_what_it_takes(self):
        with pytest.raises(OptionError, match="'knowledge', which no words lead to; give its attributes"):
            entries.from_words(bank("knowledge"), ["lake"], Words())

    def test_an_empty_text_is_refused(self):
        with pytest.raises(OptionError, match="'lake' has an empty text"):
            entries.from_words(bank("text"), ["lake"], Words(), {"lake": ["water", " "]})

    def test_attributes_annotated_from_texts_are_those_of_the_annotation(self):
        """All values of a table come from texts: a class taken out and added again by its words gets them again."""
        (found,) = entries.from_words(bank("annotated").removed("river"), ["river"], Words())
        np.testing.assert_allclose(found.vector, bank("annotated").entry("river").vector, atol=1e-4)
        assert (found.made, found.texts) == ("words", (description("river"),))

    def test_other_attributes_are_carried_over_from_the_words_of_the_bank(self):
        """A class with the words of another gets its values, as far as a line for each attribute tells them."""
        texts = {"twin": [description("forest")]}
        (found,) = entries.from_words(bank("prompted"), ["twin"], Words(), texts)
        rows = bank("prompted").table.matrix
        spread = rows.std(axis=0) > 0
        likeness = [np.corrcoef(found.vector[spread], row[spread])[0, 1] for row in rows]
        assert CLASSES[int(np.argmax(likeness))] == "forest"
        assert ((found.vector >= 0) & (found.vector <= 1)).all()

    def test_few_described_classes_tell_nothing_about_attributes(self):
        few = bank("prompted")
        for name in CLASSES[:2]:
            few = few.removed(name)
        with pytest.raises(OptionError, match=r"only 4 of the 4 classes .* have texts, and 5 are needed"):
            entries.from_words(few, ["lake"], Words())


class TestMake:
    def test_each_view_of_a_bank_makes_its_part(self):
        (found,) = entries.make(bank("views"), ["lake"], lambda _: Words())
        table = bank("views").added(found).table.select(["lake"])
        np.testing.assert_array_equal(view(table, "attributes").matrix, knowledge_table(["lake"]).matrix)
        np.testing.assert_array_equal(view(table, "words").matrix, text_table(["lake"], Words()).matrix)

    def test_words_and_values_go_to_the_view_that_takes_them(self):
        said = {"solar park": ["rows of panels"]}
        (found,) = entries.make(
            bank("views"), ["solar park"], lambda _: Words(), texts=said, values={"solar_modules": 1}
        )
        table = bank("views").added(found).table.select(["solar park"])
        row = view(table, "attributes").matrix[0]
        assert row.sum() == row[view(table, "attributes").columns.index("solar_modules")] == 1
        np.testing.assert_array_equal(
            view(table, "words").matrix, text_table(["solar park"], Words(), texts=said).matrix
        )

    @pytest.mark.parametrize("kind", ["text", "knowledge", "annotated", "prompted", "user file"])
    def test_words_and_values_at_once_are_refused_where_one_of_them_would_be_dropped(self, kind):
        both = {"texts": {"solar park": ["rows of panels"]}, "values": {"solar_modules": 1}}
        with pytest.raises(OptionError, match=r"'solar park': .* one vector a class; give .*--describe\), not both"):
            entries.make(bank(kind), ["solar park"], lambda _: Words(), **both)

    def test_what_no_view_takes_is_refused(self):
        only = {
            "words": ClassBank.of(join({"words": text_table(CLASSES, Words())})),
            "values": ClassBank.of(join({"attributes": knowledge_table(CLASSES)})),
        }
        with pytest.raises(OptionError, match="class 'lake': no view of the bank holds attributes"):
            entries.make(only["words"], ["lake"], lambda _: Words(), values={"cars": 1})
        with pytest.raises(OptionError, match="class 'lake': no view of the bank takes its words"):
            entries.make(only["values"], ["lake"], lambda _: Words(), texts={"lake": ["water"]})

    @pytest.mark.parametrize("kind", ["knowledge", "user file"])
    def test_words_that_lead_nowhere_are_refused_with_what_they_need(self, kind):
        with pytest.raises(OptionError, match=r"'x': no words lead to .* \(--describe\) needs one of text vectors, or"):
            entries.make(bank(kind), ["x"], lambda _: Words(), texts={"x": ["rows of panels"]})

    def test_a_name_alone_says_nothing_to_a_table_that_a_person_made(self):
        with pytest.raises(OptionError, match=r"'lake': a name alone .* 'user file'|source 'unknown'"):
            entries.make(bank("user file"), ["lake"], lambda _: Words())


class TestAnew:
    """A class of several views is described anew: what nothing was said about stays."""

    @staticmethod
    def parts(held: ClassBank, entry: Entry) -> dict[str, np.ndarray]:
        table = held.described(entry).table.select([entry.name])
        return {label: view(table, label).matrix[0] for label in ("words", "attributes")}

    @pytest.fixture(params=["knowledge", "annotated"])
    def held(self, request) -> ClassBank:
        tables = {"words": text_table(CLASSES, Words()), "attributes": bank(request.param).table}
        fused = ClassBank.of(join(tables))
        said, values = {"solar park": ["rows of panels"]}, {"solar_modules": 1, "bare_soil": 0.4}
        return fused.added(entries.make(fused, ["solar park"], lambda _: Words(), texts=said, values=values)[0])

    def test_words_leave_the_attributes_that_were_given(self, held):
        before = self.parts(held, held.entry("solar park"))
        made = entries.made_anew(held, "Solar Park", lambda _: Words(), texts=["dark glass"])
        after = self.parts(held, made)
        assert (made.name, made.texts) == ("solar park", ("dark glass",))
        np.testing.assert_array_equal(after["attributes"], before["attributes"])
        expected = text_table(["solar park"], Words(), texts={"solar park": ["dark glass"]})
        np.testing.assert_array_equal(after["words"], expected.matrix[0])
        again = entries.made_anew(held.described(made), "solar park", lambda _: Words(), texts=["rows"])
        np.testing.assert_array_equal(self.parts(held, again)["attributes"], before["attributes"])

    def test_attributes_leave_the_words_and_the_attributes_that_are_not_named(self, held):
        before = self.parts(held, held.entry("solar park"))
        made = entries.made_anew(held, "solar park", lambda _: Words(), values={"bare_soil": 0.8})
        after = self.parts(held, made)
        assert made.texts == ("rows of panels",)
        np.testing.assert_array_equal(after["words"], before["words"])
        columns = view(held.table, "attributes").columns
        changed = {
            columns[i]: after["attributes"][i] for i in np.flatnonzero(after["attributes"] != before["attributes"])
        }
        assert changed == {"bare_soil": np.float32(0.8)}

    def test_words_reach_the_attributes_that_are_made_of_words(self):
        fused = ClassBank.of(join({"words": text_table(CLASSES, Words()), "attributes": bank("annotated").table}))
        made = entries.made_anew(fused, "river", lambda _: Words(), texts=["sand and dunes"])
        said = {"river": ["sand and dunes"]}
        (expected,) = entries.from_words(bank("annotated"), ["river"], Words(), said)
        np.testing.assert_array_equal(self.parts(fused, made)["attributes"], expected.vector)

    def test_an_unknown_class_is_named(self, held):
        with pytest.raises(UnknownNameError, match="'solar parc'"):
            entries.made_anew(held, "solar parc", lambda _: Words(), texts=["x"])


def test_near_identical_classes_are_told_with_their_cosine():
    texts = {"woods": ["forest"], "lake": ["lake"]}
    made = entries.from_words(bank("text"), list(texts), Words(), texts)
    more = bank("text").added(made[0]).added(made[1])
    assert entries.alike(more, made) == [("forest", "woods", 1.0)]
    assert entries.alike(more, [made[1]]) == []


def test_reading_a_bank_and_adding_by_attributes_needs_no_torch(tmp_path: Path):
    import subprocess
    import sys

    (tmp_path / "classes.bank").write_bytes(bank("knowledge").to_bytes())
    code = (
        "import sys; from pathlib import Path; from zeroscene.semantics.bank_file import BankFile\n"
        "from zeroscene.semantics.bank_entries import from_attributes\n"
        f"file = BankFile(Path({str(tmp_path / 'classes.bank')!r}))\n"
        "file.edit(lambda bank: bank.added(from_attributes(bank, 'x', {'cars': 1})), 'added x', 'test')\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
