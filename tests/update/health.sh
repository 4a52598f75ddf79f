#!/bin/bash
# A test system's nixel/health: the devices are the files of /etc/rig/devices, and there is one service that answers.
set -eu
# shellcheck source=tests/update/orders.sh
. "$(dirname "$(dirname "$(readlink -f "$0")")")/nixel/orders.sh"

devices() { find /etc/rig/devices -type f -printf '%f\n' 2>/dev/null | sort | jq -Rnc '[inputs]'; }

begin "${1:-}"
if ordered garbage; then
  echo "Segmentation fault"
  end
fi
case $action in
  snapshot) devices | jq -c '{format: 1, facts: {devices: .}}' ;;
  check)
    before='{}'
    if [ "${2:-}" = --before ]; then before=$(cat "$3"); fi
    report=$(jq -nc --argjson before "$before" --argjson now "$(devices)" '
      (($before.facts.devices // []) - $now) as $lost
      | {format: 1, checks: [
          {name: "service", passed: true, words: "The service answers.", seconds: 0.01},
          {name: "devices", passed: ($lost == []), seconds: 0.01,
           words: (if $lost == [] then "Every device is there." else "Missing: \($lost | join(", "))." end)}]}')
    echo "$report"
    jq -e '.checks | all(.passed)' <<<"$report" >/dev/null || finish 1
    ;;
  *)
    echo "health: $action is no action" >&2
    finish 2
    ;;
esac
end
