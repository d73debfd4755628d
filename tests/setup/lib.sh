# shellcheck shell=bash
# What the scripts in this folder share. Sourced, never run.
#
# Everything expensive that the tests need is built once into the cache directory, outside the
# checkout. An entry is a folder `NAME-KEY`, where KEY is a hash of all that went into it: when an
# input changes, the key changes and the entry is built anew beside the old one. An entry is built
# under another name and renamed when complete, so a build that was cut short is never mistaken for
# a good one.
#
# Each script prints the path of its entry on standard output and everything else on standard error.

# Without this a failing command inside $(...) would not end the script.
shopt -s inherit_errexit

CACHE=${TELEGRAF_ROLLUP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/telegraf-rollup}
# shellcheck disable=SC2034 # The scripts that source this use it.
REPO=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")

say() { printf '%s\n' "$*" >&2; }
die() {
  say "error: $*"
  exit 1
}

# key_of TEXT... reads standard input too and prints a short hash of both.
key_of() { { printf '%s\n' "$@"; cat; } | sha256sum | cut -c1-12; }

# cached NAME KEY BUILD: prints the path of the entry, after calling `BUILD DIR` if it is missing.
# Entries of the same name that no run has asked for in two weeks are removed: two checkouts on
# different commits may share one cache, so an entry with another key is not garbage at once.
cached() {
  local name=$1 key=$2 build=$3
  local entry=$CACHE/$name-$key
  mkdir -p "$CACHE"
  if [ ! -d "$entry" ]; then
    rm -rf "$entry.partial"
    mkdir "$entry.partial"
    # A subshell of its own: inside `if` or `||` the shell would ignore `set -e` in the build.
    (set -euo pipefail; "$build" "$entry.partial") >&2
    mv "$entry.partial" "$entry"
  fi
  touch "$entry"
  find "$CACHE" -mindepth 1 -maxdepth 1 -name "$name-????????????" -mtime +14 -exec chmod -R u+w {} + -exec rm -rf {} + >&2
  printf '%s\n' "$entry"
}

# fill_template DIR CLIENT SERVER...: starts SERVER once on DIR/data, without a network, creates the
# database and the users that the tests log in with, and shuts it down cleanly, so that a copy of
# DIR/data starts without crash recovery.
fill_template() {
  local dir=$1 client=$2
  shift 2
  # The name of a Unix socket holds 107 bytes, which a cache directory may use up: hence a short one.
  local run
  run=$(mktemp -d)
  "$@" --skip-networking --socket="$run/s" --pid-file="$run/pid" --tmpdir="$run" --log-error="$run/log" \
    --ssl-ca="$dir/tls/ca.pem" --ssl-cert="$dir/tls/server.pem" --ssl-key="$dir/tls/server.key" </dev/null &
  local pid=$! tries=0 failed=
  until "$client" --no-defaults -uroot -S "$run/s" -e 'SELECT 1' >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ "$tries" -gt 600 ] || ! kill -0 "$pid" 2>/dev/null; then
      kill "$pid" 2>/dev/null || true
      tail -n 30 "$run/log" || true
      rm -rf "$run"
      die "the server did not start"
    fi
    sleep 0.1
  done
  # `rollup` may or may not use TLS; `tlsonly` is turned away without it.
  "$client" --no-defaults -uroot -S "$run/s" <<'SQL' || failed=yes
CREATE DATABASE metrics CHARACTER SET utf8mb4;
CREATE USER 'rollup'@'%' IDENTIFIED BY 'rollup-pw';
CREATE USER 'tlsonly'@'%' IDENTIFIED BY 'tlsonly-pw' REQUIRE SSL;
GRANT ALL ON metrics.* TO 'rollup'@'%';
GRANT ALL ON metrics.* TO 'tlsonly'@'%';
SHUTDOWN;
SQL
  if [ -n "$failed" ]; then
    kill "$pid"
    wait "$pid" || true
    die "the users could not be created"
  fi
  wait "$pid"
  rm -rf "$run"
}
