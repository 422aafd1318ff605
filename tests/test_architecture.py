"""The order of the tree: imports point one way, and the core knows nothing of the world."""

import ast
import importlib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A module may import from its own row and from those above it; a package stands for all that is in it.
LAYERS = [
    ["streamguard.errors"],
    ["streamguard.processes"],
    ["streamguard.core", "streamguard.core.records"],
    [
        "streamguard.core.bands",
        "streamguard.core.baseline",
        "streamguard.core.bets",
        "streamguard.core.budgeted",
        "streamguard.core.durations",
        "streamguard.core.losses",
        "streamguard.core.windows",
        "streamguard.core.threshold",
        "streamguard.core.detectors.*",
        "streamguard.core.environment",
        "streamguard.core.environment.shapes",
        "streamguard.core.features",
        "streamguard.core.features.fates",
        "streamguard.core.features.markup",
        "streamguard.core.features.number_steps",
        "streamguard.core.features.steps",
        "streamguard.core.features.text_steps",
        "streamguard.core.features.traits",
    ],
    ["streamguard.check"],
    ["streamguard.config.*"],
    [
        "streamguard.core.alerts",
        "streamguard.core.arrivals.*",
        "streamguard.core.budget",
        "streamguard.core.checks",
        "streamguard.core.codec",
        "streamguard.core.cold",
        "streamguard.core.confusion",
        "streamguard.core.contract.*",
        "streamguard.core.environment.*",
        "streamguard.core.explaining",
        "streamguard.core.features.*",
        "streamguard.core.fields",
        "streamguard.core.frozen",
        "streamguard.core.history",
        "streamguard.core.identity",
        "streamguard.core.intake",
        "streamguard.core.index",
        "streamguard.core.join",
        "streamguard.core.locator",
        "streamguard.core.merge",
        "streamguard.core.monitor",
        "streamguard.core.note",
        "streamguard.core.outcomes",
        "streamguard.core.pairing",
        "streamguard.core.panes",
        "streamguard.core.printing",
        "streamguard.core.ranges",
        "streamguard.core.payloads.*",
        "streamguard.core.rejected",
        "streamguard.core.rekey",
        "streamguard.core.segment",
        "streamguard.core.silence",
        "streamguard.core.skeleton",
        "streamguard.core.spilling",
        "streamguard.core.store",
        "streamguard.core.texts",
        "streamguard.core.trail",
        "streamguard.core.waiting",
        "streamguard.core.watching",
    ],
    ["streamguard.reference.*"],
    ["streamguard.preparing.*"],
    ["streamguard.logs.*"],
    ["streamguard.stores.*"],
    ["streamguard.probing.*"],
    ["streamguard.worker.*"],
    ["streamguard.rekeying.*"],
    ["streamguard.replay.*"],
    ["streamguard.contracts.*"],
    ["streamguard.profile.*"],
    ["streamguard.handlers.*"],
    ["streamguard.rejected.*"],
    ["streamguard.fingerprints.*"],
    ["streamguard"],
    ["streamguard.demo.*"],
    ["streamguard.doctor.*"],
    ["streamguard.bench.*"],
    ["streamguard.cli"],
]
# Time, chance, threads, files, the network and log lines belong to the shell.
NOT_IN_THE_CORE = {
    *("asyncio", "concurrent", "kafka", "logging", "multiprocessing", "os", "pathlib", "random", "secrets"),
    *("socket", "sqlite3", "structlog", "subprocess", "sys", "tempfile", "threading", "time", "uuid"),
}

# It draws samples, and each draw is a function of the seed and the number of the draw.
DRAWS = {"streamguard.core.detectors.kswin": {"random"}}

FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "streamguard").rglob("*.py"))
}


def layer(module: str) -> int | None:
    """The row that a module is in."""
    for number, names in enumerate(LAYERS):
        for name in names:
            package = name.removesuffix(".*")
            if module == package or (name != package and module.startswith(f"{package}.")):
                return number
    return None


def imports(module: str) -> Iterator[str]:
    """The modules that one imports, anywhere in its file: `from a import b` is `a.b` where that is a module."""
    for node in ast.walk(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative imports hide where they point"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in FILES else node.module or ""


def ours(module: str) -> set[str]:
    """The modules of streamguard that one imports."""
    return {name for name in imports(module) if name.partition(".")[0] == "streamguard"}


@pytest.mark.parametrize("module", FILES)
def test_imports_point_one_way(module: str) -> None:
    """Nothing imports what stands below it in the table, and every module stands there."""
    own = layer(module)
    assert own is not None, f"{module} is in no row of LAYERS: say where it belongs"
    for name in ours(module):
        other = layer(name)
        assert other is not None, f"{module} imports {name}, which is in no row of LAYERS"
        assert other <= own, f"{module} imports {name}, which stands below it"


def test_no_imports_go_in_circles() -> None:
    """Within a row, too."""
    tuple(TopologicalSorter({module: ours(module) - {module} for module in FILES}).static_order())


def test_the_table_names_nothing_that_is_gone() -> None:
    """A row that matches no module is a leftover."""
    names = {name.removesuffix(".*") for names in LAYERS for name in names}
    assert names - set(FILES) == set()


@pytest.mark.parametrize("module", [name for name in FILES if name.startswith("streamguard.core")])
def test_the_core_is_pure(module: str) -> None:
    """No clock, thread, log line, Kafka, file or chance: a task is a function of the records it is given."""
    world = {name.partition(".")[0] for name in imports(module)} & NOT_IN_THE_CORE
    assert world == DRAWS.get(module, set())


@pytest.mark.parametrize("module", FILES)
def test_every_public_name_exists(module: str) -> None:
    """`from module import *` works: what `__all__` promises is there, each name once."""
    found = importlib.import_module(module)
    names = getattr(found, "__all__", [])
    assert [name for name in names if not hasattr(found, name)] == []
    assert len(set(names)) == len(names)
