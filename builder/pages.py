"""Self-contained HTML pages with data that anyone may have written.

A page gets it as escaped JSON, and its content security policy runs no script but its own.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import os
import re
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

from PIL import Image

from builder.errors import FolderError


def data_uri(picture: Image.Image) -> str:
    """Encode a picture; a matte, mode L, becomes the alpha of white, which CSS masks work with."""
    encoded = io.BytesIO()
    if picture.mode == "L":
        white = Image.new("L", picture.size, 255)
        matte = Image.merge("RGBA", (white, white, white, picture))
        matte.save(encoded, "WEBP", lossless=True, quality=50, method=2)
    else:
        picture.save(encoded, "WEBP", quality=75, method=2)
    return "data:image/webp;base64," + base64.b64encode(encoded.getvalue()).decode("ascii")


def write_page(
    path: Path,
    template: str,
    header: dict[str, Any],
    name: str,
    items: Iterable[dict[str, Any]],
) -> None:
    """Fill a template of this package, under a temporary name first: nobody sees half of it.

    Args:
        path: of the page.
        template: its file in this package, with `{{policy}}` and `{{data}}` in it.
        header: JSON-ready values of the data.
        name: under which the data lists `items`, which are written one by one.
        items: JSON-ready values.

    Raises:
        FolderError: the page cannot be written.
    """
    head, tail = _template(template)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(head)
            file.write(_embeddable(header).removesuffix("}") + f', "{name}": [')
            for index, item in enumerate(items):
                file.write((",\n" if index else "\n") + _embeddable(item))
            file.write("\n]}" + tail)
        temporary.replace(path)
    except OSError as error:
        raise FolderError(
            f"{path}: cannot be written ({error.strerror}). "
            "Free some space, or name another place for the page."
        ) from error
    finally:
        # Where it could not be made, it often cannot be removed either, and says so.
        with contextlib.suppress(OSError):
            temporary.unlink()


def _embeddable(value: Any) -> str:
    """Return ASCII-only JSON that neither ends a script element nor starts a tag or an entity."""
    text = json.dumps(value, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _template(name: str) -> tuple[str, str]:
    """Return what comes before and after the data, with the policy filled in."""
    page = resources.files("builder").joinpath(name).read_text(encoding="utf-8")
    policy = (
        "default-src 'none'; img-src data:; "
        f"style-src {_source_hash('style', page)}; script-src {_source_hash('script', page)}; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
    )
    head, tail = page.replace("{{policy}}", policy).split("{{data}}")
    return head, tail


def _source_hash(tag: str, page: str) -> str:
    """Return the policy's name for the only inline element of this tag without attributes."""
    (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    digest = hashlib.sha256(content.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
