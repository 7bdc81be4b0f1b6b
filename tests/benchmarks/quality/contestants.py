"""Have nearline and its peers score the test rows, one after another, each into scores/<name>.npy and .json.

What is there already for the same problem is not made again. A peer that fails is reported, and the others go on.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nearline.adapters.code_identity import code_identity
from nearline.errors import InputError

log = logging.getLogger("nearline.quality")

PEERS = ("popularity_7", "popularity_30", "cooccurrence", "item_knn", "text_mean", "ease", "ials", "sasrec", "esasrec")
"""Names that peers/run_peer.py knows, the quick ones first."""
RUN_PEER = Path(__file__).resolve().parent / "peers" / "run_peer.py"
GRACE = 3.0
"""A budget is for tuning and learning; loading and scoring come on top. A peer that takes so many times its budget,
and `LEAST_SECONDS`, hangs."""
LEAST_SECONDS = 900.0


@dataclass(frozen=True)
class Scores:
    """The folder of scores of one problem."""

    folder: Path
    digest: str

    def facts(self, name: str) -> dict[str, Any] | None:
        """What a model said of how it was made, where its scores are of this problem."""
        try:
            found = json.loads((self.folder / f"{name}.json").read_text())
        except (OSError, ValueError):
            return None
        current = found.get("problem") == self.digest and (self.folder / f"{name}.npy").exists()
        return found if current else None

    def names(self) -> list[str]:
        """All models with scores of this problem, nearline first."""
        found = [path.stem for path in self.folder.glob("*.json") if self.facts(path.stem) is not None]
        return sorted(found, key=lambda name: (not name.startswith("nearline"), name))

    def written(self) -> dict[str, int]:
        """Each model's name and when its facts were last written, in nanoseconds."""
        return {path.stem: path.stat().st_mtime_ns for path in self.folder.glob("[!.]*.json")}

    def stamp(self, before: dict[str, int], code: Mapping[str, str]) -> None:
        """Mark what was written since `written` returned ``before`` as of this problem, made by ``code``."""
        made = {"problem": self.digest, "code": dict(code)}
        for name, _ in self.written().items() - before.items():
            path = self.folder / f"{name}.json"
            draft = path.with_suffix(".partial")
            draft.write_text(json.dumps({**json.loads(path.read_text()), **made}, indent=1))
            os.replace(draft, path)


def code() -> dict[str, str]:
    """Version and digest of the package; of the Python files of ``peers`` and ``evaluation`` the SHA-256, in hex."""
    folders = {"peers": RUN_PEER.parent, "evaluation": RUN_PEER.parent.parent}
    return {**code_identity(), **{name: _digest(sorted(folder.glob("*.py"))) for name, folder in folders.items()}}


def _digest(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def wanted_peers(text: str) -> list[str]:
    """Peers of "all", "none" or a comma list.

    Raises
    ------
    InputError
        When one is not known.
    """
    if text in ("all", "none"):
        return list(PEERS) if text == "all" else []
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := set(names) - set(PEERS):
        raise InputError(f"PEERS: expected all, none or some of {', '.join(PEERS)}; saw {', '.join(sorted(unknown))}.")
    return names


def run_ours(scores: Scores, name: str, score: Callable[[], None], *, again: bool) -> None:
    """Have a model of nearline's own write the scores of its name."""
    if (kept := scores.facts(name)) is not None and not again:
        if kept.get("code") != code():
            log.warning("%s: the scores that are there were made by other code than today's", name)
        log.info("%s: scores of this problem are there (to make them again: --again nearline, or AGAIN=nearline)", name)
        return
    began, before, made_by = time.monotonic(), scores.written(), code()
    score()
    scores.stamp(before, made_by)
    if scores.facts(name) is None:
        raise InputError(f"{scores.folder}: expected {name}.npy and {name}.json from nearline_model.score, saw none.")
    log.info("%s took %.0f s", name, time.monotonic() - began)


def run_peers(
    scores: Scores,
    peers: Sequence[str],
    python: Path,
    budget: float,
    again: Callable[[str], bool],
    fill: Callable[[str], bool] = lambda _: False,
) -> dict[str, str]:
    """Run each peer; why some failed, by name.

    Parameters
    ----------
    python
        Of the peers' own environment. Where there is none this one is used, which suffices for the simple peers.
    budget
        Seconds for tuning and learning, each.
    again, fill
        Whether a peer whose scores are there makes them again; or else fills its rows without a history again.
    """
    failed = {}
    problem = scores.folder.parent
    for peer in peers:
        facts = None if again(peer) else scores.facts(peer)
        if facts and facts.get("stopped_by_budget") and facts["budget"] < budget:
            log.info("%s: made again, as %g seconds were too few for it", peer, facts["budget"])
            facts = None
        kept = facts is not None
        if facts is not None and not fill(peer):
            if facts.get("code", {}).get("peers") != code()["peers"]:
                log.warning("%s: the scores that are there were made by other code than today's", peer)
            log.info("%s: scores of this problem are there", peer)
            continue
        said = problem / "logs" / f"{peer}{'.fill' if kept else ''}.log"
        said.parent.mkdir(exist_ok=True)
        command = [str(python) if python.exists() else sys.executable, str(RUN_PEER)]
        command += ["--problem", str(problem), "--peer", peer, "--budget", f"{budget:g}"]
        command += ["--fill"] if kept else []
        began, before, made_by = time.monotonic(), scores.written(), code()
        try:
            with said.open("w") as file:
                limit = max(GRACE * budget, LEAST_SECONDS)
                status = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, timeout=limit).returncode
            reason = f"exit status {status}" if status else ""
        except subprocess.TimeoutExpired:
            reason = f"stopped after {limit:.0f} s"
        scores.stamp(before, made_by)
        if not reason and scores.facts(peer) is None:
            reason = "wrote no scores"
        if reason:
            last = said.read_text(errors="replace").strip().splitlines()[-1:]
            failed[peer] = f"{reason}: {' '.join(last)[:300]} (see logs/{said.name})"
            log.warning("%s failed: %s", peer, failed[peer])
        else:
            log.info("%s took %.0f s", peer, time.monotonic() - began)
    return failed
