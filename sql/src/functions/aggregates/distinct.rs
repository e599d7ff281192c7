//! COUNT_DISTINCT: exact for few values, and HyperLogLog with 2^14 registers for many.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};

use super::cell::Cell;
use super::collect::any_cell;
use crate::error::SqlError;
use crate::function::AggregateFunction;
use crate::function::fold::{Fold, Folding, put_bytes, put_count, take_bytes, take_exact};
use crate::types::SqlType;

/// Up to so many different values their hashes are kept.
const EXACT_MAX: usize = 1024;
const REGISTER_BITS: u32 = 14;
const REGISTERS: usize = 1 << REGISTER_BITS;

pub(super) fn count_distinct() -> AggregateFunction {
    AggregateFunction::new("COUNT_DISTINCT", "About how many different values there are.")
        .forms(&["(T) -> BIGINT"], |call| {
            any_cell!(&call.arg_types[0], |cell| Ok(Folding::boxed(CountDistinct { cell })))
        })
        .state_type(|_| SqlType::Array(Box::new(SqlType::Int)))
}

struct CountDistinct<C> {
    cell: C,
}

#[derive(Clone)]
enum Sketch {
    /// The hashes, in order.
    Exact(Vec<u64>),
    /// For every register the longest run of zeroes seen, and one.
    Registers(Box<[u8; REGISTERS]>),
}

impl Sketch {
    fn add(&mut self, hash: u64) {
        match self {
            Self::Exact(hashes) => {
                if let Err(place) = hashes.binary_search(&hash) {
                    hashes.insert(place, hash);
                }
                if hashes.len() > EXACT_MAX {
                    let mut registers = Box::new([0; REGISTERS]);
                    hashes.iter().for_each(|hash| register(&mut registers, *hash));
                    *self = Self::Registers(registers);
                }
            }
            Self::Registers(registers) => register(registers, hash),
        }
    }

    fn merge(&mut self, later: &Self) {
        match (&mut *self, later) {
            (_, Self::Exact(hashes)) => hashes.iter().for_each(|hash| self.add(*hash)),
            (Self::Registers(mine), Self::Registers(other)) => {
                mine.iter_mut().zip(other.iter()).for_each(|(mine, other)| *mine = (*mine).max(*other));
            }
            (Self::Exact(hashes), Self::Registers(other)) => {
                let mut registers = other.clone();
                hashes.iter().for_each(|hash| register(&mut registers, *hash));
                *self = Self::Registers(registers);
            }
        }
    }

    fn count(&self) -> i64 {
        let registers = match self {
            Self::Exact(hashes) => return hashes.len() as i64,
            Self::Registers(registers) => registers,
        };
        let size = REGISTERS as f64;
        let harmonic: f64 = registers.iter().map(|rank| 2f64.powi(-i32::from(*rank))).sum();
        let estimate = 0.7213 / (1.0 + 1.079 / size) * size * size / harmonic;
        let empty = registers.iter().filter(|rank| **rank == 0).count();
        // Below that the number of empty registers tells more.
        let small = estimate <= 2.5 * size && empty > 0;
        (if small { size * (size / empty as f64).ln() } else { estimate }).round() as i64
    }
}

fn register(registers: &mut [u8; REGISTERS], hash: u64) {
    let place = (hash >> (64 - REGISTER_BITS)) as usize;
    let rank = ((hash << REGISTER_BITS) | (1 << (REGISTER_BITS - 1))).leading_zeros() as u8 + 1;
    registers[place] = registers[place].max(rank);
}

/// FNV-1a, whose bits are then mixed as MurmurHash3 does.
fn hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}

impl<C: Cell> Fold for CountDistinct<C> {
    type State = Sketch;
    type Input<'a> = C::View<'a>;
    type Output = Vec<i64>;

    fn empty(&self) -> Sketch {
        Sketch::Exact(Vec::new())
    }

    fn input<'a>(&self, args: &'a [ArrayRef]) -> Result<C::View<'a>, SqlError> {
        self.cell.view(&args[0])
    }

    fn add(&self, state: &mut Sketch, view: &C::View<'_>, row: usize) -> Result<(), SqlError> {
        if let Some(value) = self.cell.get(view, row) {
            let mut bytes = Vec::new();
            self.cell.save(&value, &mut bytes);
            state.add(hash(&bytes));
        }
        Ok(())
    }

    fn merge(&self, state: &mut Sketch, later: &Sketch) -> Result<(), SqlError> {
        state.merge(later);
        Ok(())
    }

    fn save(&self, state: &Sketch, out: &mut Vec<u8>) {
        match state {
            Sketch::Exact(hashes) => {
                out.push(0);
                put_count(hashes.len(), out);
                hashes.iter().for_each(|hash| out.extend_from_slice(&hash.to_le_bytes()));
            }
            Sketch::Registers(registers) => {
                out.push(1);
                put_bytes(registers.as_slice(), out);
            }
        }
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<Sketch, SqlError> {
        match take_exact(bytes)? {
            [0] => {
                let count = u32::from_le_bytes(take_exact(bytes)?);
                let hashes = (0..count).map(|_| take_exact(bytes).map(u64::from_le_bytes));
                Ok(Sketch::Exact(hashes.collect::<Result<_, _>>()?))
            }
            _ => {
                let registers: [u8; REGISTERS] = take_bytes(bytes)?
                    .try_into()
                    .map_err(|e| SqlError::failed("read the state of an aggregate", e))?;
                Ok(Sketch::Registers(Box::new(registers)))
            }
        }
    }

    fn output(&self, capacity: usize) -> Vec<i64> {
        Vec::with_capacity(capacity)
    }

    fn emit(&self, state: &Sketch, output: &mut Vec<i64>) {
        output.push(state.count());
    }

    fn finish(&self, output: Vec<i64>) -> Result<ArrayRef, SqlError> {
        Ok(Arc::new(Int64Array::from(output)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_near_and_merge() {
        for many in [10u64, 1_000, 1_024, 1_025, 20_000, 300_000] {
            let (mut whole, mut odd, mut even) =
                (Sketch::Exact(Vec::new()), Sketch::Exact(Vec::new()), Sketch::Exact(Vec::new()));
            for number in 0..many {
                let hash = hash(&number.to_le_bytes());
                whole.add(hash);
                whole.add(hash);
                if number % 2 == 0 { even.add(hash) } else { odd.add(hash) }
            }
            let off = (whole.count() - many as i64).unsigned_abs();
            assert!(off * 50 <= if many > EXACT_MAX as u64 { many } else { 0 }, "{many}: {}", whole.count());
            even.merge(&odd);
            let (merged, count) = (even.count(), whole.count());
            assert_eq!(merged, count);
        }
    }
}
