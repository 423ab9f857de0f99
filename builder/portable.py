"""Pixels that are the same whatever the processor."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import cv2

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def portable(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Let a function use OpenCV without Intel's IPP, as the calling thread may do afterwards.

    IPP computes cubic interpolation, cosine transforms and floats in another way on each family of
    processors; what OpenCV computes by itself was the same wherever there is AVX2.
    """

    @functools.wraps(function)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        before = cv2.ipp.useIPP()
        cv2.ipp.setUseIPP(False)
        try:
            return function(*args, **kwargs)
        finally:
            cv2.ipp.setUseIPP(before)

    return run
