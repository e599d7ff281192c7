//! Aggregate functions.
//!
//! Each is a [`Fold`](crate::function::Fold): a state per group and what a row does to it. `Folding` makes an accumulator of it, with all
//! calls resolved at compile time. Values of any type are kept through [`cell::Cell`].

mod attr;
mod average;
mod by_offset;
mod cell;
mod collect;
mod correlation;
mod count;
mod deviation;
mod distinct;
mod extreme;
mod histogram;
mod sum;
mod sum_list;
mod top;

#[cfg(test)]
mod tests;

use crate::function::AggregateFunction;

pub(super) fn functions() -> Vec<AggregateFunction> {
    let mut functions = vec![
        attr::attr(),
        average::avg(),
        collect::collect_list(),
        collect::collect_set(),
        correlation::correlation(),
        count::count(),
        distinct::count_distinct(),
        histogram::histogram(),
        sum::sum(),
        sum_list::sum_list(),
        top::topk(),
        top::topk_distinct(),
    ];
    functions.extend(deviation::functions());
    functions.extend(extreme::functions());
    functions.extend(by_offset::functions());
    functions
}
