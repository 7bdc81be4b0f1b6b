from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy")

from benchmarks.quality import contestants
from benchmarks.quality.peers import run_peer
from benchmarks.quality.peers.cooccurrence import Cooccurrence, count_pairs
from benchmarks.quality.peers.ease import Ease, item_weights
from benchmarks.quality.peers.fallback import EVER, WINDOWS, Fallback, choose_fallback
from benchmarks.quality.peers.item_knn import ItemKnn
from benchmarks.quality.peers.popularity import DAY, Popularity, popularity
from benchmarks.quality.peers.problem import Events, Problem, Rows, read_problem
from benchmarks.quality.peers.text_mean import TextMean
from benchmarks.quality.peers.tuning import Outcome, tune
from nearline.errors import InputError

SCRIPT = Path(run_peer.__file__)
ITEMS = 6


def some_events(user: list[int], item: list[int], time: list[float], weight: list[float] | None = None) -> Events:
    likes = np.ones(len(user)) if weight is None else np.array(weight)
    pairs = list(zip(user, item, strict=True))
    first = np.array([pair not in pairs[:place] for place, pair in enumerate(pairs)]) & (likes > 0)
    return Events(np.array(user), np.array(item), np.array(time), likes.astype(np.float32), first, ITEMS)


def some_rows(
    histories: list[list[int]], target: list[int] | None = None, disliked: frozenset[int] = frozenset()
) -> Rows:
    items = np.array([item for history in histories for item in history], dtype=np.int64)
    weights = np.where(np.isin(items, list(disliked)), -1.0, 1.0).astype(np.float32)
    indptr = np.cumsum([0, *(len(history) for history in histories)])
    return Rows(indptr, items, weights, None if target is None else np.array(target))


def some_problem() -> Problem:
    """Everybody goes 0, 1, 2, 3; item 4 is met by one person, item 5 by nobody."""
    user = [person for person in range(8) for _ in range(4)] + [8]
    item = [0, 1, 2, 3] * 8 + [4]
    time = [1e9 + 60.0 * step for _ in range(8) for step in range(4)] + [1e9]
    events = some_events(user, item, time)
    validation = some_rows([[0], [0, 1], [0, 1, 2]], [1, 2, 3])
    vectors = np.eye(ITEMS, dtype=np.float32) + np.eye(ITEMS, k=1, dtype=np.float32)
    return Problem(events, events, validation, some_rows([[0], [0, 1], []]), vectors, has_clock=True)


def write_problem(folder: Path, problem: Problem) -> None:
    folder.mkdir()
    columns = {name: getattr(problem.all, name) for name in ("user", "item", "time", "weight", "first")}
    np.savez(folder / "train.npz", **columns, inner=np.ones(len(problem.all), dtype=bool))
    for name, rows in (("validation", problem.validation), ("test", problem.test)):
        target = {} if rows.target is None else {"target": rows.target}
        columns = {"indptr": rows.indptr, "items": rows.items, "weights": rows.weights, **target}
        np.savez(folder / f"{name}.npz", **columns)
    np.save(folder / "text_vectors.npy", problem.text_vectors)
    (folder / "problem.json").write_text(json.dumps({"timed": problem.has_clock}))


def test_the_newest_liked_events_come_first() -> None:
    rows = some_rows([[1, 2, 3], [], [4, 5]], disliked=frozenset({2}))
    assert rows.newest(3).tolist() == [[3, 1, -1], [-1, -1, -1], [5, 4, -1]]
    assert rows.newest(1).tolist() == [[3], [-1], [5]]


def test_no_history_at_all_has_no_newest() -> None:
    assert some_rows([[], []]).newest(2).tolist() == [[-1, -1], [-1, -1]]


def test_rows_can_be_chosen_with_their_histories() -> None:
    chosen = some_rows([[1], [2, 3], [4]], [5, 0, 1]).only(np.array([False, True, True]))
    assert chosen.items.tolist() == [2, 3, 4]
    assert chosen.indptr.tolist() == [0, 2, 3]
    assert chosen.target is not None
    assert chosen.target.tolist() == [0, 1]


