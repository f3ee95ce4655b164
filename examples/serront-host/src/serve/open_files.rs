//! The process' limit of open files, shared by connections and deliveries.

/// How many files one connection may have open: itself, and its body under way.
#[cfg(unix)]
const FILES_PER_CONNECTION: u64 = 2;

/// How many a delivery may: two questions about its name, of three sockets each where the name's server is silent.
#[cfg(unix)]
const FILES_PER_DELIVERY: u64 = 6;

/// How many files everything else may have open.
#[cfg(unix)]
const FILES_BESIDE: u64 = 512;

/// How many of what takes files may be open at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Open {
    /// Connections of clients.
    pub(crate) connections: u32,
    /// Deliveries under way.
    pub(crate) deliveries: u32,
}

impl Open {
    /// Raises the process' limit of open files to what these need, and answers how many it is good for.
    #[cfg(unix)]
    pub(crate) fn allowed(self) -> Self {
        let wanted = u64::from(self.connections) * FILES_PER_CONNECTION
            + u64::from(self.deliveries) * FILES_PER_DELIVERY
            + FILES_BESIDE;
        let files = rlimit::increase_nofile_limit(wanted).unwrap_or(wanted);
        let allowed = self.within(files);
        if allowed != self {
            let Self { connections, deliveries } = allowed;
            tracing::warn!(connections, deliveries, "fewer at once, since the process may not open more files");
        }
        allowed
    }

    /// How many so many files are good for.
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

    /// There is no such limit.
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
    fn where_files_are_few_both_get_fewer() {
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
