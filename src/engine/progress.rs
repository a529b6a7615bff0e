//! The stream of progress: events are never dropped, output is when nobody keeps up with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use crate::base::StepId;
use crate::event::{Progress, RunEvent, Stream};

/// Most bytes of output that may wait for a slow watcher. The log file has everything anyway.
const MAX_QUEUED: usize = 1 << 20;

/// The sending end; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct ProgressSender {
    channel: mpsc::UnboundedSender<Progress>,
    queued: Arc<AtomicUsize>,
}

/// The receiving end.
#[derive(Debug)]
pub struct ProgressReceiver {
    channel: mpsc::UnboundedReceiver<Progress>,
    queued: Arc<AtomicUsize>,
}

/// A new stream.
pub(super) fn channel() -> (ProgressSender, ProgressReceiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let queued = Arc::new(AtomicUsize::new(0));
    (
        ProgressSender {
            channel: sender,
            queued: Arc::clone(&queued),
        },
        ProgressReceiver {
            channel: receiver,
            queued,
        },
    )
}

impl ProgressSender {
    pub(super) fn event(&self, event: RunEvent) {
        // Nobody watching is fine: the journal has it.
        let _ = self.channel.send(Progress::Event(Arc::new(event)));
    }

    pub(super) fn warning(&self, text: String) {
        let _ = self.channel.send(Progress::Warning { text });
    }

    pub(super) fn output(&self, step: &StepId, stream: Stream, bytes: &[u8]) {
        if self.channel.is_closed() || self.queued.load(Ordering::Relaxed) > MAX_QUEUED {
            return;
        }
        self.queued.fetch_add(bytes.len(), Ordering::Relaxed);
        let _ = self.channel.send(Progress::Output {
            step: step.clone(),
            stream,
            text: String::from_utf8_lossy(bytes).into_owned(),
        });
    }
}

impl ProgressReceiver {
    /// The next piece of progress; `None` when the run's engine has ended and all was received.
    pub async fn recv(&mut self) -> Option<Progress> {
        let progress = self.channel.recv().await;
        self.took(progress.as_ref());
        progress
    }

    /// The next piece that is there already.
    pub fn try_recv(&mut self) -> Option<Progress> {
        let progress = self.channel.try_recv().ok();
        self.took(progress.as_ref());
        progress
    }

    fn took(&self, progress: Option<&Progress>) {
        if let Some(Progress::Output { text, .. }) = progress {
            // Lossy text may be longer than the bytes were, so never below zero.
            let _ = self
                .queued
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                    Some(n.saturating_sub(text.len()))
                });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn output_is_bounded_when_nobody_reads() {
        let (sender, mut receiver) = channel();
        let step = StepId::new("noisy").expect("valid");
        let chunk = vec![b'x'; 64 * 1024];
        for _ in 0..1_000 {
            sender.output(&step, Stream::Out, &chunk);
        }
        let mut bytes = 0;
        while let Some(Progress::Output { text, .. }) = receiver.try_recv() {
            bytes += text.len();
        }
        assert!(bytes >= MAX_QUEUED && bytes < MAX_QUEUED + 2 * chunk.len());
        sender.output(&step, Stream::Out, b"again");
        assert!(matches!(receiver.try_recv(), Some(Progress::Output { .. })));
    }
}
