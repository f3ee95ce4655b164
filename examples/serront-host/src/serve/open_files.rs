//! The process's limit of open files, shared by connections and deliveries.

/// Open files of a connection: its socket, and the file of an incoming body.
#[cfg(unix)]
const FILES_PER_CONNECTION: u64 = 2;
/// Open files of a delivery: two DNS queries, each with three sockets if the name server does not answer.
#[cfg(unix)]
const FILES_PER_DELIVERY: u64 = 6;
/// Open files of everything else.
#[cfg(unix)]
const FILES_BESIDE: u64 = 512;

/// Most connections and deliveries at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) connections: u32,
    pub(crate) deliveries: u32,
}

impl Open {
    /// Raises the process's limit of open files to what these need. Returns how many the limit allows.
    #[cfg(unix)]
    pub(crate) fn allowed(self) -> Self {
        let wanted = u64::from(self.connections) * FILES_PER_CONNECTION
            + u64::from(self.deliveries) * FILES_PER_DELIVERY
            + FILES_BESIDE;
        let files = rlimit::increase_nofile_limit(wanted).unwrap_or(wanted);
        let allowed = self.within(files);
        if allowed != self {
            let Self { connections, deliveries } = allowed;
            tracing::warn!(connections, deliveries, "reduced, since the process may not open more files");
        }
        allowed
    }

    /// How many these files allow. A quarter is kept for deliveries, so that connections can't take all.
    #[cfg(unix)]
    fn within(self, files: u64) -> Self {
        let at_most = |files: u64, max: u32| u32::try_from(files).unwrap_or(u32::MAX).clamp(1, max.max(1));
        let left = files.saturating_sub(FILES_BESIDE);
        let beside = left.saturating_sub(u64::from(self.connections) * FILES_PER_CONNECTION);
        let deliveries = at_most(beside.max(left / 4) / FILES_PER_DELIVERY, self.deliveries);
        let left = left.saturating_sub(u64::from(deliveries) * FILES_PER_DELIVERY);
        let connections = at_most(left / FILES_PER_CONNECTION, self.connections);
        Self { connections, deliveries }
    }

    #[cfg(not(unix))]
    pub(crate) const fn allowed(self) -> Self {
        self
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn with_few_files_both_are_reduced() {
        let within = |connections, deliveries, files| {
            let open = Open { connections, deliveries }.within(files);
            (open.connections, open.deliveries)
        };
        assert_eq!(within(2_048, 512, 7_680), (2_048, 512), "just enough");
        assert_eq!(within(10, 512, 3_604), (10, 512), "just enough");
        assert_eq!(within(2_048, 512, 1_024), (193, 21));
        assert_eq!(within(2_048, 512, 0), (1, 1));
    }
}
