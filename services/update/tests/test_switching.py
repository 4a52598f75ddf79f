"""What a switch does with units, by the rules of nixpkgs' switch-to-configuration-ng."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nixel.update import unitfile
from nixel.update.switching import Change, Happens, changes, decide

SERVICE = "[Unit]\nDescription=It\n[Service]\nExecStart=/nix/store/a/bin/it\n"


def unit(text, *drop_ins, name="it.service", wanted=True, needs=()):
    return unitfile.unit(name, unitfile.parse((text, *drop_ins)), needs, wanted=wanted)


def happens(old, new, name="it.service", others=(), runs=True):
    new_units = {name: unit(new, name=name), **dict.fromkeys(others, unit("[Socket]\n", name="x.socket"))}
    return decide(name, unit(old, name=name), new_units[name], new_units, runs=runs)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (SERVICE, SERVICE, None),
        (SERVICE, SERVICE.replace("/a/", "/b/"), Happens.RESTARTS),
        (SERVICE, SERVICE.replace("It", "That"), None),
        (SERVICE, SERVICE + "[Install]\nWantedBy=multi-user.target\n", None),
        (SERVICE, SERVICE.replace("Description", "OnFailure"), None),
        (SERVICE, SERVICE.replace("Description", "After"), Happens.RESTARTS),
        (SERVICE, SERVICE + "X-RestartIfChanged=false\nUser=x\n", Happens.STAYS_OLD),
        (SERVICE, SERVICE + "X-ReloadIfChanged=true\nUser=x\n", Happens.RELOADS),
        (SERVICE, SERVICE + "X-StopIfChanged=false\nUser=x\n", Happens.RESTARTS),
        (SERVICE, SERVICE.replace("[Unit]", "[Unit]\nRefuseManualStop=true") + "User=x\n", Happens.STAYS_OLD),
        (
            SERVICE,
            SERVICE.replace("[Unit]", "[Unit]\nX-OnlyManualStart=true") + "User=x\n",
            Happens.STAYS_OLD,
        ),
        (SERVICE, SERVICE.replace("[Unit]", "[Unit]\nX-Restart-Triggers=/nix/store/t"), Happens.RESTARTS),
        (SERVICE, SERVICE.replace("[Unit]", "[Unit]\nX-Reload-Triggers=/nix/store/t"), Happens.RELOADS),
        (SERVICE.replace("[Unit]", "[Unit]\nX-Reload-Triggers=/nix/store/t"), SERVICE, None),
        (SERVICE, SERVICE + "ExecReload=/bin/kill\n", Happens.RELOADS),
        (SERVICE + "ExecReload=/bin/kill\n", SERVICE, None),
        (SERVICE + "ExecReload=/a\n", SERVICE + "ExecReload=/b\nUser=x\n", Happens.RESTARTS),
        # Only the new unit says how: a unit that comes to be left alone is left alone at once.
        (SERVICE + "X-RestartIfChanged=false\n", SERVICE + "X-RestartIfChanged=true\n", Happens.RESTARTS),
        # The order of sections and settings is no change, that of a setting's values is one.
        (SERVICE, "[Service]\nExecStart=/nix/store/a/bin/it\n[Unit]\nDescription=It\n", None),
        (SERVICE + "After=a\nAfter=b\n", SERVICE + "After=b\nAfter=a\n", Happens.RESTARTS),
    ],
)
def test_services(old, new, expected):
    assert happens(old, new) is expected


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("a.path", "[Path]\nPathExists=/a\n", "[Path]\nPathExists=/b\n", Happens.APPLIES),
        ("a.slice", "[Slice]\nMemoryMax=1G\n", "[Slice]\nMemoryMax=2G\n", Happens.APPLIES),
        ("a.socket", "[Socket]\nListenStream=1\n", "[Socket]\nListenStream=2\n", Happens.STAYS_OLD),
        ("a.timer", "[Timer]\nOnCalendar=daily\n", "[Timer]\nOnCalendar=weekly\n", Happens.RESTARTS),
        ("a.mount", "[Mount]\nOptions=ro\n", "[Mount]\nOptions=rw\n", Happens.RELOADS),
        ("a.mount", "[Mount]\nWhat=/dev/a\n", "[Mount]\nWhat=/dev/b\n", Happens.RESTARTS),
        ("a.mount", "[Mount]\nWhat=/dev/a\n", "[Mount]\nWhat=/dev/a\nOptions=ro\n", Happens.RESTARTS),
        ("nix.mount", "[Mount]\nWhat=/dev/a\n", "[Mount]\nWhat=/dev/b\n", Happens.RELOADS),
        ("multi-user.target", "[Unit]\nAfter=a\n", "[Unit]\nAfter=b\n", Happens.APPLIES),
    ],
)
def test_other_units(name, old, new, expected):
    assert happens(old, new, name) is expected


CHANGED = SERVICE + "User=x\n"


@pytest.mark.parametrize(
    ("new", "others", "expected"),
    [
        (CHANGED, ("it.socket",), Happens.STOPS_UNTIL_USED),
        (CHANGED, ("other.socket",), Happens.RESTARTS),
        (CHANGED + "Sockets=other.socket\n", ("other.socket",), Happens.STOPS_UNTIL_USED),
        (CHANGED + "Sockets=other.socket\n", ("it.socket",), Happens.RESTARTS),
        (CHANGED + "X-NotSocketActivated=true\n", ("it.socket",), Happens.RESTARTS),
        (CHANGED + "X-StopIfChanged=false\n", ("it.socket",), Happens.RESTARTS),
    ],
)
def test_a_service_with_a_socket_waits_for_its_next_use(new, others, expected):
    assert happens(SERVICE, new, others=others) is expected


def test_the_sockets_of_a_stopped_service_go_with_it():
    old = {
        "it.service": unit(SERVICE, wanted=False),
        "it.socket": unit("[Socket]\nListenStream=1\n", name="it.socket"),
    }
    new = {**old, "it.service": unit(CHANGED, wanted=False)}
    assert [(each.name, each.happens, each.along_with) for each in changes(old, new)] == [
        ("it.service", Happens.STOPS_UNTIL_USED, ""),
        ("it.socket", Happens.RESTARTS, "it.service"),
    ]


def test_new_units_start_if_the_system_wants_them_and_gone_ones_stop():
    kept = unit(SERVICE)
    stays = unit("[Unit]\nX-StopOnRemoval=false\n" + SERVICE)
    old = {"gone.service": kept, "stays.service": stays, "idle.service": unit(SERVICE, wanted=False)}
    new = {
        "new.service": kept,
        "asked.service": unit(SERVICE, wanted=False),
        "refuses.service": unit("[Unit]\nRefuseManualStart=true\n" + SERVICE),
    }
    found = {each.name: (each.change, each.happens) for each in changes(old, new)}
    assert found == {
        "gone.service": (Change.GONE, Happens.STOPS),
        "stays.service": (Change.GONE, Happens.STAYS_OLD),
        "idle.service": (Change.GONE, Happens.ON_DEMAND),
        "new.service": (Change.NEW, Happens.STARTS),
        "asked.service": (Change.NEW, Happens.ON_DEMAND),
        "refuses.service": (Change.NEW, Happens.ON_DEMAND),
    }


def test_only_what_runs_is_touched_if_that_is_known():
    old, new = {"it.service": unit(SERVICE)}, {"it.service": unit(CHANGED)}
    assert [each.happens for each in changes(old, new, ())] == [Happens.ON_DEMAND]
    assert [each.happens for each in changes(old, new, ("it.service",))] == [Happens.RESTARTS]
    assert [each.happens for each in changes(old, new)] == [Happens.RESTARTS]


def test_what_requires_a_restarted_unit_restarts_with_it_at_any_distance():
    first = {"it.service": unit(SERVICE)}
    chain = {
        "b.service": unit("[Unit]\nRequires=it.service\n", name="b.service"),
        "c.service": unit("[Unit]\n", name="c.service", needs=("b.service",)),
        "d.service": unit("[Unit]\nWants=it.service\n", name="d.service"),
    }
    found = changes({**first, **chain}, {"it.service": unit(CHANGED), **chain})
    assert [(each.name, each.along_with) for each in found] == [
        ("b.service", "it.service"),
        ("c.service", "b.service"),
        ("it.service", ""),
    ]


def test_drop_ins_add_values_and_take_them_back():
    plain = unit("[Service]\nExecStart=/a\nEnvironment=A=1\n")
    same = unit("[Service]\nExecStart=/b\nEnvironment=A=1\n", "[Service]\nExecStart=\nExecStart=/a\n")
    more = unit("[Service]\nExecStart=/a\nEnvironment=A=1\n", "[Service]\nEnvironment=B=2\n")
    assert same.digest == plain.digest
    assert more.digest != plain.digest


# --- against the rules as nixpkgs writes them ---


def compare_units(current, new):
    """nixpkgs' compare_units, line by line; from section to setting to values."""
    result = "equal"
    left = set(new)
    for section, values in current.items():
        if section not in left:
            if section == "Unit" and set(values) <= unitfile.IGNORED:
                continue
            if section == "Service" and set(values) == {"ExecReload"}:
                continue
            return "restart"
        left.remove(section)
        keys = set(new[section])
        for key, value in values.items():
            keys.discard(key)
            if key not in new[section]:
                if section == "Unit" and key in unitfile.IGNORED:
                    continue
                if section == "Service" and key == "ExecReload":
                    continue
                return "restart"
            if value != new[section][key]:
                if section == "Unit" and key == "X-Reload-Triggers":
                    result = "reload"
                elif section == "Unit" and key in unitfile.IGNORED:
                    continue
                elif (section, key) in (("Service", "ExecReload"), ("Mount", "Options")):
                    result = "reload"
                else:
                    return "restart"
        if section == "Unit":
            for key in keys:
                if key == "X-Reload-Triggers":
                    result = "reload"
                elif key not in unitfile.IGNORED:
                    return "restart"
        elif section == "Service" and keys == {"ExecReload"}:
            result = "reload"
        elif keys:
            return "restart"
    if len(left) > 1:
        return "restart"
    for section in left:
        if section == "Unit" and set(new["Unit"]) <= unitfile.IGNORED:
            if "X-Reload-Triggers" in new["Unit"]:
                result = "reload"
        elif section == "Service" and set(new["Service"]) == {"ExecReload"}:
            result = "reload"
        else:
            return "restart"
    return result


