"""What `ast` and `tokenize` find in Python files. Knows nothing of queues."""

from __future__ import annotations

import ast
import sysconfig
import tokenize
from collections import Counter
from io import BytesIO
from pathlib import Path

__all__ = ["count", "find", "standard_library"]

_NODES: dict[str, tuple[type[ast.AST], ...]] = {
    "classes": (ast.ClassDef,),
    "functions": (ast.FunctionDef, ast.AsyncFunctionDef),
    "lambdas": (ast.Lambda,),
    "imports": (ast.Import, ast.ImportFrom),
    "tests of a condition": (ast.If, ast.IfExp, ast.While, ast.Assert),
}
_TOKENS = {
    "comments": tokenize.COMMENT,
    "names": tokenize.NAME,
    "numbers": tokenize.NUMBER,
    "strings": tokenize.STRING,
}
_FOREIGN = {"site-packages", "dist-packages"}


def standard_library() -> Path:
    """Return the folder of the running interpreter's standard library."""
    return Path(sysconfig.get_path("stdlib"))


def find(root: Path) -> list[Path]:
    """Return the .py files under *root*, sorted, without installed packages."""
    return sorted(
        path
        for path in root.rglob("*.py")
        if path.is_file() and _FOREIGN.isdisjoint(path.relative_to(root).parts)
    )


def count(path: Path) -> dict[str, int]:
    """Return how often each thing occurs in a file; raise what `ast` or `tokenize` raise."""
    source = path.read_bytes()
    nodes = Counter(map(type, ast.walk(ast.parse(source, str(path)))))
    tokens = Counter(token.type for token in tokenize.tokenize(BytesIO(source).readline))
    return {
        "bytes": len(source),
        "lines": len(source.splitlines()),
        "tokens": tokens.total(),
        **{name: tokens[kind] for name, kind in _TOKENS.items()},
        "nodes": nodes.total(),
        **{name: sum(nodes[kind] for kind in kinds) for name, kinds in _NODES.items()},
    }
