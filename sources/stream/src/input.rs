//! Where the bytes come from: a file, or the standard input of the process.

use std::{
    fs::File,
    io::{ErrorKind, Read},
    path::Path,
    sync::{Arc, LazyLock},
};

use model::error::{Error, Result};
use tokio::{
    io::AsyncReadExt,
    sync::{Mutex, OwnedMutexGuard, mpsc},
};

/// One read. Large enough that the system call costs nothing, small enough to be one batch.
const READ_BYTES: usize = 64 << 10;

pub(crate) enum Input {
    /// Read on the task's own thread: most looks at a file find nothing new, and handing each to
    /// another thread costs more than the look.
    File(File),
    /// A FIFO or a device, whose reads may wait for ever. The future of one may be dropped.
    Pipe(tokio::fs::File),
    Console(OwnedMutexGuard<mpsc::Receiver<Vec<u8>>>),
}

impl Input {
    /// `None` when there is no such file (yet).
    pub(crate) async fn open(path: &str) -> Result<Option<Self>> {
        // A FIFO opens when somebody writes to it.
        let opened = match tokio::fs::File::open(Path::new(path)).await {
            Ok(file) => file.metadata().await.map(|metadata| (file, metadata.is_file())),
            Err(error) => Err(error),
        };
        match opened {
            Ok((file, true)) => Ok(Some(Self::File(file.into_std().await))),
            Ok((file, false)) => Ok(Some(Self::Pipe(file))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::fatal(format!("open {path} for reading")).caused_by(error)),
        }
    }

    /// Standard input. Waits while another task of the process reads it. Cancel-safe.
    pub(crate) async fn console() -> Self {
        Self::Console(CONSOLE.clone().lock_owned().await)
    }

    /// What there is to read now; nothing at the end.
    pub(crate) async fn read(&mut self) -> Result<Vec<u8>> {
        match self {
            Self::File(file) => {
                // Takes memory only when there is something to read.
                let mut bytes = Vec::new();
                file.take(READ_BYTES as u64).read_to_end(&mut bytes).map_err(failed)?;
                Ok(bytes)
            }
            Self::Pipe(pipe) => {
                let mut bytes = vec![0; READ_BYTES];
                let read = pipe.read(&mut bytes).await.map_err(failed)?;
                bytes.truncate(read);
                Ok(bytes)
            }
            Self::Console(pieces) => Ok(pieces.try_recv().unwrap_or_default()),
        }
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::retriable("reading the source's file failed").caused_by(error)
}

/// A read of standard input can't be cut short, so a thread of its own does it, from the first use
/// to the end of the process, and no task or stop ever waits for it. What a task has not taken is
/// there for the next.
static CONSOLE: LazyLock<Arc<Mutex<mpsc::Receiver<Vec<u8>>>>> = LazyLock::new(|| {
    let (sender, receiver) = mpsc::channel(1);
    let read = move || {
        let mut console = std::io::stdin().lock();
        loop {
            let mut bytes = vec![0; READ_BYTES];
            match console.read(&mut bytes) {
                Ok(0) => return,
                Ok(read) => {
                    bytes.truncate(read);
                    if sender.blocking_send(bytes).is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::error!("reading standard input failed: {error}");
                    return;
                }
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("stdin".to_owned()).spawn(read) {
        tracing::error!("no thread to read standard input with: {error}");
    }
    Arc::new(Mutex::new(receiver))
});
