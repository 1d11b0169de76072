//! Stores of keys, see [`crate::fuzz`].

use super::{jks, pem, store};
use crate::fuzz::choice;

/// A store of any kind, with or without its password, and what its keys are masked with.
pub fn key_store(input: &[u8]) {
    let Some((choice, bytes)) = choice(input) else { return };
    let password = "store-password";
    match choice % 5 {
        0 => {
            // What is read lies in the store, so that it can't be more.
            if let Ok(entries) = jks::entries(bytes, None) {
                let length = |entry: &jks::Entry| match entry {
                    jks::Entry::Trusted(certificate) => certificate.len(),
                    jks::Entry::Key { masked, chain } => {
                        masked.len() + chain.iter().map(Vec::len).sum::<usize>()
                    }
                };
                assert!(entries.iter().map(length).sum::<usize>() <= bytes.len());
                for entry in entries {
                    if let jks::Entry::Key { masked, .. } = entry {
                        drop(jks::unmask(&masked, password));
                    }
                }
            }
        }
        1 => drop(jks::entries(bytes, Some(password))),
        2 => drop(jks::unmask(bytes, password)),
        3 => {
            if let Ok(archive) = store::pkcs12(bytes, Some(password)) {
                drop(store::first_key(&archive));
            }
        }
        _ => {
            let text = String::from_utf8_lossy(bytes);
            drop(pem::certificates(&text));
            drop(pem::private_key(&text, Some(password)));
        }
    }
}
