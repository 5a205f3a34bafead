#!/bin/sh
# Installs a Redis server for the tests, from Debian's own packages. Runs before `npm test`; does nothing when there is one
# (redis-server or valkey-server), and starts no service: each test file starts its own server, on its own port.
#
#   sh scripts/install-redis.sh               where it cannot install, says so in a box; the tests of Redis will fail
#   sh scripts/install-redis.sh --required    the same, and fails
#
# Takes about 10 s the first time. Needs root, apt-get and a package mirror.
set -u

required=${1:-}

present() {
  [ -n "${MILLRACE_REDIS_SERVER:-}" ] || command -v redis-server >/dev/null 2>&1 || command -v valkey-server >/dev/null 2>&1
}

cannot() {
  {
    echo '**********************************************************************'
    echo "** There is NO Redis server here: $1"
    echo '** The tests of the Redis backend will fail.'
    echo '** By hand, on Debian or Ubuntu: apt-get install redis-server'
    echo '**********************************************************************'
  } >&2
  [ "$required" = --required ] && exit 1
  exit 0
}

present && exit 0
command -v apt-get >/dev/null 2>&1 || cannot 'this system has no apt-get'
[ "$(id -u)" = 0 ] || cannot 'this user is not root'

log=$(mktemp) || cannot 'no temporary file can be made'
policy=/usr/sbin/policy-rc.d
made_policy=no

# The package starts its service on installation, unless this file says 101 ("not allowed").
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && made_policy=yes
fi
tidy() {
  [ "$made_policy" = yes ] && rm -f "$policy"
  rm -f "$log"
}
trap tidy EXIT

echo 'installing redis-server (about 10 s) ...' >&2
export DEBIAN_FRONTEND=noninteractive
# Two set-ups at once wait for each other.
apt='apt-get -qq -o DPkg::Lock::Timeout=120'
if ! $apt update >"$log" 2>&1; then
  tail -n 5 "$log" >&2 # stale lists may still do
fi
# Older releases have it by that name, newer ones may have Valkey only.
if ! $apt install -y --no-install-recommends redis-server >"$log" 2>&1 &&
  ! $apt install -y --no-install-recommends valkey-server >>"$log" 2>&1; then
  tail -n 15 "$log" >&2
  cannot 'apt-get could not install it (see above)'
fi
present || cannot 'the package is installed, but its program is not on PATH'
