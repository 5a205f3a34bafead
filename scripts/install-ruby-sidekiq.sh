#!/bin/sh
# Installs Ruby's Sidekiq from Debian's own packages: the live peer of the tests of the Sidekiq backend (test/sidekiq.test.ts).
# Starts no service, does nothing when it is there. Where this machine cannot have it (no root, no apt-get, no such package)
# it says so in a box, and those tests are left out as loudly; where it could and the installation fails, this fails.
#
#   sh scripts/install-ruby-sidekiq.sh
#
# Takes about 20 s and 40 packages the first time. Needs root, apt-get and a package mirror.
set -u

present() {
  command -v ruby >/dev/null 2>&1 && ruby -e 'require "sidekiq"; require "sidekiq/api"' >/dev/null 2>&1
}

say() {
  {
    echo '**********************************************************************'
    echo "** Ruby's Sidekiq is NOT installed: $1"
    echo '** The Sidekiq backend is tested against golden vectors only.'
    echo '** By hand, on Debian or Ubuntu: apt-get install ruby-sidekiq'
    echo '**********************************************************************'
  } >&2
}

present && exit 0
command -v apt-get >/dev/null 2>&1 || { say 'this system has no apt-get'; exit 0; }
[ "$(id -u)" = 0 ] || { say 'this user is not root'; exit 0; }

log=$(mktemp) || { say 'no temporary file can be made'; exit 1; }
trap 'rm -f "$log"' EXIT

echo 'installing ruby-sidekiq (about 20 s) ...' >&2
export DEBIAN_FRONTEND=noninteractive
# Two set-ups at once wait for each other.
apt='apt-get -qq -o DPkg::Lock::Timeout=120'
if ! $apt update >"$log" 2>&1; then
  tail -n 5 "$log" >&2 # stale lists may still do
fi
if ! apt-cache show ruby-sidekiq >/dev/null 2>&1; then
  say 'this system has no such package'
  exit 0
fi
if ! $apt install -y --no-install-recommends ruby-sidekiq >"$log" 2>&1; then
  tail -n 15 "$log" >&2
  say 'apt-get could not install the package (see above)'
  exit 1
fi
present || { say 'the package is installed, but Ruby does not find it'; exit 1; }
echo 'ruby-sidekiq is installed' >&2
