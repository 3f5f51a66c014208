"""`zeroscene demo`: the whole way once, on drawn pictures with the encoder that ships; nothing is fetched.

The demo is a list of commands. Each is shown and then run as it is shown, so that what it prints is what the user gets
who types it.
"""

import csv
import io
import os
import shlex
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zeroscene.cli.common import OUTPUT, Json, Output, manual, plural, table, wrapped

if TYPE_CHECKING:
    from zeroscene.evaluation.results import BenchmarkResult
    from zeroscene.evaluation.summary_records import SummaryRow
    from zeroscene.scenes.splits import Split

NAME, PANEL = "demo", "Help"
HELP = manual(
    """
Go the whole way once, with nothing but this installation.

Draws a benchmark of 40 classes, embeds it with the small encoder that ships,
takes what the classes mean from the knowledge base and from the encoder,
compares every method on classes without pictures, fits the best one, labels
new pictures of unseen classes, says why, and writes the report. Each step is
a command that does the same on your own data; it is shown, and run as shown.
Takes a minute or two on two cores; interrupted, the same command continues.

The world is drawn: the figures show how things work, not how well they work
on photographs.
""",
    ["zeroscene demo", "zeroscene demo --out somewhere"],
)

_SHOWN, _LINE = 10, 5


@dataclass(frozen=True)
class Scale:
    """How much is drawn and compared.

    Attributes:
        classes: which; all where empty.
        each: pictures a class.
        unseen: number of unseen classes.
        splits: number of splits.
        new: new pictures of each unseen class of the first split.
    """

    classes: tuple[str, ...] = ()
    each: int = 20
    unseen: int = 10
    splits: int = 2
    new: int = 3


_ALIGNED = ("cada-vae", "mcfa")
_ALIGNED_OPTIONS = {"episodes_per_step": "2", "epochs": "50", "picture_scaling": "root-minmax"}

SCALE = Scale()
"""Of the demo: what two cores do in less than three minutes."""


def command(
    context: typer.Context,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for all that is made.", rich_help_panel=OUTPUT)
    ] = Path("demo"),
    as_json: Json = False,
) -> None:
    """Do every step and tell its command."""
    root: Any = context.find_root().command
    Tour(out, SCALE, Output(as_json), lambda words: root.main(words, prog_name="zeroscene", standalone_mode=False)).go()


