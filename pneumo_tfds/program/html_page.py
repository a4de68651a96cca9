"""HTML pages that need nothing beside them, made from jinja2 templates (the `train` extra) with one style sheet."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def render(package: str, template: str, **values: Any) -> str:
    """Return a page as text. All values are escaped, and a value that is missing is an error.

    A template that starts with `{% extends "page.html" %}` gets the head and the style sheet of `page.html` beside this
    module, and fills its blocks `title`, `style` and `content`. Functions among `values` can be called as
    `{{ number(x) }}`. `package`, such as `pneumo_tfds.audit`, holds the template.

    Raises:
        jinja2.UndefinedError: the template uses a name, or an entry of a value, that is not there.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, "."), PackageLoader("pneumo_tfds.program", ".")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(values)


def data_uri(data: bytes, kind: str = "image/png") -> str:
    """Return an image file as the text of a `src` attribute, so that the page holds it."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def jpeg_uri(picture: NDArray[np.uint8], quality: int) -> str:
    """Return a grey picture `[height, width]` as a JPEG of a quality from 0 to 100, like `data_uri`."""
    import cv2

    _, data = cv2.imencode(".jpeg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data_uri(data.tobytes(), "image/jpeg")
