//! What happened, line by line. Two runs of one seed write the same bytes.

/// The lines, or only their digest.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    kept: Option<String>,
    digest: u64,
    lines: u64,
}

impl Trace {
    pub(crate) fn new(keep: bool) -> Self {
        Self { kept: keep.then(String::new), digest: 0xcbf2_9ce4_8422_2325, lines: 0 }
    }

    pub(crate) fn line(&mut self, line: &str) {
        self.lines += 1;
        for byte in line.bytes().chain([b'\n']) {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if let Some(kept) = &mut self.kept {
            kept.push_str(line);
            kept.push('\n');
        }
    }

    pub(crate) const fn digest(&self) -> u64 {
        self.digest
    }

    pub(crate) fn take(&mut self) -> Option<String> {
        self.kept.take()
    }
}
