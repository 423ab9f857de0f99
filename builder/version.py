"""The version of the builder, and those of the libraries that bytes depend on."""

from __future__ import annotations

from importlib.metadata import version

__version__ = "0.1.0"

# Another version of one of these may encode or resample to other bytes.
_LIBRARIES = ("imagecodecs", "numpy", "opencv-python-headless", "pillow", "pyarrow", "zlib-ng")


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries on which the bytes of a dataset depend."""
    return {name: version(name) for name in _LIBRARIES}