VALUES = st.lists(st.sampled_from(["1", "2", "/nix/store/a"]), min_size=1, max_size=2)
ABOUT = st.dictionaries(st.sampled_from(["Description", "After", "X-Reload-Triggers", "OnFailure"]), VALUES)
# Every real unit has its own section with more in it than how to reload, so that is what is asked about.
RUNS = st.dictionaries(st.sampled_from(["User", "ExecReload"]), VALUES).map(
    lambda found: {**found, "Type": ["x"]}
)
MOUNTS = st.dictionaries(st.sampled_from(["Options", "Type"]), VALUES).map(
    lambda found: {**found, "What": ["x"]}
)


@st.composite
def pairs(draw):
    kind, own = draw(st.sampled_from([("Service", RUNS), ("Mount", MOUNTS)]))
    made = []
    for _ in range(2):
        about = draw(st.none() | ABOUT)
        made.append({kind: draw(own), **({} if about is None else {"Unit": about})})
    return made


@settings(max_examples=500)
@given(pairs())
def test_digests_compare_as_nixpkgs_compares_settings(pair):
    texts = [
        "".join(
            f"[{section}]\n"
            + "".join(f"{key}={value}\n" for key, values in found.items() for value in values)
            for section, found in each.items()
        )
        for each in pair
    ]
    old, new = (unit(text, name="it.timer") for text in texts)
    expected = {"equal": None, "reload": Happens.RELOADS, "restart": Happens.RESTARTS}[compare_units(*pair)]
    assert decide("it.timer", old, new, {"it.timer": new}, runs=True) is expected
    assert unitfile.from_json(old.as_json()) == old
