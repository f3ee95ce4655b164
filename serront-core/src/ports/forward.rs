//! Macros over the signatures of the large ports, for wrappers and mocks.

/// Implements a port for a wrapper: every part of [`Storage`](crate::ports::Storage) or
/// [`WorkStorage`](crate::ports::WorkStorage), or [`Receipts`](crate::ports::Receipts). An adapter can use it for the parts
/// whose methods are all alike.
///
/// The wrapper supplies one macro, which becomes the body of every method. It is called with the call to forward, and in
/// brackets with the arguments that are references and the types they refer to:
///
/// ```text
/// wrapped!(self.orders(account_id, filter, after, limit) [filter: OrderFilter,])
/// ```
///
/// To change one method, add an arm that names it. `<S>` makes the impl generic over the wrapped port.
///
/// ```
/// use serront_core::forward_port;
/// use serront_core::primitives::ids::AccountId;
/// use serront_core::orders::order::WorkCounts;
/// use serront_core::ports::{OrderReads, PortError};
///
/// /// A storage that reports no orders in any state.
/// struct WithoutCounts<S: ?Sized>(S);
///
/// macro_rules! without_counts {
///     ($this:ident.counts($account_id:ident) $_:tt) => {{
///         let _ = $account_id;
///         Ok(WorkCounts::default())
///     }};
///     ($this:ident.$method:ident($($argument:ident),*) $_:tt) => { $this.0.$method($($argument),*).await };
/// }
///
/// forward_port! { impl<S> WorkStorage for WithoutCounts<S> { without_counts! } }
/// ```
///
/// A new method of a part needs no change in a wrapper, and can't be left out: the same list makes the trait and the impl.
#[macro_export]
macro_rules! forward_port {
    (impl$(<$storage:ident>)? $port:ident for $wrapper:ty { $body:ident! }) => {
        const _: () = {
            use $crate::ports::prelude::*;
            $crate::port_signatures! { $port [$crate::forward_port] [@impl [$($storage)?] [$wrapper] $body] }
        };
    };
    (@impl $storage:tt $wrapper:tt $body:ident $(trait $Part:ident $methods:tt)+) => {
        $($crate::forward_port! { @part $storage $wrapper $body $Part $methods })+
    };
    (@part [$($storage:ident)?] [$wrapper:ty] $body:ident $Part:ident { $(
        async fn $method:ident(
            &self $(, $argument:ident: $(&$borrowed:tt)? $($owned:ident $(<$($generic:ty),+>)?)?)* $(,)?
        ) -> $answer:ty;
    )+ }) => {
        #[deny(clippy::missing_trait_methods)]
        #[async_trait]
        impl$(<$storage: $Part + ?Sized>)? $Part for $wrapper {
            $(async fn $method(
                &self $(, $argument: $(&$borrowed)? $($owned $(<$($generic),+>)?)?)*
            ) -> $answer {
                $body!(self.$method($($argument),*) [$($($argument: $borrowed,)?)*])
            })+
        }
    };
}

/// Calls a macro once with the signatures of all parts of a port:
/// `callback! { context… trait Part { async fn method(…) -> Answer; … } … }`.
#[macro_export]
macro_rules! port_signatures {
    (Storage $callback:tt $context:tt) => {
        $crate::port_signatures! {
            @collect $callback $context
            [__account_reads __shop_reads __order_reads __online_reads __funds_reads __webhook_reads __commits]
        }
    };
    (WorkStorage $callback:tt $context:tt) => {
        $crate::port_signatures! {
            @collect $callback $context
            [__account_reads __shop_reads __order_reads __online_reads __funds_reads __webhook_reads __commits
             __outbox __bookkeeping __operator_reads __credentials __upkeep]
        }
    };
    (OperatorReads $callback:tt $context:tt) => {
        $crate::port_signatures! { @collect $callback $context [__operator_reads] }
    };
    (Credentials $callback:tt $context:tt) => {
        $crate::port_signatures! { @collect $callback $context [__credentials] }
    };
    (Receipts $callback:tt $context:tt) => { $crate::port_signatures! { @collect $callback $context [__receipts] } };
    (@collect [$($callback:tt)*] [$($context:tt)*] [] $($parts:tt)*) => { $($callback)*! { $($context)* $($parts)* } };
    (@collect $callback:tt $context:tt [$signatures:ident $($more:ident)*] $($parts:tt)*) => {
        $crate::$signatures! { [$crate::port_signatures] @collect $callback $context [$($more)*] $($parts)* }
    };
}
