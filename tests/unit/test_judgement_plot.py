from __future__ import annotations

from pathlib import Path

from nearline.adapters.code_identity import code_identity
from nearline.adapters.judgement_plot import STRATA, judgement_plot


def metrics(ndcg: float, count: int = 100) -> dict[str, float]:
    return {"ndcg": ndcg, "hr": ndcg, "mrr": ndcg, "count": count}


def test_every_model_and_stratum_has_its_bar(tmp_path: Path) -> None:
    figures = {
        name: {stratum: metrics(value) for stratum in STRATA}
        for name, value in {"candidate": 0.11, "champion": 0.10, "untuned_text": 0.02}.items()
    }
    figures["candidate"]["cold"] = metrics(0.0, 0)  # nothing new in the window
    figure = judgement_plot(figures)
    assert len(figure.axes) == len(STRATA)
    assert [len(axes.patches) for axes in figure.axes] == [3] * len(STRATA)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["untuned text", "champion", "candidate"]
    widths = sorted(patch.get_width() for patch in figure.axes[0].patches)
    assert widths == [0.02, 0.10, 0.11]
    figure.savefig(tmp_path / "judgement.png")
    assert (tmp_path / "judgement.png").stat().st_size > 5_000


def test_the_code_is_named_the_same_each_time() -> None:
    assert code_identity() == code_identity()
    assert len(code_identity()["digest"]) == 64
