//! Compiles the kernel program, where the `xdp` feature wants it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "xdp")]
    kernel_program();
}

/// src/bpf/steer.bpf.c becomes steer.bpf.o in the output directory; clang does it.
#[cfg(feature = "xdp")]
fn kernel_program() {
    use std::{env, path::PathBuf};

    const SOURCE: &str = "src/bpf/steer.bpf.c";
    println!("cargo::rerun-if-changed=src/bpf");
    let setting = |name| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let object = PathBuf::from(setting("OUT_DIR")).join("steer.bpf.o");
    // For a BPF target, clang does not look where Debian keeps <asm/types.h>.
    let headers = format!(
        "-I/usr/include/{}-linux-gnu",
        setting("CARGO_CFG_TARGET_ARCH")
    );
    let built = libbpf_cargo::SkeletonBuilder::new()
        .source(SOURCE)
        .obj(&object)
        .clang_args([headers.as_str(), "-mcpu=v3", "-Wall", "-Wextra", "-Werror"])
        .build();
    if let Err(error) = built {
        panic!(
            "cannot compile {SOURCE}: {error:#}\nremedy: install clang and the kernel's headers \
             (Debian: clang, linux-libc-dev), or build with --no-default-features"
        );
    }
}
