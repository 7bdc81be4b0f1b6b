from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny_models
from nearline.core.behaviour import History
from nearline.core.blend import TRANSITION_WEIGHTS
from nearline.core.hyperparameters import BehaviourTraining, TextTraining, TrainingPlan
from nearline.core.interest import DIM, LATENT, TRENDS
from nearline.core.transitions import PLAIN
from nearline.core.trends import UNSEEN, trends_of, unmet
from nearline.errors import InputError, ModelError
from nearline.models.behaviour_model import BehaviourConfig, BehaviourModel
from nearline.models.checkpoint import Checkpoint, weights_digest
from nearline.models.interest_model import InterestModel
from nearline.models.judgement import Test as JudgedRows
from nearline.models.judgement import decide, figures, plain_scores
from nearline.models.lessons import Lessons
from nearline.models.text_model import TextModel
from nearline.models.text_training import contrastive_loss, freeze_lower_layers, train_text_model
from nearline.models.training import starting_model, train_interest_model, why_afresh

PLAN = TrainingPlan(
    text=TextTraining(steps=10, batch=8, learning_rate=1e-3),
    behaviour=BehaviourTraining(epochs=6, batch=8, learning_rate=3e-3, average_steps=10),
    history_length=20,
)


LEDGER = tiny_models.small_world(people=150)
TRENDS_NOW = trends_of(LEDGER, 20 * tiny_models.DAY)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def reports() -> list[tuple[dict[str, float], int]]:
    return []


@pytest.fixture(scope="module")
def model(encoder: Path, reports: list, tmp_path_factory: pytest.TempPathFactory) -> InterestModel:
    torch.set_num_threads(1)
    data = tiny_models.training_data(LEDGER)
    keep = tmp_path_factory.mktemp("keep") / "vectors"
    report = lambda values, step: reports.append((values, step))  # noqa: E731
    return train_interest_model(data, PLAN, TextModel.load(encoder), report, keep)


def history_of(model: InterestModel, items: list[str], query: str | None = None) -> History:
    ids, texts = tiny_models.catalogue()
    said = [texts[ids.index(item)] for item in items]
    vectors = (
        model.item_vectors(items, said, np.zeros((len(items), TRENDS), np.float32))
        if items
        else np.zeros((0, DIM), np.float32)
    )
    kinds = ["view"] * len(items)
    if query:
        vectors, kinds = np.concatenate([vectors, model.query_vectors([query])]), [*kinds, "search"]
    return History(vectors, kinds)


def test_training_lowers_both_losses(model: InterestModel, reports: list) -> None:
    text = [values["text_loss"] for values, _ in reports if "text_loss" in values]
    behaviour = [values["behaviour_loss"] for values, _ in reports if "behaviour_loss" in values]
    assert np.mean(text[-3:]) < np.mean(text[:3])
    assert behaviour[-1] < 0.95 * behaviour[0]
    assert model.notes["transition_weight"] in TRANSITION_WEIGHTS


def test_people_get_items_of_their_theme(model: InterestModel) -> None:
    ids, texts = tiny_models.catalogue()
    items = model.item_vectors(ids, texts, TRENDS_NOW)
    scores = model.interests([history_of(model, ["baking-0", "baking-3"])])[0] @ items.T
    baking = np.array([item.startswith("baking") for item in ids])
    # Chance that an item of the theme is before one of another theme.
    assert (scores[baking][:, None] > scores[~baking][None, :]).mean() > 0.9


