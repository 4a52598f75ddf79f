"""The interfaces of the socket in varlink's own language: what GetInterfaceDescription answers.

The tests hold each word of it against what the server answers.
"""

from __future__ import annotations

INTERFACE = "io.nixel.Safety"
SERVICE = "org.varlink.service"

DESCRIPTION = """\
# The safety daemon of an imaging instrument. Anyone may call Status, Subscribe and Stop; the operators
# may call the rest. The lease belongs to the connection and ends with it.
interface io.nixel.Safety

type Interlock (
  name: string,
  kind: string,
  healthy: bool,
  warning: bool,
  bypassed: bool,
  value: ?object,
  unit: ?string,
  age_s: ?float,
  message: string
)

type Cause (name: string, time: string, message: string)

type Lease (holder: string, remaining_s: float)

# An interlock that forbids nothing for the time that is left, and who wanted that.
type Bypassed (interlock: string, by: string, reason: string, remaining_s: float)

# The last proof that an output's relay drops when the charge pump stops; "passed" is when one last did, "due" when
# the next one is, if the instrument file states an interval.
type Proof (
  output: string,
  result: (never, running, passed, failed, inconclusive),
  time: ?string,
  by: ?string,
  took_ms: ?float,
  allowed_ms: float,
  passed: ?string,
  due: ?string,
  overdue: bool,
  message: string
)

# What is energised, what forbids it, and what a person should do. Is of the newest completed tick.
method Status() -> (
  state: (SAFE, ARMED, ENERGISED, FAULT),
  outputs: [string]bool,
  interlocks: []Interlock,
  lease: ?Lease,
  first_cause: ?Cause,
  causes: []Cause,
  bypasses: []Bypassed,
  proofs: []Proof,
  off_reason: ?string,
  simulated: bool,
  ticks: int,
  missed_deadlines: int,
  what_to_do: string
)

# With "more": the status at once, at every change, and at least twice a second.
method Subscribe() -> (
  state: (SAFE, ARMED, ENERGISED, FAULT),
  outputs: [string]bool,
  interlocks: []Interlock,
  lease: ?Lease,
  first_cause: ?Cause,
  causes: []Cause,
  bypasses: []Bypassed,
  proofs: []Proof,
  off_reason: ?string,
  simulated: bool,
  ticks: int,
  missed_deadlines: int,
  what_to_do: string
)

# The lease is what keeps outputs on; silence for longer than its duration ends it, as does the end of the
# connection. Without a duration, or at most, it is what the instrument file says.
method AcquireLease(name: string, duration_ms: ?int) -> (ticks: int, duration_ms: int)

method RenewLease() -> (ticks: int)

method ReleaseLease() -> (ticks: int)

method Arm() -> (ticks: int)

# Needs the state ARMED or ENERGISED and the lease.
method Enable(output: string) -> (ticks: int)

method Disable(output: string) -> (ticks: int)

# De-energises everything.
method Stop(reason: ?string) -> (ticks: int)

# Clears a latched fault when every interlock is healthy or bypassed; energises nothing.
method Reset() -> (ticks: int)

type Event (time: string, monotonic: float, kind: string, text: string, details: object)

# What happened last, from memory; the event log has all of it. "since" is a time as events have it; "limit" is at
# most 200, 50 without it, and of more the newest are told. "earlier" tells whether there are older ones that match,
# "latest" is the hash of the last line of the log, "lost" counts the events that could not be kept since the start,
# "problem" says why the log cannot be written at present.
method History(since: ?string, limit: ?int) -> (
  events: []Event,
  earlier: bool,
  latest: ?string,
  lost: int,
  problem: ?string
)

# Lets outputs be on although an interlock is unhealthy, while nothing is on and for no longer than the instrument
# file allows; never the emergency stop. A stop and every other fault end it.
method Bypass(interlock: string, duration_ms: int, reason: string) -> (ticks: int)

method EndBypass(interlock: string) -> (ticks: int)

# Stops the charge pump while the output is on: its relay must drop by itself, which Status then tells. Needs the
# lease. Ends in a latched fault, whatever the relay does.
method Prove(output: string) -> (ticks: int)

error Refused (message: string)

error Malformed (message: string)
"""

# The standard's own; what it names and we never answer stays named.
_SERVICE_DESCRIPTION = """\
interface org.varlink.service

method GetInfo() -> (vendor: string, product: string, version: string, url: string, interfaces: []string)

method GetInterfaceDescription(interface: string) -> (description: string)

error InterfaceNotFound (interface: string)

error MethodNotFound (method: string)

error MethodNotImplemented (method: string)

error InvalidParameter (parameter: string)

error PermissionDenied ()

error ExpectedMore ()
"""

DESCRIPTIONS = {INTERFACE: DESCRIPTION, SERVICE: _SERVICE_DESCRIPTION}
