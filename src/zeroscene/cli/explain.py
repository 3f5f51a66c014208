"""`zeroscene explain`: why pictures were given their classes, and what a class rests on."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zeroscene.cli.common import (
    OUTPUT,
    Download,
    Gamma,
    Json,
    MovedEncoder,
    Output,
    SentenceEncoder,
    manual,
    one_of,
    plural,
)

if TYPE_CHECKING:
    from zeroscene.embeddings.embeddings import Embeddings
    from zeroscene.encoders.base import ImageEncoder
    from zeroscene.explain.card import Card
    from zeroscene.scenes.folder import SceneFolder
    from zeroscene.semantics.table import ClassTable
    from zeroscene.serving.model import Model

NAME, PANEL = "explain", "Learn and predict"
FORMATS = ("html", "png", "json")
_WORTH = "faithfulness.json"
HELP = manual(
    """
Say why pictures are given their classes.

PICTURES are pictures or folders of them. For each, a card is written: the
attributes that were found, with their strength; where they were found, as
maps over the picture; what each contributes to the class, and what speaks
for it and against it rather than the runner-up, or rather than the class of
--against. The contributions of all attributes add up to the score that
`predict` gives.

--faithfulness tells whether the maps mean anything: the picture is covered
place by place in their order, and its class should lose more than when it is
covered in random orders. It encodes each picture some 170 times.

--class writes the card of a class: what pictures must show for it, and which
classes are near. It needs no pictures.

Only methods that look at the places of a picture have reasons to show: dsva.
""",
    [
        'zeroscene explain model harbour.jpg --classes "harbor, beach, lake" -o why',
        "zeroscene explain model new-pictures --against beach --format png --faithfulness -o why",
        "zeroscene explain model --class harbor -o why",
    ],
)


def command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder that `fit` wrote.")],
    pictures: Annotated[
        list[Path] | None, typer.Argument(metavar="PICTURES", help="Pictures, or folders of them.", show_default=False)
    ] = None,
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the cards.", rich_help_panel=OUTPUT)],
    classes: Annotated[
        list[str] | None,
        typer.Option("--classes", "-c", help="Table file, names with commas, or @FILE; without it, those of the fit."),
    ] = None,
    against: Annotated[str | None, typer.Option("--against", help="The class of 'why not ...?'.")] = None,
    faithfulness: Annotated[bool, typer.Option("--faithfulness", help="Measure what the maps are worth.")] = False,
    of_class: Annotated[list[str] | None, typer.Option("--class", help="Class to write a card of.")] = None,
    formats: Annotated[
        str, typer.Option("--format", help="Any of html, png and json, with commas.", rich_help_panel=OUTPUT)
    ] = "html,json",
    gamma: Gamma = None,
    encoder: MovedEncoder = None,
    text_encoder: SentenceEncoder = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Write the cards and tell the reasons."""
    from zeroscene.errors import OptionError
    from zeroscene.explain.evidence import explainable
    from zeroscene.serving.model import Model

    output, wanted = Output(as_json), _formats(formats)
    if not pictures and not of_class:
        raise OptionError("nothing to explain: give pictures, or a class with --class NAME")
    scenes = _scenes(pictures) if pictures else None
    loaded = Model.load(model)
    able = explainable(loaded.method)
    if faithfulness and "local" not in able.predicting:
        raise OptionError(
            f"{model} does not predict by the places of a picture, so there is no map to measure; fit it with "
            "predict=all, or on a class table that brings words for its attributes (annotate)"
        )
    table = loaded.classes(classes, text_encoder, download)
    if against is not None:
        table.select([against])
    cards = [_class_card(loaded, table, name, out, wanted, text_encoder, download) for name in of_class or ()]
    value: dict[str, Any] = {"model": str(model), "out": str(out), "classes": cards, "pictures": [], "skipped": []}
    for card in cards:
        output.say(f"{card['class']} rests on {card['rests_on']}")
    if scenes is not None:
        targets = _targets(scenes, out, wanted)
        eye = loaded.encoder(encoder, download=download)
        told = _Told(loaded, eye, table, against, _subtracted(loaded, table, gamma), faithfulness)
        value |= _explain(told, scenes, targets, out, wanted, output)
    _summary(value, out, output)
    output.result(value)


