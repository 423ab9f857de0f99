"""Composites on the fly, for training loops."""

from builder.compositor.compositor import Compositor

__all__ = ["Compositor"]