@dataclass(frozen=True)
class Tour:
    """The steps of the demo.

    Attributes:
        out: folder for all that is made.
        scale: how much.
        output: where it is told.
        run: runs the words of a command and returns its exit code.
    """

    out: Path
    scale: Scale
    output: Output
    run: Callable[[list[str]], int | None]

    @property
    def place(self) -> str:
        """The folder as it is written in a command."""
        return shlex.quote(str(self.out))

    def go(self) -> None:
        """Take every step; finished ones are not done again."""
        from zeroscene.cli.benchmark import summary
        from zeroscene.methods.registry import method_class

        self._prepare()
        self._mean()
        result = self._compare()
        split, best = self._splits()[0], max(result.summary, key=lambda row: (row.t1.mean, row.H.mean))
        self._fit(split, best)
        told = self._predict(split)
        if method_class(best.method).reads == "grids":
            self._explain(split, told)
        self._step("One page of all of it, to mail or to keep.", f"report {self.place}/results", shown=False)
        page = self.out / "results" / "report.html"
        self.output.say(f"\n{summary(result)}\nreport: {page}")
        self._map(split)
        self.output.result(
            {
                "report": str(page), "best": best.label, "table": best.table,
                "summary": [row.to_json() for row in result.summary], "predictions": told,
            }
        )  # fmt: skip

    def _prepare(self) -> None:
        """Draw the benchmark, divide its classes, embed it."""
        wanted = f' --classes "{", ".join(self.scale.classes)}"' if self.scale.classes else ""
        self._step(
            "Pictures, one folder a class. Yours lie in such a folder already.",
            f"synthetic pictures{wanted} --count {self.scale.each} -o {self.place}/pictures",
        )
        self._step(
            "Every picture through an encoder, once; the grids of tokens too, for a method that looks at places.",
            f"embed {self.place}/pictures --encoder tiny --grid -o {self.place}/store",
        )
        self._step(
            "Which classes have training pictures, and which are unseen.",
            f"split random --folder {self.place}/pictures --unseen {self.scale.unseen} --count {self.scale.splits} "
            f"-o {self.place}/splits.json",
        )

    def _mean(self) -> None:
        """Say what the classes mean, in two ways that look at no picture."""
        self._step(
            "What the classes mean: attributes from the knowledge base, and the encoder's words for them ...",
            f"annotate --folder {self.place}/pictures --encoder tiny --vocabulary synthetic --values knowledge "
            f"-o {self.place}/knowledge.csv",
        )
        self._step(
            "... and as the encoder understands descriptions of the classes.",
            f"annotate --folder {self.place}/pictures --encoder tiny --vocabulary synthetic --texts attributes "
            f"-o {self.place}/annotated.csv",
        )

    def _compare(self) -> "BenchmarkResult":
        """Train and evaluate every method with both tables."""
        from zeroscene.evaluation.results import BenchmarkResult
        from zeroscene.files import write_text

        split = self._splits()[0]
        name = f"Synthetic world, {len(split.seen)} seen and {len(split.unseen)} unseen classes"
        write_text(self.out / "plan.yaml", _plan(name))
        self.output.say(f"\n# What is compared stands in {self.out}/plan.yaml:")
        for line in _plan(name).splitlines():
            self.output.say(f"#   {line}")
        jobs = min(os.cpu_count() or 1, 4)
        self._step(
            "Every method on unseen classes alone, and on seen and unseen ones together; its table is at the end.",
            f"benchmark {self.place}/plan.yaml --jobs {jobs} -o {self.place}/results",
            shown=False,
        )
        return BenchmarkResult.read(self.out / "results")

    def _fit(self, split: "Split", best: "SummaryRow") -> None:
        fixed = _ALIGNED_OPTIONS if best.method in _ALIGNED else {}
        options = "".join(f" {key}={value}" for key, value in fixed.items())
        self._step(
            f"The best on unseen classes was {best.label} with the {best.table} table. Fit it on the first split.",
            f"fit {best.method}{options} --embeddings {self.place}/store --classes {self.place}/{best.table}.csv "
            f"--split {self.place}/splits.json:{split.name} -o {self.place}/model",
        )

    def _explain(self, split: "Split", told: Sequence[dict[str, Any]]) -> None:
        """Write the cards of two pictures: the surest one, and the surest wrong one or else the least sure."""
        told = sorted(told, key=lambda one: float(one["margin"]), reverse=True)
        wrong = [one for one in told if one["class"] != one["drawn_as"]]
        other = wrong[0] if wrong else told[-1]
        files = " ".join(f"{self.place}/new-pictures/{one['id']}" for one in (told[0], other))
        of_other = "the surest of the wrong ones" if wrong else "the least sure"
        self._step(
            f"Why? What was found, where, and what it counted for: the surest label, and {of_other}.",
            f"explain {self.place}/model {files} {_asked(split)} -o {self.place}/why",
        )

    def _predict(self, split: "Split") -> list[dict[str, Any]]:
        """Label new pictures of the unseen classes, and say how many are right."""
        from zeroscene import names
        from zeroscene.files import write_text

        truth = _draw_new(self.out / "new-pictures", split.unseen, self.scale)
        write_text(self.out / "unseen.txt", "".join(f"{names.words(name)}\n" for name in split.unseen))
        self._step(
            f"{plural(len(truth), 'new picture')}, in no folder that says what they show.",
            f"predict {self.place}/model {self.place}/new-pictures {_asked(split)} -o {self.place}/labels.csv",
        )
        told = self._told("labels.csv", truth)
        rows = [(one["id"], one["class"], f"{float(one['margin']):.3f}", one["drawn_as"]) for one in told]
        self.output.say(table(("picture", "class", "margin", "drawn as"), rows[:_SHOWN], left=2))
        if len(rows) > _SHOWN:
            self.output.say(f"... and {len(rows) - _SHOWN} more")
        self.output.say(f"{_right(told)}, among {plural(len(split.unseen), 'class')} without a training picture")
        self._step(
            "The same by words alone, without any training picture of any class.",
            f"label {self.place}/new-pictures @{self.place}/unseen.txt -o {self.place}/words.csv",
        )
        self.output.say(_right(self._told("words.csv", truth)))
        return told

    def _map(self, split: "Split") -> None:
        """Map a mosaic of the unseen classes by words alone, and say how much of it is as drawn."""
        from zeroscene import names
        from zeroscene.files import write_text
        from zeroscene.scenes.synthetic.mosaic import METRES, fitting

        there = [name for name in split.unseen if name in fitting(METRES)]
        write_text(self.out / "mapped.txt", "".join(f"{names.words(name)}\n" for name in there))
        self._step(
            "A raster, as a plane brings it home: scenes of the unseen classes, side by side.",
            f"synthetic mosaic --classes @{self.place}/mapped.txt --rows 8 --columns 12 -o {self.place}/mosaic.tif",
        )
        self._step(
            "Its map, wall to wall, by words alone. Open it in QGIS, or look at the preview.",
            f"map {self.place}/mosaic.tif --classes @{self.place}/mapped.txt --refine spatial -o {self.place}/map",
        )
        right = _cells_right(self.out / "mosaic.tif", self.out / "map")
        self.output.say(f"{100 * right:.0f} % of the cells as drawn\npreview: {self.out / 'map' / 'preview.png'}")

    def _told(self, file: str, truth: dict[str, str]) -> list[dict[str, Any]]:
        with (self.out / file).open(encoding="utf-8", newline="") as rows:
            return [{**row, "drawn_as": truth[row["id"]]} for row in csv.DictReader(rows)]

    def _step(self, why: str, line: str, shown: bool = True) -> None:
        """Show a command, run it, and show what it prints unless that stands at the end."""
        self.output.say(f"\n# {why}\n$ {wrapped(f'zeroscene {line}')}")
        said = io.StringIO()
        with redirect_stdout(said):
            code = self.run(shlex.split(line))
        if shown or code:
            self.output.say(said.getvalue().rstrip())
        if code:
            raise typer.Exit(code)

    def _splits(self) -> Sequence["Split"]:
        from zeroscene.scenes.split_files import read_splits

        return read_splits(self.out / "splits.json")


