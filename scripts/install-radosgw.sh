#!/bin/sh
# Installs Ceph's object gateway, the independent judge of the S3 sink (test/s3/radosgw.test.ts), from Debian's own
# packages. Starts no daemon, does nothing when the programs are there, and never fails the build: where it cannot
# install it says so in a box, and the tests that need radosgw are skipped as loudly.
#
#   sh scripts/install-radosgw.sh
#
# Takes about 40 s and 100 packages the first time. Needs root, apt-get and a package mirror.
set -u

programs='ceph-mon ceph-osd radosgw radosgw-admin monmaptool ceph'
packages='radosgw ceph-mon ceph-osd ceph-common'

present() {
  for program in $programs; do
    command -v "$program" >/dev/null 2>&1 || return 1
  done
}

cannot() {
  {
    echo '**********************************************************************'
    echo "** radosgw is NOT installed: $1"
    echo '** The S3 sink is tested against the fake server only.'
    echo "** By hand, on Debian or Ubuntu: apt-get install --no-install-recommends $packages"
    echo '**********************************************************************'
  } >&2
  exit 0
}

present && exit 0
command -v apt-get >/dev/null 2>&1 || cannot 'this system has no apt-get'
[ "$(id -u)" = 0 ] || cannot 'this user is not root'

log=$(mktemp) || cannot 'no temporary file can be made'
policy=/usr/sbin/policy-rc.d
made_policy=no

# A package that brings a daemon starts it on installation, unless this file says 101 ("not allowed").
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && made_policy=yes
fi
tidy() {
  [ "$made_policy" = yes ] && rm -f "$policy"
  rm -f "$log"
}
trap tidy EXIT

echo 'installing radosgw (about 40 s) ...'
export DEBIAN_FRONTEND=noninteractive
if ! apt-get update -qq >"$log" 2>&1; then
  tail -n 5 "$log" >&2 # stale lists may still do
fi
# shellcheck disable=SC2086 # the list is meant to be split
if ! apt-get install -y -qq --no-install-recommends $packages >"$log" 2>&1; then
  tail -n 15 "$log" >&2
  cannot 'apt-get could not install the packages (see above)'
fi
present || cannot 'the packages are installed, but not all programs are on PATH'
echo 'radosgw is installed'
