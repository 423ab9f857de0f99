"""People in backgrounds, who would be missing from every mask: a detector of the user's own."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from builder.errors import SourceError

Pixels = npt.NDArray[np.uint8]

_SIDE = 224


class PeopleDetector:
    """An ONNX model that says how likely a picture shows people.

    It takes float32 (1, 3, 224, 224), RGB from 0 to 1, the whole picture squeezed into the square,
    and gives a single number: a probability from 0 to 1. Run by OpenCV.

    Args:
        path: of the model.

    Raises:
        SourceError: it cannot be read, or gives something else.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.name
        try:
            self._net = cv2.dnn.readNetFromONNX(str(path))
        except cv2.error as error:
            raise SourceError(
                f"{path}: cannot be read as an ONNX model. It has to take float32 "
                "(1, 3, 224, 224) and to give one number."
            ) from error
        # OpenCV's networks are not made for several threads at once.
        self._lock = threading.Lock()
        self.probability(np.zeros((8, 8, 3), np.uint8))

    def probability(self, rgb: Pixels) -> float:
        """Return the probability of people in a picture, uint8 (H, W, 3), RGB."""
        small = cv2.resize(rgb, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        blob = cv2.dnn.blobFromImage(small, 1 / 255)
        try:
            with self._lock:
                self._net.setInput(blob)
                answer = np.asarray(self._net.forward())
        except cv2.error as error:
            raise SourceError(f"{self.name}: does not take float32 (1, 3, 224, 224).") from error
        if answer.size != 1 or not 0 <= float(answer.reshape(())) <= 1:
            raise SourceError(
                f"{self.name}: gives {answer.size} numbers, where one probability from 0 to 1 is "
                "needed. Append a layer that makes one of them."
            )
        return float(answer.reshape(()))
