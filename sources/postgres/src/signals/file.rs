//! The channel `file`: signals as lines of JSON in a file, which is emptied when they are read.

use std::{
    collections::HashSet,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

use ::snapshot::signals::Signal;
use tokio::{
    fs,
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use super::Heard;

/// More is not read at once: signals are small, and this file may be any.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Hands over what is written into the file, until nobody takes it any more.
pub(crate) async fn follow(path: PathBuf, poll: Duration, signals: mpsc::Sender<Heard>) {
    let mut tick = interval(poll);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut complaints = HashSet::new();
    tracing::info!("signals are read from file {}", path.display());
    loop {
        tokio::select! {
            () = signals.closed() => return,
            _ = tick.tick() => {}
        }
        match take(&path).await {
            Ok(lines) => {
                complaints.clear();
                for line in lines.lines().filter(|line| !line.trim().is_empty()) {
                    match Signal::from_json(line) {
                        Ok(signal) => {
                            let heard = Heard { signal: Some(signal), offset: None };
                            if signals.send(heard).await.is_err() {
                                return;
                            }
                        }
                        Err(reason) => tracing::warn!(
                            "a line of signal file {} is no signal: {reason}; write {{\"id\": …, \"type\": …, \"data\": {{…}}}}, one a line",
                            path.display()
                        ),
                    }
                }
            }
            // Said once, not with each look.
            Err(error) if complaints.insert(error.to_string()) => tracing::warn!(
                "signal file {} can't be read and emptied: {error}; give the worker's user the right to read and write it",
                path.display()
            ),
            Err(_) => {}
        }
    }
}

/// What is in the file, which is empty then; nothing when there is no file.
async fn take(path: &Path) -> std::io::Result<String> {
    let meta = match fs::metadata(path).await {
        Ok(meta) if meta.is_file() && meta.len() > 0 => meta,
        Ok(_) => return Ok(String::new()),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    if meta.len() > FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!(
            "it has {} bytes, more than {FILE_BYTES_MAX}",
            meta.len()
        )));
    }
    let text = fs::read_to_string(path).await?;
    // As Debezium does it: what can't be emptied is not followed, or it would be at every look.
    fs::OpenOptions::new().write(true).open(path).await?.set_len(0).await?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_taken_once() {
        let path = std::env::temp_dir().join(format!("signals-{}", uuid::Uuid::new_v4()));
        let (sender, mut signals) = mpsc::channel(8);
        let following = tokio::spawn(follow(path.clone(), Duration::from_millis(5), sender));
        let lines = "{\"id\":\"1\",\"type\":\"pause-snapshot\",\"data\":{}}\n\nnonsense\n{\"id\":\"2\",\"type\":\"log\",\"data\":{\"message\":\"m\"}}\n";
        // Renamed into place, so that it is there whole.
        let draft = path.with_extension("draft");
        fs::write(&draft, lines).await.unwrap();
        fs::rename(&draft, &path).await.unwrap();
        let mut next = async || signals.recv().await.unwrap().signal.unwrap();
        let (first, second) = (next().await, next().await);
        assert_eq!((first.id.as_str(), second.data.as_str()), ("1", "{\"message\":\"m\"}"));
        assert_eq!(fs::read_to_string(&path).await.unwrap(), "");
        fs::write(&path, "{\"id\":\"3\",\"type\":\"resume-snapshot\"}\n").await.unwrap();
        assert_eq!(next().await.id, "3");
        drop(signals);
        following.await.unwrap();
        fs::remove_file(&path).await.unwrap();
    }
}
