# Installs Debian packages that tests need; sourced by the install scripts beside it. Starts no service. Where it cannot
# install, it says why in a box on stderr and ends the script.
#
# A script sets, before it calls anything:
#
#   missing    what the box says is not there
#   loss       what that means, a sentence
#   packages   what to install by hand
#   status     with which `cannot` ends the script; may change on the way

cannot() {
  {
    echo '**********************************************************************'
    echo "** $missing: $1"
    echo "** $loss"
    echo "** By hand, on Debian or Ubuntu: apt-get install --no-install-recommends $packages"
    echo '**********************************************************************'
  } >&2
  exit "$status"
}

# Whether this machine can have packages at all.
need_apt() {
  command -v apt-get >/dev/null 2>&1 || cannot 'this system has no apt-get'
  [ "$(id -u)" = 0 ] || cannot 'this user is not root'
}

# Two set-ups at once wait for each other.
apt() {
  apt-get -qq -o DPkg::Lock::Timeout=120 "$@"
}

# From now on packages can be installed. $1: what is installed and how long it takes.
open_apt() {
  log=$(mktemp) || cannot 'no temporary file can be made'
  policy=/usr/sbin/policy-rc.d
  made_policy=no
  trap close_apt EXIT
  # A package that brings a service starts it on installation, unless this file says 101 ("not allowed").
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && made_policy=yes
  fi
  echo "installing $1 ..." >&2
  export DEBIAN_FRONTEND=noninteractive
  if ! apt update >"$log" 2>&1; then
    tail -n 5 "$log" >&2 # stale lists may still do
  fi
}

close_apt() {
  [ "$made_policy" = yes ] && rm -f "$policy"
  rm -f "$log"
}

# Each argument is a list of packages; the first that can be installed is.
install_first() {
  : >"$log"
  for choice in "$@"; do
    # shellcheck disable=SC2086 # the list is meant to be split
    apt install -y --no-install-recommends $choice >>"$log" 2>&1 && return
  done
  tail -n 15 "$log" >&2
  cannot 'apt-get could not install it (see above)'
}
