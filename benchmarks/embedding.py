"""Rate and memory of embedding, beside the usual eager float32 Hugging Face + Pillow loop, in one run.

    python benchmarks/embedding.py PICTURES ENCODER [--count 400] [--rounds 3]

PICTURES is a folder with one folder a class, ENCODER a model in the Hugging Face layout. The rival and this package
take turns over the same pictures, so that a busy machine slows both alike; each figure is the median of the rounds.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from zeroscene.embeddings.extract import extract
from zeroscene.encoders.huggingface import HuggingFaceImageEncoder, load_image_encoder
from zeroscene.encoders.source import quiet
from zeroscene.scenes.folder import SceneFolder

MEMORY_COUNTS = (500, 2000)
BATCH = 16


def some(root: Path, count: int) -> SceneFolder:
    """Return `count` pictures spread over all classes."""
    scenes = SceneFolder.open(root)
    assert scenes.labels is not None
    rows = np.linspace(0, len(scenes) - 1, min(count, len(scenes))).astype(int)
    return replace(scenes, ids=tuple(scenes.ids[i] for i in rows), labels=tuple(scenes.labels[i] for i in rows))


def rival(folder: Path) -> Callable[[SceneFolder], np.ndarray]:
    """Return the loop that is usually written: Pillow, AutoImageProcessor, eager float32, batches of 32."""
    from transformers import AutoImageProcessor, AutoModel

    with quiet():
        processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
        model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()

    @torch.no_grad()
    def run(scenes: SceneFolder) -> np.ndarray:
        vectors = []
        for start in range(0, len(scenes), 32):
            pictures = [Image.open(scenes.path(i)).convert("RGB") for i in scenes.ids[start : start + 32]]
            out = model(**processor(images=pictures, return_tensors="pt"))
            vectors.append(out.pooler_output.flatten(1).numpy())
        return np.concatenate(vectors)

    return run


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def forward(encoder: HuggingFaceImageEncoder, count: int) -> None:
    """Run the encoder alone over as many pictures, already in memory."""
    pictures = torch.randint(0, 256, (BATCH, 3, *encoder.geometry.size), dtype=torch.uint8)
    for start in range(0, count, BATCH):
        encoder.encode(pictures[: min(BATCH, count - start)])


def compare(root: Path, folder: Path, count: int, rounds: int) -> None:
    scenes = some(root, count)
    usual = rival(folder)
    backends = ["torch", *(["openvino"] if importlib.util.find_spec("openvino") else [])]
    encoders = {backend: load_image_encoder(folder, backend=backend) for backend in backends}
    warm = some(root, 2 * BATCH)
    usual(warm)
    for encoder in encoders.values():
        forward(encoder, 2 * BATCH)
    times: dict[str, list[float]] = {"usual": []}
    reference = np.empty(0)
    vectors = {}
    for _ in range(rounds):
        start = time.perf_counter()
        reference = usual(scenes)
        times["usual"].append(time.perf_counter() - start)
        for backend, encoder in encoders.items():
            # Forward before and after: what else runs on the machine may change in between.
            before = seconds(lambda encoder=encoder: forward(encoder, len(scenes)))
            with tempfile.TemporaryDirectory() as place:
                store = Path(place) / "store"
                whole = seconds(lambda e=encoder, s=store: extract(scenes, e, s, batch=BATCH))
                vectors[backend] = extract(scenes, encoder, store, batch=BATCH).read().x
            after = seconds(lambda encoder=encoder: forward(encoder, len(scenes)))
            times.setdefault(backend, []).append(whole)
            times.setdefault(f"{backend} forward", []).append((before + after) / 2)
    usual_time = statistics.median(times["usual"])
    first = next(iter(encoders.values()))
    print(f"{len(scenes)} pictures, {rounds} rounds, {torch.get_num_threads()} threads, precision {first.precision}")
    print(f"usual loop (fp32, eager, Pillow)   {len(scenes) / usual_time:7.1f} pictures/s")
    for backend in backends:
        whole, alone = (statistics.median(times[name]) for name in (backend, f"{backend} forward"))
        ratio, hidden = usual_time / whole, alone / whole
        cosine = (reference * vectors[backend]).sum(1)
        cosine /= np.linalg.norm(reference, axis=1) * np.linalg.norm(vectors[backend], axis=1)
        print(
            f"zeroscene, {backend:8} end to end     {len(scenes) / whole:7.1f} pictures/s   {ratio:.2f}x the usual "
            f"loop, {hidden:.0%} of its forward rate ({len(scenes) / alone:.1f}); cosine to fp32 mean "
            f"{cosine.mean():.5f}, least {cosine.min():.5f}"
        )


def peak(root: Path, folder: Path, count: int) -> None:
    """Print the peak memory of this process after embedding `count` pictures."""
    with tempfile.TemporaryDirectory() as place:
        extract(some(root, count), load_image_encoder(folder), Path(place) / "store", batch=BATCH)
    # Not getrusage: its peak includes the memory of the process that started this one.
    status = Path("/proc/self/status").read_text()
    print(json.dumps(int(status.split("VmHWM:")[1].split()[0]) / 1024))


def memory(root: Path, folder: Path) -> None:
    peaks = []
    for count in MEMORY_COUNTS:
        command = [sys.executable, __file__, str(root), str(folder), "--peak", str(count)]
        run = subprocess.run(command, check=True, capture_output=True, text=True)
        peaks.append(json.loads(run.stdout))
        print(f"peak memory, {count:5} pictures        {peaks[-1]:7.0f} MiB")
    print(f"peak memory, ratio                 {peaks[1] / peaks[0]:7.2f}")


def reading() -> None:
    """Print how fast a store is read, beside a copy of the same bytes in memory."""
    from zeroscene.embeddings.parts import PartRows, read_part, vectors, write_part

    x = np.random.default_rng(0).standard_normal((4096, 2048)).astype(np.float32)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "part-00000.parquet"
        nothing = [None] * len(x)
        write_part(path, PartRows("", [f"{i}" for i in range(len(x))], nothing, nothing, x, None, []))
        read = min(seconds(lambda: vectors(read_part(path, ("embedding",))["embedding"], (2048,))) for _ in range(5))
    copy = min(seconds(x.copy) for _ in range(5))
    rates = x.nbytes / read / 1e9, x.nbytes / copy / 1e9
    print(f"reading a store, checked           {rates[0]:7.2f} GB/s   (memory copy {rates[1]:.1f})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("encoder", type=Path)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-memory", action="store_true", help="leave out the two memory runs")
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        peak(options.pictures, options.encoder, options.peak)
    else:
        compare(options.pictures, options.encoder, options.count, options.rounds)
        reading()
        if not options.no_memory:
            memory(options.pictures, options.encoder)
