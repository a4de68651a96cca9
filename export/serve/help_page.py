"""The page at /docs: how to ask, a form to try it, and every address. It loads nothing and runs no script."""

from __future__ import annotations

from html import escape
from string import Template

from fastapi import FastAPI

from export.serve.served_models import Models

POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
PAGE = Template("""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>$title</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
pre { background: #f3f3f3; padding: .8rem; overflow: auto; } td { padding: .2rem 1rem .2rem 0; vertical-align: top; }
</style>
<h1>$title</h1>
<p>$description</p>
<h2>Try it</h2>
<form action="v1/predict" method="post" enctype="multipart/form-data">
<label>JPEG, PNG or DICOM files: <input type="file" name="file" multiple required></label> <button>Predict</button>
</form>
<h2>Ask from a program</h2>
<pre>curl --data-binary @chest.jpeg ADDRESS/v1/predict
curl -F file=@a.jpeg -F file=@b.dcm 'ADDRESS/v1/predict?heatmap=true'
echo "{\\"image\\": \\"$$(base64 -w0 chest.jpeg)\\"}" | curl --json @- ADDRESS/v1/predict</pre>
<p>Parameters of the address: <code>heatmap</code>, <code>two_way</code>, <code>threshold</code>, and
<code>model</code>: $models.</p>
<h2>Addresses</h2>
<table>$rows</table>
<p><a href="openapi.json">openapi.json</a> describes them for programs.</p>
</html>
""")


def help_page(app: FastAPI, models: Models) -> str:
    """Return the page as HTML."""
    paths = app.openapi()["paths"]
    rows = [
        f"<tr><td><code>{method.upper()} {escape(path)}</code><td>{escape(operation['summary'])}"
        for path, operations in paths.items()
        for method, operation in operations.items()
    ]
    return PAGE.substitute(
        title=escape(app.title),
        description=escape(app.description),
        models=", ".join(f"<code>{escape(name)}</code>" for name in models.names),
        rows="\n".join(rows),
    )