def test_validation_leaves_out_what_was_met_and_what_is_cold() -> None:
    problem = some_problem()
    scores = np.zeros((3, ITEMS), dtype=np.float32)
    scores[[0, 1, 2], [1, 2, 3]] = 1.0
    assert problem.validation_ndcg(scores) == 1.0
    scores[:, [0, 5]] = 2.0  # met by all three rows; never seen
    assert problem.validation_ndcg(scores) == 1.0
    assert problem.validation_ndcg(np.zeros_like(scores)) < 0.6
    with pytest.raises(InputError, match="expected shape"):
        problem.validation_ndcg(scores[:, :2])


def test_popularity_counts_recent_first_meetings_and_orders_ties_by_all_of_them() -> None:
    old, new = 1e9, 1e9 + 20 * DAY
    events = some_events([0, 1, 2, 3, 3], [1, 1, 2, 3, 3], [old, old, new, new, new])
    assert popularity(events, 7.0, True)[[2, 3]].astype(int).tolist() == [1, 1]
    assert popularity(events, 7.0, True)[1] < 1.0
    assert popularity(events, 7.0, True)[1] > popularity(events, 7.0, True)[0]
    assert popularity(events, 30.0, True).argmax() == 1


def test_popularity_of_an_order_takes_a_share_of_the_events() -> None:
    events = some_events(list(range(20)), [1] * 18 + [2, 2], [float(place) for place in range(20)])
    assert popularity(events, 7.0, False).argmax() == 2
    assert popularity(events, 30.0, False).argmax() == 1


def test_pairs_count_forward_by_distance_and_both_ways_in_a_tie() -> None:
    count = count_pairs(some_events([0, 0, 0, 1], [0, 1, 2, 3], [1.0, 2.0, 2.0, 3.0])).toarray()
    assert count[0, 1] == 1.0
    assert count[0, 2] == pytest.approx(2**-0.5)
    assert count[1, 2] == count[2, 1] == 1.0
    assert count[1, 0] == count[2, 3] == 0.0


def test_a_disliked_item_is_no_pair() -> None:
    assert count_pairs(some_events([0, 0], [0, 1], [1.0, 2.0], [1.0, -1.0])).nnz == 0


def test_ease_is_the_inverse_it_says_it_is() -> None:
    from scipy import sparse

    met = np.random.default_rng(1).integers(0, 2, (40, 5)).astype(np.float32)
    inverse = np.linalg.inv(met.T @ met + 3.0 * np.eye(5))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0.0)
    assert np.allclose(item_weights(sparse.csr_matrix(met), 3.0), expected, atol=1e-5)


def test_item_knn_looks_both_ways_and_shrinks_what_is_rare() -> None:
    learned = count_pairs(some_events([0, 0], [0, 1], [1.0, 2.0])), np.zeros(ITEMS)
    scores = ItemKnn().score(learned, some_rows([[0], [1]]), {"shrinkage": 3.0, "tau": 1.0})
    assert scores[0, 1] == scores[1, 0] == pytest.approx(0.25)
    assert scores[0, 0] == scores[0, 2] == 0.0


@pytest.mark.parametrize("peer", [Cooccurrence(), ItemKnn(), Ease(), TextMean()])
def test_a_peer_finds_what_follows_and_keeps_to_the_shape(peer: Cooccurrence | Ease | TextMean) -> None:
    problem = some_problem()
    outcome = tune(peer, problem, 60.0)
    assert outcome.validation_ndcg > 0.6
    assert outcome.scores.shape == (3, ITEMS)
    assert outcome.scores.dtype == np.float32
    assert np.isfinite(outcome.scores).all()
    assert outcome.scores[0].argmax() in (0, 1)  # 0 is met
    assert not outcome.stopped_by_budget


