//! How large a file may be.

/// Bounds on a file, so that a hostile one gets an error in milliseconds (design §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole file.
    pub document_bytes: usize,
    /// Lists and maps inside each other.
    pub depth: usize,
    /// Values of all kinds, keys not counted; the copies that aliases make count too.
    pub nodes: usize,
    /// Bytes of one text.
    pub scalar_bytes: usize,
    /// Values that anchors and aliases may copy in all.
    pub copied_nodes: usize,
    /// Bytes of text that anchors and aliases may copy in all.
    pub copied_bytes: usize,
}

impl Default for Limits {
    /// Room for some 30,000 steps.
    fn default() -> Self {
        Self {
            document_bytes: 8 << 20,
            depth: 64,
            nodes: 1_000_000,
            scalar_bytes: 1 << 20,
            copied_nodes: 20_000,
            copied_bytes: 4 << 20,
        }
    }
}
