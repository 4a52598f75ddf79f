"""The decisions: every stage with every event, and every state that can be reached with a machine that may die."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from transactions import NEW, OLD, OTHER, THIRD, begin

from nixel.update.transaction.machine import (
    AwaitConfirmation,
    Examine,
    Impossible,
    Keep,
    Prepare,
    Restart,
    Revert,
    Try,
    action,
    step,
)
from nixel.update.transaction.model import (
    Confirmed,
    Copied,
    CopyFailed,
    Healthy,
    KeepFailed,
    Kept,
    Kind,
    Moment,
    Passed,
    Resumed,
    Reverted,
    RevertFailed,
    Stage,
    Switched,
    SwitchFailed,
    Unconfirmed,
    Unhealthy,
    Verdict,
)

SAME, AFTER = Moment(1_780_000_100.0, 200.0, "boot-1"), Moment(1_780_000_200.0, 10.0, "boot-2")
WHY = ("It broke.",)
COPYING, TRYING, CHECKING, CONFIRMING = Stage.COPYING, Stage.TRYING, Stage.CHECKING, Stage.CONFIRMING
KEEPING, REVERTING, RESTARTING, DONE = Stage.KEEPING, Stage.REVERTING, Stage.RESTARTING, Stage.DONE
KEPT, REVERTED, FAILED, STUCK = Verdict.KEPT, Verdict.REVERTED, Verdict.FAILED, Verdict.STUCK

EVENTS = {
    "copied": Copied({}),
    "copy failed": CopyFailed(WHY),
    "switched": Switched(),
    "switch failed": SwitchFailed(WHY),
    "healthy": Healthy(),
    "unhealthy": Unhealthy(WHY),
    "confirmed": Confirmed("anna"),
    "unconfirmed": Unconfirmed(WHY),
    "kept": Kept(),
    "keep failed": KeepFailed(WHY),
    "reverted": Reverted(),
    "revert failed": RevertFailed(WHY),
}

# Stage and event: what must follow; what is not named is impossible.
TABLE = {
    (COPYING, "copied"): TRYING,
    (COPYING, "copy failed"): FAILED,
    (TRYING, "switched"): CHECKING,
    (TRYING, "switch failed"): REVERTING,
    (CHECKING, "healthy"): KEEPING,
    (CHECKING, "unhealthy"): REVERTING,
    (CONFIRMING, "confirmed"): KEEPING,
    (CONFIRMING, "unconfirmed"): REVERTING,
    (KEEPING, "kept"): KEPT,
    (KEEPING, "keep failed"): REVERTING,
    (REVERTING, "reverted"): REVERTED,
    (REVERTING, "revert failed"): RESTARTING,
    (RESTARTING, "revert failed"): STUCK,
}

# The program died: stage, which system runs now, which is the default now, in the same start of the machine, after
# another start. The old system ran and was the default when it began.
DEATHS = [
    (COPYING, OLD, OLD, FAILED, FAILED),
    (TRYING, OLD, OLD, REVERTING, REVERTED),
    (TRYING, NEW, OLD, REVERTING, REVERTING),
    (TRYING, None, None, REVERTING, REVERTING),
    (CHECKING, OLD, OLD, REVERTING, REVERTED),
    (CHECKING, NEW, OLD, REVERTING, REVERTING),
    (CONFIRMING, OLD, OLD, REVERTING, REVERTED),
    (CONFIRMING, THIRD, OLD, REVERTING, REVERTING),
    (KEEPING, OLD, OLD, KEEPING, KEEPING),
    (KEEPING, NEW, NEW, KEEPING, KEEPING),
    (KEEPING, OLD, NEW, KEEPING, KEEPING),
    (REVERTING, OLD, OLD, REVERTING, REVERTED),
    (REVERTING, NEW, NEW, REVERTING, REVERTING),
    (REVERTING, OLD, NEW, REVERTING, REVERTING),
    (RESTARTING, OLD, OLD, RESTARTING, REVERTED),
    (RESTARTING, NEW, NEW, RESTARTING, REVERTING),
    (RESTARTING, OLD, NEW, RESTARTING, REVERTING),
    (RESTARTING, THIRD, OLD, RESTARTING, STUCK),
    (RESTARTING, None, None, RESTARTING, STUCK),
]


def at_stage(stage, *, kept=None, asks=False, **more):
    """A transaction in a stage; `kept`: whether it went through KEEPING (where it must, it did)."""
    made = begin(asks=asks, **more)
    if kept if kept is not None else stage in (KEEPING, REVERTING, RESTARTING):
        made = replace(made, stages=(*made.stages, Passed(KEEPING, SAME)))
    verdict = KEPT if stage is DONE else None
    return replace(made, stages=(*made.stages, Passed(stage, SAME)), verdict=verdict)


def came_to(transaction):
    """Its stage, or its verdict if it is done; the two must fit together."""
    assert (transaction.stage is DONE) == (transaction.verdict is not None)
    return transaction.verdict or transaction.stage


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("stage", Stage)
def test_every_stage_with_every_event(stage, name):
    transaction = at_stage(stage)
    if (stage, name) not in TABLE:
        with pytest.raises(Impossible, match=f"{type(EVENTS[name]).__name__} cannot come while {stage}"):
            step(transaction, EVENTS[name], SAME)
        return
    after = step(transaction, EVENTS[name], SAME)
    assert came_to(after) is TABLE[stage, name]
    assert after.stages[:-1] == transaction.stages, "what was passed stays"
    if "failed" in name or name.startswith("un"):
        assert WHY[0] in after.why, "what went wrong is told"


def test_whoever_asks_for_a_confirmation_waits_for_it():
    assert came_to(step(at_stage(CHECKING, asks=True), Healthy(), SAME)) is CONFIRMING


def test_the_machine_is_restarted_once_at_most():
    once = step(at_stage(REVERTING), RevertFailed(WHY), SAME)
    back = step(once, Resumed(NEW, NEW), AFTER)
    assert came_to(back) is REVERTING
    stuck = step(back, RevertFailed(WHY), AFTER)
    assert came_to(stuck) is STUCK
    assert any("start menu" in sentence for sentence in stuck.why), "what to do is told"


@pytest.mark.parametrize(("stage", "running", "default", "same", "other"), DEATHS)
def test_after_a_death(stage, running, default, same, other):
    transaction = at_stage(stage)
    for moment, expected in ((SAME, same), (AFTER, other)):
        after = step(transaction, Resumed(running, default), moment)
        assert came_to(after) is expected
        assert len(after.why) > len(transaction.why), "the interruption is told"


@pytest.mark.parametrize("moment", [SAME, AFTER])
@pytest.mark.parametrize("running", [OLD, NEW, THIRD, None])
def test_what_is_done_stays_done(running, moment):
    transaction = at_stage(DONE)
    assert step(transaction, Resumed(running, running), moment) is transaction


@pytest.mark.parametrize(("running", "told"), [(OLD, True), (THIRD, True), (NEW, False)])
def test_a_kept_system_that_does_not_run_yet_is_told(running, told):
    after = step(at_stage(KEEPING), Resumed(running, running), AFTER)
    assert any("from the next restart" in sentence for sentence in after.why) is told


@pytest.mark.parametrize("stage", [TRYING, CHECKING, CONFIRMING])
def test_a_restart_may_bring_what_was_the_default_before(stage):
    """Somebody had tried a system by hand: the default was another one than the running one."""
    after = step(at_stage(stage, default=OTHER), Resumed(OTHER, OTHER), AFTER)
    assert came_to(after) is REVERTED
    assert any(f"its boot default, {OTHER}" in sentence for sentence in after.why)


@pytest.mark.parametrize("default", [NEW, OTHER])
def test_or_a_person_chose_the_old_system_at_the_start(default):
    after = step(at_stage(CHECKING, default=default), Resumed(OLD, default), AFTER)
    assert came_to(after) is REVERTED


def test_a_new_system_that_was_the_default_already_is_taken_back_all_the_same():
    after = step(at_stage(TRYING, default=NEW), Resumed(NEW, NEW), AFTER)
    assert came_to(after) is REVERTING
    told = step(after, Reverted(), AFTER)
    assert came_to(told) is REVERTED
    assert any("nixel-update rollback" in sentence for sentence in told.why)


@pytest.mark.parametrize(
    ("running", "words"), [(THIRD, f"another system, {THIRD}"), (None, "a system that cannot be told")]
)
def test_where_a_restart_led_is_told(running, words):
    stuck = step(at_stage(RESTARTING), Resumed(running, OLD), AFTER)
    assert any(words in sentence for sentence in stuck.why)


def test_what_is_done_in_each_stage():
    assert action(at_stage(COPYING)) == Prepare(NEW, OLD, copies=True)
    assert action(at_stage(COPYING, kind=Kind.ROLLBACK)) == Prepare(NEW, OLD, copies=False)
    assert action(at_stage(TRYING)) == Try(NEW)
    assert action(at_stage(CHECKING)) == Examine(NEW)
    assert action(at_stage(CONFIRMING)) == AwaitConfirmation()
    assert action(at_stage(KEEPING)) == Keep(NEW)
    assert action(at_stage(REVERTING, kept=False)) == Revert(OLD, None)
    assert action(at_stage(REVERTING, kept=True)) == Revert(OLD, OLD)
    assert action(at_stage(REVERTING, kept=True, default=OTHER)) == Revert(OLD, OTHER)
    assert action(at_stage(RESTARTING)) == Restart()
    assert action(at_stage(DONE)) is None


@pytest.mark.parametrize(
    ("old", "new", "default", "nothing"),
    [
        (NEW, NEW, NEW, True),
        (NEW, NEW, OTHER, False),
        (OLD, NEW, NEW, False),
        (OLD, NEW, OLD, False),
        (OLD, OLD, NEW, False),
    ],
)
def test_nothing_is_to_be_done_only_if_it_runs_and_is_the_default(old, new, default, nothing):
    made = begin(old=old, new=new, default=default)
    assert came_to(made) is (Verdict.NOTHING if nothing else COPYING)


@pytest.mark.parametrize("name", ["", "-x", "a/b", "..", "a" * 65, "ä"])
def test_a_name_that_could_be_another_files_is_none(name):
    with pytest.raises(ValueError, match="no name of a transaction"):
        begin(identifier=name)


@pytest.mark.parametrize(("kind", "copies"), [(Kind.INSTALL, True), (Kind.ROLLBACK, False)])
@pytest.mark.parametrize("event", [CopyFailed(WHY), Resumed(OLD, OLD)])
def test_what_was_copied_is_spoken_of_only_where_something_is(event, kind, copies):
    told = " ".join(step(at_stage(COPYING, kind=kind), event, SAME).why)
    assert "Nothing was changed" in told
    assert ("not copied twice" in told) is copies


def test_what_was_found_is_kept():
    after = step(begin(), Copied({"a": 1}, ("noted",)), SAME)
    assert (after.before, after.why, after.boot_id) == ({"a": 1}, ("noted",), "boot-1")
    assert step(at_stage(TRYING), Switched(("unit x failed.",)), SAME).why == ("unit x failed.",)
    assert "Confirmed by anna." in step(at_stage(CONFIRMING), Confirmed("anna"), SAME).why
    assert "unit y failed." in step(at_stage(REVERTING), Reverted(("unit y failed.",)), SAME).why


# --- every state that can be reached ---


@dataclass(frozen=True)
class World:
    """A machine: what runs, what the profile and the boot loader say, which start; and what has come true so far."""

    running: str
    profile: str
    loader: str
    boot: str = "boot-1"
    healthy: bool = False
    confirmed: bool = False
    failures: int = 0  # of bringing the old system back


def cut(world):
    return replace(world, running=world.loader, boot="boot-2" if world.boot == "boot-1" else "boot-1")


def defaults_on_the_way(world, system):
    """The profile is set first, then the boot loader."""
    half = replace(world, profile=system)
    return [world, half, replace(half, loader=system)]


def outcomes(todo, world):
    """The worlds that an effect may be cut off in, and the events that it may end with, each with its world."""
    match todo:
        case Prepare():
            return [world], [(Copied({}), world), (CopyFailed(WHY), world)]
        case Try(system):
            done = replace(world, running=system)
            failed = SwitchFailed(WHY)
            return [world, done], [(Switched(), done), (failed, world), (failed, done)]
        case Examine():
            good = replace(world, healthy=True)
            return [world], [(Healthy(), good), (Unhealthy(WHY), world)]
        case AwaitConfirmation():
            return [world], [(Confirmed("anna"), replace(world, confirmed=True)), (Unconfirmed(WHY), world)]
        case Keep(system):
            way = defaults_on_the_way(world, system)
            return way, [(Kept(), way[-1]), *((KeepFailed(WHY), each) for each in way)]
        case Revert(system, default):
            way = [world] if default is None else defaults_on_the_way(world, default)
            way += [replace(each, running=system) for each in way]
            failed = [(RevertFailed(WHY), replace(each, failures=each.failures + 1)) for each in way]
            return way, [(Reverted(), way[-1]), *failed]
        case Restart():
            refused = replace(world, failures=world.failures + 1)
            return [world, cut(world)], [(RevertFailed(WHY), refused)]
    raise AssertionError(todo)


def bare(transaction):
    """The same for the decisions to come: without words and times, and each stage only once."""
    passed = [each for each in transaction.stages[:-1] if each.stage is KEEPING][:1]
    now = replace(transaction.stages[-1], at=Moment(0.0, 0.0, transaction.boot_id))
    passed = [replace(each, at=Moment(0.0, 0.0, "")) for each in passed]
    return replace(transaction, stages=(*passed, now), why=(), before=None)


def followers(transaction, world):
    """Every (transaction, world, whether anything went wrong) that may come next."""
    todo = action(transaction)
    assert todo is not None
    on_the_way, ends = outcomes(todo, world)
    moment = Moment(0.0, 0.0, world.boot)
    for event, then in ends:
        wrong = type(event).__name__.endswith("Failed") or isinstance(event, Unhealthy | Unconfirmed)
        yield event, bare(step(transaction, event, moment)), then, wrong
    for there in on_the_way:
        for then in (there, cut(there)):
            event = Resumed(then.running, then.profile)
            yield event, bare(step(transaction, event, Moment(0.0, 0.0, then.boot))), then, False


def check_always(begun, transaction, world, event=None, previous=None):
    """What must hold in every state, and for every step."""
    before, default = begun.default_before, action(transaction)
    assert {world.profile, world.loader} <= ({before, NEW} if transaction.keeping_began else {before})
    if transaction.stage is KEEPING:
        assert world.healthy
        assert world.confirmed or not begun.asks_confirmation
    if isinstance(default, Keep):
        assert transaction.stage is KEEPING
    if isinstance(default, Revert):
        assert (default.default is not None) == transaction.keeping_began
    if previous is not None and previous.stage is KEEPING and isinstance(event, Resumed):
        assert transaction.stage is KEEPING, "a decision is not taken back by an interruption"
    if previous is not None and previous.stage is DONE:
        raise AssertionError("done is done")


def check_end(begun, transaction, world):
    """What must hold at the end."""
    before, good = begun.default_before, world.healthy and (world.confirmed or not begun.asks_confirmation)
    match transaction.verdict:
        case Verdict.KEPT:
            assert good
            assert world.profile == world.loader == NEW
            assert world.running in {NEW, begun.old.path, before}
        case Verdict.REVERTED:
            assert world.profile == world.loader == before
            assert world.running in {begun.old.path, before}
            assert begun.old.path == NEW or world.running != NEW, "what is not kept does not run"
        case Verdict.FAILED:
            assert world.profile == world.loader == before
            assert world.running in {begun.old.path, before}
        case Verdict.STUCK:
            assert world.failures >= 2, (
                "only if bringing back failed again after the restart, or the restart itself"
            )
            assert world.loader == before or good, "even then the next start brings a system that may run"
        case _:
            raise AssertionError(transaction.verdict)


@pytest.mark.parametrize("asks", [False, True])
@pytest.mark.parametrize(
    ("running", "default"), [(OLD, OLD), (NEW, OLD), (OLD, NEW), (OLD, OTHER), (NEW, OTHER)]
)
def test_every_reachable_state(running, default, asks):
    begun = begin(asks=asks, old=running, default=default)
    first = (bare(begun), World(running, default, default))
    seen, todo, edges = {first}, [first], 0
    leads = {}  # to each state, those that lead to it without anything going wrong
    ends = set()
    while todo:
        transaction, world = state = todo.pop()
        check_always(begun, transaction, world)
        if transaction.stage is DONE:
            check_end(begun, transaction, world)
            ends.add(state)
            continue
        for event, after, then, wrong in followers(transaction, world):
            edges += 1
            check_always(begun, after, then, event, transaction)
            found = (after, replace(then, failures=min(then.failures, 2)))
            if not wrong:
                leads.setdefault(found, []).append(state)
            if found not in seen:
                seen.add(found)
                todo.append(found)
    # Nothing needs a hand: from wherever it is, it comes to an end as soon as nothing more goes wrong.
    reaching, todo = set(ends), list(ends)
    while todo:
        for state in leads.get(todo.pop(), []):
            if state not in reaching:
                reaching.add(state)
                todo.append(state)
    assert reaching == seen
    verdicts = {transaction.verdict for transaction, _ in ends}
    assert verdicts == {KEPT, REVERTED, FAILED, STUCK}, "each end can be reached, so each was checked"
    print(f"{len(seen)} states, {edges} transitions, {len(ends)} ends")
