#!/usr/bin/env bash
# Runs every test, after installing what is missing. Takes no arguments; any failure ends it.
source "$(dirname "$0")/common.sh"
need_rust
need_xdp
install python3 python3
install ip iproute2
install ethtool ethtool
install curl curl
need_aiosmtpd
for component in fmt clippy; do
    cargo "$component" --version >/dev/null 2>&1 || rustup component add "${component/fmt/rustfmt}"
done

say "Format"
cargo fmt --check

say "Lints"
cargo clippy --all-targets -- -D warnings

say "Documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items

# The same generated cases on every machine, so that a failure belongs to the change it appears with.
# `cargo test` by hand generates others each time; docs/testing.md.
export PROPTEST_RNG_SEED=25

say "Unit, property, golden, corpus, CLI and doc tests"
cargo test

say "Without live ports, and so without C"
cargo check --no-default-features --all-targets

say "Every interleaving of workers on the source table (loom)"
RUSTC_WORKSPACE_WRAPPER="$PWD/scripts/rustc-loom.sh" cargo test --lib loom_tests

say "Undefined behaviour in the source table (Miri)"
if cargo +nightly miri --version >/dev/null 2>&1; then
    MIRIFLAGS="-Zmiri-disable-isolation" PROPTEST_CASES=2 \
        cargo +nightly miri test --lib --no-default-features source::table source::window source::recent
else
    echo "SKIPPED: this machine's Rust has no Miri (rustup +nightly component add miri rust-src)"
fi

say "Fuzz targets build"
cargo check --quiet --manifest-path fuzz/Cargo.toml --target-dir target

say "Benches run"
cargo bench --bench judge -- --frames 20000 --rounds 1
cargo bench --bench capture -- --frames 20000 --rounds 1

scripts/notice.sh

say "The demo"
scripts/demo.sh

say "Real drivers of network cards, in guests (the lab)"
code=0
scripts/lab.sh igb virtio || code=$?
if [ "$code" = 77 ] && [ "${LYCHGATE_LAB:-}" != required ]; then
    echo "SKIPPED: this machine cannot have the lab; zero-copy and drivers' quirks were NOT tested"
elif [ "$code" != 0 ]; then
    exit "$code"
fi

say "All tests passed"
