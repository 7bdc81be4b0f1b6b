"""The quality benchmark measures rightly: ranks, intervals, exposure, and a file that others can check."""

from __future__ import annotations

import doctest
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks.quality import bootstrap, exposure, predictions, ranked
from benchmarks.quality.bootstrap import People
from benchmarks.quality.freshness import AGES, freshness
from benchmarks.quality.plots import draw_plots
from benchmarks.quality.problem_folder import write_problem
from benchmarks.quality.protocol import Problem, leave_one_out, successive
from benchmarks.quality.report import compare, strata_figures
from benchmarks.quality.seeds import seed_figures
from benchmarks.quality.table import table
from nearline.core.behaviour import make_ledger
from nearline.core.interest import DIM, LATENT
from nearline.core.ranking import metrics
from nearline.core.transitions import transition_table
from nearline.errors import InputError
from nearline.models.behaviour_model import BehaviourConfig, BehaviourModel
from nearline.models.interest_model import InterestModel
from nearline.models.text_model import TextModel
from quality_world import as_data, random_ledger
from tiny_models import tiny_encoder


@pytest.fixture(scope="module")
def problem() -> Problem:
    return successive(random_ledger())


def ranked_of(problem: Problem, scores: np.ndarray, folder: Path) -> ranked.Judged:
    np.save(folder / "scores.npy", scores.astype(np.float32))
    return ranked.rank_scores(folder / "scores.npy", problem)


def shape(problem: Problem) -> tuple[int, int]:
    return len(problem.test), len(problem.ledger.items)


@pytest.mark.parametrize("module", [bootstrap, exposure, predictions, ranked], ids=lambda module: module.__name__)
def test_examples(module: object) -> None:
    found = doctest.testmod(module)  # type: ignore[arg-type]
    assert found.attempted
    assert not found.failed


@pytest.mark.parametrize("constant", [0.0, -1.5, np.nan, -np.inf])
def test_a_constant_score_comes_out_last(problem: Problem, constant: float, tmp_path: Path) -> None:
    found = ranked_of(problem, np.full(shape(problem), constant), tmp_path)
    known = problem.test.known()
    np.testing.assert_array_equal(found["catalogue"].ranks, (~known).sum(axis=1))
    warm = problem.strata["warm"].rows
    np.testing.assert_array_equal(found["trained"].ranks[warm], (~known & problem.trained)[warm].sum(axis=1))
    assert not found["trained"].ranks[~warm].any()


def test_lists_leave_out_what_is_known_and_put_the_target_where_its_rank_says(problem: Problem, tmp_path: Path) -> None:
    scores = np.random.default_rng(0).integers(-2, 3, shape(problem)).astype(np.float32)  # many ties
    scores[::7, 5] = np.nan
    found = ranked_of(problem, scores, tmp_path)
    known = problem.test.known()
    for row, target in enumerate(problem.test.targets):
        items = found["catalogue"].items[row]
        items = items[items >= 0]
        assert len(set(items)) == len(items) == (~known[row]).sum()
        assert not known[row, items].any()
        assert items.tolist().index(target) + 1 == found["catalogue"].ranks[row]
        values = np.nan_to_num(scores[row, items], nan=-np.inf)
        assert (np.diff(values) <= 0)[np.isfinite(values[1:])].all()


