//! The process: memory, CPU, files and threads under Prometheus' usual names, from Linux' `/proc`.
//! Elsewhere there are none.

use std::fs;

use super::text::Text;

/// Linux counts CPU time in these to programs, whatever the kernel's own clock (`man 5 proc`).
const TICKS_A_SECOND: f64 = 100.0;

pub(super) fn write(text: &mut Text) {
    if let Ok(stat) = fs::read_to_string("/proc/self/stat")
        && let Some([user, system, started]) = times(&stat)
    {
        let help = "CPU time of user and system, in seconds.";
        let cpu = (user + system) / TICKS_A_SECOND;
        text.sample("process_cpu_seconds_total", help, true, &[], &[], cpu);
        if let Some(boot) = boot_time() {
            let help = "When the process started, in seconds since 1970.";
            let at = boot + started / TICKS_A_SECOND;
            text.gauge("process_start_time_seconds", help, &[], at);
        }
    }
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        let figures = [
            ("VmRSS:", "process_resident_memory_bytes", "Resident memory.", 1_024.0),
            ("VmSize:", "process_virtual_memory_bytes", "Virtual memory.", 1_024.0),
            ("Threads:", "process_threads", "Threads of the process.", 1.0),
        ];
        for (key, name, help, unit) in figures {
            if let Some(value) = field(&status, key) {
                text.gauge(name, help, &[], value * unit);
            }
        }
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        // The listing itself has one open.
        let count = files.count().saturating_sub(1);
        text.gauge("process_open_fds", "Open files and sockets.", &[], count as f64);
    }
    if let Ok(limits) = fs::read_to_string("/proc/self/limits")
        && let Some(most) = field(&limits, "Max open files")
    {
        text.gauge("process_max_fds", "Files and sockets that may be open.", &[], most);
    }
}

/// The number after a key at the start of a line.
fn field(text: &str, key: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// User time, system time and start, in ticks. The program's name, in brackets, may hold anything.
fn times(stat: &str) -> Option<[f64; 3]> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // `man 5 proc` counts from 1, with the two fields before and in the brackets.
    let number = |field: usize| fields.get(field - 3)?.parse().ok();
    Some([number(14)?, number(15)?, number(22)?])
}

/// Seconds since 1970.
fn boot_time() -> Option<f64> {
    field(&fs::read_to_string("/proc/stat").ok()?, "btime")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_read_whatever_the_program_is_called() {
        let stat = "12 (a) b (c) S 1 1 1 0 -1 4194304 1 0 0 0 250 50 0 0 20 0 9 0 777 1 1 1";
        assert_eq!(times(stat), Some([250.0, 50.0, 777.0]));
        assert_eq!(times("12 (x) S 1"), None);
        assert_eq!(field("VmRSS:\t  12 kB\n", "VmRSS:"), Some(12.0));
    }
}
