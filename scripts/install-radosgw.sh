#!/bin/sh
# Installs Ceph's object gateway, the independent judge of the S3 sink (test/s3/radosgw.test.ts), from Debian's own
# packages. Starts no daemon, does nothing when the programs are there, and never fails the build: where it cannot
# install it says so in a box, and the tests that need radosgw are skipped as loudly.
#
#   sh scripts/install-radosgw.sh
#
# Takes about 40 s and 100 packages the first time. Needs root, apt-get and a package mirror.
set -u
. "$(dirname "$0")/apt.sh"

missing='radosgw is NOT installed'
loss='The S3 sink is tested against the fake server only.'
packages='radosgw ceph-mon ceph-osd ceph-common'
status=0

present() {
  for program in ceph-mon ceph-osd radosgw radosgw-admin monmaptool ceph; do
    command -v "$program" >/dev/null 2>&1 || return 1
  done
}

present && exit 0
need_apt
open_apt 'radosgw (about 40 s)'
install_first "$packages"
present || cannot 'the packages are installed, but not all programs are on PATH'
echo 'radosgw is installed' >&2
