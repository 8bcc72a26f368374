#!/usr/bin/env bash
# A real browser reads the notice page in every language, is checked by axe-core, and releases a real
# case through the button. Installs what is missing.
#
# scripts/notice.sh              looks
# scripts/notice.sh --pictures   also makes the pictures in docs/ anew
source "$(dirname "$0")/common.sh"
need_rust
need_xdp
install node nodejs
install npm npm
install chromium chromium

# Versions and checksums stand in package-lock.json.
modules=target/npm
mkdir -p "$modules"
if ! cmp -s scripts/notice/package-lock.json "$modules/package-lock.json" || [ ! -d "$modules/node_modules" ]; then
    say "Installing playwright-core and axe-core"
    cp scripts/notice/package.json scripts/notice/package-lock.json "$modules/"
    (cd "$modules" && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --silent --no-audit --no-fund)
fi

say "A browser on the notice page"
if [ "${1:-}" = --pictures ]; then
    export NOTICE_PICTURES=$PWD/docs
fi
NODE_MODULES=$PWD/$modules/node_modules cargo test --test notice -- --ignored --nocapture a_browser
