"""What became of lists: each event counts for one exposure at most, and all is what a plain count gives."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as rules
from hypothesis import strategies as st

from nearline.adapters.postgres import Connection, connect
from nearline.settings import Settings

START = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=25)
WITHIN = {"click": timedelta(hours=24), "conversion": timedelta(days=7)}
OUTCOME = {"view": "click", "click": "click", "purchase": "conversion", "like": None, "dislike": None}
KIND = {"a": "page", "b": "page", "c": "video", "unknown": None}
PERFORMANCE = """
    select day, model_version, strategy, kind, exposures, people, clicks, conversions, revenue, items_shown, coverage
    from nearline.performance_between(%s, %s)
"""

hours = st.integers(0, 400)
exposures = st.lists(
    st.tuples(st.sampled_from("uv"), st.sampled_from([*KIND]), hours, st.sampled_from("xy")), max_size=25
)
events = st.lists(
    st.tuples(st.sampled_from("uv"), st.sampled_from([*KIND]), hours, st.sampled_from([*OUTCOME]), st.integers(0, 9)),
    max_size=25,
)


@dataclass
class Shown:
    """One exposure and what the plain count makes of it."""

    request: UUID
    user: str
    item: str
    at: datetime
    strategy: str
    clicked: bool = False
    converted: bool = False
    revenue: float = 0.0


@pytest.fixture
def shop(connection: Connection) -> Connection:
    """Two pages and a video, a model version, and partitions for the time of the tests."""
    for item, kind in KIND.items():
        if kind is not None:
            connection.execute(
                "insert into nearline_data.item (item_id, kind, title) values (%s, %s, 'T')", (item, kind)
            )
    connection.execute(
        "insert into nearline_data.model_version (model_version, mlflow_run_id, transition_weight) values (1, 'r', 1)"
    )
    connection.execute("select nearline_data._ensure_event_partitions(%s, now())", (START,))
    return connection


def show(connection: Connection, request: int, user: str, item: str, hour: float, strategy: str = "default") -> Shown:
    shown = Shown(UUID(int=request), user, item, START + timedelta(hours=hour), strategy)
    connection.execute(
        """insert into nearline_data.exposure
               (request_id, user_id, item_id, list_position, model_version, strategy, shown_at)
           values (%s, %s, %s, 1, 1, %s, %s)""",
        (shown.request, user, item, strategy, shown.at),
    )
    return shown


def happen(
    connection: Connection, event: str, user: str, item: str, hour: float, kind: str, value: float | None = None
) -> None:
    connection.execute(
        """insert into nearline_data.event (event_id, user_id, item_id, kind, occurred_at, value)
           values (%s, %s, %s, %s, %s, %s)""",
        (event, user, item, kind, START + timedelta(hours=hour), value),
    )


def plain_count(shown: list[Shown], since: datetime, until: datetime) -> list[tuple[object, ...]]:
    groups: dict[tuple[object, ...], list[Shown]] = defaultdict(list)
    for one in shown:
        if since <= one.at < until:
            groups[one.at.date(), 1, one.strategy, KIND[one.item]].append(one)
    return [
        (
            *key, len(group), len({one.user for one in group}), sum(one.clicked for one in group),
            sum(one.converted for one in group), sum(one.revenue for one in group), len({one.item for one in group}),
            len({one.item for one in group}) / [*KIND.values()].count(key[3]) if key[3] else None,
        )
        for key, group in groups.items()
    ]  # fmt: skip


@rules(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(exposures, events, hours, hours)
def test_performance_is_a_plain_count(
    shop: Connection,
    exposures: list[tuple[str, str, int, str]],
    events: list[tuple[str, str, int, str, int]],
    one_hour: int,
    another_hour: int,
) -> None:
    shop.execute("delete from nearline_data.exposure")
    shop.execute("delete from nearline_data.event")
    with shop.transaction():
        shown = [show(shop, number, *one) for number, one in enumerate(exposures)]
        for number, (user, item, hour, kind, value) in enumerate(events):
            happen(shop, f"e{number}", user, item, hour, kind, value)
            at, outcome = START + timedelta(hours=hour), OUTCOME[kind]
            before = [one for one in shown if (one.user, one.item) == (user, item) and one.at <= at]
            if not before or outcome is None:
                continue
            last = max(before, key=lambda one: (one.at, one.request))
            if at < last.at + WITHIN[outcome]:
                last.clicked |= outcome == "click"
                last.converted |= outcome == "conversion"
                last.revenue += value if outcome == "conversion" else 0
    for first, last_hour in [(0, 401), sorted((one_hour, another_hour))]:
        since, until = START + timedelta(hours=first), START + timedelta(hours=last_hour)
        found = shop.execute(PERFORMANCE, (since, until)).fetchall()
        assert sorted(found, key=str) == sorted(plain_count(shown, since, until), key=str)


def test_the_last_exposure_gets_the_click_and_a_late_event_is_counted(shop: Connection) -> None:
    show(shop, 1, "u", "a", 1, "x")
    show(shop, 2, "u", "a", 2, "y")
    happen(shop, "late", "u", "a", 1.5, "click")
    happen(shop, "e1", "u", "a", 3, "click")
    happen(shop, "e2", "u", "a", 3.5, "view")
    happen(shop, "e3", "u", "a", 4, "purchase", 20)
    happen(shop, "e4", "u", "a", 5, "purchase", 5)
    rows = shop.execute("select strategy, clicks, conversions, revenue, cvr from nearline.performance").fetchall()
    assert rows == [("x", 1, 0, 0.0, 0.0), ("y", 1, 1, 25.0, 1.0)]


def test_a_purchase_sent_again_without_its_time_is_no_more_money(shop: Connection) -> None:
    show(shop, 1, "u", "a", 1)
    happen(shop, "order-1", "u", "a", 2, "purchase", 20)
    happen(shop, "order-1", "u", "a", 3, "purchase", 20)
    assert shop.execute("select conversions, revenue from nearline.performance").fetchall() == [(1, 20.0)]


def test_a_purchase_sent_again_days_later_is_counted_in_one_span_of_time(shop: Connection) -> None:
    show(shop, 1, "u", "a", 1)
    happen(shop, "order-1", "u", "a", 2, "purchase", 20)
    show(shop, 2, "u", "a", 30)
    happen(shop, "order-1", "u", "a", 31, "purchase", 20)
    happen(shop, "order-1", "u", "b", 1.5, "purchase", 7)  # other items of the order, and orders of other people,
    happen(shop, "order-1", "v", "a", 1.6, "purchase", 8)
    happen(shop, "order-1", "u", "a", 1.7, "view")  # and what is no purchase, are no copies of it
    spans = [(0, 24), (24, 48), (0, 48)]
    found = [
        shop.execute(
            "select coalesce(sum(revenue), 0), coalesce(sum(conversions), 0) from nearline.performance_between(%s, %s)",
            (START + timedelta(hours=first), START + timedelta(hours=last)),
        ).fetchone()
        for first, last in spans
    ]
    assert found == [(20.0, 1), (0.0, 0), (20.0, 1)]


def test_amounts_from_before_there_was_a_limit_are_in_no_sum(settings: Settings, shop: Connection) -> None:
    with connect(settings, role=None, autocommit=True) as owner:
        owner.execute("alter table nearline_data.event drop constraint event_value_is_an_amount")
    show(shop, 1, "u", "a", 1)
    for number, value in enumerate((5, 1e308, 1e308, float("nan"), float("inf"), 1)):
        happen(shop, f"e{number}", "u", "a", 2 + number, "purchase", value)
    rows = shop.execute("select conversions, revenue from nearline.performance").fetchall()
    assert rows == [(1, 6.0)]


def test_what_counts_and_for_how_long_are_rows(shop: Connection) -> None:
    show(shop, 1, "u", "a", 1)
    happen(shop, "e1", "u", "a", 4, "like")
    clicks = "select clicks from nearline.performance"
    assert shop.execute(clicks).fetchone() == (0,)
    shop.execute("update nearline_data.event_kind set counts_as = 'click' where kind = 'like'")
    assert shop.execute(clicks).fetchone() == (1,)
    shop.execute("update nearline_data.attribution_window set lasts = '3 hours' where counts_as = 'click'")
    assert shop.execute(clicks).fetchone() == (0,), "the end of the window is not in it"
    with pytest.raises(psycopg.errors.CheckViolation, match="event_kind_that_counts_is_positive"):
        shop.execute("update nearline_data.event_kind set counts_as = 'click' where kind = 'dislike'")


def test_what_is_recorded_through_the_contract_is_counted(settings: Settings, shop: Connection) -> None:
    with connect(settings, role="nearline_writer") as writer:  # one transaction
        writer.execute("select nearline.record_exposure(gen_random_uuid(), 'u', array['a', 'b', 'c'])")
        writer.execute("select nearline.record_event('u', 'click', 'a')")
        writer.execute("select nearline.record_event('u', 'purchase', 'a', with_value => 9.5)")
    with connect(settings, role="nearline_reader") as reader:
        rows = reader.execute(
            "select day, kind, exposures, people, clicks, ctr, conversions, revenue, coverage from nearline.performance"
        ).fetchall()
    today = datetime.now(UTC).date()
    assert rows == [(today, "page", 2, 1, 1, 0.5, 1, 9.5, 1.0), (today, "video", 1, 1, 0, 0.0, 0, 0.0, 1.0)]


def test_coverage_is_of_what_is_offered(shop: Connection) -> None:
    show(shop, 1, "u", "a", 1)
    show(shop, 1, "u", "b", 1)
    shop.execute("update nearline_data.item set is_active = false where item_id = 'a'")
    assert shop.execute("select items_shown, coverage from nearline.performance").fetchall() == [(2, 1.0)]
    shop.execute("update nearline_data.item set is_active = false where item_id = 'b'")
    assert shop.execute("select items_shown, coverage from nearline.performance").fetchall() == [(2, None)]


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(0, 10, 0.0, 0.27753), (10, 10, 0.72247, 1.0), (1, 2, 0.09453, 0.90547), (50, 1000, 0.03813, 0.06531)],
)
def test_the_interval_is_wilsons(connection: Connection, successes: int, trials: int, low: float, high: float) -> None:
    found = connection.execute("select low, high from nearline_data._wilson(%s, %s)", (successes, trials)).fetchone()
    assert found == pytest.approx((low, high), abs=1e-5)


def test_only_the_partitions_of_the_days_are_read(shop: Connection) -> None:
    shop.execute("select nearline_data._ensure_event_partitions(now() - interval '400 days', now())")
    show(shop, 1, "u", "a", 1)  # where nothing was shown no event is read at all
    plan = shop.execute(
        "explain (analyze, timing off, costs off) select * from nearline_data._attributed(%s, %s)",
        (START, START + timedelta(days=1)),
    ).fetchall()
    read = {word for (line,) in plan if "never" not in line for word in line.split() if word.startswith("event_20")}
    tables = {word for word in read if word.count("_") == 2 and not word.endswith("idx")}
    assert 1 <= len(tables) <= 2, tables


def test_what_was_never_shown_is_not_sorted(shop: Connection) -> None:
    show(shop, 1, "u", "a", 1)
    for number, (item, kind, hour) in enumerate([("a", "click", 2), ("a", "purchase", 3), ("a", "view", 0.5)]):
        happen(shop, f"e{number}", "u", item, hour, kind, 1)
    shop.execute(
        """insert into nearline_data.event (event_id, user_id, item_id, kind, occurred_at)
           select 'n' || n, 'u' || n %% 50, 'b', case when n %% 9 = 0 then 'purchase' else 'click' end, %s
           from generate_series(1, 1000) n""",
        (START + timedelta(hours=2),),
    )
    ((plan,),) = shop.execute(
        "explain (analyze, timing off, format json) select * from nearline_data._attributed(%s, now())", (START,)
    ).fetchall()
    nodes, sorted_rows = [plan[0]["Plan"]], []
    while nodes:
        node = nodes.pop()
        nodes += node.get("Plans", [])
        if node["Node Type"] == "WindowAgg":
            sorted_rows.append(node["Actual Rows"])
    assert sorted_rows == [3], "the exposure, and what came after it"
    assert shop.execute("select clicks, conversions from nearline.performance").fetchall() == [(1, 1)]


@pytest.mark.parametrize(("since", "seen"), [(None, "null"), (START + timedelta(days=1), "20")], ids=["none", "late"])
def test_a_span_of_time_that_has_no_beginning_is_refused(shop: Connection, since: datetime | None, seen: str) -> None:
    refused = f"since is {seen}.*, expected a moment not after until, which is 20"
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=refused):
        shop.execute(PERFORMANCE, (since, START))
    assert shop.execute(PERFORMANCE, (START, START)).fetchall() == []