def test_scores_of_another_shape_are_refused(problem: Problem, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one row a test event"):
        ranked_of(problem, np.zeros((3, 4)), tmp_path)


def test_figures_are_those_of_the_core_and_of_the_file(problem: Problem, tmp_path: Path) -> None:
    """Another evaluator, here a few lines of numpy that sort by score, gets the same numbers from the file."""
    random = np.random.default_rng(1)
    made = {"nearline": random.integers(0, 4, shape(problem)), "peer": random.normal(size=shape(problem))}
    made["nearline"][np.arange(len(problem.test)), problem.test.targets] += 2
    judged = {name: ranked_of(problem, scores, tmp_path) for name, scores in made.items()}
    strata = strata_figures(problem, judged)
    data = as_data(problem.ledger)
    predictions.write_predictions(problem, data, judged, tmp_path / "predictions.parquet")
    file = pq.read_table(tmp_path / "predictions.parquet")
    told = {name: np.array(file[name].to_pylist()) for name in ("target", "warm", "cold", "new_user", "kind")}
    rows = {"all": told["warm"] | True, "warm": told["warm"], "cold": told["cold"]}
    rows |= {"new_users": told["new_user"] & told["warm"], "new_users_full": told["new_user"]}
    rows |= {f"kind.{kind}": told["kind"] == kind for kind in set(told["kind"])}
    assert rows.keys() == strata.keys()
    for model in made:
        for stratum, chosen in rows.items():
            if not chosen.any():
                continue
            suffix = "_warm" if strata[stratum]["candidates"] == "trained" else ""
            places = []
            for row in np.flatnonzero(chosen):
                items = np.array(file[f"{model}{suffix}_items"][row].as_py())
                scores = np.array(file[f"{model}{suffix}_scores"][row].as_py())
                assert (np.diff(scores) < 0).all()
                places.append(1 + np.flatnonzero(items[np.argsort(-scores)] == told["target"][row])[0])
            figures, expected = strata[stratum]["models"][model], metrics(np.array(places))
            for metric in ("ndcg", "hr", "mrr"):
                assert figures[metric]["value"] == pytest.approx(expected[metric], abs=6e-5), (stratum, metric)
    report = {"data": {"name": "world"}, "protocol": {"name": "successive"}, "strata": strata, "failed": {}}
    assert "nearline against" in table(report | {"made": {}})
    assert "*" not in table(report | {"made": {"peer": {"stopped_by_budget": False}}})
    lines = table(report | {"made": {"peer": {"stopped_by_budget": True}, "nearline": {}}}).splitlines()
    assert [line.split()[0] for line in lines if line.startswith(("peer", "*"))] == ["peer*"] * 3 + ["*"]


def test_each_training_seed_has_its_figures_beside_the_best_peer(problem: Problem, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    made = {name: random.normal(size=shape(problem)) for name in ("nearline", "again", "good", "bad")}
    for name, better in (("nearline", 2), ("again", 1), ("good", 1)):
        made[name][np.arange(len(problem.test)), problem.test.targets] += better
    judged = {name: ranked_of(problem, scores, tmp_path) for name, scores in made.items()}
    peers = {name: judged[name] for name in ("good", "bad")}
    found = seed_figures(problem, {7: judged["nearline"], 8: judged["again"]}, peers)
    strata = strata_figures(problem, {name: judged[name] for name in ("nearline", "good", "bad")})
    for name, figures in found.items():
        assert figures["ndcg"][7] == pytest.approx(strata[name]["models"]["nearline"]["ndcg"]["value"])
        assert figures["mean"] == pytest.approx(np.mean([*figures["ndcg"].values()]))
        best = strata[name]["models"]["good"]["ndcg"]["value"]
        assert figures["gain"][8] == pytest.approx(figures["ndcg"][8] / best - 1)
    assert found["all"]["gain"][7] > 0.3 > abs(found["all"]["gain"][8])
    assert seed_figures(problem, {7: judged["nearline"], 8: judged["again"]}, {})["all"]["gain"] == {7: None, 8: None}
    report = {"data": {"name": "world"}, "protocol": {"name": "successive"}, "strata": strata, "failed": {}, "made": {}}
    assert table(report | {"seeds": found}).splitlines()[-1].startswith("8 ")


def test_a_stratum_without_rows_has_no_figures(tmp_path: Path) -> None:
    problem = leave_one_out(random_ledger())
    found = strata_figures(problem, {"nearline": ranked_of(problem, np.zeros(shape(problem)), tmp_path)})["new_users"]
    assert found["count"] == 0
    assert set(found["models"]["nearline"].values()) == {None}


def test_intervals_hold_the_truth_when_rows_of_a_person_are_alike() -> None:
    random = np.random.default_rng(2)
    held = {"people": 0, "rows": 0}
    for trial in range(200):
        user = np.repeat(np.arange(60), random.integers(1, 12, 60))
        values = random.normal(size=60)[user] + 0.3 * random.normal(size=len(user))
        for name, whose in (("people", user), ("rows", np.arange(len(user)))):
            found = People(whose, resamples=300, seed=trial).mean(values)
            held[name] += found.low < 0.0 < found.high
    assert held["people"] > 0.88 * 200, held
    assert held["rows"] < 0.75 * 200, held  # what drawing rows would have claimed


def test_a_comparison_is_paired() -> None:
    random = np.random.default_rng(3)
    people = People(np.repeat(np.arange(100), 3))
    hard = random.random(300)
    better = compare(hard + 0.02 + 0.01 * random.normal(size=300), hard, people)
    assert better.p < 0.01
    assert 0.015 < better.difference.low < better.difference.value < better.difference.high < 0.025
    assert better.relative.value == pytest.approx(0.02 / hard.mean(), rel=0.2)
    assert compare(hard, hard, people).p == 1.0
    noise = compare(random.random(300), random.random(300), people)
    assert noise.p > 0.01


def test_one_person_proves_nothing() -> None:
    alone = People(np.zeros(5)).mean(np.arange(5.0))
    assert (alone.value, alone.low, alone.high) == (2.0, None, None)


def test_popularity_lift_is_against_what_was_taken() -> None:
    popularity, people = np.array([10, 5, 0]), People(np.arange(2))
    lists = np.array([[0, 1], [0, -1]])
    lift = exposure.popularity_lift(lists, np.array([1, 1]), popularity, people)
    assert lift.value == pytest.approx((7.5 + 10) / 10 - 1)
    assert exposure.popularity_lift(lists, np.array([2, 2]), popularity, people) is None
    found = exposure.exposure(lists, np.ones(3, bool), people)
    assert found["coverage"].value == pytest.approx(2 / 3)


def test_scores_fall_strictly_whatever_they_were() -> None:
    rows = np.float32([[1, 1, 1, 0.5], [0, 0, 0, 0], [1e-40, 0, -0.0, -1e-45], [3e38, 3e38, -np.inf, -np.inf]])
    fallen = predictions.falling(rows).astype(np.float64)
    assert (np.diff(fallen, axis=1) < 0).all()
    assert np.isfinite(fallen).all()


def test_the_digest_is_of_the_question(problem: Problem, tmp_path: Path) -> None:
    data, vectors = as_data(problem.ledger), np.zeros((len(problem.ledger.items), 4), np.float32)
    one = write_problem(problem, data, vectors, tmp_path / "one")
    assert one == write_problem(problem, data, vectors, tmp_path / "two")
    assert one != write_problem(successive(problem.ledger, seed=8), data, vectors, tmp_path / "three")


def test_where_nobody_can_be_asked_there_is_no_curve_and_no_picture(tmp_path: Path) -> None:
    """Nobody has more than two events: no means over nothing, which no reader of JSON takes."""
    people, count = np.repeat(np.arange(20), 2), 40
    ledger = make_ledger(
        user_ids=[f"u{person}" for person in people],
        item_ids=[f"i{item}" for item in np.arange(count) % 7],
        kinds=["view"] * count,
        texts=[None] * count,
        times=np.arange(count) * 1e4,
        catalogue=[f"i{item}" for item in range(7)],
        kind_weights={"view": 1.0},
    )
    problem, trends = successive(ledger), np.zeros((7, DIM - LATENT), np.float32)
    behaviour = BehaviourModel(BehaviourConfig(text_width=32, kind_count=2, history_length=4))
    notes = {"fold_keep": 1.0, "fold_gain": 0.0, "fold_span": 1.0}
    text = TextModel.load(tiny_encoder(tmp_path / "text"))
    model = InterestModel(text, behaviour, ledger.kinds, [], np.zeros((0, LATENT), np.float32), notes)
    items = model.item_vectors(ledger.items, ledger.items, trends)
    table = transition_table(ledger.only(problem.full))
    curves = {
        name: freshness(problem.test, trained, model, table, items, np.zeros((0, DIM), np.float32), 7)
        for name, trained in (("some", problem.trained), ("nobody", np.zeros(7, bool)))
    }
    assert curves["some"]["age"].keys() == AGES.keys()
    assert curves["some"]["missing"] == curves["nobody"]["missing"] == curves["nobody"]["age"] == {}
    ordered = freshness(
        problem.test, problem.trained, model, table, items, np.zeros((0, DIM), np.float32), 7, timed=False
    )
    assert (ordered["rows"], ordered["age"]) == (curves["some"]["rows"], {}), "places in an order are no seconds"
    judged = {"nearline": ranked_of(problem, np.zeros(shape(problem)), tmp_path)}
    report = {"data": {"name": "shop"}, "protocol": {"name": "successive"}, "strata": strata_figures(problem, judged)}
    for name, drawn in (("some", True), ("nobody", False)):  # the second run removes the picture of the first
        json.dumps(curves[name], allow_nan=False)
        pictures = draw_plots(problem, judged, report | {"made": {"nearline": {"freshness": curves[name]}}}, tmp_path)
        assert (tmp_path / "freshness.png" in pictures) == (tmp_path / "freshness.png").exists() == drawn
