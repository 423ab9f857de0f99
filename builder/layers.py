"""Checks: what is wrong with a layer."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from builder.cuts import Side
from builder.decoding import decode_human, decode_with_transparency
from builder.errors import LayerError, SourceError
from builder.hashing import perceptual_hash
from builder.measures import Measures
from builder.portable import portable
from builder.recipe import Recipe
from builder.sources.exclusion import Exclusion
from builder.sources.layer import Candidate, Cleaning, Layer, Role, checksum_of, content_id
from builder.verdicts import DUPLICATE, EXCLUDED, Finding, judge, kind_of, rejection

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class LeftOut:
    """A picture that is not used, with the reason."""

    name: str
    role: Role
    reason: str


@dataclass(frozen=True)
class Admitted:
    """The layers that can be used, in order of role and name, and what was left out.

    `examined` is what was found of all candidates.
    """

    layers: tuple[Layer, ...]
    left_out: tuple[LeftOut, ...]
    examined: tuple[Examined, ...] = ()


@dataclass(frozen=True)
class Survey:
    """What `inspect` asks of each layer, beyond what decides whether it is used.

    Attributes:
        thumbnail: makes a data URI from the decoded picture; None where none is wanted.
        people: gives the score of a people detector for an RGB picture; None where there is none.
    """

    thumbnail: Callable[[Pixels], str] | None = None
    people: Callable[[Pixels], float] | None = None


@dataclass(frozen=True)
class Examined:
    """A candidate with all that was found.

    Attributes:
        candidate: what was examined.
        id, checksum: as a layer has them; empty if it could not be read.
        size: of the encoded picture, bytes.
        width, height: px; None if it could not be decoded.
        perceptual_hash: empty if it could not be decoded, or is left out.
        measures: None if it could not be measured, or need not be.
        cuts: the sides on which the border cuts a human; only with a survey.
        findings: what is wrong with it.
        thumbnail: with a survey, of whatever could be decoded; else empty.
        cleaning: of a human that is used, as a layer has it.
    """

    candidate: Candidate
    id: str = ""
    checksum: str = ""
    size: int = 0
    width: int | None = None
    height: int | None = None
    perceptual_hash: str = ""
    measures: Measures | None = None
    cuts: tuple[Side, ...] = ()
    findings: tuple[Finding, ...] = ()
    thumbnail: str = ""
    cleaning: Cleaning | None = None

    @property
    def reason(self) -> str:
        """What it is left out for; empty if it is used."""
        return next((finding.text for finding in self.findings if finding.rejects), "")

    def found(self, *findings: Finding) -> Examined:
        """Return the same with more findings."""
        return dataclasses.replace(self, findings=(*self.findings, *findings))

    def admitted(self) -> Layer | LeftOut:
        """Return the layer, or what it is left out for."""
        role, name = self.candidate.role, self.candidate.name
        if self.reason:
            return LeftOut(name, role, self.reason)
        assert self.width
        assert self.height
        return Layer(
            id=self.id,
            role=role,
            name=name,
            width=self.width,
            height=self.height,
            perceptual_hash=self.perceptual_hash,
            content=self.candidate.content,
            checksum=self.checksum,
            cleaning=self.cleaning,
        )


def admit_all(
    candidates: Sequence[Candidate],
    recipe: Recipe,
    *,
    exclusion: Exclusion | None = None,
    survey: Survey | None = None,
    threads: int = 1,
    strict: bool = False,
    progress: bool = True,
) -> Admitted:
    """Check all candidates.

    Args:
        candidates: in any order.
        recipe: the thresholds.
        exclusion: what a person rejected.
        survey: see `examine`.
        threads: decoders release the interpreter, so threads are enough here.
        strict: whether a picture that cannot be used is an error; one that is excluded is none.
        progress: whether to show a bar.

    Raises:
        SourceError: an exclusion matches nothing; with `strict`, what is wrong with the pictures;
            else, no human or no background is left, and why.
    """
    examined = examine_all(
        candidates,
        recipe,
        exclusion=exclusion,
        survey=survey,
        threads=threads,
        progress=progress,
    )
    results = [each.admitted() for each in examined]
    layers = sorted(
        (result for result in results if isinstance(result, Layer)),
        key=lambda layer: (layer.role != "human", layer.name),
    )
    left_out = sorted(
        (result for result in results if isinstance(result, LeftOut)),
        key=lambda out: (out.role, out.name),
    )
    faulty = [out for out in left_out if kind_of(out.reason) != EXCLUDED]
    if strict and faulty:
        raise SourceError(
            f"{len(faulty)} pictures cannot be used, and --strict is on: {_listed(faulty)}."
        )
    for role in ("human", "background"):
        if not any(layer.role == role for layer in layers):
            raise SourceError(_none_left(role, len(candidates), left_out))
    return Admitted(tuple(layers), tuple(left_out), tuple(examined))


def examine_all(
    candidates: Sequence[Candidate],
    recipe: Recipe,
    *,
    exclusion: Exclusion | None = None,
    survey: Survey | None = None,
    threads: int = 1,
    progress: bool = True,
) -> list[Examined]:
    """Examine all candidates, in their order; of byte-identical ones all but one are rejected.

    Args:
        candidates, recipe, exclusion, threads, progress: as in `admit_all`.
        survey: see `examine`.

    Raises:
        SourceError: an exclusion matches nothing.
    """
    with ThreadPoolExecutor(threads) as pool, warnings.catch_warnings():
        # What is wrong is found here, and named; Pillow's warnings would only come on top.
        warnings.filterwarnings("ignore", module="PIL")
        results = pool.map(
            lambda candidate: examine(candidate, recipe, exclusion=exclusion, survey=survey),
            candidates,
        )
        bar = tqdm(
            results,
            "Inspecting layers" if survey else "Checking layers",
            len(candidates),
            unit=" layers",
            disable=not progress,
        )
        examined = list(bar)
    if exclusion:
        exclusion.check({text for each in examined for text in (each.id, each.candidate.name)})
    return _without_duplicates(examined)


def _none_left(role: Role, found: int, left_out: list[LeftOut]) -> str:
    own = [out for out in left_out if out.role == role]
    reasons = f" Left out: {_listed(own)}." if own else f" No {role} was among them."
    return f"No usable {role} in {found} pictures found.{reasons} A pair needs one of each role."


def _listed(left_out: list[LeftOut]) -> str:
    first = "; ".join(f"{out.name}: {out.reason}" for out in left_out[:10])
    return first + (f"; and {len(left_out) - 10} more" if len(left_out) > 10 else "")


def admit(candidate: Candidate, recipe: Recipe) -> Layer | LeftOut:
    """Check one candidate: read it, decode it fully, judge it.

    Returns:
        The layer, or what it is left out for. Byte-identical duplicates are found by `admit_all`,
        since that needs all layers.
    """
    return examine(candidate, recipe).admitted()


@portable
def examine(
    candidate: Candidate,
    recipe: Recipe,
    *,
    exclusion: Exclusion | None = None,
    survey: Survey | None = None,
) -> Examined:
    """Read one candidate, decode it fully, judge it.

    Args:
        candidate, recipe, exclusion: as in `admit_all`.
        survey: also find what is doubtful, and make a thumbnail. Without one only what decides
            whether the layer is used is measured: the verdict on that is the same.
    """
    try:
        data = candidate.content.read()
    except SourceError as error:
        findings = _excluded(candidate.name, "", exclusion)
        return Examined(candidate, findings=(*findings, rejection(str(error))))
    identity, checksum = content_id(data), checksum_of(data)
    findings = _excluded(candidate.name, identity, exclusion)
    if findings and not survey:
        return Examined(candidate, identity, checksum, len(data), findings=findings)
    try:
        pixels, transparent = _decoded(candidate.role, data, recipe.max_pixels)
    except LayerError as error:
        reason = rejection(str(error))
        return Examined(candidate, identity, checksum, len(data), findings=(*findings, reason))
    judged = judge(
        candidate.role,
        pixels,
        recipe,
        transparent=transparent,
        doubts=survey is not None,
        people=survey.people if survey else None,
    )
    findings = (*findings, *judged.findings)
    used = not any(finding.rejects for finding in findings)
    height, width = pixels.shape[:2]
    return Examined(
        candidate,
        identity,
        checksum,
        len(data),
        width,
        height,
        perceptual_hash(pixels) if used else "",
        judged.measures,
        judged.cuts,
        findings,
        survey.thumbnail(pixels) if survey and survey.thumbnail else "",
        judged.cleaning,
    )


def _excluded(name: str, identity: str, exclusion: Exclusion | None) -> tuple[Finding, ...]:
    if exclusion and exclusion.covers(name, identity):
        return (rejection(f"{EXCLUDED} by {exclusion.file_name}"),)
    return ()


def _without_duplicates(examined: list[Examined]) -> list[Examined]:
    """Reject all but one of each set of byte-identical layers: the first by role and name.

    A file that is offered both as a human and as a background stays a human.
    """
    first: dict[str, int] = {}
    judged = list(examined)
    usable = [number for number, each in enumerate(examined) if not each.reason]

    def by_role_and_name(number: int) -> tuple[bool, str]:
        candidate = examined[number].candidate
        return candidate.role != "human", candidate.name

    for number in sorted(usable, key=by_role_and_name):
        kept = first.setdefault(examined[number].id, number)
        if kept != number:
            reason = f"{DUPLICATE} of {examined[kept].candidate.name}"
            judged[number] = examined[number].found(rejection(reason))
    return judged


def _decoded(role: Role, data: bytes, max_pixels: int) -> tuple[Pixels, float]:
    """Return the picture and, of a background, the share of it that is transparent."""
    if role == "human":
        return decode_human(data, max_pixels, among_threads=True), 0.0
    return decode_with_transparency(data, max_pixels, among_threads=True)
