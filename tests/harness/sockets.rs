//! Whose a connection or a file is: Linux tells by which process holds the socket of a local port,
//! and which files a process has open.

use std::{collections::BTreeMap, fs, path::PathBuf};

/// Of `pids` those that hold TCP connections to port `to`, by the local ports of these. Connections
/// to different servers may have the same.
pub(crate) fn owners(pids: &[u32], to: u16) -> BTreeMap<u16, u32> {
    let mut inodes = BTreeMap::new();
    for pid in pids {
        // It may have ended by now.
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        for file in files.filter_map(Result::ok) {
            let Ok(target) = fs::read_link(file.path()) else { continue };
            let target = target.to_string_lossy();
            let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
            if let Some(inode) = inode {
                inodes.insert(inode.to_owned(), *pid);
            }
        }
    }
    // The JVM's sockets are of version 6, also to addresses of version 4.
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"]
        .map(|table| fs::read_to_string(table).expect("the kernel's table of sockets"));
    let mut owners = BTreeMap::new();
    for line in tables.iter().flat_map(|table| table.lines().skip(1)) {
        let mut columns = line.split_whitespace().skip(1);
        let mut port = || {
            let hex = columns.next().and_then(|address| address.rsplit(':').next());
            hex.and_then(|hex| u16::from_str_radix(hex, 16).ok()).expect("a port")
        };
        let (local, remote) = (port(), port());
        let inode = columns.nth(6).expect("an inode");
        if let Some(pid) = inodes.get(inode).filter(|_| remote == to) {
            owners.insert(local, *pid);
        }
    }
    owners
}

/// The files that a process has open, each as often as it has.
pub(crate) fn files(pid: u32) -> Vec<PathBuf> {
    let held = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
    // One may be closed between the two looks.
    held.filter_map(|file| fs::read_link(file.ok()?.path()).ok()).collect()
}
