#!/usr/bin/env bash
# Builds dist/edgenode_VERSION_ARCHITECTURE.deb from what is committed. Needs (Debian): apt install dh-virtualenv
# debhelper build-essential python3-dev python3-venv; and the network or a package index, for the libraries.
set -euo pipefail
cd "$(dirname "$0")/.."
for tool in dpkg-buildpackage dh_virtualenv; do
    if ! command -v "$tool" >/dev/null; then
        echo "debian-package: $tool is missing: apt install dh-virtualenv debhelper build-essential python3-dev python3-venv" >&2
        exit 1
    fi
done
version=$(sed -nE 's/^version = "(.*)"$/\1/p' pyproject.toml)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
source=$work/edgenode-$version
mkdir "$source"
git archive HEAD | tar -x -C "$source"
cp -r "$source/deploy/debian" "$source/debian"
cp "$source/deploy/systemd/edgenode.service" "$source/debian/edgenode.service"

# compiled libraries in the environment belong to one minor version of Python
minor=$(/usr/bin/python3 -c 'import sys; print(sys.version_info.minor)')
sed -i "s/@PYTHON@/3.$minor/; s/@NEXT_PYTHON@/3.$((minor + 1))/" "$source/debian/control"
cat >"$source/debian/changelog" <<CHANGELOG
edgenode ($version) stable; urgency=medium

  * Built from $(git rev-parse --short HEAD).

 -- The edgenode authors <edgenode@example.invalid>  $(git log -1 --format=%cD)
CHANGELOG

(cd "$source" && dpkg-buildpackage --build=binary --no-sign --no-check-builddeps)
mkdir -p dist
mv "$work"/*.deb dist/
ls -l dist/*.deb
