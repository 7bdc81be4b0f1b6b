"""One person's story, told through the SQL that an application would send."""

from __future__ import annotations

import time
from typing import Any

from nearline.adapters.postgres import Connection, queries
from nearline.errors import DatabaseError

ITEMS_A_LIST = 3
VECTOR_SECONDS = 150.0
"""The nearline DAG starts a run every minute: after two of them something is wrong."""

Lists = dict[str, list[dict[str, Any]]]


class Story:
    """Shows what one person did and gets, lets them do something else, and shows what changed, and when."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sql = queries("story")

    def tell(self) -> dict[str, Any]:
        """Print the story and return it as data.

        Raises
        ------
        DatabaseError
            When no model is live, or the nearline DAG does not write the vector in time.
        """
        person = self._one("person")
        if person is None:
            raise DatabaseError(
                "No model is live or nobody has enough history. Fix: look at the task judge of the run."
            )
        user = str(person["user_id"])
        counts = self._one("counts") or {}
        print("  " + ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items()))
        events = self._rows_of("select * from nearline.recent_events(of_user => %s, max_events => 5)", user)
        print(f"\n  The five newest events of {user}, newest first:")
        for event in events:
            what = f"{event['item_id']}: {event['title']}" if event["title"] else f"“{event['text']}”"
            print(f"    {event['occurred_at']:%Y-%m-%d %H:%M}  {event['kind']:<9} {what}")
        self._wait_for_the_nearline_dag()
        before = self._lists(user)
        print(f"\n  What nearline.recommend(for_user => '{user}') says, one list for each kind:")
        _show(before, {})
        done, clicked_at, clicked = self._do_something_else(user)
        changed_after = self._wait_for_other_lists(user, before, clicked)
        print(f"\n  The next query after the last click gave other recommendations: {changed_after * 1000:.0f} ms.")
        vector_after = self._wait_for_vector(user, clicked_at)
        print(
            f"  The nearline DAG had the click in the interest vector {vector_after:.1f} seconds after it was recorded."
        )
        after = self._lists(user)
        print("\n  The recommendations now (* is new):")
        _show(after, before)
        return {
            "user": user,
            "counts": counts,
            "newest_events": events,
            "before": before,
            "recorded": done,
            "after": after,
            "click_to_changed_list_ms": round(changed_after * 1000, 1),
            "click_to_vector_seconds": round(vector_after, 2),
            "freshness": self._rows_of("select * from nearline.freshness")[0],
            "live_model": self._rows_of("select * from nearline.live_model")[0],
        }

    def _wait_for_the_nearline_dag(self) -> None:
        """The first model went live a moment ago: the run that drains is still loading it."""
        end = time.monotonic() + VECTOR_SECONDS
        while not (self._one("is_refreshed") or {})["yes"]:
            if time.monotonic() > end:
                raise DatabaseError("The DAG nearline_interests does not run. Fix: unpause it in Airflow.")
            time.sleep(0.5)

    def _lists(self, user: str) -> Lists:
        kinds = [row["kind"] for row in self._rows("kinds")]
        size = ITEMS_A_LIST if len(kinds) > 1 else 2 * ITEMS_A_LIST
        return {
            kind: self._rows_of(
                "select list_position, item_id, title, score, reason->>'text' as reason, model_version"
                " from nearline.recommend(for_user => %s, max_items => %s, item_kinds => array[%s])",
                user, size, kind,
            )
            for kind in kinds
        }  # fmt: skip

    def _do_something_else(self, user: str) -> tuple[list[dict[str, Any]], float, float]:
        """Search for something the person has shown no interest in, and click on two results."""
        found = self._one("another_interest", user_id=user)
        if found is None:
            raise DatabaseError("There is nothing in the catalogue that this person has not met.")
        similar = self._rows_of(
            "select item_id, title from nearline.similar_items(to_item => %s, max_items => 1)", found["item_id"]
        )
        print("\n  Now they do something else, recorded through SQL:")
        steps: list[tuple[str, str | None, str | None, str]] = [("search", None, found["title"], f"“{found['title']}”")]
        steps += [("click", item["item_id"], None, item["title"]) for item in (found, *similar)]
        done = []
        for kind, item_id, text, shown in steps:
            self._rows_of(
                "select nearline.record_event(of_user => %s, event_kind => %s, on_item => %s, with_text => %s)",
                user, kind, item_id, text,
            )  # fmt: skip
            print(f"    {kind:<9} {shown}")
            done.append({"kind": kind, "item_id": item_id, "text": text, "title": shown})
        return done, float(next(iter((self._one("server_time") or {}).values()))), time.monotonic()

    def _wait_for_other_lists(self, user: str, before: Lists, clicked: float) -> float:
        while True:
            if _ids(self._lists(user)) != _ids(before):
                return time.monotonic() - clicked
            if time.monotonic() - clicked > VECTOR_SECONDS:
                raise DatabaseError("The recommendations did not change after two clicks. Fix: see nearline.freshness.")
            time.sleep(0.05)

    def _wait_for_vector(self, user: str, clicked_at: float) -> float:
        """Seconds, on the server's clock, from the last click to the vector that has it."""
        end = time.monotonic() + VECTOR_SECONDS
        while time.monotonic() < end:
            written = self._one("vector_written_at", user_id=user)
            if written is not None and (at := float(next(iter(written.values())))) >= clicked_at:
                return at - clicked_at
            time.sleep(0.1)
        raise DatabaseError("The nearline DAG wrote no vector. Fix: look at the task refresh_interests in Airflow.")

    def _rows(self, name: str, **values: Any) -> list[dict[str, Any]]:
        return _as_dicts(self._connection.execute(self._sql[name], values))

    def _one(self, name: str, **values: Any) -> dict[str, Any] | None:
        return next(iter(self._rows(name, **values)), None)

    def _rows_of(self, call: str, *values: Any) -> list[dict[str, Any]]:
        return _as_dicts(self._connection.execute(call.encode(), values))


def _as_dicts(cursor: Any) -> list[dict[str, Any]]:
    names = [column.name for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _ids(lists: Lists) -> dict[str, list[str]]:
    return {kind: [row["item_id"] for row in rows] for kind, rows in lists.items()}


def _show(lists: Lists, before: Lists) -> None:
    for kind, rows in lists.items():
        known = {row["item_id"] for row in before.get(kind, rows)}
        for row in rows:
            mark = " " if row["item_id"] in known else "*"
            title = f"{row['item_id']}: {row['title']}"[:64]
            print(f"   {mark}{kind:<8} {row['score']:5.2f}  {title:<64}  {(row['reason'] or '')[:80]}")
