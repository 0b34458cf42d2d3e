"""The pictures of the explanations are those that their script draws, and can be read by all."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

SCRIPT = Path(__file__).parent.parent / "docs/pictures.py"


def script() -> ModuleType:
    """Return the script as a module."""
    spec = importlib.util.spec_from_file_location("gaffer_pictures", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_each_picture_is_what_the_script_draws() -> None:
    pictures = script()

    for picture in pictures.PICTURES:
        kept = (pictures.PLACE / f"{picture.name}.svg").read_text(encoding="utf-8")
        assert kept == picture.svg(), f"python docs/pictures.py draws {picture.name} anew"


def test_each_picture_has_a_title_and_a_description() -> None:
    space = "{http://www.w3.org/2000/svg}"

    for picture in script().PICTURES:
        root = ElementTree.fromstring(picture.svg())
        assert root.get("role") == "img"
        for name in ("title", "desc"):
            assert root.findtext(space + name)
