//! Reads what the machine is: `/proc`, `/etc/os-release`, `df`. Changes nothing.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::Path;

/// Available memory below this is pressure, as in Kubernetes.
const MIN_AVAILABLE_BYTES: i64 = 100 * 1024 * 1024;
/// A disk with less than this share free is under pressure, as in Kubernetes.
const MIN_DISK_PERCENT: i64 = 10;
/// Process ids in use above this share are pressure.
const MAX_PID_PERCENT: i64 = 90;

/// What a machine offers and is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Processors.
    pub cpus: usize,
    /// Bytes of memory.
    pub memory_bytes: i64,
    /// Bytes of the disk that pods' files lie on; 0 where unknown.
    pub disk_bytes: i64,
    /// e.g. `6.1.0`.
    pub kernel: String,
    /// e.g. `Debian GNU/Linux 12 (bookworm)`.
    pub os_image: String,
    /// Identifies the installation.
    pub machine_id: String,
    /// Identifies the hardware.
    pub system_uuid: String,
    /// Identifies the boot.
    pub boot_id: String,
}

/// What a machine is short of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Memory.
    pub memory: bool,
    /// Disk space.
    pub disk: bool,
    /// Process ids.
    pub pids: bool,
}

impl Machine {
    /// This machine; `data_dir` tells which disk counts.
    pub async fn read(data_dir: &Path) -> Self {
        let (disk_bytes, _) = disk(data_dir).await.unwrap_or_default();
        Self {
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: meminfo(&text("/proc/meminfo"), "MemTotal").unwrap_or(0),
            disk_bytes,
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            os_image: os_image(&text("/etc/os-release")),
            machine_id: text("/etc/machine-id").trim().to_owned(),
            system_uuid: text("/sys/class/dmi/id/product_uuid").trim().to_owned(),
            boot_id: text("/proc/sys/kernel/random/boot_id").trim().to_owned(),
        }
    }

    /// What it is short of now.
    pub async fn pressure(&self, data_dir: &Path) -> Pressure {
        let available = meminfo(&text("/proc/meminfo"), "MemAvailable");
        let disk = disk(data_dir).await;
        Pressure {
            memory: available.is_some_and(|bytes| bytes < MIN_AVAILABLE_BYTES),
            disk: disk.is_some_and(|(total, free)| total > 0 && free * 100 / total < MIN_DISK_PERCENT),
            pids: pids_percent().is_some_and(|percent| percent > MAX_PID_PERCENT),
        }
    }
}

/// The address that this host would send from; loopback where it has no way out.
pub fn host_ip() -> IpAddr {
    let route = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        // Connecting a datagram socket sends nothing; it only asks the routing table. The address is a documentation one.
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    };
    route().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}

/// A missing file reads as empty: not every host has all of them.
fn text(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn meminfo(text: &str, name: &str) -> Option<i64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kib = line.trim().strip_suffix("kB")?.trim().parse::<i64>().ok()?;
    kib.checked_mul(1024)
}

fn os_image(text: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    line.unwrap_or("Linux").trim_matches('"').to_owned()
}

fn pids_percent() -> Option<i64> {
    let most = text("/proc/sys/kernel/pid_max")
        .trim()
        .parse::<i64>()
        .ok()
        .filter(|most| *most > 0)?;
    let load = text("/proc/loadavg");
    let threads = load.split_whitespace().nth(3)?.split_once('/')?.1.parse::<i64>().ok()?;
    Some(threads * 100 / most)
}

/// Total and free bytes of the file system below the path; `None` where `df` cannot tell.
async fn disk(path: &Path) -> Option<(i64, i64)> {
    let existing = path.ancestors().find(|ancestor| ancestor.exists())?;
    let output = tokio::process::Command::new("df")
        .arg("-Pk")
        .arg(existing)
        .output()
        .await
        .ok()?;
    df(&String::from_utf8_lossy(&output.stdout))
}

fn df(text: &str) -> Option<(i64, i64)> {
    let mut fields = text.lines().nth(1)?.split_whitespace().skip(1);
    let total = fields.next()?.parse::<i64>().ok()?;
    let free = fields.nth(1)?.parse::<i64>().ok()?;
    Some((total.checked_mul(1024)?, free.checked_mul(1024)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_writes() {
        let meminfo_text = "MemTotal:       24690000 kB\nMemFree:        1 kB\nMemAvailable:   1000 kB\n";
        assert_eq!(meminfo(meminfo_text, "MemTotal"), Some(24_690_000 * 1024));
        assert_eq!(meminfo(meminfo_text, "Nothing"), None);
        assert_eq!(os_image("NAME=x\nPRETTY_NAME=\"Debian 12\"\n"), "Debian 12");
        let df_text = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda 100 40 60 40% /\n";
        assert_eq!(df(df_text), Some((100 * 1024, 60 * 1024)));
        assert_eq!(df("nonsense"), None);
    }
}
