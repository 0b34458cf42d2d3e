"""How the documentation is built: Sphinx, Markdown by MyST, the reference from docstrings."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
_project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

project = "gaffer"
copyright = "the gaffer maintainers"
version = release = _project["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"gaffer {release}"
html_copy_source = False
html_show_sphinx = False

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

# Docstrings say `name` for a name of Python; what is found becomes a link.
default_role = "py:obj"
nitpick_ignore_regex = [
    # The reference stands alone: no network is asked for the standard library's names.
    (r"py:.*", r"(?!gaffer).*"),
    # Names that docstrings explain to maintainers, and type variables.
    (r"py:.*", r"gaffer\.(machine|clock|codec|checks)\..*"),
    (r"py:.*", r"gaffer\..*\._?[A-Z]"),
    (r"py:.*", r"gaffer\..*\._[A-Z]\w*"),
    # What type checkers see where people see keywords.
    (r"py:.*", r"gaffer\.conf\.JobOptions"),
]


def _draw_tree(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Show the tree of the exceptions as it stands in the source."""
    if name == "gaffer.errors":
        lines[:] = [lines[0], "", "::", "", *(f"    {line}" for line in lines[1:]), ""]


def setup(app: Any) -> None:
    """Connect what this page adds to Sphinx."""
    app.connect("autodoc-process-docstring", _draw_tree)
