"""Stop in the middle of an epoch, and go on with just the pairs that had not been seen yet.

    python examples/resume_in_the_middle.py my-layers state.json    # twice

No trainer framework is needed, nor torchdata: how far a DataLoader has come follows from the
number of its batches.
"""

import json
import sys
from pathlib import Path

from torch.utils.data import DataLoader

from human_segmentation import Compositor

BATCH, WORKERS, STEPS = 4, 2, 5


def main() -> None:
    layers, state = sys.argv[1], Path(sys.argv[2])
    stream = Compositor(source=layers, size=(128, 128)).stream()
    if state.exists():
        stream.load_state_dict(json.loads(state.read_text()))
    loader = DataLoader(stream, BATCH, num_workers=WORKERS)
    for step, batch in zip(range(1, STEPS + 1), loader, strict=False):
        print(f"batch {step}: {' '.join(batch['id'])}")  # train here
        # Save it with the weights. It is the state after this batch, whatever is loaded ahead.
        state.write_text(json.dumps(stream.state_after(step, BATCH, WORKERS)))


if __name__ == "__main__":
    main()
