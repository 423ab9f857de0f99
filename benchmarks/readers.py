"""One measurement of reading, in a process of its own: `python -m benchmarks.readers SPEC`.

SPEC is JSON, see `Spec`. Prints `Read` as JSON. Every reader is a dataset that torch's DataLoader
takes; every decoder is called in the worker, and arrays cross to the trainer's process as tensors.
"""

from __future__ import annotations

import dataclasses
import importlib
import io
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import datasets
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, IterableDataset

READERS = {"parquet": "datasets", "webdataset": "webdataset", "mds": "streaming"}
"""The module of each."""
DECODERS = ("raw", "own", "opencv", "numpy", "arrow")
"""Bytes alone; as each library's pages show it; OpenCV alike for all; and for Parquet two more
formats of `datasets`: `with_format("numpy")`, and Arrow tables decoded by OpenCV."""

Pictures = dict[str, Any]


@dataclass(frozen=True)
class Spec:
    """What to read and how.

    Attributes:
        reader, decoder: of `READERS` and `DECODERS`.
        where: a folder; or, if `hub`, the name of a repository.
        hub: the address of the Hub, or empty.
        workers: of the DataLoader.
        files: the names of the files, which webdataset wants to know.
    """

    reader: str
    decoder: str
    where: str
    hub: str
    workers: int
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Read:
    """What came of it.

    Attributes:
        first_row: seconds from nothing opened to the first row, without a DataLoader.
        rows_per_second: from the first row of the DataLoader to the last.
        rows: how many there were.
        cpu_per_row: seconds of processor time, of this process and its workers together, with
            their start; it tells more than the clock where a machine has other work.
        bytes_read: by `read` of the process and its workers, in the run with the DataLoader;
            memory maps are not in it, nor what a Hub sends.
    """

    first_row: float
    rows_per_second: float
    rows: int
    cpu_per_row: float
    bytes_read: int


def main() -> None:
    """Measure."""
    values = json.loads(sys.argv[1])
    print(json.dumps(dataclasses.asdict(measure(Spec(**values)))), flush=True)
    # Arrow's threads, where a stream was left before its end, may abort a process that ends.
    os._exit(0)


def measure(spec: Spec) -> Read:
    """Open twice: for the first row, then for all of them."""
    # As a trainer with several workers has to.
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    decode = _decoder(spec)
    # Imported before the clock starts: a trainer has imported it long since.
    importlib.import_module(READERS[spec.reader])
    started = time.perf_counter()
    decode(next(iter(_opened(spec))))
    first_row = time.perf_counter() - started
    before, cpu_before = _read_so_far(), _processor_seconds()
    loader = DataLoader(_opened(spec), batch_size=None, num_workers=spec.workers, collate_fn=decode)
    times = [time.perf_counter() for _ in loader]
    del loader
    rate = (len(times) - 1) / (times[-1] - times[0])
    cpu = (_processor_seconds() - cpu_before) / len(times)
    return Read(first_row, rate, len(times), cpu, _read_so_far() - before)


def _processor_seconds() -> float:
    """Return what this process and its finished children took."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _read_so_far() -> int:
    """Return the bytes that this process and its finished children read."""
    fields = Path("/proc/self/io").read_text(encoding="utf-8").split()
    return int(fields[fields.index("rchar:") + 1])


def _opened(spec: Spec) -> Any:
    return {"parquet": _parquet, "webdataset": _webdataset, "mds": _mds}[spec.reader](spec)


def _parquet(spec: Spec) -> Any:
    stream = datasets.load_dataset(spec.where, split="train", streaming=True)
    if spec.decoder == "numpy":
        return stream.with_format("numpy")
    if spec.decoder == "arrow":
        return _Tables(stream)
    return stream if spec.decoder == "own" else stream.decode(False)


class _Tables(IterableDataset):
    """Rows of a stream's Arrow tables, without the way through Python's objects."""

    def __init__(self, stream: Any) -> None:
        # Whatever torch knows of a stream's workers it learns from its type.
        self._stream = stream.with_format("arrow")

    def __iter__(self) -> Iterator[Pictures]:
        for table in self._stream:
            columns = {
                name: table.column(name).combine_chunks().field("bytes")
                for name in ("image", "mask")
            }
            for row in range(len(table)):
                yield {name: {"bytes": column[row].as_buffer()} for name, column in columns.items()}


def _webdataset(spec: Spec) -> Any:
    import webdataset

    start = f"{spec.hub}/datasets/{spec.where}/resolve/main" if spec.hub else spec.where
    urls = [f"{start}/{name}" for name in spec.files]
    pairs = webdataset.WebDataset(urls, shardshuffle=False, empty_check=False)
    return pairs.decode("pil") if spec.decoder == "own" else pairs


def _mds(spec: Spec) -> Any:
    from streaming import StreamingDataset

    if not spec.hub:
        return StreamingDataset(local=spec.where, shuffle=False, batch_size=1)
    # What was fetched stays in its cache, so that each opening needs another one.
    remote = f"hf://datasets/{spec.where}"
    return StreamingDataset(remote=remote, local=tempfile.mkdtemp(), shuffle=False, batch_size=1)


def _decoder(spec: Spec) -> Callable[[Pictures], Any]:
    """Return what makes two tensors of a row, uint8 (H, W, 3) and (H, W); raw: the bytes."""
    decode: Callable[[bytes, str], np.ndarray] = {"opencv": by_opencv, "arrow": by_opencv}.get(
        spec.decoder, by_pillow
    )

    def apply(row: Pictures) -> Any:
        pictures = _found(row)
        if spec.decoder == "raw":
            return [bytes(picture) for picture in pictures]
        return [
            torch.from_numpy(decode(picture, name))
            if isinstance(picture, (bytes, memoryview))
            else torch.from_numpy(np.array(picture))
            for name, picture in zip(("image", "mask"), pictures, strict=True)
        ]

    return apply


def _found(row: Pictures) -> list[Any]:
    """Return the image and the mask of a row, which each format names in its way."""
    names = {
        "image": ("image", "image.jpg", "image.png", "image.webp"),
        "mask": ("mask", "mask.png"),
    }
    found = []
    for known in names.values():
        value = next(row[name] for name in known if name in row)
        value = value["bytes"] if isinstance(value, dict) else value
        found.append(value if not hasattr(value, "to_pybytes") else memoryview(value))
    return found


def by_opencv(data: bytes, name: str) -> np.ndarray:
    """Decode with OpenCV: RGB, or grey for a mask."""
    flag = cv2.IMREAD_COLOR_RGB if name == "image" else cv2.IMREAD_GRAYSCALE
    return cv2.imdecode(np.frombuffer(data, np.uint8), flag)


def by_pillow(data: bytes, name: str) -> np.ndarray:
    """Decode with Pillow."""
    del name
    with Image.open(io.BytesIO(data)) as picture:
        return np.array(picture)


if __name__ == "__main__":
    main()