def test_scores_depend_on_the_own_history_only() -> None:
    problem = some_problem()
    peer = Cooccurrence()
    learned = peer.learn(problem, problem.all, {"fading": 3.0})
    alone = peer.score(learned, some_rows([[0, 1]]), {"a": 0.5, "tau": 4.0})
    among = peer.score(learned, some_rows([[3], [0, 1], [2]]), {"a": 0.5, "tau": 4.0})
    assert np.array_equal(alone[0], among[1])


def test_pairs_fade_by_when_the_later_was_met() -> None:
    events = some_events([0, 0, 1, 1], [0, 1, 2, 3], [0.0, 50.0, 50.0, 100.0])
    assert count_pairs(events, 2.0).toarray()[[0, 2], [1, 3]].tolist() == [0.5, 1.0]
    assert count_pairs(events).toarray()[[0, 2], [1, 3]].tolist() == [1.0, 1.0]


def problem_where_habits_changed(newcomers_meet: int) -> Problem:
    """Item 1 was met by many long ago, item 2 by some 50 days ago, item 3 by one today."""
    item = [1] * 5 + [2] * 3 + [3]
    when = [1e9] * 5 + [1e9 + 2950 * DAY] * 3 + [1e9 + 3000 * DAY]
    events = some_events(list(range(9)), item, when)
    validation = some_rows([[], [], [1]], [newcomers_meet, newcomers_meet, 3])
    return Problem(events, events, validation, some_rows([[], [1]]), np.eye(ITEMS, dtype=np.float32), has_clock=True)


@pytest.mark.parametrize(("newcomers_meet", "days"), [(1, EVER), (2, 90.0), (3, 30.0)])
def test_what_newcomers_get_is_chosen_on_validation(newcomers_meet: int, days: float) -> None:
    problem = problem_where_habits_changed(newcomers_meet)
    fallback = choose_fallback(problem)
    assert (fallback.days, fallback.rows) == (days, 2)
    assert [entry["days"] for entry in fallback.tried] == list(WINDOWS)
    scores = fallback.fill(np.zeros((2, ITEMS), np.float32), problem, problem.all, problem.test)
    assert scores[0].argmax() == newcomers_meet
    assert scores[1].max() == 0.0
    for peer in (Cooccurrence(), TextMean()):
        outcome = tune(peer, problem, 60.0)
        assert np.array_equal(outcome.scores[0], popularity(problem.all, days, True))
        assert outcome.fallback["days"] == days


def test_popularity_keeps_its_own_list() -> None:
    outcome = tune(Popularity(7.0), problem_where_habits_changed(1), 60.0)
    assert np.array_equal(outcome.scores[0], outcome.scores[1])
    assert outcome.fallback["days"] == 7.0


def test_nobody_to_choose_by_means_30_days() -> None:
    assert choose_fallback(some_problem()).days == 30.0