class _Told:
    """What is asked about every picture."""

    def __init__(
        self,
        model: "Model",
        encoder: "ImageEncoder",
        table: "ClassTable",
        against: str | None,
        subtracted: dict[str, float],
        faithfulness: bool,
    ) -> None:
        self.model, self.encoder, self.table = model, encoder, table
        self.against, self.subtracted, self.faithfulness = against, subtracted, faithfulness

    def cards(self, x: "Embeddings", scenes: "SceneFolder") -> Iterator["Card"]:
        """Yield the card of each picture."""
        from zeroscene.explain.card import make_card
        from zeroscene.explain.evidence import explain
        from zeroscene.explain.faithfulness import measure
        from zeroscene.scenes.decode import decode

        method, table = self.model.method, self.table
        for evidence in explain(method, x, table, against=self.against, subtracted=self.subtracted):
            pixels, measured = decode(scenes.path(evidence.picture)), None
            if self.faithfulness and evidence.class_map_HW is not None:
                measured = measure(
                    method, self.encoder, pixels, table, evidence.chosen, evidence.class_map_HW,
                    picture=evidence.picture,
                )  # fmt: skip
            yield make_card(evidence, pixels, self.encoder.geometry, measured)


def _explain(
    told: _Told, scenes: "SceneFolder", targets: dict[str, Path], out: Path, wanted: Sequence[str], output: Output
) -> dict[str, Any]:
    """Write the cards of pictures; returns what was told about them."""
    from dataclasses import replace

    from zeroscene.embeddings.crops import Crops
    from zeroscene.explain.faithfulness import Worth
    from zeroscene.files import write_json
    from zeroscene.progress import progress
    from zeroscene.serving.stores import passing_store

    rows: list[dict[str, Any]] = []
    measured = []
    with passing_store(scenes, told.encoder, out / "cards", grid=True) as store:
        x = replace(store.read(grids=True), crops=Crops(scenes, lambda: told.encoder))
        with progress("explaining", len(x)) as advance:
            for card in told.cards(x, scenes):
                place = targets[card.evidence.picture]
                files = _write(card, scenes.path(card.evidence.picture), place, wanted)
                rows.append(_row(card, files))
                measured += [card.faithfulness] if card.faithfulness else []
                advance(1)
        skipped = [{"id": one.id, "reason": one.reason} for one in store.skipped]
    value: dict[str, Any] = {"pictures": rows, "skipped": skipped}
    for row in rows:
        output.say(f"{row['picture']}: {row['why']}")
    for one in skipped:
        typer.echo(f"skipped {one['id']}: {one['reason']}", err=True)
    if measured:
        value["faithfulness"] = Worth.of(measured).to_json()
        write_json(out / _WORTH, value["faithfulness"])
    return value


def _write(card: "Card", picture: Path, place: Path, wanted: Sequence[str]) -> list[str]:
    from zeroscene.explain.maps import Georeference
    from zeroscene.explain.page import write_page
    from zeroscene.explain.png import write_png
    from zeroscene.files import write_json

    files = {form: _file(place, form) for form in wanted}
    if "html" in files:
        write_page(card, files["html"])
    if "png" in files:
        write_png(card, files["png"])
    if "json" in files:
        ground = Georeference.of_file(picture, card.frame.height, card.frame.width)
        write_json(files["json"], card.to_json(ground))
    return [str(file) for file in files.values()]


def _row(card: "Card", files: list[str]) -> dict[str, Any]:
    told = card.evidence.to_json()
    kept = ("picture", "class", "rather_than", "margin", "why")
    return {**{name: told[name] for name in kept}, "files": files}


def _class_card(
    model: "Model",
    table: "ClassTable",
    name: str,
    out: Path,
    wanted: Sequence[str],
    text_encoder: str | None,
    download: bool,
) -> dict[str, Any]:
    """Write the card of a class; returns what was told about it."""
    from zeroscene import names
    from zeroscene.explain.card import signed
    from zeroscene.explain.classes import explain_class
    from zeroscene.explain.page import write_class_page
    from zeroscene.explain.png import write_class_png
    from zeroscene.files import write_json

    among = _beside(table, model.table)
    if name not in among:
        among = _beside(among, model.classes([name], text_encoder, download))
    evidence = explain_class(model.method, among, name)
    files = {form: _file(out / f"class-{names.words(evidence.name).replace(' ', '-')}", form) for form in wanted}
    if "html" in files:
        write_class_page(evidence, files["html"])
    if "png" in files:
        write_class_png(evidence, files["png"])
    if "json" in files:
        write_json(files["json"], evidence.to_json())
    strongest = ", ".join(f"{names.words(w.attribute)} {signed(w.effect)}" for w in evidence.weights[:4])
    return {
        "class": evidence.name, "seen": evidence.seen, "rests_on": strongest,
        "near": [near.name for near in evidence.near[:3]], "files": [str(file) for file in files.values()],
    }  # fmt: skip


