//! Builds the pause program that every pod's sandbox runs, a few hundred bytes of machine code without libc.

use std::env;
use std::path::PathBuf;

const SOURCE: &str = "src/kubelet/pause/pause.c";

fn main() {
    println!("cargo::rerun-if-changed={SOURCE}");
    let output = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("pause");
    let compiler = cc::Build::new().opt_level_str("s").cargo_metadata(false).get_compiler();
    let status = compiler
        .to_command()
        .args([
            "-static",
            "-nostdlib",
            "-nostartfiles",
            "-ffreestanding",
            "-fno-stack-protector",
        ])
        .args([
            "-fno-pic",
            "-no-pie",
            "-fno-asynchronous-unwind-tables",
            "-Wl,--build-id=none",
            "-s",
        ])
        .arg(SOURCE)
        .arg("-o")
        .arg(&output)
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("{} failed on {SOURCE}: {status}", compiler.path().display()),
        Err(error) => panic!(
            "cannot run the C compiler {} (Debian: apt-get install gcc): {error}",
            compiler.path().display()
        ),
    }
}
