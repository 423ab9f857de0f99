"""The generated part of a card: Markdown from a manifest.

A manifest may come from anyone who publishes one, and its names from anyone's files. Numbers aside,
nothing of it gets into the text but through `plain`; names of layers do not get in at all.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from builder.card.loading import kept_layers, loading
from builder.card.metadata import Fields, Values
from builder.card.parts import Entry, changelog_text, defaults_line
from builder.card.tables import (
    counts_table,
    coverage_plot,
    left_out_table,
    operations_table,
    percent,
    plain,
)
from builder.examples import FILE_NAME as EXAMPLES
from builder.manifest import Manifest
from builder.recipe import Recipe
from builder.render import LABEL_COLUMNS

UNKNOWN_LICENSE = "unknown"

_LICENSE_LINE = re.compile(r"^\*\*Licence of this dataset:\*\*.*$", re.MULTILINE)

_LICENSES = {
    "drive": "Layers from a folder on Google Drive: the tool knows of no licence for them.",
    "files": "Layers from files that the builder of this dataset had: the tool knows of no licence "
    "for them.",
    "sample": "Layers drawn by `human-segmentation` itself: Apache-2.0, like its code.",
}
_LIMITS = {
    "drive": "The humans in the original folder on Google Drive are generated (LayerDiffuse), not "
    "photographed, and share the habits of their generator.",
    "sample": "Drawn humans and backgrounds are for trying things out. Nothing learnt from them "
    "carries over to photographs.",
}

_BLENDS = {"srgb": "8-bit sRGB", "linear": "linear light"}
_LABELS = {
    "trimap": "0 background, 128 unknown, 255 human; lossless PNG, mode L; the radius of the band "
    "is in `provenance`",
    "foreground": "F, the human's own colours wherever alpha is above 0; lossless PNG",
    "background": "B, the frame without the human, its shadow included; lossless PNG. alpha * F + "
    "(1 - alpha) * B is the composite before `operations` of `provenance`",
}

_TEXT = """\
<!-- Between these marks `human-segmentation card` writes anew. Your own text: above or below. -->
{defaults}

# Human segmentation

Pictures of people with their alpha mattes, for training background removers. Each picture is a
composite: a human with transparency on a background, made by `human-segmentation {version}`.

![Composites beside their masks]({examples})

## What it holds

| split | pairs | humans | backgrounds | shards | size |
|---|--:|--:|--:|--:|--:|
{counts}

No human and no background is in two splits, and neither is a near-duplicate of one.

Pairs by how much of the frame their mask covers:

```text
{coverage}
```

| column | holds |
|---|---|
| `id` | unique name of the pair |
| `image` | the composite, {image_format} |
| `mask` | 8-bit alpha matte of the visible human, lossless PNG, mode L, exactly aligned |
{labels}| `human`, `background` | ids of the two layers: hashes of their bytes |
| `provenance` | JSON: names of the layers, geometry, coverage, every operation with its values |

## Loading

{loading}
{layers}
## How each pair was made

{steps}

<details>
<summary>The recipe in full</summary>

```toml
{recipe}
```

</details>

{reproducible}

## What was left out

{left_out}

## Known limits

{limits}

## Licence

{licenses}

{license}

## Changelog

{changelog}

## Citation

```bibtex
@misc{{human_segmentation,
  title = {{Human segmentation: composites of people with their alpha mattes}},
  note = {{{citation}}}
}}
```

