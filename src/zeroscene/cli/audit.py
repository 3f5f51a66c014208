"""`zeroscene audit`: do test pictures show ground that the model has already seen?"""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zeroscene.cli.common import OUTPUT, Json, Output, manual, plural, table

if TYPE_CHECKING:
    from zeroscene.embeddings.overlap import Audit, Collection

NAME, PANEL = "audit", "Evaluate"
_SHOWN = 10
HELP = manual(
    """
Find pictures that are, or show the ground of, pictures of another place.

STORE_OR_FOLDER is looked through for pictures that lie in --against too:
copies, the same picture saved again, resized, brighter, turned or mirrored,
and pictures that share a part of their ground. --within compares the
pictures of one place with each other: then a test picture can be told that
overlaps a training picture.

Stores of one encoder are compared by vectors first, folders by sketches of
the pictures; the pixels decide. Where the pictures of a store are gone,
vectors alone decide and find little but the same file.

The pairs are written as a CSV. Name it in the plan of a benchmark (overlap:
overlap.csv), and every figure is given without these test pictures as well.
""",
    [
        "zeroscene audit store --within -o overlap.csv",
        "zeroscene audit new-pictures --against pictures -o overlap.csv",
    ],
    {1: "overlaps were found and are listed"},
)

Place = Annotated[Path, typer.Argument(metavar="STORE_OR_FOLDER", help="Store of embeddings, or folder of pictures.")]


def command(
    place: Place,
    *,
    against: Annotated[Path | None, typer.Option("--against", help="The other store, or folder of pictures.")] = None,
    within: Annotated[bool, typer.Option("--within", help="Compare the pictures with each other.")] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The pairs, .csv.", rich_help_panel=OUTPUT)] = None,
    as_json: Json = False,
) -> None:
    """Print and write the pairs; exit with 1 where there are any."""
    from zeroscene.embeddings.overlap import find_overlaps
    from zeroscene.embeddings.overlap_files import OverlapFile
    from zeroscene.errors import OptionError

    if within == (against is not None):
        raise OptionError("say either --against OTHER, or --within to compare the pictures with each other")
    output = Output(as_json)
    other = _collection(against) if against is not None else None
    audit = find_overlaps(_collection(place), other)
    if out is not None:
        OverlapFile(str(against) if against is not None else "", audit.pairs).write(out)
    _tell(output, audit, out)
    output.result(_value(audit, place, against))
    if audit.pairs:
        raise typer.Exit(1)


def _collection(place: Path) -> "Collection":
    from zeroscene.embeddings.overlap import Collection
    from zeroscene.embeddings.store import EmbeddingStore
    from zeroscene.serving.sources import Origin
    from zeroscene.serving.stores import is_store, open_pictures

    if not is_store(place):
        return Collection.of_folder(open_pictures(place), str(place))
    origin = Origin.read(place)
    pictures = Path(origin.pictures) if origin is not None and origin.pictures else None
    return Collection.of_store(EmbeddingStore.open(place), pictures)


def _tell(output: Output, audit: "Audit", out: Path | None) -> None:
    from zeroscene.embeddings.overlap import KINDS

    one, other = audit.pictures
    how = (
        f"the pixels of {plural(audit.candidates, 'pair')}"
        if audit.by_pixels
        else f"vectors alone, cosine {audit.threshold:.4f} or more; the pictures are not at hand"
    )
    output.say(f"{plural(one, 'picture')} looked for among {other:,}, by {how}")
    for (place, picture), reason in list(audit.unreadable.items())[:_SHOWN]:
        output.say(f"left out    {place}: {picture}: {reason}")
    if len(audit.unreadable) > _SHOWN:
        output.say(f"left out    {len(audit.unreadable) - _SHOWN:,} more")
    if not audit.pairs:
        output.say("no overlaps found")
        return
    counts = Counter(pair.kind for pair in audit.pairs)
    output.say()
    rows = [(kind, f"{counts[kind]:,}", told) for kind, told in KINDS.items() if counts[kind]]
    output.say(table(("kind", "pairs", "which means"), [(k, told, n) for k, n, told in rows], left=2))
    output.say()
    surest = sorted(audit.pairs, key=lambda pair: (-pair.shared * pair.similarity, pair.id))[:_SHOWN]
    shown = [(p.id, p.other, p.kind, f"{p.similarity:.2f}", f"{p.shared:.0%}") for p in surest]
    output.say(table(("picture", "other", "kind", "alike", "shared"), shown, left=3))
    more = len(audit.pairs) - len(surest)
    output.say(
        f"{f'and {more:,} more; ' if more else ''}{f'all pairs: {out}' if out else 'write all with -o FILE.csv'}"
    )
    if audit.by_chance:
        count = plural(audit.by_chance, "pair")
        output.say(f"up to {count} of these may be chance: so many fit in a second orientation too")


def _value(audit: "Audit", place: Path, against: Path | None) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "place": str(place),
        "against": str(against) if against is not None else None,
        "pictures": list(audit.pictures),
        "by_pixels": audit.by_pixels,
        "candidates": audit.candidates,
        "threshold": round(audit.threshold, 6),
        "by_chance": audit.by_chance,
        "pairs": [asdict(pair) for pair in audit.pairs],
        "unreadable": [{"place": p, "id": i, "reason": reason} for (p, i), reason in audit.unreadable.items()],
    }
