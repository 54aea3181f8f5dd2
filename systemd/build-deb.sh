#!/bin/sh
# Builds the Debian package of this system's Python into dist/. Needs pip's index, and nothing else of the network.
set -eu
cd "$(dirname "$0")/.."

NAME=illumio-azsql-enforcer
missing=
for tool in dpkg-buildpackage:dpkg-dev dh:debhelper fakeroot:fakeroot; do
  command -v "${tool%%:*}" >/dev/null || missing="$missing ${tool##*:}"
done
/usr/bin/python3 -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
if [ -n "$missing" ]; then
  echo "To build the package, install first: apt-get install$missing" >&2
  exit 1
fi

version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' illumio_azsql_enforcer/__init__.py)
build=build/deb/$NAME-$version
rm -rf build/deb
mkdir -p "$build" dist
cp -a illumio_azsql_enforcer docs systemd config.example.yaml constraints.txt pyproject.toml README.md LICENSE "$build"
find "$build" -name __pycache__ -type d -prune -exec rm -rf {} +
mv "$build/systemd/debian" "$build/debian"

SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
cat >"$build/debian/changelog" <<END
$NAME ($version) unstable; urgency=medium

  * Release $version.

 -- $(sed -n 's/^Maintainer: //p' "$build/debian/control")  $(date -Ru -d "@$SOURCE_DATE_EPOCH")
END

(cd "$build" && dpkg-buildpackage --build=binary --unsigned-changes --no-check-builddeps >build.log 2>&1) || {
  tail -n 40 "$build/build.log" >&2
  exit 1
}
mv build/deb/"${NAME}_${version}"_*.deb dist/
ls dist/"${NAME}_${version}"_*.deb
