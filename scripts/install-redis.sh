#!/bin/sh
# Installs a Redis server for the tests, from Debian's own packages. Runs before `npm test`; does nothing when there is one
# (redis-server or valkey-server), and starts no service: each test file starts its own server, on its own port.
#
#   sh scripts/install-redis.sh               where it cannot install, says so in a box; the tests of Redis will fail
#   sh scripts/install-redis.sh --required    the same, and fails
#
# Takes about 10 s the first time. Needs root, apt-get and a package mirror.
set -u
. "$(dirname "$0")/apt.sh"

missing='There is NO Redis server here'
loss='The tests of the Redis backend will fail.'
packages='redis-server'
status=0
[ "${1:-}" = --required ] && status=1

present() {
  [ -n "${MILLRACE_REDIS_SERVER:-}" ] || command -v redis-server >/dev/null 2>&1 || command -v valkey-server >/dev/null 2>&1
}

present && exit 0
need_apt
open_apt 'redis-server (about 10 s)'
# Older releases have it by that name, newer ones may have Valkey only.
install_first redis-server valkey-server
present || cannot 'the package is installed, but its program is not on PATH'
