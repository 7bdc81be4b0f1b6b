"""Who gets which strategy, and what an experiment says: right shares, no false alarms however often one looks."""

from __future__ import annotations

import hashlib
import math
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as rules
from hypothesis import strategies as st

from nearline.adapters.postgres import Connection, connect
from nearline.settings import Settings

START = datetime.now(UTC) - timedelta(days=20)
ARMS = [("default", 0.5, True), ("fresh", 0.3, False)]
RESULT = """
    select strategy, people, exposures, exposures_of_other_strategies, clicks, ctr_difference, ctr_difference_low,
           ctr_difference_high, ctr_p_value, conversions, revenue
    from nearline.experiment_result(%s)
"""


def begin(connection: Connection, name: str = "trial", arms: Sequence[tuple[str, float, bool]] = ARMS) -> None:
    with connection.transaction():
        connection.execute(
            "insert into nearline_data.experiment (name, salt) values (%s, %s)", (name, f"salt of {name}")
        )
        for arm in arms:
            connection.execute(
                "insert into nearline_data.experiment_arm (experiment, strategy, share, is_control)"
                " values (%s, %s, %s::text::numeric, %s)",
                (name, *arm),
            )


def begun_before(settings: Settings, at: datetime, name: str = "trial") -> None:
    """What nobody but the owner may do: move the beginning, so that a test need not wait."""
    with connect(settings, role=None, autocommit=True) as owner:
        owner.execute("update nearline_data.experiment set starts_at = %s where name = %s", (at, name))


def lot(salt: str, user: str) -> float:
    return int.from_bytes(hashlib.sha256(f"{salt}:{user}".encode()).digest()[:4], "big") / 2**32


