#!/usr/bin/env bash
# The lab: Lychgate on real drivers of network cards, in guests of QEMU.
#
#   scripts/lab.sh [igb|virtio|vmxnet3|e1000e|all]...     default: igb virtio
#
#   --only PATTERN    only cases whose name this regular expression finds
#   --results FOLDER  where results and consoles go (default target/lab)
#
# For each model it boots a guest with four cards, puts `lychgate run` between two of that model, and
# runs the suite in scripts/lab/guest. It fetches a kernel and a small Debian into
# $LYCHGATE_LAB_CACHE (default ~/.cache/lychgate-lab): 145 MB at first, nothing later. Only QEMU is
# installed. QEMU translates every instruction, so that no KVM is needed and no speed is measured.
#
# Prints a line a case, writes FOLDER/junit.xml, and keeps a guest's console where anything failed.
# LYCHGATE may name a binary that was built elsewhere; else it is built here. Exit status: 0 all
# passed; 1 something failed; 77 this machine cannot have a lab, and why.
source "$(dirname "$0")/common.sh"
lab=scripts/lab
source "$lab/fetch.sh"

usage() { sed -n '2,/^source/{/^#/s/^# \{0,1\}//p}' "$0"; }

only='' results=target/lab models=()
while [ $# -gt 0 ]; do
    case $1 in
        --help | -h) usage; exit ;;
        --only | --results) [ -n "${2:-}" ] || die "$1 wants a value"; declare "${1#--}=$2"; shift ;;
        igb | virtio | vmxnet3 | e1000e) models+=("$1") ;;
        all) models+=(igb virtio vmxnet3 e1000e) ;;
        *) usage >&2; die "there is no model or option $1" ;;
    esac
    shift
done
[ ${#models[@]} -gt 0 ] || models=(igb virtio)
[ "$(uname -s) $(uname -m)" = "Linux x86_64" ] || cannot "its guests are x86-64, under Linux"
command -v apt-get >/dev/null || cannot "its guests are made of Debian's packages, which apt fetches: there is no apt-get"
cache=${LYCHGATE_LAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lychgate-lab}

install python3 python3
need_qemu
need_guest "$cache"
binary=${LYCHGATE:-target/debug/lychgate}
if [ -z "${LYCHGATE:-}" ]; then
    need_rust
    need_xdp
    say "Building Lychgate"
    cargo build
fi

mkdir -p "$results"
rm -f "$results"/junit.xml "$results"/*.log
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
strip -o "$scratch/lychgate" "$binary"
files=("lab/bin/lychgate=$scratch/lychgate")
# The libraries it was linked with are this machine's, and may be newer than the guest's.
while read -r library; do
    files+=("lab/lib/${library##*/}=$(realpath "$library")")
done < <(ldd "$scratch/lychgate" | grep -o '/[^ ]*')
files+=("usr/bin/lychgate=$lab/guest/lychgate" "init=$lab/guest/init")
for file in "$lab"/guest/*.py; do files+=("lab/${file##*/}=$file"); done
for file in common.sh pktgen.sh; do files+=("lab/scripts/$file=scripts/$file"); done
python3 "$lab/image.py" overlay "$scratch/overlay.cpio" "${files[@]}"

say "The lab: ${models[*]}"
python3 "$lab/boot.py" --cache "$cache" --overlay "$scratch/overlay.cpio" --results "$results" \
    --only "$only" "${models[@]}"
