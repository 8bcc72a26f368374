//! Compiles the kernel programs, where the `xdp` feature wants it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "xdp")]
    kernel_programs();
}

/// Each src/bpf/NAME.bpf.c becomes NAME.bpf.o in the output directory; clang does it.
#[cfg(feature = "xdp")]
fn kernel_programs() {
    use std::{env, path::PathBuf};

    println!("cargo::rerun-if-changed=src/bpf");
    let setting = |name| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    // For a BPF target, clang does not look where Debian keeps <asm/types.h>.
    let headers = format!(
        "-I/usr/include/{}-linux-gnu",
        setting("CARGO_CFG_TARGET_ARCH")
    );
    for name in ["steer", "blast", "sink"] {
        let source = format!("src/bpf/{name}.bpf.c");
        let built = libbpf_cargo::SkeletonBuilder::new()
            .source(&source)
            .obj(PathBuf::from(setting("OUT_DIR")).join(format!("{name}.bpf.o")))
            .clang_args([headers.as_str(), "-mcpu=v3", "-Wall", "-Wextra", "-Werror"])
            .build();
        if let Err(error) = built {
            panic!(
                "cannot compile {source}: {error:#}\nremedy: install clang and the kernel's \
                 headers (Debian: clang, linux-libc-dev), or build with --no-default-features"
            );
        }
    }
}
