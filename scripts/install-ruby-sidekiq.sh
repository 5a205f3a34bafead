#!/bin/sh
# Installs Ruby's Sidekiq from Debian's own packages: the live peer of the tests of the Sidekiq backend (test/sidekiq.test.ts).
# Starts no service, does nothing when it is there. Where this machine cannot have it (no root, no apt-get, no such package)
# it says so in a box, and those tests are left out as loudly; where it could and the installation fails, this fails.
#
#   sh scripts/install-ruby-sidekiq.sh
#
# Takes about 20 s and 40 packages the first time. Needs root, apt-get and a package mirror.
set -u
. "$(dirname "$0")/apt.sh"

missing="Ruby's Sidekiq is NOT installed"
loss='The Sidekiq backend is tested against golden vectors only.'
packages='ruby-sidekiq'
status=0

present() {
  command -v ruby >/dev/null 2>&1 && ruby -e 'require "sidekiq"; require "sidekiq/api"' >/dev/null 2>&1
}

present && exit 0
need_apt
status=1
open_apt 'ruby-sidekiq (about 20 s)'
apt-cache show ruby-sidekiq >/dev/null 2>&1 || { status=0; cannot 'this system has no such package'; }
install_first ruby-sidekiq
present || cannot 'the package is installed, but Ruby does not find it'
echo 'ruby-sidekiq is installed' >&2
