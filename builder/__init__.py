"""From transparent humans and backgrounds to a dataset of composites and alpha mattes."""

from builder.version import __version__

__all__ = ["__version__"]
