"""Random schedules: writers, runs and faults composed by a seed, so that one that fails can be run again."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from chaos.invariants import Findings, Sampler
from chaos.processes import ForkServer, Refresh
from chaos.refresh_process import MOMENTS
from chaos.shop import Server, Shop
from chaos.writers import LATE_ITEMS, LEAVING, PEOPLE, ask_why, bring_item, erase
from nearline.adapters.postgres import queries
from small_shop import ITEMS

TO_PUBLISH = {"adopt_ledger", "item_vectors", "save_moments", "save_newcomer", "start_cursor", "lock_other_cursors"}
TO_REPLAY = {"look_at_cursor", "users", "users_since", "users_of_shard", "shard_count"}
OF_A_RUN = sorted({"commit", *queries("refresh"), *queries("explanations")} - TO_PUBLISH - TO_REPLAY)
OF_A_PUBLICATION = sorted({"commit", "changed", "cursor", "histories", "move_cursor", "save_interests", *TO_PUBLISH})


@dataclass(frozen=True)
class Act:
    """Something that is done at a time, in seconds from the begin."""

    at: float
    name: str
    arguments: tuple[object, ...] = ()

    def __str__(self) -> str:
        return f"{self.at:.2f} {self.name}({', '.join(map(str, self.arguments))})"


@dataclass(frozen=True)
class Schedule:
    """What happens when, all from one seed; only how the processes interleave is up to the machine."""

    seed: int
    seconds: float
    writers: int
    pause: float
    acts: tuple[Act, ...]

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.writers} writers, {'; '.join(map(str, self.acts))}"


def compose(seed: int) -> Schedule:
    """A schedule of a second or so."""
    chance = random.Random(seed)
    seconds = chance.uniform(0.4, 1.2)
    acts: list[Act] = [Act(0.0, "run", _run(chance))]
    sorts: list[tuple[str, float, Callable[[], tuple[object, ...]]]] = [
        ("run", 4, lambda: _run(chance)),
        ("kill_run", 3, lambda: ()),
        ("freeze_run", 1, lambda: (round(chance.uniform(0.02, 0.3), 2),)),
        ("end_run", 1, lambda: ()),
        ("terminate", 2, lambda: (chance.randrange(1, 4), chance.random() < 0.4)),
        ("divide", 2, lambda: (chance.choice([1, 2, 3]),)),
        ("publish", 2, lambda: (_end_at(chance, OF_A_PUBLICATION, 0.5),)),
        ("erase", 2, lambda: (chance.choice(LEAVING),)),
        ("ask_why", 3, lambda: (chance.choice([*PEOPLE, *LEAVING]), chance.choice(ITEMS))),
        ("bring_item", 1.5, lambda: (chance.choice(LATE_ITEMS),)),
        ("replay", 2, lambda: (chance.choice(["--rebuild", "--users=u0,u1,leaving-0", "--since=2026-01-01"]),)),
        ("restart", 0.5, lambda: (chance.choice(["stop_at_once", "kill"]),)),
    ]
    for _ in range(chance.randrange(3, 10)):
        name, _, arguments = chance.choices(sorts, [weight for _, weight, _ in sorts])[0]
        acts.append(Act(round(chance.uniform(0.0, seconds), 2), name, arguments()))
    return Schedule(
        seed, seconds, chance.randrange(1, 4), chance.choice([0.002, 0.01, 0.03]),
        tuple(sorted(acts, key=lambda act: act.at)),
    )  # fmt: skip


def _run(chance: random.Random) -> tuple[object, ...]:
    return (round(chance.uniform(0.2, 1.5), 2), chance.choice([5, 20, 5000]), _end_at(chance, OF_A_RUN, 0.6))


def _end_at(chance: random.Random, blocks: list[str], likely: float) -> dict[str, str]:
    """Where it is killed, or loses its connection, if it is or does."""
    if chance.random() > likely:
        return {}
    block = chance.choice(blocks)
    moment = chance.choice(MOMENTS if block == "commit" else ["before", "after"])
    return {chance.choice(["kill_at", "kill_at", "lose_at"]): f"{block}:{chance.choice([1, 1, 2, 3, 5, 8])}:{moment}"}


@dataclass
class Outcome:
    """How one schedule went."""

    schedule: Schedule
    findings: Findings
    samples: int
    retries: int
    errors: list[str]
    """Of runs that gave up in order: Postgres was away, or aborted them, when their time was over."""
    seconds: float


def play(schedule: Schedule, server: Server, forks: ForkServer) -> Outcome:
    """Do what a schedule says, let everything come to rest, and check."""
    began = time.monotonic()
    with server.shop(forks) as shop:
        sampler = Sampler(shop.settings)
        try:
            found = _play(schedule, shop, server, sampler)
        except TimeoutError as stuck:  # as a finding, so that the other schedules are played too
            found = Findings(problems=[str(stuck)])
    return Outcome(
        schedule, found, sampler.samples, shop.book.retries, shop.errors, time.monotonic() - began
    )  # fmt: skip


def _play(schedule: Schedule, shop: Shop, server: Server, sampler: Sampler) -> Findings:
    player = Player(shop, server, random.Random(schedule.seed))
    with sampler:
        for number in range(schedule.writers):
            shop.write(schedule.seed * 10 + number, pause=schedule.pause)
        start = time.monotonic()
        for act in schedule.acts:
            time.sleep(max(0.0, start + act.at - time.monotonic()))
            getattr(player, act.name)(*act.arguments)
        time.sleep(max(0.0, start + schedule.seconds - time.monotonic()))
    shop.may_fail = True
    found = shop.rest()
    found.note("at some moment", sampler.wrong)
    return found


class Player:
    """Carries out the acts of a schedule."""

    def __init__(self, shop: Shop, server: Server, chance: random.Random) -> None:
        self.shop = shop
        self.server = server
        self.chance = chance
        self._version = 1

    def run(self, seconds: float, batch: int, end_at: dict[str, str]) -> None:
        """One run for each shard."""
        for shard in range(self.shop.shards):
            self.shop.run(f"--seconds={seconds}", shard=shard, batch=batch, **end_at)

    def kill_run(self) -> None:
        self._signal(signal.SIGKILL)

    def end_run(self) -> None:
        self._signal(signal.SIGTERM)

    def freeze_run(self, seconds: float) -> None:
        run = self._signal(signal.SIGSTOP)
        time.sleep(seconds)
        if run:
            run.kill(signal.SIGCONT)

    def terminate(self, most: int, of_writers: bool) -> None:
        self.shop.terminate_sessions(most, of_writers)

    def divide(self, shards: int) -> None:
        if shards != self.shop.shards:
            self.shop.divide(shards)

    def publish(self, end_at: dict[str, str]) -> None:
        """Build a version and flip to it; one that died or lost its connection is built again at once."""
        self._version += 1
        tries = [end_at, *[{}] * 5]
        assert any(self.shop.publish(self._version, **one).wait() == 0 for one in tries), "nothing is published"

    def erase(self, user: str) -> None:
        erase(self.shop.settings, self.shop.book, user)

    def ask_why(self, user: str, item: str) -> None:
        ask_why(self.shop.settings, user, item)

    def bring_item(self, item: str) -> None:
        bring_item(self.shop.settings, item)

    def replay(self, what: str) -> None:
        self.shop.run(what)

    def restart(self, how: str) -> None:
        getattr(self.server, how)()
        time.sleep(self.chance.uniform(0.0, 0.2))
        self.server.start()

    def _signal(self, number: int) -> Refresh | None:
        running = [run for run in self.shop.runs if run.is_running()]
        if not running:
            return None
        run = self.chance.choice(running)
        run.kill(number)
        return run
