"""Who may import whom, by walking the imports of every file."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "transformers", "pyspark", "mlflow", "pandas", "numpy", "psycopg"}
JOB_NAMES = {path.stem for path in (ROOT / "jobs").glob("*.py")}
DAG_NAMES = {path.stem for path in (ROOT / "dags").glob("*.py")}


def imports(path: Path, *, module_level: bool = False) -> Iterator[str]:
    """Dotted names that a file imports; those below ``if TYPE_CHECKING`` never happen and are left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        child
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    for node in tree.body if module_level else ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def files(pattern: str) -> list[Path]:
    found = sorted(ROOT.glob(pattern))
    assert found, pattern
    return found


def roots(names: Iterator[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("path", files("jobs/nearline/core/*.py"), ids=lambda path: path.stem)
def test_core_is_pure(path: Path) -> None:
    for name in imports(path):
        if name.split(".")[0] == "nearline":
            assert name.startswith(("nearline.core", "nearline.errors")), name
        else:
            assert name.split(".")[0] in {*sys.stdlib_module_names, "numpy"}, name
    assert not roots(imports(path)) & {"os", "socket", "urllib", "http", "subprocess"}, "core has no outside world"


@pytest.mark.parametrize("path", files("jobs/nearline/models/*.py"), ids=lambda path: path.stem)
def test_models_know_no_outside_system(path: Path) -> None:
    assert not roots(imports(path)) & {"airflow", "pyspark", "mlflow", "psycopg", "pgvector", "pandas"}
    assert not any(name.startswith("nearline.adapters") for name in imports(path))


@pytest.mark.parametrize("path", files("jobs/nearline/**/*.py"), ids=lambda path: path.stem)
def test_the_package_knows_no_airflow(path: Path) -> None:
    assert not roots(imports(path)) & {"airflow", "dags", "plugins", "nearline_airflow", *DAG_NAMES, *JOB_NAMES}


@pytest.mark.parametrize("path", files("jobs/*.py"), ids=lambda path: path.stem)
def test_jobs_know_neither_airflow_nor_each_other(path: Path) -> None:
    assert not roots(imports(path)) & {"airflow", "nearline_airflow", *JOB_NAMES}


@pytest.mark.parametrize(
    "path", [*files("dags/*.py"), *files("plugins/*.py"), *files("plugins/nearline_airflow/*.py")], ids=lambda p: p.stem
)
def test_what_airflow_parses_is_light(path: Path) -> None:
    assert not roots(imports(path, module_level=True)) & HEAVY
    assert not roots(imports(path)) & DAG_NAMES


def test_every_file_is_short_enough_to_read() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in [*files("jobs/*.py"), *files("dags/*.py")]
        if (count := len(path.read_text().splitlines())) > 160
    }
    assert long == {}
