"""The tour of sql/README.md says what psql says, word for word.

WRITE_README=1 writes what psql said into it; look at the difference.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

from nearline.adapters import embedded_postgres
from nearline.adapters.postgres import Connection, dsn
from nearline.settings import Settings
from small_shop import ITEMS, open_shop

README = Path(__file__).resolve().parents[2] / "sql" / "README.md"
EXAMPLE = re.compile(r"```sql\n(?P<asked>.*?)```\n(?:\n```\n(?P<said>.*?)```\n)?", re.DOTALL)


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
    role = "nearline_reader"
    found, end = "", 0
    for example in EXAMPLE.finditer(tour):
        before = tour[end : example.start()]
        for named in re.findall(r"[Aa]s `(nearline_\w+)`", before):
            role = named
        said = _psql(settings, role, example["asked"])
        found += f"{before}```sql\n{example['asked']}```\n\n```\n{said}```\n"
        end = example.end()
    found += tour[end:]
    if os.environ.get("WRITE_README"):
        README.write_text(found)
    assert found == tour


def _psql(settings: Settings, role: str, statements: str) -> str:
    run = subprocess.run(
        [str(embedded_postgres.psql_path()), "--no-psqlrc", "--quiet", f"--dbname={dsn(settings)}"],
        input=f"set role {role};\n\\set VERBOSITY default\n\\set SHOW_CONTEXT never\n{statements}",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True,
    )  # fmt: skip
    return "".join(f"{line.rstrip()}\n" for line in run.stdout.strip("\n").splitlines())
