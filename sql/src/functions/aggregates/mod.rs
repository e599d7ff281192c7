//! Aggregate functions.
//!
//! Each is a [`Fold`](fold::Fold): a state per group and what a row does to it. [`fold::Folding`] makes an accumulator of it, with all
//! calls resolved at compile time. Values of any type are kept through [`cell::Cell`].

mod average;
mod by_offset;
mod cell;
mod collect;
mod count;
mod extreme;
mod fold;
mod sum;
mod top;

#[cfg(test)]
mod tests;

use crate::function::AggregateFunction;

pub(super) fn functions() -> Vec<AggregateFunction> {
    let mut functions =
        vec![count::count(), sum::sum(), average::avg(), collect::collect_list(), top::topk()];
    functions.extend(extreme::functions());
    functions.extend(by_offset::functions());
    functions
}
