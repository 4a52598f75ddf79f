#!/usr/bin/env bash
# Put a system on a machine: over ssh, or on a stick that somebody carries there. `./deploy.sh --help` says how.
#
# This is only the front. What decides stands on the machine itself (nixel-update) and survives a lost connection: it
# verifies, switches on trial, checks the instrument's health, and goes back by itself if it is not well.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)

usage() {
  cat <<'HELP'
Put a system on a machine, over ssh or on a stick.

    ./deploy.sh build HOST...              build the system of each host, sign it, say where it is
    ./deploy.sh diff HOST                  what would change on that machine, in plain language
    ./deploy.sh push HOST...               install over ssh: verified, on trial, checked, confirmed - or taken back
    ./deploy.sh rollback HOST              go back to the system before, on trial and checked in the same way
    ./deploy.sh status HOST...             which system runs, and what the next start brings
    ./deploy.sh usb write FOLDER HOST...   put the systems of these hosts on a stick (or into any folder)
    ./deploy.sh usb install [FOLDER]       at the machine itself: install from a stick
    ./deploy.sh key new FILE               make a signing key; the machines are told its public half

HOST is the name of a machine in the flake (`scanner`), with the address to reach it if ssh does not know it by that
name: scanner=10.0.0.7 or scanner=technician@10.0.0.7. Several hosts are served at once, each with its own verdict.

    --yes               do not ask before installing
    --allow-older       install although the machine runs a newer system
    --since PATH        usb write: leave out what the machines have with this system
    --note TEXT         a word to the technician, shown with the offer
    --technical         diff: every package and derivation, too
    --key FILE          the signing key (default: $NIXEL_SIGNING_KEY, then ~/.config/nixel/signing-key)
    --flake REF         where the hosts are described (default: this checkout)
    --system HOST=PATH  do not build that host's system: it is this one

Ends with 0 if every machine runs what was asked for, 1 if one went back to its old system or could not be reached,
2 if something was refused before anything was changed. Nothing here needs the internet but a build.
HELP
}

fail() { printf 'deploy.sh: %s\n' "$*" >&2; exit 2; }
note() { printf '%s\n' "$*" >&2; }

# --- the options ---

flake=git+file://$here
key=${NIXEL_SIGNING_KEY:-$HOME/.config/nixel/signing-key}
yes='' allow_older='' since='' remark='' technical=''
declare -A systems=()
words=()