def _right(told: Sequence[dict[str, Any]]) -> str:
    return f"{sum(one['class'] == one['drawn_as'] for one in told)} of {len(told)} right"


def _asked(split: "Split") -> str:
    """Return the unseen classes as the words of a command."""
    from zeroscene import names

    words = [names.words(name) for name in split.unseen]
    return " ".join(f'--classes "{", ".join(words[i : i + _LINE])}"' for i in range(0, len(words), _LINE))


def _plan(name: str) -> str:
    from zeroscene.methods.registry import any_table_names

    options = ", ".join(f"{key}: {value}" for key, value in _ALIGNED_OPTIONS.items())
    methods = [f"{{name: {m}, options: {{{options}}}}}" if m in _ALIGNED else m for m in any_table_names()]
    return (
        f"name: {name}\n"
        "embeddings: {tiny: store}\n"
        "tables: {knowledge: knowledge.csv, annotated: annotated.csv}\n"
        "splits: [splits.json]\n"
        "folds: 3\n"
        "# With few pictures the aligned autoencoders need more and smaller steps.\n"
        "methods:\n" + "".join(f"  - {method}\n" for method in methods)
    )


def _draw_new(folder: Path, classes: Sequence[str], scale: Scale) -> dict[str, str]:
    """Draw pictures that are in no training set under names that say nothing; return what each shows."""
    from zeroscene import names
    from zeroscene.scenes.synthetic import world

    truth = {}
    for number in range(scale.new * len(classes)):
        name, index = classes[number % len(classes)], scale.each + number // len(classes)
        file = folder / f"scene{number + 1:02d}.png"
        if not file.exists():
            world.write(file, world.draw(name, 0, index).pixels)
        truth[file.name] = names.words(name)
    return truth


def _cells_right(mosaic: Path, folder: Path) -> float:
    """Return the share of a mosaic's cells whose middle the map gives the class that was drawn."""
    import numpy as np

    from zeroscene import names
    from zeroscene.maps.scene_map import SceneMap
    from zeroscene.scenes.synthetic.mosaic import Mosaic

    drawn, made = Mosaic.read(mosaic), SceneMap.read(folder)
    right = []
    for row, column in np.ndindex(drawn.labels.shape):
        west, south, east, north = drawn.bounds(row, column)
        found = made.at((west + east) / 2, (south + north) / 2).name
        right.append(found is not None and names.key(found) == names.key(drawn.label(row, column)))
    return sum(right) / len(right)
