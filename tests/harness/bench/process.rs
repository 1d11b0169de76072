//! What a process has used, from `/proc`.

use std::fs;

pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// CPU seconds, user and system, since it began.
    pub(crate) fn cpu(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).expect("the process lives");
        // The name in parentheses may hold anything; the fields after it are counted from state = 0.
        let fields: Vec<&str> =
            stat.rsplit(')').next().expect("fields").split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        ticks / 100.0 // USER_HZ, which Linux fixes for programs on all our targets.
    }

    /// Peak memory begins anew here.
    pub(crate) fn reset_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.0), "5").expect("a process of this user");
    }

    pub(crate) fn peak_mib(&self) -> f64 {
        self.memory("VmHWM:")
    }

    /// What is resident now.
    pub(crate) fn rss_mib(&self) -> f64 {
        self.memory("VmRSS:")
    }

    fn memory(&self, field: &str) -> f64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.0)).expect("the process lives");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("the field");
        line.trim().trim_end_matches(" kB").trim().parse::<f64>().expect("a number") / 1024.0
    }
}
