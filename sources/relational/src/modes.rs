//! The modes that decide what form a kind of value has in events.

/// `decimal.handling.mode`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecimalMode {
    Precise,
    Double,
    String,
}

impl DecimalMode {
    /// The default for what validation has not let through.
    pub fn parse(text: &str) -> Self {
        match text.trim().to_ascii_lowercase().as_str() {
            "double" => Self::Double,
            "string" => Self::String,
            _ => Self::Precise,
        }
    }
}

/// `binary.handling.mode`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryMode {
    Bytes,
    Base64,
    Base64UrlSafe,
    Hex,
}

impl BinaryMode {
    /// The default for what validation has not let through.
    pub fn parse(text: &str) -> Self {
        match text.trim().to_ascii_lowercase().as_str() {
            "base64" => Self::Base64,
            "base64-url-safe" => Self::Base64UrlSafe,
            "hex" => Self::Hex,
            _ => Self::Bytes,
        }
    }
}

/// `time.precision.mode`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemporalMode {
    Adaptive,
    AdaptiveTimeMicroseconds,
    Connect,
    IsoString,
    Microseconds,
    Nanoseconds,
    /// Structs of years, months and so on; new in Debezium 3.7.
    Structured,
}

impl TemporalMode {
    /// The default for what validation has not let through.
    pub fn parse(text: &str) -> Self {
        match text.trim().to_ascii_lowercase().as_str() {
            "adaptive_time_microseconds" => Self::AdaptiveTimeMicroseconds,
            "connect" => Self::Connect,
            "isostring" => Self::IsoString,
            "microseconds" => Self::Microseconds,
            "nanoseconds" => Self::Nanoseconds,
            "structured" => Self::Structured,
            _ => Self::Adaptive,
        }
    }
}
