//! Damage that readers find: noted, reported, and fenced off from appends until it is repaired.

use std::sync::Arc;

use super::{Condition, Partition};
use crate::corruption::{CorruptRange, Damage};

impl Partition {
    /// Notes damage, so that its offsets are reported and no more batches are taken.
    pub(super) fn note_damage(&self, range: CorruptRange) {
        let mut writer = self.writer.lock();
        if matches!(writer.condition, Condition::Open) {
            self.set_condition(&mut writer, Condition::Corrupt(range.clone()));
        }
        let damage = {
            let mut state = self.state.lock();
            let mut damage = Damage::clone(&state.damage);
            damage.add(range.clone());
            state.damage = Arc::new(damage);
            state.damage.clone()
        };
        let CorruptRange { path, position, position_end, offset, offset_end, reason, .. } = range;
        tracing::error!(path = %path.display(), position, position_end, %offset, %offset_end, %reason, "corrupt");
        if let Err(error) = damage.write(&*self.around.storage, &self.dir) {
            tracing::warn!(partition = %self.id, %error, "damage is not kept in mind beyond the next start");
        }
    }
}
