#!/usr/bin/env bash
# Writes the golden cases under pcap/ anew and shows what changed. The verdicts themselves are
# written by hand in tests/golden/ and are checked first: change them there.
set -euo pipefail
cd "$(dirname "$0")/.."
LYCHGATE_REGENERATE=1 cargo test --quiet --test golden the_files_under_pcap
git --no-pager diff --stat -- pcap
git status --short -- pcap
echo "Review the difference (git diff pcap), then commit it."
