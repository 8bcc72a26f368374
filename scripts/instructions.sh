#!/usr/bin/env bash
# Counts the instructions that judging a frame takes, and compares with benches/instructions.txt:
# more than 5 % either way is drift. Unlike times, counts are the same on a busy machine; they
# depend on the compiler, so another rustc's are shown and not held against anybody.
#
#   scripts/instructions.sh            compare
#   scripts/instructions.sh --update   write what is counted now
source "$(dirname "$0")/common.sh"
need_rust
install valgrind valgrind

readonly KNOWN=benches/instructions.txt
readonly DRIFT_PERCENT_MAX=5
readonly FRAMES=100000
case "${1:-}" in
    "" | --update) ;;
    *) die "unknown argument $1: only --update is known" ;;
esac

bench=$(cargo bench --bench judge --no-run --message-format=json-render-diagnostics |
    sed -n 's/.*"name":"judge".*"executable":"\([^"]*\)".*/\1/p')
[ -x "$bench" ] || die "cargo named no executable of the bench judge"
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# judging PROFILE FRAMES: instructions in the engine alone, table and frames not counted.
judging() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null --log-file="$log" \
        --toggle-collect='*Engine::process_in_turn*' \
        "$bench" --bench --instructions --profile "$1" --sources 1000 --frames "$2" || {
        cat "$log" >&2
        die "the bench failed under valgrind"
    }
    sed -n 's/.*Collected : *\([0-9]*\).*/\1/p' "$log"
}

# The difference of two runs: what only the first frames cost cancels.
counts="rustc $(rustc --version | cut -d' ' -f2)"
for profile in mixed syn; do
    once=$(judging "$profile" "$FRAMES")
    twice=$(judging "$profile" $((2 * FRAMES)))
    [ "${once:-0}" -gt 0 ] || die "valgrind saw no Engine::process_in_turn: see the bench's symbols"
    counts+=$'\n'"$profile $(((twice - once + FRAMES / 2) / FRAMES))"
done

if [ "${1:-}" = --update ]; then
    echo "$counts" >"$KNOWN"
    say "Instructions a frame, written to $KNOWN"
    echo "$counts"
    exit
fi
say "Instructions a frame: known and now"
paste "$KNOWN" <(echo "$counts") | column -t
awk -v max="$DRIFT_PERCENT_MAX" '
    NR == FNR { known[$1] = $2; next }
    $1 == "rustc" { same = $2 == known[$1]; next }
    same && ($2 - known[$1]) ^ 2 > (known[$1] * max / 100) ^ 2 { print $1; drifted = 1 }
    END { exit drifted }
' "$KNOWN" <(echo "$counts") ||
    die "the profiles above drifted by more than $DRIFT_PERCENT_MAX %: find out why, then scripts/instructions.sh --update"
