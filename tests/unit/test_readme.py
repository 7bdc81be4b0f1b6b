"""README tells the truth: its commands, settings, calls and folders exist, and all that exist are in it.

So does the page of the benchmarks, as far as it names commands, files and sections.
"""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from nearline.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
BENCHMARKS = (ROOT / "tests" / "benchmarks" / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):.*  ## ", MAKEFILE, re.MULTILINE))


def test_every_make_command_of_readme_exists_and_is_told() -> None:
    told = set(re.findall(r"\bmake ([a-z]+(?:-[a-z]+)*)\b", README))
    assert told <= TARGETS, told - TARGETS
    assert TARGETS - {"install"} <= told, TARGETS - told


def test_every_benchmark_has_its_place_on_their_page() -> None:
    told = set(re.findall(r"\bmake ([a-z]+(?:-[a-z]+)*)\b", BENCHMARKS))
    assert {name for name in TARGETS if name.startswith("bench")} | {"chaos"} <= told <= TARGETS
    run = {path.stem.removeprefix("bench_") for path in (ROOT / "tests" / "benchmarks").glob("bench_*.py")}
    named = set(re.findall(r"\bBENCH=(\w+)", BENCHMARKS))
    assert named <= run, named - run


@pytest.mark.parametrize("page", [README, BENCHMARKS], ids=["README", "benchmarks"])
def test_every_link_within_a_page_leads_somewhere(page: str) -> None:
    headings = {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    }
    linked = set(re.findall(r"\]\(#([\w-]+)\)", page))
    assert linked
    assert linked <= headings, linked - headings


def test_the_settings_table_is_the_settings() -> None:
    rows = dict(re.findall(r"^\| `(NEARLINE_\w+)` \| (.*?) \|", README, re.MULTILINE))
    assert rows.keys() == {field.metadata["variable"] for field in fields(Settings)}
    for field in fields(Settings):
        default = field.default
        if isinstance(default, str | int | float):
            assert rows[field.metadata["variable"]] == f"`{default}`", field.name


def test_every_file_and_job_that_readme_names_is_there() -> None:
    for name in set(re.findall(r"`((?:jobs|sql|dags|plugins|tests)/[\w./]*)`", README + BENCHMARKS)):
        assert (ROOT / name).exists(), name
    for name in set(re.findall(r"python (jobs/\w+\.py)", README)):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("name", sorted(set(re.findall(r"nearline\.(\w+)\(", README))))
def test_every_function_is_called_as_it_is_defined(name: str) -> None:
    definition = next(
        text
        for path in (ROOT / "sql" / "functions").glob("*.sql")
        if f"function nearline.{name}(" in (text := path.read_text())
    )
    parameters = re.findall(
        r"^\s*,?\s*(\w+) [a-z]", definition.split(f"nearline.{name}(")[1].split(")")[0], re.MULTILINE
    )
    parameters += re.findall(r"[(,] ?(\w+) [a-z]", "(" + definition.split(f"nearline.{name}(")[1].split("\n")[0])
    for used in re.findall(rf"nearline\.{name}\(([^)]*)\)", README):
        named = re.findall(r"(\w+) =>", used) or [part.strip() for part in used.split(",")]
        assert {word for word in named if re.fullmatch(r"[a-z_]+", word)} <= set(parameters), (used, parameters)


def test_no_placeholder_is_left() -> None:
    assert "@@" not in README + BENCHMARKS
