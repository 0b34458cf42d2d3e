"""The house: who may import whom, who may read a clock, and what an import of gaffer does."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

ROOT = Path(__file__).parent.parent
CORE = ROOT / "gaffer"
DRIVERS = sorted(ROOT.glob("gaffer_driver_*/src/*/"))

LAYERS = {
    module: layer
    for layer, modules in enumerate(
        [
            "errors clock ids token wording",
            "job checks conf codec info pace portion health schedules",
            "machine events failures forms batches",
            "driver annotations letter",
            "ledger step writing unique selection discovery service asking interrupt retry lookout "
            "parameters presence diagnosis doctor tally",
            "watchdog execution crew heartbeat turn suspects",
            "runner intake roster outbox claims pruner hand drivers logs redrive futures results "
            "scheduler",
            "supervisor queue tasks",
            "process declaring instance rehearsal __init__",
            "__main__",
        ]
    )
    for module in modules.split()
}
PEERS = {
    ("ids", "clock"),
    ("conf", "job"),
    ("conf", "checks"),
    ("conf", "codec"),
    ("conf", "schedules"),
    ("schedules", "checks"),
    ("schedules", "codec"),
    ("schedules", "job"),
    ("checks", "job"),
    ("codec", "job"),
    ("writing", "step"),
    ("diagnosis", "presence"),
    ("doctor", "presence"),
    ("ledger", "step"),
    ("ledger", "tally"),
    ("tally", "step"),
    ("ledger", "writing"),
    ("ledger", "unique"),
    ("crew", "execution"),
    ("turn", "execution"),
    ("suspects", "execution"),
    ("watchdog", "execution"),
    ("runner", "roster"),
    ("runner", "outbox"),
    ("runner", "intake"),
    ("intake", "roster"),
    ("results", "futures"),
    ("intake", "outbox"),
    ("intake", "claims"),
    ("declaring", "process"),
    ("instance", "declaring"),
    ("rehearsal", "instance"),
    ("__init__", "instance"),
}
COMMANDS = {
    module: layer
    for layer, modules in enumerate(
        [
            "exits output arguments views signals keys",
            "opening serving watching failing",
            "selecting",
            "following",
            "work queues jobs why doctor top redrive insert migrate demo",
            "parser",
            "__init__",
        ]
    )
    for module in modules.split()
}
POSTGRES = {
    module: layer
    for layer, modules in enumerate(
        [
            "clock errors options caller embedded statements watches diagnosis",
            "guard sessions bounds",
            "rows",
            "listing connections migrations refusals",
            "writing hub",
            "opening",
            "driver",
            "transaction",
            "harness testing __init__",
        ]
    )
    for module in modules.split()
}
CLOCK_READERS = {
    "time": {
        "time",
        "time_ns",
        "monotonic",
        "monotonic_ns",
        "perf_counter",
        "perf_counter_ns",
        "localtime",
        "gmtime",
    },
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}


# What is imported only when it is used, and is an extra.
EXTRAS = {"schedules": {"cronsim"}}

# The tests of a program stand where the program does.
PROGRAMS = {"fixtures", "jobs"}


def core_modules() -> list[Path]:
    return sorted(CORE.glob("*.py"))


def modules_for_testing() -> list[Path]:
    return sorted((CORE / "testing").rglob("*.py"))


def contrib_modules() -> list[Path]:
    return sorted((CORE / "contrib").glob("*.py"))


def command_modules() -> list[Path]:
    return sorted((CORE / "cli").glob("*.py"))


def driver_modules() -> list[Path]:
    return [path for package in DRIVERS for path in sorted(package.rglob("*.py"))]


def postgres_modules() -> list[Path]:
    return [path for path in driver_modules() if "gaffer_driver_postgres" in path.parts]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def run_time_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Walk *node*, without what stands under ``if TYPE_CHECKING``."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield from run_time_nodes(other)
        else:
            yield from run_time_nodes(child)


def imported(path: Path) -> set[str]:
    """Return the dotted names of the modules that *path* imports when it runs."""
    names: set[str] = set()
    for node in run_time_nodes(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{relative(path)} imports relatively"
            source = node.module or ""
            names.update(submodules(source, [alias.name for alias in node.names]))
    return names


def submodules(source: str, names: list[str]) -> set[str]:
    """Tell ``from gaffer import codec`` (a module) from ``from gaffer import insert`` (a name)."""
    folder = ROOT.joinpath(*source.split("."))
    if not folder.is_dir():
        return {source}
    return {
        f"{source}.{name}"
        if (folder / f"{name}.py").exists() or (folder / name).is_dir()
        else source
        for name in names
    }


def of_gaffer(names: set[str]) -> set[str]:
    return {name for name in names if name.split(".")[0] == "gaffer"}


def core_name(dotted: str) -> str:
    return dotted.removeprefix("gaffer").lstrip(".") or "__init__"


def test_every_module_of_the_core_has_a_layer() -> None:
    names = {path.stem for path in core_modules()}

    assert names - LAYERS.keys() == set()
    assert {"errors", "job", "conf", "codec", "machine", "events", "driver"} <= names


@pytest.mark.parametrize("path", core_modules(), ids=relative)
def test_imports_of_the_core_go_down_or_to_an_allowed_peer(path: Path) -> None:
    targets = {core_name(name) for name in of_gaffer(imported(path))}

    wrong = {
        target
        for target in targets
        if LAYERS.get(target, 99) >= LAYERS[path.stem]
        and (path.stem, target) not in PEERS
        # The command line is above everything; its door alone leads there.
        and (path.stem, target) != ("__main__", "cli")
    }

    assert not wrong, f"{path.stem} (layer {LAYERS[path.stem]}) imports {sorted(wrong)}"


@pytest.mark.parametrize("path", core_modules(), ids=relative)
def test_the_core_imports_the_standard_library_only(path: Path) -> None:
    roots = {name.split(".")[0] for name in imported(path)}

    foreign = roots - sys.stdlib_module_names - {"gaffer"}

    assert foreign <= EXTRAS.get(path.stem, set())


@pytest.mark.parametrize("path", modules_for_testing(), ids=relative)
def test_the_testing_package_knows_the_core_up_to_the_driver_seam(path: Path) -> None:
    targets = {core_name(name) for name in of_gaffer(imported(path))}

    wrong = {
        target
        for target in targets
        if target.split(".")[0] != "testing" and LAYERS.get(target, 99) > LAYERS["driver"]
    }

    assert not wrong if path.stem not in PROGRAMS else wrong <= {"__init__", "rehearsal"}


@pytest.mark.parametrize("path", contrib_modules(), ids=relative)
def test_a_connection_to_another_library_is_built_on_the_public_api_only(path: Path) -> None:
    targets = {name for name in of_gaffer(imported(path)) if ".contrib" not in name}

    assert targets <= {"gaffer", "gaffer.driver"}
    assert not private_attributes(path)


def private_attributes(path: Path) -> set[str]:
    """Return the attributes with an underscore that *path* takes of anything but ``self``."""
    return {
        ast.unparse(node)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and ast.unparse(node.value) != "self"
    }


@pytest.mark.parametrize("path", driver_modules(), ids=relative)
def test_a_driver_imports_the_seam_and_its_own_tests_the_testing_package(path: Path) -> None:
    targets = of_gaffer(imported(path))

    if path.name in ("harness.py", "testing.py"):
        targets = {name for name in targets if not name.startswith("gaffer.testing")}

    assert targets <= {"gaffer.driver"}


def test_the_layers_of_the_command_line_name_all_its_modules() -> None:
    assert {path.stem for path in command_modules()} == COMMANDS.keys()


@pytest.mark.parametrize("path", command_modules(), ids=relative)
def test_imports_of_the_command_line_go_down(path: Path) -> None:
    for name in of_gaffer(imported(path)):
        if name.startswith("gaffer.cli"):
            below = name.removeprefix("gaffer.cli").lstrip(".") or "__init__"
            assert COMMANDS[below] < COMMANDS[path.stem], f"{path.stem} imports {below}"


def test_the_layers_of_the_postgres_driver_name_all_its_modules() -> None:
    assert {path.stem for path in postgres_modules()} == POSTGRES.keys()


@pytest.mark.parametrize("path", postgres_modules(), ids=relative)
def test_imports_of_the_postgres_driver_go_down(path: Path) -> None:
    package = "gaffer_driver_postgres"
    for name in imported(path):
        top, _, rest = name.partition(".")
        if top != package:
            continue
        below = rest.partition(".")[0] or "__init__"
        assert POSTGRES[below] < POSTGRES[path.stem], f"{path.stem} imports {below}"


@pytest.mark.parametrize(
    "path",
    core_modules()
    + contrib_modules()
    + command_modules()
    + modules_for_testing()
    + driver_modules(),
    ids=relative,
)
def test_only_the_clock_module_reads_a_clock(path: Path) -> None:
    """F48."""
    if path == CORE / "clock.py":
        assert clock_reads(path) == {"time.time_ns", "time.monotonic", "datetime.now"}
        return

    assert not clock_reads(path)


def clock_reads(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            owner = ast.unparse(node.value).rpartition(".")[2]
            if node.attr in CLOCK_READERS.get(owner, ()):
                found.add(f"{owner}.{node.attr}")
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            names = {alias.name for alias in node.names}
            found |= {f"time.{name}" for name in names & CLOCK_READERS["time"]}
    return found


@pytest.mark.parametrize(
    "path", core_modules() + contrib_modules() + command_modules(), ids=relative
)
def test_every_public_class_function_and_method_has_a_docstring(path: Path) -> None:
    dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")

    module = importlib.import_module(dotted)

    assert module.__doc__
    assert not list(undocumented(module))


def undocumented(module: ModuleType) -> Iterator[str]:
    for name, value in vars(module).items():
        own = getattr(value, "__module__", None) == module.__name__
        if name.startswith("_") or not own or not isinstance(value, type | FunctionType):
            continue
        generated = f"{name}("  # what a dataclass says of itself
        if not value.__doc__ or value.__doc__.startswith(generated):
            yield name
        if isinstance(value, type):
            yield from (f"{name}.{member}" for member in undocumented_members(value))


def undocumented_members(owner: type) -> Iterator[str]:
    """Yield public methods and properties without a docstring, inherited ones counting."""
    for name, value in vars(owner).items():
        documentable = isinstance(value, FunctionType | classmethod | staticmethod | property)
        if not name.startswith("_") and documentable and not inspect.getdoc(getattr(owner, name)):
            yield name


def test_every_name_that_a_module_lists_exists_and_is_listed_once() -> None:
    for path in core_modules():
        module = importlib.import_module(f"gaffer.{path.stem}".removesuffix(".__init__"))
        listed = getattr(module, "__all__", [])

        missing = [name for name in listed if not hasattr(module, name)]

        assert not missing, path.stem
        assert len(set(listed)) == len(listed), path.stem


def test_importing_gaffer_is_quiet() -> None:
    """No thread, no driver, no test tool, no scan of what is installed."""
    script = (
        "import importlib.metadata as m, sys, threading\n"
        "def scan(*a, **k): raise AssertionError('importing gaffer scans distributions')\n"
        "m.entry_points = m.distributions = m.distribution = m.version = scan\n"
        "import gaffer\n"
        "loud = [n for n in sys.modules if n.split('.')[0] in"
        " ('pytest', '_pytest', 'hypothesis', 'psycopg', 'psycopg_pool', 'prometheus_client',"
        " 'opentelemetry', 'cronsim')"
        " or n.startswith(('gaffer_driver_', 'gaffer.testing', 'gaffer.contrib', 'gaffer.cli'))]\n"
        "print(loud, [t.name for t in threading.enumerate()])"
    )

    ran = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (ran.stdout.strip(), ran.stderr, ran.returncode) == ("[] ['MainThread']", "", 0)


def test_the_core_has_no_run_time_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert project["dependencies"] == []
    assert project["name"] == "gaffer-queue"
