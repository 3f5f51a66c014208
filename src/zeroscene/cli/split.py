"""`zeroscene split`: which classes are seen and which unseen."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zeroscene.cli.common import OUTPUT, ClassFolder, Dataset, Json, Names, Output, manual, plural
from zeroscene.serving.class_names import class_names

if TYPE_CHECKING:
    from zeroscene.scenes.splits import Split

app = typer.Typer(no_args_is_help=True, help="Divide classes into seen and unseen ones.")

Out = Annotated[Path, typer.Option("--out", "-o", help="The split file, .json.", rich_help_panel=OUTPUT)]
Count = Annotated[int, typer.Option("--count", help="Number of splits.")]
Seed = Annotated[int, typer.Option("--seed", help="Changes the draw.")]


@app.command(
    "random",
    help=manual(
        """
Draw splits at random: the same seed gives the same splits on any machine.
""",
        [
            "zeroscene split random --dataset ucmerced --unseen 5 --count 25 --seed 0 -o splits.json",
            "zeroscene split random --folder pictures --unseen 3 -o splits.json",
        ],
    ),
)
def random(
    names: Names = None,
    *,
    unseen: Annotated[int, typer.Option("--unseen", help="Number of unseen classes.")],
    out: Out,
    count: Count = 1,
    seed: Seed = 0,
    dataset: Dataset = None,
    folder: ClassFolder = None,
    as_json: Json = False,
) -> None:
    """Write the splits."""
    from zeroscene.scenes.splits import random_splits

    classes = class_names(names, dataset, folder)
    of = dataset or (folder.resolve().name if folder else "classes")
    _write(random_splits(of, classes, unseen, count, seed), out, Output(as_json))


@app.command(
    "standard",
    help=manual(
        """
Draw splits at a ratio that papers use for a benchmark, such as 16 seen and
5 unseen classes of UC Merced. The classes are drawn like those of `random`;
where a paper publishes its own lists, give them as a file instead.
""",
        [
            "zeroscene split standard ucmerced 16/5 --count 25 -o splits.json",
            "zeroscene split standard rssdivcs 60/10 --count 5 -o splits.json",
        ],
    ),
)
def standard(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Name of the benchmark.")],
    ratio: Annotated[str, typer.Argument(metavar="SEEN/UNSEEN", help="Such as 16/5.")],
    *,
    out: Out,
    count: Count = 1,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Write the splits."""
    from zeroscene.scenes.catalog import standard_splits

    _write(standard_splits(dataset, ratio, count, seed), out, Output(as_json))


@app.command("show", help=manual("Show the splits of a file.", ["zeroscene split show splits.json"]))
def show(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Split file.")],
    as_json: Json = False,
) -> None:
    """Print the splits."""
    from zeroscene.scenes.split_files import read_splits

    output, splits = Output(as_json), read_splits(path)
    output.say(f"{path}: {plural(len(splits), 'split')} of {splits[0].dataset}")
    for split in splits:
        held = f", {plural(len(split.held_out), 'picture')} held out" if split.held_out else ""
        output.say(f"  {split.name}: {len(split.seen)} seen, unseen: {', '.join(split.unseen)}{held}")
    output.result([split.to_json() for split in splits])


def read_one(given: str) -> "Split":
    """Return the split that `FILE` or `FILE:NAME` stands for.

    Raises:
        DatasetNotFoundError: there is no such file.
        OptionError: the file holds several splits and none is named.
        UnknownNameError: no split of the file has this name.
    """
    from zeroscene import names
    from zeroscene.errors import OptionError
    from zeroscene.scenes.split_files import read_splits

    file, separator, name = (given, "", "") if Path(given).is_file() else given.rpartition(":")
    splits = read_splits(Path(file if separator else given))
    if not separator:
        if len(splits) > 1:
            raise OptionError(f"{given} holds {len(splits)} splits; say which: {given}:{splits[0].name}")
        return splits[0]
    found = {split.name: split for split in splits}
    if name not in found:
        raise names.unknown([name], list(found), f"split in {file}")
    return found[name]


def _write(splits: Any, out: Path, output: Output) -> None:
    from zeroscene.scenes.split_files import write_splits

    write_splits(out, splits)
    output.say(
        f"{plural(len(splits), 'split')} of {len(splits[0].seen)} seen and {len(splits[0].unseen)} unseen: {out}"
    )
    output.result({"file": str(out), "splits": [split.name for split in splits]})
