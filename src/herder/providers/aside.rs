//! Resolving where nobody but the caller waits for a file system, and the caller not for ever.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use model::connector::Props;

use super::{Provider, Providers};
use crate::{herder::isolated, runtime::Threads};

/// How long the providers may take for one configuration. Files of secrets are small, and a request
/// or a task waits for them.
const PROVIDERS_MAX: Duration = Duration::from_secs(30);

/// The configuration key whose value is being resolved, and the reference there.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<(String, String)>>);

impl Asked {
    fn note(&self, key: &str, reference: &str) {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *asked = (key.to_owned(), reference.to_owned());
    }

    fn last(&self) -> (String, String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Providers {
    /// Whether resolving may have to wait for a file system.
    pub fn reads_files(&self, props: &Props) -> bool {
        let names = self.0.iter().filter(|(_, provider)| !matches!(provider, Provider::Env { .. }));
        let references: Vec<String> = names.map(|(name, _)| format!("${{{name}:")).collect();
        props.values().any(|value| references.iter().any(|start| value.contains(start)))
    }

    /// The same as [`Providers::resolve`], on a thread of its own and within a time limit. The error
    /// of one that is late names the provider, what it was asked for and the limit.
    pub async fn resolve_aside(&self, threads: &Threads, props: &Props) -> Result<Props, String> {
        self.resolve_within(PROVIDERS_MAX, threads, props).await
    }

    async fn resolve_within(
        &self,
        within: Duration,
        threads: &Threads,
        props: &Props,
    ) -> Result<Props, String> {
        if !self.reads_files(props) {
            return self.resolve(props);
        }
        let (providers, props, asked) = (self.clone(), props.clone(), Asked::default());
        let asking = asked.clone();
        let code = async move {
            let one = |(key, value): (&String, &String)| {
                let mut note = |reference: &str| asking.note(key, reference);
                Ok((key.clone(), providers.resolve_asking(value, &mut note)?))
            };
            props.iter().map(one).collect()
        };
        isolated::run(threads, within, code).await.unwrap_or_else(|fault| {
            let (key, reference) = asked.last();
            let provider = reference.split(':').next().unwrap_or_default();
            Err(format!(
                "the value of {key} refers to ${{{reference}}}: config provider {provider} was \
                 asked for it and {fault}; check that the files it reads can be reached"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        sync::mpsc::{self, Receiver},
        time::Instant,
    };

    use super::*;

    /// One that answers at once to the path `quick`, and to others when it is let go.
    fn providers(released: Receiver<()>) -> Providers {
        let released = Mutex::new(released);
        let ask = move |path: &str, key: &str| {
            if path != "quick" {
                released.lock().unwrap().recv().unwrap_or_default();
            }
            format!("{key} of {path}")
        };
        let env = Provider::Env { allowed: None };
        let stand_in = Provider::StandIn(Box::new(ask));
        Providers(Arc::new(BTreeMap::from([
            ("vault".to_owned(), stand_in),
            ("env".to_owned(), env),
        ])))
    }

    fn props(value: &str) -> Props {
        [("database.password", value), ("note", "${other:x}")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
    }

    /// On a runtime of one thread, which goes on.
    #[tokio::test]
    async fn a_provider_that_hangs_holds_nobody() {
        let (release, released) = mpsc::channel();
        let providers = providers(released);
        let threads = Threads::here();
        let within = Duration::from_secs(1);
        let hanging = props("a${vault:quick:x}b${vault:/mnt/far:password}");
        let began = Instant::now();
        let late = providers.resolve_within(within, &threads, &hanging);
        let quick = async {
            let quick = props("a${vault:quick:password}b");
            let resolved = providers.resolve_aside(&threads, &quick).await;
            (resolved, began.elapsed())
        };
        let (late, (resolved, took)) = tokio::join!(late, quick);
        assert_eq!(resolved.unwrap(), props("apassword of quickb"));
        assert!(took < within, "it waited {took:?} for the other");
        assert_eq!(
            late.unwrap_err(),
            "the value of database.password refers to ${vault:/mnt/far:password}: config provider \
             vault was asked for it and did not answer within 1 s; check that the files it reads \
             can be reached"
        );
        drop(release);
    }

    #[test]
    fn what_takes_no_file_takes_no_thread() {
        let (_release, released) = mpsc::channel();
        let providers = providers(released);
        for (value, reads) in [
            ("plain", false),
            ("${env:PATH}", false),
            ("${vault", false),
            ("${other:a:b}", false),
            ("a${vault:a:b}", true),
        ] {
            assert_eq!(providers.reads_files(&props(value)), reads, "{value}");
        }
    }
}