def _beside(table: "ClassTable", other: "ClassTable | None") -> "ClassTable":
    """Return a table with the classes that only the other one has, where both are of one vector space."""
    if other is None or other.space != table.space:
        return table
    new = [name for name in other.classes if name not in table]
    return table.union(other.select(new)) if new else table


def _subtracted(model: "Model", table: "ClassTable", gamma: float | None) -> dict[str, float]:
    """Return what calibration subtracts from each class: gamma from seen ones where there are others too."""
    from zeroscene import names

    known = {names.key(name) for name in model.method.require_fitted().seen}
    seen = [name for name in table.classes if names.key(name) in known]
    if not seen or len(seen) == len(table):
        return {}
    return dict.fromkeys(seen, model.gamma if gamma is None else gamma)


def _scenes(given: Sequence[Path]) -> "SceneFolder":
    """Return the given pictures, and those of the given folders, as one set without labels.

    Raises:
        DatasetNotFoundError: there is no such picture or folder.
        DataFormatError: a folder holds no picture.
        OptionError: a folder is an embedding store, which keeps no pictures.
    """
    from os.path import commonpath

    from zeroscene.errors import DatasetNotFoundError, OptionError
    from zeroscene.scenes.folder import SceneFolder
    from zeroscene.serving.stores import is_store

    if len(given) == 1 and given[0].is_dir() and not is_store(given[0]):
        return SceneFolder.open_flat(given[0])
    paths: list[Path] = []
    for one in given:
        if not one.exists():
            raise DatasetNotFoundError(f"no picture or folder {one}")
        if one.is_dir() and is_store(one):
            raise OptionError(f"{one} is an embedding store, which keeps no pictures: give their folder")
        inside = SceneFolder.open_flat(one) if one.is_dir() else None
        paths += [one] if inside is None else [inside.path(picture) for picture in inside.ids]
    whole = [path.absolute() for path in paths]
    root = Path(commonpath([path.parent for path in whole]))
    return SceneFolder(root, tuple(sorted({path.relative_to(root).as_posix() for path in whole})), None, ())


def _targets(scenes: "SceneFolder", out: Path, wanted: Sequence[str]) -> dict[str, Path]:
    """Return where the card of each picture goes, without the suffix.

    Raises:
        OptionError: a card would be written over a picture.
    """
    from zeroscene.errors import OptionError

    bare = Counter(str(Path(picture).with_suffix("")) for picture in scenes.ids)
    targets = {
        picture: out / (picture if bare[str(Path(picture).with_suffix(""))] > 1 else Path(picture).with_suffix(""))
        for picture in scenes.ids
    }
    there = {scenes.path(picture).resolve() for picture in scenes.ids}
    for target in targets.values():
        for form in wanted:
            if _file(target, form).resolve() in there:
                raise OptionError(f"the card {_file(target, form)} would overwrite the picture; give another --out")
    return targets


def _file(place: Path, form: str) -> Path:
    return place.with_name(f"{place.name}.{form}")


def _formats(given: str) -> list[str]:
    wanted = list(dict.fromkeys(part.strip().lower() for part in given.split(",")))
    for form in wanted:
        one_of("--format", form, FORMATS)
    return wanted


def _summary(value: dict[str, Any], out: Path, output: Output) -> None:
    worth = value.get("faithfulness")
    if worth:
        falls, rises = worth["deletion_gain"], worth["insertion_gain"]
        output.say(
            f"faithfulness over random orders: deletion {falls['mean']:+.2f} ± {falls['deviation']:.2f}, insertion "
            f"{rises['mean']:+.2f} ± {rises['deviation']:.2f}, better for {100 * worth['better_than_random']:.0f} %"
        )
    counts = ((len(value["pictures"]), "picture"), (len(value["classes"]), "class"))
    output.say(f"{' and '.join(plural(count, noun) for count, noun in counts if count)} explained: {out}")
