#!/usr/bin/env bash
# Installs what `make demo`, `make test`, `make fuzz` or `make bench` needs beyond Rust, git and make, and says
# so first. Quick and silent when nothing is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

export PATH="$PATH:/usr/sbin:/sbin:/snap/bin"
goal=${1:-}
packages=()
components=()
snaps=()
servers=()

fail() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

have() { command -v "$1" >/dev/null; }

# need PROGRAM PACKAGE
need() { have "$1" || packages+=("$2"); }

need_build() {
    have cargo || fail "Rust is missing: install 1.95 or newer with rustup, https://rustup.rs"
    if ! have cc || ! echo '#include <stdio.h>' | cc -x c -fsyntax-only - 2>/dev/null; then
        packages+=(gcc libc6-dev)
    fi
}

need_lints() {
    cargo fmt --version >/dev/null 2>&1 || components+=(rustfmt)
    cargo clippy --version >/dev/null 2>&1 || components+=(clippy)
    [ ${#components[@]} -eq 0 ] || have rustup ||
        fail "this Rust lacks ${components[*]}, and there is no rustup to add them"
}

have_browser() {
    { have chromium || have chromium-browser || have google-chrome; } &&
        { have chromedriver || have chromium.chromedriver; }
}

need_browser() {
    if have_browser; then
        return
    elif ! grep -qx 'ID=ubuntu' /etc/os-release 2>/dev/null; then
        packages+=(chromium chromium-driver)
    elif snap list >/dev/null 2>&1; then
        snaps+=(chromium)
    else
        fail "the browser tests need Chromium and chromedriver. Ubuntu has them only as a snap, and snapd" \
            "does not answer here (as in most containers). Start snapd, or put chromium (or google-chrome)" \
            "and its chromedriver on the PATH, or use Debian."
    fi
}

# The tests run Debian's own interpreter, whatever else the PATH has.
need_jwcrypto() { /usr/bin/python3 -c 'import jwcrypto' 2>/dev/null || packages+=(python3 python3-jwcrypto); }

# Debian keeps its programs off the path, a folder for each version.
need_postgres() { compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || packages+=(postgresql); }

# The servers of bench-compare's section "exchange"; OpenAI's client and ChatKit SDK, and jose, which the tests run: their packages
# are locked by version and hash, and go where `make clean` removes them. The copy of the lock comes last: half an
# installation is begun anew.
sources=benches/compare/exchange
installed=target/bench
if [ "$goal" = test ]; then
    sources=tests/clients
    installed=target/test-clients
fi
declare -A registry=([express]=npm [fastapi]=PyPI [openai]=npm [jose]=npm [chatkit]=PyPI [schemathesis]=PyPI)
declare -A installer=([npm]=install_npm [PyPI]=install_pip)

# need_npm NAME: what $sources/NAME locks
need_npm() {
    need node nodejs
    cmp -s "$sources/$1/package-lock.json" "$installed/$1/installed" && return
    need npm npm
    servers+=("$1")
}

# need_pip NAME MODULE: the same from PyPI, by a module that shows it is there. Debian's own interpreter, whatever
# else the PATH has: it is the one that is built for speed.
need_pip() {
    cmp -s "$sources/$1/requirements.txt" "$installed/$1/installed" &&
        "$installed/$1/bin/python" -c "import $2" 2>/dev/null && return
    /usr/bin/python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3 python3-venv)
    servers+=("$1")
}

install_npm() {
    mkdir -p "$installed/$1" &&
        cp "$sources/$1/package.json" "$sources/$1/package-lock.json" "$installed/$1/" &&
        npm ci --prefix "$installed/$1" --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error &&
        cp "$sources/$1/package-lock.json" "$installed/$1/installed"
}

install_pip() {
    /usr/bin/python3 -m venv --clear "$installed/$1" &&
        "$installed/$1/bin/pip" install --quiet --disable-pip-version-check --require-hashes \
            --only-binary :all: -r "$sources/$1/requirements.txt" &&
        cp "$sources/$1/requirements.txt" "$installed/$1/installed"
}

case $goal in
    demo)
        need_build
        need curl curl
        ;;
    test)
        need_build
        need_lints
        need curl curl
        need openssl openssl
        need valgrind valgrind
        need redis-server redis-server
        need_postgres
        need strace strace
        need systemd-analyze systemd
        need faketime faketime
        compgen -G '/usr/lib/*/libnss_wrapper.so' >/dev/null || packages+=(libnss-wrapper)
        need_jwcrypto
        need_npm openai
        need_npm jose
        need_pip chatkit chatkit.server
        need_pip schemathesis schemathesis
        need_browser
        ;;
    bench)
        need_build
        need nginx nginx
        need haproxy haproxy
        need wrk wrk
        need redis-server redis-server
        need_postgres
        need_npm express
        need_pip fastapi uvloop
        ;;
    fuzz)
        need_build
        need c++ g++
        ;;
    *)
        echo "usage: scripts/setup.sh demo|test|fuzz|bench" >&2
        exit 2
        ;;
esac

[ ${#packages[@]}${#components[@]}${#snaps[@]}${#servers[@]} != 0000 ] || exit 0

as_root=()
if [ ${#packages[@]}${#snaps[@]} != 00 ]; then
    wanted="${packages[*]}${snaps[*]:+ (snap: ${snaps[*]})}"
    have apt-get || fail "there is no apt-get here. Install these (Debian's names), then repeat: $wanted"
    if [ "$(id -u)" -ne 0 ]; then
        have sudo || fail "neither root nor sudo. Let an administrator install these, then repeat: $wanted"
        as_root=(sudo)
    fi
fi

echo "make $goal needs the following, which is missing and will be installed now:"
[ ${#packages[@]} -eq 0 ] || echo "  apt-get install ${packages[*]}"
[ ${#snaps[@]} -eq 0 ] || echo "  snap install ${snaps[*]}"
[ ${#components[@]} -eq 0 ] || echo "  rustup component add ${components[*]}"
for server in "${servers[@]}"; do
    echo "  from ${registry[$server]}: what $sources/$server locks, into $installed/$server"
done

if [ ${#packages[@]} -gt 0 ]; then
    "${as_root[@]}" apt-get update || echo "setup: apt-get update failed; trying with the lists at hand" >&2
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "${packages[@]}" ||
        fail "apt-get failed. Install these by hand, then repeat: $wanted"
fi
[ ${#snaps[@]} -eq 0 ] || "${as_root[@]}" snap install "${snaps[@]}" || fail "snap failed; install by hand: $wanted"
[ ${#components[@]} -eq 0 ] || rustup component add "${components[@]}"
for server in "${servers[@]}"; do
    "${installer[${registry[$server]}]}" "$server" ||
        fail "installing what $sources/$server locks failed; ${registry[$server]} must be within reach"
done

# Only the programs are wanted; installing them started them as services.
for service in nginx haproxy redis-server postgresql; do
    if [ -d /run/systemd/system ] && [[ " ${packages[*]} " == *" $service "* ]]; then
        echo "setup: stopping and disabling the new service $service"
        "${as_root[@]}" systemctl disable --now "$service"
    fi
done
