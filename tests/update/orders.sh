#!/bin/bash
# For a test system's programs (sourced): what was called is recorded, and they do what the test ordered.
#
# The order for an action of a system is the file /etc/rig/orders/ACTION-VERSION on the machine; its words:
#   fail [STATUS]   end with that status (1 if none is given)
#   hang            wait until the order is taken back (the file is removed)
#   stubborn        and do not hear SIGTERM
#   late            not before the action had its effect, but after it
#   once            the order holds for one call
#   garbage         (health) say something that is no JSON
set -eu

self=$(readlink -f "$0")
system=$(dirname "$(dirname "$self")")
version=$(cat "$system/nixos-version")
calls=/var/log/rig/calls.log
order='' words=''

# note WHAT: a line of the record: when, which process, action, system, what. A full disk is no reason to fail.
note() { printf '%s %s %s %s %s\n' "$(date +%s.%N)" "$$" "$action" "$version" "$1" >> "$calls" 2>/dev/null || true; }

ordered() { [[ " $words " == *" $1 "* ]]; }

finish() {
  note "end:$1"
  exit "$1"
}

begin() {
  action=$1
  note begin
  order=/etc/rig/orders/$action-$version
  words=$(cat "$order" 2>/dev/null || true)
  if ordered once; then rm -f "$order"; fi
  if ordered stubborn; then trap '' TERM; fi
  if ! ordered late; then obey; fi
}

obey() {
  if ordered hang; then
    while [ -e "$order" ]; do sleep 0.05; done
  fi
  if ordered fail; then
    local status=${words##*fail}
    status=${status#"${status%%[0-9]*}"}
    status=${status%%[!0-9]*}
    finish "${status:-1}"
  fi
}

end() {
  if ordered late; then obey; fi
  finish 0
}
