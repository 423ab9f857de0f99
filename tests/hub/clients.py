"""Point clients that are imported already at a server; they read their settings at import."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

    from .server import HubServer


def redirect(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send huggingface_hub and datasets to a server until the test ends.

    They are left as they are but for their settings, what was copied from those, and what they
    remember from earlier servers.
    """
    # Imported before the environment changes: what they read there once must outlive the test.
    import datasets.config
    import huggingface_hub.constants
    from huggingface_hub import HfFileSystem, hf_api

    for name, value in hub.environment.items():
        monkeypatch.setenv(name, value)
    _set(monkeypatch, huggingface_hub.constants, _hub_constants(hub))
    _set(monkeypatch, datasets.config, _datasets_constants(hub))
    # The functions of huggingface_hub are methods of this one object.
    monkeypatch.setattr(hf_api.api, "endpoint", hub.url)
    HfFileSystem.clear_instance_cache()
    _forget_connections(monkeypatch)


def _hub_constants(hub: HubServer) -> dict[str, object]:
    home = hub.home
    return {
        "ENDPOINT": hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_URL_HOSTS": frozenset({"127.0.0.1"}),
        "HF_HUB_DISABLE_XET": hub.transport == "lfs",
        "HF_HUB_DISABLE_TELEMETRY": True,
        "HF_HUB_OFFLINE": False,
        "HF_HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
        "HUGGINGFACE_HUB_CACHE": str(home / "hub"),
        "HF_ASSETS_CACHE": str(home / "assets"),
        "HF_XET_CACHE": str(home / "xet"),
        "HF_TOKEN_PATH": str(home / "token"),
        "HF_STORED_TOKENS_PATH": str(home / "stored_tokens"),
        "AGENT_HARNESSES_PATH": str(home / ".agent_harnesses.json"),
    }


def _datasets_constants(hub: HubServer) -> dict[str, object]:
    cache = hub.home / "datasets"
    return {
        "HF_ENDPOINT": hub.url,
        "HUB_DATASETS_URL": hub.url + "/datasets/{repo_id}/resolve/{revision}/{path}",
        "HF_CACHE_HOME": str(hub.home),
        "HF_DATASETS_CACHE": cache,
        "HF_MODULES_CACHE": hub.home / "modules",
        "DOWNLOADED_DATASETS_PATH": cache / "downloads",
        "EXTRACTED_DATASETS_PATH": cache / "downloads" / "extracted",
        "HF_HUB_OFFLINE": False,
        "HF_DATASETS_OFFLINE": False,
    }


def _set(
    monkeypatch: pytest.MonkeyPatch, owner: ModuleType, constants: Mapping[str, object]
) -> None:
    """Set constants of a module, and wherever another module of its package copied them."""
    package = owner.__name__.partition(".")[0]
    modules = [
        module
        for name, module in list(sys.modules.items())
        if name == package or name.startswith(f"{package}.")
    ]
    for name, value in constants.items():
        for module in modules:
            # Lazy modules would import half the package if asked with `hasattr`.
            if name in vars(module):
                monkeypatch.setattr(module, name, value)


def _forget_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import close_session
    from huggingface_hub.utils import _xet

    close_session()
    # In early versions no connection to a storage outlives a call.
    if hasattr(_xet, "XetSessionHolder"):
        monkeypatch.setattr(_xet, "_GLOBAL_XET_HOLDER", _xet.XetSessionHolder())
