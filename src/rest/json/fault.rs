//! What is wrong with a text, and where, as Jackson tells it.

/// Where the bytes come from, as Jackson names it since it hides them.
const SOURCE: &str =
    "[Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: ";

/// A place in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::rest) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Place {
    /// Of a text that has no value at all.
    pub(in crate::rest) const NOWHERE: Self = Self { line: 1, column: 0 };

    pub(super) fn show(self) -> String {
        match self.column {
            0 => format!("{SOURCE}{}]", self.line),
            column => format!("{SOURCE}{}, column: {column}]", self.line),
        }
    }
}

/// What is wrong, where, and what leads there.
#[derive(Debug)]
pub(in crate::rest) struct Fault {
    message: String,
    /// None when a limit is exceeded.
    place: Option<Place>,
    /// Of the form `Class["field"]->…`, outermost first.
    path: Vec<String>,
    /// Texts are read when they are asked for, so a fault in one belongs to its field.
    pub(in crate::rest) within_text: bool,
}

impl Fault {
    pub(in crate::rest) fn new(message: impl Into<String>, place: Place) -> Self {
        let place = Some(place);
        Self { message: message.into(), place, path: Vec::new(), within_text: false }
    }

    /// One of the limits of Jackson's `StreamReadConstraints` is exceeded.
    pub(super) fn limit(what: &str, given: usize, max: usize, name: &str) -> Self {
        let message = format!(
            "{what} ({given}) exceeds the maximum allowed ({max}, from \
             `StreamReadConstraints.{name}()`)"
        );
        Self { message, place: None, path: Vec::new(), within_text: false }
    }

    /// The same, in a text.
    pub(super) fn in_text(self) -> Self {
        Self { within_text: true, ..self }
    }

    /// With one more step that leads to it.
    pub(in crate::rest) fn under(mut self, step: String) -> Self {
        self.path.insert(0, step);
        self
    }

    pub(in crate::rest) fn show(&self) -> String {
        let place = self.place.map_or_else(String::new, |place| format!("\n at {}", place.show()));
        let chain = match self.path.is_empty() {
            true => String::new(),
            false => format!(" (through reference chain: {})", self.path.join("->")),
        };
        format!("{}{place}{chain}", self.message)
    }
}