while [ $# -gt 0 ]; do
  option=$1
  case $option in
    -h | --help) usage; exit 0 ;;
    --yes) yes=--yes ;;
    --allow-older) allow_older=--allow-older ;;
    --technical) technical=--technical ;;
    --since | --note | --key | --flake | --system)
      [ $# -ge 2 ] || fail "$option wants a value. ./deploy.sh --help shows how."
      shift
      case $option in
        --since) since=$1 ;;
        --note) remark=$1 ;;
        --key) key=$1 ;;
        --flake) flake=$1 ;;
        --system)
          [[ $1 == *=/nix/store/* ]] || fail "--system $1: expected HOST=/nix/store/... as ./deploy.sh build prints it."
          systems[${1%%=*}]=${1#*=}
          ;;
      esac
      ;;
    -*) fail "$option is no option. ./deploy.sh --help lists them." ;;
    *) words+=("$option") ;;
  esac
  shift
done

# --- what every command needs ---

nixel_update() { PYTHONPATH=$here/services/update${PYTHONPATH:+:$PYTHONPATH} python3 -m nixel.update "$@"; }
nix_() { nix --extra-experimental-features 'nix-command flakes' "$@"; }

name_of() { printf '%s' "${1%%=*}"; }

address_of() { printf '%s' "${1#*=}"; }

check_hosts() {
  [ $# -gt 0 ] || fail "name at least one host. ./deploy.sh --help shows how."
  local each
  for each in "$@"; do
    [[ $each =~ ^[A-Za-z0-9][A-Za-z0-9_-]*(=([A-Za-z0-9_.-]+@)?[][A-Za-z0-9:.%_-]+)?$ ]] ||
      fail "$each is no host. Expected a name from the flake, or name=address, or name=user@address."
  done
}

# A machine that is gone without a word is found out in 15 s, by Nix's copies as well.
ssh_options=(-o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=3)
export NIX_SSHOPTS="${NIX_SSHOPTS:-} ${ssh_options[*]}"

# remote HOST ARGUMENT...: nixel-update on that machine, as root. Words are quoted for the shell over there.
remote() {
  local address quoted
  address=$(address_of "$1")
  shift
  quoted=$(printf ' %q' "$@")
  # shellcheck disable=SC2029  # expanded here on purpose
  ssh "${ssh_options[@]}" "$address" \
    "if [ \"\$(id -u)\" = 0 ]; then exec nixel-update$quoted; else exec sudo -n nixel-update$quoted; fi"
}

# system_of HOST: its system's store path, built here unless --system named it.
system_of() {
  local name
  name=$(name_of "$1")
  if [ -n "${systems[$name]:-}" ]; then
    printf '%s' "${systems[$name]}"
  else
    nix_ build --no-link --print-out-paths "$flake#nixosConfigurations.$name.config.system.build.toplevel"
  fi
}

check_key() {
  [ -r "$key" ] || fail "there is no signing key at $key. Make one with ./deploy.sh key new FILE, or name yours with --key."
}

# Nix counts the signatures on stderr, which says nothing to anyone; what went wrong does.
sign() {
  local said
  said=$(nix_ store sign --key-file "$key" --recursive "$1" 2>&1) || fail "$1 could not be signed with $key: $said"
}

# --- the commands ---

build() {
  check_hosts "$@"
  check_key
  local host system
  for host in "$@"; do
    system=$(system_of "$host") || fail "the system of $(name_of "$host") could not be built; nothing was changed."
    sign "$system"
    printf '%s %s\n' "$(name_of "$host")" "$system"
  done
}

difference() {
  check_hosts "$@"
  [ $# = 1 ] || fail "diff compares one machine with its new system; name one host."
  local system described
  system=$(system_of "$1") || fail "the system of $(name_of "$1") could not be built."
  described=$(nixel_update describe "$system")
  remote "$1" diff /run/current-system - <<<"$described" || { verdict $?; return; }
  if [ -n "$technical" ]; then
    local running
    running=$(remote "$1" status --json </dev/null) || { verdict $?; return; }
    running=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["running"])' <<<"$running")
    # The old system may not be in this store; what it is made of comes over the same connection, once.
    nix_ path-info "$running" >/dev/null 2>&1 ||
      nix_ copy --no-check-sigs --from "ssh-ng://$(address_of "$1")" "$running" ||
      { note "the running system could not be fetched from the machine, to be compared here."; return 1; }
    printf '\nIn all technical detail:\n\n'
    nixel_update diff "$running" "$system" --technical
  fi
}

# What somebody is told who stops this with Ctrl-C: what that leaves behind.
stopped=''

interrupted() {
  trap '' INT TERM
  note "stopped: $stopped"
  exit 130
}

# push_one HOST: its status is the verdict. Everything that it says goes to stderr, with the host's name before it.
push_one() {
  local host=$1 address system offer folder status=0
  stopped='nothing was changed.'
  trap interrupted INT TERM
  check_key
  address=$(address_of "$host")
  system=$(system_of "$host") || { note "its system could not be built; nothing was changed."; return 2; }
  sign "$system"
  folder=$(mktemp -d)
  # shellcheck disable=SC2064  # the folder of now
  trap "rm -rf '$folder'" EXIT
  nixel_update announce "$(name_of "$host")=$system" --key "$key" --note "$remark" > "$folder/offer" || return

  # The machine looks at the signed list of contents before it is sent anything else.
  offer=$(remote "$host" receive ${allow_older:+"$allow_older"} < "$folder/offer") || { verdict $?; return; }
  sed '/^offer: /d' <<<"$offer" >&2
  [[ $offer == *'offer: '* ]] || return 0 # it runs this system already

  if [ -z "$yes" ] && ! agreed "$host"; then
    note "not installed."
    return 1
  fi

  stopped='the machine goes on as it was. Push again: what was copied is not copied twice.'
  # ssh-ng carries the paths' signatures; the older protocol drops them, and the machine would refuse every path.
  nix_ copy --to "ssh-ng://$address" "$system" </dev/null ||
    { note "the copy broke off; the machine goes on as it was. Push again: it continues."; return 1; }
  install_offer "$host" "${offer##*offer: }"
}

# rollback_one HOST: like a push, but with what the machine has already.
rollback_one() {
  local host=$1 offer
  stopped='nothing was changed.'
  trap interrupted INT TERM
  offer=$(remote "$host" rollback --offer </dev/null) || { verdict $?; return; }
  sed '/^offer: /d' <<<"$offer" >&2
  install_offer "$host" "${offer##*offer: }"
}

# install_offer HOST ID: from here on the machine decides. It asks for a sign of life over a new connection, for only
# that proves that the new system can be reached; without one it goes back by itself.
install_offer() {
  local host=$1 id=$2 status=0
  stopped='the machine decides alone now. Unless it was confirmed already, it goes back to its old system by itself; look with: status'
  remote "$host" install --offer "$id" --yes --asks-confirmation </dev/null || status=$?
  case $status in
    0) ;;
    255) note "the connection was lost; the machine goes on by itself." ;;
    *) verdict $status; return ;;
  esac
  follow "$host" "$id"
}

# verdict STATUS: what a command over there ended with, or that it was not reached.
verdict() {
  case $1 in
    0 | 1 | 2) return "$1" ;;
    127) note "there is no nixel-update on that machine: its system takes no updates of this kind." ;;
    255) note "the machine could not be reached." ;;
    *) note "nixel-update on that machine ended with status $1; look there with: nixel-update status" ;;
  esac
  return 1
}

# follow HOST ID: confirm as soon as the machine asks for it, and wait for its verdict, through broken connections.
follow() {
  local host=$1 id=$2 status deadline=$((SECONDS + ${NIXEL_DEPLOY_PATIENCE:-1800}))
  while [ $SECONDS -lt $deadline ]; do
    status=0
    remote "$host" confirm "$id" --wait </dev/null || status=$?
    [ $status = 255 ] || { verdict $status; return; }
    sleep 1
  done
  note "the machine was not reached again. It has gone back to its old system unless it was confirmed; look with: status"
  return 1
}

agreed() {
  [ -t 0 ] || fail "nobody can be asked here. Look with ./deploy.sh diff, then say --yes."
  local answer
  read -r -p "Install this on $(name_of "$1")? [y/N] " answer
  [[ $answer == [yY]* ]]
}

# each COMMAND HOST...: all at once, with every line marked, and a verdict for each; the worst status is ours.
each() {
  local command=$1 host worst=0 status words
  shift
  check_hosts "$@"
  if [ $# = 1 ]; then
    "$command" "$1"
    return
  fi
  case $command in
    push_one)
      [ -n "$yes" ] || fail "several machines at once are not asked for one by one. Look with diff, then say --yes."
      words=('done' 'NOT INSTALLED' REFUSED)
      ;;
    *) words=('done' 'NO ANSWER' 'NO ANSWER') ;;
  esac
  # Each in a process group of its own, for otherwise what runs in the background hears no Ctrl-C and goes on unseen.
  set -m
  local -A jobs=()
  for host in "$@"; do
    { ("$command" "$host") 2>&1 | (trap '' INT TERM; exec sed -u "s|^|$(name_of "$host"): |"); } </dev/null &
    jobs[$host]=$!
  done
  # shellcheck disable=SC2064  # the processes of now
  trap "trap '' INT TERM; $(printf 'kill -INT -- -%s; ' "${jobs[@]}") wait; exit 130" INT TERM
  for host in "$@"; do
    status=0
    wait "${jobs[$host]}" || status=$?
    [ "$status" -le "$worst" ] || worst=$status
    [ "$status" -le 2 ] || status=1
    [ "$command $status" = 'status_one 0' ] || note "$(name_of "$host"): ${words[$status]}"
  done
  return "$worst"
}

status_one() { remote "$1" status </dev/null || verdict $?; }

usb() {
  local verb=${1:-} host arguments=()
  shift || true
  case $verb in
    write)
      [ $# -ge 1 ] || fail "usb write wants a folder and at least one host."
      local folder=$1
      shift
      check_hosts "$@"
      check_key
      for host in "$@"; do
        local system
        system=$(system_of "$host") || fail "the system of $(name_of "$host") could not be built; nothing was written."
        sign "$system"
        arguments+=(--system "$(name_of "$host")=$system")
      done
      nixel_update stick write "$folder" "${arguments[@]}" --key "$key" --note "$remark" ${since:+--since "$since"}
      ;;
    install) exec nixel-update install "$@" ${yes:+"$yes"} ${allow_older:+"$allow_older"} ;;
    *) fail "usb ${verb:-(nothing)}: expected usb write FOLDER HOST... or usb install [FOLDER]." ;;
  esac
}

new_key() {
  if [ "${1:-}" != new ] || [ $# != 2 ]; then fail "expected key new FILE."; fi
  [ ! -e "$2" ] || fail "$2 is there already, and a key that is overwritten is lost. Name a new file."
  mkdir -p "$(dirname "$2")"
  (
    umask 077
    nix_ key generate-secret --key-name "nixel-$(date -u +%Y%m%d)" > "$2"
  )
  note "The secret is in $2: keep it off every machine but this one. The public half, for nixel.update.trustedKeys:"
  nix_ key convert-secret-to-public < "$2"
  echo
}

case ${words[0]:-} in
  build) build "${words[@]:1}" ;;
  diff) difference "${words[@]:1}" ;;
  push) each push_one "${words[@]:1}" ;;
  rollback)
    check_hosts "${words[@]:1}"
    [ ${#words[@]} = 2 ] || fail "rollback takes one host at a time."
    rollback_one "${words[1]}"
    ;;
  status) each status_one "${words[@]:1}" ;;
  usb) usb "${words[@]:1}" ;;
  key) new_key "${words[@]:1}" ;;
  '') usage >&2; exit 2 ;;
  *) fail "${words[0]} is no command. ./deploy.sh --help lists them." ;;
esac
