"""The service's description as one HTML page: from its OpenAPI document, with nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
code { background: #8882; padding: .1em .3em; border-radius: .2em; }
table { border-collapse: collapse; } td, th { text-align: left; padding: .2rem .8rem .2rem 0; vertical-align: top; }
pre { background: #8882; padding: .8rem; border-radius: .4rem; overflow: auto; }
"""


def page(document: Mapping[str, Any]) -> str:
    """HTML for an OpenAPI document: each route, its parameters and answers, and how to call it.

    Args:
        document: what FastAPI's `app.openapi()` returns.
    """
    about = document["info"]
    routes = "".join(
        _route(method, path, route) for path, methods in document["paths"].items() for method, route in methods.items()
    )
    title = escape(about["title"])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body><h1>{title}</h1><p>{escape(about.get('description', ''))}</p>"
        '<p>Machine-readable: <a href="openapi.json">openapi.json</a></p>'
        "<pre>curl --data-binary @chest.jpeg -H 'Content-Type: image/jpeg' http://127.0.0.1:8000/v1/predict</pre>"
        f"{routes}</body></html>"
    )


def _route(method: str, path: str, route: Mapping[str, Any]) -> str:
    answers = "".join(
        f"<tr><th scope='row'>{status}</th><td>{escape(answer.get('description', ''))}</td></tr>"
        for status, answer in route["responses"].items()
    )
    parameters = "".join(
        f"<li><code>{escape(parameter['name'])}</code> {escape(parameter.get('description', ''))}</li>"
        for parameter in route.get("parameters", ())
    )
    body = ", ".join(route.get("requestBody", {}).get("content", {}))
    return (
        f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(route.get('summary', ''))}</p>"
        + (f"<p>Body: {escape(body)}</p>" if body else "")
        + (f"<ul>{parameters}</ul>" if parameters else "")
        + f"<table>{answers}</table>"
    )
