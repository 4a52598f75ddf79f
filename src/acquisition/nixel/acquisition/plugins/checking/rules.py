"""The rules that a plugin is held to, in the order in which they are tried. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nixel.acquisition.plugins.checking import rules_life, rules_table, rules_values

if TYPE_CHECKING:
    from collections.abc import Callable

    from nixel.acquisition.plugins.checking.bench import Bench

__all__ = ["RULES", "Rule"]


@dataclass(frozen=True)
class Rule:
    """One thing that nixel_device.h says.

    Parameters
    ----------
    name : str
    says : str
        What must hold.
    do : str
        What to do when it does not.
    test : callable
        Raises `nixel.acquisition.plugins.checking.bench.Broken` or ``NotApplicable``, or returns what else there is
        to say.
    foundation : bool
        Whether there is no use in going on without it.
    fresh : bool
        Whether it needs a process that has not seen the plugin.
    many : bool
        Whether it makes many calls.
    """

    name: str
    says: str
    do: str
    test: Callable[[Bench], str | None]
    foundation: bool = False
    fresh: bool = False
    many: bool = False


RULES = (
    Rule(
        "loads",
        "The library loads.",
        "Run nixel doctor FILE: it says which library or symbol is missing.",
        rules_table.loads,
        foundation=True,
    ),
    Rule(
        "function",
        "It exports nixel_device_plugin.",
        'Define it with NIXEL_EXPORT, in C++ within extern "C", in Rust with #[no_mangle].',
        rules_table.function,
        foundation=True,
    ),
    Rule(
        "versions",
        "It answers the newest version that it speaks to every question, and has a table for that version.",
        "Return your newest version always; set *table to its table, and to NULL for every version without one.",
        rules_table.versions,
        foundation=True,
    ),
    Rule(
        "table",
        "The table has every function, and stays the same.",
        "Fill in every function; keep the table in a static variable.",
        rules_table.table,
        foundation=True,
    ),
    Rule(
        "name",
        "The device type has a name, in UTF-8, without a device.",
        "Return a string that lives as long as the library.",
        rules_table.name,
    ),
    Rule(
        "open",
        "A device opens with the settings given.",
        "See what it says; give what it needs with --setting NAME=VALUE.",
        rules_life.opens,
        foundation=True,
    ),
    Rule(
        "open-refused",
        "An open() that fails says why, and leaves NULL.",
        "Set *device to NULL first; refuse unknown settings with NIXEL_NO_SUCH_PROPERTY and other types with "
        "NIXEL_WRONG_TYPE.",
        rules_life.open_refused,
    ),
    Rule(
        "free-null",
        "free(NULL) does nothing.",
        "Return at once when the device is NULL.",
        rules_life.free_null,
    ),
    Rule(
        "properties",
        "Each property has a name of its own, texts in UTF-8, a known type, and limits only if it is a number.",
        "Correct its nixel_property.",
        rules_values.properties,
        foundation=True,
    ),
    Rule(
        "index",
        "The number of properties stays, and beyond the last is NIXEL_OUT_OF_RANGE.",
        "Compare the index with the count, without adding to it.",
        rules_values.index,
    ),
    Rule(
        "get",
        "Every property is read with its own type, within its limits.",
        "Set the value's tag to the property's; strings are UTF-8, a bool is 0 or 1.",
        rules_values.get,
    ),
    Rule(
        "round-trip",
        "What is set is read back (numbers to a hundredth).",
        "Read from the device; take every value within the limits, or narrow the limits.",
        rules_values.round_trip,
    ),
    Rule(
        "wrong-type",
        "A value of another type is NIXEL_WRONG_TYPE and changes nothing.",
        "Compare value->tag with the property's before looking at value->as.",
        rules_values.wrong_type,
    ),
    Rule(
        "out-of-range",
        "A number beyond its limits, a NaN, a bool that is neither 0 nor 1: NIXEL_OUT_OF_RANGE, and nothing changes.",
        "Refuse unless value >= minimum && value <= maximum: written so, it refuses a NaN too.",
        rules_values.out_of_range,
    ),
    Rule(
        "utf-8",
        "A string that is not UTF-8 is NIXEL_WRONG_TYPE and changes nothing.",
        "Check it as is_utf8 of the example in C does, or std::str::from_utf8.",
        rules_values.utf8,
    ),
    Rule(
        "unknown",
        "A property that there is not is NIXEL_NO_SUCH_PROPERTY.",
        "Compare the whole name; a name may be of any length.",
        rules_values.unknown,
    ),
    Rule(
        "read-only",
        "Writing what can only be read is NIXEL_READ_ONLY.",
        "Look at the flag first.",
        rules_values.read_only,
    ),
    Rule(
        "messages",
        "A call that fails fills the whole error: its status, 0, and a message in UTF-8 that ends within the array.",
        "Fill it with snprintf; cut a long message at a whole character.",
        rules_values.messages,
    ),
    Rule(
        "two-devices",
        "Two devices at once share nothing.",
        "Keep all state in the device, none in static variables.",
        rules_life.two_devices,
    ),
    Rule(
        "threads",
        "A device may be called from one thread after another.",
        "Keep nothing in thread-local variables; lock nothing that only one thread can unlock.",
        rules_life.threads,
    ),
    Rule(
        "parallel",
        "Two devices may be called at the same time.",
        "Keep all state in the device; protect what a vendor's library shares with a lock of its own.",
        rules_life.parallel,
        many=True,
    ),
    Rule(
        "frees",
        "free() releases everything that open() took.",
        "Release in free() what open(), set() and get() keep; check --valgrind says where it was taken.",
        rules_life.frees,
        many=True,
    ),
    Rule(
        "no-growth",
        "Round trips take no memory.",
        "Keep one buffer in the device for what get() returns; check --valgrind says where it was taken.",
        rules_life.no_growth,
        many=True,
    ),
    Rule(
        "unload",
        "It unloads without leaving a thread behind.",
        "End in free() the threads that open() started; register nothing that is called later.",
        rules_life.unload,
        fresh=True,
    ),
)