def test_saved_and_loaded_it_gives_the_same_bits(model: InterestModel, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    again = InterestModel.load(tmp_path / "model", threads=1)
    ids, texts = tiny_models.catalogue()
    assert np.array_equal(again.item_vectors(ids, texts, TRENDS_NOW), model.item_vectors(ids, texts, TRENDS_NOW))
    history = history_of(model, ["music-1", "music-2"], "guitar")
    assert np.array_equal(again.interests([history]), model.interests([history]))
    assert again.notes == model.notes
    assert not list(tmp_path.glob("*.partial"))


def test_a_new_item_has_a_place_from_its_text(model: InterestModel) -> None:
    ids, texts = tiny_models.catalogue()
    items = model.item_vectors(ids, texts, TRENDS_NOW)
    new = model.item_vectors(["unheard of"], ["hiking tent"], unmet()[None])[0]
    np.testing.assert_array_equal(new[:LATENT], model.query_vectors(["hiking tent"])[0, :LATENT])
    assert new[LATENT + UNSEEN] == 1.0
    new[LATENT:], items[:, LATENT:] = 0.0, 0.0
    means = {
        theme: float(new @ items[[n for n, i in enumerate(ids) if i.startswith(theme)]].mean(0))
        for theme in tiny_models.THEMES
    }
    assert max(means, key=lambda theme: means[theme]) == "hiking"


def test_a_search_moves_the_interest(model: InterestModel) -> None:
    ids, texts = tiny_models.catalogue()
    items = model.item_vectors(ids, texts, TRENDS_NOW)
    music = np.array([item.startswith("music") for item in ids])

    def preference(history: History) -> float:
        scores = model.interests([history])[0] @ items.T
        return float(scores[music].mean() - scores[~music].mean())

    before, after = history_of(model, ["baking-1"]), history_of(model, ["baking-1"], "music guitar")
    assert preference(after) > preference(before)


def test_an_interest_does_not_depend_on_its_companions(model: InterestModel) -> None:
    one = history_of(model, ["hiking-1", "hiking-2"], "tent")
    others = [history_of(model, ["music-1"] * length) for length in (1, 7, 20, 30)]
    together = model.interests([others[0], one, *others[1:], History(np.zeros((0, DIM), np.float32), [])])
    np.testing.assert_allclose(together[1], model.interests([one])[0], rtol=1e-5, atol=1e-5)
    assert together[-1].any()  # a newcomer has an interest too
    assert model.interests([]).shape == (0, DIM)


def test_only_the_newest_events_are_read(model: InterestModel) -> None:
    long = history_of(model, ["music-1", "baking-2"] * 20)
    assert np.array_equal(model.interests([long]), model.interests([long.newest(20)]))


@pytest.mark.parametrize(("threads", "batch"), [(1, 8), (2, 64)])
def test_the_same_seed_gives_the_same_model(encoder: Path, tmp_path: Path, threads: int, batch: int) -> None:
    """In steps of many rows two threads add up gradients, too."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    data = tiny_models.training_data(LEDGER)
    plan = replace(PLAN, behaviour=replace(PLAN.behaviour, batch=batch, epochs=2))
    first, second = (
        train_interest_model(data, plan, TextModel.load(encoder), lambda values, step: None, tmp_path / str(number))
        for number in (1, 2)
    )
    torch.set_num_threads(before)
    assert np.array_equal(first.residuals, second.residuals)


def test_nothing_after_the_cut_changes_the_model(encoder: Path, tmp_path: Path, model: InterestModel) -> None:
    data = tiny_models.training_data(LEDGER.before(20 * tiny_models.DAY))
    again = train_interest_model(data, PLAN, TextModel.load(encoder), lambda values, step: None, tmp_path / "kept")
    assert np.array_equal(again.residuals, model.residuals)
    assert again.notes["transition_weight"] == model.notes["transition_weight"]


SEEN = "it has seen events of the validation window"
NEXT_DAY = tiny_models.training_data(LEDGER, cut=21 * tiny_models.DAY, inner_cut=17 * tiny_models.DAY)


@pytest.fixture(scope="module")
def start(model: InterestModel, tmp_path_factory: pytest.TempPathFactory) -> InterestModel:
    """What the model leaves for the next day, as it is read there."""
    folder = tmp_path_factory.mktemp("champion") / "model"
    model.save(folder)
    return InterestModel.load_start(folder)


def test_the_next_day_starts_from_what_saw_nothing_of_its_window(model: InterestModel, start: InterestModel) -> None:
    shape = model.behaviour.config
    assert why_afresh(model, shape, NEXT_DAY) == SEEN  # published, it has learnt its own window
    assert why_afresh(start, shape, NEXT_DAY) == ""
    assert why_afresh(start, shape, tiny_models.training_data(LEDGER)) == ""
    assert why_afresh(start, shape, tiny_models.training_data(LEDGER, inner_cut=15 * tiny_models.DAY)) == SEEN
    assert why_afresh(start, replace(shape, history_length=9), NEXT_DAY) == "it has another shape"
    other = replace(NEXT_DAY, ledger=replace(NEXT_DAY.ledger, kinds=[*NEXT_DAY.ledger.kinds[:-1], "nod"]))
    assert why_afresh(start, shape, other) == "it knows other kinds of events"
    turned = [-weight for weight in NEXT_DAY.ledger.kind_weights]
    other = replace(NEXT_DAY, ledger=replace(NEXT_DAY.ledger, kind_weights=turned))
    assert why_afresh(start, shape, other) == "what is a dislike has changed"
    assert start.notes["trained_until"] == 16 * tiny_models.DAY
    assert weights_digest(start.behaviour) != weights_digest(model.behaviour)


def test_a_start_has_no_choices_in_it(start: InterestModel) -> None:
    item_texts = start.text_vectors(NEXT_DAY.texts)
    started, residuals = starting_model(NEXT_DAY, PLAN, start, item_texts.shape[1], item_texts)
    assert weights_digest(started) == weights_digest(start.behaviour)
    np.testing.assert_array_equal(residuals, start.residual(NEXT_DAY.item_ids))
    assert residuals.any()
    assert not started.newcomer_trends.any()


@pytest.mark.parametrize("epochs", [0, 3])
def test_a_start_is_kept_where_no_pass_is_better(
    start: InterestModel, model: InterestModel, tmp_path: Path, epochs: int
) -> None:
    """Only then nothing but the passes over everything is learnt."""
    found: dict[str, list[float]] = {}

    def report(values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            found.setdefault(name, []).append(value)

    plan = replace(PLAN, behaviour=replace(PLAN.behaviour, epochs=epochs, final_epochs=0))
    text = TextModel.load(start.text.encoder.name_or_path)
    trained = train_interest_model(NEXT_DAY, plan, text, report, tmp_path / "keep", start)
    (begun,) = found["start_ndcg"]
    passes = found.get("validation_ndcg", [])
    assert 0.0 < begun < 1.0
    assert len(passes) <= epochs
    kept = weights_digest(trained.start.behaviour) == weights_digest(start.behaviour)
    assert kept == (begun >= max(passes, default=0.0))


def test_a_training_that_was_killed_goes_on_with_the_same_result(encoder: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    data = tiny_models.training_data(tiny_models.small_world(people=12))
    whole = train_interest_model(data, PLAN, TextModel.load(encoder), lambda values, step: None, tmp_path / "whole")

    class Killed(Exception):
        pass

    def die(values: dict[str, float], step: int) -> None:
        if "validation_ndcg" in values and step == 1:
            raise Killed

    with pytest.raises(Killed):
        train_interest_model(data, PLAN, TextModel.load(encoder), die, tmp_path / "halves")
    steps: list[int] = []
    report = lambda values, step: steps.append(step) if "validation_ndcg" in values else None  # noqa: E731
    resumed = train_interest_model(data, PLAN, TextModel.load(encoder), report, tmp_path / "halves")
    assert steps[0] == 1  # the first pass was not done again, the second had not been kept
    np.testing.assert_array_equal(resumed.residuals, whole.residuals)
    assert resumed.notes == whole.notes
    assert not list((tmp_path / "halves").glob("*.pt"))


def test_a_checkpoint_of_another_training_is_not_taken(tmp_path: Path) -> None:
    Checkpoint(tmp_path / "c.pt", {"data": "a"}).write({"passes": 3})
    assert Checkpoint(tmp_path / "c.pt", {"data": "b"}).read() is None
    assert (Checkpoint(tmp_path / "c.pt", {"data": "a"}).read() or {})["passes"] == 3


def test_before_any_training_the_interest_is_more_of_the_same() -> None:
    torch.manual_seed(0)
    model = BehaviourModel(BehaviourConfig(text_width=16, kind_count=2)).eval()
    model.start_from(torch.randn(50, 16))
    vectors = torch.randn(1, 2, LATENT)
    ones = torch.ones(1, 2, dtype=torch.long)
    interest = model(vectors, ones, ones)[0]
    fade = float(torch.exp(-1 / model.log_span.detach().exp()))
    torch.testing.assert_close(interest[2, :LATENT], (vectors[0, 1] + fade * vectors[0, 0]) / (1 + fade))
    assert not interest[0].any()  # of a newcomer nothing is known yet
    assert not interest[:, LATENT:].any()


def test_what_comes_first_of_all_is_asked_too() -> None:
    ledger = tiny_models.small_world(people=6)
    lessons = Lessons.of(ledger)
    drawn = lessons.draw(np.random.default_rng(0))
    first = {user: lessons.targets[drawn.before[row]] for user, row in enumerate(lessons.starts)}
    for user, item in first.items():
        rows = ledger.user == user
        assert item == ledger.item[rows & (ledger.item >= 0)][0]
    others = np.setdiff1d(np.arange(len(ledger)), lessons.starts)
    assert (drawn.before[others] == -1).all()


def test_what_comes_next_is_never_of_the_same_moment() -> None:
    ledger = tiny_models.make_ledger(
        user_ids=["u"] * 5, item_ids=["a", "b", "c", "d", "a"], kinds=["view"] * 5, texts=[None] * 5,
        times=np.array([1.0, 1.0, 2.0, 2.0, 3.0]), catalogue=["a", "b", "c", "d"], kind_weights={"view": 1.0},
    )  # fmt: skip
    lessons = Lessons.of(ledger)
    for seed in range(10):
        wanted = lessons.draw(np.random.default_rng(seed))
        assert set(lessons.targets[wanted.after[:2]]) <= {2, 3}
        assert wanted.after[2:].tolist() == [-1, -1, -1]  # a is known already
        assert lessons.targets[wanted.before[0]] in {0, 1}


def test_same_texts_are_no_negatives_of_each_other() -> None:
    vectors = torch.nn.functional.normalize(torch.ones(3, 4), dim=1)
    same = np.array([0, 0, 0])
    assert float(contrastive_loss(vectors, vectors, same, same, 0.05)) == pytest.approx(0.0, abs=1e-6)


def test_only_the_upper_layers_learn(encoder: Path) -> None:
    model = TextModel.load(encoder)
    before = {name: value.clone() for name, value in model.named_parameters()}
    data = tiny_models.training_data(tiny_models.small_world(people=9))
    config = TextTraining(steps=2, batch=4, upper_layers=1)
    train_text_model(model, data.pairs, config, lambda values, step: None, Checkpoint(None, {}))
    changed = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert changed
    assert all("layer.1." in name for name in changed)
    assert freeze_lower_layers(model, 5)


def test_a_judgement_ranks_the_model_above_simple_rivals(model: InterestModel) -> None:
    _, texts = tiny_models.catalogue()
    data = tiny_models.training_data(tiny_models.small_world())
    test = JudgedRows.of(data.ledger, data.end, 7)
    item_texts, query_texts = model.text_vectors(texts), model.text_vectors(data.ledger.queries)
    table = data.inner_transitions[PLAIN]
    found = {"candidate": figures(test, test.served_scores(model, item_texts, query_texts, table))}
    constant = np.ones_like(item_texts)
    for name, scores in plain_scores(test, constant, table).items():
        found[name] = figures(test, scores)
    judgement = decide(found)
    assert judgement.accepted, judgement.reason
    assert set(judgement.as_dict()["rivals"]) == {"untuned_text", "popularity", "transitions"}
    assert found["untuned_text"]["all"]["ndcg"] == 0.0  # a constant score comes out last
    refused = decide(found | {"champion": found["candidate"]})
    assert not refused.accepted
    assert "not better than the champion" in refused.reason


@pytest.mark.parametrize("stratum", ["cold", "new_users"])
def test_a_better_mean_must_not_be_paid_by_the_new(stratum: str) -> None:
    def of(ndcg: float, special: float, count: int) -> dict[str, dict[str, float]]:
        plain = {"ndcg": ndcg, "hr": ndcg, "mrr": ndcg, "count": 2000}
        return {name: plain for name in ("all", "warm", "cold", "new_users")} | {
            stratum: {**plain, "ndcg": special, "count": count}
        }

    champion = of(0.10, 0.05, 300)
    refused = decide({"candidate": of(0.11, 0.03, 300), "untuned_text": of(0.01, 0.01, 300), "champion": champion})
    assert not refused.accepted
    assert f"below 80% of the champion for {stratum.replace('_', ' ')} (0.0300 of 0.0500)" in refused.reason
    assert decide(
        {"candidate": of(0.11, 0.045, 300), "untuned_text": of(0.01, 0.01, 300), "champion": champion}
    ).accepted
    few = of(0.10, 0.05, 50)
    assert decide({"candidate": of(0.11, 0.03, 50), "untuned_text": of(0.01, 0.01, 50), "champion": few}).accepted


def test_no_test_rows_are_refused_with_the_fix(model: InterestModel) -> None:
    ledger = tiny_models.small_world(people=3)
    test = JudgedRows.of(ledger, float("inf"), 7)
    found = {"candidate": figures(test, iter(())), "untuned_text": figures(test, iter(()))}
    assert "NEARLINE_HOLDOUT_SHARE" in decide(found).reason


def test_nothing_to_learn_from_says_so(encoder: Path, tmp_path: Path) -> None:
    data = tiny_models.training_data(tiny_models.small_world(people=3), cut=1.0, inner_cut=0.0)
    with pytest.raises(InputError, match="load events over a longer time"):
        train_interest_model(data, PLAN, TextModel.load(encoder), lambda values, step: None, tmp_path / "kept")


def test_a_broken_folder_says_what_is_missing(model: InterestModel, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="complete model"):
        InterestModel.load(tmp_path)
    model.save(tmp_path / "model")
    np.save(tmp_path / "model" / "residuals.npy", np.zeros((3, 7), np.float32))
    with pytest.raises(ModelError, match="expected shape"):
        InterestModel.load(tmp_path / "model")
    with pytest.raises(ModelError, match="NEARLINE_TEXT_MODEL"):
        TextModel.load(tmp_path)
