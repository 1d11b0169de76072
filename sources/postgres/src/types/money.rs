//! The type `money`.

use bytes::Bytes;
use model::{
    schema::{Kind, Schema},
    value::Value,
};
use relational::{modes::DecimalMode, semantic};

use super::{Mapped, Settings, zero_text};
use crate::cells::Decode;

/// `digits` are those of the fraction in what the server prints.
pub(super) fn map(digits: u8, settings: &Settings) -> Mapped {
    let scale = settings.money_scale;
    let (schema, decode, fallback) = match settings.decimals {
        DecimalMode::Precise => (
            semantic::decimal(scale, None),
            Decode::Money { scale, digits },
            Value::Bytes(Bytes::from_static(&[0])),
        ),
        DecimalMode::Double => {
            (Schema::new(Kind::Float64), Decode::MoneyDouble { digits }, Value::Float64(0.0))
        }
        DecimalMode::String => {
            (Schema::new(Kind::String), Decode::MoneyText { digits }, Value::Text(zero_text(scale)))
        }
    };
    Mapped {
        schema,
        decode,
        fallback,
        unchanged: Value::Null,
        cast: "text",
        always_optional: false,
    }
}