@rules(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_any_language_draws_the_same_lot(connection: Connection, user: str) -> None:
    assert connection.execute("select nearline_data._lot(%s, 'salt')", (user,)).fetchone() == (lot("salt", user),)


def test_the_lot_is_the_same_for_ever(connection: Connection) -> None:
    assert connection.execute("select nearline_data._lot('u42', 'salt')").fetchone() == (776391633 / 2**32,)


def test_people_fall_into_arms_by_their_shares(connection: Connection) -> None:
    users = [f"u{number}" for number in range(4000)]
    strategy_of = "select nearline.strategy_of(u) from unnest(%s::text[]) with ordinality as x (u, n) order by n"
    assert {row[0] for row in connection.execute(strategy_of, (users,))} == {"default"}, "nothing to compare yet"
    begin(connection, arms=[("a", 0.2, True), ("b", 0.5, False)])
    drawn = [row[0] for row in connection.execute(strategy_of, (users,))]
    lots = [lot("salt of trial", user) for user in users]
    assert drawn == ["a" if one < 0.2 else "b" if one < 0.7 else "default" for one in lots]
    for strategy, share in [("a", 0.2), ("b", 0.5), ("default", 0.3)]:
        assert abs(Counter(drawn)[strategy] / 4000 - share) < 4 * math.sqrt(share * (1 - share) / 4000)
    assert [row[0] for row in connection.execute(strategy_of, (users,))] == drawn


def test_an_arm_lasts_as_long_as_the_experiment(connection: Connection) -> None:
    begin(connection, arms=[("fresh", 1, True)])
    at = "select nearline.strategy_of('u1', now() + %s::interval)"
    assert [connection.execute(at, (when,)).fetchone() for when in ("0", "-1 hour")] == [("fresh",), ("default",)]
    connection.execute("update nearline_data.experiment set ends_at = now() + interval '1 day'")
    assert [connection.execute(at, (when,)).fetchone() for when in ("23 hours", "1 day 1 minute")] == [
        ("fresh",),
        ("default",),
    ]


def test_a_recorded_list_says_the_strategy_of_its_person(connection: Connection) -> None:
    begin(connection, arms=[("fresh", 1, True)])
    connection.execute("select nearline.record_exposure(gen_random_uuid(), 'u1', array['a'])")
    connection.execute("select nearline.record_exposure(gen_random_uuid(), 'u1', array['b'], with_strategy => 'own')")
    found = connection.execute("select item_id, strategy from nearline_data.exposure order by 1").fetchall()
    assert found == [("a", "fresh"), ("b", "own")]


def test_what_would_make_people_change_sides_is_refused(connection: Connection) -> None:
    begin(connection)
    for statement in (
        "insert into nearline_data.experiment_arm values ('trial', 'third', 0.1)",
        "delete from nearline_data.experiment_arm where strategy = 'fresh'",
    ):
        with pytest.raises(psycopg.Error, match=r"'trial' has begun at .*; its arms are fixed") as caught:
            connection.execute(statement)
        assert caught.value.diag.message_hint
    with pytest.raises(psycopg.Error, match=r"'past' is to begin at .*, which is in the past") as caught:
        connection.execute(
            """with new as (
                   insert into nearline_data.experiment (name, starts_at, ends_at)
                   values ('past', now() - interval '3 days', now() - interval '1 day') returning name
               )
               insert into nearline_data.experiment_arm (experiment, strategy, share, is_control)
               select new.name, 'default', 1, true from new"""
        )
    assert "Leave starts_at out" in (caught.value.diag.message_hint or "")
    for statement in (
        "update nearline_data.experiment set salt = 'another'",
        "update nearline_data.experiment_arm set share = 0.1",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)
    connection.execute("delete from nearline_data.experiment")
    assert connection.execute("select count(*) from nearline_data.experiment_arm").fetchone() == (0,)


def test_impossible_experiments_are_refused(connection: Connection) -> None:
    with pytest.raises(psycopg.Error, match=r"shares of experiment 'greedy' add up to 1\.1, expected at most 1"):
        begin(connection, "greedy", [("a", 0.6, True), ("b", 0.5, False)])
    with pytest.raises(psycopg.errors.UniqueViolation, match="experiment_arm_control_idx"):
        begin(connection, "two controls", [("a", 0.5, True), ("b", 0.5, True)])
    with pytest.raises(psycopg.errors.CheckViolation, match="experiment 'none' has no arm that is the control"):
        begin(connection, "none", [("a", 0.5, False), ("b", 0.5, False)])
    with pytest.raises(psycopg.errors.CheckViolation, match="strategy_weights_are_finite"):
        connection.execute("insert into nearline_data.strategy (name, exploration) values ('wild', 3e38)")
    begin(connection, "thirds", [("a", 0.333, True), ("b", 0.333, False), ("c", 0.334, False)])
    with pytest.raises(psycopg.errors.ExclusionViolation, match="experiment_one_at_a_time"):
        begin(connection, "second")
    connection.execute("update nearline_data.experiment set ends_at = now()")
    begin(connection, "second")


def test_an_arm_does_not_move_to_another_experiment_unseen(settings: Settings, connection: Connection) -> None:
    begin(connection)
    begun_before(settings, datetime.now(UTC) - timedelta(days=2))
    connection.execute("update nearline_data.experiment set ends_at = now() - interval '1 day'")
    begin(connection, "next")
    begun_before(settings, datetime.now(UTC) + timedelta(days=1), "next")
    move = "update nearline_data.experiment_arm set experiment = %s, strategy = 'moved' where experiment = %s and"
    with connect(settings, role=None, autocommit=True) as owner:
        for to, of in (("trial", "next"), ("next", "trial")):
            with pytest.raises(psycopg.Error, match="experiment 'trial' has begun at"):
                owner.execute(f"{move} not is_control".encode(), (to, of))
        owner.execute("update nearline_data.experiment set ends_at = now() + interval '8 days' where name = 'next'")
        owner.execute(
            "insert into nearline_data.experiment (name, starts_at) values ('later', now() + interval '9 days')"
        )
        with pytest.raises(psycopg.errors.CheckViolation, match="experiment 'next' has no arm that is the control"):
            owner.execute(f"{move} is_control".encode(), ("later", "next"))


def test_shares_of_two_at_once_do_not_add_up_to_more_than_all(settings: Settings, connection: Connection) -> None:
    connection.execute(
        "insert into nearline_data.experiment (name, starts_at) values ('trial', now() + interval '1 day')"
    )
    arm = (
        "insert into nearline_data.experiment_arm (experiment, strategy, share, is_control)"
        " values ('trial', %s, 0.7, %s)"
    )
    with connect(settings) as first, connect(settings) as second, ThreadPoolExecutor(1) as pool:
        first.execute(arm, ("a", True))
        other = pool.submit(second.execute, arm, ("b", False))  # waits until the first has decided
        time.sleep(0.3)
        first.commit()
        with pytest.raises(psycopg.Error, match=r"add up to 1\.4, expected at most 1"):
            other.result(timeout=10)


def test_an_experiment_without_exposures_has_its_arms_and_no_numbers(connection: Connection) -> None:
    assert connection.execute(RESULT, ("unknown",)).fetchall() == []
    begin(connection)
    empty = (0, 0, 0, 0, None, None, None, None, 0, 0.0)
    assert connection.execute(RESULT, ("trial",)).fetchall() == [("default", *empty), ("fresh", *empty)]


def test_the_result_is_counted_by_people_in_the_arm_they_drew(settings: Settings, connection: Connection) -> None:
    begin(connection)
    begun_before(settings, START)
    rng = np.random.default_rng(7)
    people = {f"u{number}": rng.integers(1, 6) for number in range(1500)}
    arm_of = {user: "default" if one < 0.5 else "fresh" for user in people if (one := lot("salt of trial", user)) < 0.8}
    clicks = {user: rng.binomial(count, 0.3 if arm_of.get(user) == "fresh" else 0.2) for user, count in people.items()}
    shown = [(user, f"i{n}", n < clicks[user]) for user, count in people.items() for n in range(count)]
    connection.execute("select nearline_data._ensure_event_partitions(%s, now())", (START,))
    connection.execute(
        """insert into nearline_data.exposure (request_id, user_id, item_id, list_position, strategy, shown_at)
           select gen_random_uuid(), u, i, 1, 'default', %s::timestamptz + interval '1 hour'
           from unnest(%s::text[], %s::text[]) as x (u, i)""",
        (START, [user for user, _, _ in shown], [item for _, item, _ in shown]),
    )
    connection.execute(
        """insert into nearline_data.event (event_id, user_id, item_id, kind, occurred_at)
           select u || i, u, i, 'click', %s::timestamptz + interval '2 hours'
           from unnest(%s::text[], %s::text[]) as x (u, i)""",
        (START, [user for user, _, hit in shown if hit], [item for _, item, hit in shown if hit]),
    )
    control, treated = connection.execute(RESULT, ("trial",)).fetchall()

    def sums(arm: str) -> tuple[int, int, int, float, float]:
        n = np.array([people[user] for user in people if arm_of.get(user) == arm])
        c = np.array([clicks[user] for user in people if arm_of.get(user) == arm])
        rate = c.sum() / n.sum()
        squares = len(n) / (len(n) - 1) * np.sum((c - rate * n) ** 2) + 2
        return len(n), n.sum(), c.sum(), rate, squares / n.sum() ** 2

    a, b = sums("default"), sums("fresh")
    assert control[:5] == ("default", a[0], a[1], 0, a[2])
    assert control[5:9] == (None, None, None, None)
    assert treated[:5] == ("fresh", b[0], b[1], b[1], b[2]), "all of the lists were made by another strategy"
    difference, variance, squared = b[3] - a[3], a[4] + b[4], (0.1 * (a[2] + b[2]) / (a[1] + b[1])) ** 2
    reach = math.sqrt(variance * (variance + squared) / squared * math.log((variance + squared) / variance / 0.05**2))
    p = math.sqrt((variance + squared) / variance) * math.exp(
        -(difference**2) * squared / (2 * variance * (variance + squared))
    )
    assert treated[5:9] == pytest.approx((difference, difference - reach, difference + reach, min(p, 1)), rel=1e-9)
    assert difference - reach > 0, "0.3 against 0.2 is found with 1200 people"

    everybody = connection.execute("select sum(exposures) from nearline.performance").fetchone()
    assert everybody == (len(shown),), "who is in no arm is in performance all the same"


def test_no_verdict_before_there_is_enough(settings: Settings, connection: Connection) -> None:
    begin(connection)
    begun_before(settings, START)
    for number in range(40):
        connection.execute("select nearline.record_exposure(gen_random_uuid(), %s, array['a'])", (f"u{number}",))
        connection.execute("select nearline.record_event(%s, 'click', 'a')", (f"u{number}",))
    treated = connection.execute(RESULT, ("trial",)).fetchall()[1]
    assert treated[5] == 0.0
    assert treated[6:9] == (None, None, None)


def looks(effect: float, *, experiments: int, seed: int) -> list[tuple[float, float, float]]:
    """Difference, variance and both arms' rate of simulated experiments, after each of 40 days, by experiment.

    Ten people an arm come a day, and those who have come before come again on some days. Each has a taste of their own
    and is shown five things a visit: few people, many looks and exposures that are far from independent.
    """
    rng = np.random.default_rng(seed)
    days, newcomers = 40, 10
    people = days * newcomers
    arrival = np.arange(people) // newcomers
    visits = rng.random((experiments, 2, people, days)) < 0.3
    visits |= arrival[:, None] == np.arange(days)
    visits &= arrival[:, None] <= np.arange(days)
    taste = rng.beta(2, 6, (experiments, 2, people))
    taste[:, 1] = np.minimum(taste[:, 1] * (1 + effect), 1)
    n = np.cumsum(5 * visits, axis=3, dtype=np.int64)
    c = np.cumsum(rng.binomial(5 * visits, taste[..., None]), axis=3, dtype=np.int64)
    count = newcomers * np.arange(1, days + 1)
    trials = n.sum(axis=2)
    rate = c.sum(axis=2) / trials
    variance = (count / (count - 1) * ((c - rate[:, :, None] * n) ** 2).sum(axis=2) + 2) / trials**2
    difference, total = rate[:, 1] - rate[:, 0], variance.sum(axis=1)
    both = c.sum(axis=(1, 2)) / trials.sum(axis=1)
    enough = count >= 100  # as nearline.experiment_result has it
    return [
        (float(difference[e, d]), float(total[e, d]), float(both[e, d]))
        for e in range(experiments)
        for d in np.flatnonzero(enough)
    ]


def alarms(
    connection: Connection, simulated: list[tuple[float, float, float]], experiments: int
) -> tuple[float, float]:
    """Share of experiments with an interval without zero at some look, and the same by a common test at 5%."""
    difference, variance, rate = map(list, zip(*simulated, strict=True))
    rows = connection.execute(
        """select s.low > 0 or s.high < 0, s.p_value < 0.05
           from unnest(%s::float8[], %s::float8[], %s::float8[]) with ordinality as x (d, v, r, n)
           cross join lateral nearline_data._confidence_sequence(x.d, x.v, 0.1 * x.r, 1) s
           order by x.n""",
        (difference, variance, rate),
    ).fetchall()
    assert all(outside == significant for outside, significant in rows), "interval and p-value agree"
    found = np.array([outside for outside, _ in rows]).reshape(experiments, -1)
    peeked = (np.abs(difference) > 1.96 * np.sqrt(variance)).reshape(experiments, -1)
    return float(found.any(axis=1).mean()), float(peeked.any(axis=1).mean())


def test_looking_every_day_makes_no_false_alarms(connection: Connection) -> None:
    share, common = alarms(connection, looks(0.0, experiments=500, seed=7), 500)
    assert share <= 0.05
    assert common > 0.1, "the simulation would show a test that may not be read at any time"


def looks_of(
    rates: tuple[float, float], share: float, *, experiments: int, seed: int
) -> tuple[list[tuple[float, float, float]], np.ndarray]:
    """The same of 60 looks at people who are shown one thing each, and which of them show a verdict, by experiment.

    share is the control's, of all people; the looks go on until the smaller arm expects 2000 clicks.
    """
    rng = np.random.default_rng(seed)
    shares = np.array([share, 1 - share])
    mean, least = float(shares @ rates), float(shares.min())
    everybody = np.geomspace(max(25 / mean, 100) / least, 2000 / mean / least, 60)
    n = np.ceil(shares[:, None] * everybody).astype(np.int64)
    more = np.diff(n, axis=1, prepend=0)
    c = np.cumsum(rng.binomial(more, np.array(rates)[:, None], (experiments, 2, 60)), axis=2)
    rate = c / n
    variance = rate * (1 - rate) / (n - 1) + 2 / n**2
    both = c.sum(axis=1) / n.sum(axis=0)
    shown = (both * n.min(axis=0) >= 25) & (n.min(axis=0) >= 100)  # as nearline.experiment_result has it
    difference, total = rate[:, 1] - rate[:, 0], variance.sum(axis=1)
    return list(zip(difference.ravel(), total.ravel(), both.ravel(), strict=True)), shown


@pytest.mark.parametrize("rate", [0.001, 0.02, 0.3])
@pytest.mark.parametrize("share", [0.5, 0.1, 0.9, 0.01])
def test_neither_rare_clicks_nor_small_arms_make_false_alarms(
    connection: Connection, rate: float, share: float
) -> None:
    simulated, shown = looks_of((rate, rate), share, experiments=400, seed=9)
    assert missed(connection, simulated, shown, 0.0, lift=0.1) <= 0.05
    assert missed(connection, simulated, shown, 0.0, lift=1.0) <= 0.05


def missed(
    connection: Connection, simulated: list[tuple[float, float, float]], shown: np.ndarray, truth: float, lift: float
) -> float:
    """Share of experiments with an interval without the truth at some look that shows one."""
    rows = connection.execute(
        """select %s not between s.low and s.high
           from unnest(%s::float8[], %s::float8[], %s::float8[]) with ordinality as x (d, v, r, n)
           left join lateral nearline_data._confidence_sequence(x.d, x.v, %s * x.r, 1) s on true
           order by x.n""",
        (truth, *(list(map(float, column)) for column in zip(*simulated, strict=True)), lift),
    ).fetchall()
    outside = np.array([bool(out) for (out,) in rows]).reshape(shown.shape)
    return float((outside & shown).any(axis=1).mean())


@pytest.mark.parametrize(("rates", "share"), [((0.02, 0.3), 0.01), ((0.001, 0.1), 0.5), ((0.3, 0.001), 0.99)])
def test_an_arm_that_next_to_nobody_clicked_in_has_an_interval_that_is_true(
    connection: Connection, rates: tuple[float, float], share: float
) -> None:
    simulated, shown = looks_of(rates, share, experiments=400, seed=10)
    assert missed(connection, simulated, shown, rates[1] - rates[0], lift=0.1) <= 0.05


@pytest.mark.parametrize("of_control", [0, 1])
def test_a_control_that_nobody_clicked_in_loses(settings: Settings, connection: Connection, of_control: int) -> None:
    begin(connection)
    begun_before(settings, START)
    people = [f"u{number}" for number in range(1000)]
    arm_of = {user: one for user in people if (one := lot("salt of trial", user)) < 0.8}
    treated = [user for user, one in arm_of.items() if one >= 0.5]
    control = [user for user, one in arm_of.items() if one < 0.5]
    connection.execute("select nearline_data._ensure_event_partitions(%s, now())", (START,))
    connection.execute(
        """insert into nearline_data.exposure (request_id, user_id, item_id, list_position, shown_at)
           select gen_random_uuid(), u, 'a', 1, %s::timestamptz + interval '1 hour' from unnest(%s::text[]) as x (u)""",
        (START, list(arm_of)),
    )
    connection.execute(
        """insert into nearline_data.event (event_id, user_id, item_id, kind, occurred_at)
           select u, u, 'a', 'click', %s::timestamptz + interval '2 hours' from unnest(%s::text[]) as x (u)""",
        (START, treated[::3] + control[:of_control]),
    )
    _, row = connection.execute(RESULT, ("trial",)).fetchall()
    assert row[6] is not None
    assert 0.1 < row[6] < row[5] < row[7] < 0.6
    assert row[8] < 0.001


def test_a_real_difference_is_found(connection: Connection) -> None:
    share, _ = alarms(connection, looks(0.3, experiments=100, seed=8), 100)
    assert share > 0.9


def test_extreme_numbers_give_an_answer(connection: Connection) -> None:
    sequence = "select low, high, p_value from nearline_data._confidence_sequence(%s, %s, %s, 1)"
    assert connection.execute(sequence, (0.9, 1e-12, 0.01)).fetchone()[2] < 1e-300
    assert connection.execute(sequence, (0.0, 1.0, 1e-9)).fetchone()[2] == 1.0
    for variance in (0.0, -1e-18):
        assert connection.execute(sequence, (0.0, variance, 0.1)).fetchall() == [], "nobody differs: nothing to say"
    assert connection.execute(sequence, (0.0, 0.1, 0.0)).fetchall() == []


def test_several_comparisons_share_the_false_alarms(connection: Connection) -> None:
    sequence = "select high - low, p_value from nearline_data._confidence_sequence(0.05, 0.0001, 0.03, %s)"
    one, three = (connection.execute(sequence, (comparisons,)).fetchone() for comparisons in (1, 3))
    assert three[0] > one[0]
    assert three[1] == pytest.approx(3 * one[1])