def test_kept_scores_are_filled_as_a_new_run_would(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    problem, folder = problem_where_habits_changed(2), tmp_path / "problem"
    write_problem(folder, problem)
    facts = folder / "problem.json"
    facts.write_text(json.dumps({**json.loads(facts.read_text()), "digest": "this"}))
    kept, said = folder / "scores" / "text_mean.npy", folder / "scores" / "text_mean.json"
    command = ["--problem", str(folder), "--peer", "text_mean"]
    assert run_peer.main(command) == 0
    fresh = np.load(kept)
    before = Fallback(30.0).fill(fresh.copy(), problem, problem.all, problem.test)
    assert not np.array_equal(before, fresh)
    np.save(kept, before)
    old = {name: value for name, value in json.loads(said.read_text()).items() if name != "fallback"}
    said.write_text(json.dumps({**old, "problem": "another", "code": {"digest": "old"}}))
    assert run_peer.main([*command, "--fill"]) == 1
    assert "saw another's" in capsys.readouterr().err
    said.write_text(json.dumps({**old, "problem": "this", "code": {"digest": "old"}}))
    scores, nothing = contestants.Scores(folder / "scores", "this"), (lambda _: False)
    run = ["text_mean"], Path(sys.executable), 60.0, nothing
    assert contestants.run_peers(scores, *run) == {}
    assert np.array_equal(np.load(kept), before)
    assert contestants.run_peers(scores, *run, fill=lambda _: True) == {}
    assert np.array_equal(np.load(kept), fresh)
    told = json.loads(said.read_text())
    assert (told["learned_by"], told["code"]) == ({"digest": "old"}, contestants.code())
    assert (told["fallback"]["days"], told["fallback"]["chosen_with_days"]) == (90.0, 30.0)
    assert {name: told[name] for name in old} == old


def test_a_peer_that_had_too_little_time_is_made_again_with_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    problem = tmp_path / "problem"
    write_problem(problem, some_problem())
    said = problem / "scores" / "cooccurrence.json"
    assert run_peer.main(["--problem", str(problem), "--peer", "cooccurrence", "--budget", "20"]) == 0
    facts = {**json.loads(said.read_text()), "problem": "this", "code": {"peers": "of another day"}}
    scores = contestants.Scores(problem / "scores", "this")
    for stopped, budget, then in ((True, 20.0, 20.0), (False, 60.0, 20.0), (True, 60.0, 60.0)):
        said.write_text(json.dumps({**facts, "stopped_by_budget": stopped}))
        assert contestants.run_peers(scores, ["cooccurrence"], Path(sys.executable), budget, lambda _: False) == {}
        told = json.loads(said.read_text())
        assert told["budget"] == then
        assert (told["code"] == facts["code"]) == (then == 20.0)
    warned = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert warned == ["cooccurrence: the scores that are there were made by other code than today's"] * 2


def test_a_list_of_its_own_is_not_filled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_peer.main(["--problem", str(tmp_path), "--peer", "popularity_7", "--fill"]) == 1
    assert "nothing to fill" in capsys.readouterr().err


def test_a_spent_budget_ends_the_grid_after_its_first_setting() -> None:
    outcome = tune(Ease(), some_problem(), 0.0)
    assert outcome.stopped_by_budget
    assert {entry["penalty"] for entry in outcome.tried} == {Ease.LEARNING["penalty"][0]}


def test_the_command_writes_scores_and_what_was_chosen(tmp_path: Path) -> None:
    write_problem(tmp_path / "problem", some_problem())
    command = [sys.executable, str(SCRIPT), "--problem", str(tmp_path / "problem"), "--peer", "cooccurrence"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "validation NDCG@10" in done.stderr
    written = sorted(path.name for path in (tmp_path / "problem" / "scores").iterdir())
    assert written == ["cooccurrence.json", "cooccurrence.npy"]
    facts = json.loads((tmp_path / "problem" / "scores" / "cooccurrence.json").read_text())
    assert set(facts) == {
        "settings", "tried", "validation_ndcg", "seconds", "work_seconds", "budget", "stopped_by_budget", "fallback"
    }  # fmt: skip
    assert np.load(tmp_path / "problem" / "scores" / "cooccurrence.npy").shape == (3, ITEMS)


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_problem(tmp_path / "problem", some_problem())
    (tmp_path / "problem" / "test.npz").unlink()
    with pytest.raises(InputError, match=r"test\.npz"):
        read_problem(tmp_path / "problem")
    assert run_peer.main(["--problem", str(tmp_path / "problem"), "--peer", "ease"]) == 1
    assert "test.npz" in capsys.readouterr().err


def test_nothing_is_left_of_scores_that_could_not_be_written(tmp_path: Path) -> None:
    outcome = Outcome(np.zeros((1, 2), np.float32), {"choice": object()}, 0.0)
    with pytest.raises(TypeError):
        run_peer.write(tmp_path, "ease", outcome.scores, run_peer.facts_of(outcome, 1.0, 600.0))
    assert list(tmp_path.iterdir()) == []
