//! `allOf`, `anyOf`, `oneOf`, and schemas that make several demands at once.

use super::{
    comparison::Comparison,
    node::{Criterion, Item},
};

impl<'a> Comparison<'a> {
    /// A combination stays one.
    pub(super) fn combined(
        &mut self,
        was: Criterion,
        old: &[Item<'a>],
        is: Criterion,
        new: &[Item<'a>],
    ) -> Result<(), String> {
        // The same demands in the same order are compared one by one, so that the difference has its own name.
        let facets = |items: &[Item<'a>]| items.iter().map(|item| item.facet).collect::<Option<Vec<_>>>();
        if let (Some(a), Some(b)) = (facets(old), facets(new))
            && a == b
        {
            return old.iter().zip(new).try_for_each(|(old, new)| self.compare(*old, *new));
        }
        if was != is {
            let (single_old, single_new) = (old.len() == 1, new.len() == 1);
            match is {
                // One part is the same under each criterion; any of several takes most.
                _ if single_old || single_new => {}
                Criterion::Any => {}
                Criterion::One | Criterion::All if was == Criterion::Any => {
                    self.report("COMBINED_TYPE_NARROWED")
                }
                Criterion::One | Criterion::All => self.report("COMBINED_TYPE_CHANGED"),
            }
        }
        if old.len() < new.len() && is == Criterion::All {
            self.report_at("allOf", "PRODUCT_TYPE_EXTENDED");
        } else if old.len() > new.len() && was != Criterion::All {
            let keyword = if was == Criterion::One { "oneOf" } else { "anyOf" };
            self.report_at(keyword, "SUM_TYPE_NARROWED");
        }
        if self.matched(old, new)? < old.len().min(new.len()) {
            self.report("COMBINED_TYPE_SUBSCHEMAS_CHANGED");
        }
        Ok(())
    }

    /// One schema became a combination.
    pub(super) fn newly_combined(
        &mut self,
        old: Item<'a>,
        criterion: Criterion,
        parts: &[Item<'a>],
    ) -> Result<(), String> {
        if let [only] = parts {
            return self.compare(old, *only);
        }
        let mut taken = 0;
        for part in parts {
            taken += usize::from(self.takes(old, *part)?);
        }
        let takes = match criterion {
            Criterion::All => taken == parts.len(),
            Criterion::Any | Criterion::One => taken > 0,
        };
        if !takes {
            let kind = if criterion == Criterion::All { "PRODUCT_TYPE_EXTENDED" } else { "TYPE_CHANGED" };
            self.report(kind);
        }
        Ok(())
    }

    /// A combination became one schema.
    pub(super) fn no_longer_combined(
        &mut self,
        criterion: Criterion,
        parts: &[Item<'a>],
        new: Item<'a>,
    ) -> Result<(), String> {
        if let [only] = parts {
            return self.compare(*only, new);
        }
        let mut taken = 0;
        for part in parts {
            taken += usize::from(self.takes(*part, new)?);
        }
        let takes = match criterion {
            // Data met all demands: one that suffices is enough.
            Criterion::All => taken > 0,
            Criterion::Any | Criterion::One => taken == parts.len(),
        };
        if !takes {
            let kind = if taken > 0 { "SUM_TYPE_NARROWED" } else { "TYPE_CHANGED" };
            self.report(kind);
        }
        Ok(())
    }

    /// How many old parts find a new part of their own that takes them: a maximum matching.
    fn matched(&mut self, old: &[Item<'a>], new: &[Item<'a>]) -> Result<usize, String> {
        let mut takers = Vec::with_capacity(old.len());
        for was in old {
            let mut row = Vec::new();
            for (index, is) in new.iter().enumerate() {
                if self.takes(*was, *is)? {
                    row.push(index);
                }
            }
            takers.push(row);
        }
        let mut taken_by = vec![None; new.len()];
        let mut count = 0;
        for was in 0..old.len() {
            count += usize::from(place(was, &takers, &mut taken_by, &mut vec![false; new.len()]));
        }
        Ok(count)
    }
}

/// Finds a place for an old part, moving others if need be. Depth is the number of parts.
fn place(was: usize, takers: &[Vec<usize>], taken_by: &mut [Option<usize>], seen: &mut [bool]) -> bool {
    for is in takers[was].iter().copied() {
        if std::mem::replace(&mut seen[is], true) {
            continue;
        }
        let free = match taken_by[is] {
            None => true,
            Some(other) => place(other, takers, taken_by, seen),
        };
        if free {
            taken_by[is] = Some(was);
            return true;
        }
    }
    false
}
