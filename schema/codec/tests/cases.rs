//! Test cases as text: a directive line, input, `----`, the expected answer, a blank line.

use std::{fs, path::Path};

pub(crate) struct Case<'a> {
    pub(crate) directive: &'a str,
    pub(crate) input: &'a str,
}

/// What the JVM's answer differs in, with reason: see the file.
const EXCEPTIONS: &str = include_str!("../testdata/allowed.txt");

pub(crate) fn run(file: &str, answer: impl Fn(&Case<'_>) -> String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(file);
    let text = fs::read_to_string(&path).unwrap();
    let mut cases = 0;
    let mut wrong = Vec::new();
    for block in text.trim_end().split("\n\n") {
        let Some((question, expected)) = block.split_once("\n----\n") else { continue };
        let start = question
            .lines()
            .take_while(|line| line.starts_with('#'))
            .map(|line| line.len() + 1)
            .sum();
        let question = &question[start..];
        let (directive, input) = question.split_once('\n').unwrap_or((question, ""));
        cases += 1;
        let got = answer(&Case { directive, input });
        // The JVM's messages may end in a blank, which the files keep.
        let expected = allowed(question).unwrap_or(expected.trim_end());
        if got.trim_end() != expected {
            wrong.push(format!("{question}\n  want: {expected}\n  got:  {got}\n"));
        }
    }
    assert!(cases > 50, "{file} has {cases} cases");
    assert!(wrong.is_empty(), "{file}: {} of {cases} differ\n\n{}", wrong.len(), wrong.join("\n"));
}

/// Our own answer where it is meant to be another one.
fn allowed(question: &str) -> Option<&'static str> {
    EXCEPTIONS.trim_end().split("\n\n").find_map(|block| {
        let (asked, answer) = block.split_once("\n----\n")?;
        let start: usize =
            asked.lines().take_while(|line| line.starts_with('#')).map(|line| line.len() + 1).sum();
        (&asked[start..] == question).then_some(answer)
    })
}
