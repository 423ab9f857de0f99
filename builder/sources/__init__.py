"""Where layers come from: Google Drive, folders, archives, or drawn by code."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from builder.errors import SourceError
from builder.places import place_of
from builder.sources.drive import DEFAULT_FOLDER, default_cache_dir, fetch_folder
from builder.sources.exclusion import read_exclusion
from builder.sources.files import Found, find_in_files, find_pictures
from builder.sources.published import (
    fetch_kept_layers,
    find_kept_layers,
    is_dataset,
    is_repository,
)
from builder.sources.sample import sample_candidates

__all__ = ["DEFAULT_FOLDER", "Found", "Sources", "collect"]


@dataclass(frozen=True)
class Sources:
    """Which pictures to use.

    Attributes:
        sources: any of `drive`, `sample`, paths and URLs of folders and archives, in which a
            picture's role comes from its path, and datasets of this tool's that keep their layers:
            a folder, or `hf://datasets/NAMESPACE/NAME`.
        humans, backgrounds: paths and URLs of folders and archives whose pictures all have that
            role.
        drive_folder: id or URL of the Google Drive folder that `drive` means.
        cache_dir: where downloads and conversions are kept; None is the default place.
        sample_humans, sample_backgrounds: how many layers `sample` draws.
        sample_size: longer side of the drawn layers, px.
        exclude: path of a file with ids and names of layers that are not to be used.
    """

    sources: tuple[str, ...] = ()
    humans: tuple[str, ...] = ()
    backgrounds: tuple[str, ...] = ()
    drive_folder: str = DEFAULT_FOLDER
    cache_dir: Path | None = None
    sample_humans: int = 24
    sample_backgrounds: int = 24
    sample_size: int = 1024
    exclude: Path | None = None

    @property
    def effective(self) -> tuple[str, ...]:
        """The sources, which are `drive` when no path of any kind is given."""
        if self.sources or self.humans or self.backgrounds:
            return self.sources
        return ("drive",)

    def absolute(self) -> Sources:
        """Return the same with absolute paths, as other machines need them."""
        return replace(
            self,
            sources=tuple(map(_absolute, self.sources)),
            humans=tuple(map(_absolute, self.humans)),
            backgrounds=tuple(map(_absolute, self.backgrounds)),
            cache_dir=(self.cache_dir or default_cache_dir()).absolute(),
        )

    @property
    def kinds(self) -> tuple[str, ...]:
        """Which of `drive`, `files` and `sample` the layers come from, sorted."""
        named = {"drive", "sample"} & set(self.effective)
        paths = {*self.effective, *self.humans, *self.backgrounds} - {"drive", "sample"}
        return tuple(sorted(named | ({"files"} if paths else set())))


def collect(sources: Sources, *, progress: bool = True) -> Found:
    """Find every picture that the sources offer, downloading what is on Google Drive.

    Raises:
        SourceError: a source cannot be read, or none offers a picture with a role.
        StorageError: a URL cannot be used or reached.
    """
    cache_dir = sources.cache_dir or default_cache_dir()
    found = Found()
    for source in sources.effective:
        if source == "drive":
            fetched = fetch_folder(sources.drive_folder, cache_dir=cache_dir, progress=progress)
            found.downloads += [file.path for file in fetched]
            found.merge(find_in_files(((file.name, file.path) for file in fetched), cache_dir))
        elif source == "sample":
            found.candidates += sample_candidates(
                sources.sample_humans, sources.sample_backgrounds, longest=sources.sample_size
            )
        elif kept := _kept_layers(source, progress=progress):
            found.merge(find_kept_layers(kept))
        else:
            found.merge(find_pictures(place_of(source), cache_dir))
    for path in sources.humans:
        found.merge(find_pictures(place_of(path), cache_dir, "human"))
    for path in sources.backgrounds:
        found.merge(find_pictures(place_of(path), cache_dir, "background"))
    if sources.exclude:
        found.exclusion = read_exclusion(sources.exclude)
    if not found.candidates:
        raise SourceError(_nothing_found(sources, found))
    return found


def _absolute(source: str) -> str:
    if source in ("drive", "sample") or "://" in source:
        return source
    return str(Path(source).absolute())


def _kept_layers(source: str, *, progress: bool) -> Path | None:
    """Return the folder of a dataset that keeps its layers, if the source is one."""
    if is_repository(source):
        return fetch_kept_layers(source, progress=progress)
    place = place_of(source)
    return place if isinstance(place, Path) and is_dataset(place) else None


def _nothing_found(sources: Sources, found: Found) -> str:
    looked = ", ".join((*sources.effective, *sources.humans, *sources.backgrounds))
    ignored = "; ".join(f"{count} {reason}" for reason, count in sorted(found.ignored.items()))
    return (
        f"{looked}: no usable picture was found (ignored: {ignored or 'nothing'}). A picture's "
        "role comes from a folder or archive named humans or backgrounds around it; "
        "or name them outright with --humans PATH --backgrounds PATH."
    )
