"""Mix the pairs with another dataset, as three to one, in one stream.

    python examples/mix_with_another_dataset.py me/human-segmentation somebody/portraits

Both are names on the Hub, or folders.
"""

import sys

from datasets import Image, interleave_datasets, load_dataset


def main() -> None:
    ours, theirs = (load_dataset(name, split="train", streaming=True) for name in sys.argv[1:3])
    # Both need the same columns, of the same types. Theirs may be called otherwise: rename_columns.
    both = [
        stream.select_columns(["image", "mask"]).cast_column("mask", Image(mode="L"))
        for stream in (ours, theirs)
    ]
    mixed = interleave_datasets(
        [both[0].shuffle(seed=0, buffer_size=500), both[1].shuffle(seed=0, buffer_size=500)],
        probabilities=[0.75, 0.25],
        seed=0,
        stopping_strategy="all_exhausted",
    )
    for number, pair in enumerate(mixed.take(8)):
        print(number, pair["image"].size, pair["mask"].mode)


if __name__ == "__main__":
    main()
