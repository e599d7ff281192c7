//! What becomes of a group when time passes: sessions end, joins and syncs have waited long enough.

use std::time::Duration;

use super::{Context, Group};

impl Group {
    /// Does what is due. Timers that lie ahead lower `cx.wake_at`.
    pub(in crate::group) fn tick(&mut self, cx: &mut Context<'_>) {
        let now = cx.now.monotonic;
        let late: Vec<_> = self
            .pending_members
            .iter()
            .filter(|(_, deadline)| **deadline <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in late {
            self.remove_pending(cx, &id);
        }

        let late: Vec<_> = self
            .members
            .iter()
            .filter(|(_, member)| member.deadline <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in late {
            // The removal of one may have ended the wait of others and renewed their sessions.
            let Some(member) = self.members.get(&id).filter(|member| member.deadline <= now) else {
                continue;
            };
            let is_parked = member.awaiting_join.is_some() || member.awaiting_sync.is_some();
            if is_parked && !member.is_new {
                self.touch(cx, &id);
            } else {
                tracing::info!(group = self.id, member = id, "removed a member that showed no sign of life");
                self.remove(cx, &id);
            }
        }

        if self.join_deadline.is_some_and(|deadline| deadline <= now) {
            match &mut self.initial_delay {
                Some(delay) if delay.has_newcomers && !delay.remaining.is_zero() => {
                    let next = cx.config.initial_rebalance_delay.min(delay.remaining);
                    delay.remaining -= next;
                    delay.has_newcomers = false;
                    self.join_deadline = Some(cx.after(next));
                }
                _ => self.complete_join(cx),
            }
        }

        if self.sync_deadline.is_some_and(|deadline| deadline <= now) {
            self.sync_deadline = None;
            let silent = std::mem::take(&mut self.unsynced);
            if !silent.is_empty() {
                for id in silent {
                    self.answer_removed(cx, &id);
                    self.forget(&id);
                }
                self.prepare_rebalance(cx);
            }
        }
        self.note_timers(cx);
    }

    fn note_timers(&self, cx: &mut Context<'_>) {
        let members = self.members.values().map(|member| member.deadline);
        let pending = self.pending_members.values().copied();
        let all = members.chain(pending).chain(self.join_deadline).chain(self.sync_deadline);
        *cx.wake_at = all.fold(*cx.wake_at, Duration::min);
    }
}
