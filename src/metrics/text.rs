//! Prometheus' text format, version 0.0.4.

use std::fmt::Write;

use indexmap::IndexMap;

/// As the `Content-Type` of an answer.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Collects samples, and writes them family by family: the format wants all samples of a name
/// together, whoever they come from.
#[derive(Default)]
pub struct Text {
    families: IndexMap<String, Family>,
}

struct Family {
    help: String,
    counter: bool,
    samples: String,
}

pub type Labels<'a> = &'a [(&'a str, &'a str)];

impl Text {
    pub fn gauge(&mut self, name: &str, help: &str, labels: Labels<'_>, value: f64) {
        self.sample(name, help, false, labels, &[], value);
    }

    pub fn counter(&mut self, name: &str, help: &str, labels: Labels<'_>, value: u64) {
        self.sample(name, help, true, labels, &[], value as f64);
    }

    /// A sample; the type of a family is what its first sample says.
    pub fn sample(
        &mut self,
        name: &str,
        help: &str,
        counter: bool,
        labels: Labels<'_>,
        more: Labels<'_>,
        value: f64,
    ) {
        if !self.families.contains_key(name) {
            let family = Family { help: help.to_owned(), counter, samples: String::new() };
            self.families.insert(name.to_owned(), family);
        }
        let Some(family) = self.families.get_mut(name) else { return };
        let out = &mut family.samples;
        out.push_str(name);
        for (index, (label, value)) in labels.iter().chain(more).enumerate() {
            out.push(if index == 0 { '{' } else { ',' });
            out.push_str(label);
            out.push_str("=\"");
            escape(value, true, out);
            out.push('"');
        }
        if !labels.is_empty() || !more.is_empty() {
            out.push('}');
        }
        out.push(' ');
        write_value(value, out);
        out.push('\n');
    }

    pub fn finish(self) -> String {
        let mut out = String::new();
        for (name, family) in self.families {
            out.push_str("# HELP ");
            out.push_str(&name);
            out.push(' ');
            escape(&family.help, false, &mut out);
            let kind = if family.counter { "counter" } else { "gauge" };
            out.push_str("\n# TYPE ");
            out.push_str(&name);
            out.push(' ');
            out.push_str(kind);
            out.push('\n');
            out.push_str(&family.samples);
        }
        out
    }
}

fn escape(text: &str, quoted: bool, out: &mut String) {
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quoted => out.push_str("\\\""),
            character => out.push(character),
        }
    }
}

fn write_value(value: f64, out: &mut String) {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else if write!(out, "{value}").is_err() {
        unreachable!("a String takes all that is written to it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_stand_together_and_texts_are_escaped() {
        let mut text = Text::default();
        text.counter("a_total", "how \"many\"\nof \\", &[("x", "1\"\n\\")], 3);
        text.gauge("b", "b", &[], f64::INFINITY);
        text.counter("a_total", "ignored", &[("x", "2"), ("y", "ü")], 4);
        text.gauge("b", "b", &[("z", "")], f64::NAN);
        text.gauge("c", "c", &[], 0.25);
        assert_eq!(
            text.finish(),
            "# HELP a_total how \"many\"\\nof \\\\\n# TYPE a_total counter\n\
             a_total{x=\"1\\\"\\n\\\\\"} 3\na_total{x=\"2\",y=\"ü\"} 4\n\
             # HELP b b\n# TYPE b gauge\nb +Inf\nb{z=\"\"} NaN\n\
             # HELP c c\n# TYPE c gauge\nc 0.25\n"
        );
    }
}
