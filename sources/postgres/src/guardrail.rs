//! `guardrail.collections.max`: how many tables may be captured, and what happens above it.

use model::{
    config::Config,
    error::{Error, Result},
};
use relational::config as common;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Guardrail {
    /// `None` without limit.
    max: Option<usize>,
    fails: bool,
}

impl Guardrail {
    pub(crate) fn read(config: &Config) -> Self {
        let max = usize::try_from(config.get(&common::GUARDRAIL_COLLECTIONS_MAX)).ok();
        let action = config.get(&common::GUARDRAIL_COLLECTIONS_LIMIT_ACTION);
        Self { max: max.filter(|max| *max > 0), fails: action.trim().eq_ignore_ascii_case("fail") }
    }

    /// # Errors
    ///
    /// When there are too many and that is to fail; otherwise it is logged.
    pub(crate) fn check(self, tables: usize) -> Result<()> {
        let Some(max) = self.max.filter(|max| tables > *max) else { return Ok(()) };
        let text = format!(
            "Guardrail limit exceeded: {tables} tables/collections configured for capture, but maximum allowed is {max}."
        );
        if self.fails {
            return Err(Error::fatal(format!(
                "{text} Narrow table.include.list, or raise guardrail.collections.max"
            )));
        }
        tracing::warn!("{text}");
        Ok(())
    }
}
