//! Where log lines go: gathered in memory and written to standard error by a thread of their own, many
//! at a time, so that a request does not wait for the terminal, the file or the pipe behind it.
//!
//! Lines of level WARN and ERROR, and everything before them, are written before the call returns. Of
//! the others, a process that is killed loses those of the last [`PAUSE`]; one that ends does not lose
//! any ([`flush`]).

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// How long lines gather.
const PAUSE: Duration = Duration::from_millis(10);
/// Bytes that may wait; who has more to say waits too.
const MOST: usize = 4 << 20;

/// Lines on their way.
pub(super) struct Output {
    waiting: Mutex<Vec<u8>>,
    /// Something waits, or there is room again.
    changed: Condvar,
    /// Held while writing: lines stay in order.
    to: Mutex<Box<dyn Write + Send>>,
}

impl Output {
    /// Starts the thread that writes.
    pub(super) fn start(to: impl Write + Send + 'static) -> Arc<Self> {
        let output = Arc::new(Self {
            waiting: Mutex::default(),
            changed: Condvar::new(),
            to: Mutex::new(Box::new(to)),
        });
        let own = output.clone();
        let thread = std::thread::Builder::new().name("log".to_owned());
        // Without a thread lines are written when they are too many, and at the end.
        let _ = thread.spawn(move || own.write_for_ever());
        output
    }

    fn write_for_ever(&self) {
        loop {
            let mut waiting = self.waiting();
            while waiting.is_empty() {
                waiting = self
                    .changed
                    .wait(waiting)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            drop(waiting);
            std::thread::sleep(PAUSE);
            self.flush();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<u8>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes everything that waits.
    pub(super) fn flush(&self) {
        let mut to = self.to.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = std::mem::take(&mut *self.waiting());
        // Nobody is left to be told of an error here.
        let _ = to.write_all(&lines).and_then(|()| to.flush());
    }

    fn add(&self, line: &[u8]) {
        let mut waiting = self.waiting();
        if waiting.len() + line.len() > MOST {
            drop(waiting);
            self.flush();
            waiting = self.waiting();
        }
        if waiting.is_empty() {
            waiting.reserve(64 << 10);
            self.changed.notify_one();
        }
        waiting.extend_from_slice(line);
    }
}

/// One event's way to the [`Output`].
pub(super) struct Lines {
    output: Arc<Output>,
    at_once: bool,
}

/// [`Lines`] for `tracing_subscriber`.
#[derive(Clone)]
pub(super) struct ToOutput(pub(super) Arc<Output>);

impl MakeWriter<'_> for ToOutput {
    type Writer = Lines;

    fn make_writer(&self) -> Lines {
        Lines {
            output: self.0.clone(),
            at_once: false,
        }
    }

    fn make_writer_for(&self, about: &Metadata<'_>) -> Lines {
        Lines {
            output: self.0.clone(),
            at_once: *about.level() <= Level::WARN,
        }
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.output.add(line);
        if self.at_once {
            self.output.flush();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Sink {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn subscriber(sink: &Sink) -> (impl tracing::Subscriber + use<>, Arc<Output>) {
        let output = Output::start(sink.clone());
        let subscriber = tracing_subscriber::fmt()
            .with_writer(ToOutput(output.clone()))
            .without_time()
            .with_ansi(false)
            .finish();
        (subscriber, output)
    }

    #[test]
    fn lines_come_in_order_and_none_is_lost() {
        let sink = Sink::default();
        let (subscriber, output) = subscriber(&sink);
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..100_000 {
                tracing::info!(number);
            }
        });
        output.flush();
        let text = sink.text();
        assert!(text.len() > MOST / 2);
        for (number, line) in text.lines().enumerate() {
            assert!(line.ends_with(&format!("number={number}")), "{line}");
        }
        assert_eq!(text.lines().count(), 100_000);
    }

    #[test]
    fn trouble_is_written_at_once_and_the_rest_soon() {
        let sink = Sink::default();
        let (subscriber, _) = subscriber(&sink);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("before");
            tracing::warn!("trouble");
            assert!(sink.text().contains("before") && sink.text().contains("trouble"));
            tracing::info!("after");
        });
        let began = Instant::now();
        while !sink.text().contains("after") {
            assert!(began.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
