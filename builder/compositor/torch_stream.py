"""What makes a stream an `IterableDataset` of torch's; imported only where torch is installed."""

from __future__ import annotations

from torch import distributed
from torch.utils.data import IterableDataset, get_worker_info

from builder.compositor.stream import Stream


class TorchStream(Stream, IterableDataset):
    """A stream that shares its samples out over the workers of a `DataLoader`."""

    def _worker(self) -> tuple[int, int]:
        info = get_worker_info()
        return (info.id, info.num_workers) if info else (0, 1)


def torch_rank() -> tuple[int, int]:
    """Return the rank of this process and how many train together; 0 and 1 where it is alone."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1
