"""A driver by a third party: the one of docs/how-to/write-a-driver.md, installed and tested."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent / "docs" / "how-to" / "write-a-driver.md"
BLOCK = re.compile(
    r"^```(?:toml|python)\n# (?P<path>\S+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
SUITE = ["-p", "gaffer.testing.plugin", "--driver=file", "--pyargs", "gaffer.testing.suite"]


def files_of_the_page() -> dict[str, str]:
    """Return the files that the page shows, by their paths."""
    return {block["path"]: block["text"] for block in BLOCK.finditer(PAGE.read_text("utf-8"))}


def run(command: list[str], folder: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Run Python in a project's folder, with what is installed in *site*."""
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST")}
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(site), "GAFFER_EXAMPLES": "10"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the project that the page shows."""
    folder = tmp_path_factory.mktemp("project")
    for name, text in files_of_the_page().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "src" / "gaffer_driver_file" / "__init__.py").touch()
    return folder


@pytest.fixture(scope="module")
def site(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder into which pip has installed the project."""
    folder = tmp_path_factory.mktemp("site")
    pip = ["pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    done = run(
        [*pip, "--no-build-isolation", "--target", str(folder), str(project)], project, folder
    )
    assert done.returncode == 0, done.stdout
    return folder


@pytest.fixture
def broken(site: Path, tmp_path: Path) -> Path:
    """Give a folder with the driver installed, but without its check of revisions."""
    folder = tmp_path / "broken"
    shutil.copytree(site, folder)
    driver = folder / "gaffer_driver_file" / "driver.py"
    sound = "return (-1 if kept is None else kept.revision) != job.revision - 1"
    text = driver.read_text()
    assert text.count(sound) == 1
    driver.write_text(text.replace(sound, "return (kept is None) != (job.revision == 0)"))
    return folder


def test_the_page_shows_a_whole_project() -> None:
    assert list(files_of_the_page()) == [
        "pyproject.toml",
        "src/gaffer_driver_file/records.py",
        "src/gaffer_driver_file/driver.py",
        "src/gaffer_driver_file/harness.py",
        "tests/test_conformance.py",
    ]


def test_the_suite_passes_without_a_file_of_the_authors(project: Path, site: Path) -> None:
    done = run(["pytest", "-q", *SUITE], project, site)

    assert done.returncode == 0, done.stdout[-5000:]
    assert re.search(r"^\d{3} passed", done.stdout, re.MULTILINE), done.stdout[-500:]


def test_the_adopted_suite_is_the_same(project: Path, site: Path) -> None:
    adopted, without = (
        run(["pytest", "--collect-only", "-q", *arguments], project, site).stdout
        for arguments in ([], SUITE)
    )

    assert sorted(re.findall(r"::(\S+)", adopted)) == sorted(re.findall(r"::(\S+)", without))
    assert len(re.findall(r"::(\S+)", adopted)) > 200


def test_the_adopted_suite_fails_when_revisions_are_not_checked(
    project: Path, broken: Path
) -> None:
    done = run(["pytest", "-q", "-k", "revision or wins"], project, broken)

    assert done.returncode == 1, done.stdout[-5000:]
    assert "FAILED tests/test_conformance.py::test_of_two_writes_of_one_revision" in done.stdout


def test_a_name_that_is_not_installed_is_refused_with_those_that_are(
    project: Path, site: Path
) -> None:
    done = run(["pytest", "-q", "--driver=fiel"], project, site)

    assert done.returncode == 4
    assert "--driver=fiel: no such harness; installed: file, " in done.stdout
