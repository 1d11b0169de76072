//! The figures side by side, as Markdown.

/// What a measurement cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Rows a second.
    pub(crate) rate: f64,
    /// CPU seconds a million rows.
    pub(crate) cpu: f64,
    /// Peak resident memory in MiB.
    pub(crate) peak: f64,
}

#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<[String; 5]>,
    notes: Vec<String>,
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

impl Table {
    /// Rate, CPU and memory of both, the medians of their rounds.
    pub(crate) fn costs(&mut self, what: &str, costs: [Vec<Cost>; 2], limit: Option<(&str, f64)>) {
        let part =
            |who: usize, part: fn(&Cost) -> f64| median(costs[who].iter().map(part).collect());
        let bound = limit.map(|(name, rate)| {
            format!("{name} {} ({:.2} of it)", plain(rate), part(1, |cost| cost.rate) / rate)
        });
        self.row(&format!("{what}, rows/s"), part(0, |c| c.rate), part(1, |c| c.rate), bound);
        self.row(&format!("{what}, CPU-s a million"), part(0, |c| c.cpu), part(1, |c| c.cpu), None);
        self.row(&format!("{what}, peak RSS MiB"), part(0, |c| c.peak), part(1, |c| c.peak), None);
    }

    pub(crate) fn row(&mut self, what: &str, peer: f64, ours: f64, limit: Option<String>) {
        let ratio = if ours > peer {
            format!("{:.1} ×", ours / peer)
        } else {
            format!("1/{:.1}", peer / ours)
        };
        self.rows.push([what.into(), plain(peer), plain(ours), ratio, limit.unwrap_or_default()]);
    }

    pub(crate) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    #[expect(clippy::print_stdout, reason = "the benchmark's result")]
    pub(crate) fn print(&self, rows: i64, rounds: usize) {
        println!("\n{rows} rows, median of {rounds} rounds, JSON without schemas\n");
        println!("| | Debezium on the JVM | Riverrun | ratio | limit of the machine |");
        println!("|---|---:|---:|---:|---|");
        for [what, peer, ours, ratio, limit] in &self.rows {
            println!("| {what} | {peer} | {ours} | {ratio} | {limit} |");
        }
        for note in &self.notes {
            println!("\n{note}");
        }
    }
}

/// Three figures or so, thousands apart.
fn plain(value: f64) -> String {
    if value < 0.1 {
        return format!("{value:.3}");
    }
    if value < 10.0 {
        return format!("{value:.2}");
    }
    if value < 1000.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
