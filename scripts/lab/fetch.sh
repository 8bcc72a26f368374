# Sourced by scripts/lab.sh: QEMU, a kernel, and what a guest needs besides.
#
# Only QEMU is installed. The rest is Debian's, fetched by apt with lists of its own, unpacked into
# the cache, and never installed: a kernel from backports (AF_XDP zero-copy for igb and virtio-net
# came after 6.12), and busybox, iproute2, ethtool, Python and bash with their libraries.

# cannot WHY: the lab cannot be had here, which is not the same as a case that failed.
cannot() {
    printf 'error: no lab: %s\n' "$*" >&2
    exit 77
}

suite=trixie
guest_packages=(busybox-static bash ethtool iproute2 libpython3-stdlib python3-minimal)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# The mirror that this machine uses already, if it is a Debian.
mirror() {
    apt-get indextargets --format '$(REPO_URI) $(ORIGIN)' 'Created-By: Packages' 2>/dev/null |
        awk '$2 == "Debian" && $1 !~ /security/ && !found++ { print $1 }'
}

# apt_of FOLDER SUITE... : makes `apt` an apt with these suites in this folder, and fetches its lists.
apt_of() {
    local folder=$1 uri
    shift
    uri=$(mirror)
    mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
    for suite_name in "$@"; do
        echo "deb [signed-by=$keyring] ${uri:-http://deb.debian.org/debian} $suite_name main"
    done >"$folder/sources.list"
    apt=(-o "Dir::Etc::SourceList=$folder/sources.list" -o Dir::Etc::SourceParts=-
        -o "Dir::State::Lists=$folder/lists" -o "Dir::Cache=$folder/cache" -o APT::Sandbox::User=root
        -o Acquire::Languages=none -o Acquire::Retries=3 -o Acquire::http::Timeout=30)
    timeout 240 apt-get "${apt[@]}" -qq update || cannot "no package lists from ${uri:-deb.debian.org}: has this machine a network?"
}

has_igb() {
    command -v qemu-system-x86_64 >/dev/null && [[ $(qemu-system-x86_64 -device help 2>/dev/null) == *'"igb"'* ]]
}

# QEMU with a model of igb: 8.0 or later. Debian 12 has it in backports.
need_qemu() {
    has_igb && return
    local root=()
    [ "$(id -u)" = 0 ] || root=(sudo)
    if [ "$(. /etc/os-release && echo "$ID $VERSION_ID")" = "debian 12" ]; then
        say "Installing QEMU from Debian's backports"
        local folder
        folder=$(mktemp -d)
        apt_of "$folder" bookworm bookworm-backports
        DEBIAN_FRONTEND=noninteractive "${root[@]}" timeout 240 apt-get "${apt[@]}" install -y -qq \
            --no-install-recommends -t bookworm-backports qemu-system-x86 >/dev/null ||
            cannot "QEMU cannot be installed"
        rm -rf "$folder"
    else
        install qemu-system-x86_64 qemu-system-x86
    fi
    has_igb || cannot "this QEMU has no model of igb: 8.0 or later is needed ($(qemu-system-x86_64 --version))"
}

# kernel_packages: the newest kernel of the suite's backports, in the packages that hold its files.
kernel_packages() {
    local image
    image=$(apt-cache "${apt[@]}" show "linux-image-amd64/$suite-backports" |
        sed -n 's/^Depends: .*\(linux-image-[0-9][^ ]*\).*/\1/p')
    image=${image%%$'\n'*}
    [ -n "$image" ] || cannot "no kernel in $suite-backports"
    echo "${image/image/binary}" "${image/image/modules}"
}

# need_guest CACHE: leaves `vmlinux` and `base.cpio` there.
need_guest() {
    local cache=$1 stamp
    mkdir -p "$cache"
    # Another run may be fetching the same.
    exec 9>"$cache/lock"
    flock 9
    stamp=$(cat "$lab/fetch.sh" "$lab/image.py" | sha256sum)
    [ "$(cat "$cache/stamp" 2>/dev/null)" != "$stamp" ] || { exec 9>&-; return 0; }
    install zstd zstd
    install dpkg-deb dpkg
    [ -e "$keyring" ] || install debian-archive-keyring debian-archive-keyring
    say "Fetching a kernel and a small Debian for the guests (145 MB, kept in $cache)"
    local folder packages
    rm -rf "$cache"/fetch.*
    folder=$(mktemp -d "$cache/fetch.XXXXXX")
    apt_of "$folder" "$suite" "$suite-backports"
    : >"$folder/status"
    packages=$(kernel_packages) || exit
    # shellcheck disable=SC2086 # several packages
    (cd "$folder" && timeout 400 apt-get "${apt[@]}" -qq download $packages) || cannot "the kernel cannot be fetched"
    timeout 400 apt-get "${apt[@]}" -o "Dir::State::Status=$folder/status" -qq -y --no-install-recommends \
        --download-only install "${guest_packages[@]}" || cannot "the guest's packages cannot be fetched"
    mv "$folder"/cache/archives/*.deb "$folder"
    for package in "$folder"/*.deb; do
        case ${package##*/} in
            debconf_* | dpkg_* | tzdata_* | tar_* | krb5-locales_*) ;;
            *) dpkg-deb -x "$package" "$folder/root" ;;
        esac
    done
    python3 "$lab/image.py" base "$folder/root" "$cache"
    rm -rf "$folder"
    echo "$stamp" >"$cache/stamp"
    exec 9>&-
}
