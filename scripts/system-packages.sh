#!/usr/bin/env bash
# The programs that tests run against: a broker, an RTSP server, promtool, strace, a browser. Installs what is
# missing on Debian and its relatives, as root or with a sudo that asks nothing; elsewhere says what is missing.
set -euo pipefail

packages=(
    mosquitto
    openssl
    gir1.2-gst-rtsp-server-1.0
    python3-gi
    gstreamer1.0-plugins-base
    gstreamer1.0-plugins-good
    gstreamer1.0-plugins-bad
    prometheus
    strace
    systemd
    chromium
)

if ! command -v dpkg-query >/dev/null; then
    echo "note: no Debian package manager here; tests need mosquitto, gst-rtsp-server with PyGObject, promtool, strace, chromium"
    exit 0
fi
missing=()
for package in "${packages[@]}"; do
    state=$(dpkg-query --show --showformat '${db:Status-Abbrev}' "$package" 2>/dev/null || true)
    [[ $state == ii* ]] || missing+=("$package")
done
((${#missing[@]})) || exit 0

as_root=()
if [ "$(id -u)" != 0 ]; then
    if ! sudo -n true 2>/dev/null; then
        echo "note: tests need packages that are not installed: apt install --no-install-recommends ${missing[*]}"
        exit 0
    fi
    as_root=(sudo -n)
fi

# Installing a server starts it. The tests start their own, on free ports: nothing must run by itself because
# somebody tested here.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null
    "${as_root[@]}" chmod 755 $policy
    trap '"${as_root[@]}" rm -f $policy' EXIT
fi
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -qq --yes --no-install-recommends "${missing[@]}" >/dev/null
if command -v systemctl >/dev/null && [ -d /run/systemd/system ]; then
    for service in mosquitto prometheus; do
        case " ${missing[*]} " in
            *" $service "*) "${as_root[@]}" systemctl disable --quiet "$service" 2>/dev/null || true ;;
        esac
    done
fi
