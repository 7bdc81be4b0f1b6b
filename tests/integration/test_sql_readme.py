"""The tour of sql/README.md says what psql and Python say, word for word; its Java sends what Postgres understands.

WRITE_README=1 writes what they said into it; look at the difference.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from nearline.adapters import embedded_postgres
from nearline.adapters.postgres import Connection, dsn
from nearline.settings import Settings
from small_shop import ITEMS, open_shop

README = Path(__file__).resolve().parents[2] / "sql" / "README.md"
EXAMPLE = re.compile(r"```(?P<language>sql|python|java)\n(?P<asked>.*?)```\n(?:\n```\n(?P<said>.*?)```\n)?", re.DOTALL)
LOGIN = "shop_web"
"""The login that the tour makes."""


def test_the_tour_says_what_psql_says(settings: Settings, connection: Connection) -> None:
    open_shop(connection)
    for number, item in enumerate(ITEMS):
        attributes = {
            "theme": item.split("-")[0], "difficulty": ["easy", "hard"][number % 2], "price": 15 * (number % 4 + 1)
        }  # fmt: skip
        connection.execute(
            "update nearline_data.item set attributes = %s where item_id = %s", (json.dumps(attributes), item)
        )
    connection.execute("select nearline_data._refresh_topics()")
    for user in ("u1", "u2", "u3"):
        connection.execute("select nearline.record_event(%s, 'view', 'baking-page-4')", (user,))
    tour = README.read_text()
    try:
        found = _tour(settings, tour)
    finally:
        with psycopg.connect(dsn(settings), autocommit=True) as admin:  # it belongs to the server, which outlives us
            admin.execute(f"drop role if exists {LOGIN}".encode())
    if os.environ.get("WRITE_README"):
        README.write_text(found)
    assert found == tour


def _tour(settings: Settings, tour: str) -> str:
    role = "nearline_reader"
    found, end = "", 0
    for example in EXAMPLE.finditer(tour):
        before, asked = tour[end : example.start()], example["asked"]
        for named in re.findall(r"[Aa]s `(nearline_\w+|postgres)`", before):
            role = named
        if example["language"] == "sql":
            said = _psql(settings, role, asked)
        elif example["language"] == "python":
            said = _python(settings, asked)
        else:
            said = _java(settings, asked)
        found += f"{before}```{example['language']}\n{asked}```\n\n```\n{said}```\n"
        end = example.end()
    return found + tour[end:]


def _python(settings: Settings, program: str) -> str:
    environment = os.environ | {"SHOP_DSN": make_conninfo(dsn(settings), user=LOGIN)}
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    ).stdout


def _java(settings: Settings, program: str) -> str:
    """What the program prints: its statement as JDBC sends it, prepared with numbered parameters."""
    (statement,) = re.findall(r'prepareStatement\(\s*"(.*?)"\)', program)
    parameters: list[tuple[str, str]] = re.findall(r"set(String|Int)\(\d, (.*)\);", program)
    values = [json.loads(value) for _, value in parameters]
    types = ", ".join({"String": "varchar", "Int": "int4"}[kind] for kind, _ in parameters)
    for number in range(1, len(values) + 1):
        statement = statement.replace("?", f"${number}", 1)
    with psycopg.connect(make_conninfo(dsn(settings), user=LOGIN), autocommit=True) as client:
        client.execute(f"prepare asked ({types}) as {statement}".encode())
        rows = (
            psycopg.ClientCursor(client)
            .execute(f"execute asked ({', '.join(['%s'] * len(values))})".encode(), values)
            .fetchall()
        )
    return "".join(f"{position} {title}\n" for position, title in rows)


def _psql(settings: Settings, role: str, statements: str) -> str:
    run = subprocess.run(
        [str(embedded_postgres.psql_path()), "--no-psqlrc", "--quiet", f"--dbname={dsn(settings)}"],
        input=f"set role {role};\n\\set VERBOSITY default\n\\set SHOW_CONTEXT never\n{statements}",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True,
    )  # fmt: skip
    return "".join(f"{line.rstrip()}\n" for line in run.stdout.strip("\n").splitlines())
