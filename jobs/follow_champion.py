"""Serve the version that MLflow's alias `champion` points to: flip to it, and load it anew first where it was dropped.

Move the alias in MLflow's UI to promote a version, or to go back to one. Who moves it may say so in two tags of the
version, `nearline.moved_by` and `nearline.moved_because`, which the ledger of promotions keeps; else its description is
the reason.

A version that fails in the same way again and again is tried less and less often, at last twice an hour, until it
works or the alias is moved.

python jobs/follow_champion.py
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nearline.adapters import champion_alias, registered_model, training_run
from nearline.adapters.champion_alias import CHAMPION, Champion
from nearline.adapters.failed_tries import FailedTries
from nearline.adapters.interest_ledger import InterestLedger
from nearline.adapters.postgres import Connection, connect, queries
from nearline.adapters.promotion import check_index, go_live, one_at_a_time
from nearline.adapters.version_loader import Source, load_version, other_origin, save_served_trends
from nearline.adapters.version_tables import live_version, take_version
from nearline.errors import DatabaseUnreachable, GateRefused, ModelError, StackError, VersionTaken, run_job
from nearline.run_folder import RunFolder
from nearline.settings import Settings

if TYPE_CHECKING:
    from nearline.models.served_model import ServedModel

log = logging.getLogger("nearline.follow")

PATIENCE = 20.0
"""Seconds to wait for a job that has the version, such as a refresh that has not yet seen that another went live."""


def main(argv: list[str] | None = None) -> int:
    """Follow the alias; where it is served already, which is nearly always, end at once."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(argv)
    settings = Settings.from_env()
    with connect(settings, autocommit=True) as connection:
        with one_at_a_time(connection):  # between the two looks nobody flips
            champion, live = champion_alias.champion(settings), live_version(connection)
        if champion is None and live is not None:
            raise GateRefused(
                f"MLflow's model {settings.model} has no alias {CHAMPION} any more; version {live} stays live. "
                f"Fix: give the alias {CHAMPION} to version {live}, or to another that is to be served."
            )
        tries = FailedTries(settings.home / "follow_champion.json")
        if champion is None or champion.version == live:
            tries.forget()
            log.info("the alias %s is served: version %s", CHAMPION, live or "none yet")
            return 0
        log.info("the alias %s points to version %d; served is %s", CHAMPION, champion.version, live or "none yet")
        version = f"version {champion.version} of {settings.model}"
        began = time.monotonic()
        try:
            take_version(connection, champion.version, PATIENCE)
        except VersionTaken as problem:
            log.info("%s The next run looks again.", problem)
            return 0
        tries.check(version, f"; or give the alias {CHAMPION} to another version")
        try:
            # What does not count is not the version's fault, or cheap to ask again.
            with tries.counted(version, GateRefused, DatabaseUnreachable, StackError):
                _follow(settings, connection, champion, began)
        except ModelError as problem:
            raise ModelError(
                f"The alias {CHAMPION} points to version {champion.version}, which cannot be served. {problem} "
                f"Or give the alias to another version. {f'Version {live}' if live else 'None'} stays live."
            ) from problem
    return 0


def _follow(settings: Settings, connection: Connection, champion: Champion, began: float) -> None:
    version = champion.version
    ledger = InterestLedger(connection, _complete(settings, connection, champion), version)
    check_index(connection, version)
    ready = time.monotonic()
    events = go_live(
        ledger,
        f"MLflow alias {CHAMPION}" + (f", {champion.moved_by}" if champion.moved_by else ""),
        champion.moved_because or f"the alias {CHAMPION} was moved to version {version}",
        is_wanted=lambda: _is_wanted(settings, connection, version),
    )
    if events is None:
        log.info("version %d does not go live: it is by now, or the alias was moved on", version)
        return
    log.info(
        "version %d is live: made ready in %.1f s, caught up with %d events and flipped in %.2f s",
        version, ready - began, events, time.monotonic() - ready,
    )  # fmt: skip
    if champion.has_note:
        champion_alias.take_note_away(settings, version)


def _is_wanted(settings: Settings, connection: Connection, version: int) -> bool:
    wanted = champion_alias.champion(settings)
    return wanted is not None and wanted.version == version != live_version(connection)


def _complete(settings: Settings, connection: Connection, champion: Champion) -> ServedModel:
    """Load what is missing of a version; returns its model. One that cannot be served is refused, nothing changed."""
    from nearline.models.served_model import ServedModel  # torch takes a second to import

    version = {"model_version": champion.version}
    publish = queries("publish")
    origin = connection.execute(publish["origin"], version).fetchone()
    if origin and origin[0] != champion.run_id:
        raise other_origin(champion.version, champion.run_id)
    metrics = origin[1] if origin else _judged(settings, champion)
    folder = registered_model.fetch_model(settings, champion.version, champion.run_id)
    model = ServedModel(folder)
    state, items = connection.execute(publish["state"], version).fetchone() or ("dropped", 0)
    if state in ("kept", "live"):
        return model
    if connection.execute(publish["first_item"]).fetchone() is None:
        raise GateRefused(f"There is no active item to load version {champion.version} with. Fix: load items first.")
    if state == "dropped" or not items:
        log.info("version %d is loaded: its tables are not here", champion.version)
        trends = RunFolder(settings, f"version-{champion.version}").path / "trends.npz"
        save_served_trends(connection, trends)
        kept = registered_model.text_vectors_of_version(settings, champion.version, champion.run_id)
        load_version(settings, connection, Source(champion.version, champion.run_id, metrics, folder, kept, trends))
    else:
        log.info("version %d: its items are here, the interests are computed", champion.version)
    people = InterestLedger(connection, model, champion.version).rebuild()
    log.info("version %d has the interests of %d people", champion.version, people)
    return model


def _judged(settings: Settings, champion: Champion) -> Mapping[str, Any]:
    """How it was judged: no version of this number has been in this database."""
    judgement = training_run.read_judgement(settings, champion.run_id) if champion.run_id else None
    if judgement is None:
        raise ModelError(
            f"Expected judgement.json with its MLflow run {champion.run_id or '(it has none)'}, saw none: it was never "
            "judged. Fix: let the DAG daily_training train, judge and register it."
        )
    if not judgement["accepted"]:
        raise ModelError(f"It was judged, and refused: {judgement['reason']} Fix: train it again.")
    metrics: Mapping[str, Any] = judgement["metrics"]
    return metrics


if __name__ == "__main__":
    run_job(main)
