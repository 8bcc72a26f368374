# Sourced by the scripts beside it: where we are, how to speak, how to get what is missing.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# install COMMAND PACKAGE: installs Debian's PACKAGE if COMMAND is missing.
install() {
    command -v "$1" >/dev/null && return
    command -v apt-get >/dev/null || die "$1 is missing, and this is no Debian or Ubuntu: install $2"
    local root=()
    [ "$(id -u)" = 0 ] || root=(sudo)
    if [ -z "${APT_UPDATED:-}" ]; then
        say "Fetching package lists"
        "${root[@]}" apt-get update -qq
        APT_UPDATED=1
    fi
    say "Installing $2"
    DEBIAN_FRONTEND=noninteractive "${root[@]}" apt-get install -y -qq "$2" >/dev/null
}

# install_header FILE PACKAGE: installs Debian's PACKAGE if the C header FILE is missing.
install_header() {
    [ -e "/usr/include/$1" ] || install "$1" "$2"
}

need_rust() {
    # rustup puts cargo where a new shell finds it and this one may not.
    command -v cargo >/dev/null || PATH="$HOME/.cargo/bin:$PATH"
    command -v cargo >/dev/null || die "Rust is missing: install it from https://rustup.rs or your distribution"
    install cc gcc
}

# What the live ports need to be built: the kernel program is C, and so are libxdp and libbpf.
need_xdp() {
    install clang clang
    install llvm-strip llvm
    install m4 m4
    install make make
    install pkg-config pkg-config
    install_header libelf.h libelf-dev
    install_header zlib.h zlib1g-dev
    install_header pcap/pcap.h libpcap-dev
}

# need_aiosmtpd: a real SMTP server for Python, from PyPI or Debian; PYTHON runs it.
need_aiosmtpd() {
    install python3 python3
    for PYTHON in target/python/bin/python3 python3 /usr/bin/python3; do
        "$PYTHON" -c 'import aiosmtpd' 2>/dev/null && return
    done
    say "Installing aiosmtpd"
    PYTHON=target/python/bin/python3
    if python3 -m venv target/python 2>/dev/null &&
        "$PYTHON" -m pip install --quiet --disable-pip-version-check aiosmtpd==1.4.6; then
        return
    fi
    command -v apt-get >/dev/null || die "aiosmtpd is missing: pip install aiosmtpd"
    apt-get install -y -qq python3-aiosmtpd >/dev/null
    PYTHON=/usr/bin/python3
}
