#!/usr/bin/env bash
# rustc for loom's tests, as cargo's RUSTC_WORKSPACE_WRAPPER: our own crate sees `cfg(loom)`, and the
# dependencies are those of every other test. RUSTFLAGS would build them all once more.
exec "$@" --cfg loom
