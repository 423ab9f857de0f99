"""Every error this project raises on purpose. A message names the file or URL and the way on."""

from __future__ import annotations


class HumanSegmentationError(Exception):
    """Base of the family; the CLI prints its message without a traceback and exits with 1."""


class SourceError(HumanSegmentationError):
    """A source of layers cannot be read: a missing folder, a broken archive, an empty listing."""


class DownloadError(SourceError):
    """Google Drive did not deliver a file, or delivered a wrong one."""


class LayerError(HumanSegmentationError):
    """A layer cannot be used; the message is the reason alone, without the layer's name."""


class RecipeError(HumanSegmentationError):
    """A recipe names an unknown knob or gives one a value out of its range."""


class PlanError(HumanSegmentationError):
    """The layers at hand cannot be split or paired as the recipe asks."""


class FolderError(HumanSegmentationError):
    """The dataset folder is in use, was built otherwise, or cannot be written."""


class StateError(HumanSegmentationError):
    """A state to go on from does not fit what it is loaded into."""


class WorkerLostError(HumanSegmentationError):
    """A worker process died; what was finished is kept."""


class HubError(HumanSegmentationError):
    """The Hub refused, could not be reached, or holds something that must not be touched."""


class StorageError(HumanSegmentationError):
    """A URL cannot be used, or what it names cannot be reached."""


class EngineError(HumanSegmentationError):
    """A cluster cannot be reached or used, or its machines differ."""