If you know where the layers come from, cite that as well."""


def generated_text(
    manifest: Manifest,
    fields: Fields,
    entries: Sequence[Entry],
    defaults: Values,
    repo_id: str | None,
) -> str:
    """Return what stands between the marks of a card.

    Args:
        manifest: of the dataset.
        fields: the front matter, of which `license` matters; it may hold anything.
        entries: of the changelog.
        defaults: what the tool by itself would put into the front matter.
        repo_id: the repository that the snippets load; None for a folder. Not escaped.
    """
    recipe = manifest.recipe
    return _TEXT.format(
        defaults=defaults_line(defaults),
        version=plain(manifest.version),
        examples=EXAMPLES,
        counts=counts_table(manifest),
        coverage=coverage_plot(manifest),
        image_format=_image_format(recipe),
        labels=_labels(recipe),
        loading=loading(manifest, repo_id),
        layers=kept_layers(manifest, repo_id),
        steps=_steps(manifest),
        recipe=recipe.replace({"name": plain(recipe.name)}).to_toml().strip(),
        reproducible=_reproducible(manifest),
        left_out=left_out_table(manifest),
        limits=_limits(manifest),
        licenses="\n".join(
            f"- {_LICENSES[kind]}" for kind in _LICENSES if kind in manifest.sources
        ),
        license=_license(fields),
        changelog=changelog_text(entries),
        citation=_citation(manifest, repo_id),
    )


def with_license(generated: str, fields: Fields) -> str:
    """Return a generated part that says of the licence what the front matter says."""
    return _LICENSE_LINE.sub(lambda _: _license(fields), generated, count=1)


def _image_format(recipe: Recipe) -> str:
    quality = f" quality {recipe.jpeg_quality}" if recipe.image_format != "png" else ""
    subsampling = " 4:4:4" if recipe.image_format == "jpeg" else ""
    return f"{recipe.image_format.upper()}{quality}{subsampling}"


def _labels(recipe: Recipe) -> str:
    """Return the rows of the table for the columns besides the mask."""
    rows = [f"| `{LABEL_COLUMNS[name]}` | {_LABELS[name]} |" for name in recipe.labels[1:]]
    return "".join(f"{row}\n" for row in rows)


def _steps(manifest: Manifest) -> str:
    recipe = manifest.recipe
    low, high = recipe.scale
    apart = (
        f"{percent(recipe.validation)} of the humans and of the backgrounds are set apart for "
        "validation before anything is paired; near-duplicates stay on one side."
        if recipe.validation
        else "All layers are in one split."
    )
    steps = [
        f"**Split.** {apart}",
        "**Clean.** Faint haze and detached specks around a human are removed; hair is not.",
        f"**Pair.** Each human has {recipe.per_human:,} pairs, on backgrounds of its own split, "
        "which are all used about equally often.",
        f"**Place.** {_framing(recipe)}With a chance of "
        f"{percent(recipe.geometry_probability)} a human is scaled by "
        f"{low:g} to {high:g}, shifted and rotated, else fitted and centred; with one of "
        f"{percent(recipe.flip_probability)} it is mirrored. Where it was cut off by the border of "
        "its picture, that cut lies outside the frame. At least "
        f"{percent(recipe.min_visible)} of the figure is visible, and its mask covers at least "
        f"{percent(recipe.min_coverage)} of the frame.{_company(recipe)}",
        f"**Blend.** On premultiplied alpha, in {_BLENDS[recipe.blend_light]}. The mask is the "
        "alpha of the human as it was placed.",
        "**Light and alter.** Each of these has its own chance, and none of them moves the mask:",
    ]
    numbered = "\n".join(_wrapped(f"{number}. {step}") for number, step in enumerate(steps, 1))
    return f"{numbered}\n\n{operations_table(recipe)}"


def _company(recipe: Recipe) -> str:
    if not recipe.second_figure_probability:
        return ""
    return (
        f" With a chance of {percent(recipe.second_figure_probability)} another human of the split "
        "joins it where there is room, and with one of "
        f"{percent(recipe.third_figure_probability)} of that a third; whoever ends lower is in "
        "front, and the mask is the union."
    )


def _framing(recipe: Recipe) -> str:
    if not recipe.framing_probability:
        return ""
    half = (1 - recipe.close_up_share) * recipe.half_body_share
    whole = 1 - recipe.close_up_share - half
    return (
        f"{percent(recipe.framing_probability)} are framed as a photographer would: "
        f"{percent(recipe.close_up_share)} of these as close-ups, "
        f"{percent(half)} half-length and {percent(whole)} whole, standing in "
        "the lower part of the frame. The others: "
    )


def _reproducible(manifest: Manifest) -> str:
    libraries = ", ".join(f"`{plain(n)} {plain(v)}`" for n, v in manifest.libraries.items())
    made = f"Recipe `{plain(manifest.recipe.name)}`, seed {manifest.seed:d}, {libraries}."
    described = (
        "`manifest.json` holds every knob, every layer with its split and every shard with its "
        "hash; `provenance` says for each pair what was done with which values."
    )
    if not manifest.history:
        again = "The same layers, recipe, seed and library versions give the same bytes."
        return _wrapped(f"{made} {described} {again}")
    times = "once" if len(manifest.history) == 1 else f"{len(manifest.history):,} times"
    again = (
        f"It was updated {times} since it was first built, and what could stay stayed as it was. "
        "So building all of it anew from the same layers gives other pairs."
    )
    return _wrapped(f"{made} {described} {again}")


def _limits(manifest: Manifest) -> str:
    recipe = manifest.recipe
    upscale = f"{recipe.max_upscale:g}"
    size = (
        f"A frame's longer side is {recipe.size:,} px, and less where the layers have too few "
        f"pixels: nothing is enlarged by more than {upscale}."
        if recipe.size
        else "Frames are as large as their backgrounds, or smaller where the human has too few "
        f"pixels: nothing is enlarged by more than {upscale}."
    )
    limits = [
        _composite_limit(recipe),
        "Each frame has one human from one picture. Whatever else the background shows, people "
        "included, is not in the mask: nobody has searched the backgrounds for them.",
        "A mask is only as good as the alpha of its human. It was not checked by eye.",
        size,
        "Near-duplicates are found by perceptual hash, mirrored ones too. Another picture of the "
        "same person or place is not found, and may be in the other split.",
        "The pairs of one human lie side by side in a shard; shuffle before you train.",
    ]
    limits = [*(_LIMITS[kind] for kind in _LIMITS if kind in manifest.sources), *limits]
    return "\n".join(_wrapped(f"- {limit}") for limit in limits)


def _composite_limit(recipe: Recipe) -> str:
    if not recipe.tone_match_probability:
        return (
            "These are composites. Light, colour, perspective and depth of field of the human are "
            "not fitted to the background, and the human casts no shadow on it."
        )
    return (
        "These are composites. Brightness, contrast, colour of the light, sharpness and noise of "
        "the human are fitted to the background, by a part; the direction of the light, "
        "perspective and what the human stands on are not. Shadows are guesses."
    )


def _license(fields: Fields) -> str:
    """Return the one line of the card that follows the front matter."""
    value = fields["license"].value if "license" in fields else None
    head = "**Licence of this dataset:**"
    if value in (None, "", [], UNKNOWN_LICENSE):
        return (
            f"{head} not known. Nobody has told the tool under which licence the layers may be "
            "used and shared. Find out before you use or share these pictures, and set it with "
            "`human-segmentation card DIR --license cc-by-4.0`, or whatever it is."
        )
    ids = value if isinstance(value, list) else [value]
    return f"{head} {', '.join(f'`{plain(one)}`' for one in ids)}, as the metadata above says."


def _citation(manifest: Manifest, repo_id: str | None) -> str:
    made = f"Made by human-segmentation {plain(manifest.version)}"
    if not repo_id:
        return made
    # LaTeX takes a bare underscore for mathematics.
    return f"{made}, published as {repo_id} on the Hugging Face Hub".replace("_", r"\_")


def _wrapped(text: str) -> str:
    """Return a paragraph, or an item of a list, in lines that a person can read."""
    indent = "   " if text[0].isdigit() else "  " if text.startswith("- ") else ""
    return textwrap.fill(
        text, 100, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
