"""What Python text imports and calls, by full names: `system()` after `from os import system` is `os.system`."""

import ast


def imported_names(node):
    """Return what an import statement makes known: its name in the module, and the full name."""
    if isinstance(node, ast.Import):
        return {alias.asname or alias.name: alias.name for alias in node.names}
    return {alias.asname or alias.name: f"{node.module or ''}.{alias.name}" for alias in node.names}


def calls_of(text):
    """Yield the full name and the keywords of each call in the text of a module."""
    tree = ast.parse(text)
    known = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            known |= imported_names(node)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            first, dot, rest = ast.unparse(node.func).partition(".")
            yield known.get(first, first) + dot + rest, {word.arg: word.value for word in node.keywords}
