#!/bin/sh
# Installs the program as a systemd service, or removes it. Called by make install, make uninstall and the Debian package.
#
#   install.sh program     a virtual environment of its own in $PREFIX
#   install.sh files       units, man page, shell completion, config
#   install.sh activate    tell systemd, restart what runs
#   install.sh uninstall   stop and remove; config and state stay
set -eu
cd "$(dirname "$0")/.."

NAME=illumio-azsql-enforcer
DESTDIR=${DESTDIR:-}
PREFIX=${PREFIX:-/opt/$NAME}
CONFIG=${CONFIG:-/etc/$NAME}
UNITS=${UNITS:-/etc/systemd/system}
SHARE=${SHARE:-/usr/local/share}
BIN=${BIN:-/usr/local/bin}
BASH_COMPLETION=${BASH_COMPLETION:-$SHARE/bash-completion/completions}
ZSH_COMPLETION=${ZSH_COMPLETION:-$SHARE/zsh/site-functions}
FISH_COMPLETION=${FISH_COMPLETION:-$SHARE/fish/vendor_completions.d}
INSTANCE_UNIT=$NAME-accept-NAME@.service # linked by hand, for each further config

say() { echo "$*" >&2; }
fail() { say "$*"; exit 1; }

# --- the program

usable() { # PYTHON: recent enough, and not in a home directory, which the service cannot see
  "$1" -c 'import sys, os, venv, ensurepip
real = os.path.realpath(sys.executable)
sys.exit(sys.version_info < (3, 11) or real.startswith(("/root/", "/home/")))' 2>/dev/null
}

find_python() {
  for candidate in ${PYTHON:-/usr/bin/python3 /usr/bin/python3.13 /usr/bin/python3.12 /usr/bin/python3.11 /usr/local/bin/python3}; do
    if usable "$candidate"; then echo "$candidate"; return; fi
  done
  fail "No usable Python: 3.11 or later with the venv module is needed, outside home directories, which the service cannot
see. On Debian and Ubuntu: apt-get install python3-venv. To name one: make install PYTHON=/path/to/python3."
}

# $PREFIX is a virtual environment of the same Python as now; a system upgrade may have changed it.
fits() { [ "$("$PREFIX/bin/python" -c 'import sys; print(sys.version_info[:2])' 2>/dev/null)" = "$("$1" -c 'import sys; print(sys.version_info[:2])')" ]; }

program() {
  python=$(find_python)
  umask 022
  if fits "$python"; then set --; else set -- --clear; fi
  "$python" -m venv "$@" "$PREFIX"
  "$PREFIX/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --constraint constraints.txt .
}

# --- the files around it

files() {
  umask 022
  program=${PROGRAM:-$PREFIX/bin/$NAME}
  install -d "$DESTDIR$BIN" "$DESTDIR$UNITS" "$DESTDIR$SHARE/man/man8" "$DESTDIR$SHARE/$NAME" \
    "$DESTDIR$BASH_COMPLETION" "$DESTDIR$ZSH_COMPLETION" "$DESTDIR$FISH_COMPLETION"
  ln -sfn "$PREFIX/bin/$NAME" "$DESTDIR$BIN/$NAME"
  for unit in systemd/*.service systemd/*.timer; do
    place_unit "${unit#systemd/}"
  done
  install -m 0644 "docs/$NAME.8" "$DESTDIR$SHARE/man/man8/$NAME.8"
  completion bash "$BASH_COMPLETION/$NAME"
  completion zsh "$ZSH_COMPLETION/_$NAME"
  completion fish "$FISH_COMPLETION/$NAME.fish"
  configuration
}

place_unit() {
  target=$DESTDIR$UNITS/$1
  [ "$1" != "$INSTANCE_UNIT" ] || target=$DESTDIR$SHARE/$NAME/$1
  sed "s|@BIN@|$PREFIX/bin|g; s|@CONFIG@|$CONFIG|g" "systemd/$1" >"$target"
  chmod 0644 "$target"
}

completion() { # the program writes its own
  env _ILLUMIO_AZSQL_ENFORCER_COMPLETE="$1_source" "$program" >"$DESTDIR$2"
  chmod 0644 "$DESTDIR$2"
}

# The config holds no secret, and the service runs as a user that exists only while it runs: readable by all.
# The secret is read by systemd alone, which hands it to the service. What is there already stays as it is.
configuration() {
  install -d -m 0755 "$DESTDIR$CONFIG"
  [ -e "$DESTDIR$CONFIG/config.yaml" ] || install -m 0644 config.example.yaml "$DESTDIR$CONFIG/config.yaml"
  install -m 0644 config.example.yaml "$DESTDIR$SHARE/$NAME/config.example.yaml"
  [ "${SECRET:-yes}" = no ] || [ -e "$DESTDIR$CONFIG/pce-api-secret" ] \
    || install -m 0600 /dev/null "$DESTDIR$CONFIG/pce-api-secret"
}

# --- systemd

systemd_runs() { [ -z "$DESTDIR" ] && [ -d /run/systemd/system ]; }

running_units() { # the daemons and the timer, with their instances
  systemctl list-units --plain --no-legend --all --state=active,activating,reloading,failed \
    "$NAME.service" "$NAME@*.service" "$NAME-once.timer" | cut -d ' ' -f 1
}

activate() {
  if ! systemd_runs; then
    say "systemd does not run here: nothing was started."
  else
    systemctl daemon-reload
    for unit in $(running_units); do
      systemctl try-restart "$unit" || say "$unit does not start again; see: journalctl -u $unit"
    done
  fi
  say "Installed: $PREFIX. Edit $CONFIG/config.yaml, put the secret into $CONFIG/pce-api-secret, then:
  systemctl enable --now $NAME"
}

uninstall() {
  if systemd_runs; then
    for unit in $(running_units); do systemctl disable --now "$unit" || true; done
    systemctl disable "$NAME.service" "$NAME-once.timer" 2>/dev/null || true
  fi
  for unit in systemd/*.service systemd/*.timer; do rm -f "$DESTDIR$UNITS/${unit#systemd/}"; done
  rm -f "$DESTDIR$BIN/$NAME" "$DESTDIR$SHARE/man/man8/$NAME.8" "$DESTDIR$BASH_COMPLETION/$NAME" \
    "$DESTDIR$ZSH_COMPLETION/_$NAME" "$DESTDIR$FISH_COMPLETION/$NAME.fish"
  rm -rf "$DESTDIR${SHARE:?}/$NAME" "$DESTDIR${PREFIX:?}"
  if systemd_runs; then systemctl daemon-reload; fi
  say "Removed. Still there, for you to keep or delete: $CONFIG (config and secret), /var/lib/$NAME (journal)."
}

case ${1:-} in
  program | files | activate | uninstall) "$1" ;;
  *) fail "usage: install.sh program | files | activate | uninstall" ;;
esac
