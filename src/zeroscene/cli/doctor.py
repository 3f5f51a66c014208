"""`zeroscene doctor`: is this installation, this data set, this encoder as it should be?"""

from pathlib import Path
from typing import Annotated, Any

import typer

from zeroscene.cli.common import Json, Output, manual, plural

NAME, PANEL = "doctor", "Help"
HELP = manual(
    """
Check the installation, and a data set or an encoder if you name one.

Prints versions, what the processor offers (bfloat16 makes encoders several
times faster), which optional parts are installed, and which models are in
the local Hugging Face cache. With --dataset, a folder is compared with what
the published benchmark contains; every class and count that differs is
named. The encoder that ships, or the one that --encoder names, is loaded and
sees one picture; of an image-text model, drawn pictures must find their
texts, and find them best behind the preprocessing that its folder declares.
""",
    [
        "zeroscene doctor",
        "zeroscene doctor --folder ucmerced --dataset ucmerced",
        "zeroscene doctor --encoder models/dinov2-base",
    ],
    {1: "problems were found and are listed"},
)

_EXTRAS = {"fast": ("openvino",)}


def command(
    folder: Annotated[Path | None, typer.Option("--folder", help="A folder of pictures, one folder a class.")] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="The benchmark that the folder should hold, such as ucmerced.")
    ] = None,
    encoder: Annotated[str, typer.Option("--encoder", help="A model folder or a hub id.")] = "tiny",
    as_json: Json = False,
) -> None:
    """Print the findings; exit with 1 where there are problems."""
    from zeroscene.errors import OptionError

    if dataset is not None and folder is None:
        raise OptionError("--dataset needs --folder: which folder should hold it?")
    output, problems = Output(as_json), list[str]()
    found: dict[str, Any] = {"environment": _environment(output), "processor": _processor(output)}
    found["extras"] = _extras(output)
    found["cached_models"] = _cached(output)
    if folder is not None:
        found["folder"] = _folder(folder, dataset, output, problems)
    found["encoder"] = _encoder(encoder, output, problems)
    found["problems"] = problems
    output.say()
    output.say(f"{plural(len(problems), 'problem')}:" if problems else "no problems found")
    for problem in problems:
        output.say(f"  {problem}")
    output.result(found)
    if problems:
        raise typer.Exit(1)


def _environment(output: Output) -> dict[str, Any]:
    from zeroscene.provenance import environment

    found = environment()
    versions = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
    output.say(f"zeroscene   {found['zeroscene']} with Python {found['python']} on {found['machine']}")
    output.say(f"packages    {versions}")
    return found


def _processor(output: Output) -> dict[str, Any]:
    import os

    import torch

    from zeroscene.encoders.speed import arithmetic, device

    found = {
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "device": device().type,
        "arithmetic": arithmetic("auto"),
    }
    output.say(
        f"processor   {found['cores']} cores, {found['threads']} threads, {found['capability']}; encoders run on "
        f"{found['device']} in {found['arithmetic']}"
    )
    return found


def _extras(output: Output) -> dict[str, bool]:
    from importlib.util import find_spec

    found = {name: all(find_spec(module) is not None for module in modules) for name, modules in _EXTRAS.items()}
    for name, there in found.items():
        output.say(f"extra       {name}: {'installed' if there else f'not installed (pip install zeroscene[{name}])'}")
    return found


def _cached(output: Output) -> list[str]:
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        found = sorted(repo.repo_id for repo in scan_cache_dir().repos if repo.repo_type == "model")
    except CacheNotFound:
        found = []
    output.say(f"cached      {', '.join(found) if found else 'no Hugging Face models'}")
    return found


def _folder(folder: Path, dataset: str | None, output: Output, problems: list[str]) -> dict[str, Any]:
    from zeroscene.scenes.folder import SceneFolder

    scenes = SceneFolder.open(folder)
    output.say(f"folder      {folder}: {plural(len(scenes), 'picture')} of {plural(len(scenes.classes), 'class')}")
    if dataset is not None:
        from zeroscene.scenes.catalog import benchmark

        found = benchmark(dataset).verify(folder)
        output.say(f"benchmark   {found.lines[0]}")
        problems += [] if found.ok else found.lines[1:]
    return {"pictures": len(scenes), "classes": list(scenes.classes)}


def _encoder(source: str, output: Output, problems: list[str]) -> dict[str, Any]:
    import numpy as np
    import torch

    from zeroscene.errors import ZeroSceneError
    from zeroscene.serving.sources import open_image_encoder

    try:
        encoder = open_image_encoder(source)
        grey = encoder.prepare(np.full((64, 64, 3), 128, np.uint8))
        vectors = encoder.encode(grey[None]).pooled_BD
    except ZeroSceneError as error:
        problems.append(str(error))
        return {"source": source}
    if not bool(torch.isfinite(vectors).all()):
        problems.append(f"encoder {source}: a plain grey picture gives a vector that is not finite")
    identity = encoder.identity
    output.say(f"encoder     {identity.name}: {encoder.width} wide, {identity.output}, grid {encoder.grid or 'none'}")
    found = {"source": source, "width": encoder.width, "grid": encoder.grid, "identity": identity.to_json()}
    if identity.output == "projection":
        found["self_check"] = _self_check(source, output, problems)
    return found


def _self_check(source: str, output: Output, problems: list[str]) -> dict[str, Any] | None:
    from dataclasses import asdict

    from zeroscene.embeddings.sanity import self_check
    from zeroscene.encoders.dual import load_dual_encoder
    from zeroscene.errors import ZeroSceneError

    try:
        dual = load_dual_encoder(source)
    except ZeroSceneError as error:  # a tower of pictures alone is a sound encoder
        output.say(f"self-check  not made: {error}")
        return None
    try:
        found = self_check(dual.image, dual.text)
    except ZeroSceneError as error:
        problems.append(str(error))
        return None
    output.say(
        f"self-check  {found.accuracy:.0%} of drawn pictures find their text (chance {found.chance:.0%}), "
        f"{found.margin:.1f} deviations above the others"
    )
    problems += found.warnings
    return asdict(found)
