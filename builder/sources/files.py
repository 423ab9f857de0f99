"""Pictures in folders and archives of the local disk."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from builder.errors import SourceError
from builder.places import Place, files_below, reaching
from builder.sources.archives import archive_members, member_folders
from builder.sources.exclusion import Exclusion
from builder.sources.layer import Candidate, Content, FileContent, Role, printable
from builder.sources.roles import archive_stem, is_archive, is_picture, role_of

if TYPE_CHECKING:
    from upath import UPath


@dataclass
class Found:
    """What a source offers.

    Attributes:
        candidates: the pictures with a role.
        ignored: how many files were passed over, by reason.
        downloads: the files that were fetched from Google Drive.
        exclusion: what a person rejected.
    """

    candidates: list[Candidate] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    downloads: list[Path] = field(default_factory=list)
    exclusion: Exclusion | None = None

    def merge(self, other: Found) -> None:
        """Add what another source offers."""
        self.candidates += other.candidates
        self.ignored += other.ignored
        self.downloads += other.downloads


def find_pictures(path: Place, cache_dir: Path, role: Role | None = None) -> Found:
    """Find the pictures in a folder, in the archives it holds, or in one archive.

    Args:
        path: a folder or an archive, here or behind a URL.
        cache_dir: where a compressed tar is converted to.
        role: the role of all pictures; None tells it from each picture's path.

    Raises:
        SourceError: nothing is there, or it is neither a folder nor an archive.
        StorageError: a URL cannot be reached.
    """
    if not isinstance(path, Path):
        return _find_elsewhere(path, cache_dir, role)
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except FileNotFoundError as error:
        raise SourceError(f"{path}: there is no such file or folder.") from error
    except (OSError, ValueError) as error:
        raise SourceError(f"{printable(str(path))}: cannot be read ({error}).") from error
    if is_folder:
        files = ((name, path / name) for name in _walk(path))
        # A link tells the role by its own name or by its target's.
        outer = (path.resolve().name, path.name)
        return find_in_files(files, cache_dir, outer=outer, role=role)
    if not is_archive(path.name):
        raise _neither(path)
    return find_in_files([(path.name, path)], cache_dir, role=role)


def _find_elsewhere(place: UPath, cache_dir: Path, role: Role | None) -> Found:
    names = [name for name in files_below(place) if not _is_hidden(name)]
    if names:
        files = ((name, place / name) for name in names)
        return find_in_files(files, cache_dir, outer=(place.name,), role=role)
    with reaching(place):
        exists = place.is_file()
    if not exists:
        raise SourceError(f"{place}: there is no such folder or file.")
    if not is_archive(place.name):
        raise _neither(place)
    return find_in_files([(place.name, place)], cache_dir, role=role)


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/")[:-1])


def _neither(place: Place) -> SourceError:
    return SourceError(
        f"{place}: is neither a folder nor an archive. Give a folder, a .zip, a .tar or a .tar.gz."
    )


def find_in_files(
    files: Iterable[tuple[str, Place]],
    cache_dir: Path,
    *,
    outer: tuple[str, ...] = (),
    role: Role | None = None,
) -> Found:
    """Find the pictures among files, opening archives.

    Args:
        files: (name, path): the name, `/`-separated, tells the role, the path where the bytes are.
        cache_dir: where a compressed tar is converted to.
        outer: names of folders around all files. They tell a role only when they are nothing but
            `humans` or `backgrounds`: a project's folder may well be called human-segmentation.
        role: the role of all pictures; None tells it from each picture's path.
    """
    found = Found()
    plain = tuple(name for name in outer if name.lower().rstrip("s") in ("human", "background"))
    for name, path in files:
        folders = (*plain, *name.split("/")[:-1])
        if not _is_file(path):
            found.ignored["not a file: a link to a folder, a broken link or a device"] += 1
        elif is_archive(name):
            inside = (*folders, archive_stem(name.split("/")[-1]))
            for member, content in archive_members(path, cache_dir):
                components = (*inside, *member_folders(member))
                _sort_in(found, f"{name}/{member}", components, content, role)
        else:
            content = FileContent(path) if is_picture(name) else None
            _sort_in(found, name, folders, content, role)
    return found


def _sort_in(
    found: Found,
    name: str,
    folders: tuple[str, ...],
    content: Content | None,
    role: Role | None,
) -> None:
    if content is None:
        found.ignored["not a picture by its name"] += 1
        return
    own_role = role or role_of(folders)
    if own_role is None:
        found.ignored["in no humans or backgrounds folder"] += 1
    else:
        found.candidates.append(Candidate(own_role, printable(name), content))


def _walk(root: Path) -> Iterator[str]:
    """Yield what lies below `root`, relative and `/`-separated, in a stable order.

    Links to folders are yielded and not followed, since they may lead round in a circle.
    """
    for folder, subfolders, names in os.walk(root, onerror=_raise_unreadable):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        links = [name for name in subfolders if (Path(folder) / name).is_symlink()]
        for name in sorted([*names, *links]):
            yield (Path(folder) / name).relative_to(root).as_posix()


def _is_file(path: Place) -> bool:
    """Tell whether reading `path` gives bytes; a named pipe would block whoever reads it."""
    if not isinstance(path, Path):
        return True  # Elsewhere only files are listed.
    try:
        return path.is_file()
    except OSError:
        return False


def _raise_unreadable(error: OSError) -> None:
    folder = printable(str(error.filename))
    raise SourceError(f"{folder}: cannot be read ({error.strerror}).") from error


def signature(path: Place) -> str:
    """Return a hash of the names, sizes and times of the files at `path`, without reading them.

    Raises:
        SourceError: a folder cannot be read. A path where nothing is has a signature too.
        StorageError: a URL cannot be reached.
    """
    if not isinstance(path, Path):
        return _signature_elsewhere(path)
    digest = hashlib.sha256(str(path.absolute()).encode("utf-8", "surrogateescape"))
    files = [path / name for name in _walk(path)] if path.is_dir() else [path]
    for file in files:
        with contextlib.suppress(OSError, ValueError):
            status = file.stat()
            values = f"{file.relative_to(path)}/{status.st_size}/{status.st_mtime_ns}\0"
            digest.update(values.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _signature_elsewhere(place: UPath) -> str:
    found = files_below(place)
    with reaching(place):
        if not found and place.exists():
            found = {"": place.fs.info(place.path)}
    digest = hashlib.sha256(str(place).encode("utf-8", "surrogateescape"))
    for name, info in found.items():
        # Storages tell one state of a file from another by these, each by some of them.
        state = [str(info.get(key)) for key in ("size", "ETag", "LastModified", "mtime")]
        digest.update(f"{name}/{'/'.join(state)}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
